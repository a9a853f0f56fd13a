//! The handle: what an interface may ask of a session, from any task, and the events it receives.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use whoelse_stream::{Password, token};
use whoelse_xmpp::{BareJid, FullJid, Outgoing};

use crate::error::{ConnectError, LoginError, NotSent, RegisterError, RequestError};
use crate::events::Event;
use crate::kit::ListenerId;
use crate::order::{Credentials, Mine, Order};
use crate::pins::Fingerprint;
use crate::proof::Proof;
use crate::reached::Reached;
use crate::register::Probe;
use crate::request::{Answer, Request};
use crate::roster::Contact;
use crate::subscription::SubscriptionType;

/// A handle of a session, which may not have begun yet. Cheap to clone; when the last clone is
/// dropped, the session is closed.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) me: watch::Receiver<Option<FullJid>>,
    pub(crate) reached: watch::Receiver<Option<Reached>>,
    pub(crate) domain: Domain,
    pub(crate) remembered: watch::Receiver<bool>,
    pub(crate) proof: Proof,
}

/// The domain of a client. It may change during a session.
#[derive(Debug, Clone)]
pub struct Domain(watch::Receiver<Arc<str>>);

impl Domain {
    pub(crate) fn new(name: watch::Receiver<Arc<str>>) -> Domain {
        Domain(name)
    }

    /// Returns its present name.
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

    /// Returns the next event; `None` when the session's task has ended, after the last [`Client`]
    /// was dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Client {
    /// Returns the domain of this client.
    pub fn domain(&self) -> Arc<str> {
        self.domain.name()
    }

    /// Returns a handle that always has the present domain.
    pub fn domain_now(&self) -> Domain {
        self.domain.clone()
    }

    /// Returns the address of the session, if logged in. A broken connection logs nobody out.
    pub fn me(&self) -> Option<FullJid> {
        self.me.borrow().clone()
    }

    /// Returns how the last connection with a login reached the server.
    pub fn reached(&self) -> Option<Reached> {
        self.reached.borrow().clone()
    }

    /// Returns the password of the session.
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Connects without a login, to find out whether there is a server and who it is.
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

    /// Makes an account. Refuses over a certificate that is not trusted.
    pub async fn register(&self, name: &str, password: Password) -> Result<(), RegisterError> {
        let name = name.to_owned();
        let answer = self.order(|reply| Order::Register(name, password, reply)).await;
        answer.unwrap_or(Err(RegisterError::Connect(ConnectError::Ended)))
    }

    /// Logs in. Proves the password without sending it, unless the server supports nothing better
    /// and its certificate is valid or was accepted by its fingerprint.
    pub async fn login(&self, name: &str, password: Password) -> Result<FullJid, LoginError> {
        let name = name.to_owned();
        self.enter(Credentials { name, password: Some(password), remember: false }).await
    }

    /// Logs in, and remembers the login on this computer by a token, if that is possible
    /// ([`Client::is_remembered`]).
    pub async fn login_and_remember(
        &self,
        name: &str,
        password: Password,
    ) -> Result<FullJid, LoginError> {
        let name = name.to_owned();
        self.enter(Credentials { name, password: Some(password), remember: true }).await
    }

    /// Logs in with what is remembered of this name on this computer, if anything is.
    pub async fn login_remembered(&self, name: &str) -> Result<FullJid, LoginError> {
        let name = name.to_owned();
        self.enter(Credentials { name, password: None, remember: false }).await
    }

    async fn enter(&self, credentials: Credentials) -> Result<FullJid, LoginError> {
        let answer = self.order(|reply| Order::Login(credentials, reply)).await;
        answer.unwrap_or(Err(LoginError::Connect(ConnectError::Ended)))
    }

    /// Returns whether a login of this name could be remembered on this computer: whether there is a
    /// state directory, and the server gives tokens over a connection that is trusted.
    pub async fn can_remember(&self, name: &str) -> bool {
        let name = name.to_owned();
        self.order(|reply| Order::CanRemember(name, reply)).await.unwrap_or(false)
    }

    /// Returns whether the present login is remembered on this computer.
    pub fn is_remembered(&self) -> bool {
        *self.remembered.borrow()
    }

    /// Ends the session and closes the connection after everything sent before has arrived. What is
    /// remembered of the login on this computer is forgotten, and its token taken back; dropping every
    /// handle ends the session and keeps it.
    pub async fn logout(&self) {
        let _ = self.order(Order::Logout).await;
    }

    /// Sends a message, or keeps it until there is a connection. A refusal arrives later as an
    /// [`Event::NotDelivered`].
    ///
    /// Waits while 1,000 messages are not acknowledged. Acknowledgements are read only while events
    /// are taken: whoever calls this between two [`Events::next`], and gets more events than the 256
    /// that may wait, waits for ever. Send beside the loop that takes the events, as
    /// `examples/echo.rs` does.
    pub async fn message(&self, to: &BareJid, text: &str) -> Result<(), NotSent> {
        self.message_as(token(), to, text).await
    }

    /// Sends a message under the caller's id. The server treats the same id to the same recipient
    /// within a day as the same message, and delivers it once.
    pub async fn message_as(&self, id: String, to: &BareJid, text: &str) -> Result<(), NotSent> {
        let (to, text) = (to.clone(), text.to_owned());
        let answer = self.order(|reply| Order::Message { id, to, text, reply }).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Sends a subscription stanza, or keeps it until there is a connection. A refusal arrives
    /// later as an [`Event::NotDelivered`].
    pub async fn say_to(&self, whom: &BareJid, type_: SubscriptionType) -> Result<(), NotSent> {
        let whom = whom.clone();
        let answer = self.order(|reply| Order::Subscription(type_, whom, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Sends the caller's own stanza, or keeps it until there is a connection. A refusal is not
    /// reported.
    pub async fn send(&self, stanza: Outgoing) -> Result<(), NotSent> {
        self.stanza(stanza, None).await
    }

    /// Sends a stanza for a listener, which receives a refusal of this id by this addressee
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

    /// From now on messages and presence from this address, and from every resource of it, go to this
    /// listener and to nobody else, as long as the session lives. What is sent later by the same task
    /// is answered to the listener.
    pub async fn claim(&self, listener: ListenerId, address: &BareJid) {
        let _ = self.orders.send(Order::Claim(listener, address.clone())).await;
    }

    /// Ends a claim.
    pub async fn release(&self, address: &BareJid) {
        let _ = self.orders.send(Order::Release(address.clone())).await;
    }

    async fn stanza(&self, stanza: Outgoing, mine: Option<Mine>) -> Result<(), NotSent> {
        let answer = self.order(|reply| Order::Stanza(stanza.bytes, mine, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Sends presence to a device that does not get it anyway (RFC 6121, 4.6): servers forward
    /// requests only between devices that know of each other.
    pub async fn show_to(&self, whom: &FullJid) -> Result<(), NotSent> {
        let whom = whom.clone();
        let answer = self.order(|reply| Order::ShowTo(whom, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Returns the devices of somebody that are online, as far as this client knows.
    pub async fn devices(&self, who: &BareJid) -> Result<Vec<FullJid>, NotSent> {
        let who = who.clone();
        let answer = self.order(|reply| Order::Devices(who, reply)).await;
        answer.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Returns my contacts and who asks to be one, as far as this client knows; `None` if
    /// everybody sees everybody.
    pub async fn contacts(&self) -> Result<Option<Vec<Contact>>, NotSent> {
        self.order(Order::Contacts).await.unwrap_or(Err(NotSent::NotLoggedIn))
    }

    /// Sends a request on behalf of a person at the keyboard, and waits for the answer.
    pub async fn request(&self, request: Request) -> Result<Answer, RequestError> {
        let answer = self.order(|reply| Order::Request(request, reply)).await;
        answer.unwrap_or(Err(RequestError::NotLoggedIn))
    }

    /// Stops counting what arrives as handled, since nobody reads it any more; so the server keeps
    /// it for the next login. Sending still works.
    pub async fn leave_unread(&self) {
        let _ = self.order(Order::LeaveUnread).await;
    }

    /// Waits until everything sent is stored and every refusal of it has arrived. Returns whether
    /// that happened in time.
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

#[cfg(test)]
impl Client {
    /// Returns a handle whose session is played by a test, which takes its orders.
    pub(crate) fn by_hand(me: &FullJid) -> (Client, mpsc::Receiver<Order>) {
        let (orders, ordered) = mpsc::channel(64);
        let client = Client {
            orders,
            me: watch::channel(Some(me.clone())).1,
            reached: watch::channel(None).1,
            domain: Domain::new(watch::channel(Arc::from(me.domain())).1),
            remembered: watch::channel(false).1,
            proof: Proof::default(),
        };
        (client, ordered)
    }
}
