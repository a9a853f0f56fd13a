//! XEP-0084, User Avatar: the image is an item of one node, and what it is an item of another, which
//! people hear of.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use whoelse_core::Node;
use whoelse_core::kit::Cx;
use whoelse_core::paying::cost;
use whoelse_store::{PubsubItem, PubsubPage};
use whoelse_stream::token::token;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Stanza, StanzaError, ns};

use super::card::{Photo, decode};
use super::{image, not_acceptable, update};
use crate::pubsub::{
    Found, Item, Nodes, Stop, Visitor, What, fits_an_item, pay_for, readable_node,
};
use crate::readable;

/// An avatar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Avatar {
    /// The SHA-1 hash of the image.
    pub id: String,
    /// Its media type.
    pub type_: String,
    pub image: Vec<u8>,
    /// Its width and height, as far as they are known.
    pub size: Option<(u16, u16)>,
}

impl Avatar {
    /// The avatar that a photo is. Its owner's word counts for what is not recognised.
    pub fn of(photo: Photo) -> Result<Avatar, StanzaError> {
        let kind = image::kind(&photo.image);
        let said = photo.said.filter(|said| is_type(said));
        let type_ = kind.map(|kind| kind.type_.to_owned()).or(said);
        let type_ = type_.ok_or_else(|| not_acceptable("the photo is no image"))?;
        let (id, size) = (hash(&photo.image), kind.and_then(|kind| kind.size));
        Ok(Avatar { id, type_, image: photo.image, size })
    }

    /// Whether the image is as short as an item has to be.
    pub fn fits(&self, server: &Node) -> bool {
        fits_an_item(server, self.data().len())
    }

    /// The payload of the item with the image.
    fn data(&self) -> Vec<u8> {
        let data = Element::new("data").xmlns(ns::AVATAR_DATA).text(&STANDARD.encode(&self.image));
        data.finish().to_vec()
    }

    /// The payload of the item that says what it is.
    fn metadata(&self) -> Vec<u8> {
        let size = self.size.map(|(width, height)| (width.to_string(), height.to_string()));
        let info = Element::new("info")
            .attr("bytes", &self.image.len().to_string())
            .attr("id", &self.id)
            .attr("type", &self.type_)
            .attr_opt("width", size.as_ref().map(|(width, _)| width.as_str()))
            .attr_opt("height", size.as_ref().map(|(_, height)| height.as_str()));
        Element::new("metadata").xmlns(ns::AVATAR_METADATA).child(info).finish().to_vec()
    }
}

/// Whether a text is a media type of images.
fn is_type(text: &str) -> bool {
    let is_in_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '+' | '-');
    let name = text.strip_prefix("image/");
    name.is_some_and(|name| !name.is_empty() && name.len() < 64 && name.chars().all(is_in_name))
}

/// It identifies and protects nothing.
fn hash(image: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, image);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What metadata say of the image that is at the other node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    /// The hash of the image, and the id of its item.
    pub id: String,
    pub type_: String,
}

impl Info {
    /// Reads metadata: the first that are of an image at a node, not of one elsewhere.
    pub fn read(payload: &[u8]) -> Option<Info> {
        let metadata = Stanza::parse(payload.to_vec()).ok()?;
        if metadata.name() != "metadata" || metadata.ns() != ns::AVATAR_METADATA {
            return None;
        }
        let mut infos = metadata.children().iter().take(MOST_INFOS);
        let info = infos.find(|info| {
            info.is("info", ns::AVATAR_METADATA) && metadata.child_attr(info, "url").is_none()
        })?;
        let id = metadata.child_attr(info, "id").map(String::from)?;
        let is_hash = id.len() == 40 && id.bytes().all(|it| it.is_ascii_hexdigit());
        let type_ = metadata.child_attr(info, "type").map(String::from);
        let type_ = type_.filter(|type_| is_type(type_)).unwrap_or_else(|| "image/png".to_owned());
        is_hash.then_some(Info { id, type_ })
    }
}

/// Elements that are looked at in metadata.
const MOST_INFOS: usize = 20;

/// Reads the avatar of an account, for whom both nodes are open. An image that is not the one of its
/// hash is none: clients keep images by their hashes.
pub(super) async fn read(cx: &Cx, visitor: &Visitor) -> Result<Option<Avatar>, StanzaError> {
    let Some(metadata) = readable_node(cx, visitor, ns::AVATAR_METADATA).await? else {
        return Ok(None);
    };
    let last = cx.node.store.pubsub_page(metadata.row.id, &LAST).await;
    let last = readable(&cx.node, "avatar_unreadable", Some(visitor.owner.address()), last)?;
    let info = last.first().and_then(|item| Info::read(&item.payload));
    let Some(Info { id, type_ }) = info else { return Ok(None) };
    let Some(data) = readable_node(cx, visitor, ns::AVATAR_DATA).await? else { return Ok(None) };
    let found = cx.node.store.pubsub_items_by_id(data.row.id, &[&id]).await;
    let found = readable(&cx.node, "avatar_unreadable", Some(visitor.owner.address()), found)?;
    let Some(item) = found.first() else { return Ok(None) };
    if let Some(session) = visitor.session(&cx.node) {
        // It is decoded and hashed, whatever the answer is.
        cx.node.work_turn(&session, cost::of_reading(item.payload.len())).await;
    }
    let image = image_of(item).filter(|image| hash(image) == id.to_lowercase());
    Ok(image.map(|image| Avatar { id, type_, image, size: None }))
}

const LAST: PubsubPage = PubsubPage { after: None, before: None, from_end: true, most: 1 };

fn image_of(item: &PubsubItem) -> Option<Vec<u8>> {
    let data = Stanza::parse(item.payload.clone()).ok()?;
    let is_data = data.name() == "data" && data.ns() == ns::AVATAR_DATA;
    decode(&data.text()).filter(|_| is_data)
}

/// Pays for what others are told when the avatar changes.
pub(super) async fn pay(cx: &Cx, visitor: &Visitor) -> Result<(), StanzaError> {
    pay_for(cx, visitor, ns::AVATAR_METADATA).await?;
    update::pay(cx, visitor).await
}

/// XEP-0398, 3.2: publishes the photo of a vCard. One that is published already is not told again.
pub(super) async fn publish(nodes: &mut Nodes<'_>, avatar: &Avatar) -> Result<(), Stop> {
    let (data, metadata) =
        (node(nodes, ns::AVATAR_DATA).await?, node(nodes, ns::AVATAR_METADATA).await?);
    let there = nodes.tx.pubsub_items_by_id(data.row.id, &[&avatar.id]).await?;
    let told = nodes.tx.pubsub_page(metadata.row.id, &LAST).await?;
    let told = told.first().and_then(|item| Info::read(&item.payload));
    if !there.is_empty() && told.is_some_and(|info| info.id == avatar.id) {
        return Ok(());
    }
    nodes.put(&data, avatar.id.clone(), avatar.data()).await?;
    nodes.trim(&data).await?;
    tell(nodes, &metadata, avatar.id.clone(), avatar.metadata()).await
}

/// XEP-0084, 3.5: tells that there is no avatar any more, if there was one.
pub(super) async fn remove(nodes: &mut Nodes<'_>) -> Result<(), Stop> {
    let Some(metadata) = nodes.find(ns::AVATAR_METADATA).await? else { return Ok(()) };
    let told = nodes.tx.pubsub_page(metadata.row.id, &LAST).await?;
    if told.first().and_then(|item| Info::read(&item.payload)).is_none() {
        return Ok(());
    }
    let nothing = Element::new("metadata").xmlns(ns::AVATAR_METADATA).finish().to_vec();
    tell(nodes, &metadata, token(), nothing).await
}

async fn tell(
    nodes: &mut Nodes<'_>,
    metadata: &Found,
    id: String,
    payload: Vec<u8>,
) -> Result<(), Stop> {
    nodes.put(metadata, id.clone(), payload.clone()).await?;
    nodes.trim(metadata).await?;
    let publisher = nodes.owner.address().to_string();
    let item = Item { id, publisher, payload };
    update::follow(nodes, metadata, &What::Published(item)).await
}

/// Finds a node of the owner's, or makes it.
async fn node(nodes: &mut Nodes<'_>, name: &str) -> Result<Found, Stop> {
    if let Some(found) = nodes.find(name).await? {
        return Ok(found);
    }
    let begins = nodes.owner.begins(name);
    let made = nodes.make_own(name, begins).await?;
    made.ok_or_else(|| StanzaError::new(whoelse_xmpp::Condition::ItemNotFound).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";

    fn photo(said: Option<&str>, image: &[u8]) -> Photo {
        Photo { said: said.map(str::to_owned), image: image.to_vec() }
    }

    #[test]
    fn an_avatar_is_known_by_its_hash_and_told_by_what_it_is() {
        let avatar = Avatar::of(photo(Some("image/png"), b"hello")).unwrap();

        assert_eq!(avatar.id, ID);
        let metadata = String::from_utf8(avatar.metadata()).unwrap();
        assert_eq!(
            metadata,
            format!(
                "<metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='5' id='{ID}' type='image/png'/></metadata>"
            )
        );
        assert_eq!(avatar.data(), b"<data xmlns='urn:xmpp:avatar:data'>aGVsbG8=</data>");
        let info = Info { id: ID.to_owned(), type_: "image/png".to_owned() };
        assert_eq!(Info::read(metadata.as_bytes()), Some(info));
    }

    #[test]
    fn what_an_image_is_says_the_image_and_then_its_owner() {
        let gif = b"GIF89a\x0a\0\x0b\0";
        let avatar = Avatar::of(photo(Some("image/png"), gif)).unwrap();
        assert_eq!((avatar.type_.as_str(), avatar.size), ("image/gif", Some((10, 11))));
        assert_eq!(
            Avatar::of(photo(Some("image/svg+xml"), b"<svg/>")).unwrap().type_,
            "image/svg+xml"
        );
        for said in [None, Some("text/html"), Some("image/"), Some("image/<"), Some("")] {
            assert!(Avatar::of(photo(said, b"hello")).is_err(), "{said:?}");
        }
    }

    #[test]
    fn of_several_images_the_one_at_the_node_counts() {
        let info =
            |id: &str, more: &str| format!("<info bytes='1' id='{id}' type='image/gif'{more}/>");
        let around = |inside: &str| {
            Info::read(
                format!("<metadata xmlns='urn:xmpp:avatar:metadata'>{inside}</metadata>")
                    .as_bytes(),
            )
        };
        let other = ID.replace('a', "b");
        let found = around(&(info(&other, " url='http://x'") + &info(ID, "")));
        assert_eq!(found.map(|info| (info.id, info.type_)), Some((ID.into(), "image/gif".into())));
        assert_eq!(around(&info("nothing", "")), None);
        assert_eq!(around(&info(ID, " url='http://x'")), None);
        assert_eq!(around(""), None);
        assert_eq!(Info::read(b"<info/>"), None);
    }
}
