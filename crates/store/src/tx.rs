//! A transaction: the only way to change anything.
//!
//! Transactions begin and end with plain statements rather than with the driver's own counter: on a
//! full disk SQLite ends a transaction by itself, and that counter would be wrong from then on.

use std::fmt;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Executor, Row};
use tokio::sync::OwnedMutexGuard;

use crate::archives::Numbering;
use crate::dialect::Dialect;
use crate::error::Undecided;
use crate::journal::{self, Changes, Committed, Entry, Folded, NotInJournal};
use crate::location::PostgresUrl;
use crate::postgres::bounded;
use crate::repeats::Repeats;
use crate::{Error, Result, postgres, sqlite};

const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const BEGIN_PART: &str = "SAVEPOINT part";
const KEEP_PART: &str = "RELEASE SAVEPOINT part";
const UNDO_PART: &str = "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part";

/// Changes that happen together or not at all.
///
/// There is one transaction at a time. [`commit`](Tx::commit) makes its changes permanent; dropping
/// it without a commit undoes them, also when its task is cancelled. The functions that change
/// something are methods of this type, each in the file of its table.
///
/// After an error the transaction can only be dropped, since its changes may be undone already; or,
/// if the error came in a part of it, that part can be undone ([`undo_part`](Tx::undo_part)).
pub struct Tx {
    lane: OwnedMutexGuard<Lane>,
    /// Its number with PostgreSQL.
    txid: Option<i64>,
    /// What it has done to the journal.
    journal: Changes,
    before_part: Mark,
    #[cfg(feature = "faults")]
    faults: crate::faults::Faults,
}

/// What a transaction had done when its present part began.
#[derive(Debug, Default)]
struct Mark {
    journal: Changes,
    /// How many rows of repeats it had written.
    repeats: usize,
}

impl Tx {
    fn new(lane: OwnedMutexGuard<Lane>) -> Self {
        Self {
            lane,
            txid: None,
            journal: Changes::default(),
            before_part: Mark::default(),
            #[cfg(feature = "faults")]
            faults: crate::faults::Faults::default(),
        }
    }

    pub(crate) async fn begin(lane: OwnedMutexGuard<Lane>) -> Result<Self> {
        let mut tx = Self::new(lane);
        if let Err(error) = tx.start().await {
            if matches!(error, Error::Closed | Error::Taken) {
                return Err(error);
            }
            // The connection may be in any state; a new one is in none. If reconnecting fails as
            // well, the caller gets the error.
            tracing::debug!(%error, "writer_reconnect");
            tx.lane.writer = None;
            tx.start().await?;
        }
        Ok(tx)
    }

    /// Begins without connecting anew.
    ///
    /// # Errors
    /// [`Error::Lost`] if that is needed: it is left to whoever writes next.
    pub(crate) async fn begin_connected(lane: OwnedMutexGuard<Lane>) -> Result<Self> {
        if lane.is_lost() {
            return Err(Error::lost());
        }
        let mut tx = Self::new(lane);
        if let Err(error) = tx.start().await {
            if error.is_lost() {
                tx.lane.writer = None;
            }
            return Err(error);
        }
        Ok(tx)
    }

    async fn start(&mut self) -> Result<()> {
        self.lane.connect().await?;
        if std::mem::replace(&mut self.lane.unfinished, true) {
            if std::mem::take(&mut self.lane.committing) {
                // It was cancelled, and may have happened.
                self.lane.doubt();
            }
            self.forget_written();
            // This fails when there is nothing to undo: the transaction before was cancelled during
            // its commit, or ended by SQLite. The next statement shows whether the connection
            // lives.
            let _ = bounded(sqlx::query(ROLLBACK).execute(self.conn()?)).await;
        }
        match self.lane.way {
            Way::Sqlite { .. } => {
                sqlx::query(sqlite::BEGIN).execute(self.conn()?).await?;
            }
            Way::Postgres { .. } => {
                // `fetch_one` would look at the first statement alone.
                let began = self.conn()?.fetch_all(sqlx::raw_sql(postgres::BEGIN));
                let began = bounded(began).await?;
                let row = began.first().ok_or(sqlx::Error::RowNotFound)?;
                self.txid = Some(row.try_get(0)?);
            }
        }
        Ok(())
    }

    /// Makes the changes permanent. When this returns they are on the disk.
    ///
    /// When it fails they are undone, except with [`Error::Undecided`]; when it is cancelled,
    /// either may be the case.
    pub async fn commit(mut self) -> Result<()> {
        #[cfg(feature = "faults")]
        self.faults.meet(crate::faults::Step::Commit).await?;
        self.lane.committing = true;
        let ended = self.end().await;
        self.lane.committing = false;
        match &ended {
            Ok(()) => {
                self.lane.unfinished = false;
                self.lane.journal.changed(std::mem::take(&mut self.journal));
                self.lane.repeats.committed();
            }
            Err(Error::Undecided(_)) => self.lane.doubt(),
            Err(_) => {}
        }
        ended
    }

    async fn end(&mut self) -> Result<()> {
        let Some(txid) = self.txid else {
            sqlx::query(COMMIT).execute(self.conn()?).await?;
            return Ok(());
        };
        let done = self.conn()?.execute(sqlx::raw_sql(postgres::COMMIT));
        let done = bounded(done).await.map_err(Error::from);
        match done {
            Ok(_) => Ok(()),
            Err(error) if !error.is_lost() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "lost_in_commit");
                self.lane.writer = None;
                Err(Error::Undecided(Undecided { txid }))
            }
        }
    }

    /// Begins a part, which can be undone without the rest. It ends with
    /// [`keep_part`](Tx::keep_part) or [`undo_part`](Tx::undo_part), before another part begins.
    pub async fn begin_part(&mut self) -> Result<()> {
        sqlx::query(BEGIN_PART).execute(self.conn()?).await?;
        let repeats = self.lane.repeats.written();
        self.before_part = Mark { journal: self.journal.clone(), repeats };
        Ok(())
    }

    /// Ends a part; its changes are undone only with the whole transaction.
    pub async fn keep_part(&mut self) -> Result<()> {
        sqlx::query(KEEP_PART).execute(self.conn()?).await?;
        Ok(())
    }

    /// Undoes a part, whatever has failed in it; the transaction can go on.
    ///
    /// This fails when there is no transaction any more: the connection is lost, or SQLite has ended
    /// the transaction by itself, as it may on a full disk.
    pub async fn undo_part(&mut self) -> Result<()> {
        self.lane.numbering = Numbering::default();
        let Mark { journal, repeats } = std::mem::take(&mut self.before_part);
        self.journal = journal;
        self.lane.repeats.undone_after(repeats);
        bounded(self.conn()?.execute(sqlx::raw_sql(UNDO_PART))).await?;
        Ok(())
    }

    /// Undoes the changes now; a drop leaves this to the next transaction.
    pub async fn rollback(mut self) -> Result<()> {
        sqlx::query(ROLLBACK).execute(self.conn()?).await?;
        self.lane.unfinished = false;
        self.forget_written();
        Ok(())
    }

    /// Applies the faults that a test has planned.
    #[cfg(feature = "faults")]
    pub(crate) async fn under(mut self, faults: &crate::faults::Faults) -> Result<Self> {
        faults.meet(crate::faults::Step::Begin).await?;
        self.faults = faults.clone();
        Ok(self)
    }

    /// Returns the connection of this transaction, for everything but the log.
    pub(crate) fn conn(&mut self) -> Result<&mut AnyConnection> {
        #[cfg(feature = "faults")]
        self.faults.meet_now(crate::faults::Step::Statement)?;
        self.lane.writer()
    }

    /// Returns the connection for statements on an archive and its bodies: nothing of it is in the
    /// journal any more.
    pub(crate) async fn log_conn(&mut self, archive: i64) -> Result<&mut AnyConnection> {
        self.fold_if_it_has(archive).await?;
        self.conn()
    }

    /// Moves what the journal has of this archive to where it belongs.
    pub(crate) async fn fold_if_it_has(&mut self, archive: i64) -> Result<()> {
        self.fold_all(self.lane.journal.parts_with(&self.journal, &[archive])).await
    }

    async fn fold_all(&mut self, folded: Vec<Folded>) -> Result<()> {
        for folded in folded {
            self.fold(folded).await?;
        }
        Ok(())
    }

    /// Moves what is in the journal, or in a part of it, to where it belongs.
    pub(crate) async fn fold(&mut self, folded: Folded) -> Result<()> {
        let dialect = Dialect::of(self.lane.writer()?);
        let [first, last] = folded.bounds();
        for text in journal::fold(dialect) {
            sqlx::query(*text).bind(first).bind(last).execute(self.conn()?).await?;
        }
        self.journal.note_emptied(folded);
        Ok(())
    }

    /// Removes everything in the journal.
    pub(crate) async fn clear_journal(&mut self) -> Result<()> {
        sqlx::query(journal::CLEAR).execute(self.conn()?).await?;
        self.journal.note_emptied(Folded::Everything);
        Ok(())
    }

    /// Folds what has to be folded before a row more of each of these archives is written: the parts
    /// of the journal that have no room, those with rows of an archive whose last number is not
    /// known, and everything if it is not known what is in it. Returns those archives.
    pub(crate) async fn make_room(
        &mut self,
        archives: impl Iterator<Item = i64> + Clone,
    ) -> Result<NotInJournal> {
        let coming = journal::count(archives.clone());
        let unread = self.lane.numbering.unread(archives);
        self.fold_all(self.lane.journal.parts_with(&self.journal, &unread)).await?;
        self.fold_all(self.lane.journal.without_room(&self.journal, &coming)).await?;
        let unread = self.lane.journal.without(&self.journal, unread);
        Ok(unread.ok_or(sqlx::Error::RowNotFound)?)
    }

    /// Notes what this transaction has written into the journal.
    pub(crate) fn note_in_journal(&mut self, entries: &[Entry<'_>]) {
        self.journal.note_written(entries);
    }

    /// Forgets what a transaction has written that is not committed.
    fn forget_written(&mut self) {
        self.lane.numbering = Numbering::default();
        self.lane.repeats.undone_after(0);
    }

    /// Forgets what is known of archives and repeats, because others have replaced them.
    pub(crate) fn forget_known(&mut self) {
        self.lane.numbering = Numbering::default();
        self.lane.repeats.forget();
    }

    /// Forgets what is known of repeats, because their times are others.
    pub(crate) fn forget_repeats(&mut self) {
        self.lane.repeats.forget();
    }

    #[cfg(test)]
    pub(crate) fn replace_numbering(&mut self, numbering: Numbering) {
        self.lane.numbering = numbering;
    }

    /// Returns the connection, the numbers that archives assign, and the repeats.
    pub(crate) fn conn_and_known(
        &mut self,
    ) -> Result<(&mut AnyConnection, &mut Numbering, &mut Repeats)> {
        #[cfg(feature = "faults")]
        self.faults.meet_now(crate::faults::Step::Statement)?;
        let Lane { writer, numbering, repeats, .. } = &mut *self.lane;
        Ok((writer.as_mut().ok_or(Error::Closed)?, numbering, repeats))
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// The writing connection, and what is needed to open it again.
pub(crate) struct Lane {
    /// The connection; `None` after closing, and after a failed attempt to reconnect.
    writer: Option<AnyConnection>,
    way: Way,
    numbering: Numbering,
    repeats: Repeats,
    /// What is committed in the journal.
    pub(crate) journal: Committed,
    /// Whether a transaction was begun whose end is not known.
    unfinished: bool,
    /// Whether a commit was begun whose answer is not known.
    committing: bool,
    closed: bool,
}

/// How to reach the database.
pub(crate) enum Way {
    Sqlite {
        options: AnyConnectOptions,
        lasting: bool,
    },
    Postgres {
        url: PostgresUrl,
        /// The process at the other end, which holds the lock.
        pid: i64,
        /// The number of this opening.
        opened: i64,
    },
}

impl Lane {
    pub(crate) fn new(writer: AnyConnection, way: Way) -> Self {
        Self {
            writer: Some(writer),
            way,
            numbering: Numbering::default(),
            repeats: Repeats::default(),
            journal: Committed::default(),
            unfinished: false,
            committing: false,
            closed: false,
        }
    }

    /// Notes that it is not known whether a commit has happened.
    fn doubt(&mut self) {
        self.journal.doubt();
        self.repeats.doubt();
    }

    /// Whether the connection is lost and not made anew yet.
    fn is_lost(&self) -> bool {
        self.writer.is_none() && !self.closed && matches!(self.way, Way::Postgres { .. })
    }

    fn writer(&mut self) -> Result<&mut AnyConnection> {
        self.writer.as_mut().ok_or(Error::Closed)
    }

    /// Takes the connection out for good, with no transaction begun on it.
    pub(crate) async fn close(&mut self) -> Option<AnyConnection> {
        self.closed = true;
        let mut writer = self.writer.take()?;
        if self.unfinished {
            // See `Tx::start`.
            let _ = bounded(sqlx::query(ROLLBACK).execute(&mut writer)).await;
        }
        Some(writer)
    }

    /// Returns what became of a transaction whose connection was lost during its commit.
    pub(crate) async fn decide(&mut self, undecided: Undecided) -> Result<bool> {
        self.connect().await?;
        let conn = self.writer.as_mut().ok_or(Error::Closed)?;
        // The lock is ours again, so the connection of the transaction is gone, and its transaction
        // is over.
        let decided = postgres::was_committed(conn, undecided.txid).await;
        if decided.is_err() {
            self.writer = None;
        }
        decided
    }

    async fn connect(&mut self) -> Result<()> {
        if self.closed {
            return Err(Error::Closed);
        }
        if self.writer.is_none() {
            self.numbering = Numbering::default();
            self.repeats.undone_after(0);
            self.writer = Some(match &mut self.way {
                Way::Sqlite { options, lasting } => {
                    sqlite::connect_writer(options, *lasting).await?
                }
                Way::Postgres { url, pid, opened } => {
                    let writer = postgres::reopen_writer(url, *pid, *opened).await?;
                    *pid = writer.pid;
                    tracing::info!("writer_back");
                    writer.conn
                }
            });
            self.unfinished = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::dialect::Dialect;
    use crate::testing::{account, fresh, fresh_file, message, verifier};

    #[tokio::test]
    async fn a_connection_in_an_unknown_state_is_made_anew() {
        let (_dir, store) = fresh_file().await;
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "bob").await;
        tx.commit().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "eve").await;
        tx.lane.unfinished = false;
        drop(tx);

        // SQLite refuses to begin within a transaction; in that case its state is unknown.
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "mona").await;
        tx.commit().await.unwrap();

        assert_eq!(store.count_accounts(1).await.unwrap(), 2);
        assert!(store.find_account(1, "eve").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_does_not_stop_the_next() {
        let (_dir, store) = fresh_file().await;
        let mut tx = store.begin().await.unwrap();
        sqlx::query(super::ROLLBACK).execute(tx.conn().unwrap()).await.unwrap();
        assert!(tx.commit().await.is_err());

        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "bob").await;
        tx.commit().await.unwrap();

        assert_eq!(store.count_accounts(1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_part_in_which_a_statement_failed_is_undone_alone() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let archive = tx.find_account(1, "bob").await.unwrap().unwrap().archive;
        let message = |n| message(n, ("bob", archive), ("bob", archive));
        tx.begin_part().await.unwrap();
        tx.block(bob, &["eve@#1"]).await.unwrap();
        tx.append(&[message(1)]).await.unwrap();
        tx.keep_part().await.unwrap();

        tx.begin_part().await.unwrap();
        tx.block(bob, &["mal@#1"]).await.unwrap();
        tx.append(&[message(2)]).await.unwrap();
        let twice = [verifier("SCRAM-SHA-1", 1), verifier("SCRAM-SHA-1", 2)];
        assert!(tx.set_credentials(bob, &twice).await.is_err());
        tx.undo_part().await.unwrap();
        tx.append(&[message(3)]).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(store.begin().await.unwrap().blocks(bob).await.unwrap(), ["eve@#1"]);
        let kept = store.undelivered(archive, 0, 9).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|row| (row.seq, row.at)).collect();
        // What was undone has used no number.
        assert_eq!(kept, [(1, 1000), (2, 3000)]);
    }

    #[tokio::test]
    async fn a_part_of_a_transaction_that_sqlite_ended_cannot_be_undone_alone() {
        let (_dir, store) = fresh_file().await;
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "bob").await;
        tx.begin_part().await.unwrap();
        sqlx::query(super::ROLLBACK).execute(tx.conn().unwrap()).await.unwrap();

        assert!(tx.undo_part().await.is_err());
    }

    #[tokio::test]
    async fn a_transaction_in_which_a_statement_failed_is_not_committed() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let twice = [verifier("SCRAM-SHA-1", 1), verifier("SCRAM-SHA-1", 2)];
        assert!(tx.set_credentials(bob, &twice).await.is_err());

        // After an error PostgreSQL has undone the transaction, but SQLite only the statement: that
        // is why an error ends a transaction.
        let committed = tx.commit().await.is_ok();

        assert_eq!(committed, store.dialect() == Dialect::Sqlite);
        assert_eq!(store.domains().await.unwrap().len(), usize::from(committed));
    }
}
