//! Opens the store; and the handle through which everybody reads.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Any, Connection, Executor};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::dialect::Dialect;
use crate::error::Undecided;
use crate::journal::Committed;
use crate::location::{Location, PostgresUrl};
use crate::purpose::For;
use crate::readers::Readers;
use crate::schema::Refusal;
use crate::tx::{Lane, Tx, Way};
use crate::upgrade::{Opening, Upgraded, upgrade};
use crate::{OpenError, Result, postgres, sequences, sqlite};

/// The handle of the store, for every query, and the way to the one [`Tx`].
///
/// It is cheap to clone; all clones are one store. A few reading connections answer the queries
/// (module `readers`), each from the last commit at the moment of the query.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    place: Location,
    dialect: Dialect,
    pub(crate) readers: Readers,
    /// What is committed in the journal.
    journal: Committed,
    /// The one writing connection. Held by a [`Tx`] from beginning to end.
    writer: Arc<Mutex<Lane>>,
    pub(crate) upgraded: Option<Upgraded>,
    #[cfg(feature = "faults")]
    faults: crate::faults::Faults,
    /// Removes the folder of a [`Location::Memory`]; last, after the connections are gone.
    _folder: Option<Folder>,
}

impl Store {
    /// Opens the store, making it if there is none, and migrates its schema to today's. A copy of a
    /// file of an older schema is kept beside the new one.
    ///
    /// When this fails and there was no file before, there is none afterwards.
    pub async fn open(place: &Location) -> Result<Self, OpenError> {
        Self::open_with(place, &Opening::default()).await
    }

    /// Opens the store, with a choice of what happens to an older database.
    pub async fn open_with(place: &Location, opening: &Opening<'_>) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        match place {
            Location::Sqlite(path) => {
                let unwritable =
                    |source| OpenError::Unwritable { place: path.display().to_string(), source };
                let path = std::path::absolute(path).map_err(unwritable)?;
                let new = sqlite::ensure_file(&path).map_err(unwritable)?;
                let opened = Self::open_file(&path, None, opening).await;
                if new && opened.is_err() {
                    sqlite::remove_file(&path);
                }
                opened
            }
            Location::Postgres(url) => Self::open_postgres(url, opening).await,
            Location::Memory => {
                let unwritable = |source| OpenError::Unwritable {
                    place: std::env::temp_dir().display().to_string(),
                    source,
                };
                let folder = Folder::new().map_err(unwritable)?;
                let path = folder.0.join("store.db");
                sqlite::ensure_file(&path).map_err(unwritable)?;
                Self::open_file(&path, Some(folder), opening).await
            }
        }
    }

    async fn open_file(
        path: &Path,
        folder: Option<Folder>,
        opening: &Opening<'_>,
    ) -> Result<Self, OpenError> {
        let place = Location::Sqlite(path.to_owned());
        let failed = |error: sqlx::Error| OpenError::of(&place, &error);
        let options = sqlite::options(path).map_err(failed)?;
        let lasting = folder.is_none();
        let mut writer = sqlite::connect_writer(&options, lasting).await.map_err(failed)?;
        let upgraded = match upgrade(&mut writer, &place, Dialect::Sqlite, opening).await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                // The connection is closed first: as long as it is open it may write files beside
                // the database.
                let _ = writer.close().await;
                return Err(error);
            }
        };
        let lane = Lane::new(writer, Way::Sqlite { options: options.clone(), lasting });
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Readers::new(Dialect::Sqlite, &options),
                place,
                dialect: Dialect::Sqlite,
                journal: lane.journal.clone(),
                writer: Arc::new(Mutex::new(lane)),
                upgraded,
                #[cfg(feature = "faults")]
                faults: crate::faults::Faults::default(),
                _folder: folder,
            }),
        })
    }

    async fn open_postgres(url: &PostgresUrl, opening: &Opening<'_>) -> Result<Self, OpenError> {
        let place = Location::Postgres(url.clone());
        let postgres::Writer { mut conn, pid } = postgres::open_writer(url).await?;
        let prepared = async {
            let upgraded = upgrade(&mut conn, &place, Dialect::Postgres, opening).await?;
            postgres::tune(&mut conn).await;
            // See `postgres`: a server that reconnects after this opening finds that its own is no
            // longer the last.
            let opened = sequences::next(&mut conn, postgres::OPENED).await;
            Ok((upgraded, opened.map_err(|error| Refusal::from(error).at(&place))?))
        };
        let (upgraded, opened) = match prepared.await {
            Ok(done) => done,
            Err(error) => {
                // Its lock is released with it.
                let _ = conn.close().await;
                return Err(error);
            }
        };
        let lane = Lane::new(conn, Way::Postgres { url: url.clone(), pid, opened });
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Readers::new(Dialect::Postgres, &url.options()),
                place,
                dialect: Dialect::Postgres,
                journal: lane.journal.clone(),
                writer: Arc::new(Mutex::new(lane)),
                upgraded,
                #[cfg(feature = "faults")]
                faults: crate::faults::Faults::default(),
                _folder: None,
            }),
        })
    }

    /// Returns where this store is.
    #[must_use]
    pub fn place(&self) -> &Location {
        &self.inner.place
    }

    /// Returns which database it is.
    pub(crate) fn dialect(&self) -> Dialect {
        self.inner.dialect
    }

    /// Begins the next transaction; waits until the one before it has ended.
    pub async fn begin(&self) -> Result<Tx> {
        let tx = Tx::begin(self.lane().await).await?;
        #[cfg(feature = "faults")]
        let tx = tx.under(&self.inner.faults).await?;
        Ok(tx)
    }

    /// Waits until the transaction before has ended.
    pub(crate) async fn lane(&self) -> OwnedMutexGuard<Lane> {
        Arc::clone(&self.inner.writer).lock_owned().await
    }

    /// Begins the next transaction, unless a connection would have to be made for it: a query that
    /// waits for PostgreSQL must not hold up whoever writes.
    pub(crate) async fn begin_connected(&self, lane: OwnedMutexGuard<Lane>) -> Result<Tx> {
        let tx = Tx::begin_connected(lane).await?;
        #[cfg(feature = "faults")]
        let tx = tx.under(&self.inner.faults).await?;
        Ok(tx)
    }

    /// Closes the store: waits for what is under way; then everything is in the one file.
    ///
    /// After this, every use of any handle is refused with [`Error::Closed`](crate::Error::Closed).
    pub async fn close(&self) -> Result<()> {
        self.inner.readers.close().await;
        let Some(mut writer) = self.inner.writer.lock().await.close().await else {
            return Ok(());
        };
        if self.inner.dialect == Dialect::Postgres {
            return Ok(writer.close().await?);
        }
        let checkpointed = writer.execute(sqlite::CHECKPOINT).await;
        writer.close().await?;
        checkpointed?;
        Ok(())
    }

    /// Returns whether a transaction that ended with [`Error::Undecided`] was committed.
    ///
    /// Fails with [`Error::Lost`] as long as the database cannot be reached; nothing is decided
    /// then, and the caller can ask again.
    ///
    /// [`Error::Undecided`]: crate::Error::Undecided
    /// [`Error::Lost`]: crate::Error::Lost
    pub async fn decide(&self, undecided: Undecided) -> Result<bool> {
        self.inner.writer.lock().await.decide(undecided).await
    }

    /// Returns whether no query or transaction is running at this moment.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inner.readers.are_idle() && self.inner.writer.try_lock().is_ok()
    }

    #[cfg(feature = "faults")]
    pub(crate) fn faults(&self) -> &crate::faults::Faults {
        &self.inner.faults
    }

    /// Returns what is known of the journal.
    pub(crate) fn journal(&self) -> &Committed {
        &self.inner.journal
    }

    /// Returns a connection for a question of a login: one that finds its few rows by their key, and
    /// not in archives or repeats.
    pub(crate) async fn reader(&self) -> Result<PoolConnection<Any>> {
        self.reader_for(For::Logins).await
    }

    /// Returns a connection for what an account gets of its own.
    pub(crate) async fn own_reader(&self) -> Result<PoolConnection<Any>> {
        self.reader_for(For::Mailboxes).await
    }

    /// Returns a connection for whatever may take long: lists, counts, archives.
    pub(crate) async fn long_reader(&self) -> Result<PoolConnection<Any>> {
        self.reader_for(For::Archives).await
    }

    /// Returns a connection for a query.
    pub(crate) async fn reader_for(&self, what: For) -> Result<PoolConnection<Any>> {
        let reader = self.inner.readers.acquire(what).await?;
        #[cfg(feature = "faults")]
        self.inner.faults.meet(crate::faults::Step::Question).await?;
        Ok(reader)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        loop {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let path =
                std::env::temp_dir().join(format!("whoelse-store-{}-{next}", std::process::id()));
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                // This is left over from an earlier process with our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about a folder that cannot be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
