//! The rooms of a session, fed by hand: which are entered and left, and by what.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::rooms::bookmark;

struct Bench {
    set: RoomSet,
    claims: BTreeSet<BareJid>,
    now: Instant,
}

fn bare(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn lunch() -> BareJid {
    bare("lunch@rooms.a.example")
}

/// A change of a bookmark as the own account tells it.
fn noted(autojoin: bool) -> Vec<Change> {
    let xml = format!(
        "<message><event xmlns='http://jabber.org/protocol/pubsub#event'>\
         <items node='urn:xmpp:bookmarks:1'><item id='lunch@rooms.a.example'>\
         <conference xmlns='urn:xmpp:bookmarks:1' autojoin='{autojoin}'><nick>al</nick>\
         </conference></item></items></event></message>"
    );
    let me = FullJid::parse("alice@a.example/x").unwrap();
    bookmark::changes(&Stanza::parse(xml.into_bytes()).unwrap(), &me).unwrap()
}

fn bookmarks(autojoin: bool) -> Vec<Bookmark> {
    let set = |change| match change {
        Change::Set(bookmark) => Some(bookmark),
        _ => None,
    };
    noted(autojoin).into_iter().filter_map(set).collect()
}

/// What came of something, in short.
#[derive(Debug, Default, PartialEq)]
struct Came {
    sent: Vec<String>,
    told: Vec<RoomEvent>,
    answers: Vec<Result<Wanted, NotEntered>>,
    unnoted: usize,
    marked: Vec<String>,
}

impl Bench {
    fn new() -> Bench {
        let mut set = RoomSet::default();
        set.handle_login(FullJid::parse("alice@a.example/x").unwrap());
        set.handle_service(Some("rooms.a.example".to_owned()));
        Bench { set, claims: BTreeSet::new(), now: Instant::now() }
    }

    fn came(&mut self) -> Came {
        let mut came = Came::default();
        while let Some(action) = self.set.poll_action() {
            match action {
                Action::Claim(room) => {
                    self.claims.insert(room);
                }
                Action::Release(room) => {
                    self.claims.remove(&room);
                }
                Action::Cancel(_) => {}
                Action::Send(Presence { stanza: out, .. }) | Action::Say { stanza: out, .. } => {
                    came.sent.push(String::from_utf8(out.bytes.to_vec()).unwrap());
                }
                Action::Tell(news) => came.told.push(news.what),
                Action::Answer(_, answer) => came.answers.push(answer),
                Action::Unnote(_) => came.unnoted += 1,
                Action::Mark(mark) => came.marked.push(mark.id),
            }
        }
        came
    }

    fn hear(&mut self, xml: &str) -> Came {
        self.set.handle(&Stanza::parse(xml.as_bytes().to_vec()).unwrap(), self.now);
        self.came()
    }

    fn is_told_that_it_is_there(&mut self, nick: &str) -> Came {
        self.hear(&format!(
            "<presence from='lunch@rooms.a.example/{nick}'>\
             <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>"
        ))
    }

    /// The room says that somebody is not there any more.
    fn is_told_of_the_end(&mut self, inside: &str) -> Came {
        self.hear(&format!(
            "<presence from='lunch@rooms.a.example/alice' type='unavailable'>\
             <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/>{inside}</x>\
             </presence>"
        ))
    }

    fn enter(&mut self) {
        self.set.enter(&lunch(), "alice", None, Wanted::Asked, self.now).unwrap();
        assert_eq!(self.came().sent.len(), 1);
        assert_eq!(self.is_told_that_it_is_there("alice").answers, [Ok(Wanted::Asked)]);
    }
}

#[test]
fn what_is_noted_is_entered_at_a_login_by_the_name_that_is_noted() {
    let mut bench = Bench::new();

    bench.set.handle_bookmarks(bookmarks(true), bench.now);
    let came = bench.came();
    assert!(came.sent[0].contains("to='lunch@rooms.a.example/al'"), "{came:?}");
    let came = bench.is_told_that_it_is_there("al");
    assert!(matches!(came.told[..], [RoomEvent::Entered { why: Wanted::Bookmark, .. }]));

    let mut bench = Bench::new();
    bench.set.handle_bookmarks(bookmarks(false), bench.now);
    assert_eq!(bench.came(), Came::default());
}

#[test]
fn what_another_device_notes_or_takes_back_is_followed() {
    let mut bench = Bench::new();
    for change in noted(true) {
        bench.set.handle_change(change, bench.now);
    }
    assert_eq!(bench.came().sent.len(), 1);
    let came = bench.is_told_that_it_is_there("al");
    assert!(matches!(came.told[..], [RoomEvent::Entered { why: Wanted::Elsewhere, .. }]));

    for change in noted(false) {
        bench.set.handle_change(change, bench.now);
    }
    let came = bench.came();
    assert!(came.sent[0].contains("unavailable"));
    assert!(matches!(came.told[..], [RoomEvent::Left { how: Exit::Elsewhere, .. }]));
}

#[test]
fn what_i_note_myself_moves_nobody_and_a_room_that_was_not_noted_is_not_left() {
    let mut bench = Bench::new();
    bench.enter();
    for change in noted(true) {
        bench.set.handle_change(change, bench.now);
    }
    assert_eq!(bench.came(), Came::default());

    let mut bench = Bench::new();
    bench.enter();
    bench.set.handle_bookmarks(bookmarks(false), bench.now);
    bench.set.handle_change(Change::Cleared, bench.now);
    assert_eq!(bench.came(), Came::default());
}

#[test]
fn whoever_was_put_out_does_not_come_back_since_the_room_is_noted() {
    let mut bench = Bench::new();
    bench.set.handle_bookmarks(bookmarks(true), bench.now);
    bench.is_told_that_it_is_there("al");
    bench.hear(
        "<presence from='lunch@rooms.a.example/al' type='unavailable'>\
         <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/><status code='307'/>\
         </x></presence>",
    );

    bench.set.handle_bookmarks(bookmarks(true), bench.now);

    assert_eq!(bench.came(), Came::default());
}

#[test]
fn whoever_was_put_out_before_the_own_bookmark_is_told_stays_out() {
    let mut bench = Bench::new();
    bench.enter();
    bench.hear(
        "<presence from='lunch@rooms.a.example/alice' type='unavailable'>\
         <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/><status code='322'/>\
         </x></presence>",
    );

    for change in noted(true) {
        bench.set.handle_change(change, bench.now);
    }

    assert_eq!(bench.came(), Came::default());
}

#[test]
fn a_room_that_is_destroyed_is_noted_no_more() {
    let mut bench = Bench::new();
    bench.enter();

    let came = bench.hear(
        "<presence from='lunch@rooms.a.example/alice' type='unavailable'>\
         <x xmlns='http://jabber.org/protocol/muc#user'><destroy/></x></presence>",
    );

    assert_eq!(came.unnoted, 1);
    assert!(bench.set.views().is_empty());
}

#[test]
fn in_a_new_session_every_room_is_entered_again_under_the_new_name_of_the_domain() {
    let mut bench = Bench::new();
    bench.enter();

    let me = FullJid::parse("alice@b.example/x").unwrap();
    bench.set.handle_reconnected(me, bench.now);

    let came = bench.came();
    assert!(came.sent[0].contains("to='lunch@rooms.b.example/alice'"), "{came:?}");
    assert_eq!(bench.set.views()[0].room.address, bare("lunch@rooms.b.example"));
    let elsewhere = renamed(bare("r@rooms.other"), "a.example", "b.example");
    assert_eq!(elsewhere, bare("r@rooms.other"));
    let alike = renamed(bare("r@rooms.xa.example"), "a.example", "b.example");
    assert_eq!(alike, bare("r@rooms.xa.example"));
}

#[test]
fn who_waits_for_a_room_is_answered_when_the_session_ends_or_the_room_is_left() {
    let mut bench = Bench::new();
    bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now).unwrap();
    assert!(bench.set.leave(&lunch(), bench.now));
    assert_eq!(bench.came().answers, [Err(NotEntered::Left)]);
    assert!(!bench.set.leave(&lunch(), bench.now));

    bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now).unwrap();
    bench.set.handle_logged_out();
    assert_eq!(bench.came().answers, [Err(NotEntered::NotLoggedIn)]);
    let refused = bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now);
    assert_eq!(refused, Err(Box::new(NotEntered::NotLoggedIn)));
    assert_eq!(bench.set.say(&lunch(), "m".into(), "x".into()), Err(NotSaid::NotLoggedIn));
}

#[test]
fn who_waits_for_a_nickname_is_answered_however_the_room_or_the_session_ends() {
    let renaming = || {
        let mut bench = Bench::new();
        bench.enter();
        bench.set.enter(&lunch(), "al", None, Wanted::Asked, bench.now).unwrap();
        assert!(bench.came().answers.is_empty());
        bench
    };

    let kicked = "<status code='307'/>";
    for end in ["", kicked, "<status code='301'/>", "<status code='332'/>", "<destroy/>"] {
        assert_eq!(renaming().is_told_of_the_end(end).answers, [Err(NotEntered::Left)], "{end}");
    }
    let too_slow = format!("{kicked}<status code='333'/>");
    assert_eq!(renaming().is_told_of_the_end(&too_slow).answers, [Err(NotEntered::TimedOut)]);
    let mut bench = renaming();
    assert!(bench.set.leave(&lunch(), bench.now));
    assert_eq!(bench.came().answers, [Err(NotEntered::Left)]);
    let mut bench = renaming();
    bench.set.handle_logged_out();
    assert_eq!(bench.came().answers, [Err(NotEntered::NotLoggedIn)]);
    for domain in ["a.example", "b.example"] {
        let mut bench = renaming();
        let me = FullJid::parse(&format!("alice@{domain}/y")).unwrap();
        bench.set.handle_reconnected(me, bench.now);
        assert_eq!(bench.came().answers[0], Err(NotEntered::TimedOut), "{domain}");
    }
}

#[test]
fn a_room_is_claimed_until_it_is_left_or_not_entered() {
    const REFUSED: &str = "<presence from='lunch@rooms.a.example/alice' type='error'>\
        <error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>\
        </presence>";
    let ends: [fn(&mut Bench); 6] = [
        |bench| {
            bench.set.leave(&lunch(), bench.now);
        },
        |bench| bench.set.handle_time(bench.set.next_deadline().unwrap()),
        |bench| {
            bench.hear(REFUSED);
        },
        |bench| {
            bench.is_told_that_it_is_there("alice");
            bench.set.leave(&lunch(), bench.now);
        },
        |bench| {
            bench.is_told_that_it_is_there("alice");
            bench.is_told_of_the_end("<status code='307'/>");
        },
        |bench| {
            bench.is_told_that_it_is_there("alice");
            bench.is_told_of_the_end("<destroy/>");
        },
    ];

    for end in ends {
        let mut bench = Bench::new();
        bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now).unwrap();
        bench.came();
        assert_eq!(bench.claims, BTreeSet::from([lunch()]));
        end(&mut bench);
        bench.came();
        assert_eq!(bench.claims, BTreeSet::new());
    }
}

#[test]
fn while_the_connection_is_lost_no_room_is_given_up() {
    let mut bench = Bench::new();
    bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now).unwrap();
    bench.came();
    let by = bench.set.next_deadline().unwrap();

    bench.set.handle_loss();
    assert_eq!(bench.set.next_deadline(), None);
    bench.set.handle_time(by);
    assert_eq!(bench.came(), Came::default());

    bench.set.handle_resumed(by);
    bench.set.handle_time(by);
    assert_eq!(bench.came(), Came::default());
    bench.set.handle_time(bench.set.next_deadline().unwrap());
    assert_eq!(bench.came().answers, [Err(NotEntered::TimedOut)]);
}

#[test]
fn a_nickname_is_waited_for_anew_when_the_connection_is_back() {
    let mut bench = Bench::new();
    bench.enter();
    bench.set.enter(&lunch(), "al", None, Wanted::Asked, bench.now).unwrap();
    let by = bench.set.next_deadline().unwrap();

    bench.set.handle_loss();
    bench.set.handle_resumed(by);

    assert!(bench.set.next_deadline().unwrap() > by);
}

#[test]
fn an_invitation_is_told_unless_its_author_is_blocked_or_i_am_there() {
    let invitation = "<message from='lunch@rooms.a.example'>\
        <x xmlns='http://jabber.org/protocol/muc#user'><invite from='bob@a.example'/></x></message>";
    let mut bench = Bench::new();
    assert!(matches!(bench.hear(invitation).told[..], [RoomEvent::Invited { .. }]));
    bench.set.handle_blocked([bare("bob@a.example")]);
    assert!(bench.hear(invitation).told.is_empty());
    bench.set.handle_unblocked(&[bare("bob@a.example")]);
    assert!(!bench.hear(invitation).told.is_empty());
    bench.enter();
    assert!(bench.hear(invitation).told.is_empty());
}

#[test]
fn an_occupant_invites_by_their_account_where_it_is_shown_and_else_by_nobody() {
    let invites = |nick: &str| {
        format!(
            "<message from='lunch@rooms.a.example/{nick}' type='chat'>\
             <x xmlns='jabber:x:conference' jid='dinner@rooms.a.example'/></message>"
        )
    };
    let invited = |by| [RoomEvent::Invited { by, reason: None }];
    let mut bench = Bench::new();
    bench.enter();
    bench.hear(
        "<presence from='lunch@rooms.a.example/rob'>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item jid='bob@a.example/x'/></x></presence>",
    );

    assert_eq!(bench.hear(&invites("rob")).told, invited(Some(bare("bob@a.example"))));
    assert_eq!(bench.hear(&invites("eve")).told, invited(None));
    bench.set.handle_blocked([bare("bob@a.example")]);
    assert!(bench.hear(&invites("rob")).told.is_empty());
}

#[test]
fn so_many_rooms_are_entered_and_no_more() {
    let mut bench = Bench::new();
    for n in 0..MAX_ROOMS {
        let room = bare(&format!("r{n}@rooms.a.example"));
        bench.set.enter(&room, "alice", None, Wanted::Asked, bench.now).unwrap();
    }
    let refused = bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now);
    assert_eq!(refused, Err(Box::new(NotEntered::TooMany)));
}

/// The address of alice in the room, by this nickname.
fn place(nick: &str) -> FullJid {
    lunch().with_resource(nick).unwrap()
}

#[test]
fn whoever_waits_to_enter_or_for_a_nickname_hears_that_it_was_not_sent() {
    let mut bench = Bench::new();
    bench.set.handle_loss();
    bench.set.enter(&lunch(), "alice", None, Wanted::Asked, bench.now).unwrap();
    bench.came();
    bench.set.handle_presence_not_sent(Wish::Enter, place("alice"), bench.now);
    let came = bench.came();
    assert_eq!(came, Came { answers: vec![Err(NotEntered::NotSent)], ..Came::default() });
    assert!(bench.claims.is_empty() && bench.set.views().is_empty());

    let mut bench = Bench::new();
    bench.enter();
    bench.set.handle_loss();
    bench.set.enter(&lunch(), "al", None, Wanted::Asked, bench.now).unwrap();
    bench.came();
    bench.set.handle_presence_not_sent(Wish::Rename, place("someone"), bench.now);
    assert_eq!(bench.came(), Came::default(), "it is another one that is waited for");
    bench.set.handle_presence_not_sent(Wish::Rename, place("al"), bench.now);
    assert_eq!(bench.came().answers, [Err(NotEntered::NotSent)]);
    assert!(bench.set.is_there(&lunch()), "by the former nickname");
}

#[test]
fn leaving_that_was_not_sent_waits_for_the_connection() {
    let mut bench = Bench::new();
    bench.enter();
    bench.set.handle_loss();
    assert!(bench.set.leave(&lunch(), bench.now));
    bench.came();

    bench.set.handle_presence_not_sent(Wish::Leave, place("alice"), bench.now);
    assert_eq!(bench.came(), Came::default());
    bench.set.handle_resumed(bench.now);
    let came = bench.came();
    assert_eq!(came.sent.len(), 1, "{came:?}");
    assert!(came.sent[0].contains("type='unavailable'"), "{came:?}");
    // If the connection was back before it was noted, it goes at once.
    bench.set.handle_presence_not_sent(Wish::Leave, place("alice"), bench.now);
    assert_eq!(bench.came().sent.len(), 1);

    // A new session is in no room.
    bench.set.handle_loss();
    bench.set.handle_presence_not_sent(Wish::Leave, place("alice"), bench.now);
    bench.set.handle_reconnected(FullJid::parse("alice@a.example/y").unwrap(), bench.now);
    assert_eq!(bench.came(), Came::default());
}

#[test]
fn what_is_entered_by_itself_waits_for_the_connection() {
    let mut bench = Bench::new();
    bench.set.handle_loss();
    bench.set.handle_bookmarks(bookmarks(true), bench.now);
    bench.came();

    bench.set.handle_presence_not_sent(Wish::Enter, place("al"), bench.now);
    assert_eq!(bench.came(), Came::default());
    bench.set.handle_resumed(bench.now);
    assert!(bench.came().sent[0].contains("to='lunch@rooms.a.example/al'"));
}

fn mark(id: &str) -> Displayed {
    Displayed { room: lunch(), id: id.to_owned() }
}

/// Something that bob says, with its number in the archive; and when, if it was before.
fn said(id: &str, is_old: bool) -> String {
    let delay = match is_old {
        true => {
            "<delay xmlns='urn:xmpp:delay' from='lunch@rooms.a.example' \
             stamp='2026-11-22T14:03:00Z'/>"
        }
        false => "",
    };
    format!(
        "<message from='lunch@rooms.a.example/bob' type='groupchat'><body>{id}</body>{delay}\
         <stanza-id xmlns='urn:xmpp:sid:0' by='lunch@rooms.a.example' id='{id}'/></message>"
    )
}

const TOPIC: &str = "<message from='lunch@rooms.a.example' type='groupchat'><subject/></message>";

impl Came {
    /// What was said, by its number, and `more`.
    fn said(&self) -> Vec<String> {
        let said = |event: &RoomEvent| match event {
            RoomEvent::Said(speech) => speech.id.clone(),
            RoomEvent::More => Some("more".to_owned()),
            _ => None,
        };
        self.told.iter().filter_map(said).collect()
    }
}

impl Bench {
    /// A login with a bookmark, and these marks.
    fn with_marks(marks: Vec<Displayed>) -> Bench {
        let mut bench = Bench::new();
        bench.set.show_only_what_is_new();
        bench.set.handle_marks(marks);
        bench.set.handle_bookmarks(bookmarks(true), bench.now);
        bench.came();
        bench.is_told_that_it_is_there("al");
        bench
    }

    fn hears_old(&mut self, ids: &[&str]) -> Came {
        let mut all = Came::default();
        for id in ids {
            all.told.extend(self.hear(&said(id, true)).told);
        }
        all
    }
}

#[test]
fn of_a_room_that_is_entered_at_a_login_only_what_is_new_is_shown() {
    let mut bench = Bench::with_marks(vec![mark("2")]);
    assert!(bench.hears_old(&["1", "2", "3", "4"]).said().is_empty());
    assert_eq!(bench.hear(TOPIC).said(), ["3", "4"]);

    let mut bench = Bench::with_marks(vec![mark("0")]);
    bench.hears_old(&["1", "2"]);
    assert_eq!(bench.hear(TOPIC).said(), ["more", "1", "2"]);

    // A room that was never read is shown as ever, and so is one that is joined.
    let mut bench = Bench::with_marks(vec![]);
    assert_eq!(bench.hears_old(&["1", "2"]).said(), ["1", "2"]);
    let mut bench = Bench::new();
    bench.set.show_only_what_is_new();
    bench.set.handle_marks(vec![mark("2")]);
    bench.enter();
    assert_eq!(bench.hears_old(&["1", "2"]).said(), ["1", "2"]);
}

#[test]
fn what_is_held_is_shown_even_if_the_room_never_says_that_it_is_all() {
    let mut bench = Bench::with_marks(vec![mark("1")]);
    bench.hears_old(&["1", "2"]);
    let at = bench.set.next_deadline().unwrap();
    bench.set.handle_time(at);
    assert_eq!(bench.came().said(), ["2"]);

    let mut bench = Bench::with_marks(vec![mark("1")]);
    bench.hears_old(&["1", "2"]);
    assert_eq!(bench.hear(&said("3", false)).said(), ["2", "3"]);

    // The next session is not told it again.
    let mut bench = Bench::with_marks(vec![mark("1")]);
    bench.hears_old(&["1", "2"]);
    bench.set.handle_reconnected(FullJid::parse("alice@a.example/y").unwrap(), bench.now);
    assert_eq!(bench.came().said(), ["2"]);
    bench.is_told_that_it_is_there("al");
    assert!(bench.hears_old(&["1", "2"]).said().is_empty());
    assert!(bench.hear(TOPIC).said().is_empty());

    // One that begins before the room was entered is told all of it.
    let mut bench = Bench::new();
    bench.set.show_only_what_is_new();
    bench.set.handle_marks(vec![mark("1")]);
    bench.set.handle_bookmarks(bookmarks(true), bench.now);
    bench.set.handle_reconnected(FullJid::parse("alice@a.example/y").unwrap(), bench.now);
    bench.is_told_that_it_is_there("al");
    assert!(bench.hears_old(&["1", "2"]).said().is_empty());
    assert_eq!(bench.hear(TOPIC).said(), ["2"]);
}

#[test]
fn what_is_shown_is_marked_when_its_reader_does_something_one_mark_at_a_time() {
    let mut bench = Bench::with_marks(vec![mark("1")]);
    bench.hears_old(&["1", "2"]);
    assert!(bench.hear(TOPIC).marked.is_empty());
    bench.set.read();
    assert_eq!(bench.came().marked, ["2"]);
    assert!(!bench.set.is_heard());

    for id in ["3", "4"] {
        bench.hear(&said(id, false));
        bench.set.read();
        assert!(bench.came().marked.is_empty(), "one is on its way");
    }
    bench.set.handle_marked(mark("2"), Ok(()));
    assert_eq!(bench.came().marked, ["4"]);
    // One that fails is tried again, and one that is refused is not.
    bench.set.handle_marked(mark("4"), Err(RequestError::TimedOut));
    assert!(bench.came().marked.is_empty() && bench.set.is_heard());
    bench.set.read();
    assert_eq!(bench.came().marked, ["4"]);
    bench.set.handle_loss();
    assert!(bench.set.is_heard());
    bench.set.read();
    assert!(bench.came().marked.is_empty(), "there is no connection");
    bench.set.handle_resumed(bench.now);
    bench.set.read();
    assert_eq!(bench.came().marked, ["4"]);
    let refused = StanzaError::new(Condition::FeatureNotImplemented);
    bench.set.handle_marked(mark("4"), Err(RequestError::Refused(refused)));
    bench.set.read();
    assert!(bench.came().marked.is_empty());
}

#[test]
fn what_another_device_has_read_is_not_marked_again_and_programs_mark_nothing() {
    let mut bench = Bench::with_marks(vec![mark("1")]);
    bench.hears_old(&["1", "2"]);
    bench.hear(TOPIC);
    bench.set.handle_mark(mark("2"));
    bench.set.read();
    assert!(bench.came().marked.is_empty());

    let mut bench = Bench::new();
    bench.set.handle_marks(vec![mark("1")]);
    bench.set.handle_bookmarks(bookmarks(true), bench.now);
    bench.is_told_that_it_is_there("al");
    assert_eq!(bench.hears_old(&["1", "2"]).said(), ["1", "2"]);
    bench.set.read();
    assert!(bench.came().marked.is_empty());
}
