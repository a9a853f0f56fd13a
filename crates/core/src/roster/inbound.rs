//! RFC 6121, A.3: what a contact says to the owner of a roster. This half sees the owner's account
//! and the contact's address. It never refuses: a request that cannot be stored looks unanswered.

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
use crate::boxed_future::BoxFuture;
use crate::keeper::chain::{Chained, Done};
use crate::node::Node;
use crate::rewriting;

/// What one side says to the other in one change, in order: each presence without addresses.
pub(super) type Said = SmallVec<[(SubscriptionType, Bytes); 2]>;

/// The recipient's half of a change.
pub(super) struct Inbound {
    node: Arc<Node>,
    /// The owner of the roster, to whom it is said.
    to: BareJid,
    /// The contact who says it.
    from: BareJid,
    said: Said,
    /// Whether the owner's devices are told; the change takes effect in any case.
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
            // The account is in memory, since whoever begins the change holds it; an account that
            // was made a moment ago is loaded here.
            let account = node.account(&to).await?;
            let Some(account) = account.filter(|it| !it.is_removed()) else {
                return Ok(Done::default());
            };
            let open = audience::hears(&node, &account, &from);
            let mut entry = Entry::read(&node, tx, account, from).await?;
            let (mut told, mut granted) = (Said::new(), false);
            for (type_, presence) in said {
                // A blocked contact cannot ask. Whatever else they say takes effect.
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
                    hear(&entry.owner, &entry.contact, type_, &presence);
                }
            }))
        })
    }
}

/// Whether one more request may wait for the owner's answer. If not, it is dropped and looks
/// unanswered: the asker must not learn how many others ask.
fn has_place(node: &Node, entry: &Entry) -> bool {
    entry.owner.roster().requests().count() < node.settings().limits.roster_requests
}

/// A presence of this type, which says nothing more.
pub(crate) fn plain(type_: SubscriptionType) -> Bytes {
    Element::new("presence").attr("type", type_.name()).finish()
}

/// Returns a presence without addresses in the form in which it is delivered.
pub(crate) fn addressed(said: Bytes, from: &BareJid, to: &BareJid) -> Outgoing {
    let mut attributes = rewriting::attribute("from", from.as_str());
    attributes.extend(rewriting::attribute("to", to.as_str()));
    Outgoing::from_encoded(Kind::Presence, said, Class::Presence).with_attributes(&attributes)
}

/// Queues a presence for the owner's devices: a request goes to every available device (RFC 6121,
/// 3.1.3), the other types to those that have requested the roster (3.1.6, 3.2.3 and 3.3.3).
fn hear(owner: &Account, contact: &BareJid, type_: SubscriptionType, presence: &Outgoing) {
    for session in owner.sessions() {
        let hears = match type_ {
            SubscriptionType::Subscribe => session.is_available(),
            SubscriptionType::Unsubscribe
            | SubscriptionType::Subscribed
            | SubscriptionType::Unsubscribed => session.slots.has::<Interested>(),
        };
        if hears {
            match type_ {
                SubscriptionType::Subscribe => {
                    session.push_request(presence.clone(), contact);
                }
                SubscriptionType::Unsubscribe => {
                    session.push_withdrawal(presence.clone(), contact);
                }
                SubscriptionType::Subscribed | SubscriptionType::Unsubscribed => {
                    session.push_word(presence.clone());
                }
            }
        }
    }
}
