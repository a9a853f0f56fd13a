//! A room, fed by hand: what it sends, and what it makes of what arrives.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::rooms::occupant::{Affiliation, Role};

struct Bench {
    room: Room,
    blocked: BTreeSet<BareJid>,
    now: Instant,
}

/// The steps of something, as text: stanzas as they are, events as they are printed.
fn told(steps: &[Step]) -> Vec<RoomEvent> {
    let event = |step: &Step| match step {
        Step::Tell(event) => Some(event.clone()),
        _ => None,
    };
    steps.iter().filter_map(event).collect()
}

fn sent(steps: &[Step]) -> Vec<String> {
    let stanza = |step: &Step| match step {
        Step::Send(Presence { stanza: out, .. }) | Step::Say { stanza: out, .. } => {
            Some(String::from_utf8(out.bytes.to_vec()).unwrap())
        }
        _ => None,
    };
    steps.iter().filter_map(stanza).collect()
}

fn x(inside: &str) -> String {
    format!("<x xmlns='http://jabber.org/protocol/muc#user'>{inside}</x>")
}

impl Bench {
    /// A room that is being entered by alice.
    fn entering(why: Wanted) -> Bench {
        let place = FullJid::parse("lunch@rooms.a.example/alice").unwrap();
        let now = Instant::now();
        let (room, steps) = Room::enter(&place, None, why, now);
        assert!(sent(&steps)[0].contains("to='lunch@rooms.a.example/alice'"));
        Bench { room, blocked: BTreeSet::new(), now }
    }

    /// A room in which alice is, with bob, whose account is shown.
    fn entered() -> Bench {
        let mut bench = Bench::entering(Wanted::Asked);
        bench.others();
        let steps = bench.own("");
        assert!(matches!(steps.last(), Some(Step::Answer(Ok(Wanted::Asked)))));
        bench.topic("");
        bench
    }

    fn hear(&mut self, xml: &str) -> Vec<Step> {
        let stanza = Stanza::parse(xml.as_bytes().to_vec()).unwrap();
        self.room.handle(&stanza, &self.blocked, self.now)
    }

    /// What the room tells of bob.
    fn others(&mut self) -> Vec<Step> {
        let item = "<item affiliation='owner' role='moderator' jid='bob@a.example/x'/>";
        self.hear(&format!("<presence from='lunch@rooms.a.example/bob'>{}</presence>", x(item)))
    }

    /// What it tells of alice herself.
    fn own(&mut self, more: &str) -> Vec<Step> {
        let item = "<item affiliation='none' role='participant'/><status code='110'/>";
        let x = x(&format!("{item}{more}"));
        self.hear(&format!("<presence from='lunch@rooms.a.example/alice'>{x}</presence>"))
    }

    fn topic(&mut self, text: &str) -> Vec<Step> {
        self.hear(&format!(
            "<message from='lunch@rooms.a.example' type='groupchat'><subject>{text}</subject>\
             </message>"
        ))
    }

    fn says(&mut self, nick: &str, more: &str) -> Vec<Step> {
        self.hear(&format!(
            "<message from='lunch@rooms.a.example/{nick}' type='groupchat' id='m1'>{more}</message>"
        ))
    }

    /// The room tells of alice that she is gone.
    fn gone(&mut self, x_inside: &str) -> Vec<Step> {
        let x = x(&format!("{x_inside}<status code='110'/>"));
        self.hear(&format!(
            "<presence from='lunch@rooms.a.example/alice' type='unavailable'>{x}</presence>"
        ))
    }

    fn say(&mut self, id: &str) -> Vec<Step> {
        self.room.say(id.to_owned(), format!("text of {id}")).unwrap()
    }
}

const DELAY: &str =
    "<delay xmlns='urn:xmpp:delay' from='lunch@rooms.a.example' stamp='2026-11-22T14:03:00Z'/>";

#[test]
fn whoever_enters_is_told_who_is_there_and_then_what_it_is_about() {
    let mut bench = Bench::entering(Wanted::Asked);
    assert!(told(&bench.others()).is_empty());

    let steps = bench.own("<status code='100'/>");

    let [RoomEvent::Entered { nick, others, why, shows_addresses }] = &told(&steps)[..] else {
        panic!("{steps:?}");
    };
    assert_eq!((nick.as_str(), *why, *shows_addresses), ("alice", Wanted::Asked, true));
    assert_eq!((others.len(), others[0].nick.as_str()), (1, "bob"));
    assert_eq!(others[0].affiliation, Affiliation::Owner);
    assert_eq!(others[0].who.as_ref().unwrap().as_str(), "bob@a.example");
    let [RoomEvent::Topic { text, .. }] = &told(&bench.topic("pizza"))[..] else { panic!() };
    assert_eq!((text.as_str(), bench.room.topic()), ("pizza", "pizza"));
    assert!(told(&bench.topic("")).len() == 1, "one that is taken back is told");
}

#[test]
fn a_room_that_is_not_there_is_made_by_nobody_who_has_not_asked() {
    for why in [Wanted::Asked, Wanted::Bookmark, Wanted::Elsewhere, Wanted::Again] {
        let mut bench = Bench::entering(why);
        let steps = bench.own("<status code='201'/>");
        assert!(matches!(&steps[..], [Step::Cancel, Step::NotEntered(_, NotEntered::NoSuchRoom)]));
    }
    let mut bench = Bench::entering(Wanted::Made);
    let steps = bench.own("<status code='201'/>");
    assert!(matches!(steps.last(), Some(Step::Answer(Ok(Wanted::Made)))));
    // Somebody else was quicker.
    let mut bench = Bench::entering(Wanted::Made);
    let steps = bench.own("");
    assert!(matches!(steps.last(), Some(Step::Answer(Ok(Wanted::Asked)))));
}

#[test]
fn a_room_that_refuses_or_does_not_answer_is_not_entered() {
    let mut bench = Bench::entering(Wanted::Asked);
    let steps = bench.hear(
        "<presence from='lunch@rooms.a.example/alice' type='error'><error type='cancel'>\
         <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    let [Step::NotEntered(Wanted::Asked, NotEntered::Refused { nick, why })] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!((nick.as_str(), why.condition), ("alice", Condition::Conflict));

    let mut bench = Bench::entering(Wanted::Bookmark);
    let by = bench.room.next_deadline().unwrap();
    assert!(bench.room.handle_time(by - Duration::from_secs(1)).is_empty());
    let steps = bench.room.handle_time(by);
    let [leave @ Step::Send(_), Step::NotEntered(Wanted::Bookmark, NotEntered::TimedOut)] =
        &steps[..]
    else {
        panic!("{steps:?}");
    };
    // If the room lets in after all, nobody stays there whom nobody sees.
    let leave = sent(std::slice::from_ref(leave));
    assert!(leave[0].contains("to='lunch@rooms.a.example/alice' type='unavailable'"), "{leave:?}");
}

#[test]
fn what_is_said_is_told_with_its_author_and_what_was_said_before_with_its_time() {
    let mut bench = Bench::entered();

    let [RoomEvent::Said(said)] = &told(&bench.says("bob", "<body>hi</body>"))[..] else {
        panic!()
    };
    assert_eq!((said.nick.as_deref(), said.text.as_str(), said.at), (Some("bob"), "hi", None));
    assert_eq!(said.who.as_ref().unwrap().as_str(), "bob@a.example");
    let kept = bench.says("carol", &format!("<body>old</body>{DELAY}"));
    let [RoomEvent::Said(said)] = &told(&kept)[..] else { panic!() };
    assert!(said.at.is_some());
    // Only the room says when something was said.
    let forged = format!("<body>new</body>{}", DELAY.replace("lunch@", "bob@"));
    let [RoomEvent::Said(said)] = &told(&bench.says("dave", &forged))[..] else { panic!() };
    assert!(said.at.is_none());
    assert!(told(&bench.says("bob", "<composing xmlns='urn:x'/>")).is_empty());
}

#[test]
fn what_i_say_is_unheard_until_the_room_tells_it() {
    let mut bench = Bench::entered();

    let steps = bench.say("m1");
    assert_eq!(told(&steps), [RoomEvent::Sent { id: "m1".to_owned() }]);
    assert!(sent(&steps)[0].contains("id='m1'"));
    assert!(!bench.room.is_heard());
    // Somebody else's message of the same id is no answer.
    assert!(matches!(&told(&bench.says("bob", "<body>x</body>"))[..], [RoomEvent::Said(_)]));
    let steps = bench.says("alice", "<body>text of m1</body>");
    assert_eq!(told(&steps), [RoomEvent::Acknowledged { id: "m1".to_owned() }]);
    assert!(bench.room.is_heard());
    // What another device of mine says is told.
    assert!(matches!(&told(&bench.says("alice", "<body>y</body>"))[..], [RoomEvent::Said(_)]));
}

#[test]
fn what_the_room_refuses_comes_back_once_and_so_many_may_wait() {
    let mut bench = Bench::entered();
    bench.say("m1");
    let bounce = "<message from='lunch@rooms.a.example' type='error' id='m1'><error type='auth'>\
        <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";

    let [RoomEvent::Refused { id, why }] = &told(&bench.hear(bounce))[..] else { panic!() };
    assert_eq!((id.as_str(), why.condition), ("m1", Condition::Forbidden));
    assert!(bench.hear(bounce).is_empty());

    for n in 0..MAX_UNHEARD {
        bench.say(&format!("n{n}"));
    }
    let refused = bench.room.say("one more".to_owned(), "x".to_owned());
    assert!(matches!(refused, Err(NotSaid::TooMany)));
}

#[test]
fn what_never_left_is_told_so_once_unless_it_goes_after_an_entry_that_is_under_way() {
    let mut bench = Bench::entered();
    bench.say("m1");

    let steps = bench.room.handle_not_sent("m1".to_owned());
    assert_eq!(told(&steps), [RoomEvent::NotSent { id: "m1".to_owned() }]);
    assert!(bench.room.is_heard());
    assert!(bench.room.handle_not_sent("m1".to_owned()).is_empty());

    bench.say("m2");
    bench.room.enter_again("lunch@rooms.a.example".parse_bare(), bench.now);
    assert!(bench.room.handle_not_sent("m2".to_owned()).is_empty());
    bench.own("");
    assert!(sent(&bench.topic(""))[0].contains("id='m2'"));
}

#[test]
fn in_a_new_session_what_the_room_does_not_show_is_said_again_and_nothing_is_shown_twice() {
    let mut bench = Bench::entered();
    bench.says("bob", "<body>hi</body>");
    for id in ["m1", "m2"] {
        bench.say(id);
    }

    let steps = bench.room.enter_again("lunch@rooms.b.example".parse_bare(), bench.now);
    assert!(sent(&steps)[0].contains("to='lunch@rooms.b.example/alice'"));
    bench.room.address = "lunch@rooms.a.example".parse_bare();
    // What was sent too early comes back, and goes again.
    assert!(bench.hear("<message from='lunch@rooms.a.example' type='error' id='m2'/>").is_empty());
    bench.say("m3");
    let steps = bench.own("");
    assert!(matches!(&told(&steps)[..], [RoomEvent::Entered { why: Wanted::Again, .. }]));
    assert!(told(&bench.says("bob", &format!("<body>hi</body>{DELAY}"))).is_empty());
    let mine = bench.says("alice", &format!("<body>text of m1</body>{DELAY}"));
    assert_eq!(told(&mine), [RoomEvent::Acknowledged { id: "m1".to_owned() }]);
    let steps = bench.topic("");

    let again = sent(&steps);
    assert_eq!(again.len(), 2);
    assert!(again[0].contains("id='m2'") && again[1].contains("id='m3'"));
    assert!(told(&steps).is_empty());
}

#[test]
fn who_comes_and_goes_and_becomes_something_else_is_told() {
    let mut bench = Bench::entered();
    let presence = |nick: &str, type_: &str, inside: &str| {
        format!("<presence from='lunch@rooms.a.example/{nick}' {type_}>{}</presence>", x(inside))
    };

    let came = bench.hear(&presence("carol", "", "<item affiliation='none' role='participant'/>"));
    assert!(matches!(&told(&came)[..], [RoomEvent::Came(it)] if it.nick == "carol"));
    let same = bench.hear(&presence("carol", "", "<item affiliation='none' role='participant'/>"));
    assert!(same.is_empty());
    let up = bench.hear(&presence("carol", "", "<item affiliation='admin' role='moderator'/>"));
    assert!(matches!(
        &told(&up)[..],
        [RoomEvent::Standing { is_me: false, role: Role::Moderator, .. }]
    ));
    let renamed = "<item affiliation='admin' role='moderator' nick='c'/><status code='303'/>";
    let steps = bench.hear(&presence("carol", "type='unavailable'", renamed));
    assert!(matches!(&told(&steps)[..], [RoomEvent::Renamed { is_me: false, .. }]));
    let same = bench.hear(&presence("c", "", "<item affiliation='admin' role='moderator'/>"));
    assert!(same.is_empty(), "that is known");
    let kicked = "<item role='none'><actor nick='bob'/><reason>r</reason></item>\
        <status code='307'/>";
    let steps = bench.hear(&presence("c", "type='unavailable'", kicked));
    let [RoomEvent::Went { how: Exit::Kicked, by, reason, .. }] = &told(&steps)[..] else {
        panic!("{steps:?}");
    };
    assert_eq!((by.as_deref(), reason.as_deref()), (Some("bob"), Some("r")));
    assert!(bench.hear(&presence("c", "type='unavailable'", "")).is_empty(), "is gone already");
}

#[test]
fn in_a_room_with_more_than_can_be_listed_those_who_are_become_something_else_all_the_same() {
    let mut bench = Bench::entered();
    let presence = |nick: &str, role: &str| {
        let x = x(&format!("<item affiliation='none' role='{role}'/>"));
        format!("<presence from='lunch@rooms.a.example/{nick}'>{x}</presence>")
    };
    for n in 1..MAX_OCCUPANTS {
        bench.hear(&presence(&format!("n{n}"), "participant"));
    }

    assert!(bench.hear(&presence("one more", "participant")).is_empty());
    let steps = bench.hear(&presence("n1", "visitor"));
    assert!(matches!(&told(&steps)[..], [RoomEvent::Standing { role: Role::Visitor, .. }]));
    assert_eq!(bench.room.others().count(), MAX_OCCUPANTS);
}

#[test]
fn whoever_is_put_out_is_told_how_and_what_was_not_told_is_named() {
    for (code, how) in [
        (301, Exit::Banned),
        (307, Exit::Kicked),
        (321, Exit::NoMember),
        (322, Exit::MembersOnly),
        (332, Exit::Shutdown),
    ] {
        let mut bench = Bench::entered();
        bench.say("m1");
        let steps = bench.gone(&format!("<status code='{code}'/>"));
        let unconfirmed = RoomEvent::Unconfirmed { id: "m1".to_owned() };
        let left = RoomEvent::Left { how, by: None, reason: None };
        assert_eq!(told(&steps), [unconfirmed, left]);
        assert!(matches!(steps.last(), Some(Step::Gone)));
    }
    let mut bench = Bench::entered();
    let steps = bench.gone("<destroy jid='b@rooms.a.example'><reason>old</reason></destroy>");
    let [RoomEvent::Left { how: Exit::Destroyed { venue }, reason, .. }] = &told(&steps)[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(venue.as_ref().unwrap().as_str(), "b@rooms.a.example");
    assert_eq!(reason.as_deref(), Some("old"));
    assert!(matches!(steps.last(), Some(Step::Destroyed)));
}

#[test]
fn whoever_leaves_with_the_word_that_the_room_is_no_more_destroys_nothing() {
    let mut bench = Bench::entered();

    let steps = bench.hear(&format!(
        "<presence from='lunch@rooms.a.example/bob' type='unavailable'>{}</presence>",
        x("<item role='none'/><destroy/>")
    ));

    assert!(matches!(&told(&steps)[..], [RoomEvent::Went { how: Exit::Asked, .. }]), "{steps:?}");
    assert!(bench.room.is_there());
}

#[test]
fn a_device_that_was_too_slow_comes_back_once_a_minute() {
    let mut bench = Bench::entered();
    let slow = "<status code='307'/><status code='333'/>";
    let is_back = |steps: &[Step], yes: bool| {
        let [RoomEvent::Left { how: Exit::TooSlow { back }, .. }] = told(steps)[..] else {
            panic!("{steps:?}");
        };
        assert_eq!((back, sent(steps).len()), (yes, usize::from(yes)));
    };

    let steps = bench.gone(slow);
    is_back(&steps, true);
    bench.own("");
    bench.now += COME_BACK_AFTER;
    let steps = bench.gone(slow);
    is_back(&steps, true);
    bench.own("");
    let steps = bench.gone(slow);
    is_back(&steps, false);
}

#[test]
fn a_room_that_has_forgotten_me_is_entered_again_and_what_it_refused_is_said_then() {
    let mut bench = Bench::entered();
    bench.say("m1");

    let steps = bench.hear(
        "<message from='lunch@rooms.a.example' type='error' id='m1'><error type='modify'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );

    assert!(sent(&steps)[0].contains("protocol/muc'"));
    bench.own("");
    assert!(sent(&bench.topic(""))[0].contains("id='m1'"));
}

#[test]
fn what_the_blocked_say_is_left_out_where_their_account_is_known() {
    let mut bench = Bench::entered();
    bench.blocked.insert("bob@a.example".parse_bare());

    assert!(told(&bench.says("bob", "<body>hi</body>")).is_empty());
    let private =
        "<message from='lunch@rooms.a.example/bob' type='chat'><body>psst</body></message>";
    assert!(told(&bench.hear(private)).is_empty());
    assert_eq!(told(&bench.says("carol", "<body>hi</body>")).len(), 1);
    // Who was called bob before may have been somebody else.
    let before = bench.hear(&format!(
        "<message from='lunch@rooms.a.example/bob' type='groupchat' id='m0'><body>old</body>{DELAY}\
         </message>"
    ));
    assert_eq!(told(&before).len(), 1);
}

#[test]
fn what_is_said_to_me_alone_is_marked_so() {
    let mut bench = Bench::entered();
    let steps = bench.hear(
        "<message from='lunch@rooms.a.example/bob' type='chat' id='p1'><body>psst</body>\
         <x xmlns='http://jabber.org/protocol/muc#user'/></message>",
    );
    let [RoomEvent::Said(said)] = &told(&steps)[..] else { panic!() };
    assert!(said.is_private && said.nick.as_deref() == Some("bob"));
}

#[test]
fn another_nickname_is_answered_and_one_that_is_taken_is_refused() {
    let mut bench = Bench::entered();
    let steps = bench.room.rename("al", bench.now).unwrap();
    assert!(sent(&steps)[0].contains("/al'") && !sent(&steps)[0].contains("<x"));
    let steps = bench.hear(
        "<presence from='lunch@rooms.a.example/al' type='error'><error type='cancel'>\
         <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    );
    assert!(matches!(&steps[..], [Step::Answer(Err(NotEntered::Refused { .. }))]));

    bench.room.rename("al", bench.now).unwrap();
    let steps = bench.gone("<item nick='al'/><status code='303'/>");
    assert!(matches!(&told(&steps)[..], [RoomEvent::Renamed { is_me: true, .. }]));
    assert!(matches!(steps.last(), Some(Step::Answer(Ok(_)))));
    assert_eq!(bench.room.nick(), "al");
}

#[test]
fn a_nickname_that_the_room_neither_gives_nor_refuses_is_given_up_and_the_room_stays() {
    let mut bench = Bench::entered();
    bench.room.rename("al", bench.now).unwrap();

    let by = bench.room.next_deadline().unwrap();
    assert!(bench.room.handle_time(by - Duration::from_secs(1)).is_empty());
    let steps = bench.room.handle_time(by);

    assert!(matches!(&steps[..], [Step::Answer(Err(NotEntered::TimedOut))]));
    assert_eq!((bench.room.next_deadline(), bench.room.nick()), (None, "alice"));
    assert!(bench.room.is_there());
}

#[test]
fn whoever_leaves_says_so_and_hears_what_was_told_before() {
    let mut bench = Bench::entered();
    let steps = bench.room.leave(bench.now);
    assert!(sent(&steps)[0].contains("type='unavailable'"));
    assert!(matches!(steps.last(), Some(Step::Gone)));

    let mut bench = Bench::entered();
    for id in ["m1", "m2"] {
        bench.say(id);
    }
    let steps = bench.room.leave(bench.now);
    assert!(sent(&steps).len() == 1 && told(&steps).is_empty());
    assert!(matches!(bench.room.say("m3".into(), "x".into()), Err(NotSaid::NotThere)));
    assert!(bench.says("bob", "<body>bye</body>").is_empty());
    let steps = bench.says("alice", "<body>text of m1</body>");
    assert_eq!(told(&steps), [RoomEvent::Acknowledged { id: "m1".to_owned() }]);
    let steps = bench.gone("");
    assert_eq!(told(&steps), [RoomEvent::Unconfirmed { id: "m2".to_owned() }]);
    assert!(matches!(steps.last(), Some(Step::Gone)));

    let mut bench = Bench::entered();
    bench.say("m1");
    bench.room.leave(bench.now);
    let by = bench.room.next_deadline().unwrap();
    let steps = bench.room.handle_time(by);
    assert_eq!(told(&steps), [RoomEvent::Unconfirmed { id: "m1".to_owned() }]);
}

trait ParseBare {
    fn parse_bare(&self) -> BareJid;
}

impl ParseBare for str {
    fn parse_bare(&self) -> BareJid {
        BareJid::parse(self).unwrap()
    }
}
