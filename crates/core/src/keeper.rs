//! The keeper alone writes. What must be remembered is posted here, committed in groups, and only
//! then delivered and handled.
//!
//! Order is the point: a message is numbered here, so the order of an archive is the order of the
//! commits and the order of delivery; and whoever drains the log sends a fence through the same lane,
//! so that what is before it comes from the log and what is after it comes live.

mod away;
pub(crate) mod chain;
mod change;
mod stamps;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use whoelse_store::{Appended, NewMessage, Store, Tx, Undecided};
use whoelse_xmpp::{Condition, Outgoing, StanzaError};

use crate::account::Account;
use crate::clock::Steady;
use crate::delivery;
use crate::kit::BoxFuture;
use crate::node::Node;
use crate::route::{self, Answer, InFlight, Origin};
use away::{Away, Posted};
use change::{Change, Command};
use stamps::Stamps;

/// Commands that may wait for the keeper. Full: whoever posts waits, and its connection reads
/// nothing more until there is room.
const WAITING: usize = 4096;
/// Messages in one commit: past this, a longer transaction gains nothing and delays everybody.
const GROUP: usize = 256;
/// How often confirmed cursors are written, with the group that is committed then or alone. After
/// a crash this much may come twice.
const CURSORS: Duration = Duration::from_millis(100);
/// How often a transaction is begun anew whose connection was lost in its middle: the third time
/// it is what was in it that does that.
const TRIES: usize = 3;

/// A message on its way into the log.
pub(crate) struct Append {
    /// Its rows: the recipient's, which decides, and perhaps the sender's. Taken when they are
    /// written, and stamped then.
    pub message: Option<NewMessage>,
    /// Who says it, for the answer.
    pub origin: Origin,
    /// As its sender's half has handed it down.
    pub flight: InFlight,
    /// Whom it is for.
    pub recipient: Arc<Account>,
    /// Whether it is kept only until it is delivered.
    pub passing: bool,
    /// The bytes that were reserved for it in the recipient's mailbox, if any were.
    pub reserved: Option<u64>,
    /// Rewritten for the log: without `from`.
    pub stanza: Outgoing,
}

/// What happens after a commit: snapshots swapped first, then pushes, then presence.
pub type After = Vec<Then>;
/// One thing to do on the keeper's task.
pub type Then = Box<dyn FnOnce(&Arc<Node>) + Send>;
pub(crate) enum Work {
    Append(Box<Append>),
    /// A passing stanza that follows a kept one to the same recipient.
    Ride(Then),
    Change(Box<dyn Command>),
}

/// The handle to the keeper's task.
pub struct Keeper {
    post: mpsc::Sender<Work>,
    /// Posted and not finished.
    waiting: Arc<AtomicUsize>,
    /// Rounds of its task: who sees this stand still while something waits, sees it stuck.
    rounds: AtomicU64,
    /// Wakes whoever waits for something that is posted.
    round: Notify,
    /// Archives whose cursor has moved, and how far.
    dirty: Mutex<HashMap<i64, i64>>,
    /// Whether the log may hold messages that are forgotten once they are delivered.
    passing: AtomicBool,
    stop: Notify,
    stopped: AtomicBool,
    finished: Notify,
}

/// The keeper has stopped: the server is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Keeper {
    pub(crate) fn new() -> (Keeper, mpsc::Receiver<Work>) {
        let (post, receive) = mpsc::channel(WAITING);
        let keeper = Keeper {
            post,
            waiting: Arc::default(),
            rounds: AtomicU64::new(0),
            round: Notify::new(),
            dirty: Mutex::default(),
            // Some may be left from before.
            passing: AtomicBool::new(true),
            stop: Notify::new(),
            stopped: AtomicBool::new(false),
            finished: Notify::new(),
        };
        (keeper, receive)
    }

    /// How much is posted and not finished.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// A number that changes whenever the keeper has finished something. One that stands still
    /// while something waits is that of a keeper that is stuck.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Gives an idle keeper something to do, so that its rounds show whether it lives.
    pub fn nudge(&self) {
        if self.waiting() == 0 {
            // Full means that there is enough to do.
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

    /// Posts, waiting for room.
    pub(crate) async fn post(&self, work: Work) -> Result<(), Stopped> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.post.send(work).await.map_err(|_| {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            Stopped
        })
    }

    /// Runs one change in a transaction of its own, then what follows from it, then answers.
    ///
    /// The change is not cancelled with whoever waits for it. `change` sees the database as the
    /// previous command left it; what it returns beside its value runs after the commit, in order.
    pub async fn change<T, F>(&self, change: F) -> Result<T, whoelse_store::Error>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<(T, After), whoelse_store::Error>>
            + Send
            + 'static,
    {
        let (command, answered) = Change::new(change);
        if self.post(Work::Change(Box::new(command))).await.is_err() {
            return Err(whoelse_store::Error::Closed);
        }
        answered.await.unwrap_or_else(|_| Err(whoelse_store::Error::Closed))
    }

    /// Posts a change nobody waits for. Changes submitted from one task keep their order.
    pub fn submit<F>(self: &Arc<Keeper>, change: F)
    where
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<((), After), whoelse_store::Error>>
            + Send
            + 'static,
    {
        let (command, _) = Change::new(change);
        if let Err(work) = self.try_post(Work::Change(Box::new(command))) {
            let keeper = self.clone();
            tokio::spawn(async move { keeper.post(work).await });
        }
    }

    /// Posts something that is done on the keeper's task when everything posted before is committed
    /// and delivered.
    pub(crate) async fn follow(
        &self,
        then: impl FnOnce(&Arc<Node>) + Send + 'static,
    ) -> Result<(), Stopped> {
        self.post(Work::Ride(Box::new(then))).await
    }

    /// Waits until everything posted before is committed, so that the caller finds it in the store.
    pub async fn caught_up(&self) {
        let (answer, answered) = oneshot::channel();
        let answering = self.follow(move |_| {
            let _ = answer.send(());
        });
        if answering.await.is_ok() {
            // Fails only when the keeper has stopped, and then nothing more is committed.
            let _ = answered.await;
        }
    }

    /// Waits until every message that this account has sent or is being sent by now is committed,
    /// so that its archive shows it. What others have posted is not waited for.
    pub async fn caught_up_with(&self, account: &Account) {
        let (arriving, sending) = (account.arriving.mark(), account.sending.mark());
        loop {
            let round = self.round.notified();
            let is_done = account.arriving.is_past(arriving) && account.sending.is_past(sending);
            if is_done || self.stopped.load(Ordering::Acquire) {
                return;
            }
            round.await;
        }
    }

    /// So much of what was posted is done.
    fn finished(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::AcqRel);
        self.note_round();
        self.round.notify_waiters();
    }

    fn note_round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// How far an archive is confirmed, if that is not saved yet.
    pub(crate) fn unsaved_cursor(&self, archive: i64) -> Option<i64> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).get(&archive).copied()
    }

    /// A device has confirmed everything up to `seq`; saved within [`CURSORS`].
    pub(crate) fn confirmed(&self, archive: i64, seq: i64) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = dirty.entry(archive).or_insert(seq);
        *cursor = seq.max(*cursor);
    }

    /// What has to be saved. It stays known until it is.
    fn dirty(&self) -> Vec<(i64, i64)> {
        let dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        dirty.iter().map(|(archive, seq)| (*archive, *seq)).collect()
    }

    /// These are saved. What has moved on meanwhile is not.
    fn saved(&self, cursors: &[(i64, i64)]) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        for (archive, seq) in cursors {
            if dirty.get(archive) == Some(seq) {
                dirty.remove(archive);
            }
        }
    }

    /// Finishes what is posted, saves the cursors and ends.
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

    /// The keeper's task; `last_stamp` is that of the last message of the log.
    pub(crate) async fn run(
        node: Weak<Node>,
        store: Store,
        receive: mpsc::Receiver<Work>,
        last_stamp: Option<i64>,
    ) {
        let mut lane = Lane {
            store,
            stamps: Stamps::after(last_stamp),
            away: Away::default(),
            posted: Posted::new(receive),
            flush_at: Steady(0),
        };
        let mut stopping = false;
        loop {
            let Some(node) = node.upgrade() else { return };
            if stopping {
                lane.posted.close();
            }
            let work = tokio::select! {
                biased;
                work = lane.posted.next() => work,
                () = node.clock.sleep_until(lane.flush_at) => {
                    lane.save_cursors(&node).await;
                    continue;
                }
                () = node.keeper.stop.notified(), if !stopping => {
                    stopping = true;
                    continue;
                }
            };
            let Some(work) = work else {
                // The last time, whatever came of it a moment ago.
                lane.away = Away::default();
                lane.save_cursors(&node).await;
                node.keeper.stopped.store(true, Ordering::Release);
                node.keeper.finished.notify_waiters();
                node.keeper.round.notify_waiters();
                return;
            };
            let mut group = Vec::new();
            let mut alone = sort(&mut group, work);
            while alone.is_none() && group.len() < GROUP {
                let Some(work) = lane.posted.try_next() else { break };
                alone = sort(&mut group, work);
            }
            let mut finished = group.len();
            if !group.is_empty() {
                lane.commit_group(&node, group).await;
            }
            if let Some(command) = alone {
                lane.change(&node, command).await;
                finished += 1;
            }
            node.keeper.finished(finished);
            // Cursors must not wait for ever behind a busy lane.
            if node.clock.steady() >= lane.flush_at {
                lane.save_cursors(&node).await;
            }
        }
    }
}

enum Grouped {
    Append(Box<Append>),
    Ride(Then),
}

/// Puts what can share a transaction into the group; gives back what cannot.
fn sort(group: &mut Vec<Grouped>, work: Work) -> Option<Box<dyn Command>> {
    match work {
        Work::Append(append) => group.push(Grouped::Append(append)),
        Work::Ride(ride) => group.push(Grouped::Ride(ride)),
        Work::Change(command) => return Some(command),
    }
    None
}

/// Why there is no result for a message.
enum Unstored {
    /// It is refused.
    Failed(whoelse_store::Error),
    /// Whether it is stored was not known when the server stopped: nobody is told anything, so
    /// whoever sent it sends it again, under the same id.
    Unknown,
}

impl From<whoelse_store::Error> for Unstored {
    fn from(error: whoelse_store::Error) -> Unstored {
        Unstored::Failed(error)
    }
}

/// The one lane on which everything is written, and what its task knows.
struct Lane {
    store: Store,
    stamps: Stamps,
    away: Away,
    posted: Posted,
    /// When cursors are to be saved.
    flush_at: Steady,
}

impl Lane {
    async fn commit_group(&mut self, node: &Arc<Node>, mut group: Vec<Grouped>) {
        let mut rows = Vec::with_capacity(group.len());
        for item in &mut group {
            if let Grouped::Append(append) = item
                && let Some(message) = append.message.take()
            {
                let (at, kept_at) = (self.stamps.next(node.clock.now().told()), node.even_time());
                rows.push(NewMessage { at: at.0, kept_at: kept_at.0, ..message });
            }
        }
        let mut results = self.append_all(node, &rows).await.into_iter();
        for item in group {
            match item {
                Grouped::Ride(ride) => ride(node),
                Grouped::Append(append) => {
                    finish_append(node, *append, results.next());
                }
            }
        }
    }

    /// Appends messages in one transaction, or if that fails, each in one of its own.
    async fn append_all(
        &mut self,
        node: &Arc<Node>,
        rows: &[NewMessage],
    ) -> Vec<Result<Appended, Unstored>> {
        if rows.is_empty() {
            return Vec::new();
        }
        // Where something is forgotten with what is confirmed, it takes a transaction of its own.
        let forgets = node.settings().history.is_none();
        let forgets = forgets || node.keeper.passing.load(Ordering::Acquire);
        let due = !forgets && node.clock.steady() >= self.flush_at;
        let cursors = if due { node.keeper.dirty() } else { Vec::new() };
        match self.append(node, rows, &cursors).await {
            Ok(results) => results.into_iter().map(Ok).collect(),
            Err(Unstored::Unknown) => rows.iter().map(|_| Err(Unstored::Unknown)).collect(),
            Err(Unstored::Failed(error)) if rows.len() > 1 => {
                // One bad row must not take the others with it; a full disk refuses each alone.
                node.store_failing("group_refused", None, &error);
                let mut results = Vec::with_capacity(rows.len());
                for row in rows {
                    let one = self.append(node, std::slice::from_ref(row), &[]).await;
                    results.push(one.and_then(|mut one| {
                        one.pop().ok_or(Unstored::Failed(whoelse_store::Error::Closed))
                    }));
                }
                results
            }
            Err(failed) => vec![Err(failed)],
        }
    }

    async fn append(
        &mut self,
        node: &Arc<Node>,
        rows: &[NewMessage],
        cursors: &[(i64, i64)],
    ) -> Result<Vec<Appended>, Unstored> {
        let begun = node.clock.steady();
        let mut tries = 0;
        let committed = loop {
            tries += 1;
            let mut tx = match self.away.begin(node, &self.store).await {
                Ok(tx) => tx,
                Err(error) => break Err(error),
            };
            let mut appended = Vec::new();
            let committed = async {
                appended = tx.append(rows).await?;
                tx.advance_cursors(cursors).await?;
                tx.commit().await
            };
            match committed.await {
                Ok(()) => break Ok(appended),
                Err(whoelse_store::Error::Undecided(undecided)) => {
                    match self.decide(node, undecided).await {
                        Some(true) => break Ok(appended),
                        Some(false) if tries < TRIES => {}
                        Some(false) => break Err(whoelse_store::Error::lost()),
                        None => return Err(Unstored::Unknown),
                    }
                }
                Err(error) if error.is_lost() && tries < TRIES => {
                    if let Err(error) = self.away.wait(node, error).await {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let counters = &node.counters;
        match &committed {
            Ok(_) => {
                node.store_works();
                counters.batch.size(rows.len());
                counters.commit.time(node.clock.steady().since(begun));
                if !cursors.is_empty() {
                    node.keeper.saved(cursors);
                    self.flush_at = node.clock.steady().after(CURSORS);
                }
            }
            Err(_) => counters.commits_failed.inc(),
        }
        Ok(committed?)
    }

    async fn decide(&mut self, node: &Arc<Node>, undecided: Undecided) -> Option<bool> {
        let refuse = |append: Box<Append>| {
            let refused = Err(Unstored::Failed(whoelse_store::Error::lost()));
            finish_append(node, *append, Some(refused));
        };
        self.away.decide(node, &self.store, undecided, &mut self.posted, refuse).await
    }

    async fn change(&mut self, node: &Arc<Node>, mut command: Box<dyn Command>) {
        let committed = match self.away.begin(node, &self.store).await {
            Ok(mut tx) => match command.run(&mut tx).await {
                Ok(()) => tx.commit().await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let committed = match committed {
            Err(whoelse_store::Error::Undecided(undecided)) => {
                match self.decide(node, undecided).await {
                    Some(true) => Ok(()),
                    Some(false) | None => Err(whoelse_store::Error::lost()),
                }
            }
            committed => committed,
        };
        match &committed {
            Ok(()) => node.store_works(),
            // The change itself says no, and whoever wished for it is told.
            Err(
                error @ (whoelse_store::Error::NoSuchDomain(_)
                | whoelse_store::Error::DomainExists(_)),
            ) => tracing::debug!(%error, "change_refused"),
            Err(error) => {
                node.counters.commits_failed.inc();
                node.store_failing("change_refused", None, error);
            }
        }
        command.finish(node, committed);
    }

    async fn save_cursors(&mut self, node: &Node) {
        self.flush_at = node.clock.steady().after(CURSORS);
        let cursors = node.keeper.dirty();
        if cursors.is_empty() || !self.away.may_be_tried(node.clock.steady()) {
            return;
        }
        let forget = node.keeper.passing.swap(false, Ordering::AcqRel);
        let saved = async {
            let mut tx = self.store.begin().await?;
            tx.advance_cursors(&cursors).await?;
            if node.settings().history.is_none() {
                for (archive, seq) in &cursors {
                    tx.drop_confirmed(*archive, *seq).await?;
                }
            }
            let mut left = false;
            if forget {
                for (archive, seq) in &cursors {
                    tx.drop_passed(*archive, *seq).await?;
                }
                left = tx.is_anything_passing().await?;
            }
            tx.commit().await.map(|()| left)
        };
        let saved = saved.await;
        if !matches!(saved, Ok(false)) {
            node.keeper.passing.fetch_or(forget, Ordering::AcqRel);
        }
        match saved {
            Ok(_) => node.keeper.saved(&cursors),
            // They are saved again, which does no harm if they were.
            Err(error) => {
                node.store_failing("cursors_not_saved", None, &error);
                self.away.put_off(node.clock.steady());
            }
        }
    }
}

fn finish_append(node: &Arc<Node>, append: Append, result: Option<Result<Appended, Unstored>>) {
    if let Some(bytes) = append.reserved {
        append.recipient.note_undelivered(|waiting| {
            waiting.coming = waiting.coming.saturating_sub(1);
            waiting.coming_bytes = waiting.coming_bytes.saturating_sub(bytes);
        });
    }
    let answer = match result {
        Some(Ok(Appended::Stored { first, second })) => {
            node.keeper.passing.fetch_or(append.passing, Ordering::AcqRel);
            node.counters.messages.kept.inc();
            Answer::Taken(delivery::deliver_kept(node, &append, first, second))
        }
        Some(Ok(Appended::Repeat)) => {
            node.counters.messages.repeated.inc();
            Answer::Dropped
        }
        // The account was removed meanwhile: as if there had been none.
        Some(Ok(Appended::Gone)) => {
            Answer::Refused(StanzaError::new(Condition::ServiceUnavailable))
        }
        Some(Err(Unstored::Unknown)) => return,
        Some(Err(Unstored::Failed(error))) => {
            node.store_failing("message_not_stored", Some(append.recipient.jid()), &error);
            Answer::Refused(
                StanzaError::new(Condition::ResourceConstraint)
                    .with_text("the server cannot store messages right now, try again later"),
            )
        }
        None => Answer::Dropped,
    };
    append.recipient.arriving.finish();
    append.origin.discharge(append.stanza.bytes.len());
    route::answered(node, append.origin, append.flight, answer);
}
