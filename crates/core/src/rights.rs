//! The rights of a session, and how the operator grants an administrator's and takes it back.
//!
//! What the settings give belongs to a name, and goes when the name leaves them. What is granted
//! belongs to an account, by its number, and goes with the account. Both are asked for at each deed,
//! so they begin and end at once for sessions that are open.

use std::sync::Arc;

use whoelse_store::Grant;
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use crate::account::Account;
use crate::keeper::{After, Then, Touches};
use crate::node::Node;
use crate::principal::Rights;
use crate::session::Session;

/// The most accounts to which the right is granted: more than anybody can keep an eye on. All of
/// them are in memory.
const MOST: i64 = 1_000;

impl Node {
    /// Returns the rights of a session: those of its way in, or those of its account at this moment.
    /// When a line is removed from the configuration, or a right is revoked, open sessions lose the
    /// right, too.
    pub fn rights(&self, session: &Session) -> Rights {
        match &session.account {
            Some(account) if self.is_administrator(account) => {
                session.rights().max(Rights::Administrator)
            }
            _ => session.rights(),
        }
    }

    /// Whether an account has an administrator's right, by the settings or because it was granted.
    pub fn is_administrator(&self, account: &Account) -> bool {
        self.administrators.is_granted(account.id) || self.is_named_administrator(account.jid())
    }

    /// Whether the settings name this bare address as an administrator's.
    pub fn is_named_administrator(&self, jid: &BareJid) -> bool {
        self.administrators.is_named(|| self.key_of(jid.as_str()))
    }

    /// Returns the addresses that the settings name, under the domain's present name.
    pub fn named_administrators(&self) -> Vec<BareJid> {
        let named = self.administrators.named();
        named.iter().filter_map(|key| BareJid::parse(&self.address_of(key, "")).ok()).collect()
    }

    /// Grants an account an administrator's right, from now on and for its sessions, too. Returns
    /// whether that is new.
    pub async fn grant_right(
        self: &Arc<Node>,
        account: &Arc<Account>,
    ) -> Result<bool, StanzaError> {
        let (id, at) = (account.id, self.clock.now().0);
        let granted = self.keeper.change(Touches::AtMost(1), move |tx| {
            Box::pin(async move {
                let granted = tx.grant_right(id, at, MOST).await?;
                let then: After = match granted {
                    Grant::Done => vec![note(id, true)],
                    Grant::Already | Grant::NoAccount | Grant::Full => Vec::new(),
                };
                Ok((granted, then))
            })
        });
        match granted.await.map_err(|error| self.internal(&error))? {
            Grant::Done => Ok(true),
            Grant::Already => Ok(false),
            Grant::NoAccount => Err(StanzaError::new(Condition::ItemNotFound)
                .with_text(format!("{} has been removed", account.name()))),
            Grant::Full => Err(StanzaError::new(Condition::ResourceConstraint).with_text(format!(
                "{MOST} accounts have the right already; take it from one of them first"
            ))),
        }
    }

    /// Takes back what was granted, also for the sessions of the account. Returns whether it had
    /// been granted.
    pub async fn revoke_right(
        self: &Arc<Node>,
        account: &Arc<Account>,
    ) -> Result<bool, StanzaError> {
        let id = account.id;
        let revoked = self.keeper.change(Touches::AtMost(1), move |tx| {
            Box::pin(async move { Ok((tx.revoke_right(id).await?, vec![note(id, false)])) })
        });
        revoked.await.map_err(|error| self.internal(&error))
    }

    /// Forgets what was granted to an account that is no more.
    pub(crate) fn forget_right(&self, account: &Account) {
        self.administrators.note(account.id, false);
    }
}

/// What follows a commit.
fn note(account: i64, is_granted: bool) -> Then {
    Box::new(move |node| node.administrators.note(account, is_granted))
}
