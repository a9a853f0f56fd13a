//! Row 53: many sessions ask for the last page of a large archive, and for what is not in it.

use std::ops::Range;
use std::sync::Arc;

use super::field::{ATTACKERS, Field, in_sessions};
use crate::Failed;
use crate::load::client::Client;

/// Whose archives they are.
pub const OWNERS: Range<usize> = ATTACKERS.start..ATTACKERS.start + 4;
/// How many ask at once.
const ASKING: usize = 19;

/// Does it.
pub async fn run(field: &Arc<Field>) {
    in_sessions(field, ASKING, OWNERS, ask).await;
}

/// Asks as long as it is answered.
async fn ask(field: Arc<Field>, mut client: Client) -> Result<(), Failed> {
    for n in 0_u64.. {
        let with = match n % 2 {
            0 => "",
            _ => {
                "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
                  <value>urn:xmpp:mam:2</value></field><field var='with'>\
                  <value>nobody@localhost</value></field></x>"
            }
        };
        let query = format!(
            "<iq type='set' id='q{n}'><query xmlns='urn:xmpp:mam:2'>{with}\
             <set xmlns='http://jabber.org/protocol/rsm'><max>100</max><before/></set></query></iq>"
        );
        client.request(&query).await?;
        field.did();
    }
    Ok(())
}
