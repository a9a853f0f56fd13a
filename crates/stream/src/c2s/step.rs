//! The steps of the accepting machine: what it tells and asks its driver, and the answers.

use crate::fast::TokenLogin;
use crate::pump::Opened;
use crate::sasl::{Mechanism, Refusal};
use crate::sasl2;
use crate::scram::{FormerKey, Verifier};
use crate::secret::Password;
use crate::sm;
use whoelse_xmpp::{BareJid, Stanza, StreamError};

/// An event of a stream, or a question to the driver.
#[derive(Debug)]
pub enum Step {
    /// The client wants TLS. Flush the output, do the handshake, and answer with
    /// [`Machine::tls_started`](super::Machine::tls_started).
    StartTls,
    /// Somebody tries to log in under this name. Count the try, and answer with
    /// [`Machine::lookup`](super::Machine::lookup).
    Lookup {
        /// The claimed address; the account may not exist.
        account: BareJid,
        /// The mechanism. For SCRAM the verifier must have its hash; for PLAIN, any will do.
        mechanism: Mechanism,
    },
    /// XEP-0484: somebody shows to have a token of a device. Count the try, and answer with
    /// [`Machine::token_accepted`](super::Machine::token_accepted), or with
    /// [`Machine::failed`](super::Machine::failed). What else the client says of itself is in
    /// [`Machine::authenticate`](super::Machine::authenticate).
    Token(Box<TokenLogin>),
    /// Derive from this password with this verifier's parameters, where blocking is allowed
    /// ([`Verifier::derive_like`]), and answer with
    /// [`Machine::derived`](super::Machine::derived).
    Derive {
        /// The password that was received.
        password: Password,
        /// The hash, salt and iterations to use.
        verifier: Verifier,
    },
    /// The login failed. Answer with [`Machine::failed`](super::Machine::failed).
    AuthFailed {
        /// The claimed address.
        account: BareJid,
        /// Whether a password was compared, and was wrong. This is false if the message with the
        /// proof was malformed, or bound to another channel.
        compared: bool,
    },
    /// The login failed: what was proved is a former password. Answer with
    /// [`Machine::failed`](super::Machine::failed).
    FormerPassword {
        /// The claimed address.
        account: BareJid,
        /// Its place in [`LookupAnswer::Changed`].
        which: usize,
    },
    /// The login was proved, but the client has not been told. Note it down, then answer with
    /// [`Machine::succeeded`](super::Machine::succeeded), or
    /// [`Machine::refused`](super::Machine::refused) if it must not be. The look-up of the verifier
    /// has settled which account it is.
    ///
    /// In SASL2 the client is not told before what it asks for along with the login is done:
    /// [`Step::Resume`], [`Step::BindInline`] and [`Step::Complete`] follow, each if it is due.
    AuthSucceeded,
    /// On a trusted stream: the peer asks to log in as the user whom the system names. Answer with
    /// [`Machine::succeeded_as`](super::Machine::succeeded_as) or
    /// [`Machine::refused`](super::Machine::refused).
    External {
        /// The account as which it wants to act, if it says; always of the stream's domain.
        authzid: Option<BareJid>,
    },
    /// A client that has not logged in asks about an account, or to make one. Answer with
    /// [`Machine::registered`](super::Machine::registered).
    Register(RegisterRequest),
    /// The client wants a session. Answer with [`Machine::bound`](super::Machine::bound) or
    /// [`Machine::bind_refused`](super::Machine::bind_refused).
    Bind {
        /// The resource that it asks for, normalised.
        resource: Option<String>,
    },
    /// XEP-0386: the client wants a session, along with its login. Answer with
    /// [`Machine::bound_inline`](super::Machine::bound_inline). If it gets none, and that is not
    /// about its credentials, close the stream with an error: a client may throw its token away if
    /// it hears `<failure/>`. Otherwise answer with [`Machine::refused`](super::Machine::refused).
    BindInline(sasl2::Bind),
    /// XEP-0388: everything else that the client asked for along with its login is done. Answer with
    /// [`Machine::completed`](super::Machine::completed), which tells it.
    Complete,
    /// The client wants to resume a session. Answer with
    /// [`Machine::resumed`](super::Machine::resumed) or
    /// [`Machine::resume_failed`](super::Machine::resume_failed).
    Resume {
        /// The resumption id that the server gave.
        previd: String,
        /// How many of our stanzas it has handled.
        h: u32,
    },
    /// The stream is open. This comes once, after it was bound or resumed.
    Open,
    /// A stanza; it counts for stream management if that is enabled.
    Stanza(Stanza),
    /// An element of stream management.
    Sm(sm::Element),
    /// Another element of the stream. If no feature knows it, end the stream with
    /// `unsupported-stanza-type`.
    Element(Stanza),
    /// The client has closed its side of the stream. Write what is due, and answer with
    /// [`Machine::close`](super::Machine::close).
    Closed,
    /// The client did something that ends the stream; everything to be written is in the output.
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
    /// The account's verifier, and keys of former passwords: a proof of one of those is recognised,
    /// and fails.
    Changed {
        /// The verifier of the present password.
        verifier: Verifier,
        /// The keys, made with the same salt and iterations.
        former: Vec<FormerKey>,
    },
    /// There is no such account: a fake verifier, see [`Verifier::fake`]. The login continues in
    /// the same way and fails.
    Fake(Verifier),
    /// Nobody may try this name now.
    Refused(Refusal),
}

/// A request in the namespace of XEP-0077.
#[derive(Debug)]
pub enum RegisterRequest {
    /// Asks for the fields to fill in.
    Fields,
    /// A registration with the name alone: `conflict` means that the name exists, `not-acceptable`
    /// that it is free.
    Name(BareJid),
    /// Asks for an account with this address and password.
    Create {
        /// The address, which is valid for a new account.
        account: BareJid,
        /// The password.
        password: Password,
    },
}

/// The success of a registration request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterAnswer {
    /// Name and password are to be filled in, with instructions for people.
    Fields {
        /// The instructions.
        instructions: String,
    },
    /// The account is made.
    Done,
}
