//! The accounts in memory: loaded on need, one load however many ask, bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use whoelse_xmpp::BareJid;

use crate::account::Account;
use crate::clock::Time;
use crate::node::Node;

/// Enough that two threads seldom meet.
const SHARDS: usize = 64;
/// For how long "no such account" is remembered: long enough to blunt a guesser, short enough
/// that a new account is there when its owner tells a friend.
const MISSING: Duration = Duration::from_secs(10);

/// What a look without waiting finds.
pub enum Seek {
    /// In memory.
    Here(Arc<Account>),
    /// There is none.
    Missing,
    /// It has to be looked up.
    NotLoaded,
}

enum Entry {
    Here(Arc<Account>),
    MissingUntil(Time),
}

/// One part of the table, and the loads under way in it.
#[derive(Default)]
struct Shard {
    /// Held for one look-up or one change, never across an await; no other lock under it.
    entries: RwLock<HashMap<BareJid, Entry>>,
    /// Who loads holds it, so that others wait for the same load.
    loading: tokio::sync::Mutex<()>,
}

/// The table of accounts in memory.
pub(crate) struct Accounts {
    shards: Vec<Shard>,
    hasher: RandomState,
    /// Entries without a session that a shard may hold.
    idle: usize,
}

impl Accounts {
    pub fn new(idle: usize) -> Accounts {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Accounts { shards, hasher: RandomState::new(), idle: idle.div_ceil(SHARDS).max(4) }
    }

    fn shard(&self, jid: &BareJid) -> &Shard {
        // The remainder is below SHARDS, and there are SHARDS of them.
        &self.shards[self.hasher.hash_one(jid) as usize % SHARDS]
    }

    pub fn seek(&self, jid: &BareJid, now: Time) -> Seek {
        let entries = self.shard(jid).entries.read().unwrap_or_else(PoisonError::into_inner);
        match entries.get(jid) {
            Some(Entry::Here(account)) => Seek::Here(account.clone()),
            Some(Entry::MissingUntil(until)) if *until > now => Seek::Missing,
            _ => Seek::NotLoaded,
        }
    }

    /// Loads an account. Whoever else asks meanwhile waits for the same load.
    pub async fn load(
        &self,
        node: &Node,
        jid: &BareJid,
    ) -> Result<Option<Arc<Account>>, whoelse_store::Error> {
        let shard = self.shard(jid);
        let _one_at_a_time = shard.loading.lock().await;
        match self.seek(jid, node.clock.now()) {
            Seek::Here(account) => return Ok(Some(account)),
            Seek::Missing => return Ok(None),
            Seek::NotLoaded => {}
        }
        let domain = node.domain();
        let row = match jid.local() {
            Some(local) if jid.domain() == domain.name => {
                node.store.find_account(domain.id, local).await?
            }
            _ => None,
        };
        let Some(row) = row else {
            let until = node.clock.now().after(MISSING);
            self.insert(shard, jid, Entry::MissingUntil(until), node.clock.now());
            return Ok(None);
        };
        let slots = node.wiring.load_slots(&node.store, row.id).await?;
        let cursor = node.store.cursor(row.id).await?;
        let account = Arc::new(Account::new(row.id, jid.clone(), slots, cursor));
        account.last_active.store(row.last_active, std::sync::atomic::Ordering::Release);
        node.recount(&account).await?;
        self.insert(shard, jid, Entry::Here(account.clone()), node.clock.now());
        Ok(Some(account))
    }

    fn insert(&self, shard: &Shard, jid: &BareJid, entry: Entry, now: Time) {
        let mut entries = shard.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.idle {
            entries.retain(|_, entry| match entry {
                // Who is held elsewhere, a load's result or a session's account, stays.
                Entry::Here(account) => {
                    account.session_count() > 0 || Arc::strong_count(account) > 1
                }
                Entry::MissingUntil(until) => *until > now,
            });
        }
        // Missing names alone must not fill the memory: past the bound they are not remembered.
        if entries.len() < self.idle || matches!(entry, Entry::Here(_)) {
            entries.insert(jid.clone(), entry);
        }
    }

    /// Forgets what is known of an address, so that the next look asks the store.
    pub fn forget(&self, jid: &BareJid) {
        self.shard(jid).entries.write().unwrap_or_else(PoisonError::into_inner).remove(jid);
    }

    pub fn forget_all(&self) {
        for shard in &self.shards {
            shard.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    pub fn each(&self, mut look: impl FnMut(&Arc<Account>)) {
        for shard in &self.shards {
            let entries = shard.entries.read().unwrap_or_else(PoisonError::into_inner);
            for entry in entries.values() {
                if let Entry::Here(account) = entry {
                    look(account);
                }
            }
        }
    }
}
