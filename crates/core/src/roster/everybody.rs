//! The shared roster: every account of the server as an `<item/>`, encoded once for all who ask.
//!
//! It is read from the store when somebody first asks, and from then on changed with each account
//! that is made or removed. The items are in chunks: a change copies one chunk at most, and whoever
//! asks holds the chunks as they are, without a lock, while writing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use parking_lot::Mutex;
use whoelse_xmpp::BareJid;

use super::item;
use crate::node::Node;

/// The most accounts in the shared roster: about a megabyte, where names are as long as names are.
pub const MOST: usize = 10_000;
/// The most bytes of their items, whatever the names: a quarter of what a session may hold. It is told to
/// everybody in one answer, so it must fit for everybody.
const MOST_BYTES: usize = 5 << 18;
/// Accounts read at once.
const PAGE: usize = 500;
/// The most items in a chunk: about 25 kB, which is what making an account may copy.
const CHUNK: usize = 256;
/// The most changes that are remembered while the store is read. Past it the read begins again.
const MOST_SINCE: usize = 1_000;

/// The items of the accounts of the served domain, by name: the first [`MOST`] of them.
#[derive(Default)]
pub struct Everybody {
    /// Held by the caller that reads the store, so that others wait for the same read.
    reading: tokio::sync::Mutex<()>,
    /// Held for a look or a change, never across an await; no other lock under it.
    list: Mutex<List>,
}

/// The items as they were at one moment.
#[derive(Debug, Clone, Default)]
pub struct Items(Vec<Arc<Chunk>>);

#[derive(Debug, Default)]
struct List {
    /// By name. None of them is empty.
    chunks: Vec<Arc<Chunk>>,
    count: usize,
    bytes: usize,
    /// Whether some were left out, and nobody was removed since.
    is_full: bool,
    known: Known,
    /// How often a read under way became worthless.
    forgotten: u64,
    /// Who was made (true) or removed since the read under way began, which may have seen an older
    /// state. `None`: nobody reads.
    since: Option<BTreeMap<CompactString, bool>>,
}

/// How far the accounts are known, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    To(CompactString),
    All,
}

impl Known {
    /// After which name the next read begins.
    fn end(&self) -> CompactString {
        match self {
            Known::To(name) => name.clone(),
            Known::Nothing | Known::All => CompactString::default(),
        }
    }
}

/// The accounts that have to be read next.
#[derive(Debug)]
struct Wanted {
    after: CompactString,
    forgotten: u64,
}

/// Some items, one after the other.
#[derive(Debug, Clone, Default)]
struct Chunk {
    names: Vec<CompactString>,
    /// Where each item ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Everybody {
    /// Returns the present items. Reads from the store what is missing.
    ///
    /// # Errors
    /// The store fails.
    pub async fn items(&self, node: &Node) -> Result<Items, whoelse_store::Error> {
        let there = self.list.lock().items();
        if let Some(items) = there {
            return Ok(items);
        }
        let _one_at_a_time = self.reading.lock().await;
        loop {
            let wanted = {
                let mut list = self.list.lock();
                match list.items() {
                    Some(items) => return Ok(items),
                    None => list.begin_to_read(),
                }
            };
            // Looked at after `wanted`: whoever renames the domain changes it before it forgets.
            let domain = node.domain();
            let rows = node.store.list_accounts(domain.id, &wanted.after, PAGE as i64).await?;
            let names = rows.into_iter().map(|row| row.localpart.into()).collect();
            let mut list = self.list.lock();
            list.take_page(&domain.name, wanted, names, PAGE);
            list.trim(MOST, MOST_BYTES);
        }
    }

    /// Notes that an account was made. Called in the order of the commits.
    pub(crate) fn add(&self, account: &BareJid) {
        let mut list = self.list.lock();
        list.note(account, true);
        list.insert(account);
        list.trim(MOST, MOST_BYTES);
    }

    /// Notes that an account was removed. Called in the order of the commits.
    pub(crate) fn remove(&self, account: &BareJid) {
        let mut list = self.list.lock();
        list.note(account, false);
        list.remove(account.local().unwrap_or_default());
    }

    /// Forgets everything, since the domain has got another name.
    pub(crate) fn forget(&self) {
        let mut list = self.list.lock();
        *list = List { forgotten: list.forgotten + 1, ..List::default() };
    }
}

impl Items {
    /// The bytes of all items.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    /// The addresses of those whose items they are, at this domain.
    pub(crate) fn addresses(&self, domain: &str) -> impl Iterator<Item = BareJid> {
        let names = self.0.iter().flat_map(|chunk| &chunk.names);
        names.filter_map(move |name| BareJid::new(Some(name), domain).ok())
    }

    /// Writes the items; for the names in `instead`, what `write` says.
    pub fn write<T>(
        &self,
        out: &mut Vec<u8>,
        instead: &BTreeMap<&str, T>,
        mut write: impl FnMut(&mut Vec<u8>, &T),
    ) {
        for chunk in &self.0 {
            let (Some(first), Some(last)) = (chunk.names.first(), chunk.names.last()) else {
                continue;
            };
            let mut done = 0;
            for (name, other) in instead.range(first.as_str()..=last.as_str()) {
                let Ok(at) = chunk.find(name) else { continue };
                out.extend_from_slice(chunk.slice(done, chunk.start(at)));
                write(out, other);
                done = chunk.start(at + 1);
            }
            out.extend_from_slice(chunk.slice(done, chunk.bytes.len()));
        }
    }
}

impl List {
    /// Returns the items, if enough of them are known.
    fn items(&self) -> Option<Items> {
        let enough = self.known == Known::All || self.is_full;
        enough.then(|| Items(self.chunks.clone()))
    }

    /// Says what to read next, and remembers from now on what changes meanwhile.
    fn begin_to_read(&mut self) -> Wanted {
        self.since = Some(BTreeMap::new());
        Wanted { after: self.known.end(), forgotten: self.forgotten }
    }

    /// Takes what was read, and then what has changed since the read began. `full`: how many names
    /// a page has that is not the last.
    ///
    /// A page that does not follow what is known is dropped: everything was forgotten meanwhile, or
    /// so many were made that the last of them were left out.
    fn take_page(&mut self, domain: &str, wanted: Wanted, names: Vec<CompactString>, full: usize) {
        let since = self.since.take();
        let follows = self.forgotten == wanted.forgotten && self.known.end() == wanted.after;
        let Some(since) = since.filter(|_| follows) else { return };
        self.known = match names.last() {
            Some(last) if names.len() >= full => Known::To(last.clone()),
            _ => Known::All,
        };
        let read = names.iter().filter(|name| since.get(*name) != Some(&false));
        let made = since.iter().filter(|(_, exists)| **exists).map(|(name, _)| name);
        for name in read.chain(made) {
            if let Ok(jid) = BareJid::new(Some(name), domain) {
                self.insert(&jid);
            }
        }
    }

    fn note(&mut self, account: &BareJid, exists: bool) {
        let Some(since) = &mut self.since else { return };
        if since.len() < MOST_SINCE {
            since.insert(account.local().unwrap_or_default().into(), exists);
        } else {
            self.since = None;
            self.forgotten += 1;
        }
    }

    /// Inserts an account, unless it is there, or sorts after all that is known.
    fn insert(&mut self, account: &BareJid) {
        let name = account.local().unwrap_or_default();
        let is_known = match &self.known {
            Known::Nothing => false,
            Known::To(last) => name <= last.as_str(),
            Known::All => true,
        };
        if !is_known {
            return;
        }
        if self.chunks.is_empty() {
            self.chunks.push(Arc::default());
        }
        let at = self.chunk_of(name);
        let Some(chunk) = self.chunks.get_mut(at).map(Arc::make_mut) else { return };
        let item = item::everybodys(account).finish();
        if chunk.insert(name, &item) {
            self.count += 1;
            self.bytes += item.len();
        }
        if chunk.names.len() > CHUNK {
            let second = chunk.split();
            self.chunks.insert(at + 1, Arc::new(second));
        }
    }

    fn remove(&mut self, name: &str) {
        let at = self.chunk_of(name);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        if chunk.find(name).is_err() {
            return;
        }
        let chunk = Arc::make_mut(chunk);
        let before = chunk.bytes.len();
        chunk.remove(name);
        self.count -= 1;
        self.bytes -= before - chunk.bytes.len();
        self.is_full = false;
        if chunk.names.is_empty() {
            self.chunks.remove(at);
        }
    }

    /// Leaves out the last accounts beyond so many, or beyond so many bytes.
    fn trim(&mut self, most: usize, bytes: usize) {
        let mut is_full = self.is_full || self.count == most;
        while (self.count > most || self.bytes > bytes)
            && let Some(name) = self.chunks.last().and_then(|chunk| chunk.names.last()).cloned()
        {
            self.remove(&name);
            let last = self.chunks.last().and_then(|chunk| chunk.names.last());
            self.known = last.map_or(Known::Nothing, |last| Known::To(last.clone()));
            is_full = true;
        }
        self.is_full = is_full;
    }

    /// Returns the place of the chunk that has this name, or would have it.
    fn chunk_of(&self, name: &str) -> usize {
        let begins = |chunk: &Arc<Chunk>| chunk.names.first().is_some_and(|it| it.as_str() <= name);
        self.chunks.partition_point(begins).saturating_sub(1)
    }
}

impl Chunk {
    fn find(&self, name: &str) -> Result<usize, usize> {
        self.names.binary_search_by(|known| known.as_str().cmp(name))
    }

    /// Where an item begins.
    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default()
    }

    fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Returns whether it was not there.
    fn insert(&mut self, name: &str, item: &[u8]) -> bool {
        let Err(at) = self.find(name) else { return false };
        let start = self.start(at);
        self.names.insert(at, name.into());
        self.bytes.splice(start..start, item.iter().copied());
        self.ends.insert(at, start);
        self.ends.iter_mut().skip(at).for_each(|end| *end += item.len());
        true
    }

    fn remove(&mut self, name: &str) {
        let Ok(at) = self.find(name) else { return };
        let (start, end) = (self.start(at), self.start(at + 1));
        self.names.remove(at);
        self.bytes.drain(start..end);
        self.ends.remove(at);
        self.ends.iter_mut().skip(at).for_each(|it| *it -= end - start);
    }

    /// Keeps the first half, and returns the second one.
    fn split(&mut self) -> Chunk {
        let at = self.names.len() / 2;
        let start = self.start(at);
        let mut ends = self.ends.split_off(at);
        ends.iter_mut().for_each(|end| *end -= start);
        Chunk { names: self.names.split_off(at), ends, bytes: self.bytes.split_off(start) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use std::collections::BTreeSet;

    const DOMAIN: &str = "a.example";

    fn jid(name: &str) -> BareJid {
        BareJid::new(Some(name), DOMAIN).unwrap()
    }

    fn written(items: &Items) -> String {
        let mut out = Vec::new();
        items.write(&mut out, &BTreeMap::<&str, ()>::new(), |_, ()| {});
        assert_eq!(out.len(), items.bytes());
        String::from_utf8(out).unwrap()
    }

    /// The items of these accounts, made one by one.
    fn naive<'a>(names: impl Iterator<Item = &'a String>) -> String {
        let items = names.map(|name| item::everybodys(&jid(name)).finish());
        items.map(|item| String::from_utf8(item.to_vec()).unwrap()).collect()
    }

    /// Numbers by chance, by SplitMix64.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ (mixed >> 31)) % bound
        }
    }

    /// A store, and a list that reads it page by page while it changes.
    struct World {
        stored: BTreeSet<String>,
        list: List,
        /// A read under way, and the names that it found, if it has found them.
        reads: Option<(Wanted, Option<Vec<CompactString>>)>,
    }

    const TEST_PAGE: usize = 7;
    /// As [`MOST`]: fewer than there are now and then.
    const TEST_MOST: usize = 10;

    impl World {
        fn step(&mut self, chance: &mut Chance) {
            // Names that sort by their letters, not by their numbers, some inside others.
            let name =
                format!("{}{}", ["a", "b-", "b", "é"][chance.below(4) as usize], chance.below(8));
            match chance.below(8) {
                0..=2 => {
                    self.stored.insert(name.clone());
                    self.list.note(&jid(&name), true);
                    self.list.insert(&jid(&name));
                    self.list.trim(TEST_MOST, usize::MAX);
                }
                3..=4 => {
                    self.stored.remove(&name);
                    self.list.note(&jid(&name), false);
                    self.list.remove(&name);
                }
                5 if chance.below(10) == 0 => {
                    let forgotten = self.list.forgotten + 1;
                    self.list = List { forgotten, ..List::default() };
                }
                _ => self.read(),
            }
        }

        /// A read begins, sees what is stored, and is taken, in three steps with changes between.
        fn read(&mut self) {
            self.reads = match self.reads.take() {
                None => (!self.is_enough()).then(|| (self.list.begin_to_read(), None)),
                Some((wanted, None)) => {
                    let after = self.stored.iter().filter(|it| it.as_str() > wanted.after.as_str());
                    let page = after.take(TEST_PAGE).map(|it| it.as_str().into()).collect();
                    Some((wanted, Some(page)))
                }
                Some((wanted, Some(page))) => {
                    self.list.take_page(DOMAIN, wanted, page, TEST_PAGE);
                    self.list.trim(TEST_MOST, usize::MAX);
                    None
                }
            };
        }

        fn is_enough(&self) -> bool {
            self.list.known == Known::All || self.list.count >= TEST_MOST
        }
    }

    #[test]
    fn whatever_changes_while_it_is_read_the_list_is_as_if_it_were_made_anew() {
        for seed in 0..200 {
            let mut chance = Chance(seed);
            let mut world = World { stored: BTreeSet::new(), list: List::default(), reads: None };
            for _ in 0..chance.below(200) {
                world.step(&mut chance);
                let known = world.stored.iter().filter(|name| match &world.list.known {
                    Known::Nothing => false,
                    Known::To(last) => name.as_str() <= last.as_str(),
                    Known::All => true,
                });
                assert_eq!(written(&Items(world.list.chunks.clone())), naive(known), "seed {seed}");
            }
            while !world.is_enough() {
                world.read();
            }
            let first = world.stored.iter().take(TEST_MOST);
            assert_eq!(world.list.count, first.len());
            assert_eq!(written(&Items(world.list.chunks.clone())), naive(first), "seed {seed}");
        }
    }

    fn all_known() -> List {
        List { known: Known::All, ..List::default() }
    }

    #[test]
    fn making_an_account_copies_one_chunk_however_many_there_are() {
        let mut list = all_known();
        let mut copied = 0;
        for n in 0..10_000_u32 {
            // Somebody holds what there was.
            let before = list.items().unwrap();
            list.insert(&jid(&format!("user{}", n.reverse_bits())));
            let new = list.chunks.iter().filter(|it| !before.0.iter().any(|b| Arc::ptr_eq(b, it)));
            let new: Vec<_> = new.collect();
            assert!(new.len() <= 2, "{}", new.len());
            copied += new.iter().map(|chunk| chunk.names.len()).sum::<usize>();
        }
        assert_eq!(list.count, 10_000);
        assert!(copied <= 10_000 * CHUNK, "{copied}");
    }

    #[test]
    fn who_is_removed_and_who_has_a_name_of_ones_own_are_written_otherwise() {
        let mut list = all_known();
        let names: Vec<String> = (0..1_000).map(|n| format!("user{n:03}")).collect();
        names.iter().for_each(|name| list.insert(&jid(name)));
        let instead = ["user000", "user500", "user501", "user999", "zoe"];
        let instead: BTreeMap<&str, &str> = instead.into_iter().map(|name| (name, name)).collect();

        let mut out = Vec::new();
        list.items().unwrap().write(&mut out, &instead, |out, name| out.extend(name.bytes()));

        let expected = names.iter().map(|name| match instead.get(name.as_str()) {
            Some(name) => (*name).to_owned(),
            None => naive([name].into_iter()),
        });
        assert_eq!(String::from_utf8(out).unwrap(), expected.collect::<String>());
    }

    #[test]
    fn the_last_names_beyond_the_bound_are_left_out_and_read_again_when_there_is_room() {
        let mut list = all_known();
        ["a", "b", "c", "d"].iter().for_each(|name| list.insert(&jid(name)));

        list.trim(2, usize::MAX);
        assert_eq!((list.count, &list.known), (2, &Known::To("b".into())));
        list.insert(&jid("c"));
        assert_eq!(list.count, 2);
        list.remove("a");
        assert_eq!(list.begin_to_read().after, "b");
    }

    #[test]
    fn names_that_are_long_take_no_more_room_than_there_is_for_all() {
        let mut list = all_known();
        let long = |n: u32| format!("{n:03}{}", "x".repeat(500));
        for n in 0..100 {
            list.insert(&jid(&long(n)));
            list.trim(MOST, 20_000);
            assert!(list.bytes <= 20_000);
        }
        let items = list.items().unwrap();

        assert_eq!(items.bytes(), list.bytes);
        assert!((15..50).contains(&list.count), "{}", list.count);
        list.remove(&long(0));
        assert!(list.items().is_none(), "there is room for another one");
    }

    #[test]
    fn a_page_is_dropped_if_the_last_names_before_it_were_left_out_while_it_was_read() {
        let mut list = List { known: Known::To("m".into()), ..List::default() };
        ["l", "m"].iter().for_each(|name| list.insert(&jid(name)));
        let wanted = list.begin_to_read();
        list.insert(&jid("a"));
        list.trim(2, usize::MAX);
        list.remove("a");

        list.take_page(DOMAIN, wanted, vec!["n".into()], PAGE);

        assert_eq!((list.count, &list.known), (1, &Known::To("l".into())));
        assert_eq!(list.begin_to_read().after, "l");
    }

    #[test]
    fn too_many_changes_during_a_read_make_it_worthless_and_use_no_memory() {
        let mut list = List::default();
        let wanted = list.begin_to_read();
        for n in 0..=MOST_SINCE {
            list.note(&jid(&format!("user{n}")), true);
        }
        assert!(list.since.is_none());

        list.take_page(DOMAIN, wanted, vec!["bob".into()], PAGE);
        assert_eq!((list.count, &list.known), (0, &Known::Nothing));
    }
}
