//! Orders of a handle to the task of the rooms, each with a channel for its answer; and the notes of
//! other tasks for it.

use tokio::sync::oneshot;
use whoelse_xmpp::{BareJid, FullJid, Outgoing};

use super::bookmark::Bookmark;
use super::displayed::Displayed;
use super::event::{NotEntered, NotSaid, Wanted};
use super::set::RoomView;
use super::write::Wish;
use crate::error::RequestError;

/// The channel for the outcome of entering a room.
pub(super) type EnterReply = oneshot::Sender<Result<Wanted, NotEntered>>;

/// An order.
#[derive(Debug)]
pub(super) enum Order {
    Enter {
        room: BareJid,
        nick: String,
        password: Option<String>,
        why: Wanted,
        reply: EnterReply,
    },
    Leave(BareJid, oneshot::Sender<bool>),
    Say {
        room: BareJid,
        id: String,
        text: String,
        reply: oneshot::Sender<Result<(), NotSaid>>,
    },
    /// A message to the room and not to all in it. What is not refused is done.
    Aside {
        room: BareJid,
        stanza: Outgoing,
        id: String,
        reply: oneshot::Sender<Result<(), NotSaid>>,
    },
    View(BareJid, oneshot::Sender<Option<RoomView>>),
    Views(oneshot::Sender<Vec<RoomView>>),
    Settle(oneshot::Sender<()>),
    /// From the next login on, only what is new is shown.
    ShowNew(oneshot::Sender<()>),
    /// What was shown is read.
    Read,
    /// Asks again where rooms are, if the server has not answered that. Answered when it is asked.
    FindService(oneshot::Sender<()>),
}

/// A note, and the mark of the request whose answer it is about, if one has come.
#[derive(Debug)]
pub(super) struct Noted {
    pub after: Option<u64>,
    pub note: Note,
}

/// It is about no answer, or about none that has come.
impl From<Note> for Noted {
    fn from(note: Note) -> Noted {
        Noted { after: None, note }
    }
}

/// A note of another task.
#[derive(Debug)]
pub(super) enum Note {
    /// The answer says nothing.
    Nothing,
    /// The domain of the own server's rooms, or what has become of asking for it.
    Service(Result<Option<String>, RequestError>),
    /// Whom the account has blocked.
    Blocked(Vec<BareJid>),
    /// Up to where rooms were read.
    Marks(Vec<Displayed>),
    /// Whether a mark was published.
    Marked(Displayed, Result<(), RequestError>),
    /// All bookmarks.
    Bookmarks(Vec<Bookmark>),
    /// The session has not taken a presence to this address in a room.
    PresenceNotSent { wish: Wish, place: FullJid },
    /// The session has not taken what was to be said in a room.
    NotSent { room: BareJid, id: String },
    /// What has become of the message of this id to a room, and not to all in it.
    Answered(String, Result<(), NotSaid>),
}
