//! XEP-0313, Message Archive Management, with the paging of XEP-0059: a user reads what the log
//! keeps of their conversations. Only their own: the request is answered for the own account alone
//! (security row 27).

use std::ops::Deref;
use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::{Answer, Cx, Feature, OWN, Pages, Reply, SessionCx, Verb};
use whoelse_core::settings::count;
use whoelse_core::turns::{OwnTurn, Turns, in_turn};
use whoelse_core::{Time, delivery, settings};
use whoelse_store::{Direction, LoggedMessage, Query};
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
/// The most messages looked at in one request that filters by a full address.
const LOOKED_AT: usize = 10_000;

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

/// A request to read the archive of this account.
struct Asked {
    own: Arc<Account>,
    cx: Cx,
}

impl Deref for Asked {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}

async fn query(cx: SessionCx, request: mam::Query) -> Answer {
    let payer = cx.session.payer();
    let cx = Asked { own: cx.subject()?.clone(), cx: cx.into() };
    let filter = Filter::read(request.form)?;
    // A user who has just said something finds it: wait for what is still on its way to the log.
    cx.node.keeper.caught_up_with(&cx.own).await;
    let all = cx.node.slots.get_or_default::<Turns>();
    let own = cx.own.get_or_default::<OwnTurn>();
    let site = payer.as_ref().and_then(|payer| payer.reading_turn(cx.node.clock.steady()));
    let settled = cx.node.store.settle(cx.own.archive);
    let found = in_turn(&all, &own, site, settled, async {
        let page = Paging::read(&cx, request.set).await?;
        fetch(&cx, &filter, &page).await
    });
    let found = found.await?;
    let queryid = request.queryid.map(|id| id.0);
    let end = fin(&cx, &found).finish().into();
    let rows = found.rows.into_iter();
    let before = Box::new(rows.map(move |row| result(&cx, &row, queryid.as_deref())));
    Ok(Reply::Pages(Pages { before, result: end }))
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
    match stored(cx, cx.node.store.archive_has(cx.own.archive, seq).await)? {
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
            stored(cx, store.count(cx.own.archive, &query, most).await)?
        }
        false => None,
    };
    if paging.limit == 0 {
        // XEP-0059, 2.7: only the count is wanted. Where there is none, that is the answer.
        return Ok(Found { rows: Vec::new(), complete: count == Some(0), count });
    }
    // Read in steps, until enough messages match (the log knows only bare addresses) or their bytes
    // suffice.
    let (mut rows, mut complete, mut looked_at, mut bytes) = (Vec::new(), false, 0, 0);
    while rows.len() < paging.limit && !complete && looked_at < LOOKED_AT && bytes < WEIGHT {
        query.limit = match exact {
            true => STEP.min(paging.limit - rows.len()) as i64,
            false => STEP as i64,
        };
        let page = stored(cx, store.query(cx.own.archive, &query).await)?;
        complete = page.complete;
        looked_at += page.rows.len();
        let edge = if paging.backwards { page.rows.first() } else { page.rows.last() };
        let Some(edge) = edge.map(|row| row.seq) else { break };
        match paging.backwards {
            true => query.before_seq = Some(edge),
            false => query.after_seq = Some(edge),
        }
        let matching: Vec<_> =
            page.rows.into_iter().filter(|row| !filter.misses(cx, row)).collect();
        bytes += matching.iter().map(|row| row.stanza.len()).sum::<usize>();
        match paging.backwards {
            true => rows.splice(0..0, matching).for_each(drop),
            false => rows.extend(matching),
        }
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

/// Returns what was read from the store, or the error to answer with.
fn stored<T>(cx: &Asked, read: Result<T, whoelse_store::Error>) -> Result<T, StanzaError> {
    readable(&cx.node, "archive_unreadable", Some(cx.own.jid()), read)
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
