//! RFC 6120, 7, and XEP-0198: tests that bind, resume, and use sessions.

use super::*;

#[test]
fn after_login_binding_is_offered() {
    let config =
        Config { offers: b"<csi xmlns='urn:xmpp:csi:0'/>".to_vec(), ..config(Transport::Trusted) };
    let mut world = World::new(config, None);
    world.send(HEADER);
    world.send(&auth("EXTERNAL", Some("")));
    world.machine.succeeded_as(bob());

    let said = world.send(HEADER);

    assert!(said.ends_with(
        "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind>\
         <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
         <sm xmlns='urn:xmpp:sm:3'/><limits xmlns='urn:xmpp:stream-limits:0'>\
         <max-bytes>262144</max-bytes></limits><csi xmlns='urn:xmpp:csi:0'/></stream:features>"
    ));
}

#[test]
fn a_session_is_bound_and_opens_once() {
    let mut world = World::logged_in();
    world.send(BIND);
    assert_eq!(world.steps(), ["bind Some(\"desk\")"]);
    assert!(!world.machine.wants_bytes());

    world.machine.bound(&FullJid::parse("bob@a.example/desk").unwrap());

    assert_eq!(
        world.settle(),
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>bob@a.example/desk</jid></bind></iq>"
    );
    assert_eq!(world.steps(), ["open"]);
    assert!(world.machine.is_open());
}

#[test]
fn a_resource_is_optional() {
    for inside in ["", "<resource/>"] {
        let mut world = World::logged_in();
        world.send(&format!(
            "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{inside}</bind></iq>"
        ));
        assert_eq!(world.steps(), ["bind None"]);
    }
}

#[test]
fn a_conflict_can_be_followed_by_another_resource() {
    let mut world = World::logged_in();
    world.send(BIND);
    world.machine.bind_refused(&StanzaError::new(Condition::Conflict));

    let said = world.settle();

    assert!(said.starts_with("<iq ") && said.contains("type='error'") && said.contains("id='b1'"));
    assert!(said.contains("<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"));
    world.send(BIND);
    assert_eq!(world.steps(), ["bind Some(\"desk\")"; 2]);
}

#[test]
fn a_request_to_bind_that_is_malformed_is_refused() {
    let long = "x".repeat(1024);
    for request in [
        "<iq type='get' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>".to_owned(),
        "<iq type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>".to_owned(),
        BIND.replace("desk", "\u{200e}\u{e000}\u{fdd0}"),
        BIND.replace("desk", &long),
    ] {
        let mut world = World::logged_in();
        let said = world.send(&request);
        assert!(said.contains("<bad-request"), "{request}: {said}");
        assert!(world.steps().is_empty() && world.machine.wants_bytes());
    }
}

#[test]
fn binding_without_end_ends_the_stream() {
    let mut world = World::logged_in();
    for _ in 0..10 {
        world.send(BIND);
        world.machine.bind_refused(&StanzaError::new(Condition::Conflict));
        world.settle();
    }

    assert_eq!(world.ends(BIND), "policy-violation");
}

#[test]
fn nothing_else_may_come_before_binding() {
    for text in [
        "<presence/>",
        "<message/>",
        "<iq type='set' id='1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
        "<x xmlns='urn:x'/>",
    ] {
        assert_eq!(World::logged_in().ends(text), "not-authorized");
    }
}

#[test]
fn after_binding_bigger_stanzas_pass() {
    let mut world = World::open();
    let body = "x".repeat(200 << 10);

    world.send(&format!("<message><body>{body}</body></message>"));

    assert_eq!(world.steps(), ["stanza message"]);
}

#[test]
fn stanzas_and_other_elements_are_told_apart() {
    let mut world = World::open();

    world.send(
        "<message/> <iq type='get' id='1'/><presence/><r xmlns='urn:xmpp:sm:3'/>\n\
         <a xmlns='urn:xmpp:sm:3' h='3'/><active xmlns='urn:xmpp:csi:0'/><iq xmlns='urn:x'/>",
    );

    assert_eq!(
        world.steps(),
        [
            "stanza message",
            "stanza iq",
            "stanza presence",
            "sm Request",
            "sm Ack { h: 3 }",
            "element active",
            "element iq",
        ]
    );
}

#[test]
fn a_malformed_acknowledgement_ends_the_stream() {
    assert_eq!(World::open().ends("<a xmlns='urn:xmpp:sm:3' h='x'/>"), "bad-format");
}

#[test]
fn a_session_is_resumed() {
    let mut world = World::logged_in();
    world.send("<resume xmlns='urn:xmpp:sm:3' previd='abc' h='5'/>");
    assert_eq!(world.steps(), ["resume abc 5"]);

    world.machine.resumed(7);

    assert_eq!(world.settle(), "<resumed xmlns='urn:xmpp:sm:3' h='7' previd='abc'/>");
    assert_eq!(world.steps(), ["open"]);
}

#[test]
fn a_session_that_is_gone_can_be_replaced_by_a_new_one() {
    let mut world = World::logged_in();
    world.send("<resume xmlns='urn:xmpp:sm:3' previd='abc' h='5'/>");
    world.machine.resume_failed(Some(7), Condition::ItemNotFound);

    let said = world.settle();

    assert_eq!(
        said,
        "<failed xmlns='urn:xmpp:sm:3' h='7'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    );
    world.send(BIND);
    assert_eq!(world.steps(), ["resume abc 5", "bind Some(\"desk\")"]);
}

#[test]
fn stream_management_in_the_wrong_place_fails() {
    let failed = "<failed xmlns='urn:xmpp:sm:3'><unexpected-request \
                  xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    for text in ["<enable xmlns='urn:xmpp:sm:3'/>", "<r xmlns='urn:xmpp:sm:3'/>"] {
        for mut world in [World::tls(), World::logged_in()] {
            assert_eq!(world.send(text), failed);
            assert!(world.machine.wants_bytes());
        }
    }
    assert_eq!(World::tls().send("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"), failed);
    let said = World::logged_in().send("<resume xmlns='urn:xmpp:sm:3' previd='x'/>");
    assert!(said.contains("<bad-request"), "{said}");
}
