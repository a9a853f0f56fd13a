//! The task that passes stanzas of the rooms to the session, in order. The rooms' own task never waits
//! for the session, which may itself be waiting for it to read.

use tokio::sync::mpsc;
use whoelse_xmpp::{BareJid, Condition, Jid, Outgoing};

use super::event::NotSaid;
use super::order::Note;
use super::{bookmark, govern, service};
use crate::client::Client;
use crate::error::{NotSent, RequestError};
use crate::kit::ListenerId;
use crate::teller::Teller;

/// Errands that the carrier takes at once; further ones wait with the rooms.
const TAKEN: usize = 32;

/// One thing to do with the session.
#[derive(Debug)]
pub(super) enum Errand {
    Claim(BareJid),
    Release(BareJid),
    /// Sends presence.
    Send(Outgoing),
    /// Says something to all in a room, and notes if it was not sent.
    Say {
        room: BareJid,
        id: String,
        stanza: Outgoing,
    },
    /// Sends a message to a room, and notes what has become of it.
    Aside {
        room: BareJid,
        stanza: Outgoing,
        id: String,
    },
    /// Takes a room back that was begun.
    Cancel(BareJid),
    /// Takes back that a room is entered at every login.
    Unnote(BareJid),
    /// Asks for all that is needed after a login.
    Prepare,
}

/// Begins. Holds the session as long as errands can be told.
pub(super) fn start(client: Client, me: ListenerId, notes: mpsc::Sender<Note>) -> Teller<Errand> {
    let (carry, errands) = mpsc::channel(TAKEN);
    tokio::spawn(run(client, me, errands, notes));
    Teller::new(carry)
}

async fn run(
    client: Client,
    me: ListenerId,
    mut errands: mpsc::Receiver<Errand>,
    notes: mpsc::Sender<Note>,
) {
    while let Some(errand) = errands.recv().await {
        let (client, notes) = (client.clone(), notes.clone());
        match errand {
            Errand::Claim(room) => client.claim(me, &room).await,
            Errand::Release(room) => client.release(&room).await,
            // An entry that is not sent is given up in time; without a session there are no rooms.
            Errand::Send(stanza) => {
                let _ = client.send(stanza).await;
            }
            Errand::Say { room, id, stanza } => {
                if client.send(stanza).await.is_err() {
                    // Not from here: the rooms may be waiting for room in the errands.
                    tokio::spawn(async move { notes.send(Note::NotSent { room, id }).await });
                }
            }
            Errand::Aside { room, stanza, id } => {
                let sent = client.send(stanza).await;
                tokio::spawn(async move {
                    let done = match sent {
                        Ok(()) => done(service::ping(&client, &Jid::from(room)).await),
                        Err(NotSent::NotLoggedIn) => Err(NotSaid::NotLoggedIn),
                        Err(NotSent::TooMany) => Err(NotSaid::TooMany),
                    };
                    let _ = notes.send(Note::Answered(id, done)).await;
                });
            }
            Errand::Cancel(room) => {
                tokio::spawn(async move {
                    let _ = govern::cancel(&client, &room).await;
                });
            }
            Errand::Unnote(room) => {
                tokio::spawn(async move {
                    let _ = bookmark::unnote(&client, &room).await;
                });
            }
            Errand::Prepare => {
                tokio::spawn(async move { prepare(&client, &notes).await });
            }
        }
    }
}

/// Returns what the answer to a request says of the message before it: the room has refused that by
/// then, or done it.
fn done(answer: Result<(), RequestError>) -> Result<(), NotSaid> {
    match answer {
        Err(RequestError::Refused(why))
            if matches!(
                why.condition,
                Condition::RemoteServerNotFound | Condition::RemoteServerTimeout
            ) =>
        {
            Err(NotSaid::TimedOut)
        }
        // Whatever it says, the room has answered.
        Ok(()) | Err(RequestError::Refused(_) | RequestError::Unreadable) => Ok(()),
        Err(RequestError::TimedOut) => Err(NotSaid::TimedOut),
        Err(RequestError::NotLoggedIn) => Err(NotSaid::NotLoggedIn),
        Err(RequestError::ConnectionLost | RequestError::Renamed | RequestError::TooMany) => {
            Err(NotSaid::ConnectionLost)
        }
    }
}

/// Finds out where rooms are and whom the account has blocked, and then which rooms are noted, since a
/// room is named by where it is, and what the blocked say in it is not shown. Each is noted as soon as
/// it is known: a change that is told after an answer must not be noted before it.
async fn prepare(client: &Client, notes: &mpsc::Sender<Note>) {
    let service = async {
        let service = service::find(client).await.unwrap_or_default();
        let _ = notes.send(Note::Service(service)).await;
    };
    let blocked = async {
        if let Ok(blocked) = crate::blocking::watch(client).await {
            let _ = notes.send(Note::Blocked(blocked)).await;
        }
    };
    tokio::join!(service, blocked);
    if let Ok(bookmarks) = bookmark::all(client).await {
        let _ = notes.send(Note::Bookmarks(bookmarks)).await;
    }
}
