//! What is left of removed accounts goes piece by piece, after them: first their names in the
//! rosters of others and in what features have stored, then their rows (docs/design/lane.md). The store says what is left, so a
//! server that was killed goes on with it.

use std::sync::Arc;

use whoelse_store::{Error, Removal, Tx};
use whoelse_xmpp::BareJid;

use crate::keeper::{After, PIECE, Touches};
use crate::node::Node;
use crate::roster;

/// How many rosters one piece changes at most: for each, a few rows are read and written.
const ROSTERS: i64 = 25;

/// Removes what is left, unless somebody does so already.
pub(crate) async fn go_on(node: &Arc<Node>) {
    let asked = &node.removals;
    if !asked.ask() {
        return;
    }
    loop {
        let so_far = asked.so_far();
        match remove_all(node).await {
            Ok(()) | Err(Error::Closed) => {}
            // It is tried again with the next removal, and every hour.
            Err(error) => node.store_failing("removal_not_finished", None, &error),
        }
        if asked.is_done_for(so_far) {
            return;
        }
    }
}

async fn remove_all(node: &Arc<Node>) -> Result<(), Error> {
    // Nothing is posted where nothing is left.
    if node.store.is_removal_left().await? {
        while piece(node).await? != Left::Nothing {}
    }
    Ok(())
}

/// Waits until nobody has the name of a removed account any more.
pub(crate) async fn forget_names(node: &Arc<Node>) -> Result<(), Error> {
    while piece(node).await? == Left::Name {}
    Ok(())
}

/// What a piece was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Name,
    Rows,
    Nothing,
}

/// Removes one piece of what is left. What others have posted meanwhile comes before the next one.
async fn piece(node: &Arc<Node>) -> Result<Left, Error> {
    let own = node.clone();
    // A row of an archive can take its body along. What is done to rosters is fewer rows, and beside
    // the last of them features change one piece.
    let piece = node.keeper.change(Touches::AtMost(2 * PIECE), move |tx| {
        Box::pin(async move {
            let Some(removal) = tx.next_removal().await? else {
                return Ok((Left::Nothing, Vec::new()));
            };
            match removal.holder {
                Some(after) => {
                    let then = forget_name(&own, tx, &removal, after).await?;
                    Ok((Left::Name, then))
                }
                None => {
                    tx.remove_piece(&removal, PIECE).await?;
                    Ok((Left::Rows, Vec::new()))
                }
            }
        })
    });
    piece.await
}

/// Takes a removed account out of some rosters; after the last of them, out of a piece of what
/// features have stored.
async fn forget_name(
    node: &Arc<Node>,
    tx: &mut Tx,
    removal: &Removal,
    after: i64,
) -> Result<After, Error> {
    let own = node.own_domains();
    let domain = own.iter().find(|own| own.id == removal.domain);
    let jid = domain.and_then(|own| BareJid::new(Some(&removal.localpart), &own.name).ok());
    let Some(jid) = jid else {
        // Domains are never removed, and the name was that of an account.
        tx.note_holder(removal.account, None).await?;
        return Ok(Vec::new());
    };
    let key = node.key_of(jid.as_str());
    let now = node.clock.now().0;
    let (gone, last) = roster::forget_contact(tx, &key, after, ROSTERS, now).await?;
    let next = match last {
        None if !node.wiring.forget_name(node, tx, &key, PIECE).await? => Some(after),
        last => last,
    };
    tx.note_holder(removal.account, next).await?;
    Ok(vec![Box::new(move |node: &Arc<Node>| roster::tell_holders(node, &jid, gone))])
}

#[cfg(test)]
mod tests;
