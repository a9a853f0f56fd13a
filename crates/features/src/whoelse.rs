//! `whoelse`: lists everyone else online that I may see, without those who have blocked me.

use whoelse_core::audience;
use whoelse_core::kit::command::{Command, CommandDone, FieldKind, Right, Values};
use whoelse_core::kit::{BoxFuture, Feature, SessionCx};
use whoelse_xmpp::{BareJid, StanzaError};

/// The command.
pub const FEATURE: Feature = Feature {
    name: "whoelse",
    xeps: &[],
    disco: &[],
    wire: |w| w.command(&COMMAND),
    ..Feature::PLAIN
};

/// docs/protocol.md: answers with the bare addresses, sorted.
pub const COMMAND: Command = Command {
    node: "urn:whoelse:commands:0#whoelse",
    name: "Who else is online",
    right: Right::Everybody,
    fields: &[],
    run: whoelse,
};

fn whoelse(cx: SessionCx, _: Values) -> BoxFuture<'static, Result<CommandDone, StanzaError>> {
    let seen = audience::seen_online(&cx.node, &cx.session);
    Box::pin(std::future::ready(Ok(accounts(&seen))))
}

/// Makes the answer of `whoelse` and `whoelsesince` from addresses that are sorted.
pub(crate) fn accounts(found: &[BareJid]) -> CommandDone {
    let found = found.iter().map(|jid| jid.as_str().to_owned()).collect();
    CommandDone::field("accounts", FieldKind::JidMulti, found)
}
