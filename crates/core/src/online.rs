//! The accounts that are online, in the order of their addresses.
//!
//! Whoever tells all of them something, or lists them, looks at one shared list. It is made again
//! when somebody asks for it after a change, so that asking often and changing often both stay
//! cheap.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use whoelse_xmpp::BareJid;

use crate::account::Account;

/// The accounts with an available session.
#[derive(Default)]
pub(crate) struct Online {
    /// Held for a look or a change, never across an await; taken before an account's list of
    /// sessions, never after.
    present: RwLock<Present>,
}

#[derive(Default)]
struct Present {
    /// By number: after a rename of the domain, a newer load takes the place of the older one.
    by_id: HashMap<i64, Arc<Account>>,
    /// A name can be there twice for a moment, when its account was removed and made anew.
    sorted: BTreeMap<(BareJid, i64), Arc<Account>>,
    /// `sorted` as a list; `None` after a change.
    list: Option<Arc<[Arc<Account>]>>,
}

impl Online {
    /// Returns all of them, by address.
    pub fn all(&self) -> Arc<[Arc<Account>]> {
        if let Some(list) = &self.present.read().list {
            return list.clone();
        }
        let Present { sorted, list, .. } = &mut *self.present.write();
        list.get_or_insert_with(|| sorted.values().cloned().collect()).clone()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.present.read().by_id.len()
    }

    /// Notes that an account has an available session. Returns whether it had none before.
    pub fn enter(&self, account: &Arc<Account>) -> bool {
        let mut present = self.present.write();
        let before = present.by_id.insert(account.id, account.clone());
        match before {
            Some(before) if Arc::ptr_eq(&before, account) => return false,
            Some(before) => {
                present.sorted.remove(&place(&before));
            }
            None => {}
        }
        present.sorted.insert(place(account), account.clone());
        present.list = None;
        true
    }

    /// Notes that a session of the account is no longer available. Returns whether it was the last
    /// one. Checks under the lock, so that a session that becomes available at this moment is not
    /// missed.
    pub fn leave(&self, account: &Arc<Account>) -> bool {
        let mut present = self.present.write();
        // After a rename of the domain, the entry may be a newer load of the same account.
        let known = present.by_id.get(&account.id).is_some_and(|it| Arc::ptr_eq(it, account));
        let last = known && !account.is_online();
        if last {
            present.by_id.remove(&account.id);
            present.sorted.remove(&place(account));
            present.list = None;
        }
        last
    }
}

fn place(account: &Account) -> (BareJid, i64) {
    (account.jid().clone(), account.id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn account(id: i64, jid: &str) -> Arc<Account> {
        Arc::new(Account::new(id, id, BareJid::parse(jid).unwrap(), Vec::new(), 0))
    }

    fn names(online: &Online) -> Vec<String> {
        online.all().iter().map(|it| it.jid().to_string()).collect()
    }

    #[test]
    fn they_are_listed_by_address_whoever_came_first() {
        let online = Online::default();
        for (id, jid) in [(1, "zoe@a.example"), (2, "bob@a.example"), (3, "mona@a.example")] {
            assert!(online.enter(&account(id, jid)));
        }

        assert_eq!(names(&online), ["bob@a.example", "mona@a.example", "zoe@a.example"]);
        assert_eq!(online.count(), 3);
    }

    #[test]
    fn the_list_is_the_same_one_until_somebody_comes_or_goes() {
        let online = Online::default();
        let bob = account(1, "bob@a.example");
        assert!(online.enter(&bob));
        let list = online.all();

        assert!(!online.enter(&bob));
        assert!(Arc::ptr_eq(&list, &online.all()));
        assert!(online.leave(&bob));
        assert!(!online.leave(&bob));
        assert!(names(&online).is_empty());
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn a_newer_load_of_an_account_takes_the_place_of_the_older_one() {
        let online = Online::default();
        let (before, after) = (account(1, "bob@old.example"), account(1, "bob@new.example"));

        assert!(online.enter(&before) && online.enter(&after));

        assert_eq!(names(&online), ["bob@new.example"]);
        assert!(!online.leave(&before));
        assert_eq!(online.count(), 1);
    }
}
