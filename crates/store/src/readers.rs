//! The reading connections, in three pools, so that no kind of question waits for another kind.
//!
//! A query of a long archive, a list of everybody or a walk over old messages can take long, and
//! whoever asks may ask again at once. If they shared their connections with logins, a few people
//! could keep everybody out. So a question says what it is for ([`For`]), and a pool of one kind never
//! lends to another.

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool};

use crate::dialect::Dialect;
use crate::purpose::For;
use crate::{Result, postgres, sqlite};

/// How long a question waits for a reader before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it waits with PostgreSQL, where a reader may have to reconnect: longer than a restart of
/// PostgreSQL takes, shorter than a request may take.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(10);

/// The pools.
pub(crate) struct Readers {
    logins: AnyPool,
    mailboxes: AnyPool,
    archives: AnyPool,
}

impl Readers {
    /// Makes the pools; their connections are made when they are needed.
    pub fn new(dialect: Dialect, options: &AnyConnectOptions) -> Readers {
        Readers {
            logins: pool(For::Logins, dialect, options.clone()),
            mailboxes: pool(For::Mailboxes, dialect, options.clone()),
            archives: pool(For::Archives, dialect, options.clone()),
        }
    }

    fn pool(&self, what: For) -> &AnyPool {
        match what {
            For::Logins => &self.logins,
            For::Mailboxes => &self.mailboxes,
            For::Archives => &self.archives,
        }
    }

    fn all(&self) -> [&AnyPool; 3] {
        [&self.logins, &self.mailboxes, &self.archives]
    }

    /// Waits for a connection.
    pub async fn acquire(&self, what: For) -> Result<PoolConnection<Any>> {
        Ok(self.pool(what).acquire().await?)
    }

    /// Whether none is in use.
    pub fn are_idle(&self) -> bool {
        let is_idle =
            |pool: &AnyPool| usize::try_from(pool.size()).is_ok_and(|all| pool.num_idle() >= all);
        self.all().into_iter().all(is_idle)
    }

    /// Closes all connections; waits for what is under way.
    pub async fn close(&self) {
        for pool in self.all() {
            pool.close().await;
        }
    }
}

fn pool(what: For, dialect: Dialect, options: AnyConnectOptions) -> AnyPool {
    let pool = AnyPoolOptions::new().max_connections(what.at_once() as u32);
    let pool = pool.idle_timeout(None).max_lifetime(None);
    match dialect {
        Dialect::Sqlite => pool
            .acquire_timeout(PATIENCE)
            // A connection here is a thread of our own process: it does not vanish unnoticed.
            .test_before_acquire(false)
            .after_connect(|conn: &mut AnyConnection, _| Box::pin(sqlite::prepare_reader(conn))),
        Dialect::Postgres => pool
            .acquire_timeout(POSTGRES_PATIENCE)
            // A connection that was lost meanwhile is replaced before the query, within the waiting
            // time.
            .test_before_acquire(true)
            .after_connect(|conn: &mut AnyConnection, _| Box::pin(postgres::prepare_reader(conn))),
    }
    .connect_lazy_with(options)
}

/// All readers of some kinds, held so that nobody else has them. For tests.
#[cfg(any(test, feature = "faults"))]
pub struct HeldReaders(#[allow(dead_code)] Vec<PoolConnection<Any>>);

#[cfg(any(test, feature = "faults"))]
impl crate::Store {
    /// Takes every reader of archives, as long queries would that never end.
    pub async fn hold_archive_readers(&self) -> Result<HeldReaders> {
        self.hold(&[For::Archives]).await
    }

    /// Takes every reader but those of logins.
    pub async fn hold_all_but_login_readers(&self) -> Result<HeldReaders> {
        self.hold(&[For::Archives, For::Mailboxes]).await
    }

    async fn hold(&self, kinds: &[For]) -> Result<HeldReaders> {
        let mut held = Vec::new();
        for kind in kinds {
            for _ in 0..kind.at_once() {
                held.push(self.inner.readers.acquire(*kind).await?);
            }
        }
        Ok(HeldReaders(held))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::task::{Context, Waker};

    use super::*;
    use crate::scratch::Scratch;
    use crate::testing::{account, fresh, message, verifier};
    use crate::{DataKey, Query, Store};

    #[tokio::test]
    async fn a_login_waits_neither_for_archives_nor_for_mailboxes() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 1)]).await.unwrap();
        tx.append(&[message(1, ("bob", bob), ("bob", bob))]).await.unwrap();
        tx.commit().await.unwrap();
        store.settle(bob).await;

        let held = store.hold_all_but_login_readers().await.unwrap();
        let archives = [
            tokio::spawn({
                let store = store.clone();
                async move { store.query(bob, &Query { limit: 1, ..Query::default() }).await.map(drop) }
            }),
            tokio::spawn({
                let store = store.clone();
                async move { store.undelivered(bob, 0, 1).await.map(drop) }
            }),
        ];
        tokio::task::yield_now().await;
        // What a login asks, and what it takes to load an account.
        assert!(store.verifier(1, "bob", "SCRAM-SHA-1", 0).await.unwrap().is_some());
        assert!(store.credentials(bob).await.unwrap().len() == 1);
        assert!(store.known_networks_since(bob, 0).await.unwrap().is_empty());
        assert!(store.find_account(1, "bob").await.unwrap().is_some());
        assert!(!store.was_name_removed_since(1, "bob", 0).await.unwrap());
        assert!(store.setting("x").await.unwrap().is_none());
        assert!(store.domains().await.unwrap().len() == 1);
        assert!(store.blocks(bob).await.unwrap().is_empty());
        assert_eq!(store.cursor(bob).await.unwrap(), 0);
        assert!(archives.iter().all(|asking| !asking.is_finished()));

        drop(held);
        for asking in archives {
            asking.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn what_waits_for_somebody_is_read_while_archives_are_queried() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.append(&[message(1, ("bob", bob), ("bob", bob))]).await.unwrap();
        tx.commit().await.unwrap();

        let held = store.hold_archive_readers().await.unwrap();
        assert_eq!(store.undelivered(bob, 0, 9).await.unwrap().len(), 1);
        assert_eq!(store.count_undelivered(bob, 0).await.unwrap().len(), 1);
        let key = DataKey { namespace: "a", name: "b" };
        assert!(store.account_data(bob, key).await.unwrap().is_none());
        assert_eq!(store.list_accounts(1, "", 9).await.unwrap().len(), 1);
        assert!(!store.is_idle());
        drop(held);
        while !store.is_idle() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn each_kind_has_so_many_connections_and_no_more_on_either_database() {
        let (_dir, store) = fresh().await;
        let scratch = Scratch::new().map(Result::unwrap);
        let mut stores = vec![store];
        if let Some(scratch) = &scratch {
            stores.push(Store::open(&scratch.place()).await.unwrap());
        }
        for store in stores {
            let _held = store.hold(&[For::Logins, For::Mailboxes, For::Archives]).await.unwrap();

            for what in [For::Logins, For::Mailboxes, For::Archives] {
                let one_more = std::pin::pin!(store.inner.readers.acquire(what));
                let looked = one_more.poll(&mut Context::from_waker(Waker::noop()));
                assert!(looked.is_pending(), "{what:?}");
            }
            let open = store.inner.readers.all().map(AnyPool::size);
            assert_eq!(open.iter().sum::<u32>(), 7, "docs/operating.md says so");
        }
    }
}
