//! `broadcast TEXT`: sends a message to everyone else online whom the sender may see.

use whoelse_core::audience::Audience;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::kit::{Feature, SessionCx};
use whoelse_core::route::fan_out::{Reached, fan_out};
use whoelse_core::settings;
use whoelse_core::settings::{Choice, choice};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, StanzaError, ns};

/// The most characters of a message typed by a person (behaviour.md).
const MOST: usize = 10_000;

/// The command.
pub const FEATURE: Feature = Feature {
    name: "broadcast",
    settings: &[Settings::SETTINGS],
    wire: |w| w.command(&COMMAND),
    ..Feature::PLAIN
};

/// Who may send a broadcast to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    /// Every account.
    Everyone,
    /// Administrators only.
    Administrators,
}

impl Choice for Broadcast {
    const WORDS: &'static [(&'static str, Broadcast)] =
        &[("everyone", Broadcast::Everyone), ("administrators", Broadcast::Administrators)];
}

settings! {
    /// Of broadcasts.
    pub struct Settings in "" {
        /// Who may broadcast to everyone online: "administrators", or "everyone".
        broadcast: Broadcast = Broadcast::Everyone,
            choice().in_a_file(|| Broadcast::Administrators);
    }
}

/// docs/protocol.md: asks for `text`. Warns when it did not reach everyone, without names, and says
/// when nobody was there.
pub const COMMAND: Command = Command {
    node: "urn:whoelse:commands:0#broadcast",
    name: "Say something to everyone online",
    right: Right::Everybody,
    fields: &[Field {
        var: "text",
        label: "What to say",
        kind: FieldKind::TextMulti,
        required: true,
    }],
    run: |cx, values| Box::pin(broadcast(cx, values)),
};

async fn broadcast(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let who = cx.node.settings().of::<Settings>().broadcast;
    if who == Broadcast::Administrators && cx.admin().is_err() {
        return Err(StanzaError::new(Condition::Forbidden)
            .with_text("only administrators may broadcast here"));
    }
    let text = values.all("text").join("\n");
    let length = text.chars().count();
    if text.trim().is_empty() || length > MOST {
        return Err(StanzaError::new(Condition::BadRequest)
            .with_text(format!("a broadcast has 1 to {MOST} characters, this one {length}")));
    }
    cx.node.fan_out_turn(&cx.session, text.len()).await;
    let message = Element::new("message")
        .attr("from", cx.session.jid.as_str())
        .attr("type", "headline")
        .attr("id", &whoelse_stream::token::token())
        .child(Element::new("body").text(&text))
        .child(Element::new("broadcast").xmlns(ns::WHOELSE_BROADCAST))
        .outgoing(Class::Message);
    let reached = fan_out(&cx.node, &cx.origin(), Audience::Seen, &message);
    Ok(match reached {
        Reached { closed: 1.., .. } | Reached { full: 1.., .. } => {
            CommandDone::warn("your broadcast did not reach everyone")
        }
        Reached { taken: 0, .. } => CommandDone::info("nobody else is online"),
        Reached { .. } => CommandDone::default(),
    })
}
