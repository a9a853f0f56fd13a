//! The examples of the client library do what they say, against the real server.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, dead_code)]

mod common;
#[path = "../crates/client/examples/echo.rs"]
mod echo;
#[path = "../crates/client/examples/online.rs"]
mod online;

use common::{PATIENCE, Server, password};
use whoelse_client::{Client, Config, Event, Events, Password};
use whoelse_xmpp::BareJid;

async fn logged_in(server: &Server, name: &str) -> (Client, Events) {
    let (client, events) = Client::start(Config::new("127.0.0.1", server.port()));
    client.login(name, Password::new(&password(name)).unwrap()).await.unwrap();
    (client, events)
}

#[tokio::test]
async fn the_bot_sends_back_what_it_is_told_and_the_list_names_it() {
    let server = Server::of(&["alice", "echo"]);
    let (bot, mut told) = logged_in(&server, "echo").await;
    let (alice, mut events) = logged_in(&server, "alice").await;

    assert_eq!(online::online(&alice).await.unwrap(), ["echo"]);

    let to = BareJid::parse("echo@localhost").unwrap();
    let asking = async {
        alice.message(&to, "is anybody there?").await.unwrap();
        loop {
            if let Some(Event::Message(message)) = events.next().await {
                return message;
            }
        }
    };
    let answer = tokio::select! {
        answer = tokio::time::timeout(PATIENCE, asking) => answer.unwrap(),
        ending = echo::echo(&bot, &mut told) => panic!("the bot has ended: {ending:?}"),
    };
    assert_eq!((answer.from, answer.text.as_str()), (to, "is anybody there?"));
}
