//! Tests of the rows of `docs/security.md` that concern the accepting machine.

use super::*;

#[test]
fn row_6_compression_is_offered_nowhere_and_not_to_be_had() {
    let compress =
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    for mut world in [World::clear(), World::tls(), World::trusted(), World::logged_in()] {
        assert!(!world.said.contains("compress"), "{}", world.said);
        assert_eq!(world.ends(compress), "not-authorized");
    }
    // On an open stream it is an unknown element.
    let mut world = World::open();
    assert_eq!(world.send(compress), "");
    assert_eq!(world.steps(), ["element compress"]);
}

#[test]
fn row_7_nothing_passes_before_tls() {
    for text in [
        "<presence/>",
        "<message/>",
        BIND,
        "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>",
    ] {
        let mut world = World::clear();
        assert_eq!(world.ends(text), "not-authorized", "{text}");
    }
}

#[test]
fn row_7_before_tls_only_starttls_is_offered() {
    let said = World::clear().said;
    let features = said.split("<stream:features>").nth(1).unwrap();

    assert_eq!(
        features,
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
    );
}

#[test]
fn row_7_no_password_is_taken_before_tls() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "EXTERNAL"] {
        let mut world = World::clear();
        assert_eq!(
            world.send(&auth(mechanism, Some("\0bob\0pencil"))),
            failure("encryption-required")
        );
        assert!(world.steps().is_empty());
        // TLS is still available.
        world.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(world.steps(), ["starttls"]);
    }
}

/// Returns the steps and messages of a failing login, without the random parts.
fn trace(mechanism: &str, answer: impl Fn(&Password) -> LookupAnswer) -> Vec<String> {
    let mut world = World::tls();
    let mut trace = Vec::new();
    let mut note = |said: String, steps: Vec<String>| {
        trace.push(said.len().to_string());
        trace.push(said.split(['>', ' ']).next().unwrap_or_default().to_owned());
        trace.extend(steps);
    };
    if mechanism == "PLAIN" {
        let said = world.send(&auth("PLAIN", Some("\0bob\0guess")));
        note(said, world.steps());
        world.machine.lookup(answer(&password("pencil")));
        let said = world.settle();
        note(said, world.steps());
        world.machine.derived(&Verifier::fresh(Hash::Sha256, &password("guess")));
    } else {
        let hash = Hash::from_mechanism(mechanism).unwrap();
        let (exchange, first) =
            client::Started::new(hash, "bob", password("guess"), &Binding::None, world.offer())
                .unwrap();
        let said = world.send(&auth(mechanism, Some(&first)));
        note(said, world.steps());
        world.machine.lookup(answer(&password("pencil")));
        let said = world.settle();
        note(said.clone(), world.steps());
        let (_, proof) = exchange.respond(data(&said).as_bytes()).unwrap();
        world.send(&response(&proof));
    }
    let said = world.settle();
    note(said, world.steps());
    world.machine.failed(&Refusal::new(Sasl::NotAuthorized));
    let said = world.settle();
    note(said.clone(), world.steps());
    note(said, vec![]);
    trace
}

#[test]
fn row_14_a_known_and_an_unknown_name_leave_the_same_trace() {
    in_both_profiles(|| {
        for (mechanism, hash) in Hash::ALL
            .map(|hash| (hash.mechanism(), hash))
            .into_iter()
            .chain([("PLAIN", Hash::Sha256)])
        {
            let known =
                trace(mechanism, |right| LookupAnswer::Verifier(Verifier::fresh(hash, right)));
            let unknown =
                trace(mechanism, |_| LookupAnswer::Fake(Verifier::fake(hash, b"secret", "bob")));

            assert_eq!(known, unknown);
            assert!(known.contains(&"failed bob".to_owned()));
        }
    });
}

#[test]
fn row_14_a_made_up_verifier_lets_nobody_in() {
    in_both_profiles(|| {
        // This holds even for the verifier of the very password that is tried.
        let verifier = Verifier::fresh(Hash::Sha256, &password("guess"));
        let mut world = World::tls();
        world.send(&auth("PLAIN", Some("\0bob\0guess")));
        world.machine.lookup(LookupAnswer::Fake(verifier.clone()));
        world.settle();

        world.machine.derived(&verifier);
        world.settle();

        assert_eq!(world.steps(), ["lookup bob PLAIN", "derive", "failed bob"]);
    });
}

#[test]
fn row_15_nobody_acts_as_somebody_else() {
    in_both_profiles(|| {
        for authzid in
            ["eve@a.example", "bob@b.example", "bob", "a.example", "bob@a.example/desk", "bob@"]
        {
            let plain = auth("PLAIN", Some(&format!("{authzid}\0bob\0pencil")));
            let scram = auth("SCRAM-SHA-1", Some(&format!("n,a={authzid},n=bob,r=abc")));
            for text in [plain, scram] {
                let mut world = World::tls();
                assert_eq!(world.send(&text), failure("invalid-authzid"), "{authzid}");
                assert!(world.steps().is_empty());
            }
        }
    });
}

#[test]
fn row_15_the_own_address_is_no_mismatch() {
    in_both_profiles(|| {
        for text in [
            auth("PLAIN", Some("Bob@A.example\0bob\0pencil")),
            auth("SCRAM-SHA-1", Some("n,a=bob@a.example,n=bob,r=abc")),
        ] {
            let mut world = World::tls();
            world.send(&text);
            assert_eq!(world.steps().len(), 1);
        }
    });
}

#[test]
fn row_16_a_restarted_stream_stays_with_its_domain() {
    let two = |transport| {
        let mut config = config(transport);
        config.domains.push("b.example".into());
        config
    };
    let other = HEADER.replace("a.example", "b.example");

    let mut world = World::new(two(Transport::StartTls), None);
    world.send(HEADER);
    world.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    world.machine.tls_started(channel());
    assert_eq!(world.ends(&other), "host-unknown");

    let mut world = World::new(two(Transport::Trusted), None);
    world.send(HEADER);
    world.send(&auth("EXTERNAL", Some("")));
    world.machine.succeeded_as(bob());
    assert_eq!(world.ends(&other), "not-authorized");
    assert_eq!(world.machine.domain(), Some("a.example"));
}

#[test]
fn row_16_a_restarted_stream_without_to_keeps_its_domain() {
    let mut config = config(Transport::Trusted);
    config.domains.insert(0, "first.example".into());
    let mut world = World::new(config, None);
    world.send(HEADER);
    world.send(&auth("EXTERNAL", Some("")));
    world.machine.succeeded_as(bob());

    let said = world.send(&HEADER.replace("to='a.example'", ""));

    assert!(said.contains("from='a.example'"));
}

#[test]
fn row_16_who_logged_in_cannot_become_somebody_else() {
    let restarted = || {
        let mut world = World::trusted();
        world.send(&auth("EXTERNAL", Some("")));
        world.machine.succeeded_as(bob());
        world
    };
    let from = |who: &str| HEADER.replace("to=", &format!("from='{who}' to="));

    assert!(restarted().send(&from("bob@a.example")).contains("<bind"));
    assert_eq!(restarted().ends(&from("eve@a.example")), "invalid-from");
    assert_eq!(restarted().ends(&from("bob@b.example")), "invalid-from");
}

#[test]
fn row_17_a_mechanism_that_is_not_offered_is_refused() {
    in_both_profiles(|| {
        for mechanism in
            ["ANONYMOUS", "DIGEST-MD5", "SCRAM-SHA-384", "plain", "", "EXTERNAL", "X-OAUTH2"]
        {
            let mut world = World::tls();
            assert_eq!(
                world.send(&auth(mechanism, Some("x"))),
                failure("invalid-mechanism"),
                "{mechanism}"
            );
            assert!(world.steps().is_empty());
        }
        for mechanism in ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"] {
            let mut world = World::trusted();
            assert_eq!(world.send(&auth(mechanism, Some("x"))), failure("invalid-mechanism"));
        }
    });
}

#[test]
fn row_22_what_was_sent_in_clear_behind_starttls_is_not_read() {
    let mut world = World::clear();
    let injected = format!("{HEADER}{}", auth("PLAIN", Some("\0eve\0x")));

    let said =
        world.send(&format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{injected}"));
    world.send(&injected);
    assert_eq!(said, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert_eq!(world.steps(), ["starttls"]);

    world.machine.tls_started(channel());
    assert_eq!(world.settle(), "");
    assert!(world.steps().is_empty());
    assert!(world.send(HEADER).contains("<mechanism>SCRAM-SHA-256-PLUS</mechanism>"));
}

#[test]
fn row_23_a_hidden_channel_binding_is_noticed() {
    in_both_profiles(|| {
        let mut world = World::tls();

        let said = world.send(&auth("SCRAM-SHA-256", Some("y,,n=bob,r=abc")));

        assert_eq!(said, failure("not-authorized"));
        assert!(world.steps().is_empty());
    });
}

#[test]
fn a_message_of_another_channel_is_a_failed_login() {
    in_both_profiles(|| {
        let mut world = World::tls();
        let verifier = Verifier::fresh(Hash::Sha256, &password("pencil"));
        let theirs = Binding::Bound(crate::binding::EXPORTER, vec![6; 32]);
        let (exchange, first) =
            client::Started::new(Hash::Sha256, "bob", password("pencil"), &theirs, world.offer())
                .unwrap();
        world.send(&auth("SCRAM-SHA-256-PLUS", Some(&first)));
        world.machine.lookup(LookupAnswer::Verifier(verifier));
        let challenge = world.settle();

        let (_, proof) = exchange.respond(data(&challenge).as_bytes()).unwrap();
        world.send(&response(&proof));

        assert_eq!(world.steps(), ["lookup bob SCRAM-SHA-256-PLUS", "failed bob unseen"]);
    });
}
