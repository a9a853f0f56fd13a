//! What a single word on the command line means, or the sentence that says why it means nothing.

use whoelse_p2p::Relaying;

/// Where a server is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name or an address.
    pub name: String,
    /// The port there.
    pub port: Option<u16>,
}

/// What somebody is in a room (XEP-0045, 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Affiliation {
    None,
    Outcast,
    Member,
    Admin,
    Owner,
}

impl Affiliation {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Affiliation::None => "none",
            Affiliation::Outcast => "outcast",
            Affiliation::Member => "member",
            Affiliation::Admin => "admin",
            Affiliation::Owner => "owner",
        }
    }
}

pub fn port(text: &str) -> Result<u16, String> {
    whole("PORT", text, 0, u16::MAX)
}

/// An address of IPv6 has colons of its own: with a port it stands in brackets.
pub fn host(text: &str) -> Result<Host, String> {
    let brackets = |text: &str| (text.matches('[').count(), text.matches(']').count());
    if !matches!((brackets(text), text.starts_with('[')), ((0, 0), false) | ((1, 1), true)) {
        return Err(format!(
            "an address of IPv6 is --host [ADDRESS] or [ADDRESS]:PORT, not '{text}'"
        ));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    if name.is_empty() {
        return Err(format!("--host needs a name before the port, not '{text}'"));
    }
    let port = port.map(|port| whole("the port of --host", port, 1, u16::MAX)).transpose()?;
    Ok(Host { name: name.to_owned(), port })
}

pub fn device(text: &str) -> Result<String, String> {
    crate::device::check(text).map(str::to_owned)
}

pub fn block_duration(text: &str) -> Result<u32, String> {
    whole("BLOCK_DURATION", text, 1, 86_400)
}

pub fn timeout(text: &str) -> Result<u32, String> {
    whole("TIMEOUT", text, 0, 604_800)
}

pub fn seconds(text: &str) -> Result<u32, String> {
    whole("SECONDS", text, 1, u32::MAX)
}

pub fn number(text: &str) -> Result<u32, String> {
    whole("NUMBER", text, 1, u32::MAX)
}

pub fn relaying(text: &str) -> Result<Relaying, String> {
    Relaying::parse(text).ok_or_else(|| format!("auto, only or never, not '{text}'"))
}

/// A whole number in a range, or the sentence that names the argument and the range.
fn whole<T>(name: &str, text: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    match crate::number::whole(text) {
        Some(number) if least <= number && number <= most => Ok(number),
        _ => Err(format!("{name} must be a whole number from {least} to {most}, not '{text}'")),
    }
}
