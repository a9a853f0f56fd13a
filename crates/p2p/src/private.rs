//! The handle: what a face asks of private chats, from any task, and what it hears in return.

use tokio::sync::{mpsc, oneshot};
use whoelse_client::{Client, Events};
use whoelse_xmpp::{BareJid, ns};

use crate::actor::{Actor, Order};
use crate::config::Config;
use crate::events::{Asked, Fingerprint, Refused, Stopped, Told};

/// What the session has to be asked to pass on ([`Config::extensions`](whoelse_client::Config)).
pub const EXTENSIONS: &[&str] =
    &[ns::JINGLE, ns::JINGLE_MESSAGE, ns::WHOELSE_PRIVATE, ns::WHOELSE_LINE];

/// Wishes that wait for the task; whoever has one more waits.
const ORDERS: usize = 64;
/// Events that wait for the face. Beyond it nothing is read from the session, nor from a line.
const TOLD: usize = 256;

/// The private chats of a session. Cheap to clone; when the last clone is dropped, all of them are
/// closed.
#[derive(Debug, Clone)]
pub struct PrivateChats {
    orders: mpsc::Sender<Order>,
}

/// What a face hears, in order.
#[derive(Debug)]
pub struct ToldEvents(mpsc::Receiver<Told>);

impl ToldEvents {
    /// The next one; `None` when the session's task has ended.
    pub async fn next(&mut self) -> Option<Told> {
        self.0.recv().await
    }
}

impl PrivateChats {
    /// Stands between a session, which was started with [`EXTENSIONS`], and its face. To be called
    /// inside a tokio runtime.
    pub fn start(client: Client, events: Events, config: Config) -> (PrivateChats, ToldEvents) {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (tell, told) = mpsc::channel(TOLD);
        tokio::spawn(Actor::new(client, events, config, ordered, tell).run());
        (PrivateChats { orders }, ToldEvents(told))
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
