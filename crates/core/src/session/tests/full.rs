//! What becomes of a stanza for which a session has no room, by what it is.

use super::*;

const KNOWN: Sender = Sender { account: 1, is_stranger: false };
const OTHER: Sender = Sender { account: 2, is_stranger: false };
const STRANGER: Sender = Sender { account: 3, is_stranger: true };
const NEXT_STRANGER: Sender = Sender { account: 4, is_stranger: true };
const LAST_STRANGER: Sender = Sender { account: 5, is_stranger: true };

/// Pushes stanzas of a kilobyte until there is no room, or so many are there. Returns how many were
/// taken.
fn fill(session: &Session, due: Due, most: usize) -> usize {
    // Presence is late, and not refused.
    let (class, most) = match due {
        Due::Presence => (Class::Presence, most.min(((BUDGET / 2) >> 10) + 20)),
        _ => (Class::Message, most),
    };
    let stanza = || Outgoing { class, ..said(&"x".repeat(990)) };
    (0..most).take_while(|_| session.push_queued(Queued::new(stanza(), due)).is_ok()).count()
}

/// A presence of a device.
fn of(device: &str, says: &str) -> Outgoing {
    let presence = Element::new("presence").attr("from", device).text(says);
    presence.outgoing(Class::Presence)
}

fn say(session: &Session, device: &str, says: &str) {
    session.push_presence(&of(device, says), &Bytes::new());
}

/// A session with stream management, and what its client reads and acknowledges.
struct Reader {
    session: Session,
    h: u32,
}

impl Reader {
    fn new() -> Reader {
        let session = session();
        session.enable(Some("token".to_owned()));
        session.set_presence(here());
        let fence = session.fence();
        session.push_page(page(0, 0, fence, false));
        assert_eq!(session.drain_state(), Drain::Live);
        Reader { session, h: 0 }
    }

    /// Reads everything, and acknowledges it.
    fn reads(&mut self) -> String {
        let mut all = String::new();
        loop {
            let read = written(&self.session, 1);
            if read.is_empty() {
                return all;
            }
            self.h += ["<message", "<presence", "<iq"]
                .map(|name| read.matches(name).count() as u32)
                .iter()
                .sum::<u32>();
            self.session.acked(self.h).unwrap();
            all.push_str(&read);
        }
    }
}

#[test]
fn one_sender_has_an_eighth_strangers_have_one_together_and_all_that_passes_has_a_quarter() {
    let session = session();

    let stranger = fill(&session, Due::Passing(STRANGER), 9_999);
    let next = fill(&session, Due::Passing(NEXT_STRANGER), 9_999);
    let last = fill(&session, Due::Passing(LAST_STRANGER), 9_999);
    let known = fill(&session, Due::Passing(KNOWN), 9_999);
    let other = fill(&session, Due::Passing(OTHER), 9_999);

    let kilobytes = BUDGET >> 10;
    let about = |count: usize, of: usize| count <= of && count + 3 >= of;
    assert!(about(stranger, kilobytes / 16) && about(next, kilobytes / 16), "{stranger} {next}");
    assert_eq!((last, other), (0, 0));
    assert!(about(known, kilobytes / 8), "{known}");
}

#[test]
fn whoever_fills_one_part_takes_nothing_of_another() {
    let kinds = [Due::Passing(KNOWN), Due::Presence, Due::Seat, Due::Logged, Due::Own, Due::News];
    for filled in kinds {
        let reader = Reader::new();
        let session = &reader.session;
        let most = if filled == Due::Own { 500 } else { 9_999 };
        fill(session, filled, most);
        for due in kinds.into_iter().filter(|due| *due != filled) {
            let fits = fill(session, due, 100);
            // What is in the log is taken from there.
            assert_eq!(fits, 100, "{due:?} after {filled:?}");
        }
        assert_eq!(session.ordered_end(), None, "{filled:?}");
        assert!(session.held_bytes() <= 2 * BUDGET + BUDGET / 3, "{filled:?}");
    }
}

#[test]
fn what_finds_no_room_becomes_what_it_is() {
    let mut reader = Reader::new();
    for sender in [KNOWN, OTHER, STRANGER] {
        fill(&reader.session, Due::Passing(sender), 9_999);
    }
    fill(&reader.session, Due::Logged, 9_999);
    fill(&reader.session, Due::Presence, 9_999);
    let (session, one) = (&reader.session, |due| Queued::new(said(&"one more".repeat(200)), due));

    assert_eq!(session.push_queued(one(Due::Passing(KNOWN))), Err(PushRefused::NoRoom));
    deliver(session, kept(7));
    assert_eq!(session.drain_state(), Drain::After { seq: 6, asked: false, more: false });
    say(session, "bob@localhost/a", "late");
    assert_eq!(session.ordered_end(), None);
    let read = reader.reads();
    assert!(read.contains(">late<") && !read.contains("one more"), "{}", read.len());
    assert_eq!(reader.session.held_bytes(), 0);
}

#[test]
fn who_has_no_room_for_a_seat_loses_it_and_is_told_so_and_nothing_else_ends() {
    let mut reader = Reader::new();
    fill(&reader.session, Due::Logged, 9_999);
    let taken = fill(&reader.session, Due::Seat, 9_999);
    let alone = Reader::new();

    assert!(taken <= (BUDGET / 4) >> 10 && taken + 3 >= (BUDGET / 4) >> 10, "{taken}");
    assert!(fill(&alone.session, Due::Seat, 9_999) + 3 >= (BUDGET / 2) >> 10);
    let word = said("gone");
    assert_eq!(
        reader.session.push_to_seat(&said(&"x".repeat(2_000)), &Bytes::new()),
        Err(PushRefused::NoRoom)
    );
    reader.session.push_last_word(&word, &Bytes::new());
    assert_eq!(reader.session.ordered_end(), None);
    assert!(reader.reads().contains(">gone<"));
    assert_eq!(reader.session.held_bytes(), 0);
}

#[test]
fn the_reserve_of_own_words_is_the_last_and_a_session_that_fills_it_is_not_resumed() {
    let reader = Reader::new();
    let session = &reader.session;
    fill(session, Due::Logged, 9_999);

    let taken = fill(session, Due::Own, 9_999);

    assert!(taken >= ((BUDGET / 2) >> 10) - 2, "{taken}");
    let end = session.ordered_end().unwrap();
    assert_eq!(end.condition, StreamCondition::ResourceConstraint);
    assert_eq!(resume(session, 0), Err(ResumeRefused::Gone));
    assert_eq!(session.detach(1), Ok(false));
}

#[tokio::test]
async fn a_detached_session_that_fills_its_reserve_is_not_waited_for() {
    let reader = Reader::new();
    let session = &reader.session;
    session.detach(1).unwrap();

    let mut left = Box::pin(session.left_by(1));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(left.as_mut().poll(&mut context).is_pending());
    fill(session, Due::Own, 9_999);

    assert!(left.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_sender_of_a_stanza_larger_than_a_share_has_one_while_nothing_passes() {
    let session = session();
    let large = || Queued::new(said(&"x".repeat(BUDGET / 2)), Due::Passing(STRANGER));

    assert_eq!(session.push_queued(large()), Ok(()));
    assert_eq!(session.push_queued(large()), Err(PushRefused::NoRoom));
    written(&session, 1);
    assert_eq!(session.push_queued(large()), Ok(()));
}

#[test]
fn what_room_is_held_for_is_queued_whatever_comes_meanwhile_and_counts_as_its_senders() {
    let session = Arc::new(session());
    let last = said("last");
    let held = session.hold_room(last.bytes.len(), STRANGER).unwrap();
    assert_eq!(session.held_bytes(), last.bytes.len());

    assert!(fill(&session, Due::Passing(STRANGER), 9_999) > 0);
    assert!(fill(&session, Due::Passing(KNOWN), 9_999) > 0);
    assert_eq!(session.hold_room(990, STRANGER).unwrap_err(), PushRefused::NoRoom);
    let before = session.held_bytes();
    held.push(&last, &Bytes::new());

    assert_eq!(session.held_bytes(), before);
    let written = written(&session, 1);
    assert!(written.ends_with(std::str::from_utf8(&last.bytes).unwrap()));
    drop(session.hold_room(990, STRANGER).unwrap());
    assert_eq!(session.held_bytes(), 0, "it is given back");
}

#[test]
fn what_is_written_has_its_room_until_it_is_acknowledged() {
    let mut reader = Reader::new();
    let taken = fill(&reader.session, Due::Passing(KNOWN), 9_999);
    written(&reader.session, 1);

    assert_eq!(fill(&reader.session, Due::Passing(KNOWN), 1), 0);
    reader.session.acked(taken as u32).unwrap();
    reader.h = taken as u32;

    assert_eq!(fill(&reader.session, Due::Passing(KNOWN), 9_999), taken);
    reader.reads();
    assert_eq!(reader.session.held_bytes(), 0);
}

#[test]
fn the_log_is_read_though_others_fill_the_queue() {
    let reader = Reader::new();
    let session = &reader.session;
    for due in [Due::Passing(KNOWN), Due::Passing(STRANGER), Due::Presence] {
        fill(session, due, 9_999);
    }
    fill(session, Due::Logged, 9_999);
    deliver(session, kept(1));
    assert!(matches!(session.drain_state(), Drain::After { .. }));
    let limits = Limits::default();
    let mut asked = 0;

    for _ in 0..250 {
        let taken = session.take(1, NOW, &limits, &mut Output::default(), 10_000).unwrap();
        asked += usize::from(taken.wants_page);
        let sent = session.lock().counting.sent();
        session.acked(sent).unwrap();
        // They go on as fast as the client reads.
        for due in [Due::Passing(KNOWN), Due::Passing(STRANGER), Due::Presence] {
            fill(session, due, 10);
        }
        assert_eq!(session.ordered_end(), None);
    }

    assert_eq!(asked, 1);
}

#[test]
fn late_presence_is_the_newest_of_each_device_and_nothing_overtakes_it() {
    let mut reader = Reader::new();
    fill(&reader.session, Due::Presence, 9_999);
    for n in 0..100 {
        say(&reader.session, "bob@localhost/a", &format!("a{n}"));
        say(&reader.session, "bob@localhost/b", &format!("b{n}"));
    }
    // A little is read: what comes now would fit, and stays after what is late.
    let mut out = Output::default();
    let some = reader.session.take(1, NOW, &Limits::default(), &mut out, 3_000).unwrap();
    reader.h = some.kinds.presence as u32;
    reader.session.acked(reader.h).unwrap();
    say(&reader.session, "bob@localhost/a", "last");

    let read = reader.reads();

    let heard = |says: &str| read.contains(&format!(">{says}<"));
    assert!(heard("last") && heard("b99") && !heard("a99") && !heard("b0"));
    assert_eq!(reader.session.held_bytes(), 0);
    assert_eq!(reader.session.take_anew(), Anew::default());
}

#[test]
fn who_has_more_late_presence_than_is_kept_is_looked_up_and_nobody_else() {
    let reader = Reader::new();
    fill(&reader.session, Due::Presence, 9_999);
    say(&reader.session, "carol@localhost/a", "kept");
    for n in 0..200 {
        let device = format!("eve@localhost/{n}");
        say(&reader.session, &device, &"x".repeat(2_000));
    }

    let (mut read, mut asked) = (String::new(), 0);
    for _ in 0..20 {
        let mut out = Output::default();
        let taken = reader.session.take(1, NOW, &Limits::default(), &mut out, 99_999).unwrap();
        asked += usize::from(taken.wants_anew);
        read.push_str(&String::from_utf8(out.take()).unwrap());
        let sent = reader.session.lock().counting.sent();
        reader.session.acked(sent).unwrap();
    }

    assert!(read.contains(">kept<") && asked == 1, "{asked}");
    let eve = BareJid::parse("eve@localhost").unwrap();
    assert_eq!(reader.session.take_anew().whose, Whose::These([eve].into()));
}

/// An event of an account.
fn event(session: &Session, who: &str) -> Result<(), PushRefused> {
    let from = format!("{who}@localhost");
    let event = Element::new("message").attr("from", &from).text(&"x".repeat(2_000));
    session.push_queued(Queued::new(event.outgoing(Class::Message), Due::Event(KNOWN)))
}

#[test]
fn whose_events_were_missed_is_asked_for_when_little_passes_any_more() {
    let reader = Reader::new();
    assert_eq!(event(&reader.session, "carol"), Ok(()));
    fill(&reader.session, Due::Passing(KNOWN), 9_999);
    fill(&reader.session, Due::Event(OTHER), 9_999);
    for who in ["alice", "bob", "alice"] {
        assert_eq!(event(&reader.session, who), Err(PushRefused::NoRoom));
    }

    let mut asked = Vec::new();
    loop {
        let mut out = Output::default();
        let taken = reader.session.take(1, NOW, &Limits::default(), &mut out, 9_999).unwrap();
        asked.push(taken.wants_anew);
        if out.is_empty() {
            break;
        }
        let sent = reader.session.lock().counting.sent();
        reader.session.acked(sent).unwrap();
    }

    assert_eq!(asked.iter().filter(|asked| **asked).count(), 1);
    assert!(asked.iter().position(|asked| *asked) > Some(10), "{asked:?}");
    let both = ["alice@localhost", "bob@localhost"].map(|who| BareJid::parse(who).unwrap());
    assert_eq!(reader.session.take_anew().events_of, Whose::These(both.into()));
}

#[test]
fn events_are_told_by_name_up_to_a_thousand_and_not_to_a_session_that_went() {
    let reader = Reader::new();
    fill(&reader.session, Due::Passing(KNOWN), 9_999);
    for n in 0..=1_000 {
        assert_eq!(event(&reader.session, &format!("eve{n}")), Err(PushRefused::NoRoom));
    }
    assert_eq!(reader.session.take_anew().events_of, Whose::Everybody);

    reader.session.miss_events(Whose::Everybody);
    reader.session.set_presence(None);

    assert_eq!(reader.session.take_anew(), Anew::default());
}

#[test]
fn beyond_a_thousand_everybody_is_told_anew() {
    let reader = Reader::new();
    fill(&reader.session, Due::Presence, 9_999);
    say(&reader.session, "carol@localhost/a", &"x".repeat(BUDGET / 8 - 150));
    for n in 0..1_010 {
        say(&reader.session, &format!("eve{n}@localhost/{n}"), "noted");
    }

    assert!(reader.session.take_anew().whose == Whose::Everybody);
    assert!(reader.session.held_bytes() <= BUDGET);
}

#[test]
fn nothing_is_late_for_a_session_that_is_not_there() {
    let reader = Reader::new();
    fill(&reader.session, Due::Presence, 9_999);
    say(&reader.session, "eve@localhost/a", &"x".repeat(BUDGET / 4));

    reader.session.set_presence(None);

    assert_eq!(reader.session.take_anew(), Anew::default());
    let eve = BareJid::parse("eve@localhost").unwrap();
    let anew = Anew { whose: Whose::These([eve].into()), ..Anew::default() };
    reader.session.put_anew_back(anew);
    assert_eq!(reader.session.take_anew(), Anew::default());
}

#[test]
fn a_request_without_room_is_noted_with_all_after_it() {
    let reader = Reader::new();
    let [b, c] = ["b@localhost", "c@localhost"].map(|jid| BareJid::parse(jid).unwrap());
    fill(&reader.session, Due::Passing(Sender::ASKERS), 9_999);

    let text = "x".repeat(1_000);
    assert!(!reader.session.push_request(said(&text), &c));
    assert!(!reader.session.push_request(said(&text), &b));

    assert_eq!(reader.session.take_anew().requests_from, Some(b));
}

#[test]
fn nobody_ends_a_session_with_words_about_subscriptions() {
    let mut reader = Reader::new();
    let eve = BareJid::parse("eve@localhost").unwrap();
    fill(&reader.session, Due::Logged, 9_999);
    let before = reader.session.held_bytes();

    for version in 10..2_010 {
        reader.session.push_withdrawal(said(&"x".repeat(990)), &eve);
        reader.session.push_word(said(&"x".repeat(990)));
        reader.session.push_roster(said(&format!("version {version}")), version);
    }

    assert_eq!(reader.session.ordered_end(), None);
    let held = reader.session.held_bytes() - before;
    assert!(held <= BUDGET / 8 && held > BUDGET / 8 - 2_000, "{held}");
    assert!(fill(&reader.session, Due::Own, 300) == 300, "three quarters of the reserve are left");
    let read = reader.reads();
    // From the first that was not pushed on, all of the roster is told from what it is.
    let missed = reader.session.begin_roster().unwrap();
    assert!(read.contains(&format!("version {missed}")), "{missed}");
    assert!(!read.contains(&format!("version {}", missed + 1)));
    assert_eq!(reader.session.begin_roster(), None, "one tells it");
    assert_eq!(reader.session.take_anew().withdrawn, [eve].into());
    reader.session.push_roster(said("not before what was missed"), 9_000);
    assert!(!reader.reads().contains("not before"));
    reader.session.has_roster();
    reader.session.push_roster(said("from now on again"), 9_001);
    assert!(reader.reads().contains("from now on again"));
    assert_eq!(reader.session.held_bytes(), 0);
}

#[test]
fn a_session_that_becomes_unavailable_still_has_its_roster_to_hear() {
    let reader = Reader::new();
    let eve = BareJid::parse("eve@localhost").unwrap();
    fill(&reader.session, Due::News, 9_999);
    reader.session.push_roster(said(&"x".repeat(990)), 10);
    reader.session.push_withdrawal(said(&"x".repeat(990)), &eve);

    reader.session.set_presence(None);

    assert_eq!(reader.session.begin_roster(), Some(9));
    assert_eq!(reader.session.take_anew().withdrawn, [eve].into());
}
