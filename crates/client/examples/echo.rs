//! A bot that sends back what it is told, for whoever wants to write another:
//! `WHOELSE_PASSWORD=… cargo run -p whoelse-client --example echo -- NAME HOST PORT`.
//!
//! The account is there already. When the connection is lost the library brings it back; what was
//! not acknowledged is sent again by itself, and appears once.
//!
//! Answers are sent beside the loop that takes the events, never in it: sending waits while 1,000
//! messages are not acknowledged, and acknowledgements are read only while events are taken.

use tokio::sync::mpsc;
use whoelse_client::{Client, Config, Ending, Event, Events, Password};
use whoelse_xmpp::BareJid;

/// Answers that wait to be sent. Whoever asks when it is full gets none.
const ANSWERS: usize = 10_000;

/// Anything that ends the program.
type Failed = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let [name, host, port] = [arguments.next(), arguments.next(), arguments.next()]
        .map(|it| it.ok_or("usage: echo NAME HOST PORT"));
    let password = Password::new(&std::env::var("WHOELSE_PASSWORD")?)?;
    let (client, mut events) = Client::start(Config::new(&host?, port?.parse()?));
    client.login(&name?, password).await.map_err(|why| format!("no login: {why:?}"))?;
    match echo(&client, &mut events).await {
        Some(ending) => Err(format!("logged out: {ending:?}").into()),
        None => Ok(()),
    }
}

/// Answers every message, until the session ends for good.
pub async fn echo(client: &Client, events: &mut Events) -> Option<Ending> {
    let (answers, mut waiting) = mpsc::channel::<(BareJid, String)>(ANSWERS);
    let answering = async {
        while let Some((to, text)) = waiting.recv().await {
            // If it is refused, an event says so later; this bot does not mind.
            let _ = client.message(&to, &text).await;
        }
        None
    };
    tokio::select! {
        ending = listen(client, events, &answers) => ending,
        ending = answering => ending,
    }
}

/// Takes every event at once, and puts down what is to be answered.
async fn listen(
    client: &Client,
    events: &mut Events,
    answers: &mpsc::Sender<(BareJid, String)>,
) -> Option<Ending> {
    while let Some(event) = events.next().await {
        match event {
            // What went to everybody, or came from another device of this account, is no question.
            Event::Message(message) if message.broadcast => {}
            Event::Message(message)
                if client.me().is_some_and(|me| me.to_bare() == message.from) => {}
            Event::Message(message) => {
                let _ = answers.try_send((message.from, message.text));
            }
            Event::LoggedOut(ending) => return Some(ending),
            _ => {}
        }
    }
    None
}
