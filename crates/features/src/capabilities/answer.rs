//! XEP-0115, 5: a client's answer to service discovery: whether it has the hash that the client has
//! named, and of which nodes the client wants to hear (XEP-0163, 4.2).
//!
//! What is believed for others is read in the very text that is hashed. Its parts are not told apart
//! by the hash: a form of service discovery can say what in another answer of the same text is a
//! list of features. So whoever makes another answer of the same text makes one that says the same.

use std::collections::HashSet;
use std::hash::Hash;

use compact_str::CompactString;
use whoelse_xmpp::payload::xmpp_parsers::caps::{compute_disco, hash_caps};
use whoelse_xmpp::payload::xmpp_parsers::disco::DiscoInfoResult;
use whoelse_xmpp::payload::xmpp_parsers::hashes::Algo;
use whoelse_xmpp::{Stanza, ns};

use super::said::Said;

/// The most nodes that a client hears of, the bytes of one name, and those of all of them. Clients
/// want a dozen, with names of forty bytes. What is beyond is left out, by the order of the names.
const NODES: usize = 100;
const LONGEST: usize = 1_023;
const BYTES: usize = 8 << 10;

/// The names of the nodes of which a client wants to hear, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted(Box<[CompactString]>);

impl Wanted {
    /// Whether it wants to hear of nodes of this name.
    pub fn has(&self, node: &str) -> bool {
        self.0.binary_search_by(|name| name.as_str().cmp(node)).is_ok()
    }

    /// Whether it wants to hear of none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(CompactString::as_str)
    }

    /// Reads them in the text that is hashed.
    fn read(text: &[u8]) -> Wanted {
        let name = |part: &[u8]| -> Option<CompactString> {
            let name = str::from_utf8(part).ok()?.strip_suffix("+notify")?;
            (!name.is_empty() && name.len() <= LONGEST).then(|| name.into())
        };
        let mut names: Vec<CompactString> =
            text.split(|byte| *byte == b'<').filter_map(name).collect();
        names.sort_unstable();
        names.dedup();
        let mut bytes = 0;
        let fits = |name: &CompactString| {
            bytes += name.len();
            bytes <= BYTES
        };
        Wanted(names.into_iter().take(NODES).take_while(fits).collect())
    }
}

/// A client's answer.
pub(super) struct Answer {
    /// What is hashed.
    text: Vec<u8>,
    is_well_formed: bool,
}

impl Answer {
    /// Reads the result of a request for service discovery; `None` if it is not one.
    pub fn read(result: &Stanza) -> Option<Answer> {
        let query = result.child("query", ns::DISCO_INFO)?;
        let mut info: DiscoInfoResult = result.payload(query).ok()?;
        let features = result.grandchildren(query);
        let features = features.iter().filter(|child| child.is("feature", ns::DISCO_INFO)).count();
        // 5.4, 3.6: a form without a type is not looked at.
        info.extensions.retain(|form| form.form_type().is_some());
        // 5.4, 3.3 to 3.5. The features are a set by now.
        let is_well_formed = features == info.features.len()
            && differ(&info.identities)
            && differ(info.extensions.iter().map(|form| form.form_type()));
        // 5.1, 7: by the names of their fields.
        for form in &mut info.extensions {
            form.fields.sort_by(|one, other| one.var.cmp(&other.var));
        }
        Some(Answer { text: compute_disco(&info), is_well_formed })
    }

    /// Whether it has the hash that its client has named, by a function that is known.
    pub fn proves(&self, said: &Said) -> bool {
        let algorithm = said.hash.as_ref().and_then(|hash| hash.parse::<Algo>().ok());
        let hash = algorithm.and_then(|algorithm| hash_caps(&self.text, algorithm).ok());
        self.is_well_formed && hash.is_some_and(|hash| super::encoded(&hash.hash) == said.ver)
    }

    /// Of which nodes its client wants to hear.
    pub fn wanted(&self) -> Wanted {
        Wanted::read(&self.text)
    }
}

fn differ<T: Eq + Hash>(all: impl IntoIterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    all.into_iter().all(|one| seen.insert(one))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// An answer with these children.
    fn answer(children: &str) -> Option<Answer> {
        let query = format!("<query xmlns='{}'>{children}</query>", ns::DISCO_INFO);
        Answer::read(&Stanza::parse(format!("<iq type='result' id='1'>{query}</iq>")).unwrap())
    }

    fn said(hash: Option<&str>, ver: &str) -> Said {
        Said { hash: hash.map(Into::into), node: "urn:x".into(), ver: ver.into() }
    }

    /// Whether an answer is believed to have this hash.
    fn proves(children: &str, ver: &str) -> bool {
        answer(children).is_some_and(|answer| answer.proves(&said(Some("sha-1"), ver)))
    }

    fn wanted(children: &str) -> Vec<String> {
        answer(children).unwrap().wanted().names().map(str::to_owned).collect()
    }

    const SIMPLE: &str = "<identity category='client' name='Exodus 0.9.1' type='pc'/>\
        <feature var='http://jabber.org/protocol/disco#info'/>\
        <feature var='http://jabber.org/protocol/disco#items'/>\
        <feature var='http://jabber.org/protocol/muc'/>\
        <feature var='http://jabber.org/protocol/caps'/>";
    const SIMPLE_VER: &str = "QgayPKawpkPSDYmwT/WM94uAlu0=";

    const PSI: &str = "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
        <identity xml:lang='el' category='client' name='\u{3a8} 0.11' type='pc'/>\
        <feature var='http://jabber.org/protocol/caps'/>\
        <feature var='http://jabber.org/protocol/disco#info'/>\
        <feature var='http://jabber.org/protocol/disco#items'/>\
        <feature var='http://jabber.org/protocol/muc'/>";
    /// The fields in another order than that of their names.
    const PSI_FORM: &str = "<x xmlns='jabber:x:data' type='result'>\
        <field var='software'><value>Psi</value></field>\
        <field var='os'><value>Mac</value></field>\
        <field var='os_version'><value>10.5.1</value></field>\
        <field var='ip_version'><value>ipv6</value><value>ipv4</value></field>\
        <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
        <field var='software_version'><value>0.11</value></field></x>";
    const PSI_VER: &str = "q07IKJEyjvHSyhy//CH0CxmKi8w=";

    #[test]
    fn the_examples_of_the_specification_have_their_hashes() {
        assert!(proves(SIMPLE, SIMPLE_VER));
        assert!(proves(&format!("{PSI}{PSI_FORM}"), PSI_VER));
        assert!(!proves(SIMPLE, PSI_VER) && !proves(PSI, PSI_VER));
    }

    #[test]
    fn an_answer_proves_a_hash_of_a_known_function_alone() {
        let answer = answer(SIMPLE).unwrap();
        let by = |hash: &str| {
            let hash = hash_caps(&answer.text, hash.parse().unwrap()).unwrap();
            super::super::encoded(&hash.hash)
        };

        assert!(answer.proves(&said(Some("sha-256"), &by("sha-256"))));
        for hash in [None, Some(""), Some("md5"), Some("SHA-1"), Some("sha-256")] {
            assert!(!answer.proves(&said(hash, SIMPLE_VER)), "{hash:?}");
        }
    }

    // 5.4, 3.3 to 3.5.
    #[test]
    fn what_says_something_twice_is_not_believed_whatever_its_hash() {
        let identity = "<identity category='client' name='Exodus 0.9.1' type='pc'/>";
        let feature = "<feature var='http://jabber.org/protocol/muc'/>";
        let form = "<x xmlns='jabber:x:data' type='result'>\
            <field var='FORM_TYPE' type='hidden'><value>urn:x</value></field></x>";
        for (once, more) in
            [(SIMPLE, identity), (SIMPLE, feature), (&*format!("{SIMPLE}{form}"), form)]
        {
            let (once, twice) = (answer(once).unwrap(), answer(&format!("{once}{more}")).unwrap());
            let ver = |of: &Answer| {
                super::super::encoded(&hash_caps(&of.text, Algo::Sha_1).unwrap().hash)
            };
            assert!(once.proves(&said(Some("sha-1"), &ver(&once))), "{more}");
            assert!(!twice.proves(&said(Some("sha-1"), &ver(&twice))), "{more}");
        }
        let types = "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>\
            <value>urn:x</value><value>urn:y</value></field></x>";
        assert!(answer(&format!("{SIMPLE}{types}")).is_none());
    }

    // 5.4, 3.6.
    #[test]
    fn a_form_without_a_type_does_not_count() {
        let untyped = "<x xmlns='jabber:x:data' type='result'><field var='os'><value>Mac</value>\
            </field></x>";
        let shown = "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'>\
            <value>urn:x</value></field></x>";

        assert!(proves(&format!("{SIMPLE}{untyped}{shown}"), SIMPLE_VER));
    }

    #[test]
    fn a_client_wants_to_hear_of_the_nodes_that_it_names_with_notify() {
        let features = "<identity category='client' type='phone'/>\
            <feature var='urn:xmpp:avatar:metadata+notify'/>\
            <feature var='urn:xmpp:avatar:metadata'/>\
            <feature var='eu.siacs.conversations.axolotl.devicelist+notify'/>\
            <feature var='+notify'/>";

        let names = wanted(features);

        let both = ["eu.siacs.conversations.axolotl.devicelist", "urn:xmpp:avatar:metadata"];
        assert_eq!(names, both);
        let wanted = answer(features).unwrap().wanted();
        assert!(both.iter().all(|name| wanted.has(name)));
        assert!(!wanted.has("urn:xmpp:avatar") && !wanted.has("") && !Wanted::default().has("x"));
        assert_eq!(super::tests::wanted(SIMPLE), [""; 0]);
    }

    /// The last features in the order of the hash look like a form in it, and the first like an
    /// identity.
    #[test]
    fn two_answers_of_the_same_text_want_the_same() {
        let real = "<identity category='client' name='Psi' type='pc'/>\
            <feature var='http://jabber.org/protocol/mood+notify'/>\
            <feature var='urn:a+notify'/><feature var='urn:b+notify'/><feature var='urn:c'/>";
        let forged = "<identity category='client' name='Psi' type='pc'/>\
            <identity category='http:' type='' xml:lang='jabber.org' name='protocol/mood+notify'/>\
            <x xmlns='jabber:x:data' type='result'>\
            <field var='FORM_TYPE' type='hidden'><value>urn:a+notify</value></field>\
            <field var='urn:b+notify'><value>urn:c</value></field></x>";
        let joined = "<identity category='client' name='Psi' type='pc'/>\
            <feature var='http://jabber.org/protocol/mood+notify&lt;urn:a+notify&lt;urn:b+notify'/>\
            <feature var='urn:c'/>";

        let real = answer(real).unwrap();
        for other in [forged, joined].into_iter().filter_map(answer) {
            assert_eq!(other.text, real.text);
            assert_eq!(other.wanted(), real.wanted());
        }
        assert_eq!(real.wanted().names().count(), 3);
    }

    #[test]
    fn more_nodes_than_a_client_wants_are_left_out() {
        let notify = |name: String| format!("<feature var='{name}+notify'/>");
        let many: String = (0..200).map(|n| notify(format!("urn:{n:03}"))).collect();
        let long: String =
            (0..50).map(|n| notify(format!("urn:{n:03}:{}", "x".repeat(240)))).collect();
        let too_long = notify("x".repeat(LONGEST + 1)) + &notify("x".repeat(LONGEST));

        assert_eq!(wanted(&many).len(), NODES);
        assert_eq!(wanted(&many).last().unwrap(), "urn:099");
        assert_eq!(wanted(&long).len(), BYTES / 248);
        assert_eq!(wanted(&too_long).len(), 1);
    }

    #[test]
    fn what_is_no_answer_to_service_discovery_is_none() {
        for xml in [
            "<iq type='result' id='1'/>",
            "<iq type='result' id='1'><query xmlns='jabber:iq:version'/></iq>",
        ] {
            assert!(Answer::read(&Stanza::parse(xml).unwrap()).is_none(), "{xml}");
        }
    }
}
