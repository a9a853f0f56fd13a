//! The accounts in memory: loaded on demand, one load however many callers ask, bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use whoelse_xmpp::BareJid;

use crate::account::Account;
use crate::clock::{Clock, Steady};

/// Number of shards: enough that two threads seldom meet in one.
const SHARDS: usize = 64;
/// For how long "no such account" is remembered: long enough to blunt a guesser, short enough
/// that a new account is there when its owner tells a friend.
const MISSING: Duration = Duration::from_secs(10);

/// What a look-up that does not wait finds.
pub enum Seek {
    /// The account is in memory.
    Here(Arc<Account>),
    /// There is no such account.
    Missing,
    /// The store has to be asked.
    NotLoaded,
}

/// The result of a load.
type Loaded = Result<Option<Arc<Account>>, whoelse_store::Error>;

enum Entry {
    Here(Arc<Account>),
    MissingUntil(Steady),
}

/// One part of the table, and the loads under way in it.
#[derive(Default)]
struct Shard {
    /// Held for one look-up or one change, never across an await; no other lock under it.
    entries: RwLock<HashMap<BareJid, Entry>>,
    /// Held by the caller that loads, so that others wait for the same load.
    loading: tokio::sync::Mutex<()>,
    /// How often something here was forgotten; changed with the entries' lock held.
    forgotten: AtomicU64,
}

/// The table of accounts in memory.
pub(crate) struct Accounts {
    shards: Vec<Shard>,
    hasher: RandomState,
    /// Entries without a session that a shard may hold.
    idle: AtomicUsize,
}

impl Accounts {
    pub fn new(idle: usize) -> Accounts {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Accounts { shards, hasher: RandomState::new(), idle: AtomicUsize::new(per_shard(idle)) }
    }

    /// Sets another bound; a shard that is over it shrinks at its next load.
    pub fn keep_idle(&self, idle: usize) {
        self.idle.store(per_shard(idle), Ordering::Relaxed);
    }

    fn shard(&self, jid: &BareJid) -> &Shard {
        // The remainder is below SHARDS, and there are SHARDS of them.
        &self.shards[self.hasher.hash_one(jid) as usize % SHARDS]
    }

    pub fn seek(&self, jid: &BareJid, now: Steady) -> Seek {
        let entries = self.shard(jid).entries.read();
        match entries.get(jid) {
            Some(Entry::Here(account)) => Seek::Here(account.clone()),
            Some(Entry::MissingUntil(until)) if *until > now => Seek::Missing,
            _ => Seek::NotLoaded,
        }
    }

    /// Loads an account by `read`. Other callers meanwhile wait for the same load.
    pub async fn load<F: Future<Output = Loaded>>(
        &self,
        jid: &BareJid,
        clock: &Clock,
        read: impl Fn() -> F,
    ) -> Loaded {
        let shard = self.shard(jid);
        let _one_at_a_time = shard.loading.lock().await;
        match self.seek(jid, clock.steady()) {
            Seek::Here(account) => return Ok(Some(account)),
            Seek::Missing => return Ok(None),
            Seek::NotLoaded => {}
        }
        loop {
            let forgotten = shard.forgotten.load(Ordering::Acquire);
            let found = read().await?;
            let now = clock.steady();
            let entry = match &found {
                Some(account) => Entry::Here(account.clone()),
                None => Entry::MissingUntil(now.after(MISSING)),
            };
            // A result that is not remembered must not be used: a second load would make a second
            // account.
            if self.insert(shard, jid, entry, now, forgotten) {
                return Ok(found);
            }
        }
    }

    /// Remembers what a load found, unless an account of this shard was made, removed or renamed
    /// meanwhile: then the load may have read the older state. Returns whether the load is good.
    fn insert(
        &self,
        shard: &Shard,
        jid: &BareJid,
        entry: Entry,
        now: Steady,
        forgotten: u64,
    ) -> bool {
        let mut entries = shard.entries.write();
        if shard.forgotten.load(Ordering::Acquire) != forgotten {
            return false;
        }
        let idle = self.idle.load(Ordering::Relaxed);
        if entries.len() >= idle {
            entries.retain(|_, entry| match entry {
                // An account that is held elsewhere, by a load's caller or by a session, stays.
                Entry::Here(account) => {
                    account.session_count() > 0 || Arc::strong_count(account) > 1
                }
                Entry::MissingUntil(until) => *until > now,
            });
        }
        // Unknown names alone must not fill the memory: past the bound they are not remembered.
        if entries.len() < idle || matches!(entry, Entry::Here(_)) {
            entries.insert(jid.clone(), entry);
        }
        true
    }

    /// Forgets what is known of an address, so that the next look asks the store.
    pub fn forget(&self, jid: &BareJid) {
        let shard = self.shard(jid);
        let mut entries = shard.entries.write();
        shard.forgotten.fetch_add(1, Ordering::AcqRel);
        entries.remove(jid);
    }

    /// Returns the account, if it is in memory. A load that is under way is repeated first: it may
    /// have read the state before a change that the caller has just committed.
    pub fn refresh(&self, jid: &BareJid) -> Option<Arc<Account>> {
        let shard = self.shard(jid);
        let entries = shard.entries.write();
        match entries.get(jid) {
            Some(Entry::Here(account)) => Some(account.clone()),
            _ => {
                shard.forgotten.fetch_add(1, Ordering::AcqRel);
                None
            }
        }
    }

    pub fn forget_all(&self) {
        for shard in &self.shards {
            let mut entries = shard.entries.write();
            shard.forgotten.fetch_add(1, Ordering::AcqRel);
            entries.clear();
        }
    }

    pub fn each(&self, mut look: impl FnMut(&Arc<Account>)) {
        for shard in &self.shards {
            let entries = shard.entries.read();
            for entry in entries.values() {
                if let Entry::Here(account) = entry {
                    look(account);
                }
            }
        }
    }
}

/// Each shard's part of a bound, and room for a few in any case.
fn per_shard(idle: usize) -> usize {
    idle.div_ceil(SHARDS).max(4)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let accounts = Accounts::new(100);
        let jid = BareJid::parse("bob@a.example").unwrap();
        let shard = accounts.shard(&jid);
        let until = || Entry::MissingUntil(Steady(10));

        let before = shard.forgotten.load(Ordering::Acquire);
        accounts.forget(&jid);

        assert!(!accounts.insert(shard, &jid, until(), Steady(0), before));
        assert!(matches!(accounts.seek(&jid, Steady(0)), Seek::NotLoaded));
        assert!(accounts.insert(shard, &jid, until(), Steady(0), before + 1));
        assert!(matches!(accounts.seek(&jid, Steady(0)), Seek::Missing));
    }

    #[test]
    fn names_that_do_not_exist_do_not_fill_the_memory() {
        let accounts = Accounts::new(64 * 4);

        for n in 0..10_000 {
            let jid = BareJid::parse(&format!("nobody{n}@a.example")).unwrap();
            let entry = Entry::MissingUntil(Steady::NEVER);
            accounts.insert(accounts.shard(&jid), &jid, entry, Steady(0), 0);
        }

        let held = accounts.shards.iter().map(|shard| shard.entries.read().len());
        assert!(held.sum::<usize>() <= 64 * 4);
    }
}
