//! RFC 6121, A.3: what a contact says to the owner of a roster. This half sees the owner's account
//! and the contact's address, and it never refuses: what cannot be kept looks unanswered.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use whoelse_store::{Error, Tx};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Kind, Outgoing};

use super::entry::Entry;
use super::{Interested, SubscriptionType, Way, step};
use crate::account::Account;
use crate::audience;
use crate::keeper::chain::{Chained, Done};
use crate::kit::BoxFuture;
use crate::node::Node;
use crate::rewriting;

/// What one says to the other at once, in order: each presence without addresses.
pub(super) type Said = SmallVec<[(SubscriptionType, Bytes); 2]>;

/// The recipient's half of a change.
pub(super) struct Inbound {
    node: Arc<Node>,
    /// To whom it is said: the owner of the roster.
    to: BareJid,
    /// Who says it: the contact.
    from: BareJid,
    said: Said,
    /// The owner's devices may hear it; what changes holds all the same.
    heard: bool,
}

impl Inbound {
    pub fn boxed(
        node: Arc<Node>,
        to: BareJid,
        from: BareJid,
        said: Said,
        heard: bool,
    ) -> Box<dyn Chained> {
        Box::new(Inbound { node, to, from, said, heard })
    }
}

impl Chained for Inbound {
    fn run<'a>(self: Box<Self>, tx: &'a mut Tx) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let Inbound { node, to, from, said, heard } = *self;
            // In memory, since whoever begins holds it; an account that was made a moment ago is
            // loaded here.
            let account = node.account(&to).await?;
            let Some(account) = account.filter(|it| !it.is_server() && !it.is_removed()) else {
                return Ok(Done::default());
            };
            let open = audience::hears(&node, &account, &from);
            let mut entry = Entry::read(&node, tx, account, from).await?;
            let (mut told, mut granted) = (Said::new(), false);
            for (type_, presence) in said {
                // Who is blocked cannot ask. The rest of what they say holds.
                if type_ == SubscriptionType::Subscribe && !open {
                    continue;
                }
                let taken = step(entry.after.state, Way::In, type_);
                if taken.state.asked && !entry.after.state.asked && !has_place(&node, &entry) {
                    continue;
                }
                entry.take(taken.state, &presence);
                granted |= taken.granted;
                if taken.passes && heard && open {
                    told.push((type_, presence));
                }
            }
            entry.write(tx, node.clock.now().0).await?;
            // RFC 6121, 3.1.3 and 3.4: the server answers for its user.
            let next = granted.then(|| {
                let subscribed = SubscriptionType::Subscribed;
                let said = Said::from_iter([(subscribed, plain(subscribed))]);
                let (to, from) = (entry.contact.clone(), entry.owner.jid().clone());
                Inbound::boxed(node.clone(), to, from, said, true)
            });
            Ok(entry.done(true, next, move |entry| {
                for (type_, presence) in told {
                    let presence = addressed(presence, &entry.contact, entry.owner.jid());
                    hear(&entry.owner, type_, &presence);
                }
            }))
        })
    }
}

/// Whether one more request may wait for the owner's answer. Where it may not, it is not kept and
/// looks unanswered: who asks must not learn how many others do.
fn has_place(node: &Node, entry: &Entry) -> bool {
    entry.owner.roster().requests().count() < node.settings().limits.roster_requests
}

/// A presence of this type, which says nothing more.
pub(super) fn plain(type_: SubscriptionType) -> Bytes {
    Element::new("presence").attr("type", type_.name()).finish()
}

/// A presence without addresses as it reaches somebody.
pub(crate) fn addressed(said: Bytes, from: &BareJid, to: &BareJid) -> Outgoing {
    let mut attributes = rewriting::attribute("from", from.as_str());
    attributes.extend(rewriting::attribute("to", to.as_str()));
    Outgoing::from_encoded(Kind::Presence, said, Class::Presence).with_attributes(&attributes)
}

/// RFC 6121, 3.1.3: a request goes to every available device; 3.1.6, 3.2.3 and 3.3.3: the rest to
/// those that have asked for the roster.
fn hear(owner: &Account, type_: SubscriptionType, presence: &Outgoing) {
    for session in owner.sessions() {
        let hears = match type_ {
            SubscriptionType::Subscribe => session.is_available(),
            SubscriptionType::Unsubscribe
            | SubscriptionType::Subscribed
            | SubscriptionType::Unsubscribed => session.slots.has::<Interested>(),
        };
        if hears {
            session.push(presence.clone());
        }
    }
}
