//! RFC 6120, 3.2, and XEP-0368: the endpoints of a domain's server, in the order in which to try
//! them.
//!
//! Records only say where to connect; the certificate there must be the domain's.

use std::net::IpAddr;

use whoelse_stream::token;

use crate::config::{Begin, Config};
use crate::dns::{Resolver, Srv, Target};
use crate::error::ConnectError;

/// Endpoints that are tried at most for one connection.
const MAX_ENDPOINTS: usize = 8;

/// An endpoint where a server may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) begin: Begin,
    /// Whether an SRV or address record led here, which nobody vouches for.
    pub(crate) by_record: bool,
}

impl Endpoint {
    /// Returns its name for people.
    pub(crate) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Returns the endpoints to try in order; never empty. Fails if the domain says that it has no
/// server.
pub(crate) async fn endpoints(config: &Config) -> Result<Vec<Endpoint>, ConnectError> {
    let given = Endpoint {
        host: config.host.clone(),
        port: config.port,
        begin: config.begin,
        // If no host was given it is the domain, and its address comes from a record, too.
        by_record: config.host == config.domain && !is_nearby(&config.host),
    };
    if !config.records || is_nearby(&config.domain) {
        return Ok(vec![given]);
    }
    let resolver = match &config.name_servers {
        Some(servers) => Ok(Resolver::asking(servers.clone())),
        None => Resolver::of_system(),
    };
    // Without an answer the domain's own address may still lead to the server.
    let Ok(resolver) = resolver else { return Ok(vec![given]) };
    let (asking, direct) =
        (ask(&resolver, "_xmpp-client._tcp", config), ask(&resolver, "_xmpps-client._tcp", config));
    let (asking, direct) = tokio::join!(asking, direct);
    let asking = if config.begin == Begin::Direct { Srv::None } else { asking };
    match mixed(asking, direct, below) {
        Some(endpoints) if endpoints.is_empty() => {
            Err(ConnectError::NotOffered { domain: config.domain.clone() })
        }
        Some(endpoints) => Ok(endpoints),
        None => Ok(vec![given]),
    }
}

/// Returns whether a domain is a name that no name server would know.
pub(crate) fn is_nearby(domain: &str) -> bool {
    let bare = domain.trim_matches(['[', ']']);
    bare == "localhost" || bare.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok()
}

async fn ask(resolver: &Resolver, service: &str, config: &Config) -> Srv {
    let name = format!("{service}.{}", config.domain);
    resolver.srv(&name).await.unwrap_or(Srv::None)
}

/// XEP-0368: merges the records of both services. `None` if there are no records; empty if the
/// domain says that it offers neither service.
fn mixed(asking: Srv, direct: Srv, below: impl FnMut(u32) -> u32) -> Option<Vec<Endpoint>> {
    let (asking, direct) = match (asking, direct) {
        (Srv::None, Srv::None | Srv::NotOffered) => return None,
        (asking, direct) => (targets(asking), targets(direct)),
    };
    let asking = asking.into_iter().map(|target| (target, Begin::StartTls));
    let all = asking.chain(direct.into_iter().map(|target| (target, Begin::Direct)));
    let ordered = in_order(all.collect(), below).into_iter().take(MAX_ENDPOINTS);
    let endpoint = |(target, begin): (Target, Begin)| Endpoint {
        host: target.host,
        port: target.port,
        begin,
        by_record: true,
    };
    Some(ordered.map(endpoint).collect())
}

fn targets(srv: Srv) -> Vec<Target> {
    match srv {
        Srv::At(targets) => targets,
        Srv::None | Srv::NotOffered => Vec::new(),
    }
}

/// RFC 2782: orders by priority, and within one randomly by weight. `below` draws a number below
/// its argument.
fn in_order(
    mut left: Vec<(Target, Begin)>,
    mut below: impl FnMut(u32) -> u32,
) -> Vec<(Target, Begin)> {
    // Those with weight 0 come first, so that they can be drawn at all.
    left.sort_by_key(|(target, _)| (target.priority, target.weight));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some((first, _)) = left.first() {
        let priority = first.priority;
        let group = left.iter().take_while(|(target, _)| target.priority == priority);
        let weights: Vec<u32> = group.map(|(target, _)| u32::from(target.weight)).collect();
        let drawn = below(weights.iter().sum::<u32>() + 1);
        let mut so_far = 0;
        let reached = weights.iter().position(|weight| {
            so_far += weight;
            so_far >= drawn
        });
        ordered.push(left.remove(reached.unwrap_or_default()));
    }
    ordered
}

/// Draws a random number below this one.
fn below(bound: u32) -> u32 {
    let random = u64::from(u32::from_be_bytes(token::random::<4>()));
    u32::try_from((random * u64::from(bound)) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn target(host: &str, priority: u16, weight: u16) -> Target {
        Target { host: host.to_owned(), port: 1, priority, weight }
    }

    fn hosts(endpoints: &[Endpoint]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| endpoint.host.as_str()).collect()
    }

    #[test]
    fn records_of_both_services_are_tried_by_priority() {
        let asking = Srv::At(vec![target("third", 20, 0), target("first", 5, 0)]);
        let direct = Srv::At(vec![target("second", 10, 0)]);

        let endpoints = mixed(asking, direct, |_| 0).unwrap();

        assert_eq!(hosts(&endpoints), ["first", "second", "third"]);
        let begins: Vec<Begin> = endpoints.iter().map(|endpoint| endpoint.begin).collect();
        assert_eq!(begins, [Begin::StartTls, Begin::Direct, Begin::StartTls]);
        assert!(endpoints.iter().all(|endpoint| endpoint.by_record));
    }

    #[test]
    fn within_a_priority_weights_are_shares() {
        let all = || {
            let some = [target("none", 1, 0), target("small", 1, 10), target("large", 1, 30)];
            some.into_iter().map(|target| (target, Begin::StartTls)).collect::<Vec<_>>()
        };
        let first = |drawn: u32| {
            let mut draws = vec![0, 0, drawn];
            in_order(all(), |bound| draws.pop().unwrap().min(bound - 1))[0].0.host.clone()
        };

        assert_eq!(first(0), "none");
        assert_eq!([first(1), first(10)], ["small", "small"]);
        assert_eq!([first(11), first(40)], ["large", "large"]);
        // Every target is in the result, whatever is drawn.
        assert_eq!(in_order(all(), below).len(), 3);
    }

    #[test]
    fn numbers_are_drawn_below_the_bound() {
        for bound in [1, 2, 3, 65_536, 2_097_121] {
            assert!((0..100).all(|_| below(bound) < bound));
        }
    }

    #[test]
    fn a_service_that_is_not_there_leaves_the_other_and_neither_is_an_answer() {
        let there = || Srv::At(vec![target("host", 1, 0)]);
        let endpoints = |asking, direct| mixed(asking, direct, |_| 0);

        assert_eq!(hosts(&endpoints(there(), Srv::NotOffered).unwrap()), ["host"]);
        assert_eq!(hosts(&endpoints(Srv::NotOffered, there()).unwrap()), ["host"]);
        assert_eq!(endpoints(Srv::NotOffered, Srv::NotOffered), Some(vec![]));
        assert_eq!(endpoints(Srv::NotOffered, Srv::None), Some(vec![]));
        // That direct TLS is not offered says nothing about STARTTLS.
        assert_eq!(endpoints(Srv::None, Srv::NotOffered), None);
        assert_eq!(endpoints(Srv::None, Srv::None), None);
    }

    #[test]
    fn so_many_endpoints_are_tried_and_no_more() {
        let many = Srv::At((0..32).map(|n| target("host", n, 0)).collect());

        assert_eq!(mixed(many, Srv::None, |_| 0).unwrap().len(), MAX_ENDPOINTS);
    }

    #[tokio::test]
    async fn a_host_that_was_given_or_is_near_is_no_records_word_and_a_domains_address_is() {
        for (domain, host, by_record) in [
            ("a.example", "a.example", true),
            ("a.example", "other.example", false),
            ("a.example", "127.0.0.1", false),
            ("localhost", "localhost", false),
            ("localhost", "127.0.0.1", false),
            ("a.localhost", "a.localhost", false),
            ("[::1]", "::1", false),
        ] {
            let config = Config { host: host.to_owned(), ..Config::new(domain, 7) };

            let endpoints = endpoints(&config).await.unwrap();

            assert_eq!(endpoints[0].by_record, by_record, "{domain} at {host}");
        }
    }

    #[tokio::test]
    async fn what_is_given_or_near_is_not_asked_for() {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let name_servers = Some(vec![server.local_addr().unwrap()]);
        for (domain, records) in [
            ("localhost", true),
            ("a.localhost", true),
            ("192.0.2.1", true),
            ("[2001:db8::1]", true),
            ("a.example", false),
        ] {
            let name_servers = name_servers.clone();
            let config = Config { records, name_servers, ..Config::new(domain, 7) };

            let endpoints = endpoints(&config).await.unwrap();

            assert_eq!((endpoints.len(), endpoints[0].port), (1, 7));
        }
        server.set_nonblocking(true).unwrap();
        assert!(server.recv(&mut [0; 512]).is_err(), "somebody asked");
    }
}
