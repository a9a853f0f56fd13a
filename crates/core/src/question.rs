//! A question of the server to the client of one session: a request (RFC 6120, 8.2.3), and its
//! answer.
//!
//! The session itself knows what is open, so an answer counts only if it comes from there, and what
//! is open ends with it. Resuming keeps both: the question is sent again if it has not arrived.

use std::time::Duration;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, Stanza, StanzaError};

use crate::node::Node;
use crate::session::Session;

/// How long an answer is waited for: no person is asked, so a client that is there answers at once.
const PATIENCE: Duration = Duration::from_secs(60);

impl Node {
    /// Asks the client of a session something, by a request of type `get` with this payload. Returns
    /// the result or the client's error.
    ///
    /// `None`: nothing was answered within a minute, or the session has ended, or as many questions
    /// to it are open as may be (four). A session that is without a connection when the minute is
    /// over has another one.
    pub async fn ask(
        &self,
        session: &Session,
        payload: Element,
    ) -> Option<Result<Stanza, StanzaError>> {
        let id = whoelse_stream::token::token();
        let answer = session.open_question(&id)?;
        let _open = Open { session, id: &id };
        // Nobody waits for it when it is lost with the session.
        session.push(
            Element::new("iq")
                .attr("type", "get")
                .attr("id", &id)
                .attr("from", &self.domain_name())
                .attr("to", session.jid.as_str())
                .child(payload)
                .outgoing(Class::IqAnswer),
        );
        tokio::select! {
            biased;
            answer = answer => answer.ok().map(read),
            () = self.lose_patience(session) => None,
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
struct Open<'a> {
    session: &'a Session,
    id: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.session.close_question(self.id);
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
