//! RFC 7622, 3.2 to 3.4: the three parts of an address, each with its profile.
//!
//! A part that is plain skips its profile. A part is plain if its profile would return it
//! unchanged; a fuzzer checks this.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::Error;
use precis_profiles::precis_core::profile::{Profile, Rules, stabilize};
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::JidError;

/// RFC 7622, 3.1: the longest part, in bytes.
const MAX: usize = 1023;

/// The ASCII characters that a domain may not contain: all except letters, digits, hyphen and dot.
/// The underscore, which names in private networks have, is allowed.
const NOT_IN_DOMAINS: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// RFC 7622, 3.3.1: characters forbidden in a localpart, besides those that UsernameCaseMapped
/// forbids.
fn is_forbidden(c: char) -> bool {
    matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@' | ' ')
}

fn fits(text: &str, empty: JidError) -> Result<(), JidError> {
    match text.len() {
        0 => Err(empty),
        1..=MAX => Ok(()),
        _ => Err(JidError::TooLong),
    }
}

/// Whether a localpart is already normalised.
pub(crate) fn is_plain_local(text: &str) -> bool {
    let plain = |b: u8| {
        matches!(b, b'!'..=b'~')
            && !b.is_ascii_uppercase()
            && !matches!(b, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@')
    };
    (1..=MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Normalises a localpart.
pub(crate) fn local(text: &str) -> Result<Cow<'_, str>, JidError> {
    if is_plain_local(text) { Ok(Cow::Borrowed(text)) } else { slow_local(text).map(Cow::Owned) }
}

pub(crate) fn slow_local(text: &str) -> Result<String, JidError> {
    fits(text, JidError::Localpart)?;
    // Some texts need the profile twice before it leaves them unchanged.
    let local = stabilize(text, |s| UsernameCaseMapped::new().enforce(s))
        .map_err(|_| JidError::Localpart)?
        .into_owned();
    fits(&local, JidError::Localpart)?;
    if local.contains(is_forbidden) { Err(JidError::Localpart) } else { Ok(local) }
}

/// Whether a domain is already normalised: labels of lower-case letters, digits and inner hyphens.
pub(crate) fn is_plain_domain(text: &str) -> bool {
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
                && !label.starts_with("xn--")
        })
}

/// Normalises a domain.
pub(crate) fn domain(text: &str) -> Result<Cow<'_, str>, JidError> {
    if is_plain_domain(text) { Ok(Cow::Borrowed(text)) } else { slow_domain(text).map(Cow::Owned) }
}

pub(crate) fn slow_domain(text: &str) -> Result<String, JidError> {
    fits(text, JidError::Empty)?;
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| JidError::Domain)?;
        return Ok(format!("[{address}]"));
    }
    let name = slow_name(text)?;
    // U-labels are the normal form (RFC 7622, 3.2.1), and normalising again must change nothing.
    if slow_name(&name)? == name { Ok(name) } else { Err(JidError::Domain) }
}

fn slow_name(text: &str) -> Result<String, JidError> {
    let rules = Uts46::new();
    let (name, valid) = rules.to_unicode(text.as_bytes(), NOT_IN_DOMAINS, Hyphens::CheckFirstLast);
    valid.map_err(|_| JidError::Domain)?;
    // A final dot only says that the name is complete.
    let name = name.strip_suffix('.').unwrap_or(&name);
    rules
        .to_ascii(name.as_bytes(), NOT_IN_DOMAINS, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| JidError::Domain)?;
    Ok(name.to_owned())
}

/// Whether a resource is already normalised.
pub(crate) fn is_plain_resource(text: &str) -> bool {
    (1..=MAX).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Normalises a resource.
pub(crate) fn resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    if is_plain_resource(text) {
        Ok(Cow::Borrowed(text))
    } else {
        slow_resource(text).map(Cow::Owned)
    }
}

pub(crate) fn slow_resource(text: &str) -> Result<String, JidError> {
    fits(text, JidError::Resource)?;
    let resource = stabilize(text, enforce_opaque).map_err(|_| JidError::Resource)?.into_owned();
    fits(&resource, JidError::Resource)?;
    Ok(resource)
}

/// Applies OpaqueString (RFC 8265, 4.2), with a little more Unicode.
///
/// The profile's tables are those of Unicode 6.3, in which an emoji of the last ten years is an
/// unassigned code point. These blocks contain only pictographs, so their code points are checked
/// as if they were one that the profile knows.
fn enforce_opaque(text: &str) -> Result<Cow<'_, str>, Error> {
    const PICTOGRAPHS: RangeInclusive<char> = '\u{1F300}'..='\u{1FAFF}';
    let profile = OpaqueString::new();
    profile.prepare(text.replace(|c| PICTOGRAPHS.contains(&c), "☺"))?;
    profile.normalization_rule(profile.additional_mapping_rule(text)?)
}
