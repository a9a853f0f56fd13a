//! One contact in one roster while it changes: its state before and after, what is written, and
//! what the owner's devices are told.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_store::{Error, RosterVersion, Tx};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use super::{Contact, State, item};
use crate::account::Account;
use crate::keeper::chain::{Chained, Done};
use crate::node::Node;
use crate::presence;
use crate::settings::Limits;

/// A contact under change, from the first look at its row to the push.
pub(super) struct Entry {
    /// Whose roster it is.
    pub owner: Arc<Account>,
    /// The contact's address.
    pub contact: BareJid,
    /// The contact's address in its stored form.
    key: String,
    /// Its state before the change.
    pub before: Contact,
    /// Its state after the change.
    pub after: Contact,
    /// The version of the roster before this change.
    known: RosterVersion,
    /// The version that this change makes, if the owner sees a difference.
    version: Option<RosterVersion>,
}

impl Entry {
    /// Reads the present state in the transaction: an earlier step may have changed it already.
    pub async fn read(
        node: &Node,
        tx: &mut Tx,
        owner: Arc<Account>,
        contact: BareJid,
    ) -> Result<Entry, Error> {
        let key = node.key_of(contact.as_str());
        let row = tx.roster_row(owner.id, &key).await?;
        let known = tx.roster_version(owner.id).await?;
        let before = row.map(Contact::of).unwrap_or_default();
        Ok(Entry { owner, contact, key, after: before.clone(), before, known, version: None })
    }

    /// Takes the state after a step; `request` is what the contact sent, in case it waits for an
    /// answer.
    pub fn take(&mut self, state: State, request: &Bytes) {
        let contact = &mut self.after;
        match (contact.state.asked, state.asked) {
            (false, true) => contact.request = request.clone(),
            (_, false) => contact.request = Bytes::new(),
            (true, true) => {}
        }
        contact.state = state;
        // RFC 6121, 3.1.2 and 3.4.2: a contact that is asked, granted or approved is in the roster.
        contact.listed |= state.to || state.from || state.ask || state.approved;
    }

    /// Refuses with `resource-constraint` a change that makes the roster too large.
    pub fn check(&self, limits: &Limits) -> Result<(), StanzaError> {
        if !self.after.listed {
            return Ok(());
        }
        let full =
            |text: String| Err(StanzaError::new(Condition::ResourceConstraint).with_text(text));
        let roster = self.owner.roster();
        let most = limits.roster_contacts;
        if !self.before.listed && roster.contacts().count() >= most {
            return full(format!("a roster holds {most} contacts at most"));
        }
        let (before, after) =
            (weight(&self.contact, &self.before), weight(&self.contact, &self.after));
        let others = roster.contacts().filter(|(jid, _)| **jid != self.contact);
        let others: usize = others.map(|(jid, contact)| weight(jid, contact)).sum();
        // A roster that is over the bound already, because it was lowered, can still shrink.
        if after > before && others + after > limits.roster_bytes {
            return full("the names and groups of this roster are too long together".to_owned());
        }
        Ok(())
    }

    /// Writes what has changed, with a new version if the owner sees a difference.
    pub async fn write(&mut self, tx: &mut Tx, now: i64) -> Result<(), Error> {
        let owner = self.owner.id;
        if !self.after.looks_like(&self.before) {
            let last = self.known.next(now);
            self.after.version = last;
            self.version = Some(self.owner.roster().versions(self.known, last));
        }
        if self.after == self.before {
            return Ok(());
        }
        if self.after.is_nothing() {
            tx.remove_roster_row(owner, &self.key).await?;
        } else {
            tx.write_roster_row(owner, &self.after.to_row(&self.key)).await?;
        }
        match self.version {
            Some(version) => tx.set_roster_version(owner, version).await,
            None => Ok(()),
        }
    }

    /// Returns what follows the commit, and the next command: the snapshot, the stanzas that the
    /// owner's devices `hear`, the push, and presence. `exists`: the contact is an account of this
    /// server.
    pub fn done(
        self,
        exists: bool,
        next: Option<Box<dyn Chained>>,
        hear: impl FnOnce(&Entry) + Send + 'static,
    ) -> Done {
        let entry = Arc::new(self);
        let (swap, tell, show) = (entry.clone(), entry.clone(), entry);
        Done {
            next,
            swap: vec![Box::new(move |_| swap.swap())],
            tell: vec![Box::new(move |node| {
                hear(&tell);
                tell.push(node, exists);
            })],
            show: vec![Box::new(move |node| show.show(node))],
        }
    }

    fn swap(&self) {
        if self.after != self.before {
            let roster = self.owner.roster().with(&self.contact, self.after.clone(), self.version);
            self.owner.put(Arc::new(roster));
        }
    }

    /// Pushes the contact's new state to the owner's devices, if they see a difference.
    fn push(&self, node: &Node, exists: bool) {
        if self.version.is_some() {
            item::push(node, &self.owner, &self.contact, &self.after, exists);
        }
    }

    /// Shows the owner's presence to a contact that may see it from now on, and takes it away from
    /// one that no longer may (RFC 6121, 3.1.5, 3.2.2 and 3.3.3).
    fn show(&self, node: &Arc<Node>) {
        match (self.before.state.from, self.after.state.from) {
            // With the shared roster, this changes nothing.
            _ if node.contacts.are_shared() => {}
            (false, true) => presence::show(node, &self.owner, &self.contact),
            (true, false) => presence::take_away(node, &self.owner, &self.contact),
            _ => {}
        }
    }
}

/// Returns the approximate size of a contact in bytes as it is sent: the item, each group, and
/// escapes.
fn weight(jid: &BareJid, contact: &Contact) -> usize {
    const ITEM: usize = 64;
    const GROUP: usize = 15;
    let text = |text: &str| -> usize {
        text.bytes().map(|b| if b"&<>'\"".contains(&b) { 6 } else { 1 }).sum()
    };
    if !contact.listed {
        return 0;
    }
    let groups: usize = contact.groups.iter().map(|group| GROUP + text(group)).sum();
    ITEM + text(jid.as_str()) + text(&contact.name) + groups
}
