//! behaviour.md, Rooms at the keyboard: three people in our own client, typed as people and scripts do.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Home, Raw, Server, Terminal, password};
use serde_json::{Value, json};

const PEOPLE: &[&str] = &["alice", "bob", "carol"];

/// A server with a configuration file, and more settings.
fn with_settings(more: &str) -> Server {
    let home = Home::with_people(PEOPLE);
    let settings = format!("listen = \"127.0.0.1:0\"\nregistration = \"closed\"\n{more}\n");
    home.write("whoelse.toml", &settings);
    home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"])
}

/// Logs in a client that is told of nobody who is online.
fn online(server: &Server, name: &str) -> Client {
    let mut client = Client::start(server);
    client.log_in(name);
    client.meanwhile();
    client
}

/// Makes a room.
fn make(client: &mut Client, room: &str, me: &str) {
    client.say(&format!("join {room}"));
    client.wait(&format!("there is no {room}"));
    client.expect("Make it? [y/N]");
    client.say("y");
    client.wait_for_all(&[
        &format!("* you are in {room} as {me}, and nobody else is there"),
        &format!("{room} is made, and"),
    ]);
}

/// Alice and bob in a room that alice has made, where everybody is everybody's contact.
fn alice_and_bob(server: &Server) -> (Client, Client) {
    let mut alice = online(server, "alice");
    make(&mut alice, "#lunch", "alice");
    let mut bob = online(server, "bob");
    bob.say("join #lunch");
    bob.wait("* you are in #lunch as bob, with alice; all see whose nickname is whose");
    alice.wait("* bob is in #lunch");
    (alice, bob)
}

#[test]
fn three_people_talk_in_a_room_that_one_of_them_has_made() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let mut carol = online(&server, "carol");

    alice.wait("* carol logged in");
    alice.says("invite carol #lunch", "carol is invited to #lunch");
    carol.wait("* alice invites you to #lunch: join #lunch");
    carol.says(
        "join lunch",
        "* you are in #lunch as carol, with alice and bob; all see whose nickname is whose",
    );
    alice.wait("* carol is in #lunch");
    alice.say("message #lunch hello  there");
    bob.wait("#lunch alice: hello  there");
    carol.expect("#lunch alice: hello  there");
    carol.say("message lunch@conference.localhost <hi> & bye");
    alice.expect("#lunch carol: <hi> & bye");
    bob.expect("#lunch carol: <hi> & bye");
    // What I say myself is not repeated.
    carol.hears_nothing();
    alice.says("topic #lunch pizza", "* alice has set the topic of #lunch: pizza");
    bob.expect("* alice has set the topic of #lunch: pizza");
    bob.says("topic #lunch", "the topic of #lunch is: pizza");
    carol.wait("* alice has set the topic of #lunch: pizza");
    carol.say("members #lunch");
    for line in ["carol  participant; you", "alice  owner", "bob    participant"] {
        carol.expect(line);
    }
    alice.says("kick bob #lunch too loud", "* bob was put out of #lunch by alice (too loud)");
    bob.expect("* you were put out of #lunch by alice (too loud); join #lunch brings you back");
    bob.says("message #lunch hi", "you are not in #lunch; join #lunch enters it");
    bob.say("join #lunch");
    bob.wait("* the topic of #lunch is: pizza");
    alice.say("ban carol #lunch");
    carol.wait(
        "* you were put out of #lunch by alice, and may not come back; its admins can change that",
    );
    carol.says("join #lunch", "you are banned from #lunch; its admins can change that");
    alice.wait_for_all(&["* carol was put out of #lunch by alice", "carol is banned from #lunch"]);
    alice.says("unban carol #lunch", "carol may enter #lunch again");
    alice.says("unban carol #lunch", "carol is not banned from #lunch");
    carol.say("join #lunch");
    carol.wait("* the topic of #lunch is: pizza");
    alice.wait("* carol is in #lunch");
    carol.says("leave #lunch", "you have left #lunch");
    carol.says("leave #lunch", "you are not in #lunch; join #lunch enters it");
    alice.expect("* carol has left #lunch");
}

#[test]
fn what_was_said_before_has_its_time_and_is_shown_once() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    alice.say("message #lunch hi");
    bob.wait("#lunch alice: hi");

    let mut carol = online(&server, "carol");
    carol.say("join #lunch");

    let line = carol.lines.wait_for("what was said", |line| line.contains("#lunch alice"));
    assert!(line.starts_with('[') && line.ends_with("] #lunch alice: hi"), "{line}");
    // And it is in the room's archive.
    bob.meanwhile();
    bob.say("history #lunch 5");
    let line = bob.lines.next();
    assert!(line.starts_with('[') && line.ends_with("] #lunch alice: hi"), "{line}");
    bob.hears_nothing();
    carol.says("history #nowhere", "there is no #nowhere");
}

#[test]
fn a_room_is_there_again_at_the_next_login_and_after_a_restart_of_the_server() {
    let home = Home::with_people(PEOPLE);
    let mut server = home.start_at(common::ports::lasting(), &[]);
    let (mut alice, mut bob) = alice_and_bob(&server);
    alice.say("topic #lunch pizza");
    bob.wait("* alice has set the topic of #lunch: pizza");

    assert_eq!(bob.end().code(), Some(0));
    alice.wait("* bob has left #lunch");
    let mut bob = online(&server, "bob");
    alice.wait("* bob is in #lunch");
    bob.say("message #lunch me again");
    alice.expect("#lunch bob: me again");

    server.stop();
    alice.wait("* connection lost, reconnecting…");
    alice.say("message #lunch said while away");
    server.start_again();
    alice.lines.wait_for("alice is back", |line| line.starts_with("* you are back in #lunch"));
    bob.lines.wait_for("bob is back", |line| line.starts_with("* you are back in #lunch"));
    let heard = bob.lines.wait_for("alice's line", |line| line.contains("said while away"));
    assert!(heard.ends_with("#lunch alice: said while away"), "{heard}");
    bob.say("message #lunch and now");
    alice.wait("#lunch bob: and now");

    // What is left is not entered any more, and what is known was not told again.
    bob.says("leave #lunch", "you have left #lunch");
    assert_eq!(bob.end().code(), Some(0));
    let mut bob = online(&server, "bob");
    bob.say("rooms");
    bob.wait("#lunch  everybody finds it");
}

#[test]
fn nobody_makes_a_room_who_has_not_said_yes() {
    let server = Server::of(PEOPLE);
    let mut alice = online(&server, "alice");
    alice.says("rooms", "there are no rooms yet; join #NAME makes one");
    make(&mut alice, "#teachers", "alice");

    for answer in ["n", "no", "", "yess"] {
        alice.says("join #techers", "there is no #techers; did you mean #teachers?");
        alice.expect("Make it? [y/N]");
        alice.says(answer, "nothing is made");
    }
    // A command in place of an answer is obeyed.
    alice.says("join #dinner", "there is no #dinner");
    alice.expect("Make it? [y/N]");
    alice.says("topic #teachers", "nothing is made");
    alice.expect("#teachers has no topic");
    alice.says("rooms", "#teachers  you are there as alice, alone");
    alice.says("join #teachers", "you are in #teachers already");
}

#[test]
fn rooms_are_listed_in_the_order_of_their_names() {
    let server = Server::of(PEOPLE);
    let mut alice = online(&server, "alice");
    make(&mut alice, "#soup", "alice");
    make(&mut alice, "#soup-kitchen", "alice");

    alice.says("rooms", "#soup          you are there as alice, alone");
    alice.expect("#soup-kitchen  you are there as alice, alone");
}

#[test]
fn a_refusal_of_a_room_says_what_to_do() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let mut carol = online(&server, "carol");

    carol.says(
        "join #lunch bob",
        "somebody else is called bob in #lunch; join #lunch NICK enters by another name",
    );
    carol.says("leave #lunch", "you are not in #lunch; join #lunch enters it");
    carol.says("members #lunch", "you are not in #lunch; join #lunch enters it");
    carol.says("message #nowhere x", "you are not in #nowhere; join #nowhere enters it");
    carol.says("invite bob #lunch", "you are not in #lunch; join #lunch enters it");
    carol.says("join", "usage: join ROOM [NICK]");
    carol.says("message #lunch", "usage: message ROOM TEXT");
    carol.says("message #lunch  ", "usage: message ROOM TEXT");
    carol.says("message bob", "usage: message USER TEXT");
    carol.says("history #lunch 1 2", "usage: history ROOM [N]");
    carol.says("join a/b", "'a/b' is not a room; rooms are typed as #lunch");
    carol.says("join a@b@c", "'a@b@c' is not a room; rooms are typed as #lunch");
    carol.says("grant bob #lunch king", "usage: grant USER ROOM none|member|moderator|admin|owner");
    bob.meanwhile();
    for (line, answer) in [
        (
            "topic #lunch x",
            "only moderators of #lunch may set its topic; members #lunch lists them",
        ),
        (
            "kick alice #lunch",
            "only moderators of #lunch may put others out; members #lunch lists them",
        ),
        ("ban alice #lunch", "only admins of #lunch may ban others; members #lunch lists them"),
        (
            "unban carol #lunch",
            "only admins of #lunch may let others come back; members #lunch lists them",
        ),
        (
            "grant carol #lunch member",
            "only admins of #lunch may say who is a member; members #lunch lists them",
        ),
        (
            "close #lunch",
            "only owners of #lunch may say who may enter it; members #lunch lists them",
        ),
        ("invite dave #lunch", "there is no user dave"),
        ("invite bob #lunch", "you cannot invite yourself"),
        ("kick dave", "usage: kick NICK ROOM [REASON]"),
    ] {
        bob.says(line, answer);
    }
    alice.meanwhile();
    alice.says(
        "kick dave #lunch",
        "nobody is called dave in #lunch; members #lunch lists who is there",
    );
    alice.says("grant alice #lunch none", "that is you");
    alice.say("grant bob #lunch admin");
    alice.wait_for_all(&["* bob is an admin in #lunch now", "bob is an admin of #lunch now"]);
    bob.wait("* you are an admin in #lunch now");
    bob.says("ban alice #lunch", "alice is of a higher rank than you in #lunch");
}

#[test]
fn a_room_for_members_alone_lets_in_whom_it_invites() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);

    alice.say("close #lunch");
    bob.wait("* #lunch is for members alone now, and you are none; somebody there can invite you");
    alice.wait_for_all(&[
        "* bob had to leave #lunch, which is for members alone",
        "only members may be in #lunch",
    ]);
    bob.says("join #lunch", "only members may enter #lunch; somebody there can invite you");
    alice.says("invite bob #lunch", "bob is invited to #lunch");
    bob.wait("* alice invites you to #lunch: join #lunch");
    bob.say("join #lunch");
    alice.wait("* bob is in #lunch");
    alice.say("members #lunch");
    alice.expect("alice  owner; you");
    alice.expect("bob    member");
    alice.says("open #lunch", "everybody may enter #lunch now who is not banned");
    let mut carol = online(&server, "carol");
    carol.say("join #lunch two words");
    alice.wait("* two words is in #lunch");
    alice.says("kick two words #lunch", "* two words was put out of #lunch by alice");
}

#[test]
fn a_room_that_is_destroyed_is_gone_for_everybody_after_a_question() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);

    let question = "#lunch would be gone for everybody, with all that was said in it";
    alice.says("destroy #lunch", question);
    alice.expect("Destroy it? [y/N]");
    alice.says("n", "nothing is destroyed");
    alice.says("destroy #lunch", question);
    alice.expect("Destroy it? [y/N]");
    alice.say("yes");
    bob.wait("* #lunch is no more");
    alice.wait("#lunch is destroyed");
    common::eventually("bob's bookmark is taken back", || {
        bob.say("rooms");
        bob.meanwhile().iter().any(|line| line.starts_with("there are no rooms")).then_some(())
    });
}

#[test]
fn what_another_device_joins_or_leaves_this_one_does_too() {
    let server = with_settings("contacts = \"roster\"\nsessions = \"many\"");
    let mut desk = online(&server, "alice");
    let mut phone = online(&server, "alice");

    make(&mut desk, "#lunch", "alice");
    phone.wait(
        "* you are in #lunch as alice, and nobody else is there, since another device of yours has \
         joined it",
    );
    desk.say("message #lunch from my desk");
    phone.wait("#lunch alice: from my desk");
    desk.hears_nothing();
    desk.says("leave #lunch", "you have left #lunch");
    phone.expect("* you have left #lunch, on another device");
}

#[test]
fn where_contacts_are_a_list_a_room_is_hidden_and_shows_addresses_to_its_moderators_alone() {
    let server = with_settings("contacts = \"roster\"");
    let mut alice = online(&server, "alice");
    make(&mut alice, "#lunch", "alice");
    let mut bob = online(&server, "bob");

    bob.says("rooms", "there are no rooms yet; join #NAME makes one");
    bob.says("join #lunch rob", "* you are in #lunch as rob, with alice");
    bob.say("members #lunch");
    bob.expect("rob (bob)  participant; you");
    bob.expect("alice      owner");
    alice.wait("* rob is in #lunch");
    alice.say("members #lunch");
    alice.expect("alice      owner; you");
    alice.expect("rob (bob)  participant");
    // Who moderates knows whose account a nickname is.
    alice.say("ban rob #lunch");
    alice.wait("rob (bob) is banned from #lunch");
}

#[test]
fn what_the_blocked_say_in_a_room_is_not_shown() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let mut carol = online(&server, "carol");
    carol.say("join #lunch");
    alice.wait("* carol is in #lunch");

    alice.meanwhile();
    alice.says(
        "block bob",
        "bob is blocked; in rooms that you share they still see you, and what you say",
    );
    bob.say("message #lunch can you see this?");
    carol.wait("#lunch bob: can you see this?");
    alice.hears_nothing();
    carol.say("message #lunch I can");
    alice.wait("#lunch carol: I can");
    alice.meanwhile();
    alice.say("history #lunch");
    let shown = alice.meanwhile();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].ends_with("carol: I can"), "{shown:?}");
    alice.say("unblock bob");
    alice.meanwhile();
    bob.say("message #lunch and this?");
    alice.wait("#lunch bob: and this?");
}

#[test]
fn another_nickname_is_taken_and_a_taken_one_refused() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);

    bob.says("join #lunch robert", "* you are called robert in #lunch now");
    alice.wait("* bob is called robert in #lunch now");
    bob.says(
        "join #lunch Alice",
        "somebody else is called Alice in #lunch; join #lunch NICK enters by another name",
    );
    bob.say("message #lunch hi");
    alice.expect("#lunch robert: hi");
}

/// An owner gives a room the password "open sesame".
fn set_password(owner: &mut Raw) {
    owner
        .send(
            "<iq type='set' id='c' to='lunch@conference.localhost'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='muc#roomconfig_roomsecret'><value>open sesame</value></field></x>\
             </query></iq>",
        )
        .unwrap();
    owner.stanza(|stanza| stanza.id() == Some("c")).unwrap();
}

#[test]
fn a_room_with_a_password_asks_for_it() {
    let server = Server::of(PEOPLE);
    let (alice, mut bob) = alice_and_bob(&server);
    drop(alice);
    let mut owner = common::eventually("alice is logged out", || {
        let raw = Raw::connect(server.address, None).ok()?;
        raw.try_log_in("alice", &password("alice")).ok()?.ok()
    });
    set_password(&mut owner);
    bob.wait("* alice has left #lunch");
    bob.says("leave #lunch", "you have left #lunch");

    bob.says("join #lunch", "#lunch has a password");
    bob.expect("Its password:");
    bob.says("wrong", "that is not the password of #lunch");
    bob.says("join #lunch", "#lunch has a password");
    bob.expect("Its password:");
    bob.say("open sesame");
    bob.wait(
        "* you are in #lunch as bob, and nobody else is there; all see whose nickname is whose",
    );
    // It is noted with the bookmark.
    assert_eq!(bob.end().code(), Some(0));
    let mut bob = Client::start(&server);
    bob.log_in("bob");
    bob.wait(
        "* you are in #lunch as bob, and nobody else is there; all see whose nickname is whose",
    );
}

#[test]
fn what_is_typed_after_a_wrong_password_of_a_room_is_not_shown_nor_obeyed() {
    let server = Server::of(PEOPLE);
    let mut owner = Raw::online(server.address, "alice");
    owner
        .send(
            "<presence to='lunch@conference.localhost/alice'>\
             <x xmlns='http://jabber.org/protocol/muc'/></presence>",
        )
        .unwrap();
    owner.stanza(|it| it.from() == Some("lunch@conference.localhost/alice")).unwrap();
    set_password(&mut owner);
    let mut bob = Terminal::start(&server);
    bob.log_in("bob");

    bob.enter("join #lunch");
    bob.types("Its password: ");
    bob.press("a guess\ropen sesame\r");

    bob.sees("that is not the password of #lunch");
    bob.types("> ");
    bob.enter("help quit");
    bob.sees("quit  Log out and end the program.");
    assert!(!bob.written().contains("sesame"), "{}", bob.written());
}

// ---- what is new ----

/// Logs bob in again, and returns what he is shown of the room up to this line of alice's.
fn shown_to_bob(server: &Server, alice: &mut Client, last: &str) -> (Client, Vec<String>) {
    let mut bob = Client::start(server);
    bob.log_in("bob");
    alice.wait("* bob is in #lunch");
    alice.say(&format!("message #lunch {last}"));
    let shown = bob.lines.collect(last, |line| line == format!("#lunch alice: {last}"));
    (bob, shown.into_iter().filter(|line| line.contains("#lunch")).collect())
}

fn leave(mut bob: Client, alice: &mut Client) {
    assert_eq!(bob.end().code(), Some(0));
    alice.wait("* bob has left #lunch");
}

#[test]
fn at_a_login_only_what_is_new_is_shown_and_only_what_was_seen_by_somebody_is_not() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let mut carol = online(&server, "carol");
    carol.say("join #lunch");
    alice.wait("* carol is in #lunch");
    alice.say("message #lunch one");
    bob.wait("#lunch alice: one");
    bob.say("message #lunch mine");
    alice.wait("#lunch bob: mine");
    leave(bob, &mut alice);
    alice.say("message #lunch two");
    carol.wait("#lunch alice: two");
    // He reads it, and does nothing.
    for last in ["three", "four"] {
        let (bob, shown) = shown_to_bob(&server, &mut alice, last);
        assert!(!shown.iter().any(|line| line.ends_with("one") || line.ends_with("mine")));
        let old = shown.iter().filter(|line| line.ends_with("] #lunch alice: two"));
        assert_eq!(old.count(), 1, "{shown:#?}");
        leave(bob, &mut alice);
    }

    let (mut bob, shown) = shown_to_bob(&server, &mut alice, "five");
    assert!(shown.iter().any(|line| line.ends_with("] #lunch alice: three")), "{shown:#?}");
    bob.say("quit");
    leave(bob, &mut alice);
    let (bob, shown) = shown_to_bob(&server, &mut alice, "six");
    let there = "* you are in #lunch as bob, with alice and carol; all see whose nickname is whose";
    assert_eq!(shown, [there, "#lunch alice: six"]);
    leave(bob, &mut alice);

    // More is new than the room tells whoever enters.
    for n in 0..25 {
        alice.say(&format!("message #lunch {n}"));
    }
    carol.wait("#lunch alice: 24");
    let (bob, shown) = shown_to_bob(&server, &mut alice, "seven");
    assert_eq!(shown[1], "* more was said in #lunch before: history #lunch", "{shown:#?}");
    assert!(shown[shown.len() - 2].ends_with("] #lunch alice: 24"), "{shown:#?}");
    leave(bob, &mut alice);
}

#[test]
fn what_was_seen_on_one_device_is_new_on_none() {
    let server = with_settings("contacts = \"everyone\"\nsessions = \"many\"");
    let (mut alice, mut laptop) = alice_and_bob(&server);
    let mut phone = Client::start(&server);
    phone.log_in("bob");
    phone.wait("* you are in #lunch as bob, with alice; all see whose nickname is whose");
    alice.say("message #lunch one");
    laptop.wait("#lunch alice: one");
    phone.wait("#lunch alice: one");
    phone.say("topic #lunch");
    assert_eq!(phone.end().code(), Some(0));
    leave(laptop, &mut alice);

    let (bob, shown) = shown_to_bob(&server, &mut alice, "two");
    assert!(!shown.iter().any(|line| line.ends_with("one")), "{shown:#?}");
    leave(bob, &mut alice);
}

#[test]
fn a_program_is_shown_everything_and_reads_nothing() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    alice.say("message #lunch one");
    bob.wait("#lunch alice: one");
    bob.meanwhile();
    leave(bob, &mut alice);
    alice.say("message #lunch two");

    let mut script = Script::start(&server, "bob");
    for text in ["one", "two"] {
        assert_eq!(script.until("room_message")["text"], json!(text));
    }
    script.says("members #lunch", "answer");
    leave(script.0, &mut alice);
    let (bob, shown) = shown_to_bob(&server, &mut alice, "three");
    assert!(shown.iter().any(|line| line.ends_with("] #lunch alice: two")), "{shown:#?}");
    assert!(!shown.iter().any(|line| line.ends_with("one")), "{shown:#?}");
    leave(bob, &mut alice);
}

// ---- for programs ----

/// A client that is read by a program.
struct Script(Client);

impl Script {
    fn start(server: &Server, name: &str) -> Script {
        let file = server.home.write(&format!("{name}.password"), &password(name));
        let args = ["--json", "--user", name, "--password-file", file.to_str().unwrap()];
        let mut script = Script(Client::start_with(&server.home, server.address, &args));
        script.until("welcome");
        script
    }

    /// Returns the next object of this kind.
    #[track_caller]
    fn until(&mut self, kind: &str) -> Value {
        self.until_one_of(&[kind])
    }

    /// Returns the next object of one of these kinds.
    #[track_caller]
    fn until_one_of(&mut self, kinds: &[&str]) -> Value {
        let is_of = |line: &str, kind: &str| line.starts_with(&format!("{{\"event\":\"{kind}\""));
        let fits = |line: &str| kinds.iter().any(|kind| is_of(line, kind));
        serde_json::from_str(&self.0.lines.wait_for("one of these", fits)).unwrap()
    }

    /// Types a line, and returns the next object of this kind.
    #[track_caller]
    fn says(&mut self, line: &str, kind: &str) -> Value {
        self.0.say(line);
        self.until(kind)
    }
}

#[test]
fn a_program_makes_a_room_when_it_says_so_and_each_message_has_its_verdict() {
    let server = Server::of(PEOPLE);
    let mut alice = Script::start(&server, "alice");

    let failed = alice.says("join #lunch", "failed");
    assert_eq!(
        (&failed["command"], &failed["condition"]),
        (&json!("join"), &json!("no-such-room"))
    );
    let made = alice.says(r##"{"join":{"room":"#lunch","create":true}}"##, "answer");
    assert_eq!(
        (&made["command"], &made["room"], &made["nick"], &made["made"]),
        (&json!("join"), &json!("#lunch"), &json!("alice"), &json!(true))
    );
    let mut bob = Script::start(&server, "bob");
    bob.0.say("join #lunch rob");
    let entered = bob.until("room_entered");
    assert_eq!((&entered["nick"], &entered["reason"]), (&json!("rob"), &json!("asked")));
    assert_eq!(
        entered["others"],
        json!([{"nick": "alice", "user": "alice", "affiliation": "owner", "role": "moderator"}])
    );
    let came = alice.until("room_came");
    assert_eq!((&came["nick"], &came["user"]), (&json!("rob"), &json!("bob")));

    alice.0.say(r##"{"message":{"to":"#lunch","text":"two\nlines","id":"m1"}}"##);
    assert_eq!(alice.until("sent"), json!({"event": "sent", "id": "m1", "to": "#lunch"}));
    assert_eq!(
        alice.until("acknowledged"),
        json!({"event": "acknowledged", "id": "m1", "to": "#lunch"})
    );
    let heard = bob.until("room_message");
    assert_eq!((&heard["room"], &heard["nick"]), (&json!("#lunch"), &json!("alice")));
    assert_eq!((&heard["text"], &heard["only_to_me"]), (&json!("two\nlines"), &json!(false)));
    let failed = bob.says(r##"{"message":{"to":"#no","text":"x","id":"m2"}}"##, "failed");
    assert_eq!((&failed["id"], &failed["condition"]), (&json!("m2"), &json!("not-there")));

    alice.0.say(r##"{"topic":{"room":"#lunch","text":"pizza"}}"##);
    let topic = bob.until("room_topic");
    assert_eq!((&topic["by"], &topic["topic"]), (&json!("alice"), &json!("pizza")));
    let members = bob.says("members #lunch", "answer");
    assert_eq!(members["members"][0]["nick"], json!("rob"));
    assert_eq!(members["members"][1]["affiliation"], json!("owner"));
    alice.0.say("kick rob #lunch noise");
    let left = bob.until("room_left");
    assert_eq!(
        (&left["reason"], &left["by"], &left["why"]),
        (&json!("kicked"), &json!("alice"), &json!("noise"))
    );
    let rooms = bob.says("rooms", "answer");
    assert_eq!(
        rooms["rooms"],
        json!([{"room": "#lunch", "nick": null, "others": null, "topic": null,
                "noted": true, "listed": true}])
    );
    alice.0.say("destroy #lunch");
    let kinds = ["room_left", "answer\",\"command\":\"destroy"];
    let told = [(); 2].map(|()| alice.until_one_of(&kinds));
    let of = |kind: &str| told.iter().find(|it| it["event"] == kind).unwrap();
    assert_eq!(of("room_left")["reason"], json!("destroyed"));
    assert_eq!(of("answer")["text"], json!("#lunch is destroyed"));
    // What was typed before the end of the input is told in the room.
    assert_eq!(alice.0.end().code(), Some(0));
}

#[test]
fn where_nobody_is_logged_in_what_is_about_a_room_is_refused_for_that_at_once() {
    let server = Server::of(PEOPLE);
    let mut alice = Script::start(&server, "alice");
    alice.says("logout", "logged_out");

    for line in [
        r##"{"message":{"to":"#lunch","text":"hi","id":"m1"}}"##,
        r##"{"topic":{"room":"#lunch","text":"pizza"}}"##,
        r##"{"join":{"room":"#lunch"}}"##,
        "join #lunch",
    ] {
        assert_eq!(alice.says(line, "failed")["condition"], json!("not-logged-in"), "{line}");
    }
}

#[test]
fn what_a_script_says_last_is_told_before_it_ends() {
    let server = Server::of(PEOPLE);
    let (mut alice, mut bob) = alice_and_bob(&server);
    assert_eq!(alice.end().code(), Some(0));
    bob.wait("* alice has left #lunch");

    let mut alice = Client::start(&server);
    alice.say("alice");
    alice.say(&password("alice"));
    alice.say("join #lunch");
    alice.say("message #lunch the backup is done");
    assert_eq!(alice.end().code(), Some(0));

    bob.wait("#lunch alice: the backup is done");
    assert!(alice.lines.rest().iter().all(|line| !line.contains("nobody knows")));
}
