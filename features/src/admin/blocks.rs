//! Ours, docs/protocol.md: an account is locked out everywhere for a time, or every lock of it is
//! lifted, the ones it got by wrong passwords too.

use std::time::Duration;

use whoelse_core::Time;
use whoelse_core::account::Account;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Values};
use whoelse_core::kit::{AdminCx, Cx};
use whoelse_xmpp::{Condition, StanzaError, StreamCondition, StreamError};

use super::sessions::end;
use super::{ACCOUNT, account};

/// Locks an account out and ends its sessions.
pub(super) const BLOCK: Command = Command {
    node: "urn:whoelse:commands:0#block-user",
    name: "Block an account",
    admin: true,
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

async fn block(cx: Cx, values: Values) -> Result<CommandDone, StanzaError> {
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

/// Nobody logs in to the account for so long, or ever, and whoever is goes. Returns until when.
pub(super) async fn lock_out(cx: &AdminCx, account: &Account, duration: Option<Duration>) -> Time {
    let until = cx.node.block_account(account.name(), duration).await;
    for session in account.sessions() {
        let error = StreamError {
            condition: StreamCondition::NotAuthorized,
            text: Some("this account is blocked by the administrator".to_owned()),
            app: None,
        };
        end(cx, &session, error).await;
    }
    tracing::info!(account = %account.jid(), by = %cx.session.jid, "account_blocked");
    until
}

/// Lifts every block.
pub(super) const UNBLOCK: Command = Command {
    node: "urn:whoelse:commands:0#unblock-user",
    name: "Unblock an account",
    admin: true,
    fields: &[ACCOUNT],
    run: |cx, values| Box::pin(unblock(cx, values)),
};

async fn unblock(cx: Cx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let account = account(&cx, &values, ACCOUNT.var).await?;
    let_in(&cx, &account).await;
    Ok(CommandDone::info(format!("{} is not blocked", account.name())))
}

/// Every lock of the account is lifted.
pub(super) async fn let_in(cx: &AdminCx, account: &Account) {
    cx.node.unblock_account(account.name()).await;
    tracing::info!(account = %account.jid(), by = %cx.session.jid, "account_unblocked");
}
