//! Tests of the requests of a session: their order, what is held, what is asked again, what ends it.
#![allow(clippy::unwrap_used)]

use super::*;
use std::cell::Cell;
use std::rc::Rc;

/// By name, and whether its client has gone.
#[derive(Debug, Clone)]
struct Name(&'static str, Rc<Cell<bool>>);

impl By for Name {
    fn is_gone(&self) -> bool {
        self.1.get()
    }
}

fn by(name: &'static str) -> Name {
    Name(name, Rc::default())
}

struct World {
    session: Session<Name>,
    said: Vec<(&'static str, String)>,
}

const FIRST: &str = "<body xmlns='http://jabber.org/protocol/httpbind' rid='100' to='a.example' \
                     hold='1' wait='60' ver='1.6' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>";

impl World {
    fn new(first: &str) -> World {
        let body = head(first.as_bytes()).unwrap();
        let session = Session::new("SomeSID".into(), &body, body.rid.unwrap());
        let mut world = World { session, said: Vec::new() };
        world.ask(first, by("first")).unwrap();
        world
    }

    /// With the first request answered.
    fn begun() -> World {
        let mut world = World::new(FIRST);
        world.read();
        world.say(b"<stream:features/>");
        world.said.clear();
        world
    }

    fn ask(&mut self, body: &str, by: Name) -> Result<(), Refusal> {
        let head = head(body.as_bytes()).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let taken = self.session.request(&head, head.rid.unwrap(), body, by);
        let due = taken.map_err(|(_, refusal)| refusal)?;
        self.note(due);
        Ok(())
    }

    /// A request with this number and content.
    fn number(&mut self, rid: u64, content: &str, by: Name) -> Result<(), Refusal> {
        let rest = if content.is_empty() { "/>" } else { &format!(">{content}</body>") };
        self.ask(&format!("<body xmlns='{}' rid='{rid}' sid='SomeSID'{rest}", ns::BOSH), by)
    }

    fn note(&mut self, due: Vec<Due<Name>>) {
        for Due { by, answer } in due {
            self.said.push((by.0, String::from_utf8(answer.to_vec()).unwrap()));
        }
    }

    /// Takes all bodies, and answers what is due by that.
    fn read(&mut self) -> String {
        let mut read = Vec::new();
        let mut buffer = [0; 7];
        loop {
            match self.session.read(&mut buffer) {
                0 => break,
                length => read.extend_from_slice(&buffer[..length]),
            }
        }
        let due = self.session.release();
        self.note(due);
        String::from_utf8(read).unwrap()
    }

    /// Says something. Returns whether there was a request to answer.
    fn say(&mut self, said: &[u8]) -> bool {
        match self.session.say(said) {
            Some(due) => {
                self.note(due);
                true
            }
            None => false,
        }
    }

    fn said(&mut self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.said)
    }
}

fn empty() -> String {
    "<body xmlns='http://jabber.org/protocol/httpbind'/>".to_owned()
}

fn with(content: &str) -> String {
    format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' \
         xmlns:stream='http://etherx.jabber.org/streams'>{content}</body>"
    )
}

#[test]
fn the_first_answer_says_on_what_terms() {
    let mut world = World::new(FIRST);
    assert!(!world.say(b"<stream:features/>"), "what it asks has not been read");
    assert_eq!(world.read(), FIRST);
    assert!(world.say(b"<stream:features/>"));

    let [("first", answer)] = &world.said()[..] else { panic!() };
    for part in [
        " sid='SomeSID'",
        " from='a.example'",
        " wait='60'",
        " hold='1'",
        " requests='2'",
        " inactivity='60'",
        " ver='1.11'",
        " xmpp:version='1.0' xmpp:restartlogic='true' xmlns:xmpp='urn:xmpp:xbosh'",
        " xmlns:stream='http://etherx.jabber.org/streams'><stream:features/></body>",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(!answer.contains("polling") && !answer.contains(" ack="));
    assert!(head(answer.as_bytes()).is_ok());
}

#[test]
fn terms_are_the_clients_within_ours() {
    for (asked, wait, hold, polls) in [
        ("", 60, 1, false),
        ("wait='10' hold='1'", 10, 1, false),
        ("wait='300' hold='5'", 300, 1, false),
        ("wait='99999' hold='1'", 300, 1, false),
        ("wait='0' hold='1'", 0, 1, true),
        ("wait='60' hold='0'", 60, 0, true),
    ] {
        let first = format!("<body xmlns='{}' rid='1' {asked}/>", ns::BOSH);
        let session = World::new(&first).session;
        assert_eq!(session.wait(), Duration::from_secs(wait), "{asked}");
        assert_eq!((session.terms.hold, session.polling().is_some()), (hold, polls), "{asked}");
    }
}

#[test]
fn a_request_is_held_until_there_is_something_to_say_or_another_comes() {
    let mut world = World::begun();
    world.number(101, "", by("a")).unwrap();
    assert!(world.read().contains("rid='101'"), "its sender pays for it");
    assert!(world.said().is_empty());

    assert!(world.say(b"<message/>"));
    assert_eq!(world.said(), [("a", with("<message/>"))]);
    assert!(!world.say(b"<message/>"), "there is no request");

    world.number(102, "", by("b")).unwrap();
    world.number(103, "<iq/>", by("c")).unwrap();
    assert!(world.said().is_empty(), "what the first asks has not been read");
    assert!(world.read().contains("<iq/>"));
    assert_eq!(world.said(), [("b", empty())]);
}

#[test]
fn who_says_much_before_it_reads_on_is_not_stuck() {
    let mut world = World::begun();
    world.number(101, "<iq/><iq/>", by("a")).unwrap();
    world.read();
    assert!(world.say(b"<one/>"));
    world.number(102, "<iq/>", by("b")).unwrap();
    assert!(world.say(b"<two/>"));
    assert_eq!(world.said(), [("a", with("<one/>")), ("b", with("<two/>"))]);
    // But the client cannot send without an end meanwhile.
    for (rid, can_say) in [(103, true), (104, false)] {
        world.number(rid, "<iq/>", by("c")).unwrap();
        assert_eq!(world.say(b"<more/>"), can_say, "{rid}");
    }
    assert!(world.read().contains("rid='104'") && world.say(b"<more/>"));
    // One that asks for nothing else can be told any number of things, and few of its requests wait.
    world.said.clear();
    for rid in 105..=150 {
        world.number(rid, "", by("d")).unwrap();
        assert!(world.say(b"<more/>"), "{rid}");
    }
    assert_eq!(world.read().matches("<body").count(), 3);
}

#[test]
fn a_request_without_content_is_not_let_go_for_another_one_before_it_is_read() {
    let mut world = World::begun();
    for (rid, name) in [(101, "a"), (102, "b")] {
        world.number(rid, "", by(name)).unwrap();
        let due = world.session.release();
        world.note(due);
    }
    assert!(world.said().is_empty(), "who is not read because they owe is not answered, either");
    world.read();
    assert_eq!(world.said(), [("a", empty())]);
}

#[test]
fn a_request_whose_wait_is_over_is_answered_with_nothing() {
    let mut world = World::begun();
    world.number(101, "", by("a")).unwrap();
    world.read();
    let due = world.session.expire(101).into_iter().collect();
    world.note(due);
    assert_eq!(world.said(), [("a", empty())]);
    assert!(world.session.expire(101).is_none());
}

#[test]
fn requests_that_overtake_each_other_are_read_in_their_order() {
    let mut world = World::begun();
    world.number(102, "<two/>", by("b")).unwrap();
    assert_eq!(world.read(), "");
    assert!(!world.say(b"<message/>"));

    world.number(101, "<one/>", by("a")).unwrap();

    let read = world.read();
    assert!(read.find("<one/>").unwrap() < read.find("<two/>").unwrap());
    assert_eq!(world.said(), [("a", empty())]);
    assert!(world.say(b"<message/>"));
    assert_eq!(world.said(), [("b", with("<message/>"))]);
}

#[test]
fn who_asks_again_is_given_the_same_answer_and_nothing_is_read_twice() {
    let mut world = World::begun();
    world.number(101, "<one/>", by("a")).unwrap();
    world.read();
    world.say(b"<message/>");
    world.said.clear();

    world.number(101, "<one/>", by("again")).unwrap();

    assert_eq!((world.said(), world.read()), (vec![("again", with("<message/>"))], String::new()));
    // The first answer is kept as well, and an older one is not.
    world.number(100, "", by("first")).unwrap();
    world.said.clear();
    world.number(102, "", by("c")).unwrap();
    world.read();
    world.say(b"<message/>");
    assert_eq!(world.number(100, "", by("late")), Err(Refusal::ItemNotFound));
}

#[test]
fn who_asks_again_before_the_answer_takes_the_place_of_the_request_before() {
    let mut world = World::begun();
    world.number(101, "<one/>", by("a")).unwrap();
    world.number(101, "<one/>", by("again")).unwrap();
    let failed = "<body type='error' xmlns='http://jabber.org/protocol/httpbind'/>";
    assert_eq!(world.said(), [("a", failed.to_owned())]);
    assert_eq!(world.read().matches("<one/>").count(), 1);
    assert!(world.say(b"<message/>"));
    assert_eq!(world.said(), [("again", with("<message/>"))]);
}

#[test]
fn nothing_is_said_to_who_has_gone() {
    let mut world = World::begun();
    let gone = by("a");
    world.number(101, "", gone.clone()).unwrap();
    world.read();
    gone.1.set(true);
    assert!(world.session.is_idle() && !world.say(b"<message/>"));

    world.number(101, "", by("again")).unwrap();
    world.said.clear();

    assert!(!world.session.is_idle() && world.say(b"<message/>"));
    assert_eq!(world.said(), [("again", with("<message/>"))]);
}

#[test]
fn numbers_outside_of_the_window_are_refused_alike() {
    for rid in [0, 1, 98, 103, 104, Body::LAST_RID] {
        let mut world = World::begun();
        assert_eq!(world.number(rid, "", by("a")), Err(Refusal::ItemNotFound), "{rid}");
    }
}

#[test]
fn more_requests_at_once_than_agreed_are_refused() {
    let mut world = World::begun();
    world.number(101, "", by("a")).unwrap();
    world.number(102, "", by("b")).unwrap();
    // The server is slow to read them.
    assert_eq!(world.number(103, "", by("c")), Err(Refusal::PolicyViolation));
    // One more may come to end the session.
    let mut world = World::begun();
    world.number(101, "", by("a")).unwrap();
    world.number(102, "", by("b")).unwrap();
    let last = format!("<body xmlns='{}' rid='103' sid='SomeSID' type='terminate'/>", ns::BOSH);
    world.ask(&last, by("c")).unwrap();
}

#[test]
fn the_end_of_a_stream_is_that_of_the_session() {
    for (said, attributes, content) in [
        (&b"\x04"[..], " type='terminate'", ""),
        (b"<message/>\x04", " type='terminate'", "<message/>"),
        (
            b"<stream:error/>\x05",
            " type='terminate' condition='remote-stream-error'",
            "<stream:error/>",
        ),
    ] {
        let mut world = World::begun();
        world.number(101, "", by("a")).unwrap();
        world.number(102, "", by("b")).unwrap();
        // Both are read before anything is released.
        while world.session.read(&mut [0; 100]) > 0 {}

        assert!(world.say(said));

        let said = world.said();
        assert_eq!((said[0].0, said[1].0), ("a", "b"));
        assert!(said[0].1.contains(attributes) && said[0].1.contains(content), "{said:?}");
        assert_eq!(said[1].1, empty());
        assert!(world.session.is_over());
        assert_eq!(world.number(103, "", by("c")), Err(Refusal::ItemNotFound));
    }
}

/// XEP-0124, 13: the end is told in the answer to the request that asks for it.
#[test]
fn what_is_said_while_a_client_ends_comes_with_the_end() {
    let last = format!("<body xmlns='{}' rid='102' sid='SomeSID' type='terminate'/>", ns::BOSH);
    for end in ["<message>4</message>\x04", "\x04"] {
        let mut world = World::begun();
        world.number(101, "", by("a")).unwrap();
        world.ask(&last, by("last")).unwrap();
        world.read();
        assert!(world.say(b"<message>1</message>"));
        assert_eq!(world.said(), [("a", with("<message>1</message>"))]);

        assert!(world.say(b"<message>2</message>"));
        assert!(world.say(b"<message>3</message>"));
        assert!(world.said().is_empty());
        assert!(world.say(end.as_bytes()));

        let [(who, answer)] = &world.said()[..] else { panic!() };
        assert_eq!(*who, "last");
        assert!(answer.contains(" type='terminate'"), "{answer}");
        assert_eq!(answer.matches("<message>").count(), end.matches("<message>").count() + 2);
        assert!(answer.contains("<message>2</message><message>3</message>"), "{answer}");
        assert!(world.session.is_over());
    }
}

#[test]
fn the_last_words_are_said_when_the_end_takes_longer_than_a_request_is_held() {
    let mut world = World::begun();
    let last = format!("<body xmlns='{}' rid='101' sid='SomeSID' type='terminate'/>", ns::BOSH);
    world.ask(&last, by("last")).unwrap();
    world.read();
    assert!(world.say(b"<message/>"));
    let due = world.session.expire(101).into_iter().collect();
    world.note(due);
    assert_eq!(world.said(), [("last", with("<message/>"))]);
}

#[test]
fn an_end_without_a_word_refuses_all_that_wait() {
    let mut world = World::begun();
    world.number(101, "", by("a")).unwrap();
    world.number(102, "", by("b")).unwrap();
    let due = world.session.end(Refusal::ItemNotFound);
    world.note(due);
    let said = world.said();
    assert_eq!(said.len(), 2);
    for (_, answer) in said {
        assert!(answer.contains("type='terminate' condition='item-not-found'"), "{answer}");
    }
}

#[test]
fn acknowledgements_are_said_to_who_says_them() {
    let first = FIRST.replace("hold='1'", "hold='1' ack='1'");
    let mut world = World::new(&first);
    world.read();
    world.say(b"<stream:features/>");
    assert!(world.said()[0].1.contains(" ack='100'"));
    // An answer to an earlier request says what has come since.
    world.number(101, "", by("a")).unwrap();
    world.number(102, "", by("b")).unwrap();
    world.read();
    assert_eq!(world.said(), [("a", empty().replace("/>", " ack='102'/>"))]);
    // What the client has is not kept.
    let body = format!("<body xmlns='{}' rid='103' sid='SomeSID' ack='101'/>", ns::BOSH);
    world.ask(&body, by("c")).unwrap();
    assert_eq!(world.number(101, "", by("late")), Err(Refusal::ItemNotFound));
}

#[test]
fn what_is_no_body_has_no_head() {
    for (body, error) in [
        ("", ScanError::NotWellFormed),
        ("<body", ScanError::NotWellFormed),
        ("<body rid='1'/>", ScanError::InvalidNamespace),
        ("<body xmlns='jabber:client' rid='1'/>", ScanError::InvalidNamespace),
        ("<other xmlns='http://jabber.org/protocol/httpbind'/>", ScanError::BadFormat),
        (
            "<!DOCTYPE body><body xmlns='http://jabber.org/protocol/httpbind'/>",
            ScanError::Restricted,
        ),
        ("<!-- x --><body xmlns='http://jabber.org/protocol/httpbind'/>", ScanError::Restricted),
        ("x<body xmlns='http://jabber.org/protocol/httpbind'/>", ScanError::NotWellFormed),
    ] {
        assert_eq!(head(body.as_bytes()), Err(error), "{body}");
    }
    let numbers = |rid: &str| {
        let body = format!("<body xmlns='{}' rid='{rid}'/>", ns::BOSH);
        head(body.as_bytes()).unwrap().rid
    };
    assert_eq!(numbers("9007199254740991"), Some(Body::LAST_RID));
    for none in ["9007199254740992", "-1", "x", "", "1.5", "99999999999999999999"] {
        assert_eq!(numbers(none), None, "{none}");
    }
}

#[test]
fn a_head_is_read_in_whatever_pieces_it_comes() {
    let begin = "<?xml version='1.0'?><body xmlns='http://jabber.org/protocol/httpbind' rid='7'>";
    for pieces in [1, 2, 40] {
        let (mut reader, mut found) = (Head::default(), None);
        for piece in begin.as_bytes().chunks(pieces) {
            assert_eq!(found, None, "{pieces}");
            found = reader.read(piece).unwrap();
        }
        assert_eq!(found, Some(head(begin.as_bytes()).unwrap()), "{pieces}");
    }
    // What is too long is refused before its end.
    let mut long = Head::default();
    assert_eq!(long.read(begin.trim_end_matches('>').as_bytes()), Ok(None));
    assert_eq!(long.read(&[b' '; WRAPPER]), Err(ScanError::TooBig));
}
