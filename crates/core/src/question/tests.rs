//! Questions to clients: who answers them, and when nobody does.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::*;
use crate::route::Routed;
use crate::route::tests::{device, hears, node, says};
use crate::sessions::Hold;

type Asked = JoinHandle<Option<Result<Stanza, StanzaError>>>;

/// Asks a device something; returns the id of the question, as its client has read it.
async fn asked(node: &Arc<Node>, of: &Hold) -> (String, Asked) {
    let asking = asks(node, of).await;
    let heard = hears(node, of);
    // Perhaps with a request to acknowledge it.
    let (question, _) = heard.split_once("</iq>").unwrap();
    let question = Stanza::parse(format!("{question}</iq>")).unwrap();
    assert_eq!((question.type_(), question.from()), (Some("get"), Some("localhost")));
    assert_eq!(question.to(), Some(of.session.jid.as_str()));
    assert!(question.has("q", "urn:x"));
    (question.id().unwrap().to_owned(), asking)
}

async fn asks(node: &Arc<Node>, of: &Hold) -> Asked {
    let asking = tokio::spawn(node.ask(&of.session, Element::new("q").xmlns("urn:x")));
    tokio::task::yield_now().await;
    asking
}

fn answers(node: &Arc<Node>, hold: &Hold, type_: &str, id: &str) {
    let content = match type_ {
        "error" => "<error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        _ => "<a xmlns='urn:x'/>",
    };
    let answer = format!("<iq type='{type_}' id='{id}' to='localhost'>{content}</iq>");
    assert!(matches!(says(node, hold, &answer), Routed::Done));
}

async fn a_minute_passes(node: &Node) {
    let until = node.clock.steady().after(PATIENCE);
    while node.clock.steady() < until {
        node.clock.advance_to(until);
        tokio::task::yield_now().await;
    }
}

async fn alice() -> (Arc<Node>, Hold) {
    let node = node(&["alice"]).await;
    let alice = device(&node, "alice", "desk").await;
    drop(hears(&node, &alice));
    (node, alice)
}

#[tokio::test]
async fn a_client_is_asked_and_its_result_or_error_comes_back() {
    let (node, alice) = alice().await;

    let (id, asking) = asked(&node, &alice).await;
    answers(&node, &alice, "result", &id);
    let result = asking.await.unwrap().unwrap().unwrap();
    assert!(result.has("a", "urn:x"));

    let (id, asking) = asked(&node, &alice).await;
    answers(&node, &alice, "error", &id);
    let error = asking.await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.condition, Condition::Gone);
    assert_eq!(hears(&node, &alice), "", "an answer is not answered");
}

#[tokio::test]
async fn only_the_session_that_was_asked_answers_and_only_once() {
    let (node, alice) = alice().await;
    let phone = device(&node, "alice", "phone").await;
    drop(hears(&node, &alice));

    let (id, asking) = asked(&node, &alice).await;
    answers(&node, &phone, "error", &id);
    answers(&node, &alice, "result", "another");
    tokio::task::yield_now().await;
    assert!(!asking.is_finished());
    answers(&node, &alice, "result", &id);
    answers(&node, &alice, "error", &id);

    assert!(asking.await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_a_minute_is_no_answer() {
    let (node, alice) = alice().await;

    let (id, asking) = asked(&node, &alice).await;
    a_minute_passes(&node).await;
    assert!(asking.await.unwrap().is_none());
    answers(&node, &alice, "result", &id);

    let (id, asking) = asked(&node, &alice).await;
    answers(&node, &alice, "result", &id);
    assert!(asking.await.unwrap().is_some(), "nothing is left open");
}

#[tokio::test]
async fn four_questions_are_open_at_once_and_a_fifth_is_not_asked() {
    let (node, alice) = alice().await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(asked(&node, &alice).await);
    }

    assert!(asks(&node, &alice).await.await.unwrap().is_none());
    assert_eq!(hears(&node, &alice), "");

    let (id, asking) = open.pop().unwrap();
    answers(&node, &alice, "result", &id);
    assert!(asking.await.unwrap().is_some());
    // Whoever gives up takes the question back.
    let (_, asking) = open.pop().unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    for _ in 0..2 {
        open.push(asked(&node, &alice).await);
    }
}

#[tokio::test]
async fn with_the_session_its_questions_end() {
    let (node, alice) = alice().await;

    let (_, asking) = asked(&node, &alice).await;
    node.end(&alice.session).await;

    assert!(asking.await.unwrap().is_none());
    assert!(asks(&node, &alice).await.await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_without_a_connection_keeps_its_questions_until_it_is_resumed() {
    let (node, alice) = alice().await;
    alice.session.enable(Some("token".to_owned()));

    let (id, asking) = asked(&node, &alice).await;
    node.connection_lost(&alice).await;
    a_minute_passes(&node).await;
    assert!(!asking.is_finished());
    let principal =
        crate::principal::Principal::of(alice.session.own(), crate::principal::Rights::Own);
    let (epoch, ..) = alice.session.resume(&principal, "token", 0).unwrap();
    let alice = Hold { epoch, ..alice };
    assert!(hears(&node, &alice).contains(&id), "it is sent again");
    answers(&node, &alice, "result", &id);

    assert!(asking.await.unwrap().is_some());
}

/// What somebody asks through a service.
const REQUEST: &str = "<iq xmlns='jabber:client' type='set' id='mine' to='lunch@there/Bob' \
    xml:lang='de'><drop/><q xmlns='urn:x'>1</q></iq>";

/// Passes a request on to a device; returns the id by which its client hears it, and what else it does.
async fn passed(
    node: &Arc<Node>,
    of: &Hold,
    account: i64,
) -> Result<(String, JoinHandle<Result<Stanza, Unanswered>>), Unanswered> {
    let stanza = Stanza::parse(REQUEST).unwrap();
    let sender = Sender { account, is_stranger: true };
    let (lang, from) = (Some("en"), "lunch@there/Ali");
    let request = PassedOn { stanza: &stanza, lang, strip: &[0], from, sender };
    let asking = tokio::spawn(node.pass_on(&of.session, &request));
    tokio::task::yield_now().await;
    let heard = hears(node, of);
    let Some((question, _)) = heard.split_once("</iq>") else {
        return Err(asking.await.unwrap().unwrap_err());
    };
    let question = Stanza::parse(format!("{question}</iq>")).unwrap();
    assert_eq!((question.type_(), question.lang()), (Some("set"), Some("de")));
    assert_eq!(question.from(), Some("lunch@there/Ali"));
    assert_eq!(question.to(), Some(of.session.jid.as_str()));
    assert_eq!(question.children().len(), 1);
    let id = question.id().unwrap().to_owned();
    assert_ne!(id, "mine");
    Ok((id, asking))
}

#[tokio::test]
async fn a_request_is_passed_on_by_another_id_and_its_answer_comes_back_by_the_askers() {
    let (node, alice) = alice().await;

    let (id, asking) = passed(&node, &alice, 7).await.unwrap();
    answers(&node, &alice, "result", "mine");
    tokio::task::yield_now().await;
    assert!(!asking.is_finished());
    answers(&node, &alice, "error", &id);

    let answer = asking.await.unwrap().unwrap();
    let request = Stanza::parse(REQUEST).unwrap();
    let answer = Stanza::parse(answer_to(&request, &answer).unwrap().bytes).unwrap();
    assert_eq!((answer.type_(), answer.id()), (Some("error"), Some("mine")));
    assert_eq!((answer.from(), answer.to()), (Some("lunch@there/Bob"), None));
    assert!(answer.has("error", "jabber:client"));
}

#[tokio::test]
async fn what_is_passed_on_and_not_answered_says_why() {
    let (node, alice) = alice().await;
    let (_, asking) = passed(&node, &alice, 7).await.unwrap();
    a_minute_passes(&node).await;
    assert_eq!(asking.await.unwrap().unwrap_err(), Unanswered::Silent);

    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(passed(&node, &alice, 7).await.unwrap());
    }
    assert_eq!(passed(&node, &alice, 7).await.unwrap_err(), Unanswered::Busy);
    assert!(passed(&node, &alice, 8).await.is_ok(), "another one has a place");

    let (_, asking) = open.pop().unwrap();
    node.end(&alice.session).await;
    assert_eq!(asking.await.unwrap().unwrap_err(), Unanswered::Gone);
    let stanza = Stanza::parse(REQUEST).unwrap();
    let sender = Sender { account: 7, is_stranger: true };
    let request = PassedOn { stanza: &stanza, lang: None, strip: &[], from: "a@b/c", sender };
    assert_eq!(node.pass_on(&alice.session, &request).await.unwrap_err(), Unanswered::Gone);
}
