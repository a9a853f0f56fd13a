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
mod administrators;
mod archives;
mod blocks;
mod credentials;
mod devices;
mod dialect;
mod domains;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
mod gone_rooms;
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
mod pieces;
mod postgres;
mod pubsub;
mod purpose;
mod quota;
mod readers;
mod removals;
mod removed_names;
mod repeats;
mod replaced;
mod rooms;
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
pub use administrators::{Grant, GrantedRight};
pub use credentials::{ChangedAt, Claimed, FormerKey, StoredVerifier};
pub use devices::{ClaimedTokens, Device, Slot, StoredToken, UserAgent};
pub use domains::Domain;
pub use error::{Cause, Error, OpenError, Result, Undecided};
pub use heartbeat::{ClockDoubt, Heartbeat, Renewed};
pub use history::{Dropped, FoundArchives, FoundRows, Page, Query, Shown};
pub use inspect::{Inspection, find_faults, inspect};
pub use known_networks::NetworkLogin;
pub use last_available::LastAvailable;
pub use location::{Location, PlaceError, PostgresUrl};
pub use log::{Appended, Direction, LoggedMessage, NewBody, NewMessage, NewRow, Undelivered};
pub use look::Found;
pub use open::Store;
pub use pubsub::{
    NewPubsubItem, PubsubItem, PubsubNode, PubsubPage, PubsubSubscription, PubsubUsage,
    SERVICE as PUBSUB_SERVICE,
};
pub use purpose::{READERS_OF_ARCHIVES, READERS_OF_MAILBOXES};
pub use quota::{Quotas, Whose};
#[cfg(any(test, feature = "faults"))]
pub use readers::HeldReaders;
pub use removals::Removal;
pub use repeats::{REPEAT_WINDOW, Repeat, RepeatKey};
pub use replaced::{Earlier, Replaced};
pub use rooms::{RoomAffiliation, RoomConfig, RoomPage, RoomRow, RoomSubject, RoomSummary};
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
        administrators::STATEMENTS,
        archives::STATEMENTS,
        archives::OF_A_RESTORE,
        blocks::STATEMENTS,
        credentials::STATEMENTS,
        devices::STATEMENTS,
        last_available::STATEMENTS,
        domains::STATEMENTS,
        gone_rooms::STATEMENTS,
        heartbeat::STATEMENTS,
        history::STATEMENTS,
        history::READING,
        log::STATEMENTS,
        quota::STATEMENTS,
        log::READING,
        peers::STATEMENTS,
        sequences::STATEMENTS,
        &journal::FOLD,
        known_networks::STATEMENTS,
        removals::STATEMENTS,
        removed_names::STATEMENTS,
        repeats::STATEMENTS,
        replaced::STATEMENTS,
        replaced::READING,
        roster::STATEMENTS,
        schema::STATEMENTS,
        seen::STATEMENTS,
        settings::STATEMENTS,
        throttle::STATEMENTS,
    ]
    .into_iter()
    .chain(pubsub::STATEMENTS)
    .chain(rooms::STATEMENTS)
    .flatten()
    .map(|text| (*text).to_owned())
    .chain(over_many_rows(dialect::Dialect::Postgres))
    .chain(with_journal())
    .collect()
}

/// Returns the queries of archives as they are where a fold is refused.
fn with_journal() -> impl Iterator<Item = String> {
    let reading = log::READING.iter().chain(history::READING).chain(replaced::READING);
    reading.map(|text| log_reader::with_journal(text))
}

/// Returns the statements over many rows, as they are for this database.
fn over_many_rows(dialect: dialect::Dialect) -> impl Iterator<Item = String> {
    many_rows().flat_map(move |rows| rows.texts(dialect)).map(|(_, text)| text.to_string())
}

fn many_rows() -> impl Iterator<Item = &'static rows::ManyRows> {
    let of_messages = log::many().into_iter().chain(archives::many()).chain(peers::many());
    of_messages.chain(journal::many()).chain(pubsub::many()).chain(blocks::many())
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

    /// Parts of the statements that change rows by a condition without saying how many, and why
    /// these are few.
    const FEW: &[(&str, &str)] = &[
        ("direction = 2 AND archive = $1 AND seq <= $2", "`PASSING_PIECE` has counted up to it"),
        ("p.direction = 2 AND p.archive = $1 AND p.seq <= $2", "likewise"),
        ("archive = $1 AND seq > $2 AND seq <= $3 AND direction = 0", "likewise, `PIECE`"),
        (
            "archive = $1 AND seq > $2 AND seq <= $3 AND (direction IN (1, 3)",
            "likewise, `AGES` or `SIZES`",
        ),
        ("archive = $1 AND seq > $2 AND seq <= $3", "likewise, `PIECE`"),
        ("UPDATE bodies SET kept_at = $4 WHERE id > $1 AND id <= $2", "likewise, `STEP_ENDS`"),
        ("UPDATE repeats SET at = $4 WHERE id > $1 AND id <= $2", "likewise"),
        ("INSERT INTO archive_rows", "a fold: the journal is bounded"),
        ("UPDATE archives SET bytes = archives.bytes + moved.bytes", "likewise"),
        ("DELETE FROM journal", "likewise"),
        ("DELETE FROM roster WHERE account = $1 AND listed = 0", "traces in one roster: a hundred"),
        ("UPDATE roster SET version = 0 WHERE account = $1 AND listed = 0", "requests: limits"),
        ("DELETE FROM credentials WHERE account = $1", "one for each way to log in"),
        ("FROM credentials c JOIN accounts a ON a.id = c.account WHERE c.account = $1", "likewise"),
        ("DELETE FROM former_credentials WHERE account = $1 AND mechanism = $2", "two"),
        (
            "DELETE FROM former_credentials WHERE account = $1 AND generation NOT IN",
            "one, likewise",
        ),
        ("DELETE FROM tokens WHERE account = $1 AND device = $2", "three"),
        ("DELETE FROM devices WHERE account = $1 RETURNING", "limits.devices_per_account"),
        ("WHERE account = $1 AND until_at IS NULL", "an account has one open interval at most"),
        ("UPDATE archives SET confirmed = v.column2 FROM (VALUES", "those that are given"),
        ("DELETE FROM peers WHERE (archive, id) IN (VALUES", "likewise, as many as rows went"),
        ("UPDATE numbers SET value = $2 WHERE name = 'upgraded'", "one"),
        ("UPDATE schema_version SET version = $1", "one"),
        ("AND id = $2 RETURNING bytes", "one: no two items of a node have one id"),
        (
            "FROM pubsub_nodes n WHERE n.owner = $1 UNION ALL",
            "two for each node of an account: limits",
        ),
        ("DELETE FROM pubsub_nodes WHERE owner = $1", "likewise"),
        ("UPDATE bodies SET stanza = $3 WHERE id =", "one: that of a row"),
        ("FROM archives a WHERE a.room = $1", "one: a room has one archive"),
        ("DELETE FROM archives WHERE room = $1", "likewise"),
        ("DELETE FROM blocks WHERE (account, jid) IN", "each is named"),
        // Nobody is served meanwhile.
        ("UPDATE archives SET highest = ", "a restore"),
        ("UPDATE archive_rows SET peer = $3", "a domain becomes an own one"),
    ];

    #[tokio::test]
    async fn whatever_changes_rows_by_a_condition_changes_a_bounded_number_of_them() {
        let tables = crate::transfer::tables(crate::schema::KNOWN).await.unwrap();
        let mut reasons: Vec<&str> = Vec::new();
        for text in crate::statements() {
            let table = text.strip_prefix("DELETE FROM ").or(text.strip_prefix("UPDATE "));
            let selects = text.starts_with("INSERT INTO") && text.contains("SELECT");
            let key: Vec<&str> = match table.and_then(|rest| rest.split(' ').next()) {
                Some(name) => tables
                    .iter()
                    .filter(|table| table.name == name)
                    .flat_map(|table| table.columns[..table.key].iter())
                    .map(|(column, _)| column.as_str())
                    .collect(),
                None if selects => vec!["id"],
                None => continue,
            };
            let is_named = |column: &&str| text.contains(&format!("{column} = $"));
            let by_key = !key.is_empty() && key.iter().all(is_named) && !text.contains(" IN (");
            let is_piece = text.contains(" IN (SELECT") && text.contains(" LIMIT ");
            if by_key || is_piece && !text.contains(" NOT IN ") {
                continue;
            }
            let few = FEW.iter().find(|(part, _)| text.contains(part));
            reasons.push(few.unwrap_or_else(|| panic!("how many rows? {text}")).0);
        }
        for (part, _) in FEW {
            assert!(reasons.contains(part), "no statement needs the reason for: {part}");
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
