//! XEP-0133, 4.3, 4.4 and 4.5: disables and enables accounts, and ends their sessions.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Table, Values};
use whoelse_core::kit::{AdminCx, SessionCx};
use whoelse_xmpp::{Condition, Jid, StanzaError, StreamCondition, StreamError};

use super::lockout::{let_in, lock_out};
use super::{account, after, stamp};

/// The field of commands about several accounts.
pub(super) const ACCOUNTS: Field =
    Field { var: "accountjids", label: "The accounts", kind: FieldKind::JidMulti, required: true };

/// Returns every account that is named. All are looked up first, so that a typing error does
/// nothing.
pub(super) async fn accounts(
    cx: &AdminCx,
    values: &Values,
) -> Result<Vec<Arc<Account>>, StanzaError> {
    let mut found = Vec::new();
    for jid in values.all(ACCOUNTS.var) {
        let one = Values(vec![(ACCOUNTS.var.to_owned(), vec![jid.clone()])]);
        found.push(account(cx, &one, ACCOUNTS.var).await?);
    }
    Ok(found)
}

fn names(accounts: &[Arc<Account>]) -> String {
    let names: Vec<&str> = accounts.iter().map(|account| account.name()).collect();
    names.join(", ")
}

/// XEP-0133, 4.3.
pub(super) const DISABLE: Command = Command {
    node: "http://jabber.org/protocol/admin#disable-user",
    name: "Disable accounts",
    right: Right::Change,
    fields: &[ACCOUNTS],
    run: |cx, values| Box::pin(disable(cx, values)),
};

async fn disable(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let accounts = accounts(&cx, &values).await?;
    for account in &accounts {
        lock_out(&cx, account, None).await;
    }
    Ok(CommandDone::info(format!("{} disabled", names(&accounts))))
}

/// XEP-0133, 4.4.
pub(super) const REENABLE: Command = Command {
    node: "http://jabber.org/protocol/admin#reenable-user",
    name: "Enable accounts again",
    right: Right::Change,
    fields: &[ACCOUNTS],
    run: |cx, values| Box::pin(reenable(cx, values)),
};

async fn reenable(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let accounts = accounts(&cx, &values).await?;
    for account in &accounts {
        let_in(&cx, account).await;
    }
    Ok(CommandDone::info(format!("{} enabled", names(&accounts))))
}

/// XEP-0133, 4.5: ends all sessions of an account, or the one with the given full address.
pub(super) const END: Command = Command {
    node: "http://jabber.org/protocol/admin#end-user-session",
    name: "End sessions",
    right: Right::Change,
    fields: &[ACCOUNTS],
    run: |cx, values| Box::pin(end_sessions(cx, values)),
};

async fn end_sessions(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let mut sessions = Vec::new();
    for text in values.all(ACCOUNTS.var) {
        let resource = Jid::parse(text).ok().and_then(|jid| jid.resource().map(str::to_owned));
        let bare = match &resource {
            Some(_) => text.split('/').next().unwrap_or_default().to_owned(),
            None => text.clone(),
        };
        let one = Values(vec![(ACCOUNTS.var.to_owned(), vec![bare])]);
        let account = account(&cx, &one, ACCOUNTS.var).await?;
        match resource {
            None => sessions.extend(account.sessions()),
            Some(resource) => sessions.push(account.session(&resource).ok_or_else(|| {
                StanzaError::new(Condition::ItemNotFound)
                    .with_text(format!("there is no session {}", text.escape_debug()))
            })?),
        }
    }
    for session in &sessions {
        let error = StreamError::new(StreamCondition::PolicyViolation)
            .with_text("the administrator has ended this session");
        cx.node.put_out(session, error);
    }
    Ok(CommandDone::info(match sessions.len() {
        1 => "1 session ended".to_owned(),
        count => format!("{count} sessions ended"),
    }))
}

/// The most sessions in one answer; the next page is asked for with the last address in `after`.
const PAGE: usize = 500;

/// Ours: lists all sessions, or those of one account, with where each comes from.
pub(super) const LIST: Command = Command {
    node: "urn:whoelse:commands:0#list-sessions",
    name: "List the sessions",
    right: Right::Look,
    fields: &[
        Field {
            var: "accountjid",
            label: "Only of this account",
            kind: FieldKind::JidSingle,
            required: false,
        },
        after("Only addresses after this one"),
    ],
    run: |cx, values| Box::pin(list(cx, values)),
};

async fn list(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let mut sessions = match values.get("accountjid") {
        Some(_) => account(&cx, &values, "accountjid").await?.sessions(),
        None => cx.node.sessions(),
    };
    let after = values.get("after").unwrap_or_default();
    // Sessions over the admin socket are left out: this very request, and scripts' that last a
    // moment.
    sessions.retain(|session| !session.is_trusted() && session.jid.as_str() > after);
    sessions.sort_unstable_by(|a, b| a.jid.as_str().cmp(b.jid.as_str()));
    sessions.truncate(PAGE);
    let moment = cx.node.clock.moment();
    let rows = sessions.iter().map(|session| {
        let state = match (session.is_attached(), session.is_available()) {
            (false, _) => "waits to be resumed",
            (true, true) => "online",
            (true, false) => "connected",
        };
        vec![
            session.jid.to_string(),
            session.address(),
            state.to_owned(),
            stamp(session.begun),
            stamp(moment.wall_at(session.last_activity())),
        ]
    });
    let table = Table {
        columns: &[
            ("session", "Session"),
            ("address", "Comes from"),
            ("state", "State"),
            ("since", "Since"),
            ("last-active", "Last active"),
        ],
        rows: rows.collect(),
    };
    Ok(CommandDone { table: Some(table), ..CommandDone::default() })
}
