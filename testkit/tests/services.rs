//! docs/design/services.md: addresses of ours that are no accounts. A feature with two services is
//! wired beside all others: `chats` takes what is said to it, `plain` has nothing but its declaration.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use whoelse_core::kit::service::Identity;
use whoelse_core::kit::{Answer, Cx, Feature, Reply, Service, Target, Wiring};
use whoelse_core::principal::{Principal, Rights};
use whoelse_core::route::{self, Addressed, Entity, Origin, Routed};
use whoelse_core::sessions::Hold;
use whoelse_core::settings::{Contacts, Label, Sessions, Settings};
use whoelse_core::start::StartError;
use whoelse_core::{Clock, Node, Time};
use whoelse_store::{Location, Store};
use whoelse_stream::{Output, Password};
use whoelse_xmpp::payload::xmpp_parsers::version::VersionQuery;
use whoelse_xmpp::{BareJid, Condition, Jid, Kind, Stanza, StanzaError, ns};

static ROOMS: Service = Service {
    key: "chats",
    label: |_| Label::fixed("chat"),
    identity: Identity { category: "conference", type_: "text", name: "Chats" },
    features: |_| vec!["urn:example:chats"],
    info: None,
    items: Some(|_, _| Box::pin(async { Ok(Reply::encoded(&b"<query xmlns='urn:chats'/>"[..])) })),
    take: Some(take),
};

static PLAIN: Service = Service {
    key: "plain",
    label: |_| Label::fixed("plain"),
    identity: Identity { category: "pubsub", type_: "service", name: "Nodes" },
    items: None,
    take: None,
    ..ROOMS
};

const FEATURE: Feature = Feature {
    name: "services",
    wire: |w| {
        w.service(&ROOMS);
        w.service(&PLAIN);
        w.server::<Taken, _>(|_| async { Ok(Taken::default()) });
        w.set(&[Target::Service("chats")], set_version);
    },
    ..Feature::PLAIN
};

/// What `chats` took, each in a line.
#[derive(Default)]
struct Taken(Mutex<Vec<String>>);

async fn set_version(_: Cx, _: VersionQuery) -> Answer {
    Ok(Reply::empty())
}

fn take(node: &Arc<Node>, origin: Origin, said: Addressed) -> Routed {
    let stanza = said.stanza();
    let line = format!(
        "{} {} to {} from {}",
        stanza.name(),
        stanza.type_().unwrap_or("-"),
        said.to(),
        said.from()
    );
    node.slots.look(|taken: &Taken| taken.0.lock().push(line));
    if said.is_request() {
        return said.answer(node, origin, Box::pin(async { Ok(Reply::empty()) }));
    }
    if stanza.kind() == Kind::Message {
        return said.refuse(node, &origin, &StanzaError::new(Condition::NotAcceptable));
    }
    origin.done();
    Routed::Done
}

/// A server with these services, and alice, who is there.
struct World {
    node: Arc<Node>,
    alice: Hold,
}

impl World {
    async fn new() -> World {
        let store = Store::open(&Location::Memory).await.unwrap();
        let settings = Settings {
            contacts: Contacts::Roster,
            sessions: Sessions::Many,
            ..Settings::default()
        };
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let features = [whoelse_features::ALL, &[FEATURE]].concat();
        let node = Node::start(settings, clock, store, &features, Some("localhost")).await.unwrap();
        for name in ["alice", "bob"] {
            let jid = BareJid::new(Some(name), "localhost").unwrap();
            node.create_account(&jid, Password::new("a long secret").unwrap()).await.unwrap();
        }
        let alice = bind(&node, "alice").await;
        World { node, alice }
    }

    /// What alice hears of this.
    async fn says(&self, xml: &str) -> String {
        say(&self.node, &self.alice, xml).await;
        self.node.keeper.caught_up().await;
        heard(&self.node, &self.alice)
    }

    fn taken(&self) -> Vec<String> {
        self.node.slots.look(|taken: &Taken| std::mem::take(&mut *taken.0.lock())).unwrap()
    }
}

async fn bind(node: &Arc<Node>, name: &str) -> Hold {
    let jid = BareJid::new(Some(name), &node.domain_name()).unwrap();
    let account = node.account(&jid).await.unwrap().unwrap();
    node.bind(&Principal::of(&account, Rights::Own), Some("desk")).await.unwrap()
}

async fn say(node: &Arc<Node>, hold: &Hold, xml: &str) {
    match route::handle(node, hold, Stanza::parse(xml.to_owned()).unwrap(), None) {
        Routed::Done => {}
        Routed::Waits(rest) => rest.await,
        Routed::End(_) | Routed::Superseded => panic!("{xml} ends the stream"),
    }
}

fn heard(node: &Node, hold: &Hold) -> String {
    let mut out = Output::default();
    let (now, limits) = (node.clock.steady(), &node.settings().limits);
    hold.session.take(hold.epoch, now, limits, &mut out, 1 << 20).unwrap();
    String::from_utf8(out.take()).unwrap()
}

fn iq(type_: &str, to: &str, payload: &str) -> String {
    format!("<iq type='{type_}' id='1' to='{to}'>{payload}</iq>")
}

#[tokio::test]
async fn discovery_lists_the_services_and_says_what_each_is() {
    let world = World::new().await;
    let info = |to| iq("get", to, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    let items = |to| iq("get", to, "<query xmlns='http://jabber.org/protocol/disco#items'/>");

    let listed = world.says(&items("localhost")).await;
    assert!(listed.contains("<item jid='chat.localhost' name='Chats'/>"), "{listed}");
    assert!(listed.contains("<item jid='plain.localhost' name='Nodes'/>"), "{listed}");
    let chats = world.says(&info("chat.localhost")).await;
    for part in ["conference", "text", "Chats", "urn:example:chats", ns::DISCO_ITEMS] {
        assert!(chats.contains(part), "{chats}");
    }
    assert!(world.says(&items("chat.localhost")).await.contains("urn:chats"));
    let nothing = world.says(&items("plain.localhost")).await;
    assert!(nothing.contains("type='result'") && !nothing.contains("<item"), "{nothing}");
    let node = "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>";
    assert!(world.says(&iq("get", "plain.localhost", node)).await.contains("item-not-found"));
    assert_eq!(world.taken(), [""; 0]);
}

#[tokio::test]
async fn only_a_handler_that_says_so_answers_for_a_service() {
    let world = World::new().await;
    let version = "<query xmlns='jabber:iq:version'/>";

    assert!(world.says(&iq("set", "chat.localhost", version)).await.contains("type='result'"));
    // Of these one is the server's alone, and one is of the other service.
    for refused in [iq("get", "chat.localhost", version), iq("set", "plain.localhost", version)] {
        assert!(world.says(&refused).await.contains("service-unavailable"), "{refused}");
    }
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    assert!(world.says(&iq("get", "plain.localhost", ping)).await.contains("type='result'"));
    assert_eq!(world.taken(), [""; 0]);
}

#[tokio::test]
async fn a_service_takes_what_is_said_to_addresses_at_it_and_what_is_no_request() {
    let world = World::new().await;
    let ping = "<ping xmlns='urn:xmpp:ping'/>";

    let answered = world.says(&iq("get", "lunch@chat.localhost/bob", ping)).await;
    let refused = world.says("<message to='chat.localhost'><body>hi</body></message>").await;
    assert_eq!(world.says("<presence to='lunch@chat.localhost' type='subscribe'/>").await, "");

    assert!(answered.contains("type='result'"), "{answered}");
    assert!(refused.contains("not-acceptable"), "{refused}");
    let taken = [
        "iq get to lunch@chat.localhost/bob from alice@localhost/desk",
        "message - to chat.localhost from alice@localhost/desk",
        "presence subscribe to lunch@chat.localhost from alice@localhost/desk",
    ];
    assert_eq!(world.taken(), taken);
}

#[tokio::test]
async fn a_service_that_takes_nothing_says_the_same_of_every_address() {
    let world = World::new().await;

    for to in ["plain.localhost/x", "a@plain.localhost", "b@plain.localhost/x"] {
        let message = format!("<message to='{to}'><body>hi</body></message>");
        for said in [iq("get", to, "<ping xmlns='urn:xmpp:ping'/>"), message] {
            assert!(world.says(&said).await.contains("service-unavailable"), "{said}");
        }
        for type_ in ["", " type='unavailable'", " type='subscribe'", " type='probe'"] {
            assert_eq!(world.says(&format!("<presence to='{to}'{type_}/>")).await, "");
        }
        let error = format!("<message to='{to}' type='error'/>");
        assert_eq!(world.says(&error).await, "");
    }
}

#[tokio::test]
async fn a_service_hears_once_that_a_session_is_gone_whatever_its_resources_were_told() {
    let world = World::new().await;
    let joins = "<presence to='lunch@chat.localhost/ali'/><presence to='lunch@chat.localhost/al'/>";
    let gone = "presence unavailable to lunch@chat.localhost from alice@localhost/desk";

    for join in joins.split_inclusive("/>") {
        world.says(join).await;
    }
    world.taken();
    world.says("<presence type='unavailable'/>").await;
    assert_eq!(world.taken(), [gone]);

    world.says("<presence to='lunch@chat.localhost/al'/>").await;
    world.taken();
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='lunch@chat.localhost'/></block>";
    world.says(&format!("<iq type='set' id='b'>{block}</iq>")).await;
    assert_eq!(world.taken(), [gone], "a block takes presence back");
    let refused = world.says("<presence to='lunch@chat.localhost/al'/>").await;
    assert!(refused.contains("not-acceptable") && world.taken().is_empty(), "{refused}");

    world.says("<presence to='tea@chat.localhost/al'/>").await;
    world.taken();
    world.node.end(&world.alice.session).await;
    assert_eq!(world.taken(), [gone.replace("lunch", "tea")]);
}

#[tokio::test]
async fn what_a_service_says_is_kept_for_who_is_not_there_and_nothing_comes_back() {
    let world = World::new().await;
    let says = |text: &str| {
        let address = Jid::parse("lunch@chat.localhost").unwrap();
        let payer = world.alice.session.account.clone();
        let stanza = Stanza::parse(text.to_owned()).unwrap();
        route::speak(&world.node, Entity { address, payer }, stanza)
    };
    for to in ["bob@localhost", "nobody@localhost", "localhost", "plain.localhost", "a@far"] {
        match says(&format!("<message to='{to}'><body>come</body></message>")) {
            Routed::Waits(rest) => rest.await,
            Routed::Done => {}
            Routed::End(_) | Routed::Superseded => panic!("{to}"),
        }
    }
    world.node.keeper.caught_up().await;

    let bob = bind(&world.node, "bob").await;
    say(&world.node, &bob, "<presence/>").await;
    world.node.read_log(&bob.session).await;
    let kept = heard(&world.node, &bob);
    assert!(kept.contains("from='lunch@chat.localhost'") && kept.contains("come"), "{kept}");
    assert_eq!(heard(&world.node, &world.alice), "");
    assert_eq!(world.taken(), [""; 0]);
}

#[tokio::test]
async fn a_renamed_domain_takes_its_services_along() {
    let world = World::new().await;

    world.node.rename_domain("localhost".into(), "new.example".into()).await.unwrap();

    let address = world.node.service_address("chats").unwrap();
    assert_eq!(address.as_str(), "chat.new.example");
    let alice = bind(&world.node, "alice").await;
    say(&world.node, &alice, "<message to='chat.localhost'><body>hi</body></message>").await;
    assert!(heard(&world.node, &alice).contains("remote-server-not-found"));
    say(&world.node, &alice, "<presence to='lunch@chat.new.example/al'/>").await;
    assert_eq!(
        world.taken(),
        ["presence - to lunch@chat.new.example/al from alice@new.example/desk"]
    );
}

#[tokio::test]
async fn two_services_have_two_keys_and_two_labels() {
    static SAME_LABEL: Service = Service { key: "more", ..ROOMS };
    const TWICE: Feature = Feature { wire: |w| w.service(&SAME_LABEL), ..FEATURE };
    let same_key = Wiring::of(&[FEATURE, FEATURE], &HashSet::new());
    let store = Store::open(&Location::Memory).await.unwrap();
    let features = [FEATURE, TWICE];
    let clock = Clock::manual(Time(1_767_225_600_000_000));

    let started = Node::start(Settings::default(), clock, store, &features, None).await;

    assert!(same_key.is_err());
    assert!(matches!(started, Err(StartError::Wiring(_))));
}
