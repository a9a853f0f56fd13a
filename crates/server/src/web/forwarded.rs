//! Whose request it is: what proxies say, who is believed, and what is refused.
//!
//! Pure functions over the headers of a request (docs/design/web.md).

use crate::config::{Forwarded, WebConfig};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use std::net::{IpAddr, SocketAddr};

/// The header that a listed proxy writes.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The headers that proxies write, and browsers do not.
const OF_PROXIES: [HeaderName; 3] =
    [HeaderName::from_static("forwarded"), X_FORWARDED_FOR, hyper::header::VIA];

/// Where a request comes from, as far as its connection says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The other end of the socket is the client.
    Client {
        /// Its address.
        address: SocketAddr,
        /// Whether it came over loopback.
        over_loopback: bool,
    },
    /// The other end is a listed proxy, which has said whose connection it is.
    Forwarded(IpAddr),
    /// The other end is a listed proxy; each request says whose it is.
    Proxy(SocketAddr),
    /// The other end is a listed proxy, which asks for itself.
    Check(SocketAddr),
}

/// Why nobody can be told from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A proxy that is not listed has passed it on; the name of the header that tells.
    NotListed(SocketAddr, &'static str),
    /// A listed proxy did not say whose it is.
    NotSaid(SocketAddr),
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unknown::NotListed(peer, header) => write!(
                f,
                "this request has the header {header}, so a proxy has passed it on, and its \
                 address {} is not in trusted_proxies under [web]",
                peer.ip()
            ),
            Unknown::NotSaid(peer) => write!(
                f,
                "the proxy {} is in trusted_proxies under [web], and did not say in \
                 X-Forwarded-For whose request this is",
                peer.ip()
            ),
        }
    }
}

/// Returns whose request it is; `None` for a proxy that asks for itself.
pub(crate) fn whose(
    origin: Origin,
    headers: &HeaderMap,
    web: &WebConfig,
) -> Result<Option<IpAddr>, Unknown> {
    match origin {
        Origin::Forwarded(address) => Ok(Some(address)),
        Origin::Check(_) => Ok(None),
        Origin::Proxy(proxy) => match last_of_strangers(headers, web) {
            Some(address) => Ok(Some(address)),
            None => Err(Unknown::NotSaid(proxy)),
        },
        Origin::Client { address, over_loopback } => {
            let told = OF_PROXIES.into_iter().find(|name| headers.contains_key(name));
            match told {
                Some(name) if over_loopback => Err(Unknown::NotListed(address, as_written(&name))),
                _ => Ok(Some(address.ip())),
            }
        }
    }
}

fn as_written(name: &HeaderName) -> &'static str {
    match name.as_str() {
        "forwarded" => "Forwarded",
        "via" => "Via",
        _ => "X-Forwarded-For",
    }
}

/// Reads `X-Forwarded-For` from the right: each proxy appends whom it has heard, so the last entry
/// that is no listed proxy is the last that a listed one has vouched for. If all of them are
/// listed, it is the first.
fn last_of_strangers(headers: &HeaderMap, web: &WebConfig) -> Option<IpAddr> {
    let lines: Vec<&str> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .map(|line| line.to_str())
        .collect::<Result<_, _>>()
        .ok()?;
    let mut last = None;
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let address = address(entry.trim())?;
        last = Some(address);
        if !web.trusts(address) {
            break;
        }
    }
    last
}

/// Reads an address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

impl WebConfig {
    /// Returns where the requests of a connection come from, before a byte of it is read.
    pub(crate) fn origin(&self, address: SocketAddr, over_loopback: bool) -> Origin {
        match self.trusts(address.ip()) {
            true => Origin::Proxy(address),
            false => Origin::Client { address, over_loopback },
        }
    }

    /// Whether a listed proxy says at the beginning of a connection whose it is.
    pub(crate) fn wants_proxy_header(&self) -> bool {
        self.forwarded == Forwarded::ProxyV2
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn web(trusted: &[&str]) -> WebConfig {
        let trusted_proxies = trusted.iter().map(|text| text.parse().unwrap()).collect();
        WebConfig { trusted_proxies, ..WebConfig::default() }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    const PEER: &str = "127.0.0.1:4000";

    fn peer() -> SocketAddr {
        PEER.parse().unwrap()
    }

    #[test]
    fn behind_a_listed_proxy_the_last_stranger_counts() {
        let web = web(&["127.0.0.1", "10.0.0.0/8"]);
        let origin = web.origin(peer(), true);
        for (lines, whose_it_is) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            // What a client writes itself stands to the left of what proxies write.
            (&["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
            (&["192.0.2.1", "203.0.113.7"], "203.0.113.7"),
            (&["192.0.2.1, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
            (&["192.0.2.1,203.0.113.7", "10.1.2.3 , 10.1.2.4"], "203.0.113.7"),
            (&["nonsense, 203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7:4711"], "203.0.113.7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["::ffff:203.0.113.7"], "::ffff:203.0.113.7"),
            // Somebody at the proxy itself.
            (&["10.1.2.3, 127.0.0.1"], "10.1.2.3"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let found = whose(origin, &headers(&lines), &web);
            assert_eq!(found, Ok(Some(whose_it_is.parse().unwrap())), "{lines:?}");
        }
    }

    #[test]
    fn a_listed_proxy_that_does_not_say_whose_it_is_is_refused() {
        let web = web(&["127.0.0.1"]);
        let origin = web.origin(peer(), true);
        for lines in [
            &[][..],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "203.0.113.7,")],
            &[("x-forwarded-for", "203.0.113.7, 127.0.0.1, bob")],
            // The other ways to say it are not believed.
            &[("forwarded", "for=203.0.113.7")],
            &[("x-real-ip", "203.0.113.7")],
        ] {
            let found = whose(origin, &headers(lines), &web);
            assert_eq!(found, Err(Unknown::NotSaid(peer())), "{lines:?}");
        }
    }

    #[test]
    fn a_proxy_that_is_not_listed_is_refused_over_loopback() {
        for web in [web(&[]), web(&["127.0.0.2"])] {
            for (name, shown) in
                [("forwarded", "Forwarded"), ("x-forwarded-for", "X-Forwarded-For"), ("via", "Via")]
            {
                let lines = headers(&[(name, "203.0.113.7")]);
                let refused = whose(web.origin(peer(), true), &lines, &web).unwrap_err();
                let text = refused.to_string();
                assert!(text.contains(shown) && text.contains("127.0.0.1"), "{text}");
                assert!(text.contains("trusted_proxies under [web]"), "{text}");
            }
            let plain = whose(web.origin(peer(), true), &headers(&[("host", "x")]), &web);
            assert_eq!(plain, Ok(Some(peer().ip())));
        }
    }

    #[test]
    fn what_a_client_elsewhere_writes_means_nothing() {
        let web = web(&["127.0.0.1"]);
        let client: SocketAddr = "203.0.113.9:1".parse().unwrap();
        let lines = headers(&[("x-forwarded-for", "127.0.0.1"), ("via", "1.1 x")]);

        assert_eq!(whose(web.origin(client, false), &lines, &web), Ok(Some(client.ip())));
        let said = Origin::Forwarded("203.0.113.8".parse().unwrap());
        assert_eq!(whose(said, &lines, &web), Ok(Some("203.0.113.8".parse().unwrap())));
        assert_eq!(whose(Origin::Check(peer()), &lines, &web), Ok(None));
    }
}
