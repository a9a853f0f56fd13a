//! The load: the same clients, with the same bytes, for every server that is measured.
//!
//! It runs on one thread, does as little as possible, and follows a fixed dialogue: its own work
//! is not the server's, but a load that cannot keep up would measure itself.

pub mod client;
pub mod framing;
pub mod latency;
pub mod pairs;
mod scram;
mod socket;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Failed;
use client::{Client, Entrance};
use framing::Framing;

/// Logins at once: enough to keep a server busy, fewer than one place may have half open.
const AT_ONCE: usize = 8;

/// Logs in `sessions` of each of `accounts`, and gives them back in that order.
pub async fn log_in(
    entrance: &Arc<Entrance>,
    accounts: std::ops::Range<usize>,
    sessions: std::ops::Range<usize>,
) -> Result<Vec<Client>, Failed> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for session in sessions {
        for account in accounts.clone() {
            let (gate, entrance) = (gate.clone(), entrance.clone());
            tasks.spawn(async move {
                let _permit = gate.acquire_owned().await?;
                let client = Client::log_in(&entrance, account, session).await?;
                Ok::<_, Failed>((session, client))
            });
        }
    }
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client??);
    }
    clients.sort_by_key(|(session, client)| (*session, client.account));
    Ok(clients.into_iter().map(|(_, client)| client).collect())
}

/// A chat message of 350 bytes with three children, from one account to the first session of
/// another, as it is written. Its id has the same length whatever stands in it.
pub fn message(framing: Framing, to: usize, id: u64) -> Vec<u8> {
    let (namespace, end) = match framing {
        Framing::Stream => ("", "\n"),
        Framing::WebSocket => (framing.after_name(), ""),
    };
    let mut message = format!(
        "<message{namespace} to='user{to:04}@localhost/s0' id='t-{id:020}' type='chat'><body>\
         </body><active xmlns='http://jabber.org/protocol/chatstates'/>\
         <request xmlns='urn:xmpp:receipts'/></message>{end}"
    );
    if let Some(body) = message.find("</body>") {
        message.insert_str(body, &"x".repeat(350usize.saturating_sub(message.len())));
    }
    framing.frame(&message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_350_bytes() {
        assert_eq!(message(Framing::Stream, 0, 0).len(), 350);
        assert_eq!(message(Framing::Stream, 199, u64::MAX).len(), 350);
        // With its head and its mask.
        assert_eq!(message(Framing::WebSocket, 0, 0).len(), 358);
    }
}
