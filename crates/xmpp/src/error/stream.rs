//! RFC 6120, 4.9: stream errors, which end a stream and tell the peer why.

use super::{App, conditions, encode_app, known_app, say};
use crate::write::Element;
use crate::{ScanError, Stanza, ns};

conditions! {
    /// RFC 6120, 4.9.3: all defined conditions.
    StreamCondition {
        BadFormat = "bad-format",
        BadNamespacePrefix = "bad-namespace-prefix",
        Conflict = "conflict",
        ConnectionTimeout = "connection-timeout",
        HostGone = "host-gone",
        HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing",
        InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from",
        InvalidNamespace = "invalid-namespace",
        InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized",
        NotWellFormed = "not-well-formed",
        PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed",
        Reset = "reset",
        ResourceConstraint = "resource-constraint",
        RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host",
        SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition",
        UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature",
        UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

/// The name of our own condition, which contains the domain's new name.
const RENAMED: &str = "renamed";

/// A stream error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// The condition.
    pub condition: StreamCondition,
    /// A text for people, in English.
    pub text: Option<String>,
    /// The application's condition: name and namespace.
    pub app: Option<App>,
    /// The name that the domain has now (docs/protocol.md, `<renamed/>`).
    pub renamed: Option<String>,
}

impl StreamError {
    /// Makes an error without a text.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError { condition, text: None, app: None, renamed: None }
    }

    /// Adds a text for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> StreamError {
        self.text = Some(text.into());
        self
    }

    /// Adds an application condition.
    #[must_use]
    pub fn with_app(mut self, name: &'static str, ns: &'static str) -> StreamError {
        self.app = Some((name, ns));
        self
    }

    /// RFC 6120, 4.9.3.5, and our own condition: tells that the domain has another name now.
    pub fn renamed(domain: &str) -> StreamError {
        StreamError {
            renamed: Some(domain.to_owned()),
            ..StreamError::new(StreamCondition::HostGone)
                .with_text(format!("this server is now {domain}"))
        }
    }

    /// Encodes `<stream:error>…</stream:error>`.
    pub fn encode(&self) -> Vec<u8> {
        let error = Element::new("stream:error");
        let name = self.condition.name();
        let app = self.app.map(encode_app);
        let error = say(error, name, ns::STREAM_ERRORS, self.text.as_deref(), app);
        let renamed = self.renamed.as_deref();
        let renamed = renamed.map(|to| Element::new(RENAMED).xmlns(ns::WHOELSE_ERRORS).text(to));
        match renamed {
            Some(renamed) => error.child(renamed).finish().to_vec(),
            None => error.finish().to_vec(),
        }
    }

    /// Reads a stream error (for clients). `None` if the element is something else.
    pub fn read(element: &Stanza) -> Option<StreamError> {
        if (element.name(), element.ns()) != ("error", ns::STREAM) {
            return None;
        }
        let mut error = StreamError::new(StreamCondition::UndefinedCondition);
        for part in element.children() {
            match (part.ns(), part.name()) {
                (ns::STREAM_ERRORS, "text") => error.text = Some(element.text_of(part).into()),
                (ns::STREAM_ERRORS, name) => {
                    if let Some(condition) = StreamCondition::from_name(name) {
                        error.condition = condition;
                    }
                }
                (ns::WHOELSE_ERRORS, RENAMED) => {
                    error.renamed = Some(element.text_of(part).into());
                }
                (ns, name) => error.app = error.app.or(known_app(name, ns)),
            }
        }
        Some(error)
    }
}

impl From<ScanError> for StreamError {
    fn from(error: ScanError) -> StreamError {
        StreamError::new(match error {
            ScanError::NotWellFormed => StreamCondition::NotWellFormed,
            ScanError::Restricted => StreamCondition::RestrictedXml,
            ScanError::BadPrefix => StreamCondition::BadNamespacePrefix,
            ScanError::InvalidNamespace => StreamCondition::InvalidNamespace,
            ScanError::TooBig => StreamCondition::PolicyViolation,
            ScanError::Encoding => StreamCondition::UnsupportedEncoding,
            ScanError::BadFormat => StreamCondition::BadFormat,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_condition_is_read_as_it_was_written() {
        for condition in StreamCondition::ALL {
            let error = StreamError::new(*condition)
                .with_text("logged out after 5 s without activity")
                .with_app("idle", ns::WHOELSE_ERRORS);

            let read = StreamError::read(&Stanza::parse(error.encode()).unwrap());

            assert_eq!(read, Some(error));
        }
    }

    #[test]
    fn the_new_name_of_a_domain_is_read_as_it_was_written() {
        let error = StreamError::renamed("chat.example");

        let written = error.encode();

        let text = String::from_utf8(written.clone()).unwrap();
        let renamed = "<renamed xmlns='urn:whoelse:errors:0'>chat.example</renamed>";
        assert!(text.contains("<host-gone ") && text.contains(renamed), "{text}");
        assert_eq!(StreamError::read(&Stanza::parse(written).unwrap()), Some(error));
    }

    #[test]
    fn an_error_looks_as_in_rfc_6120() {
        let error = StreamError::new(StreamCondition::HostUnknown);

        assert_eq!(
            String::from_utf8(error.encode()).unwrap(),
            "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        );
    }

    #[test]
    fn nothing_else_is_read_as_a_stream_error() {
        for xml in ["<error xmlns='jabber:client'/>", "<stream:features/>", "<iq/>"] {
            assert_eq!(StreamError::read(&Stanza::parse(xml).unwrap()), None, "{xml}");
        }
    }
}
