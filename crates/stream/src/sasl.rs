//! RFC 6120, 6, SASL: mechanisms by name, reasons for a refusal, and the elements that carry them, in
//! this profile and in that of XEP-0388.

use crate::ht::Binding;
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
    /// HT-SHA-256-… (draft-schmaus-kitten-sasl-ht): a token is proved, which XEP-0484 gives to a
    /// device.
    HashedToken(Binding),
}

impl Mechanism {
    /// All mechanisms but those of tokens, in the order of preference. Channel binding counts more than
    /// the hash: it shows that nobody sits in between.
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
    /// The mechanisms of tokens, in the order of preference. They are offered beside the others, and
    /// only to whoever can have a token (XEP-0484).
    pub const OF_TOKENS: [Mechanism; 3] = [
        Mechanism::HashedToken(Binding::Exporter),
        Mechanism::HashedToken(Binding::EndPoint),
        Mechanism::HashedToken(Binding::None),
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
            Mechanism::HashedToken(Binding::Exporter) => "HT-SHA-256-EXPR",
            Mechanism::HashedToken(Binding::EndPoint) => "HT-SHA-256-ENDP",
            Mechanism::HashedToken(Binding::None) => "HT-SHA-256-NONE",
        }
    }

    /// The mechanism of a registered name.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        let mut known = Mechanism::ALL.into_iter().chain(Mechanism::OF_TOKENS);
        known.find(|mechanism| mechanism.name() == name)
    }

    /// Returns the same mechanism without channel binding. A token is for one mechanism, so its
    /// mechanisms are three.
    pub fn unbound(self) -> Mechanism {
        match self {
            Mechanism::Scram { hash, .. } => Mechanism::Scram { hash, plus: false },
            Mechanism::Plain | Mechanism::External | Mechanism::HashedToken(_) => self,
        }
    }

    /// Whether it is bound to the channel.
    pub fn is_bound(self) -> bool {
        match self {
            Mechanism::Scram { plus, .. } => plus,
            Mechanism::HashedToken(binding) => binding != Binding::None,
            Mechanism::Plain | Mechanism::External => false,
        }
    }
}

/// The profile in which an exchange is spoken: the elements around it, and what follows a success.
/// The exchange itself is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// That of RFC 6120, 6: the stream is restarted after it.
    #[default]
    Rfc6120,
    /// XEP-0388, SASL2: the stream goes on, and the client asks for what comes next in advance. See
    /// [`sasl2`](crate::sasl2).
    Sasl2,
}

impl Profile {
    /// Returns the namespace of its elements.
    pub fn ns(self) -> &'static str {
        match self {
            Profile::Rfc6120 => ns::SASL,
            Profile::Sasl2 => ns::SASL2,
        }
    }

    /// Returns the profile of an element's namespace.
    pub fn of(namespace: &str) -> Option<Profile> {
        [Profile::Rfc6120, Profile::Sasl2].into_iter().find(|profile| profile.ns() == namespace)
    }

    /// Returns the data of `<challenge/>`, `<response/>` and the like: `None` for no data at all,
    /// which in RFC 6120 differs from empty data, `=`.
    pub(crate) fn data(self, element: &Stanza) -> Result<Option<Vec<u8>>, IncorrectEncoding> {
        match (self, element.text().as_str()) {
            (Profile::Rfc6120, "") => Ok(None),
            (Profile::Rfc6120, "=") => Ok(Some(Vec::new())),
            (_, text) => decode(text).map(Some),
        }
    }

    /// Writes an element with data: `<challenge/>`, `<response/>`.
    pub(crate) fn element(self, name: &'static str, data: Option<&[u8]>) -> Element {
        let element = Element::new(name).xmlns(self.ns());
        match self {
            Profile::Rfc6120 => with_data(element, data),
            Profile::Sasl2 => element.text(&encode(data.unwrap_or_default())),
        }
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
    /// Whether nothing is wrong but that too many come at once: another connection may be let in.
    pub is_crowd: bool,
}

impl Refusal {
    /// Makes a refusal without a text; another try is allowed.
    pub fn new(condition: Condition) -> Refusal {
        Refusal { condition, text: None, close: false, is_crowd: false }
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

    /// Makes the refusal end the connection of one of too many who come at once.
    pub fn of_crowd(mut self) -> Refusal {
        (self.close, self.is_crowd) = (true, true);
        self
    }

    /// `<failure>…</failure>`. The condition has the namespace of RFC 6120 in either profile.
    pub fn encode(&self, profile: Profile) -> Vec<u8> {
        let condition = Element::new(self.condition.name());
        let failure = Element::new("failure").xmlns(profile.ns());
        let mut failure = match profile {
            Profile::Rfc6120 => failure.child(condition),
            Profile::Sasl2 => failure.child(condition.xmlns(ns::SASL)),
        };
        if let Some(text) = &self.text {
            failure = failure.child(Element::new("text").attr("xml:lang", "en").text(text));
        }
        failure.finish().to_vec()
    }

    /// Reads a `<failure/>` of either profile. An unknown condition counts as `not-authorized`
    /// (RFC 6120, 6.5).
    pub fn read(failure: &Stanza) -> Refusal {
        let mut names = failure.children().iter().filter(|child| child.ns() == ns::SASL);
        let condition = names.find_map(|child| Condition::from_name(child.name()));
        Refusal {
            condition: condition.unwrap_or(Condition::NotAuthorized),
            text: failure.child_text("text", failure.ns()).map(String::from),
            close: false,
            is_crowd: false,
        }
    }
}

/// The error that the text of a SASL element is not valid base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IncorrectEncoding;

/// Decodes the data of an element.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, IncorrectEncoding> {
    STANDARD.decode(text).map_err(|_| IncorrectEncoding)
}

/// Encodes data.
pub(crate) fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Adds data to an element of RFC 6120 that has its attributes already.
pub(crate) fn with_data(element: Element, data: Option<&[u8]>) -> Element {
    match data {
        None => element,
        Some([]) => element.text("="),
        Some(data) => element.text(&encode(data)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_mechanism() {
        for mechanism in Mechanism::ALL.into_iter().chain(Mechanism::OF_TOKENS) {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        for unknown in ["", "plain", "SCRAM-SHA-384", "ANONYMOUS", "HT-SHA-256-UNIQ"] {
            assert_eq!(Mechanism::from_name(unknown), None);
        }
    }

    #[test]
    fn a_refusal_is_read_as_it_was_written() {
        for condition in Condition::ALL {
            let refusal = Refusal::new(condition).with_text("blocked for 60 s & <more>");
            for profile in [Profile::Rfc6120, Profile::Sasl2] {
                let failure = Stanza::parse(refusal.encode(profile)).unwrap();
                assert_eq!(Refusal::read(&failure), refusal);
                assert_eq!(Profile::of(failure.ns()), Some(profile));
            }
        }
    }

    #[test]
    fn an_unknown_condition_reads_as_not_authorized() {
        let xml = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><strange/></failure>";

        let refusal = Refusal::read(&Stanza::parse(xml.as_bytes()).unwrap());

        assert_eq!(refusal, Refusal::new(Condition::NotAuthorized));
    }

    #[test]
    fn the_failure_of_the_specification_is_read() {
        // XEP-0388, 2.6.2.
        let xml = "<failure xmlns='urn:xmpp:sasl:2'><aborted \
                   xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><optional-application-specific \
                   xmlns='urn:something:else'/><text>This is a terrible example.</text></failure>";

        let refusal = Refusal::read(&Stanza::parse(xml.as_bytes()).unwrap());

        let wanted = Refusal::new(Condition::Aborted).with_text("This is a terrible example.");
        assert_eq!(refusal, wanted);
    }

    #[test]
    fn no_data_differs_from_empty_data_in_the_older_profile() {
        let read = |profile: Profile, bytes: Option<&[u8]>| {
            profile.data(&Stanza::parse(profile.element("response", bytes).finish()).unwrap())
        };

        assert_eq!(read(Profile::Rfc6120, None), Ok(None));
        for profile in [Profile::Rfc6120, Profile::Sasl2] {
            assert_eq!(read(profile, Some(b"")), Ok(Some(vec![])));
            assert_eq!(read(profile, Some(b"\0x")), Ok(Some(b"\0x".to_vec())));
        }
        assert_eq!(read(Profile::Sasl2, None), Ok(Some(vec![])), "XEP-0388, 2.2");
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for profile in [Profile::Rfc6120, Profile::Sasl2] {
            for bad in ["?", "A", "AA", "AA=", "A A=", "AA==\n", "==", "AAA=A"] {
                let xml = format!("<response xmlns='{}'>{bad}</response>", profile.ns());
                let read = profile.data(&Stanza::parse(xml).unwrap());
                assert_eq!(read, Err(IncorrectEncoding), "{bad:?}");
            }
        }
        let equals = Stanza::parse("<response xmlns='urn:xmpp:sasl:2'>=</response>").unwrap();
        assert_eq!(Profile::Sasl2.data(&equals), Err(IncorrectEncoding));
    }
}
