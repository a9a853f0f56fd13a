//! RFC 6120, 3.2.1, and XEP-0368: the SRV records by which clients find the server of a domain.
//!
//! It asks as our client does. Only with --dns, because everything else here works without the
//! network.

use std::net::{IpAddr, SocketAddr};

use whoelse_client::dns::{Resolver, Srv};
use whoelse_server::Config;
use whoelse_xmpp::in_words;

use super::Finding;

/// Checks the records of a domain.
pub async fn check(config: &Config, domain: &str) -> Vec<Finding> {
    let is_here = domain == "localhost" || domain.ends_with(".localhost");
    if is_here || domain.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        let text = format!("{domain} needs no records");
        return vec![Finding::ok("dns", text)];
    }
    let direct = !config.direct_tls.is_empty();
    let mut findings =
        vec![service("_xmpp-client._tcp", domain, config.listen.first(), "listen").await];
    if direct {
        let first = config.direct_tls.first();
        findings.push(service("_xmpps-client._tcp", domain, first, "direct_tls").await);
    }
    findings
}

async fn service(
    service: &str,
    domain: &str,
    listens: Option<&SocketAddr>,
    setting: &str,
) -> Finding {
    let name = format!("{service}.{domain}");
    let port = listens.map_or(5222, SocketAddr::port);
    let found = match Resolver::of_system() {
        Ok(resolver) => resolver.srv(&name).await,
        Err(why) => Err(why),
    };
    match found {
        Ok(found) => judge(&name, &found, port, setting),
        Err(error) => {
            let fix = "look at /etc/resolv.conf";
            Finding::warning(
                "dns",
                format!("{name} cannot be asked for: {}", in_words(&error)),
                fix,
            )
        }
    }
}

fn judge(name: &str, found: &Srv, port: u16, setting: &str) -> Finding {
    let fix = format!("publish `{name}. SRV 0 5 {port} HOST.`, with the name of this machine");
    match found {
        Srv::At(targets) => {
            let all: Vec<String> =
                targets.iter().map(|target| format!("{}:{}", target.host, target.port)).collect();
            let all = all.join(", ");
            if targets.iter().any(|target| target.port == port) {
                return Finding::ok("dns", format!("{name} leads to {all}"));
            }
            let text = format!("{name} leads to {all}, and `{setting}` is port {port}");
            Finding::warning("dns", text, fix)
        }
        Srv::NotOffered => {
            let text = format!("{name} leads to `.`, which says that there is no such service");
            Finding::warning("dns", text, fix)
        }
        Srv::None if port == 5222 => {
            let text = format!("there is no {name}; clients try port 5222 of the domain itself");
            Finding::ok("dns", text)
        }
        Srv::None => Finding::warning("dns", format!("there is no {name}"), fix),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::State;
    use super::*;
    use whoelse_client::dns::Target;

    fn at(ports: &[u16]) -> Srv {
        let host = "host.a.example".to_owned();
        let target =
            |port: &u16| Target { host: host.clone(), port: *port, priority: 0, weight: 5 };
        Srv::At(ports.iter().map(target).collect())
    }

    #[test]
    fn records_must_lead_to_the_port() {
        let state = |found: &Srv, port| judge("_x.a.example", found, port, "listen").state;

        assert_eq!(state(&at(&[5222]), 5222), State::Ok);
        assert_eq!(state(&at(&[1, 5222]), 5222), State::Ok);
        assert_eq!(state(&Srv::None, 5222), State::Ok);
        assert_eq!(state(&at(&[1]), 5222), State::Warning);
        assert_eq!(state(&Srv::None, 5223), State::Warning);
        assert_eq!(state(&Srv::NotOffered, 5222), State::Warning);
    }

    #[tokio::test]
    async fn a_machine_for_itself_needs_no_records() {
        for domain in ["localhost", "192.0.2.1", "[::1]"] {
            let found = check(&Config::quick_start(), domain).await;
            assert_eq!(found[0].state, State::Ok, "{domain}");
        }
    }
}
