//! XEP-0484: logins by a token, and what is offered of them.

use super::*;
use crate::fast::Fast;
use crate::ht::{Token, initiate, is_responder};
use crate::sasl2::{Inline, Success};
use whoelse_xmpp::ns;

const ID: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";
const FAST: &str = "<fast xmlns='urn:xmpp:fast:0'/>";

fn token() -> Token {
    Token::of("secret".to_owned())
}

/// Returns bob's message for a channel of these data.
fn proof(data: &[u8]) -> Vec<u8> {
    initiate("bob", &token(), data)
}

/// Returns an `<authenticate/>` with a message and these children, by a device.
fn by(mechanism: &str, message: &[u8], children: &str) -> String {
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{}\
         </initial-response><user-agent id='{ID}'/>{children}</authenticate>",
        STANDARD.encode(message)
    )
}

fn malformed() -> String {
    SPEAKS.set(Profile::Sasl2);
    failure("malformed-request")
}

/// Returns the step that asks whether a token is right.
fn asked(world: &mut World, text: &str) -> Option<crate::fast::TokenLogin> {
    world.machine.push(text.as_bytes());
    match world.machine.poll() {
        Some(Step::Token(login)) => Some(*login),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn tokens_are_offered_with_the_bindings_that_the_channel_has_and_in_no_other_list() {
    let names = |bindings: &[&str]| {
        let list = bindings.iter().map(|it| format!("<mechanism>HT-SHA-256-{it}</mechanism>"));
        format!("<fast xmlns='urn:xmpp:fast:0'>{}</fast>", list.collect::<String>())
    };
    let over = |channel| {
        let mut world = World::new(config(Transport::Tls), Some(channel));
        world.send(HEADER);
        world.said
    };

    let said = World::tls().said;
    assert!(said.contains(&names(&["EXPR", "ENDP", "NONE"])), "{said}");
    let (lists, _) = said.split_once("<fast").unwrap();
    assert!(!lists.contains("HT-"), "{lists}");
    let old = ChannelBindings { exporter: None, server_end_point: Some(vec![8]) };
    assert!(over(old).contains(&names(&["ENDP", "NONE"])));
    assert!(over(ChannelBindings::default()).contains(&names(&["NONE"])));
    for world in [World::clear(), World::trusted()] {
        assert!(!world.said.contains("fast"));
    }
}

#[test]
fn a_right_token_lets_in_and_the_server_shows_that_it_has_it_too() {
    for (mechanism, data) in
        [("HT-SHA-256-EXPR", &[7; 32][..]), ("HT-SHA-256-ENDP", &[8; 32]), ("HT-SHA-256-NONE", &[])]
    {
        let mut world = World::tls();
        let fast = "<fast xmlns='urn:xmpp:fast:0' count='7' invalidate='true'/>";
        let login = asked(&mut world, &by(mechanism, &proof(data), fast)).unwrap();

        assert_eq!((login.account, login.mechanism.name()), (bob(), mechanism));
        assert_eq!(login.device.to_string(), ID);
        assert_eq!(login.fast, Fast { count: Some(7), invalidate: true });
        assert!(login.proof.is_by(&token()) && !login.proof.is_by(&Token::fresh()));
        world.machine.token_accepted(login.proof.respond(&token()));
        let said = world.settle();
        let (success, rest) = said.split_once("</success>").unwrap();
        let success = Stanza::parse(format!("{success}</success>")).unwrap();
        let success = Success::read(&success).unwrap();
        assert!(is_responder(&success.additional_data.unwrap(), &token(), data));
        assert_eq!(success.authorization_identifier, bob().as_str());
        assert!(rest.starts_with("<stream:features>"), "{rest}");
    }
}

#[test]
fn a_token_is_asked_about_only_where_it_can_be_one() {
    let none = "HT-SHA-256-NONE";
    let without_id = |text: String| text.replace(&format!("<user-agent id='{ID}'/>"), "");
    for (text, condition) in [
        // Nothing says that it is a token's login.
        (by(none, &proof(b""), ""), "invalid-mechanism"),
        (by("HT-SHA-256-UNIQ", &proof(b""), FAST), "invalid-mechanism"),
        (without_id(by(none, &proof(b""), FAST)), "malformed-request"),
        (by(none, b"bob", FAST), "malformed-request"),
        (by(none, b"bob\0short", FAST), "malformed-request"),
        (by(none, &proof(b""), "<fast xmlns='urn:xmpp:fast:0' count='x'/>"), "malformed-request"),
        // Nobody can have this name.
        (by(none, &initiate("b@b", &token(), b""), FAST), "not-authorized"),
        (by("PLAIN", b"\0", FAST), "malformed-request"),
    ] {
        let mut world = World::tls();
        assert!(asked(&mut world, &text).is_none(), "{text}");
        SPEAKS.set(Profile::Sasl2);
        assert_eq!(world.settle(), failure(condition), "{text}");
    }
    let mut world = World::tls();
    let silent = format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{none}'><user-agent id='{ID}'/>{FAST}\
         </authenticate>"
    );
    assert_eq!(world.send(&silent), malformed());
    let old = format!(
        "<auth xmlns='{}' mechanism='{none}'>{}</auth>",
        ns::SASL,
        STANDARD.encode(proof(b""))
    );
    SPEAKS.set(Profile::Rfc6120);
    assert_eq!(world.send(&old), failure("invalid-mechanism"));
}

#[test]
fn a_mechanism_that_was_not_offered_here_is_not_to_be_had() {
    let mut unbound = World::new(config(Transport::Tls), Some(ChannelBindings::default()));
    unbound.send(HEADER);
    let off = Inline { resume: true, ..Inline::default() };
    let off = World::tls_with(Config { sasl2: Some(off), ..config(Transport::Tls) });
    assert!(!off.said.contains("fast"));

    SPEAKS.set(Profile::Sasl2);
    for (mut world, mechanism) in [(unbound, "HT-SHA-256-EXPR"), (off, "HT-SHA-256-NONE")] {
        let said = world.send(&by(mechanism, &proof(&[7; 32]), FAST));
        assert_eq!(said, failure("invalid-mechanism"));
        assert_eq!(world.steps(), Vec::<String>::new());
    }
}

#[test]
fn whoever_opened_the_stream_in_another_name_has_no_use_for_a_token() {
    let mut world = World::new(config(Transport::Tls), Some(channel()));
    world.send(&HEADER.replace("to=", "from='eve@a.example' to="));

    SPEAKS.set(Profile::Sasl2);
    let said = world.send(&by("HT-SHA-256-NONE", &proof(b""), FAST));

    assert_eq!(said, failure("invalid-authzid"));
}

#[test]
fn a_refusal_that_is_not_about_the_token_is_no_failure() {
    let text = by("HT-SHA-256-NONE", &proof(b""), FAST);
    let mut world = World::tls();
    asked(&mut world, &text).unwrap();
    world.machine.failed(&Refusal::new(Sasl::CredentialsExpired));
    SPEAKS.set(Profile::Sasl2);
    assert_eq!(world.settle(), failure("credentials-expired"));

    // The connection may try again.
    asked(&mut world, &text).unwrap();
    world.machine.failed(&Refusal::new(Sasl::TemporaryAuthFailure).and_close());
    let said = world.settle();
    assert!(said.starts_with("<stream:error><policy-violation"), "{said}");
}

#[test]
fn a_token_is_asked_for_along_with_any_login_if_it_was_offered() {
    let wants = |mechanism: &str| {
        format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>")
    };
    for (mechanism, is_offered) in
        [("HT-SHA-256-ENDP", true), ("HT-SHA-256-UNIQ", false), ("PLAIN", false)]
    {
        let mut world = World::tls();
        world.send(&by("PLAIN", b"\0bob\0pencil", &wants(mechanism)));
        assert_eq!(world.steps(), ["lookup bob PLAIN"]);
        let wanted = world.machine.requested_token().map(Mechanism::name);
        assert_eq!(wanted, is_offered.then_some(mechanism));
    }
}
