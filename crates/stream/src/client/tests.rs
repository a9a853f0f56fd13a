//! Tests of the connecting machine: they feed a server's text. The tests of both machines together
//! are in `tests/pairs.rs`.

#![allow(clippy::unwrap_used)]

use super::login::{Plain, choose};
use super::*;
use crate::binding::EXPORTER;
use crate::sasl::{Condition, Mechanism, Profile, Refusal};
use crate::scram::client::Binding;
use crate::scram::{Hash, ScramError};
use crate::secret::Password;
use base64::{Engine, engine::general_purpose::STANDARD};
use whoelse_xmpp::StreamCondition;

const HEADER: &str = "<?xml version='1.0'?><stream:stream from='a.example' id='x' version='1.0' \
                      xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
                        </stream:features>";
const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                    <sm xmlns='urn:xmpp:sm:3'/></stream:features>";

fn mechanisms(names: &[&str]) -> String {
    let names: String = names.iter().map(|n| format!("<mechanism>{n}</mechanism>")).collect();
    format!(
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms>\
         </stream:features>"
    )
}

fn sasl(name: &str, data: &str) -> String {
    let data = STANDARD.encode(data);
    format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</{name}>")
}

fn password() -> Password {
    Password::new("pencil").unwrap()
}

fn send(machine: &mut Machine, text: &str) -> Vec<Step> {
    machine.push(text.as_bytes());
    std::iter::from_fn(|| machine.poll()).collect()
}

fn said(machine: &mut Machine) -> String {
    String::from_utf8(machine.take_output()).unwrap()
}

fn started(transport: Transport) -> Machine {
    Machine::new(Config { transport, ..Config::new("a.example") }, None)
}

/// Makes a machine on a trusted stream, with these mechanisms on offer.
fn ready(names: &[&str]) -> Machine {
    let mut machine = started(Transport::Trusted);
    let steps = send(&mut machine, &format!("{HEADER}{}", mechanisms(names)));
    assert!(matches!(steps[..], [Step::Ready(_)]));
    said(&mut machine);
    machine
}

/// Makes a machine that is logged in, with binding on offer.
fn logged_in(config: Config) -> Machine {
    let config = Config { transport: Transport::Trusted, ..config };
    let mut machine = Machine::new(config, None);
    send(&mut machine, &format!("{HEADER}{}", mechanisms(&["EXTERNAL"])));
    machine.login_external(None).unwrap();
    said(&mut machine);
    send(&mut machine, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    machine
}

#[test]
fn a_roster_of_thirty_thousand_is_taken_whole() {
    let mut machine = logged_in(Config::new("a.example"));
    bound(&mut machine);
    let contact =
        |n| format!("<item jid='contact{n}@a.example' name='Contact {n}' subscription='both'/>");
    let contacts: String = (0..30_000).map(contact).collect();
    let roster = format!("<query xmlns='jabber:iq:roster'>{contacts}</query>");
    assert!(roster.len() > 2 << 20);

    let steps = send(&mut machine, &format!("<iq type='result' id='r'>{roster}</iq>"));

    let [Step::Stanza(stanza)] = &steps[..] else { panic!("{} steps", steps.len()) };
    assert_eq!(stanza.children().len(), 1);
}

fn gave_up(steps: &[Step]) -> Option<Reason> {
    match steps {
        [.., Step::GaveUp(reason)] => Some(*reason),
        _ => None,
    }
}

/// Returns the id of the last request.
fn id(said: &str) -> &str {
    said.rsplit("id='").next().unwrap().split('\'').next().unwrap()
}

#[test]
fn the_header_goes_out_at_once() {
    let mut machine = started(Transport::StartTls);

    assert_eq!(
        said(&mut machine),
        "<?xml version='1.0'?><stream:stream to='a.example' xml:lang='en' version='1.0' \
         xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
}

#[test]
fn a_domain_that_is_not_known_is_learnt_from_the_server() {
    let config = Config { transport: Transport::Trusted, ..Config::new("") };
    let mut machine = Machine::new(config, None);
    assert!(!said(&mut machine).contains(" to="));

    send(&mut machine, &format!("{HEADER}{}", mechanisms(&["EXTERNAL"])));
    assert_eq!(machine.domain(), "a.example");

    machine.login_external(None).unwrap();
    send(&mut machine, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert!(said(&mut machine).contains(" to='a.example'"));
}

#[test]
fn tls_is_asked_for_before_anything_else() {
    let mut machine = started(Transport::StartTls);
    said(&mut machine);

    assert!(send(&mut machine, &format!("{HEADER}{STARTTLS}")).is_empty());
    assert_eq!(said(&mut machine), "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    let steps = send(&mut machine, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");

    assert!(matches!(steps[..], [Step::StartTls]));
    assert!(!machine.wants_bytes());
}

#[test]
fn a_server_without_tls_is_left() {
    for features in [mechanisms(&["PLAIN"]), BIND.into(), "<stream:features/>".into()] {
        let mut machine = started(Transport::StartTls);
        let steps = send(&mut machine, &format!("{HEADER}{features}"));
        assert_eq!(gave_up(&steps), Some(Reason::NoTls));
        assert!(said(&mut machine).ends_with("</stream:stream>"));
        assert_eq!(machine.login("bob", password()), Err(Denied::NotReady));
    }
    let mut machine = started(Transport::StartTls);
    send(&mut machine, &format!("{HEADER}{STARTTLS}"));
    let steps = send(&mut machine, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(gave_up(&steps), Some(Reason::NoTls));
}

#[test]
fn what_a_server_says_in_clear_behind_its_consent_is_not_read() {
    let mut machine = started(Transport::StartTls);
    send(&mut machine, &format!("{HEADER}{STARTTLS}"));
    let injected = format!("{HEADER}{}", mechanisms(&["PLAIN"]));

    send(&mut machine, &format!("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{injected}"));
    let steps = send(&mut machine, &injected);
    machine.tls_started(ChannelBindings::default());

    assert!(steps.is_empty() && machine.poll().is_none() && !machine.is_ready());
}

fn offer(names: &[&str], bindings: Option<&[&str]>) -> Features {
    Features {
        mechanisms: names.iter().map(|n| (*n).to_owned()).collect(),
        channel_bindings: bindings.map(|b| b.iter().map(|t| (*t).to_owned()).collect()),
        ..Features::default()
    }
}

/// First the unbound mechanisms.
const ALL: &[&str] = &[
    "PLAIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-512",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512-PLUS",
];

fn channel() -> ChannelBindings {
    ChannelBindings { exporter: Some([7; 32]), server_end_point: Some(vec![8]) }
}

#[test]
fn the_best_mechanism_is_chosen_and_bound() {
    let certificate = ChannelBindings { exporter: None, server_end_point: Some(vec![8]) };
    let exporter = Binding::Bound(EXPORTER, vec![7; 32]);
    let end_point = Binding::Bound("tls-server-end-point", vec![8]);
    let plus = |hash| Mechanism::Scram { hash, plus: true };
    let bare = |hash| Mechanism::Scram { hash, plus: false };
    let both: Option<&[&str]> = Some(&["tls-exporter", "tls-server-end-point"]);

    for (features, channel, expected) in [
        (offer(ALL, both), channel(), (plus(Hash::Sha512), exporter.clone())),
        (offer(ALL, None), channel(), (plus(Hash::Sha512), exporter.clone())),
        (offer(ALL, both), certificate.clone(), (plus(Hash::Sha512), end_point.clone())),
        (
            offer(ALL, Some(&["tls-unique", "tls-server-end-point"])),
            channel(),
            (plus(Hash::Sha512), end_point),
        ),
        // Channel binding counts more than the hash.
        (
            offer(&["SCRAM-SHA-512", "SCRAM-SHA-1-PLUS"], None),
            channel(),
            (plus(Hash::Sha1), exporter),
        ),
        // We support channel binding, the server does not.
        (offer(&ALL[..4], None), channel(), (bare(Hash::Sha512), Binding::NotOffered)),
        (offer(&ALL[..3], None), channel(), (bare(Hash::Sha256), Binding::NotOffered)),
        (offer(&ALL[..2], None), channel(), (bare(Hash::Sha1), Binding::NotOffered)),
        // We do not support channel binding.
        (offer(ALL, both), ChannelBindings::default(), (bare(Hash::Sha512), Binding::None)),
        // There is no type in common: the server must prove its list.
        (offer(ALL, Some(&["tls-unique"])), channel(), (bare(Hash::Sha512), Binding::NoneInCommon)),
    ] {
        assert_eq!(
            choose(&features, Profile::Rfc6120, &channel, Plain::Allowed),
            Ok(expected),
            "{features:?}"
        );
    }
}

#[test]
fn plain_is_only_for_a_trusted_channel_of_a_server_that_never_knew_better() {
    let only_plain = offer(&["PLAIN", "X-UNKNOWN"], None);
    let choose = |features: &Features, plain| choose(features, Profile::Rfc6120, &channel(), plain);

    assert_eq!(choose(&only_plain, Plain::Allowed).unwrap().0, Mechanism::Plain);
    assert_eq!(choose(&only_plain, Plain::Untrusted), Err(Denied::Untrusted));
    assert_eq!(choose(&only_plain, Plain::Pinned), Err(Denied::OnlyPlain));
    for nothing in [offer(&["EXTERNAL"], None), offer(&[], None)] {
        assert_eq!(choose(&nothing, Plain::Allowed), Err(Denied::NoMechanism));
    }
}

#[test]
fn an_offer_somebody_has_weakened_is_refused() {
    // XEP-0440, 3, rule 5; and rule 6 where nobody would sign the list.
    for (names, bindings) in [
        (&ALL[..4], &["tls-exporter"][..]),
        (&ALL[..4], &[]),
        (&["PLAIN", "SCRAM-SHA-1-PLUS"], &["tls-unique"]),
        (&["PLAIN", "SCRAM-SHA-1-PLUS"], &[]),
    ] {
        let features = offer(names, Some(bindings));
        let chosen = choose(&features, Profile::Rfc6120, &channel(), Plain::Allowed);
        assert_eq!(chosen, Err(Denied::Downgrade), "{bindings:?}");
    }
}

#[test]
fn a_success_that_proves_nothing_is_no_success() {
    let mut machine = ready(&["SCRAM-SHA-1"]);
    machine.login("bob", password()).unwrap();

    let steps = send(&mut machine, &sasl("success", "v=AAAA"));

    assert_eq!(gave_up(&steps), Some(Reason::Unproved));
    assert!(!machine.proved_channel());
}

#[test]
fn a_server_that_cannot_prove_itself_is_left() {
    for (verdict, error) in [
        (sasl("success", "v=AAAA"), ScramError::Proof),
        ("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".into(), ScramError::Malformed),
        (sasl("challenge", "v=AAAA"), ScramError::Proof),
        (sasl("success", "e=other-error"), ScramError::Peer),
        (
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>?</success>".into(),
            ScramError::Malformed,
        ),
    ] {
        let mut machine = ready(&["SCRAM-SHA-1"]);
        machine.login("bob", password()).unwrap();
        let first = said(&mut machine);
        let first = STANDARD.decode(first.split(['>', '<']).nth(2).unwrap()).unwrap();
        let nonce = String::from_utf8(first).unwrap().split("r=").nth(1).unwrap().to_owned();
        send(&mut machine, &sasl("challenge", &format!("r={nonce}more,s=QSXCR+Q6sek8bf92,i=4096")));
        assert!(said(&mut machine).starts_with("<response"));

        let steps = send(&mut machine, &verdict);

        assert_eq!(gave_up(&steps), Some(Reason::Scram(error)), "{verdict}");
    }
}

#[test]
fn a_malformed_challenge_ends_the_stream() {
    for (challenge, error) in [
        (sasl("challenge", "r=other,s=QSXCR+Q6sek8bf92,i=4096"), ScramError::Nonce),
        (sasl("challenge", ""), ScramError::Malformed),
        (
            "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>?</challenge>".into(),
            ScramError::Malformed,
        ),
    ] {
        let mut machine = ready(&["SCRAM-SHA-1"]);
        machine.login("bob", password()).unwrap();
        assert_eq!(gave_up(&send(&mut machine, &challenge)), Some(Reason::Scram(error)));
    }
}

#[test]
fn a_refused_login_is_told_and_another_may_be_tried() {
    let mut machine = ready(&["PLAIN"]);
    machine.login("bob", password()).unwrap();
    let refusal = Refusal::new(Condition::AccountDisabled).with_text("blocked for 60 s");

    let steps = send(&mut machine, &String::from_utf8(refusal.encode(Profile::Rfc6120)).unwrap());

    assert!(matches!(&steps[..], [Step::AuthFailed(told)] if *told == refusal));
    assert!(machine.is_ready());
    assert_eq!(machine.login("bob", password()), Ok(()));
    assert_eq!(machine.login("bob", password()), Err(Denied::NotReady));
}

#[test]
fn names_that_can_be_nobodys_are_not_sent() {
    for mechanism in ["SCRAM-SHA-1", "PLAIN"] {
        let mut machine = ready(&[mechanism]);
        for name in ["", "a\0b"] {
            assert_eq!(machine.login(name, password()), Err(Denied::BadName));
        }
        assert_eq!(machine.probe(""), Err(Denied::BadName));
        assert_eq!(said(&mut machine), "");
        assert!(machine.is_ready());
    }
}

#[test]
fn an_account_is_not_made_over_an_untrusted_channel() {
    let mut machine = started(Transport::Tls);
    send(&mut machine, &format!("{HEADER}{}", mechanisms(&["SCRAM-SHA-1"])));
    said(&mut machine);

    assert_eq!(machine.register("bob", &password()), Err(Denied::Untrusted));
    assert_eq!(said(&mut machine), "");

    machine.trust_channel();
    assert_eq!(machine.register("bob", &password()), Ok(()));
    assert!(said(&mut machine).contains("<username>bob</username><password>pencil</password>"));
}

#[test]
fn over_a_certificate_known_by_sight_alone_accounts_are_made_and_no_password_is_told() {
    let mut machine = started(Transport::Tls);
    machine.trust_channel_to_register();
    send(&mut machine, &format!("{HEADER}{}", mechanisms(&["PLAIN"])));
    said(&mut machine);

    assert_eq!(machine.login("bob", password()), Err(Denied::Untrusted));
    assert_eq!(said(&mut machine), "");
    assert_eq!(machine.register("bob", &password()), Ok(()));
    assert!(said(&mut machine).contains("<password>pencil</password>"));

    let mut machine = started(Transport::Tls);
    machine.trust_channel_to_register();
    send(&mut machine, &format!("{HEADER}{}", mechanisms(&["PLAIN", "SCRAM-SHA-1"])));
    said(&mut machine);
    assert_eq!(machine.login("bob", password()), Ok(()));
    assert!(said(&mut machine).contains("mechanism='SCRAM-SHA-1'"));
}

#[test]
fn a_name_is_known_or_free_or_the_server_does_not_say() {
    use whoelse_xmpp::{Condition, StanzaError};
    for (condition, expected) in [
        (Condition::Conflict, Probe::Known),
        (Condition::NotAcceptable, Probe::Free),
        (
            Condition::ServiceUnavailable,
            Probe::Refused(StanzaError::new(Condition::ServiceUnavailable)),
        ),
    ] {
        let mut machine = ready(&["PLAIN"]);
        machine.probe("bob").unwrap();
        let request = said(&mut machine);
        assert!(
            request.ends_with(
                "<query xmlns='jabber:iq:register'><username>bob</username></query></iq>"
            )
        );
        let error = String::from_utf8(StanzaError::new(condition).encode()).unwrap();

        let answer = format!("<iq type='error' id='{}'>{error}</iq>", id(&request));
        let steps = send(&mut machine, &answer);

        assert!(matches!(&steps[..], [Step::Probed(probe)] if *probe == expected), "{steps:?}");
        assert!(machine.is_ready());
    }
}

#[test]
fn what_the_server_was_not_asked_ends_the_stream() {
    for text in ["<presence/>", "<iq type='result' id='1'/>", "<x xmlns='urn:x'/>", BIND] {
        let mut machine = ready(&["PLAIN"]);
        assert_eq!(gave_up(&send(&mut machine, text)), Some(Reason::Unexpected));

        let mut machine = ready(&["PLAIN"]);
        machine.login("bob", password()).unwrap();
        assert_eq!(gave_up(&send(&mut machine, text)), Some(Reason::Unexpected));

        let mut machine = ready(&["PLAIN"]);
        machine.probe("bob").unwrap();
        assert_eq!(gave_up(&send(&mut machine, text)), Some(Reason::Unexpected));

        let mut machine = logged_in(Config::new("a.example"));
        send(&mut machine, &format!("{HEADER}{BIND}"));
        assert_eq!(gave_up(&send(&mut machine, text)), Some(Reason::Unexpected));
    }
}

#[test]
fn without_binding_there_is_no_session() {
    let mut machine = logged_in(Config::new("a.example"));

    let steps = send(&mut machine, &format!("{HEADER}<stream:features/>"));

    assert_eq!(gave_up(&steps), Some(Reason::NoBinding));
}

#[test]
fn an_error_of_the_server_is_told() {
    let mut machine = ready(&["PLAIN"]);

    let steps = send(
        &mut machine,
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>",
    );

    assert!(
        matches!(&steps[..], [Step::Error(e)] if e.condition == StreamCondition::SystemShutdown)
    );
    assert_eq!(said(&mut machine), "</stream:stream>");
    assert!(machine.is_over());
}

#[test]
fn what_is_not_xml_is_told_to_the_server_and_to_us() {
    let mut machine = ready(&["PLAIN"]);

    let steps = send(&mut machine, "<a></b>");

    assert!(
        matches!(&steps[..], [Step::Error(e)] if e.condition == StreamCondition::NotWellFormed)
    );
    assert!(said(&mut machine).contains("<not-well-formed"));
}

#[test]
fn a_server_of_another_version_is_left() {
    let mut machine = started(Transport::StartTls);

    let steps = send(&mut machine, &HEADER.replace("1.0' xmlns", "0.9' xmlns"));

    assert!(
        matches!(&steps[..], [Step::Error(e)] if e.condition == StreamCondition::UnsupportedVersion)
    );
}

fn bound(machine: &mut Machine) -> Vec<Step> {
    send(machine, &format!("{HEADER}{BIND}"));
    let said = said(machine);
    let jid = "<jid>bob@a.example/x</jid>";
    let id = id(&said);
    send(
        machine,
        &format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}</bind></iq>"
        ),
    )
}

#[test]
fn counting_is_optional_for_both_sides() {
    let mut machine = logged_in(Config { want_sm: false, ..Config::new("a.example") });
    let steps = bound(&mut machine);
    assert!(matches!(&steps[..], [Step::Open(Opening::Bound { sm: None, .. })]));

    let mut machine = logged_in(Config::new("a.example"));
    assert!(bound(&mut machine).is_empty());
    assert_eq!(said(&mut machine), "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let steps = send(&mut machine, "<presence/><failed xmlns='urn:xmpp:sm:3'/><presence/>");
    assert!(matches!(
        &steps[..],
        [Step::Stanza(_), Step::Open(Opening::Bound { sm: None, .. }), Step::Stanza(_)]
    ));
}

#[test]
fn what_a_server_wraps_may_be_bigger_and_deeper_than_what_was_sent() {
    let mut machine = logged_in(Config { want_sm: false, ..Config::new("a.example") });
    bound(&mut machine);
    let (open, close) = ("<x xmlns='urn:x'>".repeat(36), "</x>".repeat(36));
    let text = "x".repeat(300 << 10);

    let steps = send(&mut machine, &format!("<message>{open}{text}{close}</message>"));

    assert!(matches!(&steps[..], [Step::Stanza(_)]));
}

#[test]
fn a_session_of_another_id_is_not_resumed() {
    let resume = Some(Resumption { previd: "abc".into(), h: 3 });
    let mut machine = logged_in(Config { resume, ..Config::new("a.example") });
    said(&mut machine);
    send(&mut machine, &format!("{HEADER}{BIND}"));
    assert_eq!(said(&mut machine), "<resume xmlns='urn:xmpp:sm:3' h='3' previd='abc'/>");

    let steps = send(&mut machine, "<resumed xmlns='urn:xmpp:sm:3' previd='abd' h='0'/>");

    assert_eq!(gave_up(&steps), Some(Reason::Unexpected));
}

#[test]
fn a_server_that_has_forgotten_how_to_resume_binds_a_new_session() {
    let resume = Some(Resumption { previd: "abc".into(), h: 3 });
    let mut machine = logged_in(Config { resume, ..Config::new("a.example") });

    let features = BIND.replace("<sm xmlns='urn:xmpp:sm:3'/>", "");
    let steps = send(&mut machine, &format!("{HEADER}{features}"));

    assert!(matches!(&steps[..], [Step::NotResumed { h: None }]));
    assert!(said(&mut machine).contains("<bind "));
}

/// The features of a server that speaks SASL2 alone, with these wishes granted.
fn sasl2_features(inline: &str) -> String {
    format!(
        "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>\
         <inline>{inline}</inline></authentication></stream:features>"
    )
}

const RESUME_INLINE: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const BIND_INLINE: &str = "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/>\
                           </inline></bind>";

/// Logs in by SASL2, to resume `abc` or to bind, and hears this.
fn answered(answer: &str) -> (Machine, Vec<Step>) {
    let config = Config {
        transport: Transport::Tls,
        trust_channel: true,
        resume: Some(Resumption { previd: "abc".into(), h: 3 }),
        sasl2: Some(Sasl2 { bind: Some(Bind::default()), ..Sasl2::default() }),
        ..Config::new("a.example")
    };
    let mut machine = Machine::new(config, None);
    let features = sasl2_features(&format!("{RESUME_INLINE}{BIND_INLINE}"));
    send(&mut machine, &format!("{HEADER}{features}"));
    said(&mut machine);
    machine.login("bob", password()).unwrap();
    assert_eq!(
        said(&mut machine),
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
         <initial-response>AGJvYgBwZW5jaWw=</initial-response><user-agent/>\
         <resume xmlns='urn:xmpp:sm:3' h='3' previd='abc'/><bind xmlns='urn:xmpp:bind:0'>\
         <enable xmlns='urn:xmpp:sm:3' resume='true'/></bind></authenticate>"
    );
    let steps = send(&mut machine, answer);
    (machine, steps)
}

fn success(who: &str, others: &str) -> String {
    format!(
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>{who}\
         </authorization-identifier>{others}</success>"
    )
}

const FULL: &str = "bob@a.example/x";
const NO_SM: &str = "<failed xmlns='urn:xmpp:sm:3' h='7'/>";
const EMPTY: &str = "<stream:features/>";

#[test]
fn what_became_of_the_wishes_of_a_login_is_in_its_success() {
    let bound =
        format!("{NO_SM}<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound>");
    let (_, steps) = answered(&format!("{}{EMPTY}<presence/>", success(FULL, &bound)));
    assert!(matches!(
        &steps[..],
        [
            Step::NotResumed { h: Some(7) },
            Step::Open(Opening::Bound { sm: Some(_), .. }),
            Step::Stanza(_)
        ]
    ));

    let uncounted = format!("{NO_SM}<bound xmlns='urn:xmpp:bind:0'>{NO_SM}</bound>");
    let (_, steps) = answered(&format!("{}{EMPTY}", success(FULL, &uncounted)));
    assert!(matches!(&steps[..], [_, Step::Open(Opening::Bound { sm: None, .. })]));

    // A server that says nothing about the resumption has not resumed.
    let (mut machine, steps) = answered(&format!("{}{BIND}", success("bob@a.example", "")));
    assert!(matches!(&steps[..], [Step::NotResumed { h: None }]));
    assert!(said(&mut machine).contains("<bind "));
}

#[test]
fn a_success_that_is_none_of_what_was_asked_for_ends_the_stream() {
    let other = "<resumed xmlns='urn:xmpp:sm:3' previd='abd' h='0'/>";
    let bound = "<bound xmlns='urn:xmpp:bind:0'/>";
    for answer in [
        success("bob@a.example", other),
        success("bob@a.example", bound),
        format!("{}<presence/>", success(FULL, bound)),
        format!("{}<presence/>", success("bob@a.example", NO_SM)),
        "<continue xmlns='urn:xmpp:sasl:2'/>".to_owned(),
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned(),
    ] {
        let (_, steps) = answered(&answer);
        assert_eq!(gave_up(&steps), Some(Reason::Unexpected), "{answer}");
    }
    let (_, steps) = answered("<success xmlns='urn:xmpp:sasl:2'/>");
    assert_eq!(gave_up(&steps), Some(Reason::Scram(ScramError::Malformed)));
}

#[test]
fn sasl2_is_left_to_whoever_does_not_ask_for_it() {
    let config = Config { transport: Transport::Tls, ..Config::new("a.example") };
    let mut machine = Machine::new(config, None);
    machine.trust_channel();
    send(&mut machine, &format!("{HEADER}{}", sasl2_features("")));

    assert_eq!(machine.login("bob", password()), Err(Denied::NoMechanism));
}

#[test]
fn a_password_is_told_in_neither_profile_where_it_can_be_proved_in_one() {
    let older = mechanisms(&["SCRAM-SHA-1", "PLAIN"]);
    let newer =
        sasl2_features("").replace("<stream:features>", "").replace("</stream:features>", "");
    let both = older.replace("</stream:features>", &format!("{newer}</stream:features>"));
    for (trust_channel, never_plain) in [(true, false), (false, false), (true, true)] {
        let config = Config { transport: Transport::Tls, ..Config::new("a.example") };
        let sasl2 = Some(Sasl2::default());
        let config = Config { sasl2, trust_channel, never_plain, ..config };
        let mut machine = Machine::new(config, None);
        send(&mut machine, &format!("{HEADER}{both}"));
        said(&mut machine);

        machine.login("bob", password()).unwrap();

        let said = said(&mut machine);
        let scram = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>";
        assert!(said.starts_with(scram), "{said}");
    }
}

#[test]
fn a_server_that_does_not_have_the_token_is_left() {
    use crate::ht::{Binding, Token};
    let config = Config { transport: Transport::Tls, ..Config::new("a.example") };
    let config = Config { sasl2: Some(Sasl2::default()), ..config };
    let tokens = "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism></fast>";
    let token = Token::fresh();
    let held = HeldToken { token, mechanism: Mechanism::HashedToken(Binding::Exporter) };
    for proof in ["", "<additional-data>AAAA</additional-data>"] {
        let mut machine = Machine::new(config.clone(), Some(channel()));
        send(&mut machine, &format!("{HEADER}{}", sasl2_features(tokens)));
        machine.login_by_token("bob", &held).unwrap();
        assert!(said(&mut machine).contains("<fast xmlns='urn:xmpp:fast:0'/></authenticate>"));

        let steps = send(&mut machine, &success("bob@a.example", proof));

        assert_eq!(gave_up(&steps), Some(Reason::Unproved), "{proof}");
        assert!(!machine.proved_channel());
    }
}
