//! The login of an actor, as a scene writes it.

use std::net::IpAddr;

use super::Way;
use super::words::Words;

/// The default password of every account.
pub const PASSWORD: &str = "pencil";

/// Who logs in, and how.
#[derive(Debug, Clone)]
pub struct Login {
    /// The account's name, if not the actor's.
    pub account: Option<String>,
    /// The resource to ask for, if not the actor's or `desk`.
    pub resource: Option<String>,
    /// The password.
    pub password: String,
    /// Where the connection comes from.
    pub from: Option<IpAddr>,
    /// The way to connect.
    pub way: Way,
    /// Whether stream management with resumption is enabled.
    pub managed: bool,
    /// Whether the session is bound along with the login (XEP-0386).
    pub inline: bool,
}

/// How far a login goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Until authentication succeeds; nothing is bound.
    Authenticated,
    /// Until the session is open.
    Open,
    /// Until presence with this priority has been sent; what arrives meanwhile stays in the inbox.
    Available(Option<i8>),
}

/// How a login is refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The name of the condition.
    pub condition: String,
    /// The text, if it matters.
    pub text: Option<String>,
}

impl Login {
    /// Returns the usual login.
    pub fn usual() -> Login {
        Login {
            account: None,
            resource: None,
            password: PASSWORD.to_owned(),
            from: None,
            way: Way::Encrypted,
            managed: false,
            inline: false,
        }
    }

    /// Reads the parts of a login in any order, and the priority among them.
    pub(super) fn read(words: &mut Words<'_>) -> Result<(Login, Option<i8>), String> {
        let mut login = Login::usual();
        let mut priority = None;
        while !words.is_empty() && !words.0.starts_with(':') {
            if words.take("as") {
                let name = words.word().ok_or("`as` whom?")?;
                let (account, resource) = match name.split_once('/') {
                    Some((account, resource)) => (account, Some(resource.to_owned())),
                    None => (name, None),
                };
                (login.account, login.resource) = (Some(account.to_owned()), resource);
            } else if words.take("with password") {
                login.password = words.quoted().ok_or("a password stands in quotes")?.to_owned();
            } else if words.take("with stream management") {
                login.managed = true;
            } else if words.take("with Bind 2") {
                login.inline = true;
            } else if words.take("over the admin socket") {
                login.way = Way::Admin;
            } else if words.take("with direct TLS where STARTTLS is offered") {
                login.way = Way::DirectAtStartTls;
            } else if words.take("with direct TLS") {
                login.way = Way::Direct;
            } else if words.take("over BOSH") {
                login.way = Way::Bosh;
            } else if words.take("over a WebSocket") {
                login.way = Way::WebSocket;
            } else if words.take("from") {
                login.from = Some(address(words)?);
            } else if words.take("at") {
                priority = Some(words.number().ok_or("`at` which priority?")?);
            } else {
                return Err(format!("what is `{}`?", words.0));
            }
        }
        Ok((login, priority))
    }
}

impl Refused {
    pub(super) fn read(words: &mut Words<'_>) -> Result<Refused, String> {
        if !words.colon() {
            return Err("a colon and the condition are missing".to_owned());
        }
        let condition = words.word().ok_or("the condition is missing")?.to_owned();
        Ok(Refused { condition, text: words.quoted().map(str::to_owned) })
    }
}

/// Reads an address; IPv6 ones are in brackets.
pub(super) fn address(words: &mut Words<'_>) -> Result<IpAddr, String> {
    let v6 = words.0.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let text = match v6 {
        Some((address, rest)) => {
            words.0 = rest.trim_start_matches(',').trim_start();
            address
        }
        None => words.word().unwrap_or_default(),
    };
    text.parse().map_err(|_| format!("`{text}` is no address"))
}
