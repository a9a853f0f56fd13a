//! XEP-0206: a stream in bodies of BOSH. What is said on it is tested with the other framings; here
//! is what differs.

use super::*;
use crate::framing::Framing;

const FIRST: &str = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='a.example' \
                     xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>";
const RESTART: &str = "<body xmlns='http://jabber.org/protocol/httpbind' rid='2' sid='x' \
                       to='a.example' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'/>";

fn body(content: &str) -> String {
    format!("<body xmlns='http://jabber.org/protocol/httpbind' rid='2' sid='x'>{content}</body>")
}

fn world() -> World {
    World::new(Config { framing: Framing::Bodies, ..config(Transport::Tls) }, None)
}

/// Bound as bob@a.example/desk.
fn open() -> World {
    let mut world =
        World::new(Config { framing: Framing::Bodies, ..config(Transport::Trusted) }, None);
    world.send(FIRST);
    world.send(&body(&auth("EXTERNAL", Some(""))));
    world.machine.succeeded_as(bob());
    // An empty request in between is no header, and none is missed.
    world.send(&body(""));
    world.send(RESTART);
    world.send(&body(BIND));
    world.machine.bound(&FullJid::parse("bob@a.example/desk").unwrap());
    world.settle();
    assert!(world.machine.is_open());
    world.steps.clear();
    world
}

#[test]
fn the_first_body_is_answered_with_features() {
    let said = world().send(FIRST);

    let declared = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms ";
    assert!(said.starts_with(declared), "{said}");
    assert!(!said.contains("starttls") && !said.contains("-PLUS"), "{said}");
}

#[test]
fn stanzas_come_in_bodies_of_any_number_and_any_pieces() {
    let message = "<message xmlns='jabber:client'><body>hi</body></message>";
    let bodies = [body(""), body(message), body(&format!("{message}\n<presence/>")), body("")];
    let bodies = bodies.concat();
    for piece in [1, 3, bodies.len()] {
        let mut world = open();
        for piece in bodies.as_bytes().chunks(piece) {
            assert_eq!(world.send(std::str::from_utf8(piece).unwrap()), "");
        }
        assert_eq!(world.steps(), ["stanza message", "stanza message", "stanza presence"]);
    }
}

#[test]
fn what_is_in_the_last_body_comes_before_the_end() {
    let mut world = open();
    let last = body("<presence type='unavailable'/>").replace(" sid=", " type='terminate' sid=");
    assert_eq!(world.send(&last), "\u{4}");
    assert_eq!(world.steps(), ["stanza presence", "closed"]);

    let mut world = open();
    let empty = body("").replace("></body>", " type='terminate'/>");
    assert_eq!(world.send(&empty), "\u{4}");
    assert_eq!(world.steps(), ["closed"]);
}

#[test]
fn what_ends_a_stream_on_tcp_ends_it_here() {
    for (content, condition) in [
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><message/>", "restricted-xml"),
        ("<!-- hi --><message/>", "restricted-xml"),
        ("<?php x ?><message/>", "restricted-xml"),
        ("<message><body>&b;</body></message>", "restricted-xml"),
        ("<x:message/>", "bad-namespace-prefix"),
        ("<message></presence>", "not-well-formed"),
        ("hi", "bad-format"),
    ] {
        let mut world = open();
        let said = world.send(&body(content));
        assert!(said.contains(&format!("<{condition} ")), "{content}: {said}");
        assert!(said.ends_with("</stream:error>\u{5}") && world.machine.is_over(), "{said}");
    }
    let long = "x".repeat(Limits::BEFORE_LOGIN.bytes);
    let mut world = world();
    world.send(FIRST);
    assert!(world.send(&body(&format!("<a>{long}</a>"))).contains("<policy-violation "));
}

#[test]
fn nothing_but_empty_bodies_comes_before_a_header() {
    let mut world = world();
    let said = world.send(&body("<message/>"));
    assert!(said.contains("<bad-format ") && said.ends_with('\u{5}'), "{said}");
    // And a stream that is open does not begin anew.
    let mut world = open();
    assert!(world.send(RESTART).contains("<bad-format "));
}
