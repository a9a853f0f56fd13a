//! Resumption, endings and signs of life of one session.

#![allow(clippy::unwrap_used)]
mod full;
mod left_to_archive;

use whoelse_stream::Output;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, StreamCondition};

use super::*;

const NOW: Steady = Steady(1_000_000);
const BUDGET: usize = 1 << 20;

fn moment() -> Moment {
    Moment { wall: Time(1_767_225_600_000_000), steady: NOW }
}

fn session() -> Session {
    let jid = BareJid::parse("bob@localhost").unwrap();
    let full = jid.with_resource("desk").unwrap();
    let account = Arc::new(Account::new(1, 1, jid, Vec::new(), 0));
    let principal = Principal::of(&account, Rights::Own);
    Session::new(1, full, Some(account), &principal, BUDGET, moment())
}

/// A session with stream management, whose connection is lost.
fn detached() -> Session {
    let session = session();
    session.enable(Some("token".to_owned()));
    assert_eq!(session.detach(1), Ok(true));
    session
}

/// Resumes a session for its owner, whose client has handled so many stanzas.
fn resume(session: &Session, h: u32) -> Result<(u64, u32, i64), ResumeRefused> {
    session.resume(&Principal::of(session.own(), Rights::Own), "token", h)
}

fn said(text: &str) -> Outgoing {
    Element::new("message").child(Element::new("body").text(text)).outgoing(Class::Message)
}

fn written(session: &Session, epoch: u64) -> String {
    let mut out = Output::default();
    session.take(epoch, NOW, &Limits::default(), &mut out, 1 << 20).unwrap();
    String::from_utf8(out.take()).unwrap()
}

#[test]
fn what_a_superseded_connection_brings_is_not_counted() {
    let session = session();
    session.enable(Some("token".to_owned()));

    let (epoch, _, _) = resume(&session, 0).unwrap();

    assert_eq!(session.received(1), Err(Superseded));
    assert!(session.received(epoch).unwrap().is_some());
}

#[test]
fn a_session_is_resumed_only_when_all_it_sent_is_handled() {
    let session = session();
    session.enable(Some("token".to_owned()));
    let ticket = session.received(1).unwrap().unwrap();

    assert_eq!(resume(&session, 0), Err(ResumeRefused::Unsettled));
    session.done(ticket);

    assert!(matches!(resume(&session, 0), Ok((2, 1, 0))));
}

#[test]
fn a_session_that_is_about_to_end_cannot_be_resumed() {
    let session = session();
    session.enable(Some("token".to_owned()));

    session.begin_end(1).unwrap();

    assert_eq!(resume(&session, 0), Err(ResumeRefused::Gone));
    assert_eq!(session.detach(1), Ok(false));
}

#[test]
fn an_order_to_end_leaves_the_token_to_be_given_back() {
    let session = session();
    session.enable(Some("token".to_owned()));

    assert!(session.order_end(StreamError::new(StreamCondition::Reset)));

    assert_eq!(resume(&session, 0), Err(ResumeRefused::Gone));
    assert_eq!(session.forget_resumption().as_deref(), Some("token"));
}

#[test]
fn nobody_is_there_to_obey_an_order_while_the_session_is_detached() {
    assert!(!detached().order_end(StreamError::new(StreamCondition::Reset)));
}

#[test]
fn what_was_not_acknowledged_comes_again_in_front() {
    let session = session();
    session.enable(Some("token".to_owned()));
    for text in ["one", "two", "three"] {
        session.push(said(text));
    }
    assert!(written(&session, 1).contains("three"));
    session.detach(1).unwrap();
    session.push(said("four"));

    let (epoch, _, _) = resume(&session, 1).unwrap();

    let again = written(&session, epoch);
    assert!(!again.contains("one"), "{again}");
    let places: Vec<_> = ["two", "three", "four"].map(|text| again.find(text).unwrap()).into();
    assert!(places.is_sorted(), "{again}");
}

#[test]
fn a_count_that_was_never_true_resumes_nothing() {
    let session = detached();

    assert_eq!(resume(&session, 7), Err(ResumeRefused::TooHigh { h: 7, sent: 0 }));
}

#[tokio::test]
async fn a_sign_of_life_counts_within_the_same_tick_of_the_clock() {
    let session = session();
    let reads = session.reads();

    session.heard(moment().steady);

    assert!(session.heard_after(reads).await);
}

#[tokio::test]
async fn a_session_whose_connection_is_lost_gives_no_sign_of_life() {
    let session = session();
    let reads = session.reads();

    session.detach(1).unwrap();

    assert!(!session.heard_after(reads).await);
}

fn here() -> Option<(Outgoing, i8)> {
    Some((Element::new("presence").outgoing(Class::Presence), 0))
}

fn kept(seq: u64) -> Outgoing {
    Outgoing { class: Class::Kept(seq), ..said(&format!("n{seq}")) }
}

/// A message of the log comes live.
fn deliver(session: &Session, stanza: Outgoing) {
    session.push_queued(Queued::new(stanza, Due::Logged)).unwrap();
}

/// A page of the log from one number to another.
fn page(after: i64, last: i64, fence: Option<u32>, more: bool) -> LogPage {
    let stanzas = (after + 1..=last).map(|seq| kept(seq as u64)).collect();
    LogPage { after, fence, stanzas, last, more, left_out: None, swaps: 0 }
}

#[test]
fn a_page_that_was_read_too_late_does_not_reach_an_absent_session() {
    let session = session();
    session.set_presence(here());
    let fence = session.fence();
    session.set_presence(None);

    assert_eq!(session.push_page(page(0, 2, fence, false)), Pushed::TooLate);

    assert_eq!(session.drain_state(), Drain::Paused(0));
    assert!(written(&session, 1).is_empty());
    session.set_presence(here());
    // A page that was read before the session was back is not the last.
    session.push_page(page(0, 2, fence, false));
    assert_eq!(session.drain_state(), Drain::After { seq: 2, asked: false, more: false });
}

#[test]
fn what_comes_live_while_the_last_page_is_read_follows_it_and_comes_once() {
    let session = session();
    session.set_presence(here());
    deliver(&session, kept(1));
    let fence = session.fence();
    for seq in [2, 3, 4] {
        deliver(&session, kept(seq));
    }
    let copy = Queued::new(said("n5"), Due::Logged);
    session.push_copy(copy, Some(5));
    assert!(written(&session, 1).is_empty());

    session.push_page(page(0, 3, fence, false));
    deliver(&session, kept(6));

    assert_eq!(session.drain_state(), Drain::Live);
    let written = written(&session, 1);
    let places: Vec<_> = (1..=6).map(|n| written.find(&format!("n{n}")).unwrap()).collect();
    assert!(places.is_sorted(), "{written}");
    assert_eq!(written.matches("n3").count(), 1, "{written}");
    assert!(session.has_copy(5) && !session.has_copy(4));
}

#[test]
fn a_page_that_was_made_before_a_block_is_made_anew_and_what_was_set_aside_is_left_to_the_log() {
    let session = session();
    let own = session.account.clone().unwrap();
    session.set_presence(here());
    let fence = session.fence();
    deliver(&session, kept(3));

    // Whatever the keeper swaps may be a block.
    own.put(Arc::new(5_u8));
    assert_eq!(session.push_page(page(0, 2, fence, false)), Pushed::Outdated);
    assert!(written(&session, 1).is_empty());
    let anew = LogPage { stanzas: vec![kept(2)], swaps: own.swaps(), ..page(0, 2, fence, false) };
    assert_eq!(session.push_page(anew), Pushed::Queued(0));

    assert_eq!(session.drain_state(), Drain::After { seq: 2, asked: false, more: false });
    let written = written(&session, 1);
    assert!(written.contains("n2") && !written.contains("n1") && !written.contains("n3"));
}

#[test]
fn without_a_fence_of_its_own_no_page_is_the_last() {
    let session = session();
    session.set_presence(here());
    let first = session.fence();
    let second = session.fence();
    deliver(&session, kept(3));

    session.push_page(page(0, 1, first, false));
    assert_eq!(session.drain_state(), Drain::After { seq: 1, asked: false, more: false });
    session.push_page(page(0, 1, second, false));
    session.push_page(page(1, 2, None, true));

    assert_eq!(session.drain_state(), Drain::After { seq: 2, asked: false, more: true });
    let written = written(&session, 1);
    assert_eq!((written.matches("n1").count(), written.matches("n3").count()), (1, 0));
}

#[test]
fn what_does_not_fit_aside_is_left_to_the_log() {
    let session = session();
    session.set_presence(here());
    let fence = session.fence();
    let large = Outgoing { class: Class::Kept(2), ..said(&"x".repeat(BUDGET)) };
    deliver(&session, large);
    deliver(&session, kept(3));

    session.push_page(page(0, 1, fence, false));

    assert_eq!(session.drain_state(), Drain::After { seq: 1, asked: false, more: false });
    let written = written(&session, 1);
    assert!(written.contains("n1") && !written.contains("n3"), "{written}");
}

#[test]
fn a_message_handed_on_reaches_a_session_that_has_read_past_its_number() {
    let session = session();
    session.set_presence(here());
    session.push_page(LogPage { stanzas: Vec::new(), ..page(0, 50, None, true) });

    let handed_on = Queued::new(kept(40), Due::Logged);
    session.push_ahead_of_log(handed_on, 40).unwrap();
    deliver(&session, kept(60));

    let written = written(&session, 1);
    assert!(written.contains("n40") && !written.contains("n60"), "{written}");
}

#[test]
fn what_was_read_between_its_commit_and_its_delivery_comes_once() {
    for is_last in [true, false] {
        let session = session();
        session.set_presence(here());
        let fence = session.fence();
        session.push_page(page(0, 3, fence, !is_last));

        deliver(&session, kept(2));
        let copy = Queued::new(said("n3"), Due::Logged);
        session.push_copy(copy, Some(3));
        deliver(&session, kept(4));

        let written = written(&session, 1);
        let times: Vec<_> = (1..=4).map(|n| written.matches(&format!("n{n}")).count()).collect();
        // The fourth message comes from the log if the page was not the last.
        assert_eq!(times, [1, 1, 1, usize::from(is_last)], "{written}");
    }
}

#[test]
fn a_session_that_is_over_does_not_become_available() {
    let session = session();
    session.finish();

    let here = Some((Element::new("presence").outgoing(Class::Presence), 0));

    assert!(!session.set_presence(here));
    assert!(!session.is_available());
}

#[test]
fn a_token_that_became_void_while_somebody_waited_resumes_nothing() {
    let session = detached();

    session.forget_resumption();

    assert_eq!(resume(&session, 0), Err(ResumeRefused::Gone));
}

#[test]
fn a_session_that_is_over_gets_no_token() {
    let session = session();
    session.finish();

    assert!(!session.enable(Some("token".to_owned())));
}

#[test]
fn a_message_in_no_log_that_was_not_flushed_is_left_over() {
    let session = session();
    let passing = |text| Outgoing { class: Class::Kept(0), ..said(text) };
    session.push(passing("flushed"));
    written(&session, 1);
    session.flushed(1).unwrap();
    session.push(passing("lost on the way"));
    written(&session, 1);
    session.push(passing("never taken"));

    let left = session.finish().unwrap().unconfirmed;

    let left: Vec<_> =
        left.iter().map(|item| String::from_utf8_lossy(&item.stanza.bytes).into_owned()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].contains("lost on the way") && left[1].contains("never taken"), "{left:?}");
}

#[test]
fn a_message_of_the_log_that_was_not_flushed_is_left_over() {
    let session = session();
    session.set_presence(here());
    session.push_page(page(0, 1, session.fence(), false));
    written(&session, 1);
    assert_eq!(session.flushed(1), Ok(1));
    deliver(&session, kept(2));
    written(&session, 1);

    let left = session.finish().unwrap().unconfirmed;

    let classes: Vec<_> = left.iter().map(|item| item.stanza.class).collect();
    assert_eq!(classes, [Class::Kept(2)]);
}

#[test]
fn no_other_device_confirms_past_a_message_that_waits_in_the_log_for_this_one_alone() {
    let session = session();
    let own = session.own().clone();
    session.set_presence(here());
    session.push_page(page(0, 1, session.fence(), false));
    let large = Outgoing { class: Class::Kept(3), ..said(&"x".repeat(BUDGET)) };
    session.push_kept(Queued::new(large, Due::Logged), true).unwrap();
    session.push_kept(Queued::new(kept(4), Due::Logged), true).unwrap();

    assert_eq!(own.confirm(9), Some((0, 2)));
    assert_eq!(own.confirm(9), None);
    assert_eq!(session.push_page(page(2, 3, None, true)), Pushed::Queued(9));
    assert_eq!(own.confirm(9), None);
    written(&session, 1);
    assert_eq!(session.flushed(1), Ok(9));
    assert_eq!(own.confirm(9), Some((2, 3)));
    session.push_page(page(3, 4, None, true));
    written(&session, 1);
    assert_eq!(session.flushed(1), Ok(9));

    assert_eq!(own.confirm(9), Some((3, 9)));
    assert!(!session.waits_alone());
}

#[test]
fn no_other_device_confirms_past_a_message_for_this_one_alone_that_it_has_not_confirmed() {
    let session = session();
    let own = session.own().clone();
    session.set_presence(here());
    session.push_page(page(0, 1, session.fence(), false));
    let push = |seq| session.push_kept(Queued::new(kept(seq), Due::Logged), seq != 2).unwrap();
    (2..=3).for_each(push);

    assert_eq!(own.confirm(9), Some((0, 2)));
    written(&session, 1);
    push(4);
    assert_eq!(session.flushed(1), Ok(9));
    assert_eq!(own.confirm(9), Some((2, 3)));
    written(&session, 1);
    assert_eq!(session.flushed(1), Ok(9));
    assert_eq!(own.confirm(9), Some((3, 9)));
    assert!(!session.waits_alone());

    // What does not read the log is sent it all the same.
    session.set_presence(None);
    session.push_kept(Queued::new(kept(10), Due::Logged), true).unwrap();
    assert_eq!(own.confirm(12), None);
    written(&session, 1);
    assert_eq!(session.flushed(1), Ok(12));
    assert_eq!(own.confirm(12), Some((9, 12)));
}

#[test]
fn what_waits_for_a_session_alone_is_left_over_when_it_ends() {
    let session = session();
    session.set_presence(here());
    session.push_page(page(0, 1, session.fence(), false));
    let large = || Outgoing { class: Class::Kept(3), ..said(&"x".repeat(BUDGET)) };
    session.push_kept(Queued::new(large(), Due::Logged), true).unwrap();

    session.finish().unwrap();
    assert_eq!(session.own().waiting_alone().in_log(session.id), Some((3, 3)));

    let late = session.push_kept(Queued::new(kept(4), Due::Logged), true);
    assert_eq!(late, Err(PushRefused::Gone));
    assert_eq!(session.own().confirm(9), Some((0, 2)));
}

#[test]
fn nothing_waits_for_a_session_that_does_not_read_the_log() {
    let session = session();
    let large = Outgoing { class: Class::Kept(3), ..said(&"x".repeat(BUDGET)) };

    let pushed = session.push_kept(Queued::new(large, Due::Logged), true);

    assert_eq!(pushed, Err(PushRefused::NoRoom));
    assert_eq!(session.own().confirm(9), Some((0, 9)));
}

#[test]
fn a_message_handed_on_for_which_there_is_no_room_comes_from_the_log() {
    let session = session();
    session.set_presence(here());
    let large = Outgoing { class: Class::Kept(1), ..said(&"x".repeat(BUDGET)) };

    let handed_on = session.push_ahead_of_log(Queued::new(large, Due::Logged), 1);
    session.push_page(page(0, 1, session.fence(), false));

    assert_eq!(handed_on, Err(PushRefused::NoRoom));
    assert!(written(&session, 1).contains("n1"));
}

#[test]
fn a_copy_that_came_while_the_session_was_absent_does_not_come_again_from_the_log() {
    let session = session();
    session.push_copy(Queued::new(said("n2"), Due::Logged), Some(2));
    let copy = written(&session, 1);
    session.set_presence(here());

    session.push_page(page(0, 3, session.fence(), false));

    let written = copy + &written(&session, 1);
    let times: Vec<_> = (1..=3).map(|n| written.matches(&format!("n{n}")).count()).collect();
    assert_eq!(times, [1, 1, 1], "{written}");
}

#[test]
fn who_posts_faster_than_the_disk_writes_waits() {
    let session = session();
    let most = 256 << 10;

    let waits: Vec<bool> = (0..5).map(|_| session.posted(most)).collect();
    assert_eq!(waits, [false, false, false, false, true]);

    (0..5).for_each(|_| session.arrived(most));
    assert!(!session.posted(most));
}

/// Lets presence wait, keyed by the text before its `=`.
fn presence_waits(stanza: &Outgoing) -> Option<Waits> {
    let text = String::from_utf8_lossy(&stanza.bytes).into_owned();
    let (key, _) = text.split_once('=').filter(|_| stanza.class == Class::Presence)?;
    Some(Waits::under(key.to_owned()))
}

fn presence(says: &str) -> Outgoing {
    Element::new("presence").text(says).outgoing(Class::Presence)
}

#[test]
fn what_waits_is_written_before_what_cannot_wait_the_latest_of_each_key_alone() {
    let session = session();
    session.push(presence("bob=before"));
    session.hold_back(presence_waits);
    session.push(presence("bob=here"));
    session.push(presence("carol=here"));
    session.push(presence("bob=away"));
    let held = session.held_bytes();

    let before = written(&session, 1);
    assert!(before.contains("bob=before") && !before.contains("carol"), "{before}");
    assert!(session.held_bytes() < held && session.held_bytes() > 0);
    session.push(said("hi"));
    session.push(presence("bob=waits again"));

    let written = written(&session, 1);
    let places = ["carol=here", "bob=away", "hi"].map(|word| written.find(word).unwrap());
    assert!(places.is_sorted(), "{written}");
    assert!(!written.contains("bob=here") && !written.contains("again"), "{written}");
}

#[test]
fn what_is_over_by_what_comes_later_waits_no_longer() {
    let session = session();
    session.hold_back(|stanza| {
        let waits = presence_waits(stanza)?;
        let ends = waits.key.strip_suffix("*").map(str::to_owned);
        Some(Waits { ends, ..waits })
    });
    for says in ["<bob/1=here", "<bob/2=here", "<bobby/1=here"] {
        session.push(presence(says));
    }
    let three = session.held_bytes();

    session.push(presence("<bob/*=gone"));
    session.push(presence("<bob/2=then"));
    assert!(session.held_bytes() <= three);
    session.let_go();

    let written = written(&session, 1);
    let left = ["bobby/1=here", "bob/*=gone", "bob/2=then"];
    let places = left.map(|word| written.find(word).unwrap());
    assert!(places.is_sorted() && written.matches("bob").count() == 3, "{written}");
    assert_eq!(session.held_bytes(), 0);
}

#[test]
fn nothing_waits_any_longer_once_it_is_let_go() {
    let session = session();
    session.hold_back(presence_waits);
    session.push(presence("bob=here"));

    session.let_go();
    session.push(presence("bob=away"));

    let written = written(&session, 1);
    assert!(written.contains("bob=here") && written.contains("bob=away"), "{written}");
    assert_eq!(session.held_bytes(), 0);
}

#[test]
fn when_too_much_waits_all_of_it_is_written() {
    for (count, text) in [(1_001, "x".to_owned()), (33, "x".repeat(8_000))] {
        let session = session();
        session.hold_back(presence_waits);
        for number in 1..count {
            session.push(presence(&format!("{number}={text}")));
        }
        assert_eq!(written(&session, 1), "", "{count}");

        session.push(presence(&format!("last={text}")));

        let written = written(&session, 1);
        assert!(written.contains("1=") && written.contains("last="), "{count}");
    }
}

#[test]
fn a_long_stanza_is_written_at_once_after_what_waits_and_nobody_looks_into_it() {
    let session = session();
    session.hold_back(|stanza| {
        assert!(stanza.bytes.len() < 9_000, "looked into {} bytes", stanza.bytes.len());
        presence_waits(stanza)
    });
    session.push(presence("bob=here"));
    session.push(presence(&format!("carol={}", "x".repeat(9_000))));
    session.push(presence("dave=here"));

    let written = written(&session, 1);
    let places = ["bob=here", "carol="].map(|word| written.find(word).unwrap());
    assert!(places.is_sorted() && !written.contains("dave"), "{written}");
}

#[test]
fn what_is_held_back_takes_no_room_from_the_log_and_from_answers() {
    let session = session();
    session.set_presence(Some((presence("here"), 0)));
    session.hold_back(presence_waits);
    for number in 0..30 {
        let presence = presence(&format!("{number}={}", "x".repeat(8_000)));
        session.push_presence(&presence, &Bytes::new());
    }
    assert!(session.held_bytes() > BUDGET / 8);

    let limits = Limits { session_bytes: BUDGET, ..Limits::default() };
    let mut room = Box::pin(session.room());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(room.as_mut().poll(&mut context).is_ready());
    let taken = session.take(1, NOW, &limits, &mut Output::default(), 1 << 20).unwrap();
    assert!(taken.wants_page);
}

#[test]
fn whoever_resumes_gets_what_waited_and_what_waits_when_it_is_over_is_left() {
    let session = detached();
    session.hold_back(presence_waits);
    session.push(presence("bob=here"));
    let (epoch, ..) = resume(&session, 0).unwrap();
    assert!(written(&session, epoch).contains("bob=here"));

    session.hold_back(presence_waits);
    session.push(presence("bob=away"));

    let left = session.finish().unwrap().unconfirmed;
    assert!(left.iter().any(|item| item.stanza.bytes.ends_with(b"bob=away</presence>")));
}

#[test]
fn presence_waits_during_a_rest_until_something_else_is_written_after_it() {
    let session = session();
    session.rest(1).unwrap();
    session.push(presence("a"));
    session.push(presence("b"));
    assert_eq!(written(&session, 1), "");
    assert!(session.held_bytes() > 0);

    session.push(said("hello"));
    session.push(presence("c"));
    let all = written(&session, 1);
    let at = |text: &str| all.find(text).unwrap();
    assert!(at(">a<") < at(">b<") && at(">b<") < at("hello") && at("hello") < at(">c<"), "{all}");

    session.push(presence("d"));
    assert_eq!(written(&session, 1), "");
    session.end_rest();
    assert!(written(&session, 1).contains(">d<"));
}

#[test]
fn a_rest_ends_with_its_connection_and_before_the_last_word() {
    let session = session();
    session.enable(Some("token".to_owned()));
    session.rest(1).unwrap();
    session.push(presence("a"));
    assert_eq!(session.detach(1), Ok(true));
    let (epoch, _, _) = resume(&session, 0).unwrap();
    assert!(session.rest(1).is_err());
    assert!(written(&session, epoch).contains(">a<"));

    session.rest(epoch).unwrap();
    session.push(presence("b"));
    session.order_end(StreamError::new(StreamCondition::SystemShutdown));
    assert!(written(&session, epoch).contains(">b<"));
}
