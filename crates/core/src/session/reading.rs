//! How far a session has read the log of its account, and what came to it in another way.

use std::collections::VecDeque;
use std::time::Duration;

use super::Queued;
use super::seq_ranges::SeqRanges;
use crate::clock::Steady;

/// Whether the log's waiting messages have been handed to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// It is not available. Once it is, it gets what is after this number.
    Paused(i64),
    /// What is after this number is still in the log and will come from there, page by page.
    After {
        /// The number.
        seq: i64,
        /// The next page has been asked for.
        asked: bool,
        /// The page before was not the last.
        more: bool,
    },
    /// Everything new comes live.
    Live,
}

/// Messages of the log that came live since a fence went through the keeper, set aside until what
/// was committed before it has been read.
struct Fence {
    /// Which fence of the session this is.
    number: u32,
    aside: Vec<Aside>,
    bytes: usize,
}

/// One of them.
pub(super) struct Aside {
    /// Its number in the log.
    pub number: i64,
    pub item: Queued,
    /// It is a copy, and confirms nothing.
    pub is_copy: bool,
}

/// How long after it was said a message is not delayed.
const MOMENT: Duration = Duration::from_secs(5);

/// Copies of messages in the log that a session remembers to have got: enough for what another
/// session may hold unacknowledged, a conversation and not an archive.
const COPIED: usize = 256;

/// Where a session stands in the log.
pub(super) struct Reading {
    drain: Drain,
    /// What is set aside while it reads the last page of the log.
    fence: Option<Box<Fence>>,
    /// How many fences there were.
    fences: u32,
    /// What it has read in the log lately.
    read: SeqRanges,
    /// When everything new came live, lately.
    live: SeqRanges,
    /// When it last began to read the log.
    since: Steady,
    /// The highest number of the log that was queued.
    highest: i64,
    /// The last numbers of the log of which it got a copy, oldest first.
    copied: VecDeque<i64>,
}

impl Reading {
    pub fn new(now: Steady) -> Reading {
        Reading {
            drain: Drain::Paused(0),
            fence: None,
            fences: 0,
            read: SeqRanges::default(),
            live: SeqRanges::default(),
            since: now,
            highest: 0,
            copied: VecDeque::new(),
        }
    }

    pub fn drain(&self) -> Drain {
        self.drain
    }

    /// The session reads the log from here on, if it does not yet: what is after `confirmed`.
    pub fn begin(&mut self, confirmed: i64, now: Steady) {
        if let Drain::Paused(seq) = self.drain {
            self.since = now;
            self.drain = Drain::After { seq: seq.max(confirmed), asked: false, more: false };
        }
    }

    /// The session reads the log no more, until it begins again.
    pub fn pause(&mut self) {
        self.drain = match self.drain {
            Drain::Live => {
                self.live.end(self.highest);
                Drain::Paused(self.highest)
            }
            Drain::After { seq, .. } | Drain::Paused(seq) => Drain::Paused(seq),
        };
        self.fence = None;
    }

    /// A message of the log that came live did not fit: it is read from there.
    pub fn fall_behind(&mut self, number: i64) {
        if self.drain == Drain::Live {
            self.live.end(number - 1);
            self.drain = Drain::After { seq: number - 1, asked: false, more: false };
        }
    }

    /// Whether this message of the log comes from there by itself.
    pub fn will_bring(&self, number: i64) -> bool {
        matches!(self.drain, Drain::After { seq, .. } if number > seq)
    }

    /// Whether this message of the log has come from there, or live, by now. It can be read between
    /// its commit and its delivery, and then it comes live as well.
    pub fn has_brought(&self, number: i64) -> bool {
        match self.drain {
            Drain::After { seq, .. } | Drain::Paused(seq) => number <= seq,
            Drain::Live => number <= self.highest,
        }
    }

    /// Whether the session does not read the log. What it confirms then means no more than itself:
    /// messages before it still wait.
    pub fn is_paused(&self) -> bool {
        matches!(self.drain, Drain::Paused(_))
    }

    /// A message of the log was queued that came live.
    pub fn had_live(&mut self, number: i64) {
        if self.drain == Drain::Live {
            self.highest = self.highest.max(number);
        }
    }

    /// A message of the log was read there.
    pub fn had_logged(&mut self, number: i64) {
        self.highest = self.highest.max(number);
    }

    /// A copy of a message of the log was queued.
    pub fn had_copy(&mut self, number: i64) {
        if self.copied.len() >= COPIED {
            self.copied.pop_front();
        }
        self.copied.push_back(number);
    }

    pub fn has_copy(&self, number: i64) -> bool {
        self.copied.contains(&number)
    }

    /// Asks for the next page, if one is due and was not asked for.
    pub fn ask(&mut self) -> bool {
        match &mut self.drain {
            Drain::After { asked, .. } => !std::mem::replace(asked, true),
            Drain::Paused(_) | Drain::Live => false,
        }
    }

    /// Whoever asked for a page is gone.
    pub fn forget_asking(&mut self) {
        if let Drain::After { asked, .. } = &mut self.drain {
            *asked = false;
        }
        self.fence = None;
    }

    // --- the last page ---

    /// A fence has gone through the keeper: what was committed before it can be read, and what comes
    /// live from now on is set aside. Returns its number, if the session reads the log.
    pub fn raise_fence(&mut self) -> Option<u32> {
        if !matches!(self.drain, Drain::After { .. }) {
            return None;
        }
        self.fences = self.fences.wrapping_add(1);
        let number = self.fences;
        self.fence = Some(Box::new(Fence { number, aside: Vec::new(), bytes: 0 }));
        Some(number)
    }

    /// Sets aside what comes live while the last page is read. Without a fence, or where it has no
    /// room, it is left to the log.
    pub fn set_aside(&mut self, aside: Aside, has_room: bool) {
        match &mut self.fence {
            Some(fence) if has_room => {
                fence.bytes += aside.item.len();
                fence.aside.push(aside);
            }
            _ => self.fence = None,
        }
    }

    /// The bytes that are set aside.
    pub fn aside_bytes(&self) -> usize {
        self.fence.as_ref().map_or(0, |fence| fence.bytes)
    }

    /// Whether it stands at this place in the log.
    pub fn is_at(&self, after: i64) -> bool {
        matches!(self.drain, Drain::After { seq, .. } if seq == after)
    }

    /// A page has been queued: everything after `after`, up to `last`. If it is the last one and its
    /// fence stands, everything comes live from now on, and what was set aside follows: it is given
    /// back. Otherwise more has to be read.
    pub fn page_read(
        &mut self,
        (after, last): (i64, i64),
        fence: Option<u32>,
        more: bool,
    ) -> Vec<Aside> {
        if after < last {
            self.read.add(after, last);
        }
        let raised = self.fence.take();
        match raised.filter(|raised| !more && Some(raised.number) == fence) {
            Some(raised) => {
                self.live.begin(last);
                self.drain = Drain::Live;
                raised.aside.into_iter().filter(|aside| aside.number > last).collect()
            }
            None => {
                self.drain = Drain::After { seq: last, asked: false, more };
                Vec::new()
            }
        }
    }

    /// It is over.
    pub fn end(&mut self) {
        self.fence = None;
    }

    /// The number up to which everything has come.
    pub fn has_all_to(&self) -> i64 {
        match self.drain {
            Drain::Live => i64::MAX,
            Drain::After { seq, .. } | Drain::Paused(seq) => seq,
        }
    }

    /// Whether this message has come from the log, or, if it was for the session alone, live.
    pub fn has(&self, number: i64, for_it_alone: bool) -> bool {
        self.read.contains(number) || for_it_alone && self.live.contains(number)
    }

    /// Whether a message of this age only happens to come by the log: it was said while the session
    /// was reading there, a moment ago, and nobody would call it delayed (XEP-0203).
    pub fn is_live(&self, age: Duration, now: Steady) -> bool {
        age < MOMENT && age < now.since(self.since)
    }
}
