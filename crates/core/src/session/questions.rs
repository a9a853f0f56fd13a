//! What a session's client was asked, by the server or by somebody else through it, and what is waited
//! for.

use tokio::sync::oneshot;
use whoelse_xmpp::Stanza;

/// The most questions of the server that are open at once. A client answers each within a moment; one
/// that answers none has no more asked of it.
const OPEN: usize = 4;
/// The most questions of one other account, and of all of them together: so one who asks for much leaves
/// others a place.
const OPEN_OF_ONE: usize = 4;
const OPEN_OF_OTHERS: usize = 32;

/// The questions that are open.
#[derive(Default)]
pub(super) struct Questions(Vec<Question>);

struct Question {
    id: String,
    /// The account that asks, unless it is the server.
    asker: Option<i64>,
    answer: oneshot::Sender<Stanza>,
}

impl Questions {
    /// Notes a question of this id, by an account or the server; returns where its answer comes. `None`:
    /// too many are open.
    pub fn open(&mut self, id: &str, asker: Option<i64>) -> Option<oneshot::Receiver<Stanza>> {
        let of = |is: &dyn Fn(&Question) -> bool| self.0.iter().filter(|it| is(it)).count();
        let has_place = match asker {
            None => of(&|it| it.asker.is_none()) < OPEN,
            Some(_) => {
                of(&|it| it.asker == asker) < OPEN_OF_ONE
                    && of(&|it| it.asker.is_some()) < OPEN_OF_OTHERS
            }
        };
        if !has_place {
            return None;
        }
        let (answer, waits) = oneshot::channel();
        self.0.push(Question { id: id.to_owned(), asker, answer });
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_asks_for_much_leaves_others_and_the_server_a_place() {
        let mut questions = Questions::default();
        let mut open = Vec::new();
        let mut asks = |asker: Option<i64>| {
            let answer = questions.open(&format!("{}", open.len()), asker);
            let is_open = answer.is_some();
            open.extend(answer);
            is_open
        };

        for asker in 1..=8 {
            for _ in 0..OPEN_OF_ONE {
                assert!(asks(Some(asker)));
            }
            assert!(!asks(Some(asker)), "as many as one may");
        }
        assert!(!asks(Some(9)), "as many as all may");
        for _ in 0..OPEN {
            assert!(asks(None));
        }
        assert!(!asks(None));
    }
}
