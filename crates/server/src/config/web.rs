//! `[web]`: where browsers connect, under which address they find it, and which proxies stand
//! before it.

use super::address_range::AddressRange;
use super::{Config, addresses};
use hyper::Uri;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use whoelse_core::settings;
use whoelse_core::settings::{Choice, Kind, Written, Wrong, choice, list, quoted};

/// The port of the web, if nobody names another: what other servers use for it over TLS.
pub const WEB_PORT: u16 = 5443;

settings! {
    /// Clients in browsers, and others that speak HTTP first.
    pub struct WebConfig in "web" of Config.web {
        /// Where WebSockets (/xmpp-websocket) and host-meta are served: over TLS with the
        /// certificate above, and in clear on loopback alone. Off by default, since any page in a
        /// browser on this machine reaches what listens here.
        listen: Vec<SocketAddr> = Vec::new(),
            addresses::listening::<WEB_PORT>().like("[\"0.0.0.0:5443\", \"[::]:5443\"]").at_start();
        /// Under which address browsers reach it from outside, with the port if it is not 443. It
        /// fills /.well-known/host-meta and host-meta.json, by which clients find the rest; without
        /// it these two are not there. `whoelse doctor` fetches both.
        public_url: Option<PublicUrl> = None,
            public_url().like("\"https://chat.example.org\"").at_start();
        /// Reverse proxies before it, as addresses or networks: what they say is their client's
        /// address is believed, and from them alone. Without it everybody behind a proxy would be
        /// one address to every limit, so a request that a proxy has passed on is refused on
        /// loopback.
        trusted_proxies: Vec<AddressRange> = Vec::new(),
            list("addresses or networks").like("[\"127.0.0.1\", \"::1\"]").at_start();
        /// How they say it: "x-forwarded-for" for proxies of HTTP, or "proxy-v2" for the header of
        /// the PROXY protocol. Never guessed: a client can write either.
        forwarded: Forwarded = Forwarded::XForwardedFor, choice().at_start();
    }
}

impl WebConfig {
    /// Whether this is a listed proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(address))
    }

    /// Whether clients of other machines are served although nothing may listen beyond loopback.
    pub(crate) fn is_forwarded_to(&self) -> bool {
        !self.listen.is_empty() && !self.trusted_proxies.is_empty()
    }
}

/// How a proxy says who its client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forwarded {
    /// In a header of each request.
    #[default]
    XForwardedFor,
    /// At the beginning of each connection.
    ProxyV2,
}

impl Choice for Forwarded {
    const WORDS: &'static [(&'static str, Forwarded)] =
        &[("x-forwarded-for", Forwarded::XForwardedFor), ("proxy-v2", Forwarded::ProxyV2)];
}

/// The address of the web listener as browsers see it: `https://`, a host, perhaps a port and a
/// path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    is_secure: bool,
    /// Without a slash at its end.
    rest: String,
}

impl PublicUrl {
    /// The address of a path below it.
    pub fn at(&self, path: &str) -> String {
        format!("http{}://{}{path}", if self.is_secure { "s" } else { "" }, self.rest)
    }

    /// The address of a WebSocket below it.
    pub fn websocket_at(&self, path: &str) -> String {
        format!("ws{}://{}{path}", if self.is_secure { "s" } else { "" }, self.rest)
    }

    /// Its host and port, as a request names them.
    pub fn authority(&self) -> &str {
        self.rest.split('/').next().unwrap_or_default()
    }

    /// The host alone.
    pub fn host(&self) -> &str {
        match self.authority().rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
            _ => self.authority(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        let usual = if self.is_secure { 443 } else { 80 };
        let named = self.authority().strip_prefix(self.host()).unwrap_or_default();
        named.strip_prefix(':').and_then(|port| port.parse().ok()).unwrap_or(usual)
    }

    /// The path of another path below it.
    pub fn path(&self, below: &str) -> String {
        format!("{}{below}", self.rest.strip_prefix(self.authority()).unwrap_or_default())
    }

    /// Whether browsers reach it over TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(""))
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<PublicUrl, String> {
        let none = || format!("`{text}` is not an address like https://chat.example.org");
        let uri: Uri = text.parse().map_err(|_| none())?;
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(none()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(none)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        if uri.query().is_some() || text.contains('#') || !uri.path().chars().all(is_plain) {
            return Err(none());
        }
        let host = authority.host();
        let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if !is_secure && !is_loopback {
            return Err(format!("`{text}` has to begin with https: passwords pass through it"));
        }
        let rest = format!("{authority}{}", uri.path().trim_end_matches('/'));
        Ok(PublicUrl { is_secure, rest })
    }
}

const fn public_url() -> Kind<Option<PublicUrl>> {
    Kind::new(
        "an address in quotes",
        |written| match written {
            Written::Text(text) => text.parse().map(Some).map_err(Wrong::Because),
            _ => Err(Wrong::Kind),
        },
        |url: &Option<PublicUrl>| {
            url.as_ref().map(|url| quoted(&url.to_string())).unwrap_or_default()
        },
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_public_address_has_what_clients_are_told() {
        for (text, https, wss) in [
            ("https://chat.example.org", "https://chat.example.org/x", "wss://chat.example.org/x"),
            ("https://chat.example.org/", "https://chat.example.org/x", "wss://chat.example.org/x"),
            (
                "https://a.example:5443/chat/",
                "https://a.example:5443/chat/x",
                "wss://a.example:5443/chat/x",
            ),
            ("https://[2001:db8::1]:1", "https://[2001:db8::1]:1/x", "wss://[2001:db8::1]:1/x"),
            ("http://localhost:5443", "http://localhost:5443/x", "ws://localhost:5443/x"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((&*url.at("/x"), &*url.websocket_at("/x")), (https, wss));
            assert_eq!(url.to_string().parse(), Ok(url));
        }
        for (text, host, port, path) in [
            ("https://a.example", "a.example", 443, "/x"),
            ("https://a.example:5443/chat", "a.example", 5443, "/chat/x"),
            ("https://[2001:db8::1]", "[2001:db8::1]", 443, "/x"),
            ("http://[::1]:80", "[::1]", 80, "/x"),
        ] {
            let url: PublicUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), &*url.path("/x")), (host, port, path), "{text}");
        }
    }

    #[test]
    fn what_is_no_public_address_is_refused() {
        for text in [
            "",
            "chat.example.org",
            "wss://chat.example.org",
            "https://",
            "https://bob@chat.example.org",
            "https://chat.example.org/?a",
            "https://chat.example.org/#a",
            "https://chat.example.org/'",
            "http://chat.example.org",
            "http://127.0.0.2",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_trusted_by_its_address_alone() {
        let mut web = WebConfig::default();
        assert!(!web.trusts([127, 0, 0, 1].into()));
        web.trusted_proxies =
            ["127.0.0.1", "10.0.0.0/8", "2001:db8::7"].map(|text| text.parse().unwrap()).to_vec();
        for (address, trusted) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.9.9.9", true),
            ("2001:db8::7", true),
            ("127.0.0.2", false),
            ("::1", false),
            // In the same /64, as a neighbour in the data centre has it.
            ("2001:db8::8", false),
        ] {
            assert_eq!(web.trusts(address.parse().unwrap()), trusted, "{address}");
        }
    }
}
