//! A question of the server to the client of one session: a request (RFC 6120, 8.2.3), and its
//! answer.
//!
//! The session itself knows what is open, so an answer counts only if it comes from there, and what
//! is open ends with it. Resuming keeps both: the question is sent again if it has not arrived.

use std::sync::Arc;
use std::time::Duration;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, Stanza, StanzaError};

use crate::node::Node;
use crate::session::Session;

/// How long an answer is waited for: no person is asked, so a client that is there answers at once.
const PATIENCE: Duration = Duration::from_secs(60);

impl Node {
    /// Asks the client of a session something, by a request of type `get` with this payload: it is
    /// queued at once. The future gives the result or the client's error.
    ///
    /// `None`: nothing was answered within a minute, or the session has ended, or as many questions
    /// to it are open as may be (four). A session that is without a connection when the minute is
    /// over has another one. Whoever drops the future takes the question back.
    pub fn ask(
        self: &Arc<Node>,
        session: &Arc<Session>,
        payload: Element,
    ) -> impl Future<Output = Option<Result<Stanza, StanzaError>>> + Send + use<> {
        let id = whoelse_stream::token::token();
        let question = Element::new("iq")
            .attr("type", "get")
            .attr("id", &id)
            .attr("from", &self.domain_name())
            .attr("to", session.jid.as_str())
            .child(payload);
        let answer = session.open_question(&id);
        if answer.is_some() {
            // Nobody waits for it when it is lost with the session.
            session.push(question.outgoing(Class::IqAnswer));
        }
        let open = Open { session: session.clone(), id };
        let node = self.clone();
        async move {
            tokio::select! {
                biased;
                answer = answer? => answer.ok().map(read),
                () = node.lose_patience(&open.session) => None,
            }
        }
    }

    async fn lose_patience(&self, session: &Session) {
        loop {
            self.clock.sleep(PATIENCE).await;
            if session.is_attached() {
                return;
            }
        }
    }
}

/// A question that is taken back when nobody waits for its answer any more.
struct Open {
    session: Arc<Session>,
    id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.session.close_question(&self.id);
    }
}

fn read(answer: Stanza) -> Result<Stanza, StanzaError> {
    match answer.type_() {
        Some("error") => Err(StanzaError::read(&answer)
            .unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition))),
        _ => Ok(answer),
    }
}

#[cfg(test)]
mod tests;
