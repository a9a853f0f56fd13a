//! The items of nodes: published, read and retracted.

use std::sync::LazyLock;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::nodes::count;
use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::{Result, Store, Tx};

/// The columns of an item, of `pubsub_items i`.
macro_rules! columns {
    () => {
        "i.seq, i.id, i.publisher, i.account, i.at, i.payload"
    };
}
pub(super) use columns;

/// The number under which the items of the node `$1` stand.
macro_rules! contents {
    () => {
        "(SELECT n.contents FROM pubsub_nodes n WHERE n.id = $1)"
    };
}

/// Reads the items between two numbers, oldest first or newest first.
macro_rules! between {
    ($order:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM pubsub_items i WHERE i.contents = ",
            contents!(),
            " AND i.seq > $2 AND i.seq < $3 ORDER BY i.seq ",
            $order,
            " LIMIT $4"
        )
    };
}

const FROM_BEGIN: &str = between!("ASC");
const FROM_END: &str = between!("DESC");
const SEQ: &str =
    concat!("SELECT i.seq FROM pubsub_items i WHERE i.contents = ", contents!(), " AND i.id = $2");
const COUNT_BEFORE: &str = concat!(
    "SELECT COUNT(*) FROM pubsub_items i WHERE i.contents = ",
    contents!(),
    " AND i.seq < $2"
);
const RETRACT: &str = concat!(
    "DELETE FROM pubsub_items WHERE contents = ",
    contents!(),
    " AND id = $2 RETURNING bytes"
);
const RETRACT_OLDEST: &str = concat!(
    "DELETE FROM pubsub_items WHERE contents = ",
    contents!(),
    " AND seq IN (SELECT i.seq FROM pubsub_items i WHERE i.contents = ",
    contents!(),
    " ORDER BY i.seq LIMIT $2) RETURNING bytes, seq, id"
);
const HOW_MANY: &str = "SELECT items FROM pubsub_nodes WHERE id = $1";
const GROW: &str = "UPDATE pubsub_nodes SET items = items + $2, bytes = bytes + $3, \
    last = last + 1 WHERE id = $1 RETURNING contents, last";
const SHRINK: &str = "UPDATE pubsub_nodes SET items = items - $2, bytes = bytes - $3 WHERE id = $1";
const INSERT: &str = "INSERT INTO pubsub_items (contents, seq, id, publisher, account, at, \
    bytes, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

pub(super) const STATEMENTS: &[&str] = &[
    FROM_BEGIN,
    FROM_END,
    SEQ,
    COUNT_BEFORE,
    RETRACT,
    RETRACT_OLDEST,
    HOW_MANY,
    GROW,
    SHRINK,
    INSERT,
];

/// PostgreSQL takes what is not of one type in `VALUES` for text.
static BY_ID: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        concat!("SELECT ", columns!(), " FROM (VALUES"),
        2,
        ") AS v JOIN pubsub_nodes n ON n.id = CAST(v.column1 AS BIGINT) \
        JOIN pubsub_items i ON i.contents = n.contents AND i.id = CAST(v.column2 AS TEXT)",
    )
});

pub(super) fn by_id() -> &'static ManyRows {
    &BY_ID
}

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubsubItem {
    /// Its number in the node, which only grows: the last item has the highest.
    pub seq: i64,
    /// Its id, which no other item of the node has.
    pub id: String,
    /// Who published it, as a key ([`to_key`](crate::to_key)). When an account is removed, its name
    /// stays here.
    pub publisher: String,
    /// The number of the publisher's account; 0: it is of none here.
    pub account: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What was published; it may be empty.
    pub payload: Vec<u8>,
}

impl PubsubItem {
    /// Whether somebody has published it. Of accounts the number counts, since a name can be given
    /// again.
    #[must_use]
    pub fn is_of(&self, account: i64, publisher: &str) -> bool {
        self.account == account && (account != 0 || self.publisher == publisher)
    }
}

/// An item to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPubsubItem<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who publishes it, as a key.
    pub publisher: &'a str,
    /// The number of the publisher's account; 0: it is of none here.
    pub account: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What is published; it may be empty.
    pub payload: &'a [u8],
}

impl NewPubsubItem<'_> {
    /// Returns how many bytes it takes of what its owner may have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.id.len() + self.payload.len()) as u64
    }
}

/// Which items of a node to read: those between two of them (RSM, XEP-0059).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PubsubPage {
    /// Only items after this one, by number.
    pub after: Option<i64>,
    /// Only items before this one, by number.
    pub before: Option<i64>,
    /// Whether the last of these are read, where there are more than `most`.
    pub from_end: bool,
    /// How many are read at most.
    pub most: u64,
}

impl Store {
    /// Returns those items of a node that have one of these ids, oldest first.
    pub async fn pubsub_items_by_id(&self, node: i64, ids: &[&str]) -> Result<Vec<PubsubItem>> {
        items_by_id(&mut *self.own_reader().await?, node, ids).await
    }

    /// Returns some items of a node, oldest first.
    pub async fn pubsub_page(&self, node: i64, page: &PubsubPage) -> Result<Vec<PubsubItem>> {
        read_page(&mut *self.own_reader().await?, node, page).await
    }

    /// Returns the number of the item of this id.
    pub async fn pubsub_item_seq(&self, node: i64, id: &str) -> Result<Option<i64>> {
        item_seq(&mut *self.own_reader().await?, node, id).await
    }

    /// Returns how many items of a node are before this number.
    pub async fn pubsub_count_before(&self, node: i64, seq: i64) -> Result<u64> {
        count_before(&mut *self.own_reader().await?, node, seq).await
    }
}

impl Tx {
    /// Returns those items of a node that have one of these ids, oldest first.
    pub async fn pubsub_items_by_id(&mut self, node: i64, ids: &[&str]) -> Result<Vec<PubsubItem>> {
        items_by_id(self.conn()?, node, ids).await
    }

    /// Returns some items of a node, oldest first.
    pub async fn pubsub_page(&mut self, node: i64, page: &PubsubPage) -> Result<Vec<PubsubItem>> {
        read_page(self.conn()?, node, page).await
    }

    /// Returns the number of the item of this id.
    pub async fn pubsub_item_seq(&mut self, node: i64, id: &str) -> Result<Option<i64>> {
        item_seq(self.conn()?, node, id).await
    }

    /// Returns how many items of a node are before this number.
    pub async fn pubsub_count_before(&mut self, node: i64, seq: i64) -> Result<u64> {
        count_before(self.conn()?, node, seq).await
    }

    /// Publishes an item, in place of the one of this id; returns its number, which is higher than
    /// all that were given in this node before.
    ///
    /// # Errors
    /// Also when the node does not exist.
    pub async fn put_pubsub_item(&mut self, node: i64, item: NewPubsubItem<'_>) -> Result<i64> {
        let conn = self.conn()?;
        let bytes = i64::try_from(item.bytes()).unwrap_or(i64::MAX);
        let replaced = retract(conn, node, item.id).await?;
        let (more, longer) = match replaced {
            Some(before) => (0, bytes - before),
            None => (1_i64, bytes),
        };
        let grow = sqlx::query(GROW).bind(node).bind(more).bind(longer);
        let row = grow.fetch_one(&mut *conn).await?;
        let (contents, seq): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let insert = sqlx::query(INSERT).bind(contents).bind(seq).bind(item.id);
        let insert = insert
            .bind(item.publisher)
            .bind(item.account)
            .bind(item.at)
            .bind(bytes)
            .bind(item.payload);
        insert.execute(conn).await?;
        Ok(seq)
    }

    /// Removes the item of this id; returns whether there was one.
    pub async fn retract_pubsub_item(&mut self, node: i64, id: &str) -> Result<bool> {
        let conn = self.conn()?;
        let Some(bytes) = retract(conn, node, id).await? else { return Ok(false) };
        shrink(conn, node, 1, bytes).await?;
        Ok(true)
    }

    /// Removes the oldest items of a node, so that it has `keep` at most; returns their ids, oldest
    /// first. What a node has is bounded, and so is what this changes.
    pub async fn retract_oldest_pubsub_items(
        &mut self,
        node: i64,
        keep: u64,
    ) -> Result<Vec<String>> {
        let conn = self.conn()?;
        let has = sqlx::query(HOW_MANY).bind(node).fetch_optional(&mut *conn).await?;
        let has = has.map_or(Ok(0), |row| count(&row, 0))?;
        let too_many = i64::try_from(has.saturating_sub(keep)).unwrap_or(i64::MAX);
        if too_many == 0 {
            return Ok(Vec::new());
        }
        let retract = sqlx::query(RETRACT_OLDEST).bind(node).bind(too_many);
        let rows = retract.fetch_all(&mut *conn).await?;
        let mut bytes = 0;
        let mut retracted: Vec<(i64, String)> = Vec::with_capacity(rows.len());
        for row in &rows {
            bytes += row.try_get::<i64, _>(0)?;
            retracted.push((row.try_get(1)?, row.try_get(2)?));
        }
        shrink(conn, node, rows.len() as i64, bytes).await?;
        retracted.sort_unstable();
        Ok(retracted.into_iter().map(|(_, id)| id).collect())
    }
}

/// Removes the item of this id; returns how many bytes it had, if there was one.
async fn retract(conn: &mut AnyConnection, node: i64, id: &str) -> Result<Option<i64>> {
    let row = sqlx::query(RETRACT).bind(node).bind(id).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn shrink(conn: &mut AnyConnection, node: i64, items: i64, bytes: i64) -> Result<()> {
    sqlx::query(SHRINK).bind(node).bind(items).bind(bytes).execute(conn).await?;
    Ok(())
}

async fn items_by_id(conn: &mut AnyConnection, node: i64, ids: &[&str]) -> Result<Vec<PubsubItem>> {
    let mut items = Vec::new();
    for (text, piece) in BY_ID.pieces(Dialect::of(conn), ids) {
        let query = piece.iter().fold(sqlx::query(text), |query, id| query.bind(node).bind(*id));
        for row in query.fetch_all(&mut *conn).await? {
            items.push(item(&row, 0)?);
        }
    }
    // An id that is asked for twice is found twice.
    items.sort_unstable_by_key(|item| item.seq);
    items.dedup_by_key(|item| item.seq);
    Ok(items)
}

async fn read_page(
    conn: &mut AnyConnection,
    node: i64,
    page: &PubsubPage,
) -> Result<Vec<PubsubItem>> {
    let PubsubPage { after, before, from_end, most } = *page;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let query = sqlx::query(if from_end { FROM_END } else { FROM_BEGIN }).bind(node);
    let query = query.bind(after.unwrap_or(0)).bind(before.unwrap_or(i64::MAX)).bind(most);
    let rows = query.fetch_all(conn).await?;
    let mut items = rows.iter().map(|row| item(row, 0)).collect::<Result<Vec<_>>>()?;
    if from_end {
        items.reverse();
    }
    Ok(items)
}

async fn item_seq(conn: &mut AnyConnection, node: i64, id: &str) -> Result<Option<i64>> {
    let row = sqlx::query(SEQ).bind(node).bind(id).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn count_before(conn: &mut AnyConnection, node: i64, seq: i64) -> Result<u64> {
    let row = sqlx::query(COUNT_BEFORE).bind(node).bind(seq).fetch_one(conn).await?;
    count(&row, 0)
}

/// Reads the [`columns`] of an item, which begin at `first`.
pub(super) fn item(row: &AnyRow, first: usize) -> Result<PubsubItem> {
    Ok(PubsubItem {
        seq: row.try_get(first)?,
        id: row.try_get(first + 1)?,
        publisher: row.try_get(first + 2)?,
        account: row.try_get(first + 3)?,
        at: row.try_get(first + 4)?,
        payload: row.try_get(first + 5)?,
    })
}
