//! How much waits in an account's mailbox, and of whom: a sender has a share of it, so that nobody
//! fills it for others (`docs/design/shares.md`).
//!
//! The numbers are upper estimates between two counts. They are zero when everything is confirmed,
//! and before anybody is refused what waits is counted afresh.

use std::collections::HashMap;

use whoelse_xmpp::{BareJid, Jid};

use crate::settings::Limits;

/// A sender has one part of so many of a mailbox, and strangers together have one of so many.
const SENDER: u64 = 4;
const STRANGERS: u64 = 2;

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub messages: u64,
    pub bytes: u64,
}

impl Load {
    pub const NOTHING: Load = Load { messages: 0, bytes: 0 };

    fn plus(self, more: Load) -> Load {
        Load { messages: self.messages + more.messages, bytes: self.bytes + more.bytes }
    }

    fn minus(self, less: Load) -> Load {
        Load {
            messages: self.messages.saturating_sub(less.messages),
            bytes: self.bytes.saturating_sub(less.bytes),
        }
    }

    /// Whether it has reached one part of so many of what may wait.
    fn fills(self, limits: &Limits, parts: u64) -> bool {
        // What waits is in the archive and never goes to make room in it.
        let bytes = limits.undelivered_bytes.min(limits.archive_bytes);
        self.messages >= limits.undelivered_messages.div_ceil(parts)
            || self.bytes >= bytes.div_ceil(parts)
    }
}

/// What waits, of all or of one sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    waits: Load,
    /// What is on its way to the log: it takes up room before it is stored.
    coming: Load,
    /// Everything that came since the mailbox was first counted.
    came: Load,
}

impl Held {
    fn load(&self) -> Load {
        self.waits.plus(self.coming)
    }
}

/// Whoever has sent a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub address: &'a Jid,
    /// What they are to the owner.
    pub is: Relation,
}

/// What a sender is to the owner of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The owner, or the server: no share.
    Oneself,
    Known,
    Stranger,
}

/// The mailbox of an account in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox {
    all: Held,
    strangers: Held,
    /// By sender. Only those of whom something waits.
    senders: HashMap<BareJid, Held>,
    /// The number of the last message that came.
    last: i64,
    /// The confirmed seq when it was last counted (loading counts first). The numbers are exact
    /// while nothing has been confirmed since.
    counted_at: i64,
}

impl Mailbox {
    /// Takes room for a message that is on its way to the log, if its sender has any.
    pub fn reserve(&mut self, whose: Whose<'_>, bytes: u64, limits: &Limits) -> bool {
        let has_room = !self.is_full_for(whose, limits);
        if has_room {
            let one = Load { messages: 1, bytes };
            self.each(whose, |held| held.coming = held.coming.plus(one));
        }
        has_room
    }

    /// Whether there is no room for one more message of this sender.
    pub fn is_full_for(&self, Whose { address, is }: Whose<'_>, limits: &Limits) -> bool {
        let of_sender = || self.senders.get(address.bare()).map(Held::load).unwrap_or_default();
        self.all.load().fills(limits, 1)
            || is != Relation::Oneself && of_sender().fills(limits, SENDER)
            || is == Relation::Stranger && self.strangers.load().fills(limits, STRANGERS)
    }

    /// Gives back the room of a message that was stored or refused.
    pub fn release(&mut self, whose: Whose<'_>, bytes: u64) {
        let one = Load { messages: 1, bytes };
        self.each(whose, |held| held.coming = held.coming.minus(one));
        self.forget(whose.address);
    }

    /// Notes that a message came, under this number.
    pub fn arrived(&mut self, whose: Whose<'_>, bytes: u64, seq: i64) {
        let one = Load { messages: 1, bytes };
        self.each(whose, |held| {
            held.waits = held.waits.plus(one);
            held.came = held.came.plus(one);
        });
        self.last = seq;
    }

    /// Notes that a device has everything up to `seq`.
    pub fn confirmed(&mut self, seq: i64) {
        if self.last > seq {
            return;
        }
        self.all.waits = Load::NOTHING;
        self.strangers.waits = Load::NOTHING;
        self.senders.retain(|_, held| {
            held.waits = Load::NOTHING;
            held.coming != Load::NOTHING
        });
    }

    /// Whether nothing was confirmed since the last count, so that another would say the same.
    pub fn is_counted_at(&self, confirmed: i64) -> bool {
        self.counted_at == confirmed
    }

    /// Takes the result of a count: what waits of each sender after `confirmed`. `before`: the mailbox
    /// as it was when the count began.
    ///
    /// Messages that came meanwhile may be counted or not: twice is better than not at all.
    pub fn counted(
        &mut self,
        before: &Mailbox,
        confirmed: i64,
        counted: impl IntoIterator<Item = (BareJid, Relation, Load)>,
    ) {
        self.all.waits = self.all.came.minus(before.all.came);
        self.strangers.waits = self.strangers.came.minus(before.strangers.came);
        for (address, held) in &mut self.senders {
            let then = before.senders.get(address).map(|held| held.came).unwrap_or_default();
            held.waits = held.came.minus(then);
        }
        for (address, is, load) in counted {
            let whose = Whose { address: &address, is };
            self.each(whose, |held| held.waits = held.waits.plus(load));
        }
        self.senders.retain(|_, held| held.load() != Load::NOTHING);
        self.counted_at = confirmed;
    }

    fn each(&mut self, Whose { address, is }: Whose<'_>, change: impl Fn(&mut Held)) {
        change(&mut self.all);
        if is == Relation::Stranger {
            change(&mut self.strangers);
        }
        match self.senders.get_mut(address.bare()) {
            Some(held) => change(held),
            None => change(self.senders.entry(address.to_bare()).or_default()),
        }
    }

    fn forget(&mut self, address: &Jid) {
        let address = address.bare();
        if self.senders.get(address).is_some_and(|held| held.load() == Load::NOTHING) {
            self.senders.remove(address);
        }
    }
}

#[cfg(test)]
impl Mailbox {
    pub fn coming(&self) -> u64 {
        self.all.coming.messages
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits() -> Limits {
        Limits { undelivered_messages: 16, undelivered_bytes: 1600, ..Limits::default() }
    }

    fn jid(name: &str) -> BareJid {
        BareJid::parse(&format!("{name}@localhost")).unwrap()
    }

    /// Posts messages of one sender until they are refused; each arrives. Returns how many did.
    fn fill(mailbox: &mut Mailbox, name: &str, is: Relation, bytes: u64) -> usize {
        let address = jid(name);
        let whose = Whose { address: &address, is };
        let mut came = 0;
        while came < 100 && mailbox.reserve(whose, bytes, &limits()) {
            mailbox.arrived(whose, bytes, mailbox.last + 1);
            mailbox.release(whose, bytes);
            came += 1;
        }
        came
    }

    #[test]
    fn a_sender_has_a_quarter_strangers_have_half_and_the_owner_has_all() {
        let mut mailbox = Mailbox::default();
        let strangers = ["s1", "s2", "s3"].map(|s| fill(&mut mailbox, s, Relation::Stranger, 10));
        let known = ["k1", "k2", "k3"].map(|k| fill(&mut mailbox, k, Relation::Known, 10));

        assert_eq!((strangers, known), ([4, 4, 0], [4, 4, 0]));
        assert_eq!(fill(&mut Mailbox::default(), "me", Relation::Oneself, 10), 16);
        assert_eq!(fill(&mut mailbox, "me", Relation::Oneself, 10), 0);
    }

    #[test]
    fn bytes_count_like_messages() {
        let mut mailbox = Mailbox::default();

        assert_eq!(fill(&mut mailbox, "s1", Relation::Stranger, 399), 2);
        assert_eq!(fill(&mut mailbox, "s2", Relation::Stranger, 10), 1);
        assert_eq!(fill(&mut mailbox, "k", Relation::Known, 150), 3);
    }

    #[test]
    fn no_more_waits_than_the_archive_may_hold() {
        let limits = Limits { archive_bytes: 400, ..limits() };
        let (mut mailbox, bob) = (Mailbox::default(), jid("bob"));
        let whose = Whose { address: &bob, is: Relation::Oneself };

        let came = (0..100).take_while(|_| mailbox.reserve(whose, 100, &limits)).count();

        assert_eq!(came, 4);
    }

    #[test]
    fn what_is_on_its_way_takes_room_until_it_is_refused() {
        let (mut mailbox, eve) = (Mailbox::default(), jid("eve"));
        let whose = Whose { address: &eve, is: Relation::Stranger };
        for _ in 0..4 {
            assert!(mailbox.reserve(whose, 10, &limits()));
        }
        assert!(!mailbox.reserve(whose, 10, &limits()));

        mailbox.release(whose, 10);

        assert!(mailbox.reserve(whose, 10, &limits()));
        (0..4).for_each(|_| mailbox.release(whose, 10));
        assert_eq!(mailbox.senders.len(), 0, "nobody is remembered of whom nothing waits");
        assert_eq!((mailbox.all.load(), mailbox.strangers.load()), (Load::NOTHING, Load::NOTHING));
    }

    #[test]
    fn there_is_room_again_when_all_is_confirmed() {
        let mut mailbox = Mailbox::default();
        assert_eq!(fill(&mut mailbox, "eve", Relation::Stranger, 10), 4);

        mailbox.confirmed(3);
        assert_eq!(fill(&mut mailbox, "eve", Relation::Stranger, 10), 0);
        mailbox.confirmed(4);

        assert_eq!(fill(&mut mailbox, "eve", Relation::Stranger, 10), 4);
    }

    #[test]
    fn a_count_replaces_what_was_there_and_not_what_came_meanwhile() {
        let mut mailbox = Mailbox::default();
        fill(&mut mailbox, "eve", Relation::Stranger, 10);
        fill(&mut mailbox, "mallory", Relation::Stranger, 10);
        let before = mailbox.clone();
        fill(&mut mailbox, "carol", Relation::Known, 10);

        let two = Load { messages: 2, bytes: 20 };
        let eve = jid("eve");
        mailbox.counted(&before, 6, [(eve.clone(), Relation::Stranger, two)]);

        assert!(mailbox.is_counted_at(6));
        let held = |name| mailbox.senders.get(&jid(name)).map_or(0, |held| held.waits.messages);
        assert_eq!((held("eve"), held("mallory"), held("carol")), (2, 0, 4));
        assert_eq!(mailbox.all.waits, Load { messages: 6, bytes: 60 });
        assert_eq!(mailbox.strangers.waits, two);
    }
}
