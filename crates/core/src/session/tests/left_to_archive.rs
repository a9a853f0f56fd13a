//! XEP-0386: a session that leaves to the archive what that shows.

use super::*;

/// A session that reads its log to the end: of the messages 1 to 5 the first three are left to the
/// archive, and 4 and 5 are sent.
fn reader() -> Session {
    let session = session();
    session.leave_to_archive(3);
    session.set_presence(here());
    let fence = session.fence();
    let stanzas = vec![kept(4), kept(5)];
    let page = LogPage { stanzas, left_out: Some((1, 3)), ..page(0, 5, fence, false) };
    assert_eq!(session.push_page(page), Pushed::Queued(0));
    session
}

/// Queues the end of a page of the archive that shows this.
fn shown(session: &Session, shows: (i64, i64)) {
    let class = session.archive_page(shows);
    session.push(Element::new("iq").attr("type", "result").outgoing(class));
}

/// Confirms so many stanzas, and notes at the account how far the log is confirmed by that.
fn acknowledged(session: &Session, h: u32) -> i64 {
    written(session, 1);
    let confirmed = session.acked(h).unwrap();
    session.own().confirm(confirmed);
    confirmed
}

#[test]
fn whoever_asks_to_be_sent_what_waits_leaves_nothing_to_the_archive() {
    let session = session();
    session.leave_to_archive(3);
    assert!(session.waits_in_archive());

    session.send_what_waits();

    assert!(!session.waits_in_archive());
    assert_eq!(session.left_to_archive(), None);
}

#[test]
fn what_comes_after_something_left_out_is_confirmed_alone() {
    let session = reader();
    session.enable(None);
    deliver(&session, kept(6));

    assert_eq!(acknowledged(&session, 3), 0);

    let early = session.own().ahead_of_log();
    assert!(early.is_confirmed(4) && early.is_confirmed(6) && !early.is_confirmed(3));
}

#[test]
fn what_was_read_in_the_archive_and_confirmed_moves_the_cursor_over_all_that_was_confirmed() {
    let session = reader();
    session.enable(None);
    assert_eq!(acknowledged(&session, 2), 0);

    shown(&session, (0, i64::MAX));
    assert_eq!(acknowledged(&session, 2), 0, "on its way it counts for nothing");
    assert_eq!(acknowledged(&session, 3), 5);

    // From now on it is as for any other session.
    deliver(&session, kept(6));
    assert_eq!(acknowledged(&session, 4), 6);
}

#[test]
fn what_is_not_confirmed_bounds_the_cursor() {
    let session = reader();
    session.enable(None);
    shown(&session, (0, 2));
    shown(&session, (2, 3));

    assert_eq!(acknowledged(&session, 1), 0);
    assert_eq!(acknowledged(&session, 3), 2);
    assert_eq!(acknowledged(&session, 4), 5);
}

#[test]
fn a_page_that_does_not_join_on_moves_nothing() {
    let session = reader();
    session.enable(None);
    shown(&session, (1, 3));

    assert_eq!(acknowledged(&session, 3), 0);
}

#[test]
fn before_it_is_available_a_session_moves_nothing() {
    let session = session();
    session.enable(None);
    session.leave_to_archive(3);
    shown(&session, (0, i64::MAX));
    assert_eq!(acknowledged(&session, 1), 0, "others may wait that no archive shows");

    session.set_presence(here());
    let fence = session.fence();
    let page = LogPage { stanzas: vec![], left_out: Some((1, 3)), ..page(0, 3, fence, false) };

    assert_eq!(session.push_page(page), Pushed::Queued(3));
}

#[test]
fn without_counting_what_is_written_is_confirmed() {
    let session = reader();
    written(&session, 1);
    assert_eq!(session.flushed(1), Ok(0));

    shown(&session, (0, i64::MAX));
    written(&session, 1);

    assert_eq!(session.flushed(1), Ok(5));
}

#[test]
fn without_counting_what_is_written_and_not_flushed_was_had_by_nobody() {
    let session = reader();
    written(&session, 1);
    assert!(!session.own().ahead_of_log().is_confirmed(4));
    assert_eq!(session.takes_over(4, "elsewhere"), Had::Unconfirmed);

    session.flushed(1).unwrap();
    assert!(session.own().ahead_of_log().is_confirmed(4));
    assert_eq!(session.takes_over(4, "elsewhere"), Had::Yes);

    deliver(&session, kept(6));
    written(&session, 1);
    let left = session.finish().unwrap().unconfirmed;

    assert_eq!(
        left.iter().map(|item| item.stanza.class).collect::<Vec<_>>(),
        [Class::AheadOfLog(6)]
    );
    assert!(!session.own().ahead_of_log().is_confirmed(6));
}

#[test]
fn what_another_device_has_confirmed_is_missed_no_more() {
    let session = reader();
    session.enable(None);
    assert_eq!(acknowledged(&session, 2), 0);

    session.own().confirm(3);
    deliver(&session, kept(6));

    assert_eq!(acknowledged(&session, 3), 6);
}

#[test]
fn something_waits_in_the_archive_until_it_is_confirmed() {
    let session = session();
    session.own().confirm(2);
    session.leave_to_archive(2);
    assert!(!session.waits_in_archive(), "what is confirmed does not wait");
    session.leave_to_archive(3);
    assert!(session.waits_in_archive(), "the log is not read yet");

    let session = reader();
    assert!(session.waits_in_archive());

    session.own().confirm(3);
    assert!(!session.waits_in_archive());
}

#[test]
fn a_message_for_one_device_that_was_left_out_has_not_reached_it() {
    let session = reader();

    assert_eq!(session.takes_over(2, "elsewhere"), Had::Not);
    assert_eq!(session.takes_over(4, "elsewhere"), Had::Unconfirmed);
}

#[test]
fn forgetting_what_came_ahead_of_the_log_moves_no_cursor() {
    let session = reader();
    session.enable(None);
    for seq in 6..=100 {
        deliver(&session, kept(seq));
    }

    assert_eq!(acknowledged(&session, 97), 0);
    shown(&session, (0, i64::MAX));
    assert_eq!(acknowledged(&session, 98), 100);
}
