//! XEP-0060, 8.6: where a subscription needs their consent, the owners of a node are asked by a form,
//! and answer by it. Those who miss it find who waits in the list of subscriptions (8.8).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use whoelse_core::Node;
use whoelse_core::kit::{Flow, Passing};
use whoelse_core::paying::cost;
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_stream::token::token;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::{DataForm, DataFormType};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, Jid, Kind, Outgoing, Stanza, StanzaError, ns};

use super::access::{Affiliation, Subscription};
use super::change::{Nodes, Stop, change};
use super::found::Found;
use super::owner::{Owner, Visitor};
use super::service;
use crate::form::{self, begun, field};

/// The fields of the form.
const NODE: &str = "pubsub#node";
const SUBSCRIBER: &str = "pubsub#subscriber_jid";
const ALLOW: &str = "pubsub#allow";

impl Nodes<'_> {
    /// Asks whether somebody may subscribe: the account, or those who own a node of the service.
    pub async fn ask_owners(&mut self, found: &Found, who: &Jid) -> Result<(), Stop> {
        let owners = match self.owner.account() {
            Some(account) => vec![account.jid().clone()],
            None => {
                let audience = self.audience(found).await?;
                let owners =
                    audience.affiliations.iter().filter(|(_, it)| **it == Affiliation::Owner);
                owners.map(|(who, _)| who.clone()).collect()
            }
        };
        let question = question(self.owner.address().as_str(), &found.row.name, who);
        for owner in owners {
            self.ask(owner.into(), question.clone());
        }
        Ok(())
    }

    /// Does what an owner has answered; nothing, if nobody waits for it any more.
    async fn take_answer(&mut self, by: &Visitor, answer: &Answer) -> Result<(), Stop> {
        let found = self.owned(by, &answer.node).await?;
        if self.subscription(&found, &answer.subscriber).await? != Subscription::Pending {
            return Ok(());
        }
        let state = match answer.allows {
            true => Subscription::Subscribed,
            false => Subscription::None,
        };
        self.set_subscription(&found, &answer.subscriber, state).await?;
        self.tell_subscription(&found, &answer.subscriber, state).await
    }
}

/// The question, without `to`. It has a text, so it waits for whoever is not there.
fn question(from: &str, node: &str, who: &Jid) -> Outgoing {
    let form = begun("form", None, Some(ns::PUBSUB_AUTHORIZATION))
        .child(field(NODE, "text-single", "The node", node))
        .child(field(SUBSCRIBER, "jid-single", "Who", who.as_str()))
        .child(field(ALLOW, "boolean", "Let them subscribe?", "false"));
    Element::new("message")
        .attr("from", from)
        .attr("id", &token())
        .text_child("body", &format!("{who} wants to subscribe to {node}"))
        .child(form)
        .outgoing(Class::Message)
}

/// What an owner has answered.
struct Answer {
    node: String,
    subscriber: Jid,
    allows: bool,
}

impl Answer {
    /// Reads it. `None` if a message is none; `Some(None)` if the owner has not decided.
    fn read(message: &Stanza) -> Option<Option<Answer>> {
        if message.kind() != Kind::Message || message.type_() == Some("error") {
            return None;
        }
        let form: DataForm = message.payload(message.child("x", ns::DATA)?).ok()?;
        let type_ = form.type_.clone();
        let values = form::values(form);
        if values.get(form::FORM_TYPE) != Some(ns::PUBSUB_AUTHORIZATION) {
            return None;
        }
        let read = || {
            Some(Answer {
                node: values.get(NODE)?.to_owned(),
                subscriber: Jid::parse(values.get(SUBSCRIBER)?).ok()?,
                allows: matches!(values.get(ALLOW)?, "1" | "true"),
            })
        };
        match type_ {
            DataFormType::Submit => Some(read()),
            DataFormType::Cancel => Some(None),
            DataFormType::Form | DataFormType::Result_ => None,
        }
    }
}

/// The most answers of one account that wait to have their effect.
const WAITING: usize = 16;

/// In the slot of an account: what its owner has answered, by which session. Held for a look or a change.
#[derive(Default)]
struct Answers(Mutex<Waiting<(Arc<Session>, Answer)>>);

/// What waits, and whether somebody takes it.
struct Waiting<T> {
    /// Oldest first.
    next: VecDeque<T>,
    is_taken: bool,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting { next: VecDeque::new(), is_taken: false }
    }
}

impl<T> Waiting<T> {
    /// Puts one behind what waits. Returns whether whoever asks has to take what waits: nobody else does.
    fn put(&mut self, one: T) -> Result<bool, StanzaError> {
        if self.next.len() >= WAITING {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .with_text("too many answers at once; try again"));
        }
        self.next.push_back(one);
        Ok(!std::mem::replace(&mut self.is_taken, true))
    }

    /// Takes the next one; without any, nobody takes them any more.
    fn take(&mut self) -> Option<T> {
        let next = self.next.pop_front();
        self.is_taken = next.is_some();
        next
    }
}

/// Takes what the owner of an account answers to it.
pub(super) fn take_from_owner(passing: &mut Passing<'_>) -> Flow {
    let Some(account) = passing.account.filter(|it| it.jid().as_str() == passing.from.bare())
    else {
        return Flow::On;
    };
    let Some(answer) = Answer::read(passing.stanza) else { return Flow::On };
    let session = passing.from.resource().and_then(|resource| account.session(resource));
    let own = passing.node.here(account.jid());
    let (Some(own), Some(session), Some(answer)) = (own, session, answer) else {
        return Flow::Drop;
    };
    let answers = own.get_or_default::<Answers>();
    let put = answers.0.lock().put((session, answer));
    match put {
        Ok(true) => {
            let server = passing.node.clone();
            tokio::spawn(async move {
                let take = || answers.0.lock().take();
                while let Some((session, answer)) = take() {
                    decide(&server, Owner::Account(own.clone()), &session, answer).await;
                }
            });
            Flow::Drop
        }
        Ok(false) => Flow::Drop,
        Err(error) => Flow::Refuse(error),
    }
}

/// Takes what is said to the service and is no request: the answers of owners. Everything else comes
/// back, if it can.
pub(super) fn take(server: &Arc<Node>, origin: Origin, said: Addressed) -> Routed {
    let stanza = said.stanza();
    let is_to_service = said.to().local().is_none();
    if let Some(answer) = Answer::read(stanza).filter(|_| is_to_service) {
        let address = server.service_address(service::KEY);
        if let (Some(address), Some(answer), Origin::Session { session, .. }) =
            (address, answer, &origin)
        {
            let (server, session) = (server.clone(), session.clone());
            return Routed::Waits(Box::pin(async move {
                decide(&server, Owner::Service(address), &session, answer).await;
                origin.done();
            }));
        }
    } else if said.is_request() || comes_back(stanza) {
        let refused = StanzaError::new(Condition::ServiceUnavailable);
        return said.refuse(server, &origin, &refused);
    }
    origin.done();
    Routed::Done
}

fn comes_back(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Message && !matches!(stanza.type_(), Some("error" | "headline"))
}

/// Lets the answer of a session have its effect, which pays for it. Whoever is no owner has none, and is
/// not told.
async fn decide(server: &Arc<Node>, owner: Owner, session: &Session, answer: Answer) {
    server.work_turn(session, cost::CHANGE).await;
    let by = Visitor::seeing(owner.clone(), session.jid.clone().into(), None);
    let decided = change(server, &owner, 1, move |nodes| {
        Box::pin(async move { nodes.take_answer(&by, &answer).await })
    });
    let _ = decided.await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(kind: &str, form: &str, fields: &str) -> Option<Option<(String, bool)>> {
        let xml = format!(
            "<message{kind}><x xmlns='jabber:x:data' type='{form}'><field var='FORM_TYPE'>\
             <value>{}</value></field>{fields}</x></message>",
            ns::PUBSUB_AUTHORIZATION
        );
        let answer = Answer::read(&Stanza::parse(xml).unwrap())?;
        Some(answer.map(|it| (it.subscriber.to_string(), it.allows)))
    }

    #[test]
    fn so_many_answers_of_one_account_wait_and_one_takes_them() {
        let mut waiting = Waiting::default();

        assert!(waiting.put(0).unwrap());
        for n in 1..WAITING {
            assert!(!waiting.put(n).unwrap());
        }
        let refused = waiting.put(WAITING).unwrap_err();

        assert_eq!(refused.condition, Condition::ResourceConstraint);
        assert!(std::iter::from_fn(|| waiting.take()).eq(0..WAITING));
        assert!(waiting.put(0).unwrap());
    }

    #[test]
    fn only_a_whole_answer_of_an_owner_counts() {
        let fields = |who: &str, allow: &str| {
            format!(
                "<field var='{NODE}'><value>n</value></field>\
                 <field var='{SUBSCRIBER}'><value>{who}</value></field>\
                 <field var='{ALLOW}'><value>{allow}</value></field>"
            )
        };
        let bob = fields("bob@x", "true");
        assert_eq!(read("", "submit", &bob), Some(Some(("bob@x".to_owned(), true))));
        let denied = read("", "submit", &fields("bob@x", "0"));
        assert_eq!(denied, Some(Some(("bob@x".to_owned(), false))));
        assert_eq!(read("", "cancel", ""), Some(None));
        assert_eq!(read("", "submit", &fields("@", "1")), Some(None));
        assert_eq!(read("", "submit", ""), Some(None));
        assert_eq!(read("", "form", &bob), None);
        assert_eq!(read(" type='error'", "submit", &bob), None);
        let message = Stanza::parse("<message><body>x</body></message>").unwrap();
        assert!(Answer::read(&message).is_none());
    }
}
