//! What waits for a connection, and what was sent and may have to be sent again.

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::RequestError;
use crate::order::{Mine, Reply};
use crate::renamed::Renamed;
use crate::request::Request;
use crate::subscription::SubscriptionType;

/// An order that waits for a connection.
#[derive(Debug)]
pub(super) enum Line {
    Message(Mine, String),
    /// A subscription stanza.
    Subscription(SubscriptionType, Mine),
    /// Any other stanza; with its id and recipient if a refusal is to be reported.
    Stanza(Bytes, Option<Mine>),
    Request(Request, Reply),
    Barrier(oneshot::Sender<()>),
}

impl Line {
    /// Readdresses it after the domain was renamed. A request whose payload has the old name fails
    /// instead, and its caller builds it again.
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

/// A stanza that was sent and is not acknowledged.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    pub(super) bytes: Bytes,
    /// A message is sent again in a new session; anything else is not.
    pub(super) message: Option<Mine>,
}

impl Unacknowledged {
    /// Readdresses it, if the domain was renamed.
    pub(super) fn renamed(self, renamed: Option<&Renamed>) -> Unacknowledged {
        let Some(renamed) = renamed else { return self };
        let message = self.message.map(|mine| Mine { to: renamed.person(&mine.to), ..mine });
        Unacknowledged { bytes: renamed.stanza(self.bytes), message }
    }
}
