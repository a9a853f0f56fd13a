//! What happens in a room, and who is told what of it.
#![allow(clippy::unwrap_used)]

use whoelse_xmpp::{Kind, Stanza};

use super::*;
use crate::muc::change::{Asker, Wish as Wanted};
use crate::muc::config::Whois;

const NOW: Time = Time(1_767_225_600_000_000);

fn jid(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@x.example")).unwrap()
}

fn device(text: &str) -> FullJid {
    let (name, resource) = text.split_once('/').unwrap_or((text, "desk"));
    jid(name).with_resource(resource).unwrap()
}

/// A room that alice owns, in which nobody is.
fn room() -> Room {
    let address = BareJid::parse("lunch@rooms.example").unwrap();
    let mut room = Room::new(address, Config::BASE, b"secret".to_vec());
    list(&mut room, "alice", Affiliation::Owner);
    room
}

fn list(room: &mut Room, name: &str, affiliation: Affiliation) {
    let listed = Listed { affiliation, nick: None, since: NOW, is_nobodys: false };
    room.set_listed(jid(name), Some(listed));
}

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.to_owned()).unwrap()
}

/// Somebody enters by this nickname. Returns what everybody is told.
fn enters(room: &mut Room, who: &str, nick: &str) -> Vec<String> {
    tries_to_enter(room, who, nick, None).unwrap()
}

fn tries_to_enter(
    room: &mut Room,
    who: &str,
    nick: &str,
    password: Option<&str>,
) -> Result<Vec<String>, Condition> {
    let presence = stanza(&format!("<presence><status>{who}</status></presence>"));
    let said = Said { stanza: &presence, strip: &[], lang: None };
    let device = device(who);
    let account = i64::from(device.as_str().as_bytes()[0]);
    let seat = Seat::named(device.as_str(), account);
    let entry =
        Entry { seat, nick, said, password, history: Wish::default(), keeps: false, most: 100 };
    room.enter(entry, NOW).map(|told| heard(&told)).map_err(|error| error.condition)
}

fn says(room: &mut Room, who: &str, nick: &str, xml: &str) -> Vec<String> {
    let presence = stanza(xml);
    let said = Said { stanza: &presence, strip: &[], lang: None };
    heard(&room.change_presence(&device(who), nick, said).unwrap().unwrap())
}

fn leaves(room: &mut Room, who: &str) -> Vec<String> {
    heard(&room.leave(&device(who), None))
}

/// Somebody wants this of others.
fn wants(room: &mut Room, who: &str, wishes: &[Wanted]) -> Result<Vec<String>, Condition> {
    let (device, who) = (device(who), device(who).to_bare());
    let asker = Asker { device: &device, who: &who };
    let judged = room.judge(&asker, wishes, 10).map_err(|error| error.condition)?;
    Ok(heard(&room.make(&judged, NOW)))
}

fn role(nick: &str, role: Role) -> Wanted {
    Wanted::Role { nick: nick.into(), role, reason: None }
}

fn affiliation(name: &str, to: Affiliation) -> Wanted {
    Wanted::Affiliation { who: jid(name), to, nick: None, reason: None }
}

/// Each thing that is told in a line, as `bob/desk: alice owner/moderator 110`.
fn heard(told: &[Told]) -> Vec<String> {
    let line = |told: &Told| match told {
        Told::To(seat, it) => format!("{}: {}", short(seat), brief(it)),
        Told::Last(seat, it) => format!("{} at last: {}", short(seat), brief(it)),
        Told::All(it) => format!("all: {}", brief(it)),
    };
    told.iter().map(line).collect()
}

fn short(seat: &Seat) -> String {
    seat.jid.as_str().replace("@x.example", "")
}

fn brief(outgoing: &Outgoing) -> String {
    let stanza = Stanza::parse(outgoing.bytes.clone()).unwrap();
    let from = stanza.from().unwrap_or_default().replace("lunch@rooms.example", "");
    let mut parts = vec![from.trim_start_matches('/').to_owned()];
    if stanza.kind() == Kind::Message {
        for name in ["body", "subject"] {
            parts.extend(stanza.child_text(name, ns::CLIENT).map(|text| format!("\"{text}\"")));
        }
    }
    parts.extend(stanza.type_().filter(|type_| *type_ == "unavailable").map(|_| "gone".to_owned()));
    if let Some(x) = stanza.child("x", ns::MUC_USER) {
        for child in stanza.grandchildren(x) {
            let attr = |name| stanza.child_attr(&child, name).map(|it| it.to_string());
            match child.name() {
                "item" => {
                    parts.push(format!(
                        "{}/{}",
                        attr("affiliation").unwrap(),
                        attr("role").unwrap()
                    ));
                    parts.extend(attr("jid").map(|jid| jid.replace("@x.example", "")));
                    parts.extend(attr("nick").map(|nick| format!("now {nick}")));
                }
                "status" => parts.push(attr("code").unwrap()),
                other => parts.push(other.to_owned()),
            }
        }
    }
    parts.join(" ")
}

#[test]
fn whoever_enters_is_told_of_all_then_of_oneself_then_of_the_subject() {
    let mut room = room();

    let alice = enters(&mut room, "alice", "Ali");
    let bob = enters(&mut room, "bob", "Bob");

    assert_eq!(alice, ["alice/desk: Ali owner/moderator alice/desk 110", "alice/desk:  \"\""]);
    assert_eq!(
        bob,
        [
            // Whoever moderates sees who it is.
            "alice/desk: Bob none/participant bob/desk",
            "bob/desk: Ali owner/moderator",
            "bob/desk: Bob none/participant bob/desk 110",
            "bob/desk:  \"\"",
        ]
    );
}

#[test]
fn in_a_non_anonymous_room_everybody_sees_who_everybody_is_and_is_told_so_first() {
    let mut room = room();
    room.config.whois = Whois::Anyone;
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");

    let eve = enters(&mut room, "eve", "Eve");

    assert_eq!(
        eve,
        [
            "alice/desk: Eve none/participant eve/desk",
            "bob/desk: Eve none/participant eve/desk",
            "eve/desk: Ali owner/moderator alice/desk",
            "eve/desk: Bob none/participant bob/desk",
            "eve/desk: Eve none/participant eve/desk 110 100",
            "eve/desk:  \"\"",
        ]
    );
}

#[test]
fn a_second_device_of_a_person_sits_with_the_first_and_others_hear_nothing_of_it() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob/phone", "Bob");

    let second = enters(&mut room, "bob/desk", "bob");
    assert_eq!(
        second,
        [
            "bob/desk: Ali owner/moderator",
            // By the name that the person has here.
            "bob/desk: Bob none/participant bob/desk 110 210",
            "bob/desk:  \"\"",
        ]
    );
    assert_eq!(tries_to_enter(&mut room, "eve", "BOB", None), Err(Condition::Conflict));

    assert_eq!(
        leaves(&mut room, "bob/phone"),
        [
            "bob/phone at last: Bob gone none/none bob/phone 110",
            // What others saw was the presence of that one.
            "alice/desk: Bob none/participant bob/desk",
        ]
    );
    assert_eq!(
        leaves(&mut room, "bob/desk"),
        [
            "bob/desk at last: Bob gone none/none bob/desk 110",
            "alice/desk: Bob gone none/none bob/desk",
        ]
    );
    assert_eq!(leaves(&mut room, "bob/desk"), [""; 0]);
}

#[test]
fn who_may_not_enter_is_told_why_and_nobody_else_is_told_anything() {
    let mut room = room();
    list(&mut room, "mal", Affiliation::Outcast);
    list(&mut room, "mem", Affiliation::Member);
    let evil =
        Listed { affiliation: Affiliation::Outcast, nick: None, since: NOW, is_nobodys: false };
    room.set_listed(BareJid::parse("evil.example").unwrap(), Some(evil));
    let kept = Listed {
        affiliation: Affiliation::Member,
        nick: Some("Boss".into()),
        since: NOW,
        is_nobodys: false,
    };
    room.set_listed(jid("kay"), Some(kept));
    enters(&mut room, "alice", "Ali");
    let enter = |room: &mut Room, who: &str, nick: &str, password| {
        tries_to_enter(room, who, nick, password).map(|told| told.len())
    };

    assert_eq!(enter(&mut room, "mal", "Mal", None), Err(Condition::Forbidden));
    assert_eq!(enter(&mut room, "bob", "  ", None), Err(Condition::JidMalformed));
    assert_eq!(enter(&mut room, "bob", &"x".repeat(201), None), Err(Condition::JidMalformed));
    assert_eq!(enter(&mut room, "bob", "ali", None), Err(Condition::Conflict));
    assert_eq!(enter(&mut room, "bob", "boss", None), Err(Condition::Conflict));
    assert!(enter(&mut room, "kay", "boss", None).is_ok());
    let stranger = BareJid::parse("eve@evil.example").unwrap();
    assert_eq!(room.may_enter(&stranger, None).unwrap_err().condition, Condition::Forbidden);

    room.config.password = "sesame".into();
    assert_eq!(enter(&mut room, "bob", "Bob", None), Err(Condition::NotAuthorized));
    assert_eq!(enter(&mut room, "bob", "Bob", Some("open")), Err(Condition::NotAuthorized));
    assert!(enter(&mut room, "bob", "Bob", Some("sesame")).is_ok());
    assert!(enter(&mut room, "alice/phone", "Ali", None).is_ok(), "an owner knows it anyway");

    room.config.members_only = true;
    room.config.password.clear();
    assert_eq!(enter(&mut room, "eve", "Eve", None), Err(Condition::RegistrationRequired));
    assert!(enter(&mut room, "mem", "Mem", None).is_ok());

    room.config.most_occupants = Some(4);
    list(&mut room, "adam", Affiliation::Admin);
    list(&mut room, "late", Affiliation::Member);
    assert_eq!(enter(&mut room, "late", "Late", None), Err(Condition::ServiceUnavailable));
    assert!(enter(&mut room, "adam", "Adam", None).is_ok());

    room.locked = true;
    assert_eq!(enter(&mut room, "late", "Late", None), Err(Condition::ItemNotFound));
}

#[test]
fn a_new_nickname_is_told_as_one_who_goes_and_one_who_comes_and_moves_all_seats() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob/phone", "Bob");
    enters(&mut room, "bob/desk", "Bob");

    let renamed = says(&mut room, "bob/desk", "Robert", "<presence><show>away</show></presence>");

    assert_eq!(
        renamed,
        [
            "alice/desk: Bob gone none/participant bob/phone now Robert 303",
            "bob/phone: Bob gone none/participant bob/phone now Robert 110 303",
            "bob/desk: Bob gone none/participant bob/desk now Robert 110 303",
            "alice/desk: Robert none/participant bob/desk",
            "bob/phone: Robert none/participant bob/phone 110",
            "bob/desk: Robert none/participant bob/desk 110",
        ]
    );
    assert!(room.named("bob").is_none());
    let presence = stanza("<presence/>");
    let said = Said { stanza: &presence, strip: &[], lang: None };
    let refused = room.change_presence(&device("bob/desk"), "ALI", said).unwrap().unwrap_err();
    assert_eq!(refused.condition, Condition::Conflict);
    assert!(room.change_presence(&device("eve"), "Eve", said).is_none());
}

#[test]
fn a_client_that_enters_where_it_is_is_told_everything_again() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");

    let again = enters(&mut room, "bob", "Bob");

    assert_eq!(
        again,
        [
            "alice/desk: Bob none/participant bob/desk",
            "bob/desk: Ali owner/moderator",
            "bob/desk: Bob none/participant bob/desk 110",
            "bob/desk:  \"\"",
        ]
    );
}

#[test]
fn a_kick_puts_out_every_device_and_says_so_to_each() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob/phone", "Bob");
    enters(&mut room, "bob/desk", "Bob");

    let kicked = wants(&mut room, "alice", &[role("bob", Role::None)]).unwrap();

    assert_eq!(
        kicked,
        [
            "bob/phone at last: Bob gone none/none bob/phone 110 307",
            "bob/desk at last: Bob gone none/none bob/desk 110 307",
            "alice/desk: Bob gone none/none bob/phone 307",
        ]
    );
    assert_eq!(wants(&mut room, "alice", &[role("bob", Role::None)]), Err(Condition::ItemNotFound));
    enters(&mut room, "bob", "Bob");
    assert_eq!(wants(&mut room, "bob", &[role("Ali", Role::None)]), Err(Condition::Forbidden));
    // Who may change nothing does not learn who is here.
    assert_eq!(wants(&mut room, "bob", &[role("Nobody", Role::None)]), Err(Condition::Forbidden));
}

#[test]
fn an_affiliation_brings_its_role_or_a_way_out() {
    let mut room = room();
    room.config.moderated = true;
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");

    let member = wants(&mut room, "alice", &[affiliation("bob", Affiliation::Member)]).unwrap();
    assert_eq!(
        member,
        [
            "alice/desk: Bob member/participant bob/desk",
            "bob/desk: Bob member/participant bob/desk 110",
        ]
    );
    let admin = wants(&mut room, "alice", &[affiliation("bob", Affiliation::Admin)]).unwrap();
    assert_eq!(admin[1], "bob/desk: Bob admin/moderator bob/desk 110");
    let banned = wants(&mut room, "alice", &[affiliation("bob", Affiliation::Outcast)]).unwrap();
    assert_eq!(
        banned,
        [
            "bob/desk at last: Bob gone outcast/none bob/desk 110 301",
            "alice/desk: Bob gone outcast/none bob/desk 301",
        ]
    );
    assert_eq!(tries_to_enter(&mut room, "bob", "Bob", None), Err(Condition::Forbidden));

    wants(&mut room, "alice", &[affiliation("bob", Affiliation::Member)]).unwrap();
    room.config.members_only = true;
    enters(&mut room, "bob", "Bob");
    let revoked = wants(&mut room, "alice", &[affiliation("bob", Affiliation::None)]).unwrap();
    assert_eq!(revoked[0], "bob/desk at last: Bob gone none/none bob/desk 110 321");
}

#[test]
fn several_items_happen_all_or_none() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");
    let both = [affiliation("eve", Affiliation::Member), role("Nobody", Role::Visitor)];

    assert_eq!(wants(&mut room, "alice", &both), Err(Condition::ItemNotFound));
    assert_eq!(room.affiliation(&jid("eve")), Affiliation::None);

    let many: Vec<Wanted> =
        (0..10).map(|n| affiliation(&format!("m{n}"), Affiliation::Member)).collect();
    assert_eq!(wants(&mut room, "alice", &many), Err(Condition::ResourceConstraint));
    assert!(wants(&mut room, "alice", &many[..9]).is_ok());
    assert!(wants(&mut room, "alice", &[affiliation("m1", Affiliation::Admin)]).is_ok());
}

#[test]
fn a_room_always_has_an_owner() {
    let mut room = room();
    list(&mut room, "bob", Affiliation::Owner);
    let down = |name: &str| affiliation(name, Affiliation::Admin);

    assert_eq!(wants(&mut room, "alice", &[down("alice"), down("bob")]), Err(Condition::Conflict));
    assert!(wants(&mut room, "alice", &[down("bob")]).is_ok());
    assert_eq!(wants(&mut room, "alice", &[down("alice")]), Err(Condition::Conflict));
    let out = [affiliation("alice", Affiliation::Outcast)];
    assert_eq!(wants(&mut room, "alice", &out), Err(Condition::Conflict));
}

#[test]
fn what_a_name_was_given_while_nobody_had_it_is_listed_and_gives_nothing_until_it_is_given_again() {
    let mut room = room();
    list(&mut room, "eve", Affiliation::Admin);
    list(&mut room, "mal", Affiliation::Outcast);

    room.void(&jid("eve"));
    room.void(&jid("mal"));

    assert_eq!(room.affiliation(&jid("eve")), Affiliation::None);
    assert_eq!(room.shown_affiliation(&jid("eve")), Affiliation::Admin);
    assert_eq!(room.affiliation(&jid("mal")), Affiliation::Outcast, "who is put out stays so");
    list(&mut room, "eve", Affiliation::Admin);
    assert_eq!(room.affiliation(&jid("eve")), Affiliation::Admin);
}

#[test]
fn a_removed_account_is_in_no_list_and_the_eldest_admin_owns_its_room() {
    let mut room = room();
    for (name, since) in [("bob", 2), ("eve", 1)] {
        let listed = Listed {
            affiliation: Affiliation::Admin,
            nick: None,
            since: Time(since),
            is_nobodys: false,
        };
        room.set_listed(jid(name), Some(listed));
    }
    enters(&mut room, "eve", "Eve");

    let told = heard(&room.forget(&jid("alice"), NOW));

    assert_eq!(told, ["eve/desk: Eve owner/moderator eve/desk 110"]);
    assert_eq!(room.affiliation(&jid("alice")), Affiliation::None);
    assert_eq!(room.forget(&jid("nobody"), NOW).len(), 0);
}

#[test]
fn a_configuration_puts_out_who_may_not_stay_and_says_what_has_changed() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");
    let with = |change: fn(&mut Config), room: &mut Room| {
        let mut config = room.config.clone();
        change(&mut config);
        heard(&room.configure(config, true))
    };

    assert_eq!(with(|_| {}, &mut room), [""; 0]);
    assert_eq!(with(|it| it.name = "Lunch".into(), &mut room), ["all:  104"]);
    assert_eq!(with(|it| it.whois = Whois::Anyone, &mut room), ["all:  172"]);
    assert_eq!(with(|it| it.whois = Whois::Moderators, &mut room), ["all:  173"]);
    assert_eq!(
        with(|it| it.members_only = true, &mut room),
        [
            "bob/desk at last: Bob gone none/none bob/desk 110 322",
            "alice/desk: Bob gone none/none bob/desk 322",
            "all:  104",
        ]
    );
}

#[test]
fn where_not_everybody_is_told_of_everybody_each_is_told_of_oneself() {
    let mut room = room();
    room.config.moderated = true;
    room.config.broadcast = vec![Role::Moderator, Role::Participant];
    enters(&mut room, "alice", "Ali");

    assert_eq!(
        enters(&mut room, "bob", "Bob"),
        [
            "bob/desk: Ali owner/moderator",
            "bob/desk: Bob none/visitor bob/desk 110",
            "bob/desk:  \"\"",
        ]
    );
    let voice = wants(&mut room, "alice", &[role("Bob", Role::Participant)]).unwrap();
    assert_eq!(
        voice,
        [
            "alice/desk: Bob none/participant bob/desk",
            "bob/desk: Bob none/participant bob/desk 110",
        ]
    );
    let no_voice = wants(&mut room, "alice", &[role("Bob", Role::Visitor)]).unwrap();
    assert_eq!(
        no_voice,
        ["bob/desk: Bob none/visitor bob/desk 110", "alice/desk: Bob gone none/none",].map(
            |line| if line.starts_with("alice") {
                "alice/desk: Bob gone none/none bob/desk"
            } else {
                line
            }
        )
    );
    let banned = wants(&mut room, "alice", &[affiliation("bob", Affiliation::Outcast)]).unwrap();
    assert_eq!(banned, ["bob/desk at last: Bob gone outcast/none bob/desk 110 301"]);
}

#[test]
fn a_destruction_is_told_to_each_about_themselves_alone() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");

    let word = whoelse_xmpp::write::Element::new("destroy").attr("jid", "tea@rooms.example");
    let told = heard(&room.destroy(&word));

    assert_eq!(
        told,
        [
            "alice/desk at last: Ali gone none/none destroy",
            "bob/desk at last: Bob gone none/none destroy",
        ]
    );
    assert!(room.is_empty());
}

#[test]
fn who_has_a_voice_speaks_and_only_the_room_says_who_it_was() {
    let mut room = room();
    room.config.moderated = true;
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");
    let message = stanza(
        "<message to='lunch@rooms.example' type='groupchat' id='7'><body>hi</body>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item jid='eve@x.example/desk'/></x>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='lunch@rooms.example' id='forged'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='other@rooms.example' id='theirs'/>\
         <delay xmlns='urn:xmpp:delay' from='rooms.example' stamp='2020-01-01T00:00:00Z'/></message>",
    );
    let said = Said { stanza: &message, strip: &[], lang: None };
    let by = |room: &Room, who: &str| {
        let spoken = room.speak(&device(who), said);
        spoken.map_err(|error| error.condition)
    };

    assert_eq!(by(&room, "bob").unwrap_err(), Condition::Forbidden);
    assert_eq!(by(&room, "eve").unwrap_err(), Condition::NotAcceptable);
    let speech = by(&room, "alice").unwrap();
    let Told::All(told) = room.tell_speech(speech, NOW, Some("seven"), true) else { panic!() };
    let told = std::str::from_utf8(&told.bytes).unwrap();
    assert!(
        told.contains("<stanza-id xmlns='urn:xmpp:sid:0' id='seven' by='lunch@rooms.example'/>"),
        "{told}"
    );
    assert!(told.contains("from='lunch@rooms.example/Ali'") && told.contains("id='7'"), "{told}");
    assert!(!told.contains("forged") && !told.contains("eve@") && !told.contains(" to="), "{told}");
    assert!(told.contains("theirs") && !told.contains("2020"), "{told}");
    assert_eq!(told.matches("<occupant-id").count(), 1);
}

#[test]
fn who_may_change_the_subject_does_and_whoever_comes_later_is_told_it_last() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");
    let message = stanza("<message type='groupchat'><subject>soup</subject></message>");
    let said = Said { stanza: &message, strip: &[], lang: None };

    let refused = room.speak(&device("bob"), said).err().unwrap();
    assert_eq!(refused.condition, Condition::Forbidden);
    room.config.change_subject = true;
    let speech = room.speak(&device("bob"), said).unwrap();
    assert_eq!(heard(&[room.tell_speech(speech, NOW, None, true)]), ["all: Bob \"soup\""]);
    let with_body = stanza("<message><subject>s</subject><body>b</body></message>");
    assert!(!Subject::is_set_by(&with_body));

    let said = Said { stanza: &with_body, strip: &[], lang: None };
    let speech = room.speak(&device("bob"), said).unwrap();
    room.tell_speech(speech, NOW, None, true);
    let eve = enters(&mut room, "eve", "Eve");
    assert_eq!(eve[eve.len() - 2..], ["eve/desk: Bob \"b\" \"s\"", "eve/desk: Bob \"soup\""]);
}

#[test]
fn one_who_has_lost_the_seat_is_told_why() {
    let mut room = room();
    enters(&mut room, "alice", "Ali");
    enters(&mut room, "bob", "Bob");

    assert_eq!(
        heard(&room.lose(&device("bob"))),
        [
            "bob/desk at last: Bob gone none/none bob/desk 110 333",
            "alice/desk: Bob gone none/none bob/desk 333",
        ]
    );
    assert_eq!(brief(&Room::not_here(&room.address, "Bob")), "Bob gone none/none 110 307 333");
}
