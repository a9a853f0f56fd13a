//! XEP-0313, over sockets: what a page of the archive may cost, and times as they are told.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, jid, message};
use whoelse_core::Time;
use whoelse_store::{Direction, NewMessage, NewRow};
use whoelse_xmpp::{BareJid, Condition, Jid, Kind, Stanza, StanzaError, ns};

const QUERY: &str = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_messages_ends_early_and_says_so() {
    let world = World::with(|config| config.settings.limits.session_bytes = 64 << 20).await;
    let mut alice = world.online("alice").await;
    let large = "x".repeat(200 << 10);
    for _ in 0..60 {
        alice.send(&message("bob", &large)).await;
    }

    alice.send(QUERY).await;

    let mut results = 0;
    let answer = loop {
        let stanza = alice.expect(|_| true).await;
        match stanza.kind() {
            Kind::Iq => break stanza,
            _ if stanza.has("result", ns::MAM) => results += 1,
            _ => {}
        }
    };
    assert_eq!(answer.type_(), Some("result"));
    assert_eq!(results, 50);
    let fin = answer.child("fin", ns::MAM).unwrap();
    assert!(answer.child_attr(fin, "complete").is_none());
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preferences_are_about_the_same_people_when_the_domain_is_renamed() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    alice
        .send(
            "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'>\
            <never><jid>bob@localhost/desk</jid></never></prefs></iq>",
        )
        .await;
    let answer = alice.expect(|stanza| stanza.id() == Some("p")).await;
    assert_eq!(answer.type_(), Some("result"));
    let node = world.server.node();

    node.rename_domain("localhost".to_owned(), "chat.example".to_owned()).await.unwrap();

    let alice = BareJid::new(Some("alice"), "chat.example").unwrap();
    let alice = node.account(&alice).await.unwrap().unwrap();
    let keeps = |jid: &str| node.wiring.archives(node, &alice, &Jid::parse(jid).unwrap());
    assert!(!keeps("bob@chat.example/desk"));
    assert!(keeps("bob@chat.example/phone"));
    assert!(keeps("bob@localhost/desk"));
    world.server.shutdown().await;
}

/// Versions before this one stored microseconds and told milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_was_told_is_found_however_it_was_stored() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let node = world.server.node();
    let account = node.account(&jid("alice")).await.unwrap().unwrap();
    let key = node.key_of("alice@localhost");
    let at = Time(node.clock.now().told().0 + 456);
    let old = NewMessage {
        at: at.0,
        kept_at: at.0,
        repeat: None,
        resource: None,
        stanza: b"<message type='chat'><body>old</body></message>".as_slice().into(),
        first: NewRow { archive: account.archive, peer: key, direction: Direction::In },
        second: None,
        second_body: None,
        replaces: Vec::new(),
    };
    let mut tx = node.store.begin().await.unwrap();
    tx.append(&[old]).await.unwrap();
    tx.commit().await.unwrap();

    let told = at.stamp();
    alice
        .send(&format!(
            "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' \
         type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
         <field var='start'><value>{told}</value></field>\
         <field var='end'><value>{told}</value></field></x></query></iq>"
        ))
        .await;

    // It may also come by itself, as what waits.
    let found =
        alice.expect(|stanza| stanza.has("result", ns::MAM) || stanza.id() == Some("q")).await;
    assert!(found.has("result", ns::MAM), "{found:?}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_stored_as_they_are_told() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    for text in ["one", "two", "three"] {
        alice.send(&message("bob", text)).await;
    }
    alice.send(QUERY).await;
    alice.expect(|stanza| stanza.id() == Some("q")).await;

    let bob = world.server.node().account(&jid("bob")).await.unwrap().unwrap();
    let rows = world.server.node().store.undelivered(bob.archive, 0, 10).await.unwrap();

    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(Time::parse_stamp(&Time(row.at).stamp()), Some(Time(row.at)));
    }
    world.server.shutdown().await;
}

/// A time in these archives: so many seconds after they begin.
fn second(n: i64) -> Time {
    Time(1_700_000_000_000_000 + n * 1_000_000)
}

/// Puts messages to bob's desk into alice's archive, one a second, from the first second on.
async fn fill(world: &World, messages: i64) {
    let node = world.server.node();
    let archive = node.account(&jid("alice")).await.unwrap().unwrap().archive;
    let bob = node.key_of("bob@localhost");
    let message = |n| NewMessage {
        at: second(n).0,
        kept_at: second(n).0,
        repeat: None,
        resource: Some("home".into()),
        stanza: format!("<message to='bob@localhost/desk' type='chat'><body>{n}</body></message>")
            .into(),
        first: NewRow { archive, peer: bob.clone(), direction: Direction::Out },
        second: None,
        second_body: None,
        replaces: Vec::new(),
    };
    let all: Vec<NewMessage> = (1..=messages).map(message).collect();
    for group in all.chunks(2_000) {
        let mut tx = node.store.begin().await.unwrap();
        tx.append(group).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A query with these fields, and a page of this kind.
fn asks(fields: &[(&str, &str)], page: &str) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("<field var='{name}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<iq type='set' id='q'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE' type='hidden'><value>{}</value></field>{fields}</x>\
         <set xmlns='{}'>{page}</set></query></iq>",
        ns::MAM,
        ns::MAM,
        ns::RSM
    )
}

/// Asks, and returns how many messages came, the bodies of the first and the last, and the answer.
async fn asked(alice: &mut Client, query: &str) -> (usize, Vec<String>, Stanza) {
    alice.send(query).await;
    let mut bodies = Vec::new();
    loop {
        let stanza = alice.expect(|stanza| stanza.kind() != Kind::Presence).await;
        if stanza.kind() == Kind::Iq {
            let ends = [bodies.first().cloned(), bodies.last().cloned()];
            return (bodies.len(), ends.into_iter().flatten().collect(), stanza);
        }
        let text = String::from_utf8(stanza.bytes().to_vec()).unwrap();
        let body = text.split("<body>").nth(1).and_then(|it| it.split('<').next());
        bodies.extend(body.map(str::to_owned));
    }
}

fn is_complete(answer: &Stanza) -> bool {
    let fin = answer.child("fin", ns::MAM).unwrap();
    answer.child_attr(fin, "complete").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_is_found_in_a_long_archive_and_so_is_that_nothing_is() {
    let world = World::start().await;
    fill(&world, 21_000).await;
    let mut alice = world.online("alice").await;
    let times = |start: i64, end: i64| (second(start).stamp(), second(end).stamp());

    for (start, end, page, found, complete) in [
        (20_991, 99_999, "<max>5</max>", &["20991", "20995"][..], false),
        (20_991, 99_999, "<max>10</max>", &["20991", "21000"], true),
        (-9, 10, "<max>3</max><before/>", &["8", "10"], false),
        (-9, 3, "<max>3</max><before/>", &["1", "3"], true),
        (9_999, 10_002, "<max>50</max>", &["9999", "10002"], true),
        (9_999, 10_002, "<max>2</max>", &["9999", "10000"], false),
        (10_999, 11_002, "<max>50</max><before/>", &["10999", "11002"], true),
        (30_000, 40_000, "<max>5</max>", &[], true),
        (-40, -30, "<max>5</max><before/>", &[], true),
    ] {
        let (start, end) = times(start, end);
        for with in [None, Some(("with", "bob@localhost"))] {
            let fields: Vec<_> =
                [("start", &*start), ("end", &*end)].into_iter().chain(with).collect();
            let (_, ends, answer) = asked(&mut alice, &asks(&fields, page)).await;
            assert_eq!(answer.type_(), Some("result"));
            assert_eq!(ends, found, "{fields:?} {page}");
            assert_eq!(is_complete(&answer), complete, "{fields:?} {page}");
        }
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_in_none_of_many_messages_is_said_and_not_searched_for_ever() {
    let world = World::start().await;
    fill(&world, 1_200).await;
    let mut alice = world.online("alice").await;
    let desk = ("with", "bob@localhost/desk");
    let phone = ("with", "bob@localhost/phone");

    let (found, ends, answer) = asked(&mut alice, &asks(&[desk], "<max>70</max>")).await;
    assert_eq!((found, ends), (70, vec!["1".to_owned(), "70".to_owned()]));
    assert!(!is_complete(&answer));
    let (found, _, answer) = asked(&mut alice, &asks(&[phone], "<max>10</max>")).await;
    let refusal = StanzaError::read(&answer).unwrap();
    assert_eq!((found, refusal.condition), (0, Condition::PolicyViolation));
    // Among fewer it is known that there is none.
    let start = second(1_000).stamp();
    let late = [phone, ("start", &start)];
    let (found, _, answer) = asked(&mut alice, &asks(&late, "<max>10</max>")).await;
    assert_eq!((found, answer.type_()), (0, Some("result")));
    assert!(is_complete(&answer));
    world.server.shutdown().await;
}
