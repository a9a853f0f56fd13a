//! A client and a small server over real TLS: logging in, losing the connection, coming back.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../examples/echo.rs"]
#[allow(dead_code)]
mod echo;
mod world;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use whoelse_client::{
    Begin, Client, Config, ConnectError, Ending, Event, Events, Fingerprint, LoginError, NotSent,
    Password, Probe, RegisterError,
};
use whoelse_stream::Transport;
use whoelse_xmpp::{BareJid, StreamCondition, StreamError, ns};
use world::{World, next, until};

fn password(text: &str) -> Password {
    Password::new(text).unwrap()
}

fn bob() -> BareJid {
    BareJid::parse("bob@localhost").unwrap()
}

/// Waits for this event; those before are passed over.
async fn passes(events: &mut Events, wanted: &Event) {
    while next(events).await != *wanted {}
}

// ---- logging in ----

#[tokio::test]
async fn a_new_name_is_free_then_taken_and_its_password_lets_it_in() {
    let world = World::new().await;
    let (client, _events) = world.client();

    assert_eq!(client.probe("alice").await, Ok(Probe::Free));
    client.register("alice", password("secret")).await.unwrap();
    assert_eq!(client.probe("alice").await, Ok(Probe::Known));
    let me = client.login("alice", password("secret")).await.unwrap();

    assert_eq!(me.to_bare().as_str(), "alice@localhost");
    assert_eq!(client.me(), Some(me));
}

#[tokio::test]
async fn a_wrong_password_can_be_tried_again_until_the_server_has_enough() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();

    for _ in 0..2 {
        let refused = client.login("alice", password("wrong")).await.unwrap_err();
        assert_eq!(refused, LoginError::WrongPassword { text: None });
    }
    let third = client.login("alice", password("wrong")).await.unwrap_err();
    assert_eq!(third, LoginError::Refused { text: "blocked for 60 s".to_owned() });

    client.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn an_account_in_use_is_told_and_can_be_tried_again() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    world.refuse_next_session();

    let refused = client.login("alice", password("secret")).await.unwrap_err();

    assert_eq!(refused, LoginError::AlreadyLoggedIn);
    client.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn a_session_is_bound_along_with_its_login_where_what_waits_is_sent_all_the_same() {
    let world = World::new().await;
    world.account("alice", "secret");
    let config = || Config { tag: Some("whoelse".to_owned()), ..world.config() };
    // A server with Bind 2 alone would leave what waits to the archive.
    let (client, _events) = Client::start(config());
    let me = client.login("alice", password("secret")).await.unwrap();
    assert_eq!((me.resource(), world.bound_along()), ("here", None));

    world.send_what_waits();
    let (client, mut events) = Client::start(config());
    let me = client.login("alice", password("secret")).await.unwrap();

    assert_eq!(me.resource(), "whoelse/here");
    let bound = world.bound_along().unwrap();
    assert_eq!(bound.tag.as_deref(), Some("whoelse"));
    let wishes: Vec<_> = bound.features.iter().map(|it| (it.name(), it.ns())).collect();
    assert_eq!(wishes, [("send", ns::WHOELSE_WAITING), ("enable", ns::SM)]);
    // It is resumed like any other, and begins anew like any other.
    world.break_connections().await;
    passes(&mut events, &Event::Resumed).await;
    world.forget_sessions();
    world.break_connections().await;
    passes(&mut events, &Event::Reconnected).await;
    assert_eq!(client.me().unwrap().resource(), "whoelse/here");
    assert_eq!(world.bound_along(), Some(bound));
}

#[tokio::test]
async fn a_resource_without_a_tag_is_asked_for_as_it_is() {
    let world = World::new().await;
    world.account("alice", "secret");
    world.send_what_waits();
    let config = Config { resource: Some("bot".to_owned()), ..world.config() };
    let (client, _events) = Client::start(config);

    client.login("alice", password("secret")).await.unwrap();

    assert_eq!(world.bound_along(), None);
}

#[tokio::test]
async fn whoever_cannot_begin_a_session_along_with_a_login_is_told_why() {
    let world = World::new().await;
    world.account("alice", "secret");
    world.send_what_waits();
    let (client, mut events) = world.client();
    let text = || "this account has too many sessions".to_owned();
    let full = || StreamError::new(StreamCondition::ResourceConstraint).with_text(text());
    world.end_next_binding(StreamError::new(StreamCondition::Conflict));
    let refused = client.login("alice", password("secret")).await.unwrap_err();
    assert_eq!(refused, LoginError::AlreadyLoggedIn);
    // What may pass is tried again.
    world.end_next_binding(full());
    client.login("alice", password("secret")).await.unwrap();

    // One that comes back waits for it to pass.
    world.forget_sessions();
    world.end_next_binding(full());
    world.break_connections().await;
    passes(&mut events, &Event::Reconnected).await;
}

#[tokio::test]
async fn a_login_among_too_many_others_is_tried_again_however_that_is_said() {
    for sasl2 in [true, false] {
        let world = World::new().await;
        world.account("alice", "secret");
        if !sasl2 {
            world.speak_no_sasl2();
        }
        let (client, mut events) = world.client();
        world.be_crowded_for_next(2);

        client.login("alice", password("secret")).await.unwrap();
        assert_eq!(world.connections(), 3);

        // So is one that comes back.
        world.forget_sessions();
        world.be_crowded_for_next(1);
        world.break_connections().await;
        passes(&mut events, &Event::Reconnected).await;
    }
}

#[tokio::test]
async fn without_a_server_it_is_said_where_none_answers() {
    let world = World::new().await;
    let mut config = world.config();
    config.port = 1;
    let (client, _events) = Client::start(config);

    let refused = client.connect().await.unwrap_err();

    assert_eq!(refused, ConnectError::Refused { address: "127.0.0.1:1".to_owned() });
}

#[tokio::test]
async fn a_connection_that_ended_while_the_user_was_typing_is_made_again() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    client.connect().await.unwrap();

    world.break_connections().await;

    client.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_closes_at_once_is_tried_again() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    world.close_next(2);

    client.connect().await.unwrap();

    assert_eq!(world.connections(), 3);
}

#[tokio::test]
async fn a_server_that_closes_before_the_handshake_is_over_is_tried_again() {
    let world = World::with(Transport::Tls).await;
    let (client, _events) = Client::start(Config { begin: Begin::Direct, ..world.config() });
    world.close_next(2);

    client.connect().await.unwrap();

    assert_eq!(world.connections(), 3);
}

#[tokio::test]
async fn a_server_that_has_too_much_to_do_is_tried_again_and_one_that_knows_us_not_is_not() {
    let world = World::new().await;
    let (client, _events) = world.client();
    world.end_next(1, StreamError::new(StreamCondition::ResourceConstraint));

    client.connect().await.unwrap();

    world.break_connections().await;
    until_gone().await;
    let before = world.connections();
    world.end_next(1, StreamError::new(StreamCondition::HostUnknown));
    let refused = client.connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::Server(_)), "{refused:?}");
    assert_eq!(world.connections(), before + 1);
}

// docs/design/admission.md: a server may put out whoever has not logged in yet.
#[tokio::test]
async fn whoever_is_put_out_while_a_password_is_typed_logs_in_over_another_connection() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    assert_eq!(client.probe("alice").await, Ok(Probe::Known));
    let before = world.connections();
    world.break_connections().await;
    until_gone().await;

    client.login("alice", password("secret")).await.unwrap();

    assert_eq!(world.connections(), before + 1);
}

#[tokio::test]
async fn a_server_that_closes_during_the_login_is_tried_again_a_few_times() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    world.hang_up_on_next(2);
    client.login("alice", password("secret")).await.unwrap();
    client.logout().await;

    world.hang_up_on_next(u32::MAX);
    let before = world.connections();
    let refused = client.login("alice", password("secret")).await.unwrap_err();

    assert_eq!(refused, LoginError::Connect(ConnectError::Ended));
    assert_eq!(world.connections(), before + 3);
}

#[tokio::test]
async fn who_does_not_wait_any_more_is_not_tried_for() {
    let world = World::new().await;
    let (client, _events) = world.client();
    world.close_next(1);

    let waiting = tokio::time::timeout(Duration::from_millis(1), client.connect()).await;

    assert!(waiting.is_err());
    // The next one is not kept waiting for the tries of the last.
    client.connect().await.unwrap();
    assert!(world.connections() <= 2);
}

#[tokio::test]
async fn a_question_that_was_given_up_does_not_stand_in_the_way_of_the_next() {
    let world = World::new().await;
    let (client, _events) = world.client();
    world.ignore_next_question();
    tokio::select! {
        answer = client.probe("alice") => panic!("{answer:?}"),
        () = until(|| world.questions() == 1) => {}
    }

    client.register("alice", password("secret")).await.unwrap();

    assert_eq!(client.probe("alice").await, Ok(Probe::Known));
}

#[tokio::test]
async fn nothing_can_be_sent_before_the_login() {
    let world = World::new().await;
    let (client, _events) = world.client();

    assert_eq!(client.message(&bob(), "hi").await, Err(NotSent::NotLoggedIn));
    assert!(client.settle(Duration::from_secs(1)).await);
}

// ---- certificates ----

#[tokio::test]
async fn a_server_that_offers_no_encryption_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let features = "<?xml version='1.0'?><stream:stream from='localhost' id='x' version='1.0' \
                        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
                        <stream:features>\
                        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                        <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
        socket.write_all(features.as_bytes()).await.unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).await.unwrap();
        said
    });
    let (client, _events) = Client::start(Config::new("localhost", port));

    let refused = client.login("alice", password("secret")).await.unwrap_err();

    assert_eq!(refused, LoginError::Connect(ConnectError::NoEncryption));
    let said = server.await.unwrap();
    assert!(said.contains("<stream:stream") && !said.contains("<auth"), "{said}");
}

const PLUS: [&str; 3] = [
    "<mechanism>SCRAM-SHA-512-PLUS</mechanism>",
    "<mechanism>SCRAM-SHA-256-PLUS</mechanism>",
    "<mechanism>SCRAM-SHA-1-PLUS</mechanism>",
];
const UNBOUND: [&str; 3] = [
    "<mechanism>SCRAM-SHA-512</mechanism>",
    "<mechanism>SCRAM-SHA-256</mechanism>",
    "<mechanism>SCRAM-SHA-1</mechanism>",
];
const TYPES: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding \
                     type='tls-exporter'/></sasl-channel-binding>";

/// What a person reads when somebody in between, with a certificate that is trusted, takes these
/// texts out of what the server offers.
async fn told_without(taken_out: &[&'static str]) -> String {
    let world = World::new().await;
    world.account("alice", "secret");
    world.take_out(taken_out);
    let (client, _events) = world.client();

    let refused = client.login("alice", password("secret")).await.unwrap_err();

    assert_eq!(client.me(), None);
    match refused {
        LoginError::Connect(ConnectError::Server(text)) | LoginError::Refused { text } => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_mechanism_taken_out_on_the_way_is_told_in_plain_words() {
    let told = told_without(&PLUS[..1]).await;

    let changed = "somebody in between has changed what the server offers";
    assert_eq!(told, format!("the login is not safe here: {changed}"));
}

#[tokio::test]
async fn channel_binding_taken_out_on_the_way_is_told_in_plain_words() {
    let weakened = "somebody between us and the server weakens the login";

    // Its mechanisms alone, as the client sees; its types alone, as the signature shows.
    assert_eq!(told_without(&PLUS).await, weakened);
    assert!(told_without(&[TYPES]).await.contains("somebody in between has changed"));
}

#[tokio::test]
async fn channel_binding_without_a_trace_is_refused_by_the_server() {
    let world = World::new().await;
    world.account("alice", "secret");
    world.take_out(&[PLUS[0], PLUS[1], PLUS[2], TYPES]);
    let (client, _events) = world.client();

    assert!(client.login("alice", password("secret")).await.is_err());
    assert_eq!(world.counts(), (0, 0));
}

#[tokio::test]
async fn a_server_that_knew_better_is_not_told_the_password() {
    let world = World::new().await;
    let (client, _events) = world.alice().await;
    client.logout().await;
    let all = [PLUS.as_slice(), &UNBOUND, &[TYPES]].concat();
    world.take_out(&all);

    let refused = client.login("alice", password("secret")).await.unwrap_err();

    let LoginError::Refused { text } = refused else { panic!("{refused:?}") };
    assert!(text.starts_with("the server asks for the password itself, which it never did"));
}

/// A server on this computer that wants the password itself, and a client of it that keeps what it
/// learns here.
async fn server_that_knows_only_plain(state: &std::path::Path) -> (World, Config) {
    let world = World::new().await;
    world.account("alice", "secret");
    world.take_out(&[PLUS.as_slice(), &UNBOUND, &[TYPES]].concat());
    let config = Config { state: Some(state.to_owned()), ..world.config() };
    (world, config)
}

#[tokio::test]
async fn over_a_certificate_that_was_only_just_met_a_password_is_not_told() {
    let state = tempfile::tempdir().unwrap();
    let (world, config) = server_that_knows_only_plain(state.path()).await;
    let fingerprint = world.fingerprint();
    let refused = Err(LoginError::OnlyPlain { fingerprint });

    let (client, _events) = Client::start(config.clone());
    assert_eq!(client.login("alice", password("secret")).await, refused);
    // To have met it twice is to know no more of it.
    let (again, _events) = Client::start(config.clone());
    assert_eq!(again.login("alice", password("secret")).await, refused);
    assert_eq!(world.counts(), (0, 0));

    again.trust(fingerprint).await;
    again.login("alice", password("secret")).await.unwrap();
    let (later, _events) = Client::start(config);
    later.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn over_a_certificate_that_was_only_just_met_accounts_are_made_all_the_same() {
    let state = tempfile::tempdir().unwrap();
    let (world, config) = server_that_knows_only_plain(state.path()).await;
    let (client, _events) = Client::start(config);

    client.register("bob", password("secret")).await.unwrap();

    assert_eq!(client.probe("bob").await, Ok(Probe::Known));
    let refused = client.login("bob", password("secret")).await.unwrap_err();
    assert_eq!(refused, LoginError::OnlyPlain { fingerprint: world.fingerprint() });
}

#[tokio::test]
async fn what_was_accepted_is_told_a_password_only_as_long_as_it_is_the_same() {
    let state = tempfile::tempdir().unwrap();
    let (world, config) = server_that_knows_only_plain(state.path()).await;
    let accepted = Some(world.fingerprint());
    let (client, _events) = Client::start(Config { accepted, ..config.clone() });
    client.login("alice", password("secret")).await.unwrap();

    world.new_certificate();
    let (later, _events) = Client::start(config);

    let refused = later.login("alice", password("secret")).await.unwrap_err();
    assert_eq!(refused, LoginError::NotOverThisChannel);
}

#[tokio::test]
async fn encryption_may_begin_at_once() {
    let world = World::with(Transport::Tls).await;
    world.account("alice", "secret");
    let mut config = world.config();
    config.begin = Begin::Direct;
    let (client, _events) = Client::start(config);

    client.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn a_certificate_on_this_computer_is_pinned_and_a_changed_one_refused() {
    let world = World::new().await;
    let (client, _events) = world.client();
    client.connect().await.unwrap();

    world.break_connections().await;
    world.new_certificate();
    until_gone().await;

    let refused = client.connect().await.unwrap_err();
    assert!(matches!(refused, ConnectError::Changed { .. }), "{refused:?}");
    let refused = client.register("alice", password("secret")).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Connect(ConnectError::Changed { .. })));
    let refused = client.probe("alice").await.unwrap_err();
    assert!(matches!(refused, RegisterError::Connect(ConnectError::Changed { .. })));
}

#[tokio::test]
async fn a_changed_certificate_is_offered_if_the_server_proves_that_it_knows_me() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    client.connect().await.unwrap();
    world.break_connections().await;
    world.new_certificate();
    until_gone().await;

    let refused = client.login("alice", password("secret")).await.unwrap_err();
    let LoginError::NewPin { fingerprint } = refused else { panic!("{refused:?}") };
    assert_eq!(client.me(), None, "nothing happens without the user's word");

    client.trust(fingerprint).await;
    client.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn a_changed_certificate_with_a_server_that_does_not_know_me_is_not_offered() {
    let world = World::new().await;
    world.account("alice", "another password");
    let (client, _events) = world.client();
    client.connect().await.unwrap();
    world.break_connections().await;
    world.new_certificate();
    until_gone().await;

    let refused = client.login("alice", password("secret")).await.unwrap_err();

    assert!(matches!(refused, LoginError::WrongPassword { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_pin_outlives_the_client() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let mut config = world.config();
    config.state = Some(state.path().join("whoelse"));
    let (first, _events) = Client::start(config.clone());
    first.connect().await.unwrap();

    world.new_certificate();
    let (second, _events) = Client::start(config);

    assert!(matches!(second.connect().await, Err(ConnectError::Changed { .. })));
    second.trust(Fingerprint::of(b"another one")).await;
    assert!(matches!(second.connect().await, Err(ConnectError::Changed { .. })));
}

/// Until the client has noticed that the connection at hand is gone.
async fn until_gone() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

// ---- a session ----

#[tokio::test]
async fn what_was_sent_is_stored_when_it_is_settled() {
    let world = World::new().await;
    let (client, _events) = world.alice().await;

    for n in 0..50 {
        client.message(&bob(), &n.to_string()).await.unwrap();
    }

    assert!(client.settle(Duration::from_secs(10)).await);
    assert_eq!(world.texts(), (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_acknowledged_is_not_settled() {
    let world = World::new().await;
    let (client, _events) = world.alice().await;
    world.be_silent(true);

    client.message(&bob(), "hi").await.unwrap();

    assert!(!client.settle(Duration::from_millis(500)).await);
    world.be_silent(false);
    assert!(client.settle(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_broken_connection_is_resumed_and_nothing_is_lost_or_sent_twice() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    client.message(&bob(), "before").await.unwrap();
    assert!(client.settle(Duration::from_secs(10)).await);

    world.break_connections().await;
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    client.message(&bob(), "meanwhile").await.unwrap();
    assert_eq!(next(&mut events).await, Event::Resumed);
    client.message(&bob(), "after").await.unwrap();

    assert!(client.settle(Duration::from_secs(10)).await);
    assert_eq!(world.texts(), ["before", "meanwhile", "after"]);
    assert_eq!(world.counts(), (1, 1));
}

#[tokio::test]
async fn after_a_restart_unacknowledged_messages_come_again_under_the_same_id() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    world.be_silent(true);
    client.message(&bob(), "one").await.unwrap();
    until(|| world.texts() == ["one"]).await;

    world.forget_sessions();
    world.break_connections().await;
    world.be_silent(false);
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert_eq!(next(&mut events).await, Event::Reconnected);
    assert!(client.settle(Duration::from_secs(10)).await);

    let messages = world.messages();
    assert_eq!(world.texts(), ["one", "one"]);
    assert_eq!(messages[0].0, messages[1].0);
}

#[tokio::test]
async fn the_bot_of_the_examples_goes_on_when_acknowledgements_are_late() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    world.be_silent(true);
    // More than may be unacknowledged and may wait as events, together.
    let asked: String = (0..1_600)
        .map(|n| format!("<message from='bob@localhost/x' type='chat'><body>{n}</body></message>"))
        .collect();

    let conversation = async {
        world.write(&asked).await;
        until(|| world.messages().len() >= 950).await;
        world.be_silent(false);
        world.write("<a xmlns='urn:xmpp:sm:3' h='950'/>").await;
        until(|| world.messages().len() == 1_600).await;
    };
    tokio::select! {
        () = conversation => {}
        ending = echo::echo(&client, &mut events) => panic!("the bot has ended: {ending:?}"),
    }
}

#[tokio::test]
async fn messages_arrive() {
    let world = World::new().await;
    let (_client, mut events) = world.alice().await;

    world.write("<message from='bob@localhost/x' type='chat'><body>hi</body></message>").await;

    let Event::Message(message) = next(&mut events).await else { panic!("no message") };
    assert_eq!((message.from, message.text.as_str()), (bob(), "hi"));
}

#[tokio::test]
async fn idleness_ends_the_session_and_the_client_stays_out() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    let words = "logged out after 30 s without activity".to_owned();

    world
        .end(
            StreamError::new(StreamCondition::PolicyViolation)
                .with_text(words.clone())
                .with_app("idle", ns::WHOELSE_ERRORS),
        )
        .await;

    assert_eq!(next(&mut events).await, Event::LoggedOut(Ending::Idle(Some(words))));
    assert_eq!(client.me(), None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.counts(), (1, 0));
    client.login("alice", password("secret")).await.unwrap();
}

// ---- a domain that gets another name ----

#[tokio::test]
async fn after_the_domain_was_renamed_the_client_comes_back_under_the_new_name() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let config = Config { state: Some(state.path().to_owned()), ..world.config() };
    world.account("alice", "secret");
    let (client, mut events) = Client::start(config.clone());
    client.login("alice", password("secret")).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::LoggedIn { .. }));
    world.be_silent(true);
    client.message(&bob(), "before").await.unwrap();
    until(|| world.texts() == ["before"]).await;

    world.rename("chat.example").await;
    world.be_silent(false);
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    client.message(&bob(), "meanwhile").await.unwrap();
    let elsewhere = BareJid::parse("carol@other.example").unwrap();
    client.message(&elsewhere, "elsewhere").await.unwrap();
    let domain = "chat.example".to_owned();
    assert_eq!(next(&mut events).await, Event::Renamed { domain });
    assert_eq!(next(&mut events).await, Event::Reconnected);

    // Everybody has the new name, and what was written to them goes there, under the same id.
    assert!(client.settle(Duration::from_secs(10)).await);
    assert_eq!(client.me().unwrap().to_bare().as_str(), "alice@chat.example");
    assert_eq!(&*client.domain(), "chat.example");
    assert_eq!(world.texts(), ["before", "before", "meanwhile", "elsewhere"]);
    let there = ["bob@localhost", "bob@chat.example", "bob@chat.example", "carol@other.example"];
    assert_eq!(world.recipients(), there);
    assert_eq!(world.messages()[0].0, world.messages()[1].0);

    // Whoever comes later knows the new certificate, which nobody has accepted by its fingerprint.
    let pins = std::fs::read_to_string(state.path().join("pins")).unwrap();
    assert!(pins.contains(&world.fingerprint().to_string()), "{pins}");
    assert!(!pins.contains("accepted"), "{pins}");
    let (later, _events) = Client::start(Config { domain: "chat.example".to_owned(), ..config });
    later.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn under_the_new_name_a_server_that_does_not_prove_itself_is_told_nothing() {
    let everything = [PLUS.as_slice(), &UNBOUND, &[TYPES]].concat();
    for taken_out in [&PLUS[..], &everything] {
        let world = World::new().await;
        let (client, mut events) = world.alice().await;
        world.take_out(taken_out);

        world.rename("chat.example").await;

        assert_eq!(next(&mut events).await, Event::ConnectionLost);
        let ended = next(&mut events).await;
        let words = "the server's certificate is not trusted".to_owned();
        assert_eq!(ended, Event::LoggedOut(Ending::Refused(words)));
        assert_eq!((client.me(), world.counts()), (None, (1, 0)));
    }
}

#[tokio::test]
async fn under_the_new_name_a_server_that_does_not_know_the_password_is_not_believed() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    world.account("alice", "another password");

    world.rename("chat.example").await;

    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert!(matches!(next(&mut events).await, Event::LoggedOut(Ending::Refused(_))));
    assert_eq!((client.me(), &*client.domain()), (None, "localhost"));
    // The name that is told and the one that is asked for are one.
    let renamed = ConnectError::Renamed { domain: "chat.example".to_owned() };
    let refused = client.login("alice", password("another password")).await.unwrap_err();
    assert_eq!(refused, LoginError::Connect(renamed));
    assert_eq!((client.me(), &*client.domain()), (None, "localhost"));
}

#[tokio::test]
async fn who_comes_under_the_old_name_is_told_the_new_one_and_not_led_there() {
    let world = World::new().await;
    world.account("alice", "secret");
    let (client, _events) = world.client();
    world.end_next(1, StreamError::renamed("chat.example"));
    let renamed = ConnectError::Renamed { domain: "chat.example".to_owned() };

    let refused = client.login("alice", password("secret")).await.unwrap_err();

    assert_eq!(refused, LoginError::Connect(renamed));
    assert_eq!((world.connections(), &*client.domain()), (1, "localhost"));
}

#[tokio::test]
async fn whoever_says_before_any_proof_that_the_domain_was_renamed_ends_no_session() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    world.end_next(2, StreamError::renamed("chat.example"));

    world.break_connections().await;

    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    // Once, however often it is said.
    let domain = "chat.example".to_owned();
    assert_eq!(next(&mut events).await, Event::SaidRenamed { domain });
    assert_eq!(next(&mut events).await, Event::Resumed);
    assert_eq!(&*client.domain(), "localhost");
}

#[tokio::test]
async fn a_session_replaced_by_another_does_not_come_back() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;

    world.end(StreamError::new(StreamCondition::Conflict)).await;

    assert_eq!(next(&mut events).await, Event::LoggedOut(Ending::Replaced));
    assert_eq!(client.me(), None);
}

#[tokio::test]
async fn a_server_that_shuts_down_is_awaited() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;

    world.end(StreamError::new(StreamCondition::SystemShutdown)).await;

    assert_eq!(next(&mut events).await, Event::ShuttingDown);
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert_eq!(next(&mut events).await, Event::Resumed);
    assert!(client.me().is_some());
}

#[tokio::test]
async fn a_password_changed_meanwhile_ends_the_session() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;

    world.account("alice", "another password");
    world.break_connections().await;

    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert!(matches!(next(&mut events).await, Event::LoggedOut(Ending::Refused(_))));
    assert_eq!(client.me(), None);
}

#[tokio::test]
async fn a_certificate_changed_meanwhile_ends_the_session_with_a_warning() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;

    world.new_certificate();
    world.break_connections().await;

    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    let ended = next(&mut events).await;
    let Event::LoggedOut(Ending::Untrusted(ConnectError::Changed { .. })) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(client.me(), None);
}

#[tokio::test]
async fn whoever_logs_out_can_log_in_again() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    client.message(&bob(), "last words").await.unwrap();

    client.logout().await;

    assert_eq!(next(&mut events).await, Event::LoggedOut(Ending::Asked));
    assert_eq!(client.me(), None);
    until(|| world.texts() == ["last words"]).await;
    client.login("alice", password("secret")).await.unwrap();
}

#[tokio::test]
async fn the_last_handle_takes_the_session_with_it() {
    let world = World::new().await;
    let (client, mut events) = world.alice().await;
    client.message(&bob(), "last words").await.unwrap();

    drop(client);

    assert_eq!(events.next().await, None);
    assert_eq!(world.texts(), ["last words"]);
}
