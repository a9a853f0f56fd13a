//! Ours, docs/protocol.md: grants and takes back an administrator's right, and lists who has it.
//!
//! Only the operator grants and takes back, on the server's machine. An administrator who could
//! grant would leave whoever steals a session or a password of theirs a right that outlives both.

use std::collections::BTreeMap;
use std::sync::Arc;

use whoelse_core::Time;
use whoelse_core::account::Account;
use whoelse_core::kit::command::{Command, CommandDone, Right, Table, Values};
use whoelse_core::kit::{AdminCx, SessionCx};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use super::{ACCOUNT, address, after, stamp, yes_or_no};
use crate::readable;

/// Grants the right.
pub(super) const GRANT: Command = Command {
    node: "urn:whoelse:commands:0#grant-administrator",
    name: "Make somebody an administrator",
    right: Right::Change,
    fields: &[ACCOUNT],
    run: |cx, values| Box::pin(grant(cx, values)),
};

async fn grant(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.operator()?;
    let account = account(&cx, &values).await?;
    let name = account.name();
    if cx.node.is_named_administrator(account.jid()) {
        return Err(conflict(format!(
            "{name} is an administrator already, by `admins` in the configuration file; to grant \
             the right instead, take the name out there and run `whoelse reload` first"
        )));
    }
    Ok(CommandDone::info(match cx.node.grant_right(&account).await? {
        true => format!("{name} is an administrator"),
        false => format!("{name} was an administrator already"),
    }))
}

/// Takes the right back.
pub(super) const REVOKE: Command = Command {
    node: "urn:whoelse:commands:0#revoke-administrator",
    name: "Take an administrator's right back",
    right: Right::Change,
    fields: &[ACCOUNT],
    run: |cx, values| Box::pin(revoke(cx, values)),
};

async fn revoke(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.operator()?;
    let account = account(&cx, &values).await?;
    let name = account.name();
    // Whoever is told that it is done must not find an administrator still.
    if cx.node.is_named_administrator(account.jid()) {
        return Err(conflict(format!(
            "{name} is an administrator by `admins` in the configuration file; take the name out \
             there, run `whoelse reload`, then repeat this"
        )));
    }
    Ok(CommandDone::info(match cx.node.revoke_right(&account).await? {
        true => format!("{name} is no administrator any more"),
        false => format!("{name} was no administrator"),
    }))
}

/// Returns the account that is meant, or says how there would be one.
async fn account(cx: &AdminCx, values: &Values) -> Result<Arc<Account>, StanzaError> {
    let address = address(cx, values, ACCOUNT.var)?;
    cx.node.look_up(&address).await?.ok_or_else(|| {
        let name = address.local().unwrap_or_default();
        StanzaError::new(Condition::ItemNotFound)
            .with_text(format!("there is no user {name}; `whoelse user add {name}` makes one"))
    })
}

fn conflict(text: String) -> StanzaError {
    StanzaError::new(Condition::Conflict).with_text(text)
}

/// Lists who is an administrator, and by what.
pub(super) const LIST: Command = Command {
    node: "urn:whoelse:commands:0#list-administrators",
    name: "List the administrators",
    right: Right::Look,
    fields: &[after("Only accounts after this one")],
    run: |cx, values| Box::pin(list(cx, values)),
};

/// The most rows in one answer; the next page is asked for with the last account in `after`.
const PAGE: usize = 500;

/// Why somebody is an administrator.
#[derive(Default)]
struct Why {
    granted: Option<Time>,
    is_named: bool,
}

async fn list(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let domain = cx.node.domain();
    let mut all: BTreeMap<BareJid, Why> = BTreeMap::new();
    let granted = cx.node.store.granted_rights().await;
    let granted = readable(&cx.node, "rights_unreadable", None, granted)?;
    for right in granted.into_iter().filter(|right| right.domain == domain.id) {
        if let Ok(jid) = BareJid::new(Some(&right.localpart), &domain.name) {
            all.entry(jid).or_default().granted = Some(Time(right.granted_at));
        }
    }
    for jid in cx.node.named_administrators() {
        all.entry(jid).or_default().is_named = true;
    }
    let after = values.get("after").unwrap_or_default().to_owned();
    let mut rows = Vec::new();
    for (jid, why) in all.into_iter().filter(|(jid, _)| *jid.as_str() > *after).take(PAGE) {
        let exists = why.granted.is_some() || {
            let row = cx.node.account_row(&jid).await;
            readable(&cx.node, "rights_unreadable", None, row)?.is_some()
        };
        rows.push(vec![
            jid.to_string(),
            why.granted.map(stamp).unwrap_or_default(),
            yes_or_no(why.is_named),
            yes_or_no(exists),
        ]);
    }
    let columns = &[
        ("account", "Account"),
        ("granted", "Granted"),
        ("named", "Named in the configuration"),
        ("exists", "Exists"),
    ];
    Ok(CommandDone { table: Some(Table { columns, rows }), ..CommandDone::default() })
}
