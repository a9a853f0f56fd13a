//! RFC 7622, addresses: `localpart@domain/resource`, checked and normalised once, at the border.

use compact_str::CompactString;
use std::fmt;

/// An address with or without a localpart and a resource.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: CompactString,
    /* byte offsets of '@' and '/' */ at: Option<u16>,
    slash: Option<u16>,
}

/// An address without a resource: `bob@example.org`, or a domain alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BareJid(Jid);

/// An address with a resource.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullJid(Jid);

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidError {
    /// …
    Empty,
    /// …
    Localpart,
    /// …
    Domain,
    /// …
    Resource,
    /// …
    TooLong,
}

impl Jid {
    /// Parses and normalises.
    pub fn parse(_text: &str) -> Result<Jid, JidError> {
        todo!()
    }
    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        todo!()
    }
    /// The domain.
    pub fn domain(&self) -> &str {
        todo!()
    }
    /// The resource.
    pub fn resource(&self) -> Option<&str> {
        todo!()
    }
    /// Without the resource.
    pub fn to_bare(&self) -> BareJid {
        todo!()
    }
    /// As a full address, if it has a resource.
    pub fn to_full(&self) -> Option<FullJid> {
        todo!()
    }
    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        todo!()
    }
    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
impl BareJid {
    /// Parses; a resource is an error.
    pub fn parse(_text: &str) -> Result<BareJid, JidError> {
        todo!()
    }
    /// From parts, normalised.
    pub fn new(_local: Option<&str>, _domain: &str) -> Result<BareJid, JidError> {
        todo!()
    }
    /// Adds a resource (OpaqueString).
    pub fn with_resource(&self, _resource: &str) -> Result<FullJid, JidError> {
        todo!()
    }
}
impl FullJid {
    /// Parses; a missing resource is an error.
    pub fn parse(_text: &str) -> Result<FullJid, JidError> {
        todo!()
    }
    /// The resource.
    pub fn resource(&self) -> &str {
        todo!()
    }
}
// Both deref to Jid. Display, Debug, FromStr, Borrow<str>.
impl std::ops::Deref for BareJid {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}
impl std::ops::Deref for FullJid {
    type Target = Jid;
    fn deref(&self) -> &Jid {
        &self.0
    }
}
impl From<BareJid> for Jid {
    fn from(j: BareJid) -> Jid {
        j.0
    }
}
impl From<FullJid> for Jid {
    fn from(j: FullJid) -> Jid {
        j.0
    }
}
impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Display for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl fmt::Debug for FullJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Normalises a localpart for login and addressing.
pub fn localpart(_text: &str) -> Result<CompactString, JidError> {
    todo!()
}
/// Normalises a localpart for a new account: PRECIS UsernameCaseMapped and unchanged by nodeprep.
pub fn new_localpart(_text: &str) -> Result<CompactString, JidError> {
    todo!()
}
