//! The tables of a schema, in an order in which no row refers to a later one: what a copy and a
//! backup contain.
//!
//! There is no list of tables that could fall behind the schema: a database in memory is migrated
//! to the version in question and asked for its tables. So every earlier version can be read.

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Row};

use crate::dialect::Dialect;
use crate::schema::{self, Refusal};
use crate::{Location, OpenError};

/// Lists the tables, in the order in which they were made.
const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' \
    AND name NOT LIKE 'sqlite%' AND name <> 'schema_version' ORDER BY rowid";
/// Lists the columns of a table: those of the primary key first, in its order, then the others in
/// the order in which they were made. A row in a backup has this order, so it must not change.
const COLUMNS: &str = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY pk = 0, pk, cid";

/// The tables that are in no backup, because they hold keys in clear: whoever finds an old backup must
/// not get in by it, and a restore must not let in what was put out since.
const NOT_IN_BACKUPS: [&str; 2] = ["devices", "tokens"];

/// How many rows are in memory at once: many, or few if a row can be large.
const MANY: usize = 2000;
const FEW: usize = 100;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Blob,
}

/// A table that is read and written row by row.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: String,
    /// The columns, those of the primary key first, in its order.
    pub columns: Vec<(String, Kind)>,
    /// How many columns the key has.
    pub key: usize,
    /// How many rows are in memory at once.
    pub page: usize,
    /// The condition for rows that are not copied, because they are about this database and not its
    /// content.
    pub except: Option<&'static str>,
    /// Whether a backup has its rows.
    pub in_backups: bool,
}

/// Returns the tables of this version of the schema.
pub(crate) async fn tables(version: i64) -> Result<Vec<Table>, OpenError> {
    read(version).await.map_err(|refusal| refusal.at(&Location::Memory))
}

async fn read(version: i64) -> Result<Vec<Table>, Refusal> {
    sqlx::any::install_default_drivers();
    let memory: AnyConnectOptions = "sqlite::memory:".parse()?;
    let mut conn = AnyConnection::connect_with(&memory.disable_statement_logging()).await?;
    schema::make(&mut conn, Dialect::Sqlite, version).await?;
    let mut tables = Vec::new();
    for row in sqlx::query(TABLES).fetch_all(&mut conn).await? {
        let name: String = row.try_get(0)?;
        let (mut columns, mut key) = (Vec::new(), 0);
        for row in sqlx::query(COLUMNS).bind(name.as_str()).fetch_all(&mut conn).await? {
            let kind = match row.try_get::<String, _>(1)?.as_str() {
                "INTEGER" | "BIGINT" => Kind::Number,
                "TEXT" => Kind::Text,
                _ => Kind::Blob,
            };
            key += usize::from(row.try_get::<i64, _>(2)? > 0);
            columns.push((row.try_get(0)?, kind));
        }
        let is_large = columns.iter().any(|(_, kind)| *kind == Kind::Blob);
        let page = if is_large { FEW } else { MANY };
        // These count how often this database was opened (see `postgres`), and note when its schema
        // first ran.
        let except = (name == "numbers").then_some("name IN ('opened', 'upgraded')");
        let in_backups = !NOT_IN_BACKUPS.contains(&name.as_str());
        tables.push(Table { name, columns, key, page, except, in_backups });
    }
    conn.close().await?;
    Ok(tables)
}

impl Table {
    fn names(&self) -> String {
        names(&self.columns)
    }

    fn key_names(&self) -> String {
        names(&self.columns[..self.key])
    }

    /// Reads the first page, or the page after the key `$1, …`.
    pub(crate) fn read(&self, is_first: bool) -> String {
        let key = self.key_names();
        let mut bounds = Vec::new();
        if let Some(except) = self.except {
            bounds.push(format!("NOT {except}"));
        }
        if !is_first {
            let parameters: Vec<String> = (1..=self.key).map(|n| format!("${n}")).collect();
            bounds.push(format!("({key}) > ({})", parameters.join(", ")));
        }
        let bounds = match bounds.is_empty() {
            true => String::new(),
            false => format!("WHERE {} ", bounds.join(" AND ")),
        };
        format!(
            "SELECT {} FROM {} {bounds}ORDER BY {key} LIMIT {}",
            self.names(),
            self.name,
            self.page
        )
    }

    /// Returns the statement that counts the rows.
    pub(crate) fn count(&self) -> String {
        format!("SELECT COUNT(*) FROM {}{}", self.name, self.which())
    }

    /// Returns the statement that removes the rows.
    pub(crate) fn clear(&self) -> String {
        format!("DELETE FROM {}{}", self.name, self.which())
    }

    fn which(&self) -> String {
        self.except.map_or(String::new(), |except| format!(" WHERE NOT {except}"))
    }

    /// Returns the part of an insertion before the values.
    pub(crate) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}) VALUES", self.name, self.names())
    }
}

fn names(columns: &[(String, Kind)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::fresh_file;

    #[tokio::test]
    async fn no_table_refers_to_one_that_comes_later_and_every_one_has_a_key() {
        let (_dir, store) = fresh_file().await;
        let all = tables(schema::KNOWN).await.unwrap();
        assert!(all.len() > 10);
        for (at, table) in all.iter().enumerate() {
            assert!(table.key > 0, "{}", table.name);
            let mut conn = store.reader().await.unwrap();
            let refers = "SELECT \"table\" FROM pragma_foreign_key_list($1)";
            let refers = sqlx::query(refers).bind(table.name.as_str());
            for row in refers.fetch_all(&mut *conn).await.unwrap() {
                let to: String = row.get(0);
                assert!(all[..at].iter().any(|earlier| earlier.name == to), "{} {to}", table.name);
            }
        }
    }

    #[tokio::test]
    async fn the_order_of_a_row_in_a_backup_stays_as_it_was() {
        let all = tables(2).await.unwrap();
        let of = |name: &str| all.iter().find(|table| table.name == name).unwrap();

        let order: Vec<&str> = all.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(
            order,
            [
                "numbers",
                "settings",
                "domains",
                "accounts",
                "credentials",
                "blocks",
                "places",
                "throttle",
                "online",
                "messages",
                "mailbox",
                "cursors",
                "origins",
                "roster",
                "roster_versions",
                "departures"
            ]
        );
        assert_eq!(of("mailbox").names(), "archive, seq, at, peer, direction");
        assert_eq!((of("mailbox").key, of("messages").page), (2, FEW));
        assert_eq!(of("settings").columns[1], ("value".to_owned(), Kind::Blob));
    }
}
