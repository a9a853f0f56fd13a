//! What private chats tell their face, and why something asked of them is not done.

use whoelse_client::Refusal;
use whoelse_xmpp::BareJid;

/// One thing that happened. Names and texts are as their senders wrote them; making them safe for a
/// terminal is the face's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Somebody asks for a private chat.
    Asks(BareJid),
    /// Somebody has taken a request back.
    TookBack(BareJid),
    /// Nobody has answered somebody's request in time.
    Lapsed(BareJid),
    /// Another device of mine has answered somebody's request.
    AnsweredElsewhere(BareJid),
    /// Somebody was asked, and has declined.
    Declined(BareJid),
    /// Somebody was asked, and has not answered in time.
    NoAnswer(BareJid),
    /// Somebody could not be asked.
    NotAsked {
        /// Who.
        whom: BareJid,
        /// Why.
        why: Refusal,
    },
    /// Both wanted a line, and there is none.
    NotOpened {
        /// With whom.
        whom: BareJid,
        /// Why.
        why: Failure,
    },
    /// A device of somebody is here for the first time, and its key is remembered.
    NewDevice {
        /// Whose.
        whom: BareJid,
        /// Whether it is the first of theirs.
        first: bool,
        /// The code to compare.
        code: String,
    },
    /// A new device could not be remembered, for this reason.
    NotRemembered(String),
    /// There is a line.
    Opened {
        /// With whom.
        whom: BareJid,
        /// Which way it takes.
        path: Path,
    },
    /// The line takes another way.
    Moved {
        /// With whom.
        whom: BareJid,
        /// Which.
        path: Path,
    },
    /// A message came over a line.
    Message {
        /// Who wrote it.
        from: BareJid,
        /// What.
        text: String,
    },
    /// A message of mine is on its way.
    Sent {
        /// Its id.
        id: String,
        /// To whom.
        to: BareJid,
    },
    /// A message of mine has arrived.
    Arrived {
        /// Its id.
        id: String,
        /// To whom.
        to: BareJid,
    },
    /// The other end does not say that it has my messages.
    Silent(BareJid),
    /// The line is gone, and nobody knows whether this message of mine arrived.
    Unconfirmed {
        /// Its id.
        id: String,
        /// To whom it was going.
        to: BareJid,
        /// What it said.
        text: String,
    },
    /// The line is gone.
    Closed {
        /// With whom.
        whom: BareJid,
        /// Why.
        why: Closing,
    },
}

/// Which way a line takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// From one computer to the other.
    Direct,
    /// Through the server's relay, which cannot read what passes.
    Relay,
}

/// Why there is no line though both wanted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The other end did not go on in time.
    TimedOut,
    /// The other end has given up.
    GivenUp,
    /// The other end cannot be reached any more.
    Gone,
    /// The session with the server has ended.
    LoggedOut,
    /// What the other end says of itself makes no sense.
    Nonsense,
    /// No packet of one end reached the other, and no relay could be used.
    NoWay,
    /// The two will not have a way in common: one hides its addresses, the other takes no relay.
    NoCommonWay,
    /// A device that is known shows another key than before.
    KeyChanged {
        /// The code to compare with the new key.
        code: String,
    },
    /// The other end knows this device under another key.
    NotTrusted,
    /// This computer gave no socket, or no key.
    Local(String),
}

/// Why a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// I have closed it.
    ByMe,
    /// The other end has closed it.
    ByThem,
    /// The other end has not been heard of for a while, or its program has ended without a word.
    Lost,
    /// I have blocked them.
    Blocked,
    /// The other end said something that is not allowed.
    Violation,
    /// A new line has taken its place.
    Replaced,
    /// Another account logged in here.
    OtherAccount,
    /// The domain has another name, under which everybody is another account to whoever knew them.
    Renamed,
}

/// What a wish for a private chat has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A request.
    New,
    /// The answer to a request of theirs.
    Accepted,
}

/// What has been stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// A line; that it is closed is told.
    Closed,
    /// A request of mine, or what was to become a line.
    TookBack,
}

/// A device of somebody, by the code that two people compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The device's name.
    pub device: String,
    /// The code; the same is shown at the other end.
    pub code: String,
    /// Whether the device has another key than before, and is refused until that is trusted.
    pub changed: bool,
}

/// Why something asked of private chats is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// This program was built without them.
    NotBuilt,
    /// There is no session, in which one could be begun.
    NotLoggedIn,
    /// A line is there already.
    AlreadyOpen,
    /// A request of mine has not been answered yet.
    AlreadyAsked,
    /// None of their devices can do it.
    CannotDoIt,
    /// There is no request of theirs.
    NoRequest,
    /// There is no line.
    NoneOpen,
    /// The line is ending already.
    Closing,
    /// So much of mine is unconfirmed that no more is taken.
    TooMany,
    /// Nothing is known of their devices.
    NoDevice,
    /// None of their devices has another key than before.
    NothingToTrust,
    /// What devices are known could not be read or written.
    State(String),
}
