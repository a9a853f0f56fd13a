//! Ours, docs/protocol.md: the devices of one's own account that may log in by a token (XEP-0484), as
//! ad-hoc commands: lists them, and logs one out.
//!
//! Tokens are given and used at a login, see `whoelse_core::devices`. A device is named by its number
//! alone: its id is known to itself.

use whoelse_core::devices::{Device, Revoked};
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Table, Values};
use whoelse_core::kit::{Feature, SessionCx};
use whoelse_xmpp::{Condition, StanzaError};

/// The commands.
pub const FEATURE: Feature = Feature {
    name: "device_list",
    xeps: &[],
    disco: &[],
    wire: |w| {
        w.command(&LIST);
        w.command(&FORGET);
    },
    ..Feature::PLAIN
};

/// The number of a device, in a form.
const DEVICE: Field =
    Field { var: "device", label: "Its number", kind: FieldKind::TextSingle, required: true };

/// Lists the own devices.
const LIST: Command = Command {
    node: "urn:whoelse:commands:0#devices",
    name: "Which devices log in without the password",
    right: Right::Everybody,
    fields: &[],
    run: |cx, _| Box::pin(list(cx)),
};

async fn list(cx: SessionCx) -> Result<CommandDone, StanzaError> {
    let devices = cx.node.devices(cx.account()?, Some(&cx.session)).await?;
    Ok(CommandDone { table: Some(table(devices)), ..CommandDone::default() })
}

/// Takes the token of an own device back, and ends its sessions, but for the one that asks.
const FORGET: Command = Command {
    node: "urn:whoelse:commands:0#forget-device",
    name: "Log a device out",
    right: Right::Everybody,
    fields: &[DEVICE],
    run: |cx, values| Box::pin(forget(cx, values)),
};

async fn forget(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let number = number(values.need(DEVICE.var)?)?;
    let which = Revoked::One(number);
    match cx.node.revoke_devices(cx.account()?, which, Some(&cx.session)).await? {
        0 => Err(unknown(number)),
        _ => Ok(CommandDone::info(format!("device {number} is logged out"))),
    }
}

/// Reads the number of a device.
pub(crate) fn number(text: &str) -> Result<i64, StanzaError> {
    text.parse().map_err(|_| {
        let shown = text.escape_debug();
        StanzaError::new(Condition::BadRequest)
            .with_text(format!("`{shown}` is no device's number"))
    })
}

/// The refusal of a number that no device has.
pub(crate) fn unknown(number: i64) -> StanzaError {
    StanzaError::new(Condition::ItemNotFound).with_text(format!("there is no device {number}"))
}

/// Writes devices as a table.
pub(crate) fn table(devices: Vec<Device>) -> Table {
    let row = |device: Device| {
        vec![
            device.number.to_string(),
            device.software,
            device.name,
            device.since.stamp(),
            device.used.stamp(),
            if device.is_own { "yes" } else { "no" }.to_owned(),
        ]
    };
    Table {
        columns: &[
            ("device", "Number"),
            ("software", "Program"),
            ("name", "Device"),
            ("since", "Since"),
            ("last-login", "Last login"),
            ("this", "This one"),
        ],
        rows: devices.into_iter().map(row).collect(),
    }
}
