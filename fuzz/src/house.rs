//! A whole server in memory, for targets that send it requests: the connection driver over a pipe,
//! every feature, a store that is gone with it, and alice, who has logged in and has a history.
//!
//! One server takes many inputs, since making it takes far longer than any of them; so whatever a
//! target sends, alice must stay logged in.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use whoelse_core::network::Network;
use whoelse_core::settings::Settings;
use whoelse_core::{Clock, Node, Time};
use whoelse_server::ingress::{Connections, Ingress, Peer};
use whoelse_store::{Store, StoredVerifier};
use whoelse_stream::client::{self, Step};
use whoelse_stream::scram::{Hash, Verifier};
use whoelse_stream::{Password, Transport};
use whoelse_xmpp::{Kind, Stanza, StanzaError, ns};

/// When everything begins: 2026-01-01T00:00:00Z.
pub const BEGIN: Time = Time(1_767_225_600_000_000);
/// The peers of alice's history: the message of this number modulo three is to him.
pub const PEERS: [&str; 3] = ["bob@localhost", "carol@localhost", "dave@localhost"];
/// How many messages the history has. The one of number `n` was sent `n` seconds after [`BEGIN`].
pub const HISTORY: usize = 40;

/// Requests after which a new server is made, so that their leftovers do not grow for ever.
const REQUESTS: usize = 5_000;
/// How much time passes between two requests, so that no budget of a sender is ever used up.
const PAUSE: Duration = Duration::from_secs(10);
/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server and alice's end of her connection.
pub struct House {
    runtime: Runtime,
    clock: Clock,
    node: Arc<Node>,
    pipe: DuplexStream,
    machine: client::Machine,
    asked: usize,
}

thread_local! {
    static HOUSE: RefCell<Option<House>> = const { RefCell::new(None) };
}

impl House {
    /// Lends a server to `visit`. A server in which something went wrong is not lent again.
    pub fn with(visit: impl FnOnce(&mut House)) {
        let lent = HOUSE.take().filter(|house| house.asked < REQUESTS);
        let mut house = lent.unwrap_or_else(House::new);
        visit(&mut house);
        HOUSE.set(Some(house));
    }

    fn new() -> House {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clock = Clock::manual(BEGIN);
        let config = client::Config {
            transport: Transport::Tls,
            want_sm: false,
            ..client::Config::new("localhost")
        };
        let (node, pipe) = runtime.block_on(open(clock.clone()));
        let machine = client::Machine::new(config, None);
        let mut house = House { runtime, clock, node, pipe, machine, asked: 0 };
        house.log_in();
        for n in 0..HISTORY {
            let to = PEERS[n % PEERS.len()];
            let wait = BEGIN.after(Duration::from_secs(n as u64)).since(house.clock.now());
            house.pass(wait);
            house.hear(&format!("<message to='{to}' type='chat'><body>{n}</body></message>"));
            house.settle();
        }
        house
    }

    fn log_in(&mut self) {
        loop {
            match self.next() {
                Step::Ready(_) => self.machine.login("alice", password()).expect("a login"),
                Step::Open(_) => return,
                other => panic!("alice cannot log in: {other:?}"),
            }
        }
    }

    /// Sends a request of this id and returns its answer, and whatever else came with it.
    ///
    /// # Panics
    /// When there is no answer, more than one, or one that is the server's own fault.
    pub fn ask(&mut self, id: &str, request: &str) -> (Stanza, Vec<Stanza>) {
        self.pass(PAUSE);
        let heard = self.hear(request);
        let is_answer = |stanza: &Stanza| {
            let answers = matches!(stanza.type_(), Some("result" | "error"));
            stanza.kind() == Kind::Iq && answers && stanza.id() == Some(id)
        };
        let (mut answers, rest): (Vec<_>, Vec<_>) = heard.into_iter().partition(is_answer);
        assert_eq!(answers.len(), 1, "answers to {request}: {answers:?}");
        let answer = answers.remove(0);
        let fault = StanzaError::read(&answer).map(|error| error.condition.name());
        assert_ne!(fault, Some("internal-server-error"), "{request}");
        (answer, rest)
    }

    /// Sends what is no request, and returns what came of it.
    pub fn tell(&mut self, stanza: &str) -> Vec<Stanza> {
        self.pass(PAUSE);
        let mut heard = self.hear(stanza);
        // What follows a commit may come after the answer to a ping.
        self.settle();
        heard.extend(self.hear(""));
        heard
    }

    /// Sends stanzas and returns everything that comes before the answer to a ping after them.
    fn hear(&mut self, stanzas: &str) -> Vec<Stanza> {
        self.asked += 1;
        let last = format!("ping-{}", self.asked);
        let sent = format!(
            "{stanzas}<iq type='get' id='{last}' to='localhost'><ping xmlns='{}'/></iq>",
            ns::PING
        );
        let House { runtime, pipe, .. } = self;
        let write = async { timeout(PATIENCE, pipe.write_all(sent.as_bytes())).await };
        runtime.block_on(write).expect("the server reads").expect("the server is there");
        let mut heard = Vec::new();
        loop {
            match self.next() {
                Step::Stanza(stanza) if stanza.id() == Some(&last) => return heard,
                Step::Stanza(stanza) => heard.push(stanza),
                other => panic!("after {stanzas}: {other:?}"),
            }
        }
    }

    /// Returns alice's next step; sends her output meanwhile.
    fn next(&mut self) -> Step {
        let House { runtime, pipe, machine, .. } = self;
        let next = async {
            let mut buffer = vec![0; 16 << 10];
            loop {
                let step = machine.poll();
                pipe.write_all(&machine.take_output()).await.expect("the server is there");
                if let Some(step) = step {
                    return step;
                }
                let read = pipe.read(&mut buffer).await.expect("the server is there");
                assert!(read > 0, "the server has hung up");
                machine.push(&buffer[..read]);
            }
        };
        runtime.block_on(async { timeout(PATIENCE, next).await }).expect("the server answers")
    }

    /// Waits until what was sent is stored, since it gets the time of that moment.
    fn settle(&mut self) {
        let House { runtime, node, .. } = self;
        let stored = async {
            while !node.is_idle() {
                tokio::task::yield_now().await;
            }
        };
        runtime.block_on(async { timeout(PATIENCE, stored).await }).expect("it is stored");
    }

    fn pass(&mut self, wait: Duration) {
        let _inside = self.runtime.enter();
        let end = self.clock.steady().after(wait);
        while self.clock.advance_to(end) {}
    }
}

/// Starts the server and connects to it.
async fn open(clock: Clock) -> (Arc<Node>, DuplexStream) {
    let store = Store::open(&whoelse_store::Location::Memory).await.expect("a store");
    let settings = Settings::default();
    let features = whoelse_features::ALL;
    let node = Node::start(settings, clock.clone(), store, features, Some("localhost"));
    let node = node.await.expect("a server");
    let turns = NonZeroU32::new(4096).expect("not zero");
    let verifiers = Hash::ALL.map(|hash| {
        let made = Verifier::derive(hash, &password(), b"salt", turns);
        StoredVerifier {
            mechanism: hash.mechanism().to_owned(),
            salt: made.salt,
            iterations: turns.get().into(),
            stored_key: made.stored_key,
            server_key: made.server_key,
        }
    });
    let mut tx = node.store.begin().await.expect("a transaction");
    for name in ["alice", "bob", "carol", "dave"] {
        let made = tx.create_account(node.domain().id, name, &verifiers, clock.now().0).await;
        assert!(made.expect("an account").is_some());
    }
    tx.commit().await.expect("a commit");
    let (near, far) = tokio::io::duplex(64 << 10);
    let peer = Peer { network: Network::Local, address: "fuzz".to_owned() };
    Connections::new(node.clone(), None).welcome(far, Ingress::Pipe, peer);
    (node, near)
}

fn password() -> Password {
    Password::new("pencil").expect("a password")
}
