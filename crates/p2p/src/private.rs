//! The handle: what a face asks of private chats, from any task, and how they begin.

use tokio::sync::{mpsc, oneshot};
use whoelse_client::{Client, Listener};
use whoelse_xmpp::{BareJid, ns};

use crate::actor::Actor;
use crate::config::Config;
use crate::events::{Asked, Fingerprint, Happening, Refused, Stopped};
use crate::order::Order;

/// What private chats listen to beside a session ([`Kit::listen`](whoelse_client::Kit::listen)).
pub const NAMESPACES: &[&str] =
    &[ns::JINGLE, ns::JINGLE_MESSAGE, ns::WHOELSE_PRIVATE, ns::WHOELSE_LINE];

/// Orders that wait for the task; whoever has one more waits.
const ORDERS: usize = 64;

/// The private chats of a session. Cheap to clone; when the last clone is dropped, all of them are
/// closed.
#[derive(Debug, Clone)]
pub struct PrivateChats {
    orders: mpsc::Sender<Order>,
}

impl PrivateChats {
    /// Begins, beside a session whose listener was registered for [`NAMESPACES`]. What happens is
    /// told to the face by this channel, which may be the one by which the session tells it; while
    /// that is full, nothing is heard of the session or read from a line. To be called inside a
    /// tokio runtime.
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

    /// Asks somebody for a private chat; if they have asked me, that is the answer. What comes of it
    /// is told.
    pub async fn ask(&self, whom: &BareJid) -> Result<Asked, Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Ask(whom, reply)).await
    }

    /// Says yes to somebody who asks.
    pub async fn accept(&self, whom: &BareJid) -> Result<(), Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Accept(whom, reply)).await
    }

    /// Says no to somebody who asks.
    pub async fn decline(&self, whom: &BareJid) -> Result<(), Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Decline(whom, reply)).await
    }

    /// Sends a message over a line, under an id of the caller's. What becomes of it is told:
    /// [`Arrived`](crate::Happening::Arrived) or [`Unconfirmed`](crate::Happening::Unconfirmed).
    pub async fn send(&self, to: &BareJid, text: &str, id: String) -> Result<(), Refused> {
        let (to, text) = (to.clone(), text.to_owned());
        self.order(|reply| Order::Send { to, text, id, reply }).await
    }

    /// Closes a line, or takes back a request.
    pub async fn stop(&self, whom: &BareJid) -> Result<Stopped, Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Stop(whom, reply)).await
    }

    /// The devices of somebody that were met, by the codes to compare.
    pub async fn fingerprints(&self, whom: &BareJid) -> Result<Vec<Fingerprint>, Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Fingerprints(whom, reply)).await
    }

    /// Accepts the keys of somebody's devices that have changed.
    pub async fn trust(&self, whom: &BareJid) -> Result<(), Refused> {
        let whom = whom.clone();
        self.order(|reply| Order::Trust(whom, reply)).await
    }

    /// Closes every line and takes back every request, and waits until the other ends have been
    /// told, for a few seconds at most. Returns whether there was any line.
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
            // The task is gone: the program ends.
            _ => Err(Refused::NotLoggedIn),
        }
    }
}
