//! What the accepting machine tells and asks its driver, and the answers it takes.

use crate::pump::Opened;
use crate::sasl::{Mechanism, Refusal};
use crate::scram::Verifier;
use crate::secret::Password;
use crate::sm;
use whoelse_xmpp::{BareJid, Stanza, StreamError};

/// Something that happened on a stream, or a question to the driver.
#[derive(Debug)]
pub enum Step {
    /// The client wants TLS. Flush the output, do the handshake, and answer with
    /// [`Machine::tls_started`](super::Machine::tls_started).
    StartTls,
    /// Somebody tries to log in under this name. Count the try, and answer with
    /// [`Machine::lookup`](super::Machine::lookup).
    Lookup {
        /// The address that they claim; nobody needs to have it.
        account: BareJid,
        /// How. For SCRAM the verifier must be of its hash, for PLAIN any will do.
        mechanism: Mechanism,
    },
    /// Derive from this password with this verifier's parameters, where blocking is allowed
    /// ([`Verifier::derive_like`]), and answer with
    /// [`Machine::derived`](super::Machine::derived).
    Derive {
        /// The password that came in.
        password: Password,
        /// Hash, salt and iterations to derive with.
        verifier: Verifier,
    },
    /// The login failed. Answer with [`Machine::failed`](super::Machine::failed).
    AuthFailed {
        /// The address that was claimed.
        account: BareJid,
        /// Whether a password was compared, and was wrong: not so where the message with the proof
        /// was malformed, or bound to another channel.
        compared: bool,
    },
    /// The login was proved, but nobody has told the client. Note it down, then answer with
    /// [`Machine::succeeded`](super::Machine::succeeded), or
    /// [`Machine::refused`](super::Machine::refused) if it must not be. Whose login it is was
    /// settled when the verifier was looked up.
    AuthSucceeded,
    /// On a trusted stream: the peer asks to be taken for who the system says it is. Answer with
    /// [`Machine::succeeded_as`](super::Machine::succeeded_as) or
    /// [`Machine::refused`](super::Machine::refused).
    External {
        /// The account it wants to act for, if it says; always of the stream's domain.
        authzid: Option<BareJid>,
    },
    /// Somebody who has not logged in asks about an account or for one. Answer with
    /// [`Machine::registered`](super::Machine::registered).
    Register(RegisterRequest),
    /// The client wants a session. Answer with [`Machine::bound`](super::Machine::bound) or
    /// [`Machine::bind_refused`](super::Machine::bind_refused).
    Bind {
        /// The name it wishes for it, normalised.
        resource: Option<String>,
    },
    /// The client wants to go on with a session. Answer with
    /// [`Machine::resumed`](super::Machine::resumed) or
    /// [`Machine::resume_failed`](super::Machine::resume_failed).
    Resume {
        /// The id it was given.
        previd: String,
        /// How many stanzas it has handled.
        h: u32,
    },
    /// The stream is open, once, after it was bound or resumed.
    Open,
    /// A stanza; it counts for stream management if that is enabled.
    Stanza(Stanza),
    /// An element of stream management.
    Sm(sm::Element),
    /// Another element of the stream. If no feature knows it, end the stream with
    /// `unsupported-stanza-type`.
    Element(Stanza),
    /// The client has closed the stream, as far as it goes. Say what is due, and answer with
    /// [`Machine::close`](super::Machine::close).
    Closed,
    /// The client did something that ends the stream; all that is to be said is in the output.
    Error(StreamError),
}

impl From<Opened> for Step {
    fn from(opened: Opened) -> Step {
        match opened {
            Opened::Stanza(stanza) => Step::Stanza(stanza),
            Opened::Sm(element) => Step::Sm(element),
            Opened::Element(element) => Step::Element(element),
        }
    }
}

/// The answer to [`Step::Lookup`].
#[derive(Debug, Clone)]
pub enum LookupAnswer {
    /// The account's verifier.
    Verifier(Verifier),
    /// There is no such account: a made-up verifier, see [`Verifier::fake`]. The login goes on
    /// the same way and fails.
    Fake(Verifier),
    /// Nobody may try this name now.
    Refused(Refusal),
}

/// What is asked in the namespace of XEP-0077.
#[derive(Debug)]
pub enum RegisterRequest {
    /// Which fields are to be filled in?
    Fields,
    /// A registration with the name alone: `conflict` means that it exists, `not-acceptable` that
    /// it is free.
    Name(BareJid),
    /// An account with this address and password.
    Create {
        /// The address, fit for a new account.
        account: BareJid,
        /// The password.
        password: Password,
    },
}

/// How a registration went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// Name and password are to be filled in; with a sentence for people.
    Fields {
        /// The sentence.
        instructions: String,
    },
    /// The account is made.
    Done,
}
