//! Settings that are sound one by one and not together.

use super::Config;
use std::fmt;
use std::net::SocketAddr;
use whoelse_core::settings::{Contacts, Registration};
use whoelse_xmpp::BareJid;

/// One thing that is wrong. The text names the settings and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_line(f, &self.0)
    }
}

pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |text: String| problems.push(Problem(text));
    if config.listen.is_empty() && config.direct_tls.is_empty() {
        say("`listen` is empty: nobody could connect".to_owned());
    }
    if let Some(address) = config.listen.iter().chain(&config.direct_tls).find(is_public)
        && config.settings.contacts == Contacts::Everyone
        && config.settings.registration == Registration::Open
    {
        say(format!(
            "contacts = \"everyone\" together with registration = \"open\" on {address} would \
             let any stranger see everybody; write registration = \"closed\", or listen on \
             127.0.0.1 alone"
        ));
    }
    if let Some(metrics) = &config.metrics
        && is_public(&&metrics.listen)
        && !metrics.public
    {
        say(format!(
            "metrics.listen = \"{}\" would tell everybody how busy this server is; listen on \
             127.0.0.1, or write `public = true` under [metrics] if a firewall stands before it",
            metrics.listen
        ));
    }
    if let Some(domain) = &config.domain
        && BareJid::new(None, domain).is_err()
    {
        say(format!("domain = \"{domain}\" is not a domain name"));
    }
    for name in &config.admins {
        if admin(name, "localhost").is_none() {
            say(format!("admins: \"{name}\" is neither a name nor an address"));
        }
    }
    for off in &config.settings.features_off {
        if !whoelse_features::ALL.iter().any(|feature| feature.name == off) {
            let names: Vec<&str> = whoelse_features::ALL.iter().map(|known| known.name).collect();
            say(format!(
                "features_off: there is no feature \"{off}\"; there are {}",
                names.join(", ")
            ));
        }
    }
    problems
}

/// An administrator's address: `bob` is bob of the own domain.
pub(crate) fn admin(name: &str, domain: &str) -> Option<BareJid> {
    match name.contains('@') {
        true => BareJid::parse(name).ok(),
        false => BareJid::new(Some(name), domain).ok(),
    }
}

/// Whether people beyond this machine can reach it.
fn is_public(address: &&SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}
