//! Logins that are remembered on this computer, over real TLS: kept, used, replaced, refused, taken back.

#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::path::Path;

use whoelse_client::{Client, Config, Ending, Event, Events, LoginError, Password};
use whoelse_xmpp::{StreamCondition, StreamError, ns};
use world::{World, next, until};

fn secret() -> Password {
    Password::new("secret").unwrap()
}

/// A computer, by its state directory.
struct Computer(tempfile::TempDir);

impl Computer {
    fn new() -> Computer {
        Computer(tempfile::tempdir().unwrap())
    }

    fn config(&self, world: &World) -> Config {
        Config { state: Some(self.0.path().to_owned()), ..world.config() }
    }

    /// Another process on it.
    fn client(&self, world: &World) -> (Client, Events) {
        Client::start(self.config(world))
    }

    /// A process in which this name has logged in, to be remembered.
    async fn remembered(&self, world: &World, name: &str) -> (Client, Events) {
        world.account(name, "secret");
        let (client, mut events) = self.client(world);
        assert!(client.can_remember(name).await);
        client.login_and_remember(name, secret()).await.unwrap();
        assert!(matches!(next(&mut events).await, Event::LoggedIn { .. }));
        assert!(client.is_remembered());
        (client, events)
    }

    /// The files with a token.
    fn tokens(&self) -> usize {
        let is_token = |path: &Path| path.extension().is_none();
        let files = std::fs::read_dir(self.0.path().join("logins"));
        files.map_or(0, |files| files.filter(|it| is_token(&it.as_ref().unwrap().path())).count())
    }
}

/// Ends a process without a logout.
async fn quit((client, mut events): (Client, Events)) {
    drop(client);
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_login_is_remembered_by_a_token_when_it_is_told_to_and_not_otherwise() {
    let (world, computer) = (World::new().await, Computer::new());
    world.account("alice", "secret");
    let (client, events) = computer.client(&world);
    client.login("alice", secret()).await.unwrap();
    assert!(!client.is_remembered() && world.devices().is_empty());
    quit((client, events)).await;
    assert_eq!(computer.tokens(), 0);
    let (client, _events) = computer.client(&world);
    assert_eq!(client.login_remembered("alice").await, Err(LoginError::NotRemembered));

    quit(computer.remembered(&world, "alice").await).await;

    assert_eq!((computer.tokens(), world.devices().len()), (1, 1));
    let before = world.proofs();
    let (client, _events) = computer.client(&world);
    let me = client.login_remembered("Alice").await.unwrap();
    assert_eq!(me.to_bare().as_str(), "alice@localhost");
    assert!(client.is_remembered());
    assert_eq!(world.proofs(), (before.0 + 1, before.1), "without a password");
    let (other, _events) = computer.client(&world);
    assert_eq!(other.login_remembered("bob").await, Err(LoginError::NotRemembered));
}

#[tokio::test]
async fn a_logout_takes_the_token_back_and_the_end_of_the_program_does_not() {
    let (world, computer) = (World::new().await, Computer::new());
    quit(computer.remembered(&world, "alice").await).await;
    assert_eq!(world.devices().len(), 1);

    let (client, _events) = computer.client(&world);
    client.login_remembered("alice").await.unwrap();
    client.logout().await;

    assert!(world.devices().is_empty() && !client.is_remembered());
    assert_eq!(computer.tokens(), 0);
    assert_eq!(client.login_remembered("alice").await, Err(LoginError::NotRemembered));
    client.login("alice", secret()).await.unwrap();
}

#[tokio::test]
async fn after_a_token_that_is_refused_the_password_lets_in() {
    let (world, computer) = (World::new().await, Computer::new());
    quit(computer.remembered(&world, "alice").await).await;
    world.revoke_tokens();

    let (client, _events) = computer.client(&world);
    let refused = client.login_remembered("alice").await;
    assert_eq!(refused, Err(LoginError::TokenRefused { text: None }));
    assert_eq!(computer.tokens(), 0);
    assert_eq!(client.login_remembered("alice").await, Err(LoginError::NotRemembered));
    let before = world.connections();
    client.login_and_remember("alice", secret()).await.unwrap();

    assert_eq!(world.connections(), before, "on the same connection");
    assert!(client.is_remembered() && world.devices().len() == 1);
}

#[tokio::test]
async fn whoever_is_not_remembered_any_more_logs_in_as_another_device() {
    let (world, computer) = (World::new().await, Computer::new());
    quit(computer.remembered(&world, "alice").await).await;
    let before = world.installation();
    world.revoke_tokens();

    let (client, _events) = computer.client(&world);
    client.login_remembered("alice").await.unwrap_err();
    client.login("alice", secret()).await.unwrap();

    assert_ne!(world.installation(), before);
}

#[tokio::test]
async fn a_stream_is_opened_in_the_name_of_whoever_logs_in_by_a_token() {
    let (world, computer) = (World::new().await, Computer::new());
    world.account("alice", "secret");
    let (client, events) = computer.client(&world);
    client.connect().await.unwrap();
    assert_eq!(world.opener(), None);
    // XEP-0484, 4.1: a server offers tokens to somebody alone.
    assert!(client.can_remember("alice").await);
    assert_eq!(world.opener().as_deref(), Some("alice@localhost"));
    let before = world.connections();
    client.login_and_remember("alice", secret()).await.unwrap();
    assert_eq!(world.connections(), before, "on the same connection");
    quit((client, events)).await;

    let (client, _events) = computer.client(&world);
    client.connect().await.unwrap();
    client.login_remembered("alice").await.unwrap();
    assert_eq!(world.opener().as_deref(), Some("alice@localhost"));
    client.logout().await;
    assert_eq!(world.opener().as_deref(), Some("alice@localhost"), "to take it back");
}

#[tokio::test]
async fn a_connection_in_the_name_of_somebody_is_left_when_somebody_else_logs_in() {
    let (world, computer) = (World::new().await, Computer::new());
    world.account("alice", "secret");
    world.account("bob", "secret");
    let config = Config { name: Some("alice".to_owned()), ..computer.config(&world) };
    let (client, events) = Client::start(config.clone());
    client.connect().await.unwrap();
    assert_eq!(world.opener().as_deref(), Some("alice@localhost"));
    client.login_and_remember("alice", secret()).await.unwrap();
    assert_eq!(world.connections(), 1);
    quit((client, events)).await;

    let (client, _events) = Client::start(config);
    client.connect().await.unwrap();
    client.login("bob", secret()).await.unwrap();
    assert_eq!(world.opener().as_deref(), Some("bob@localhost"));
}

#[tokio::test]
async fn a_stream_error_is_no_word_about_the_token() {
    let (world, computer) = (World::new().await, Computer::new());
    quit(computer.remembered(&world, "alice").await).await;

    for (condition, expected) in [
        (StreamCondition::Conflict, LoginError::AlreadyLoggedIn),
        (
            StreamCondition::PolicyViolation,
            LoginError::Refused { text: "blocked for 60 s".to_owned() },
        ),
    ] {
        world.end_token_logins(Some(StreamError::new(condition).with_text("blocked for 60 s")));
        let (client, _events) = computer.client(&world);
        assert_eq!(client.login_remembered("alice").await, Err(expected));
        assert_eq!(computer.tokens(), 1);
    }

    world.end_token_logins(None);
    let (client, _events) = computer.client(&world);
    client.login_remembered("alice").await.unwrap();
}

#[tokio::test]
async fn processes_that_run_at_once_are_a_device_each() {
    let (world, computer) = (World::new().await, Computer::new());
    let first = computer.remembered(&world, "alice").await;
    // Nothing is left for the second terminal: it asks.
    let (client, _events) = computer.client(&world);
    assert_eq!(client.login_remembered("alice").await, Err(LoginError::NotRemembered));
    let second = computer.remembered(&world, "alice").await;
    let bob = computer.remembered(&world, "bob").await;
    assert_eq!((world.devices().len(), computer.tokens()), (3, 3));
    let before = world.devices();
    for process in [first, second, bob] {
        quit(process).await;
    }

    // Two terminals and a script of one account, and another name beside them.
    let (one, two, script, bob) = (
        computer.client(&world),
        computer.client(&world),
        computer.client(&world),
        computer.client(&world),
    );
    one.0.login_remembered("alice").await.unwrap();
    two.0.login_remembered("alice").await.unwrap();
    bob.0.login_remembered("bob").await.unwrap();
    assert_eq!(script.0.login_remembered("alice").await, Err(LoginError::NotRemembered));
    script.0.login_and_remember("alice", secret()).await.unwrap();

    assert_eq!((world.devices().len(), computer.tokens()), (4, 4));
    assert!(before.iter().all(|device| world.devices().contains(device)));
    // One that logs out takes nothing from the others.
    two.0.logout().await;
    assert_eq!((world.devices().len(), computer.tokens()), (3, 3));
}

#[tokio::test]
async fn a_lost_connection_comes_back_by_the_token() {
    let (world, computer) = (World::new().await, Computer::new());
    quit(computer.remembered(&world, "alice").await).await;
    let (client, mut events) = computer.client(&world);
    client.login_remembered("alice").await.unwrap();
    next(&mut events).await;
    let (by_token, by_password) = world.proofs();

    world.break_connections().await;
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert_eq!(next(&mut events).await, Event::Resumed);
    world.forget_sessions();
    world.break_connections().await;
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert_eq!(next(&mut events).await, Event::Reconnected);

    assert_eq!(world.proofs(), (by_token + 2, by_password));
}

#[tokio::test]
async fn the_next_token_is_kept_as_soon_as_it_is_given() {
    let (world, computer) = (World::new().await, Computer::new());
    world.replace_tokens();
    quit(computer.remembered(&world, "alice").await).await;

    for _ in 0..3 {
        let (client, mut events) = computer.client(&world);
        client.login_remembered("alice").await.unwrap();
        next(&mut events).await;
        world.break_connections().await;
        assert_eq!(next(&mut events).await, Event::ConnectionLost);
        assert_eq!(next(&mut events).await, Event::Resumed);
        quit((client, events)).await;
    }
    assert_eq!((world.devices().len(), computer.tokens()), (1, 1));
}

#[tokio::test]
async fn a_session_whose_token_is_refused_comes_back_by_its_password_if_it_has_one() {
    let (world, computer) = (World::new().await, Computer::new());
    let (client, mut events) = computer.remembered(&world, "alice").await;
    world.revoke_tokens();
    world.break_connections().await;
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert_eq!(next(&mut events).await, Event::Resumed);
    assert!(client.is_remembered() && world.devices().len() == 1, "by another token");
    quit((client, events)).await;

    let (client, mut events) = computer.client(&world);
    client.login_remembered("alice").await.unwrap();
    next(&mut events).await;
    world.revoke_tokens();
    world.break_connections().await;
    assert_eq!(next(&mut events).await, Event::ConnectionLost);
    assert!(matches!(next(&mut events).await, Event::LoggedOut(Ending::Refused(_))));
    assert!(!client.is_remembered());
    assert_eq!(computer.tokens(), 0);
}

#[tokio::test]
async fn a_device_that_is_logged_out_elsewhere_is_forgotten_here() {
    let (world, computer) = (World::new().await, Computer::new());
    let (client, mut events) = computer.remembered(&world, "alice").await;

    let revoked = StreamError::new(StreamCondition::Reset);
    world.end(revoked.with_app("device-revoked", ns::WHOELSE_ERRORS)).await;

    assert_eq!(next(&mut events).await, Event::LoggedOut(Ending::Revoked));
    until(|| computer.tokens() == 0).await;
    assert_eq!(client.login_remembered("alice").await, Err(LoginError::NotRemembered));
}

#[tokio::test]
async fn where_the_server_gives_no_tokens_nothing_is_remembered() {
    let (world, computer) = (World::new().await, Computer::new());
    quit(computer.remembered(&world, "alice").await).await;
    world.give_no_tokens(true);
    let (client, _events) = computer.client(&world);
    assert!(!client.can_remember("alice").await);
    assert_eq!(client.login_remembered("alice").await, Err(LoginError::NotRemembered));
    client.login_and_remember("bob", secret()).await.unwrap_err();
    client.login_and_remember("alice", secret()).await.unwrap();
    assert_eq!(computer.tokens(), 1, "it may be good again");
    let elsewhere = Computer::new();
    let (client, _events) = elsewhere.client(&world);
    client.login_and_remember("alice", secret()).await.unwrap();
    assert!(!client.is_remembered() && elsewhere.tokens() == 0);

    // Nor where there is no state directory.
    world.give_no_tokens(false);
    let (client, _events) = world.client();
    assert!(!client.can_remember("alice").await);
}
