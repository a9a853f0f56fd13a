//! What several commands do to an account: lock it out or let it in again, end its sessions.

use std::time::Duration;

use whoelse_core::Time;
use whoelse_core::account::Account;
use whoelse_core::kit::AdminCx;
use whoelse_xmpp::{StreamCondition, StreamError};

/// Locks the account out for this long, or for ever, and ends its sessions. Returns until when.
pub(super) async fn lock_out(cx: &AdminCx, account: &Account, duration: Option<Duration>) -> Time {
    let until = cx.node.block_account(account.jid(), duration).await;
    for session in account.sessions() {
        let error = StreamError::new(StreamCondition::NotAuthorized)
            .with_text("this account is blocked by the administrator");
        cx.node.put_out(&session, error);
    }
    until
}

/// Lifts every lock of the account. Returns whether there was one.
pub(super) async fn let_in(cx: &AdminCx, account: &Account) -> bool {
    cx.node.unblock_account(account.jid()).await
}
