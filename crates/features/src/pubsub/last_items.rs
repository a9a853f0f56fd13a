//! What somebody is told who begins to hear (XEP-0163, 4.3.4): the last item of each node that a
//! session's client wants, of everybody whose presence it gets; and what a session is told anew that
//! has missed events.
//!
//! The store is read in pieces and told as fast as the session has room, beside the events that come
//! meanwhile. Such an event can pass what was read before it, so what was told is looked at again
//! until nothing has happened meanwhile, and what was taken back meanwhile counts as missed: the last
//! that a session hears of a node is what is so.

mod missed;

use std::collections::HashMap;
use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::Wiring;
use whoelse_core::route::fan_out::{Speaker, tell_session};
use whoelse_core::session::{Session, Whose};
use whoelse_core::{Node, audience};
use whoelse_store::{Error, PubsubItem, PubsubNode};
use whoelse_xmpp::{BareJid, Outgoing, StanzaError};

use super::config::SendLast;
use super::events::{last_item, told_so_far};
use super::found::Found;
use super::owner::{Owner, Visitor};
use super::standing::Standing;
use super::to_tell::{MissedAt, Next, ToTell, Wish};
use crate::{capabilities, readable};

/// Addresses of which is asked at once whether they have nodes.
const ADDRESSES: usize = 100;
/// Nodes that are looked for at once.
const NODES: usize = 100;
/// The most bytes of items, beyond the first, that wait until the session has room for them.
const WEIGHT: usize = 1 << 20;

pub(super) fn wire(w: &mut Wiring) {
    w.available(|server, session| begin(server, session, Some(Wish::everything())));
    w.wants_more(|server, session, names| begin(server, session, Some(Wish::of_nodes(names))));
    w.shown(|server, subject, viewer| {
        let sessions = server.here(viewer).map(|viewer| viewer.sessions()).unwrap_or_default();
        for session in sessions {
            let wish = Wish::of(Whose::These([subject.jid().clone()].into()));
            begin(server, &session, Some(wish));
        }
    });
    w.missed(|server, session, whose| {
        // Of whom nothing is noted, all was missed: whoever has unblocked somebody hears them again.
        let noted = session.slots.get::<ToTell>();
        let all_of = noted.map_or_else(|| Some(whose.clone()), |noted| noted.not_noted(whose));
        begin(server, session, all_of.map(Wish::of));
    });
}

/// Tells a session what is noted for it and this, on a task of its own: one for each session.
fn begin(server: &Arc<Node>, session: &Arc<Session>, wish: Option<Wish>) {
    let wants = || capabilities::wanted(session).is_some_and(|wanted| !wanted.is_empty());
    if !session.is_available() || !wants() {
        return;
    }
    let to_tell = session.slots.get_or_default::<ToTell>();
    if let Some(wish) = wish {
        to_tell.add(wish);
    }
    if !to_tell.begin() {
        return;
    }
    let (server, session) = (server.clone(), session.clone());
    tokio::spawn(async move {
        while let Some(next) = to_tell.take() {
            // There is no connection, or the store cannot be read: it is told when something is
            // written again.
            if !matches!(tell(&server, &session, &next).await, Ok(true)) {
                let whose = next.whose();
                to_tell.put_back(next);
                to_tell.leave();
                session.miss_events(whose);
                break;
            }
        }
    });
}

/// Returns false if the session has no connection.
async fn tell(
    server: &Arc<Node>,
    session: &Arc<Session>,
    next: &Next,
) -> Result<bool, StanzaError> {
    let (Some(viewer), Some(wanted)) = (&session.account, capabilities::wanted(session)) else {
        return Ok(true);
    };
    let nodes = match next {
        Next::Wish(wish) => wish.nodes.as_ref(),
        Next::At(..) | Next::AllOf(_) => None,
    };
    let is_meant = |name: &str| nodes.is_none_or(|nodes| nodes.contains(name));
    let names: Vec<&str> = wanted.names().filter(|name| is_meant(name)).collect();
    let telling = Telling { server, session, viewer, names };
    let whose = |whose: &Whose| -> Vec<BareJid> {
        match whose {
            Whose::These(these) => these.iter().cloned().collect(),
            Whose::Everybody => audience::heard_by(server, viewer),
        }
    };
    match next {
        Next::Wish(wish) => telling.all(&whose(&wish.whose)).await,
        Next::At(owner, name, missed) => telling.missed(owner, &[(name, missed)]).await,
        Next::AllOf(of) => {
            let all: Vec<_> = telling.names.iter().map(|name| (*name, &MissedAt::All)).collect();
            for owner in whose(of) {
                if !telling.missed(&owner, &all).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// A session that is told of nodes of these names.
struct Telling<'a> {
    server: &'a Arc<Node>,
    session: &'a Session,
    viewer: &'a Arc<Account>,
    names: Vec<&'a str>,
}

/// What a session was told of a few owners.
#[derive(Default)]
struct Seen {
    /// The number of the last item, by the number of the node.
    nodes: HashMap<i64, i64>,
    /// Whether something was told since this was asked last.
    is_told: bool,
}

/// A node and its last item.
type LastItem = (PubsubNode, PubsubItem);

impl Seen {
    /// Leaves those that were not looked at, as many as may be held while the session has no room.
    /// Returns whether there are more.
    fn leave_new(&self, rows: &mut Vec<LastItem>) -> bool {
        rows.retain(|(node, item)| self.nodes.get(&node.id) != Some(&item.seq));
        let mut weight = 0;
        let fits = rows.iter().take_while(|(_, item)| {
            let is_first = weight == 0;
            weight += item.payload.len();
            is_first || weight <= WEIGHT
        });
        let fits = fits.count();
        let is_cut = fits < rows.len();
        rows.truncate(fits);
        is_cut
    }
}

impl Telling<'_> {
    /// Tells of these people. Returns false if the session has no connection.
    async fn all(&self, whose: &[BareJid]) -> Result<bool, StanzaError> {
        for some in whose.chunks(ADDRESSES) {
            let owners = self.owners(some).await?;
            for owners in owners.chunks((NODES / self.names.len().max(1)).max(1)) {
                if !self.session.is_available() {
                    return Ok(true);
                }
                if !self.some(owners).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Finds out which of these people have nodes, by address.
    async fn owners(&self, whose: &[BareJid]) -> Result<Vec<(i64, BareJid)>, StanzaError> {
        let stored = |who| self.server.stored_at(who).map(|(domain, name)| (domain, name, who));
        let stored: Vec<(i64, &str, &BareJid)> = whose.iter().filter_map(stored).collect();
        let Some((domain, ..)) = stored.first() else { return Ok(Vec::new()) };
        let names: Vec<&str> = stored.iter().map(|(_, name, _)| *name).collect();
        let found = self.read(self.server.store.pubsub_owners_at(*domain, &names)).await;
        let address = |name: &String| stored.iter().find(|(_, stored, _)| stored == name);
        let owner = |(id, name)| address(&name).map(|(.., who)| (id, BareJid::clone(who)));
        let mut owners: Vec<(i64, BareJid)> =
            self.readable(found)?.into_iter().filter_map(owner).collect();
        owners.sort_by(|(_, one), (_, other)| one.cmp(other));
        Ok(owners)
    }

    /// Tells of a few owners, again until nothing has happened meanwhile. Returns false if the
    /// session has no connection.
    async fn some(&self, owners: &[(i64, BareJid)]) -> Result<bool, StanzaError> {
        let ids: Vec<i64> = owners.iter().map(|(id, _)| *id).collect();
        let mut seen = Seen::default();
        loop {
            let before = told_so_far(self.server);
            let rows = self.read(self.server.store.pubsub_last_items(&ids, &self.names)).await;
            let mut rows = self.readable(rows)?;
            rows.sort_by_key(|(node, _)| node.id);
            let is_cut = seen.leave_new(&mut rows);
            for (id, who) in owners {
                let rows: Vec<LastItem> =
                    rows.extract_if(.., |(node, _)| node.owner == *id).collect();
                if !rows.is_empty() && !self.of_owner((*id, who), rows, &mut seen).await? {
                    return Ok(false);
                }
            }
            let is_told = std::mem::take(&mut seen.is_told);
            if !is_cut && (!is_told || told_so_far(self.server) == before) {
                return Ok(true);
            }
        }
    }

    /// Tells of some nodes of one owner what their access models let the session hear.
    async fn of_owner(
        &self,
        (id, who): (i64, &BareJid),
        rows: Vec<LastItem>,
        seen: &mut Seen,
    ) -> Result<bool, StanzaError> {
        let speaker = Speaker { address: who.clone(), account: Some(id) };
        let visitor = self.visitor(id, who).await?;
        let standing = match &visitor {
            Some(visitor) => Some(self.read(Standing::of(self.server, visitor)).await?),
            None => None,
        };
        for (node, item) in rows {
            let found = Found::of(node);
            seen.nodes.insert(found.row.id, item.seq);
            let asker = standing.as_ref().map(|standing| standing.at(&found));
            let reads = asker.is_some_and(|asker| asker.reads(found.config.access_model).is_ok());
            let config = &found.config;
            let is_told = config.deliver_notifications && config.send_last == SendLast::OnPresence;
            if reads && is_told {
                let event = last_item(self.server, who, (&found.row.name, config), item);
                seen.is_told = true;
                if !self.tell(&speaker, &event).await {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn readable<T>(&self, read: Result<T, Error>) -> Result<T, StanzaError> {
        readable(self.server, "node_unreadable", Some(self.viewer.jid()), read)
    }

    async fn tell(&self, speaker: &Speaker, event: &Outgoing) -> bool {
        tell_session(self.server, speaker, self.session, event).await
    }

    /// Returns the session's owner as somebody who looks at the nodes of this one; `None` if there is
    /// no such account any more.
    async fn visitor(&self, id: i64, who: &BareJid) -> Result<Option<Visitor>, StanzaError> {
        let visitor = self.visitor_at(who).await?;
        Ok(visitor.filter(|visitor| visitor.owner.id() == id))
    }

    async fn visitor_at(&self, who: &BareJid) -> Result<Option<Visitor>, StanzaError> {
        let account = match who == self.viewer.jid() {
            true => Some(self.viewer.clone()),
            false => self.server.look_up(who).await?,
        };
        let owner = account.map(Owner::Account);
        let (from, own) = (&self.session.jid, self.viewer.id);
        Ok(owner.map(|owner| Visitor::seeing(owner, from.clone().into(), Some(own))))
    }

    /// Reads one piece of the store, when it is its turn.
    async fn read<T>(&self, reading: impl Future<Output = T>) -> T {
        let reading = self.server.piece(reading);
        self.session.in_reading_turn(self.server.clock.steady(), reading).await
    }
}

#[cfg(test)]
mod tests;
