//! XEP-0490: what of a room is new, as a state machine. Of a room that is entered at a login only that
//! is shown; what is shown counts as read when its reader does something.
//!
//! A mark is the number of a message in the room's archive. It only moves forward: where another device
//! has marked something that the room has not told this one yet, this one says nothing.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::Speech;

/// Numbers of messages that are remembered: several times what a room of our server shows.
const REMEMBERED: usize = 200;

/// What of a room was told, shown and read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The numbers of what the room has told, in its order.
    told: VecDeque<String>,
    /// Up to where it was read, as far as the account knows.
    mark: Option<String>,
    /// Whether the room has not told this device yet what is marked.
    is_ahead: bool,
    /// The number of the last message that was shown, or left out since it was read.
    shown: Option<String>,
    /// Up to where it was read here.
    read: Option<String>,
    held: Option<Held>,
}

/// What was said before, until it is known what of it is new.
#[derive(Debug)]
struct Held {
    speeches: Vec<Speech>,
    by: Instant,
}

/// What was held and is new.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unread {
    /// Whether there is more before.
    pub more: bool,
    pub speeches: Vec<Speech>,
}

impl Reading {
    /// Begins to hold what the room tells, until it has told everything that was said before, or for so
    /// long. It was read up to this mark.
    pub fn hold(&mut self, mark: String, by: Instant) {
        self.mark = Some(mark);
        self.held = Some(Held { speeches: Vec::new(), by });
    }

    /// Holds what is held until then.
    pub fn wait_until(&mut self, by: Instant) {
        self.held.iter_mut().for_each(|held| held.by = by);
    }

    /// Returns until when something is held.
    pub fn held_by(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.by)
    }

    /// Takes note of a message with this number that the room has told.
    pub fn hear(&mut self, id: &str) {
        self.is_ahead &= self.mark.as_deref() != Some(id);
        if self.told.iter().any(|told| told == id) {
            return;
        }
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back(id.to_owned());
    }

    /// Returns whether something that was said before is held.
    pub fn holds(&mut self, speech: &Speech) -> bool {
        let held = self.held.as_mut().filter(|_| speech.at.is_some());
        held.map(|held| held.speeches.push(speech.clone())).is_some()
    }

    /// Takes note that a message with this number is shown.
    pub fn show(&mut self, id: Option<String>) {
        if id.is_some() {
            self.shown = id;
        }
    }

    /// Takes note that the room has told something that was said here. If everything before it was read,
    /// so is this.
    pub fn show_own(&mut self, id: Option<String>) {
        let was_read = self.read.is_some() && self.read == self.shown;
        self.show(id);
        if was_read {
            self.read.clone_from(&self.shown);
        }
    }

    /// Returns what was held and is new. Nothing is held any more.
    pub fn release(&mut self) -> Unread {
        let Some(Held { mut speeches, .. }) = self.held.take() else { return Unread::default() };
        let place = |speech: &Speech| speech.id.as_deref().and_then(|id| self.place(id));
        let last = speeches.iter().rev().find(|speech| place(speech).is_some());
        let last = last.and_then(|speech| speech.id.clone());
        let read = self.mark.as_deref().and_then(|mark| self.place(mark));
        let more = read.is_none() && !speeches.is_empty();
        // What is in no archive was marked by nobody.
        speeches.retain(|speech| read.is_none() || place(speech).is_none_or(|it| Some(it) > read));
        self.show(last);
        Unread { more, speeches }
    }

    /// Takes note that the account has marked this, by another device or by this one.
    pub fn handle_mark(&mut self, id: String) {
        let known = self.mark.as_deref().and_then(|mark| self.place(mark));
        let is_older = self.place(&id).is_some_and(|new| known.is_some_and(|known| new <= known));
        if !is_older {
            self.is_ahead = self.place(&id).is_none();
            self.mark = Some(id);
        }
    }

    /// Takes note that the reader has done something: what is shown is read.
    pub fn read(&mut self) {
        self.read.clone_from(&self.shown);
    }

    /// Returns what the account has still to be told.
    pub fn unmarked(&self) -> Option<&str> {
        let read = self.read.as_deref()?;
        let is_marked =
            self.mark.as_deref().is_some_and(|it| it == read || self.place(it) > self.place(read));
        (!self.is_ahead && !is_marked).then_some(read)
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.told.iter().position(|told| told == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: &str, at: bool) -> Speech {
        Speech {
            nick: Some("bob".to_owned()),
            who: None,
            text: format!("text of {id}"),
            id: Some(id.to_owned()),
            at: at.then_some(std::time::SystemTime::UNIX_EPOCH),
            is_private: false,
        }
    }

    /// A room that was read up to 2, and has told these that were said before.
    fn told(ids: &[&str]) -> Reading {
        let mut reading = Reading::default();
        reading.hold("2".to_owned(), Instant::now());
        for id in ids {
            reading.hear(id);
            assert!(reading.holds(&said(id, true)));
        }
        reading
    }

    fn released(reading: &mut Reading) -> (bool, Vec<String>) {
        let Unread { more, speeches } = reading.release();
        (more, speeches.into_iter().filter_map(|it| it.id).collect())
    }

    fn mark(reading: &mut Reading, id: &str) {
        reading.handle_mark(id.to_owned());
    }

    #[test]
    fn what_comes_after_the_mark_is_new_and_without_it_there_is_more() {
        assert_eq!(released(&mut told(&["1", "2", "3"])), (false, vec!["3".to_owned()]));
        assert_eq!(released(&mut told(&["1", "2"])), (false, vec![]));
        assert_eq!(released(&mut told(&[])), (false, vec![]));
        let all = vec!["5".to_owned(), "6".to_owned()];
        assert_eq!(released(&mut told(&["5", "6"])), (true, all));
    }

    #[test]
    fn only_what_was_said_before_is_held_and_only_once() {
        let mut reading = told(&["1"]);
        assert!(!reading.holds(&said("3", false)));

        reading.release();
        assert!(!reading.holds(&said("2", true)));
        assert_eq!(released(&mut reading), (false, vec![]));
    }

    #[test]
    fn nothing_is_read_before_its_reader_does_something() {
        let mut reading = told(&["1", "2", "3"]);
        reading.release();
        assert_eq!(reading.unmarked(), None);

        reading.read();
        assert_eq!(reading.unmarked(), Some("3"));
        mark(&mut reading, "3");
        assert_eq!(reading.unmarked(), None);
        reading.hear("4");
        reading.show(Some("4".to_owned()));
        assert_eq!(reading.unmarked(), None, "it scrolls by");
        reading.read();
        assert_eq!(reading.unmarked(), Some("4"));
    }

    #[test]
    fn what_is_said_here_is_read_if_everything_before_it_is() {
        let mut reading = told(&["1", "2", "3"]);
        reading.release();
        reading.read();
        reading.hear("4");
        reading.show_own(Some("4".to_owned()));
        assert_eq!(reading.unmarked(), Some("4"));

        reading.hear("5");
        reading.show(Some("5".to_owned()));
        reading.hear("6");
        reading.show_own(Some("6".to_owned()));
        assert_eq!(reading.unmarked(), Some("4"));
    }

    #[test]
    fn a_mark_only_moves_forward() {
        let mut reading = told(&["1", "2", "3", "4"]);
        reading.release();
        mark(&mut reading, "4");
        mark(&mut reading, "1");
        reading.read = Some("3".to_owned());
        assert_eq!(reading.unmarked(), None, "another device has read on");

        // It has read what the room has not told this one yet.
        mark(&mut reading, "6");
        reading.hear("5");
        reading.show(Some("5".to_owned()));
        reading.read();
        assert_eq!(reading.unmarked(), None);
        reading.hear("6");
        assert_eq!(reading.unmarked(), None);
        reading.hear("7");
        reading.show(Some("7".to_owned()));
        reading.read();
        assert_eq!(reading.unmarked(), Some("7"));
    }

    #[test]
    fn the_mark_of_a_login_may_be_older_than_anything_the_room_tells() {
        let mut reading = told(&["5", "6"]);
        reading.release();
        reading.read();

        assert_eq!(reading.unmarked(), Some("6"));
    }
}
