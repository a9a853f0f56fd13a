//! Which addresses are meant, one or those that begin with the same bits (CIDR).
//!
//! Unlike `whoelse_core::network`, which takes an IPv6 /64 for one, this tells every address from
//! every other one: whoever shares a /64 with a proxy is not the proxy.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    /// How many bits all of them share with the first.
    prefix: u32,
}

impl AddressRange {
    /// Whether an address lies in this range. An IPv4 address may be written as one of IPv6.
    pub fn contains(self, address: IpAddr) -> bool {
        let ((first, most), (bits, also)) = (top(self.first), top(address.to_canonical()));
        most == also && (first ^ bits) & mask(self.prefix) == 0
    }
}

/// Formats the range as it is read.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// Reads `192.0.2.7`, `192.0.2.0/24`, `2001:db8::7` or `2001:db8::/48`.
impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<AddressRange, String> {
        let none =
            || format!("`{text}` is not an address like 192.0.2.7 or a network like 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first = address.parse::<IpAddr>().map_err(|_| none())?.to_canonical();
        let (bits, most) = top(first);
        let prefix = match prefix {
            None => most,
            Some(digits) => digits.parse().map_err(|_| none())?,
        };
        if !(1..=most).contains(&prefix) {
            return Err(format!("the prefix of `{text}` must be from /1 to /{most}"));
        }
        if bits & !mask(prefix) != 0 {
            return Err(format!("`{text}` goes on after its prefix; write its first address"));
        }
        Ok(AddressRange { first, prefix })
    }
}

/// The bits of an address from the top, and how many it has.
fn top(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// So many bits from the top; at least one.
fn mask(prefix: u32) -> u128 {
    u128::MAX << (128 - prefix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_range_holds_what_begins_alike_and_an_address_itself_alone() {
        for (range, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "192.0.3.0"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("::1", "::1", "::2"),
            ("2001:db8::7", "2001:db8::7", "2001:db8::8"),
            ("2001:db8::/64", "2001:db8::1:2:3:4", "2001:db8:0:1::"),
            ("2001:db8::/48", "2001:db8:0:ffff::1", "2001:db8:1::"),
            ("0.0.0.0/1", "127.255.255.255", "::1"),
        ] {
            let range: AddressRange = range.parse().unwrap();
            assert!(range.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!range.contains(outside.parse().unwrap()), "{range} {outside}");
            assert_eq!(range.to_string().parse(), Ok(range));
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_to_do() {
        for (text, words) in [
            ("", "is not an address like"),
            ("proxy", "is not an address like"),
            ("192.0.2.0/", "is not an address like"),
            ("192.0.2.0/33", "from /1 to /32"),
            ("::/0", "from /1 to /128"),
            ("192.0.2.7/24", "write its first address"),
            ("::ffff:192.0.2.7/128", "from /1 to /32"),
        ] {
            let refused = text.parse::<AddressRange>().unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
