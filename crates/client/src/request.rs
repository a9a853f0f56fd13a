//! RFC 6120, 8.2.3: pending requests.
//!
//! An answer counts only from the address that was asked, because anybody can send an iq of type
//! result with a guessed id.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, FullJid, Jid, Outgoing, Stanza, StanzaError, ns};

use crate::error::RequestError;
use crate::kit::Mark;
use crate::renamed::Renamed;

/// Deadline of an answer; the server's own is 30 s.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// Requests that may wait for their answers at once.
pub const MAX_PENDING: usize = 100;

/// The type of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Read only; may be repeated if the connection breaks before the answer.
    Get,
    /// A change; never repeated automatically.
    Set,
}

/// A request before it has an id.
#[derive(Debug, Clone)]
pub struct Request {
    /// Get or set.
    pub ask: Ask,
    /// The addressee; `None` means the own account.
    pub to: Option<Jid>,
    /// The one child, encoded.
    pub payload: Vec<u8>,
    /// Whether a person typed it, which counts as activity.
    pub by_hand: bool,
    /// The query id whose results arrive as messages before the answer (XEP-0313).
    pub collect: Option<String>,
    /// Recognises a refusal that asks for more. Such a one is the answer, and not an error.
    pub asks_back: Option<fn(&Stanza) -> bool>,
    /// What a listener is told where the answer, if one comes, stands among all that it hears.
    pub mark: Option<Mark>,
}

/// An answer with the results that came before it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The iq of type result, or the refusal that [`Request::asks_back`] recognises.
    pub iq: Stanza,
    /// The messages that carried results.
    pub results: Vec<Stanza>,
}

impl Request {
    /// Applies a rename of the domain to the addressee.
    pub(crate) fn rename(&mut self, renamed: &Renamed) {
        if let Some(to) = &mut self.to {
            *to = renamed.address(to);
        }
    }

    /// Makes a get to the own account.
    pub fn get(payload: Element) -> Request {
        Request::new(Ask::Get, payload)
    }

    /// Makes a set to the own account.
    pub fn set(payload: Element) -> Request {
        Request::new(Ask::Set, payload)
    }

    fn new(ask: Ask, payload: Element) -> Request {
        let payload = payload.finish().to_vec();
        let (to, collect, asks_back, mark) = (None, None, None, None);
        Request { ask, to, payload, by_hand: true, collect, asks_back, mark }
    }

    /// Marks that the program asks and no person.
    pub fn by_itself(self) -> Request {
        Request { by_hand: false, ..self }
    }

    /// Has a listener told where the answer stands ([`Heard::Answered`](crate::kit::Heard)): who has
    /// asked gets it by another way, and would not know what was told before it and what after it.
    pub fn marked(self, mark: Mark) -> Request {
        Request { mark: Some(mark), ..self }
    }

    /// Addresses somebody else.
    pub fn to(self, to: Jid) -> Request {
        Request { to: Some(to), ..self }
    }

    /// Encodes it as a stanza. Marks it as typed by a person if the server understands that
    /// (`activity`).
    pub fn encode(&self, id: &str, activity: bool) -> Outgoing {
        let type_ = match self.ask {
            Ask::Get => "get",
            Ask::Set => "set",
        };
        let mut iq = Element::new("iq")
            .attr("type", type_)
            .attr_opt("to", self.to.as_ref().map(Jid::as_str))
            .attr("id", id)
            .raw(&self.payload);
        if self.by_hand && activity {
            iq = iq.child(Element::new("by-hand").xmlns(ns::WHOELSE_ACTIVITY));
        }
        iq.outgoing(Class::IqRequest)
    }
}

/// Returns whether `from` may answer a request to `asked`, in the session `me`.
///
/// A request without `to` is for the own account; its answer comes without `from`, from the
/// account's bare or full address (RFC 6120, 8.1.2.1), or from the server on its behalf.
pub fn may_answer(from: Option<&str>, asked: Option<&Jid>, me: &FullJid) -> bool {
    let Some(from) = from else {
        return asked.is_none_or(|asked| *asked == Jid::from(me.to_bare()));
    };
    let Ok(from) = Jid::parse(from) else { return false };
    match asked {
        Some(asked) => from == *asked,
        None => {
            from == Jid::from(me.to_bare())
                || from == Jid::from(me.clone())
                || from.as_str() == me.domain()
        }
    }
}

/// The pending requests, each with what to do with its answer.
#[derive(Debug)]
pub struct Pending<T> {
    waiting: HashMap<String, Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    asked: Option<Jid>,
    /// Counted from when it was sent; `None` while there is no connection.
    deadline: Option<Instant>,
    then: T,
}

impl<T> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending { waiting: HashMap::new() }
    }
}

impl<T> Pending<T> {
    /// Returns whether it is full.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_PENDING
    }

    /// Adds a request `id` to `asked`.
    pub fn insert(&mut self, id: String, asked: Option<Jid>, now: Instant, then: T) {
        let deadline = Some(now + ANSWER_WITHIN);
        self.waiting.insert(id, Waiting { asked, deadline, then });
    }

    /// Takes the request that this stanza answers, if it is an answer from a permitted address.
    pub fn answered(
        &mut self,
        stanza: &Stanza,
        me: &FullJid,
    ) -> Option<(T, Result<Stanza, RequestError>)> {
        let id = stanza.id()?;
        let answer = match stanza.type_()? {
            "result" => Ok(stanza.clone()),
            "error" => Err(RequestError::Refused(
                StanzaError::read(stanza)
                    .unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition)),
            )),
            _ => return None,
        };
        let asked = self.waiting.get(id)?.asked.as_ref();
        if !may_answer(stanza.from(), asked, me) {
            return None;
        }
        let waiting = self.waiting.remove(id)?;
        Some((waiting.then, answer))
    }

    /// Returns what to do with the pending answers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.waiting.values_mut().map(|waiting| &mut waiting.then)
    }

    /// Takes those whose deadline has passed.
    pub fn expired(&mut self, now: Instant) -> Vec<T> {
        let late = |waiting: &mut Waiting<T>| waiting.deadline.is_some_and(|at| at <= now);
        self.waiting.extract_if(|_, waiting| late(waiting)).map(|(_, it)| it.then).collect()
    }

    /// Takes all of them.
    pub fn take_all(&mut self) -> Vec<T> {
        self.waiting.drain().map(|(_, waiting)| waiting.then).collect()
    }

    /// Stops the deadlines while there is no connection.
    pub fn pause(&mut self) {
        self.waiting.values_mut().for_each(|waiting| waiting.deadline = None);
    }

    /// Restarts all deadlines.
    pub fn resume(&mut self, now: Instant) {
        let deadline = Some(now + ANSWER_WITHIN);
        self.waiting.values_mut().for_each(|waiting| waiting.deadline = deadline);
    }

    /// Returns the next deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|waiting| waiting.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn me() -> FullJid {
        FullJid::parse("me@a.example/here").unwrap()
    }

    fn stanza(xml: &str) -> Stanza {
        Stanza::parse(xml.as_bytes().to_vec()).unwrap()
    }

    fn asked(to: Option<&str>) -> Pending<&'static str> {
        let mut pending = Pending::default();
        let to = to.map(|to| Jid::parse(to).unwrap());
        pending.insert("q1".to_owned(), to, Instant::now(), "then");
        pending
    }

    #[test]
    fn an_answer_finds_its_request_once() {
        let mut pending = asked(Some("a.example"));
        let answer = stanza("<iq type='result' id='q1' from='a.example'/>");

        assert!(pending.answered(&answer, &me()).is_some());
        assert!(pending.answered(&answer, &me()).is_none());
    }

    #[test]
    fn a_forged_answer_is_ignored() {
        for to in [Some("a.example"), Some("bob@a.example/x"), None] {
            let mut pending = asked(to);
            for forged in [
                "<iq type='result' id='q1' from='mallory@a.example/x'/>",
                "<iq type='error' id='q1' from='mallory@a.example/x'/>",
                "<iq type='result' id='q1' from='bob@a.example'/>",
                "<iq type='result' id='q1' from='@'/>",
                "<iq type='result' id='q2' from='a.example'/>",
                "<iq type='get' id='q1' from='a.example'/>",
            ] {
                assert!(pending.answered(&stanza(forged), &me()).is_none(), "{forged}");
            }
            assert!(pending.next_deadline().is_some(), "it still waits");
        }
    }

    #[test]
    fn the_own_account_is_answered_for_by_itself_or_the_server() {
        for from in ["", "from='me@a.example'", "from='me@a.example/here'", "from='a.example'"] {
            let answer = stanza(&format!("<iq type='result' id='q1' {from}/>"));
            assert!(asked(None).answered(&answer, &me()).is_some(), "{from}");
        }
        let unsigned = stanza("<iq type='result' id='q1'/>");
        assert!(asked(Some("bob@a.example/x")).answered(&unsigned, &me()).is_none());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let refusal = stanza(
            "<iq type='error' id='q1' from='a.example'><error type='cancel'>\
             <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        );

        let (_, answer) = asked(Some("a.example")).answered(&refusal, &me()).unwrap();

        let Err(RequestError::Refused(error)) = answer else { panic!("not refused") };
        assert_eq!(error.condition, Condition::Conflict);
    }

    #[test]
    fn a_request_that_waits_too_long_is_given_up_but_not_while_disconnected() {
        let mut pending = asked(None);
        let late = Instant::now() + ANSWER_WITHIN + Duration::from_secs(1);

        pending.pause();
        assert_eq!(pending.next_deadline(), None);
        assert!(pending.expired(late).is_empty());

        pending.resume(late);
        assert!(pending.expired(late).is_empty());
        assert_eq!(pending.expired(late + ANSWER_WITHIN), ["then"]);
    }

    #[test]
    fn a_request_typed_by_hand_says_so_beside_its_payload() {
        let request = Request::get(Element::new("ping").xmlns(ns::PING));

        let typed = Stanza::parse(request.encode("q1", true).bytes).unwrap();
        let other = Stanza::parse(request.encode("q1", false).bytes).unwrap();

        assert!(typed.has("ping", ns::PING) && typed.has("by-hand", ns::WHOELSE_ACTIVITY));
        assert!(!other.has("by-hand", ns::WHOELSE_ACTIVITY));
    }
}
