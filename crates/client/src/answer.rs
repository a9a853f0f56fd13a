//! RFC 6120, 8.2.3: this client's answers to requests.
//!
//! It understands three requests (XEP-0030, XEP-0092, XEP-0199) and answers any other with
//! `service-unavailable`, because every request must be answered.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, FullJid, Kind, Outgoing, Stanza, StanzaError, ns};

use crate::blocking;
use crate::disco::Capabilities;

/// Returns the answer to a request; `None` if the stanza is not a request.
pub(crate) fn answer(stanza: &Stanza, me: &FullJid, able: &Capabilities) -> Option<Outgoing> {
    if stanza.kind() != Kind::Iq {
        return None;
    }
    match stanza.type_() {
        Some("get") if stanza.has("ping", ns::PING) => Some(result(stanza, None)),
        Some("get") if stanza.has("query", ns::VERSION) => {
            let query = Element::new("query")
                .xmlns(ns::VERSION)
                .child(Element::new("name").text("whoelse"))
                .child(Element::new("version").text(env!("CARGO_PKG_VERSION")));
            Some(result(stanza, Some(query)))
        }
        Some("get") if stanza.has("query", ns::DISCO_INFO) => match able.info(stanza) {
            Some(info) => Some(result(stanza, Some(info))),
            None => StanzaError::new(Condition::ItemNotFound).answer(stanza, None, stanza.from()),
        },
        Some("set") if blocking::is_push(stanza, me) => Some(result(stanza, None)),
        Some("get" | "set") => {
            StanzaError::new(Condition::ServiceUnavailable).answer(stanza, None, stanza.from())
        }
        _ => None,
    }
}

/// Returns an answer of type result.
pub(crate) fn result(request: &Stanza, payload: Option<Element>) -> Outgoing {
    let iq = Element::new("iq")
        .attr("type", "result")
        .attr_opt("to", request.from())
        .attr_opt("id", request.id());
    match payload {
        Some(payload) => iq.child(payload),
        None => iq,
    }
    .outgoing(Class::IqAnswer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answered(xml: &str) -> Option<Stanza> {
        let me = FullJid::parse("me@a.example/x").unwrap();
        let asked = Stanza::parse(xml.as_bytes().to_vec()).unwrap();
        answer(&asked, &me, &Capabilities::new([])).map(|out| Stanza::parse(out.bytes).unwrap())
    }

    #[test]
    fn a_ping_is_answered_to_whoever_sent_it() {
        let ping = "<iq type='get' id='p' from='a.example'><ping xmlns='urn:xmpp:ping'/></iq>";

        let answer = answered(ping).unwrap();

        assert_eq!(answer.type_(), Some("result"));
        assert_eq!((answer.to(), answer.id()), (Some("a.example"), Some("p")));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for xml in [
            "<iq type='get' id='p' from='a.example'><x xmlns='urn:y'/></iq>",
            "<iq type='set' id='p' from='a.example'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='set' id='p' from='eve@a.example/x'>\
             <block xmlns='urn:xmpp:blocking'/></iq>",
        ] {
            let answer = answered(xml).unwrap();
            assert_eq!(answer.type_(), Some("error"), "{xml}");
            let error = StanzaError::read(&answer).unwrap();
            assert_eq!(error.condition, Condition::ServiceUnavailable);
        }
    }

    #[test]
    fn an_answer_is_never_answered() {
        for xml in [
            "<iq type='result' id='p' from='a.example'/>",
            "<iq type='error' id='p' from='a.example'/>",
            "<iq id='p'/>",
            "<message from='a.example' type='get'/>",
        ] {
            assert!(answered(xml).is_none(), "{xml}");
        }
    }
}
