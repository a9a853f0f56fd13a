//! XEP-0045, Multi-User Chat, for a client: the rooms that a session is in.
//!
//! A task of its own (`actor`) listens beside the session and keeps a set of rooms (`set`), which are
//! state machines (`room`). What a person asks of a room once, and what is answered once, needs no
//! room here: requests of [`govern`], [`service`] and [`archive`] go to the server by themselves.

mod actor;
pub mod archive;
pub mod bookmark;
mod carrier;
mod displayed;
mod event;
pub mod govern;
mod invitation;
mod occupant;
mod order;
mod private_node;
mod reading;
mod room;
pub mod service;
mod set;
mod user;
mod write;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use whoelse_xmpp::{BareJid, Outgoing, ns};

use crate::client::Client;
use crate::error::RequestError;
use crate::events::Event;
use crate::kit::{Kit, Listener};
use crate::request::ANSWER_WITHIN;

use actor::Actor;
pub use event::{Exit, NotEntered, NotSaid, RoomEvent, RoomName, RoomNews, Speech, Wanted};
pub use occupant::{Affiliation, Occupant, Role};
use order::Order;
pub use set::RoomView;

/// What a listener for rooms listens to: invitations, and news of bookmarks. A room that is entered is
/// claimed by its address.
const NAMESPACES: &[&str] = &[ns::MUC_USER, ns::CONFERENCE, ns::PUBSUB_EVENT];
/// What service discovery announces besides. The last two make the server tell of bookmarks, and of what
/// other devices have read.
const FEATURES: &[&str] =
    &[ns::MUC, "urn:xmpp:bookmarks:1+notify", "urn:xmpp:mds:displayed:0+notify"];
/// Orders that wait for the task; a further caller waits.
const ORDERS: usize = 64;

/// The rooms of a session. Cheap to clone; when the last clone is dropped the task ends, and the end of
/// the session leaves the rooms.
#[derive(Debug, Clone)]
pub struct Rooms {
    orders: mpsc::Sender<Order>,
    service: watch::Receiver<Service>,
}

/// Where the own server has its rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// It has not been asked, or has not answered yet.
    #[default]
    Unknown,
    /// It was asked, and this has become of that.
    Failed(RequestError),
    /// There are none.
    None,
    /// At this domain.
    At(String),
}

impl Rooms {
    /// Registers the listener, before the session begins.
    pub fn listen(kit: &mut Kit) -> Listener {
        kit.announce(FEATURES);
        kit.listen(NAMESPACES)
    }

    /// Begins beside a session. Events go to this channel, which may be the one that the session uses;
    /// so does a message that turns out not to be about a room. While it is full, nothing is read
    /// from the session. Must be called inside a tokio runtime.
    pub fn start<T>(client: Client, listener: Listener, face: mpsc::Sender<T>) -> Rooms
    where
        T: From<RoomNews> + From<Event> + Send + 'static,
    {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (tell_service, service) = watch::channel(Service::Unknown);
        tokio::spawn(Actor::new(client, listener, ordered, face, tell_service).run());
        Rooms { orders, service }
    }

    /// Returns the domain of the own server's rooms; `None`: it has none. After a login it waits until
    /// the server has said it. A server that has not answered is asked again.
    pub async fn service(&self) -> Result<Option<String>, RequestError> {
        let mut service = self.service.clone();
        if matches!(*service.borrow_and_update(), Service::Failed(_)) {
            let _ = self.order(Order::FindService).await;
        }
        let known = service.wait_for(|it| *it != Service::Unknown);
        match timeout(ANSWER_WITHIN, known).await {
            Ok(Ok(known)) => match &*known {
                Service::At(domain) => Ok(Some(domain.clone())),
                Service::None => Ok(None),
                Service::Failed(why) => Err(why.clone()),
                Service::Unknown => Err(RequestError::TimedOut),
            },
            Ok(Err(_)) => Err(RequestError::NotLoggedIn),
            Err(_) => Err(RequestError::TimedOut),
        }
    }

    /// Returns how a room is named.
    pub fn name(&self, address: &BareJid) -> RoomName {
        let is_local = match &*self.service.borrow() {
            Service::At(domain) => domain == address.domain(),
            Service::Unknown | Service::Failed(_) | Service::None => false,
        };
        RoomName { address: address.clone(), is_local }
    }

    /// Enters a room by a nickname, or takes another nickname in it. If `may_make`, a room that is not
    /// there is begun ([`Wanted::Made`]), and waits for its configuration.
    pub async fn enter(
        &self,
        room: &BareJid,
        nick: &str,
        password: Option<String>,
        may_make: bool,
    ) -> Result<Wanted, NotEntered> {
        let why = if may_make { Wanted::Made } else { Wanted::Asked };
        let (room, nick) = (room.clone(), nick.to_owned());
        let answer = self.order(|reply| Order::Enter { room, nick, password, why, reply }).await;
        answer.unwrap_or(Err(NotEntered::NotLoggedIn))
    }

    /// Leaves a room. Returns whether I was in it, or about to be.
    pub async fn leave(&self, room: &BareJid) -> bool {
        let room = room.clone();
        self.order(|reply| Order::Leave(room, reply)).await.unwrap_or_default()
    }

    /// Says something to all in a room, under an id of the caller's. An event tells what comes of it.
    pub async fn say(&self, room: &BareJid, id: String, text: &str) -> Result<(), NotSaid> {
        let (room, text) = (room.clone(), text.to_owned());
        let answer = self.order(|reply| Order::Say { room, id, text, reply }).await;
        answer.unwrap_or(Err(NotSaid::NotLoggedIn))
    }

    /// Says what a room is about from now on. Waits until the room has done so, or refused.
    pub async fn set_topic(&self, room: &BareJid, text: &str) -> Result<(), NotSaid> {
        let id = whoelse_stream::token().to_string();
        self.aside(room, write::topic(room, &id, text), id).await
    }

    /// Asks a room to invite somebody. Waits until the room has done so, or refused.
    pub async fn invite(&self, room: &BareJid, whom: &BareJid) -> Result<(), NotSaid> {
        let id = whoelse_stream::token().to_string();
        self.aside(room, write::invite(room, &id, whom), id).await
    }

    async fn aside(&self, room: &BareJid, stanza: Outgoing, id: String) -> Result<(), NotSaid> {
        let room = room.clone();
        let answer = self.order(|reply| Order::Aside { room, stanza, id, reply }).await;
        answer.unwrap_or(Err(NotSaid::NotLoggedIn))
    }

    /// Returns every room that I am in or about to be in.
    pub async fn views(&self) -> Vec<RoomView> {
        self.order(Order::Views).await.unwrap_or_default()
    }

    /// Returns this room, if I am in it or about to be.
    pub async fn view(&self, room: &BareJid) -> Option<RoomView> {
        let room = room.clone();
        self.order(|reply| Order::View(room, reply)).await?
    }

    /// From the next login on, rooms that are entered by a bookmark show only what is new: what comes
    /// after the mark of what was read (XEP-0490). The marks are kept by [`Rooms::read`].
    pub async fn show_only_what_is_new(&self) {
        let _ = self.order(Order::ShowNew).await;
    }

    /// Takes note that whoever reads has done something: everything that was shown counts as read, for
    /// all devices. Does nothing without [`Rooms::show_only_what_is_new`], nor where too much waits for
    /// the task of the rooms: then it counts with the next time.
    pub fn read(&self) {
        let _ = self.orders.try_send(Order::Read);
    }

    /// Waits until everything that I have said in rooms was told or refused, and what I have read is
    /// marked.
    pub async fn settle(&self) {
        let _ = self.order(Order::Settle).await;
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}
