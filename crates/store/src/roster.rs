//! Rosters: an account's contacts, the requests to it, and the changes that a client may not have
//! seen (RFC 6121, 2 and 3).

use bytes::Bytes;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::{Result, Store, Tx};

const LIST: &str = "SELECT contact, listed, name, in_groups, subscription, ask, approved, request, \
    version FROM roster WHERE account = $1 ORDER BY contact";
const FIND: &str = "SELECT contact, listed, name, in_groups, subscription, ask, approved, request, \
    version FROM roster WHERE account = $1 AND contact = $2";
/// An account that is gone gets no row: none would remove it.
const WRITE: &str = "INSERT INTO roster (account, contact, listed, name, in_groups, subscription, \
    ask, approved, request, version) \
    SELECT a.id, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM accounts a WHERE a.id = $1 \
    ON CONFLICT (account, contact) DO UPDATE SET listed = excluded.listed, \
    name = excluded.name, in_groups = excluded.in_groups, subscription = excluded.subscription, \
    ask = excluded.ask, approved = excluded.approved, request = excluded.request, \
    version = excluded.version";
const DELETE: &str = "DELETE FROM roster WHERE account = $1 AND contact = $2";
const FORGET: &str = "DELETE FROM roster WHERE account = $1 AND listed = 0 AND version <= $2 \
    AND LENGTH(request) = 0";
const FORGET_VERSIONS: &str =
    "UPDATE roster SET version = 0 WHERE account = $1 AND listed = 0 AND version <= $2";
const VERSION: &str = "SELECT version, known_since FROM roster_versions WHERE account = $1";
const SET_VERSION: &str = "INSERT INTO roster_versions (account, version, known_since) \
    VALUES ($1, $2, $3) ON CONFLICT (account) DO UPDATE SET version = excluded.version, \
    known_since = excluded.known_since";
const HOLDERS: &str = "SELECT r.account, a.domain, a.localpart FROM roster r \
    JOIN accounts a ON a.id = r.account WHERE r.contact = $1 AND r.account > $2 \
    ORDER BY r.account LIMIT $3";
const ASKING: &str = "SELECT a.domain, a.localpart FROM roster r \
    JOIN accounts a ON a.id = r.account WHERE r.contact = $1 AND r.ask <> 0 \
    ORDER BY r.account LIMIT $2";
/// Those who have approved this contact in advance, the first so many; and their approvals.
const APPROVING: &str = "SELECT r.account, a.domain, a.localpart FROM roster r \
    JOIN accounts a ON a.id = r.account WHERE r.contact = $1 AND r.approved = 1 \
    ORDER BY r.account LIMIT $2";
const VOID: &str = "UPDATE roster SET approved = 2 WHERE (account, contact) IN \
    (SELECT r.account, r.contact FROM roster r JOIN accounts a ON a.id = r.account \
    WHERE r.contact = $1 AND r.approved = 1 ORDER BY r.account LIMIT $2)";
const NAMING: &str = "SELECT account, contact FROM roster WHERE contact LIKE '%' || $1 || '%'";
const MOVE: &str = "UPDATE roster SET contact = $3 WHERE account = $1 AND contact = $2";

pub(crate) const STATEMENTS: &[&str] = &[
    LIST,
    FIND,
    WRITE,
    DELETE,
    FORGET,
    FORGET_VERSIONS,
    VERSION,
    SET_VERSION,
    HOLDERS,
    ASKING,
    APPROVING,
    VOID,
    NAMING,
    MOVE,
];

/// Precedes the name of each group; XML cannot contain it.
const BEFORE_GROUP: char = '\u{1f}';

/// One row of a roster: a contact, a request that waits for an answer, or both; or the trace of a
/// removed contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterRow {
    /// The key of the contact's bare address.
    pub contact: String,
    /// Whether it is a contact in the roster that the owner sees.
    pub listed: bool,
    /// The owner's name for the contact; empty: none.
    pub name: String,
    /// The owner's groups that it is in.
    pub groups: Vec<String>,
    /// The owner sees the contact's presence.
    pub to: bool,
    /// The contact sees the owner's presence.
    pub from: bool,
    /// The owner has asked to see the contact's presence.
    pub ask: bool,
    /// The owner has approved the contact's request in advance.
    pub approved: bool,
    /// The owner has done so when nobody had the name, and somebody has registered it since: the
    /// owner sees it, and it approves nobody.
    pub approved_nobody: bool,
    /// The contact's request to see the owner's presence; empty: there is none.
    pub request: Bytes,
    /// The version of the roster in which it last changed; 0: it was never a contact.
    pub version: i64,
}

/// The version of a roster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterVersion {
    /// The version of the last change; 0: there was none.
    pub last: i64,
    /// Changes after this version are known item by item.
    pub known_since: i64,
}

impl RosterVersion {
    /// Makes the next version number from the time, so that no roster of the same address has had
    /// it before, not even in an older copy of the database.
    pub fn next(self, now: i64) -> i64 {
        now.max(self.last + 1)
    }
}

/// An account that has a certain contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of the account.
    pub account: i64,
    /// The number of its domain.
    pub domain: i64,
    /// Its name.
    pub localpart: String,
}

impl Store {
    /// Returns the rows of an account's roster, sorted by key, and its version.
    pub async fn roster(&self, account: i64) -> Result<(Vec<RosterRow>, RosterVersion)> {
        let mut conn = self.reader().await?;
        let rows = sqlx::query(LIST).bind(account).fetch_all(&mut *conn).await?;
        let rows = rows.iter().map(row).collect::<Result<_>>()?;
        Ok((rows, version(&mut conn, account).await?))
    }
}

impl Tx {
    /// Returns one row of an account's roster.
    pub async fn roster_row(&mut self, account: i64, contact: &str) -> Result<Option<RosterRow>> {
        let query = sqlx::query(FIND).bind(account).bind(contact);
        query.fetch_optional(self.conn()?).await?.as_ref().map(row).transpose()
    }

    /// Writes one row of an account's roster in place of the present one. Nothing is written for an
    /// account that is gone.
    pub async fn write_roster_row(&mut self, account: i64, row: &RosterRow) -> Result<()> {
        let groups: String = row.groups.iter().flat_map(|group| ["\u{1f}", group]).collect();
        let query = sqlx::query(WRITE)
            .bind(account)
            .bind(&row.contact)
            .bind(i64::from(row.listed))
            .bind(&row.name)
            .bind(groups)
            .bind(i64::from(row.to) + 2 * i64::from(row.from))
            .bind(i64::from(row.ask))
            .bind(if row.approved_nobody { 2 } else { i64::from(row.approved) })
            .bind(row.request.to_vec())
            .bind(row.version);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes one row of an account's roster; nothing happens if there is none.
    pub async fn remove_roster_row(&mut self, account: i64, contact: &str) -> Result<()> {
        sqlx::query(DELETE).bind(account).bind(contact).execute(self.conn()?).await?;
        Ok(())
    }

    /// Returns the version of an account's roster.
    pub async fn roster_version(&mut self, account: i64) -> Result<RosterVersion> {
        version(self.conn()?, account).await
    }

    /// Sets the version of an account's roster. Deletes the traces of contacts that were removed at
    /// `known_since` or before.
    pub async fn set_roster_version(&mut self, account: i64, version: RosterVersion) -> Result<()> {
        let conn = self.conn()?;
        let (last, since) = (version.last, version.known_since);
        let query = sqlx::query(SET_VERSION).bind(account).bind(last).bind(since);
        query.execute(&mut *conn).await?;
        sqlx::query(FORGET).bind(account).bind(since).execute(&mut *conn).await?;
        sqlx::query(FORGET_VERSIONS).bind(account).bind(since).execute(conn).await?;
        Ok(())
    }

    /// Returns the accounts that have a row about this contact, of whatever kind: the first so many
    /// of those whose numbers are above this one.
    pub async fn roster_holders(
        &mut self,
        contact: &str,
        after_account: i64,
        limit: i64,
    ) -> Result<Vec<Holder>> {
        let query = sqlx::query(HOLDERS).bind(contact).bind(after_account).bind(limit.max(0));
        query.fetch_all(self.conn()?).await?.iter().map(holder).collect()
    }

    /// Lets approvals in advance of this contact, who is nobody yet, approve nobody: those of so many
    /// accounts at most, which are returned.
    pub async fn void_approvals(&mut self, contact: &str, most: u64) -> Result<Vec<Holder>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let conn = self.conn()?;
        let rows = sqlx::query(APPROVING).bind(contact).bind(most).fetch_all(&mut *conn).await?;
        if !rows.is_empty() {
            sqlx::query(VOID).bind(contact).bind(most).execute(conn).await?;
        }
        rows.iter().map(holder).collect()
    }

    /// Returns up to so many accounts that have asked to see the presence of this contact, the
    /// oldest first: the domains' numbers and the names.
    pub async fn roster_askers(
        &mut self,
        contact: &str,
        limit: usize,
    ) -> Result<Vec<(i64, String)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sqlx::query(ASKING).bind(contact).bind(limit).fetch_all(self.conn()?).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

/// Rewrites the contacts that name an adopted domain by its text. If a roster has the contact by its new key
/// already, the row of the other is removed.
pub(crate) async fn adopt(conn: &mut AnyConnection, adopted: &Adopted<'_>) -> Result<()> {
    for row in sqlx::query(NAMING).bind(&adopted.domain.name).fetch_all(&mut *conn).await? {
        let (account, contact): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let Some(key) = adopted.key(&contact) else { continue };
        let known = sqlx::query(FIND).bind(account).bind(&key).fetch_optional(&mut *conn).await?;
        let query = match known {
            Some(_) => sqlx::query(DELETE).bind(account).bind(contact),
            None => sqlx::query(MOVE).bind(account).bind(contact).bind(key),
        };
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

async fn version(conn: &mut AnyConnection, account: i64) -> Result<RosterVersion> {
    let row = sqlx::query(VERSION).bind(account).fetch_optional(conn).await?;
    Ok(match row {
        Some(row) => RosterVersion { last: row.try_get(0)?, known_since: row.try_get(1)? },
        None => RosterVersion::default(),
    })
}

fn holder(row: &AnyRow) -> Result<Holder> {
    Ok(Holder { account: row.try_get(0)?, domain: row.try_get(1)?, localpart: row.try_get(2)? })
}

fn row(row: &AnyRow) -> Result<RosterRow> {
    let (groups, subscription): (String, i64) = (row.try_get(3)?, row.try_get(4)?);
    let flag = |at: usize| row.try_get::<i64, _>(at).map(|value| value != 0);
    let approved: i64 = row.try_get(6)?;
    Ok(RosterRow {
        contact: row.try_get(0)?,
        listed: flag(1)?,
        name: row.try_get(2)?,
        groups: groups.split(BEFORE_GROUP).skip(1).map(str::to_owned).collect(),
        to: subscription & 1 != 0,
        from: subscription & 2 != 0,
        ask: flag(5)?,
        approved: approved == 1,
        approved_nobody: approved == 2,
        request: row.try_get::<Vec<u8>, _>(7)?.into(),
        version: row.try_get(8)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use crate::testing::{account, fresh, remove_wholly};

    fn contact(key: &str, version: i64) -> RosterRow {
        RosterRow { contact: key.to_owned(), listed: true, version, ..RosterRow::default() }
    }

    #[tokio::test]
    async fn a_row_is_read_as_it_was_written() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let whole = RosterRow {
            contact: "eve@#1".into(),
            listed: true,
            name: "Eve & co".into(),
            groups: vec!["".into(), "two\nlines".into()],
            to: true,
            from: false,
            ask: false,
            approved: true,
            approved_nobody: false,
            request: Bytes::from_static(b"<presence/>"),
            version: 7,
        };
        let asked = RosterRow { ask: true, from: true, ..contact("mona@#1", 8) };

        tx.write_roster_row(bob, &contact("eve@#1", 3)).await.unwrap();
        tx.write_roster_row(bob, &whole).await.unwrap();
        tx.write_roster_row(bob, &asked).await.unwrap();

        assert_eq!(tx.roster_row(bob, "eve@#1").await.unwrap(), Some(whole.clone()));
        assert_eq!(tx.roster_row(bob, "zoe@#1").await.unwrap(), None);
        tx.commit().await.unwrap();
        let (rows, version) = store.roster(bob).await.unwrap();
        assert_eq!(rows, [whole, asked]);
        assert_eq!(version, RosterVersion::default());
    }

    #[tokio::test]
    async fn what_is_left_of_contacts_is_forgotten_with_its_version() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        let gone = |key: &str, version| RosterRow { listed: false, ..contact(key, version) };
        let request = Bytes::from_static(b"<presence/>");
        let asks = RosterRow { request: request.clone(), ..gone("asks@#1", 2) };
        for row in [contact("here@#1", 1), gone("old@#1", 2), asks.clone(), gone("new@#1", 3)] {
            tx.write_roster_row(bob, &row).await.unwrap();
        }
        tx.write_roster_row(eve, &gone("old@#1", 2)).await.unwrap();

        let version = RosterVersion { last: 3, known_since: 2 };
        tx.set_roster_version(bob, version).await.unwrap();

        assert_eq!(tx.roster_version(bob).await.unwrap(), version);
        tx.commit().await.unwrap();
        let (rows, known) = store.roster(bob).await.unwrap();
        assert_eq!(known, version);
        let asks = RosterRow { version: 0, ..asks };
        assert_eq!(rows, [asks, contact("here@#1", 1), gone("new@#1", 3)]);
        assert_eq!(store.roster(eve).await.unwrap().0.len(), 1);
    }

    #[tokio::test]
    async fn whoever_has_a_contact_is_found_and_nobody_else() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.write_roster_row(bob, &contact("mona@#1", 1)).await.unwrap();
        tx.write_roster_row(eve, &contact("zoe@#1", 1)).await.unwrap();

        let holders = tx.roster_holders("mona@#1", 0, 9).await.unwrap();

        assert_eq!(holders, [Holder { account: bob, domain: 1, localpart: "bob".into() }]);
        tx.write_roster_row(eve, &contact("mona@#1", 1)).await.unwrap();
        let first = tx.roster_holders("mona@#1", 0, 1).await.unwrap();
        let second = tx.roster_holders("mona@#1", first[0].account, 1).await.unwrap();
        assert_eq!([first[0].account, second[0].account], [bob, eve]);
        tx.remove_roster_row(bob, "mona@#1").await.unwrap();
        tx.remove_roster_row(eve, "mona@#1").await.unwrap();
        assert!(tx.roster_holders("mona@#1", 0, 9).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn approvals_of_a_name_are_void_in_pieces_and_those_of_others_stay() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let approved = RosterRow { approved: true, ..contact("new@#1", 7) };
        let mut ids = Vec::new();
        for name in ["ada", "bob", "eve"] {
            let id = account(&mut tx, name).await;
            tx.write_roster_row(id, &approved).await.unwrap();
            let other = RosterRow { contact: "old@#1".into(), ..approved.clone() };
            tx.write_roster_row(id, &other).await.unwrap();
            ids.push(id);
        }

        let voided = |holders: Vec<Holder>| holders.into_iter().map(|it| it.account);
        let first: Vec<_> = voided(tx.void_approvals("new@#1", 2).await.unwrap()).collect();
        let second: Vec<_> = voided(tx.void_approvals("new@#1", 2).await.unwrap()).collect();

        assert_eq!((first, second), (ids[..2].to_vec(), ids[2..].to_vec()));
        assert!(tx.void_approvals("new@#1", 2).await.unwrap().is_empty());
        for id in ids {
            let void = tx.roster_row(id, "new@#1").await.unwrap().unwrap();
            let shown = RosterRow { approved: false, approved_nobody: true, ..approved.clone() };
            assert_eq!(void, shown);
            assert!(tx.roster_row(id, "old@#1").await.unwrap().unwrap().approved);
            tx.write_roster_row(id, &void).await.unwrap();
            assert_eq!(tx.roster_row(id, "new@#1").await.unwrap(), Some(void));
        }
    }

    #[tokio::test]
    async fn whoever_has_asked_for_a_contact_is_found_up_to_a_limit_and_who_lists_it_is_not() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let asks = RosterRow { ask: true, ..contact("boss@#1", 1) };
        for (name, row) in [
            ("bob", contact("boss@#1", 1)),
            ("eve", asks.clone()),
            ("mona", RosterRow { ask: true, ..contact("zoe@#1", 1) }),
            ("zoe", asks),
        ] {
            let id = account(&mut tx, name).await;
            tx.write_roster_row(id, &row).await.unwrap();
        }

        let asking = [(1, "eve".to_owned()), (1, "zoe".to_owned())];
        for (limit, many) in [(0, 0), (1, 1), (2, 2), (9, 2)] {
            let askers = tx.roster_askers("boss@#1", limit).await.unwrap();
            assert_eq!(askers, asking[..many], "{limit}");
        }
    }

    #[tokio::test]
    async fn strangers_of_a_domain_that_becomes_ours_are_neighbours() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        for key in ["mona@new.example", "zoe@new.example.org", "zoe@#1"] {
            tx.write_roster_row(bob, &contact(key, 1)).await.unwrap();
        }
        tx.write_roster_row(eve, &contact("bob@#1", 1)).await.unwrap();
        tx.write_roster_row(eve, &contact("bob@new.example", 1)).await.unwrap();

        tx.rename_domain("localhost", "new.example").await.unwrap();

        tx.commit().await.unwrap();
        let (rows, _) = store.roster(bob).await.unwrap();
        let keys: Vec<_> = rows.iter().map(|row| row.contact.as_str()).collect();
        assert_eq!(keys, ["mona@#1", "zoe@#1", "zoe@new.example.org"]);
        let (rows, _) = store.roster(eve).await.unwrap();
        assert_eq!(rows, [contact("bob@#1", 1)]);
    }

    #[test]
    fn a_version_is_new_even_when_the_clock_stands_still_or_goes_back() {
        let known = RosterVersion { last: 10, known_since: 3 };

        assert_eq!(known.next(10), 11);
        assert_eq!(known.next(5), 11);
        assert_eq!(known.next(50), 50);
    }

    #[tokio::test]
    async fn a_roster_goes_with_its_account() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.write_roster_row(bob, &contact("eve@#1", 1)).await.unwrap();
        tx.set_roster_version(bob, RosterVersion { last: 1, known_since: 0 }).await.unwrap();
        remove_wholly(&mut tx, bob).await;
        tx.commit().await.unwrap();

        assert_eq!(store.roster(bob).await.unwrap(), (Vec::new(), RosterVersion::default()));
        let mut tx = store.begin().await.unwrap();
        tx.write_roster_row(bob, &contact("eve@#1", 1)).await.unwrap();
        assert_eq!(tx.roster_row(bob, "eve@#1").await.unwrap(), None);
    }
}
