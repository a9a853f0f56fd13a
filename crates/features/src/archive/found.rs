//! Which messages of an archive match, for one page.

use std::collections::VecDeque;

use whoelse_store::{LoggedMessage, Query};
use whoelse_xmpp::{Condition, Jid, StanzaError};

use super::Limits;
use super::asked::Wanted;
use super::left::Left;
use super::reader::Reader;
use super::shelf::With;

/// A page that has reached this many bytes gets no more messages: otherwise the largest would be 64
/// MB, held for as long as a slow reader takes.
const WEIGHT: usize = 2 << 20;
/// Messages read from the log at once.
pub(super) const STEP: usize = 50;
/// The most messages read for one page where the messages themselves have to be looked at: the log
/// knows only bare addresses.
const LOOKED_AT: usize = 1_000;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// The messages, oldest first.
    pub rows: Vec<LoggedMessage>,
    /// Whether these are all that match.
    pub complete: bool,
    /// How many match in all, if that was counted.
    pub count: Option<i64>,
}

/// Whether a message is with an address, where that has to be looked at.
struct Look<'a> {
    reader: &'a Reader,
    address: Option<&'a Jid>,
}

impl Look<'_> {
    /// Whether nothing has to be looked at.
    fn is_exact(&self) -> bool {
        self.address.is_none()
    }

    fn matches(&self, row: &LoggedMessage) -> bool {
        self.address.is_none_or(|address| self.reader.shelf.is_with(row, address))
    }
}

/// Finds a page of what is wanted.
pub(super) async fn fetch(reader: &Reader, wanted: &Wanted) -> Result<Found, StanzaError> {
    let with = match &wanted.with {
        None => With { peer: None, look: false },
        Some(address) => match reader.shelf.with(address) {
            Some(with) => with,
            None => return Ok(Found { complete: true, count: Some(0), ..Found::default() }),
        },
    };
    let address = wanted.with.as_ref().filter(|_| with.look);
    let look = Look { reader, address };
    let query = Query {
        with: with.peer,
        start: wanted.start.map(|time| time.0),
        // The end is the last moment with this stamp: older versions have stored finer steps than
        // stamps show.
        end: wanted.end.map(|time| time.last_told_alike().0),
        after_seq: wanted.after,
        before_seq: wanted.before,
        limit: wanted.limit.max(1) as i64,
        backwards: wanted.backwards,
    };
    if let Some(ids) = &wanted.ids {
        return of_ids(reader, (&query, &look), ids, wanted).await;
    }
    let count = match look.is_exact() && !wanted.is_between {
        true => {
            let most = reader.node.settings().of::<Limits>().archive_counted.into();
            reader.read(reader.node.store.count(reader.archive(), &query, most)).await?
        }
        false => None,
    };
    if wanted.limit == 0 {
        // XEP-0059, 2.7: only the count is wanted. Where there is none, that is the answer.
        return Ok(Found { complete: count == Some(0), count, ..Found::default() });
    }
    let page = in_steps(reader, query, &look, wanted.limit).await?;
    Ok(Found { count, ..page })
}

/// Reads in steps, until enough messages match or their bytes suffice.
async fn in_steps(
    reader: &Reader,
    mut query: Query,
    look: &Look<'_>,
    limit: usize,
) -> Result<Found, StanzaError> {
    let store = &reader.node.store;
    let (exact, backwards) = (look.is_exact(), query.backwards);
    let (mut rows, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
    let mut left = Left::of(&query);
    let mut begins = left.part.is_some();
    while !left.is_empty() && bytes < WEIGHT && (exact || rows.len() < limit) {
        if !exact && looked_at >= LOOKED_AT {
            break;
        }
        if begins {
            // Numbers that no row has are no part of their own.
            (query.after_seq, query.before_seq) = (Some(left.after), Some(left.before));
            left.begin_with(reader.read(store.nearest(reader.archive(), &query)).await?);
            if left.is_empty() {
                break;
            }
        }
        let (after, before) = left.next();
        (query.after_seq, query.before_seq) = (Some(after), Some(before));
        query.limit = match exact {
            // With no more room this only tells whether there are more.
            true => STEP.min(limit - rows.len()) as i64,
            false => STEP as i64,
        };
        let page = reader.read(store.query(reader.archive(), &query)).await?;
        looked_at += page.rows.len();
        let edge = if backwards { page.rows.first() } else { page.rows.last() };
        match (page.complete, edge.map(|row| row.seq)) {
            (true, _) => left.take_next(),
            (false, Some(edge)) => left.take_up_to(edge),
            (false, None) => {}
        }
        let more = !page.complete;
        // After a step that was not the last of its part the next row is known to follow.
        begins = left.part.is_some() && !more;
        let matching: Vec<_> = page.rows.into_iter().filter(|row| look.matches(row)).collect();
        bytes += matching.iter().map(|row| row.stanza.len()).sum::<usize>();
        match backwards {
            true => rows.splice(0..0, matching).for_each(drop),
            false => rows.extend(matching),
        }
        if exact && more && rows.len() >= limit {
            break;
        }
    }
    let mut complete = left.is_empty();
    if rows.is_empty() && !complete {
        // Without a message there is no id from which the next page could go on.
        return Err(StanzaError::new(Condition::PolicyViolation).with_text(format!(
            "none of {looked_at} messages is with this device; ask for the bare address, or for a \
             time"
        )));
    }
    if rows.len() > limit {
        complete = false;
        match backwards {
            true => drop(rows.drain(..rows.len() - limit)),
            false => rows.truncate(limit),
        }
    }
    Ok(Found { rows, complete, count: None })
}

/// 4.1.3: finds messages by their ids, of which the archive has all.
async fn of_ids(
    reader: &Reader,
    (query, look): (&Query, &Look<'_>),
    ids: &[i64],
    wanted: &Wanted,
) -> Result<Found, StanzaError> {
    let is_wanted = |seq: &i64| {
        wanted.after.is_none_or(|after| *seq > after)
            && wanted.before.is_none_or(|before| *seq < before)
    };
    let mut left: VecDeque<i64> = ids.iter().copied().filter(is_wanted).collect();
    let (mut rows, mut bytes) = (VecDeque::new(), 0);
    while rows.len() < wanted.limit && bytes < WEIGHT {
        let next = if wanted.backwards { left.pop_back() } else { left.pop_front() };
        let Some(seq) = next else { break };
        let one = Query {
            after_seq: Some(seq - 1),
            before_seq: Some(seq.saturating_add(1)),
            limit: 1,
            ..query.clone()
        };
        let found = reader.read(reader.node.store.query(reader.archive(), &one)).await?;
        for row in found.rows.into_iter().filter(|row| look.matches(row)) {
            bytes += row.stanza.len();
            match wanted.backwards {
                true => rows.push_front(row),
                false => rows.push_back(row),
            }
        }
    }
    Ok(Found { rows: rows.into(), complete: left.is_empty(), count: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use whoelse_core::settings::Settings;
    use whoelse_core::{Clock, Node, Time};
    use whoelse_store::{Direction, Location, NewMessage, NewRow, Store};
    use whoelse_xmpp::BareJid;

    use super::super::shelf::OwnShelf;
    use super::*;

    /// A reader of an archive that has twelve messages of a quarter of a megabyte: 1 to 12.
    async fn twelve() -> (Arc<Node>, Reader) {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        let row = NewMessage {
            first: NewRow { archive: bob, peer: "eve@#1".into(), direction: Direction::Out },
            stanza: vec![b'x'; WEIGHT / 8].into(),
            ..NewMessage::default()
        };
        tx.append(&vec![row; 12]).await.unwrap();
        tx.commit().await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let node = Node::start(Settings::default(), clock, store, crate::ALL, Some("localhost"));
        let node = node.await.unwrap();
        let own = node.look_up(&BareJid::parse("bob@localhost").unwrap()).await.unwrap().unwrap();
        assert_eq!(own.archive, bob);
        let to = Jid::parse("bob@localhost/desk").unwrap();
        let shelf = Arc::new(OwnShelf { node: node.clone(), own });
        (node.clone(), Reader::new(node, shelf, to))
    }

    #[tokio::test]
    async fn what_is_asked_for_by_ids_ends_where_a_page_is_heavy_enough_and_goes_on_from_there() {
        let (node, reader) = twelve().await;
        for (backwards, after, expected, complete) in [
            (false, None, 1..=8, false),
            (false, Some(8), 9..=12, true),
            (true, None, 5..=12, false),
        ] {
            let ids = Some((1..=12).collect());
            let wanted = Wanted { ids, after, backwards, limit: 250, ..Wanted::default() };

            let found = fetch(&reader, &wanted).await.unwrap();

            let seqs: Vec<i64> = found.rows.iter().map(|row| row.seq).collect();
            assert_eq!((seqs, found.complete), (expected.collect(), complete), "{wanted:?}");
        }
        node.stop().await;
    }
}
