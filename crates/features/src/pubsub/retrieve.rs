//! XEP-0060, 6.5: reading the items of a node: all, the newest, some by their ids, or a page of them
//! (XEP-0059), the newest first.

use whoelse_core::kit::{Answer, Cx, Reply};
use whoelse_store::{PubsubItem, PubsubPage};
use whoelse_xmpp::payload::xmpp_parsers::rsm::SetQuery;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, Limits, StanzaError, ns};

use super::config::{ItemReply, MaxItems};
use super::events::Item;
use super::found::{Found, found};
use super::owner::Visitor;
use super::refusal::unsupported;
use super::request::Which;
use super::standing::Standing;
use crate::readable;

/// An answer that has reached so many bytes gets no more items: the rest is another page, or asked for
/// by other ids.
const WEIGHT: usize = 512 << 10;
/// With one more item, which came in a stanza, it is still one that our own client takes.
const _: () = assert!(
    WEIGHT + Limits::AFTER_LOGIN.bytes + Limits::AFTER_LOGIN.bytes / 2 < Limits::FROM_SERVER.bytes
);
/// Items that are read from the store at once: at most as many times the longest.
const STEP: u64 = 50;

/// Answers a request to read items.
pub(super) async fn items(cx: Cx, visitor: Visitor, name: String, which: Which) -> Answer {
    let mut found = found(&cx, &visitor, &name).await?;
    if !visitor.learns_addresses(&cx.node) {
        found.config.item_reply = ItemReply::Owner;
    }
    let asker = Standing::of(&cx.node, &visitor).await?.at(&found);
    asker.reads(found.config.access_model).map_err(|refusal| visitor.refused(refusal))?;
    if !found.config.persist_items {
        return Err(unsupported("persistent-items"));
    }
    let reader = Reader { cx, visitor, found };
    let page = reader.cx.in_reading_turn(reader.read(which)).await?;
    Ok(reader.answer(&name, page))
}

/// The ids of items at a node, the newest first, as far as they fit in an answer.
pub(super) async fn ids(
    cx: Cx,
    visitor: Visitor,
    found: Found,
) -> Result<Vec<String>, StanzaError> {
    let reader = Reader { cx, visitor, found };
    let page = reader.cx.in_reading_turn(reader.read(Which::Newest(None))).await?;
    Ok(page.rows.into_iter().map(|row| row.id).collect())
}

/// Items, the newest first, and how they lie among all.
struct Page {
    rows: Vec<PubsubItem>,
    /// How many items are before the first of them, and how many there are; said where a page was
    /// asked for, or is all that fits.
    place: Option<(u64, u64)>,
}

/// A request to read a node that may be read.
struct Reader {
    cx: Cx,
    visitor: Visitor,
    found: Found,
}

impl Reader {
    async fn read(&self, which: Which) -> Result<Page, StanzaError> {
        let all = self.found.row.items;
        match which {
            Which::Ids(ids) => {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let store = &self.cx.node.store;
                let mut rows =
                    self.piece(store.pubsub_items_by_id(self.found.row.id, &ids)).await?;
                rows.reverse();
                rows.truncate(fitting(&rows, &mut 0));
                Ok(Page { rows, place: None })
            }
            Which::Newest(most) => {
                let kept = match self.found.config.max_items {
                    MaxItems::Number(number) => number.into(),
                    MaxItems::Max => u64::MAX,
                };
                let most = most.map_or(kept, |most| kept.min(most as u64));
                let rows = self.newest(most, None).await?;
                let is_cut = (rows.len() as u64) < most.min(all);
                Ok(Page { rows, place: is_cut.then_some((0, all)) })
            }
            Which::Page(set) => self.page(set).await,
        }
    }

    /// XEP-0059: `after` an item are those that are older, and the last page has the oldest.
    async fn page(&self, set: SetQuery) -> Result<Page, StanzaError> {
        if set.index.is_some() {
            // XEP-0059, 2.6: pages by number are not offered.
            return Err(StanzaError::new(Condition::FeatureNotImplemented));
        }
        let all = self.found.row.items;
        let most = set.max.map_or(u64::MAX, |most| most as u64);
        let is_last = set.before.as_ref().is_some_and(String::is_empty);
        let before = set.before.filter(|id| !id.is_empty());
        if most == 0 {
            return Ok(Page { rows: Vec::new(), place: Some((0, all)) });
        }
        let rows = match (set.after, before, is_last) {
            (Some(id), ..) => self.newest(most, Some(self.seq(&id).await?)).await?,
            (None, Some(id), _) => self.oldest(most, Some(self.seq(&id).await?)).await?,
            (None, None, true) => self.oldest(most, None).await?,
            (None, None, false) => self.newest(most, None).await?,
        };
        let older = match rows.last() {
            Some(last) => {
                let store = &self.cx.node.store;
                self.piece(store.pubsub_count_before(self.found.row.id, last.seq)).await?
            }
            None => 0,
        };
        let index = all.saturating_sub(older).saturating_sub(rows.len() as u64);
        Ok(Page { rows, place: Some((index, all)) })
    }

    /// The number of an item, whose id may be of an item that is gone.
    async fn seq(&self, id: &str) -> Result<i64, StanzaError> {
        let store = &self.cx.node.store;
        let seq = self.piece(store.pubsub_item_seq(self.found.row.id, id)).await?;
        seq.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))
    }

    /// Reads the newest items that are older than this one, the newest first.
    async fn newest(&self, most: u64, than: Option<i64>) -> Result<Vec<PubsubItem>, StanzaError> {
        self.rows(most, PubsubPage { before: than, from_end: true, ..PubsubPage::default() }).await
    }

    /// Reads the oldest items that are newer than this one, the newest first.
    async fn oldest(&self, most: u64, than: Option<i64>) -> Result<Vec<PubsubItem>, StanzaError> {
        let mut rows = self.rows(most, PubsubPage { after: than, ..PubsubPage::default() }).await?;
        rows.reverse();
        Ok(rows)
    }

    /// Reads in steps, in the direction of the page, until there are enough or their bytes suffice.
    async fn rows(&self, most: u64, mut page: PubsubPage) -> Result<Vec<PubsubItem>, StanzaError> {
        let (mut rows, mut weight) = (Vec::new(), 0);
        while (rows.len() as u64) < most && weight < WEIGHT {
            page.most = STEP.min(most - rows.len() as u64);
            let mut step =
                self.piece(self.cx.node.store.pubsub_page(self.found.row.id, &page)).await?;
            let is_last = (step.len() as u64) < page.most;
            if page.from_end {
                step.reverse();
            }
            match (step.last(), page.from_end) {
                (Some(edge), true) => page.before = Some(edge.seq),
                (Some(edge), false) => page.after = Some(edge.seq),
                (None, _) => {}
            }
            step.truncate(fitting(&step, &mut weight));
            rows.extend(step);
            if is_last {
                break;
            }
        }
        Ok(rows)
    }

    /// Reads one piece of the store, when it is its turn.
    async fn piece<T>(
        &self,
        reading: impl Future<Output = Result<T, whoelse_store::Error>>,
    ) -> Result<T, StanzaError> {
        let read = self.cx.node.piece(reading).await;
        readable(&self.cx.node, "node_unreadable", Some(self.visitor.owner.address()), read)
    }

    fn answer(&self, name: &str, page: Page) -> Reply {
        let set = page.place.map(|place| set(&page.rows, place));
        let items = Element::new("items").attr("node", name);
        let config = &self.found.config;
        let items = page.rows.into_iter().fold(items, |items, row| {
            items.child(Item::of(&self.cx.node, row).encode(config, true))
        });
        let answer = Element::new("pubsub").xmlns(ns::PUBSUB).child(items);
        Reply::encoded(match set {
            Some(set) => answer.child(set).finish(),
            None => answer.finish(),
        })
    }
}

/// About how many bytes an item has in an answer, with what stands around it.
fn weight_of(row: &PubsubItem) -> usize {
    64 + row.id.len() + row.publisher.len() + row.payload.len()
}

/// How many of these items an answer takes that has this weight already: as many as it needs to reach
/// its bytes. Their weight is added.
fn fitting(rows: &[PubsubItem], weight: &mut usize) -> usize {
    let fits = |row: &&PubsubItem| {
        let fits = *weight < WEIGHT;
        *weight += if fits { weight_of(row) } else { 0 };
        fits
    };
    rows.iter().take_while(fits).count()
}

/// XEP-0059, 2.1: which part of all items these are.
fn set(rows: &[PubsubItem], (index, all): (u64, u64)) -> Element {
    let set = Element::new("set").xmlns(ns::RSM);
    let set = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => {
            let begin = Element::new("first").attr("index", &index.to_string()).text(&first.id);
            set.child(begin).text_child("last", &last.id)
        }
        _ => set,
    };
    set.text_child("count", &all.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(of: usize, most: usize) -> Vec<PubsubItem> {
        let item = |seq: i64| PubsubItem {
            seq,
            id: seq.to_string(),
            publisher: "alice@#1".to_owned(),
            account: 1,
            at: 0,
            payload: vec![b'x'; of],
        };
        (0..most as i64).map(item).collect()
    }

    #[test]
    fn an_answer_has_at_least_one_item_and_ends_with_the_one_that_fills_it() {
        for (of, most) in [(200 << 10, 50), (1_000, 5_000), (1, 50_000), (700 << 10, 2)] {
            let rows = items(of, most);
            let mut reached = 0;
            let fits = fitting(&rows, &mut reached);
            let weight = |rows: &[PubsubItem]| rows.iter().map(weight_of).sum::<usize>();
            assert!((1..most).contains(&fits), "{fits} of {most}");
            assert!(weight(&rows[..fits - 1]) < WEIGHT, "the last one began below");
            assert!(weight(&rows[..fits]) >= WEIGHT, "and no other fits");
            assert_eq!(reached, weight(&rows[..fits]));
            assert_eq!(fitting(&rows, &mut reached), 0);
        }
        assert_eq!(fitting(&items(1_000, 50), &mut 0), 50);
        assert_eq!(fitting(&[], &mut 0), 0);
    }
}
