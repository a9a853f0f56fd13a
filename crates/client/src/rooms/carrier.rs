//! The task that passes stanzas of the rooms to the session, in order. The rooms' own task never waits
//! for the session, which may itself be waiting for it to read.

use tokio::sync::mpsc;
use whoelse_xmpp::{BareJid, Condition, Jid, Outgoing};

use super::displayed::{self, Displayed};
use super::event::NotSaid;
use super::order::{Note, Noted};
use super::write::Presence;
use super::{bookmark, govern, service};
use crate::blocking;
use crate::client::Client;
use crate::error::{NotSent, RequestError};
use crate::kit::{ListenerId, Mark};
use crate::request::{Answer, Request};
use crate::teller::Teller;

/// Errands that the carrier takes at once; further ones wait with the rooms.
const TAKEN: usize = 32;

/// One thing to do with the session.
#[derive(Debug)]
pub(super) enum Errand {
    Claim(BareJid),
    Release(BareJid),
    /// Sends presence, and notes if it was not sent.
    Send(Presence),
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
    /// Marks up to where a room was read.
    Mark(Displayed),
    /// Asks for all that is needed after a login; if so, also up to where rooms were read.
    Prepare {
        read: bool,
    },
}

/// Begins. Holds the session as long as errands can be told.
pub(super) fn start(client: Client, me: ListenerId, notes: mpsc::Sender<Noted>) -> Teller<Errand> {
    let (carry, errands) = mpsc::channel(TAKEN);
    tokio::spawn(run(client, me, errands, notes));
    Teller::new(carry)
}

async fn run(
    client: Client,
    me: ListenerId,
    mut errands: mpsc::Receiver<Errand>,
    notes: mpsc::Sender<Noted>,
) {
    let mut last = 0;
    let mut mark = || {
        last += 1;
        Mark { listener: me, number: last }
    };
    while let Some(errand) = errands.recv().await {
        let (client, notes) = (client.clone(), notes.clone());
        match errand {
            Errand::Claim(room) => client.claim(me, &room).await,
            Errand::Release(room) => client.release(&room).await,
            // Without a session there are no rooms.
            Errand::Send(Presence { wish, place, stanza }) => {
                if client.send(stanza).await == Err(NotSent::TooMany) {
                    // Not from here, as below.
                    let note = Note::PresenceNotSent { wish, place };
                    tokio::spawn(async move { notes.send(note.into()).await });
                }
            }
            Errand::Say { room, id, stanza } => {
                if client.send(stanza).await.is_err() {
                    // Not from here: the rooms may be waiting for room in the errands.
                    let note = Note::NotSent { room, id };
                    tokio::spawn(async move { notes.send(note.into()).await });
                }
            }
            Errand::Aside { room, stanza, id } => {
                let sent = client.send(stanza).await;
                let mark = mark();
                tokio::spawn(async move {
                    let noted = match sent {
                        Ok(()) => {
                            let ping = service::ping(Jid::from(room));
                            let note = |answer| Note::Answered(id, done(answer));
                            ask(&client, ping, mark, note).await
                        }
                        Err(why) => {
                            let why = match why {
                                NotSent::NotLoggedIn => NotSaid::NotLoggedIn,
                                NotSent::TooMany => NotSaid::TooMany,
                            };
                            Note::Answered(id, Err(why)).into()
                        }
                    };
                    let _ = notes.send(noted).await;
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
            Errand::Mark(mark) => {
                tokio::spawn(async move {
                    let done = displayed::publish(&client, &mark).await;
                    notes.send(Note::Marked(mark, done).into()).await
                });
            }
            Errand::Prepare { read } => {
                let marks = [mark(), mark(), mark()];
                tokio::spawn(async move { prepare(&client, &notes, marks, read).await });
            }
        }
    }
}

/// Asks, and makes a note of the answer. Notes come by another way than what the session tells, and
/// the mark says where between that this one stands.
async fn ask(
    client: &Client,
    request: Request,
    mark: Mark,
    note: impl FnOnce(Result<Answer, RequestError>) -> Note,
) -> Noted {
    let answer = client.request(request.marked(mark)).await;
    let is_answered = answer.as_ref().err().is_none_or(RequestError::is_answer);
    Noted { after: is_answered.then_some(mark.number), note: note(answer) }
}

/// Returns what the answer to a request says of the message before it: the room has refused that by
/// then, or done it.
fn done(answer: Result<Answer, RequestError>) -> Result<(), NotSaid> {
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
        Ok(_) | Err(RequestError::Refused(_) | RequestError::Unreadable) => Ok(()),
        Err(RequestError::TimedOut) => Err(NotSaid::TimedOut),
        Err(RequestError::NotLoggedIn) => Err(NotSaid::NotLoggedIn),
        Err(RequestError::ConnectionLost | RequestError::Renamed | RequestError::TooMany) => {
            Err(NotSaid::ConnectionLost)
        }
    }
}

/// Finds out where rooms are, whom the account has blocked and, if so, what it has read, and then which
/// rooms are noted, since a room is named by where it is, and what the blocked say in it and what was
/// read is not shown.
async fn prepare(
    client: &Client,
    notes: &mpsc::Sender<Noted>,
    [list, read_up_to, all]: [Mark; 3],
    reads: bool,
) {
    let service = async {
        let _ = notes.send(Note::Service(service::find(client).await).into()).await;
    };
    let blocked = async {
        let note = |answer| blocking::read(answer).map_or(Note::Nothing, Note::Blocked);
        let _ = notes.send(ask(client, blocking::ask(), list, note).await).await;
    };
    let read = async {
        if reads {
            // Without them everything is shown.
            let note = |answer| displayed::read_all(answer).map_or(Note::Nothing, Note::Marks);
            let _ = notes.send(ask(client, displayed::ask(), read_up_to, note).await).await;
        }
    };
    tokio::join!(service, blocked, read);
    let note = |answer| bookmark::read_all(answer).map_or(Note::Nothing, Note::Bookmarks);
    let _ = notes.send(ask(client, bookmark::ask(), all, note).await).await;
}
