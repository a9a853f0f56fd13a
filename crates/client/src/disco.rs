//! XEP-0030 and XEP-0115 for a client: its features, and their hash in its presence.
//!
//! Nothing is cached about other clients, since such a cache could be poisoned (security.md, row
//! 30). To learn a device's features, ask it.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{FullJid, Jid, Stanza, ns};

use crate::client::Client;
use crate::error::RequestError;
use crate::nested;
use crate::request::Request;

/// A stable address that identifies this software.
const NODE: &str = "https://github.com/whoelse/whoelse";

/// Category, type and name.
const IDENTITY: (&str, &str, &str) = ("client", "console", "whoelse");

/// Features of every client of this library.
const FEATURES: [&str; 4] = [ns::CAPS, ns::DISCO_INFO, ns::VERSION, ns::PING];

/// The features of this client.
#[derive(Debug, Clone)]
pub(crate) struct Capabilities {
    /// Sorted by their bytes, as the hash requires.
    features: Vec<&'static str>,
    /// XEP-0115, 5.1: the hash over what [`Capabilities::info`] returns. The specification uses
    /// SHA-1; nothing relies on it for security.
    verification: String,
}

impl Capabilities {
    /// Adds the namespaces of the listeners beside the session.
    pub(crate) fn new(listeners: impl IntoIterator<Item = &'static str>) -> Capabilities {
        let mut features: Vec<&'static str> = FEATURES.into_iter().chain(listeners).collect();
        features.sort_unstable();
        let (category, type_, name) = IDENTITY;
        let mut text = format!("{category}/{type_}//{name}<");
        for feature in &features {
            text.push_str(feature);
            text.push('<');
        }
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Capabilities { features, verification: STANDARD.encode(hash) }
    }

    /// Returns the element for this client's presence.
    pub(crate) fn element(&self) -> Element {
        Element::new("c")
            .xmlns(ns::CAPS)
            .attr("hash", "sha-1")
            .attr("node", NODE)
            .attr("ver", &self.verification)
    }

    /// Answers a disco#info request; `None` if it is about a node that this client does not have.
    pub(crate) fn info(&self, asked: &Stanza) -> Option<Element> {
        let query = asked.child("query", ns::DISCO_INFO)?;
        let node = asked.child_attr(query, "node");
        let (category, type_, name) = IDENTITY;
        let known = node.as_deref().is_none_or(|node| {
            node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#'))
                == Some(&self.verification)
        });
        let identity = Element::new("identity")
            .attr("category", category)
            .attr("type", type_)
            .attr("name", name);
        let answer = Element::new("query")
            .xmlns(ns::DISCO_INFO)
            .attr_opt("node", node.as_deref())
            .child(identity);
        known.then(|| {
            let feature = |var| Element::new("feature").attr("var", var);
            self.features.iter().fold(answer, |answer, var| answer.child(feature(var)))
        })
    }
}

/// Asks a device for its features, on the program's own behalf.
pub async fn ask(client: &Client, device: &FullJid) -> Result<Vec<String>, RequestError> {
    let question = Request::get(Element::new("query").xmlns(ns::DISCO_INFO)).by_itself();
    let answer = client.request(question.to(Jid::from(device.clone()))).await?;
    let info = nested::find(&answer.iq, "query", ns::DISCO_INFO).ok_or(RequestError::Unreadable)?;
    let features = nested::each(&info, "feature");
    Ok(features.filter_map(|it| it.attr("var")).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(node: &str) -> Option<Stanza> {
        let xml = format!("<iq type='get' id='q'><query xmlns='{}' {node}/></iq>", ns::DISCO_INFO);
        let asked = Stanza::parse(xml.into_bytes()).unwrap();
        able().info(&asked).map(|element| Stanza::parse(element.finish()).unwrap())
    }

    fn able() -> Capabilities {
        Capabilities::new(["urn:a:1", "urn:z:0"])
    }

    #[test]
    fn what_a_listener_can_do_changes_the_hash_and_stands_in_its_place() {
        let able = able();

        assert_ne!(able.verification, Capabilities::new([]).verification);
        assert_eq!(able.verification, Capabilities::new(["urn:z:0", "urn:a:1"]).verification);
        assert!(able.features.is_sorted());
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
        let c = Stanza::parse(able().element().finish()).unwrap();
        let node = format!("{NODE}#{}", c.attr("ver").unwrap());

        let answer = asked(&format!("node='{node}'")).unwrap();

        assert_eq!(answer.attr("node").as_deref(), Some(node.as_str()));
        let features = answer.children().iter().filter(|child| child.name() == "feature");
        assert_eq!(features.count(), FEATURES.len() + 2);
        assert!(asked("").is_some());
        assert!(asked("node='https://somebody.example#else'").is_none());
        assert!(asked(&format!("node='{NODE}#else'")).is_none());
    }
}
