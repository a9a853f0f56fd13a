//! Every table, in an order in which no row refers to one that comes later: what a copy and a
//! backup take along. A test compares this list with the schema.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Blob,
}

use Kind::{Blob, Number, Text};

/// A table, as it is read and written row by row.
pub(crate) struct Table {
    pub name: &'static str,
    /// The columns of the primary key first, in its order.
    pub columns: &'static [(&'static str, Kind)],
    /// How many columns the key has.
    pub key: usize,
    /// How many rows are held in memory at once; few where a row can be large.
    pub page: usize,
    /// What is not taken along, because it is about this database and not about what is in it.
    pub except: Option<&'static str>,
}

const MANY: usize = 2000;
const FEW: usize = 100;

const fn table(
    name: &'static str,
    key: usize,
    columns: &'static [(&'static str, Kind)],
    page: usize,
) -> Table {
    Table { name, columns, key, page, except: None }
}

/// The list.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "numbers",
        columns: &[("name", Text), ("value", Number)],
        key: 1,
        page: MANY,
        // How often this database was opened (see `postgres`).
        except: Some("name = 'opened'"),
    },
    table("settings", 1, &[("name", Text), ("value", Blob)], FEW),
    table("domains", 1, &[("id", Number), ("name", Text)], MANY),
    table(
        "accounts",
        1,
        &[
            ("id", Number),
            ("domain", Number),
            ("localpart", Text),
            ("created_at", Number),
            ("last_active", Number),
        ],
        MANY,
    ),
    table(
        "credentials",
        2,
        &[
            ("account", Number),
            ("mechanism", Text),
            ("salt", Blob),
            ("iterations", Number),
            ("stored_key", Blob),
            ("server_key", Blob),
        ],
        MANY,
    ),
    table("blocks", 2, &[("account", Number), ("jid", Text)], MANY),
    table("places", 2, &[("account", Number), ("place", Text), ("at", Number)], MANY),
    table(
        "throttle",
        1,
        &[("scope", Text), ("failures", Number), ("since", Number), ("blocked_until", Number)],
        MANY,
    ),
    table(
        "online",
        1,
        &[("id", Number), ("account", Number), ("from_at", Number), ("until_at", Number)],
        MANY,
    ),
    table(
        "messages",
        1,
        &[
            ("id", Number),
            ("at", Number),
            ("sender", Text),
            ("sender_resource", Text),
            ("recipient", Text),
            ("sender_archive", Number),
            ("recipient_archive", Number),
            ("stanza", Blob),
        ],
        FEW,
    ),
    table(
        "mailbox",
        2,
        &[
            ("archive", Number),
            ("seq", Number),
            ("at", Number),
            ("peer", Text),
            ("direction", Number),
        ],
        MANY,
    ),
    table("cursors", 1, &[("account", Number), ("seq", Number)], MANY),
    table(
        "origins",
        3,
        &[
            ("sender", Number),
            ("recipient", Text),
            ("origin", Text),
            ("at", Number),
            ("seq", Number),
        ],
        MANY,
    ),
    table(
        "roster",
        2,
        &[
            ("account", Number),
            ("contact", Text),
            ("listed", Number),
            ("name", Text),
            ("in_groups", Text),
            ("subscription", Number),
            ("ask", Number),
            ("approved", Number),
            ("request", Blob),
            ("version", Number),
        ],
        FEW,
    ),
    table(
        "roster_versions",
        1,
        &[("account", Number), ("version", Number), ("known_since", Number)],
        MANY,
    ),
    table("departures", 1, &[("account", Number), ("at", Number), ("status", Text)], MANY),
];

impl Table {
    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    fn key_names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().take(self.key).map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// Reads the first page, or the next one behind the key `$1, …`.
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

    /// Counts the rows.
    pub(crate) fn count(&self) -> String {
        format!("SELECT COUNT(*) FROM {}{}", self.name, self.which())
    }

    /// Removes the rows.
    pub(crate) fn clear(&self) -> String {
        format!("DELETE FROM {}{}", self.name, self.which())
    }

    fn which(&self) -> String {
        self.except.map_or(String::new(), |except| format!(" WHERE NOT {except}"))
    }

    /// What stands before the values of new rows.
    pub(crate) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}) VALUES", self.name, self.names())
    }
}

/// Everything that can be run, for the test that runs it.
pub(crate) fn statements() -> impl Iterator<Item = String> {
    TABLES
        .iter()
        .flat_map(|table| [table.read(true), table.read(false), table.count(), table.clear()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sqlx::Row;

    use super::*;
    use crate::testing::fresh_file;

    #[tokio::test]
    async fn the_list_is_the_schema() {
        let (_dir, store) = fresh_file().await;
        let mut conn = store.reader().await.unwrap();
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' \
            AND name NOT LIKE 'sqlite%' AND name <> 'schema_version'";
        let mut names: Vec<String> = sqlx::query(names)
            .fetch_all(&mut *conn)
            .await
            .unwrap()
            .iter()
            .map(|r| r.get(0))
            .collect();
        let mut listed: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        names.sort();
        listed.sort_unstable();
        assert_eq!(names, listed);

        for table in TABLES {
            let about = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
            let rows = sqlx::query(about).bind(table.name).fetch_all(&mut *conn).await.unwrap();
            let mut columns: Vec<(String, Kind, i64)> = rows
                .iter()
                .map(|row| {
                    let kind = match row.get::<String, _>(1).as_str() {
                        "INTEGER" | "BIGINT" => Number,
                        "TEXT" => Text,
                        _ => Blob,
                    };
                    (row.get(0), kind, row.get(2))
                })
                .collect();
            columns.sort_by_key(|(_, _, key)| if *key == 0 { i64::MAX } else { *key });
            let key = columns.iter().filter(|(_, _, key)| *key > 0).count();
            let found: Vec<(&str, Kind)> =
                columns.iter().map(|(name, kind, _)| (name.as_str(), *kind)).collect();
            assert_eq!(found, table.columns, "{}", table.name);
            assert_eq!(key, table.key, "{}", table.name);
        }
    }
}
