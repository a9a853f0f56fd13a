//! Tests with two ends of a line and the wire between them, byte by byte if necessary.

#![allow(clippy::unwrap_used)]

use super::*;

fn ends() -> (Ends, Ends) {
    let bare = |text| BareJid::parse(text).unwrap();
    let (alice, bob) = (bare("alice@a.example"), bare("bob@a.example"));
    let sid = "s1".to_owned();
    (
        Ends { sid: sid.clone(), me: alice.clone(), them: bob.clone() },
        Ends { sid, me: bob, them: alice },
    )
}

/// Both ends, and the clock.
struct Pair {
    alice: Line,
    bob: Line,
    now: Instant,
    /// Bytes that are carried at once.
    piece: usize,
}

impl Pair {
    fn new() -> Pair {
        let now = Instant::now();
        let (alice, bob) = ends();
        let (alice, bob) = (Line::new(alice, true, now), Line::new(bob, false, now));
        Pair { alice, bob, now, piece: usize::MAX }
    }

    /// Both have sent their headers.
    fn greeted() -> Pair {
        let mut pair = Pair::new();
        pair.carry();
        assert_eq!(events(&mut pair.alice), [Event::Greeted]);
        assert_eq!(events(&mut pair.bob), [Event::Greeted]);
        pair
    }

    /// Carries bytes until neither has any.
    fn carry(&mut self) {
        while carry(&mut self.alice, &mut self.bob, self.piece, self.now)
            | carry(&mut self.bob, &mut self.alice, self.piece, self.now)
        {}
    }

    fn send(&mut self, id: &str, text: &str) -> bool {
        self.alice.send(id.to_owned(), text.to_owned(), self.now)
    }
}

fn carry(from: &mut Line, to: &mut Line, piece: usize, now: Instant) -> bool {
    let bytes = from.output().len().min(piece);
    if bytes == 0 {
        return false;
    }
    to.push(&from.output()[..bytes], now).unwrap();
    from.written(bytes);
    true
}

fn events(line: &mut Line) -> Vec<Event> {
    std::iter::from_fn(|| line.poll_event()).collect()
}

fn message(text: &str) -> Event {
    Event::Message(text.to_owned())
}

fn arrived(id: &str) -> Event {
    Event::Arrived(id.to_owned())
}

#[test]
fn messages_arrive_in_order_once_and_are_confirmed() {
    for piece in [1, 7, usize::MAX] {
        let mut pair = Pair::greeted();
        pair.piece = piece;

        assert!(pair.send("1", "one") && pair.send("2", "<two/> & '\"'"));
        pair.carry();

        assert_eq!(events(&mut pair.bob), [message("one"), message("<two/> & '\"'")]);
        assert_eq!(events(&mut pair.alice), [arrived("1"), arrived("2")]);
        assert!(pair.alice.into_unconfirmed().is_empty());
    }
}

#[test]
fn nothing_is_said_before_both_have_said_who_they_are() {
    let mut pair = Pair::new();

    assert!(!pair.send("1", "too early"));
    pair.carry();

    assert!(pair.send("1", "now"));
}

#[test]
fn a_stranger_at_the_other_end_is_found_out() {
    for (from, to, id) in [
        ("eve@a.example", "bob@a.example", "s1"),
        ("alice@a.example", "eve@a.example", "s1"),
        ("alice@a.example", "bob@a.example", "s2"),
    ] {
        let (_, ends) = ends();
        let now = Instant::now();
        let mut bob = Line::new(ends, false, now);
        let header = format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='{}' from='{from}' to='{to}' \
             id='{id}' version='1.0'>",
            ns::STREAM
        );

        assert_eq!(bob.push(header.as_bytes(), now), Err(Violation), "{from} {to} {id}");
        assert!(events(&mut bob).is_empty());
    }
}

#[test]
fn a_message_that_comes_twice_is_shown_once_and_confirmed_twice() {
    let mut pair = Pair::greeted();
    let twice = "<message id='1'><body>hi</body><request xmlns='urn:xmpp:receipts'/></message>";

    pair.bob.push(twice.repeat(2).as_bytes(), pair.now).unwrap();

    assert_eq!(events(&mut pair.bob), [message("hi")]);
    assert_eq!(String::from_utf8_lossy(pair.bob.output()).matches("<received").count(), 2);
}

#[test]
fn a_receipt_for_what_was_never_sent_is_passed_over() {
    let mut pair = Pair::greeted();
    pair.send("1", "hi");

    let forged = "<message><received xmlns='urn:xmpp:receipts' id='2'/></message>";
    pair.alice.push(forged.as_bytes(), pair.now).unwrap();

    assert!(events(&mut pair.alice).is_empty());
    assert_eq!(pair.alice.into_unconfirmed().len(), 1);
}

#[test]
fn what_has_no_receipt_is_given_back_in_order() {
    let mut pair = Pair::greeted();
    for id in ["1", "2", "3"] {
        pair.send(id, id);
    }
    carry(&mut pair.alice, &mut pair.bob, usize::MAX, pair.now);
    let receipt = "<message><received xmlns='urn:xmpp:receipts' id='2'/></message>";
    pair.alice.push(receipt.as_bytes(), pair.now).unwrap();

    let left: Vec<String> = pair.alice.into_unconfirmed().into_iter().map(|it| it.id).collect();

    assert_eq!(left, ["1", "3"]);
}

#[test]
fn a_hundred_unconfirmed_messages_are_as_many_as_may_be() {
    let mut pair = Pair::greeted();

    for n in 0..100 {
        assert!(pair.send(&n.to_string(), "x"));
    }
    assert!(!pair.send("100", "x"));
    pair.carry();

    assert!(pair.send("100", "x"));
}

#[test]
fn large_messages_are_refused_before_they_fill_the_memory() {
    let mut pair = Pair::greeted();
    let large = "ä".repeat(10_000);

    let taken = (0..100).take_while(|n| pair.send(&n.to_string(), &large)).count();

    assert!((10..20).contains(&taken), "{taken}");
    assert!(pair.alice.output().len() < MAX_BACKLOG + (64 << 10));
}

#[test]
fn silence_is_told_once_and_again_after_a_sign_of_life() {
    let mut pair = Pair::greeted();
    pair.send("1", "hi");
    assert_eq!(pair.alice.next_deadline(pair.now), Some(pair.now + SILENCE));

    for _ in 0..2 {
        pair.now += SILENCE;
        pair.alice.handle_time(pair.now);
    }
    assert_eq!(events(&mut pair.alice), [Event::Silent]);
    assert_eq!(pair.alice.next_deadline(pair.now), None);

    pair.carry();
    assert_eq!(events(&mut pair.alice), [arrived("1")]);
    pair.send("2", "hi");
    pair.now += SILENCE;
    pair.alice.handle_time(pair.now);
    assert_eq!(events(&mut pair.alice), [Event::Silent]);
}

#[test]
fn what_was_said_before_the_end_arrives_before_it() {
    let mut pair = Pair::greeted();
    pair.send("1", "last words");

    pair.alice.close();
    assert!(!pair.send("2", "too late"));
    assert!(!pair.alice.is_done());
    pair.carry();

    assert_eq!(events(&mut pair.bob), [message("last words"), Event::Closed]);
    assert_eq!(events(&mut pair.alice), [arrived("1")]);
    assert!(pair.alice.is_done());
}

#[test]
fn a_goodbye_from_both_is_the_end() {
    let mut pair = Pair::greeted();
    pair.alice.close();
    pair.carry();
    assert_eq!(events(&mut pair.bob), [Event::Closed]);

    pair.bob.close();
    pair.carry();

    assert_eq!(events(&mut pair.alice), [Event::Closed]);
    assert!(pair.alice.is_done() && pair.bob.is_done());
    assert!(!pair.bob.wants_input(pair.now));
}

#[test]
fn whatever_is_not_allowed_is_a_violation() {
    let big = "x".repeat(200 << 10);
    let long = "x".repeat(10_001);
    let wide = "<a/>".repeat(300);
    let deep = "<a>".repeat(20);
    for nonsense in [
        "\0\u{1}garbage".to_owned(),
        "<message".to_owned() + &big,
        format!("<message><body>{big}"),
        format!("<message><body>{long}</body></message>"),
        format!("<message>{wide}</message>"),
        format!("<message>{deep}"),
        "<!DOCTYPE x [<!ENTITY y 'z'>]>".to_owned(),
        "<?php evil ?>".to_owned(),
        "<message></body>".to_owned(),
        "<stream:error><bad-format xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
            .to_owned(),
    ] {
        let mut pair = Pair::greeted();
        let pushed = pair.bob.push(nonsense.as_bytes(), pair.now);
        assert_eq!(pushed, Err(Violation), "{}", &nonsense[..nonsense.len().min(60)]);
        assert!(events(&mut pair.bob).is_empty());
    }
}

#[test]
fn a_stanza_of_a_hundred_megabytes_costs_no_more_than_its_first_part() {
    let mut pair = Pair::greeted();
    let mut taken = 0;
    let piece = vec![b'x'; 16 << 10];
    pair.bob.push(b"<message><body>", pair.now).unwrap();

    while taken < 100 << 20 && pair.bob.push(&piece, pair.now).is_ok() {
        taken += piece.len();
    }

    assert!(taken < 256 << 10, "{taken}");
}

#[test]
fn other_stanzas_are_passed_over() {
    let mut pair = Pair::greeted();
    let others = "<presence/><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>\
                  <message/><message><body/></message><message><x xmlns='urn:y'>hi</x></message>\
                  <message type='error'><x xmlns='urn:y'/></message>";

    pair.bob.push(others.as_bytes(), pair.now).unwrap();

    assert!(events(&mut pair.bob).is_empty());
    assert!(pair.bob.output().is_empty());
}

#[test]
fn a_flood_is_slowed_down_to_what_a_person_can_see() {
    let mut pair = Pair::greeted();
    let flood = |n: u32| format!("<message id='{n}'><body>x</body></message>");

    let mut taken = 0;
    while pair.bob.wants_input(pair.now) && taken < 10_000 {
        pair.bob.push(flood(taken).as_bytes(), pair.now).unwrap();
        taken += 1;
        events(&mut pair.bob);
    }
    assert_eq!(taken, BURST);
    assert_eq!(pair.bob.next_deadline(pair.now), Some(pair.now + PACE));

    pair.now += PACE;
    assert!(pair.bob.wants_input(pair.now));
    pair.bob.push(flood(taken).as_bytes(), pair.now).unwrap();
    assert!(!pair.bob.wants_input(pair.now));
}

#[test]
fn nothing_more_is_read_than_the_face_takes() {
    let mut pair = Pair::greeted();
    let flood = "<message><body>x</body></message>".repeat(MAX_EVENTS);

    pair.bob.push(flood.as_bytes(), pair.now).unwrap();

    assert!(!pair.bob.wants_input(pair.now));
    events(&mut pair.bob);
    assert!(pair.bob.wants_input(pair.now));
}
