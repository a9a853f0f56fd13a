//! RFC 6121, 2.1.6: pushes for which a session had no room. It is told what is so when there is room,
//! however much has changed meanwhile (`docs/design/shares.md`).
//!
//! Traces of removed contacts are remembered for [so many](super::REMAINS) alone. So a session that
//! misses something keeps the roster as it was then: what is there and nowhere now has gone.

use std::sync::Arc;

use whoelse_xmpp::BareJid;

use super::item::{item, push_of};
use super::{AsItWas, Contact, Roster};
use crate::node::Node;
use crate::session::Session;

/// Pushes to a session what the roster has after this version, until it misses nothing. What changes
/// meanwhile is not pushed by anybody else, and found when it is looked at again.
pub(crate) async fn tell(node: &Node, session: &Session, mut after: i64) {
    let Some(own) = &session.account else { return session.leave_roster() };
    loop {
        let roster = own.roster();
        // An older one is of what was missed before, and told. None: it is being kept right now.
        let had = session.slots.get::<AsItWas>().map(|had| had.0.clone());
        let had = had.filter(|had| had.version() >= after).unwrap_or_else(|| roster.clone());
        for jid in roster.forgotten_since(&had, after) {
            let gone = item(node, jid, &Contact::default(), false);
            // Whoever asks for what came after this version later is given the whole roster.
            if !session.push_missed(push_of(session, gone, Some(after)), after).await {
                return session.leave_roster();
            }
        }
        session.slots.put(Arc::new(AsItWas(roster.clone())));
        for (jid, contact) in roster.after(after) {
            let changed = item(node, jid, contact, false);
            let push = push_of(session, changed, Some(contact.version));
            if !session.push_missed(push, contact.version).await {
                return session.leave_roster();
            }
            after = contact.version;
        }
        if own.roster().version() != roster.version() {
            continue;
        }
        // In this order: what is kept from now on is of what is missed from now on.
        session.slots.clear::<AsItWas>();
        session.has_roster();
        // A change may have come between the two; its push is not missed twice.
        if own.roster().version() == roster.version() {
            return;
        }
        session.slots.put(Arc::new(AsItWas(roster)));
        session.miss_roster(after);
        match session.begin_roster() {
            Some(missed) => after = missed,
            None => return,
        }
    }
}

impl Roster {
    /// What changed after this version, oldest first, as far as it is remembered.
    pub(super) fn after(&self, version: i64) -> Vec<(&BareJid, &Contact)> {
        let mut changed: Vec<_> = self.all().filter(|(_, it)| it.version > version).collect();
        changed.sort_by_key(|(_, contact)| contact.version);
        changed
    }

    /// Who was in the roster before, or had gone from it after this version, and is in it no more
    /// without a trace.
    fn forgotten_since<'a>(&self, before: &'a Roster, version: i64) -> Vec<&'a BareJid> {
        let is_known = |it: &Contact| it.listed || it.version > version;
        let forgotten =
            before.all().filter(|&(jid, it)| is_known(it) && !self.get(jid).is_some_and(is_known));
        forgotten.map(|(jid, _)| jid).collect()
    }
}
