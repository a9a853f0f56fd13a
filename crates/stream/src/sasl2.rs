//! XEP-0388, Extensible SASL Profile (SASL2): its elements, read and written by both ends, with what
//! stands in them of XEP-0386 (Bind 2) and XEP-0198 (inline resumption).
//!
//! A client says in one `<authenticate/>` who it is and what it wants next, and is told in one
//! `<success/>` what became of that. `<continue/>` is not offered.

use crate::sasl::{self, Condition, Mechanism};
use crate::sm;
use crate::{hex, sasl::IncorrectEncoding};
use std::fmt;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Jid, Stanza, ns};

/// The most bytes of what a user agent says about itself that are kept. People read these texts in a
/// list of their devices; what is longer is cut.
const TEXT: usize = 128;

/// The most bytes that a child may have once the declarations around it are part of it, and that all
/// those together may have that are kept of an `<authenticate/>`: more than the element itself may
/// have before a login.
const ROOM: usize = 16 << 10;

/// `<authentication/>`, the stream feature: what can be used in `<authenticate/>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authentication {
    /// The names of the mechanisms, known to us or not.
    pub mechanisms: Vec<String>,
    /// What can be asked for along with the login.
    pub inline: Inline,
}

/// `<inline/>`: what can be asked for along with a login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inline {
    /// XEP-0198, 9.2: a session can be resumed.
    pub resume: bool,
    /// XEP-0386: a resource can be bound, and these features (by their namespaces) enabled in it.
    pub bind: Option<Vec<String>>,
    /// XEP-0484: the names of the mechanisms by which a token can be used, known to us or not; none if
    /// no tokens are given.
    pub fast: Vec<String>,
}

impl Authentication {
    /// Reads the feature out of `<stream:features/>`.
    pub fn read(features: &Stanza) -> Option<Authentication> {
        let feature = features.child("authentication", ns::SASL2)?;
        let inside = features.grandchildren(feature);
        let mechanisms = inside.iter().filter(|child| child.is("mechanism", ns::SASL2));
        let inline = inside.iter().find(|child| child.is("inline", ns::SASL2));
        Some(Authentication {
            mechanisms: mechanisms.map(|child| features.text_of(child).into()).collect(),
            inline: inline.map(|inline| Inline::read(features, inline)).unwrap_or_default(),
        })
    }

    /// Writes the feature.
    pub(crate) fn element(mechanisms: &[Mechanism], inline: &Inline) -> Element {
        let feature = Element::new("authentication").xmlns(ns::SASL2);
        let feature = mechanisms
            .iter()
            .fold(feature, |feature, mechanism| feature.text_child("mechanism", mechanism.name()));
        feature.child(inline.element())
    }
}

impl Inline {
    /// Whether tokens of a mechanism are given.
    pub(crate) fn gives(&self, mechanism: Mechanism) -> bool {
        self.fast.iter().any(|name| name == mechanism.name())
    }

    fn read(features: &Stanza, inline: &Child) -> Inline {
        let inside = features.grandchildren(inline);
        let bind = inside.iter().find(|child| child.is("bind", ns::BIND2));
        let fast = inside.iter().find(|child| child.is("fast", ns::FAST));
        Inline {
            resume: inside.iter().any(|child| child.is("sm", ns::SM)),
            bind: bind.map(|bind| bind_features(features, bind)),
            fast: fast.map(|fast| token_mechanisms(features, fast)).unwrap_or_default(),
        }
    }

    fn element(&self) -> Element {
        let mut inline = Element::new("inline");
        if self.resume {
            inline = inline.child(Element::new("sm").xmlns(ns::SM));
        }
        if let Some(features) = &self.bind {
            let list = features.iter().fold(Element::new("inline"), |list, namespace| {
                list.child(Element::new("feature").attr("var", namespace))
            });
            inline = inline.child(Element::new("bind").xmlns(ns::BIND2).child(list));
        }
        if !self.fast.is_empty() {
            let list = Element::new("fast").xmlns(ns::FAST);
            inline = inline.child(
                self.fast.iter().fold(list, |list, name| list.text_child("mechanism", name)),
            );
        }
        inline
    }
}

/// Returns the mechanisms in the feature `<fast/>`.
fn token_mechanisms(features: &Stanza, fast: &Child) -> Vec<String> {
    let listed = features.grandchildren(fast).into_iter();
    let listed = listed.filter(|child| child.is("mechanism", ns::FAST));
    listed.map(|child| features.text_of(&child).into()).collect()
}

/// Returns the namespaces in the `<inline/>` of the feature `<bind/>`.
fn bind_features(features: &Stanza, bind: &Child) -> Vec<String> {
    let inside = features.grandchildren(bind);
    let Some(list) = inside.iter().find(|child| child.is("inline", ns::BIND2)) else {
        return Vec::new();
    };
    let listed = features.grandchildren(list).into_iter();
    let listed = listed.filter(|child| child.is("feature", ns::BIND2));
    listed.filter_map(|child| features.child_attr(&child, "var").map(String::from)).collect()
}

/// `<authenticate/>`: the begin of a login, and what is to happen when it has succeeded.
///
/// Its `Debug` shows no initial response: it may be a password.
#[derive(Clone, Default)]
pub struct Authenticate {
    /// The name of the mechanism.
    pub mechanism: String,
    /// The client's first message, if it sends one at once.
    pub initial_response: Option<Vec<u8>>,
    /// The client's installation, if it says.
    pub user_agent: Option<UserAgent>,
    /// XEP-0198: the session to resume.
    pub resume: Option<Resume>,
    /// XEP-0386: the resource to bind, if nothing is resumed.
    pub bind: Option<Bind>,
    /// The children of other specifications (XEP-0484: `<request-token/>`, `<fast/>`), each as it
    /// would stand alone.
    pub others: Vec<Stanza>,
}

impl fmt::Debug for Authenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticate")
            .field("mechanism", &self.mechanism)
            .field("resume", &self.resume.is_some())
            .field("bind", &self.bind)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl Authenticate {
    /// Reads the element. Fails with the condition with which the login is refused.
    pub fn read(element: &Stanza) -> Result<Authenticate, Condition> {
        let mut read = Authenticate {
            mechanism: element.attr("mechanism").unwrap_or_default().into(),
            ..Authenticate::default()
        };
        let mut room = Room(ROOM);
        for child in element.children() {
            match (child.name(), child.ns()) {
                ("initial-response", ns::SASL2) => {
                    let data = sasl::decode(&element.text_of(child));
                    let data = data.map_err(|IncorrectEncoding| Condition::IncorrectEncoding)?;
                    read.initial_response = Some(data);
                }
                ("user-agent", ns::SASL2) => {
                    read.user_agent = Some(UserAgent::read(element, child)?);
                }
                // An element of this profile that we do not know means nothing, and one without a
                // namespace of its own is of no specification.
                (_, ns::SASL2 | ns::CLIENT) => {}
                ("resume", ns::SM) => {
                    read.resume = Some(Resume::read(&alone(element, child, ROOM)?)?)
                }
                ("bind", ns::BIND2) => read.bind = Some(Bind::read(element, child, &mut room)?),
                _ => read.others.push(room.take(element, child)?),
            }
        }
        Ok(read)
    }

    /// Encodes the element.
    pub fn encode(&self) -> Vec<u8> {
        let mut element =
            Element::new("authenticate").xmlns(ns::SASL2).attr("mechanism", &self.mechanism);
        if let Some(data) = &self.initial_response {
            element = element.text_child("initial-response", &sasl::encode(data));
        }
        if let Some(user_agent) = &self.user_agent {
            element = element.child(user_agent.element());
        }
        if let Some(Resume { previd, h }) = &self.resume {
            let resume = sm::Element::Resume { previd: previd.clone(), h: *h };
            element = element.raw(&resume.encode());
        }
        if let Some(bind) = &self.bind {
            element = element.child(bind.element());
        }
        self.others
            .iter()
            .fold(element, |element, other| element.raw(other.bytes()))
            .finish()
            .into()
    }

    /// Returns the child of another specification with this name and namespace.
    pub fn other(&self, name: &str, namespace: &str) -> Option<&Stanza> {
        self.others.iter().find(|other| other.name() == name && other.ns() == namespace)
    }
}

/// `<user-agent/>`: the installation of a client. Nobody but its user is told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// The installation, by a number that it has made for itself.
    pub id: Option<UserAgentId>,
    /// The name of the program, in its own words.
    pub software: Option<String>,
    /// The name of the device, in its own words.
    pub device: Option<String>,
}

impl UserAgent {
    fn read(element: &Stanza, child: &Child) -> Result<UserAgent, Condition> {
        let inside = element.grandchildren(child);
        let text = |name| {
            let found = inside.iter().find(|child| child.is(name, ns::SASL2))?;
            Some(cut(&element.text_of(found)).to_owned()).filter(|text| !text.is_empty())
        };
        let id = element.child_attr(child, "id");
        let id = id.map(|id| UserAgentId::parse(&id).ok_or(Condition::MalformedRequest));
        Ok(UserAgent { id: id.transpose()?, software: text("software"), device: text("device") })
    }

    fn element(&self) -> Element {
        let id = self.id.map(|id| id.to_string());
        let mut element = Element::new("user-agent").attr_opt("id", id.as_deref());
        for (name, text) in [("software", &self.software), ("device", &self.device)] {
            if let Some(text) = text {
                element = element.text_child(name, text);
            }
        }
        element
    }
}

/// Returns as much of a text as is kept, white space around it left out.
fn cut(text: &str) -> &str {
    let text = text.trim();
    &text[..text.floor_char_boundary(TEXT)]
}

/// The number of a client's installation: a UUID of version 4 (RFC 9562, 5.4).
///
/// It is no secret, but it follows a device wherever it goes, so `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserAgentId([u8; 16]);

impl UserAgentId {
    /// Makes a new one.
    pub fn fresh() -> UserAgentId {
        let mut bytes: [u8; 16] = crate::token::random();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        UserAgentId(bytes)
    }

    /// Reads the text form, in either case.
    pub fn parse(text: &str) -> Option<UserAgentId> {
        let hyphens = [8, 13, 18, 23];
        let is_hyphen = |(at, _): &(usize, char)| hyphens.contains(at);
        if text.len() != 36 || !text.char_indices().filter(is_hyphen).all(|(_, c)| c == '-') {
            return None;
        }
        let digits = text.char_indices().filter(|at| !is_hyphen(at)).map(|(_, c)| c);
        UserAgentId::from_bytes(hex::decode(&digits.collect::<String>())?)
    }

    /// Takes the bytes, if they are of a UUID of version 4.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<UserAgentId> {
        (bytes[6] >> 4 == 4 && bytes[8] >> 6 == 0b10).then_some(UserAgentId(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for UserAgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserAgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserAgentId(…)")
    }
}

/// `<resume/>` of XEP-0198.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The id that `<enabled/>` gave.
    pub previd: String,
    /// How many of the server's stanzas the client has handled.
    pub h: u32,
}

impl Resume {
    fn read(element: &Stanza) -> Result<Resume, Condition> {
        match sm::Element::read(element) {
            Some(Ok(sm::Element::Resume { previd, h })) => Ok(Resume { previd, h }),
            _ => Err(Condition::MalformedRequest),
        }
    }
}

/// `<bind/>` of XEP-0386.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bind {
    /// The name of the program, to stand in the resource.
    pub tag: Option<String>,
    /// The features to enable in the new session, each as it would stand alone.
    pub features: Vec<Stanza>,
}

impl Bind {
    fn read(element: &Stanza, child: &Child, room: &mut Room) -> Result<Bind, Condition> {
        let mut read = Bind::default();
        for inside in element.grandchildren(child) {
            match (inside.name(), inside.ns()) {
                ("tag", ns::BIND2) => {
                    let tag = String::from(element.text_of(&inside));
                    read.tag = Some(tag).filter(|tag| !tag.is_empty());
                }
                (_, ns::BIND2 | ns::CLIENT) => {}
                _ => read.features.push(room.take(element, &inside)?),
            }
        }
        Ok(read)
    }

    fn element(&self) -> Element {
        let mut element = Element::new("bind").xmlns(ns::BIND2);
        if let Some(tag) = &self.tag {
            element = element.text_child("tag", tag);
        }
        self.features.iter().fold(element, |element, feature| element.raw(feature.bytes()))
    }
}

/// The room that is left for the children that are kept. Each of them gets what is declared around
/// it, so many small ones can be far longer than the element in which they came.
struct Room(usize);

impl Room {
    /// Returns a child as an element of its own, if there is room for it.
    fn take(&mut self, element: &Stanza, child: &Child) -> Result<Stanza, Condition> {
        let alone = alone(element, child, self.0)?;
        self.0 = self.0.saturating_sub(alone.bytes().len());
        Ok(alone)
    }
}

/// Returns the children of an element, each as it would stand alone.
pub(crate) fn parts(element: &Stanza) -> impl Iterator<Item = Stanza> + '_ {
    element.children().iter().filter_map(|child| alone(element, child, ROOM).ok())
}

/// Returns a child as an element of its own, in at most so many bytes.
fn alone(element: &Stanza, child: &Child, most: usize) -> Result<Stanza, Condition> {
    let alone = element.alone(std::slice::from_ref(child), most);
    let alone = alone.and_then(|alone| Stanza::parse(alone).ok());
    alone.ok_or(Condition::MalformedRequest)
}

/// `<success/>`: the client has logged in, and this became of what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// The mechanism's last message.
    pub additional_data: Option<Vec<u8>>,
    /// Who the client is now: a full address if a resource is bound.
    pub authorization_identifier: Jid,
    /// The children of other specifications (`<bound/>`, `<resumed/>`, `<failed/>`, `<token/>`), each
    /// as it would stand alone.
    pub others: Vec<Stanza>,
}

impl Success {
    /// Reads the element. `None` if it does not say who the client is, or is malformed.
    pub fn read(element: &Stanza) -> Option<Success> {
        let data = element.child_text("additional-data", ns::SASL2);
        let address = element.child_text("authorization-identifier", ns::SASL2)?;
        let others = element.children().iter().filter(|child| child.ns() != ns::SASL2);
        Some(Success {
            additional_data: data.map(|data| sasl::decode(&data)).transpose().ok()?,
            authorization_identifier: Jid::parse(&address).ok()?,
            others: others.map(|child| alone(element, child, ROOM).ok()).collect::<Option<_>>()?,
        })
    }

    /// Returns the child of another specification with this name and namespace.
    pub fn other(&self, name: &str, namespace: &str) -> Option<&Stanza> {
        self.others.iter().find(|other| other.name() == name && other.ns() == namespace)
    }
}

/// Encodes `<success/>`; `others` are the children of other specifications, encoded.
pub(crate) fn success(data: Option<&[u8]>, address: &Jid, others: &[u8]) -> Vec<u8> {
    let mut success = Element::new("success").xmlns(ns::SASL2);
    if let Some(data) = data {
        success = success.text_child("additional-data", &sasl::encode(data));
    }
    let success = success.text_child("authorization-identifier", address.as_str());
    success.raw(others).finish().into()
}

#[cfg(test)]
mod tests;
