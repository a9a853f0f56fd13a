//! The network that a connection comes from, as far as it tells strangers apart.
//!
//! An IPv4 address is one network. So is the /64 of an IPv6 address, since one person has a whole
//! /64. A *site* is an IPv6 /48, or an IPv4 address: it counts as one where somebody could use all
//! networks of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: its logins and connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// The admin socket, which only the machine's owner can open.
    Local,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The /64 of an IPv6 address.
    V6([u16; 4]),
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(v4) => Network::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Network::V6([a, b, c, d])
            }
        }
    }

    /// The prefixes it lies in, the widest first and itself last: /16, /24 and the address of IPv4;
    /// /32, /48, /56 and /64 of IPv6.
    pub fn prefixes(self) -> impl Iterator<Item = Prefix> {
        let lengths: &[u8] = match self {
            Network::Local => &[0],
            Network::V4(_) => &[16, 24, 32],
            Network::V6(_) => &[32, 48, 56, 64],
        };
        let (bits, is_v4) = top(self).unwrap_or_default();
        let prefix = move |length: &u8| Prefix {
            is_v4,
            length: *length,
            bits: bits & mask(u32::from(*length)),
        };
        lengths.iter().map(prefix)
    }

    /// Whether it is this very machine.
    pub fn is_loopback(self) -> bool {
        match self {
            Network::Local => true,
            Network::V4(v4) => v4.is_loopback(),
            Network::V6(first) => first == [0; 4],
        }
    }

    /// The places it lies in: itself first, then the /56 and the /48 of IPv6 around it.
    pub fn places(self) -> impl Iterator<Item = Place> {
        let around = match self {
            Network::Local | Network::V4(_) => [None, None],
            Network::V6([a, b, c, d]) => {
                let home = Network::V6([a, b, c, d & 0xff00]);
                [Some(Place::Home(home)), Some(Place::Site(self.site()))]
            }
        };
        std::iter::once(Place::Network(self)).chain(around.into_iter().flatten())
    }

    /// The site it belongs to.
    pub fn site(self) -> Site {
        match self {
            Network::Local | Network::V4(_) => Site(self),
            Network::V6([a, b, c, _]) => Site(Network::V6([a, b, c, 0])),
        }
    }
}

/// The network as it is stored, logged, and shown to the operator.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Local => f.write_str("local"),
            Network::V4(v4) => v4.fmt(f),
            Network::V6([a, b, c, d]) => write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/64"),
        }
    }
}

/// Reads an address, or a network in the form in which it is shown.
impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Network, NoNetwork> {
        if text == "local" {
            return Ok(Network::Local);
        }
        match text.strip_suffix("/64") {
            Some(address) => address.parse().map(|v6: Ipv6Addr| Network::of(v6.into())),
            None => text.parse().map(Network::of),
        }
        .map_err(|_| NoNetwork)
    }
}

/// The error for a text that is neither an address nor a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNetwork;

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address like 192.0.2.7 or 2001:db8::7")
    }
}

impl std::error::Error for NoNetwork {}

/// A network and those beside it whose addresses begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    is_v4: bool,
    length: u8,
    bits: u64,
}

impl Prefix {
    /// The first in the order of prefixes.
    pub const FIRST: Prefix = Prefix { is_v4: false, length: 0, bits: 0 };
    /// Later in that order than all of them.
    pub const LAST: Prefix = Prefix { is_v4: true, length: u8::MAX, bits: u64::MAX };
}

/// The networks that one person can have: an IPv4 address, or an IPv6 /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site(Network);

/// A network, or many of them that one person can have: where logins of all accounts are counted
/// together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A network.
    Network(Network),
    /// An IPv6 /56, by its first network: what a provider gives one home.
    Home(Network),
    /// An IPv6 /48.
    Site(Site),
}

impl Place {
    /// The site it belongs to.
    pub fn site(self) -> Site {
        match self {
            Place::Network(network) | Place::Home(network) => network.site(),
            Place::Site(site) => site,
        }
    }
}

/// The place as it is stored, logged, and shown to the operator.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Home(Network::V6([a, b, c, d])) => write!(f, "{a:x}:{b:x}:{c:x}:{d:x}::/56"),
            Place::Site(Site(Network::V6([a, b, c, _]))) => write!(f, "{a:x}:{b:x}:{c:x}::/48"),
            Place::Network(network) | Place::Home(network) | Place::Site(Site(network)) => {
                network.fmt(f)
            }
        }
    }
}

/// Reads an address, or a place in the form in which it is shown.
impl FromStr for Place {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Place, NoNetwork> {
        let Some((address, nth)) = [("/56", 1), ("/48", 2)]
            .iter()
            .find_map(|(suffix, nth)| Some((text.strip_suffix(suffix)?, *nth)))
        else {
            return text.parse().map(Place::Network);
        };
        let v6: Ipv6Addr = address.parse().map_err(|_| NoNetwork)?;
        Network::of(v6.into()).places().nth(nth).ok_or(NoNetwork)
    }
}

/// A range of networks: an address, or one with the length of a prefix (CIDR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkRange {
    first: Network,
    /// How many bits of [`top`] all of them share with the first.
    prefix: u32,
}

impl NetworkRange {
    /// Whether a network lies in this range.
    pub fn contains(self, network: Network) -> bool {
        match (top(self.first), top(network)) {
            (Some((first, is_v4)), Some((bits, also))) => {
                is_v4 == also && (first ^ bits) & mask(self.prefix) == 0
            }
            _ => false,
        }
    }
}

/// Formats the range as it is read.
impl fmt::Display for NetworkRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first {
            Network::Local => f.write_str("local"),
            Network::V4(v4) => write!(f, "{v4}/{}", self.prefix),
            Network::V6([a, b, c, d]) => {
                write!(f, "{}/{}", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), self.prefix)
            }
        }
    }
}

/// Reads `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/48`.
impl FromStr for NetworkRange {
    type Err = String;

    fn from_str(text: &str) -> Result<NetworkRange, String> {
        let none = || format!("`{text}` is not a network like 192.0.2.0/24 or 2001:db8::/48");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| none())?;
        let most = if address.is_ipv4() { 32 } else { 64 };
        let prefix = match prefix {
            None => most,
            Some(digits) => digits.parse().map_err(|_| none())?,
        };
        if !(1..=most).contains(&prefix) {
            return Err(format!("the prefix of `{text}` must be from /1 to /{most}"));
        }
        let first = Network::of(address);
        match top(first) {
            Some((bits, _)) if bits & !mask(prefix) == 0 => Ok(NetworkRange { first, prefix }),
            _ => Err(format!("`{text}` goes on after its prefix; write its first address")),
        }
    }
}

/// The bits of a network from the top, and whether they are those of an IPv4 address.
fn top(network: Network) -> Option<(u64, bool)> {
    match network {
        Network::Local => None,
        Network::V4(v4) => Some((u64::from(v4.to_bits()) << 32, true)),
        Network::V6(parts) => {
            Some((parts.iter().fold(0, |bits, part| bits << 16 | u64::from(*part)), false))
        }
    }
}

fn mask(prefix: u32) -> u64 {
    u64::MAX.checked_shl(64_u32.saturating_sub(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn one_person_with_many_ipv6_addresses_is_one_network() {
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:127.0.0.1"), network("127.0.0.1"));
    }

    #[test]
    fn this_machine_is_known_by_its_loopback_addresses() {
        for text in ["local", "127.0.0.1", "127.9.0.1", "::1"] {
            assert!(network(text).is_loopback(), "{text}");
        }
        for text in ["128.0.0.1", "10.0.0.1", "2001:db8::1", "fe80::1"] {
            assert!(!network(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_site_is_a_48_of_ipv6_and_one_address_of_ipv4() {
        assert_eq!(network("2001:db8:1:2::1").site(), network("2001:db8:1:3::1").site());
        assert_ne!(network("2001:db8:1:2::1").site(), network("2001:db8:2:2::1").site());
        assert_ne!(network("192.0.2.1").site(), network("192.0.2.2").site());
    }

    #[test]
    fn a_network_lies_in_its_prefixes_the_widest_first() {
        let shared = |one: &str, other: &str| {
            let (one, other) = (network(one).prefixes(), network(other).prefixes());
            one.zip(other).take_while(|(one, other)| one == other).count()
        };
        for (one, other, count) in [
            ("192.0.2.1", "192.0.2.1", 3),
            ("192.0.2.1", "192.0.2.2", 2),
            ("192.0.2.1", "192.0.3.1", 1),
            ("192.0.2.1", "192.1.2.1", 0),
            ("2001:db8:1:2::1", "2001:db8:1:2::2", 4),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", 3),
            ("2001:db8:1:2::1", "2001:db8:1:102::1", 2),
            ("2001:db8:1:2::1", "2001:db8:2:2::1", 1),
            ("2001:db8:1:2::1", "2001:db9:1:2::1", 0),
            ("0.0.0.0", "::", 0),
            ("local", "::", 0),
        ] {
            assert_eq!(shared(one, other), count, "{one} {other}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for text in ["local", "192.0.2.7", "2001:db8:1:2::/64", "0:0:0:0::/64"] {
            assert_eq!(network(text).to_string(), text);
        }
        for text in ["", "bob", "192.0.2.7/24", "192.0.2.7/64", "2001:db8::/48", "localhost"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
    }

    #[test]
    fn a_network_of_ipv6_lies_in_a_place_of_its_own_and_in_those_of_its_home_and_site() {
        let places = |text: &str| -> Vec<String> {
            network(text).places().map(|place| place.to_string()).collect()
        };
        assert_eq!(
            places("2001:db8:1:203::9"),
            ["2001:db8:1:203::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"]
        );
        assert_eq!(places("192.0.2.7"), ["192.0.2.7"]);
        assert_eq!(places("local"), ["local"]);
    }

    #[test]
    fn a_place_is_read_as_it_is_shown() {
        for text in [
            "local",
            "192.0.2.7",
            "2001:db8:1:2::/64",
            "2001:db8:1:200::/56",
            "2001:db8:1::/48",
            "0:0:0:0::/56",
            "0:0:0::/48",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        let place: Place = "2001:db8:1:2::9".parse().unwrap();
        assert_eq!(place.site(), network("2001:db8:1:3::1").site());
        for text in ["", "bob", "192.0.2.7/48", "2001:db8::/52", "/48", "::ffff:192.0.2.7/56"] {
            assert_eq!(text.parse::<Place>(), Err(NoNetwork), "{text}");
        }
    }

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        for (range, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("128.0.0.0/1", "255.0.0.1", "127.0.0.1"),
            ("2001:db8::/48", "2001:db8:0:ffff::1", "2001:db8:1::1"),
            ("2001:db8::", "2001:db8::1", "2001:db8:0:1::1"),
            ("::/1", "7fff::1", "192.0.2.7"),
        ] {
            let range: NetworkRange = range.parse().unwrap();

            assert!(range.contains(network(inside)), "{inside}");
            assert!(!range.contains(network(outside)), "{outside}");
            assert!(!range.contains(Network::Local));
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_to_do() {
        for (text, words) in [
            ("", "is not a network like"),
            ("school", "is not a network like"),
            ("192.0.2.0/", "is not a network like"),
            ("192.0.2.0/x", "is not a network like"),
            ("192.0.2.0/33", "from /1 to /32"),
            ("0.0.0.0/0", "from /1 to /32"),
            ("2001:db8::/65", "from /1 to /64"),
            ("192.0.2.7/24", "write its first address"),
        ] {
            let refused = text.parse::<NetworkRange>().unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
