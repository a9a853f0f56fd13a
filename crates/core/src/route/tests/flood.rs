//! Others send whatever they like to a client that reads slowly, and acknowledges. Its line is
//! simulated: it takes some bytes now and then. By seed: it is never cut off, it gets every message
//! of the log once and in order, who waits for an answer gets one, and in the end it knows of
//! everybody's presence what is so.

#[cfg(test)]
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use whoelse_store::RosterRow;
use whoelse_xmpp::ns;

use super::*;
use crate::roster::Interested;
use crate::roster::outbound::{Wish, change};
use crate::settings::Contacts;
use crate::{audience, presence};

/// How many runs of each kind.
const SEEDS: u64 = 12;
const STEPS: usize = 250;
/// What may wait for bob: little, so that everything overflows.
const ROOM: usize = 24 << 10;
/// Bob is subscribed to these, and they to him.
const CONTACTS: [&str; 3] = ["alice", "carol", "dave"];
const STRANGERS: [&str; 2] = ["eve", "mallory"];

/// A server on which they are contacts, or everybody is.
async fn world(contacts: Contacts, history: bool) -> Arc<Node> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let domain = tx.ensure_domain("localhost").await.unwrap();
    let mut numbers = BTreeMap::new();
    for name in CONTACTS.iter().chain(&STRANGERS).chain(&["bob"]) {
        let id = tx.create_account(domain, name, &[], 1).await.unwrap().unwrap();
        numbers.insert(*name, id);
    }
    for name in CONTACTS {
        for (own, other) in [("bob", name), (name, "bob")] {
            let contact = format!("{other}@#{domain}");
            let row = RosterRow {
                contact,
                listed: true,
                to: true,
                from: true,
                version: 1,
                ..RosterRow::default()
            };
            tx.write_roster_row(numbers[own], &row).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let mut settings = Settings { sessions: Sessions::Many, contacts, ..Settings::default() };
    settings.limits.session_bytes = ROOM;
    if !history {
        settings.history = None;
    }
    Node::start(settings, clock, store, &[FEATURE], Some("localhost")).await.unwrap()
}

/// Somebody's client: what it has read, and what it believes.
struct Client {
    hold: Hold,
    read: u32,
    /// The stanzas that it has read.
    heard: Vec<Stanza>,
    /// What was read and is not a whole stanza yet.
    rest: String,
    /// The presence that it knows, by device.
    devices: BTreeMap<Jid, String>,
}

impl Client {
    fn new(hold: Hold) -> Client {
        hold.session.enable(Some("token".to_owned()));
        Client { hold, read: 0, heard: Vec::new(), rest: String::new(), devices: BTreeMap::new() }
    }

    /// Reads some bytes, and asks for what there is room for, as a connection does. Returns whether
    /// there were any.
    fn reads(&mut self, node: &Arc<Node>, most: usize) -> bool {
        let (now, limits) = (node.clock.steady(), &node.settings().limits);
        let mut out = Output::default();
        let session = &self.hold.session;
        let taken = session.take(self.hold.epoch, now, limits, &mut out, most).unwrap();
        assert_eq!(taken.end, None, "the session is never ended");
        if taken.wants_page {
            let (node, session) = (node.clone(), session.clone());
            tokio::spawn(async move { node.read_log(&session).await });
        }
        if taken.wants_anew {
            let (node, session) = (node.clone(), session.clone());
            tokio::spawn(async move { node.tell_anew(&session).await });
        }
        let read = String::from_utf8(out.take()).unwrap();
        self.rest.push_str(&read);
        self.understands();
        !read.is_empty()
    }

    fn understands(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        let mut rest = rest.as_str();
        while !rest.is_empty() {
            let name = rest[1..].split([' ', '>']).next().unwrap();
            let Some(end) = ["message", "presence", "iq"].contains(&name).then(|| {
                let end = format!("</{name}>");
                rest.find(&end).unwrap() + end.len()
            }) else {
                rest = &rest[rest.find("/>").unwrap() + 2..];
                continue;
            };
            let stanza = Stanza::parse(rest[..end].to_owned()).unwrap();
            rest = &rest[end..];
            self.read += 1;
            self.note_presence(&stanza);
            self.heard.push(stanza);
        }
    }

    fn note_presence(&mut self, stanza: &Stanza) {
        if stanza.kind() != Kind::Presence {
            return;
        }
        let from = Jid::parse(stanza.from().unwrap()).unwrap();
        match (stanza.type_(), from.resource()) {
            (None, _) => {
                self.devices.insert(from, status(stanza));
            }
            (Some("unavailable"), Some(_)) => {
                self.devices.remove(&from);
            }
            (Some("unavailable"), None) => {
                self.devices.retain(|device, _| device.bare() != from.as_str());
            }
            _ => {}
        }
    }

    fn acknowledges(&self, node: &Node) {
        node.acknowledged(&self.hold.session, self.read).unwrap();
    }
}

fn status(stanza: &Stanza) -> String {
    let child = stanza.child("status", ns::CLIENT);
    child.map(|child| stanza.text_of(child).to_string()).unwrap_or_default()
}

/// Lets everything that can go on do so.
async fn rest(node: &Node) {
    for _ in 0..20 {
        node.keeper.caught_up().await;
        tokio::task::yield_now().await;
    }
}

/// What somebody says waits for its turn, while time passes for it alone.
async fn is_said(node: &Arc<Node>, hold: &Hold, stanza: &str) {
    let Routed::Waits(waits) = says(node, hold, stanza) else { return };
    let waits = tokio::spawn(waits);
    while !waits.is_finished() {
        tokio::task::yield_now().await;
        node.clock.advance_to(node.clock.steady().after(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn by_seed_who_reads_and_acknowledges_is_never_cut_off_and_knows_what_is_so_in_the_end() {
    for seed in 1..=SEEDS {
        for contacts in [Contacts::Roster, Contacts::Everyone] {
            flood(seed, contacts, seed % 3 > 0).await;
        }
    }
}

/// Numbers by chance, below what is asked for.
fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    move |most| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice % most as u64) as usize
    }
}

async fn flood(seed: u64, contacts: Contacts, history: bool) {
    let mut below = dice(seed);
    let node = world(contacts, history).await;
    let account = node.account(&jid("bob")).await.unwrap().unwrap();
    let hold = node.bind(&Principal::of(&account, Rights::Own), Some("desk")).await.unwrap();
    let mut bob = Client::new(hold);
    is_said(&node, &bob.hold, "<presence/>").await;
    let mut others = Vec::new();
    for name in CONTACTS.iter().chain(&STRANGERS) {
        for resource in ["a", "b"] {
            others.push(Client::new(device(&node, name, resource).await));
        }
    }
    let (mut kept_texts, mut asked) = (Vec::new(), BTreeSet::new());
    for step in 0..STEPS {
        // A malicious client sends many at once, an innocent one something in between.
        let who = below(others.len());
        let hold = others[who].hold.clone();
        for n in 0..[1, 8][below(2)] {
            let filler = "x".repeat([10, 400, 3_000][below(3)]);
            let to = &bob.hold.session.jid;
            match below(6) {
                0 => {
                    let status = format!("<status>{step}.{n} {filler}</status>");
                    is_said(&node, &hold, &format!("<presence>{status}</presence>")).await;
                }
                1 => is_said(&node, &hold, "<presence type='unavailable'/>").await,
                2 => {
                    let text = format!("{who}-{step}-{n}-{filler}");
                    kept_texts.push((who, text.clone()));
                    is_said(&node, &hold, &kept("bob", &text)).await;
                }
                3 => {
                    let id = format!("i{who}-{step}-{n}");
                    let query = format!("<q xmlns='urn:x'>{filler}</q>");
                    let get = format!("<iq type='get' id='{id}' to='{to}'>{query}</iq>");
                    is_said(&node, &hold, &get).await;
                    asked.insert((who, id));
                }
                _ => {
                    let body = format!("<body>{filler}</body>");
                    let news =
                        format!("<message type='headline' to='{to}' id='h'>{body}</message>");
                    is_said(&node, &hold, &news).await;
                }
            }
        }
        assert!(bob.hold.session.held_bytes() <= 2 * ROOM + (600 << 10));
        if below(3) == 0 {
            bob.reads(&node, 1 + below(4_000));
        }
        if below(6) == 0 {
            bob.acknowledges(&node);
        }
        if below(4) == 0 {
            rest(&node).await;
        }
        for other in &mut others {
            other.reads(&node, 1 << 20);
            other.acknowledges(&node);
        }
    }
    // The store has a thread of its own, so nothing less than this says that all has come.
    let (mut still, mut looks) = (0, 0);
    while still < 3 {
        rest(&node).await;
        let _ = node.store.last_stamp().await;
        let is_read = bob.hold.session.drain_state() == Drain::Live;
        still = if bob.reads(&node, 5_000) || !is_read { 0 } else { still + 1 };
        bob.acknowledges(&node);
        looks += 1;
        assert!(looks < 5_000, "it never comes to rest: seed {seed}, {contacts:?}");
    }
    for other in &mut others {
        other.reads(&node, 1 << 20);
    }

    let log = format!("seed {seed}, {contacts:?}");
    let session = &bob.hold.session;
    assert!(session.is_attached() && !session.is_gone() && session.ordered_end().is_none());
    assert_eq!(session.held_bytes(), 0, "{log}");
    knows_what_is_so(&node, &bob, &log);
    all_that_is_kept_came_once_and_in_order(&bob, &kept_texts, &log);
    // Each request is at bob's, or was answered.
    for (who, id) in asked {
        let is_there = bob.heard.iter().any(|it| it.id() == Some(&id));
        let answers = others[who].heard.iter().filter(|it| it.id() == Some(&id)).count();
        assert_eq!(usize::from(is_there) + answers, 1, "{id}: {log}");
    }
    node.stop().await;
}

fn knows_what_is_so(node: &Node, bob: &Client, log: &str) {
    let mut so = BTreeMap::new();
    audience::each_subject(node, bob.hold.session.account.as_deref(), |subject| {
        for (device, presence) in
            presence::present_state(node, subject, bob.hold.session.own().jid()).unwrap()
        {
            let stanza = Stanza::parse(presence.bytes).unwrap();
            so.insert(Jid::from(device), status(&stanza));
        }
    });
    let short = |all: &BTreeMap<Jid, String>| -> Vec<String> {
        all.iter()
            .map(|(device, says)| format!("{device} {}", says.split(' ').next().unwrap()))
            .collect()
    };
    assert_eq!(short(&bob.devices), short(&so), "{log}");
}

fn all_that_is_kept_came_once_and_in_order(bob: &Client, said: &[(usize, String)], log: &str) {
    let texts: Vec<String> = bob
        .heard
        .iter()
        .filter(|it| it.type_() == Some("chat"))
        .map(|it| it.text_of(it.child("body", ns::CLIENT).unwrap()).to_string())
        .collect();
    assert_eq!(texts.len(), said.len(), "{log}");
    let of = |who: usize| format!("{who}-");
    let senders: BTreeSet<usize> = said.iter().map(|(who, _)| *who).collect();
    for who in senders {
        let came: Vec<&String> = texts.iter().filter(|it| it.starts_with(&of(who))).collect();
        let sent: Vec<&String> =
            said.iter().filter(|(by, _)| *by == who).map(|(_, text)| text).collect();
        assert!(came == sent, "{who}: {log}");
    }
}

#[tokio::test]
async fn what_a_session_missed_of_its_roster_is_told_as_it_is_in_the_end() {
    let node = world(Contacts::Roster, true).await;
    let account = node.account(&jid("bob")).await.unwrap().unwrap();
    let hold = node.bind(&Principal::of(&account, Rights::Own), Some("desk")).await.unwrap();
    hold.session.slots.put(Arc::new(Interested));
    let mut bob = Client::new(hold);
    let [eve, mallory] = [device(&node, "eve", "a").await, device(&node, "mallory", "a").await];
    is_said(&node, &bob.hold, "<presence/>").await;
    is_said(&node, &bob.hold, "<presence to='eve@localhost' type='subscribed'/>").await;

    let status = format!("<status>{}</status>", "x".repeat(1_000));
    let says =
        |type_: &str| format!("<presence to='bob@localhost' type='{type_}'>{status}</presence>");
    for _ in 0..40 {
        is_said(&node, &mallory, &says("subscribe")).await;
        is_said(&node, &mallory, &says("unsubscribe")).await;
        is_said(&node, &eve, &says("unsubscribe")).await;
        is_said(&node, &eve, &says("subscribe")).await;
    }
    rest(&node).await;
    assert!(bob.hold.session.held_bytes() <= ROOM);
    for _ in 0..200 {
        bob.reads(&node, 5_000);
        bob.acknowledges(&node);
        rest(&node).await;
    }

    let of = |name: &str| {
        let from = format!("{name}@localhost");
        let heard = bob.heard.iter().filter(move |it| it.from() == Some(from.as_str()));
        heard.filter_map(|it| it.type_()).collect::<Vec<_>>()
    };
    assert_eq!(of("mallory").last(), Some(&"unsubscribe"));
    let pushes: Vec<_> = bob
        .heard
        .iter()
        .filter_map(|it| {
            let query = it.child("query", ns::ROSTER)?;
            let version: i64 = it.child_attr(query, "ver")?.parse().unwrap();
            let item = it.grandchildren(query).first().cloned()?;
            let state = it.child_attr(&item, "subscription")?.to_string();
            Some((version, state))
        })
        .collect();
    assert!(pushes.is_sorted() && pushes.len() < 40, "{pushes:?}");
    assert_eq!(pushes.last(), Some(&(account.roster().version(), "from".to_owned())));
    assert_eq!(bob.hold.session.held_bytes(), 0);
}

fn listed(account: &Account) -> BTreeSet<BareJid> {
    account.roster().contacts().map(|(jid, _)| jid.clone()).collect()
}

/// Takes a contact into a roster, or out of it.
async fn turn(node: &Arc<Node>, account: &Arc<Account>, contact: &BareJid) {
    let wish = match account.lists(contact.as_str()) {
        true => Wish::Remove,
        false => Wish::Set { name: "x".repeat(50), groups: Vec::new() },
    };
    change(node, account, contact, wish).await.unwrap();
}

#[tokio::test]
async fn by_seed_whoever_misses_any_number_of_removed_contacts_has_the_roster_in_the_end() {
    const MANY: usize = 300;
    for seed in 1..=4 {
        let node = world(Contacts::Roster, true).await;
        let account = node.account(&jid("bob")).await.unwrap().unwrap();
        let contacts: Vec<BareJid> =
            (0..MANY).map(|n| BareJid::parse(&format!("c{n}@far.example")).unwrap()).collect();
        for contact in &contacts {
            turn(&node, &account, contact).await;
        }
        let hold = node.bind(&Principal::of(&account, Rights::Own), Some("desk")).await.unwrap();
        hold.session.slots.put(Arc::new(Interested));
        let mut bob = Client::new(hold);
        is_said(&node, &bob.hold, "<presence/>").await;
        let mut known = listed(&account);

        // Another device takes all out, and then now this one, now that.
        for contact in &contacts {
            turn(&node, &account, contact).await;
        }
        let mut below = dice(seed);
        for _ in 0..400 {
            turn(&node, &account, &contacts[below(MANY)]).await;
            if below(8) == 0 {
                bob.reads(&node, 1 + below(2_000));
                bob.acknowledges(&node);
                rest(&node).await;
            }
        }
        for _ in 0..200 {
            bob.reads(&node, 5_000);
            bob.acknowledges(&node);
            rest(&node).await;
        }

        let mut versions = Vec::new();
        for push in &bob.heard {
            let Some(query) = push.child("query", ns::ROSTER) else { continue };
            versions.push(push.child_attr(query, "ver").unwrap().parse::<i64>().unwrap());
            let items = push.grandchildren(query);
            let attr = |name| push.child_attr(&items[0], name).unwrap();
            let contact = BareJid::parse(&attr("jid")).unwrap();
            match &*attr("subscription") {
                "remove" => known.remove(&contact),
                _ => known.insert(contact),
            };
        }
        assert_eq!(known, listed(&account), "{seed}");
        assert!(versions.is_sorted(), "{seed}: {versions:?}");
        assert_eq!(versions.last(), Some(&account.roster().version()), "{seed}");
        assert!(account.roster().changed_since(versions[0]).is_none(), "more than is remembered");
        assert_eq!(bob.hold.session.held_bytes(), 0);
    }
}
