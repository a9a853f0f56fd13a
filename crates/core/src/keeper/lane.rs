//! The lane: the one write queue. It takes what is posted and commits it in groups; the
//! [`Finisher`] delivers a group while the next one is committed. The lane knows rows; only whoever
//! posts them knows what they are about.
//!
//! Only groups of messages overlap with deliveries. A change reads what is in memory, and what
//! follows it swaps that; so after a change that something follows, nothing begins before the
//! finisher is past it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use whoelse_store::{Appended, Direction, Error, NewMessage, Store, Undecided};

use super::away::{Away, Posted};
use super::change::Command;
use super::cursors::{CURSORS, Moved, ToDelete, pairs};
use super::finisher::{Finish, Finisher};
use super::stamps::Stamps;
use super::{Keeper, Post, Then, Unstored, Work};
use crate::clock::Steady;
use crate::node::Node;

/// The most messages in one commit: past this, a longer transaction gains nothing and delays
/// everybody.
pub(super) const GROUP: usize = 256;
/// How often a transaction is begun again after its connection was lost: after the third time, its
/// content is taken for the cause.
const TRIES: usize = 3;
/// A change that takes longer is logged, with the rows that it may touch.
const SLOW: Duration = Duration::from_secs(1);

impl Keeper {
    /// The lane's task.
    pub(super) async fn run(
        node: Weak<Node>,
        store: Store,
        receive: mpsc::Receiver<Work>,
        last_stamp: Option<i64>,
        passing: HashSet<i64>,
    ) {
        let mut lane = Lane {
            store,
            stamps: Stamps::after(last_stamp),
            passing,
            to_delete: ToDelete::default(),
            away: Away::default(),
            posted: Posted::new(receive),
            finisher: Finisher::start(node.clone()),
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
                () = node.keeper.cursors_due(
                    &node.clock,
                    lane.flush_at,
                    !lane.to_delete.is_empty(),
                ) => {
                    lane.save_cursors(&node).await;
                    lane.store_left_behind(&node).await;
                    continue;
                }
                () = node.keeper.stop.notified(), if !stopping => {
                    stopping = true;
                    continue;
                }
            };
            let Some(work) = work else {
                // What follows the last change may submit another one.
                lane.finisher.caught_up().await;
                if let Some(submitted) = node.keeper.take_submitted() {
                    lane.posted.add(submitted);
                    continue;
                }
                node.keeper.tell_dropped(&node);
                // This is the last try, whatever came of the one before.
                lane.away = Away::default();
                lane.store_all_left_behind(&node).await;
                while lane.save_cursors(&node).await {}
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
            if !group.is_empty() {
                lane.commit_group(&node, group).await;
            }
            if let Some(command) = alone {
                let changes = lane.and_companions(command);
                lane.changes(&node, changes).await;
            }
            node.keeper.tell_dropped(&node);
            // Cursors must not wait for ever for a lane that is always busy.
            if node.clock.steady() >= lane.flush_at {
                lane.save_cursors(&node).await;
                lane.store_left_behind(&node).await;
            }
        }
    }
}

pub(super) enum Grouped {
    Post(Box<dyn Post>),
    Ride(Then),
}

/// Adds to the group what can share a transaction; returns the first command that cannot.
fn sort(group: &mut Vec<Grouped>, work: Work) -> Option<Box<dyn Command>> {
    match work {
        Work::Post(post) => group.push(Grouped::Post(post)),
        Work::Ride(ride) => group.push(Grouped::Ride(ride)),
        Work::Change(command) => return Some(command),
    }
    None
}

/// Gives each message of a group its outcome, in order. One without an outcome is refused: its
/// sender hears of it, and what is reserved for it is released.
fn finishes(group: Vec<Grouped>, outcomes: Vec<Result<Appended, Unstored>>) -> Vec<Finish> {
    let mut outcomes = outcomes.into_iter();
    let finish = |item| match item {
        Grouped::Ride(ride) => Finish::Ride(ride),
        Grouped::Post(post) => {
            let outcome = outcomes.next().unwrap_or_else(|| Err(Error::Closed.into()));
            Finish::Post(post, outcome)
        }
    };
    group.into_iter().map(finish).collect()
}

/// The state of the lane's task.
pub(super) struct Lane {
    pub(super) store: Store,
    stamps: Stamps,
    /// The archives that hold messages that are deleted once they are delivered.
    pub(super) passing: HashSet<i64>,
    pub(super) to_delete: ToDelete,
    pub(super) away: Away,
    pub(super) posted: Posted,
    pub(super) finisher: Finisher,
    /// When to save cursors, if there are any to save.
    pub(super) flush_at: Steady,
}

impl Lane {
    pub(super) async fn commit_group(&mut self, node: &Arc<Node>, mut group: Vec<Grouped>) {
        let mut rows = Vec::with_capacity(group.len());
        for item in &mut group {
            if let Grouped::Post(post) = item {
                let (at, kept_at) = (self.stamps.next(node.clock.now().told()), node.even_time());
                let message = post.rows(at);
                rows.push(NewMessage { at: at.0, kept_at: kept_at.0, ..message });
            }
        }
        let outcomes = self.append_all(node, &rows).await;
        let stored = rows.iter().zip(&outcomes);
        let stored = stored.filter(|(_, outcome)| matches!(outcome, Ok(Appended::Stored { .. })));
        let stored = stored.map(|(message, _)| message);
        for message in stored.clone() {
            if message.first.direction == Direction::Passing {
                self.passing.insert(message.first.archive);
            }
        }
        node.growth.note(stored.flat_map(NewMessage::sizes), &node.settings().limits);
        self.finisher.hand(finishes(group, outcomes)).await;
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
        let due = node.settings().history.is_some() && node.clock.steady() >= self.flush_at;
        let mut cursors = if due { node.keeper.moved() } else { Vec::new() };
        // If confirmed messages have to be deleted, the cursors take a transaction of their own.
        if cursors.iter().any(|moved| self.passing.contains(&moved.archive)) {
            cursors.clear();
        }
        match self.append(node, rows, &cursors).await {
            Ok(results) => results.into_iter().map(Ok).collect(),
            Err(Unstored::Unknown) => rows.iter().map(|_| Err(Unstored::Unknown)).collect(),
            Err(Unstored::Failed(error)) if rows.len() > 1 => {
                node.store_failing("group_refused", None, &error);
                self.append_each(node, rows).await
            }
            Err(failed) => vec![Err(failed)],
        }
    }

    /// Appends each message in a transaction of its own, since one bad row must not take the others
    /// with it. A full disk refuses the first one alone as well; then it refuses all, and no other
    /// is tried, because each try may fold the journal before it fails.
    async fn append_each(
        &mut self,
        node: &Arc<Node>,
        rows: &[NewMessage],
    ) -> Vec<Result<Appended, Unstored>> {
        let mut results = Vec::with_capacity(rows.len());
        for row in rows {
            let one = self.append(node, std::slice::from_ref(row), &[]).await;
            let one = one.and_then(|mut one| one.pop().ok_or_else(|| Error::Closed.into()));
            let is_full = matches!(&one, Err(Unstored::Failed(error)) if error.is_full());
            if results.is_empty() && is_full {
                return vec![one; rows.len()];
            }
            results.push(one);
            // The keeper is not stuck, though it finishes nothing before the last of them.
            node.keeper.note_round();
        }
        results
    }

    async fn append(
        &mut self,
        node: &Arc<Node>,
        rows: &[NewMessage],
        cursors: &[Moved],
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
                tx.advance_cursors(&pairs(cursors)).await?;
                tx.commit().await
            };
            match committed.await {
                Ok(()) => break Ok(appended),
                Err(Error::Undecided(undecided)) => match self.decide(node, undecided).await {
                    Some(true) => break Ok(appended),
                    Some(false) if tries < TRIES => {}
                    Some(false) => break Err(Error::lost()),
                    None => return Err(Unstored::Unknown),
                },
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
                node.lasting.store_works();
                counters.batch.size(rows.len());
                counters.commit.time(node.clock.steady().since(begun));
                if !cursors.is_empty() {
                    let now = node.clock.steady();
                    let is_more = node.keeper.saved(cursors);
                    self.flush_at = if is_more { now } else { now.after(CURSORS) };
                }
            }
            Err(_) => counters.commits_failed.inc(),
        }
        Ok(committed?)
    }

    pub(super) async fn decide(&mut self, node: &Arc<Node>, undecided: Undecided) -> Option<bool> {
        let Lane { away, store, posted, finisher, .. } = self;
        away.decide(node, store, undecided, posted, finisher).await
    }

    /// Makes one change in a transaction of its own.
    pub(super) async fn change(&mut self, node: &Arc<Node>, mut change: Box<dyn Command>) {
        let begun = node.clock.steady();
        let committed = match self.away.begin(node, &self.store).await {
            Ok(mut tx) => match change.run(&mut tx).await {
                Ok(()) => tx.commit().await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let committed = match committed {
            Err(Error::Undecided(undecided)) => match self.decide(node, undecided).await {
                Some(true) => Ok(()),
                Some(false) | None => Err(Error::lost()),
            },
            committed => committed,
        };
        self.made(node, begun, vec![(change, committed)]).await;
    }

    /// Hands on changes that one commit has made, or that were refused.
    pub(super) async fn made(
        &mut self,
        node: &Arc<Node>,
        begun: Steady,
        made: Vec<(Box<dyn Command>, Result<(), Error>)>,
    ) {
        let took = node.clock.steady().since(begun);
        if took > SLOW {
            // Everybody has waited for these changes.
            let rows: Vec<_> = made.iter().map(|(it, _)| it.touches().to_string()).collect();
            let (rows, milliseconds) = (rows.join(", "), took.as_millis());
            tracing::info!(%rows, milliseconds, "change_took_long");
        }
        let mut is_followed = false;
        let mut finishes = Vec::with_capacity(made.len());
        for (change, committed) in made {
            match &committed {
                Ok(()) => node.lasting.store_works(),
                // The change itself refused, and its caller is told.
                Err(error @ (Error::NoSuchDomain(_) | Error::DomainExists(_) | Error::Gone(_))) => {
                    tracing::debug!(%error, "change_refused");
                }
                Err(error) => {
                    node.counters.commits_failed.inc();
                    node.store_failing("change_refused", None, error);
                }
            }
            is_followed |= committed.is_ok() && change.is_followed();
            finishes.push(Finish::Change(change, committed));
        }
        self.finisher.hand(finishes).await;
        if is_followed {
            self.finisher.caught_up().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    struct Nothing;

    impl Post for Nothing {
        fn rows(&mut self, _: Time) -> NewMessage {
            NewMessage::default()
        }

        fn finish(self: Box<Self>, _: &Arc<Node>, _: Result<Appended, Unstored>) {}
    }

    #[test]
    fn whatever_the_store_answers_everything_of_a_group_is_finished_in_its_order() {
        let post = || Grouped::Post(Box::new(Nothing));
        let group = vec![post(), Grouped::Ride(Box::new(|_| {})), post(), post()];

        let finishes = finishes(group, vec![Ok(Appended::Gone), Ok(Appended::Repeat)]);

        assert!(matches!(
            &finishes[..],
            [
                Finish::Post(_, Ok(Appended::Gone)),
                Finish::Ride(_),
                Finish::Post(_, Ok(Appended::Repeat)),
                Finish::Post(_, Err(Unstored::Failed(error))),
            ] if matches!(**error, Error::Closed)
        ));
    }
}
