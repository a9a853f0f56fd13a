//! The outputs of a session: events go to its interface and its listeners, in order.

use tokio::sync::mpsc;

use crate::events::Event;
use crate::kit::{Heard, ListenerId};

/// An event and its receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Telling {
    Face(Event),
    Listener(ListenerId, Heard),
}

impl Telling {
    pub(crate) fn whom(&self) -> Whom {
        match self {
            Telling::Face(_) => Whom::Face,
            Telling::Listener(id, _) => Whom::Listener(*id),
        }
    }
}

/// A receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Face,
    Listener(ListenerId),
}

/// The channels. `T` is what the interface's channel carries: events, and perhaps other things.
/// When one channel is full nobody is sent anything until there is room, which keeps the order.
#[derive(Debug)]
pub(crate) struct Outlets<T> {
    face: mpsc::Sender<T>,
    listeners: Vec<mpsc::Sender<Heard>>,
}

/// Room for one thing.
pub(crate) enum Room<'a, T> {
    Face(mpsc::Permit<'a, T>),
    Listener(mpsc::Permit<'a, Heard>),
    /// The receiver has closed, so the event can be skipped.
    Nobody,
}

impl<T: From<Event>> Outlets<T> {
    pub(crate) fn new(face: mpsc::Sender<T>, listeners: Vec<mpsc::Sender<Heard>>) -> Outlets<T> {
        Outlets { face, listeners }
    }

    /// Waits until there is room for one event; waits for ever if there is none to send.
    pub(crate) async fn room_for(&self, whom: Option<Whom>) -> Room<'_, T> {
        match whom {
            Some(Whom::Face) => self.face.reserve().await.map_or(Room::Nobody, Room::Face),
            Some(Whom::Listener(id)) => match self.listeners.get(id.0) {
                Some(listener) => listener.reserve().await.map_or(Room::Nobody, Room::Listener),
                None => Room::Nobody,
            },
            None => std::future::pending().await,
        }
    }
}

impl<T: From<Event>> Room<'_, T> {
    /// Sends the event for which there was room.
    pub(crate) fn tell(self, next: Option<Telling>) {
        match (self, next) {
            (Room::Face(permit), Some(Telling::Face(event))) => permit.send(event.into()),
            (Room::Listener(permit), Some(Telling::Listener(_, heard))) => permit.send(heard),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::task::Poll;

    use super::*;
    use crate::kit::Kit;

    /// An interface with room for one event, and outlets with a listener.
    fn outlets() -> (Outlets<Event>, mpsc::Receiver<Event>, crate::kit::Listener) {
        let mut kit = Kit::default();
        let listener = kit.listen(&["urn:x:ours"]);
        let (face, events) = mpsc::channel(1);
        (Outlets::new(face, kit.into_parts().1), events, listener)
    }

    #[tokio::test]
    async fn each_thing_goes_to_whom_it_is_for_and_to_nobody_else() {
        let (outlets, mut events, mut listener) = outlets();

        for telling in
            [Telling::Listener(listener.id(), Heard::LoggedOut), Telling::Face(Event::ShuttingDown)]
        {
            outlets.room_for(Some(telling.whom())).await.tell(Some(telling));
        }

        assert_eq!(listener.try_next(), Some(Heard::LoggedOut));
        assert_eq!(listener.try_next(), None);
        assert_eq!(events.try_recv(), Ok(Event::ShuttingDown));
        assert!(events.try_recv().is_err());
    }

    #[tokio::test]
    async fn who_has_no_room_is_waited_for_and_who_is_gone_is_passed_over() {
        let (outlets, mut events, mut listener) = outlets();
        outlets.room_for(Some(Whom::Face)).await.tell(Some(Telling::Face(Event::Resumed)));

        let mut room = std::pin::pin!(outlets.room_for(Some(Whom::Face)));
        assert!(std::future::poll_fn(|cx| Poll::Ready(room.as_mut().poll(cx).is_pending())).await);
        events.try_recv().unwrap();
        room.await.tell(Some(Telling::Face(Event::Reconnected)));
        assert_eq!(events.try_recv(), Ok(Event::Reconnected));

        listener.close();
        let whom = Whom::Listener(listener.id());
        assert!(matches!(outlets.room_for(Some(whom)).await, Room::Nobody));
        drop(events);
        assert!(matches!(outlets.room_for(Some(Whom::Face)).await, Room::Nobody));
    }
}
