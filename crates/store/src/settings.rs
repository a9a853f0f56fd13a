//! Named values that the installation stores for itself, mainly secrets.

use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx};

const READ: &str = "SELECT value FROM settings WHERE name = $1";
const WRITE: &str = "INSERT INTO settings (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(crate) const STATEMENTS: &[&str] = &[READ, WRITE];

impl Store {
    /// Returns the value of this name.
    pub async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        setting(&mut *self.reader().await?, name).await
    }
}

impl Tx {
    /// Returns the value of this name.
    pub async fn setting(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        setting(self.conn()?, name).await
    }

    /// Stores a value under this name, in place of the one before.
    pub async fn set_setting(&mut self, name: &str, value: &[u8]) -> Result<()> {
        sqlx::query(WRITE).bind(name).bind(value).execute(self.conn()?).await?;
        Ok(())
    }
}

async fn setting(conn: &mut AnyConnection, name: &str) -> Result<Option<Vec<u8>>> {
    let row = sqlx::query(READ).bind(name).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::fresh;

    #[tokio::test]
    async fn a_setting_is_what_was_set_last() {
        let (_dir, store) = fresh().await;
        assert_eq!(store.setting("secret").await.unwrap(), None);

        let mut tx = store.begin().await.unwrap();
        tx.set_setting("secret", b"one").await.unwrap();
        tx.set_setting("secret", b"\0two").await.unwrap();
        assert_eq!(tx.setting("secret").await.unwrap().unwrap(), b"\0two");
        tx.commit().await.unwrap();

        assert_eq!(store.setting("secret").await.unwrap().unwrap(), b"\0two");
        assert_eq!(store.setting("other").await.unwrap(), None);
    }
}
