//! Requests that the server answers: for itself and for the asker, with the rights of a session, or
//! on behalf of an account, for anybody who may see it.

use std::sync::Arc;

use tokio::task::JoinHandle;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Class, Condition, Jid, Stanza, StanzaError};

use super::in_flight::{Answer, InFlight};
use super::{Origin, Routed, answered, finish};
use crate::account::Account;
use crate::clock::Steady;
use crate::kit::{self, BoxFuture, Cx, Handler, Pages, Reply, SessionCx, Target, Verb};
use crate::lasting::FAULT_OF_OURS;
use crate::node::Node;
use crate::session::{Session, Ticket};

/// Answers a request of a session that needs no other account: to the server, to its own account,
/// or to an address that shows it nothing.
pub(super) fn of_session(
    node: &Arc<Node>,
    (session, ticket): (Arc<Session>, Ticket),
    stanza: Stanza,
    target: Target,
) -> Routed {
    let cx = SessionCx::new(node.clone(), (session.clone(), ticket), target);
    let work = handler(node, &stanza, target).map(|(handler, child)| match handler {
        Handler::Anybody(handler) => handler(cx.into(), stanza.clone(), child),
        Handler::Session(handler) => handler(cx, stanza.clone(), child),
    });
    let Some(work) = work else {
        let origin = Origin::Session { session, ticket };
        let refused = StanzaError::new(Condition::ServiceUnavailable);
        return super::refused(node, &origin, &stanza, &refused);
    };
    let (node, until) = (node.clone(), deadline(node));
    let working = Working::begin(work);
    Routed::Waits(Box::pin(async move {
        let reply = working.result(&node, &session.jid, until).await;
        give(&node, (&session, ticket), &stanza, reply, until).await;
    }))
}

/// Answers a request on behalf of an account that the asker may see.
///
/// A handler that needs the rights of a session answers at the asker's own server.
pub(super) fn of_account(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
) -> Routed {
    let work = match handler(node, &flight.stanza, Target::Other) {
        Some((Handler::Anybody(handler), child)) => {
            let asks = (flight.from.clone(), flight.sender);
            let cx = Cx::new(node.clone(), asks, Target::Other, account);
            handler(cx, flight.stanza.clone(), child)
        }
        Some((Handler::Session(_), _)) => {
            return answered(node, origin, &flight, Answer::Asked(Target::Other));
        }
        None => {
            let refused = StanzaError::new(Condition::ServiceUnavailable);
            return answered(node, origin, &flight, Answer::Refused(refused));
        }
    };
    by(node, flight, origin, work)
}

/// What answers a request to an account as if a stranger had sent it. `None`: nothing does.
pub(super) fn for_stranger(
    node: &Arc<Node>,
    from: Jid,
    stanza: &Stanza,
) -> Option<BoxFuture<'static, kit::Answer>> {
    match handler(node, stanza, Target::Hidden)? {
        (Handler::Anybody(handler), child) => {
            Some(handler(Cx::of_hidden(node.clone(), from), stanza.clone(), child))
        }
        (Handler::Session(_), _) => None,
    }
}

/// Answers a request by what this work gives, at the latest when the deadline has come.
pub(super) fn by(
    node: &Arc<Node>,
    flight: InFlight,
    origin: Origin,
    work: BoxFuture<'static, kit::Answer>,
) -> Routed {
    let (node, until) = (node.clone(), deadline(node));
    let working = Working::begin(work);
    Routed::Waits(Box::pin(async move {
        let reply = working.result(&node, &flight.from, until).await;
        finish(answered(&node, origin, &flight, Answer::Replied(reply))).await;
    }))
}

/// Gives a session the answer to its request.
pub(super) fn reply(
    node: &Arc<Node>,
    (session, ticket): (Arc<Session>, Ticket),
    stanza: Stanza,
    reply: kit::Answer,
) -> Routed {
    let (node, until) = (node.clone(), deadline(node));
    Routed::Waits(Box::pin(async move {
        give(&node, (&session, ticket), &stanza, reply, until).await;
    }))
}

fn deadline(node: &Node) -> Steady {
    node.clock.steady().after(node.settings().limits.request)
}

/// Finds the payload of a request; features say what may stand beside it.
pub(super) fn payloads<'a>(node: &'a Node, stanza: &'a Stanza) -> impl Iterator<Item = &'a Child> {
    stanza.children().iter().filter(|child| !node.wiring.may_stand_beside(child))
}

/// Finds the handler of this request at such an address, and its payload.
fn handler<'a>(node: &'a Node, stanza: &'a Stanza, target: Target) -> Option<(&'a Handler, Child)> {
    let verb = if stanza.type_() == Some("get") { Verb::Get } else { Verb::Set };
    let child = payloads(node, stanza).next()?;
    let route = node.wiring.request(verb, child).filter(|route| target.is_among(route.at))?;
    Some((&route.handler, child.clone()))
}

/// A running handler. It runs on a task of its own: a lost connection does not cancel it, and a
/// panic in it becomes an error answer.
struct Working(JoinHandle<kit::Answer>);

impl Working {
    fn begin(work: BoxFuture<'static, kit::Answer>) -> Working {
        Working(tokio::spawn(work))
    }

    /// Waits for its answer, until the deadline.
    async fn result(mut self, node: &Node, asker: &Jid, until: Steady) -> kit::Answer {
        tokio::select! {
            answer = &mut self.0 => answer.unwrap_or_else(|ended| {
                // A runtime that shuts down ends its tasks as well; that is no panic.
                if ended.is_panic() {
                    node.failing("request_failed", Some(&asker.bare()), &FAULT_OF_OURS);
                }
                Err(StanzaError::new(Condition::InternalServerError))
            }),
            () = node.clock.sleep_until(until) => {
                self.0.abort();
                Err(StanzaError::new(Condition::RemoteServerTimeout))
            }
        }
    }
}

/// Gives a session the answer to its request, as far as the session takes it before the deadline.
async fn give(
    node: &Node,
    (session, ticket): (&Session, Ticket),
    stanza: &Stanza,
    reply: kit::Answer,
    until: Steady,
) {
    let mut class = Class::IqAnswer;
    let result = match reply {
        Ok(Reply::Sent) => return session.done(ticket),
        Ok(Reply::Result(payload)) => Ok(payload),
        Ok(Reply::Pages(pages)) => tokio::select! {
            result = pull(session, pages) => result.map(|(payload, ends_page)| {
                class = ends_page;
                payload
            }),
            () = node.clock.sleep_until(until) => {
                Err(StanzaError::new(Condition::RemoteServerTimeout))
            }
        },
        Err(error) => Err(error),
    };
    match result {
        Ok(payload) => {
            node.pay_for_answer(session, payload.len());
            session.push(
                Element::new("iq")
                    .attr("type", "result")
                    .attr_opt("id", stanza.id())
                    .attr_opt("from", stanza.to())
                    .attr("to", session.jid.as_str())
                    .raw(&payload)
                    .outgoing(class),
            );
        }
        Err(error) => session.answer_error(stanza, &error),
    }
    session.done(ticket);
}

/// Gives a session what comes before a result, as fast as it reads. Returns the result and its class.
async fn pull(session: &Session, pages: Pages) -> Result<(Vec<u8>, Class), StanzaError> {
    for stanza in pages.before {
        if !session.room().await {
            return Err(StanzaError::new(Condition::RemoteServerTimeout));
        }
        session.push(stanza);
    }
    let class = pages.shows.map_or(Class::IqAnswer, |shows| session.archive_page(shows));
    Ok((pages.result, class))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::network::Network;
    use crate::route::tests::{device, jid, node};

    #[tokio::test]
    async fn who_asks_pays_for_the_answer() {
        let node = node(&["bob"]).await;
        let hold = device(&node, "bob", "desk").await;
        let (session, here) = (&hold.session, Network::of(std::net::Ipv4Addr::LOCALHOST.into()));
        let payer = node.payer(session.account.as_ref().unwrap(), here);
        session.note_peer("", here, Some(payer.clone()));
        let asked = Stanza::parse("<iq type='get' id='1'><q xmlns='urn:q'/></iq>").unwrap();
        let until = node.clock.steady().after(Duration::from_secs(60));
        let ticket = session.received(hold.epoch).unwrap().unwrap();

        let long = Ok(Reply::Result(vec![b' '; 800_000]));
        give(&node, (session, ticket), &asked, long, until).await;

        let at_once = node.settings().limits.bytes_per_second * 128;
        assert_eq!(node.pay_for_work(&payer, at_once - 100_000), None);
        assert!(node.pay_for_work(&payer, 1).is_some(), "an eighth of it is paid");
    }

    #[tokio::test]
    async fn a_handler_that_the_runtime_ends_is_no_fault_and_one_that_panics_is() {
        let node = node(&["bob"]).await;
        let (bob, later) = (jid("bob"), node.clock.steady().after(Duration::from_secs(60)));
        let condition = |answer: kit::Answer| answer.err().unwrap().condition;

        let ended = Working::begin(Box::pin(std::future::pending()));
        ended.0.abort();
        let answer = ended.result(&node, &bob, later).await;
        assert_eq!(condition(answer), Condition::InternalServerError);
        assert_eq!(node.lasting.quiet(Steady::NEVER), []);

        let panicking = Working::begin(Box::pin(async { panic!("as the test wants it") }));
        let answer = panicking.result(&node, &bob, later).await;
        assert_eq!(condition(answer), Condition::InternalServerError);
        let faults = node.lasting.quiet(Steady::NEVER);
        assert_eq!(faults.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["request_failed"]);
    }
}
