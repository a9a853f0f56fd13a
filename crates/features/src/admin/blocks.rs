//! Ours, docs/protocol.md: locks an account out everywhere for a time, lifts every lock of an
//! account, including those caused by wrong passwords, and lifts and lists the locks of networks.

use std::time::Duration;

use whoelse_core::Time;
use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Table, Values};
use whoelse_core::network::{NoNetwork, Place};
use whoelse_xmpp::{Condition, StanzaError};

use super::lockout::{let_in, lock_out};
use super::{ACCOUNT, account, after, stamp};

/// Locks an account out and ends its sessions.
pub(super) const BLOCK: Command = Command {
    node: "urn:whoelse:commands:0#block-user",
    name: "Block an account",
    right: Right::Change,
    fields: &[
        ACCOUNT,
        Field {
            var: "seconds",
            label: "For how many seconds (nothing: for ever)",
            kind: FieldKind::TextSingle,
            required: false,
        },
    ],
    run: |cx, values| Box::pin(block(cx, values)),
};

async fn block(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let duration = match values.get("seconds").map(str::parse::<u32>) {
        None => None,
        Some(Ok(seconds)) if seconds > 0 => Some(Duration::from_secs(seconds.into())),
        Some(_) => {
            return Err(StanzaError::new(Condition::BadRequest)
                .with_text("`seconds` must be a whole number from 1 to 4294967295"));
        }
    };
    Ok(CommandDone::info(match lock_out(&cx, &account, duration).await {
        Time::NEVER => format!("{} is blocked", account.name()),
        until => format!("{} is blocked until {}", account.name(), until.stamp()),
    }))
}

/// Lifts every lock of an account.
pub(super) const UNBLOCK: Command = Command {
    node: "urn:whoelse:commands:0#unblock-user",
    name: "Unblock an account",
    right: Right::Change,
    fields: &[ACCOUNT],
    run: |cx, values| Box::pin(unblock(cx, values)),
};

async fn unblock(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let name = account.name();
    Ok(CommandDone::info(match let_in(&cx, &account).await {
        true => format!("{name} is not blocked any more"),
        false => format!("{name} was not blocked"),
    }))
}

/// Lifts the locks that wrong passwords have caused for everybody who comes from an address.
pub(super) const UNBLOCK_ADDRESS: Command = Command {
    node: "urn:whoelse:commands:0#unblock-address",
    name: "Unblock an address",
    right: Right::Change,
    fields: &[Field {
        var: "address",
        label: "The address, or its network",
        kind: FieldKind::TextSingle,
        required: true,
    }],
    run: |cx, values| Box::pin(unblock_address(cx, values)),
};

async fn unblock_address(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let address = values.need("address")?;
    let place: Place = address.parse().map_err(|why: NoNetwork| {
        StanzaError::new(Condition::BadRequest)
            .with_text(format!("`{}` is {why}", address.escape_debug()))
    })?;
    let lifted = cx.node.unblock_site(place.site()).await;
    Ok(CommandDone::info(match lifted {
        0 => format!("{place} was not blocked"),
        _ => format!("{place} is not blocked any more"),
    }))
}

/// Lists the networks and sites that are blocked as a whole.
pub(super) const LIST_NETWORKS: Command = Command {
    node: "urn:whoelse:commands:0#list-blocked-networks",
    name: "List the blocked networks",
    right: Right::Look,
    fields: &[after("Only networks after this one")],
    run: |cx, values| Box::pin(list_networks(cx, values)),
};

/// The most networks in one answer; the next page is asked for with the last one in `after`.
const PAGE: usize = 500;

async fn list_networks(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let after: Option<Place> = match values.get("after").filter(|after| !after.is_empty()) {
        None => None,
        Some(after) => Some(after.parse().map_err(|why: NoNetwork| {
            StanzaError::new(Condition::BadRequest).with_text(format!("`{after}` is {why}"))
        })?),
    };
    let blocked = cx.node.blocked_places().into_iter();
    let next = blocked.filter(|(place, _)| after.is_none_or(|after| *place > after));
    let rows =
        next.take(PAGE).map(|(place, until)| vec![place.to_string(), stamp(until)]).collect();
    let columns = &[("network", "Network"), ("blocked-until", "Blocked until")];
    Ok(CommandDone { table: Some(Table { columns, rows }), ..CommandDone::default() })
}
