//! XEP-0490, Message Displayed Synchronization: up to where a person has seen a chat is an item of the
//! node `urn:xmpp:mds:displayed:0` of their account, of which their other devices hear.
//!
//! The node is one like others (`pubsub`). What is here is the server's assistance (section 4.4): a
//! client says it in the same message that tells the other side, and the server takes it out of that
//! and publishes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{Feature, Flow, Passing, When};
use whoelse_core::paying::cost;
use whoelse_core::session::Session;
use whoelse_xmpp::{Condition, Kind, StanzaError, ns};

use crate::pubsub::{
    AccessModel, Draft, LONGEST_NAME, Owner, Publication, Visitor, change, fits_an_item,
};

/// XEP-0490.
pub const FEATURE: Feature = Feature {
    name: "displayed",
    xeps: &[(490, "1.0.1")],
    wire: |w| {
        w.account_disco(ns::MDS_SERVER_ASSIST);
        w.outgoing(When::Mark, assist);
    },
    ..Feature::PLAIN
};

/// Chats of one account whose item waits to be published.
const WAITING: usize = 100;
/// The rows of one publication: the node and the item.
const ROWS: u64 = 3;

/// In the slot of an account: what waits to be published, by the chat. Held for a look or a change.
#[derive(Default)]
struct Displayed(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// The newest payload of each.
    items: BTreeMap<String, Vec<u8>>,
    /// Whether somebody publishes them.
    is_published: bool,
}

impl Displayed {
    /// Takes what is said of a chat, in place of what was said before. Returns whether the caller is to
    /// publish it: nobody else does.
    fn put(&self, chat: &str, payload: Vec<u8>) -> Result<bool, StanzaError> {
        let waiting = &mut *self.0.lock();
        if waiting.items.len() >= WAITING && !waiting.items.contains_key(chat) {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .with_text("too many chats were displayed at once; try again"));
        }
        waiting.items.insert(chat.to_owned(), payload);
        Ok(!std::mem::replace(&mut waiting.is_published, true))
    }

    /// Takes one that is to be published; without any nobody publishes any more.
    fn take(&self) -> Option<(String, Vec<u8>)> {
        let waiting = &mut *self.0.lock();
        let next = waiting.items.pop_first();
        waiting.is_published = next.is_some();
        next
    }
}

/// Takes what a message says of its chat out of it, and has it published.
fn assist(passing: &mut Passing<'_>) -> Flow {
    let stanza = passing.stanza;
    if stanza.kind() != Kind::Message {
        return Flow::On;
    }
    let children = stanza.children().iter().enumerate();
    let found = children.filter(|(_, child)| child.is("displayed", ns::MDS_DISPLAYED));
    let found: Vec<_> = found.collect();
    passing.strip.extend(found.iter().map(|(place, _)| *place));
    // The id of the item is what stands in the message, whatever it is.
    let (Some((_, displayed)), Some(chat)) = (found.last(), stanza.to()) else { return Flow::On };
    if stanza.type_() == Some("error") || chat.len() > LONGEST_NAME {
        return Flow::On;
    }
    // One element is not longer than the stanza around it.
    let payload = stanza.alone(std::slice::from_ref(*displayed), usize::MAX);
    let payload = payload.filter(|payload| fits_an_item(passing.node, payload.len()));
    let account = passing.node.here(&passing.from.to_bare());
    let (Some(payload), Some(account)) = (payload, account) else { return Flow::On };
    let resource = passing.from.resource();
    let Some(session) = resource.and_then(|it| account.session(it)) else { return Flow::On };
    let displayed = account.get_or_default::<Displayed>();
    match displayed.put(chat, payload) {
        Ok(true) => {
            let node = passing.node.clone();
            tokio::spawn(async move {
                while let Some((chat, payload)) = displayed.take() {
                    publish(&node, &account, &session, (chat, payload)).await;
                }
            });
            Flow::On
        }
        Ok(false) => Flow::On,
        Err(error) => Flow::Refuse(error),
    }
}

/// Publishes where the owner alone sees it. Nobody waits for an answer: what is refused, because there
/// is no more room for items, is not published.
async fn publish(
    node: &Arc<Node>,
    account: &Arc<Account>,
    session: &Session,
    (chat, payload): (String, Vec<u8>),
) {
    node.work_turn(session, cost::CHANGE).await;
    let owner = Owner::Account(account.clone());
    let by = Visitor::seeing(owner.clone(), session.jid.clone().into(), Some(account.id));
    let at = node.clock.now().0;
    let published = change(node, &owner, ROWS, move |nodes| {
        Box::pin(async move {
            let found = nodes.find(ns::MDS_DISPLAYED).await?;
            if found.is_some_and(|found| found.config.access_model != AccessModel::Whitelist) {
                return Ok(None);
            }
            let item = Some(Draft { id: Some(chat), payload });
            let node = ns::MDS_DISPLAYED.to_owned();
            nodes.publish(&by, Publication { node, item, options: None }, at).await
        })
    });
    // The keeper has logged what has failed.
    let _ = published.await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_each_chat_the_newest_waits_and_of_no_more_chats_than_have_room() {
        let displayed = Displayed::default();

        assert!(displayed.put("0", b"old".to_vec()).unwrap());
        for chat in 0..WAITING {
            assert!(!displayed.put(&chat.to_string(), chat.to_string().into_bytes()).unwrap());
        }
        let refused = displayed.put("one more", Vec::new()).unwrap_err();
        assert!(!displayed.put("7", b"new".to_vec()).unwrap());

        assert_eq!(refused.condition, Condition::ResourceConstraint);
        let waiting: BTreeMap<_, _> = std::iter::from_fn(|| displayed.take()).collect();
        assert_eq!(waiting.len(), WAITING);
        assert_eq!((&waiting["0"][..], &waiting["7"][..]), (&b"0"[..], &b"new"[..]));
        assert!(displayed.put("0", Vec::new()).unwrap(), "nobody publishes any more");
    }
}
