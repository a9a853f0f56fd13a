//! A question to the client of one session: a request (RFC 6120, 8.2.3), and its answer. The server asks
//! for itself, or a service passes on what somebody else asks.
//!
//! The session itself knows what is open, by ids that nobody can guess, so an answer counts only if it
//! comes from there, and what is open ends with it. Resuming keeps both: the question is sent again if
//! it has not arrived.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, Edit, Kind, Outgoing, Stanza, StanzaError};

use crate::node::Node;
use crate::rewriting;
use crate::session::{PushRefused, Sender, Session};

/// How long an answer is waited for: no person is asked, so a client that is there answers at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It was not asked: as many questions are open as may be, or there is no room for one more.
    Busy,
    /// It has not answered within a minute.
    Silent,
    /// The session has ended.
    Gone,
    /// It was not asked: the request cannot be passed on.
    Malformed,
}

/// A request that a service passes on to a session, which is asked by the service's own id.
pub struct PassedOn<'a> {
    /// The request as it arrived.
    pub stanza: &'a Stanza,
    /// The language of the asker's stream, if the request has none.
    pub lang: Option<&'a str>,
    /// The children that are left out, by index.
    pub strip: &'a [usize],
    /// The address by which the session hears that it is asked.
    pub from: &'a str,
    /// Who asks: what waits is their share, and so many of their questions may be open.
    pub sender: Sender,
}

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
        let opened = open(session, &id, None);
        if opened.is_ok() {
            // Nobody waits for it when it is lost with the session.
            session.push(question.outgoing(Class::IqAnswer));
        }
        let answer = self.answer(session, id, opened);
        async move { answer.await.ok().map(read) }
    }

    /// Asks the client of a session what somebody else asks, as [`Node::ask`] does. The future gives the
    /// client's answer as it came.
    pub fn pass_on(
        self: &Arc<Node>,
        session: &Arc<Session>,
        request: &PassedOn<'_>,
    ) -> impl Future<Output = Result<Stanza, Unanswered>> + Send + use<> {
        let id = whoelse_stream::token::token();
        let asker = Some(request.sender.account);
        let opened = open(session, &id, asker).and_then(|answer| {
            let question = request.question(&id).ok_or(Unanswered::Malformed)?;
            let to = rewriting::attribute("to", session.jid.as_str()).into();
            match session.push_from(&question, &to, request.sender) {
                Ok(()) => Ok(answer),
                Err(PushRefused::NoRoom) => Err(Unanswered::Busy),
                Err(PushRefused::Gone) => Err(Unanswered::Gone),
            }
        });
        self.answer(session, id, opened)
    }

    fn answer(
        self: &Arc<Node>,
        session: &Arc<Session>,
        id: String,
        opened: Result<oneshot::Receiver<Stanza>, Unanswered>,
    ) -> impl Future<Output = Result<Stanza, Unanswered>> + Send + use<> {
        let open = Open { session: session.clone(), id };
        let node = self.clone();
        async move {
            tokio::select! {
                biased;
                answer = opened? => answer.map_err(|_| Unanswered::Gone),
                () = node.lose_patience(&open.session) => Err(Unanswered::Silent),
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

/// Opens a question of an account, or of the server.
fn open(
    session: &Session,
    id: &str,
    asker: Option<i64>,
) -> Result<oneshot::Receiver<Stanza>, Unanswered> {
    let opened = session.open_question(id, asker);
    opened.ok_or_else(|| match session.is_gone() {
        true => Unanswered::Gone,
        false => Unanswered::Busy,
    })
}

impl PassedOn<'_> {
    /// The request as the session is asked, but for its `to`. `None`: it has too many attributes.
    fn question(&self, id: &str) -> Option<Outgoing> {
        let lang = self.lang.filter(|_| self.stanza.lang().is_none());
        let attributes = [
            ("from", Some(self.from)),
            ("to", None),
            ("id", Some(id)),
            ("xmlns", None),
            ("xml:lang", lang.or(self.stanza.lang())),
        ];
        let children: Vec<_> = self.strip.iter().map(|place| (*place, Vec::new())).collect();
        rewritten(self.stanza, &Edit { attributes: &attributes, children: &children, add: b"" })
            .map(|question| Outgoing { class: Class::IqRequest, ..question })
    }
}

/// Returns the answer to a request that was passed on as its asker gets it, but for its `to`: from the
/// address that was asked, and by the id of the request. `None`: it has too many attributes.
pub fn answer_to(request: &Stanza, answer: &Stanza) -> Option<Outgoing> {
    let attributes = [("from", request.to()), ("to", None), ("id", request.id()), ("xmlns", None)];
    rewritten(answer, &Edit { attributes: &attributes, ..Edit::default() })
}

fn rewritten(stanza: &Stanza, edit: &Edit<'_>) -> Option<Outgoing> {
    let bytes = stanza.edited(edit)?;
    Some(Outgoing::from_encoded(Kind::Iq, bytes.into(), Class::IqAnswer))
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
