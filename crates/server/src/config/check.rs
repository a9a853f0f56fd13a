//! Settings that are valid one by one but not together.

use super::Config;
use super::problem::Problem;
use std::net::SocketAddr;
use whoelse_core::kit::Feature;
use whoelse_core::settings::Registration;
use whoelse_xmpp::{BareJid, in_words};

/// Combines settings of a file that belong together, such as a database and the file of its
/// password. Returns what does not fit, each with its line.
pub(super) fn fit(config: &mut Config) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let line = |config: &Config, key: &str| config.lines.get(key).copied();
    for (one, other) in [
        ("certificate", "key"),
        ("key", "certificate"),
        ("database_password_file", "database"),
        ("web.public_url", "web.listen"),
        ("web.trusted_proxies", "web.listen"),
        ("web.forwarded", "web.trusted_proxies"),
    ] {
        if let Some(at) = line(config, one)
            && line(config, other).is_none()
        {
            found.push((at, format!("`{one}` needs `{other}` as well")));
        }
    }
    if let (Some(url), Some(path)) = (&mut config.database, &config.database_password_file) {
        let at = config.lines.get("database_password_file").copied().unwrap_or(1);
        match std::fs::read_to_string(path) {
            _ if url.has_password() => found.push((
                at,
                "the password stands in `database` and in `database_password_file`; take one of \
                 them out"
                    .to_owned(),
            )),
            Ok(text) => url.set_password(text.trim_end_matches(['\r', '\n'])),
            Err(error) => {
                found.push((at, format!("cannot read {}: {}", path.display(), in_words(&error))));
            }
        }
    }
    let most = config.settings.limits.most_roster_bytes();
    let roster_bytes = &mut config.settings.limits.roster_bytes;
    match config.lines.get("limits.roster_bytes") {
        None => *roster_bytes = (*roster_bytes).min(most),
        Some(at) if *roster_bytes > most => found.push((
            *at,
            format!(
                "`limits.roster_bytes` must be {most} bytes or less, a quarter of `session_bytes`, \
                 not {roster_bytes}"
            ),
        )),
        Some(_) => {}
    }
    found
}

/// Returns what is wrong with the settings taken together.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |key: &str, text: String| problems.push(config.problem(key, text));
    if config.listen.is_empty() && config.direct_tls.is_empty() {
        say("listen", "`listen` is empty: nobody could connect".to_owned());
    }
    if let Some(whence) = beyond_loopback(config)
        && config.settings.contacts.are_shared()
        && config.settings.registration == Registration::Open
    {
        say(
            "contacts",
            format!(
                "contacts = \"everyone\" together with registration = \"open\" on {whence} would \
                 let any stranger see everybody; write registration = \"closed\", or listen on \
                 127.0.0.1 alone"
            ),
        );
    }
    if let Some(listen) = &config.metrics.listen
        && is_public(&listen)
        && !config.metrics.public
    {
        say(
            "metrics.listen",
            format!(
                "metrics.listen = \"{listen}\" would tell everybody how busy this server is; \
                 listen on 127.0.0.1, or write `public = true` under [metrics] if a firewall \
                 stands before it"
            ),
        );
    }
    if let Some(domain) = &config.domain
        && BareJid::new(None, domain).is_err()
    {
        say("domain", format!("domain = \"{domain}\" is not a domain name"));
    }
    for name in &config.admins {
        if admin(name, "localhost").is_none() {
            say("admins", format!("admins: \"{name}\" is neither a name nor an address"));
        }
    }
    for off in &config.settings.features_off {
        let can_be_off = |known: &&Feature| !known.is_of_the_rules;
        let known = whoelse_features::ALL.iter().filter(can_be_off).map(|known| known.name);
        if !known.clone().any(|known| known == off) {
            let names: Vec<&str> = known.collect();
            let names = names.join(", ");
            say(
                "features_off",
                format!(
                    "features_off: there is no feature \"{off}\" to switch off; there are {names}"
                ),
            );
        }
    }
    problems
}

/// Returns where people beyond this machine can connect: an address, or behind a proxy.
pub(super) fn beyond_loopback(config: &Config) -> Option<String> {
    let mut listen = config.listen.iter().chain(&config.direct_tls).chain(&config.web.listen);
    match listen.find(is_public) {
        Some(address) => Some(address.to_string()),
        None if config.web.is_forwarded_to() => {
            Some("`web.listen` behind `web.trusted_proxies`".to_owned())
        }
        None => None,
    }
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
