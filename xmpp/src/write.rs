//! What leaves: escaping, small elements by hand, and the one rewrite of a forwarded stanza (architecture §4).

use crate::{Kind, Stanza};
use bytes::Bytes;

/// What a queue needs to know of a stanza without parsing it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class { /// A message that is kept in the log if nobody takes it (and its number there, 0 if it is in no log).
    Kept(u64), /// A groupchat message
    Groupchat, /// any other message
    Message, /// presence
    Presence, /// iq get or set
    IqRequest, /// iq result or error
    IqAnswer, /// not a stanza: not counted by stream management
    Nonza }

/// One encoded stanza, shared by every queue that holds it.
/// The root has neither `xmlns` nor (on broadcast presence) `to`, and always an end tag, so a sink can insert:
/// at `after_name` attributes, at `before_end` children.
#[derive(Debug, Clone)]
pub struct Outgoing { /// the text
    pub bytes: Bytes, /// offset just behind `<message`
    pub after_name: u32, /// offset of `</message>`
    pub before_end: u32, /// what it is
    pub class: Class }

impl Outgoing {
    /// From bytes that follow the rule above (a row of the log, or what [`Element`] wrote).
    pub fn from_encoded(_kind: Kind, _bytes: Bytes, _class: Class) -> Outgoing { todo!() }
    /// A copy with children added before the end tag.
    pub fn with_children(&self, _children: &[u8]) -> Outgoing { todo!() }
    /// A copy with attributes added behind the name: ` to='bob@host'`.
    pub fn with_attributes(&self, _attributes: &[u8]) -> Outgoing { todo!() }
}

/// How a forwarded stanza is rewritten, in one copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewrite<'a> { /// the sender's address; replaces what is there (unescaped; escaped here; or see `from_escaped`)
    pub from: &'a str, /// the stream's xml:lang, added where the stanza has none
    pub lang: Option<&'a str>, /// `to` to add when the stanza has none; an existing one is never rewritten
    pub to: Option<&'a str>, /// indices into `Stanza::children` that are left out
    pub drop: &'a [usize], /// children to append, already encoded
    pub add: &'a [u8] }

/// Rewrites: `from` replaced, root `xmlns` dropped, children left out and put in, an end tag guaranteed.
pub fn rewrite(_stanza: &Stanza, _how: &Rewrite<'_>, _class: Class) -> Outgoing { todo!() }

/// Appends `text` escaped for an attribute in single quotes or for content.
pub fn escape(_out: &mut Vec<u8>, _text: &str) { todo!() }

/// Writes one element by hand; what is given as text is escaped.
/// `Element::new("iq").attr("type", "result").attr_opt("id", id).child(Element::new("x").xmlns("urn:y").text("hi")).finish()`
#[derive(Debug, Clone)]
pub struct Element { buf: Vec<u8> }
impl Element {
    /// Starts `<name`.
    pub fn new(_name: &'static str) -> Element { todo!() }
    /// ` xmlns='…'`.
    pub fn xmlns(self, _ns: &str) -> Element { todo!() }
    /// One attribute.
    pub fn attr(self, _name: &'static str, _value: &str) -> Element { todo!() }
    /// One attribute, if there is a value.
    pub fn attr_opt(self, _name: &'static str, _value: Option<&str>) -> Element { todo!() }
    /// A child.
    pub fn child(self, _child: Element) -> Element { todo!() }
    /// Children that are already encoded.
    pub fn raw(self, _bytes: &[u8]) -> Element { todo!() }
    /// Text.
    pub fn text(self, _text: &str) -> Element { todo!() }
    /// The bytes; always with an end tag for `message`, `presence`, `iq`.
    pub fn finish(self) -> Bytes { todo!() }
    /// As a stanza to send.
    pub fn outgoing(self, _class: Class) -> Outgoing { todo!() }
}
