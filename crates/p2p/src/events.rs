//! Events of private chats, and the errors of their calls.

use whoelse_client::Refusal;
use whoelse_xmpp::BareJid;

/// One event. Names and texts are as their senders wrote them; the interface makes them safe for a
/// terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Somebody asks for a private chat.
    Asks(BareJid),
    /// Somebody has taken a request back.
    TookBack(BareJid),
    /// A request was not answered in time.
    Lapsed(BareJid),
    /// Another device of mine has answered a request.
    AnsweredElsewhere(BareJid),
    /// Somebody has declined my request.
    Declined(BareJid),
    /// Somebody has not answered my request in time.
    NoAnswer(BareJid),
    /// My request could not be delivered.
    NotAsked {
        /// The addressee.
        whom: BareJid,
        /// The reason.
        why: Refusal,
    },
    /// Both agreed, but the line could not be opened.
    NotOpened {
        /// The other person.
        whom: BareJid,
        /// The reason.
        why: Failure,
    },
    /// A device is seen for the first time, and its key is remembered.
    NewDevice {
        /// Its owner.
        whom: BareJid,
        /// Whether it is the owner's first device.
        first: bool,
        /// The code to compare.
        code: String,
    },
    /// A new device could not be remembered, for this reason.
    NotRemembered(String),
    /// A line is open.
    Opened {
        /// The other person.
        whom: BareJid,
        /// Its path.
        path: Path,
    },
    /// The path of a line has changed.
    Moved {
        /// The other person.
        whom: BareJid,
        /// The new path.
        path: Path,
    },
    /// A message came over a line.
    Message {
        /// The author.
        from: BareJid,
        /// The text.
        text: String,
    },
    /// A message of mine was sent.
    Sent {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
    },
    /// A message of mine has arrived.
    Arrived {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
    },
    /// The peer does not confirm my messages.
    Silent(BareJid),
    /// The line ended, and it is unknown whether this message of mine arrived.
    Unconfirmed {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
        /// Its text.
        text: String,
    },
    /// A line has ended.
    Closed {
        /// The other person.
        whom: BareJid,
        /// The reason.
        why: Closing,
    },
}

/// The path of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// From one computer to the other.
    Direct,
    /// Through the server's relay, which cannot read the packets.
    Relay,
}

/// Why a line could not be opened though both agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The peer did not continue in time.
    TimedOut,
    /// The peer has given up.
    GivenUp,
    /// The peer is offline.
    Gone,
    /// The session with the server has ended.
    LoggedOut,
    /// The peer's transport is invalid.
    Nonsense,
    /// No packet got through, and no relay could be used.
    NoWay,
    /// The two have no path in common: one hides its addresses, the other does not use the relay.
    NoCommonWay,
    /// A known device shows another key than before.
    KeyChanged {
        /// The code to compare with the new key.
        code: String,
    },
    /// The peer knows this device by another key.
    NotTrusted,
    /// This computer has no socket, or no key.
    Local(String),
}

/// Why a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// I have closed it.
    ByMe,
    /// The other end has closed it.
    ByThem,
    /// Nothing has come from the peer for a while, or its program has ended without a goodbye.
    Lost,
    /// I have blocked them.
    Blocked,
    /// The peer broke the protocol.
    Violation,
    /// A new line has taken its place.
    Replaced,
    /// Another account logged in here.
    OtherAccount,
    /// The domain was renamed, so everybody has another address.
    Renamed,
}

/// The result of asking somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A request was sent.
    New,
    /// Their own request was accepted.
    Accepted,
}

/// What has been stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// A line; an event reports its end.
    Closed,
    /// A request of mine, or a line that was being opened.
    TookBack,
}

/// A device of somebody, with the code that two people compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The device's name.
    pub device: String,
    /// The code, which the other end shows as well.
    pub code: String,
    /// Whether the device has another key than before, and is refused until the user trusts it.
    pub changed: bool,
}

/// Why a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// This program was built without them.
    NotBuilt,
    /// There is no session.
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
    /// Too many messages of mine are unconfirmed.
    TooMany,
    /// Nothing is known of their devices.
    NoDevice,
    /// None of their devices has another key than before.
    NothingToTrust,
    /// The file of known devices could not be read or written.
    State(String),
}
