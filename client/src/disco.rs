//! XEP-0030 and XEP-0115 for a client: what this client can do, and the short name for it that
//! stands in its presence.
//!
//! Of others nothing is kept: a cache of their capabilities would be one more thing to poison
//! (security.md, row 30), and nothing here asks what they can do.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Stanza, ns};

/// Which software this is, as an address that stays.
const NODE: &str = "https://github.com/whoelse/whoelse";

/// Category, type and name.
const IDENTITY: (&str, &str, &str) = ("client", "console", "whoelse");

/// In the order of their bytes, as the hash wants them.
const FEATURES: [&str; 4] = [ns::CAPS, ns::DISCO_INFO, ns::VERSION, ns::PING];

/// XEP-0115, 5.1: the hash over what [`info`] tells. SHA-1 is what the specification has; nothing
/// is trusted because of it.
static VERIFICATION: LazyLock<String> = LazyLock::new(|| {
    let (category, type_, name) = IDENTITY;
    let mut text = format!("{category}/{type_}//{name}<");
    for feature in FEATURES {
        text.push_str(feature);
        text.push('<');
    }
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
});

/// What stands in the presence of this client.
pub(crate) fn capabilities() -> Element {
    Element::new("c")
        .xmlns(ns::CAPS)
        .attr("hash", "sha-1")
        .attr("node", NODE)
        .attr("ver", &VERIFICATION)
}

/// The answer to a question about this client; `None` if it is about a part that it does not have.
pub(crate) fn info(asked: &Stanza) -> Option<Element> {
    let query = asked.child("query", ns::DISCO_INFO)?;
    let node = asked.child_attr(query, "node");
    let (category, type_, name) = IDENTITY;
    let known = node.as_deref().is_none_or(|node| {
        node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#')) == Some(&VERIFICATION)
    });
    let identity =
        Element::new("identity").attr("category", category).attr("type", type_).attr("name", name);
    let answer = Element::new("query")
        .xmlns(ns::DISCO_INFO)
        .attr_opt("node", node.as_deref())
        .child(identity);
    known.then(|| {
        let feature = |var| Element::new("feature").attr("var", var);
        FEATURES.into_iter().fold(answer, |answer, var| answer.child(feature(var)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(node: &str) -> Option<Stanza> {
        let xml = format!("<iq type='get' id='q'><query xmlns='{}' {node}/></iq>", ns::DISCO_INFO);
        let asked = Stanza::parse(xml.into_bytes()).unwrap();
        info(&asked).map(|element| Stanza::parse(element.finish()).unwrap())
    }

    #[test]
    fn the_features_are_in_the_order_in_which_they_are_hashed() {
        let mut sorted = FEATURES;
        sorted.sort_unstable();
        assert_eq!(sorted, FEATURES);
    }

    // XEP-0115, 5.2: the specification's own example, hashed the same way.
    #[test]
    fn the_hash_is_that_of_the_specification() {
        let text = "client/pc//Exodus 0.9.1<http://jabber.org/protocol/caps<\
                    http://jabber.org/protocol/disco#info<http://jabber.org/protocol/disco#items<\
                    http://jabber.org/protocol/muc<";
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());

        assert_eq!(STANDARD.encode(hash), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    #[test]
    fn what_is_asked_by_its_short_name_is_told_under_that_name() {
        let c = Stanza::parse(capabilities().finish()).unwrap();
        let node = format!("{NODE}#{}", c.attr("ver").unwrap());

        let answer = asked(&format!("node='{node}'")).unwrap();

        assert_eq!(answer.attr("node").as_deref(), Some(node.as_str()));
        let features = answer.children().iter().filter(|child| child.name() == "feature");
        assert_eq!(features.count(), FEATURES.len());
        assert!(asked("").is_some());
        assert!(asked("node='https://somebody.example#else'").is_none());
        assert!(asked(&format!("node='{NODE}#else'")).is_none());
    }
}
