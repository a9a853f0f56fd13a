//! XEP-0054, vcard-temp: what people say of themselves, for whoever may see them; and XEP-0398: the
//! photo of a vCard and the avatar of newer clients (XEP-0084) are one.
//!
//! The photo is nowhere but at the nodes of the avatar. A vCard that is stored leaves it there, one that
//! is read takes it from there, for whom the nodes are open (docs/design/views.md).

mod avatar;
mod card;
mod image;
mod update;

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{Answer, At, BoxFuture, Cx, Feature, Reply, SessionCx, Target, Verb};
use whoelse_core::settings;
use whoelse_core::settings::size;
use whoelse_store::{DataKey, DataLimit, Put};
use whoelse_xmpp::{Child, Condition, Stanza, StanzaError, ns};

use crate::pubsub::views::{self, View};
use crate::pubsub::{Owner, Visitor, change, no_room};
use crate::readable;
use avatar::Avatar;
use card::Card;
pub(crate) use card::photo_hashes;

/// XEP-0054, XEP-0153 and XEP-0398; and XEP-0084, which is nodes like others.
pub const FEATURE: Feature = Feature {
    name: "vcard",
    xeps: &[(54, "1.3.0"), (84, "1.1.4"), (153, "1.1.1"), (398, "1.0.0")],
    disco: &[ns::VCARD],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.on(Verb::Get, READ_AT, (ns::VCARD, "vCard"), get);
        w.on(Verb::Set, EVERYWHERE, (ns::VCARD, "vCard"), set);
        w.account_disco(ns::PEP_VCARD_CONVERSION);
        w.account::<update::Shown, _>(update::load);
        w.amend_presence(update::amend);
        w.started(begin);
    },
    ..Feature::PLAIN
};

const READ_AT: At = &[Target::Own, Target::Other, Target::Hidden];
const EVERYWHERE: At =
    &[Target::Server, Target::Own, Target::Other, Target::Hidden, Target::HiddenDevice];

settings! {
    /// Bounds of vCards.
    struct Limits in "limits" {
        /// Bytes of a vCard without its photo: addresses, not books. The photo is an item of a node.
        vcard_bytes: u64 = 16 << 10, size();
    }
}

/// What an avatar is; when it changes, old clients hear it in presence.
const METADATA: View = View {
    node: ns::AVATAR_METADATA,
    pay: |cx, visitor| Box::pin(update::pay(cx, visitor)),
    follow: |nodes, found, what| Box::pin(update::follow(nodes, found, what)),
    ..View::PLAIN
};

fn begin(server: Arc<Node>) -> BoxFuture<'static, ()> {
    Box::pin(async move { views::add(&server, &METADATA) })
}

const KEY: DataKey<'_> = DataKey { namespace: ns::VCARD, name: "vCard" };

/// Answers for the vCard of an account. Strangers hear the same of everybody, but see an avatar that
/// its owner has made open.
async fn get(cx: Cx, stanza: Stanza, _: Child) -> Answer {
    // XEP-0054, 3.3: the same as for a user who does not exist.
    let nothing = || StanzaError::new(Condition::ServiceUnavailable);
    let visitor = Visitor::of(&cx, &stanza, Some(ns::AVATAR_METADATA)).await;
    let visitor = visitor.map_err(|_| nothing())?;
    let stored = match cx.target {
        Target::Hidden => None,
        _ => {
            let account = cx.subject()?;
            let stored = cx.node.store.account_data(account.id, KEY).await;
            readable(&cx.node, "vcard_unreadable", Some(account.jid()), stored)?
        }
    };
    let avatar = avatar::read(&cx, &visitor).await?;
    // COMPAT: slixmpp and others change the own vCard only where reading it succeeds.
    if stored.is_none() && avatar.is_none() && cx.target != Target::Own {
        return Err(nothing());
    }
    Ok(Reply::encoded(card::with_photo(stored, avatar.as_ref())))
}

/// Stores the own vCard, in place of the one before: a photo becomes the avatar, and without one there
/// is no avatar.
async fn set(cx: SessionCx, stanza: Stanza, card: Child) -> Answer {
    let account = own_alone(&cx)?.clone();
    let Card { card, photo } = Card::read(&stanza, &card)?;
    if card.len() as u64 > cx.node.settings().of::<Limits>().vcard_bytes {
        return Err(not_acceptable("the vCard is too long"));
    }
    let avatar = photo.map(Avatar::of).transpose()?;
    if avatar.as_ref().is_some_and(|avatar| !avatar.fits(&cx.node)) {
        return Err(not_acceptable("the photo is too large"));
    }
    let owner = Owner::Account(account.clone());
    let visitor = Visitor::seeing(owner.clone(), cx.from.clone(), cx.asker);
    avatar::pay(&cx, &visitor).await?;
    let id = account.id;
    let stored = change(&cx.node, &owner, ROWS, move |nodes| {
        Box::pin(async move {
            let limit = DataLimit { values: 1, bytes: u64::MAX };
            if nodes.tx.put_account_data(id, KEY, &card, limit).await? != Put::Done {
                return Err(no_room("there is no more room for a vCard").into());
            }
            match avatar {
                Some(avatar) => avatar::publish(nodes, &avatar).await,
                None => avatar::remove(nodes).await,
            }
        })
    });
    stored.await?;
    Ok(Reply::empty())
}

/// The vCard, two nodes, an item at each, and those that give way to them.
const ROWS: u64 = 7;

/// XEP-0054, 3.2: nobody writes what belongs to somebody else. Returns the own account.
fn own_alone(cx: &SessionCx) -> Result<&Arc<Account>, StanzaError> {
    match cx.target {
        Target::Own => cx.account(),
        Target::Hidden | Target::HiddenDevice => Err(cx.hidden()),
        _ => Err(StanzaError::new(Condition::Forbidden)),
    }
}

fn not_acceptable(text: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}
