//! RFC 6121, 2.3 to 2.5 and A.2: what the owner of a roster changes in it, and what they say to a
//! contact. This half sees the owner's account and the contact's address; [`super::inbound`] is the
//! half of the contact's account.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_store::{Error, Tx};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use super::entry::Entry;
use super::inbound::{Inbound, Said, plain};
use super::{Contact, State, SubscriptionType, Way, step};
use crate::account::Account;
use crate::keeper::Touches;
use crate::keeper::chain::Done;
use crate::node::Node;

/// A change that an account wishes to make about one contact.
pub enum Wish {
    /// Sends this subscription presence to the contact, as it was sent, without addresses.
    Say(SubscriptionType, Bytes),
    /// RFC 6121, 2.3 and 2.4: adds the contact, or sets its name and groups.
    Set {
        /// The name; empty: none.
        name: String,
        /// The groups.
        groups: Vec<String>,
    },
    /// RFC 6121, 2.5: removes the contact, and with it both subscriptions.
    Remove,
}

/// Changes the relation between `account` and `contact`. A contact of this server takes its half in
/// the same transaction, so the two rosters never disagree.
///
/// Refused: `policy-violation` when a request is too long, `resource-constraint` when the roster is
/// full, `item-not-found` when there is nothing to remove. The contact's state is never a reason: the
/// asker cannot tell whether there is such an account. Returns when the change is on disk and everybody has been told.
pub async fn change(
    node: &Arc<Node>,
    account: &Arc<Account>,
    contact: &BareJid,
    wish: Wish,
) -> Result<(), StanzaError> {
    if let Wish::Say(SubscriptionType::Subscribe, request) = &wish
        && request.len() > node.settings().limits.roster_request_bytes
    {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .with_text("a request to subscribe must be shorter"));
    }
    // Loaded here, where only its asker waits, and held until all is done: so the keeper finds it
    // in memory.
    let held = load(node, contact).await?;
    let outbound = Outbound {
        node: node.clone(),
        account: account.clone(),
        contact: contact.clone(),
        exists: held.is_some(),
        wish,
    };
    let changed = node.keeper.change(Touches::AtMost(8), move |tx| {
        Box::pin(async move {
            match outbound.run(tx).await? {
                Ok(done) => Ok((Ok(()), done.finish(tx).await?)),
                Err(refused) => Ok((Err(refused), Vec::new())),
            }
        })
    });
    changed.await.unwrap_or_else(|error| {
        Err(StanzaError::new(match error.is_full() {
            true => Condition::ResourceConstraint,
            false => Condition::InternalServerError,
        }))
    })
}

/// The contact, if it is an account of this server.
async fn load(node: &Node, contact: &BareJid) -> Result<Option<Arc<Account>>, StanzaError> {
    if !node.is_local(contact) {
        return Ok(None);
    }
    node.look_up(contact).await
}

/// The owner's half of a change.
struct Outbound {
    node: Arc<Node>,
    account: Arc<Account>,
    contact: BareJid,
    /// Whether the contact is an account of this server.
    exists: bool,
    wish: Wish,
}

impl Outbound {
    async fn run(self, tx: &mut Tx) -> Result<Result<Done, StanzaError>, Error> {
        let Outbound { node, account, contact, exists, wish } = self;
        // The account can have been removed while this waited for its turn.
        if account.is_removed() {
            return Ok(Err(StanzaError::new(Condition::NotAuthorized)));
        }
        let mut entry = Entry::read(&node, tx, account, contact).await?;
        let decided = decide(&mut entry, wish);
        let checked = decided.and_then(|said| entry.check(&node.settings().limits).map(|()| said));
        let said = match checked {
            Ok(said) => said,
            Err(refused) => return Ok(Err(refused)),
        };
        entry.write(tx, node.clock.now().0).await?;
        let to = entry.contact.clone();
        let next = (!said.is_empty() && node.is_local(&to)).then(|| {
            // A contact whom the owner has blocked is told nothing; the change takes effect all the
            // same.
            let heard = node.wiring.shows(&entry.owner, &to);
            let from = entry.owner.jid().clone();
            Inbound::boxed(node.clone(), to, from, said, heard)
        });
        Ok(Ok(entry.done(exists, next, |_| {})))
    }
}

/// Returns what the wish changes for the owner, and what is said to the contact.
fn decide(entry: &mut Entry, wish: Wish) -> Result<Said, StanzaError> {
    let mut said = Said::new();
    match wish {
        Wish::Say(type_, presence) => say(entry, &mut said, type_, presence),
        Wish::Set { name, groups } => {
            let contact = &mut entry.after;
            (contact.listed, contact.name, contact.groups) = (true, name, groups);
        }
        Wish::Remove => {
            if !entry.before.listed {
                return Err(StanzaError::new(Condition::ItemNotFound));
            }
            // RFC 6121, 2.5.2.
            let State { to, from, ask, .. } = entry.before.state;
            for (holds, type_) in
                [(to || ask, SubscriptionType::Unsubscribe), (from, SubscriptionType::Unsubscribed)]
            {
                if holds {
                    say(entry, &mut said, type_, plain(type_));
                }
            }
            // A request that waits for an answer keeps waiting.
            let asked = entry.after.state.asked;
            entry.after = Contact {
                state: State { asked, ..State::default() },
                request: std::mem::take(&mut entry.after.request),
                ..Contact::default()
            };
        }
    }
    Ok(said)
}

fn say(entry: &mut Entry, said: &mut Said, type_: SubscriptionType, presence: Bytes) {
    let taken = step(entry.after.state, Way::Out, type_);
    entry.take(taken.state, &Bytes::new());
    if matches!(type_, SubscriptionType::Subscribed | SubscriptionType::Unsubscribed) {
        // It is said of who has the name now.
        entry.after.approved_nobody = false;
    }
    if taken.passes {
        said.push((type_, presence));
    }
}
