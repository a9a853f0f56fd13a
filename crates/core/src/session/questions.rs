//! What the server has asked a session's client, and waits for.

use tokio::sync::oneshot;
use whoelse_xmpp::Stanza;

/// The most questions that are open at once. A client answers each within a moment; one that answers
/// none has no more asked of it.
const OPEN: usize = 4;

/// The questions that are open.
#[derive(Default)]
pub(super) struct Questions(Vec<Question>);

struct Question {
    id: String,
    answer: oneshot::Sender<Stanza>,
}

impl Questions {
    /// Notes a question of this id; returns where its answer comes. `None`: too many are open.
    pub fn open(&mut self, id: &str) -> Option<oneshot::Receiver<Stanza>> {
        if self.0.len() >= OPEN {
            return None;
        }
        let (answer, waits) = oneshot::channel();
        self.0.push(Question { id: id.to_owned(), answer });
        Some(waits)
    }

    /// Gives an answer to whoever has asked. An answer to no question is dropped.
    pub fn answer(&mut self, answer: &Stanza) {
        if let Some(question) = answer.id().and_then(|id| self.take(id)) {
            // Whoever has asked may have given up at this moment.
            let _ = question.answer.send(answer.clone());
        }
    }

    /// Takes a question back.
    pub fn close(&mut self, id: &str) {
        self.take(id);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, id: &str) -> Option<Question> {
        let at = self.0.iter().position(|question| question.id == id)?;
        Some(self.0.swap_remove(at))
    }
}
