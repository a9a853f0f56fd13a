//! Ours, docs/protocol.md: shows where this server listens, so that it can be told apart from
//! another server that holds a port of its configuration.

use std::net::SocketAddr;

use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, FieldKind, Right, Values};
use whoelse_xmpp::{Condition, StanzaError};

/// In the slot of a server with sockets: the addresses on which it listens for clients.
pub struct Listening(pub Vec<SocketAddr>);

/// Returns the addresses of the listeners for clients.
pub(super) const LISTENING: Command = Command {
    node: "urn:whoelse:commands:0#listening",
    name: "Where the server listens",
    right: Right::Look,
    fields: &[],
    run: |cx, _: Values| Box::pin(async move { listening(&cx) }),
};

fn listening(cx: &SessionCx) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let Some(listening) = cx.node.slots.get::<Listening>() else {
        // A world in memory listens nowhere.
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    };
    let addresses = listening.0.iter().map(ToString::to_string).collect();
    Ok(CommandDone::field("addresses", FieldKind::TextMulti, addresses))
}
