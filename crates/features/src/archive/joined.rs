//! What a page of an account's archive says of what waits for the account: of which part it shows
//! everything, and what is missing before that.

use whoelse_core::session::Session;
use whoelse_store::{Direction, LoggedMessage, Page, Query};
use whoelse_xmpp::StanzaError;

use super::asked::Wanted;
use super::found::{Found, STEP};
use super::reader::Reader;

/// Returns the part of the archive of which a page shows everything: what is after the first number,
/// up to the second.
pub(super) async fn shows(
    reader: &Reader,
    wanted: &Wanted,
    found: &Found,
) -> Result<Option<(i64, i64)>, StanzaError> {
    let Some((after, to)) = between(wanted, found) else { return Ok(None) };
    if wanted.start.is_none() && wanted.end.is_none() {
        return Ok(Some((after, to)));
    }
    // The times of messages need not have the order of their numbers, so there may be others between
    // those of the page.
    let all = Query {
        after_seq: Some(after),
        before_seq: Some(to.saturating_add(1)),
        limit: found.rows.len() as i64,
        ..Query::default()
    };
    let all = reader.read(reader.node.store.query(reader.archive(), &all)).await?;
    Ok((all.complete && all.rows.len() == found.rows.len()).then_some((after, to)))
}

/// Joins a page, of which this is what it shows, to what is confirmed. A client that reads on from
/// somewhere has what is before that, or so it says by it; but nobody has confirmed that, and the
/// cursor would stay there for ever. So some of it is sent along, as what waited. Returns that, and
/// the part of the archive that the client has then.
pub(super) async fn joined(
    reader: &Reader,
    session: &Session,
    (after, to): (i64, i64),
) -> Result<(Vec<LoggedMessage>, (i64, i64)), StanzaError> {
    let Some(from) = session.missing_before(after) else { return Ok((Vec::new(), (after, to))) };
    let between = Query {
        after_seq: Some(from),
        before_seq: Some(after.saturating_add(1)),
        limit: STEP as i64,
        ..Query::default()
    };
    let Page { mut rows, complete } =
        reader.read(reader.node.store.query(reader.archive(), &between)).await?;
    let last = rows.last().map(|row| row.seq).filter(|_| !complete);
    rows.retain(|row| row.direction == Direction::In);
    Ok((rows, (from, last.unwrap_or(to))))
}

/// Returns the numbers between which a page shows what matches its filter, if it is not about one
/// person or some ids alone.
fn between(wanted: &Wanted, found: &Found) -> Option<(i64, i64)> {
    if wanted.with.is_some() || wanted.ids.is_some() || wanted.limit == 0 {
        return None;
    }
    // Nothing is missing at the end from which it was read, nor at the other if it is complete.
    let has_begin = (found.complete || !wanted.backwards) && wanted.start.is_none();
    let has_end = (found.complete || wanted.backwards) && wanted.end.is_none();
    let after = match has_begin {
        true => wanted.after.unwrap_or(0),
        false => found.rows.first()?.seq - 1,
    };
    let to = match has_end {
        true => wanted.before.map_or(i64::MAX, |before| before - 1),
        false => found.rows.last()?.seq,
    };
    Some((after, to))
}
