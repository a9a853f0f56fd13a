//! Row 52: sessions of a few accounts make changes of as many rows as one may have: addresses that are
//! blocked and no longer, lists of bookmarks.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::field::{ATTACKERS, Field, in_sessions};
use crate::Failed;
use crate::load::client::Client;

/// How many change something at once.
const CHANGING: usize = 20;
/// Of which accounts.
const ACCOUNTS: Range<usize> = ATTACKERS.start..ATTACKERS.start + 4;
/// Addresses in one request: as many as an account may block.
const ADDRESSES: usize = 1_000;
/// Rooms in one list.
const ROOMS: usize = 250;

/// Does it.
pub async fn run(field: &Arc<Field>) {
    in_sessions(field, CHANGING, ACCOUNTS, change).await;
}

/// Changes as long as it is answered.
async fn change(field: Arc<Field>, mut client: Client) -> Result<(), Failed> {
    let addresses = addresses();
    for n in 0_u64.. {
        let payload = match n % 3 {
            0 => format!("<block xmlns='urn:xmpp:blocking'>{addresses}</block>"),
            1 => format!("<unblock xmlns='urn:xmpp:blocking'>{addresses}</unblock>"),
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

fn addresses() -> String {
    (0..ADDRESSES).fold(String::new(), |mut items, n| {
        // Writing to a string cannot fail.
        let _ = write!(items, "<item jid='{n}@far.example'/>");
        items
    })
}

fn rooms(round: u64) -> String {
    (0..ROOMS).fold(String::new(), |mut rooms, n| {
        let _ = write!(rooms, "<conference jid='{n}@rooms.example' name='{round}'/>");
        rooms
    })
}
