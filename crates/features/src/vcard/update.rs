//! XEP-0153, and XEP-0398, 4: the hash of the avatar in presence, by which old clients learn of it. The
//! server puts it there, into what goes to all and into what goes to one.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_core::kit::Cx;
use whoelse_core::kit::taps::Occasion;
use whoelse_core::presence;
use whoelse_core::session::Session;
use whoelse_store::{PubsubPage, Store};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Edit, Stanza, StanzaError, ns};

use super::avatar::Info;
use crate::pubsub::{AccessModel, Config, Found, Nodes, Stop, Visitor, What};

/// In the slot of an account: what is added to its presence, encoded; nothing, if it never had an avatar
/// that others may see.
#[derive(Default, PartialEq)]
pub(super) struct Shown(Option<Bytes>);

/// In the slot of a session: its client has said itself that it shows no avatar.
struct ShowsNone;

impl Shown {
    /// What is added when metadata say this, at a node that is configured so.
    fn of(config: &Config, metadata: Option<&[u8]>) -> Shown {
        let is_seen = match config.access_model {
            AccessModel::Open | AccessModel::Presence | AccessModel::Roster => true,
            AccessModel::Authorize | AccessModel::Whitelist => false,
        };
        let info = metadata.filter(|_| is_seen).and_then(Info::read);
        let photo = Element::new("photo").text(info.as_ref().map_or("", |info| &info.id));
        Shown(Some(Element::new("x").xmlns(ns::VCARD_UPDATE).child(photo).finish()))
    }
}

/// Reads what was published last.
pub(super) async fn load(store: Store, account: i64) -> Result<Shown, whoelse_store::Error> {
    let last = store.pubsub_last_items(&[account], &[ns::AVATAR_METADATA]).await?;
    Ok(last.first().map_or_else(Shown::default, |(node, item)| {
        Shown::of(&Config::read(&node.config), Some(&item.payload))
    }))
}

/// Something has happened at the node with what the avatar is: presence says so.
pub(super) async fn follow(nodes: &mut Nodes<'_>, found: &Found, what: &What) -> Result<(), Stop> {
    let shown = match what {
        What::Published(item) => Shown::of(&found.config, Some(&item.payload)),
        What::Retracted(_) | What::Configured => {
            let last = PubsubPage { from_end: true, most: 1, ..PubsubPage::default() };
            let last = nodes.tx.pubsub_page(found.row.id, &last).await?;
            Shown::of(&found.config, last.first().map(|item| item.payload.as_slice()))
        }
        What::Purged | What::Deleted(_) => Shown::of(&found.config, None),
        What::Happened => return Ok(()),
    };
    let Some(account) = nodes.owner.account().cloned() else { return Ok(()) };
    nodes.then(Box::new(move |server| {
        if account.look(|before: &Shown| *before == shown) != Some(true) {
            account.put(Arc::new(shown));
            presence::say_again(server, &account);
        }
    }));
    Ok(())
}

/// Pays for the presence that is said again, and waits for its turn.
pub(super) async fn pay(cx: &Cx, visitor: &Visitor) -> Result<(), StanzaError> {
    let (Some(account), Some(payer)) = (visitor.owner.account(), visitor.session(&cx.node)) else {
        return Ok(());
    };
    for session in account.sessions() {
        if let Some(presence) = session.presence() {
            cx.node.fan_out_turn(&payer, presence.bytes.len()).await;
        }
    }
    Ok(())
}

/// Puts the hash into a presence, in place of what its client has put there, unless that says that there
/// is to be none.
pub(super) fn amend(session: &Session, said: &Stanza, occasion: Occasion) -> Option<Vec<u8>> {
    let account = session.account.as_ref()?;
    let shows_none = match occasion {
        Occasion::ToAll => note_none(session, says_none(said)),
        Occasion::ToOne => says_none(said),
        Occasion::Again => session.slots.has::<ShowsNone>(),
    };
    if shows_none {
        return None;
    }
    account.look(|Shown(shown): &Shown| {
        let shown = shown.as_ref()?;
        let own = said.children().iter().enumerate();
        let own = own.filter(|(_, child)| child.is("x", ns::VCARD_UPDATE));
        let children: Vec<_> = own.map(|(place, _)| (place, Vec::new())).collect();
        said.edited(&Edit { children: &children, add: shown, ..Edit::default() })
    })?
}

/// Whether a client says itself that there is no avatar: an empty photo (XEP-0153, 4.1).
fn says_none(said: &Stanza) -> bool {
    said.child("x", ns::VCARD_UPDATE).is_some_and(|x| {
        let inside = said.grandchildren(x);
        let photo = inside.iter().find(|child| child.is("photo", ns::VCARD_UPDATE));
        photo.is_some_and(|photo| said.text_of(photo).trim().is_empty())
    })
}

fn note_none(session: &Session, says_none: bool) -> bool {
    match (says_none, session.slots.has::<ShowsNone>()) {
        (true, false) => session.slots.put(Arc::new(ShowsNone)),
        (false, true) => session.slots.clear::<ShowsNone>(),
        _ => {}
    }
    says_none
}
