//! Ours, docs/protocol.md: renames the domain; accounts, block lists and histories stay.

use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

/// Renames the domain. Every session ends and logs in again under the new name.
pub(super) const RENAME: Command = Command {
    node: "urn:whoelse:commands:0#rename-domain",
    name: "Rename the domain",
    right: Right::Change,
    fields: &[
        Field {
            var: "old",
            label: "Its present name",
            kind: FieldKind::TextSingle,
            required: true,
        },
        Field { var: "new", label: "Its new name", kind: FieldKind::TextSingle, required: true },
    ],
    run: |cx, values| Box::pin(rename(cx, values)),
};

async fn rename(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let domain = |var: &str| {
        let text = values.need(var)?;
        let jid = BareJid::new(None, text).map_err(|_| {
            StanzaError::new(Condition::BadRequest)
                .with_text(format!("`{}` is not a domain name", text.escape_debug()))
        })?;
        Ok::<_, StanzaError>(jid.domain().to_owned())
    };
    let (old, new) = (domain("old")?, domain("new")?);
    if old == new {
        return Err(StanzaError::new(Condition::Conflict).with_text("it has that name already"));
    }
    let renamed = cx.node.rename_domain(old.clone(), new.clone()).await;
    renamed.map_err(|error| {
        let condition = match error {
            whoelse_store::Error::NoSuchDomain(_) => Condition::ItemNotFound,
            whoelse_store::Error::DomainExists(_) => Condition::Conflict,
            // The keeper has logged it.
            _ => return StanzaError::new(Condition::InternalServerError),
        };
        StanzaError::new(condition).with_text(error.to_string())
    })?;
    Ok(CommandDone::info(format!("{old} is now {new}")))
}
