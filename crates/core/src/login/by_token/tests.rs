//! Logins by a token at a node: who is let in, what is counted, and what changes between two logins.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use whoelse_store::faults::{Fault, Step};
use whoelse_store::{Location, Store};
use whoelse_stream::c2s::LookupAnswer;
use whoelse_stream::fast::Fast;
use whoelse_stream::ht::{Initiator, initiate, is_responder};
use whoelse_stream::sasl2::UserAgentId;
use whoelse_stream::secret::Password;
use whoelse_xmpp::{BareJid, StanzaError};

use super::*;
use crate::clock::Clock;
use crate::devices::Revoked;
use crate::sessions::Hold;
use crate::settings::{Sessions, Settings};

const DAY: Duration = Duration::from_secs(86_400);

fn jid(name: &str) -> BareJid {
    BareJid::new(Some(name), "localhost").unwrap()
}

fn network(last: u8) -> Network {
    Network::of([192, 0, 2, last].into())
}

fn mechanism(name: &str) -> Mechanism {
    Mechanism::from_name(name).unwrap()
}

fn none() -> Mechanism {
    mechanism("HT-SHA-256-NONE")
}

async fn node_over(clock: &Clock, store: &Store) -> Arc<Node> {
    let settings = Settings { sessions: Sessions::Many, ..Settings::default() };
    let node = Node::start(settings, clock.clone(), store.clone(), &[], Some("localhost"));
    node.await.unwrap()
}

async fn node() -> (Arc<Node>, Clock) {
    // 2026-01-01T00:00:00Z.
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let node = node_over(&clock, &Store::open(&Location::Memory).await.unwrap()).await;
    node.create_account(&jid("bob"), Password::new("pencil").unwrap()).await.unwrap();
    (node, clock)
}

fn pass(clock: &Clock, time: Duration) {
    let end = clock.steady().after(time);
    while clock.steady() < end {
        clock.advance_to(end);
    }
}

/// A device with the tokens that it has heard of.
#[derive(Clone)]
struct Phone {
    agent: UserAgent,
    token: Option<Token>,
}

impl Phone {
    fn new() -> Phone {
        let id = Some(UserAgentId::fresh());
        let (software, device) = (Some("AwesomeXMPP".to_owned()), Some("a phone".to_owned()));
        Phone { agent: UserAgent { id, software, device }, token: None }
    }

    /// One that has logged in by password and asked for a token.
    async fn with_token(node: &Arc<Node>) -> Phone {
        let mut phone = Phone::new();
        let principal = phone.by_password(node).await;
        let given = node.give_token(&principal, &phone.agent, none()).await.unwrap();
        phone.token = Some(given.token);
        phone
    }

    async fn by_password(&self, node: &Arc<Node>) -> Principal {
        let (mut attempt, network) = (LoginAttempt::default(), network(200));
        let found = node.lookup(&mut attempt, &jid("bob"), Mechanism::Plain, network).await;
        assert!(matches!(found, LookupAnswer::Verifier(_) | LookupAnswer::Changed { .. }));
        let id = self.agent.id;
        node.login_succeeded(attempt, id, Rights::Own, network).await.unwrap()
    }

    fn login(&self, name: &str, fast: Fast) -> TokenLogin {
        let nobodys = Token::fresh();
        let message = initiate(name, self.token.as_ref().unwrap_or(&nobodys), b"");
        TokenLogin {
            account: jid(name),
            device: self.agent.id.unwrap(),
            mechanism: none(),
            proof: Initiator::parse(&message, b"").unwrap().proof,
            fast,
        }
    }

    /// Logs in by the token; keeps the next one.
    async fn logs_in(&mut self, node: &Arc<Node>, from: Network) -> Result<LetIn, Refusal> {
        self.logs_in_with(node, from, Fast::default(), None).await
    }

    async fn logs_in_with(
        &mut self,
        node: &Arc<Node>,
        from: Network,
        fast: Fast,
        wanted: Option<Mechanism>,
    ) -> Result<LetIn, Refusal> {
        let (mut attempt, login) = (LoginAttempt::default(), self.login("bob", fast));
        let way = (Rights::Own, from);
        let let_in = node.login_by_token(&mut attempt, &login, &self.agent, wanted, way).await?;
        assert!(is_responder(&let_in.answer, self.token.as_ref().unwrap(), b""));
        if let Some(given) = &let_in.given {
            self.token = Some(given.token.clone());
        }
        Ok(let_in)
    }

    /// The condition of a refusal; `None`: it was let in.
    async fn is_refused(&mut self, node: &Arc<Node>, from: Network) -> Option<SaslCondition> {
        self.logs_in(node, from).await.err().map(|refusal| refusal.condition)
    }

    /// Another device that has nothing of this one but its id.
    fn thief(&self) -> Phone {
        Phone { token: Some(Token::fresh()), ..self.clone() }
    }
}

/// Begins a session, as a connection does.
async fn begins(node: &Arc<Node>, principal: &Principal) -> Result<Hold, StanzaError> {
    let hold = node.bind(principal, None).await?;
    node.keep_place(principal, &hold.session).await.map(|()| hold)
}

fn counted(count: u32) -> Fast {
    Fast { count: Some(count), invalidate: false }
}

/// Somebody mistypes Bob's password.
async fn guesses(node: &Arc<Node>, from: Network) -> Refusal {
    let mut attempt = LoginAttempt::default();
    match node.lookup(&mut attempt, &jid("bob"), Mechanism::Plain, from).await {
        LookupAnswer::Refused(refusal) => refusal,
        _ => node.login_failed(&mut attempt, &jid("bob"), true, from).await,
    }
}

#[tokio::test]
async fn a_right_token_lets_in_wherever_it_comes_from_whatever_strangers_have_guessed() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    for last in 1..=10 {
        for _ in 0..3 {
            guesses(&node, network(last)).await;
        }
    }
    // The name is blocked there, and everywhere where it is not known.
    assert!(guesses(&node, network(1)).await.text.unwrap().contains("blocked"));
    assert!(guesses(&node, network(99)).await.text.unwrap().contains("only networks"));

    for last in [1, 99] {
        assert!(phone.logs_in(&node, network(last)).await.is_ok());
    }
    // It lifts nothing.
    assert!(guesses(&node, network(1)).await.text.unwrap().contains("blocked"));
}

#[tokio::test]
async fn a_wrong_token_counts_as_a_wrong_password_for_whomever_and_whatever_device() {
    let (node, _) = node().await;
    let phone = Phone::with_token(&node).await;
    for (thief, name, last) in [
        (phone.thief(), "bob", 1),
        (Phone::new(), "bob", 2),
        (Phone::new(), "nobody", 3),
        (Phone::new(), "bob", 4),
    ] {
        let mut said = Vec::new();
        for _ in 0..4 {
            let (mut attempt, login) = (LoginAttempt::default(), thief.login(name, counted(7)));
            let way = (Rights::Own, network(last));
            let refused = node.login_by_token(&mut attempt, &login, &thief.agent, None, way).await;
            said.push(refused.unwrap_err());
        }
        let wrong = Refusal::new(SaslCondition::NotAuthorized);
        let third = format!(
            "wrong token; that was the third in a row, so {name} is blocked from here for 60 s"
        );
        let blocked = Refusal::new(SaslCondition::TemporaryAuthFailure)
            .with_text("blocked after too many wrong passwords; try again in 60 s");
        let wanted = [
            wrong.clone().with_text("wrong token"),
            wrong.clone().with_text("wrong token"),
            wrong.with_text(third).and_close(),
            blocked.and_close(),
        ];
        assert_eq!(said, wanted, "{name} {last}");
    }
}

#[tokio::test]
async fn a_token_that_was_good_once_counts_as_nothing_and_only_so_often() {
    let (node, clock) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let mut left_behind = phone.clone();
    phone.logs_in(&node, network(1)).await.unwrap();
    pass(&clock, DAY * 16);
    assert!(phone.logs_in(&node, network(1)).await.unwrap().given.is_some());
    phone.logs_in(&node, network(1)).await.unwrap();

    for _ in 0..100 {
        let refused = left_behind.is_refused(&node, network(1)).await;
        assert_eq!(refused, Some(SaslCondition::CredentialsExpired));
    }
    let refused = left_behind.logs_in(&node, network(1)).await.unwrap_err();
    assert_eq!((refused.condition, refused.close), (SaslCondition::TemporaryAuthFailure, true));
    assert!(phone.logs_in(&node, network(1)).await.is_ok());
    phone.by_password(&node).await;
    // The first guess there is the first.
    assert_eq!(guesses(&node, network(1)).await.text.unwrap(), "wrong password");
}

#[tokio::test]
async fn a_token_lives_for_its_time_and_is_replaced_after_half_of_it_also_over_a_restart() {
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let store = Store::open(&Location::Memory).await.unwrap();
    let started = node_over(&clock, &store).await;
    started.create_account(&jid("bob"), Password::new("pencil").unwrap()).await.unwrap();
    let mut phone = Phone::with_token(&started).await;
    let mut old = phone.clone();
    started.stop().await;
    drop(started);
    pass(&clock, DAY * 15 - Duration::from_secs(60));
    let node = node_over(&clock, &store).await;

    assert!(phone.logs_in(&node, network(1)).await.unwrap().given.is_none());
    pass(&clock, Duration::from_secs(60));
    let let_in = phone.logs_in(&node, network(1)).await.unwrap();
    assert_eq!(let_in.given.unwrap().expiry, "2026-02-15T00:00:00.000Z");
    // The old one goes on, up to its end.
    pass(&clock, DAY * 15 - Duration::from_secs(1));
    assert_eq!(old.clone().is_refused(&node, network(1)).await, None);
    pass(&clock, Duration::from_secs(1));
    let expired = old.is_refused(&node, network(1)).await;
    assert_eq!(expired, Some(SaslCondition::CredentialsExpired));
    // What that one was given meanwhile has replaced what this one had.
    assert_eq!(phone.is_refused(&node, network(1)).await, Some(SaslCondition::NotAuthorized));
}

#[tokio::test]
async fn a_count_that_is_sent_grows_and_none_is_demanded() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let mut by = async |fast| {
        let let_in = phone.logs_in_with(&node, network(1), fast, None).await;
        let_in.err().map(|refusal| refusal.condition)
    };
    let replayed = Some(SaslCondition::CredentialsExpired);

    assert_eq!(by(Fast::default()).await, None);
    assert_eq!(by(counted(0)).await, None);
    assert_eq!(by(counted(7)).await, None);
    assert_eq!(by(counted(7)).await, replayed);
    assert_eq!(by(counted(6)).await, replayed);
    assert_eq!(by(Fast::default()).await, None);
    assert_eq!(by(counted(u32::MAX)).await, None);
    assert_eq!(by(counted(u32::MAX)).await, replayed);
}

#[tokio::test]
async fn of_two_logins_at_once_with_one_count_one_succeeds_and_without_a_count_both_do() {
    let (node, _) = node().await;
    let phone = Phone::with_token(&node).await;

    let (mut one, mut other) = (phone.clone(), phone.clone());
    let both = tokio::join!(
        one.logs_in_with(&node, network(1), Fast::default(), None),
        other.logs_in_with(&node, network(2), Fast::default(), None),
    );
    assert!(both.0.is_ok() && both.1.is_ok(), "the new token became the current one for both");

    let (mut one, mut other) = (phone.clone(), phone.clone());
    let both = tokio::join!(
        one.logs_in_with(&node, network(1), counted(3), None),
        other.logs_in_with(&node, network(2), counted(3), None),
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
}

#[tokio::test]
async fn a_token_ends_with_the_password_by_which_it_was_given_and_with_its_account() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let bob = node.account(&jid("bob")).await.unwrap().unwrap();

    node.set_password(&bob, Password::new("eraser").unwrap(), None).await.unwrap();
    let refused = phone.is_refused(&node, network(1)).await;
    assert_eq!(refused, Some(SaslCondition::CredentialsExpired));
    assert!(node.devices(&bob, None).await.unwrap().is_empty());

    let mut phone = Phone::with_token(&node).await;
    node.remove_account(&bob, None, || {}).await.unwrap();
    let refused = phone.is_refused(&node, network(1)).await;
    assert_eq!(refused, Some(SaslCondition::NotAuthorized));
    node.create_account(&jid("bob"), Password::new("pencil").unwrap()).await.unwrap();
    let refused = phone.is_refused(&node, network(1)).await;
    assert_eq!(refused, Some(SaslCondition::NotAuthorized));
}

#[tokio::test]
async fn no_token_is_given_by_a_password_that_was_changed_meanwhile() {
    let (node, _) = node().await;
    let phone = Phone::new();
    let principal = phone.by_password(&node).await;
    let bob = node.account(&jid("bob")).await.unwrap().unwrap();

    node.set_password(&bob, Password::new("eraser").unwrap(), None).await.unwrap();

    assert!(node.give_token(&principal, &phone.agent, none()).await.is_none());
    assert!(node.devices(&bob, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_that_is_invalidated_lets_in_once_more_and_is_replaced_only_on_request() {
    let (node, clock) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let ends = Fast { count: None, invalidate: true };
    pass(&clock, DAY * 20);

    let old = phone.clone();
    let let_in = phone.logs_in_with(&node, network(1), ends, Some(none())).await.unwrap();
    assert!(let_in.given.is_some());
    let refused = old.clone().is_refused(&node, network(2)).await;
    assert_eq!(refused, Some(SaslCondition::NotAuthorized));
    let let_in = phone.logs_in_with(&node, network(1), ends, None).await.unwrap();
    assert!(let_in.given.is_none());
    assert!(begins(&node, &let_in.principal).await.is_ok(), "it has a session all the same");
    let refused = phone.is_refused(&node, network(3)).await;
    assert_eq!(refused, Some(SaslCondition::NotAuthorized));
}

#[tokio::test]
async fn a_device_that_is_logged_out_has_no_session_and_gets_none() {
    let (node, clock) = node().await;
    let (mut phone, mut tablet) = (Phone::with_token(&node).await, Phone::with_token(&node).await);
    let bob = node.account(&jid("bob")).await.unwrap().unwrap();
    let of_phone = phone.logs_in(&node, network(1)).await.unwrap().principal;
    let of_tablet = tablet.logs_in(&node, network(1)).await.unwrap().principal;
    let (attached, other) = (
        node.bind(&of_phone, Some("attached")).await.unwrap(),
        node.bind(&of_tablet, Some("tablet")).await.unwrap(),
    );
    let detached = node.bind(&of_phone, Some("detached")).await.unwrap();
    let resumption = node.enable(&detached.session, true).unwrap().unwrap();
    node.connection_lost(&detached).await;
    let listed = node.devices(&bob, Some(&attached.session)).await.unwrap();
    let said: Vec<_> = listed.iter().map(|it| (it.number, it.is_own, it.name.as_str())).collect();
    assert_eq!(said, [(1, true, "a phone"), (2, false, "a phone")]);

    assert_eq!(node.revoke_devices(&bob, Revoked::One(1), None).await.unwrap(), 1);
    assert_eq!(node.revoke_devices(&bob, Revoked::One(1), None).await.unwrap(), 0);

    assert_eq!(attached.session.ordered_end().unwrap().condition.name(), "reset");
    assert!(other.session.ordered_end().is_none());
    // Who was let in before has no place any more, nor can the old one be taken.
    assert!(begins(&node, &of_phone).await.is_err());
    assert!(node.resume(&of_phone, &resumption, 0).await.is_err());
    assert_eq!(phone.is_refused(&node, network(1)).await, Some(SaslCondition::NotAuthorized));
    assert!(tablet.logs_in(&node, network(1)).await.is_ok());

    // Not even when the device itself has come back by password.
    pass(&clock, Duration::from_millis(1));
    let by_password = phone.by_password(&node).await;
    node.give_token(&by_password, &phone.agent, none()).await.unwrap();
    assert!(begins(&node, &of_phone).await.is_err());
    assert_eq!(node.revoke_devices(&bob, Revoked::One(3), None).await.unwrap(), 1);

    // Who logs all of them out by one goes on.
    let own = Some(&other.session);
    assert_eq!(node.revoke_devices(&bob, Revoked::All, own).await.unwrap(), 1);
    assert!(other.session.ordered_end().is_none());
    assert_eq!(tablet.is_refused(&node, network(1)).await, Some(SaslCondition::NotAuthorized));
}

#[tokio::test]
async fn a_device_of_somebody_else_is_not_ones_own_even_if_it_is_the_same_program() {
    let (node, _) = node().await;
    let phone = Phone::with_token(&node).await;
    node.create_account(&jid("eve"), Password::new("pencil").unwrap()).await.unwrap();
    let bob = node.account(&jid("bob")).await.unwrap().unwrap();
    let eve = node.account(&jid("eve")).await.unwrap().unwrap();
    let principal = Principal { device: phone.agent.id, ..Principal::of(&eve, Rights::Own) };
    let of_eve = node.bind(&principal, None).await.unwrap();

    let listed = node.devices(&bob, Some(&of_eve.session)).await.unwrap();

    assert!(matches!(&listed[..], [device] if !device.is_own));
}

#[tokio::test]
async fn a_token_that_was_replaced_before_its_session_began_lets_it_begin() {
    let (node, clock) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let (mut first, ends) = (phone.clone(), Fast { count: None, invalidate: true });
    pass(&clock, DAY * 20);
    let slow = first.logs_in(&node, network(1)).await.unwrap().principal;

    phone.logs_in(&node, network(1)).await.unwrap();
    phone.logs_in(&node, network(1)).await.unwrap();
    assert!(begins(&node, &slow).await.is_ok());
    let replaced = phone.logs_in_with(&node, network(1), ends, Some(none())).await.unwrap();
    assert!(begins(&node, &replaced.principal).await.is_ok());
    assert!(begins(&node, &slow).await.is_err(), "that token was taken back");
}

#[tokio::test]
async fn a_database_that_is_away_when_the_session_begins_says_nothing_about_the_token() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let principal = phone.logs_in(&node, network(1)).await.unwrap().principal;
    node.store.set_faults(|step| match step {
        Step::Question => Fault::Fails,
        Step::Begin | Step::Commit | Step::Statement => Fault::None,
    });

    let refused = begins(&node, &principal).await.unwrap_err();

    assert_ne!(refused.condition, Condition::NotAuthorized);
    assert_eq!(node.account(&jid("bob")).await.unwrap().unwrap().session_count(), 0);
}

#[tokio::test]
async fn who_came_by_a_token_has_not_proved_the_password() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    let by_password = phone.by_password(&node).await;
    let by_token = phone.logs_in(&node, network(1)).await.unwrap().principal;

    let one = node.bind(&by_token, Some("one")).await.unwrap();
    assert!(!node.has_proved_lately(&one.session));
    let two = node.bind(&by_password, Some("two")).await.unwrap();
    assert!(node.has_proved_lately(&two.session));
    let resumption = node.enable(&two.session, true).unwrap().unwrap();
    node.connection_lost(&two).await;
    let (two, _) = node.resume(&by_token, &resumption, 0).await.unwrap();
    assert!(!node.has_proved_lately(&two.session));
    let password = Password::new("pencil").unwrap();
    let bob = node.account(&jid("bob")).await.unwrap().unwrap();
    node.check_password(&two.session, &bob, password).await.unwrap();
    assert!(node.has_proved_lately(&two.session));
}

#[tokio::test]
async fn an_account_that_the_administrator_has_blocked_keeps_its_tokens_for_later() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    node.block_account(&jid("bob"), None).await;

    let refused = phone.logs_in(&node, network(1)).await.unwrap_err();
    assert_eq!((refused.condition, refused.close), (SaslCondition::TemporaryAuthFailure, true));
    let refused = phone.thief().is_refused(&node, network(2)).await;
    assert_eq!(refused, Some(SaslCondition::NotAuthorized));
    node.unblock_account(&jid("bob")).await;
    assert!(phone.logs_in(&node, network(1)).await.is_ok());
}

#[tokio::test]
async fn an_account_has_so_many_devices_and_the_one_unused_for_longest_makes_room() {
    let (node, clock) = node().await;
    let mut settings = Settings::clone(&node.settings());
    settings.limits.devices_per_account = 3;
    node.change_settings(settings);
    let mut phones = Vec::new();
    for _ in 0..4 {
        pass(&clock, Duration::from_secs(2));
        if let [first, ..] = phones.as_mut_slice() {
            let first: &mut Phone = first;
            first.logs_in(&node, network(1)).await.unwrap();
            // The last login is written a second later, with others.
            node.write_arrivals().await;
        }
        pass(&clock, Duration::from_secs(2));
        phones.push(Phone::with_token(&node).await);
    }

    let bob = node.account(&jid("bob")).await.unwrap().unwrap();
    let listed = node.devices(&bob, None).await.unwrap();
    let numbers: Vec<_> = listed.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 3, 4]);
    assert_eq!(phones[0].is_refused(&node, network(1)).await, None);
    assert_eq!(phones[1].is_refused(&node, network(1)).await, Some(SaslCondition::NotAuthorized));
}

#[tokio::test]
async fn a_disk_that_is_full_keeps_nobody_out_but_whom_it_could_not_count() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    node.store.set_faults(|step| match step {
        Step::Statement => Fault::Fails,
        Step::Begin | Step::Commit | Step::Question => Fault::None,
    });

    let let_in = phone.logs_in_with(&node, network(1), Fast::default(), Some(none())).await;
    assert!(let_in.unwrap().given.is_none());
    for fast in [counted(1), Fast { count: None, invalidate: true }] {
        let refused = phone.logs_in_with(&node, network(1), fast, None).await.unwrap_err();
        assert_eq!(refused.condition, SaslCondition::TemporaryAuthFailure);
    }
    node.store.clear_faults();
    let fast = Fast { count: Some(1), invalidate: true };
    assert!(phone.logs_in_with(&node, network(1), fast, None).await.is_ok());
}

#[tokio::test]
async fn a_database_that_is_away_says_nothing_about_the_token() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    node.store.set_faults(|step| match step {
        Step::Question => Fault::Fails,
        Step::Begin | Step::Commit | Step::Statement => Fault::None,
    });

    let refused = phone.is_refused(&node, network(1)).await;
    assert_eq!(refused, Some(SaslCondition::TemporaryAuthFailure));
    node.store.clear_faults();
    assert_eq!(phone.is_refused(&node, network(1)).await, None);
}

#[tokio::test]
async fn a_login_by_the_current_token_waits_for_no_commit() {
    let (node, _) = node().await;
    let mut phone = Phone::with_token(&node).await;
    phone.logs_in(&node, network(1)).await.unwrap();
    node.write_arrivals().await;
    node.keeper.caught_up().await;
    let rounds = node.keeper.rounds();

    phone.logs_in(&node, network(1)).await.unwrap();

    assert_eq!(node.keeper.rounds(), rounds);
    // The two commits of a login: one when it comes online, and this one.
    node.write_arrivals().await;
    assert_eq!(node.keeper.rounds(), rounds + 1);
}

#[tokio::test]
async fn a_token_is_for_the_mechanism_for_which_it_was_given() {
    let (node, _) = node().await;
    let mut phone = Phone::new();
    let principal = phone.by_password(&node).await;
    let bound = mechanism("HT-SHA-256-EXPR");
    let given = node.give_token(&principal, &phone.agent, bound).await.unwrap();
    phone.token = Some(given.token);

    assert_eq!(phone.is_refused(&node, network(1)).await, Some(SaslCondition::NotAuthorized));
}

#[test]
fn every_slot_is_compared_whether_it_holds_a_token_or_not() {
    let mut phone = Phone::new();
    phone.token = Some(Token::of("right".to_owned()));
    let login = phone.login("bob", Fast::default());
    let stored = |slot, token: &str| StoredToken {
        slot,
        token: token.to_owned(),
        mechanism: none().name().to_owned(),
        generation: 0,
        given_at: 0,
        count: -1,
    };

    for slot in Slot::ALL {
        let mut tokens = Slot::ALL.map(|slot| stored(slot, "another")).to_vec();
        tokens.retain(|it| it.slot != slot);
        assert!(right_token(&login, &tokens).is_none());
        tokens.push(stored(slot, "right"));
        assert_eq!(right_token(&login, &tokens).unwrap().slot, slot);
        assert_eq!(right_token(&login, &[stored(slot, "right")]).unwrap().slot, slot);
    }
    assert!(right_token(&login, &[]).is_none());
}
