//! XEP-0054: a vCard as the bytes of its owner, without its photo and with one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Condition, Edit, Stanza, StanzaError, ns};

use super::avatar::Avatar;

/// A vCard as it is sent.
#[derive(Debug, PartialEq)]
pub(super) struct Card {
    /// The whole element, without the photo.
    pub card: Vec<u8>,
    pub photo: Option<Photo>,
}

/// A photo that is in a vCard itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Photo {
    /// What its owner says that it is.
    pub said: Option<String>,
    /// The bytes of the image.
    pub image: Vec<u8>,
}

impl Card {
    /// Reads a vCard. A photo that is somewhere else stays in it.
    pub fn read(stanza: &Stanza, card: &Child) -> Result<Card, StanzaError> {
        let bad = || StanzaError::new(Condition::BadRequest);
        // One element is not longer than the stanza around it.
        let alone = stanza.alone(std::slice::from_ref(card), usize::MAX).ok_or_else(bad)?;
        let card = Stanza::parse(alone).map_err(|_| bad())?;
        let (mut photo, mut left_out) = (None, Vec::new());
        for (place, child) in card.children().iter().enumerate() {
            if !is_photo(child) {
                continue;
            }
            let Some(found) = photo_in(&card, child)? else { continue };
            left_out.push((place, Vec::new()));
            if photo.is_none() && !found.image.is_empty() {
                photo = Some(found);
            }
            if left_out.len() > MOST_PHOTOS {
                return Err(bad());
            }
        }
        let card = card.edited(&Edit { children: &left_out, ..Edit::default() });
        Ok(Card { card: card.ok_or_else(bad)?, photo })
    }
}

/// Reads a photo that is in a vCard itself, if this one is.
fn photo_in(card: &Stanza, photo: &Child) -> Result<Option<Photo>, StanzaError> {
    let inside = card.grandchildren(photo);
    let find = |name| inside.iter().find(|it| it.is(name, ns::VCARD));
    let text = |name| find(name).map(|it| card.text_of(it).to_string());
    let Some(encoded) = text("BINVAL") else { return Ok(None) };
    let image = decode(&encoded).ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
    Ok(Some(Photo { said: text("TYPE"), image }))
}

/// Returns the hashes of the photos that are in a vCard itself, in their order.
pub(crate) fn photo_hashes(card: &Stanza) -> Result<Vec<String>, StanzaError> {
    let photos = card.children().iter().filter(|child| is_photo(child));
    let photos: Vec<&Child> = photos.take(MOST_PHOTOS + 1).collect();
    if photos.len() > MOST_PHOTOS {
        return Err(StanzaError::new(Condition::BadRequest));
    }
    let mut hashes = Vec::new();
    for photo in photos {
        if let Some(photo) = photo_in(card, photo)?.filter(|photo| !photo.image.is_empty()) {
            hashes.push(Avatar::of(photo)?.id);
        }
    }
    Ok(hashes)
}

/// Photos that are looked at in one vCard.
const MOST_PHOTOS: usize = 10;

/// Returns a stored vCard with this avatar as its photo.
pub(super) fn with_photo(stored: Option<Vec<u8>>, avatar: Option<&Avatar>) -> Vec<u8> {
    let empty = || Element::new("vCard").xmlns(ns::VCARD).finish().to_vec();
    let stored = stored.unwrap_or_else(empty);
    let Some(avatar) = avatar else { return stored };
    // What is stored can be read.
    let Ok(card) = Stanza::parse(stored.clone()) else { return stored };
    let photos = card.children().iter().enumerate().filter(|(_, child)| is_photo(child));
    let children: Vec<_> = photos.map(|(place, _)| (place, Vec::new())).collect();
    let photo = Element::new("PHOTO")
        .xmlns(ns::VCARD)
        .text_child("TYPE", &avatar.type_)
        .text_child("BINVAL", &STANDARD.encode(&avatar.image))
        .finish();
    let edit = Edit { children: &children, add: &photo, ..Edit::default() };
    card.edited(&edit).unwrap_or(stored)
}

fn is_photo(child: &Child) -> bool {
    child.is("PHOTO", ns::VCARD)
}

/// Decodes Base64 with white space in it (XEP-0153, 4.6).
pub(super) fn decode(encoded: &str) -> Option<Vec<u8>> {
    let encoded: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(encoded).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(card: &str) -> Result<Card, StanzaError> {
        let stanza = Stanza::parse(format!("<iq xmlns:p='urn:p'>{card}</iq>")).unwrap();
        Card::read(&stanza, &stanza.children()[0])
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_photo_is_taken_out_and_the_rest_stays_as_it_came() {
        let found = read(
            "<vCard xmlns='vcard-temp' version='3.0'>\n<FN p:a='1'>Alice</FN><PHOTO><TYPE>image/png\
             </TYPE><BINVAL>\n  aGVs\n  bG8=\n</BINVAL></PHOTO><X-OWN/></vCard>",
        )
        .unwrap();

        let photo = Photo { said: Some("image/png".to_owned()), image: b"hello".to_vec() };
        assert_eq!(found.photo, Some(photo));
        assert_eq!(
            text(found.card),
            "<vCard xmlns:p='urn:p' xmlns='vcard-temp' version='3.0'>\n<FN p:a='1'>Alice</FN>\
             <X-OWN/></vCard>"
        );
    }

    #[test]
    fn a_photo_without_an_image_is_none() {
        for (photo, left) in [
            ("", ""),
            ("<PHOTO><BINVAL/></PHOTO>", ""),
            (
                "<PHOTO><EXTVAL>http://x</EXTVAL></PHOTO>",
                "<PHOTO><EXTVAL>http://x</EXTVAL></PHOTO>",
            ),
        ] {
            let found = read(&format!("<vCard xmlns='vcard-temp'><A/>{photo}</vCard>")).unwrap();
            assert_eq!(found.photo, None);
            assert_eq!(text(found.card), format!("<vCard xmlns='vcard-temp'><A/>{left}</vCard>"));
        }
        let wrong = "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>?</BINVAL></PHOTO></vCard>";
        assert_eq!(read(wrong).unwrap_err().condition, Condition::BadRequest);
        let photos = "<PHOTO><BINVAL/></PHOTO>".repeat(MOST_PHOTOS + 1);
        assert!(read(&format!("<vCard xmlns='vcard-temp'>{photos}</vCard>")).is_err());
    }

    #[test]
    fn a_photo_is_put_in_instead_of_any_other() {
        let avatar = Avatar {
            id: "x".to_owned(),
            type_: "image/png".to_owned(),
            image: b"hello".to_vec(),
            size: None,
        };
        let photo =
            "<PHOTO xmlns='vcard-temp'><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO>";
        for (stored, expected) in [
            (None, format!("<vCard xmlns='vcard-temp'>{photo}</vCard>")),
            (
                Some(
                    "<vCard xmlns='vcard-temp'><PHOTO><EXTVAL>x</EXTVAL></PHOTO><FN>A</FN></vCard>",
                ),
                format!("<vCard xmlns='vcard-temp'><FN>A</FN>{photo}</vCard>"),
            ),
        ] {
            let stored = stored.map(|stored| stored.as_bytes().to_vec());
            assert_eq!(text(with_photo(stored.clone(), Some(&avatar))), expected);
            let without = with_photo(stored.clone(), None);
            assert_eq!(without, stored.unwrap_or_else(|| b"<vCard xmlns='vcard-temp'/>".to_vec()));
        }
    }
}
