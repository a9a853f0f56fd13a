//! The configuration of a client: where the server is, and where to keep state.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::pins::Fingerprint;
use crate::tls::Tls;

/// The settings of one client.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain of the account; the server's certificate is checked against it.
    pub domain: String,
    /// The host to connect to.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// How TLS begins.
    pub begin: Begin,
    /// Whether SRV records of the domain (RFC 6120, 3.2; XEP-0368) are looked up. Host and port
    /// are used for a domain without records, and for one that no name server knows.
    pub records: bool,
    /// The name servers to ask; by default the system's.
    pub name_servers: Option<Vec<SocketAddr>>,
    /// The authorities for certificates; by default the system's.
    pub authorities: Option<Tls>,
    /// Where pinned certificates and remembered logins are kept; without it certificates are forgotten
    /// when the program ends, and no login is remembered.
    pub state: Option<PathBuf>,
    /// A certificate that the user has just accepted by its fingerprint.
    pub accepted: Option<Fingerprint>,
    /// The name that is going to log in, if it is known. Connections are opened in it, which spares one
    /// where a login is remembered.
    pub name: Option<String>,
    /// The resource to ask for; otherwise the server chooses one.
    pub resource: Option<String>,
    /// What the server is to begin the resource with, where it makes it along with the login
    /// (XEP-0386): the name of the program. Without it a `resource` is asked for as it is, after the
    /// login.
    pub tag: Option<String>,
    /// What the user calls this device; the server and the user's other devices are told.
    pub device: Option<String>,
    /// Whether the fate of each message is reported ([`Event::Sent`](crate::Event::Sent)).
    pub verdicts: bool,
    /// Whether nothing that arrives counts as handled, since nobody reads it
    /// ([`Client::leave_unread`](crate::Client::leave_unread)).
    pub unread: bool,
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// STARTTLS on a bare connection (RFC 6120, 5). Nothing else is said before.
    StartTls,
    /// At once (XEP-0368).
    Direct,
}

impl Config {
    /// Makes the configuration for the server at `host`, which is also its domain. A loopback
    /// address becomes `localhost`, the domain of a server without settings.
    pub fn new(host: &str, port: u16) -> Config {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let domain = if loopback { "localhost" } else { host };
        Config {
            domain: domain.to_owned(),
            host: bare.to_owned(),
            port,
            begin: Begin::StartTls,
            records: false,
            name_servers: None,
            authorities: None,
            state: None,
            accepted: None,
            name: None,
            resource: None,
            tag: None,
            device: None,
            verdicts: false,
            unread: false,
        }
    }

    /// Returns the server's name for people and for the pin file.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_stands_for_localhost() {
        assert_eq!(Config::new("127.0.0.1", 5222).domain, "localhost");
        assert_eq!(Config::new("::1", 5222).domain, "localhost");
        assert_eq!(Config::new("a.example", 5222).domain, "a.example");
    }

    #[test]
    fn an_address_is_written_so_that_the_port_can_be_told() {
        assert_eq!(Config::new("localhost", 5222).address(), "localhost:5222");
        assert_eq!(Config::new("[::1]", 5222).address(), "[::1]:5222");
    }
}
