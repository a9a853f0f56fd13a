//! XEP-0133, 4.1, 4.2, 4.6 and 4.13: adds, removes and lists accounts, and sets their passwords.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Table, Values};
use whoelse_core::kit::{AdminCx, SessionCx};
use whoelse_core::node::Seek;
use whoelse_core::session::Session;
use whoelse_core::{Node, Time};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use super::{ACCOUNT, account, address, after, password, stamp};
use crate::readable;

const NEW_PASSWORD: Field =
    Field { var: "password", label: "The password", kind: FieldKind::TextPrivate, required: true };
const AGAIN: Field = Field {
    var: "password-verify",
    label: "The password again",
    kind: FieldKind::TextPrivate,
    required: false,
};

/// XEP-0133, 4.1.
pub(super) const ADD: Command = Command {
    node: "http://jabber.org/protocol/admin#add-user",
    name: "Add an account",
    right: Right::Change,
    fields: &[ACCOUNT, NEW_PASSWORD, AGAIN],
    run: |cx, values| Box::pin(add(cx, values)),
};

async fn add(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let address = address(&cx, &values, ACCOUNT.var)?;
    let name = address.local().unwrap_or_default();
    let address = BareJid::of_new_account(name, address.domain()).map_err(|_| {
        StanzaError::new(Condition::NotAcceptable)
            .with_text(format!("{name} cannot be the name of an account"))
    })?;
    let password = password(&values)?;
    if cx.node.is_named_administrator(&address) {
        operator_alone(&cx, name)?;
    }
    let short = cx.node.judge_password(&password)?;
    cx.node.create_account(&address, password).await?;
    Ok(done(format!("{name} is added"), short))
}

/// XEP-0133, 4.2.
pub(super) const REMOVE: Command = Command {
    node: "http://jabber.org/protocol/admin#delete-user",
    name: "Remove accounts",
    right: Right::Change,
    fields: &[Field {
        var: "accountjids",
        label: "The accounts",
        kind: FieldKind::JidMulti,
        required: true,
    }],
    run: |cx, values| Box::pin(remove(cx, values)),
};

async fn remove(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let mut accounts = Vec::new();
    // All are looked up first, so that a mistake in one of them removes nobody.
    for jid in values.all("accountjids") {
        let one = Values(vec![("accountjids".to_owned(), vec![jid.clone()])]);
        let account = account(&cx, &one, "accountjids").await?;
        let own = own_session(&cx, &account)?;
        accounts.push((account, own));
    }
    let mut names = Vec::new();
    for (account, own) in &accounts {
        cx.node.remove_account(account, *own, || {}).await?;
        names.push(account.name());
    }
    Ok(CommandDone::info(format!("{} removed", names.join(", "))))
}

/// XEP-0133, 4.6.
pub(super) const PASSWORD: Command = Command {
    node: "http://jabber.org/protocol/admin#change-user-password",
    name: "Set an account's password",
    right: Right::Change,
    fields: &[ACCOUNT, NEW_PASSWORD],
    run: |cx, values| Box::pin(set_password(cx, values)),
};

async fn set_password(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let password = password(&values)?;
    let short = cx.node.judge_password(&password)?;
    let own = own_session(&cx, &account)?;
    if own.is_none() && cx.node.is_administrator(&account) {
        operator_alone(&cx, account.name())?;
    }
    cx.node.set_password(&account, password, own).await?;
    Ok(done(format!("{} has a new password", account.name()), short))
}

/// Refuses an administrator who would get the use of another administrator's account, whose right
/// they may not grant (see [`rights`](super::rights)).
fn operator_alone(cx: &AdminCx, name: &str) -> Result<(), StanzaError> {
    cx.operator().map(drop).map_err(|_| {
        StanzaError::new(Condition::Forbidden).with_text(format!(
            "{name} is an administrator's name: this can only be done on the machine of the server"
        ))
    })
}

/// Returns the session that asks, if the account is its own. Then the rule is that of XEP-0077, or
/// whoever sits in a stolen session would need no password here: fails with `not-authorized` if the
/// password was not proved lately.
fn own_session<'a>(
    cx: &'a AdminCx,
    account: &Account,
) -> Result<Option<&'a Arc<Session>>, StanzaError> {
    if cx.session.account.as_ref().is_none_or(|own| own.id != account.id) {
        return Ok(None);
    }
    match cx.node.has_proved_lately(&cx.session) {
        true => Ok(Some(&cx.session)),
        false => Err(StanzaError::new(Condition::NotAuthorized)
            .with_text("this is your own account: log out and in again, then repeat this")),
    }
}

/// Returns success, with a warning about a password that was accepted although it is short.
fn done(what: String, short: Option<String>) -> CommandDone {
    match short {
        None => CommandDone::info(what),
        Some(why) => CommandDone::warn(format!("{what}, but {why}, and so easy to guess")),
    }
}

/// Ours (XEP-0133, 4.13 lists only addresses): lists every account with what an operator asks
/// first.
pub(super) const LIST: Command = Command {
    node: "urn:whoelse:commands:0#list-users",
    name: "List the accounts",
    right: Right::Look,
    fields: &[after("Only names after this one")],
    run: |cx, values| Box::pin(list(cx, values)),
};

/// The most accounts in one answer; the next page is asked for with the last name in `after`.
const PAGE: i64 = 500;

/// Returns when an account was last active, including what is only known in memory.
fn last_noted(node: &Node, account: &BareJid) -> Option<Time> {
    match node.seek(account) {
        Seek::Here(account) => Some(account.last_active()),
        Seek::Missing | Seek::NotLoaded => None,
    }
}

async fn list(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let domain = cx.node.domain();
    let after = values.get("after").unwrap_or_default();
    let page = cx.node.store.list_accounts(domain.id, after, PAGE).await;
    let page = readable(&cx.node, "accounts_unreadable", None, page)?;
    let rows = page.into_iter().filter_map(|row| {
        let address = BareJid::new(Some(&row.localpart), &domain.name).ok()?;
        let is_online = cx.node.is_online(&address);
        // The latest call counts, not the largest time, as the wall may have been set back. What an
        // account in memory did a moment ago may not be stored yet.
        let noted = last_noted(&cx.node, &address);
        let noted = noted.unwrap_or(Time(row.last_active));
        // A new account starts with the time at which it was made, although nobody was active then.
        let was_there = is_online || noted != Time(row.created_at);
        let active = if was_there { noted } else { Time(0) };
        let blocks = cx.node.blocks_of(&address);
        let until = blocks.iter().map(|(_, until)| *until).max().unwrap_or_default();
        let network = blocks.iter().find(|(_, end)| *end == until).and_then(|(one, _)| *one);
        Some(vec![
            address.to_string(),
            if is_online { "yes" } else { "no" }.to_owned(),
            stamp(until),
            network.map(|network| network.to_string()).unwrap_or_default(),
            stamp(active),
        ])
    });
    let table = Table {
        columns: &[
            ("account", "Account"),
            ("online", "Online"),
            ("blocked-until", "Blocked until"),
            ("blocked-network", "Blocked for"),
            ("last-active", "Last active"),
        ],
        rows: rows.collect(),
    };
    Ok(CommandDone { table: Some(table), ..CommandDone::default() })
}
