//! RFC 6120, 6: tests of logins that succeed, and of every way in which they fail.

use super::*;
use crate::scram::FormerKey;

/// Runs a SCRAM login up to the client's proof, for a given verifier.
fn scram(world: &mut World, mechanism: Mechanism, tried: &str, answer: LookupAnswer) -> String {
    let Mechanism::Scram { hash, plus } = mechanism else { panic!("not SCRAM") };
    let binding =
        if plus { Binding::Bound(crate::binding::EXPORTER, vec![7; 32]) } else { Binding::None };
    let (exchange, first) =
        client::Started::new(hash, "Bob", password(tried), &binding, world.offer()).unwrap();
    assert_eq!(world.send(&auth(mechanism.name(), Some(&first))), "");
    world.machine.lookup(answer);
    let challenge = world.settle();
    let begin = format!("<challenge xmlns='{}'>", SPEAKS.get().ns());
    assert!(challenge.starts_with(&begin), "{challenge}");
    let (exchange, proof) = exchange.respond(data(&challenge).as_bytes()).unwrap();
    let said = world.send(&response(&proof));
    assert_eq!(said, "", "nothing is said before the driver knows");
    if world.steps.last().is_some_and(|step| step.starts_with("succeeded")) {
        world.machine.succeeded();
        let said = world.settle();
        exchange.verify(data(&said).as_bytes()).unwrap();
        return said;
    }
    world.machine.failed(&Refusal::new(Sasl::NotAuthorized));
    world.settle()
}

fn verifier(mechanism: Mechanism) -> Verifier {
    let Mechanism::Scram { hash, .. } = mechanism else { panic!("not SCRAM") };
    Verifier::fresh(hash, &password("pencil"))
}

#[test]
fn every_scram_mechanism_logs_in() {
    in_both_profiles(|| {
        for mechanism in Mechanism::ALL.into_iter().filter(|m| m.name().starts_with("SCRAM")) {
            let mut world = World::tls();

            let said =
                scram(&mut world, mechanism, "pencil", LookupAnswer::Verifier(verifier(mechanism)));

            assert!(said.starts_with("<success"), "{said}");
            assert_eq!(
                world.steps(),
                [format!("lookup bob {}", mechanism.name()), "succeeded".into()]
            );
            assert_eq!(world.machine.address(), Some(&bob()));
            assert_eq!(world.machine.mechanism(), Some(mechanism));
            let said = match SPEAKS.get() {
                Profile::Rfc6120 => world.send(HEADER),
                // XEP-0388, 2.6.1: the stream is not restarted.
                Profile::Sasl2 => said,
            };
            assert!(said.contains("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"), "{said}");
        }
    });
}

#[test]
fn a_wrong_password_can_be_followed_by_the_right_one() {
    in_both_profiles(|| {
        let mut world = World::tls();
        let mechanism = Mechanism::Scram { hash: Hash::Sha256, plus: false };

        for _ in 0..3 {
            let said =
                scram(&mut world, mechanism, "wrong", LookupAnswer::Verifier(verifier(mechanism)));
            assert_eq!(said, failure("not-authorized"));
            assert_eq!(world.steps(), ["lookup bob SCRAM-SHA-256", "failed bob"]);
        }

        let said =
            scram(&mut world, mechanism, "pencil", LookupAnswer::Verifier(verifier(mechanism)));
        assert!(said.starts_with("<success"));
    });
}

#[test]
fn a_former_password_is_recognised_by_whoever_knows_it_and_lets_nobody_in() {
    in_both_profiles(|| {
        let changed = |hash| {
            let former = Verifier::fresh(hash, &password("pencil"));
            let verifier = former.derive_like(&password("eraser"));
            let keys = [Verifier::fresh(hash, &password("other")), former];
            let former = keys.map(|it| FormerKey::new(it.stored_key)).into();
            LookupAnswer::Changed { verifier, former }
        };
        for mechanism in Mechanism::ALL {
            let Mechanism::Scram { hash, .. } = mechanism else { continue };
            for (tried, wanted) in
                [("pencil", "former bob 1"), ("guess", "failed bob"), ("eraser", "succeeded")]
            {
                let mut world = World::tls();
                scram(&mut world, mechanism, tried, changed(hash));
                assert_eq!(world.steps().last().unwrap(), wanted, "{}", mechanism.name());
            }
        }
        for (tried, wanted) in
            [("pencil", "former bob 1"), ("guess", "failed bob"), ("eraser", "succeeded")]
        {
            let mut world = World::tls();
            world.send(&auth("PLAIN", Some(&format!("\0bob\0{tried}"))));
            let answer = changed(Hash::Sha256);
            let LookupAnswer::Changed { verifier, .. } = &answer else { panic!() };
            let derived = verifier.derive_like(&password(tried));
            world.machine.lookup(answer);
            world.settle();
            world.machine.derived(&derived);
            world.settle();
            assert_eq!(world.steps().last().unwrap(), wanted, "PLAIN");
        }
    });
}

#[test]
fn a_failure_says_whether_a_password_was_looked_at() {
    in_both_profiles(|| {
        let mechanism = Mechanism::Scram { hash: Hash::Sha256, plus: false };
        let mut world = World::tls();
        scram(&mut world, mechanism, "wrong", LookupAnswer::Verifier(verifier(mechanism)));
        assert_eq!(world.steps().last().unwrap(), "failed bob");

        for malformed in ["", "c", "c=biws,r=of-another-exchange,p=AAAA"] {
            let mut world = World::tls();
            world.send(&auth(mechanism.name(), Some("n,,n=bob,r=abcdefghijklmnop")));
            world.machine.lookup(LookupAnswer::Verifier(verifier(mechanism)));
            world.settle();

            world.send(&response(malformed));

            assert_eq!(world.steps().last().unwrap(), "failed bob unseen", "{malformed}");
        }
    });
}

#[test]
fn a_login_the_driver_refuses_after_the_proof_has_not_happened() {
    let mut world = World::trusted();
    world.send(&auth("PLAIN", Some("\0bob\0pencil")));
    let verifier = Verifier::fresh(Hash::Sha256, &password("pencil"));
    world.machine.lookup(LookupAnswer::Verifier(verifier.clone()));
    world.settle();
    world.machine.derived(&verifier);
    world.settle();

    world.machine.refused(
        &Refusal::new(Sasl::TemporaryAuthFailure).with_text("blocked for 7 s").and_close(),
    );

    let said = world.settle();
    assert!(
        said.starts_with(
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/>\
         <text xml:lang='en'>blocked for 7 s</text></failure><stream:error><policy-violation"
        ),
        "{said}"
    );
    assert_eq!(world.machine.address(), None);
    assert!(world.machine.is_over());
}

#[test]
fn a_blocked_name_is_refused_before_any_proof() {
    let mut world = World::tls();
    world.send(&auth("SCRAM-SHA-1", Some("n,,n=bob,r=abc")));

    world.machine.lookup(LookupAnswer::Refused(
        Refusal::new(Sasl::AccountDisabled).with_text("blocked for 60 s").and_close(),
    ));

    let said = world.settle();
    assert!(
        said.contains("<account-disabled/><text xml:lang='en'>blocked for 60 s</text></failure>")
    );
    assert!(said.ends_with("</stream:error></stream:stream>"));
}

#[test]
fn plain_is_derived_and_compared() {
    in_both_profiles(|| {
        for (sent, stored, step) in
            [("pencil", "pencil", "succeeded"), ("wrong", "pencil", "failed bob")]
        {
            let mut world = World::tls();
            world.send(&auth("PLAIN", Some(&format!("bob@a.example\0BOB\0{sent}"))));
            let verifier = Verifier::fresh(Hash::Sha256, &password(stored));

            world.machine.lookup(LookupAnswer::Verifier(verifier.clone()));
            world.settle();
            world.machine.derived(&verifier.derive_like(&password(sent)));
            world.settle();

            assert_eq!(world.steps(), ["lookup bob PLAIN", "derive", step]);
        }
    });
}

#[test]
fn an_empty_first_message_is_asked_for() {
    in_both_profiles(|| {
        let mut world = World::tls();

        assert_eq!(
            world.send(&auth("PLAIN", None)),
            format!("<challenge xmlns='{}'/>", SPEAKS.get().ns())
        );
        world.send(&response("\0bob\0pencil"));

        assert_eq!(world.steps(), ["lookup bob PLAIN"]);
    });
}

#[test]
fn external_is_for_trusted_streams_and_for_this_domain() {
    let mut world = World::trusted();
    assert_eq!(world.send(&auth("EXTERNAL", Some("bob@b.example"))), failure("invalid-authzid"));
    assert_eq!(world.send(&auth("EXTERNAL", Some("a b"))), failure("invalid-authzid"));
    world.send(&auth("EXTERNAL", Some("bob@a.example")));
    assert_eq!(world.steps(), ["external Some(bob@a.example)"]);

    world.machine.refused(&Refusal::new(Sasl::NotAuthorized));
    assert_eq!(world.settle(), failure("not-authorized"));

    world.send(&auth("EXTERNAL", Some("")));
    let root = BareJid::parse("root@a.example").unwrap();
    world.machine.succeeded_as(root.clone());
    assert_eq!(world.settle(), "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(world.machine.address(), Some(&root));
}

#[test]
fn an_administrator_can_act_as_the_server_itself() {
    let mut world = World::trusted();
    world.send(&auth("EXTERNAL", Some("a.example")));
    assert_eq!(world.steps(), ["external Some(a.example)"]);
    world.machine.succeeded_as(BareJid::parse("a.example").unwrap());
    assert!(world.send(&HEADER.replace("to=", "from='a.example' to=")).contains("<bind"));

    world.send(BIND);

    assert_eq!(world.steps(), ["bind Some(\"desk\")"]);
}

#[test]
fn malformed_logins_are_refused_and_the_stream_goes_on() {
    in_both_profiles(|| {
        for (text, condition) in [
            (auth("PLAIN", Some("bob pencil")), "malformed-request"),
            (auth("PLAIN", Some("\0\0pencil")), "malformed-request"),
            (auth("PLAIN", Some("")), "malformed-request"),
            (auth("SCRAM-SHA-1", Some("")), "malformed-request"),
            (auth("SCRAM-SHA-1", Some("n,,m=x,n=bob,r=abc")), "malformed-request"),
            (auth("SCRAM-SHA-1", Some("n,,n=b=b,r=abc")), "malformed-request"),
            (auth("PLAIN", Some("\0b@b\0pencil")), "not-authorized"),
            (auth("SCRAM-SHA-1", Some("n,,n=a b,r=abc")), "not-authorized"),
            (response("x"), "malformed-request"),
            (abort(), "aborted"),
            (auth("PLAIN", None).replace(" mechanism='PLAIN'", ""), "invalid-mechanism"),
            (auth("PLAIN", Some("abcd")).replace("YWJjZA==", "AA="), "incorrect-encoding"),
        ] {
            let mut world = World::tls();
            assert_eq!(world.send(&text), failure(condition), "{text}");
            assert!(world.steps().is_empty() && world.machine.wants_bytes());
        }
    });
}

#[test]
fn a_login_under_way_can_be_aborted_but_not_interrupted() {
    in_both_profiles(|| {
        let begun = || {
            let mut world = World::tls();
            world.send(&auth("PLAIN", None));
            world
        };

        assert_eq!(begun().send(&abort()), failure("aborted"));
        assert_eq!(begun().send(&raw_response("?")), failure("incorrect-encoding"));
        assert_eq!(begun().ends("<presence/>"), "not-authorized");
        match SPEAKS.get() {
            Profile::Rfc6120 => {
                assert_eq!(begun().send(&auth("PLAIN", None)), failure("malformed-request"));
            }
            // XEP-0388, 2.4.
            Profile::Sasl2 => assert_eq!(begun().ends(&auth("PLAIN", None)), "not-authorized"),
        }
    });
}

#[test]
fn after_ten_failures_the_stream_ends() {
    in_both_profiles(|| {
        let mut world = World::tls();
        for _ in 0..9 {
            assert_eq!(world.send(&response("x")), failure("malformed-request"));
        }

        assert_eq!(world.ends(&response("x")), "policy-violation");
    });
}

#[test]
fn tls_is_not_started_twice() {
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    for mut world in [World::tls(), World::trusted(), World::logged_in()] {
        assert_eq!(
            world.send(starttls),
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
        );
        assert_eq!(world.steps(), ["closed"]);
    }
}

#[test]
fn mechanisms_are_offered_as_the_channel_allows() {
    let offered = |world: World| -> Vec<String> {
        // Those of tokens are a list of their own.
        let said = world.said.split("<inline>").next().unwrap();
        let parts = said.split("<mechanism>").skip(1);
        let all = parts.map(|part| part.split('<').next().unwrap().to_owned());
        let mut all: Vec<String> = all.collect();
        if world.said.contains("urn:xmpp:sasl:2") {
            let again = all.split_off(all.len() / 2);
            assert_eq!(again, all, "the same in both profiles");
        }
        all
    };
    let unbound = World::tls_with(config(Transport::Tls));
    assert_eq!(
        offered(unbound),
        [
            "SCRAM-SHA-512-PLUS",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-512",
            "SCRAM-SHA-256",
            "SCRAM-SHA-1",
            "PLAIN"
        ]
    );

    let mut none = World::new(config(Transport::Tls), Some(ChannelBindings::default()));
    none.send(HEADER);
    assert!(!none.said.contains("sasl-channel-binding"));
    let unbound = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "EXTERNAL"];
    assert_eq!(offered(none), unbound[..4]);

    assert_eq!(offered(World::trusted()), unbound);
}

#[test]
fn a_hash_that_some_accounts_lack_is_neither_offered_nor_taken() {
    in_both_profiles(|| {
        let hashes = vec![Hash::Sha256, Hash::Sha1];
        let mut world = World::tls_with(Config { hashes, ..config(Transport::Tls) });

        assert!(world.said.contains("SCRAM-SHA-256-PLUS") && !world.said.contains("SHA-512"));
        for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-512-PLUS"] {
            let said = world.send(&auth(mechanism, Some("n,,n=bob,r=abc")));
            assert_eq!(said, failure("invalid-mechanism"));
        }
        assert!(world.steps().is_empty());
    });
}

#[test]
fn the_types_of_channel_binding_are_named() {
    assert!(World::tls().said.contains(
        "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
         <channel-binding type='tls-server-end-point'/></sasl-channel-binding>"
    ));
}

#[test]
fn without_an_exporter_the_certificate_still_binds() {
    in_both_profiles(|| {
        let old = ChannelBindings { exporter: None, server_end_point: Some(vec![8; 32]) };
        let mut world = World::new(config(Transport::Tls), Some(old));
        world.send(HEADER);
        assert!(!world.said.contains("tls-exporter"));

        world.send(&auth("SCRAM-SHA-1-PLUS", Some("p=tls-server-end-point,,n=bob,r=abc")));
        assert_eq!(world.steps(), ["lookup bob SCRAM-SHA-1-PLUS"]);
    });
}
