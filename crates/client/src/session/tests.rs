//! Tests of the session, fed by hand: what it sends, and how it handles what arrives.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::keepalive::{ASK_AGAIN, PATIENCE, SILENCE};
use super::wishes::MAX_WAITING;
use super::*;
use crate::kit::{Kit, ListenerId, Mark};
use crate::refusal::Refusal;
use crate::request::Answer;
use crate::subscription::SubscriptionType;
use whoelse_xmpp::{Frame, Kind, Limits, Scanner, ns};

struct Bench {
    session: Session,
    now: Instant,
}

fn bare(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn granted() -> Granted {
    Granted { is_counted: true, resumption: Some("r1".to_owned()), activity: true, roster: false }
}

/// A session without listeners; `verdicts` asks for the fate of each message.
fn session(granted: Granted, verdicts: bool, now: Instant) -> Session {
    listened_to(granted, verdicts, &[], now)
}

/// A session with a listener for each of these namespaces.
fn listened_to(
    granted: Granted,
    verdicts: bool,
    namespaces: &'static [&'static [&'static str]],
    now: Instant,
) -> Session {
    let me = FullJid::parse("me@a.example/x").unwrap();
    let config = Config { verdicts, ..Config::new("a.example", 5222) };
    let mut kit = Kit::default();
    namespaces.iter().for_each(|it| drop(kit.listen(it)));
    Session::new(me, granted, &config, kit.into_parts().0, now)
}

/// Returns the stanzas in some output, without anything else.
fn stanzas(output: &[u8]) -> Vec<Stanza> {
    elements(output).into_iter().filter(|element| element.kind() != Kind::Other).collect()
}

fn elements(output: &[u8]) -> Vec<Stanza> {
    let mut scanner = Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN);
    scanner.push(
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    scanner.push(output);
    let mut found = Vec::new();
    while let Some(frame) = scanner.next().unwrap() {
        if let Frame::Element(element) = frame {
            found.push(element);
        }
    }
    found
}

impl Bench {
    /// A session whose first stanzas have been sent, acknowledged and answered.
    fn new() -> Bench {
        Bench::with(granted(), false)
    }

    /// The same with verdicts.
    fn with_verdicts() -> Bench {
        Bench::with(granted(), true)
    }

    fn with(granted: Granted, verdicts: bool) -> Bench {
        Bench::listened_to(granted, verdicts, &[])
    }

    /// The same with listeners, which have received the login.
    fn listened_to(
        granted: Granted,
        verdicts: bool,
        namespaces: &'static [&'static [&'static str]],
    ) -> Bench {
        let now = Instant::now();
        let counted = granted.is_counted;
        let mut bench = Bench { session: listened_to(granted, verdicts, namespaces, now), now };
        bench.settle();
        if counted {
            bench.ack(2);
        }
        assert!(matches!(bench.events()[..], [Event::LoggedIn { .. }]));
        bench
    }

    /// Answers the request that ends the first stanzas, and discards them.
    fn settle(&mut self) {
        let ping = self.sent().into_iter().find(|it| it.has("ping", ns::PING)).unwrap();
        let id = ping.id().unwrap();
        self.hear(&format!("<iq type='result' id='{id}' from='a.example'/>"));
    }

    fn output(&mut self) -> Vec<u8> {
        self.session.poll_output(self.now)
    }

    fn sent(&mut self) -> Vec<Stanza> {
        let output = self.output();
        stanzas(&output)
    }

    fn hear(&mut self, xml: &str) {
        self.session.handle_stanza(&Stanza::parse(xml.as_bytes().to_vec()).unwrap(), self.now);
    }

    fn ack(&mut self, h: u32) {
        self.session.handle_counting(&Sm::Ack { h }, self.now).unwrap();
    }

    /// Returns the count that the peer gets when it asks.
    fn count(&mut self) -> u32 {
        self.session.handle_counting(&Sm::Request, self.now).unwrap();
        let output = self.output();
        let last = elements(&output).pop().unwrap();
        assert_eq!(last.name(), "a");
        last.attr("h").unwrap().parse().unwrap()
    }

    /// Returns the next event, for any receiver.
    fn told(&mut self) -> Option<Telling> {
        self.session.poll_telling()
    }

    /// Returns the events of the interface.
    fn events(&mut self) -> Vec<Event> {
        let events = std::iter::from_fn(|| self.told()).filter_map(|told| match told {
            Telling::Face(event) => Some(event),
            Telling::Listener(..) => None,
        });
        events.collect()
    }

    fn say(&mut self, text: &str) {
        // The id comes after the last blank, if there is one.
        let id = text.rsplit(' ').next().filter(|id| *id != text);
        let id = id.map_or_else(whoelse_stream::token, str::to_owned);
        self.session.message(id, bare("bob@a.example"), text.to_owned(), self.now);
    }

    /// Answers the last request.
    fn answer_ping(&mut self) {
        let ping = self.sent().into_iter().rfind(|it| it.has("ping", ns::PING)).unwrap();
        let id = ping.id().unwrap();
        self.hear(&format!("<iq type='result' id='{id}' from='a.example'/>"));
    }

    fn texts(&mut self) -> Vec<String> {
        let body = |it: Stanza| it.child_text("body", ns::CLIENT).map(|text| text.to_string());
        self.sent().into_iter().filter_map(body).collect()
    }

    fn ask(&mut self, request: Request) -> oneshot::Receiver<Result<Answer, RequestError>> {
        let (reply, answer) = oneshot::channel();
        self.session.ask(request, reply, self.now);
        answer
    }

    fn pass(&mut self, time: Duration) -> Pulse {
        self.now += time;
        self.session.handle_time(self.now)
    }
}

fn look() -> Request {
    Request::get(Element::new("blocklist").xmlns(ns::BLOCKING))
}

fn change() -> Request {
    Request::set(Element::new("block").xmlns(ns::BLOCKING))
}

#[test]
fn a_session_begins_with_presence_and_a_question_after_it() {
    let now = Instant::now();
    let mut session = session(granted(), false, now);

    let kinds: Vec<_> = stanzas(&session.poll_output(now)).iter().map(Stanza::kind).collect();

    assert_eq!(kinds, [Kind::Presence, Kind::Iq]);
}

#[test]
fn who_is_there_already_is_not_announced() {
    let now = Instant::now();
    let mut bench = Bench { session: session(granted(), false, now), now };
    bench.hear("<presence from='bob@a.example/y'/>");
    bench.settle();
    bench.hear("<presence from='carol@a.example/y'/>");

    let events = bench.events();

    assert!(
        matches!(&events[..], [Event::LoggedIn { .. }, Event::CameOnline(who)]
        if *who == bare("carol@a.example")),
        "{events:?}"
    );
}

#[test]
fn a_message_is_followed_by_a_question_for_the_count_once() {
    let mut bench = Bench::new();

    bench.say("one");
    bench.say("two");
    let output = bench.output();
    bench.say("three");
    let more = bench.output();

    let names =
        |output: &[u8]| elements(output).iter().map(|it| it.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&output), ["message", "message", "r"]);
    assert_eq!(names(&more), ["message"], "one question is open already");
    bench.ack(4);
    assert_eq!(names(&bench.output()), ["r"], "the third has not been asked about");
}

#[test]
fn what_is_not_acknowledged_is_asked_for_again() {
    let mut bench = Bench::new();
    bench.say("one");
    bench.output();
    bench.ack(2);
    assert!(bench.output().is_empty());

    assert_eq!(bench.pass(ASK_AGAIN), Pulse::Alive);

    assert_eq!(elements(&bench.output()).len(), 1);
}

#[test]
fn after_a_resumption_only_what_is_missing_is_sent_again() {
    let mut bench = Bench::new();
    bench.say("one");
    bench.say("two");
    bench.output();

    bench.session.handle_loss();
    bench.say("three");
    assert!(bench.output().is_empty(), "there is no connection to write to");
    bench.session.handle_resumed(3, bench.now).unwrap();

    assert_eq!(bench.texts(), ["two", "three"]);
    assert_eq!(bench.events(), [Event::ConnectionLost, Event::Resumed]);
}

#[test]
fn in_a_new_session_unacknowledged_messages_go_out_again_under_their_ids() {
    let mut bench = Bench::new();
    bench.say("one");
    bench.say("two");
    let ids: Vec<_> = bench.sent().iter().map(|it| it.id().unwrap().to_owned()).collect();

    bench.session.handle_loss();
    bench.say("three");
    let me = FullJid::parse("me@a.example/y").unwrap();
    bench.session.handle_renewed(me, granted(), None, bench.now);

    let sent = bench.sent();
    let kinds: Vec<_> = sent.iter().map(Stanza::kind).collect();
    assert_eq!(kinds[..2], [Kind::Presence, Kind::Iq]);
    let again: Vec<_> = sent[2..4].iter().map(|it| it.id().unwrap().to_owned()).collect();
    assert_eq!(again, ids);
    assert_eq!(sent[4].child_text("body", ns::CLIENT).unwrap(), "three");
    for message in &sent[2..] {
        let origin = message.child("origin-id", ns::STANZA_ID).unwrap();
        assert_eq!(message.child_attr(origin, "id").as_deref(), message.id());
    }
}

#[test]
fn what_the_server_remembers_to_have_handled_is_not_sent_again() {
    let mut bench = Bench::new();
    bench.say("one");
    bench.say("two");
    bench.output();

    bench.session.handle_loss();
    let me = FullJid::parse("me@a.example/y").unwrap();
    bench.session.handle_renewed(me, granted(), Some(3), bench.now);

    assert_eq!(bench.texts(), ["two"]);
}

#[test]
fn a_count_that_cannot_be_true_is_an_error() {
    let mut bench = Bench::new();
    bench.say("one");
    bench.output();

    assert!(bench.session.handle_counting(&Sm::Ack { h: 9 }, bench.now).is_err());
    bench.session.handle_loss();
    assert!(bench.session.handle_resumed(9, bench.now).is_err());
}

#[test]
fn a_hundred_lines_wait_for_a_connection_and_no_more() {
    let mut bench = Bench::new();
    bench.session.handle_loss();

    for n in 0..MAX_WAITING {
        assert!(!bench.session.is_full());
        bench.say(&n.to_string());
    }

    assert!(bench.session.is_full());
    bench.session.handle_resumed(2, bench.now).unwrap();
    assert!(!bench.session.is_full());
    assert_eq!(bench.texts().len(), MAX_WAITING);
}

#[test]
fn what_was_not_shown_does_not_count_as_handled() {
    let mut bench = Bench::new();
    let before = bench.count();

    bench.hear("<message from='bob@a.example/y'><body>hi</body></message>");
    assert_eq!(bench.count(), before);

    assert_eq!(bench.events().len(), 1);
    assert_eq!(bench.count(), before + 1);
}

#[test]
fn what_nobody_reads_does_not_count_as_handled_and_what_is_sent_is_still_sent() {
    let mut bench = Bench::new();
    let before = bench.count();

    bench.session.leave_unread();
    bench.hear("<message from='bob@a.example/y'><body>hi</body></message>");
    assert_eq!(bench.events().len(), 1);
    bench.hear("<message from='bob@a.example/y'><body>there</body></message>");
    assert_eq!(bench.events().len(), 1);

    assert_eq!(bench.count(), before);
    assert!(!bench.session.poll_last_words(bench.now).is_empty());
    bench.say("still sent");
    assert_eq!(bench.texts(), ["still sent"]);
}

#[test]
fn a_count_that_grows_after_it_was_asked_for_is_told_unasked() {
    let mut bench = Bench::new();
    let before = bench.count();
    bench.hear("<message from='bob@a.example/y'><body>hi</body></message>");
    bench.hear("<message from='bob@a.example/y'><body>there</body></message>");
    assert_eq!(bench.count(), before);

    assert!(bench.told().is_some());
    assert!(bench.output().is_empty(), "one is still waiting");
    assert!(bench.told().is_some());

    let told = elements(&bench.output()).pop().unwrap();
    assert_eq!(told.attr("h").unwrap(), (before + 2).to_string().as_str());
}

#[test]
fn a_repeated_message_is_shown_once() {
    let mut bench = Bench::new();
    let message = "<message from='bob@a.example/y'><body>hi</body>\
                   <stanza-id xmlns='urn:xmpp:sid:0' by='me@a.example' id='7'/></message>";

    bench.hear(message);
    bench.hear(message);

    assert_eq!(bench.events().len(), 1);
}

#[test]
fn a_message_that_comes_back_says_to_whom_it_was_going() {
    let mut bench = Bench::new();
    bench.say("one");
    let id = bench.sent()[0].id().unwrap().to_owned();
    let refusal = |from: &str| {
        format!(
            "<message type='error' id='{id}' from='{from}'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <blocked-you xmlns='urn:whoelse:errors:0'/></error></message>"
        )
    };

    bench.hear(&refusal("mallory@a.example/z"));
    assert_eq!(bench.events(), [], "nobody else may say so");
    bench.hear(&refusal("bob@a.example"));
    bench.hear(&refusal("bob@a.example"));

    let to = bare("bob@a.example");
    assert!(matches!(&bench.events()[..],
        [Event::NotDelivered { to: whom, why: Refusal::BlockedYou, .. }] if *whom == to));
}

#[test]
fn a_request_gets_its_answer() {
    let mut bench = Bench::new();
    let mut answer = bench.ask(look());
    let sent = bench.sent().pop().unwrap();
    assert!(sent.has("by-hand", ns::WHOELSE_ACTIVITY));

    bench.hear(&format!("<iq type='result' id='{}'/>", sent.id().unwrap()));

    assert!(answer.try_recv().unwrap().is_ok());
}

#[test]
fn a_server_that_does_not_know_activity_is_not_told_of_it() {
    let now = Instant::now();
    let granted = Granted { activity: false, ..granted() };
    let mut bench = Bench { session: session(granted, false, now), now };
    bench.output();

    let _answer = bench.ask(look());

    assert!(!bench.sent().pop().unwrap().has("by-hand", ns::WHOELSE_ACTIVITY));
}

#[test]
fn in_a_new_session_a_look_is_repeated_and_a_change_is_given_up() {
    let mut bench = Bench::new();
    let mut looked = bench.ask(look());
    let mut changed = bench.ask(change());
    bench.output();

    bench.session.handle_loss();
    let me = FullJid::parse("me@a.example/y").unwrap();
    bench.session.handle_renewed(me, granted(), None, bench.now);

    assert!(matches!(changed.try_recv().unwrap(), Err(RequestError::ConnectionLost)));
    let again = bench.sent().into_iter().find(|it| it.has("blocklist", ns::BLOCKING)).unwrap();
    bench.hear(&format!("<iq type='result' id='{}'/>", again.id().unwrap()));
    assert!(looked.try_recv().unwrap().is_ok());
}

#[test]
fn a_request_without_an_answer_times_out_but_not_while_disconnected() {
    let mut bench = Bench::new();
    let mut answer = bench.ask(look());
    bench.output();

    bench.session.handle_loss();
    bench.pass(Duration::from_secs(3_600));
    assert!(answer.try_recv().is_err());

    bench.session.handle_resumed(2, bench.now).unwrap();
    bench.pass(crate::request::ANSWER_WITHIN);
    assert!(matches!(answer.try_recv().unwrap(), Err(RequestError::TimedOut)));
}

#[test]
fn results_of_a_query_come_with_its_answer() {
    let mut bench = Bench::new();
    let query = Request { collect: Some("q7".to_owned()), ..look() };
    let mut answer = bench.ask(query);
    let id = bench.sent().pop().unwrap().id().unwrap().to_owned();
    let result = |from: &str, query: &str| {
        format!(
            "<message {from}><result xmlns='urn:xmpp:mam:2' queryid='{query}' id='1'/></message>"
        )
    };

    bench.hear(&result("", "q7"));
    bench.hear(&result("from='mallory@a.example'", "q7"));
    bench.hear(&result("", "q8"));
    bench.hear(&format!("<iq type='result' id='{id}'/>"));

    assert_eq!(answer.try_recv().unwrap().unwrap().results.len(), 1);
}

#[test]
fn a_refusal_that_asks_for_more_is_an_answer_to_who_recognises_it() {
    let asks_back = |stanza: &Stanza| stanza.child("query", ns::REGISTER).is_some();
    for (payload, wanted) in [("<query xmlns='jabber:iq:register'/>", true), ("", false)] {
        let mut bench = Bench::new();
        let mut answer = bench.ask(Request { asks_back: Some(asks_back), ..change() });
        let id = bench.sent().pop().unwrap().id().unwrap().to_owned();

        bench.hear(&format!(
            "<iq type='error' id='{id}'>{payload}<error type='modify'>\
             <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ));

        assert_eq!(answer.try_recv().unwrap().is_ok(), wanted, "{payload}");
    }
}

#[test]
fn a_barrier_is_passed_when_every_message_before_it_is_stored_and_not_refused() {
    let mut bench = Bench::new();
    bench.say("one");
    let (done, mut passed) = oneshot::channel();
    bench.session.ask_barrier(done, bench.now);

    bench.settle();
    assert!(passed.try_recv().is_err(), "the message is not acknowledged");
    bench.ack(3);
    assert!(passed.try_recv().is_err(), "a refusal may still come");
    bench.settle();

    assert!(passed.try_recv().is_ok());
}

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let mut bench = Bench::new();
    bench.session.handle_sign_of_life(bench.now);
    assert_eq!(bench.session.next_deadline(), Some(bench.now + SILENCE));

    assert_eq!(bench.pass(SILENCE), Pulse::Alive);
    assert_eq!(elements(&bench.output()).len(), 1);

    assert_eq!(bench.pass(PATIENCE - Duration::from_secs(1)), Pulse::Alive);
    assert_eq!(bench.pass(Duration::from_secs(1)), Pulse::Dead);
}

#[test]
fn any_byte_from_the_server_is_a_sign_of_life() {
    let mut bench = Bench::new();
    bench.say("one");
    bench.output();

    bench.now += PATIENCE;
    bench.session.handle_sign_of_life(bench.now);

    assert_eq!(bench.pass(PATIENCE / 2), Pulse::Alive);
}

#[test]
fn whoever_waits_when_the_session_ends_is_told() {
    let mut bench = Bench::new();
    let mut asked = bench.ask(look());
    bench.session.handle_loss();
    let mut waiting = bench.ask(look());

    bench.session.end(false);

    assert!(matches!(asked.try_recv().unwrap(), Err(RequestError::ConnectionLost)));
    assert!(matches!(waiting.try_recv().unwrap(), Err(RequestError::NotLoggedIn)));
}

#[test]
fn what_never_left_is_said_not_to_be_sent_and_what_left_is_unconfirmed() {
    for mut bench in [Bench::new(), Bench::with_verdicts()] {
        bench.say("hi m1");
        bench.output();
        bench.session.handle_loss();
        bench.say("ho m2");
        bench.session.subscription(SubscriptionType::Subscribe, bare("carol@a.example"), bench.now);
        bench.events();

        bench.session.end(false);

        let events = bench.events();
        let [left, message, Event::NotSent { to, word: Some(SubscriptionType::Subscribe), .. }] =
            &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(*left, unconfirmed("m1"));
        let to_bob = bare("bob@a.example");
        assert_eq!(*message, Event::NotSent { id: "m2".to_owned(), to: to_bob, word: None });
        assert_eq!(*to, bare("carol@a.example"));
    }
}

fn sent(id: &str) -> Event {
    Event::Sent { id: id.to_owned(), to: bare("bob@a.example") }
}

fn acknowledged(id: &str) -> Event {
    Event::Acknowledged { id: id.to_owned(), to: bare("bob@a.example") }
}

fn unconfirmed(id: &str) -> Event {
    Event::Unconfirmed { id: id.to_owned(), to: bare("bob@a.example") }
}

const REFUSAL: &str = "<message type='error' from='bob@a.example' id='m1'>\
                       <error type='cancel'>\
                       <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                       </error></message>";

#[test]
fn a_message_is_acknowledged_when_the_server_has_it_and_did_not_refuse_it() {
    let mut bench = Bench::with_verdicts();
    bench.say("hi m1");
    bench.say("ho m2");
    assert_eq!(bench.events(), [sent("m1"), sent("m2")]);
    bench.output();

    bench.ack(4);
    assert_eq!(bench.events(), []);
    bench.answer_ping();

    assert_eq!(bench.events(), [acknowledged("m1"), acknowledged("m2")]);
}

#[test]
fn a_message_that_is_refused_after_its_acknowledgement_has_one_verdict() {
    let mut bench = Bench::with_verdicts();
    bench.say("hi m1");
    bench.output();

    bench.ack(3);
    bench.hear(REFUSAL);
    bench.answer_ping();

    let [first, Event::NotDelivered { id, .. }] = &bench.events()[..] else { panic!() };
    assert_eq!((first, id.as_str()), (&sent("m1"), "m1"));
}

#[test]
fn a_message_that_waited_for_a_connection_has_one_verdict_after_a_resumption() {
    let mut bench = Bench::with_verdicts();
    bench.say("hi m1");
    bench.output();
    bench.session.handle_loss();
    bench.say("ho m2");

    bench.session.handle_resumed(3, bench.now).unwrap();
    bench.answer_ping();

    let told = [sent("m1"), Event::ConnectionLost, sent("m2"), Event::Resumed, acknowledged("m1")];
    assert_eq!(bench.events(), told);
    bench.ack(5);
    bench.answer_ping();
    assert_eq!(bench.events(), [acknowledged("m2")]);
}

#[test]
fn a_verdict_that_was_asked_for_is_asked_for_again_in_a_new_session() {
    let mut bench = Bench::with_verdicts();
    bench.say("hi m1");
    bench.output();
    bench.ack(3);
    bench.output();
    bench.events();
    bench.session.handle_loss();

    let me = FullJid::parse("me@a.example/y").unwrap();
    bench.session.handle_renewed(me, granted(), None, bench.now);
    bench.answer_ping();

    let told = [Event::ConnectionLost, Event::Reconnected, acknowledged("m1")];
    assert_eq!(bench.events(), told);
}

#[test]
fn a_server_that_does_not_count_is_asked_after_each_message() {
    let mut bench = Bench::with(Granted::default(), true);
    bench.say("hi m1");

    bench.answer_ping();

    assert_eq!(bench.events(), [sent("m1"), acknowledged("m1")]);
}

/// A session with a roster; the first answer has bob.
fn bench_with_roster() -> Bench {
    let now = Instant::now();
    let granted = Granted { roster: true, ..granted() };
    let mut bench = Bench { session: session(granted, false, now), now };
    let said = bench.sent();
    let kinds: Vec<_> = said.iter().map(|it| it.name().to_owned()).collect();
    // RFC 6121, 2.2: the roster is asked for before presence is sent.
    assert_eq!(kinds, ["iq", "presence", "iq"]);
    assert!(said[1].has("c", ns::CAPS));
    let (roster, ping) = (said[0].id().unwrap(), said[2].id().unwrap());
    bench.hear(&format!(
        "<iq type='result' id='{roster}'><query xmlns='jabber:iq:roster' ver='7'>\
         <item jid='bob@a.example' subscription='both'/></query></iq>"
    ));
    bench.hear("<presence from='bob@a.example/y'/>");
    bench.hear(&format!("<iq type='result' id='{ping}' from='a.example'/>"));
    bench.events();
    bench
}

fn known(bench: &Bench) -> Vec<String> {
    bench.session.contacts().unwrap().iter().map(|it| it.jid.to_string()).collect()
}

#[test]
fn contacts_are_known_and_who_of_them_is_online() {
    let bench = bench_with_roster();

    let contacts = bench.session.contacts().unwrap();

    assert_eq!(known(&bench), ["bob@a.example"]);
    assert!(contacts[0].online && contacts[0].seen);
    assert!(Bench::new().session.contacts().is_none());
}

// security.md, row 25.
#[test]
fn a_push_is_taken_from_the_own_account_and_a_forged_one_refused() {
    let mut bench = bench_with_roster();
    let push = |from: &str, who: &str| {
        format!(
            "<iq type='set' id='p' {from}><query xmlns='jabber:iq:roster' ver='8'>\
             <item jid='{who}' subscription='both'/></query></iq>"
        )
    };

    bench.hear(&push("from='mallory@a.example/x'", "mallory@a.example"));
    assert_eq!(bench.sent()[0].type_(), Some("error"));
    assert_eq!(known(&bench), ["bob@a.example"]);

    bench.hear(&push("", "carol@a.example"));
    assert_eq!(bench.sent()[0].type_(), Some("result"));
    assert_eq!(known(&bench), ["bob@a.example", "carol@a.example"]);
}

#[test]
fn a_new_session_asks_for_what_is_newer_and_keeps_the_copy() {
    let mut bench = bench_with_roster();
    bench.session.handle_loss();
    let me = FullJid::parse("me@a.example/y").unwrap();

    let granted = Granted { roster: true, ..granted() };
    bench.session.handle_renewed(me, granted, None, bench.now);

    let asked = bench.sent().into_iter().find(|it| it.has("query", ns::ROSTER)).unwrap();
    let query = asked.child("query", ns::ROSTER).unwrap();
    assert_eq!(asked.child_attr(query, "ver").as_deref(), Some("7"));
    bench.hear(&format!("<iq type='result' id='{}'/>", asked.id().unwrap()));
    assert_eq!(known(&bench), ["bob@a.example"]);
}

#[test]
fn who_asks_is_told_and_answered() {
    let mut bench = bench_with_roster();
    let eve = bare("eve@a.example");

    bench.hear("<presence type='subscribe' from='eve@a.example'/>");
    assert_eq!(bench.events(), [Event::Asks(eve.clone())]);
    assert!(bench.session.contacts().unwrap().iter().any(|it| it.asks && !it.listed));
    bench.session.subscription(SubscriptionType::Subscribed, eve, bench.now);

    let said = bench.sent();
    assert_eq!((said[0].type_(), said[0].to()), (Some("subscribed"), Some("eve@a.example")));
    assert_eq!(known(&bench), ["bob@a.example"]);
}

#[test]
fn a_word_that_is_refused_says_why() {
    let mut bench = bench_with_roster();
    let eve = bare("eve@a.example");
    bench.session.subscription(SubscriptionType::Subscribe, eve.clone(), bench.now);
    let id = bench.sent()[0].id().unwrap().to_owned();

    bench.hear(&format!(
        "<presence type='error' id='{id}' from='eve@a.example'><error type='cancel'>\
         <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    ));

    let told = [Event::NotDelivered { id, to: eve, why: Refusal::RemoteServer }];
    assert_eq!(bench.events(), told);
}

#[test]
fn what_is_under_a_namespace_of_a_listener_is_handed_to_it_unanswered_and_to_nobody_else() {
    let mut bench = Bench::listened_to(granted(), false, &[&["urn:x:other"], &["urn:x:ours"]]);

    for xml in [
        "<iq type='set' id='p' from='bob@a.example/y'><x xmlns='urn:x:ours'/></iq>",
        "<message type='chat' from='bob@a.example/y'><body>hi</body><x xmlns='urn:x:ours'/></message>",
    ] {
        bench.hear(xml);
        let told = bench.told();
        let Some(Telling::Listener(ListenerId(1), Heard::Stanza(stanza))) = told else {
            panic!("{told:?}")
        };
        assert!(stanza.has("x", "urn:x:ours"));
        assert_eq!(bench.told(), None);
    }
    assert!(bench.sent().is_empty());
    bench.hear("<iq type='set' id='p' from='bob@a.example/y'><x xmlns='urn:x:theirs'/></iq>");
    assert_eq!(bench.sent()[0].type_(), Some("error"));
}

#[test]
fn a_listener_hears_where_an_answer_stands_among_what_it_is_told() {
    let mut bench = Bench::listened_to(granted(), false, &[&["urn:x:ours"]]);
    let mark = Mark { listener: ListenerId(0), number: 7 };
    let mut answer = bench.ask(look().marked(mark));
    let id = bench.sent().pop().unwrap().id().unwrap().to_owned();
    let is_stanza = |told| matches!(told, Some(Telling::Listener(_, Heard::Stanza(_))));

    bench.hear("<message from='bob@a.example/y'><x xmlns='urn:x:ours'/></message>");
    bench.hear(&format!("<iq type='result' id='{id}'/>"));
    bench.hear("<message from='bob@a.example/y'><x xmlns='urn:x:ours'/></message>");

    assert!(answer.try_recv().unwrap().is_ok());
    assert!(is_stanza(bench.told()));
    assert_eq!(bench.told(), Some(Telling::Listener(mark.listener, Heard::Answered(7))));
    assert!(is_stanza(bench.told()));
}

#[test]
fn what_a_listener_has_not_taken_does_not_count_as_handled() {
    let mut bench = Bench::listened_to(granted(), false, &[&["urn:x:ours"]]);
    let before = bench.count();

    bench.hear("<message from='bob@a.example/y'><x xmlns='urn:x:ours'/></message>");
    assert_eq!(bench.count(), before);

    assert!(bench.told().is_some());
    assert_eq!(bench.count(), before + 1);
}

#[test]
fn listeners_hear_of_a_session_before_the_face_when_it_begins_and_after_it_when_it_ends() {
    let now = Instant::now();
    let session = listened_to(granted(), false, &[&["urn:x:1"], &["urn:x:2"]], now);
    let mut bench = Bench { session, now };
    let me = FullJid::parse("me@a.example/x").unwrap();
    let both = |heard: &Heard| [0, 1].map(|n| Telling::Listener(ListenerId(n), heard.clone()));
    let told =
        |bench: &mut Bench| -> Vec<Telling> { std::iter::from_fn(|| bench.told()).collect() };

    let mut expected = both(&Heard::LoggedIn { me: me.clone() }).to_vec();
    expected.push(Telling::Face(Event::LoggedIn { me }));
    assert_eq!(told(&mut bench), expected);

    bench.session.handle_loss();
    bench.session.handle_resumed(0, bench.now).unwrap();
    let mut expected = vec![Telling::Face(Event::ConnectionLost)];
    expected.extend(both(&Heard::ConnectionLost));
    expected.extend(both(&Heard::Resumed));
    expected.push(Telling::Face(Event::Resumed));
    assert_eq!(told(&mut bench), expected);

    bench.session.handle_logged_out(Ending::Replaced);
    let mut expected = vec![Telling::Face(Event::LoggedOut(Ending::Replaced))];
    expected.extend(both(&Heard::LoggedOut));
    assert_eq!(told(&mut bench), expected);
}

#[test]
fn a_stanza_of_a_listener_is_kept_without_a_connection_and_its_refusal_is_told_to_it_alone() {
    let mut bench = Bench::listened_to(granted(), false, &[&["urn:x:ours"]]);
    let written = Element::new("message").attr("to", "bob@a.example").attr("id", "m9");
    let (id, to) = ("m9".to_owned(), bare("bob@a.example"));
    let listener = ListenerId(0);

    bench.session.handle_loss();
    let mine = Mine { id: id.clone(), to: to.clone(), listener: Some(listener) };
    bench.session.stanza(written.finish(), Some(mine), bench.now);
    assert!(bench.output().is_empty());
    bench.session.handle_resumed(2, bench.now).unwrap();
    bench.events();

    assert_eq!(bench.sent()[0].id(), Some("m9"));
    bench.hear(
        "<message type='error' id='m9' from='bob@a.example'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    let why = Refusal::Unreachable;
    let refused = Telling::Listener(listener, Heard::NotDelivered { id, to, why });
    assert_eq!(bench.told(), Some(refused));
    assert_eq!(bench.told(), None);
}

#[test]
fn whom_another_device_blocks_is_answered_and_told_to_the_listeners() {
    let mut bench = Bench::listened_to(granted(), false, &[&["urn:x:ours"]]);

    bench.hear(
        "<iq type='set' id='p'><block xmlns='urn:xmpp:blocking'><item jid='bob@a.example'/>\
         </block></iq>",
    );

    let blocked = Heard::Blocked(vec![bare("bob@a.example")]);
    assert_eq!(bench.told(), Some(Telling::Listener(ListenerId(0), blocked)));
    assert_eq!(bench.told(), None);
    assert_eq!(bench.sent()[0].type_(), Some("result"));
}

#[test]
fn what_names_somebody_under_the_old_name_of_the_domain_is_not_asked_but_given_back() {
    let mut bench = Bench::new();
    bench.output();
    bench.session.handle_loss();
    let about = |who: &str| {
        Request::set(Element::new("query").xmlns(ns::MAM).child(Element::new("value").text(who)))
    };
    let mut old = bench.ask(about("bob@a.example"));
    let mut elsewhere = bench.ask(about("bob@b.example"));

    let me = FullJid::parse("me@new.example/here").unwrap();
    bench.session.handle_renewed(me, granted(), None, bench.now);

    assert!(matches!(old.try_recv().unwrap(), Err(RequestError::Renamed)));
    assert!(elsewhere.try_recv().is_err());
    let output = String::from_utf8(bench.output()).unwrap();
    assert!(output.contains("bob@b.example") && !output.contains("@a.example"), "{output}");
}
