//! Queries of archives: whoever reads an archive is told everything that was committed of it.
//!
//! Before such a query the journal is folded, so the query need not know of it. Where the disk is
//! full, or the writer has lost its database, a fold is refused; then the same query reads what is in
//! the journal as well. That costs a walk over the journal, which is bounded, and it is one
//! statement, so a fold that happens meanwhile shows nothing twice.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AssertSqlSafe, SqlSafeStr, SqlStr};

use crate::journal::{self, Content, Folded};
use crate::purpose::For;
use crate::{Error, Result, Store};

/// Where a query goes over the index by peer.
macro_rules! by_peer {
    () => {
        "archive_rows k CROSS JOIN "
    };
}
pub(crate) use by_peer;

pub(crate) const BY_PEER: &str = by_peer!();

/// A connection for queries of archives.
pub(crate) struct LogReader {
    conn: PoolConnection<Any>,
    /// Whether rows that the query asks for can be in the journal.
    with_journal: bool,
}

/// What a query of archives asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Everything,
    /// What is in this archive.
    Of(i64),
    /// What was kept before this even time.
    KeptBefore(i64),
}

impl Asked {
    /// The parts of the journal in which something of it is.
    fn parts_of(self, journal: &Content) -> Vec<Folded> {
        match self {
            Self::Everything => journal.parts(),
            Self::Of(archive) => journal.parts_with(archive),
            Self::KeptBefore(time) => journal.parts_kept_before(time),
        }
    }
}

impl LogReader {
    /// Returns the query of archives to be made on this connection: the given one, or the same of
    /// the journal too.
    pub fn text(&self, query: &'static str) -> SqlStr {
        match self.with_journal {
            true => AssertSqlSafe(with_journal(query)).into_sql_str(),
            false => query.into_sql_str(),
        }
    }
}

impl Deref for LogReader {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.conn
    }
}

impl DerefMut for LogReader {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.conn
    }
}

/// Returns the query of `archive_rows` that reads what is in the journal as well. The way over the
/// index by peer, for which the same rows are named twice, is left out: SQLite would copy what is
/// named twice, all archives of it.
pub(crate) fn with_journal(query: &str) -> String {
    let once = query.replace(BY_PEER, "").replace(" k.", " r.");
    format!(
        "WITH all_rows AS (SELECT {} FROM archive_rows UNION ALL {}) {}",
        journal::COLUMNS,
        journal::ROWS,
        once.replace("archive_rows", "all_rows")
    )
}

impl Store {
    /// Folds the journal if it has rows of this archive. Called before a query of it that must wait
    /// for no transaction, because others wait for whoever makes it.
    ///
    /// A query finds the rows in any case. If this fails, so may the query, and says why.
    pub async fn settle(&self, archive: i64) {
        if let Err(error) = self.fold_for(Asked::Of(archive)).await {
            tracing::debug!(%error, "archive_not_settled");
        }
    }

    /// Returns a connection for queries of an archive.
    pub(crate) async fn reader_of(&self, archive: i64) -> Result<LogReader> {
        self.log_reader(Asked::Of(archive), For::Archives).await
    }

    /// Returns a connection for what waits in an archive for its owner.
    pub(crate) async fn mailbox_reader(&self, archive: i64) -> Result<LogReader> {
        self.log_reader(Asked::Of(archive), For::Mailboxes).await
    }

    /// Returns a connection for queries of all archives.
    pub(crate) async fn reader_of_all(&self) -> Result<LogReader> {
        self.log_reader(Asked::Everything, For::Archives).await
    }

    /// Returns a connection for queries of what was kept before this even time.
    pub(crate) async fn reader_of_old(&self, before: i64) -> Result<LogReader> {
        self.log_reader(Asked::KeptBefore(before), For::Archives).await
    }

    /// Returns a connection for a query of what is asked for, after a fold. Where a fold is refused,
    /// so is this.
    pub(crate) async fn folded_reader(&self, asked: Asked) -> Result<PoolConnection<Any>> {
        self.fold_for(asked).await?;
        self.long_reader().await
    }

    /// Returns what is to be folded before a query.
    fn to_fold(&self, asked: Asked) -> Vec<Folded> {
        self.journal().to_fold(|content| asked.parts_of(content))
    }

    async fn log_reader(&self, asked: Asked, what: For) -> Result<LogReader> {
        let with_journal = match self.fold_for(asked).await {
            Ok(()) => false,
            Err(error) if error.is_full() || error.is_lost() => true,
            Err(error) => return Err(error),
        };
        Ok(LogReader { conn: self.reader_for(what).await?, with_journal })
    }

    /// Folds what can be in the journal of what is asked for. Once begun this goes on whatever becomes
    /// of the caller: a fold that ends halfway would have to be made again, and would leave the writer
    /// to find out what has happened.
    async fn fold_for(&self, asked: Asked) -> Result<()> {
        let to_fold = self.to_fold(asked);
        if to_fold.is_empty() {
            return Ok(());
        }
        let store = self.clone();
        let folding = tokio::spawn(async move {
            // One by one, so that nobody else waits for more than one.
            for folded in to_fold {
                store.fold_now(asked, folded).await?;
            }
            Ok(())
        });
        folding.await.unwrap_or_else(|ended| match ended.is_panic() {
            true => Err(Error::lost()),
            // The runtime shuts down.
            false => Err(Error::Closed),
        })
    }

    async fn fold_now(&self, asked: Asked, folded: Folded) -> Result<()> {
        let lane = self.lane().await;
        // Somebody may have done so meanwhile, or it may not be known any more what is in it.
        let to_fold = self.to_fold(asked);
        let folded = match to_fold.contains(&Folded::Everything) {
            true => Folded::Everything,
            false if to_fold.contains(&folded) => folded,
            false => return Ok(()),
        };
        let mut tx = self.begin_connected(lane).await?;
        tx.fold(folded).await?;
        match tx.commit().await {
            // Whatever became of it, the next one finds out by folding again.
            Err(Error::Undecided(_)) => Err(Error::lost()),
            done => done,
        }
    }
}
