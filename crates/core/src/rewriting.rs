//! How a stanza is rewritten on its way (architecture §4): once, in one copy, for its purpose.

use whoelse_xmpp::write::{Rewrite, escape, rewrite};
use whoelse_xmpp::{Class, Kind, Outgoing, Stanza};

/// Rewrites for the log: without `from`, which is stored beside it and added when it is read.
pub(crate) fn for_log(
    stanza: &Stanza,
    lang: Option<&str>,
    to: Option<&str>,
    strip: &[usize],
) -> Outgoing {
    rewrite(stanza, &Rewrite { lang, to, drop: strip, ..Rewrite::default() }, Class::Kept(0))
}

/// Rewrites a subscription presence, without addresses: it goes from account to account, and may be
/// stored.
pub(crate) fn for_roster(stanza: &Stanza, lang: Option<&str>, strip: &[usize]) -> Outgoing {
    let how = Rewrite { lang, drop: strip, drop_to: true, ..Rewrite::default() };
    rewrite(stanza, &how, Class::Presence)
}

/// Rewrites for the recipient, now.
pub(crate) fn for_recipient(
    stanza: &Stanza,
    from: &str,
    lang: Option<&str>,
    to: Option<&str>,
    strip: &[usize],
    class: Class,
) -> Outgoing {
    rewrite(stanza, &Rewrite { from, lang, to, drop: strip, ..Rewrite::default() }, class)
}

/// Returns the class by which a queue treats a passing stanza.
pub(crate) fn class(stanza: &Stanza) -> Class {
    match (stanza.kind(), stanza.type_()) {
        (Kind::Message, Some("groupchat")) => Class::Groupchat,
        (Kind::Message, _) => Class::Message,
        (Kind::Presence, _) => Class::Presence,
        (Kind::Iq, Some("get" | "set")) => Class::IqRequest,
        (Kind::Iq, _) => Class::IqAnswer,
        (Kind::Other, _) => Class::Nonza,
    }
}

/// Returns an attribute with an address or other text, as in a start tag: ` to='bob@host'`.
pub(crate) fn attribute(name: &str, value: &str) -> Vec<u8> {
    let mut written = Vec::with_capacity(name.len() + value.len() + 4);
    written.push(b' ');
    written.extend_from_slice(name.as_bytes());
    written.extend_from_slice(b"='");
    escape(&mut written, value);
    written.push(b'\'');
    written
}

/// An address from its bare form and a resource, which may be empty.
pub fn full(bare: &str, resource: &str) -> String {
    match resource {
        "" => bare.to_owned(),
        resource => format!("{bare}/{resource}"),
    }
}
