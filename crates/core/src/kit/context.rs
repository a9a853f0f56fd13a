//! The contexts of a request: who asks, about whom, and when.
//!
//! [`Cx`] is for anybody who may ask. A richer right is a richer type, and its constructor makes
//! the refusal: [`SessionCx`] for a user who is logged in here, [`AdminCx`] for an administrator.

use std::ops::Deref;
use std::sync::Arc;

use whoelse_xmpp::{Condition, Jid, StanzaError};

use super::Command;
use crate::account::Account;
use crate::clock::Time;
use crate::node::Node;
use crate::principal::Rights;
use crate::route::Origin;
use crate::session::{Session, Ticket};

/// Whom a request is addressed to, seen from its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The server itself, by its domain.
    Server,
    /// The sender's own account, by its bare address or no address at all.
    Own,
    /// Somebody else's account, by its bare address; the server answers on its behalf. The sender
    /// may see it.
    Other,
    /// The bare address of a user whom the sender may not see, or of nobody. The sender must not
    /// learn which of the two it is, so a handler is not told. Without a handler the answer is
    /// `service-unavailable`.
    Hidden,
    /// Like [`Target::Hidden`], for a full address.
    HiddenDevice,
    /// A service, by its key and its address without more.
    Service(&'static str),
}

/// Every service, where a handler says for what it answers.
pub const ANY_SERVICE: Target = Target::Service("");

impl Target {
    /// Whether it is one of these.
    pub(crate) fn is_among(self, targets: At) -> bool {
        let is_service = matches!(self, Target::Service(_));
        targets.iter().any(|it| *it == self || is_service && *it == ANY_SERVICE)
    }
}

/// Which targets a handler answers for.
pub type At = &'static [Target];
/// The server.
pub const SERVER: At = &[Target::Server];
/// The own account.
pub const OWN: At = &[Target::Own];
/// The server and the own account.
pub const SERVER_OR_OWN: At = &[Target::Server, Target::Own];
/// All three.
pub const ANYWHERE: At = &[Target::Server, Target::Own, Target::Other];

/// The context of a request, whoever sends it.
#[derive(Clone)]
pub struct Cx {
    /// The server.
    pub node: Arc<Node>,
    /// The address that asks.
    pub from: Jid,
    /// Whom the request is addressed to.
    pub target: Target,
    /// When the request was read.
    pub now: Time,
    /// The number of the account that asks: whose address it was when it asked. `None`: it is none of
    /// this server's.
    pub asker: Option<i64>,
    subject: Option<Arc<Account>>,
    rights: Rights,
}

/// The context of a request by a user who is logged in here.
#[derive(Clone)]
pub struct SessionCx {
    cx: Cx,
    /// The session that asks.
    pub session: Arc<Session>,
    /// The place of the request in the count of the session.
    ticket: Ticket,
}

/// The context of an administrator's request.
#[derive(Clone)]
pub struct AdminCx(SessionCx);

impl Cx {
    /// Makes the context for an account that is asked about. Rights beyond the asker's own need a
    /// session.
    pub(crate) fn new(
        node: Arc<Node>,
        (from, asker): (Jid, Option<i64>),
        target: Target,
        subject: Arc<Account>,
    ) -> Cx {
        let now = node.clock.now();
        Cx { node, from, target, now, asker, subject: Some(subject), rights: Rights::Own }
    }

    /// Makes the context for a request to an address that is hidden, from this one.
    pub(crate) fn of_hidden(node: Arc<Node>, from: Jid) -> Cx {
        let now = node.clock.now();
        let (target, rights) = (Target::Hidden, Rights::Own);
        Cx { node, from, target, now, asker: None, subject: None, rights }
    }

    /// Returns the account that is asked about, for [`Target::Own`], and for [`Target::Other`]
    /// unless the handler takes a [`SessionCx`]. Otherwise `not-allowed`: so no handler gets an
    /// account that it must not look at, and the server itself, which asks as well, has none.
    pub fn subject(&self) -> Result<&Arc<Account>, StanzaError> {
        self.subject.as_ref().ok_or_else(no_account)
    }

    /// Runs what may read much of the store when it is the asker's turn
    /// ([`Session::in_reading_turn`]). Whoever has no session here waits for nobody.
    pub async fn in_reading_turn<T>(&self, reading: impl Future<Output = T>) -> T {
        match self.node.session_at(&self.from) {
            Some(session) => session.in_reading_turn(self.node.clock.steady(), reading).await,
            None => reading.await,
        }
    }

    /// Returns the ad-hoc commands that the asker may run.
    pub fn commands(&self) -> impl Iterator<Item = &'static Command> + '_ {
        let is_admin = self.rights >= Rights::Administrator;
        let commands = self.node.wiring.commands().iter().copied();
        commands.filter(move |command| is_admin || !command.right.is_an_administrators())
    }

    /// Returns the error for a hidden address where strangers may never ask this question:
    /// `forbidden`, or, where nobody is a stranger, that there is nothing. An address that nobody
    /// has is answered alike.
    pub fn hidden(&self) -> StanzaError {
        StanzaError::new(match self.node.contacts.hide_who_exists() {
            true => Condition::Forbidden,
            false => Condition::ServiceUnavailable,
        })
    }
}

impl SessionCx {
    /// Makes the context for a request that a session sends to itself or to the server.
    pub(crate) fn new(
        node: Arc<Node>,
        (session, ticket): (Arc<Session>, Ticket),
        target: Target,
    ) -> SessionCx {
        let subject = session.account.clone().filter(|_| target == Target::Own);
        let rights = node.rights(&session);
        let (from, now) = (session.jid.clone().into(), node.clock.now());
        let asker = session.account.as_ref().map(|account| account.id);
        let cx = Cx { node, from, target, now, asker, subject, rights };
        SessionCx { cx, session, ticket }
    }

    /// Returns the account of the session, or `not-allowed`: the server itself has none.
    pub fn account(&self) -> Result<&Arc<Account>, StanzaError> {
        self.session.account.as_ref().ok_or_else(no_account)
    }

    /// Returns the origin of the request, for what it says to others.
    pub fn origin(&self) -> Origin {
        Origin::Session { session: self.session.clone(), ticket: self.ticket }
    }

    /// Returns the administrator's rights, or `forbidden`.
    pub fn admin(&self) -> Result<AdminCx, StanzaError> {
        match self.rights {
            Rights::Administrator | Rights::Operator => Ok(AdminCx(self.clone())),
            Rights::Own => Err(StanzaError::new(Condition::Forbidden)
                .with_text("only an administrator may do this")),
        }
    }

    /// Like [`SessionCx::admin`], for what may only be done on the server's machine, over its admin
    /// socket.
    pub fn operator(&self) -> Result<AdminCx, StanzaError> {
        let cx = self.admin()?;
        match self.rights {
            Rights::Operator => Ok(cx),
            Rights::Administrator | Rights::Own => Err(StanzaError::new(Condition::Forbidden)
                .with_text("this can only be done on the machine of the server")),
        }
    }
}

fn no_account() -> StanzaError {
    StanzaError::new(Condition::NotAllowed)
}

impl From<SessionCx> for Cx {
    fn from(asking: SessionCx) -> Cx {
        asking.cx
    }
}

impl Deref for SessionCx {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

impl Deref for AdminCx {
    type Target = SessionCx;
    fn deref(&self) -> &SessionCx {
        &self.0
    }
}
