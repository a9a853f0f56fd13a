//! All output of the client, before it becomes words or objects.

use whoelse_client::Event;
use whoelse_client::rooms::{RoomEvent, RoomNews};
use whoelse_p2p::Happening;

use crate::commands::{Answer, Fault, Obeyed};

/// Events of the session and of the listeners beside it, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An event of the session.
    Session(Event),
    /// An event of private chats.
    Private(Happening),
    /// An event of rooms.
    Room(RoomNews),
}

impl Told {
    /// Returns the id of a message that was refused or whose fate is unknown: its author may use
    /// it again.
    pub fn free_id(&self) -> Option<&str> {
        match self {
            Told::Session(
                Event::NotDelivered { id, .. }
                | Event::NotSent { id, .. }
                | Event::Unconfirmed { id, .. },
            )
            | Told::Private(Happening::Unconfirmed { id, .. })
            | Told::Room(RoomNews {
                what:
                    RoomEvent::Refused { id, .. }
                    | RoomEvent::NotSent { id }
                    | RoomEvent::Unconfirmed { id },
                ..
            }) => Some(id),
            Told::Session(_) | Told::Private(_) | Told::Room(_) => None,
        }
    }
}

impl From<Event> for Told {
    fn from(event: Event) -> Told {
        Told::Session(event)
    }
}

impl From<Happening> for Told {
    fn from(happening: Happening) -> Told {
        Told::Private(happening)
    }
}

impl From<RoomNews> for Told {
    fn from(news: RoomNews) -> Told {
        Told::Room(news)
    }
}

/// One piece of output.
#[derive(Debug)]
pub enum Said<'a> {
    /// A connection without a login.
    Connected {
        /// The server, as people see it named.
        server: String,
    },
    /// An event of the session.
    Event(&'a Event),
    /// An event of private chats.
    Private(&'a Happening),
    /// An event of rooms.
    Room(&'a RoomNews),
    /// A question; the next line is the answer.
    Prompt(&'static str),
    /// A command succeeded.
    Answer {
        /// Its name.
        command: &'static str,
        /// Its answer.
        answer: &'a Answer,
    },
    /// A command failed.
    Failed {
        /// The command's name, if there is such a command.
        command: Option<&'static str>,
        /// The id of the line, if it gave one.
        id: Option<&'a str>,
        /// Why, for programs.
        condition: &'static str,
        /// Why, for people; safe for a terminal.
        words: String,
    },
    /// A sentence that belongs to a dialogue; safe for a terminal.
    Words(String),
    /// A notice that nobody asked for; safe for a terminal.
    Notice(&'static str),
}

impl<'a> From<&'a Told> for Said<'a> {
    fn from(told: &'a Told) -> Said<'a> {
        match told {
            Told::Session(event) => Said::Event(event),
            Told::Private(happening) => Said::Private(happening),
            Told::Room(news) => Said::Room(news),
        }
    }
}

impl<'a> Said<'a> {
    /// Returns the output for the result of a line.
    pub fn of(obeyed: &'a Obeyed) -> Said<'a> {
        match (&obeyed.outcome, obeyed.command) {
            (Ok(answer), command) => Said::Answer { command: command.unwrap_or_default(), answer },
            (Err(Fault::Say { condition, words }), command) => {
                Said::Failed { command, id: obeyed.id.as_deref(), condition, words: words.clone() }
            }
            (Err(Fault::Usage), command) => {
                let usage = command.and_then(crate::commands::find).map(|it| it.usage);
                let words = format!("usage: {}", usage.unwrap_or_default());
                Said::Failed { command, id: obeyed.id.as_deref(), condition: "usage", words }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_client::Refusal;
    use whoelse_client::rooms::RoomName;
    use whoelse_xmpp::BareJid;

    #[test]
    fn an_id_is_free_again_when_its_message_came_back_and_not_when_it_arrived() {
        let (id, to) = ("m1".to_owned(), BareJid::parse("bob@a.example").unwrap());
        let told = |event: Event| Told::from(event).free_id().map(str::to_owned);

        let why = Refusal::NoSuchUser;
        let refused = Event::NotDelivered { id: id.clone(), to: to.clone(), why };
        assert_eq!(told(refused).as_deref(), Some("m1"));
        assert_eq!(told(Event::Acknowledged { id: id.clone(), to: to.clone() }), None);
        let text = "hi".to_owned();
        let lost = Told::from(Happening::Unconfirmed { id, to, text });
        assert_eq!(lost.free_id(), Some("m1"));
    }

    #[test]
    fn an_id_is_free_again_when_a_room_has_not_told_its_message() {
        let address = BareJid::parse("lunch@rooms.a.example").unwrap();
        let id = || "m1".to_owned();
        let is_free = |what| {
            let room = RoomName { address: address.clone(), is_local: true };
            Told::from(RoomNews { room, what }).free_id() == Some("m1")
        };

        assert!(is_free(RoomEvent::NotSent { id: id() }));
        assert!(is_free(RoomEvent::Unconfirmed { id: id() }));
        assert!(!is_free(RoomEvent::Sent { id: id() }));
        assert!(!is_free(RoomEvent::Acknowledged { id: id() }));
    }
}
