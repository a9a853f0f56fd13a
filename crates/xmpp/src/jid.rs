//! RFC 7622, addresses: `localpart@domain/resource`, checked and normalised once, at the border.
//!
//! Two addresses are equal if their texts are, and they have the hashes of their texts: so a map
//! with [`BareJid`] keys can be searched with a `&str` that is known to be normalised.

pub(crate) mod prep;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;

use compact_str::CompactString;

/// An address (JID) with or without a localpart and a resource.
#[derive(Clone)]
pub struct Jid {
    text: CompactString,
    /// Byte offset of the `@` after the localpart.
    at: Option<u16>,
    /// Byte offset of the `/` before the resource.
    slash: Option<u16>,
}

/// A bare JID, without a resource: `bob@example.org`, or a domain alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BareJid(Jid);

/// A full JID, with a resource.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullJid(Jid);

/// Why a text is not a valid address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidError {
    /// The domain is empty.
    Empty,
    /// The localpart is empty or contains a forbidden character.
    Localpart,
    /// The domain is neither a name that could be looked up nor an IP address.
    Domain,
    /// The resource is empty, missing, not allowed here, or contains a forbidden character.
    Resource,
    /// A part is longer than 1023 bytes.
    TooLong,
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JidError::Empty => "the address has no domain",
            JidError::Localpart => "the part before the @ is not a valid name",
            JidError::Domain => "the domain is not valid",
            JidError::Resource => "the resource is not valid",
            JidError::TooLong => "a part of the address is longer than 1023 bytes",
        })
    }
}

impl std::error::Error for JidError {}

impl Jid {
    /// Parses and normalises a text.
    pub fn parse(text: &str) -> Result<Jid, JidError> {
        let (local, domain, resource) = split(text)?;
        let as_written = local.is_none_or(prep::is_plain_local)
            && prep::is_plain_domain(domain)
            && resource.is_none_or(prep::is_plain_resource);
        if as_written {
            return Ok(Jid {
                text: CompactString::new(text),
                at: local.map(|local| local.len() as u16),
                slash: resource.map(|resource| (text.len() - resource.len() - 1) as u16),
            });
        }
        let local = local.map(prep::local).transpose()?;
        let domain = prep::domain(domain)?;
        let resource = resource.map(prep::resource).transpose()?;
        Ok(Jid::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Parses like [`Jid::parse`], but runs every part through its profile, plain or not. The
    /// fuzzer compares the two.
    #[doc(hidden)]
    pub fn parse_slowly(text: &str) -> Result<Jid, JidError> {
        let (local, domain, resource) = split(text)?;
        let local = local.map(prep::slow_local).transpose()?;
        let domain = prep::slow_domain(domain)?;
        let resource = resource.map(prep::slow_resource).transpose()?;
        Ok(Jid::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Joins parts that are normalised, so at most 1023 bytes each.
    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Jid {
        let length = local.map_or(0, |l| l.len() + 1) + domain.len();
        let mut text = CompactString::with_capacity(length + resource.map_or(0, |r| r.len() + 1));
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Jid {
            text,
            at: local.map(|local| local.len() as u16),
            slash: resource.map(|_| length as u16),
        }
    }

    /// The localpart.
    pub fn local(&self) -> Option<&str> {
        self.at.and_then(|at| self.text.get(..usize::from(at)))
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        let start = self.at.map_or(0, |at| usize::from(at) + 1);
        self.bare().get(start..).unwrap_or_default()
    }

    /// The resource.
    pub fn resource(&self) -> Option<&str> {
        self.slash.and_then(|slash| self.text.get(usize::from(slash) + 1..))
    }

    /// The text without the resource: `bob@example.org`.
    pub fn bare(&self) -> &str {
        let end = self.slash.map_or(self.text.len(), usize::from);
        self.text.get(..end).unwrap_or_default()
    }

    /// Returns the address without the resource.
    pub fn to_bare(&self) -> BareJid {
        BareJid(Jid { text: CompactString::new(self.bare()), at: self.at, slash: None })
    }

    /// Returns a full address, if there is a resource.
    pub fn to_full(&self) -> Option<FullJid> {
        self.slash.is_some().then(|| FullJid(self.clone()))
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.slash.is_none()
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Converts to the type of xmpp-parsers. That type knows less of Unicode: it refuses an emoji
    /// in a resource.
    pub fn to_parsers(&self) -> Result<jid::Jid, JidError> {
        jid::Jid::new(&self.text).map_err(|_| match self.slash {
            Some(_) => JidError::Resource,
            None => JidError::Localpart,
        })
    }

    /// Converts from the type of xmpp-parsers.
    pub fn from_parsers(jid: &jid::Jid) -> Result<Jid, JidError> {
        Jid::parse(jid.as_str())
    }
}

/// Splits an address into its parts, as they were written.
fn split(text: &str) -> Result<(Option<&str>, &str, Option<&str>), JidError> {
    // RFC 7622, 3.2: the first slash begins the resource, whatever characters follow; the first
    // at-sign before it ends the localpart.
    let (bare, resource) = match memchr::memchr(b'/', text.as_bytes()) {
        Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
        None => (text, None),
    };
    let (local, domain) = match memchr::memchr(b'@', bare.as_bytes()) {
        Some(at) => (Some(&bare[..at]), &bare[at + 1..]),
        None => (None, bare),
    };
    if domain.is_empty() {
        return Err(JidError::Empty);
    }
    Ok((local, domain, resource))
}

impl BareJid {
    /// Parses a text; a resource is an error.
    pub fn parse(text: &str) -> Result<BareJid, JidError> {
        let jid = Jid::parse(text)?;
        if jid.is_bare() { Ok(BareJid(jid)) } else { Err(JidError::Resource) }
    }

    /// Makes an address from parts, and normalises them.
    pub fn new(local: Option<&str>, domain: &str) -> Result<BareJid, JidError> {
        if domain.is_empty() {
            return Err(JidError::Empty);
        }
        let local = local.map(prep::local).transpose()?;
        Ok(BareJid(Jid::join(local.as_deref(), &prep::domain(domain)?, None)))
    }

    /// Makes the address of a new account. Its name must be PRECIS UsernameCaseMapped and unchanged
    /// by nodeprep, so that servers and clients of both generations agree about it.
    pub fn of_new_account(name: &str, domain: &str) -> Result<BareJid, JidError> {
        let jid = BareJid::new(Some(name), domain)?;
        let local = jid.local().unwrap_or_default();
        match stringprep::nodeprep(local) {
            Ok(older) if older == local => Ok(jid),
            _ => Err(JidError::Localpart),
        }
    }

    /// Adds a resource (OpaqueString).
    pub fn with_resource(&self, resource: &str) -> Result<FullJid, JidError> {
        let resource = prep::resource(resource)?;
        Ok(FullJid(Jid::join(self.local(), self.domain(), Some(&resource))))
    }
}

impl FullJid {
    /// Parses a text; a missing resource is an error.
    pub fn parse(text: &str) -> Result<FullJid, JidError> {
        let jid = Jid::parse(text)?;
        if jid.is_bare() { Err(JidError::Resource) } else { Ok(FullJid(jid)) }
    }

    /// The resource.
    pub fn resource(&self) -> &str {
        self.0.resource().unwrap_or_default()
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Jid) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Jid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Jid) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Deref for BareJid {
    type Target = Jid;

    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl Deref for FullJid {
    type Target = Jid;

    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl From<BareJid> for Jid {
    fn from(jid: BareJid) -> Jid {
        jid.0
    }
}

impl From<FullJid> for Jid {
    fn from(jid: FullJid) -> Jid {
        jid.0
    }
}

/// Implements for all three types what their texts do.
macro_rules! like_its_text {
    ($($type:ident)+) => { $(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = JidError;

            fn from_str(text: &str) -> Result<$type, JidError> {
                $type::parse(text)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    )+ };
}
like_its_text!(Jid BareJid FullJid);
