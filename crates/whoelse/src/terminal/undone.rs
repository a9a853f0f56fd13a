//! Lines that were typed but not run when the program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use whoelse_client::Event;

use super::face::Face;
use super::said::Said;
use crate::commands;
use crate::say::text;

/// Lines that are named one by one; the remaining ones are counted.
const MOST_NAMED: usize = 5;

/// Counts how often the connection was lost or came back, as reported: odd while there is none.
#[derive(Debug, Clone, Default)]
pub struct Connection(Arc<AtomicU32>);

impl Connection {
    /// Takes note of an event.
    pub fn hear(&self, event: &Event) {
        let turns = self.0.load(Ordering::Relaxed);
        let turned = match event {
            Event::ConnectionLost => is_away(turns + 1),
            Event::Resumed | Event::Reconnected | Event::LoggedIn { .. } => is_away(turns),
            _ => false,
        };
        if turned {
            self.0.store(turns + 1, Ordering::Relaxed);
        }
    }

    fn turns(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

fn is_away(turns: u32) -> bool {
    turns % 2 == 1
}

/// A running line.
#[derive(Debug)]
pub struct AtWork {
    line: String,
    begun: u32,
}

impl AtWork {
    /// Begins now.
    pub fn new(line: &str, connection: &Connection) -> AtWork {
        AtWork { line: line.to_owned(), begun: connection.turns() }
    }

    /// Reports that nobody waits for its end any more.
    pub fn give_up(&self, connection: &Connection, face: &Face) {
        // It began without a connection, and there has been none since, so nothing was sent.
        if is_away(self.begun) && self.begun == connection.turns() {
            not_sent(&self.line, face);
        } else {
            tell("unconfirmed", "nobody knows whether this was done", &self.line, face);
        }
    }
}

/// Reports that these lines were not run.
pub fn name(lines: &[String], face: &Face) {
    lines.iter().take(MOST_NAMED).for_each(|line| not_sent(line, face));
    let more = lines.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        face.tell(&Said::Words(format!("* not sent: {more} more")));
    }
}

fn not_sent(line: &str, face: &Face) {
    tell("not-sent", "not sent", line, face);
}

fn tell(condition: &'static str, what: &str, line: &str, face: &Face) {
    if !face.objects {
        return face.tell(&Said::Words(format!("* {what}: {}", text::line(line.trim()))));
    }
    // Only the name of a command is shown, since an object may hold a password.
    let command = commands::split(line).and_then(|(name, _)| commands::find(name));
    face.tell(&Said::Failed {
        command: command.map(|command| command.name),
        id: commands::any_id(line).as_deref(),
        condition,
        words: what.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_without_a_connection_has_not_left_until_there_is_one_again() {
        let connection = Connection::default();
        let told = |events: &[Event]| {
            events.iter().for_each(|event| connection.hear(event));
            connection.turns()
        };

        assert!(!is_away(told(&[Event::Reconnected])));
        let away = told(&[Event::ConnectionLost]);
        assert!(is_away(away));
        assert_eq!(told(&[Event::ConnectionLost, Event::ShuttingDown]), away);
        assert!(!is_away(told(&[Event::Resumed])));
        assert_ne!(told(&[Event::ConnectionLost]), away);
    }
}
