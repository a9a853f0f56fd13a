//! What innocents do costs them nothing, and who pays on a node.

#![allow(clippy::unwrap_used)]
use std::net::Ipv4Addr;
use std::sync::Arc;

use whoelse_store::{Location, Store};
use whoelse_stream::Password;
use whoelse_stream::c2s::RegisterRequest;
use whoelse_xmpp::BareJid;

use super::*;
use crate::clock::{Clock, Time};
use crate::ledger::Ledger;
use crate::network::Site;
use crate::settings::{Limits, Settings};

const BEGIN: Steady = Steady(1_000_000_000);
const NEW: Steady = Steady::NEVER;

/// What a server has that sets nothing else.
fn rate() -> u64 {
    Limits::default().bytes_per_second
}

fn network(n: u32) -> Network {
    Network::of(Ipv4Addr::from_bits(0xC000_0200 + n).into())
}

fn site() -> Option<Site> {
    Some(network(1).site())
}

#[test]
fn three_hundred_new_people_behind_one_address_with_a_line_a_second_notice_nothing() {
    let ledger = Ledger::default();
    let line = Stanza::parse(format!(
        "<message to='somebody@chat.example' type='chat' id='7f3a2c7f3a2c'><body>{}</body>\
         <active xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "a line of some words, ".repeat(4)
    ));
    let line = line.unwrap();
    let cost = (line.bytes().len() as u64 + cost::of_stanza(&line)) as f64;
    let log_in = |n| ledger.payer((n, NEW), site(), rate(), BEGIN);
    let people: Vec<Payer> = (0..300).map(log_in).collect();
    for payer in &people {
        let begin = (What::FanOuts, cost::OF_LOGIN);
        assert_eq!(payer.pay_by(BEGIN, begin, rate(), BEGIN), Ok(BEGIN));
        assert_eq!(payer.pay(What::FanOuts, cost::of_presence(200, true), rate(), BEGIN), BEGIN);
    }

    for second in 1..=3_600 {
        let now = BEGIN.after(Duration::from_secs(second));
        for payer in &people {
            assert_eq!(payer.pay(What::Work, cost, rate(), now), now, "{second}");
        }
    }
}

#[test]
fn whoever_brings_a_thousand_contacts_to_a_new_account_does_not_wait() {
    let payer = Ledger::default().payer((1, NEW), site(), rate(), BEGIN);
    for xml in [
        "<iq type='set' id='add-1000'><query xmlns='jabber:iq:roster'><item \
         jid='somebody.with.a.long.name@chat.example' name='Somebody With A Long Name'>\
         <group>Friends</group><group>Work</group></item></query></iq>",
        "<presence to='somebody.with.a.long.name@chat.example' type='subscribe'/>",
    ] {
        let stanza = Stanza::parse(xml).unwrap();
        let cost = (stanza.bytes().len() as u64 + cost::of_stanza(&stanza)) as f64;
        for _ in 0..1_000 {
            assert_eq!(payer.pay(What::Work, cost, rate(), BEGIN), BEGIN);
        }
    }
}

async fn start(store: &Store, clock: &Clock) -> Arc<Node> {
    let settings = Settings::default();
    Node::start(settings, clock.clone(), store.clone(), &[], Some("localhost")).await.unwrap()
}

fn bare(name: &str) -> BareJid {
    BareJid::new(Some(name), "localhost").unwrap()
}

async fn account(node: &Node, name: &str) -> Arc<Account> {
    node.account(&bare(name)).await.unwrap().unwrap()
}

async fn register(node: &Arc<Node>, name: &str) {
    let password = Password::new("a password").unwrap();
    let request = RegisterRequest::Create { account: bare(name), password };
    node.register(request, Network::Local).await.unwrap();
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn an_account_is_new_for_a_day_if_somebody_has_registered_it_over_a_restart_too() {
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let node = start(&store, &clock).await;
    register(&node, "mallory").await;
    let password = Password::new("a password").unwrap();
    node.create_account(&bare("bob"), password).await.unwrap();
    let now = clock.steady();

    assert_eq!(account(&node, "mallory").await.new_until(), now.after(24 * HOUR));
    assert_eq!(account(&node, "bob").await.new_until(), Steady::default());
    node.stop().await;
    clock.advance_to(now.after(HOUR));
    let node = start(&store, &clock).await;
    let until = account(&node, "mallory").await.new_until();
    assert!(until >= now.after(23 * HOUR) && until <= now.after(25 * HOUR), "{until:?}");
    assert!(account(&node, "bob").await.new_until() <= clock.steady());
    node.stop().await;
}

#[tokio::test]
async fn new_accounts_share_with_their_site_unless_it_is_the_operators_own_or_this_machine() {
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let node = start(&store, &clock).await;
    let mut settings = Settings::default();
    settings.limits.own_networks = vec!["198.51.100.0/24".parse().unwrap()];
    node.change_settings(settings);
    register(&node, "mallory").await;
    let password = Password::new("a password").unwrap();
    node.create_account(&bare("bob"), password).await.unwrap();
    let shares = async |name: &str, network: &str| {
        let payer = node.payer(&*account(&node, name).await, network.parse().unwrap());
        payer.reading_turn(clock.steady()).is_some()
    };

    for (name, network, expected) in [
        ("mallory", "192.0.2.1", true),
        ("mallory", "2001:db8::1", true),
        ("mallory", "198.51.100.7", false),
        ("mallory", "127.0.0.1", false),
        ("mallory", "local", false),
        ("bob", "192.0.2.1", false),
    ] {
        assert_eq!(shares(name, network).await, expected, "{name} {network}");
    }
    let tomorrow = clock.steady().after(24 * HOUR);
    while clock.advance_to(tomorrow) {
        tokio::task::yield_now().await;
    }
    assert!(!shares("mallory", "192.0.2.1").await);
    node.stop().await;
}

#[tokio::test]
async fn whoever_logs_in_again_and_again_waits_and_is_refused_and_comes_in_later() {
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let node = start(&store, &clock).await;
    register(&node, "mallory").await;
    let mallory = account(&node, "mallory").await;
    for n in 0..30 {
        node.login_turn(&mallory, network(n)).await.unwrap();
    }
    // Five wait, two seconds each, and the next one would have to for longer.
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let (node, mallory) = (node.clone(), mallory.clone());
            tokio::spawn(async move { node.login_turn(&mallory, Network::Local).await })
        })
        .collect();
    tokio::task::yield_now().await;

    let covered = node.login_turn(&mallory, network(31)).await.unwrap_err();

    assert_eq!(covered.since(clock.steady()), Duration::from_secs(12));
    while clock.advance_to(clock.steady().after(Duration::from_secs(10))) {
        tokio::task::yield_now().await;
    }
    for waits in waiting {
        waits.await.unwrap().unwrap();
    }
    node.login_turn(&mallory, network(31)).await.unwrap();
    assert_eq!(node.counters.held_up.get(["begin"]), 5);
    assert_eq!(node.counters.held_up.get(["refused"]), 1);
    node.stop().await;
}

#[tokio::test]
async fn what_one_account_reads_much_of_is_read_one_by_one_whichever_of_its_devices_asks() {
    let node = crate::route::tests::node(&["alice", "bob"]).await;
    let device =
        async |name, resource| crate::route::tests::device(&node, name, resource).await.session;
    let (desk, phone) = (device("bob", "desk").await, device("bob", "phone").await);
    let alice = device("alice", "desk").await;
    let now = node.clock.steady();
    let (answered, until_answered) = tokio::sync::oneshot::channel::<()>();

    let first = tokio::spawn(async move { desk.in_reading_turn(now, until_answered).await });
    tokio::task::yield_now().await;
    let second = tokio::spawn(async move { phone.in_reading_turn(now, async {}).await });
    alice.in_reading_turn(now, async {}).await;
    for _ in 0..9 {
        tokio::task::yield_now().await;
    }

    assert!(!second.is_finished());
    answered.send(()).unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap();
}
