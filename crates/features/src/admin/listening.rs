//! Ours, docs/protocol.md: where this server listens, so that it can be told from another one that
//! has a port of its configuration.

use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, FieldKind, Right, Values};
use whoelse_xmpp::{Condition, StanzaError};

/// The addresses of its listeners for clients.
pub(super) const LISTENING: Command = Command {
    node: "urn:whoelse:commands:0#listening",
    name: "Where the server listens",
    right: Right::Look,
    fields: &[],
    run: |cx, _: Values| Box::pin(async move { listening(&cx) }),
};

fn listening(cx: &SessionCx) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let Some(addresses) = cx.node.listening.get() else {
        // A world in memory listens nowhere.
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    };
    let addresses = addresses.iter().map(ToString::to_string).collect();
    Ok(CommandDone::field("addresses", FieldKind::TextMulti, addresses))
}
