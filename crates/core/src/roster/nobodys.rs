//! RFC 6121, 3.4: an approval in advance is an account's. Whoever registers a name that was approved when
//! nobody had it asks like everybody else (security row 47); who has approved it sees it as before, and is
//! not told by that who exists.

use std::sync::Arc;

use whoelse_store::{Error, Holder, Tx};
use whoelse_xmpp::BareJid;

use super::{Contact, here};
use crate::keeper::After;
use crate::node::Node;

/// Voids approvals of this address, which nobody has, in so many rosters at most; returns what follows the
/// commit, and whether none is left.
pub(crate) async fn void_approvals(
    tx: &mut Tx,
    (contact, key): (&BareJid, &str),
    most: u64,
) -> Result<(After, bool), Error> {
    let holders = tx.void_approvals(key, most).await?;
    let is_all = (holders.len() as u64) < most;
    let contact = contact.clone();
    let then: After = vec![Box::new(move |node: &Arc<Node>| swap(node, &contact, holders))];
    Ok((then, is_all))
}

/// Swaps the snapshots of those who are in memory.
fn swap(node: &Arc<Node>, contact: &BareJid, holders: Vec<Holder>) {
    for holder in holders {
        let Some(account) = here(node, &holder) else { continue };
        let roster = account.roster();
        if let Some(known) = roster.get(contact).filter(|known| known.state.approved) {
            let mut void = Contact { approved_nobody: true, ..known.clone() };
            void.state.approved = false;
            account.put(Arc::new(roster.with(contact, void, None)));
        }
    }
}
