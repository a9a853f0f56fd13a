//! Addresses as keys: a stored key names an own domain by its number, never by its text.
//!
//! `bob@localhost` is stored as `bob@#1` while `localhost` is the domain with the number 1, a room's
//! `lunch@conference.localhost` as `lunch@conference.#1`, and a stranger's `eve@far.example` as it is.
//! So an own domain can be renamed by changing one row. A domain cannot contain `#`, so no address
//! looks like the key of another.

use crate::Domain;

/// Returns the key of an address, which may have a resource; both are in their normal form.
/// `services` are the labels that services have before an own domain
/// ([`Tx::name_services`](crate::Tx::name_services)).
#[must_use]
pub fn to_key(jid: &str, own: &[Domain], services: &[String]) -> String {
    let parts = Parts::of(jid);
    let number = |name: &str| own.iter().find(|domain| domain.name == name).map(|own| own.id);
    if let Some(number) = number(parts.domain) {
        return parts.with_domain(&format!("#{number}"));
    }
    let at_service = parts.domain.split_once('.').and_then(|(label, domain)| {
        let label = services.iter().find(|service| *service == label)?;
        Some(format!("{label}.#{}", number(domain)?))
    });
    at_service.map_or_else(|| jid.to_owned(), |domain| parts.with_domain(&domain))
}

/// Returns the address of a key, or `None` if the key names an own domain that does not exist.
#[must_use]
pub fn from_key(key: &str, own: &[Domain]) -> Option<String> {
    let parts = Parts::of(key);
    let Some((service, number)) = parts.domain.split_once('#') else {
        return Some(key.to_owned());
    };
    let id: i64 = number.parse().ok()?;
    let domain = own.iter().find(|domain| domain.id == id)?;
    Some(parts.with_domain(&format!("{service}{}", domain.name)))
}

/// A domain that has become an own one, or has got services: keys name it, or them, by their text.
pub(crate) struct Adopted<'a> {
    pub domain: &'a Domain,
    pub services: &'a [String],
}

impl Adopted<'_> {
    /// Returns what such a key becomes; `None` of any other.
    pub fn key(&self, stored: &str) -> Option<String> {
        let key = to_key(stored, std::slice::from_ref(self.domain), self.services);
        (key != stored).then_some(key)
    }
}

/// An address taken apart; `before` ends with the `@`, `after` begins with the `/`.
struct Parts<'a> {
    before: &'a str,
    domain: &'a str,
    after: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits off the resource first: it may contain an `@`, while the rest may contain only one
    /// (RFC 7622, 3.2).
    fn of(jid: &'a str) -> Self {
        let (bare, after) = jid.split_at(jid.find('/').unwrap_or(jid.len()));
        let (before, domain) = bare.split_at(bare.find('@').map_or(0, |at| at + 1));
        Self { before, domain, after }
    }

    fn with_domain(&self, domain: &str) -> String {
        format!("{}{domain}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<Domain> {
        vec![
            Domain { id: 1, name: "localhost".into() },
            Domain { id: 12, name: "a.example".into() },
        ]
    }

    fn services() -> Vec<String> {
        vec!["rooms".into()]
    }

    #[test]
    fn an_own_domain_is_a_number_in_a_key() {
        for (jid, key) in [
            ("bob@localhost", "bob@#1"),
            ("localhost", "#1"),
            ("bob@a.example/desk", "bob@#12/desk"),
            ("a.example/x@localhost/y", "#12/x@localhost/y"),
        ] {
            assert_eq!(to_key(jid, &own(), &services()), key);
            assert_eq!(from_key(key, &own()).as_deref(), Some(jid));
        }
    }

    #[test]
    fn the_own_domain_of_a_service_is_a_number_in_a_key_too() {
        for (jid, key) in [
            ("lunch@rooms.localhost", "lunch@rooms.#1"),
            ("rooms.localhost", "rooms.#1"),
            ("lunch@rooms.a.example/bob@rooms.a.example", "lunch@rooms.#12/bob@rooms.a.example"),
        ] {
            assert_eq!(to_key(jid, &own(), &services()), key);
            assert_eq!(from_key(key, &own()).as_deref(), Some(jid));
        }
    }

    #[test]
    fn a_strange_domain_stays_as_it_is() {
        for jid in [
            "eve@far.example",
            "localhost.example",
            "localhost@far.example/a.example",
            "",
            "eve@other.localhost",
            "eve@rooms.far.example",
            "eve@x.rooms.localhost",
            "rooms@far.example",
        ] {
            assert_eq!(to_key(jid, &own(), &services()), jid);
            assert_eq!(from_key(jid, &own()).as_deref(), Some(jid));
        }
    }

    #[test]
    fn a_key_of_a_domain_that_is_not_there_has_no_address() {
        for key in ["bob@#3", "#", "bob@#x", "#99999999999999999999", "lunch@rooms.#3"] {
            assert_eq!(from_key(key, &own()), None);
        }
    }
}
