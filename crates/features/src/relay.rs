//! Ours, docs/protocol.md, `urn:whoelse:relay:0`: what the server does for a private chat whose two
//! ends do not find each other: a token for its relay, and where a client learns its address.
//!
//! The relay itself is an edge (crate `server`); whom it lets in is said in `whoelse_core::relay`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use whoelse_core::Steady;
use whoelse_core::kit::{Answer, Feature, Reply, SERVER, SessionCx};
use whoelse_core::relay::Token;
use whoelse_stream::hex;
use whoelse_xmpp::payload::relay::{Offer, Request};
use whoelse_xmpp::{Condition, ErrorType, StanzaError, ns};

/// Requests of one account within [`WINDOW`]: several private chats and several devices, not a
/// flood of tokens.
const MOST: usize = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Bytes of an introduction's id.
const SID: usize = 128;

/// The request.
pub const FEATURE: Feature = Feature {
    name: "relay",
    xeps: &[],
    disco: &[],
    wire: |w| {
        w.account(|_, _| std::future::ready(Ok(Asked::default())));
        w.set(SERVER, ask);
        w.disco_if(|node| node.relay_offer().is_any(), ns::WHOELSE_RELAY);
    },
};

/// When an account has asked of late, as long as it is in memory: it is, while anybody asks.
#[derive(Default)]
struct Asked(Mutex<VecDeque<Steady>>);

impl Asked {
    /// Counts a request, or says how long to wait.
    fn count(&self, now: Steady) -> Result<(), Duration> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    // The server's own account has no such slot, and no private chats.
    let Some(asked) = cx.account().get::<Asked>() else {
        return Err(StanzaError::new(Condition::NotAllowed)
            .with_text("only people's accounts have private chats"));
    };
    let bad = |text: &str| StanzaError::new(Condition::BadRequest).with_text(text);
    if request.sid.is_empty() || request.sid.len() > SID {
        return Err(bad("`sid` must have 1 to 128 bytes"));
    }
    let key =
        hex::decode(&request.key).ok_or_else(|| bad("`key` must be 64 hexadecimal digits"))?;
    let offer = cx.node.relay_offer();
    if !offer.is_any() {
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    }
    asked.count(cx.node.clock.steady()).map_err(|wait| {
        let seconds = wait.as_millis().div_ceil(1000);
        StanzaError::new(Condition::ResourceConstraint)
            .with_type(ErrorType::Wait)
            .with_text(format!("too many requests for the relay; try again in {seconds} s"))
    })?;
    let token = offer.relay.map(|_| {
        cx.node.counters.relay_tokens.inc();
        cx.node.tokens.seal(&Token {
            issued: cx.node.unset_time(),
            account: cx.account().id,
            localpart: cx.account().name().to_owned(),
            sid: request.sid,
            key,
        })
    });
    Ok(Reply::of(&Offer { port: offer.relay, discovery: offer.discovery, token }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_core::relay::EndpointKey;

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
