//! A transaction: the only way to change anything.
//!
//! Transactions are begun and ended with plain statements rather than the driver's own counter
//! of them: on a full disk SQLite ends a transaction by itself, and the counter would never be
//! right again.

use std::fmt;

use sqlx::AnyConnection;
use sqlx::any::AnyConnectOptions;
use tokio::sync::OwnedMutexGuard;

use crate::{Error, Result, sqlite};

const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// Changes that happen together or not at all.
///
/// There is one at a time. [`commit`](Tx::commit) makes them last; dropping it without undoes
/// them, also when the task that held it is cancelled. The functions that change something are
/// methods of this type, each beside the noun it is about.
///
/// After an error the transaction can only be dropped: what it did may be undone already.
pub struct Tx {
    lane: OwnedMutexGuard<Lane>,
    #[cfg(feature = "faults")]
    faults: crate::faults::Faults,
}

impl Tx {
    pub(crate) async fn begin(lane: OwnedMutexGuard<Lane>) -> Result<Self> {
        let mut tx = Self {
            lane,
            #[cfg(feature = "faults")]
            faults: crate::faults::Faults::default(),
        };
        if let Err(error) = tx.start().await {
            if matches!(error, Error::Closed) {
                return Err(error);
            }
            // Whatever state the connection is in, a new one is in none.
            tracing::warn!(%error, "writer_reconnect");
            tx.lane.writer = None;
            tx.start().await?;
        }
        Ok(tx)
    }

    async fn start(&mut self) -> Result<()> {
        self.lane.connect().await?;
        if std::mem::replace(&mut self.lane.unfinished, true) {
            // It fails when there is nothing to undo: the one before was cancelled in its
            // commit, or ended by SQLite.
            let _ = sqlx::query(ROLLBACK).execute(self.conn()?).await;
        }
        sqlx::query(sqlite::BEGIN).execute(self.conn()?).await?;
        Ok(())
    }

    /// Makes the changes last. When this returns they are on the disk.
    ///
    /// When it fails they are undone; when it is cancelled, either may be true.
    pub async fn commit(mut self) -> Result<()> {
        #[cfg(feature = "faults")]
        self.faults.meet(crate::faults::Step::Commit).await?;
        sqlx::query(COMMIT).execute(self.conn()?).await?;
        self.lane.unfinished = false;
        Ok(())
    }

    /// Undoes the changes now; a drop leaves that to the transaction that begins next.
    pub async fn rollback(mut self) -> Result<()> {
        sqlx::query(ROLLBACK).execute(self.conn()?).await?;
        self.lane.unfinished = false;
        Ok(())
    }

    /// Puts it under the weather that a test has ordered.
    #[cfg(feature = "faults")]
    pub(crate) async fn under(mut self, faults: &crate::faults::Faults) -> Result<Self> {
        faults.meet(crate::faults::Step::Begin).await?;
        self.faults = faults.clone();
        Ok(self)
    }

    /// Returns the connection this transaction is on.
    pub(crate) fn conn(&mut self) -> Result<&mut AnyConnection> {
        #[cfg(feature = "faults")]
        self.faults.meet_now(crate::faults::Step::Statement)?;
        self.lane.writer.as_mut().ok_or(Error::Closed)
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// The writing connection, and what it takes to make it again.
pub(crate) struct Lane {
    /// None while connecting again has not succeeded, and after closing.
    writer: Option<AnyConnection>,
    options: AnyConnectOptions,
    lasting: bool,
    /// A transaction was begun and its end is not known.
    unfinished: bool,
    closed: bool,
}

impl Lane {
    pub(crate) fn new(writer: AnyConnection, options: AnyConnectOptions, lasting: bool) -> Self {
        Self { writer: Some(writer), options, lasting, unfinished: false, closed: false }
    }

    /// Takes the connection out for good, with nothing begun on it.
    pub(crate) async fn close(&mut self) -> Option<AnyConnection> {
        self.closed = true;
        let mut writer = self.writer.take()?;
        if self.unfinished {
            // See `Tx::start`.
            let _ = sqlx::query(ROLLBACK).execute(&mut writer).await;
        }
        Some(writer)
    }

    async fn connect(&mut self) -> Result<()> {
        if self.closed {
            return Err(Error::Closed);
        }
        if self.writer.is_none() {
            self.writer = Some(sqlite::connect_writer(&self.options, self.lasting).await?);
            self.unfinished = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::{account, fresh};

    #[tokio::test]
    async fn a_connection_in_an_unknown_state_is_made_anew() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "bob").await;
        tx.commit().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "eve").await;
        tx.lane.unfinished = false;
        drop(tx);

        // SQLite refuses to begin within a transaction, of which we know nothing.
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "mona").await;
        tx.commit().await.unwrap();

        assert_eq!(store.count_accounts(1).await.unwrap(), 2);
        assert!(store.find_account(1, "eve").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_does_not_stop_the_next() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        sqlx::query(super::ROLLBACK).execute(tx.conn().unwrap()).await.unwrap();
        assert!(tx.commit().await.is_err());

        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "bob").await;
        tx.commit().await.unwrap();

        assert_eq!(store.count_accounts(1).await.unwrap(), 1);
    }
}
