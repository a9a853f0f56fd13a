//! RFC 6120, 4.3.2, stream features: what a server offers at each stage, and how a client reads it.

use crate::sasl::{Mechanism, Profile};
use crate::sasl2::{Authentication, Inline};
use crate::scram::downgrade::Offer;
use compact_str::CompactString;
use whoelse_xmpp::{Child, Limits, Stanza, ns, write::Element};

/// Features before TLS: STARTTLS and nothing else, so that nothing can pass in clear text (security
/// row 7).
pub(crate) fn before_tls() -> Vec<u8> {
    let starttls = Element::new("starttls").xmlns(ns::TLS).child(Element::new("required"));
    Element::new("stream:features").child(starttls).finish().to_vec()
}

/// Features before login: mechanisms, their channel bindings (XEP-0440), the same with what can be
/// asked for along with a login (XEP-0388), and registration.
pub(crate) fn before_login(
    mechanisms: &[Mechanism],
    bindings: impl Iterator<Item = &'static str>,
    sasl2: Option<(&[Mechanism], &Inline)>,
    register: bool,
    limits: (&Limits, Option<u32>),
) -> Vec<u8> {
    let mut features = Element::new("stream:features");
    let mut bindings = bindings.peekable();
    if bindings.peek().is_some() {
        let list = Element::new("sasl-channel-binding").xmlns(ns::SASL_CHANNEL_BINDING);
        features = features.child(bindings.fold(list, |list, type_| {
            list.child(Element::new("channel-binding").attr("type", type_))
        }));
    }
    let list = Element::new("mechanisms").xmlns(ns::SASL);
    features = features.child(mechanisms.iter().fold(list, |list, mechanism| {
        list.child(Element::new("mechanism").text(mechanism.name()))
    }));
    if let Some((mechanisms, inline)) = sasl2 {
        features = features.child(Authentication::element(mechanisms, inline));
    }
    if register {
        features = features.child(Element::new("register").xmlns(ns::REGISTER_FEATURE));
    }
    features.child(stream_limits(limits)).finish().to_vec()
}

/// Features after login: binding, the old session request as optional, stream management, and what
/// the features of the server add.
pub(crate) fn before_bind(offers: &[u8], limits: (&Limits, Option<u32>)) -> Vec<u8> {
    let session = Element::new("session").xmlns(ns::SESSION).child(Element::new("optional"));
    Element::new("stream:features")
        .child(Element::new("bind").xmlns(ns::BIND).child(Element::new("required")))
        .child(session)
        .child(Element::new("sm").xmlns(ns::SM))
        .child(stream_limits(limits))
        .raw(offers)
        .finish()
        .to_vec()
}

/// Features of a stream that has a session (XEP-0386): what is left to be negotiated in it.
pub(crate) fn when_bound(offers: &[u8], limits: (&Limits, Option<u32>)) -> Vec<u8> {
    Element::new("stream:features")
        .child(Element::new("sm").xmlns(ns::SM))
        .child(stream_limits(limits))
        .raw(offers)
        .finish()
        .to_vec()
}

/// XEP-0478: the limits of the stream from now on: the largest element, and how long it may be
/// silent.
fn stream_limits((limits, idle): (&Limits, Option<u32>)) -> Element {
    let number = |name, value: String| Element::new(name).text(&value);
    let element = Element::new("limits")
        .xmlns(ns::STREAM_LIMITS)
        .child(number("max-bytes", limits.bytes.to_string()));
    match idle {
        Some(seconds) => element.child(number("idle-seconds", seconds.to_string())),
        None => element,
    }
}

/// A server's features, as far as our client uses them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// STARTTLS.
    pub starttls: bool,
    /// The names of the mechanisms, known to us or not.
    pub mechanisms: Vec<String>,
    /// XEP-0440: the types of channel binding, `None` if the server does not say.
    pub channel_bindings: Option<Vec<String>>,
    /// XEP-0388: a login can say what comes next.
    pub sasl2: Option<Authentication>,
    /// XEP-0077: an account can be registered.
    pub register: bool,
    /// A resource can be bound.
    pub bind: bool,
    /// XEP-0198.
    pub sm: bool,
    /// RFC 6121, 2.6: the server keeps a roster with subscriptions, and versions of it.
    pub roster_versions: bool,
    /// Ours, docs/protocol.md: the server understands the mark of a request that was typed by hand.
    pub activity: bool,
}

impl Features {
    /// Reads `<stream:features/>`.
    pub fn read(features: &Stanza) -> Features {
        let list = |name, namespace, item, read: fn(&Stanza, &Child) -> CompactString| {
            let list = features.child(name, namespace)?;
            let items = features.grandchildren(list).into_iter();
            let wanted = items.filter(|child| child.name() == item && child.ns() == namespace);
            Some(wanted.map(|child| read(features, &child).into()).collect())
        };
        let attribute =
            |stanza: &Stanza, child: &Child| stanza.child_attr(child, "type").unwrap_or_default();
        let mechanisms = list("mechanisms", ns::SASL, "mechanism", Stanza::text_of);
        let channel_bindings =
            list("sasl-channel-binding", ns::SASL_CHANNEL_BINDING, "channel-binding", attribute);
        Features {
            starttls: features.has("starttls", ns::TLS),
            mechanisms: mechanisms.unwrap_or_default(),
            channel_bindings,
            sasl2: Authentication::read(features),
            register: features.has("register", ns::REGISTER_FEATURE),
            bind: features.has("bind", ns::BIND),
            sm: features.has("sm", ns::SM),
            roster_versions: features.has("ver", ns::ROSTER_VERSIONS),
            activity: features.has("activity", ns::WHOELSE_ACTIVITY),
        }
    }

    /// Returns the names of the mechanisms that are offered in a profile.
    pub fn mechanisms_of(&self, profile: Profile) -> &[String] {
        match profile {
            Profile::Rfc6120 => &self.mechanisms,
            Profile::Sasl2 => self.sasl2.as_ref().map_or(&[], |sasl2| &sasl2.mechanisms),
        }
    }

    /// XEP-0474: the text that is compared with the hash that the server signs in a profile.
    pub fn offer(&self, profile: Profile) -> Offer {
        let types = self.channel_bindings.as_deref();
        let types = types.map(|types| types.iter().map(String::as_str));
        Offer::new(self.mechanisms_of(profile).iter().map(String::as_str), types)
    }

    /// Whether a mechanism is offered in a profile.
    pub fn offers(&self, mechanism: Mechanism, profile: Profile) -> bool {
        self.mechanisms_of(profile).iter().any(|name| name == mechanism.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scram::Hash;
    use whoelse_xmpp::{Frame, Scanner};

    const LIMITS: (&Limits, Option<u32>) = (&Limits::AFTER_LOGIN, Some(60));

    fn read(features: &[u8]) -> Features {
        let mut scanner = Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN);
        let mut out = crate::Output::default();
        out.header(&Default::default());
        scanner.push(&out.take());
        scanner.push(features);
        assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
        let Ok(Some(Frame::Element(element))) = scanner.next() else { panic!("no element") };
        Features::read(&element)
    }

    #[test]
    fn before_tls_there_is_starttls_and_nothing_else() {
        let text = String::from_utf8(before_tls()).unwrap();

        assert_eq!(
            text,
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>\
             </starttls></stream:features>"
        );
        assert_eq!(read(&before_tls()), Features { starttls: true, ..Features::default() });
    }

    #[test]
    fn limits_are_said_as_far_as_they_are_known() {
        let text = |limits| String::from_utf8(stream_limits(limits).finish().to_vec()).unwrap();

        assert_eq!(
            text(LIMITS),
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>\
             <idle-seconds>60</idle-seconds></limits>"
        );
        assert_eq!(
            text((&Limits::BEFORE_LOGIN, None)),
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>8192</max-bytes></limits>"
        );
    }

    #[test]
    fn mechanisms_and_bindings_are_read_as_offered() {
        let offered = [Mechanism::Scram { hash: Hash::Sha1, plus: true }, Mechanism::Plain];

        let features =
            read(&before_login(&offered, ["tls-exporter"].into_iter(), None, true, LIMITS));

        assert_eq!(features.mechanisms, ["SCRAM-SHA-1-PLUS", "PLAIN"]);
        assert_eq!(features.channel_bindings, Some(vec!["tls-exporter".to_owned()]));
        assert!(features.register && !features.bind && !features.starttls);
        let older = |mechanism| features.offers(mechanism, Profile::Rfc6120);
        assert!(older(Mechanism::Plain) && !older(Mechanism::External));
    }

    #[test]
    fn without_bindings_and_registration_neither_is_named() {
        let features =
            read(&before_login(&[Mechanism::Plain], [].into_iter(), None, false, LIMITS));

        assert_eq!(features.channel_bindings, None);
        assert!(!features.register);
    }

    #[test]
    fn both_profiles_are_offered_beside_each_other() {
        let offered = [Mechanism::Plain];
        let inline = Inline {
            resume: true,
            bind: Some(vec![ns::SM.to_owned()]),
            fast: vec!["HT-SHA-256-NONE".to_owned()],
        };

        let sasl2 = Some((offered.as_slice(), &inline));
        let features = read(&before_login(&offered, [].into_iter(), sasl2, false, LIMITS));

        for profile in [Profile::Rfc6120, Profile::Sasl2] {
            assert_eq!(features.mechanisms_of(profile), ["PLAIN"]);
        }
        assert_eq!(features.sasl2.unwrap().inline, inline);
    }

    #[test]
    fn a_stream_with_a_session_can_be_bound_no_more() {
        let features = read(&when_bound(b"<csi xmlns='urn:xmpp:csi:0'/>", LIMITS));

        assert!(features.sm && !features.bind && features.mechanisms.is_empty());
    }

    #[test]
    fn after_login_binding_and_counting_are_offered() {
        let features = read(&before_bind(b"<csi xmlns='urn:xmpp:csi:0'/>", LIMITS));

        assert!(features.bind && features.sm && features.mechanisms.is_empty());
        assert!(!features.activity);
    }

    #[test]
    fn the_by_hand_mark_is_understood_where_it_is_offered() {
        let features = read(&before_bind(b"<activity xmlns='urn:whoelse:activity:0'/>", LIMITS));

        assert!(features.activity);
    }
}
