//! Measures how many bytes on the disk a message takes, with the log's present schema and with
//! others that it could have: `cargo test -p whoelse-store bytes_a_message -- --ignored
//! --nocapture`. The results are in `docs/design/archives.md`.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use crate::sqlite;
use crate::testing::Dir;

const MESSAGES: i64 = 100_000;
const ACCOUNTS: i64 = 1_000;
/// To how many others everybody writes. As many others write to them.
const PEERS: i64 = 20;

/// A schema to measure: its tables, and the statements by which a message is stored, once and for
/// each side.
struct Shape {
    name: &'static str,
    tables: &'static str,
    once: Option<&'static str>,
    /// $1 archive, $2 seq, $3 at, $4 peer, $5 direction, $6 body, $7 stanza.
    side: &'static str,
}

const BODIES: &str = "INSERT INTO bodies VALUES ($1, 2, $2, 'phone-1234', $3)";
const ROWS: &str = "INSERT INTO archive_rows VALUES ($1, $2, $3, $4, $5, LENGTH($7), $6)";

/// Rows that name their peers by address; the columns of the index by peer follow.
macro_rules! with_addresses {
    () => {
        "CREATE TABLE bodies (id INTEGER PRIMARY KEY, holders BIGINT, kept_at BIGINT, \
        resource TEXT, stanza BLOB); \
        CREATE TABLE archive_rows (archive BIGINT, seq BIGINT, at BIGINT, peer TEXT, \
        direction BIGINT, bytes BIGINT, body BIGINT, PRIMARY KEY (archive, seq)) WITHOUT ROWID; \
        CREATE INDEX archive_rows_peer ON archive_rows "
    };
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "version 2: one number for both sides, an index by age",
        tables: concat!(
            include_str!("../../migrations/0001.sql"),
            include_str!("../../migrations/0002.sql")
        ),
        once: Some(
            "INSERT INTO messages VALUES ($1, $2, 'user1234@#1', 'phone-1234', 'user5678@#1', 1, 2, $3)",
        ),
        side: "INSERT INTO mailbox SELECT $1, $6, $3, $4, $5 WHERE $2 > 0 AND $7 IS NOT NULL",
    },
    Shape {
        name: "self-contained rows",
        tables: "CREATE TABLE archive_rows (archive BIGINT, seq BIGINT, at BIGINT, peer TEXT, \
            direction BIGINT, kept_at BIGINT, resource TEXT, stanza BLOB, \
            PRIMARY KEY (archive, seq)) WITHOUT ROWID; \
            CREATE INDEX archive_rows_peer ON archive_rows (archive, peer, seq, at, direction)",
        once: None,
        side: "INSERT INTO archive_rows SELECT $1, $2, $3, $4, $5, $3, 'phone-1234', $7 \
            WHERE $6 > 0",
    },
    Shape {
        name: "rows that refer to a body, an index that holds what a conversation is counted by",
        tables: concat!(with_addresses!(), "(archive, peer, seq, at, direction, body)"),
        once: Some(BODIES),
        side: ROWS,
    },
    Shape {
        name: "the same, an index of (archive, peer, seq) alone",
        tables: concat!(with_addresses!(), "(archive, peer, seq)"),
        once: Some(BODIES),
        side: ROWS,
    },
    Shape {
        name: "and a number in place of each peer (version 3)",
        tables: concat!(
            include_str!("../../migrations/0001.sql"),
            include_str!("../../migrations/0002.sql"),
            include_str!("../../migrations/0003.sql"),
            "CREATE TRIGGER peer BEFORE INSERT ON archive_rows BEGIN INSERT OR IGNORE INTO peers \
            SELECT NEW.archive, 1 + (SELECT COUNT(*) FROM peers WHERE archive = NEW.archive), \
            'user' || NEW.peer || '@#1'; END; \
            CREATE TRIGGER number AFTER INSERT ON archive_rows BEGIN UPDATE archive_rows \
            SET peer = (SELECT id FROM peers WHERE archive = NEW.archive \
            AND address = 'user' || NEW.peer || '@#1') \
            WHERE archive = NEW.archive AND seq = NEW.seq; END"
        ),
        once: Some(BODIES),
        side: "INSERT INTO archive_rows SELECT $1, $2, $3, \
            CAST(REPLACE(REPLACE($4, 'user', ''), '@#1', '') AS INTEGER), $5, LENGTH($7), $6",
    },
];

async fn bytes_of(shape: &Shape) -> (i64, String) {
    let dir = Dir::of_files();
    let file = dir.path().join("store.db");
    sqlite::ensure_file(&file).unwrap();
    sqlx::any::install_default_drivers();
    let options = sqlite::options(&file).unwrap();
    let mut conn = AnyConnection::connect_with(&options).await.unwrap();
    conn.execute(sqlx::raw_sql("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF"))
        .await
        .unwrap();
    conn.execute(sqlx::raw_sql(shape.tables)).await.unwrap();
    conn.execute("BEGIN").await.unwrap();
    let longest = vec![b'x'; 450];
    let mut numbers: HashMap<i64, i64> = HashMap::new();
    for body in 1..=MESSAGES {
        // Everybody sends in turn, each time to another peer, in an order that looks random.
        let from = body * 7_919 % ACCOUNTS;
        let to = (from + 1 + body / ACCOUNTS * 7 % PEERS) % ACCOUNTS;
        // Of many lengths, or what is left over in a page would depend on the one.
        let stanza = &longest[..250 + (body * 104_729 % 201) as usize];
        let at = 1_790_000_000_000_000 + body * 300_000;
        if let Some(once) = shape.once {
            sqlx::query(once).bind(body).bind(at).bind(stanza).execute(&mut conn).await.unwrap();
        }
        for (archive, peer, direction) in [(to, from, 0_i64), (from, to, 1)] {
            let number = numbers.entry(archive).or_default();
            *number += 1;
            let side = sqlx::query(shape.side).bind(archive).bind(*number).bind(at);
            let side = side.bind(format!("user{peer}@#1")).bind(direction).bind(body);
            side.bind(stanza).execute(&mut conn).await.unwrap();
        }
    }
    conn.execute("COMMIT").await.unwrap();
    let text = "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name HAVING SUM(pgsize) > 200000";
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut conn).await.unwrap();
    let sizes: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    conn.close().await.unwrap();
    let all = sizes.iter().map(|(_, bytes)| bytes).sum::<i64>() / MESSAGES;
    let parts: Vec<String> =
        sizes.iter().map(|(name, bytes)| format!("{name} {}", bytes / MESSAGES)).collect();
    (all, parts.join(", "))
}

#[tokio::test]
#[ignore = "a measurement"]
async fn bytes_a_message_of_350_takes_in_both_archives() {
    for shape in &SHAPES {
        let (all, parts) = bytes_of(shape).await;
        println!("{}: {all} bytes ({parts})", shape.name);
    }
}
