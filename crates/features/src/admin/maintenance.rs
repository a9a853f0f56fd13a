//! Ours, docs/protocol.md: makes and restores backups while the server runs.
//!
//! This is possible only over the admin socket: somebody who has only an administrator's password
//! must get neither everybody's messages nor the keys by which passwords are checked.

use whoelse_core::audit::Deed;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::kit::{BoxFuture, SessionCx};
use whoelse_xmpp::{Condition, StanzaError};

/// In the slot of a server that has a data directory: begins a backup or a restore, or reports its
/// progress, in a sentence; an error says why not.
pub struct Maintenance(pub Maintain);

/// The function in [`Maintenance`].
pub type Maintain =
    Box<dyn Fn(MaintenanceRequest) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// What an administrator asks for the whole store. A file is in the data directory. The deed comes
/// with the file: whoever sees the end of the work writes the deed down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaintenanceRequest {
    /// Back up everything into this file.
    Backup(String, Deed),
    /// Restore everything from this file.
    Restore(String, Deed),
    /// Report the progress of the work that was begun before.
    Progress,
}

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

/// Reports the progress.
pub(super) const PROGRESS: Command = Command {
    node: "urn:whoelse:commands:0#upkeep",
    name: "Progress of a backup or restore",
    right: Right::Look,
    fields: &[],
    run: |cx, _: Values| Box::pin(async move { wish(&cx, MaintenanceRequest::Progress).await }),
};

/// Beginning is only half of the deed: its end is written down too, with the name of the
/// administrator who began it.
async fn begin(
    cx: &SessionCx,
    values: &Values,
    what: fn(String, Deed) -> MaintenanceRequest,
) -> Result<CommandDone, StanzaError> {
    let end = Deed::by(&cx.session, "backup-or-restore-ended", cx.now);
    wish(cx, what(values.need("file")?.to_owned(), end)).await
}

async fn wish(cx: &SessionCx, wish: MaintenanceRequest) -> Result<CommandDone, StanzaError> {
    let cx = cx.operator()?;
    let Some(maintenance) = cx.node.slots.get::<Maintenance>() else {
        // A world in memory has no data directory.
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    };
    let done = (maintenance.0)(wish).await;
    done.map(CommandDone::info)
        .map_err(|why| StanzaError::new(Condition::NotAcceptable).with_text(why))
}
