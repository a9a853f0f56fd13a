//! Ours, docs/protocol.md: reloads the configuration.

use whoelse_core::kit::command::{Command, CommandDone, Right, Values};
use whoelse_core::kit::{BoxFuture, SessionCx};
use whoelse_xmpp::{Condition, StanzaError};

/// In the slot of a server that has a configuration: reads it again. Returns what has changed, or
/// why nothing has, each in a sentence.
pub struct Reload(pub ReadAgain);

/// The function in [`Reload`].
pub type ReadAgain =
    Box<dyn Fn() -> BoxFuture<'static, Result<Vec<String>, Vec<String>>> + Send + Sync>;

/// Reloads the configuration, and returns what has changed, one line each.
pub(super) const RELOAD: Command = Command {
    node: "urn:whoelse:commands:0#reload",
    name: "Read the configuration again",
    right: Right::Change,
    fields: &[],
    run: |cx, values| Box::pin(reload(cx, values)),
};

async fn reload(cx: SessionCx, _: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let Some(reload) = cx.node.slots.get::<Reload>() else {
        // A world in memory has no configuration.
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    };
    match (reload.0)().await {
        Ok(lines) => Ok(CommandDone::info(lines.join("\n"))),
        Err(reasons) => Err(StanzaError::new(Condition::NotAcceptable)
            .with_text(format!("nothing has changed: {}", reasons.join("; ")))),
    }
}
