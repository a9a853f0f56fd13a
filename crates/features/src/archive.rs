//! XEP-0313, Message Archive Management, with the paging of XEP-0059: what the log keeps is read
//! again. A user reads their own archive and nobody else's: the request is answered for the own
//! account alone (security row 27). Rooms have archives too, which are read in the same way
//! ([`page`]).

mod asked;
mod found;
mod joined;
mod left;
mod reader;
mod shelf;
mod told;

pub(crate) use reader::Reader;
pub(crate) use shelf::{Shelf, With};

use std::sync::Arc;

use whoelse_core::kit::{Answer, Cx, Feature, OWN, Pages, Reply, SessionCx, Verb};
use whoelse_core::session::Session;
use whoelse_core::settings::count;
use whoelse_core::{Node, Time, delivery, settings};
use whoelse_store::Shown;
use whoelse_xmpp::payload::xmpp_parsers::mam;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Outgoing, Stanza, StanzaError, ns};

use crate::readable;
use asked::Asked;
use found::{Found, fetch};
use joined::{joined, shows};
use shelf::OwnShelf;

/// XEP-0313 with its extended queries, and XEP-0059.
pub const FEATURE: Feature = Feature {
    name: "archive",
    xeps: &[(59, "1.0"), (313, "1.1.3")],
    disco: &[ns::MAM, ns::MAM_EXTENDED, ns::RSM],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.on(Verb::Get, OWN, (ns::MAM, "query"), form);
        w.on(Verb::Get, OWN, (ns::MAM, "metadata"), own_metadata);
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

async fn form(_: Cx, _: Stanza, _: Child) -> Answer {
    Ok(queries())
}

/// 4.1.5: the answer to whoever asks by what an archive can be searched.
pub(crate) fn queries() -> Reply {
    Reply::encoded(asked::form().finish())
}

// --- where an archive begins and ends ---

/// 5: where the own archive begins and ends.
async fn own_metadata(cx: Cx, _: Stanza, _: Child) -> Answer {
    let own = cx.subject()?;
    cx.node.keeper.caught_up_with(own).await;
    let ends = cx.in_reading_turn(ends(&cx.node, own.archive, own.jid())).await?;
    Ok(Reply::encoded(of_ends(&cx.node, own.archive, ends).finish()))
}

/// Reads where an archive begins and ends.
pub(crate) async fn ends(
    node: &Node,
    archive: i64,
    whose: &BareJid,
) -> Result<Option<(Shown, Shown)>, StanzaError> {
    node.store.settle(archive).await;
    let ends = node.store.archive_ends(archive).await;
    readable(node, "archive_unreadable", Some(whose), ends)
}

/// Writes where an archive begins and ends.
pub(crate) fn of_ends(node: &Node, archive: i64, ends: Option<(Shown, Shown)>) -> Element {
    let metadata = Element::new("metadata").xmlns(ns::MAM);
    let Some((oldest, newest)) = ends else { return metadata };
    let end = |name, Shown { seq, at }| {
        Element::new(name)
            .attr("id", &node.archive_id(archive, seq))
            .attr("timestamp", &Time(at).stamp())
    };
    metadata.child(end("start", oldest)).child(end("end", newest))
}

/// XEP-0386, 3.2: tells the client of a new session where its archive begins and ends. It reads there
/// what waits, so that is not sent to it.
async fn metadata(node: Arc<Node>, session: Arc<Session>) -> Vec<u8> {
    // Where no history is kept, what waits is sent.
    let Some(own) = session.account.as_ref().filter(|_| node.settings().history.is_some()) else {
        return Element::new("metadata").xmlns(ns::MAM).finish().into();
    };
    // Without an answer everything is sent.
    let Ok(ends) = ends(&node, own.archive, own.jid()).await else { return Vec::new() };
    if let Some((_, newest)) = ends {
        session.leave_to_archive(newest.seq);
    }
    of_ends(&node, own.archive, ends).finish().into()
}

// --- pages ---

/// A page of the own archive.
async fn query(cx: SessionCx, request: mam::Query) -> Answer {
    let (own, session) = (cx.subject()?.clone(), cx.session.clone());
    // To whoever has or is sent what waits, it does not matter what a page shows.
    let reads_what_waits = session.waits_in_archive();
    let asked = Asked::read(request)?;
    let node = cx.node.clone();
    let shelf = Arc::new(OwnShelf { node: node.clone(), own: own.clone() });
    let reader = Reader::new(node.clone(), shelf, cx.from.clone());
    // A user who has just said something finds it: wait for what is still on its way to the log.
    node.keeper.caught_up_with(&own).await;
    let (flips, queryid) = (asked.flips, asked.queryid.clone());
    let reading = async {
        let wanted = asked.find(&reader).await?;
        let found = fetch(&reader, &wanted).await?;
        let shows = match reads_what_waits {
            true => shows(&reader, &wanted, &found).await?,
            false => None,
        };
        match shows.filter(|_| !wanted.backwards) {
            Some(shows) => {
                let (missing, shows) = joined(&reader, &session, shows).await?;
                Ok((found, missing, Some(shows)))
            }
            None => Ok((found, Vec::new(), shows)),
        }
    };
    let (found, missing, shows) = reader.in_turn(&session, reading).await?;
    let missing = missing.into_iter();
    let missing = missing.filter_map(move |row| delivery::of_what_waited(&node, &own, row));
    Ok(pages(reader, found, (flips, queryid), (missing, shows)))
}

/// A page of an archive that is not the reader's own.
pub(crate) async fn page(reader: Reader, session: &Session, request: mam::Query) -> Answer {
    let asked = Asked::read(request)?;
    let (flips, queryid) = (asked.flips, asked.queryid.clone());
    let reading = async {
        let wanted = asked.find(&reader).await?;
        fetch(&reader, &wanted).await
    };
    let found = reader.in_turn(session, reading).await?;
    Ok(pages(reader, found, (flips, queryid), (std::iter::empty(), None)))
}

/// The answer: what is sent before, the messages, and the end.
fn pages(
    reader: Reader,
    found: Found,
    (flips, queryid): (bool, Option<String>),
    (missing, shows): (impl Iterator<Item = Outgoing> + Send + 'static, Option<(i64, i64)>),
) -> Reply {
    let end = told::fin(&reader, &found).finish().into();
    let mut rows = found.rows;
    if flips {
        rows.reverse();
    }
    let results = rows.into_iter();
    let results = results.map(move |row| told::result(&reader, &row, queryid.as_deref()));
    Reply::Pages(Pages { before: Box::new(missing.chain(results)), result: end, shows })
}
