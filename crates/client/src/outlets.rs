//! The ways out of a session: what it tells goes to its face and to its listeners, in order.

use tokio::sync::mpsc;

use crate::events::Event;
use crate::kit::{Heard, ListenerId};

/// Something to be told, and to whom.
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

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Face,
    Listener(ListenerId),
}

/// The channels. `T` is what the face hears: events, and perhaps what others tell it by the same
/// channel. When one is full nothing is told to anybody until there is room: the order holds.
#[derive(Debug)]
pub(crate) struct Outlets<T> {
    face: mpsc::Sender<T>,
    listeners: Vec<mpsc::Sender<Heard>>,
}

/// Room for one thing.
pub(crate) enum Room<'a, T> {
    Face(mpsc::Permit<'a, T>),
    Listener(mpsc::Permit<'a, Heard>),
    /// Whoever is meant does not listen any more, so it can be passed over.
    Nobody,
}

impl<T: From<Event>> Outlets<T> {
    pub(crate) fn new(face: mpsc::Sender<T>, listeners: Vec<mpsc::Sender<Heard>>) -> Outlets<T> {
        Outlets { face, listeners }
    }

    /// Waits until there is room for one thing; for ever, if nobody is to be told anything.
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
    /// Tells it: the next thing, for which there was room.
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

    /// A face of one place, and its outlets with a listener.
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
