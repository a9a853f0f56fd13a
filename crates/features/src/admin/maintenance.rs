//! Ours, docs/protocol.md: backups are made and restored while the server runs.
//!
//! Only over the admin socket: whoever has nothing but an administrator's password gets neither the
//! messages of everybody nor the keys by which passwords are checked.

use whoelse_core::audit::Deed;
use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::node::MaintenanceRequest;
use whoelse_xmpp::{Condition, StanzaError};

const FILE: Field = Field {
    var: "file",
    label: "The name of a file in the data directory",
    kind: FieldKind::TextSingle,
    required: true,
};

/// Begins a backup.
pub(super) const BACKUP: Command = Command {
    node: "urn:whoelse:commands:0#backup",
    name: "Back up",
    right: Right::Change,
    fields: &[FILE],
    run: |cx, values| {
        Box::pin(async move { begin(&cx, &values, MaintenanceRequest::Backup).await })
    },
};

/// Begins a restore. Every session ends for it.
pub(super) const RESTORE: Command = Command {
    node: "urn:whoelse:commands:0#restore",
    name: "Restore a backup",
    right: Right::Change,
    fields: &[FILE],
    run: |cx, values| {
        Box::pin(async move { begin(&cx, &values, MaintenanceRequest::Restore).await })
    },
};

/// Says how far it is.
pub(super) const PROGRESS: Command = Command {
    node: "urn:whoelse:commands:0#upkeep",
    name: "Progress of a backup or restore",
    right: Right::Look,
    fields: &[],
    run: |cx, _: Values| Box::pin(async move { wish(&cx, MaintenanceRequest::Progress).await }),
};

/// To begin it is only the half: its end is written down too, with the name of whoever began it.
async fn begin(
    cx: &SessionCx,
    values: &Values,
    what: fn(String, Deed) -> MaintenanceRequest,
) -> Result<CommandDone, StanzaError> {
    let end = Deed::by(&cx.session, "backup-or-restore-ended", cx.now);
    wish(cx, what(values.need("file")?.to_owned(), end)).await
}

async fn wish(cx: &SessionCx, wish: MaintenanceRequest) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    if !cx.session.is_trusted() {
        return Err(StanzaError::new(Condition::Forbidden)
            .with_text("this can only be done on the machine of the server"));
    }
    let Some(maintenance) = cx.node.maintenance.get() else {
        // A world in memory has no data directory.
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    };
    let done = maintenance(wish).await;
    done.map(CommandDone::info)
        .map_err(|why| StanzaError::new(Condition::NotAcceptable).with_text(why))
}
