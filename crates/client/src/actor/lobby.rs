//! The state without a login: connecting, probing names, making accounts, logging in.
//!
//! A connection that was made for one of these is kept for the next.

use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use whoelse_stream::Password;
use whoelse_xmpp::{BareJid, FullJid};

use super::LOGIN_WITHIN;
use crate::backoff::Tries;
use crate::config::Config;
use crate::connect::{Coming, Connector, IfChanged};
use crate::entry::{By, Entry};
use crate::error::{ConnectError, LoginError, NotSent, RegisterError, RequestError};
use crate::login::{Entered, Opened, Refused, enter};
use crate::order::{Credentials, LoggedIn, Order};
use crate::register::Probe;
use crate::remembered::{Place, Wanted};
use crate::session::Granted;
use crate::wire::{CLOSE_WITHIN, Wire};

/// Attempts to connect to a server that closes the connection before it can be used: 8 s in all.
const CONNECTIONS: usize = 6;
/// Attempts if it closes when it is asked something. Each one may count as a wrong password.
const QUESTIONS: usize = 3;
/// Attempts if it has no room for the session right now, though the password is right: 8 s in all.
const ADMISSIONS: usize = 6;

/// The connector and the idle connection.
pub(super) struct Lobby {
    pub(super) connector: Connector,
    at_hand: Option<Wire>,
}

/// A new session on its connection, and who asked for it.
pub(super) struct Admitted {
    pub(super) fresh: Fresh,
    pub(super) entry: Entry,
    /// Where the login is remembered, if it is.
    pub(super) place: Option<Place>,
    pub(super) reply: LoggedIn,
}

/// A new session on its connection.
pub(super) struct Fresh {
    pub(super) wire: Wire,
    pub(super) me: FullJid,
    pub(super) granted: Granted,
}

impl Lobby {
    pub(super) fn new(config: Config) -> Lobby {
        Lobby { connector: Connector::new(config), at_hand: None }
    }

    /// Waits until the idle connection ends, and forgets it; waits for ever if there is none. The
    /// server closes a connection that does not log in; the next order makes another.
    pub(super) async fn until_gone(&mut self) {
        match &mut self.at_hand {
            Some(wire) => wire.until_gone().await,
            None => std::future::pending().await,
        }
        self.at_hand = None;
    }

    /// Closes the idle connection.
    pub(super) async fn close(self) {
        if let Some(wire) = self.at_hand {
            wire.close(CLOSE_WITHIN).await;
        }
    }

    /// Carries out an order, as long as somebody waits for the answer. Returns the session, if it
    /// was a login.
    pub(super) async fn obey(&mut self, order: Order) -> Option<Admitted> {
        match order {
            Order::Connect(mut reply) => {
                let connecting =
                    async { self.connection(IfChanged::Refuse, None).await.map(|_| ()) };
                if let Some(connected) = while_awaited(&mut reply, connecting).await {
                    let _ = reply.send(connected);
                }
            }
            Order::Trust(fingerprint, done) => {
                self.connector.config.accepted = Some(fingerprint);
                self.at_hand = None;
                let _ = done.send(());
            }
            Order::Probe(name, mut reply) => {
                let probing = self.probe(&name);
                match while_awaited(&mut reply, probing).await {
                    Some(answer) => drop(reply.send(answer)),
                    // A late answer would be taken for the answer to the next question.
                    None => self.at_hand = None,
                }
            }
            Order::Register(name, password, mut reply) => {
                let registering = self.register(&name, password);
                match while_awaited(&mut reply, registering).await {
                    Some(answer) => drop(reply.send(answer)),
                    None => self.at_hand = None,
                }
            }
            Order::Login(credentials, mut reply) => {
                match while_awaited(&mut reply, self.admit(credentials)).await {
                    Some(Ok((fresh, entry, place))) => {
                        return Some(Admitted { fresh, entry, place, reply });
                    }
                    Some(Err(fault)) => {
                        let _ = reply.send(Err(fault));
                    }
                    None => {}
                }
            }
            Order::CanRemember(name, mut reply) => {
                let asking = self.can_remember(&name);
                if let Some(can) = while_awaited(&mut reply, asking).await {
                    let _ = reply.send(can);
                }
            }
            Order::Logout(done) | Order::Settle(done) => {
                let _ = done.send(());
            }
            Order::LeaveUnread(done) => {
                self.connector.config.unread = true;
                let _ = done.send(());
            }
            Order::Message { reply, .. } => {
                let _ = reply.send(Err(NotSent::NotLoggedIn));
            }
            Order::Subscription(_, _, reply) | Order::Stanza(_, _, reply) => {
                let _ = reply.send(Err(NotSent::NotLoggedIn));
            }
            // Nothing arrives without a session.
            Order::Claim(..) | Order::Release(_) => {}
            Order::ShowTo(_, reply) => {
                let _ = reply.send(Err(NotSent::NotLoggedIn));
            }
            Order::Devices(_, reply) => {
                let _ = reply.send(Err(NotSent::NotLoggedIn));
            }
            Order::Contacts(reply) => {
                let _ = reply.send(Err(NotSent::NotLoggedIn));
            }
            Order::Request(_, reply) => {
                let _ = reply.send(Err(RequestError::NotLoggedIn));
            }
        }
        None
    }

    /// Returns the idle connection, or a new one that is opened in this name, or in the one that is going
    /// to log in.
    async fn connection(
        &mut self,
        if_changed: IfChanged,
        name: Option<&str>,
    ) -> Result<&mut Wire, ConnectError> {
        let wire = match self.at_hand.take() {
            Some(wire) if wire.untrusted().is_none() || if_changed == IfChanged::Prove => wire,
            _ => {
                let name = name.or(self.connector.config.name.as_deref());
                let who = name.and_then(|name| self.connector.account(name));
                connect(&self.connector, if_changed, who).await?
            }
        };
        Ok(self.at_hand.insert(wire))
    }

    /// Leaves the idle connection if this name cannot log in over it: it was opened in another one, or in
    /// none and a token is used or asked for, which servers offer to somebody alone (XEP-0484, 4.1).
    fn leave_unless_for(&mut self, name: &str, by_token: bool) {
        let own = self.connector.account(name);
        self.at_hand.take_if(|wire| match wire.opener() {
            None => by_token,
            opener => opener != own.as_ref(),
        });
    }

    async fn probe(&mut self, name: &str) -> Result<Probe, RegisterError> {
        let mut tries = Tries::new(QUESTIONS);
        loop {
            let is_old = self.at_hand.is_some();
            let address = self.connector.config.address();
            let wire =
                self.connection(IfChanged::Refuse, None).await.map_err(RegisterError::Connect)?;
            match answered(LOGIN_WITHIN, address, wire.probe(name)).await {
                Err(RegisterError::Connect(fault)) => {
                    self.at_hand = None;
                    // An idle connection may have ended unnoticed.
                    if !(is_old && fault.is_passing()) {
                        tries.after(fault).await.map_err(RegisterError::Connect)?;
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn register(&mut self, name: &str, password: Password) -> Result<(), RegisterError> {
        let address = self.connector.config.address();
        let wire =
            self.connection(IfChanged::Refuse, None).await.map_err(RegisterError::Connect)?;
        let answer = answered(LOGIN_WITHIN, address, wire.register(name, &password)).await;
        if matches!(answer, Err(RegisterError::Connect(_))) {
            self.at_hand = None;
        }
        answer
    }

    async fn can_remember(&mut self, name: &str) -> bool {
        if self.connector.config.state.is_none() {
            return false;
        }
        self.leave_unless_for(name, true);
        let wire = self.connection(IfChanged::Refuse, Some(name)).await;
        wire.is_ok_and(|wire| wire.gives_tokens())
    }

    /// Logs in, by a password or by what is remembered. Returns where the login is remembered from now
    /// on, if it is.
    async fn admit(
        &mut self,
        credentials: Credentials,
    ) -> Result<(Fresh, Entry, Option<Place>), LoginError> {
        let Credentials { name, password, remember } = credentials;
        let (mut place, entry) = match password {
            Some(password) => {
                let place = remember.then(|| self.connector.place(&name, Wanted::Any)).flatten();
                let entry = Entry::by_password(&name, password);
                let entry = entry.for_place(place.as_ref(), self.connector.process);
                (place, entry)
            }
            None => {
                let place = self.connector.place(&name, Wanted::Remembered);
                let entry = place.as_ref().and_then(|place| Entry::by_token(&name, place));
                (place, entry.ok_or(LoginError::NotRemembered)?)
            }
        };
        let mut fresh = match self.login(&entry).await {
            Err(fault @ LoginError::TokenRefused { .. }) => {
                // If it cannot be removed, it is refused again the next time.
                let _ = place.as_mut().map(Place::forget);
                return Err(fault);
            }
            entered => entered?,
        };
        if let Some(place) = &mut place {
            place.renew(fresh.wire.take_token());
        }
        if let Some(place) = place.take_if(|place| place.held().is_none()) {
            // No token was given. The session has begun as this installation all the same, and comes
            // back as it.
            self.connector.process = place.installation();
        }
        Ok((fresh, entry, place))
    }

    async fn login(&mut self, entry: &Entry) -> Result<Fresh, LoginError> {
        let (mut tries, mut admissions) = (Tries::new(QUESTIONS), Tries::new(ADMISSIONS));
        let by_token = matches!(entry.by, By::Token(_)) || entry.wants_token;
        self.leave_unless_for(&entry.name, by_token);
        loop {
            let is_old = self.at_hand.is_some();
            // A token is for the server that gave it.
            let if_changed = match entry.by {
                By::Password(_) => IfChanged::Prove,
                By::Token(_) => IfChanged::Refuse,
            };
            let connected = self.connection(if_changed, Some(&entry.name)).await;
            connected.map_err(LoginError::Connect)?;
            let Some(wire) = self.at_hand.take() else {
                return Err(LoginError::Connect(ConnectError::Ended));
            };
            let entered = timeout(LOGIN_WITHIN, enter(wire, entry)).await;
            match entered.map_err(|_| LoginError::Connect(self.connector.timed_out()))? {
                Ok(Entered { wire, opened: Opened::New { me, granted, .. } }) => {
                    self.connector.remember_login(&wire);
                    return Ok(Fresh { wire, me, granted });
                }
                // We did not ask to resume.
                Ok(Entered { opened: Opened::Resumed { .. }, .. }) => {
                    return Err(LoginError::Connect(ConnectError::Ended));
                }
                Err(Refused { fault: LoginError::Connect(fault), .. }) => {
                    // An idle connection may have ended while the user was typing.
                    if !(is_old && fault.is_passing()) {
                        tries.after(fault).await.map_err(LoginError::Connect)?;
                    }
                }
                Err(refused) => {
                    // There are too many sessions of this account, or logins, and either may pass.
                    let may_pass = matches!(refused.fault, LoginError::NotNow { .. });
                    if !(may_pass && admissions.once_more().await) {
                        self.at_hand = refused.wire;
                        return Err(refused.fault);
                    }
                }
            }
        }
    }
}

/// Connects. A server that closes the connection at once restarts or is overloaded, so it is tried
/// again for a while.
async fn connect(
    connector: &Connector,
    if_changed: IfChanged,
    who: Option<BareJid>,
) -> Result<Wire, ConnectError> {
    let mut tries = Tries::new(CONNECTIONS);
    let coming = Coming { who, resume: None };
    loop {
        match connector.connect(if_changed, Some(&coming)).await {
            Err(fault) => tries.after(fault).await?,
            Ok(wire) => return Ok(wire),
        }
    }
}

/// Runs something as long as its caller waits.
async fn while_awaited<T, R>(
    reply: &mut oneshot::Sender<R>,
    doing: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = doing => Some(done),
        () = reply.closed() => None,
    }
}

/// Waits for the server's answer before the login, within a time limit.
async fn answered<T>(
    within: Duration,
    address: String,
    asking: impl Future<Output = Result<T, RegisterError>>,
) -> Result<T, RegisterError> {
    let late = RegisterError::Connect(ConnectError::TimedOut { address });
    timeout(within, asking).await.unwrap_or(Err(late))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_server_that_does_not_answer_a_question_is_named_and_not_asked_again() {
        let address = "a.example:5222".to_owned();

        let asking = std::future::pending::<Result<Probe, RegisterError>>();
        let late = answered(Duration::ZERO, address.clone(), asking).await.unwrap_err();

        let timed_out = ConnectError::TimedOut { address };
        assert_eq!(late, RegisterError::Connect(timed_out.clone()));
        assert!(Tries::new(QUESTIONS).after(timed_out).await.is_err());
    }
}
