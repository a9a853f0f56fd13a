//! What rooms report to the interface, and why a room cannot be entered or spoken in.

use std::time::SystemTime;

use whoelse_xmpp::{BareJid, StanzaError};

use super::occupant::{Affiliation, Occupant, Role};

/// A room's address, and whether people name it by its first part alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomName {
    /// The address.
    pub address: BareJid,
    /// Whether it is a room of the own server.
    pub is_local: bool,
}

/// Something that happened in a room, or to it. Names and texts are as their senders wrote them; the
/// interface makes them safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomNews {
    /// The room.
    pub room: RoomName,
    /// What happened.
    pub what: RoomEvent,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomEvent {
    /// I am in the room. What was said lately, and what it is about, follow.
    Entered {
        /// My nickname.
        nick: String,
        /// Who else is there.
        others: Vec<Occupant>,
        /// Why.
        why: Wanted,
        /// Whether everybody there sees my address.
        shows_addresses: bool,
    },
    /// It was to be entered by itself, and was not.
    NotEntered(NotEntered),
    /// I am not in the room any more.
    Left {
        /// How it came.
        how: Exit,
        /// The nickname of who has done it.
        by: Option<String>,
        /// Their reason.
        reason: Option<String>,
    },
    /// Of what was said before I came only the last part follows, and all of it is new.
    More,
    /// Somebody said something.
    Said(Speech),
    /// What the room is about, now or since before I came; empty: nothing.
    Topic {
        /// The nickname of who has said so.
        by: Option<String>,
        /// The topic.
        text: String,
        /// When, if it was before I came.
        at: Option<SystemTime>,
    },
    /// Somebody came.
    Came(Occupant),
    /// Somebody left, or was put out.
    Went {
        /// Their nickname.
        nick: String,
        /// How.
        how: Exit,
        /// The nickname of who has done it.
        by: Option<String>,
        /// A reason.
        reason: Option<String>,
    },
    /// Somebody has another nickname.
    Renamed {
        /// The former one.
        from: String,
        /// The new one.
        to: String,
        /// Whether it is mine.
        is_me: bool,
    },
    /// Somebody is something else in the room than before.
    Standing {
        /// Their nickname.
        nick: String,
        /// Whether it is me.
        is_me: bool,
        /// What they are to the room.
        affiliation: Affiliation,
        /// What they are in it.
        role: Role,
    },
    /// From now on everybody in the room sees everybody's address, or does not.
    ShowsAddresses(bool),
    /// Somebody invites me to the room.
    Invited {
        /// Who, if that is said.
        by: Option<BareJid>,
        /// Their reason.
        reason: Option<String>,
    },
    /// Somebody whom I have invited does not come.
    Declined {
        /// Who.
        by: BareJid,
        /// Their reason.
        reason: Option<String>,
    },
    /// A message of mine is on its way. A verdict follows: one of the next four.
    Sent {
        /// Its id.
        id: String,
    },
    /// The room has told everybody a message of mine.
    Acknowledged {
        /// Its id.
        id: String,
    },
    /// The room has refused a message of mine.
    Refused {
        /// Its id.
        id: String,
        /// The room's error.
        why: StanzaError,
    },
    /// A message of mine never left: too many lines wait for the connection.
    NotSent {
        /// Its id.
        id: String,
    },
    /// Nobody knows whether a message of mine was told.
    Unconfirmed {
        /// Its id.
        id: String,
    },
}

/// Something that was said in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// Who has said it: a nickname. `None`: the room itself.
    pub nick: Option<String>,
    /// Their account, if the room shows it.
    pub who: Option<BareJid>,
    /// The text.
    pub text: String,
    /// Its number in the room's archive, or else its author's number for it.
    pub id: Option<String>,
    /// When, if it was before I came.
    pub at: Option<SystemTime>,
    /// Whether it was said to me alone.
    pub is_private: bool,
}

/// Why a room is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The user has asked for it.
    Asked,
    /// The user has asked for it, and there was no such room: this has made it.
    Made,
    /// It is noted for every login.
    Bookmark,
    /// Another device of mine has noted it.
    Elsewhere,
    /// I was there before: the session is a new one, or the room had put this device out.
    Again,
}

/// How somebody came to leave a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// They wanted to.
    Asked,
    /// I have left it on another device.
    Elsewhere,
    /// A moderator has put them out; they may come back.
    Kicked,
    /// They may not come back.
    Banned,
    /// They are no member any more, and only members may be there.
    NoMember,
    /// Only members may be there from now on.
    MembersOnly,
    /// The service goes down.
    Shutdown,
    /// The device did not take what was said. `back`: whether it comes back by itself.
    TooSlow {
        /// Whether this device enters the room again by itself.
        back: bool,
    },
    /// The room is no more; perhaps there is another one instead.
    Destroyed {
        /// The other one.
        venue: Option<BareJid>,
    },
}

/// Why a room was not entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotEntered {
    /// There is no such room, and none was to be made.
    NoSuchRoom,
    /// The room, or its service, has refused it.
    Refused {
        /// By this nickname.
        nick: String,
        /// The error.
        why: StanzaError,
    },
    /// The room has not answered.
    TimedOut,
    /// There is no session.
    NotLoggedIn,
    /// It was left before that.
    Left,
    /// There are too many rooms.
    TooMany,
    /// It never left: too many lines wait for the connection.
    NotSent,
}

/// Why nothing was said in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSaid {
    /// I am not in it.
    NotThere,
    /// Too many messages of mine have not been told by the room yet.
    TooMany,
    /// There is no session.
    NotLoggedIn,
    /// The room has refused it.
    Refused(StanzaError),
    /// The room has not answered.
    TimedOut,
    /// The connection was lost before it has: nobody knows whether it was done.
    ConnectionLost,
}
