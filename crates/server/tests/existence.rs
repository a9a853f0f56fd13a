//! docs/security.md: who does not see somebody cannot tell them from nobody, whatever is asked of
//! whichever address of theirs: an account that is online, one that is not, one that has blocked the
//! asker, one that is asked by somebody who has blocked it, and one whose device has no room. What
//! another device of the asker hears, and what the asker's archive has, tells nothing, either.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, jid, password};
use std::collections::BTreeMap;
use std::ops::RangeFrom;
use whoelse_core::kit::Verb;
use whoelse_core::settings::{Contacts, Sessions};
use whoelse_stream::client::{Opening, Step};
use whoelse_xmpp::{Stanza, StanzaError};

/// Alice sees none of them, and nobody has the last name: the rest is compared with it.
const NAMES: [&str; 6] = ["online", "offline", "blocker", "friendly", "full", "nobody"];

/// Those of them who have blocked alice, and nobody.
const BLOCKERS: [&str; 3] = ["blocker", "friendly", "nobody"];

/// Alice with two devices, and everybody else as described; those who are online are held. `friendly` has let alice
/// see them and has blocked her since. The device of `full` has lost its connection, and all that
/// strangers may have wait for it.
async fn world() -> (World, Alice, Vec<Client>) {
    let world = World::with(|config| {
        config.settings.contacts = Contacts::Roster;
        config.settings.sessions = Sessions::Many;
        config.settings.limits.session_bytes = 512 << 10;
    })
    .await;
    for name in NAMES.iter().filter(|name| **name != "nobody") {
        world.server.node().create_account(&jid(name), password(name)).await.unwrap();
    }
    let (asks, other) = (world.online("alice").await, world.login("alice").await);
    let mut alice = Alice { asks, other };
    let copies = "<iq type='set' id='copies'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
    answers(&mut alice.other, copies, "").await;
    let mut others = Vec::new();
    for name in ["online", "blocker", "friendly"] {
        let mut other = world.online(name).await;
        if name == "friendly" {
            other.send("<presence to='alice@localhost' type='subscribed'/>").await;
            answers(&mut other, "<presence/>", "").await;
            alice.asks.send("<presence to='friendly@localhost' type='subscribe'/>").await;
            alice.hears("<presence/>", "").await;
        }
        if name != "online" {
            let block = "<iq type='set' id='block'><block xmlns='urn:xmpp:blocking'>\
                         <item jid='alice@localhost'/></block></iq>";
            answers(&mut other, block, "").await;
        }
        // What is there for those who see them, and what is open, but not to whom they have blocked.
        for (node, access) in [("n", "presence"), ("o", "open")] {
            if node == "n" || name != "online" {
                publish(&mut other, node, access).await;
            }
        }
        others.push(other);
    }
    let full = full(&world, &mut others[0]).await;
    others.push(full);
    // What she heard of all that.
    alice.hears("", "").await;
    (world, alice, others)
}

async fn publish(client: &mut Client, node: &str, access: &str) {
    let publish = format!(
        "<iq type='set' id='publish'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{node}'><item id='i'><x xmlns='urn:x'/></item></publish><publish-options>\
         <x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'>\
         <value>{access}</value></field></x></publish-options></pubsub></iq>"
    );
    let heard = answers(client, &publish, "no name of theirs").await;
    assert!(heard.iter().any(|line| line.contains("pubsub")), "{heard:?}");
}

/// The device of alice that asks, and another one, which gets copies of what she says.
struct Alice {
    asks: Client,
    other: Client,
}

impl Alice {
    /// What either hears of this, which the first one says.
    async fn hears(&mut self, said: &str, name: &str) -> Vec<String> {
        let mut heard = answers(&mut self.asks, said, name).await;
        let copies = answers(&mut self.other, "", name).await;
        // What is not acknowledged would leave no room for more answers and copies.
        self.asks.acknowledge().await;
        self.other.acknowledge().await;
        heard.extend(copies.iter().map(|copy| format!("copy: {copy}")));
        heard
    }
}

async fn full(world: &World, stranger: &mut Client) -> Client {
    let mut full = world.online("full").await;
    let account = world.server.node().account(&jid("full")).await.unwrap().unwrap();
    let session = account.sessions().pop().unwrap();
    full.io = Box::new(tokio::io::duplex(1).0);
    while session.is_attached() {
        tokio::task::yield_now().await;
    }
    let news = "x".repeat(200 << 10);
    let news =
        format!("<message to='full@localhost' type='headline'><body>{news}</body></message>");
    answers(stranger, &news, "").await;
    assert!(session.held_bytes() > 200 << 10);
    full
}

/// What comes back for this, each in a line, until the server answers a ping that was sent after
/// it. The name stands for itself no more.
async fn answers(client: &mut Client, said: &str, name: &str) -> Vec<String> {
    let ping = "<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    client.send(&format!("{said}{ping}")).await;
    let mut heard = Vec::new();
    loop {
        match client.step().await {
            Step::Stanza(stanza) if stanza.id() == Some("p") => return heard,
            Step::Stanza(stanza) => heard.push(line(&stanza, name)),
            Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn line(stanza: &Stanza, name: &str) -> String {
    let error = StanzaError::read(stanza);
    let children: Vec<String> = stanza
        .children()
        .iter()
        .map(|child| {
            let inside = stanza.grandchildren(child);
            let inside: Vec<_> = inside.iter().map(|it| it.name().to_owned()).collect();
            format!("{} {} {:?} {inside:?}", child.name(), child.ns(), stanza.text_of(child))
        })
        .collect();
    let from = stanza.from().unwrap_or_default();
    let id = stanza.id().filter(|id| id.len() < 10);
    let (kind, type_) = (stanza.kind(), stanza.type_());
    format!("{kind:?} {type_:?} {id:?} {from} {error:?} {children:?}").replace(name, "NAME")
}

/// The addresses of somebody: the account, the device they have if they are online, another one.
fn addresses(name: &str, others: &[Client]) -> Vec<String> {
    let device = others.iter().find_map(|other| match &other.opening {
        Some(Opening::Bound { jid, .. }) if jid.local() == Some(name) => {
            Some(jid.resource().to_owned())
        }
        _ => None,
    });
    let device = device.unwrap_or_else(|| "nowhere".to_owned());
    let bare = format!("{name}@localhost");
    vec![bare.clone(), format!("{bare}/{device}"), format!("{bare}/gone")]
}

async fn all_alike(
    alice: &mut Alice,
    others: &[Client],
    names: &[&str],
    say: impl Fn(&str) -> String,
) -> BTreeMap<usize, Vec<String>> {
    compare(alice, others, names, 0.., say).await
}

/// Says it to some of the addresses of each name, and compares what comes back with nobody's.
async fn compare(
    alice: &mut Alice,
    others: &[Client],
    names: &[&str],
    places: RangeFrom<usize>,
    say: impl Fn(&str) -> String,
) -> BTreeMap<usize, Vec<String>> {
    let mut expected = BTreeMap::new();
    for name in names.iter().rev() {
        let addresses = addresses(name, others);
        for (place, address) in addresses.iter().enumerate().skip(places.start) {
            let said = say(address);
            let resource = address.split_once('/').map_or("RESOURCE", |(_, resource)| resource);
            let heard = alice.hears(&said, name).await;
            let heard: Vec<_> =
                heard.iter().map(|line| line.replace(resource, "RESOURCE")).collect();
            let nobody = expected.entry(place).or_insert_with(|| heard.clone());
            assert_eq!(&heard, nobody, "{said} against nobody");
        }
    }
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_tells_an_account_that_is_not_seen_from_nobody() {
    let (world, mut alice, others) = world().await;
    let mut requests: Vec<_> = world.server.node().wiring.requests().collect();
    requests.extend([("urn:nobody:knows:this", "query", Verb::Get)]);
    requests.extend([("urn:nobody:knows:this", "query", Verb::Set)]);
    assert!(requests.len() > 15, "{requests:?}");
    for (ns, name, verb) in requests {
        let verb = if verb == Verb::Get { "get" } else { "set" };
        // As it is, with a node, and as nobody writes it.
        let mut insides = ["/>", " node='n'/>", "><x xmlns='urn:x' y='z'>text</x></NAME>"].to_vec();
        insides.extend(AT_NODES.iter().filter(|_| ns.starts_with(PUBSUB)));
        for inside in insides {
            let inside = inside.replace("NAME", name);
            let heard = all_alike(&mut alice, &others, &NAMES, |to| {
                format!("<iq type='{verb}' id='1' to='{to}'><{name} xmlns='{ns}'{inside}</iq>")
            })
            .await;
            for line in heard.values().flatten() {
                let expected = match (ns, verb) {
                    ("http://jabber.org/protocol/disco#items", "get") => continue,
                    ("jabber:iq:roster" | "jabber:iq:private", _) => continue,
                    ("jabber:iq:last", "get") | ("vcard-temp", "set") => continue,
                    (PUBSUB | PUBSUB_OWNER, _) if at_nodes(line) => continue,
                    _ => "ServiceUnavailable",
                };
                assert!(line.contains(expected), "{ns} {verb}: {line}");
            }
        }
    }
    world.server.shutdown().await;
}

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";

/// What is asked at a node that some of them have, at one that is open, and at one that nobody has.
const AT_NODES: [&str; 20] = [
    "><items node='n'/></NAME>",
    "><items node='o'/></NAME>",
    "><items node='none'/></NAME>",
    "><items node='o'><item id='i'/></items></NAME>",
    "><subscribe node='n' jid='alice@localhost'/></NAME>",
    "><subscribe node='o' jid='alice@localhost'/></NAME>",
    "><subscribe node='none' jid='alice@localhost'/></NAME>",
    "><unsubscribe node='o' jid='alice@localhost'/></NAME>",
    "><subscriptions node='o'/></NAME>",
    "><subscriptions/></NAME>",
    "><affiliations node='n'/></NAME>",
    "><affiliations/></NAME>",
    "><publish node='n'><item id='i'><x xmlns='urn:x'/></item></publish></NAME>",
    "><publish node='o'><item id='i'><x xmlns='urn:x'/></item></publish></NAME>",
    "><retract node='o'><item id='i'/></retract></NAME>",
    "><create node='n'/></NAME>",
    "><configure node='o'/></NAME>",
    "><delete node='n'/></NAME>",
    "><purge node='none'/></NAME>",
    "><default/></NAME>",
];

/// Whether a line is what strangers hear at nodes, or that there is no such request.
fn at_nodes(line: &str) -> bool {
    let refusals = ["NotAuthorized", "BadRequest", "FeatureNotImplemented"];
    refusals.iter().any(|refusal| line.contains(refusal))
}

/// The types of a kind of stanza, none and one that nobody knows included; what changes who sees
/// whom is last.
fn types(kind: &str) -> Vec<Option<&'static str>> {
    let known: &[&str] = match kind {
        "message" => &["normal", "chat", "groupchat", "headline", "error"],
        "iq" => &["get", "set", "result", "error"],
        _ => &[
            "unavailable",
            "error",
            "probe",
            "unsubscribed",
            "unsubscribe",
            "subscribed",
            "subscribe",
        ],
    };
    [None, Some("of a later time")].into_iter().chain(known.iter().map(|it| Some(*it))).collect()
}

/// What stands in a stanza: nothing, what a program says, and what a person says, which comes back
/// if it is a conversation. What is to be stored is said twice, as a repeat.
const CONTENTS: [(&str, bool); 7] = [
    ("", false),
    ("<priority>none</priority>", false),
    ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", false),
    (
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='m'/><store xmlns='urn:xmpp:hints'/>\
         <origin-id xmlns='urn:xmpp:sid:0' id='m'/>",
        false,
    ),
    (
        "<received xmlns='urn:xmpp:receipts' id='r'/><store xmlns='urn:xmpp:hints'/>\
         <no-permanent-store xmlns='urn:xmpp:hints'/>",
        false,
    ),
    ("<body>for whom?</body>", true),
    ("<propose xmlns='urn:xmpp:jingle-message:0' id='call'/>", true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stanza_tells_an_account_that_is_not_seen_from_nobody() {
    let (world, mut alice, mut others) = world().await;
    // Who has been seen is known to be there; only what is said to the account can tell it again.
    let strangers = NAMES.into_iter().filter(|name| *name != "friendly").collect::<Vec<_>>();
    for kind in ["message", "iq", "presence"] {
        let names = if kind == "message" { &NAMES[..] } else { &strangers };
        for (type_, (inside, is_said)) in
            types(kind).into_iter().flat_map(|type_| CONTENTS.map(|content| (type_, content)))
        {
            // Subscriptions are slowed down, whatever stands in them.
            if type_.is_some_and(|type_| type_.contains("subscribe")) && !inside.is_empty() {
                continue;
            }
            let attribute = type_.map(|type_| format!(" type='{type_}'")).unwrap_or_default();
            let say = |to: &str| format!("<{kind} to='{to}' id='1'{attribute}>{inside}</{kind}>");
            // The one exception: what a person writes to somebody for the first time. A chat may be
            // continued with the device that began it.
            let is_conversation =
                kind == "message" && !matches!(type_, Some("groupchat" | "headline" | "error"));
            if !(is_said && is_conversation) {
                compare(&mut alice, &others, names, 0.., say).await;
                continue;
            }
            if type_ != Some("chat") {
                compare(&mut alice, &others, names, 1.., &say).await;
            }
            // Whoever has blocked her is not there for what she writes, either.
            compare(&mut alice, &others, &BLOCKERS, 0.., say).await;
        }
    }
    let archive = "<iq type='set' id='archive'><query xmlns='urn:xmpp:mam:2'/></iq>";
    let archived = alice.hears(archive, "no name of theirs").await;
    assert!(matches!(&archived[..], [end] if end.contains("fin urn:xmpp:mam:2")), "{archived:?}");
    let heard = answers(&mut others[0], "", "no name of theirs").await;
    let has_come_back = |line: &&String| {
        let types =
            ["None", "Some(\"normal\")", "Some(\"groupchat\")", "Some(\"of a later time\")"];
        types.iter().any(|type_| line.starts_with(&format!("Message {type_}")))
            && line.contains("for whom?")
    };
    assert_eq!(heard.iter().find(has_come_back), None, "nobody hears what comes back");
    assert!(heard.iter().any(|line| line.starts_with("Message Some(\"headline\")")));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_blocked_a_name_is_told_so_whether_anybody_has_it_or_not() {
    let (world, mut alice, others) = world().await;
    let items: String =
        NAMES.iter().map(|name| format!("<item jid='{name}@localhost'/>")).collect();
    let block = format!("<block xmlns='urn:xmpp:blocking'>{items}</block>");
    alice.hears(&format!("<iq type='set' id='block'>{block}</iq>"), "").await;
    let said = [
        "<message to='TO' id='1' type='chat'><body>x</body></message>",
        "<message to='TO' id='1' type='headline'><body>x</body></message>",
        "<iq to='TO' id='1' type='get'><query xmlns='jabber:iq:last'/></iq>",
        "<presence to='TO' id='1'/>",
        "<presence to='TO' id='1' type='subscribe'/>",
    ];
    for said in said {
        let heard = all_alike(&mut alice, &others, &NAMES, |to| said.replace("TO", to)).await;
        assert!(
            heard.values().flatten().all(|line| line.contains("you have blocked")),
            "{heard:?}"
        );
    }
    world.server.shutdown().await;
}
