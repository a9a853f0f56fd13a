//! The store: accounts, blocks, the log of messages, counters and secrets, in one set of SQL over
//! SQLite and PostgreSQL.
//!
//! This crate knows tables and transactions and nothing of XMPP: addresses arrive as keys
//! ([`to_key`]), stanzas as bytes, times as microseconds that the caller passes in. The keeper in
//! `core`, the only user of [`Tx`] outside of this crate, decides what is written, in which order,
//! and what follows from it. A reader of an archive may have to begin a transaction by itself, to
//! move rows into it that are stored already (see the module `log_reader`); so it may wait for the
//! one before. `stream` derives and checks passwords; this crate only stores the verifiers.
//!
//! Read [`Store`] first: it opens the database, answers every query, and hands out one [`Tx`] at a
//! time through which everything is written. Then read [`NewMessage`], the heart of the log.
//!
//! Every SQL text is a constant beside the function that runs it, and is listed in [`statements`],
//! from which one test executes them all. The texts keep to a common subset: `$1` parameters,
//! `BIGINT`, `TEXT` and `BLOB` columns, sums cast to `BIGINT`, order by numbers.

mod account_data;
mod accounts;
mod address;
mod archives;
mod blocks;
mod credentials;
mod dialect;
mod domains;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
mod heartbeat;
mod history;
mod inspect;
mod journal;
mod known_networks;
mod last_available;
mod location;
mod log;
mod log_reader;
mod look;
mod open;
mod peers;
mod postgres;
mod removed_names;
mod repeats;
mod roster;
mod rows;
mod schema;
#[cfg(any(test, feature = "scratch"))]
pub mod scratch;
mod seen;
mod sequences;
mod settings;
mod sqlite;
#[cfg(test)]
mod testing;
mod throttle;
mod transfer;
mod trouble;
mod tx;
mod upgrade;

pub use account_data::{DataKey, DataLimit, Put};
pub use accounts::AccountRow;
pub use address::{from_key, to_key};
pub use credentials::{ChangedAt, Claimed, FormerKey, StoredVerifier};
pub use domains::Domain;
pub use error::{Cause, Error, OpenError, Result, Undecided};
pub use heartbeat::{ClockDoubt, Heartbeat};
pub use history::{Begun, Old, Page, Query};
pub use inspect::{Inspection, find_faults, inspect};
pub use known_networks::NetworkLogin;
pub use last_available::LastAvailable;
pub use location::{Location, PlaceError, PostgresUrl};
pub use log::{Appended, Direction, LoggedMessage, NewMessage, NewRow};
pub use look::Found;
pub use open::Store;
pub use repeats::{REPEAT_WINDOW, Repeat, RepeatKey};
pub use roster::{Holder, RosterRow, RosterVersion};
pub use seen::GoneAccount;
pub use throttle::{THROTTLE_MEMORY, Throttle};
pub use transfer::{Aside, TransferError, check_backup, copy};
pub use tx::Tx;
pub use upgrade::{Opening, Progress, Upgraded, amount, copy_of, kept_copies};

/// Returns every SQL statement that this crate can run, except schema changes and those that are
/// made for each table of a schema.
///
/// A test executes each of them on every database, so that a text that one of them does not
/// understand is found before a user finds it.
#[must_use]
pub fn statements() -> Vec<String> {
    [
        account_data::STATEMENTS,
        accounts::STATEMENTS,
        archives::STATEMENTS,
        archives::OF_A_RESTORE,
        blocks::STATEMENTS,
        credentials::STATEMENTS,
        last_available::STATEMENTS,
        domains::STATEMENTS,
        heartbeat::STATEMENTS,
        history::STATEMENTS,
        history::READING,
        log::STATEMENTS,
        log::READING,
        peers::STATEMENTS,
        sequences::STATEMENTS,
        &journal::FOLD,
        known_networks::STATEMENTS,
        removed_names::STATEMENTS,
        repeats::STATEMENTS,
        roster::STATEMENTS,
        schema::STATEMENTS,
        seen::STATEMENTS,
        settings::STATEMENTS,
        throttle::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .map(|text| (*text).to_owned())
    .chain(over_many_rows(dialect::Dialect::Postgres))
    .chain(with_journal())
    .collect()
}

/// Returns the queries of archives as they are where a fold is refused.
fn with_journal() -> impl Iterator<Item = String> {
    log::READING.iter().chain(history::READING).map(|text| log_reader::with_journal(text))
}

/// Returns the statements over many rows, as they are for this database.
fn over_many_rows(dialect: dialect::Dialect) -> impl Iterator<Item = String> {
    many_rows().flat_map(move |rows| rows.texts(dialect)).map(|(_, text)| text.to_string())
}

fn many_rows() -> impl Iterator<Item = &'static rows::ManyRows> {
    log::many().into_iter().chain(archives::many()).chain(peers::many()).chain(journal::many())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::{AssertSqlSafe, Executor};

    use crate::dialect::Dialect;
    use crate::testing::fresh;
    use crate::{Store, postgres, scratch};

    #[tokio::test]
    async fn every_statement_executes_with_null_for_every_parameter() {
        let (_dir, store) = fresh().await;
        for text in crate::statements() {
            assert_executes(&store, text).await;
        }
        if store.dialect() == Dialect::Sqlite {
            for text in crate::over_many_rows(Dialect::Sqlite) {
                assert_executes(&store, text).await;
            }
        }
    }

    #[tokio::test]
    async fn what_is_postgresqls_own_executes_there() {
        let Some(place) = scratch::Scratch::new() else { return };
        let place = place.unwrap();
        let store = Store::open(&place.place()).await.unwrap();
        assert_eq!(store.dialect(), Dialect::Postgres);
        for text in crate::statements().into_iter().chain(postgres::STATEMENTS.map(str::to_owned)) {
            assert_executes(&store, text).await;
        }
    }

    async fn assert_executes(store: &Store, text: String) {
        let parameters = (1..).take_while(|n| mentions(&text, *n)).count();
        let mut tx = store.begin().await.unwrap();
        if store.dialect() == Dialect::Postgres {
            // PostgreSQL infers the type of a parameter by itself; NULL does not tell it.
            let nulls = vec!["NULL"; parameters].join(", ");
            let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
            let clear = "DEALLOCATE s".to_owned();
            let mut done = Ok(());
            for step in [format!("PREPARE s AS {text}"), format!("EXECUTE s{nulls}")] {
                let step = sqlx::raw_sql(AssertSqlSafe(step));
                done = done.and(tx.conn().unwrap().execute(step).await.map(|_| ()));
            }
            tx.rollback().await.unwrap();
            tx = store.begin().await.unwrap();
            // A statement that was not understood is not there.
            let _ = tx.conn().unwrap().execute(sqlx::raw_sql(AssertSqlSafe(clear))).await;
            tx.rollback().await.unwrap();
            if done.is_ok() || done.is_err_and(is_of_null) {
                return;
            }
            tx = store.begin().await.unwrap();
        }
        let mut query = sqlx::query(AssertSqlSafe(text.clone()));
        for _ in 0..parameters {
            query = query.bind(Option::<i64>::None);
        }
        if let Err(error) = query.fetch_all(tx.conn().unwrap()).await {
            let said = format!("{text}: {error}");
            assert!(is_of_null(error), "{said}");
        }
    }

    /// Whether the statement was understood, and only the missing value was refused.
    fn is_of_null(error: sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(refusal) => {
                matches!(refusal.kind(), sqlx::error::ErrorKind::NotNullViolation)
                    || refusal.message().contains("datatype mismatch")
            }
            _ => false,
        }
    }

    #[test]
    fn parameters_are_numbered_and_sums_are_cast() {
        for text in crate::statements() {
            assert!(!text.contains('?'), "{text}");
            assert_eq!(
                text.matches("SUM(").count(),
                text.matches("CAST(COALESCE(SUM(").count(),
                "{text}"
            );
        }
    }

    fn mentions(text: &str, parameter: usize) -> bool {
        let wanted = format!("${parameter}");
        text.match_indices(&wanted).any(|(at, found)| {
            !text[at + found.len()..].starts_with(|next: char| next.is_ascii_digit())
        })
    }
}
