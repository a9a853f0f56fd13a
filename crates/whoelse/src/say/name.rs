//! Names of people: the localpart on the own domain, else the whole address.

use whoelse_xmpp::BareJid;

use super::text;

/// Returns a person's name: the localpart for somebody of the own domain, else the whole address.
pub fn of(who: &BareJid, domain: &str) -> String {
    match who.local() {
        Some(local) if who.domain() == domain => text::line(local),
        _ => text::line(who.as_str()),
    }
}

/// Returns whether an address is the server itself and no person.
pub fn is_the_server(who: &BareJid, domain: &str) -> bool {
    who.local().is_none() && who.domain() == domain
}
