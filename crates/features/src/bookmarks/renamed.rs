//! A domain can get another name, and its rooms with it. Bookmarks of these rooms follow when their
//! owner next asks for any form of them, in one transaction, and once: whoever has the former name later
//! has rooms of their own.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_store::{DataKey, DataLimit};
use whoelse_xmpp::{BareJid, Jid, ns};

use super::{following, rows};
use crate::pubsub::{Nodes, Owner, Stop, change};
use crate::{muc, readable};

/// The name that the domain had when the bookmarks of an account followed last. No account has this in a
/// server whose domain always had one name.
const KEY: DataKey<'_> = DataKey { namespace: ns::BOOKMARKS, name: "domain" };
const LIMIT: DataLimit = DataLimit { values: 1, bytes: 1024 };

/// Lets the bookmarks of an account follow, if they have not. Returns whether all have.
pub(super) async fn followed(server: &Arc<Node>, account: &Arc<Account>) -> bool {
    let Some(service) = Service::of(server) else { return true };
    let noted = server.store.account_data(account.id, KEY).await;
    let noted = readable(server, "bookmarks_unreadable", Some(account.jid()), noted);
    // What cannot be read is logged, and looked at again.
    let Ok(noted) = noted else { return false };
    if noted.is_some_and(|noted| noted == service.domain.as_bytes()) {
        return true;
    }
    let owner = Owner::Account(account.clone());
    let done = change(server, &owner, rows(server), move |nodes| {
        Box::pin(async move { service.take_along(nodes).await })
    });
    done.await.is_ok()
}

/// The rooms of a domain that had other names.
struct Service {
    domain: String,
    /// The service's address, which begins with its label.
    address: BareJid,
    former: Vec<String>,
}

impl Service {
    /// `None` if the domain always had one name, or has no rooms.
    fn of(server: &Node) -> Option<Service> {
        let former = server.former_names();
        let address = server.service_address(muc::KEY)?;
        (!former.is_empty()).then(|| Service { domain: server.domain().name, address, former })
    }

    async fn take_along(mut self, nodes: &mut Nodes<'_>) -> Result<(), Stop> {
        let account = nodes.owner.id();
        if let Some(noted) = nodes.tx.account_data(account, KEY).await? {
            self.former.retain(|name| name.as_bytes() == noted);
        }
        following::move_rooms(nodes, |room| self.present(room)).await?;
        nodes.tx.put_account_data(account, KEY, self.domain.as_bytes(), LIMIT).await?;
        Ok(())
    }

    /// Returns the present address of a room of a former name.
    fn present(&self, room: &Jid) -> Option<Jid> {
        let label = self.address.domain().strip_suffix(self.domain.as_str())?;
        let name = room.domain().strip_prefix(label)?;
        let is_former = self.former.iter().any(|former| former == name);
        let present = is_former.then(|| BareJid::new(room.local(), self.address.domain()).ok());
        present.flatten().map(Jid::from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rooms_of_a_former_name_have_the_present_one_and_no_others() {
        let service = Service {
            domain: "chat.example".to_owned(),
            address: BareJid::parse("conference.chat.example").unwrap(),
            former: vec!["localhost".to_owned(), "old.example".to_owned()],
        };
        for (room, present) in [
            ("lunch@conference.localhost", Some("lunch@conference.chat.example")),
            ("lunch@conference.old.example", Some("lunch@conference.chat.example")),
            ("lunch@conference.chat.example", None),
            ("lunch@localhost", None),
            ("lunch@rooms.localhost", None),
            ("lunch@conference.far.example", None),
            ("lunch@x.conference.localhost", None),
        ] {
            let found = service.present(&Jid::parse(room).unwrap());
            assert_eq!(found.as_ref().map(Jid::as_str), present, "{room}");
        }
    }
}
