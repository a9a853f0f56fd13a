//! Tests of the player: a scene that is not true fails, at its line and with what was received.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use whoelse_testkit::play::{Failure, play};
use whoelse_testkit::scene::{Scene, Setting};
use whoelse_testkit::world::Kind;

const HERE: &str = "# A scene.\naccounts: alice, bob\nhere: alice, bob\n";
const HELLO: &str =
    "alice sends\n <message to='{bob}' type='headline' id='1'><body>hi</body></message>\n";

fn played(steps: &str) -> Result<(), Failure> {
    let scene = Scene::read(Path::new("scenes/test.scene"), &format!("{HERE}{steps}")).unwrap();
    play(&scene, Kind::Memory)
}

#[track_caller]
fn fails(steps: &str, line: usize, words: &[&str]) {
    let failure = played(steps).unwrap_err();
    assert_eq!(failure.line, line, "{failure}");
    for word in words {
        assert!(failure.why.contains(word), "`{word}` is not in: {failure}");
    }
}

#[test]
fn a_scene_that_is_true_passes() {
    let heard = "bob hears\n <message from='{alice}' to='{bob}' type='headline' id='1'><body>hi</body></message>\n";

    played(&format!("{HELLO}{heard}bob hears nothing\n")).unwrap();
}

#[test]
fn what_nobody_spoke_of_fails_at_the_end() {
    fails(HELLO, 0, &["bob has heard", "<body>hi</body>"]);
}

#[test]
fn what_is_not_heard_fails_in_its_line() {
    fails("alice hears nothing\nalice hears\n <presence/>\n", 5, &["heard nothing"]);
}

#[test]
fn what_is_heard_otherwise_is_shown_with_the_difference() {
    let heard = "bob hears\n <message from='{alice}' to='{bob}' type='headline' id='1'><body>ho</body></message>\n";

    fails(&format!("{HELLO}{heard}"), 6, &["<body>ho</body>", "<body>hi</body>", "`hi`, not `ho`"]);
}

#[test]
fn hearing_something_is_not_hearing_nothing() {
    fails(&format!("{HELLO}bob hears nothing\n"), 6, &["bob has heard"]);
}

#[test]
fn the_order_counts_unless_it_is_said_not_to() {
    let sends = "alice sends\n <iq type='get' id='{n}'><ping xmlns='urn:xmpp:ping'/></iq>\n"
        .replace("sends\n", "sends, 2 times\n");
    let backwards =
        " <iq type='result' id='2' to='{alice}'/>\n <iq type='result' id='1' to='{alice}'/>\n";

    fails(&format!("{sends}alice hears\n{backwards}"), 6, &["`1`, not `2`"]);
    played(&format!("{sends}alice hears in any order\n{backwards}")).unwrap();
}

#[test]
fn a_login_that_is_refused_is_not_one_that_succeeds() {
    fails("carol logs in\n", 4, &["refused", "not-authorized"]);
    fails("alice/2 cannot log in with password \"x\": conflict\n", 4, &["not-authorized"]);
}

#[test]
fn who_is_still_connected_is_not_disconnected() {
    fails("alice is disconnected\n", 4, &["still connected"]);
    fails("alice's connection breaks\nalice sends\n <presence/>\n", 5, &["not connected"]);
}

#[test]
fn the_clock_moves_only_when_the_scene_says_so() {
    let slow = "eve connects\neve hears nothing\n30 s pass\neve hears\n <stream:stream from='localhost' \
                id='{any}' version='1.0' xml:lang='en'>\n <stream:error>{anything}</stream:error>\n\
                eve is disconnected\n";

    played(slow).unwrap();
    fails(&slow.replace("30 s", "29 s"), 7, &["heard nothing"]);
}

/// A test is worth something if it fails without the defence: this covers defences that have a
/// setting.
#[test]
fn a_scene_of_security_fails_without_the_defence() {
    for (name, setting) in [
        ("security/row-05-half-open", "half_open_per_network = 20"),
        ("security/row-05-half-open", "waiting_per_network = 2"),
        ("security/row-05-half-open-in-all", "half_open = 20"),
        ("security/row-24-forged-carbons", "features_off = forgeries"),
        ("security/row-28-stanza-id", "features_off = stanza-ids"),
        ("security/row-42-tries-at-once", "block_duration = 0 s"),
        ("behaviour/broadcast/forged", "features_off = forgeries"),
        ("behaviour/log-in/third-failure", "block_duration = 0 s"),
        ("behaviour/log-in/own-network", "own_networks = 127.0.0.3"),
        ("behaviour/message/mailbox-full", "undelivered_messages = 1000"),
        ("behaviour/sessions/one-is-refused", "sessions = many"),
        ("behaviour/timeout/idle", "timeout = 0 s"),
        ("rfc-6120/4-streams/too-slow", "negotiation = 1 h"),
        ("xep-0077/closed", "registration = open"),
        ("xep-0191/too-many", "blocks = 1000"),
        ("xep-0191/what-the-blocked-cannot-do", "features_off = blocking"),
        ("xep-0198/silent-client", "ack_wait = 1 h"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenes/{name}.scene"));
        let mut scene = Scene::open(&path).unwrap();
        let (key, value) = setting.split_once(" = ").unwrap();
        let (key, value) = (key.to_owned(), value.to_owned());
        // The last setting counts.
        scene.settings.push(Setting { key, value });

        assert!(play(&scene, Kind::Memory).is_err(), "{name} passes with {setting}");
    }
}
