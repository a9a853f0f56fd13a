//! What an address refers to: the server itself, an account of one of its domains, or somebody
//! elsewhere.

use compact_str::CompactString;
use whoelse_xmpp::Jid;

/// The domains that this server serves.
#[derive(Debug, Clone)]
pub struct Hosts {
    own: Vec<CompactString>,
}

/// What an address refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// The server itself, by one of its domains.
    Server,
    /// An account of one of our domains, or one of its devices, or a session of the server itself.
    /// It may not exist.
    Account,
    /// Somebody of another domain.
    Remote(&'a str),
}

impl Hosts {
    /// Makes a set of own domains.
    pub fn new(own: impl IntoIterator<Item = CompactString>) -> Hosts {
        Hosts { own: own.into_iter().collect() }
    }

    /// Whether a domain is one of ours.
    pub fn is_own(&self, domain: &str) -> bool {
        self.own.iter().any(|own| own == domain)
    }

    /// Returns what this address refers to.
    pub fn find<'a>(&self, jid: &'a Jid) -> Host<'a> {
        if !self.is_own(jid.domain()) {
            return Host::Remote(jid.domain());
        }
        match (jid.local(), jid.resource()) {
            (None, None) => Host::Server,
            // A domain with a resource is a session of an administrator who acts as the server
            // itself.
            _ => Host::Account,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_kind_of_address_has_its_host() {
        let hosts = Hosts::new(["a.example".into(), "b.example".into()]);

        for (address, host) in [
            ("a.example", Host::Server),
            ("b.example", Host::Server),
            ("a.example/console", Host::Account),
            ("bob@a.example", Host::Account),
            ("bob@b.example/desk", Host::Account),
            ("c.example", Host::Remote("c.example")),
            ("bob@c.example", Host::Remote("c.example")),
            ("bob@sub.a.example", Host::Remote("sub.a.example")),
        ] {
            assert_eq!(hosts.find(&Jid::parse(address).unwrap()), host, "{address}");
        }
    }
}
