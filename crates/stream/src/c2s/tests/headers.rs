//! RFC 6120, 4: headers, errors and the end of a stream.

use super::*;

fn header(attributes: &str) -> String {
    format!(
        "<stream:stream {attributes} xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

#[test]
fn a_header_is_answered_with_a_header_and_features() {
    let mut world = World::new(config(Transport::StartTls), None);

    let said =
        world.send(&header("from='Bob@a.example' to='A.example' version='1.0' xml:lang='de'"));

    assert!(said.starts_with(
        "<?xml version='1.0'?><stream:stream from='a.example' to='bob@a.example' id='"
    ));
    assert!(said.contains(" xml:lang='en' version='1.0' xmlns='jabber:client'"), "{said}");
    assert!(said.ends_with("<required/></starttls></stream:features>"));
    assert_eq!(world.machine.lang(), Some("de"));
    assert_eq!(world.machine.domain(), Some("a.example"));
}

#[test]
fn every_stream_has_another_id() {
    let id = || World::clear().said.split("id='").nth(1).unwrap()[..22].to_owned();

    assert_ne!(id(), id());
}

#[test]
fn without_to_the_only_domain_is_meant() {
    let mut world = World::new(config(Transport::StartTls), None);
    assert!(world.send(&header("version='1.0'")).contains("from='a.example'"));

    let mut two = config(Transport::StartTls);
    two.domains.push("b.example".into());
    let mut world = World::new(two, None);
    assert_eq!(world.ends(&header("version='1.0'")), "host-unknown");
}

#[test]
fn a_bad_header_is_refused_after_a_header_of_ours() {
    for (attributes, condition) in [
        ("to='b.example' version='1.0'", "host-unknown"),
        ("to='bob@a.example' version='1.0'", "host-unknown"),
        ("to='a.example/x' version='1.0'", "host-unknown"),
        ("to='' version='1.0'", "improper-addressing"),
        ("to='@' version='1.0'", "improper-addressing"),
        ("to='a.example' from='a b' version='1.0'", "improper-addressing"),
        ("to='a.example'", "unsupported-version"),
        ("to='a.example' version='2.0'", "unsupported-version"),
        ("to='a.example' version='x'", "unsupported-version"),
    ] {
        let mut world = World::new(config(Transport::StartTls), None);
        assert_eq!(world.ends(&header(attributes)), condition, "{attributes}");
        assert!(world.said.starts_with("<?xml version='1.0'?><stream:stream from='a.example'"));
        assert_eq!(world.said.matches("<stream:stream").count(), 1);
    }
}

#[test]
fn what_is_no_xmpp_stream_is_refused_after_a_header_of_ours() {
    for (text, condition) in [
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("<!DOCTYPE x>", "restricted-xml"),
        ("<?pi x?>", "restricted-xml"),
        ("</stream:stream>", "not-well-formed"),
        (
            "<stream:stream to='a.example' version='1.0' xmlns='jabber:server' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
            "invalid-namespace",
        ),
        (
            "<stream:stream to='a.example' version='1.0' xmlns='jabber:client' xmlns:stream='urn:x'>",
            "invalid-namespace",
        ),
    ] {
        let mut world = World::new(config(Transport::StartTls), None);
        assert_eq!(world.ends(text), condition, "{text}");
        assert!(world.said.starts_with("<?xml version='1.0'?><stream:stream from='a.example'"));
    }
}

#[test]
fn an_element_that_is_too_big_before_login_ends_the_stream() {
    let mut world = World::tls();
    let long = "A".repeat(9 << 10);

    assert_eq!(world.ends(&format!("<auth xmlns='x'>{long}</auth>")), "policy-violation");
}

#[test]
fn an_unfinished_element_is_not_kept_without_end() {
    let mut world = World::tls();
    world.send("<auth>");

    let mut sent = 0;
    while !world.machine.is_over() {
        world.send("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        sent += 32;
        assert!(sent <= 9 << 10);
    }
}

#[test]
fn bytes_behind_an_open_question_are_bounded() {
    let mut world = World::tls();
    world.send(&auth("SCRAM-SHA-1", Some("n,,n=bob,r=abc")));
    assert!(!world.machine.wants_bytes());

    let mut sent = 0;
    while !world.machine.is_over() {
        world.send(&" ".repeat(1024));
        sent += 1024;
        assert!(sent <= 100 << 10);
    }
    assert!(world.steps().contains(&"error policy-violation".to_owned()));
}

#[test]
fn a_closed_stream_is_closed_on_both_sides() {
    for mut world in [World::clear(), World::tls(), World::logged_in(), World::open()] {
        assert_eq!(world.send("</stream:stream>"), "</stream:stream>");
        assert_eq!(world.steps(), ["closed"]);
        assert!(world.machine.is_over());
        assert_eq!(world.send("<presence/>"), "");
    }
}

#[test]
fn an_error_of_the_client_ends_the_stream_without_an_error_of_ours() {
    let mut world = World::open();

    let said = world.send(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    );

    assert_eq!(said, "</stream:stream>");
    assert_eq!(world.steps(), ["closed"]);
}

#[test]
fn the_driver_can_end_a_stream_at_any_time_and_only_once() {
    let mut world = World::new(config(Transport::StartTls), None);
    world.machine.close(Some(StreamError::new(StreamCondition::SystemShutdown)));
    world.machine.close(None);

    let said = world.settle();

    assert!(said.starts_with("<?xml version='1.0'?><stream:stream from='a.example' id="));
    assert!(said.ends_with(
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         </stream:error></stream:stream>"
    ));
    assert_eq!(said.matches("</stream:stream>").count(), 1);
}

#[test]
fn a_client_that_counts_wrong_hears_both_counts() {
    let mut world = World::open();
    world.machine.close_bad_ack(&sm::BadAck { h: 10, sent: 8 });

    assert!(
        world
            .settle()
            .contains("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>")
    );
}

#[test]
fn it_does_not_matter_where_the_bytes_are_split() {
    let text = format!("<?xml version='1.0'?>{HEADER}{}", auth("EXTERNAL", Some("bob@a.example")));
    for at in 0..text.len() {
        let mut world = World::new(config(Transport::Trusted), None);
        world.send(&text[..at]);
        world.send(&text[at..]);
        assert_eq!(world.steps(), ["external Some(bob@a.example)"], "split at {at}");
    }
}

#[test]
fn an_answer_nobody_waits_for_changes_nothing() {
    for mut world in [World::clear(), World::tls(), World::logged_in(), World::open()] {
        let verifier = Verifier::fresh(Hash::Sha1, &password("x"));
        world.machine.tls_started(channel());
        world.machine.lookup(LookupAnswer::Verifier(verifier.clone()));
        world.machine.derived(&verifier);
        world.machine.succeeded();
        world.machine.succeeded_as(BareJid::parse("eve@a.example").unwrap());
        world.machine.failed(&Refusal::new(Sasl::NotAuthorized));
        world.machine.refused(&Refusal::new(Sasl::NotAuthorized));
        world.machine.registered(Ok(RegisterAnswer::Done));
        world.machine.bound(&FullJid::parse("eve@a.example/x").unwrap());
        world.machine.bind_refused(&StanzaError::new(Condition::Conflict));
        world.machine.resumed(1);
        world.machine.resume_failed(None, Condition::ItemNotFound);
        let before = world.steps();

        assert_eq!(world.settle(), "");
        assert!(world.steps().is_empty(), "{before:?}");
        assert!(world.machine.wants_bytes());
    }
}
