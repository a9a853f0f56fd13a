//! A removed account is taken out of everybody's roster.

use std::sync::Arc;

use whoelse_store::{Holder, RosterVersion, Tx};
use whoelse_xmpp::BareJid;

use super::{Contact, here, item};
use crate::node::Node;

/// A roster that lost a contact: its owner, the trace that is left, and the version, if its owner
/// saw the contact there.
pub(crate) type Gone = (Holder, Contact, Option<RosterVersion>);

/// Takes an address out of rosters: of the first so many accounts after this one. Pass the result to
/// [`tell_holders`] after the commit. Returns the last of the accounts as well, if there may be more.
pub(crate) async fn forget_contact(
    tx: &mut Tx,
    key: &str,
    after: i64,
    limit: i64,
    now: i64,
) -> Result<(Vec<Gone>, Option<i64>), whoelse_store::Error> {
    let mut gone = Vec::new();
    let holders = tx.roster_holders(key, after, limit).await?;
    let is_all = (holders.len() as i64) < limit;
    let last = holders.last().map(|holder| holder.account).filter(|_| !is_all);
    for holder in holders {
        let id = holder.account;
        let Some(row) = tx.roster_row(id, key).await? else { continue };
        if !row.listed && row.request.is_empty() {
            continue;
        }
        let (mut left, mut version) = (Contact::default(), None);
        if row.listed {
            let known = tx.roster_version(id).await?;
            let last = known.next(now);
            left.version = last;
            version = Some(RosterVersion { last, ..known });
            tx.write_roster_row(id, &left.to_row(key)).await?;
            tx.set_roster_version(id, RosterVersion { last, ..known }).await?;
        } else {
            tx.remove_roster_row(id, key).await?;
        }
        gone.push((holder, left, version));
    }
    Ok((gone, last))
}

/// Swaps the snapshots of the owners that are in memory, and pushes the change.
pub(crate) fn tell_holders(node: &Arc<Node>, contact: &BareJid, gone: Vec<Gone>) {
    for (holder, left, version) in gone {
        let Some(account) = here(node, &holder) else { continue };
        account.put(Arc::new(account.roster().with(contact, left.clone(), version)));
        // With the shared roster, everybody is told anyway.
        if version.is_some() && !node.contacts.are_shared() {
            item::push(node, &account, contact, &left, false);
        }
    }
}
