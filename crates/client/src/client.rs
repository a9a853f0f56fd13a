//! The handle: what a face asks of a session, from any task, and the events it hears in return.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use whoelse_stream::{Password, token};
use whoelse_xmpp::{BareJid, FullJid, Outgoing};

use crate::error::{ConnectError, LoginError, NotSent, RegisterError, RequestError};
use crate::events::Event;
use crate::kit::ListenerId;
use crate::order::{Mine, Order};
use crate::pins::Fingerprint;
use crate::proof::Proof;
use crate::reached::Reached;
use crate::register::Probe;
use crate::request::{Answer, Request};
use crate::roster::Contact;
use crate::subscription::SubscriptionType;

/// A session, or the wish for one. Cheap to clone; when the last clone is dropped, the session
/// is closed.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) me: watch::Receiver<Option<FullJid>>,
    pub(crate) reached: watch::Receiver<Option<Reached>>,
    pub(crate) domain: Domain,
    pub(crate) proof: Proof,
}

/// The name of the domain that a client belongs to. It may change while there is a session.
#[derive(Debug, Clone)]
pub struct Domain(watch::Receiver<Arc<str>>);

impl Domain {
    pub(crate) fn new(name: watch::Receiver<Arc<str>>) -> Domain {
        Domain(name)
    }

    /// As it is now.
    pub fn name(&self) -> Arc<str> {
        self.0.borrow().clone()
    }
}

/// The events of a session, in order.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    pub(crate) fn new(events: mpsc::Receiver<Event>) -> Events {
        Events(events)
    }

    /// The next event; `None` when the session's task has ended, after the last [`Client`] was
    /// dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Client {
    /// The name of the domain this client belongs to.
    pub fn domain(&self) -> Arc<str> {
        self.domain.name()
    }

    /// The same for whoever wants to know it again and again.
    pub fn domain_now(&self) -> Domain {
        self.domain.clone()
    }

    /// The address of the session, if logged in. A broken connection does not log anybody out.
    pub fn me(&self) -> Option<FullJid> {
        self.me.borrow().clone()
    }

    /// The server, where the last connection that was logged in has reached it.
    pub fn reached(&self) -> Option<Reached> {
        self.reached.borrow().clone()
    }

    /// What the session is logged in with.
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Connects without logging in, to see whether there is a server and who it is.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        self.order(Order::Connect).await.unwrap_or(Err(ConnectError::Ended))
    }

    /// Trusts a certificate from now on, if the server shows it.
    pub async fn trust(&self, fingerprint: Fingerprint) {
        let _ = self.order(|done| Order::Trust(fingerprint, done)).await;
    }

    /// Asks whether a name is taken.
    pub async fn probe(&self, name: &str) -> Result<Probe, RegisterError> {
        let name = name.to_owned();
        let answer = self.order(|reply| Order::Probe(name, reply)).await;
        answer.unwrap_or(Err(RegisterError::Connect(ConnectError::Ended)))
    }

    /// Makes an account. Never over a certificate that is not trusted.
    pub async fn register(&self, name: &str, password: Password) -> Result<(), RegisterError> {
        let name = name.to_owned();
        let answer = self.order(|reply| Order::Register(name, password, reply)).await;
        answer.unwrap_or(Err(RegisterError::Connect(ConnectError::Ended)))
    }

    /// Logs in. The password is proved rather than told, unless the server knows no better way
    /// and its certificate is valid or was accepted by its fingerprint.
    pub async fn login(&self, name: &str, password: Password) -> Result<FullJid, LoginError> {
        let name = name.to_owned();
        let answer = self.order(|reply| Order::Login(name, password, reply)).await;
        answer.unwrap_or(Err(LoginError::Connect(ConnectError::Ended)))
    }

    /// Ends the session and closes the connection; everything sent before arrives.
    pub async fn logout(&self) {
        let _ = self.order(Order::Logout).await;
    }

    /// Sends a message, or keeps it until there is a connection again. A refusal comes later, as
    /// an [`Event::NotDelivered`].
    pub async fn message(&self, to: &BareJid, text: &str) -> Result<(), NotSent> {
        self.message_as(token(), to, text).await
    }

    /// The same under an id of the caller's. The server takes a repetition of an id to the same
    /// recipient within a day for the same message, and delivers it once.
    pub async fn message_as(&self, id: String, to: &BareJid, text: &str) -> Result<(), NotSent> {
        let (to, text) = (to.clone(), text.to_owned());
        let answer = self.order(|reply| Order::Message { id, to, text, reply }).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Says who may see whom, or keeps it until there is a connection. A refusal comes later, as
    /// an [`Event::NotDelivered`].
    pub async fn say_to(&self, whom: &BareJid, type_: SubscriptionType) -> Result<(), NotSent> {
        let whom = whom.clone();
        let answer = self.order(|reply| Order::Subscription(type_, whom, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Sends a stanza of the caller's own, or keeps it until there is a connection. Nobody hears of
    /// a refusal.
    pub async fn send(&self, stanza: Outgoing) -> Result<(), NotSent> {
        self.stanza(stanza, None).await
    }

    /// The same for a listener, which hears of a refusal of what goes to somebody under this id
    /// ([`Heard::NotDelivered`](crate::Heard::NotDelivered)).
    pub async fn send_for(
        &self,
        listener: ListenerId,
        id: &str,
        to: &BareJid,
        stanza: Outgoing,
    ) -> Result<(), NotSent> {
        let mine = Mine { id: id.to_owned(), to: to.clone(), listener: Some(listener) };
        self.stanza(stanza, Some(mine)).await
    }

    async fn stanza(&self, stanza: Outgoing, mine: Option<Mine>) -> Result<(), NotSent> {
        let answer = self.order(|reply| Order::Stanza(stanza.bytes, mine, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Lets a device know that this one is online, unless it sees that by itself (RFC 6121, 4.6):
    /// servers pass on requests between those alone who know of each other.
    pub async fn show_to(&self, whom: &FullJid) -> Result<(), NotSent> {
        let whom = whom.clone();
        let answer = self.order(|reply| Order::ShowTo(whom, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// The devices of somebody that are online, as far as this client has heard.
    pub async fn devices(&self, who: &BareJid) -> Result<Vec<FullJid>, NotSent> {
        let who = who.clone();
        let answer = self.order(|reply| Order::Devices(who, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// My contacts and who asks to be one, as far as this client has heard; `None` where
    /// everybody sees everybody.
    pub async fn contacts(&self) -> Result<Option<Vec<Contact>>, NotSent> {
        self.order(Order::Contacts).await.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Asks something, on behalf of a person at the keyboard, and waits for the answer.
    pub async fn request(&self, request: Request) -> Result<Answer, RequestError> {
        let answer = self.order(|reply| Order::Request(request, reply)).await;
        answer.unwrap_or(Err(RequestError::NotLoggedIn))
    }

    /// Nobody reads what arrives any more: from now on nothing counts as handled, so the server
    /// keeps it for the next login. What is sent is still sent.
    pub async fn leave_unread(&self) {
        let _ = self.order(Order::LeaveUnread).await;
    }

    /// Waits until everything sent is stored, and every refusal of it has been heard. Returns
    /// whether that was so within the time.
    pub async fn settle(&self, within: Duration) -> bool {
        if self.me().is_none() {
            return true;
        }
        matches!(tokio::time::timeout(within, self.order(Order::Settle)).await, Ok(Some(())))
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}
