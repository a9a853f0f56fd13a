//! Ours, docs/protocol.md: lists the devices of an account that may log in by a token (XEP-0484), and
//! logs one or all of them out.

use whoelse_core::devices::Revoked;
use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Values};
use whoelse_xmpp::StanzaError;

use super::{ACCOUNT, account};
use crate::devices::{number, table, unknown};

/// Lists the devices of an account.
pub(super) const LIST: Command = Command {
    node: "urn:whoelse:commands:0#list-devices",
    name: "List the devices of an account",
    right: Right::Look,
    fields: &[ACCOUNT],
    run: |cx, values| Box::pin(list(cx, values)),
};

async fn list(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let devices = cx.node.devices(&account, Some(&cx.session)).await?;
    Ok(CommandDone { table: Some(table(devices)), ..CommandDone::default() })
}

/// Takes tokens back, and ends the sessions of their devices.
pub(super) const REVOKE: Command = Command {
    node: "urn:whoelse:commands:0#revoke-devices",
    name: "Log devices of an account out",
    right: Right::Change,
    fields: &[
        ACCOUNT,
        Field {
            var: "device",
            label: "The number of one (nothing: all)",
            kind: FieldKind::TextSingle,
            required: false,
        },
    ],
    run: |cx, values| Box::pin(revoke(cx, values)),
};

async fn revoke(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let one = values.get("device").map(number).transpose()?;
    let which = one.map_or(Revoked::All, Revoked::One);
    let count = cx.node.revoke_devices(&account, which, None).await?;
    let name = account.name();
    match (one, count) {
        (Some(number), 0) => Err(unknown(number)),
        (Some(number), _) => {
            Ok(CommandDone::info(format!("device {number} of {name} is logged out")))
        }
        (None, 0) => Ok(CommandDone::info(format!("{name} has no devices"))),
        (None, 1) => Ok(CommandDone::info(format!("1 device of {name} is logged out"))),
        (None, _) => Ok(CommandDone::info(format!("{count} devices of {name} are logged out"))),
    }
}
