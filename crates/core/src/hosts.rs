//! What an address refers to: the server itself, an account of one of its domains, one of its
//! services, or somebody elsewhere.

use compact_str::CompactString;
use whoelse_xmpp::Jid;

/// The domains that this server serves, and those of its services.
#[derive(Debug, Clone)]
pub struct Hosts {
    own: Vec<CompactString>,
    /// The domain of each service, with its key. There are few of them.
    services: Vec<(CompactString, &'static str)>,
}

/// What an address refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// The server itself, by one of its domains.
    Server,
    /// An account of one of our domains, or one of its devices, or a session of the server itself.
    /// It may not exist.
    Account,
    /// A service of ours, by its key, or an address at it.
    Service(&'static str),
    /// Somebody of another domain.
    Remote(&'a str),
}

impl Hosts {
    /// Makes a set of own domains, and of the domains of services, each with its key. A domain that
    /// is an own one is never a service.
    pub fn new(
        own: impl IntoIterator<Item = CompactString>,
        services: impl IntoIterator<Item = (CompactString, &'static str)>,
    ) -> Hosts {
        Hosts { own: own.into_iter().collect(), services: services.into_iter().collect() }
    }

    /// Whether a domain is one of ours.
    pub fn is_own(&self, domain: &str) -> bool {
        self.own.iter().any(|own| own == domain)
    }

    /// Returns what this address refers to.
    pub fn find<'a>(&self, jid: &'a Jid) -> Host<'a> {
        if !self.is_own(jid.domain()) {
            return self.service(jid.domain()).map_or(Host::Remote(jid.domain()), Host::Service);
        }
        match (jid.local(), jid.resource()) {
            (None, None) => Host::Server,
            // A domain with a resource is a session of an administrator who acts as the server
            // itself.
            _ => Host::Account,
        }
    }

    /// Returns the key of the service that has this domain.
    fn service(&self, domain: &str) -> Option<&'static str> {
        self.services.iter().find(|(own, _)| own == domain).map(|(_, key)| *key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_kind_of_address_has_its_host() {
        let services = [("chat.a.example".into(), "chat"), ("b.example".into(), "never")];
        let hosts = Hosts::new(["a.example".into(), "b.example".into()], services);

        for (address, host) in [
            ("a.example", Host::Server),
            ("b.example", Host::Server),
            ("a.example/console", Host::Account),
            ("bob@a.example", Host::Account),
            ("bob@b.example/desk", Host::Account),
            ("chat.a.example", Host::Service("chat")),
            ("chat.a.example/console", Host::Service("chat")),
            ("lunch@chat.a.example/bob", Host::Service("chat")),
            ("chat.b.example", Host::Remote("chat.b.example")),
            ("lunch@a.chat.a.example", Host::Remote("a.chat.a.example")),
            ("c.example", Host::Remote("c.example")),
            ("bob@c.example", Host::Remote("c.example")),
            ("bob@sub.a.example", Host::Remote("sub.a.example")),
        ] {
            assert_eq!(hosts.find(&Jid::parse(address).unwrap()), host, "{address}");
        }
    }
}
