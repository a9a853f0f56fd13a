//! A domain renamed during a session (docs/protocol.md, `<renamed/>`): addresses change from the
//! old name to the new one, and queued stanzas are readdressed.

use bytes::Bytes;
use whoelse_xmpp::write::escape;
use whoelse_xmpp::{BareJid, Jid, Stanza};

/// Both names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renamed {
    old: String,
    new: String,
}

impl Renamed {
    /// Makes a rename; `None` if the names are the same.
    pub(crate) fn between(old: &str, new: &str) -> Option<Renamed> {
        (old != new).then(|| Renamed { old: old.to_owned(), new: new.to_owned() })
    }

    /// Returns a person's address under the new name; addresses of other domains stay.
    pub(crate) fn person(&self, jid: &BareJid) -> BareJid {
        let renamed =
            (jid.domain() == self.old).then(|| BareJid::new(jid.local(), &self.new).ok()).flatten();
        renamed.unwrap_or_else(|| jid.clone())
    }

    /// Does the same for the address of a device or of the server.
    pub(crate) fn address(&self, jid: &Jid) -> Jid {
        let bare = self.person(&jid.to_bare());
        match jid.resource() {
            Some(resource) => bare.with_resource(resource).map_or_else(|_| jid.clone(), Jid::from),
            None => bare.into(),
        }
    }

    /// Returns whether a payload names somebody by the old name.
    pub(crate) fn is_in(&self, payload: &[u8]) -> bool {
        let called = format!("@{}", self.old);
        payload.windows(called.len()).any(|window| window == called.as_bytes())
    }

    /// Readdresses a stanza of ours.
    pub(crate) fn stanza(&self, bytes: Bytes) -> Bytes {
        let Ok(stanza) = Stanza::parse(bytes.clone()) else { return bytes };
        let Some(to) = stanza.to().and_then(|to| Jid::parse(to).ok()) else { return bytes };
        let (old, new) = (attribute(&to), attribute(&self.address(&to)));
        // We wrote the stanza, so the attribute is in the first tag, in our own format.
        let end = bytes.iter().position(|byte| *byte == b'>').unwrap_or(bytes.len());
        let tag = bytes.get(..end).unwrap_or_default();
        let Some(at) = tag.windows(old.len()).position(|window| window == old) else {
            return bytes;
        };
        let rest = bytes.get(at + old.len()..).unwrap_or_default();
        [tag.get(..at).unwrap_or_default(), &new, rest].concat().into()
    }
}

/// ` to='…'` as it is written.
fn attribute(to: &Jid) -> Vec<u8> {
    let mut written = b" to='".to_vec();
    escape(&mut written, to.as_str());
    written.push(b'\'');
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message;

    fn renamed() -> Renamed {
        Renamed::between("old.example", "new.example").unwrap()
    }

    #[test]
    fn people_of_the_domain_are_called_by_its_new_name_and_others_as_before() {
        let person = |jid: &str| renamed().person(&BareJid::parse(jid).unwrap()).to_string();
        assert_eq!(person("bob@old.example"), "bob@new.example");
        assert_eq!(person("old.example"), "new.example");
        assert_eq!(person("bob@other.example"), "bob@other.example");

        let address = |jid: &str| renamed().address(&Jid::parse(jid).unwrap()).to_string();
        assert_eq!(address("bob@old.example/x'y"), "bob@new.example/x'y");
        assert_eq!(address("old.example"), "new.example");
        assert_eq!(Renamed::between("a.example", "a.example"), None);
    }

    #[test]
    fn a_message_goes_to_the_new_address_and_is_otherwise_as_it_was() {
        for text in ["to='bob@old.example'", "<&> \u{1f600}"] {
            let written = |domain| {
                let to = BareJid::new(Some("bob"), domain).unwrap();
                message::write(&to, "m1", text).bytes
            };

            assert_eq!(renamed().stanza(written("old.example")), written("new.example"));
            assert_eq!(renamed().stanza(written("b.example")), written("b.example"));
        }
        let none = Bytes::from_static(b"<presence/>");
        assert_eq!(renamed().stanza(none.clone()), none);
    }
}
