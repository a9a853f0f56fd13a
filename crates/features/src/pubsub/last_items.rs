//! What somebody is told who begins to hear (XEP-0163, 4.3.4): the last item of each node that a
//! session's client wants, of everybody whose presence it gets; and what a session is told anew that
//! has missed events.
//!
//! The store is read in pieces and told as fast as the session has room, beside the events that come
//! meanwhile. Such an event can pass what was read before it, so what was told is looked at again
//! until nothing has happened meanwhile: the last that a session hears of a node is what is so.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use compact_str::CompactString;
use parking_lot::Mutex;
use whoelse_core::account::Account;
use whoelse_core::kit::Wiring;
use whoelse_core::route::fan_out::{Speaker, tell_session};
use whoelse_core::session::{Session, Whose};
use whoelse_core::turns::{OwnTurn, Turns};
use whoelse_core::{Node, audience};
use whoelse_store::{Error, PubsubItem, PubsubNode};
use whoelse_xmpp::{BareJid, Outgoing, StanzaError};

use super::config::SendLast;
use super::events::{last_item, retraction, told_so_far};
use super::found::Found;
use super::owner::{Owner, Visitor};
use super::standing::Standing;
use crate::{capabilities, readable};

/// Addresses of which is asked at once whether they have nodes.
const ADDRESSES: usize = 100;
/// Nodes that are looked for at once.
const NODES: usize = 100;
/// The most bytes of items, beyond the first, that wait until the session has room for them.
const WEIGHT: usize = 1 << 20;

pub(super) fn wire(w: &mut Wiring) {
    w.available(|server, session| begin(server, session, Wish::everything()));
    w.wants_more(|server, session, names| begin(server, session, Wish::of_nodes(names)));
    w.shown(|server, subject, viewer| {
        let sessions = server.here(viewer).map(|viewer| viewer.sessions()).unwrap_or_default();
        for session in sessions {
            begin(server, &session, Wish::of(Whose::These([subject.jid().clone()].into())));
        }
    });
    w.missed(|server, session, whose| {
        begin(server, session, Wish { is_missed: true, ..Wish::of(whose.clone()) });
    });
}

/// What a session is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    /// Of which nodes; `None`: of all that it wants.
    nodes: Option<BTreeSet<CompactString>>,
    /// Of whose.
    whose: Whose,
    /// Whether it has missed events: then also of nodes whose last item nobody is told who begins to
    /// hear.
    is_missed: bool,
}

impl Wish {
    fn of(whose: Whose) -> Wish {
        Wish { nodes: None, whose, is_missed: false }
    }

    fn everything() -> Wish {
        Wish::of(Whose::Everybody)
    }

    fn of_nodes(names: &[&str]) -> Wish {
        let nodes = names.iter().map(|name| CompactString::from(*name)).collect();
        Wish { nodes: Some(nodes), ..Wish::everything() }
    }

    /// Adds another one; what is not the same of both is told of all.
    fn add(&mut self, more: Wish) {
        self.nodes = match (self.nodes.take(), more.nodes) {
            (Some(mut nodes), Some(more)) => {
                nodes.extend(more);
                Some(nodes)
            }
            _ => None,
        };
        self.whose.add(more.whose);
        self.is_missed |= more.is_missed;
    }
}

/// In the slot of a session that is told: what it is to be told after that. Held for a look or a
/// change.
#[derive(Default)]
struct Wishes(Mutex<(Option<Wish>, bool)>);

impl Wishes {
    /// Adds one. Returns whether nobody tells the session yet.
    fn add(&self, wish: Wish) -> bool {
        let (waiting, is_told) = &mut *self.0.lock();
        match waiting {
            Some(waiting) => waiting.add(wish),
            None => *waiting = Some(wish),
        }
        !std::mem::replace(is_told, true)
    }

    /// Takes what is to be told next; without anything the session is told no more.
    fn take(&self) -> Option<Wish> {
        let (waiting, is_told) = &mut *self.0.lock();
        *is_told = waiting.is_some();
        waiting.take()
    }
}

/// Tells a session what it begins to hear, on a task of its own: one for each session.
fn begin(server: &Arc<Node>, session: &Arc<Session>, wish: Wish) {
    let wants = || capabilities::wanted(session).is_some_and(|wanted| !wanted.is_empty());
    if !session.is_available() || !wants() {
        return;
    }
    let wishes = session.slots.get_or_default::<Wishes>();
    if !wishes.add(wish) {
        return;
    }
    let (server, session) = (server.clone(), session.clone());
    tokio::spawn(async move {
        while let Some(wish) = wishes.take() {
            tell(&server, &session, wish).await;
        }
        session.slots.clear::<Wishes>();
    });
}

async fn tell(server: &Arc<Node>, session: &Arc<Session>, wish: Wish) {
    let (Some(viewer), Some(wanted)) = (&session.account, capabilities::wanted(session)) else {
        return;
    };
    let is_meant = |name: &str| wish.nodes.as_ref().is_none_or(|nodes| nodes.contains(name));
    let names: Vec<&str> = wanted.names().filter(|name| is_meant(name)).collect();
    let whose = match &wish.whose {
        Whose::These(these) => these.iter().cloned().collect(),
        Whose::Everybody => audience::heard_by(server, viewer),
    };
    let telling = Telling { server, session, viewer, names, is_missed: wish.is_missed };
    match telling.all(&whose).await {
        Ok(true) => {}
        // There is no connection, or the store cannot be read: it is told when something is written
        // again.
        Ok(false) | Err(_) => session.miss_events(wish.whose),
    }
}

/// A session that is told of nodes of these names.
struct Telling<'a> {
    server: &'a Arc<Node>,
    session: &'a Session,
    viewer: &'a Arc<Account>,
    names: Vec<&'a str>,
    is_missed: bool,
}

/// What a session was told of a few owners.
#[derive(Default)]
struct Seen {
    /// By the number of the node.
    nodes: HashMap<i64, SeenNode>,
    /// Whether something was told since this was asked last.
    is_told: bool,
}

/// What was looked at of a node.
struct SeenNode {
    /// The number of its last item.
    seq: i64,
    /// Whose event takes the item back, if it was told.
    taken_back: Option<(Speaker, Outgoing)>,
}

/// A node and its last item.
type LastItem = (PubsubNode, PubsubItem);

impl Seen {
    /// Returns the events that take back what was told and is not there any more. Where there is a
    /// newer item, that says by itself what is so.
    fn gone(&mut self, rows: &[LastItem]) -> Vec<(Speaker, Outgoing)> {
        let is_gone = |node: &i64, seen: &mut SeenNode| {
            !rows.iter().any(|(row, item)| row.id == *node && item.seq >= seen.seq)
        };
        self.nodes.extract_if(is_gone).filter_map(|(_, seen)| seen.taken_back).collect()
    }

    /// Leaves those that were not looked at, as many as may be held while the session has no room.
    /// Returns whether there are more.
    fn leave_new(&self, rows: &mut Vec<LastItem>) -> bool {
        rows.retain(|(node, item)| {
            self.nodes.get(&node.id).is_none_or(|seen| seen.seq != item.seq)
        });
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
            for (speaker, event) in seen.gone(&rows) {
                if !self.tell(&speaker, &event, &mut seen).await {
                    return Ok(false);
                }
            }
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
            let (node, seq) = (found.row.id, item.seq);
            let asker = standing.as_ref().map(|standing| standing.at(&found));
            let reads = asker.is_some_and(|asker| asker.reads(found.config.access_model).is_ok());
            let mut taken_back = None;
            if reads && self.is_told(&found) {
                let about = (found.row.name.as_str(), &found.config);
                taken_back = Some((speaker.clone(), retraction(who, about, &item.id)));
                let event = last_item(self.server, who, about, item);
                if !self.tell(&speaker, &event, seen).await {
                    return Ok(false);
                }
            }
            seen.nodes.insert(node, SeenNode { seq, taken_back });
        }
        Ok(true)
    }

    fn readable<T>(&self, read: Result<T, Error>) -> Result<T, StanzaError> {
        readable(self.server, "node_unreadable", Some(self.viewer.jid()), read)
    }

    async fn tell(&self, speaker: &Speaker, event: &Outgoing, seen: &mut Seen) -> bool {
        seen.is_told = true;
        tell_session(self.server, speaker, self.session, event).await
    }

    /// Whether the last item of a node is told to those who begin to hear it.
    fn is_told(&self, found: &Found) -> bool {
        let config = &found.config;
        config.deliver_notifications && (self.is_missed || config.send_last == SendLast::OnPresence)
    }

    /// Returns the session's owner as somebody who looks at the nodes of this one; `None` if there is
    /// no such account any more.
    async fn visitor(&self, id: i64, who: &BareJid) -> Result<Option<Visitor>, StanzaError> {
        let account = match who == self.viewer.jid() {
            true => Some(self.viewer.clone()),
            false => self.server.look_up(who).await?,
        };
        let owner = account.filter(|account| account.id == id).map(Owner::Account);
        Ok(owner.map(|owner| Visitor::seeing(owner, self.session.jid.clone().into())))
    }

    /// Reads one piece of the store, when it is its turn.
    async fn read<T>(&self, reading: impl Future<Output = T>) -> T {
        let turns = self.server.slots.get_or_default::<Turns>();
        let own = self.viewer.get_or_default::<OwnTurn>();
        own.one_by_one(turns.piece(async {}, reading)).await
    }
}

#[cfg(test)]
mod tests;
