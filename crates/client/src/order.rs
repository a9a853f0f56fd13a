//! Orders of a handle to the session's task, each with a channel for its answer.

use bytes::Bytes;
use tokio::sync::oneshot;
use whoelse_stream::Password;
use whoelse_xmpp::{BareJid, FullJid};

use crate::error::{ConnectError, LoginError, NotSent, RegisterError, RequestError};
use crate::kit::ListenerId;
use crate::pins::Fingerprint;
use crate::register::Probe;
use crate::request::{Answer, Request};
use crate::roster::Contact;
use crate::subscription::SubscriptionType;

/// An order with a channel for its answer.
#[derive(Debug)]
pub(crate) enum Order {
    Connect(oneshot::Sender<Result<(), ConnectError>>),
    Trust(Fingerprint, oneshot::Sender<()>),
    Probe(String, oneshot::Sender<Result<Probe, RegisterError>>),
    Register(String, Password, oneshot::Sender<Result<(), RegisterError>>),
    Login(Credentials, LoggedIn),
    CanRemember(String, oneshot::Sender<bool>),
    Logout(oneshot::Sender<()>),
    Message { id: String, to: BareJid, text: String, reply: oneshot::Sender<Result<(), NotSent>> },
    Subscription(SubscriptionType, BareJid, oneshot::Sender<Result<(), NotSent>>),
    Stanza(Bytes, Option<Mine>, oneshot::Sender<Result<(), NotSent>>),
    Claim(ListenerId, BareJid),
    Release(BareJid),
    ShowTo(FullJid, oneshot::Sender<Result<(), NotSent>>),
    Devices(BareJid, oneshot::Sender<Result<Vec<FullJid>, NotSent>>),
    Contacts(oneshot::Sender<Result<Option<Vec<Contact>>, NotSent>>),
    Request(Request, Reply),
    Settle(oneshot::Sender<()>),
    LeaveUnread(oneshot::Sender<()>),
}

/// What somebody logs in with.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    /// `None` stands for what is remembered on this computer.
    pub(crate) password: Option<Password>,
    /// Whether to remember the login.
    pub(crate) remember: bool,
}

/// The channel for the outcome of a login.
pub(crate) type LoggedIn = oneshot::Sender<Result<FullJid, LoginError>>;

/// The channel for the answer to a request.
pub(crate) type Reply = oneshot::Sender<Result<Answer, RequestError>>;

/// A stanza of ours on its way to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mine {
    pub(crate) id: String,
    pub(crate) to: BareJid,
    /// The listener that receives its refusal; `None` means the interface.
    pub(crate) listener: Option<ListenerId>,
}
