//! A session's position in the log of its account, and what came to it in another way.

use std::collections::VecDeque;
use std::time::Duration;

use super::Queued;
use super::left_to_archive::LeftToArchive;
use super::seq_ranges::SeqRanges;
use crate::clock::Steady;

/// Whether the waiting messages of the log have been given to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// The session is not available. Once it is, it gets what is after this number.
    Paused(i64),
    /// The session is catching up: what is after this number is still in the log and comes page by
    /// page.
    After {
        /// The number.
        seq: i64,
        /// Whether the next page has been asked for.
        asked: bool,
        /// Whether more pages follow the one before.
        more: bool,
    },
    /// Everything new comes live.
    Live,
}

/// Messages of the log that came live since a fence went through the keeper. They are set aside
/// until what was committed before the fence has been read.
struct Fence {
    /// Which fence of the session this is.
    number: u32,
    aside: Vec<Aside>,
    bytes: usize,
}

/// A message that is set aside.
pub(super) struct Aside {
    /// Its number in the log.
    pub number: i64,
    pub item: Queued,
    /// Whether it is a copy, which confirms nothing.
    pub is_copy: bool,
}

/// A message that reaches a session within this time does not count as delayed.
const MOMENT: Duration = Duration::from_secs(5);

/// How many copies of messages in the log a session remembers to have got: enough for what another
/// session may hold unacknowledged, a conversation and not an archive.
const COPIED: usize = 256;

/// The position of a session in the log.
pub(super) struct Reading {
    drain: Drain,
    /// What is set aside while it reads the last page of the log.
    fence: Option<Box<Fence>>,
    /// The number of fences so far.
    fences: u32,
    /// The ranges that it has lately read in the log.
    read: SeqRanges,
    /// The ranges in which everything new lately came live.
    live: SeqRanges,
    /// When it last began to read the log.
    since: Steady,
    /// The highest number of the log that was queued.
    highest: i64,
    /// The latest numbers of the log of which it got a copy, oldest first.
    copied: VecDeque<i64>,
    /// What it is not sent, if its client reads the archive (XEP-0386).
    left: Option<Box<LeftToArchive>>,
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
            left: None,
        }
    }

    pub fn drain(&self) -> Drain {
        self.drain
    }

    /// Begins to read the log after `confirmed`, if the session does not read it yet.
    pub fn begin(&mut self, confirmed: i64, now: Steady) {
        if let Drain::Paused(seq) = self.drain {
            self.since = now;
            self.drain = Drain::After { seq: seq.max(confirmed), asked: false, more: false };
        }
    }

    /// Stops reading the log, until the session begins again.
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

    /// Notes that a live message of the log did not fit: it has to be read from the log.
    pub fn fall_behind(&mut self, number: i64) {
        if self.drain == Drain::Live {
            self.live.end(number - 1);
            self.drain = Drain::After { seq: number - 1, asked: false, more: false };
        }
    }

    /// Whether this message of the log will be read from there.
    pub fn will_bring(&self, number: i64) -> bool {
        matches!(self.drain, Drain::After { seq, .. } if number > seq)
    }

    /// Whether this message of the log has come by now, from there or live. It can be read between
    /// its commit and its delivery, and then it comes live as well.
    pub fn has_brought(&self, number: i64) -> bool {
        match self.drain {
            Drain::After { seq, .. } | Drain::Paused(seq) => number <= seq,
            Drain::Live => number <= self.highest,
        }
    }

    /// Whether it has still to read messages of the log before what comes now.
    pub fn is_behind(&self) -> bool {
        matches!(self.drain, Drain::After { .. })
    }

    /// Whether the session does not read the log.
    pub fn is_paused(&self) -> bool {
        matches!(self.drain, Drain::Paused(_))
    }

    /// Notes that a message of the log was queued that came live.
    pub fn had_live(&mut self, number: i64) {
        if self.drain == Drain::Live {
            self.highest = self.highest.max(number);
        }
    }

    /// Notes that a message was read from the log.
    pub fn had_logged(&mut self, number: i64) {
        self.highest = self.highest.max(number);
    }

    /// Notes that a copy of a message of the log was queued.
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

    /// Notes that whoever asked for a page is gone.
    pub fn forget_asking(&mut self) {
        if let Drain::After { asked, .. } = &mut self.drain {
            *asked = false;
        }
        self.fence = None;
    }

    // --- what is left to the archive ---

    /// Leaves to the archive what it shows up to this number, from now on.
    pub fn leave_to_archive(&mut self, up_to: i64) {
        self.left = Some(Box::new(LeftToArchive::up_to(up_to)));
    }

    /// Leaves nothing to the archive. Only before the log is read.
    pub fn leave_nothing(&mut self) {
        self.left = None;
    }

    /// Notes that messages are left to the archive, from the first number to the last. They do not come
    /// from the log any more.
    pub fn leave_out(&mut self, out: (i64, i64)) {
        if let Some(left) = &mut self.left {
            left.leave_out(out);
            self.had_logged(out.1);
        }
    }

    /// What is left to the archive, if anything may be.
    pub fn left(&self) -> Option<&LeftToArchive> {
        self.left.as_deref()
    }

    /// The same, to be changed.
    pub fn left_mut(&mut self) -> Option<&mut LeftToArchive> {
        self.left.as_deref_mut()
    }

    /// Whether a confirmation of this message counts for itself alone, where the log is confirmed up
    /// to `confirmed`: messages before it still wait, or are left to the archive and not read.
    pub fn is_ahead(&self, number: i64, confirmed: i64) -> bool {
        self.is_paused() || self.left().is_some_and(|left| number > left.bound(confirmed))
    }

    // --- the last page ---

    /// Notes that a fence has gone through the keeper: what was committed before it can be read,
    /// and what comes live from now on is set aside. Returns the fence's number, if the session
    /// reads the log.
    pub fn raise_fence(&mut self) -> Option<u32> {
        if !matches!(self.drain, Drain::After { .. }) {
            return None;
        }
        self.fences = self.fences.wrapping_add(1);
        let number = self.fences;
        self.fence = Some(Box::new(Fence { number, aside: Vec::new(), bytes: 0 }));
        Some(number)
    }

    /// Leaves what was set aside to the log.
    pub fn lift_fence(&mut self) {
        self.fence = None;
    }

    /// Sets a live message aside while the last page is read. Without a fence, or if there is no
    /// room, the message is left to the log.
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

    /// Whether this is its position in the log.
    pub fn is_at(&self, after: i64) -> bool {
        matches!(self.drain, Drain::After { seq, .. } if seq == after)
    }

    /// Notes that a page has been queued: everything after `after`, up to `last`. If it is the last
    /// one and its fence stands, everything comes live from now on; returns what was set aside, to
    /// be queued next. Otherwise more has to be read.
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

    /// Ends reading, because the session is over.
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

    /// Whether this message has come from the log, or live if it was for this session alone.
    pub fn has(&self, number: i64, for_it_alone: bool) -> bool {
        let is_left_out = self.left().is_some_and(|left| left.has_left_out(number));
        self.read.contains(number) && !is_left_out || for_it_alone && self.live.contains(number)
    }

    /// Whether a message of this age counts as live although it comes from the log: it was said a
    /// moment ago while the session was reading there, so it is not marked as delayed (XEP-0203).
    pub fn is_live(&self, age: Duration, now: Steady) -> bool {
        age < MOMENT && age < now.since(self.since)
    }
}
