//! The keeper: it alone decides what is remembered. What must be is posted here, committed in
//! groups, and only then delivered and marked as handled. Others write nothing but what changes
//! nothing of that: whoever reads an archive may move rows into it that are stored already.
//!
//! It is two tasks: the lane commits, and the finisher delivers one group while the lane commits
//! the next (`docs/design/lane.md`).
//!
//! It sets the order: it numbers the messages, so the order of an archive is the order of the
//! commits and the order of delivery. A session that drains the log sends a fence through the same
//! lane: whatever is before the fence comes from the log, and whatever is after it comes live.

mod away;
pub(crate) mod chain;
mod change;
mod cursors;
mod finisher;
mod lane;
mod left_behind;
mod post;
mod sharing;
mod stamps;
mod submitted;
#[cfg(test)]
pub(crate) mod tests;

pub use change::Touches;
pub(crate) use post::{Post, Unstored};

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use whoelse_store::{Store, Tx};

use crate::account::Account;
use crate::boxed_future::BoxFuture;
use crate::node::Node;
use crate::underway::Underway;
use change::{Change, Command};
use left_behind::LeftBehind;
use submitted::Submitted;

/// The most commands that may wait for the keeper. When it is full, whoever posts waits, and its
/// connection reads nothing more until there is room.
const WAITING: usize = 4096;
/// The most that one account may have posted before its sessions wait: half a group of messages, so
/// that whoever comes after a few who post as fast as they can waits for a commit or two.
pub(crate) const SHARE: u32 = 128;
/// The same while more than half of the lane is taken: no few accounts fill the rest.
pub(crate) const SMALL_SHARE: u32 = 32;
/// The most rows that one piece of the housekeeping changes: a few milliseconds, in which everybody
/// else waits.
pub const PIECE: u64 = 500;
/// How long the log has to say why the process ends.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// What happens after a commit: snapshots swapped first, then pushes, then presence.
pub type After = Vec<Then>;
/// One thing to do on the finisher's task.
pub type Then = Box<dyn FnOnce(&Arc<Node>) + Send>;

/// What is posted to the lane.
pub(crate) enum Work {
    /// A message to store.
    Post(Box<dyn Post>),
    /// A passing stanza that follows a kept one to the same recipient.
    Ride(Then),
    /// Anything else that changes what is remembered.
    Change(Box<dyn Command>),
}

/// The handle to the keeper's tasks.
pub struct Keeper {
    post: mpsc::Sender<Work>,
    /// Changes that nobody waits for and that wait for room in the lane.
    submitted: Mutex<Submitted>,
    /// How much was posted and is not finished.
    waiting: Arc<AtomicUsize>,
    /// Counts what the finisher has finished: if it stands still while something waits, one of the
    /// two tasks is stuck.
    rounds: AtomicU64,
    /// Wakes whoever waits for posted work.
    round: Notify,
    /// Cursors that have moved. Held for a look or a change, never across an await.
    unsaved: Mutex<cursors::Unsaved>,
    /// What sessions have left behind and the store did not take.
    left_behind: Mutex<LeftBehind>,
    /// Wakes the lane when the first cursor has moved, or something was left behind.
    lane_is_due: Notify,
    stop: Notify,
    stopped: AtomicBool,
    finished: Notify,
    /// Where a test holds the finisher up.
    #[cfg(test)]
    pub(crate) gate: tests::Gate,
}

/// The keeper has stopped: the server is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Keeper {
    pub(crate) fn new() -> (Keeper, mpsc::Receiver<Work>) {
        let (post, receive) = mpsc::channel(WAITING);
        let keeper = Keeper {
            post,
            submitted: Mutex::default(),
            waiting: Arc::default(),
            rounds: AtomicU64::new(0),
            round: Notify::new(),
            unsaved: Mutex::default(),
            left_behind: Mutex::default(),
            lane_is_due: Notify::new(),
            stop: Notify::new(),
            stopped: AtomicBool::new(false),
            finished: Notify::new(),
            #[cfg(test)]
            gate: tests::Gate::default(),
        };
        (keeper, receive)
    }

    /// Starts the keeper's tasks; they end when it is stopped, or with the node. `last_stamp` is
    /// the stamp of the last message of the log, and `passing` are the archives with messages that
    /// are deleted once they are delivered.
    pub(crate) fn start(
        node: Weak<Node>,
        store: Store,
        receive: mpsc::Receiver<Work>,
        last_stamp: Option<i64>,
        passing: HashSet<i64>,
    ) {
        spawn(Keeper::run(node, store, receive, last_stamp, passing));
    }

    /// Whether nothing more can be posted, since the server stops.
    pub(crate) fn is_closed(&self) -> bool {
        self.post.is_closed()
    }

    /// How much is posted and not finished.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// A number that changes whenever the keeper has finished something. If it stands still while
    /// something waits, the keeper is stuck.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Gives an idle keeper something to do, so that the number of its rounds shows whether it
    /// lives.
    pub fn nudge(&self) {
        if self.waiting() == 0 {
            // A full lane means that there is enough to do.
            let _ = self.try_post(Work::Ride(Box::new(|_| {})));
        }
    }

    /// Posts without waiting; gives the work back if there is no room.
    pub(crate) fn try_post(&self, work: Work) -> Result<(), Work> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.post.try_send(work).map_err(|refused| {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            match refused {
                mpsc::error::TrySendError::Full(work) => work,
                mpsc::error::TrySendError::Closed(work) => work,
            }
        })
    }

    /// Posts, waiting for room. If the caller is dropped meanwhile, nothing is posted or counted.
    pub(crate) async fn post(&self, work: Work) -> Result<(), Stopped> {
        let place = self.post.reserve().await.map_err(|_| Stopped)?;
        self.waiting.fetch_add(1, Ordering::AcqRel);
        place.send(work);
        Ok(())
    }

    /// Runs a change that may share its commit with other small ones, then what follows from it,
    /// then returns its value.
    ///
    /// Like [`Keeper::change`], but `change` may run more than once, after what it did before is
    /// undone: its only effect is on the database. What it does in memory is returned with its
    /// value.
    pub async fn share<T, F>(&self, touches: Touches, change: F) -> Result<T, whoelse_store::Error>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<(T, After), whoelse_store::Error>>
            + Clone
            + Send
            + 'static,
    {
        let (command, answered) = Change::sharing(touches, change);
        self.answer(command, answered).await
    }

    /// Runs one change in a transaction of its own, then what follows from it, then returns its
    /// value.
    ///
    /// Once there is room for it, the change runs to its end even if the caller is dropped.
    /// `change` sees the database as the previous command left it; what it returns beside its value
    /// runs after the commit, in order. `touches` says how many rows it may touch: the keeper
    /// serves nobody else meanwhile.
    pub async fn change<T, F>(&self, touches: Touches, change: F) -> Result<T, whoelse_store::Error>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<(T, After), whoelse_store::Error>>
            + Send
            + 'static,
    {
        let (command, answered) = Change::new(touches, change);
        self.answer(command, answered).await
    }

    /// Repeats a change of at most [`PIECE`] rows, each time in a transaction of its own, for as
    /// long as it changes so many. What others post meanwhile comes between.
    pub async fn in_pieces<F>(&self, piece: F) -> Result<(), whoelse_store::Error>
    where
        F: for<'a> FnOnce(&'a mut Tx, u64) -> BoxFuture<'a, Result<u64, whoelse_store::Error>>
            + Clone
            + Send
            + 'static,
    {
        loop {
            let piece = piece.clone();
            let changed = self.change(Touches::AtMost(PIECE), move |tx| {
                Box::pin(async move { Ok((piece(tx, PIECE).await?, Vec::new())) })
            });
            if changed.await? < PIECE {
                return Ok(());
            }
        }
    }

    async fn answer<T>(
        &self,
        command: impl Command + 'static,
        answered: oneshot::Receiver<Result<T, whoelse_store::Error>>,
    ) -> Result<T, whoelse_store::Error> {
        if self.post(Work::Change(Box::new(command))).await.is_err() {
            return Err(whoelse_store::Error::Closed);
        }
        answered.await.unwrap_or_else(|_| Err(whoelse_store::Error::Closed))
    }

    /// Posts work that runs on the finisher's task after everything posted before is committed and
    /// delivered.
    pub(crate) async fn follow(
        &self,
        then: impl FnOnce(&Arc<Node>) + Send + 'static,
    ) -> Result<(), Stopped> {
        self.post(Work::Ride(Box::new(then))).await
    }

    /// Waits until everything posted before is committed and delivered, so that the caller finds it
    /// in the store.
    pub async fn caught_up(&self) {
        let (answer, answered) = oneshot::channel();
        let answering = self.follow(move |_| {
            let _ = answer.send(());
        });
        if answering.await.is_ok() {
            // This fails only when the keeper has stopped, and then nothing more is committed.
            let _ = answered.await;
        }
    }

    /// Waits until every message that this account has sent or is sending now is committed and
    /// delivered, so that its archive shows it. Does not wait for what others have posted.
    pub async fn caught_up_with(&self, account: &Account) {
        let (arriving, sending) = (account.arriving.mark(), account.sending.mark());
        let is_done = || account.arriving.is_past(arriving) && account.sending.is_past(sending);
        self.until(is_done).await;
    }

    /// Waits until everything that is under way now, of what is counted there, is committed and
    /// delivered. Does not wait for what is posted later.
    pub async fn settled(&self, underway: &Underway) {
        let mark = underway.mark();
        self.until(|| underway.is_past(mark)).await;
    }

    /// Whether an account has as much in the lane as one may have: whoever posts for it says no more
    /// before there is room again ([`Keeper::has_room_for`]). What the account has posted stays in
    /// its order, and everybody else waits behind a share of each account at most.
    pub(crate) fn is_share_full(&self, account: &Account) -> bool {
        let posted = account.sending.count();
        posted >= SHARE || posted >= SMALL_SHARE && self.waiting() > WAITING / 2
    }

    /// Waits until an account may post more.
    pub(crate) async fn has_room_for(&self, account: &Account) {
        self.until(|| !self.is_share_full(account)).await;
    }

    /// Waits until this is so. It is looked at whenever something is finished.
    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let round = self.round.notified();
            if is_so() || self.stopped.load(Ordering::Acquire) {
                return;
            }
            round.await;
        }
    }

    /// Notes that so much of what was posted is done.
    fn finished(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::AcqRel);
        self.note_round();
        self.round.notify_waiters();
    }

    fn note_round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Finishes what is posted and submitted, saves the cursors and ends.
    pub async fn stop(&self) {
        let finished = self.finished.notified();
        tokio::pin!(finished);
        finished.as_mut().enable();
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        self.stop.notify_one();
        finished.await;
    }
}

/// Starts a task of the keeper.
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    let task = tokio::spawn(task);
    tokio::spawn(async move {
        if task.await.is_err_and(|fault| fault.is_panic()) {
            // Nothing can be stored any more. What was acknowledged is on disk. A half-dead server
            // would help nobody, and whatever supervises the process starts it again.
            tracing::error!("keeper_failed");
            // The log is written by a thread of its own.
            std::thread::sleep(LAST_WORDS);
            std::process::abort();
        }
    });
}
