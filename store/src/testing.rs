//! What the tests of every noun begin with. Storage behaviour is tested over real files.
#![allow(clippy::unwrap_used)]

use tempfile::TempDir;

use crate::{NewMessage, Place, Store, StoredVerifier, Tx};

/// Returns an empty store in a file of its own, which lives as long as the folder.
pub(crate) async fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&place(&dir)).await.unwrap();
    (dir, store)
}

/// Returns where the store of [`fresh`] lies.
pub(crate) fn place(dir: &TempDir) -> Place {
    Place::Sqlite(dir.path().join("store.db"))
}

/// Makes an account on `localhost`, which has the number 1.
pub(crate) async fn account(tx: &mut Tx, localpart: &str) -> i64 {
    let domain = tx.ensure_domain("localhost").await.unwrap();
    tx.create_account(domain, localpart, &[], 1).await.unwrap().unwrap()
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

/// Returns a message between two accounts that are named by a letter and a number.
pub(crate) fn message(
    seq: i64,
    (from, sender): (&str, i64),
    (to, recipient): (&str, i64),
) -> NewMessage {
    NewMessage {
        seq,
        at: seq * 1_000,
        sender: format!("{from}@#1"),
        sender_resource: Some("desk".into()),
        recipient: format!("{to}@#1"),
        sender_account: Some(sender),
        recipient_account: Some(recipient),
        origin: None,
        stanza: format!("<message id='{seq}'/>").into(),
        keep_for_sender: true,
        passing: false,
    }
}

impl Store {
    /// Counts the rows of a table.
    pub(crate) async fn count_rows(&self, table: &str) -> i64 {
        let text = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let mut conn = self.reader().await.unwrap();
        let row = sqlx::query(text).fetch_one(&mut *conn).await.unwrap();
        sqlx::Row::get(&row, 0)
    }
}
