//! The handle: what an interface may ask of private chats, from any task, and how they begin.

use tokio::sync::{mpsc, oneshot};
use whoelse_client::{Client, Listener};
use whoelse_xmpp::{BareJid, ns};

use crate::actor::Actor;
use crate::config::Config;
use crate::events::{Asked, Fingerprint, Happening, Refused, Stopped};
use crate::order::Order;

/// The namespaces to listen to ([`Kit::listen`](whoelse_client::Kit::listen)).
pub const NAMESPACES: &[&str] =
    &[ns::JINGLE, ns::JINGLE_MESSAGE, ns::WHOELSE_PRIVATE, ns::WHOELSE_LINE];

/// Orders that wait for the task; a further caller waits.
const ORDERS: usize = 64;

/// The private chats of a session. Cheap to clone; when the last clone is dropped, all of them are
/// closed.
#[derive(Debug, Clone)]
pub struct PrivateChats {
    orders: mpsc::Sender<Order>,
}

impl PrivateChats {
    /// Begins beside a session whose listener was registered for [`NAMESPACES`]. Events go to this
    /// channel, which may be the one that the session uses. While it is full, nothing is read from
    /// the session or from a line. Must be called inside a tokio runtime.
    pub fn start<T>(
        client: Client,
        listener: Listener,
        config: Config,
        face: mpsc::Sender<T>,
    ) -> PrivateChats
    where
        T: From<Happening> + Send + 'static,
    {
        let (orders, ordered) = mpsc::channel(ORDERS);
        tokio::spawn(Actor::new(client, listener, config, ordered, face).run());
        PrivateChats { orders }
    }

    /// Asks somebody for a private chat; if they have asked me, this accepts. Events report the
    /// result.
    pub async fn ask(&self, whom: &BareJid) -> Result<Asked, Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Ask(whom, reply)).await
    }

    /// Accepts the request of somebody.
    pub async fn accept(&self, whom: &BareJid) -> Result<(), Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Accept(whom, reply)).await
    }

    /// Declines the request of somebody.
    pub async fn decline(&self, whom: &BareJid) -> Result<(), Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Decline(whom, reply)).await
    }

    /// Sends a message over a line, under an id of the caller's. An event reports its fate:
    /// [`Arrived`](crate::Happening::Arrived) or [`Unconfirmed`](crate::Happening::Unconfirmed).
    pub async fn send(&self, to: &BareJid, text: &str, id: String) -> Result<(), Refused> {
        let (to, text) = (to.clone(), text.to_owned());
        self.order(|reply| Order::Send { to, text, id, reply }).await
    }

    /// Closes a line, or withdraws a request.
    pub async fn stop(&self, whom: &BareJid) -> Result<Stopped, Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Stop(whom, reply)).await
    }

    /// Returns the known devices of somebody, with the codes to compare.
    pub async fn fingerprints(&self, whom: &BareJid) -> Result<Vec<Fingerprint>, Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Fingerprints(whom, reply)).await
    }

    /// Trusts the changed keys of somebody's devices.
    pub async fn trust(&self, whom: &BareJid) -> Result<(), Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Trust(whom, reply)).await
    }

    /// Closes every line and withdraws every request, and waits until the peers have been told,
    /// for a few seconds at most. Returns whether there was any line.
    pub async fn close(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.orders.send(Order::Close(reply)).await.is_ok() && done.await.unwrap_or_default()
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Order,
    ) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(order(reply)).await;
        match (sent, answer.await) {
            (Ok(()), Ok(answer)) => answer,
            // The task is gone because the program ends.
            _ => Err(Refused::NotLoggedIn),
        }
    }
}
