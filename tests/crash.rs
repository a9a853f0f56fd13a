//! Nothing acknowledged is lost: the server is killed at random moments, again and again, while
//! messages pass through it.
//!
//! Senders count acknowledgements (XEP-0198) and send unacknowledged messages again under the same
//! id. Receivers connect and disconnect, cleanly or not, and record what they get. In the end
//! every message has arrived, in the order of its sender. A message that came twice was confirmed
//! less than a second before a crash, or not at all. The archives of both sides hold each message
//! exactly once.
//!
//! Others publish lists of their devices meanwhile (XEP-0163). After each crash the list is the last
//! one that was accepted, or one that was on its way: whole, and never nothing.
//!
//! All of that is repeated over bad wires, which delay, split, swallow and break
//! (`common/proxy.rs`), and with rosters, where people who do not see each other still send
//! messages.
//!
//! `WHOELSE_CRASHES` sets how often the server is killed (20; 6 in the other kinds),
//! `WHOELSE_SEED` decides when.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{HashMap, VecDeque};
use std::net::{Shutdown, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::raw::Gone;
use common::{Chance, Home, PATIENCE, Proxy, Raw, ports};
use parking_lot::Mutex;
use whoelse_stream::client::{Resumption, Step};
use whoelse_stream::sm::Element as Sm;
use whoelse_xmpp::{Kind, ns};

const SENDERS: usize = 4;
const RECEIVERS: usize = 3;
const PUBLISHERS: usize = 2;
/// Messages of one sender that may be in flight.
const WINDOW: usize = 20;
/// A confirmation is saved within a second; a busy machine may take longer for both.
const LAST_SECOND: Duration = Duration::from_millis(1_000 + 2_000);

/// How many messages a sender has sent to each receiver, all of them acknowledged.
type Sent = [u32; RECEIVERS];

/// What all threads of this test share.
struct World {
    /// The server, or the wire to it.
    server: SocketAddr,
    /// When the server was killed.
    crashes: Mutex<Vec<Instant>>,
    /// How many messages the senders know to be acknowledged.
    acknowledged: AtomicUsize,
    /// Set when there are no more crashes, so that the senders finish.
    over: AtomicBool,
    /// What the receivers wait for after the senders have ended.
    sent: OnceLock<Vec<Sent>>,
    /// Set when somebody has failed: the others would wait for them for ever.
    failed: AtomicBool,
}

impl World {
    /// Ends whoever goes on although somebody else has failed.
    fn go_on(&self) {
        assert!(!self.failed.load(Ordering::SeqCst), "another has failed");
    }

    /// Waits until another message is acknowledged.
    fn wait_for_acknowledgement(&self) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        let until = Instant::now() + PATIENCE;
        while self.acknowledged.load(Ordering::SeqCst) == before {
            self.go_on();
            assert!(Instant::now() < until, "nothing is acknowledged any more");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Tells the others when its thread fails.
struct Alarm<'a>(&'a World);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, Ordering::SeqCst);
        }
    }
}

/// A message that a receiver got.
#[derive(Debug, Clone)]
struct Receipt {
    sender: usize,
    number: u32,
    at: Instant,
    /// When the receiver had confirmed it.
    confirmed: Option<Instant>,
    /// The session it came in.
    session: usize,
}

/// What a receiver got, and when each session ended without an answered goodbye.
#[derive(Default)]
struct Inbox {
    receipts: Vec<Receipt>,
    broken: HashMap<usize, Instant>,
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    is_killed(20, "everyone", false);
}

#[test]
fn nothing_acknowledged_is_lost_over_bad_wires_to_a_server_that_is_killed() {
    is_killed(6, "everyone", true);
}

#[test]
fn nothing_acknowledged_is_lost_with_rosters_when_the_server_is_killed() {
    is_killed(6, "roster", false);
}

fn is_killed(crashes: u64, contacts: &str, bad_wires: bool) {
    let setting = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let crashes: u64 = setting("WHOELSE_CRASHES").unwrap_or(crashes);
    let seed: u64 = setting("WHOELSE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{crashes} crashes, WHOELSE_SEED={seed}");
    let chance = |n: usize| Chance::new(seed, n as u64);
    let writers = (0..SENDERS).map(sender).chain((0..RECEIVERS).map(receiver));
    let names: Vec<String> = writers.chain((0..PUBLISHERS).map(publisher)).collect();
    let home = Home::with_people(&names.iter().map(String::as_str).collect::<Vec<_>>());
    home.write("whoelse.toml", &format!("contacts = \"{contacts}\"\nsessions = \"one\"\n"));
    let arguments = ["--config", "whoelse.toml", "--credentials", "credentials.txt"];
    let mut server = home.start_at(ports::lasting(), &arguments);
    let wire = bad_wires.then(|| Proxy::with_faults(server.address, seed));
    let world = World {
        server: wire.as_ref().map_or(server.address, |wire| wire.address),
        crashes: Mutex::default(),
        acknowledged: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        sent: OnceLock::new(),
        failed: AtomicBool::new(false),
    };

    let received: Vec<Inbox> = thread::scope(|scope| {
        let world = &world;
        let _alarm = Alarm(world);
        let senders: Vec<_> =
            (0..SENDERS).map(|n| scope.spawn(move || send(world, n, chance(n)))).collect();
        let receivers: Vec<_> = (0..RECEIVERS)
            .map(|n| scope.spawn(move || receive(world, n, chance(100 + n))))
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|n| scope.spawn(move || publish(world, n, chance(300 + n))))
            .collect();
        let mut moments = chance(200);
        for crash in 0..crashes {
            // On a busy machine nobody would ever get in, and nothing would be tried.
            if crash % 2 == 0 {
                world.wait_for_acknowledgement();
            }
            // Most lifetimes are too short for confirmations to be saved, some are not.
            thread::sleep(match moments.number(0, 3) {
                0 => moments.millis(1_200, 2_500),
                _ => moments.millis(100, 900),
            });
            server.kill();
            world.crashes.lock().push(Instant::now());
            server.start_again();
        }
        // The wires stop failing as well, otherwise nobody would finish.
        wire.iter().for_each(Proxy::clear_up);
        world.over.store(true, Ordering::SeqCst);
        let lists: Vec<u32> = publishers.into_iter().map(|it| it.join().unwrap()).collect();
        println!("{lists:?} lists were published");
        world.sent.set(senders.into_iter().map(|it| it.join().unwrap()).collect()).unwrap();
        receivers.into_iter().map(|it| it.join().unwrap()).collect()
    });

    let sent = world.sent.get().unwrap();
    let total: u32 = sent.iter().flatten().sum();
    let mut twice = 0;
    for (n, inbox) in received.iter().enumerate() {
        check_order(n, &inbox.receipts, sent);
        twice += check_repeats(n, inbox, &world.crashes.lock());
    }
    check_archives(&world, sent);
    println!("{total} messages, {twice} of them came twice");
}

fn sender(n: usize) -> String {
    format!("sender{n}")
}

fn receiver(n: usize) -> String {
    format!("receiver{n}")
}

// ---- senders ----

/// The unacknowledged messages of one sender, and the counts of this session.
#[derive(Default)]
struct Outbox {
    unacknowledged: VecDeque<String>,
    /// How many of this session's messages were acknowledged.
    counted: u32,
}

impl Outbox {
    fn acknowledged(&mut self, world: &World, h: u32) {
        let new = h.wrapping_sub(self.counted) as usize;
        assert!(new <= self.unacknowledged.len(), "more was acknowledged than sent");
        self.unacknowledged.drain(..new);
        self.counted = h;
        world.acknowledged.fetch_add(new, Ordering::SeqCst);
    }
}

/// Sends until the crashes are over and everything is acknowledged, at least one message: where a
/// busy machine lets nobody in between two crashes, after the last one.
fn send(world: &World, me: usize, mut chance: Chance) -> Sent {
    let _alarm = Alarm(world);
    let mut sent = [0; RECEIVERS];
    let mut outbox = Outbox::default();
    let mut resume = None;
    loop {
        let (mut raw, resumed) = come(world, &sender(me), resume.take());
        match resumed {
            true => outbox.acknowledged(world, raw.acknowledged),
            false => outbox.counted = 0,
        }
        let ended = send_over(world, me, &mut raw, &mut outbox, &mut sent, &mut chance);
        match ended {
            Ok(true) => {
                let _ = raw.close();
                return sent;
            }
            // The connection broke, by a crash or because we broke it.
            Ok(false) | Err(Gone::Closed) => {
                let _ = raw.socket().shutdown(Shutdown::Both);
                resume = raw.resumption();
            }
            Err(Gone::Late) => panic!("{} waits in vain for an answer", sender(me)),
        }
    }
}

/// Sends over one connection. Returns whether everything is done.
fn send_over(
    world: &World,
    me: usize,
    raw: &mut Raw,
    outbox: &mut Outbox,
    sent: &mut Sent,
    chance: &mut Chance,
) -> Result<bool, Gone> {
    let again: Vec<String> = outbox.unacknowledged.iter().cloned().collect();
    raw.send(&again.concat())?;
    let mut left = chance.number(50, 500);
    loop {
        world.go_on();
        let over = world.over.load(Ordering::SeqCst) && sent.iter().any(|sent| *sent > 0);
        if over && outbox.unacknowledged.is_empty() {
            return Ok(true);
        }
        if left == 0 && !over {
            return Ok(false);
        }
        // Pauses between messages, unless the test is ending.
        thread::sleep(chance.millis(0, 20));
        let burst = outbox.unacknowledged.len() + chance.number(1, 10) as usize;
        while !over && left > 0 && outbox.unacknowledged.len() < burst.min(WINDOW) {
            left -= 1;
            let to = chance.number(0, RECEIVERS as u64 - 1) as usize;
            sent[to] += 1;
            let text = format!("{me} {}", sent[to]);
            let id = format!("{me}-{to}-{}", sent[to]);
            let xml = format!(
                "<message to='{}@localhost' type='chat' id='{id}'><body>{text}</body>\
                 <origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>",
                receiver(to)
            );
            outbox.unacknowledged.push_back(xml.clone());
            raw.send(&xml)?;
        }
        raw.send("<r xmlns='urn:xmpp:sm:3'/>")?;
        match raw.step(PATIENCE)? {
            Step::Sm(Sm::Ack { h }) => outbox.acknowledged(world, h),
            Step::Sm(Sm::Request) => raw.acknowledge()?,
            Step::Error(_) | Step::Closed => return Err(Gone::Closed),
            other => panic!("{} hears {other:?}", sender(me)),
        }
    }
}

// ---- receivers ----

/// Receives until everything that was sent is here.
fn receive(world: &World, me: usize, mut chance: Chance) -> Inbox {
    let _alarm = Alarm(world);
    let mut inbox = Inbox::default();
    let mut resume = None;
    let mut session = 0;
    loop {
        // Sometimes away for so long that much waits, and crashes go unnoticed.
        if chance.number(0, 3) == 0 && !world.over.load(Ordering::SeqCst) {
            thread::sleep(chance.millis(100, 1_500));
        }
        let (mut raw, resumed) = come(world, &receiver(me), resume.take());
        if !resumed {
            session += 1;
            if raw.send("<presence/>").is_err() {
                continue;
            }
        }
        let leave_after = chance.number(1, 150) as usize;
        let visit = receive_over(world, me, &mut raw, &mut inbox.receipts, session, leave_after);
        inbox.broken.insert(session, Instant::now());
        match visit {
            Ok(Visit::Complete) => return inbox,
            Ok(Visit::Enough) => match chance.number(0, 2) {
                // A clean goodbye: what was confirmed stays confirmed.
                0 => {
                    if raw.close().is_ok() {
                        inbox.broken.remove(&session);
                    }
                }
                // Like a phone in a tunnel, which resumes its session …
                1 => {
                    let _ = raw.socket().shutdown(Shutdown::Both);
                    resume = raw.resumption();
                }
                // … or has lost it.
                _ => drop(raw.socket().shutdown(Shutdown::Both)),
            },
            Err(Gone::Closed) if chance.number(0, 1) == 0 => resume = raw.resumption(),
            Err(Gone::Closed) => {}
            Err(Gone::Late) => {
                let have = |from| inbox.receipts.iter().filter(|it| it.sender == from).count();
                let have: Vec<usize> = (0..SENDERS).map(have).collect();
                panic!(
                    "{} waits in vain: got {have:?} of {:?}",
                    receiver(me),
                    world.sent.get().map(|sent| sent.iter().map(|it| it[me]).collect::<Vec<_>>())
                );
            }
        }
    }
}

enum Visit {
    /// Everything has arrived.
    Complete,
    /// It is time to disconnect.
    Enough,
}

fn receive_over(
    world: &World,
    me: usize,
    raw: &mut Raw,
    receipts: &mut Vec<Receipt>,
    session: usize,
    leave_after: usize,
) -> Result<Visit, Gone> {
    let mut heard = 0;
    let mut waiting_since = Instant::now();
    loop {
        world.go_on();
        if is_complete(world, me, receipts) {
            return Ok(Visit::Complete);
        }
        if heard >= leave_after {
            return Ok(Visit::Enough);
        }
        match raw.step(Duration::from_millis(50)) {
            Ok(Step::Stanza(stanza)) if stanza.kind() == Kind::Message => {
                let text = stanza.child_text("body", ns::CLIENT).unwrap();
                let (sender, number) = text.split_once(' ').unwrap();
                receipts.push(Receipt {
                    sender: sender.parse().unwrap(),
                    number: number.parse().unwrap(),
                    at: Instant::now(),
                    confirmed: None,
                    session,
                });
                heard += 1;
                waiting_since = Instant::now();
                if heard % 3 == 0 {
                    confirm(raw, receipts, session)?;
                }
            }
            Ok(Step::Stanza(_)) => {}
            Ok(Step::Sm(Sm::Request)) => confirm(raw, receipts, session)?,
            Ok(Step::Sm(_)) => {}
            Ok(Step::Error(_) | Step::Closed) => return Err(Gone::Closed),
            Ok(other) => panic!("{} hears {other:?}", receiver(me)),
            // A quiet moment, unless everything was sent long ago.
            Err(Gone::Late) => {
                confirm(raw, receipts, session)?;
                if world.sent.get().is_some() && waiting_since.elapsed() > PATIENCE {
                    return Err(Gone::Late);
                }
            }
            Err(Gone::Closed) => return Err(Gone::Closed),
        }
    }
}

fn confirm(raw: &mut Raw, receipts: &mut [Receipt], session: usize) -> Result<(), Gone> {
    raw.acknowledge()?;
    let now = Instant::now();
    let open = |it: &&mut Receipt| it.session == session && it.confirmed.is_none();
    receipts.iter_mut().rev().take_while(open).for_each(|it| it.confirmed = Some(now));
    Ok(())
}

fn is_complete(world: &World, me: usize, receipts: &[Receipt]) -> bool {
    world.sent.get().is_some_and(|sent| {
        (0..SENDERS).all(|from| {
            let last = sent[from][me];
            last == 0 || receipts.iter().any(|it| it.sender == from && it.number == last)
        })
    })
}

/// Logs in as soon as a server lets us; returns whether the session was resumed.
fn come(world: &World, name: &str, resume: Option<Resumption>) -> (Raw, bool) {
    let until = Instant::now() + PATIENCE;
    loop {
        world.go_on();
        assert!(Instant::now() < until, "{name} does not get in");
        let came = Raw::connect(world.server, resume.clone())
            .and_then(|raw| raw.try_log_in(name, &common::password(name)));
        match came {
            Ok(Ok(raw)) => {
                let resumed = raw.is_resumed();
                return (raw, resumed);
            }
            // The server does not know yet that our old session is dead.
            Ok(Err(Step::BindRefused(_) | Step::Error(_) | Step::Closed)) => {}
            Ok(Err(other)) => panic!("{name} hears {other:?}"),
            Err(Gone::Closed) => {}
            Err(Gone::Late) => panic!("{name} waits in vain for a login"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

// ---- publishers ----

fn publisher(n: usize) -> String {
    format!("publisher{n}")
}

/// The lists of a publisher, by number; 0 is none.
#[derive(Debug, Clone, Copy, Default)]
struct Lists {
    /// The last one that was accepted, or read.
    accepted: u32,
    /// The last one that was said.
    said: u32,
}

/// Publishes one list after the other until the crashes are over, at least one; returns how many
/// there were.
fn publish(world: &World, me: usize, mut chance: Chance) -> u32 {
    let _alarm = Alarm(world);
    let mut lists = Lists::default();
    loop {
        let (mut raw, _) = come(world, &publisher(me), None);
        match publish_over(world, &mut raw, &mut lists, &mut chance) {
            Ok(()) => {
                let _ = raw.close();
                return lists.accepted;
            }
            Err(Gone::Closed) => {}
            Err(Gone::Late) => panic!("{} waits in vain for an answer", publisher(me)),
        }
    }
}

fn publish_over(
    world: &World,
    raw: &mut Raw,
    lists: &mut Lists,
    chance: &mut Chance,
) -> Result<(), Gone> {
    loop {
        world.go_on();
        // What was read stays, whether or not it was answered.
        lists.accepted = read_list(raw, *lists)?;
        if world.over.load(Ordering::SeqCst) && lists.accepted > 0 {
            return Ok(());
        }
        for _ in 0..chance.number(1, 20) {
            lists.said += 1;
            let devices: Vec<String> =
                devices(lists.said).map(|id| format!("<device id='{id}'/>")).collect();
            let xml = format!(
                "<publish node='{DEVICES}'><item id='current'>\
                 <list xmlns='eu.siacs.conversations.axolotl'>{}</list></item></publish>",
                devices.concat()
            );
            let answer = ask(raw, "set", lists.said, &xml)?;
            assert!(answer.contains("type='result'"), "{answer}");
            lists.accepted = lists.said;
            thread::sleep(chance.millis(0, 30));
        }
    }
}

const DEVICES: &str = "eu.siacs.conversations.axolotl.devicelist";

/// Returns the devices of a list: another number of others in each.
fn devices(list: u32) -> impl Iterator<Item = u32> {
    (0..1 + list % 4).map(move |device| list * 10 + device)
}

/// Reads the list, and checks that it is the last one that was accepted, or one that was said after
/// that: what a connection said before it broke may be done only after the next one has read.
fn read_list(raw: &mut Raw, lists: Lists) -> Result<u32, Gone> {
    let answer = ask(raw, "get", lists.said, &format!("<items node='{DEVICES}'/>"))?;
    let ids = answer.split("<device id='").skip(1).map(|rest| rest.split('\'').next().unwrap());
    let ids: Vec<u32> = ids.map(|id| id.parse().unwrap()).collect();
    let read = ids.first().map_or(0, |first| first / 10);
    let is_whole = read == 0 || devices(read).eq(ids);
    assert!(is_whole && (lists.accepted..=lists.said).contains(&read), "{answer}, {lists:?}");
    Ok(read)
}

fn ask(raw: &mut Raw, type_: &str, number: u32, payload: &str) -> Result<String, Gone> {
    let id = format!("{type_}{number}");
    raw.send(&format!(
        "<iq type='{type_}' id='{id}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{payload}\
         </pubsub></iq>"
    ))?;
    let answer = raw.stanza(|stanza| stanza.id() == Some(&id))?;
    Ok(String::from_utf8(answer.bytes().to_vec()).unwrap())
}

// ---- what must be true ----

/// Checks that every message has arrived, the first time in the order of sending.
fn check_order(me: usize, receipts: &[Receipt], sent: &[Sent]) {
    for (from, sent) in sent.iter().enumerate() {
        let mut newest = 0;
        for receipt in receipts.iter().filter(|it| it.sender == from) {
            assert!(
                receipt.number <= newest + 1,
                "{} got {} of {} after {newest}: {:#?}",
                receiver(me),
                receipt.number,
                sender(from),
                around(receipts, receipt)
            );
            newest = newest.max(receipt.number);
        }
        assert_eq!(newest, sent[me], "{} from {}", receiver(me), sender(from));
    }
}

/// Returns what a receiver got before and after something unexpected.
fn around(receipts: &[Receipt], unexpected: &Receipt) -> Vec<String> {
    let at = receipts.iter().position(|it| it.at == unexpected.at).unwrap();
    let shown = &receipts[at.saturating_sub(30)..receipts.len().min(at + 10)];
    let since = |it: &Receipt| it.at.saturating_duration_since(receipts[0].at);
    let line = |it: &Receipt| {
        let confirmed = it.confirmed.is_some();
        format!("session {}, {:?}: {} {} {confirmed}", it.session, since(it), it.sender, it.number)
    };
    shown.iter().map(line).collect()
}

/// Checks that a repeated message came in another session and was not confirmed in time before.
/// Returns the number of repeats.
fn check_repeats(me: usize, inbox: &Inbox, crashes: &[Instant]) -> usize {
    let mut first: HashMap<(usize, u32), Receipt> = HashMap::new();
    let mut twice = 0;
    for receipt in &inbox.receipts {
        let before = first.insert((receipt.sender, receipt.number), receipt.clone());
        let Some(before) = before else { continue };
        twice += 1;
        let name = receiver(me);
        assert_ne!(before.session, receipt.session, "{name}, twice in a session: {receipt:?}");
        let Some(confirmed) = before.confirmed else { continue };
        // It was confirmed and came again: the next crash lost the saved cursor, or the
        // confirmation was lost with its connection.
        let crash = crashes.iter().find(|crash| (confirmed..receipt.at).contains(crash));
        let lost = [crash, inbox.broken.get(&before.session)].into_iter().flatten().min();
        let lost = lost.unwrap_or_else(|| panic!("{name}, no reason: {before:?}, {receipt:?}"));
        assert!(
            lost.saturating_duration_since(confirmed) < LAST_SECOND,
            "{name} had confirmed this {:?} before: {before:?}, again {receipt:?}",
            lost.saturating_duration_since(confirmed)
        );
    }
    twice
}

/// XEP-0313: both sides' archives hold every message once, in order.
fn check_archives(world: &World, sent: &[Sent]) {
    let of = |me: &str, with: &str| {
        let (mut raw, _) = come(world, me, None);
        let texts = archive(&mut raw, with);
        raw.close().unwrap();
        texts
    };
    for (from, sent) in sent.iter().enumerate() {
        for (to, count) in sent.iter().enumerate() {
            let all: Vec<String> = (1..=*count).map(|number| format!("{from} {number}")).collect();
            assert_eq!(of(&receiver(to), &sender(from)), all, "{to}'s archive with {from}");
            assert_eq!(of(&sender(from), &receiver(to)), all, "{from}'s archive with {to}");
        }
    }
}

/// Reads an archive page by page.
fn archive(raw: &mut Raw, with: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut after = String::new();
    for page in 0.. {
        raw.send(&format!(
            "<iq type='set' id='page{page}'><query xmlns='urn:xmpp:mam:2' queryid='q'>\
             <x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
             <field var='with'><value>{with}@localhost</value></field></x>\
             <set xmlns='http://jabber.org/protocol/rsm'><max>100</max>{after}</set></query></iq>"
        ))
        .unwrap();
        loop {
            let stanza = raw.stanza(|_| true).unwrap();
            let xml = String::from_utf8(stanza.bytes().to_vec()).unwrap();
            if stanza.has("result", "urn:xmpp:mam:2") {
                texts.push(between(&xml, "<body>", "</body>").unwrap().to_owned());
            } else if stanza.kind() == Kind::Iq {
                assert_eq!(stanza.type_(), Some("result"), "{xml}");
                if xml.contains("complete='true'") {
                    return texts;
                }
                let last = between(&xml, "<last>", "</last>").unwrap();
                after = format!("<after>{last}</after>");
                break;
            }
        }
    }
    texts
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    Some(rest.split_once(end)?.0)
}
