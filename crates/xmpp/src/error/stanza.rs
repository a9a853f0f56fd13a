//! RFC 6120, 8.3: stanza errors, which tell a sender why a stanza is refused.

use super::{App, conditions, encode_app, known_app, say};
use crate::write::{Class, Element};
use crate::{Kind, Outgoing, Stanza, ns};

/// RFC 6120, 8.3.2: the error type, which says what the sender may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Proceed: the condition was only a warning.
    Continue,
    /// Retry after changing the data sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl ErrorType {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    fn from_name(name: &str) -> Option<ErrorType> {
        Some(match name {
            "auth" => ErrorType::Auth,
            "cancel" => ErrorType::Cancel,
            "continue" => ErrorType::Continue,
            "modify" => ErrorType::Modify,
            "wait" => ErrorType::Wait,
            _ => return None,
        })
    }
}

conditions! {
    /// RFC 6120, 8.3.3: all defined conditions.
    Condition {
        BadRequest = "bad-request",
        Conflict = "conflict",
        FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden",
        Gone = "gone",
        InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found",
        JidMalformed = "jid-malformed",
        NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed",
        NotAuthorized = "not-authorized",
        PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable",
        Redirect = "redirect",
        RegistrationRequired = "registration-required",
        RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout",
        ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable",
        SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition",
        UnexpectedRequest = "unexpected-request",
    }
}

impl Condition {
    /// The type that RFC 6120, 8.3.3 associates with the condition.
    pub fn default_type(self) -> ErrorType {
        use Condition::*;
        match self {
            BadRequest | JidMalformed | NotAcceptable | PolicyViolation | Redirect => {
                ErrorType::Modify
            }
            Conflict
            | FeatureNotImplemented
            | Gone
            | InternalServerError
            | ItemNotFound
            | NotAllowed
            | RemoteServerNotFound
            | ServiceUnavailable
            | UndefinedCondition => ErrorType::Cancel,
            Forbidden | NotAuthorized | RegistrationRequired | SubscriptionRequired => {
                ErrorType::Auth
            }
            RecipientUnavailable | RemoteServerTimeout | ResourceConstraint | UnexpectedRequest => {
                ErrorType::Wait
            }
        }
    }
}

/// A stanza error, as it goes back to the sender of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// The error type.
    pub type_: ErrorType,
    /// The condition.
    pub condition: Condition,
    /// A text for people, in English.
    pub text: Option<String>,
    /// The application's condition: name and namespace.
    pub app: Option<App>,
    /// What that condition names as missing: its attribute `feature` (XEP-0060).
    pub feature: Option<&'static str>,
    /// What stands before the error, encoded: the request's payload, or what of it was refused.
    pub payload: Option<Vec<u8>>,
}

impl StanzaError {
    /// Makes an error with the type that RFC 6120, 8.3.3 gives the condition.
    pub fn new(condition: Condition) -> StanzaError {
        let type_ = condition.default_type();
        StanzaError { type_, condition, text: None, app: None, feature: None, payload: None }
    }

    /// Adds a text for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> StanzaError {
        self.text = Some(text.into());
        self
    }

    /// Sets another type.
    #[must_use]
    pub fn with_type(mut self, type_: ErrorType) -> StanzaError {
        self.type_ = type_;
        self
    }

    /// Adds an application condition.
    #[must_use]
    pub fn with_app(mut self, name: &'static str, ns: &'static str) -> StanzaError {
        self.app = Some((name, ns));
        self
    }

    /// Says which feature the application condition is about.
    #[must_use]
    pub fn with_feature(mut self, feature: &'static str) -> StanzaError {
        self.feature = Some(feature);
        self
    }

    /// Puts elements before the error, as RFC 6120, 8.3.1 allows.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Vec<u8>>) -> StanzaError {
        self.payload = Some(payload.into());
        self
    }

    /// Makes the error stanza that answers `stanza`: addresses swapped, id kept, type `error`.
    ///
    /// `from` and `to` are used where the swapped addresses are not the right ones. `None` if the
    /// stanza is itself an error or an iq result, which are never answered (RFC 6120, 8.3.1), or is
    /// not a stanza.
    pub fn answer(
        &self,
        stanza: &Stanza,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Option<Outgoing> {
        let (name, class) = match (stanza.kind(), stanza.type_()) {
            (_, Some("error")) | (Kind::Iq, Some("result")) | (Kind::Other, _) => return None,
            (Kind::Message, _) => ("message", Class::Message),
            (Kind::Presence, _) => ("presence", Class::Presence),
            (Kind::Iq, _) => ("iq", Class::IqAnswer),
        };
        let answer = Element::new(name)
            .attr("type", "error")
            .attr_opt("id", stanza.id())
            .attr_opt("from", from.or(stanza.to()))
            .attr_opt("to", to.or(stanza.from()))
            .raw(self.payload.as_deref().unwrap_or_default())
            .child(self.element());
        Some(answer.outgoing(class))
    }

    /// Encodes `<error>…</error>` alone.
    pub fn encode(&self) -> Vec<u8> {
        self.element().finish().to_vec()
    }

    fn element(&self) -> Element {
        let error = Element::new("error").attr("type", self.type_.name());
        let app = self.app.map(|app| encode_app(app).attr_opt("feature", self.feature));
        say(error, self.condition.name(), ns::STANZA_ERRORS, self.text.as_deref(), app)
    }

    /// Reads the `<error/>` of a stanza of type error (for clients).
    ///
    /// Accepts what other programs send: an unknown condition becomes `undefined-condition`, an
    /// unknown type the condition's own.
    pub fn read(stanza: &Stanza) -> Option<StanzaError> {
        let child =
            stanza.children().iter().find(|c| c.name() == "error" && c.ns() == stanza.ns())?;
        let mut error = StanzaError::new(Condition::UndefinedCondition);
        for part in stanza.grandchildren(child) {
            match (part.ns(), part.name()) {
                (ns::STANZA_ERRORS, "text") => error.text = Some(stanza.text_of(&part).into()),
                (ns::STANZA_ERRORS, name) => {
                    if let Some(condition) = Condition::from_name(name) {
                        error.condition = condition;
                    }
                }
                (ns, name) => error.app = error.app.or(known_app(name, ns)),
            }
        }
        let type_ = stanza.child_attr(child, "type");
        error.type_ = type_
            .and_then(|name| ErrorType::from_name(&name))
            .unwrap_or(error.condition.default_type());
        Some(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_condition_and_type_is_read_as_it_was_written() {
        for condition in Condition::ALL {
            for type_ in ["auth", "cancel", "continue", "modify", "wait"] {
                let error = StanzaError::new(*condition)
                    .with_type(ErrorType::from_name(type_).unwrap())
                    .with_text("so & <so>")
                    .with_app("blocked-you", ns::WHOELSE_ERRORS);
                let stanza = Element::new("iq").attr("type", "error").raw(&error.encode()).finish();

                let read = StanzaError::read(&Stanza::parse(stanza).unwrap());

                assert_eq!(read, Some(error));
            }
        }
    }

    #[test]
    fn an_error_looks_as_in_rfc_6120() {
        let error = StanzaError::new(Condition::ItemNotFound).with_text("not here");

        assert_eq!(
            String::from_utf8(error.encode()).unwrap(),
            "<error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>not here</text>\
             </error>"
        );
    }

    #[test]
    fn an_error_says_what_is_missing_and_repeats_what_was_asked() {
        let error = StanzaError::new(Condition::FeatureNotImplemented)
            .with_app("unsupported", ns::PUBSUB_ERRORS)
            .with_feature("publish")
            .with_payload("<q xmlns='u'/>");
        let stanza = Stanza::parse("<iq type='get' id='1' from='a@x/r'/>").unwrap();

        let answer = error.answer(&stanza, None, None).unwrap();

        assert_eq!(
            answer.bytes,
            "<iq type='error' id='1' to='a@x/r'><q xmlns='u'/><error type='cancel'>\
             <feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <unsupported xmlns='http://jabber.org/protocol/pubsub#errors' feature='publish'/>\
             </error></iq>"
        );
    }

    #[test]
    fn an_answer_goes_back_where_the_stanza_came_from() {
        let stanza =
            Stanza::parse("<iq type='get' id='1&amp;2' from='a@x/r' to='b@x'><q xmlns='u'/></iq>")
                .unwrap();

        let answer = StanzaError::new(Condition::ServiceUnavailable).answer(&stanza, None, None);

        let answer = answer.unwrap();
        assert_eq!(answer.class, Class::IqAnswer);
        let answer = Stanza::parse(answer.bytes).unwrap();
        assert_eq!((answer.from(), answer.to()), (Some("b@x"), Some("a@x/r")));
        assert_eq!((answer.id(), answer.type_()), (Some("1&2"), Some("error")));
        assert!(answer.has("error", ns::CLIENT));
    }

    #[test]
    fn given_addresses_win_over_the_swapped_ones() {
        let stanza = Stanza::parse("<message from='a@x' to='b@x'/>").unwrap();

        let error = StanzaError::new(Condition::Forbidden);
        let answer = error.answer(&stanza, Some("room@x"), Some("c@x/1")).unwrap();

        let answer = Stanza::parse(answer.bytes).unwrap();
        assert_eq!((answer.from(), answer.to()), (Some("room@x"), Some("c@x/1")));
    }

    #[test]
    fn errors_and_results_are_never_answered() {
        for xml in [
            "<message type='error'/>",
            "<presence type='error'/>",
            "<iq type='error'/>",
            "<iq type='result'/>",
            "<message xmlns='jabber:server'/>",
            "<r xmlns='urn:xmpp:sm:3'/>",
        ] {
            let stanza = Stanza::parse(xml).unwrap();
            let answer = StanzaError::new(Condition::BadRequest).answer(&stanza, None, None);
            assert!(answer.is_none(), "{xml}");
        }
    }

    #[test]
    fn what_others_write_is_read_with_patience() {
        let stanza = Stanza::parse(
            "<message type='error'><body>hi</body><error code='404' type='strange'>\
             <made-up xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><x xmlns='app'/></error></message>",
        );

        let error = StanzaError::read(&stanza.unwrap()).unwrap();

        assert_eq!(error, StanzaError::new(Condition::UndefinedCondition));
        assert_eq!(StanzaError::read(&Stanza::parse("<message type='error'/>").unwrap()), None);
    }
}
