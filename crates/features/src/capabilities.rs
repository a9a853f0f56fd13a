//! XEP-0115, Entity Capabilities: one hash says what the server can do, or a client, so that whoever
//! has seen the hash before need not ask.
//!
//! The server's own is among its stream features. Those of clients travel in their presence
//! unchanged, and say to the server of which nodes of publish-subscribe they want to hear
//! ([`clients`]). Without this feature nobody does who is not subscribed to a node.

mod answer;
mod clients;
mod known;
mod said;

use whoelse_core::Node;
use whoelse_core::kit::Feature;
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::encode;
use whoelse_xmpp::payload::xmpp_parsers::caps::{Caps, compute_disco, hash_caps};
use whoelse_xmpp::payload::xmpp_parsers::disco::DiscoInfoResult;
use whoelse_xmpp::payload::xmpp_parsers::hashes::Algo;

use crate::discovery;
pub use answer::Wanted;
pub use clients::{wanted, wants};

/// XEP-0115.
pub const FEATURE: Feature = Feature {
    name: "capabilities",
    xeps: &[(115, "1.6.0")],
    disco: &[ns::CAPS],
    wire: |w| {
        w.offer_made(offer);
        clients::wire(w);
    },
    ..Feature::PLAIN
};

/// The URI that identifies this program.
const NODE: &str = env!("CARGO_PKG_REPOSITORY");

fn offer(node: &Node) -> Vec<u8> {
    caps(&discovery::of_node(node)).map(|caps| encode(&caps)).unwrap_or_default()
}

/// Whether a service discovery node is that of our present capabilities (6.2).
pub(crate) fn is_offered(info: &DiscoInfoResult, node: &str) -> bool {
    let Some(asked) = node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#')) else {
        return false;
    };
    info.features.iter().any(|feature| feature == ns::CAPS)
        && caps(info).is_some_and(|caps| encoded(&caps.ver) == asked)
}

/// Computes the hash of XEP-0115, 5.1: SHA-1, which everybody must support (9.1). It identifies and
/// protects nothing.
fn caps(info: &DiscoInfoResult) -> Option<Caps> {
    let hash = hash_caps(&compute_disco(info), Algo::Sha_1).ok()?;
    Some(Caps::new(NODE, hash))
}

/// Returns a hash as it stands in `ver`.
fn encoded(hash: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_core::kit::Wiring;

    fn ver(query: &str) -> String {
        let info: DiscoInfoResult = xso::from_bytes(query.as_bytes()).unwrap();
        encoded(&caps(&info).unwrap().ver)
    }

    #[test]
    fn the_simple_example_of_the_specification_has_its_hash() {
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'>\
            <identity category='client' name='Exodus 0.9.1' type='pc'/>\
            <feature var='http://jabber.org/protocol/disco#info'/>\
            <feature var='http://jabber.org/protocol/muc'/>\
            <feature var='http://jabber.org/protocol/caps'/>\
            <feature var='http://jabber.org/protocol/disco#items'/></query>";

        assert_eq!(ver(query), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    #[test]
    fn the_complex_example_of_the_specification_has_its_hash() {
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'>\
            <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
            <identity xml:lang='el' category='client' name='\u{3a8} 0.11' type='pc'/>\
            <feature var='http://jabber.org/protocol/caps'/>\
            <feature var='http://jabber.org/protocol/disco#info'/>\
            <feature var='http://jabber.org/protocol/disco#items'/>\
            <feature var='http://jabber.org/protocol/muc'/>\
            <x xmlns='jabber:x:data' type='result'>\
            <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
            <field var='ip_version'><value>ipv4</value><value>ipv6</value></field>\
            <field var='os'><value>Mac</value></field>\
            <field var='os_version'><value>10.5.1</value></field>\
            <field var='software'><value>Psi</value></field>\
            <field var='software_version'><value>0.11</value></field></x></query>";

        assert_eq!(ver(query), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    }

    #[test]
    fn another_feature_is_another_hash() {
        let all = discovery::of_server(wired(&[]).disco(), Vec::new());
        let some = discovery::of_server(wired(&["ping"]).disco(), Vec::new());

        assert_ne!(caps(&all).unwrap().ver, caps(&some).unwrap().ver);
    }

    #[test]
    fn only_the_hash_of_now_is_a_node() {
        let info = |off: &[&str]| discovery::of_server(wired(off).disco(), Vec::new());
        let ver = encoded(&caps(&info(&[])).unwrap().ver);

        assert!(is_offered(&info(&[]), &format!("{NODE}#{ver}")));
        for node in [NODE.to_owned(), format!("{NODE}#"), format!("{NODE}#x{ver}"), ver.clone()] {
            assert!(!is_offered(&info(&[]), &node), "{node}");
        }
        assert!(!is_offered(&info(&["capabilities"]), &format!("{NODE}#{ver}")));
    }

    fn wired(off: &[&str]) -> Wiring {
        let off = off.iter().map(|name| (*name).to_owned()).collect();
        Wiring::of(crate::ALL, &off).unwrap()
    }
}
