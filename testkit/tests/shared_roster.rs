//! RFC 6121, 2, with the shared roster: what is encoded once for all is what each would be told if
//! it were made for them alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use whoelse_core::principal::{Principal, Rights};
use whoelse_core::roster::Contact;
use whoelse_core::roster::item::item;
use whoelse_core::route::{self, Routed};
use whoelse_core::sessions::Hold;
use whoelse_core::settings::{Contacts, Sessions, Settings};
use whoelse_core::{Clock, Node, Time};
use whoelse_fuzz::random::Random;
use whoelse_store::{Location, Store};
use whoelse_stream::{Output, Password};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Stanza, ns};

/// A server where everybody sees everybody, and sessions of alice and bob.
struct World {
    node: Arc<Node>,
    alice: Hold,
    bob: Hold,
}

impl World {
    async fn new() -> World {
        let store = Store::open(&Location::Memory).await.unwrap();
        let settings = Settings {
            contacts: Contacts::Everyone,
            sessions: Sessions::Many,
            ..Settings::default()
        };
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let all = whoelse_features::ALL;
        let node = Node::start(settings, clock, store, all, Some("localhost")).await.unwrap();
        for name in ["alice", "bob"] {
            make(&node, name).await;
        }
        let (alice, bob) = (bind(&node, "alice").await, bind(&node, "bob").await);
        World { node, alice, bob }
    }

    async fn step(&mut self, random: &mut Random) {
        let name = ["a", "al", "alice-", "b", "z"][random.below(5)];
        let name = format!("{name}{}", random.below(6));
        let jid = match random.below(8) {
            0 => format!("{name}@far.example"),
            _ => format!("{name}@{}", self.node.domain_name()),
        };
        match random.below(20) {
            0..=5 => make(&self.node, &name).await,
            6..=9 => {
                let account = self.node.account(&address(&self.node, &name)).await.unwrap();
                if let Some(account) = account {
                    self.node.remove_account(&account, None, || {}).await.unwrap();
                }
            }
            10..=14 => {
                let named = ["", " name='N&amp;M'"][random.below(2)];
                let group = ["", "<group>G</group>"][random.below(2)];
                let item = format!("<item jid='{jid}'{named}>{group}</item>");
                self.alice_says(&roster_set(&item)).await;
            }
            15..=16 => {
                self.alice_says(&roster_set(&format!("<item jid='{jid}' subscription='remove'/>")))
                    .await;
            }
            17..=18 => {
                let what = ["block", "unblock"][random.below(2)];
                self.alice_says(&format!(
                    "<iq type='set' id='b'><{what} xmlns='urn:xmpp:blocking'><item jid='{jid}'/>\
                     </{what}></iq>"
                ))
                .await;
            }
            _ => {
                let old = self.node.domain_name().to_string();
                let new = ["localhost", "a.example", "z.example"][random.below(3)];
                if old != new {
                    self.node.rename_domain(old, new.to_owned()).await.unwrap();
                    self.alice = bind(&self.node, "alice").await;
                    self.bob = bind(&self.node, "bob").await;
                }
            }
        }
    }

    async fn alice_says(&self, xml: &str) {
        say(&self.node, &self.alice, xml).await;
        self.node.keeper.caught_up().await;
        heard(&self.node, &self.alice);
    }
}

fn roster_set(item: &str) -> String {
    format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
}

fn address(node: &Node, name: &str) -> BareJid {
    BareJid::new(Some(name), &node.domain_name()).unwrap()
}

/// Makes an account, if there is none of this name.
async fn make(node: &Arc<Node>, name: &str) {
    let password = Password::new("a long secret").unwrap();
    let _ = node.create_account(&address(node, name), password).await;
}

async fn bind(node: &Arc<Node>, name: &str) -> Hold {
    let account = node.account(&address(node, name)).await.unwrap().unwrap();
    node.bind(&Principal::of(&account, Rights::Own), None).await.unwrap()
}

async fn say(node: &Arc<Node>, hold: &Hold, xml: &str) {
    match route::handle(node, hold, Stanza::try_from(xml).unwrap(), None) {
        Routed::Done => {}
        Routed::Waits(rest) => rest.await,
        Routed::End(_) | Routed::Superseded => panic!("the session has ended"),
    }
}

fn heard(node: &Node, hold: &Hold) -> String {
    let mut out = Output::default();
    let limits = &node.settings().limits;
    hold.session.take(hold.epoch, node.clock.steady(), limits, &mut out, 1 << 20).unwrap();
    String::from_utf8(out.take()).unwrap()
}

/// What this user is told.
async fn roster(node: &Arc<Node>, hold: &Hold) -> String {
    heard(node, hold);
    say(node, hold, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>").await;
    let answer = heard(node, hold);
    let (start, end) = (answer.find("<query").unwrap(), answer.rfind("</iq>").unwrap());
    answer[start..end].to_owned()
}

/// The same, made for this user alone from what is stored.
async fn made_for(node: &Node, hold: &Hold) -> String {
    let own = hold.session.account.as_ref().unwrap();
    let roster = own.roster();
    let mut others: BTreeMap<&BareJid, &Contact> = roster.contacts().collect();
    let nobody = Contact::default();
    let mut query = Element::new("query").xmlns(ns::ROSTER);
    for row in node.store.list_accounts(node.domain().id, "", 1_000).await.unwrap() {
        if row.id != own.id {
            let jid = address(node, &row.localpart);
            query = query.child(item(node, &jid, others.remove(&jid).unwrap_or(&nobody), true));
        }
    }
    let others = others.into_iter().map(|(jid, contact)| item(node, jid, contact, false));
    let query = others.fold(query, Element::child).finish();
    String::from_utf8(query.to_vec()).unwrap()
}

#[tokio::test]
async fn whatever_happens_everybody_is_told_what_would_be_made_for_them_alone() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut world = World::new().await;
        for step in 0..60 {
            world.step(&mut random).await;
            for hold in [&world.alice, &world.bob] {
                let told = roster(&world.node, hold).await;
                assert_eq!(told, made_for(&world.node, hold).await, "seed {seed}, step {step}");
            }
        }
        world.node.stop().await;
    }
}
