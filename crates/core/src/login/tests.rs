//! Logins at a node: what clients are told, what is remembered, and what setting the clock changes.
#![allow(clippy::unwrap_used)]

use whoelse_store::{Location, Store};

use super::*;
use crate::clock::Clock;
use crate::settings::Settings;

/// 2026-01-01T00:00:00Z.
const BEGIN: Time = Time(1_767_225_600_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn network(last: u8) -> Network {
    Network::of([192, 0, 2, last].into())
}

/// The address of an account.
fn jid(name: &str) -> BareJid {
    BareJid::new(Some(name), "localhost").unwrap()
}

async fn node(clock: &Clock, store: &Store) -> Arc<Node> {
    let settings = Settings { block_duration: Duration::from_secs(4), ..Settings::default() };
    let node = Node::start(settings, clock.clone(), store.clone(), &[], Some("localhost"));
    node.await.unwrap()
}

async fn fresh(clock: &Clock) -> Arc<Node> {
    let node = node(clock, &Store::open(&Location::Memory).await.unwrap()).await;
    node.create_account(&jid("bob"), Password::new("pencil").unwrap()).await.unwrap();
    node
}

/// One connection from a network.
struct Connection<'a> {
    node: &'a Arc<Node>,
    network: Network,
    attempt: LoginAttempt,
}

impl<'a> Connection<'a> {
    fn new(node: &'a Arc<Node>, last: u8) -> Connection<'a> {
        Connection { node, network: network(last), attempt: LoginAttempt::default() }
    }

    /// Tries a wrong password. Returns whether it was checked, and the error.
    async fn mistypes(&mut self, mechanism: &str) -> (bool, Refusal) {
        let mechanism = Mechanism::from_name(mechanism).unwrap();
        let attempt = &mut self.attempt;
        let looked_at = match self.node.lookup(attempt, &jid("bob"), mechanism, self.network).await
        {
            LookupAnswer::Refused(refusal) => return (false, refusal),
            LookupAnswer::Verifier(_) | LookupAnswer::Changed { .. } => true,
            LookupAnswer::Fake(_) => false,
        };
        (looked_at, self.node.login_failed(attempt, &jid("bob"), true, self.network).await)
    }

    /// Tries the right password. Returns the error, if it is refused.
    async fn logs_in(mut self) -> Result<(), String> {
        let plain = Mechanism::Plain;
        match self.node.lookup(&mut self.attempt, &jid("bob"), plain, self.network).await {
            LookupAnswer::Verifier(_) | LookupAnswer::Changed { .. } => {
                let done =
                    self.node.login_succeeded(self.attempt, None, Rights::Own, self.network).await;
                done.map(|_| ()).map_err(|refusal| refusal.text.unwrap_or_default())
            }
            LookupAnswer::Refused(refusal) => Err(refusal.text.unwrap_or_default()),
            LookupAnswer::Fake(_) => Err("wrong".to_owned()),
        }
    }
}

async fn blocked(node: &Arc<Node>) {
    for wanted in [false, false, true] {
        let (_, refusal) = Connection::new(node, 1).mistypes("PLAIN").await;
        assert_eq!(refusal.close, wanted, "{refusal:?}");
    }
}

fn pass(clock: &Clock, seconds: u64) {
    let end = clock.steady().after(Duration::from_secs(seconds));
    while clock.steady() < end {
        clock.advance_to(end);
    }
}

/// The error that a client which knows the password gets.
fn left(seconds: u32) -> Result<(), String> {
    Err(format!("blocked after too many wrong passwords; try again in {seconds} s"))
}

#[tokio::test]
async fn one_mistyped_password_in_a_client_that_tries_every_mechanism_counts_one() {
    let clock = Clock::manual(BEGIN);
    let node = fresh(&clock).await;
    // First down the list with each -PLUS first, as slixmpp does; then all bound ones first, as
    // others do.
    for order in [
        "SCRAM-SHA-512-PLUS SCRAM-SHA-512 SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS \
         SCRAM-SHA-1 PLAIN",
        "SCRAM-SHA-512-PLUS SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-512 SCRAM-SHA-256 \
         SCRAM-SHA-1 PLAIN",
    ] {
        let mut connection = Connection::new(&node, 1);
        let mut looked_at = 0;
        for mechanism in order.split_ascii_whitespace() {
            let (looked, refusal) = connection.mistypes(mechanism).await;
            looked_at += usize::from(looked);
            assert_eq!(refusal.text.as_deref(), Some("wrong password"), "{mechanism}");
        }
        assert_eq!(looked_at, 4);
    }

    // Those were two tries; the third is the last, whatever mechanism it begins with.
    let (_, refusal) = Connection::new(&node, 1).mistypes("SCRAM-SHA-512-PLUS").await;
    assert!(refusal.close && refusal.text.unwrap().contains("third in a row"));
    assert_eq!(Connection::new(&node, 1).logs_in().await, left(4));
    assert_eq!(Connection::new(&node, 2).logs_in().await, Ok(()));
}

#[tokio::test]
async fn a_password_that_is_checked_in_a_session_counts_as_at_a_login() {
    let node = fresh(&Clock::manual(BEGIN)).await;
    let mut attempt = LoginAttempt::default();
    node.lookup(&mut attempt, &jid("bob"), Mechanism::Plain, network(1)).await;
    let bob = node.login_succeeded(attempt, None, Rights::Own, network(1)).await.unwrap();
    let session = node.bind(&bob, Some("desk")).await.unwrap().session;
    node.note_peer(&session, "", network(1));
    let account = node.account(&jid("bob")).await.unwrap().unwrap();
    let check = async |text| {
        let password = Password::new(text).unwrap();
        node.check_password(&session, &account, password).await.map_err(|error| error.condition)
    };

    // A right one takes back the wrong ones before it.
    for text in ["guess", "guess", "pencil", "guess", "guess", "pencil"] {
        let wanted = if text == "pencil" { Ok(()) } else { Err(Condition::NotAuthorized) };
        assert_eq!(check(text).await, wanted, "{text}");
    }
    for _ in 0..3 {
        assert_eq!(check("guess").await, Err(Condition::NotAuthorized));
    }
    assert_eq!(check("pencil").await, Err(Condition::ResourceConstraint));

    let count = |outcome| node.counters.logins.get(["in-session", outcome]);
    assert_eq!((count("ok"), count("wrong"), count("blocked")), (2, 7, 1));
}

#[tokio::test]
async fn a_clock_that_is_set_changes_no_block() {
    for set in [BEGIN.before(HOUR), BEGIN.after(HOUR)] {
        let clock = Clock::manual(BEGIN);
        let node = fresh(&clock).await;
        blocked(&node).await;

        clock.set_wall(set);

        assert_eq!(Connection::new(&node, 1).logs_in().await, left(4));
        pass(&clock, 3);
        assert_eq!(Connection::new(&node, 1).logs_in().await, left(1));
        pass(&clock, 1);
        assert_eq!(Connection::new(&node, 1).logs_in().await, Ok(()));
    }
}

#[tokio::test]
async fn after_a_restart_no_more_is_left_of_a_block_than_is_set() {
    let clock = Clock::manual(BEGIN);
    let node = fresh(&clock).await;
    blocked(&node).await;
    node.block_account(&jid("eve"), Some(HOUR)).await;
    let store = node.store.clone();
    node.stop().await;

    let node = self::node(&Clock::manual(BEGIN.before(HOUR * 24)), &store).await;

    assert_eq!(Connection::new(&node, 1).logs_in().await, left(4));
    let [(None, until)] = node.blocks_of(&jid("eve"))[..] else { panic!() };
    assert_eq!(until, BEGIN.before(HOUR * 23));
}

#[tokio::test]
async fn what_lifts_a_block_lifts_it_for_good() {
    let password = || Password::new("pencil").unwrap();
    for way in ["success", "password", "unblock", "address"] {
        let clock = Clock::manual(BEGIN);
        let node = fresh(&clock).await;
        blocked(&node).await;

        match way {
            "success" => Connection::new(&node, 2).logs_in().await.unwrap(),
            "password" => {
                let bob = node.account(&jid("bob")).await.unwrap().unwrap();
                node.set_password(&bob, password(), None).await.unwrap();
            }
            "unblock" => assert!(node.unblock_account(&jid("bob")).await),
            _ => assert_eq!(node.unblock_site(network(1).site()).await, 1),
        }
        assert_eq!(Connection::new(&node, 1).logs_in().await, Ok(()), "{way}");
        let store = node.store.clone();
        node.stop().await;

        assert_eq!(store.throttle_load_all(BEGIN.0).await.unwrap(), [], "{way}");
        let node = self::node(&clock, &store).await;
        assert_eq!(Connection::new(&node, 1).logs_in().await, Ok(()), "{way}");
    }
}

#[tokio::test]
async fn an_administrators_block_is_lifted_by_no_new_password() {
    let node = fresh(&Clock::manual(BEGIN)).await;
    node.block_account(&jid("bob"), None).await;

    let bob = node.account(&jid("bob")).await.unwrap().unwrap();
    node.set_password(&bob, Password::new("pencil").unwrap(), None).await.unwrap();

    let said = Connection::new(&node, 1).logs_in().await;
    assert_eq!(said, Err("this account is blocked by the administrator".to_owned()));
}

#[tokio::test]
async fn who_is_known_there_is_let_in_whatever_others_do() {
    let clock = Clock::manual(BEGIN);
    let node = fresh(&clock).await;
    Connection::new(&node, 1).logs_in().await.unwrap();
    // From the network in which bob is known, names are guessed until it is blocked.
    for n in 0..30 {
        let (name, mut attempt) = (jid(&format!("name{n}")), LoginAttempt::default());
        node.lookup(&mut attempt, &name, Mechanism::Plain, network(1)).await;
        node.login_failed(&mut attempt, &name, true, network(1)).await;
    }
    assert_eq!(
        node.blocked_places(),
        [(Place::Network(network(1)), BEGIN.after(Duration::from_secs(600)))]
    );
    // And bob is blocked from everywhere else.
    for last in 10..30 {
        Connection::new(&node, last).mistypes("PLAIN").await;
    }

    assert_eq!(Connection::new(&node, 1).logs_in().await, Ok(()));
}

#[tokio::test]
async fn a_try_that_waits_goes_on_when_another_has_ended() {
    let node = fresh(&Clock::manual(BEGIN)).await;
    let mut flying: Vec<Connection<'_>> = (0..3).map(|_| Connection::new(&node, 1)).collect();
    for one in &mut flying {
        node.lookup(&mut one.attempt, &jid("bob"), Mechanism::Plain, network(1)).await;
    }
    let mut fourth = Box::pin(Connection::new(&node, 1).logs_in());
    tokio::select! {
        biased;
        said = &mut fourth => panic!("{said:?}"),
        () = tokio::task::yield_now() => {}
    }

    flying.pop();

    assert_eq!(fourth.await, Ok(()));
}

/// A client is challenged and does not answer.
async fn silent<'a>(node: &'a Arc<Node>, last: u8) -> Connection<'a> {
    let mut one = Connection::new(node, last);
    let scram = Mechanism::from_name("SCRAM-SHA-256").unwrap();
    let answer = node.lookup(&mut one.attempt, &jid("bob"), scram, one.network).await;
    assert!(matches!(answer, LookupAnswer::Verifier(_)), "{answer:?}");
    one
}

#[tokio::test]
async fn three_silent_challenges_do_not_keep_a_known_account_out_of_its_own_network() {
    let clock = Clock::manual(BEGIN);
    let node = fresh(&clock).await;
    Connection::new(&node, 1).logs_in().await.unwrap();
    let _silent = [silent(&node, 1).await, silent(&node, 1).await, silent(&node, 1).await];
    let mut bob = Box::pin(Connection::new(&node, 1).logs_in());
    // Runs as far as it gets without the clock.
    for _ in 0..100 {
        tokio::select! {
            biased;
            said = &mut bob => panic!("{said:?}"),
            () = tokio::time::sleep(Duration::ZERO) => {}
        }
    }

    pass(&clock, 5);

    assert_eq!(bob.await, Ok(()));
}

#[tokio::test]
async fn a_late_proof_takes_its_turn_once_more_and_is_told_nothing_before() {
    let clock = Clock::manual(BEGIN);
    let node = fresh(&clock).await;
    let mut wrong = silent(&node, 1).await;
    let right = silent(&node, 1).await;
    pass(&clock, 5);
    blocked(&node).await;

    let told = node.login_failed(&mut wrong.attempt, &jid("bob"), true, network(1)).await;
    let refused = node.login_succeeded(right.attempt, None, Rights::Own, network(1)).await;

    assert_eq!(refused, Err(told.clone()));
    assert_eq!(Err(told.text.unwrap()), left(4));
    // If nothing is in its way, a late proof is as good as any.
    let late = silent(&node, 2).await;
    pass(&clock, 6);
    assert_eq!(
        node.login_succeeded(late.attempt, None, Rights::Own, network(2)).await.map(|_| ()),
        Ok(())
    );
}

#[tokio::test]
async fn who_is_let_in_nowhere_with_the_right_password_leaves_no_row_of_wrong_ones() {
    let clock = Clock::manual(BEGIN);
    let node = fresh(&clock).await;
    blocked(&node).await;
    node.block_account(&jid("bob"), None).await;

    assert!(Connection::new(&node, 2).logs_in().await.is_err());

    let rows = node.store.throttle_load_all(BEGIN.0).await.unwrap();
    let keys: Vec<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, [format!("admin|{}", node.key_of("bob@localhost"))]);
}

#[tokio::test]
async fn nobody_is_newly_called_like_the_server_or_so_that_lines_of_theirs_look_like_notices() {
    let node = fresh(&Clock::manual(BEGIN)).await;
    node.rename_domain("localhost".into(), "chat.example".into()).await.unwrap();
    let password = || Password::new("a long password").unwrap();
    let refused = |why: StanzaError| {
        assert_eq!(why.condition, Condition::PolicyViolation);
        why.text.unwrap()
    };

    let at_chat = |name| BareJid::new(Some(name), "chat.example").unwrap();
    for name in ["localhost", "LocalHost", "chat.example", "Chat.Example", "*", "[x]", "-bob"] {
        let account = at_chat(name);
        let asked = RegisterRequest::Name(account.clone());
        refused(node.register(asked, network(1)).await.unwrap_err());
        let asked = RegisterRequest::Create { account: account.clone(), password: password() };
        refused(node.register(asked, network(1)).await.unwrap_err());
        let words = refused(node.create_account(&account, password()).await.unwrap_err());
        assert!(words.ends_with("; choose another one"), "{words}");
    }
    for name in ["7of9", "żaneta", "李", "localhost2"] {
        node.create_account(&at_chat(name), password()).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_is_called_like_the_server_already_is_known() {
    let node = fresh(&Clock::manual(BEGIN)).await;
    node.create_account(&jid("chat.example"), Password::new("pencil").unwrap()).await.unwrap();
    node.rename_domain("localhost".into(), "chat.example".into()).await.unwrap();

    let account = BareJid::parse("chat.example@chat.example").unwrap();
    let asked = RegisterRequest::Name(account.clone());
    let known = node.register(asked, network(1)).await.unwrap_err();

    assert_eq!(known.condition, Condition::Conflict);
    let again = node.create_account(&account, Password::new("pencil").unwrap()).await;
    assert_eq!(again.unwrap_err().condition, Condition::Conflict);
}

#[tokio::test]
async fn failed_logins_are_written_together_and_a_block_before_it_is_told() {
    let (clock, store) = (Clock::manual(BEGIN), Store::open(&Location::Memory).await.unwrap());
    let node = node(&clock, &store).await;
    node.keeper.caught_up().await;
    let stored = async || {
        let rows = store.throttle_load_all(BEGIN.0).await.unwrap();
        rows.into_iter().map(|(_, row)| row.failures).sum::<i64>()
    };

    let mut first = Connection::new(&node, 1);
    for last in [1, 2, 3, 4] {
        Connection::new(&node, last).mistypes("PLAIN").await;
    }
    first.mistypes("PLAIN").await;
    assert_eq!(stored().await, 0, "nobody waits for these");
    node.write_arrivals().await;
    assert_eq!(stored().await, 5);

    let said = first.mistypes("PLAIN").await.1.text.unwrap();
    assert!(said.contains("that was the third in a row"), "{said}");
    assert_eq!(stored().await, 6);
    node.stop().await;
}
