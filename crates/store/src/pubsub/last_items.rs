//! The last items of many nodes: what somebody is told who begins to hear them.

use std::sync::LazyLock;

use sqlx::Row;

use super::items::{self, PubsubItem};
use super::nodes::{self, PubsubNode};
use crate::rows::ManyRows;
use crate::{Result, Store};

/// Looks for one node after the other, and for its last item. PostgreSQL takes what is not of one type
/// in `VALUES` for text.
static LAST: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        concat!("SELECT ", nodes::columns!(), ", ", items::columns!(), " FROM (VALUES"),
        2,
        ") AS v CROSS JOIN pubsub_nodes n CROSS JOIN pubsub_items i \
        WHERE n.owner = CAST(v.column1 AS BIGINT) AND n.name = CAST(v.column2 AS TEXT) \
        AND i.contents = n.contents AND i.seq = \
        (SELECT MAX(l.seq) FROM pubsub_items l WHERE l.contents = n.contents)",
    )
});

static OWNERS: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "SELECT a.id, a.localpart FROM (VALUES",
        2,
        ") AS v CROSS JOIN accounts a \
        WHERE a.domain = CAST(v.column1 AS BIGINT) AND a.localpart = CAST(v.column2 AS TEXT) \
        AND EXISTS (SELECT 1 FROM pubsub_nodes n WHERE n.owner = a.id)",
    )
});

pub(super) fn of() -> &'static ManyRows {
    &LAST
}

pub(super) fn owners() -> &'static ManyRows {
    &OWNERS
}

impl Store {
    /// Returns the last item of each node that one of these owners has under one of these names, in
    /// no order. For each pair of owner and name a node is looked for, so the lists have to be short.
    pub async fn pubsub_last_items(
        &self,
        owners: &[i64],
        names: &[&str],
    ) -> Result<Vec<(PubsubNode, PubsubItem)>> {
        let wanted = |owner: &i64| names.iter().map(|name| (*owner, *name)).collect::<Vec<_>>();
        let wanted: Vec<(i64, &str)> = owners.iter().flat_map(wanted).collect();
        let mut conn = self.own_reader().await?;
        let mut found = Vec::new();
        for (text, piece) in LAST.pieces(self.dialect(), &wanted) {
            let query = piece
                .iter()
                .fold(sqlx::query(text), |query, (owner, name)| query.bind(*owner).bind(*name));
            for row in query.fetch_all(&mut *conn).await? {
                found.push((nodes::node(&row)?, items::item(&row, 6)?));
            }
        }
        Ok(found)
    }

    /// Returns which of these accounts of a domain have a node, by number and name, in no order.
    pub async fn pubsub_owners_at(
        &self,
        domain: i64,
        localparts: &[&str],
    ) -> Result<Vec<(i64, String)>> {
        let mut conn = self.own_reader().await?;
        let mut found = Vec::new();
        for (text, piece) in OWNERS.pieces(self.dialect(), localparts) {
            let query = piece
                .iter()
                .fold(sqlx::query(text), |query, localpart| query.bind(domain).bind(*localpart));
            for row in query.fetch_all(&mut *conn).await? {
                found.push((row.try_get(0)?, row.try_get(1)?));
            }
        }
        Ok(found)
    }
}
