//! Row 52: sessions of a few accounts make changes of as many rows as one may have: addresses that are
//! blocked and no longer, lists of bookmarks.

use std::fmt::Write as _;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::field::{ATTACKERS, Field};
use crate::Failed;
use crate::load::client::Client;

/// How many change something at once.
const CHANGING: usize = 20;
/// Of so many accounts.
const ACCOUNTS: usize = 4;
/// Addresses in one request.
const ADDRESSES: usize = 1_000;
/// Rooms in one list.
const ROOMS: usize = 250;

/// Does it.
pub async fn run(field: &Arc<Field>) {
    let mut changing = JoinSet::new();
    for n in 0..CHANGING {
        let field = field.clone();
        changing.spawn(async move {
            let account = ATTACKERS.start + n % ACCOUNTS;
            // Whoever is cut off comes again at once.
            while change(&field, account, n).await.is_err() {
                tokio::task::yield_now().await;
            }
        });
    }
    changing.join_all().await;
}

/// Changes as long as it is answered.
async fn change(field: &Field, account: usize, session: usize) -> Result<(), Failed> {
    let mut client = Client::log_in(&field.entrance, account, session).await?;
    for n in 0_u64.. {
        let payload = match n % 3 {
            0 => format!("<block xmlns='urn:xmpp:blocking'>{}</block>", addresses(session)),
            1 => format!("<unblock xmlns='urn:xmpp:blocking'>{}</unblock>", addresses(session)),
            _ => format!(
                "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>{}</storage>\
                 </query>",
                rooms(n)
            ),
        };
        client.ask(&format!("<iq type='set' id='q{n}'>{payload}</iq>"), &format!("'q{n}'")).await?;
        field.did();
    }
    Ok(())
}

fn addresses(session: usize) -> String {
    (0..ADDRESSES).fold(String::new(), |mut items, n| {
        // Writing to a string cannot fail.
        let _ = write!(items, "<item jid='{n}@{session}.example'/>");
        items
    })
}

fn rooms(round: u64) -> String {
    (0..ROOMS).fold(String::new(), |mut rooms, n| {
        let _ = write!(rooms, "<conference jid='{n}@rooms.example' name='{round}'/>");
        rooms
    })
}
