//! XEP-0133, 4.23: an administrator sends a message to everybody who is online, blocked or not.

use whoelse_core::audience::Audience;
use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::route::Origin;
use whoelse_core::route::fan_out::fan_out;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, StanzaError};

/// The most characters of an announcement, as of a broadcast (behaviour.md).
const MOST: usize = 10_000;

/// XEP-0133, 4.23.
pub(super) const ANNOUNCE: Command = Command {
    node: "http://jabber.org/protocol/admin#announce",
    name: "Announce something to everybody online",
    right: Right::Change,
    fields: &[Field {
        var: "announcement",
        label: "Announcement",
        kind: FieldKind::TextMulti,
        required: true,
    }],
    run: |cx, values| Box::pin(announce(cx, values)),
};

async fn announce(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let text = values.all("announcement").join("\n");
    let length = text.chars().count();
    if text.trim().is_empty() || length > MOST {
        return Err(StanzaError::new(Condition::BadRequest)
            .with_text(format!("an announcement has 1 to {MOST} characters, this one {length}")));
    }
    // It comes from the server itself, which nobody can block.
    let message = Element::new("message")
        .attr("from", &cx.node.domain_name())
        .attr("type", "headline")
        .attr("id", &whoelse_stream::token::token())
        .child(Element::new("body").text(&text))
        .outgoing(Class::Message);
    let origin = Origin::Server(cx.node.address());
    let reached = fan_out(&cx.node, &origin, Audience::Everybody, &message);
    Ok(CommandDone::info(match reached.taken {
        1 => "1 account has been told".to_owned(),
        reached => format!("{reached} accounts have been told"),
    }))
}
