//! What a session begins to hear, and what it is told anew.
#![allow(clippy::unwrap_used)]

#[cfg(test)]
use std::collections::BTreeMap;
use std::time::Duration;

use whoelse_core::kit::Feature;
use whoelse_core::principal::{Principal, Rights};
use whoelse_core::route::{Routed, handle};
use whoelse_core::sessions::Hold;
use whoelse_core::settings::Settings;
use whoelse_core::{Clock, Time};
use whoelse_store::{Location, Store};
use whoelse_stream::Output;
use whoelse_xmpp::Stanza;

use super::*;

const SEEDS: u64 = 8;
const STEPS: usize = 200;
const NODES: [&str; 3] = ["urn:a", "urn:b", "urn:c"];
/// What may wait for bob: little, so that most events find no room.
const ROOM: usize = 24 << 10;
const FEATURES: [Feature; 2] = [capabilities::FEATURE, crate::pubsub::FEATURE];

fn jid(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@localhost")).unwrap()
}

/// A server on which everybody is everybody's contact.
async fn world() -> Arc<Node> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let domain = tx.ensure_domain("localhost").await.unwrap();
    for name in ["alice", "bob"] {
        tx.create_account(domain, name, &[], 1).await.unwrap().unwrap();
    }
    tx.commit().await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let mut settings = Settings::default();
    settings.limits.session_bytes = ROOM;
    Node::start(settings, clock, store, &FEATURES, Some("localhost")).await.unwrap()
}

/// Somebody's client.
struct Client {
    node: Arc<Node>,
    hold: Hold,
    read: String,
}

impl Client {
    async fn new(node: &Arc<Node>, name: &str) -> Client {
        let account = node.account(&jid(name)).await.unwrap().unwrap();
        let principal = Principal::of(&account, Rights::Own);
        let hold = node.bind(&principal, Some("desk")).await.unwrap();
        Client { node: node.clone(), hold, read: String::new() }
    }

    async fn says(&self, stanza: &str) {
        let stanza = Stanza::parse(stanza.to_owned()).unwrap();
        if let Routed::Waits(rest) = handle(&self.node, &self.hold, stanza, None) {
            rest.await;
        }
    }

    /// Reads some bytes, and asks for what there is room for, as a connection does. Returns whether
    /// there was anything.
    fn reads(&mut self, most: usize) -> bool {
        let (now, limits) = (self.node.clock.steady(), &self.node.settings().limits);
        let (mut out, session) = (Output::default(), &self.hold.session);
        let taken = session.take(self.hold.epoch, now, limits, &mut out, most).unwrap();
        assert_eq!(taken.end, None, "the session is never ended");
        if taken.wants_anew {
            let (node, session) = (self.node.clone(), session.clone());
            tokio::spawn(async move { node.tell_anew(&session).await });
        }
        let read = String::from_utf8(out.take()).unwrap();
        self.read.push_str(&read);
        taken.wants_anew || !read.is_empty()
    }

    /// Reads until nothing more comes.
    async fn reads_all(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            self.node.keeper.caught_up().await;
            let is_told = self.hold.session.slots.look(ToTell::is_told).unwrap_or_default();
            quiet = if self.reads(1 << 20) || is_told { 0 } else { quiet + 1 };
            tokio::task::yield_now().await;
        }
    }

    async fn publishes(&mut self, node: &str, item: &str) {
        self.asks("", &format!("<publish node='{node}'>{item}</publish>{KEEPS_ALL}")).await;
    }

    /// Asks for something about its nodes; `of` is the rest of the namespace.
    async fn asks(&mut self, of: &str, what: &str) {
        self.says(&format!(
            "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub{of}'>\
             {what}</pubsub></iq>"
        ))
        .await;
        self.reads(1 << 20);
    }

    /// Says what it can do, and answers when it is asked.
    async fn wants(&mut self, nodes: &[&str]) {
        self.says(PRESENCE).await;
        self.reads(1 << 20);
        let (_, question) = self.read.rsplit_once("<iq type='get' id='").unwrap();
        let (id, _) = question.split_once('\'').unwrap();
        let features: String =
            nodes.iter().map(|node| format!("<feature var='{node}+notify'/>")).collect();
        self.says(&format!(
            "<iq type='result' id='{id}' to='localhost'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
        ))
        .await;
        self.reads_all().await;
    }

    /// Which items it takes to be at each node, by what it has heard.
    fn believes(&self) -> Items {
        let mut items = Items::new();
        for event in self.read.split("pubsub#event'>").skip(1) {
            let after = |what| event.split_once(what).and_then(|(_, rest)| rest.split_once('\''));
            let (node, _) = after("node='").unwrap();
            match (after("<item id='"), after("<retract id='")) {
                (Some((id, _)), _) => {
                    let n = after(" n='").unwrap().0.parse().unwrap();
                    items.insert((node.to_owned(), id.to_owned()), n);
                }
                (_, Some((id, _))) => drop(items.remove(&(node.to_owned(), id.to_owned()))),
                _ => items.retain(|(of, _), _| of != node),
            }
        }
        items
    }
}

/// By node and id.
type Items = BTreeMap<(String, String), usize>;

/// What a node is made with: it keeps what is published, and says what is taken back.
const KEEPS_ALL: &str = "<publish-options><x xmlns='jabber:x:data' type='submit'>\
     <field var='FORM_TYPE' type='hidden'>\
     <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
     <field var='pubsub#max_items'><value>max</value></field>\
     <field var='pubsub#notify_retract'><value>1</value></field></x></publish-options>";

const PRESENCE: &str = "<presence><c xmlns='http://jabber.org/protocol/caps' node='urn:bob' \
     ver='1'/></presence>";

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % most
    }
}

#[tokio::test]
async fn who_reads_slowly_and_comes_and_goes_believes_in_the_end_what_is_so() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let node = world().await;
        let (mut alice, mut bob) =
            (Client::new(&node, "alice").await, Client::new(&node, "bob").await);
        alice.says("<presence/>").await;
        bob.wants(&NODES).await;
        let mut published = Items::new();
        for n in 0..STEPS {
            // What they do is covered again.
            node.clock.advance_to(node.clock.steady().after(Duration::from_secs(2)));
            let of = NODES[random.below(3) as usize];
            // More than are read at once.
            let id = random.below(9).to_string();
            match random.below(14) {
                0..4 => {
                    let most = if random.below(2) == 0 { 50 } else { 4_000 };
                    let text = "x".repeat(random.below(most) as usize);
                    let item =
                        format!("<item id='{id}'><v xmlns='urn:v' n='{n}'>{text}</v></item>");
                    alice.publishes(of, &item).await;
                    published.insert((of.to_owned(), id), n);
                }
                10..12 => {
                    let item = format!("<retract node='{of}'><item id='{id}'/></retract>");
                    alice.asks("", &item).await;
                    published.remove(&(of.to_owned(), id));
                }
                verb @ 12..14 => {
                    let verb = if verb == 12 { "purge" } else { "delete" };
                    alice.asks("#owner", &format!("<{verb} node='{of}'/>")).await;
                    published.retain(|(node, _), _| node != of);
                }
                4..8 => {
                    bob.reads(1_500);
                    tokio::task::yield_now().await;
                }
                8 => bob.hold.session.miss_events(Whose::Everybody),
                9 => {
                    bob.says("<presence type='unavailable'/>").await;
                    bob.says(PRESENCE).await;
                }
                14.. => unreachable!(),
            }
        }

        bob.reads_all().await;

        assert_eq!(bob.believes(), published, "seed {seed}");
    }
}

fn item(n: usize, bytes: usize) -> String {
    format!("<item id='i'><v xmlns='urn:v' n='{n}'>{}</v></item>", "x".repeat(bytes))
}

#[tokio::test]
async fn what_happens_while_a_session_has_no_room_for_what_was_read_is_told_last() {
    let node = world().await;
    let (mut alice, mut bob) = (Client::new(&node, "alice").await, Client::new(&node, "bob").await);
    alice.says("<presence/>").await;
    bob.wants(&NODES).await;
    for of in NODES {
        alice.publishes(of, &item(1, if of == "urn:a" { 1_400 } else { 0 })).await;
    }
    bob.says("<presence type='unavailable'/>").await;
    bob.says(PRESENCE).await;
    // It reads the store, and waits for room for the first.
    let ids = [alice.hold.session.account.as_ref().unwrap().id];
    for _ in 0..10 {
        node.store.pubsub_last_items(&ids, &NODES).await.unwrap();
        tokio::task::yield_now().await;
    }

    alice.publishes("urn:b", &item(2, 0)).await;
    alice.asks("", "<retract node='urn:c'><item id='i'/></retract>").await;
    node.keeper.caught_up().await;
    let before = bob.read.len();
    bob.reads_all().await;

    let read = &bob.read[before..];
    let last = |what: &str| read.rfind(what).unwrap();
    assert!(last("n='2'") > last("node='urn:b'"), "{read}");
    assert!(last("<retract") > last("node='urn:c'"), "{read}");
}

#[tokio::test]
async fn of_more_missed_items_than_are_read_at_once_each_is_told_and_the_newest_last() {
    let node = world().await;
    let (mut alice, mut bob) = (Client::new(&node, "alice").await, Client::new(&node, "bob").await);
    alice.says("<presence/>").await;
    bob.wants(&NODES).await;
    let mut published = Items::new();
    for n in 0..12 {
        node.clock.advance_to(node.clock.steady().after(Duration::from_secs(2)));
        // The newest has the first id.
        let (id, text) = (format!("{:02}", 20 - n), "x".repeat(900));
        let item = format!("<item id='{id}'><v xmlns='urn:v' n='{n}'>{text}</v></item>");
        alice.publishes("urn:a", &item).await;
        published.insert(("urn:a".to_owned(), id), n);
    }

    bob.reads_all().await;

    assert_eq!(bob.believes(), published);
    let told: Vec<&str> = bob.read.split(" n='").skip(1).collect();
    assert!(told.last().unwrap().starts_with("11'"), "{}", bob.read);
    assert_eq!(told.iter().filter(|it| it.starts_with("11'")).count(), 2, "in its page, and last");
}

/// The last item of a node, with so many bytes.
fn last(node: i64, seq: i64, bytes: usize) -> LastItem {
    let name = format!("urn:{node}");
    let row =
        PubsubNode { id: node, owner: 1, name, config: Vec::new(), items: 1, bytes: bytes as u64 };
    let (id, publisher) = ("i".to_owned(), "bob@#1".to_owned());
    let item = PubsubItem { seq, id, publisher, account: 1, at: 0, payload: vec![b'x'; bytes] };
    (row, item)
}

#[test]
fn what_is_newer_is_told_again() {
    let seen = Seen { nodes: [(1, 7), (2, 7), (3, 7), (4, 7)].into(), ..Seen::default() };
    // The first is as it was, the second newer, of the third an older one is the last again, and the
    // fourth has none.
    let mut rows = vec![last(1, 7, 0), last(2, 8, 0), last(3, 5, 0)];

    let is_cut = seen.leave_new(&mut rows);

    let nodes: Vec<i64> = rows.iter().map(|(node, _)| node.id).collect();
    assert_eq!((nodes, is_cut), (vec![2, 3], false));
}

#[test]
fn no_more_is_held_than_may_wait_for_room() {
    let seen = Seen::default();
    for (weights, held) in [
        (vec![], 0),
        (vec![WEIGHT, 1], 1),
        (vec![2 * WEIGHT, 1], 1),
        (vec![WEIGHT / 2, WEIGHT / 2, 1], 2),
        (vec![0, 0, 0], 3),
    ] {
        let mut rows: Vec<LastItem> =
            weights.iter().zip(1..).map(|(bytes, node)| last(node, 1, *bytes)).collect();

        let is_cut = seen.leave_new(&mut rows);

        assert_eq!((rows.len(), is_cut), (held, held < weights.len()), "{weights:?}");
    }
}
