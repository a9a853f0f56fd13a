//! Signals of introductions, which a task of its own passes to the session in order. The actor
//! never waits for the session, which may itself be waiting for the actor to read.

use tokio::sync::mpsc;
use whoelse_client::{Client, ListenerId, Request};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing};

use crate::note::Note;

/// Signals that may wait. One that finds no room is dropped, and its introduction ends by its
/// deadline.
const WAITING: usize = 128;

/// One thing to send through the server.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A stanza, with the id and recipient under which its refusal is reported.
    Stanza(Outgoing, Option<(String, BareJid)>),
    /// Presence to a device.
    Show(FullJid),
    /// A Jingle request. An error or a missing answer is noted.
    Request { of: FullJid, sid: String, payload: Element },
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Signals(mpsc::Sender<Signal>);

impl Signals {
    /// Begins. Holds the session as long as this lives.
    pub(crate) fn start(client: Client, me: ListenerId, notes: mpsc::Sender<Note>) -> Signals {
        let (to_carry, signals) = mpsc::channel(WAITING);
        tokio::spawn(carry(client, me, signals, notes));
        Signals(to_carry)
    }

    /// Queues a signal. Returns whether there was room.
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
            // Without a session it cannot be sent; the actor learns that by itself.
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
