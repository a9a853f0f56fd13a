//! What waits for a connection, and what was sent and may have to be sent again.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::RequestError;
use crate::order::{Mine, Reply};
use crate::renamed::Renamed;
use crate::request::Request;
use crate::subscription::SubscriptionType;

/// A wish that waits for a connection.
#[derive(Debug)]
pub(super) enum Line {
    Message(Mine, String),
    /// Who may see whom.
    Subscription(SubscriptionType, Mine),
    /// Anything else, and what its refusal is about.
    Stanza(Bytes, Option<Mine>),
    Request(Request, Reply),
    Barrier(oneshot::Sender<()>),
}

impl Line {
    /// The same under the new name of the domain. A request that names somebody by the old one is
    /// given back: whoever asks makes it anew.
    pub(super) fn renamed(self, renamed: &Renamed) -> Option<Line> {
        let called = |mine: Mine| Mine { to: renamed.person(&mine.to), ..mine };
        Some(match self {
            Line::Message(mine, text) => Line::Message(called(mine), text),
            Line::Subscription(type_, mine) => Line::Subscription(type_, called(mine)),
            Line::Stanza(bytes, mine) => Line::Stanza(renamed.stanza(bytes), mine.map(called)),
            Line::Request(request, reply) if renamed.is_in(&request.payload) => {
                let _ = reply.send(Err(RequestError::Renamed));
                return None;
            }
            Line::Request(mut request, reply) => {
                request.rename(renamed);
                Line::Request(request, reply)
            }
            Line::Barrier(done) => Line::Barrier(done),
        })
    }
}

/// What was sent, and is not acknowledged.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) bytes: Bytes,
    /// A message is sent again in a new session; anything else belongs to the old one.
    pub(super) message: Option<Mine>,
}

impl Unacknowledged {
    /// The same to whoever is called something else now.
    pub(super) fn renamed(self, renamed: Option<&Renamed>) -> Unacknowledged {
        let Some(renamed) = renamed else { return self };
        let message = self.message.map(|mine| Mine { to: renamed.person(&mine.to), ..mine });
        Unacknowledged { bytes: renamed.stanza(self.bytes), message }
    }
}
