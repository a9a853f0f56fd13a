//! What introductions say to others, carried to the session in order by a task of its own: the actor
//! never waits for the session, which may be waiting for room in what the actor hears.

use tokio::sync::mpsc;
use whoelse_client::{Client, ListenerId, Request};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing};

use crate::note::Note;

/// What waits to be carried. What finds no room is not said, and ends by its own deadline.
const WAITING: usize = 128;

/// One thing to be said through the server.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A stanza; a refusal of it is to be heard under this id.
    Stanza(Outgoing, Option<(String, BareJid)>),
    /// A device is to see that this one is online.
    Show(FullJid),
    /// A request of Jingle. No answer, or another than yes, is noted.
    Request { of: FullJid, sid: String, payload: Element },
}

/// Where they are put in.
#[derive(Debug)]
pub(crate) struct Signals(mpsc::Sender<Signal>);

impl Signals {
    /// Begins. The session is held as long as this is.
    pub(crate) fn start(client: Client, me: ListenerId, notes: mpsc::Sender<Note>) -> Signals {
        let (to_carry, signals) = mpsc::channel(WAITING);
        tokio::spawn(carry(client, me, signals, notes));
        Signals(to_carry)
    }

    /// Puts one in. Returns whether there was room.
    pub(crate) fn send(&self, signal: Signal) -> bool {
        self.0.try_send(signal).is_ok()
    }
}

async fn carry(
    client: Client,
    me: ListenerId,
    mut signals: mpsc::Receiver<Signal>,
    notes: mpsc::Sender<Note>,
) {
    while let Some(signal) = signals.recv().await {
        match signal {
            // Without a session there is nobody to say it to; the actor hears of that by itself.
            Signal::Stanza(stanza, Some((id, to))) => {
                let _ = client.send_for(me, &id, &to, stanza).await;
            }
            Signal::Stanza(stanza, None) => {
                let _ = client.send(stanza).await;
            }
            Signal::Show(whom) => {
                let _ = client.show_to(&whom).await;
            }
            Signal::Request { of, sid, payload } => {
                let (client, notes) = (client.clone(), notes.clone());
                tokio::spawn(async move {
                    let request = Request::set(payload).by_itself().to(Jid::from(of.clone()));
                    if client.request(request).await.is_err() {
                        let _ = notes.send(Note::Unanswered { of, sid }).await;
                    }
                });
            }
        }
    }
}
