//! The envelope of a stanza as it arrived: attributes unescaped, children as named spans, bytes untouched.

use crate::{StanzaError, Payload};
use bytes::Bytes;
use compact_str::CompactString;

/// Which of the three stanzas, or another element of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind { /// message
    Message, /// presence
    Presence, /// iq
    Iq, /// SASL, STARTTLS, stream management…
    Other }

/// One whole element of depth 1.
#[derive(Debug, Clone)]
pub struct Stanza { bytes: Bytes }

/// A direct child: its resolved name and where it stands.
#[derive(Debug, Clone)]
pub struct Child { name: CompactString, ns: CompactString, start: u32, end: u32 }

impl Stanza {
    /// Scans one element as if it stood on an open `jabber:client` stream; for tests, stored rows, own output.
    pub fn parse(_xml: impl Into<Bytes>) -> Result<Stanza, crate::ScanError> { todo!() }
    /// The kind.
    pub fn kind(&self) -> Kind { todo!() }
    /// Root local name.
    pub fn name(&self) -> &str { todo!() }
    /// Root namespace.
    pub fn ns(&self) -> &str { todo!() }
    /// `to`, unescaped and unparsed.
    pub fn to(&self) -> Option<&str> { todo!() }
    /// `from`.
    pub fn from(&self) -> Option<&str> { todo!() }
    /// `id`.
    pub fn id(&self) -> Option<&str> { todo!() }
    /// `type`.
    pub fn type_(&self) -> Option<&str> { todo!() }
    /// `xml:lang`.
    pub fn lang(&self) -> Option<&str> { todo!() }
    /// Any other attribute of the root by local name without namespace (rare; scans again): `mechanism`, `h`, `previd`.
    pub fn attr(&self, _name: &str) -> Option<CompactString> { todo!() }
    /// Direct children, in order.
    pub fn children(&self) -> &[Child] { todo!() }
    /// The first child of that name and namespace.
    pub fn child(&self, _name: &str, _ns: &str) -> Option<&Child> { todo!() }
    /// Whether there is such a child.
    pub fn has(&self, name: &str, ns: &str) -> bool { self.child(name, ns).is_some() }
    /// A child's bytes, as they came (the default namespace may be inherited from the root).
    pub fn slice(&self, _child: &Child) -> &[u8] { todo!() }
    /// The whole element's bytes.
    pub fn bytes(&self) -> &Bytes { &self.bytes }
    /// Text directly inside the root (SASL payloads), unescaped.
    pub fn text(&self) -> CompactString { todo!() }
    /// Text of a child, unescaped: `stanza.child_text("body", ns::CLIENT)`.
    pub fn child_text(&self, _name: &str, _ns: &str) -> Option<CompactString> { todo!() }
    /// An attribute of a child, unescaped.
    pub fn child_attr(&self, _child: &Child, _attr: &str) -> Option<CompactString> { todo!() }
    /// A child as its typed payload; a payload that does not fit its schema is `bad-request`.
    pub fn payload<T: Payload>(&self, _child: &Child) -> Result<T, StanzaError> { todo!() }
}
impl Child {
    /// Local name.
    pub fn name(&self) -> &str { &self.name }
    /// Resolved namespace.
    pub fn ns(&self) -> &str { &self.ns }
}
