//! XEP-0077 before login.

use super::*;

fn open() -> World {
    World::tls_with(Config { registration: Registration::Open, ..config(Transport::Tls) })
}

fn set(fields: &str) -> String {
    format!("<iq type='set' id='r1'><query xmlns='jabber:iq:register'>{fields}</query></iq>")
}

const GET: &str = "<iq type='get' id='r0' to='a.example'><query xmlns='jabber:iq:register'/></iq>";

fn error(said: &str) -> String {
    let parts = said.split("<error type='").nth(1).unwrap_or_else(|| panic!("{said}"));
    let (type_, rest) = parts.split_once("'><").unwrap();
    format!("{type_} {}", rest.split([' ', '/']).next().unwrap())
}

#[test]
fn it_is_offered_when_it_is_open() {
    let feature = "<register xmlns='http://jabber.org/features/iq-register'/>";

    assert!(open().said.contains(feature));
    assert!(!World::tls().said.contains(feature));
}

#[test]
fn the_fields_are_told() {
    let mut world = open();
    world.send(GET);
    assert_eq!(world.steps(), ["fields"]);

    world.machine.registered(Ok(RegisterAnswer::Fields { instructions: "Choose & type.".into() }));

    assert_eq!(
        world.settle(),
        "<iq type='result' id='r0'><query xmlns='jabber:iq:register'><instructions>Choose &amp; type.\
         </instructions><username/><password/></query></iq>"
    );
}

#[test]
fn a_name_alone_is_a_question() {
    for fields in ["<username>Bob</username>", "<username>bob</username><password/>"] {
        for condition in [Condition::Conflict, Condition::NotAcceptable] {
            let mut world = open();
            world.send(&set(fields));
            assert_eq!(world.steps(), ["name bob"]);

            world.machine.registered(Err(StanzaError::new(condition)));

            assert!(error(&world.settle()).ends_with(condition.name()));
            assert!(world.machine.wants_bytes());
        }
    }
}

#[test]
fn an_account_is_made_and_can_log_in_on_the_same_stream() {
    let mut world = open();
    world.send(&set("<username>Bob</username><password>two  words</password>"));
    assert_eq!(world.steps(), ["create bob two  words"]);

    world.machine.registered(Ok(RegisterAnswer::Done));

    assert_eq!(world.settle(), "<iq type='result' id='r1'></iq>");
    world.send(&auth("PLAIN", Some("\0bob\0two  words")));
    assert_eq!(world.steps(), ["lookup bob PLAIN"]);
}

#[test]
fn incomplete_and_impossible_registrations_are_refused() {
    for (fields, expected) in [
        ("", "modify not-acceptable"),
        ("<password>x</password>", "modify not-acceptable"),
        ("<username/>", "modify not-acceptable"),
        ("<username>bob</username><password>\u{e000}</password>", "modify not-acceptable"),
        ("<username>b@b</username>", "modify jid-malformed"),
        ("<username>b b</username><password>x</password>", "modify jid-malformed"),
        ("<remove/>", "wait unexpected-request"),
        ("<x xmlns='jabber:x:data' type='submit'/>", "modify not-acceptable"),
        ("<username xmlns='urn:x'>bob</username>", "modify not-acceptable"),
    ] {
        let mut world = open();
        let said = world.send(&set(fields));
        assert_eq!(error(&said).split(' ').nth(1), expected.split(' ').nth(1), "{fields}: {said}");
        assert!(world.steps().is_empty());
    }
    let said = open().send("<iq type='set'><query xmlns='jabber:iq:register'/></iq>");
    assert_eq!(error(&said), "modify bad-request");
}

#[test]
fn a_closed_server_says_the_same_to_every_name() {
    let registration = Registration::Closed;
    let closed = || World::tls_with(Config { registration, ..config(Transport::Tls) });
    let requests = [
        GET.to_owned(),
        set("<username>bob</username>"),
        set("<username>nobody</username><password>x</password>"),
        set("<username>b@b</username>"),
    ];
    for request in requests {
        let mut world = closed();
        assert_eq!(error(&world.send(&request)), "cancel service-unavailable");
        assert!(world.steps().is_empty());
    }
}

#[test]
fn a_trusted_socket_registers_nobody() {
    let mut world =
        World::new(Config { registration: Registration::Open, ..config(Transport::Trusted) }, None);
    world.send(HEADER);

    assert!(!world.said.contains("iq-register"));
    assert_eq!(error(&world.send(GET)), "cancel service-unavailable");
}

#[test]
fn registering_without_end_ends_the_stream() {
    let mut world = World::tls();
    for _ in 0..10 {
        world.send(GET);
    }

    assert_eq!(world.ends(GET), "policy-violation");
}

#[test]
fn other_stanzas_before_login_end_the_stream() {
    for stanza in [
        "<presence/>",
        "<message><body>hi</body></message>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>",
        "<iq type='get' id='1' to='b.example'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>",
        BIND,
        "<query xmlns='jabber:iq:register'/>",
    ] {
        assert_eq!(open().ends(stanza), "not-authorized", "{stanza}");
    }
}
