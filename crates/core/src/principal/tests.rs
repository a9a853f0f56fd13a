//! Tests of what can happen to an account between a proof and the session: the session is refused.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use whoelse_store::{Location, Store};
use whoelse_stream::c2s::LookupAnswer;
use whoelse_stream::sasl::{Condition as SaslCondition, Mechanism, Refusal};
use whoelse_stream::sasl2::Bind;
use whoelse_stream::secret::Password;
use whoelse_xmpp::Condition;

use super::*;
use crate::account::Account;
use crate::clock::{Clock, Time};
use crate::login_attempt::LoginAttempt;
use crate::network::Network;
use crate::node::Node;
use crate::session::Session;
use crate::sessions::Hold;
use crate::settings::{Sessions, Settings};

fn network() -> Network {
    Network::of([192, 0, 2, 1].into())
}

fn bob() -> BareJid {
    BareJid::parse("bob@localhost").unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

async fn node_with(settings: Settings) -> Arc<Node> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let node = Node::start(settings, clock, store, &[], Some("localhost")).await.unwrap();
    node.create_account(&bob(), password("pencil")).await.unwrap();
    node
}

async fn node() -> Arc<Node> {
    node_with(Settings::default()).await
}

async fn account(node: &Node) -> Arc<Account> {
    node.account(&bob()).await.unwrap().unwrap()
}

/// Bob's verifier is looked up, and he is challenged.
async fn challenged(node: &Arc<Node>) -> LoginAttempt {
    let mut attempt = LoginAttempt::default();
    let scram = Mechanism::from_name("SCRAM-SHA-256").unwrap();
    let answer = node.lookup(&mut attempt, &bob(), scram, network()).await;
    let found = matches!(answer, LookupAnswer::Verifier(_) | LookupAnswer::Changed { .. });
    assert!(found, "{answer:?}");
    attempt
}

/// Sends the right proof.
async fn proved(node: &Arc<Node>, attempt: LoginAttempt) -> Result<Principal, Refusal> {
    node.login_succeeded(attempt, None, Rights::Own, network()).await
}

async fn logged_in(node: &Arc<Node>) -> Principal {
    proved(node, challenged(node).await).await.unwrap()
}

/// Makes a session that can be resumed, by the token.
async fn resumable(node: &Arc<Node>, principal: &Principal) -> (Hold, String) {
    let hold = node.bind(principal, Some("desk")).await.unwrap();
    let token = node.enable(&hold.session, true).unwrap().unwrap();
    node.connection_lost(&hold).await;
    (hold, token)
}

/// What happens between the proof and the session.
#[derive(Debug, Clone, Copy)]
enum Between {
    Removed,
    MadeAnew,
    NewPassword,
}

const ALL: [Between; 3] = [Between::Removed, Between::MadeAnew, Between::NewPassword];

async fn happens(node: &Arc<Node>, between: Between) {
    let old = account(node).await;
    match between {
        Between::NewPassword => node.set_password(&old, password("eraser"), None).await.unwrap(),
        Between::Removed => node.remove_account(&old, None, || {}).await.unwrap(),
        Between::MadeAnew => {
            node.remove_account(&old, None, || {}).await.unwrap();
            node.create_account(&bob(), password("eraser")).await.unwrap();
        }
    }
}

async fn nobody_is_in(node: &Arc<Node>, between: Between) {
    if let Some(account) = node.account(&bob()).await.unwrap() {
        assert_eq!(account.session_count(), 0, "{between:?}");
    }
}

#[tokio::test]
async fn an_exchange_is_finished_with_the_account_and_the_password_it_began_with() {
    for between in ALL {
        let node = node().await;
        let attempt = challenged(&node).await;

        happens(&node, between).await;

        let refusal = proved(&node, attempt).await.unwrap_err();
        assert_eq!(refusal.condition, SaslCondition::NotAuthorized, "{between:?}");
        nobody_is_in(&node, between).await;
    }
}

#[tokio::test]
async fn a_login_without_a_session_yet_gets_none_of_another_account_or_by_an_old_password() {
    for between in ALL {
        let node = node().await;
        let principal = logged_in(&node).await;

        happens(&node, between).await;

        let refused = node.bind(&principal, Some("desk")).await.unwrap_err();
        assert_eq!(refused.condition, Condition::NotAuthorized, "{between:?}");
        let inline = node.bind_inline(&principal, &Bind::default()).await;
        assert_eq!(inline.unwrap_err().condition, Condition::NotAuthorized, "{between:?}");
        nobody_is_in(&node, between).await;
    }
}

/// The check is repeated under the lock: what happens while a login waits for its place counts.
#[tokio::test]
async fn a_login_that_waits_for_its_place_gets_none_by_an_old_password() {
    for between in ALL {
        let node = node_with(Settings { sessions: Sessions::One, ..Settings::default() }).await;
        let first = logged_in(&node).await;
        let first = node.bind(&first, Some("desk")).await.unwrap();
        let principal = logged_in(&node).await;
        let mut second = Box::pin(node.bind(&principal, Some("sofa")));
        // The login asks the first session for a sign of life, which does not come.
        tokio::select! {
            biased;
            bound = &mut second => panic!("{bound:?}"),
            () = tokio::task::yield_now() => {}
        }

        happens(&node, between).await;
        node.end(&first.session).await;
        node.clock.advance_to(node.clock.steady().after(Duration::from_secs(60)));

        let refused = second.await.unwrap_err();
        assert_eq!(refused.condition, Condition::NotAuthorized, "{between:?}");
        nobody_is_in(&node, between).await;
    }
}

#[tokio::test]
async fn nobody_goes_on_with_a_session_of_another_account_or_of_an_old_password() {
    for between in ALL {
        let node = node().await;
        let old = logged_in(&node).await;
        let (_, token) = resumable(&node, &old).await;

        happens(&node, between).await;

        let (_, refused) = node.resume(&old, &token, 0).await.unwrap_err();
        assert_eq!(refused.condition, Condition::ItemNotFound, "{between:?}");
        if node.account(&bob()).await.unwrap().is_some() {
            let new = logged_in(&node).await;
            let (_, refused) = node.resume(&new, &token, 0).await.unwrap_err();
            assert_eq!(refused.condition, Condition::ItemNotFound, "{between:?}");
        }
    }
}

#[tokio::test]
async fn a_session_begun_by_an_old_password_is_nothing_to_go_on_with_whenever_it_asked_for_that() {
    let node = node().await;
    let old = logged_in(&node).await;
    let hold = node.bind(&old, Some("desk")).await.unwrap();

    happens(&node, Between::NewPassword).await;
    // The session still exists, and enables stream management only now.
    let token = node.enable(&hold.session, true).unwrap().unwrap();
    node.connection_lost(&hold).await;

    for principal in [old, logged_in(&node).await] {
        let (_, refused) = node.resume(&principal, &token, 0).await.unwrap_err();
        assert_eq!(refused.condition, Condition::ItemNotFound);
    }
}

#[tokio::test]
async fn a_new_password_ends_every_session_but_the_one_that_set_it() {
    let node = node_with(Settings { sessions: Sessions::Many, ..Settings::default() }).await;
    let by_password = logged_in(&node).await;
    let own = node.bind(&by_password, Some("own")).await.unwrap();
    let attached = node.bind(&by_password, Some("attached")).await.unwrap();
    let (detached, _) = resumable(&node, &by_password).await;
    let vouched = Principal::of(&*account(&node).await, Rights::Operator);
    let vouched = node.bind(&vouched, Some("admin")).await.unwrap();

    let bob = account(&node).await;
    node.set_password(&bob, password("eraser"), Some(&own.session)).await.unwrap();
    while !detached.session.is_gone() {
        tokio::task::yield_now().await;
    }

    let end = attached.session.ordered_end().unwrap();
    assert_eq!(end.app, Some(("password-changed", whoelse_xmpp::ns::WHOELSE_ERRORS)));
    assert!(own.session.ordered_end().is_none() && vouched.session.ordered_end().is_none());
    // It is of the new password now.
    let token = node.enable(&own.session, true).unwrap().unwrap();
    node.connection_lost(&own).await;
    assert!(node.resume(&by_password, &token, 0).await.is_err());
    node.resume(&logged_in(&node).await, &token, 0).await.unwrap();
}

#[tokio::test]
async fn who_was_overtaken_by_a_new_password_changes_and_removes_nothing() {
    let node = node().await;
    let by_password = logged_in(&node).await;
    let slow = node.bind(&by_password, Some("slow")).await.unwrap();
    happens(&node, Between::NewPassword).await;
    let bob = account(&node).await;

    let changed = node.set_password(&bob, password("thief"), Some(&slow.session)).await;
    let removed = node.remove_account(&bob, Some(&slow.session), || {}).await;

    for refused in [changed, removed] {
        assert_eq!(refused.unwrap_err().condition, Condition::NotAuthorized);
    }
    assert!(!bob.is_removed());
}

#[tokio::test]
async fn a_session_is_gone_on_with_by_whoever_proves_the_same_password_again() {
    let node = node().await;
    let (_, token) = resumable(&node, &logged_in(&node).await).await;

    let (hold, _) = node.resume(&logged_in(&node).await, &token, 0).await.unwrap();

    assert_eq!(hold.session.resource(), "desk");
}

#[tokio::test]
async fn a_password_that_is_newer_than_what_is_known_here_is_good() {
    let node = node().await;
    let account = account(&node).await;
    // This is the state between the commit of a new password and what follows it.
    let old = account.proved();
    let new = Proved { generation: old.generation + 1, ..old.clone() };

    assert!(account.is_as(&new));

    assert!(!account.is_as(&old), "and from then on the old one is not");
    assert!(account.is_as(&new));
}

#[tokio::test]
async fn who_failed_to_prove_anything_is_nobody() {
    let node = node().await;
    let mut attempt = challenged(&node).await;
    // The next name belongs to nobody, and its verifier is a fake.
    let eve = BareJid::parse("eve@localhost").unwrap();
    let answer = node.lookup(&mut attempt, &eve, Mechanism::Plain, network()).await;
    assert!(matches!(answer, LookupAnswer::Fake(_)), "{answer:?}");

    let refusal = proved(&node, attempt).await.unwrap_err();

    assert_eq!(refusal.condition, SaslCondition::NotAuthorized);
}

#[tokio::test]
async fn rights_come_by_the_way_in_or_from_the_settings_and_go_with_them() {
    let node = node().await;
    let of = |session: &Arc<Session>| node.rights(session);
    let own = node.bind(&logged_in(&node).await, Some("desk")).await.unwrap().session;
    let vouched = Principal::of(&*account(&node).await, Rights::Operator);
    let vouched = node.bind(&vouched, Some("admin")).await.unwrap().session;
    let server = node.bind(&Principal::server(), Some("admin")).await.unwrap().session;
    assert_eq!(of(&own), Rights::Own);

    let admins = HashSet::from([bob()]);
    node.change_settings(Settings { admins, ..Settings::default() });
    assert_eq!(of(&own), Rights::Administrator);
    assert_eq!((of(&vouched), of(&server)), (Rights::Operator, Rights::Operator));

    node.change_settings(Settings::default());
    assert_eq!(of(&own), Rights::Own);
    assert_eq!((of(&vouched), of(&server)), (Rights::Operator, Rights::Operator));
}

#[tokio::test]
async fn a_right_is_granted_to_an_account_and_not_to_its_name() {
    let node = node().await;
    let (bob, own) = (account(&node).await, logged_in(&node).await);
    let own = node.bind(&own, Some("desk")).await.unwrap().session;

    assert_eq!(node.grant_right(&bob).await, Ok(true));
    assert_eq!(node.rights(&own), Rights::Administrator);
    assert_eq!(node.grant_right(&bob).await, Ok(false));
    assert_eq!(node.revoke_right(&bob).await, Ok(true));
    assert_eq!(node.rights(&own), Rights::Own);
    assert_eq!(node.revoke_right(&bob).await, Ok(false));

    node.grant_right(&bob).await.unwrap();
    node.remove_account(&bob, None, || {}).await.unwrap();
    assert!(!node.is_administrator(&bob));
    assert_eq!(node.grant_right(&bob).await.unwrap_err().condition, Condition::ItemNotFound);
    node.create_account(bob.jid(), password("pencil")).await.unwrap();
    let again = account(&node).await;
    assert_ne!(again.id, bob.id);
    assert!(!node.is_administrator(&again));
}

#[tokio::test]
async fn a_verifier_that_is_added_late_is_of_the_present_password() {
    let node = node().await;
    let bob = account(&node).await;
    // An account of the first release lacks a verifier.
    let set = async |text| {
        let mut stored = node.verifiers(password(text)).await.unwrap();
        stored.retain(|it| it.mechanism != "SCRAM-SHA-512");
        let mut tx = node.store.begin().await.unwrap();
        let generation = tx.set_credentials(bob.id, &stored).await.unwrap();
        tx.commit().await.unwrap();
        bob.note_generation(generation);
    };
    set("old").await;
    let old = logged_in(&node).await;
    set("new").await;
    let new = logged_in(&node).await;

    // This login began before the change, and is slow.
    node.complete_verifiers(&old, password("old"));
    node.complete_verifiers(&new, password("new"));
    let added = loop {
        let stored = node.store.credentials(bob.id).await.unwrap();
        let found = stored.into_iter().find(|it| it.mechanism == "SCRAM-SHA-512");
        match found {
            Some(found) => break found,
            None => tokio::task::yield_now().await,
        }
    };

    let added = crate::verifiers::read(added, whoelse_stream::scram::Hash::Sha512).unwrap();
    assert!(added.is_same(&added.derive_like(&password("new"))));
}
