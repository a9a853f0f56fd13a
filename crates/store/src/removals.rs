//! Removals: accounts that are gone, and what is left of them.
//!
//! An account goes at once, in one transaction, with everything of which it has little. Of some
//! things it can have much: messages, contacts, times when it was online, networks. No key ties
//! those rows to it. They go afterwards, in pieces, and a row of `removals` says that they have to,
//! so a server that was killed goes on with them. Nobody sees them meanwhile: the number of an
//! account or an archive is given once, and whoever looks for it by name finds no account.
//!
//! The name goes first. The rosters of others have it, and lists of features, and give rights to it;
//! `core` takes it out of them. Until that is done no account can get this name.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, history, pieces};

const BEGIN: &str = "INSERT INTO removals (account, archive, domain, localpart, holder, seq) \
    SELECT a.id, r.id, a.domain, a.localpart, 0, 0 \
    FROM accounts a JOIN archives r ON r.account = a.id WHERE a.id = $1";
const NEXT_NAME: &str = "SELECT account, archive, domain, localpart, holder, seq FROM removals \
    WHERE holder IS NOT NULL ORDER BY holder LIMIT 1";
const NEXT: &str = "SELECT account, archive, domain, localpart, holder, seq FROM removals \
    ORDER BY account LIMIT 1";
const HAS_NAME: &str =
    "SELECT 1 FROM removals WHERE holder IS NOT NULL AND domain = $1 AND localpart = $2";
const NOTE: &str = "UPDATE removals SET holder = $2 WHERE account = $1";
const NOTE_SEQ: &str = "UPDATE removals SET seq = $2 WHERE account = $1";
const END: &str = "DELETE FROM removals WHERE account = $1";

/// What goes in pieces beside the rows of the archive: the first so many rows of an account.
const PIECES: [&str; 3] = [
    "DELETE FROM roster WHERE account = $1 AND contact IN \
    (SELECT r.contact FROM roster r WHERE r.account = $1 ORDER BY r.contact LIMIT $2)",
    "DELETE FROM online WHERE id IN \
    (SELECT o.id FROM online o WHERE o.account = $1 ORDER BY o.until_at LIMIT $2)",
    "DELETE FROM places WHERE account = $1 AND place IN \
    (SELECT p.place FROM places p WHERE p.account = $1 ORDER BY p.place LIMIT $2)",
];

pub(crate) const STATEMENTS: &[&str] =
    &[BEGIN, NEXT_NAME, NEXT, HAS_NAME, NOTE, NOTE_SEQ, END, PIECES[0], PIECES[1], PIECES[2]];

/// A removed account of which something is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The number of the account.
    pub account: i64,
    /// The number of its archive.
    pub archive: i64,
    /// The number of the domain that it was in.
    pub domain: i64,
    /// Its name.
    pub localpart: String,
    /// While others may have the name: the last account whose roster was looked at.
    pub holder: Option<i64>,
    /// Up to which number the rows of its archive are gone.
    pub seq: i64,
}

impl Store {
    /// Returns whether anything is left of removed accounts.
    pub async fn is_removal_left(&self) -> Result<bool> {
        Ok(sqlx::query(NEXT).fetch_optional(&mut *self.long_reader().await?).await?.is_some())
    }
}

impl Tx {
    /// Returns a removed account of which something is left: one whose name is left, if there is
    /// one.
    pub async fn next_removal(&mut self) -> Result<Option<Removal>> {
        let conn = self.conn()?;
        let next = match sqlx::query(NEXT_NAME).fetch_optional(&mut *conn).await? {
            Some(next) => Some(next),
            None => sqlx::query(NEXT).fetch_optional(conn).await?,
        };
        next.as_ref().map(removal).transpose()
    }

    /// Returns whether others may still have the name of a removed account.
    pub async fn is_name_left(&mut self, domain: i64, localpart: &str) -> Result<bool> {
        is_name_left(self.conn()?, domain, localpart).await
    }

    /// Notes the last account whose roster was looked at for a removed account; `None`: nobody has
    /// its name any more.
    pub async fn note_holder(&mut self, account: i64, holder: Option<i64>) -> Result<()> {
        sqlx::query(NOTE).bind(account).bind(holder).execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes at most so many rows of what is left of a removed account, and the bodies that no
    /// other archive has; returns how many rows. When that is fewer than `most`, nothing is left.
    ///
    /// Nothing of its archive is in the journal: it was folded when the account went, and an archive
    /// that does not exist gets no more rows.
    pub async fn remove_piece(&mut self, removal: &Removal, most: u64) -> Result<u64> {
        let (conn, numbering, _) = self.conn_and_known()?;
        let Removal { account, archive, seq, .. } = *removal;
        let (mut removed, seq) = history::remove_after(conn, numbering, archive, seq, most).await?;
        sqlx::query(NOTE_SEQ).bind(account).bind(seq).execute(&mut *conn).await?;
        for text in PIECES {
            if removed < most {
                removed += pieces::change(conn, text, &[account], most - removed).await?;
            }
        }
        if removed < most {
            sqlx::query(END).bind(account).execute(conn).await?;
        }
        Ok(removed)
    }
}

/// Notes that an account is about to go, and what is left of it then.
pub(crate) async fn begin(conn: &mut AnyConnection, account: i64) -> Result<()> {
    sqlx::query(BEGIN).bind(account).execute(conn).await?;
    Ok(())
}

/// Returns whether others may still have the name of a removed account.
pub(crate) async fn is_name_left(
    conn: &mut AnyConnection,
    domain: i64,
    localpart: &str,
) -> Result<bool> {
    let query = sqlx::query(HAS_NAME).bind(domain).bind(localpart);
    Ok(query.fetch_optional(conn).await?.is_some())
}

fn removal(row: &AnyRow) -> Result<Removal> {
    Ok(Removal {
        account: row.try_get(0)?,
        archive: row.try_get(1)?,
        domain: row.try_get(2)?,
        localpart: row.try_get(3)?,
        holder: row.try_get(4)?,
        seq: row.try_get(5)?,
    })
}
