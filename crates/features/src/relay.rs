//! Ours, docs/protocol.md, `urn:whoelse:relay:0`: help for a private chat whose two ends cannot
//! reach each other: a token for the server's relay, and where a client learns its public address.
//!
//! The relay itself has sockets (crate `server`), and puts itself into a slot of the server
//! ([`embed`]). This file decides whom it admits. The relayed bytes are ciphertext, which nobody
//! looks at.

mod token;

pub use token::{COMING_BACK, Denied, EndpointKey, Token, Tokens};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use whoelse_core::account::Account;
use whoelse_core::counters;
use whoelse_core::counters::{Counter, Tally};
use whoelse_core::kit::{Answer, Feature, Reply, SERVER, SessionCx};
use whoelse_core::settings;
use whoelse_core::settings::{Choice, choice, count, size};
use whoelse_core::start::installation_secret;
use whoelse_core::{Node, Steady};
use whoelse_store::Store;
use whoelse_stream::hex;
use whoelse_xmpp::payload::relay::{Offer as Answered, Request};
use whoelse_xmpp::{Condition, ErrorType, StanzaError, ns};

/// The most requests of one account within [`WINDOW`]: enough for several private chats and several
/// devices, but not for a flood of tokens.
const MOST: usize = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// The longest id of an introduction, in bytes.
const SID: usize = 128;

/// The request.
pub const FEATURE: Feature = Feature {
    name: "relay",
    settings: &[Private::SETTINGS, Limits::SETTINGS],
    counters: &[Counters::GROUP],
    wire: |w| {
        w.server(tokens);
        w.set(SERVER, ask);
        w.barred(end);
        w.disco_if(|node| offer(node).is_any(), ns::WHOELSE_RELAY);
    },
    ..Feature::PLAIN
};

/// Whether private chats are relayed if their two ends cannot reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relaying {
    /// Yes, if no direct path works; what is relayed is encrypted from end to end.
    Auto,
    /// Never: users without a direct path have no private chat.
    Never,
}

impl Choice for Relaying {
    const WORDS: &'static [(&'static str, Relaying)] =
        &[("auto", Relaying::Auto), ("never", Relaying::Never)];
}

settings! {
    /// Private chats: two clients talk directly, and this server only introduces them.
    pub struct Private in "private" {
        /// Whether a private chat whose two ends find no direct path may pass through this server:
        /// "auto", or "never". What passes is encrypted from end to end, and bounded by
        /// limits.relay_rate; with "never", people behind unfriendly routers have no private chats.
        relay: Relaying = Relaying::Auto, choice();
    }
}

counters! {
    /// What is counted of the relay.
    pub struct Counters {
        /// Tokens for the relay that people were given.
        tokens: Counter = "whoelse_relay_tokens";
        /// Connections that the relay did not admit: `no_token`, `forged`, `other_key`, `expired`,
        /// `no_account`, `full`, `account_full`, `off`.
        refused: Tally<1> = "whoelse_relay_refused" ["reason"],
            act "`forged` or `other_key` rise: somebody tries; `full` rises";
    }
}

settings! {
    /// Bounds of the relay.
    pub struct Limits in "limits" {
        /// Bytes a second that one connection may send through the relay for private chats; eight
        /// times as many at once. A conversation and a picture now and then, not somebody's backup;
        /// with fewer than 4 KiB a conversation no longer gets on.
        relay_rate: u32 = 128 << 10, size().from(4 << 10);
        /// Connections to the relay for private chats, in all; and as many ask for their public
        /// addresses at the same time.
        relay_clients: usize = 1_000, count();
        /// Connections of one account to the relay: more private chats than a person has at a time.
        relay_per_account: usize = 16, count();
    }
}

/// What the owner of the sockets offers to private chats.
pub trait Relay: Send + Sync {
    /// Returns what is offered at this moment.
    fn offer(&self) -> Offer;
    /// Returns how much the relay is used.
    fn usage(&self) -> Usage;
    /// Ends the connections of an account that may no longer have them.
    fn end(&self, account: i64);
}

/// The ports offered to private chats, on the host by which a client has reached us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// The TCP port of the relay.
    pub relay: Option<u16>,
    /// The UDP port where a client learns its public address.
    pub discovery: Option<u16>,
}

impl Offer {
    /// Whether anything is offered.
    pub fn is_any(self) -> bool {
        self.relay.is_some() || self.discovery.is_some()
    }
}

/// How much the relay is used: never by whom, or between whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections that are admitted now.
    pub connections: u64,
    /// Bytes handed on since the start.
    pub bytes: u64,
}

/// In the slot of the server: the relay, once the program has one.
struct Embedded(Arc<dyn Relay>);

/// Offers this relay from now on.
pub fn embed(node: &Node, relay: Arc<dyn Relay>) {
    node.slots.put(Arc::new(Embedded(relay)));
}

/// Returns what private chats are offered at this moment.
pub fn offer(node: &Node) -> Offer {
    node.slots.look(|it: &Embedded| it.0.offer()).unwrap_or_default()
}

/// Returns how much the relay is used.
pub fn usage(node: &Node) -> Usage {
    node.slots.look(|it: &Embedded| it.0.usage()).unwrap_or_default()
}

async fn tokens(store: Store) -> Result<Tokens, whoelse_store::Error> {
    Ok(Tokens::new(&installation_secret(&store, "relay").await?))
}

/// Reads a token, if this server has made it.
pub fn open(node: &Node, text: &str) -> Option<Token> {
    node.slots.get::<Tokens>()?.open(text)
}

/// Whether the account of a token still exists, is the same, has the password of then, and is not
/// locked out; and whether the device that asked for it was not logged out.
pub async fn may_come(node: &Node, token: &Token) -> bool {
    let account = node.look_up(&token.address).await.ok().flatten();
    let is_well = account.is_some_and(|account| {
        account.id == token.account
            && account.generation() <= token.generation
            && !account.is_removed()
            && !node.is_disabled(account.jid())
    });
    match &token.device {
        Some(device) => is_well && node.has_device(token.account, device).await,
        None => is_well,
    }
}

/// Ends the relay connections of an account. Who may still come asks for another token.
fn end(node: &Node, account: &Account) {
    node.slots.look(|it: &Embedded| it.0.end(account.id));
}

/// In the slot of an account: the times of its recent requests. It stays in memory while anybody
/// asks.
#[derive(Default)]
struct Asked(Mutex<VecDeque<Steady>>);

impl Asked {
    /// Counts a request, or returns how long to wait.
    fn count(&self, now: Steady) -> Result<(), Duration> {
        let mut asked = self.0.lock();
        while asked.front().is_some_and(|at| at.after(WINDOW) <= now) {
            asked.pop_front();
        }
        match asked.front() {
            Some(oldest) if asked.len() >= MOST => Err(oldest.after(WINDOW).since(now)),
            _ => {
                asked.push_back(now);
                Ok(())
            }
        }
    }
}

async fn ask(cx: SessionCx, request: Request) -> Answer {
    let own =
        cx.account().map_err(|no| no.with_text("only people's accounts have private chats"))?;
    let asked = own.get_or_default::<Asked>();
    let bad = |text: &str| StanzaError::new(Condition::BadRequest).with_text(text);
    if request.sid.is_empty() || request.sid.len() > SID {
        return Err(bad("`sid` must have 1 to 128 bytes"));
    }
    let key =
        hex::decode(&request.key).ok_or_else(|| bad("`key` must be 64 hexadecimal digits"))?;
    let offer = offer(&cx.node);
    if !offer.is_any() {
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    }
    asked.count(cx.node.clock.steady()).map_err(|wait| {
        let seconds = wait.as_millis().div_ceil(1000);
        StanzaError::new(Condition::ResourceConstraint)
            .with_type(ErrorType::Wait)
            .with_text(format!("too many requests for the relay; try again in {seconds} s"))
    })?;
    let device = cx.node.mark_of(&cx.session).await?;
    let tokens = cx.node.slots.get::<Tokens>();
    let token = offer.relay.zip(tokens).map(|(_, tokens)| {
        cx.node.counters.of::<Counters>().tokens.inc();
        tokens.seal(&Token {
            issued: cx.node.unset_time(),
            account: own.id,
            generation: cx.session.generation(),
            device,
            address: own.jid().clone(),
            sid: request.sid,
            key,
        })
    });
    Ok(Reply::of(&Answered { port: offer.relay, discovery: offer.discovery, token }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use whoelse_core::Clock;
    use whoelse_core::devices::{DeviceMark, Revoked};
    use whoelse_core::settings::Settings;
    use whoelse_store::{Location, UserAgent};

    use super::*;

    /// Counts how often somebody's connections are ended.
    #[derive(Default)]
    struct Ended(AtomicUsize);

    impl Relay for Ended {
        fn offer(&self) -> Offer {
            Offer::default()
        }
        fn usage(&self) -> Usage {
            Usage::default()
        }
        fn end(&self, _: i64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives alice a device; returns its mark.
    async fn device(store: &Store, alice: i64, at: i64) -> DeviceMark {
        let agent = UserAgent { id: "d-1".into(), software: "x".into(), name: "laptop".into() };
        let mut tx = store.begin().await.unwrap();
        tx.add_device(alice, &agent, (at, at), 10).await.unwrap();
        tx.commit().await.unwrap();
        DeviceMark { id: agent.id, since: whoelse_core::Time(at) }
    }

    #[tokio::test]
    async fn a_device_that_was_logged_out_is_cut_off_and_does_not_come_back_by_what_it_had() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        let id = tx.create_account(domain, "alice", &[], 1).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let clock = Clock::manual(whoelse_core::Time(1_767_225_600_000_000));
        let domain = Some("localhost");
        let node = Node::start(Settings::default(), clock, store.clone(), crate::ALL, domain);
        let node = node.await.unwrap();
        let relay = Arc::new(Ended::default());
        embed(&node, relay.clone());
        let address = whoelse_xmpp::BareJid::parse("alice@localhost").unwrap();
        let alice = node.look_up(&address).await.unwrap().unwrap();
        let token = |device| Token {
            issued: node.unset_time(),
            account: id,
            generation: alice.generation(),
            device,
            address: address.clone(),
            sid: "s".into(),
            key: [7; 32],
        };
        let theirs = token(Some(device(&store, id, 5).await));
        assert!(may_come(&node, &theirs).await && may_come(&node, &token(None)).await);

        node.revoke_devices(&alice, Revoked::All, None).await.unwrap();

        assert_eq!(relay.0.load(Ordering::Relaxed), 1);
        assert!(!may_come(&node, &theirs).await && may_come(&node, &token(None)).await);
        // It comes back by its password, and asks for another token.
        let again = token(Some(device(&store, id, 9).await));
        assert!(!may_come(&node, &theirs).await && may_come(&node, &again).await);
        node.stop().await;
    }

    fn key(text: &str) -> Option<EndpointKey> {
        hex::decode(text)
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert_eq!(
            key(&"0aF".repeat(22)[..64]).map(|key| key[..3].to_vec()),
            Some(vec![10, 240, 175])
        );
        let signed = format!("+1{}", "0".repeat(62));
        for bad in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &signed] {
            assert_eq!(key(bad), None, "{bad}");
        }
        assert_eq!(key(&"é".repeat(32)), None);
    }

    #[test]
    fn a_flood_of_requests_has_to_wait_for_the_oldest() {
        let asked = Asked::default();
        let at = |seconds: i64| Steady(seconds * 1_000_000);
        for second in 0..30 {
            assert_eq!(asked.count(at(second)), Ok(()), "{second}");
        }

        assert_eq!(asked.count(at(30)), Err(Duration::from_secs(30)));
        assert_eq!(asked.count(at(60)), Ok(()));
        assert_eq!(asked.count(at(60)), Err(Duration::from_secs(1)));
    }
}
