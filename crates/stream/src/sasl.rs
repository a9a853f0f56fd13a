//! RFC 6120, 6, SASL: mechanisms by name, reasons for a refusal, and the elements that carry them.

use crate::scram::Hash;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;
use whoelse_xmpp::{Stanza, ns, write::Element};

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM (RFC 5802, RFC 7677, and the same with SHA-512): the password is proved, not sent.
    Scram {
        /// The hash.
        hash: Hash,
        /// Whether it is bound to the channel (`-PLUS`).
        plus: bool,
    },
    /// PLAIN (RFC 4616): the password itself is sent.
    Plain,
    /// EXTERNAL (RFC 4422, Appendix A): the transport already knows the user.
    External,
}

impl Mechanism {
    /// All mechanisms, in the order of preference. Channel binding counts more than the hash: it
    /// shows that nobody sits in between.
    pub const ALL: [Mechanism; 8] = [
        Mechanism::Scram { hash: Hash::Sha512, plus: true },
        Mechanism::Scram { hash: Hash::Sha256, plus: true },
        Mechanism::Scram { hash: Hash::Sha1, plus: true },
        Mechanism::Scram { hash: Hash::Sha512, plus: false },
        Mechanism::Scram { hash: Hash::Sha256, plus: false },
        Mechanism::Scram { hash: Hash::Sha1, plus: false },
        Mechanism::Plain,
        Mechanism::External,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Scram { hash: Hash::Sha1, plus: false } => "SCRAM-SHA-1",
            Mechanism::Scram { hash: Hash::Sha1, plus: true } => "SCRAM-SHA-1-PLUS",
            Mechanism::Scram { hash: Hash::Sha256, plus: false } => "SCRAM-SHA-256",
            Mechanism::Scram { hash: Hash::Sha256, plus: true } => "SCRAM-SHA-256-PLUS",
            Mechanism::Scram { hash: Hash::Sha512, plus: false } => "SCRAM-SHA-512",
            Mechanism::Scram { hash: Hash::Sha512, plus: true } => "SCRAM-SHA-512-PLUS",
            Mechanism::Plain => "PLAIN",
            Mechanism::External => "EXTERNAL",
        }
    }

    /// The mechanism of a registered name.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Returns the same mechanism without channel binding.
    pub fn unbound(self) -> Mechanism {
        match self {
            Mechanism::Scram { hash, .. } => Mechanism::Scram { hash, plus: false },
            Mechanism::Plain | Mechanism::External => self,
        }
    }

    /// Whether it is bound to the channel.
    pub fn is_bound(self) -> bool {
        matches!(self, Mechanism::Scram { plus: true, .. })
    }
}

/// RFC 6120, 6.5: the conditions of a refused login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The RFC's own words.
pub enum Condition {
    Aborted,
    AccountDisabled,
    CredentialsExpired,
    EncryptionRequired,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    MechanismTooWeak,
    NotAuthorized,
    TemporaryAuthFailure,
}

impl Condition {
    const ALL: [Condition; 11] = [
        Condition::Aborted,
        Condition::AccountDisabled,
        Condition::CredentialsExpired,
        Condition::EncryptionRequired,
        Condition::IncorrectEncoding,
        Condition::InvalidAuthzid,
        Condition::InvalidMechanism,
        Condition::MalformedRequest,
        Condition::MechanismTooWeak,
        Condition::NotAuthorized,
        Condition::TemporaryAuthFailure,
    ];

    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Aborted => "aborted",
            Condition::AccountDisabled => "account-disabled",
            Condition::CredentialsExpired => "credentials-expired",
            Condition::EncryptionRequired => "encryption-required",
            Condition::IncorrectEncoding => "incorrect-encoding",
            Condition::InvalidAuthzid => "invalid-authzid",
            Condition::InvalidMechanism => "invalid-mechanism",
            Condition::MalformedRequest => "malformed-request",
            Condition::MechanismTooWeak => "mechanism-too-weak",
            Condition::NotAuthorized => "not-authorized",
            Condition::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// Returns the condition of an element's name.
    pub fn from_name(name: &str) -> Option<Condition> {
        Condition::ALL.into_iter().find(|condition| condition.name() == name)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refused login: what is sent, and whether the connection ends with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The condition.
    pub condition: Condition,
    /// A text for people, in English.
    pub text: Option<String>,
    /// Whether that was the last try on this connection.
    pub close: bool,
}

impl Refusal {
    /// Makes a refusal without a text; another try is allowed.
    pub fn new(condition: Condition) -> Refusal {
        Refusal { condition, text: None, close: false }
    }

    /// Adds a text for people.
    pub fn with_text(mut self, text: impl Into<String>) -> Refusal {
        self.text = Some(text.into());
        self
    }

    /// Makes the refusal end the connection.
    pub fn and_close(mut self) -> Refusal {
        self.close = true;
        self
    }

    /// `<failure>…</failure>`.
    pub fn encode(&self) -> Vec<u8> {
        let mut failure =
            Element::new("failure").xmlns(ns::SASL).child(Element::new(self.condition.name()));
        if let Some(text) = &self.text {
            failure = failure.child(Element::new("text").attr("xml:lang", "en").text(text));
        }
        failure.finish().to_vec()
    }

    /// Reads a `<failure/>`. An unknown condition counts as `not-authorized` (RFC 6120, 6.5).
    pub fn read(failure: &Stanza) -> Refusal {
        let mut names = failure.children().iter().filter(|child| child.ns() == ns::SASL);
        let condition = names.find_map(|child| Condition::from_name(child.name()));
        Refusal {
            condition: condition.unwrap_or(Condition::NotAuthorized),
            text: failure.child_text("text", ns::SASL).map(String::from),
            close: false,
        }
    }
}

/// The error that the text of a SASL element is not valid base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IncorrectEncoding;

/// Returns the data of a SASL element: `None` for no data at all, which differs from empty data,
/// `=`.
pub(crate) fn data(element: &Stanza) -> Result<Option<Vec<u8>>, IncorrectEncoding> {
    match element.text().as_str() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => STANDARD.decode(text).map(Some).map_err(|_| IncorrectEncoding),
    }
}

/// Writes an element with data: `<challenge/>`, `<response/>`, `<success/>`, `<auth/>`.
pub(crate) fn element(name: &'static str, data: Option<&[u8]>) -> Element {
    with_data(Element::new(name).xmlns(ns::SASL), data)
}

/// Adds data to an element that has its attributes already.
pub(crate) fn with_data(element: Element, data: Option<&[u8]>) -> Element {
    match data {
        None => element,
        Some([]) => element.text("="),
        Some(data) => element.text(&STANDARD.encode(data)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_mechanism() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        for unknown in ["", "plain", "SCRAM-SHA-384", "ANONYMOUS", "SCRAM-SHA-1-PLUS-PLUS"] {
            assert_eq!(Mechanism::from_name(unknown), None);
        }
    }

    #[test]
    fn a_refusal_is_read_as_it_was_written() {
        for condition in Condition::ALL {
            let refusal = Refusal::new(condition).with_text("blocked for 60 s & <more>");
            assert_eq!(Refusal::read(&Stanza::parse(refusal.encode()).unwrap()), refusal);
        }
    }

    #[test]
    fn an_unknown_condition_reads_as_not_authorized() {
        let xml = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><strange/></failure>";

        let refusal = Refusal::read(&Stanza::parse(xml.as_bytes()).unwrap());

        assert_eq!(refusal, Refusal::new(Condition::NotAuthorized));
    }

    #[test]
    fn no_data_differs_from_empty_data() {
        let read = |bytes: Option<&[u8]>| {
            data(&Stanza::parse(element("response", bytes).finish()).unwrap())
        };

        assert_eq!(read(None), Ok(None));
        assert_eq!(read(Some(b"")), Ok(Some(vec![])));
        assert_eq!(read(Some(b"\0x")), Ok(Some(b"\0x".to_vec())));
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for bad in ["?", "A", "AA", "AA=", "A A=", "AA==\n", "==", "AAA=A"] {
            let xml =
                format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{bad}</response>");
            assert_eq!(data(&Stanza::parse(xml).unwrap()), Err(IncorrectEncoding), "{bad:?}");
        }
    }
}
