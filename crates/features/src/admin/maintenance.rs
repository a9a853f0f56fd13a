//! Ours, docs/protocol.md: backups are made and restored while the server runs.
//!
//! Only over the admin socket: whoever has nothing but an administrator's password gets neither the
//! messages of everybody nor the keys by which passwords are checked.

use whoelse_core::audit::Deed;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_core::kit::{BoxFuture, SessionCx};
use whoelse_xmpp::{Condition, StanzaError};

/// In the slot of a server that has a data directory: begins what is asked for, or says how far it
/// is; or why not, in a sentence.
pub struct Maintenance(pub Maintain);

/// What [`Maintenance`] does.
pub type Maintain =
    Box<dyn Fn(MaintenanceRequest) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// What an administrator asks for the whole store. A file is one in the data directory; with it
/// comes the deed that its end is, which is written down by whoever sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaintenanceRequest {
    /// Everything into this file.
    Backup(String, Deed),
    /// Everything from this file.
    Restore(String, Deed),
    /// How far the one before is.
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
    let cx = cx.operator()?;
    let Some(maintenance) = cx.node.slots.get::<Maintenance>() else {
        // A world in memory has no data directory.
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    };
    let done = (maintenance.0)(wish).await;
    done.map(CommandDone::info)
        .map_err(|why| StanzaError::new(Condition::NotAcceptable).with_text(why))
}
