//! What a session is to be told beside the events that come: what it begins to hear, and what it has
//! missed.
//!
//! What was missed is noted by the item and not by the event, so the notes say nothing that could be
//! old: each item is told as it is when there is room.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use parking_lot::Mutex;
use whoelse_core::session::Whose;
use whoelse_xmpp::BareJid;

/// The most bytes of notes of what a session has missed. Beyond, all nodes of an owner are told anew.
const NOTES: usize = 64 << 10;
/// What an entry takes beside its texts.
const ENTRY: usize = 64;

/// What a session begins to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Of which nodes; `None`: of all that it wants.
    pub nodes: Option<BTreeSet<CompactString>>,
    /// Of whose.
    pub whose: Whose,
}

impl Wish {
    pub fn of(whose: Whose) -> Wish {
        Wish { nodes: None, whose }
    }

    pub fn everything() -> Wish {
        Wish::of(Whose::Everybody)
    }

    pub fn of_nodes(names: &[&str]) -> Wish {
        let nodes = names.iter().map(|name| CompactString::from(*name)).collect();
        Wish { nodes: Some(nodes), ..Wish::everything() }
    }

    /// Adds another one; what is not the same of both is told of all.
    fn add(&mut self, more: Wish) {
        self.nodes = match (self.nodes.take(), more.nodes) {
            (Some(mut nodes), Some(more)) => {
                nodes.extend(more);
                Some(nodes)
            }
            _ => None,
        };
        self.whose.add(more.whose);
    }
}

/// What a session has missed of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MissedAt {
    /// Something has happened to the items of these ids; true: they were taken back, among others.
    Items(BTreeMap<String, bool>),
    /// It was emptied or deleted: all that is there is told anew.
    All,
}

impl MissedAt {
    /// Something has happened to this item.
    pub fn item(id: &str, taken_back: bool) -> MissedAt {
        MissedAt::Items([(id.to_owned(), taken_back)].into())
    }

    /// Whether it takes something back. Somebody who was read an item before may be told of it after.
    pub fn takes_back(&self) -> bool {
        match self {
            MissedAt::Items(items) => items.values().any(|taken_back| *taken_back),
            MissedAt::All => true,
        }
    }

    fn add(&mut self, more: MissedAt) {
        match (&mut *self, more) {
            (MissedAt::Items(items), MissedAt::Items(more)) => {
                for (id, taken_back) in more {
                    *items.entry(id).or_default() |= taken_back;
                }
            }
            (MissedAt::All, _) | (_, MissedAt::All) => *self = MissedAt::All,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            MissedAt::Items(items) => items.keys().map(|id| id.len() + ENTRY).sum(),
            MissedAt::All => 0,
        }
    }
}

/// What a session has missed.
#[derive(Debug, Default)]
struct Missed {
    /// By the owner and the name of the node.
    at: BTreeMap<(BareJid, CompactString), MissedAt>,
    /// What the notes take.
    bytes: usize,
    /// Those of whom it has missed more than there is room to note.
    all_of: Whose,
}

impl Missed {
    fn note(&mut self, owner: &BareJid, name: &str, missed: MissedAt) {
        if self.all_of.has(owner) {
            return;
        }
        let key = (owner.clone(), CompactString::from(name));
        let node = owner.as_str().len() + name.len() + ENTRY;
        let (was, at) = match self.at.remove(&key) {
            Some(mut at) => {
                let was = node + at.bytes();
                at.add(missed);
                (was, at)
            }
            None => (0, missed),
        };
        self.bytes = self.bytes + node + at.bytes() - was;
        self.at.insert(key, at);
        if self.bytes > NOTES {
            self.note_all_of(Whose::These([owner.clone()].into()));
        }
    }

    fn note_all_of(&mut self, whose: Whose) {
        self.all_of.add(whose);
        let all_of = &self.all_of;
        let noted = self.at.extract_if(.., |(owner, _), _| all_of.has(owner));
        let freed: usize = noted.map(|(key, at)| bytes_of(&key, &at)).sum();
        self.bytes -= freed;
    }

    fn take(&mut self) -> Option<Next> {
        if let Some((key, at)) = self.at.pop_first() {
            self.bytes -= bytes_of(&key, &at);
            return Some(Next::At(key.0, key.1, at));
        }
        let all_of = std::mem::take(&mut self.all_of);
        (!all_of.is_nobodys()).then_some(Next::AllOf(all_of))
    }
}

fn bytes_of((owner, name): &(BareJid, CompactString), at: &MissedAt) -> usize {
    owner.as_str().len() + name.len() + ENTRY + at.bytes()
}

/// What a session is to be told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The last items that it begins to hear.
    Wish(Wish),
    /// What it has missed at the node of this owner and name.
    At(BareJid, CompactString, MissedAt),
    /// All that these have at the nodes that it wants.
    AllOf(Whose),
}

impl Next {
    /// Whose events it is.
    pub fn whose(&self) -> Whose {
        match self {
            Next::Wish(wish) => wish.whose.clone(),
            Next::At(owner, ..) => Whose::These([owner.clone()].into()),
            Next::AllOf(whose) => whose.clone(),
        }
    }
}

/// In the slot of a session: what it is to be told. Held for a look or a change.
#[derive(Default)]
pub(super) struct ToTell(Mutex<State>);

#[derive(Default)]
struct State {
    wish: Option<Wish>,
    missed: Missed,
    /// Whether somebody tells it.
    is_told: bool,
}

impl ToTell {
    /// Notes what the session begins to hear.
    pub fn add(&self, wish: Wish) {
        match &mut self.0.lock().wish {
            Some(waiting) => waiting.add(wish),
            empty => *empty = Some(wish),
        }
    }

    /// Notes what it has missed.
    pub fn note(&self, owner: &BareJid, name: &str, missed: MissedAt) {
        self.0.lock().missed.note(owner, name, missed);
    }

    /// Returns those of whom nothing is noted, if there are any.
    pub fn not_noted(&self, whose: &Whose) -> Option<Whose> {
        let Whose::These(these) = whose else { return Some(Whose::Everybody) };
        let missed = &self.0.lock().missed;
        let is_noted = |who: &BareJid| {
            let near = missed.at.range((who.clone(), CompactString::default())..).next();
            missed.all_of.has(who) || near.is_some_and(|((owner, _), _)| owner == who)
        };
        let not: BTreeSet<_> = these.iter().filter(|who| !is_noted(who)).cloned().collect();
        (!not.is_empty()).then_some(Whose::These(not))
    }

    /// Notes what takes something back and is told to the session, if it is told what was read
    /// before.
    pub fn note_while_told(&self, owner: &BareJid, name: &str, missed: &MissedAt) {
        let state = &mut *self.0.lock();
        if state.is_told && missed.takes_back() {
            state.missed.note(owner, name, missed.clone());
        }
    }

    /// Gives back what could not be told.
    pub fn put_back(&self, next: Next) {
        match next {
            Next::Wish(wish) => self.add(wish),
            Next::At(owner, name, missed) => self.note(&owner, &name, missed),
            Next::AllOf(whose) => self.0.lock().missed.note_all_of(whose),
        }
    }

    /// Whether the caller is to tell it: nobody else does.
    pub fn begin(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().is_told, true)
    }

    /// Notes that nobody tells it any more.
    pub fn leave(&self) {
        self.0.lock().is_told = false;
    }

    /// Takes what is to be told next; without anything nobody tells the session any more.
    pub fn take(&self) -> Option<Next> {
        let state = &mut *self.0.lock();
        let next = state.wish.take().map(Next::Wish).or_else(|| state.missed.take());
        state.is_told = next.is_some();
        next
    }

    #[cfg(test)]
    pub fn is_told(&self) -> bool {
        self.0.lock().is_told
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn jid(who: &str) -> BareJid {
        BareJid::parse(who).unwrap()
    }

    fn these(who: &[&str]) -> Whose {
        Whose::These(who.iter().map(|who| jid(who)).collect())
    }

    fn items(items: &[(&str, bool)]) -> MissedAt {
        MissedAt::Items(items.iter().map(|(id, back)| ((*id).to_owned(), *back)).collect())
    }

    #[test]
    fn what_a_session_begins_to_hear_meanwhile_is_told_after_it() {
        let to_tell = ToTell::default();
        let (alice, bob) = (Wish::of(these(&["alice@a"])), Wish::of(these(&["bob@a"])));
        let (moods, tunes) = (Wish::of_nodes(&["mood"]), Wish::of_nodes(&["tune"]));

        to_tell.add(alice.clone());
        assert!(to_tell.begin());
        assert_eq!(to_tell.take(), Some(Next::Wish(alice.clone())));
        to_tell.add(alice.clone());
        to_tell.add(bob);
        assert!(!to_tell.begin());
        assert_eq!(to_tell.take(), Some(Next::Wish(Wish::of(these(&["alice@a", "bob@a"])))));
        to_tell.add(moods);
        to_tell.add(tunes);
        assert_eq!(to_tell.take(), Some(Next::Wish(Wish::of_nodes(&["mood", "tune"]))));
        to_tell.add(Wish::of_nodes(&["mood"]));
        to_tell.add(alice);
        assert_eq!(to_tell.take(), Some(Next::Wish(Wish::everything())));

        assert_eq!(to_tell.take(), None);
        assert!(to_tell.begin(), "nobody tells it any more");
    }

    #[test]
    fn what_was_missed_of_a_node_is_told_together_and_a_node_that_was_emptied_whole() {
        let (to_tell, alice) = (ToTell::default(), jid("alice@a"));

        to_tell.note(&alice, "tune", items(&[("a", true)]));
        to_tell.note(&alice, "tune", items(&[("a", false), ("b", false)]));
        let not_noted = to_tell.not_noted(&these(&["alice@a", "bob@a"]));
        assert_eq!(not_noted, Some(these(&["bob@a"])));
        assert_eq!(to_tell.not_noted(&these(&["alice@a"])), None);
        to_tell.note(&alice, "mood", items(&[("a", true)]));
        to_tell.note(&alice, "mood", MissedAt::All);
        to_tell.note(&alice, "mood", items(&[("b", true)]));

        let both = items(&[("a", true), ("b", false)]);
        assert_eq!(to_tell.take(), Some(Next::At(alice.clone(), "mood".into(), MissedAt::All)));
        assert_eq!(to_tell.take(), Some(Next::At(alice.clone(), "tune".into(), both.clone())));
        assert_eq!(to_tell.take(), None);
        to_tell.put_back(Next::At(alice.clone(), "tune".into(), both.clone()));
        assert_eq!(to_tell.take(), Some(Next::At(alice, "tune".into(), both)));
        assert_eq!(to_tell.0.lock().missed.bytes, 0);
    }

    #[test]
    fn of_whom_more_is_missed_than_can_be_noted_everything_is_told() {
        let (to_tell, alice, bob) = (ToTell::default(), jid("alice@a"), jid("bob@a"));
        to_tell.note(&bob, "tune", items(&[("a", true)]));

        for n in 0..NOTES / 100 {
            to_tell.note(&alice, "tune", items(&[(&format!("{n:0>100}"), true)]));
        }

        let of_bob = Next::At(bob, "tune".into(), items(&[("a", true)]));
        assert_eq!(to_tell.take(), Some(of_bob));
        assert_eq!(to_tell.take(), Some(Next::AllOf(these(&["alice@a"]))));
        assert_eq!(to_tell.take(), None);
        assert_eq!(to_tell.0.lock().missed.bytes, 0);
    }

    #[test]
    fn what_takes_back_is_noted_while_a_session_is_told_alone() {
        let (to_tell, alice) = (ToTell::default(), jid("alice@a"));

        to_tell.note_while_told(&alice, "tune", &items(&[("a", true)]));
        assert_eq!(to_tell.take(), None);
        assert!(to_tell.begin());
        to_tell.note_while_told(&alice, "tune", &items(&[("a", false)]));
        to_tell.note_while_told(&alice, "tune", &items(&[("b", true)]));

        assert_eq!(to_tell.take(), Some(Next::At(alice, "tune".into(), items(&[("b", true)]))));
    }
}
