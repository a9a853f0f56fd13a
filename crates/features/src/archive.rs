//! XEP-0313, Message Archive Management, with the paging of XEP-0059: a user reads what the log
//! keeps of their conversations. Only their own: the request is answered for the own account alone
//! (security row 27).

use std::ops::Deref;
use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::{Answer, Cx, Feature, OWN, Pages, Reply, SessionCx, Verb};
use whoelse_core::session::Session;
use whoelse_core::settings::count;
use whoelse_core::turns::{OwnTurn, Turns};
use whoelse_core::{Node, Time, delivery, settings};
use whoelse_store::{Direction, LoggedMessage, Page, Query, Shown};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::payload::xmpp_parsers::mam;
use whoelse_xmpp::payload::xmpp_parsers::rsm::SetQuery;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Class, Condition, Jid, Kind, Outgoing, Stanza, StanzaError, ns};

use crate::readable;

/// XEP-0313 core, and XEP-0059.
pub const FEATURE: Feature = Feature {
    name: "archive",
    xeps: &[(59, "1.0"), (313, "1.1.3")],
    disco: &[ns::MAM, ns::RSM],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.on(Verb::Get, OWN, (ns::MAM, "query"), form);
        w.set(OWN, query);
        w.bound(metadata);
        // Ours, docs/protocol.md: a client that is sent what waits, though its archive shows it. It is
        // asked for after `metadata` has left that out.
        w.bind((ns::WHOELSE_WAITING, "send"), Session::send_what_waits);
    },
    ..Feature::PLAIN
};

settings! {
    /// Bounds of what is read for one page.
    struct Limits in "limits" {
        /// Messages that are counted for the total that goes with a page of somebody's history. When
        /// their history, or the part with the person they ask about, is longer, the total is left
        /// out: counting all of it for each page would keep others waiting.
        archive_counted: u32 = 2_000, count();
    }
}

/// The most messages in one page, however many are asked for: a page is a bounded piece of work.
const MOST: usize = 250;
/// A page that has reached this many bytes gets no more messages: otherwise the largest would be 64
/// MB, held for as long as a slow reader takes.
const WEIGHT: usize = 2 << 20;
/// Messages read from the log at once.
const STEP: usize = 50;
/// The most messages read for one page that is filtered by a full address: the log knows only bare
/// ones, so the messages themselves have to be looked at.
const LOOKED_AT: usize = 1_000;
/// Numbers looked at at once where times are asked for, which no index has: at most as many small
/// rows, and the bodies of those that match.
const PART: i64 = 10_000;

/// XEP-0313, 4.1.5: the fields that can be filled in.
async fn form(_: Cx, _: Stanza, _: Child) -> Answer {
    let field = |var: &str, type_: &str| Element::new("field").attr("var", var).attr("type", type_);
    let form = Element::new("x")
        .xmlns(ns::DATA)
        .attr("type", "form")
        .child(field("FORM_TYPE", "hidden").child(Element::new("value").text(ns::MAM)))
        .child(field("with", "jid-single"))
        .child(field("start", "text-single"))
        .child(field("end", "text-single"));
    Ok(Reply::encoded(Element::new("query").xmlns(ns::MAM).child(form).finish()))
}

/// XEP-0386, 3.2, and XEP-0313, 6.2: tells the client of a new session where its archive begins and
/// ends. It reads there what waits, so that is not sent to it.
async fn metadata(node: Arc<Node>, session: Arc<Session>) -> Vec<u8> {
    let metadata = Element::new("metadata").xmlns(ns::MAM);
    // Where no history is kept, what waits is sent.
    let Some(own) = session.account.as_ref().filter(|_| node.settings().history.is_some()) else {
        return metadata.finish().into();
    };
    node.store.settle(own.archive).await;
    let ends = node.store.archive_ends(own.archive).await;
    // Without an answer everything is sent.
    let Ok(ends) = readable(&node, "archive_unreadable", Some(own.jid()), ends) else {
        return Vec::new();
    };
    let Some((oldest, newest)) = ends else { return metadata.finish().into() };
    session.leave_to_archive(newest.seq);
    let end = |name, Shown { seq, at }| {
        Element::new(name)
            .attr("id", &node.archive_id(own.archive, seq))
            .attr("timestamp", &Time(at).stamp())
    };
    metadata.child(end("start", oldest)).child(end("end", newest)).finish().into()
}

/// A request to read the archive of this account.
struct Asked {
    own: Arc<Account>,
    cx: Cx,
    turns: Arc<Turns>,
}

impl Asked {
    /// Reads one piece of the store, when it is its turn.
    async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, whoelse_store::Error>>,
    ) -> Result<T, StanzaError> {
        let settled = self.node.store.settle(self.own.archive);
        let read = self.turns.piece(settled, reading).await;
        readable(&self.node, "archive_unreadable", Some(self.own.jid()), read)
    }
}

impl Deref for Asked {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

async fn query(cx: SessionCx, request: mam::Query) -> Answer {
    let payer = cx.session.payer();
    let session = cx.session.clone();
    // To whoever has or is sent what waits, it does not matter what a page shows.
    let reads_what_waits = session.waits_in_archive();
    let turns = cx.node.slots.get_or_default::<Turns>();
    let cx = Asked { own: cx.subject()?.clone(), cx: cx.into(), turns };
    let filter = Filter::read(request.form)?;
    // A user who has just said something finds it: wait for what is still on its way to the log.
    cx.node.keeper.caught_up_with(&cx.own).await;
    let own = cx.own.get_or_default::<OwnTurn>();
    let site = payer.as_ref().and_then(|payer| payer.reading_turn(cx.node.clock.steady()));
    let reading = async {
        let page = Paging::read(&cx, request.set).await?;
        let found = fetch(&cx, &filter, &page).await?;
        let shows = match reads_what_waits {
            true => shows(&cx, &filter, &page, &found).await?,
            false => None,
        };
        match shows.filter(|_| !page.backwards) {
            Some(shows) => {
                let (missing, shows) = joined(&cx, &session, shows).await?;
                Ok((found, missing, Some(shows)))
            }
            None => Ok((found, Vec::new(), shows)),
        }
    };
    let in_turn = async {
        match site {
            Some(site) => site.one_by_one(reading).await,
            None => reading.await,
        }
    };
    let (found, missing, shows) = own.one_by_one(in_turn).await?;
    let queryid = request.queryid.map(|id| id.0);
    let end = fin(&cx, &found).finish().into();
    let (node, account) = (cx.node.clone(), cx.own.clone());
    let missing = missing.into_iter();
    let missing = missing.filter_map(move |row| delivery::of_what_waited(&node, &account, row));
    let rows = found.rows.into_iter();
    let results = rows.map(move |row| result(&cx, &row, queryid.as_deref()));
    let before = Box::new(missing.chain(results));
    Ok(Reply::Pages(Pages { before, result: end, shows }))
}

// --- what is asked ---

/// XEP-0313, 4.1: the filter: whose messages, and from when.
#[derive(Default)]
struct Filter {
    with: Option<Jid>,
    start: Option<Time>,
    end: Option<Time>,
}

impl Filter {
    fn read(form: Option<DataForm>) -> Result<Filter, StanzaError> {
        let mut filter = Filter::default();
        let Some(form) = form else { return Ok(filter) };
        for field in form.fields {
            let value = field.values.into_iter().next().unwrap_or_default();
            match field.var.as_deref() {
                Some("FORM_TYPE") if value == ns::MAM => {}
                Some("with") => filter.with = Some(Jid::parse(&value).map_err(|_| bad("with"))?),
                Some("start") => filter.start = Some(time(&value).ok_or_else(|| bad("start"))?),
                Some("end") => filter.end = Some(time(&value).ok_or_else(|| bad("end"))?),
                // XEP-0313, 4.1.5: an unknown field must not be ignored.
                _ => return Err(StanzaError::new(Condition::FeatureNotImplemented)),
            }
        }
        Ok(filter)
    }

    /// Whether the filter names a full address and this message is not from or to it.
    fn misses(&self, cx: &Asked, row: &LoggedMessage) -> bool {
        let Some(with) = &self.with else { return false };
        if with.resource().is_none() {
            return false;
        }
        let to = Stanza::parse(row.stanza.clone()).ok();
        let to = to.as_ref().and_then(|stanza| stanza.to());
        sender(cx, row) != with.as_str() && to != Some(with.as_str())
    }
}

fn time(text: &str) -> Option<Time> {
    Time::parse_stamp(text)
}

fn bad(field: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(format!("the field `{field}` is malformed"))
}

/// XEP-0059: which page is asked for.
struct Paging {
    limit: usize,
    after: Option<i64>,
    before: Option<i64>,
    backwards: bool,
}

impl Paging {
    async fn read(cx: &Asked, set: Option<SetQuery>) -> Result<Paging, StanzaError> {
        let Some(set) = set else {
            return Ok(Paging { limit: MOST, after: None, before: None, backwards: false });
        };
        if set.index.is_some() {
            // XEP-0059, 2.6: pages by number are not offered.
            return Err(StanzaError::new(Condition::FeatureNotImplemented));
        }
        let backwards = set.before.is_some();
        let before = set.before.filter(|id| !id.is_empty());
        Ok(Paging {
            limit: set.max.unwrap_or(MOST).min(MOST),
            after: known(cx, set.after).await?,
            before: known(cx, before).await?,
            backwards,
        })
    }
}

/// XEP-0313, 4.3: finds the number of an id; an id that is not in the archive is `item-not-found`.
async fn known(cx: &Asked, id: Option<String>) -> Result<Option<i64>, StanzaError> {
    let Some(id) = id else { return Ok(None) };
    let missing = || StanzaError::new(Condition::ItemNotFound);
    let seq = cx.node.archive_seq(cx.own.archive, &id).ok_or_else(missing)?;
    match cx.read(cx.node.store.archive_has(cx.own.archive, seq)).await? {
        true => Ok(Some(seq)),
        false => Err(missing()),
    }
}

// --- what is found ---

struct Found {
    /// The messages, oldest first.
    rows: Vec<LoggedMessage>,
    complete: bool,
    count: Option<i64>,
}

async fn fetch(cx: &Asked, filter: &Filter, paging: &Paging) -> Result<Found, StanzaError> {
    let store = &cx.node.store;
    let with = filter.with.as_ref().map(|with| cx.node.key_of(with.to_bare().as_str()));
    let mut query = Query {
        with,
        start: filter.start.map(|time| time.0),
        // The end is the last moment with this stamp: older versions have stored finer steps than
        // stamps show.
        end: filter.end.map(|time| time.last_told_alike().0),
        after_seq: paging.after,
        before_seq: paging.before,
        limit: paging.limit.max(1) as i64,
        backwards: paging.backwards,
    };
    let exact = filter.with.as_ref().is_none_or(|with| with.resource().is_none());
    let count = match exact {
        true => {
            let most = cx.node.settings().of::<Limits>().archive_counted.into();
            cx.read(store.count(cx.own.archive, &query, most)).await?
        }
        false => None,
    };
    if paging.limit == 0 {
        // XEP-0059, 2.7: only the count is wanted. Where there is none, that is the answer.
        return Ok(Found { rows: Vec::new(), complete: count == Some(0), count });
    }
    // Read in steps, until enough messages match or their bytes suffice.
    let (mut rows, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
    let mut left = Left::of(&query);
    let mut begins = left.part.is_some();
    while !left.is_empty() && bytes < WEIGHT && (exact || rows.len() < paging.limit) {
        if !exact && looked_at >= LOOKED_AT {
            break;
        }
        if begins {
            // Numbers that no row has are no part of their own.
            (query.after_seq, query.before_seq) = (Some(left.after), Some(left.before));
            left.begin_with(cx.read(store.nearest(cx.own.archive, &query)).await?);
            if left.is_empty() {
                break;
            }
        }
        let (after, before) = left.next();
        (query.after_seq, query.before_seq) = (Some(after), Some(before));
        query.limit = match exact {
            // With no more room this only tells whether there are more.
            true => STEP.min(paging.limit - rows.len()) as i64,
            false => STEP as i64,
        };
        let page = cx.read(store.query(cx.own.archive, &query)).await?;
        looked_at += page.rows.len();
        let edge = if paging.backwards { page.rows.first() } else { page.rows.last() };
        match (page.complete, edge.map(|row| row.seq)) {
            (true, _) => left.take_next(),
            (false, Some(edge)) => left.take_up_to(edge),
            (false, None) => {}
        }
        let more = !page.complete;
        // After a step that was not the last of its part the next row is known to follow.
        begins = left.part.is_some() && !more;
        let matching: Vec<_> =
            page.rows.into_iter().filter(|row| !filter.misses(cx, row)).collect();
        bytes += matching.iter().map(|row| row.stanza.len()).sum::<usize>();
        match paging.backwards {
            true => rows.splice(0..0, matching).for_each(drop),
            false => rows.extend(matching),
        }
        if exact && more && rows.len() >= paging.limit {
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
    if rows.len() > paging.limit {
        complete = false;
        match paging.backwards {
            true => drop(rows.drain(..rows.len() - paging.limit)),
            false => rows.truncate(paging.limit),
        }
    }
    Ok(Found { rows, complete, count })
}

/// Returns the part of the archive of which a page shows everything: what is after the first number,
/// up to the second.
async fn shows(
    cx: &Asked,
    filter: &Filter,
    paging: &Paging,
    found: &Found,
) -> Result<Option<(i64, i64)>, StanzaError> {
    let Some((after, to)) = between(filter, paging, found) else { return Ok(None) };
    if filter.start.is_none() && filter.end.is_none() {
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
    let all = cx.read(cx.node.store.query(cx.own.archive, &all)).await?;
    Ok((all.complete && all.rows.len() == found.rows.len()).then_some((after, to)))
}

/// Joins a page, of which this is what it shows, to what is confirmed. A client that reads on from
/// somewhere has what is before that, or so it says by it; but nobody has confirmed that, and the
/// cursor would stay there for ever. So some of it is sent along, as what waited. Returns that, and
/// the part of the archive that the client has then.
async fn joined(
    cx: &Asked,
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
        cx.read(cx.node.store.query(cx.own.archive, &between)).await?;
    let last = rows.last().map(|row| row.seq).filter(|_| !complete);
    rows.retain(|row| row.direction == Direction::In);
    Ok((rows, (from, last.unwrap_or(to))))
}

/// Returns the numbers between which a page shows what matches its filter, if it is not about one
/// person alone.
fn between(filter: &Filter, paging: &Paging, found: &Found) -> Option<(i64, i64)> {
    if filter.with.is_some() || paging.limit == 0 {
        return None;
    }
    // Nothing is missing at the end from which it was read, nor at the other if it is complete.
    let has_begin = (found.complete || !paging.backwards) && filter.start.is_none();
    let has_end = (found.complete || paging.backwards) && filter.end.is_none();
    let after = match has_begin {
        true => paging.after.unwrap_or(0),
        false => found.rows.first()?.seq - 1,
    };
    let to = match has_end {
        true => paging.before.map_or(i64::MAX, |before| before - 1),
        false => found.rows.last()?.seq,
    };
    Some((after, to))
}

/// The numbers that have still to be looked at: those between two others.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    after: i64,
    before: i64,
    /// How many at once, if not all.
    part: Option<i64>,
    backwards: bool,
}

impl Left {
    /// Where times are asked for, an archive is gone through in parts: nothing tells where a time is,
    /// so a time that matches nothing would have all of it walked through at once.
    fn of(query: &Query) -> Left {
        let timed = query.start.is_some() || query.end.is_some();
        Left {
            after: query.after_seq.unwrap_or(i64::MIN),
            before: query.before_seq.unwrap_or(i64::MAX),
            part: timed.then_some(PART),
            backwards: query.backwards,
        }
    }

    /// Leaves out the numbers before this one, with which the next part begins; all, if there is none.
    fn begin_with(&mut self, nearest: Option<i64>) {
        match (nearest, self.backwards) {
            (None, _) => self.after = self.before,
            (Some(seq), true) => self.before = seq.saturating_add(1),
            (Some(seq), false) => self.after = seq.saturating_sub(1),
        }
    }

    fn is_empty(&self) -> bool {
        self.after.saturating_add(1) >= self.before
    }

    /// The next part: after this number, and before that one.
    fn next(&self) -> (i64, i64) {
        let Some(part) = self.part else { return (self.after, self.before) };
        match self.backwards {
            true => (self.after.max(self.before.saturating_sub(part + 1)), self.before),
            false => (self.after, self.before.min(self.after.saturating_add(part + 1))),
        }
    }

    /// Takes the next part off.
    fn take_next(&mut self) {
        let (after, before) = self.next();
        match self.backwards {
            true => self.before = after.saturating_add(1),
            false => self.after = before.saturating_sub(1),
        }
    }

    /// Takes off what comes first, up to this number.
    fn take_up_to(&mut self, edge: i64) {
        match self.backwards {
            true => self.before = edge,
            false => self.after = edge,
        }
    }
}

// --- what is sent ---

/// Returns the full address of the sender, under the domain's present name.
fn sender(cx: &Asked, row: &LoggedMessage) -> String {
    let resource = row.resource.as_deref().unwrap_or_default();
    match row.direction {
        Direction::Out => delivery::full(cx.own.jid().as_str(), resource),
        Direction::In | Direction::Passing => cx.node.address_of(&row.peer, resource),
    }
}

fn result(cx: &Asked, row: &LoggedMessage, queryid: Option<&str>) -> Outgoing {
    let from = sender(cx, row);
    let kept = Outgoing::from_encoded(Kind::Message, row.stanza.clone(), Class::Message);
    let message = delivery::addressed(&kept, &from, &[]).with_attributes(b" xmlns='jabber:client'");
    let delay =
        Element::new("delay").xmlns(ns::DELAY).attr("stamp", &Time(row.at).stamp()).finish();
    let forwarded = Element::new("forwarded").xmlns(ns::FORWARD).raw(&delay).raw(&message.bytes);
    let result = Element::new("result")
        .xmlns(ns::MAM)
        .attr_opt("queryid", queryid)
        .attr("id", &cx.node.archive_id(cx.own.archive, row.seq))
        .child(forwarded);
    Element::new("message")
        .attr("from", cx.own.jid().as_str())
        .attr("to", cx.from.as_str())
        .child(result)
        .outgoing(Class::Message)
}

fn fin(cx: &Asked, found: &Found) -> Element {
    let id = |row: &LoggedMessage| cx.node.archive_id(cx.own.archive, row.seq);
    let mut set = Element::new("set").xmlns(ns::RSM);
    if let (Some(first), Some(last)) = (found.rows.first(), found.rows.last()) {
        set = set
            .child(Element::new("first").text(&id(first)))
            .child(Element::new("last").text(&id(last)));
    }
    if let Some(count) = found.count {
        set = set.child(Element::new("count").text(&count.to_string()));
    }
    let fin = Element::new("fin").xmlns(ns::MAM);
    match found.complete {
        true => fin.attr("complete", "true"),
        false => fin,
    }
    .child(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_looked_at_once_and_only_so_many_at_a_time() {
        for (after, before) in [(0, 1), (0, 2), (4, 15), (0, 10), (0, 11), (0, 12), (-1, 100)] {
            for backwards in [false, true] {
                let mut left = Left { after, before, part: Some(10), backwards };
                let mut seen = Vec::new();
                while !left.is_empty() {
                    let (after, before) = left.next();
                    let part: Vec<i64> = (after + 1..before).collect();
                    assert!((1..=10).contains(&part.len()), "{left:?}");
                    // Some parts are read in two steps.
                    let edge = part[part.len() / 2];
                    match edge % 2 {
                        0 => left.take_next(),
                        _ => left.take_up_to(edge),
                    }
                    seen.extend(part.into_iter().filter(|seq| {
                        let is_left = *seq > left.after && *seq < left.before;
                        !is_left
                    }));
                }
                seen.sort_unstable();
                assert_eq!(seen, (after + 1..before).collect::<Vec<_>>(), "{backwards}");
            }
        }
    }

    #[test]
    fn what_no_row_has_is_left_out() {
        let of = |backwards| Left { after: 0, before: 90, part: Some(10), backwards };
        for (backwards, next) in [(false, (49, 60)), (true, (40, 51))] {
            let mut left = of(backwards);
            left.begin_with(Some(50));
            assert_eq!(left.next(), next);
            left.begin_with(None);
            assert!(left.is_empty());
        }
    }

    #[test]
    fn without_a_time_all_is_one_part() {
        for backwards in [false, true] {
            let (after, before) = (i64::MIN, i64::MAX);
            let mut left = Left { after, before, part: None, backwards };

            assert_eq!(left.next(), (after, before));
            left.take_next();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
