//! Shared setup for the tests of this crate. Storage is tested with real files.
#![allow(clippy::unwrap_used)]

use std::ops::Deref;
use std::path::Path;

use tempfile::TempDir;

use crate::log_reader::Asked;
use crate::scratch::Scratch;
use crate::{
    Direction, Location, NewBody, NewMessage, NewPubsubItem, NewRow, RepeatKey, RoomAffiliation,
    Slot, Store, StoredToken, StoredVerifier, Tx, UserAgent,
};

/// Where the store of a test is: a folder, or with `WHOELSE_TEST_ON=postgres` a schema.
pub(crate) struct Dir {
    folder: TempDir,
    schema: Option<Scratch>,
}

impl Deref for Dir {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.folder
    }
}

impl Dir {
    pub(crate) fn new() -> Dir {
        let on_postgres = std::env::var("WHOELSE_TEST_ON").is_ok_and(|on| on == "postgres");
        let schema = on_postgres.then(|| {
            let schema = Scratch::new();
            schema.expect("WHOELSE_TEST_ON=postgres needs WHOELSE_TEST_POSTGRES").unwrap()
        });
        Dir { folder: tempfile::tempdir().unwrap(), schema }
    }

    /// A folder, whatever database the tests run on.
    pub(crate) fn of_files() -> Dir {
        Dir { folder: tempfile::tempdir().unwrap(), schema: None }
    }

    /// Changes the data behind the store's back.
    pub(crate) async fn alter(&self, text: &'static str) {
        match &self.schema {
            Some(schema) => schema.alter(text).unwrap(),
            None => alter(&self.path().join("store.db"), text).await,
        }
    }
}

/// Runs a statement on a file behind the store's back.
pub(crate) async fn alter(file: &Path, text: &'static str) {
    use sqlx::{AnyConnection, Connection, Executor};
    sqlx::any::install_default_drivers();
    let options = crate::sqlite::options(file).unwrap();
    let mut conn = AnyConnection::connect_with(&options).await.unwrap();
    conn.execute(sqlx::raw_sql(text)).await.unwrap();
    conn.close().await.unwrap();
}

/// Returns a new empty store, which lives as long as the folder.
pub(crate) async fn fresh() -> (Dir, Store) {
    let dir = Dir::new();
    let store = Store::open(&place(&dir)).await.unwrap();
    (dir, store)
}

/// Returns a new empty store in a file.
pub(crate) async fn fresh_file() -> (Dir, Store) {
    let dir = Dir::of_files();
    let store = Store::open(&place(&dir)).await.unwrap();
    (dir, store)
}

/// Returns where the store of [`fresh`] lies.
pub(crate) fn place(dir: &Dir) -> Location {
    match &dir.schema {
        Some(schema) => schema.place(),
        None => Location::Sqlite(dir.path().join("store.db")),
    }
}

/// Makes an account on `localhost`, which has the number 1.
pub(crate) async fn account(tx: &mut Tx, localpart: &str) -> i64 {
    let domain = tx.ensure_domain("localhost").await.unwrap();
    tx.create_account(domain, localpart, &[], 1).await.unwrap().unwrap()
}

/// Removes an account, and all that is left of it; returns whether it existed.
pub(crate) async fn remove_wholly(tx: &mut Tx, account: i64) -> bool {
    let existed = tx.remove_account(account).await.unwrap();
    while let Some(removal) = tx.next_removal().await.unwrap() {
        tx.note_holder(removal.account, None).await.unwrap();
        tx.remove_piece(&removal, 100).await.unwrap();
        let name = format!("{}@#{}", removal.localpart, removal.domain);
        tx.forget_room_name(&name, 100).await.unwrap();
    }
    while tx.remove_gone_pubsub(100).await.unwrap() == 100 {}
    existed
}

/// Returns a verifier made of one byte.
pub(crate) fn verifier(mechanism: &str, byte: u8) -> StoredVerifier {
    StoredVerifier {
        mechanism: mechanism.into(),
        salt: vec![byte; 16],
        iterations: 10_000,
        stored_key: vec![byte; 20],
        server_key: vec![byte + 1; 20],
    }
}

/// Returns a new token of the password of [`account`], given at this time.
pub(crate) fn token(token: &str, given_at: i64) -> StoredToken {
    StoredToken {
        slot: Slot::New,
        token: token.into(),
        mechanism: "HT-SHA-256-NONE".into(),
        generation: 1,
        given_at,
        count: -1,
    }
}

/// Returns what a device calls itself.
pub(crate) fn user_agent(id: &str) -> UserAgent {
    UserAgent { id: id.into(), software: "AwesomeXMPP".into(), name: "a phone".into() }
}

/// Returns an item to be published by Bob.
pub(crate) fn new_item<'a>(id: &'a str, payload: &'a [u8]) -> NewPubsubItem<'a> {
    NewPubsubItem { id, publisher: "bob@#1", account: 1, at: 5, payload }
}

/// Returns what somebody is in a room.
pub(crate) fn in_room(who: &str, affiliation: i64) -> RoomAffiliation {
    RoomAffiliation { who: who.into(), affiliation, nick: Some("B".into()), since: 5 }
}

/// Returns a message between two accounts, which are named by a letter and a number and have the
/// archives of the same numbers. `n` is its content and the time when it was accepted.
pub(crate) fn message(
    n: i64,
    (from, sender): (&str, i64),
    (to, recipient): (&str, i64),
) -> NewMessage {
    let row =
        |archive, peer: &str, direction| NewRow { archive, peer: format!("{peer}@#1"), direction };
    NewMessage {
        at: n * 1_000,
        kept_at: n * 1_000,
        repeat: None,
        resource: Some("desk".into()),
        stanza: format!("<message id='{n}'/>").into(),
        first: row(recipient, from, Direction::In),
        second: (sender != recipient).then(|| row(sender, to, Direction::Out)),
        second_body: None,
        replaces: Vec::new(),
    }
}

/// Returns the same message as one that its recipient heard where a device of theirs was, and that
/// its sender's row shows otherwise.
pub(crate) fn heard(mut message: NewMessage) -> NewMessage {
    message.first.direction = Direction::Heard;
    let own = NewBody { resource: Some("phone".into()), stanza: "<message/>".into() };
    message.second_body = Some(own);
    message
}

/// Returns the same message with the recipient's row alone.
pub(crate) fn for_recipient_alone(mut message: NewMessage) -> NewMessage {
    message.second = None;
    message
}

/// Returns the same message, kept only until it is delivered.
pub(crate) fn until_delivered(message: NewMessage) -> NewMessage {
    let mut message = for_recipient_alone(message);
    message.first.direction = Direction::Passing;
    message
}

/// Returns the same message with the sender's own id.
pub(crate) fn with_origin(mut message: NewMessage, sender: i64, id: &str) -> NewMessage {
    message.repeat = Some(RepeatKey::new(b"secret").of(sender, message.first.archive, id));
    message
}

impl Store {
    /// Counts the rows of a table.
    pub(crate) async fn count_rows(&self, table: &str) -> i64 {
        let text = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let mut conn = self.folded_reader(Asked::Everything).await.unwrap();
        let row = sqlx::query(text).fetch_one(&mut *conn).await.unwrap();
        sqlx::Row::get(&row, 0)
    }

    /// Asserts that each archive says how many bytes its rows have, and that there are any.
    pub(crate) async fn assert_bytes_are_right(&self) {
        let text = "SELECT a.id, a.bytes, CAST(COALESCE((SELECT SUM(r.bytes) FROM archive_rows r \
            WHERE r.archive = a.id), 0) AS BIGINT) FROM archives a ORDER BY a.id";
        let mut conn = self.folded_reader(Asked::Everything).await.unwrap();
        let mut all = 0;
        for row in sqlx::query(text).fetch_all(&mut *conn).await.unwrap() {
            let (archive, said, summed): (i64, i64, i64) =
                (sqlx::Row::get(&row, 0), sqlx::Row::get(&row, 1), sqlx::Row::get(&row, 2));
            assert_eq!(said, summed, "archive {archive}");
            all += said;
        }
        assert!(all > 0);
    }
}
