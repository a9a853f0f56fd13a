//! XEP-0045, 7.2.13 and 7.2.14: what was said before somebody came, and how much of it they want.

use std::collections::VecDeque;
use std::time::Duration;

use whoelse_core::Time;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Outgoing, Stanza, ns};

/// The most bytes of it in memory.
pub(super) const MOST_BYTES: usize = 64 << 10;
/// The most messages of it in memory.
const MOST: usize = super::config::MOST_HISTORY as usize;

/// What was said lately, as everybody was told it.
#[derive(Default)]
pub(super) struct History {
    said: VecDeque<Past>,
    bytes: usize,
}

/// Something that was said.
struct Past {
    at: Time,
    message: Outgoing,
    /// Its id in the archive.
    id: Option<String>,
}

/// How much of it somebody wants who enters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// The most characters.
    pub characters: Option<usize>,
    /// The most messages.
    pub messages: Option<usize>,
    /// No older ones than this.
    pub age: Option<Duration>,
    /// None that were said before.
    pub since: Option<Time>,
}

impl Wish {
    /// Reads `<history/>` in what somebody says who enters. What cannot be read is not wished for.
    pub fn read(stanza: &Stanza, x: &Child) -> Wish {
        let inside = stanza.grandchildren(x);
        let Some(history) = inside.iter().find(|child| child.is("history", ns::MUC)) else {
            return Wish::default();
        };
        let number =
            |name| -> Option<u64> { stanza.child_attr(history, name)?.trim().parse::<u64>().ok() };
        let count = |name| number(name).map(|it| usize::try_from(it).unwrap_or(usize::MAX));
        Wish {
            characters: count("maxchars"),
            messages: count("maxstanzas"),
            age: number("seconds").map(Duration::from_secs),
            since: stanza.child_attr(history, "since").and_then(|it| Time::parse_stamp(&it)),
        }
    }
}

impl History {
    /// The bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message that everybody was told, under its id in the archive.
    pub fn note(&mut self, at: Time, message: Outgoing, id: Option<String>) {
        self.bytes += message.bytes.len();
        self.said.push_back(Past { at, message, id });
        while self.said.len() > MOST || self.bytes > MOST_BYTES {
            let Some(first) = self.said.pop_front() else { break };
            self.bytes -= first.message.bytes.len();
        }
    }

    /// Forgets what was retracted.
    pub fn forget(&mut self, id: &str) {
        let is = |past: &Past| past.id.as_deref() == Some(id);
        if let Some(place) = self.said.iter().position(is)
            && let Some(gone) = self.said.remove(place)
        {
            self.bytes -= gone.message.bytes.len();
        }
    }

    /// Returns what somebody is sent who enters: the newest, oldest first, each with the time at which
    /// it was said.
    pub fn asked_for(&self, wish: &Wish, most: u32, now: Time, room: &BareJid) -> Vec<Outgoing> {
        let most = wish.messages.unwrap_or(usize::MAX).min(most as usize);
        let mut left = wish.characters.unwrap_or(usize::MAX);
        let mut asked = Vec::new();
        for Past { at, message, .. } in self.said.iter().rev().take(most) {
            let is_old = wish.age.is_some_and(|age| now.since(*at) > age)
                || wish.since.is_some_and(|since| *at < since);
            let stanza = message.with_children(&delay(room, *at));
            if is_old || stanza.bytes.len() > left {
                break;
            }
            left -= stanza.bytes.len();
            asked.push(stanza);
        }
        asked.reverse();
        asked
    }
}

/// XEP-0203: when it was said. The room says so.
pub(super) fn delay(room: &BareJid, at: Time) -> Vec<u8> {
    let delay = Element::new("delay")
        .xmlns(ns::DELAY)
        .attr("from", room.as_str())
        .attr("stamp", &at.stamp());
    delay.finish().to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use whoelse_xmpp::Class;

    const NOW: Time = Time(1_767_225_600_000_000);

    fn said(text: &str) -> Outgoing {
        Element::new("message").text_child("body", text).outgoing(Class::Groupchat)
    }

    fn room() -> BareJid {
        BareJid::parse("lunch@rooms.example").unwrap()
    }

    /// What is sent of ten messages, one every second, the last one now.
    fn of_ten(wish: Wish, most: u32) -> Vec<usize> {
        let mut history = History::default();
        for n in 1..=10u64 {
            history.note(NOW.before(Duration::from_secs(10 - n)), said(&n.to_string()), None);
        }
        let asked = history.asked_for(&wish, most, NOW, &room());
        let text = |it: &Outgoing| {
            let stanza = Stanza::parse(it.bytes.clone()).unwrap();
            stanza.child_text("body", ns::CLIENT).unwrap().parse().unwrap()
        };
        asked.iter().map(text).collect()
    }

    #[test]
    fn whoever_enters_gets_the_newest_of_what_they_want() {
        let none = Wish::default();
        let one = said("1").with_children(&delay(&room(), NOW)).bytes.len();
        for (wish, most, expected) in [
            (none, 20, 1..=10),
            (none, 3, 8..=10),
            (Wish { messages: Some(2), ..none }, 20, 9..=10),
            (Wish { messages: Some(20), ..none }, 3, 8..=10),
            (Wish { age: Some(Duration::from_secs(4)), ..none }, 20, 6..=10),
            (Wish { since: Some(NOW.before(Duration::from_secs(1))), ..none }, 20, 9..=10),
            (Wish { characters: Some(2 * one + 1), ..none }, 20, 9..=10),
        ] {
            assert_eq!(of_ten(wish, most), expected.collect::<Vec<_>>(), "{wish:?} {most}");
        }
        for wish in [
            Wish { messages: Some(0), ..none },
            Wish { characters: Some(0), ..none },
            Wish { since: Some(NOW.after(Duration::from_secs(1))), ..none },
        ] {
            assert_eq!(of_ten(wish, 20), [0; 0], "{wish:?}");
        }
        assert_eq!(of_ten(none, 0), [0; 0]);
    }

    #[test]
    fn no_more_is_in_memory_than_may_be() {
        let mut history = History::default();
        for n in 0..100 {
            history.note(NOW, said(&n.to_string()), Some(n.to_string()));
        }
        assert_eq!(history.said.len(), MOST);

        for _ in 0..10 {
            history.note(NOW, said(&"x".repeat(MOST_BYTES / 4)), None);
            let bytes = history.said.iter().map(|it| it.message.bytes.len()).sum::<usize>();
            assert!(bytes <= MOST_BYTES && bytes == history.bytes);
        }
        history.note(NOW, said(&"x".repeat(2 * MOST_BYTES)), None);
        assert!(history.said.is_empty() && history.bytes == 0);
    }

    #[test]
    fn what_was_retracted_is_not_sent_any_more() {
        let mut history = History::default();
        for n in 1..=3 {
            history.note(NOW, said(&n.to_string()), Some(n.to_string()));
        }

        history.forget("2");
        history.forget("none");

        let left: Vec<_> = history.said.iter().filter_map(|it| it.id.as_deref()).collect();
        let bytes = history.said.iter().map(|it| it.message.bytes.len()).sum::<usize>();
        assert_eq!((left, history.bytes), (vec!["1", "3"], bytes));
    }

    #[test]
    fn a_wish_is_read_and_what_cannot_be_read_is_not_wished_for() {
        let read = |attributes: &str| {
            let stanza = Stanza::parse(format!(
                "<presence><x xmlns='{}'><history {attributes}/></x></presence>",
                ns::MUC
            ))
            .unwrap();
            let x = stanza.child("x", ns::MUC).unwrap().clone();
            Wish::read(&stanza, &x)
        };

        let all = read("maxchars='5' maxstanzas='6' seconds='7' since='2026-01-01T00:00:00Z'");
        assert_eq!(
            all,
            Wish {
                characters: Some(5),
                messages: Some(6),
                age: Some(Duration::from_secs(7)),
                since: Some(NOW),
            }
        );
        assert_eq!(read("maxchars='-5' maxstanzas='many' since='now'"), Wish::default());
    }
}
