//! A new account gets the subscription requests that wait for its name. Their senders did not learn
//! that there was no such account (RFC 6121, 3.1.2 and 8.5.1), and would wait for an answer for
//! ever.

use whoelse_store::Tx;
use whoelse_xmpp::BareJid;
use whoelse_xmpp::write::Element;

use super::{Contact, State};
use crate::node::Node;

/// Writes the pending requests for this key into the roster of the account `id`, which has just
/// been made, up to the number that an account may have of them. Call it before the account is
/// loaded.
///
/// The text of those requests is no longer known: it was delivered to nobody.
pub(crate) async fn take_requests(
    node: &Node,
    tx: &mut Tx,
    id: i64,
    key: &str,
) -> Result<(), whoelse_store::Error> {
    let request = Element::new("presence").attr("type", "subscribe").finish();
    let own = node.own_domains();
    for (domain, name) in tx.roster_askers(key, node.settings().limits.roster_requests).await? {
        let Some(domain) = own.iter().find(|own| own.id == domain) else { continue };
        let Ok(jid) = BareJid::new(Some(&name), &domain.name) else { continue };
        let state = State { asked: true, ..State::default() };
        let asked = Contact { state, request: request.clone(), ..Contact::default() };
        tx.write_roster_row(id, &asked.to_row(&node.key_of(jid.as_str()))).await?;
    }
    Ok(())
}
