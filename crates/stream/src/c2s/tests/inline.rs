//! XEP-0388, XEP-0386 and XEP-0198, 9: what a client asks for along with its login.

use super::*;
use crate::Features;
use crate::sasl2::Success;
use whoelse_xmpp::ns;

const BIND2: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>phone</tag></bind>";
const RESUME: &str = "<resume xmlns='urn:xmpp:sm:3' previd='abc' h='5'/>";
const ID: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

/// Returns an `<authenticate/>` for bob, by PLAIN, with these children.
fn authenticate(children: &str) -> String {
    SPEAKS.set(Profile::Sasl2);
    let begin = auth("PLAIN", Some("\0bob\0pencil"));
    begin.replace("</authenticate>", &format!("{children}</authenticate>"))
}

/// Sends an `<authenticate/>`, up to the driver's consent.
fn asks(world: &mut World, children: &str) {
    let verifier = Verifier::fresh(Hash::Sha256, &password("pencil"));
    world.send(&authenticate(children));
    world.machine.lookup(LookupAnswer::Verifier(verifier.clone()));
    world.settle();
    world.machine.derived(&verifier);
    world.settle();
    assert_eq!(world.steps(), ["lookup bob PLAIN", "derive", "succeeded"]);
    world.machine.succeeded();
    assert_eq!(world.settle_but_complete(), "", "nothing is said before all of it is done");
}

/// Reads the success at the begin of what was said; returns it and the rest.
fn success(said: &str) -> (Success, &str) {
    let (success, rest) = said.split_once("</success>").unwrap();
    let success = Stanza::parse(format!("{success}</success>")).unwrap();
    (Success::read(&success).unwrap(), rest)
}

fn phone() -> FullJid {
    FullJid::parse("bob@a.example/phone/x").unwrap()
}

impl World {
    /// Takes all steps, and leaves the last one to the test.
    fn settle_but_complete(&mut self) -> String {
        while let Some(step) = self.machine.poll() {
            let is_complete = matches!(step, Step::Complete);
            self.steps.extend(name(&step).or_else(|| is_complete.then(|| "complete".to_owned())));
        }
        String::from_utf8(self.machine.output().take()).unwrap()
    }
}

#[test]
fn both_profiles_are_offered_where_the_stream_is_encrypted_and_nowhere_else() {
    let sasl2 = "<authentication xmlns='urn:xmpp:sasl:2'>";

    assert!(World::tls().said.contains(sasl2));
    assert!(World::tls().said.contains(
        "<inline><sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline/></bind><fast "
    ));
    for world in [World::clear(), World::trusted()] {
        assert!(!world.said.contains(sasl2));
    }
    let off = Config { sasl2: None, ..config(Transport::Tls) };
    let mut off = World::tls_with(off);
    assert!(!off.said.contains(sasl2));
    SPEAKS.set(Profile::Sasl2);
    assert_eq!(off.send(&authenticate("")), failure("invalid-mechanism"));
    assert_eq!(World::trusted().send(&authenticate("")), failure("invalid-mechanism"));
}

#[test]
fn what_is_signed_is_what_a_client_of_sasl2_sees_on_offer() {
    // XEP-0474, 4.1: the list of the profile in use. A tampered one gives another hash.
    let mut world = World::tls();
    let features = world.said.split_once("<stream:features>").unwrap().1;
    let features = Stanza::parse(format!("<stream:features>{features}")).unwrap();
    let seen = Features::read(&features);
    let (sasl2, bindings) = (seen.sasl2.unwrap(), seen.channel_bindings.unwrap());
    world.send(&authenticate(""));

    let offer = |mechanisms: &[String]| {
        let mechanisms = mechanisms.iter().map(String::as_str);
        Offer::new(mechanisms, Some(bindings.iter().map(String::as_str)))
    };
    assert_eq!(offer(&sasl2.mechanisms), world.offer());
    assert_ne!(offer(&sasl2.mechanisms[1..]), world.offer());
}

#[test]
fn a_login_without_wishes_goes_on_without_a_restart() {
    let mut world = World::tls();
    asks(&mut world, "");
    assert_eq!(world.steps(), ["complete"]);
    world.machine.completed(b"");

    let said = world.settle();

    assert!(said.starts_with(
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>bob@a.example\
         </authorization-identifier></success><stream:features><bind "
    ));
    assert_eq!(world.machine.address(), Some(&bob()));
    world.send(BIND);
    assert_eq!(world.steps(), ["bind Some(\"desk\")"]);
    world.machine.bound(&FullJid::parse("bob@a.example/desk").unwrap());
    world.settle();
    assert!(world.machine.is_open());
}

#[test]
fn a_login_with_a_session_is_one_answer() {
    let mut world = World::tls();
    asks(&mut world, BIND2);
    assert_eq!(world.steps(), ["bind inline Some(\"phone\")"]);
    assert!(!world.machine.wants_bytes() && !world.machine.is_open());

    world.machine.bound_inline(&phone(), b"<enabled xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(world.settle_but_complete(), "");
    assert_eq!(world.steps(), ["complete"]);
    world.machine.completed(b"<token xmlns='urn:xmpp:fast:0' token='x'/>");
    let said = world.settle();

    let (success, features) = success(&said);
    assert_eq!(success.authorization_identifier, *phone());
    assert!(success.other("bound", ns::BIND2).unwrap().has("enabled", ns::SM));
    assert!(success.other("token", "urn:xmpp:fast:0").is_some());
    assert!(features.starts_with("<stream:features><sm xmlns='urn:xmpp:sm:3'/>"), "{features}");
    assert!(!features.contains("<bind"));
    assert_eq!(world.steps(), ["open"]);
    assert!(world.machine.is_open());
}

#[test]
fn a_session_that_is_resumed_is_not_bound_and_its_stream_has_no_features() {
    let mut world = World::tls();
    asks(&mut world, &format!("{BIND2}{RESUME}"));
    assert_eq!(world.steps(), ["resume abc 5"]);

    world.machine.resumed(7);
    let said = world.settle();

    let (success, rest) = success(&said);
    assert_eq!(success.authorization_identifier, *bob());
    let resumed = success.other("resumed", ns::SM).unwrap();
    assert_eq!(
        (resumed.attr("h").as_deref(), resumed.attr("previd").as_deref()),
        (Some("7"), Some("abc"))
    );
    assert_eq!(rest, "");
    assert_eq!(world.steps(), ["open"]);
}

#[test]
fn a_session_that_is_gone_is_replaced_by_the_one_to_be_bound() {
    let mut world = World::tls();
    asks(&mut world, &format!("{RESUME}{BIND2}"));
    world.machine.resume_failed(Some(3), Condition::ItemNotFound);
    world.settle();
    assert_eq!(world.steps(), ["resume abc 5", "bind inline Some(\"phone\")"]);
    world.machine.bound_inline(&phone(), b"");

    let said = world.settle();

    let (success, _) = success(&said);
    let failed = success.other("failed", ns::SM).unwrap();
    assert_eq!(failed.attr("h").as_deref(), Some("3"));
    assert!(failed.has("item-not-found", ns::STANZA_ERRORS));
    assert!(success.other("bound", ns::BIND2).is_some());
    assert_eq!(world.steps(), ["open"]);
}

#[test]
fn a_session_that_is_gone_can_be_followed_by_the_older_way_to_bind() {
    let mut world = World::tls();
    asks(&mut world, RESUME);
    world.machine.resume_failed(None, Condition::ItemNotFound);

    let said = world.settle();

    let (success, features) = success(&said);
    assert!(success.other("failed", ns::SM).is_some());
    assert!(features.starts_with("<stream:features><bind "), "{features}");
    assert!(!world.machine.is_open() && world.machine.wants_bytes());
}

#[test]
fn nothing_is_done_along_with_a_login_that_failed() {
    let mut world = World::tls();
    let verifier = Verifier::fresh(Hash::Sha256, &password("pencil"));
    world.send(&authenticate(&format!("{RESUME}{BIND2}")));
    world.machine.lookup(LookupAnswer::Verifier(verifier.clone()));
    world.settle();
    world.machine.derived(&verifier.derive_like(&password("guess")));
    world.settle();
    world.machine.failed(&Refusal::new(Sasl::NotAuthorized));

    assert_eq!(world.settle(), failure("not-authorized"));
    assert_eq!(world.steps(), ["lookup bob PLAIN", "derive", "failed bob"]);
    assert!(world.machine.authenticate().is_none());
    // The next login begins anew.
    asks(&mut world, "");
    assert_eq!(world.steps(), ["complete"]);
}

#[test]
fn a_login_that_is_outdated_before_it_is_bound_has_not_happened() {
    let mut world = World::tls();
    asks(&mut world, BIND2);

    world.machine.refused(&Refusal::new(Sasl::NotAuthorized));

    assert_eq!(world.settle(), failure("not-authorized"));
    assert_eq!(world.machine.address(), None);
    assert!(world.machine.wants_bytes());
}

#[test]
fn what_is_not_about_the_credentials_is_no_failure() {
    let refusal = || Refusal::new(Sasl::TemporaryAuthFailure).with_text("not now");
    for (refusal, condition) in [
        (refusal().and_close(), "policy-violation"),
        // It is tried again.
        (refusal().of_crowd(), "resource-constraint"),
        (refusal(), "internal-server-error"),
    ] {
        let mut world = World::tls();
        world.send(&authenticate(""));
        world.machine.lookup(LookupAnswer::Refused(refusal));

        let said = world.settle();

        assert!(said.starts_with(&format!("<stream:error><{condition} ")), "{said}");
        assert!(said.contains(">not now</text>"), "{said}");
        assert!(world.machine.is_over());
    }
}

#[test]
fn a_driver_knows_what_a_client_says_of_itself_until_it_is_told() {
    let mut world = World::tls();
    let user_agent = format!("<user-agent id='{ID}'><device>pocket</device></user-agent>");
    let token = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>";
    asks(&mut world, &format!("{user_agent}{token}"));

    let asked = world.machine.authenticate().unwrap();
    let user_agent = asked.user_agent.clone().unwrap();
    assert_eq!(user_agent.id.unwrap().to_string(), ID);
    assert_eq!(user_agent.device.as_deref(), Some("pocket"));
    assert!(asked.other("request-token", "urn:xmpp:fast:0").is_some());
    assert!(asked.initial_response.is_none(), "it is not kept");

    world.machine.completed(b"");
    assert!(world.machine.authenticate().is_none());
}

#[test]
fn a_stream_opened_in_another_name_leads_to_no_login() {
    let from = |who: &str| HEADER.replace("to=", &format!("from='{who}' to="));
    let mut world = World::new(config(Transport::Tls), Some(channel()));
    world.send(&from("eve@a.example"));
    assert_eq!(world.send(&authenticate("")), failure("invalid-authzid"));
    assert!(world.steps().is_empty());

    for fits in ["Bob@a.example", "bob@a.example/phone"] {
        let mut world = World::new(config(Transport::Tls), Some(channel()));
        world.send(&from(fits));
        asks(&mut world, "");
    }
    let mut world = World::new(config(Transport::Tls), Some(channel()));
    assert_eq!(world.ends(&from("bob@b.example")), "invalid-from");
}

#[test]
fn whoever_has_logged_in_does_not_log_in_again() {
    let done = || {
        let mut world = World::tls();
        asks(&mut world, "");
        world.machine.completed(b"");
        world.settle();
        world.steps();
        world
    };
    assert_eq!(done().ends(&authenticate("")), "not-authorized");
    SPEAKS.set(Profile::Rfc6120);
    assert_eq!(done().ends("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), "not-authorized");
    SPEAKS.set(Profile::Rfc6120);
    // On an open stream it is an element that nobody knows, which the driver ends.
    let mut world = World::open();
    assert_eq!(world.send(&authenticate("")), "");
    assert_eq!(world.steps(), ["element authenticate"]);
}

#[test]
fn the_two_profiles_do_not_mix() {
    SPEAKS.set(Profile::Rfc6120);
    let mut classic = World::tls();
    classic.send(&auth("PLAIN", None));
    SPEAKS.set(Profile::Sasl2);
    assert_eq!(classic.ends(&response("\0bob\0pencil")), "not-authorized");

    let mut extensible = World::tls();
    extensible.send(&auth("PLAIN", None));
    SPEAKS.set(Profile::Rfc6120);
    assert_eq!(extensible.ends(&response("\0bob\0pencil")), "not-authorized");
}

#[test]
fn all_that_can_be_asked_for_at_once_fits_before_a_login() {
    let text = "x".repeat(128);
    let mut world = World::tls();
    asks(
        &mut world,
        &format!(
            "<user-agent id='{ID}'><software>{text}</software><device>{text}</device></user-agent>\
             {RESUME}<bind xmlns='urn:xmpp:bind:0'><tag>{text}</tag><enable \
             xmlns='urn:xmpp:carbons:2'/><enable xmlns='urn:xmpp:sm:3' resume='true'/><inactive \
             xmlns='urn:xmpp:csi:0'/></bind><request-token xmlns='urn:xmpp:fast:0' \
             mechanism='HT-SHA-256-EXPR'/><fast xmlns='urn:xmpp:fast:0' count='1'/>"
        ),
    );
    assert_eq!(world.steps(), ["resume abc 5"]);
}

#[test]
fn an_answer_nobody_waits_for_changes_nothing_in_sasl2() {
    for mut world in [World::tls(), World::logged_in(), World::open()] {
        world.machine.bound_inline(&phone(), b"");
        world.machine.completed(b"<x/>");
        assert_eq!(world.settle(), "");
        assert!(world.machine.wants_bytes());
    }
    // The answers come in their order.
    let mut world = World::tls();
    asks(&mut world, BIND2);
    world.machine.completed(b"");
    world.machine.resumed(7);
    world.machine.bound(&phone());
    assert_eq!(world.settle(), "");
    assert!(!world.machine.is_open());
}
