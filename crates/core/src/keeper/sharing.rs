//! Small changes that wait together share one commit.
//!
//! Each is a part of the transaction, so one that fails is undone alone. If the whole transaction
//! fails, each is tried in one of its own, as messages are. Callers are answered after the commit.
//!
//! A change that something follows is the last in its commit: what follows it swaps what is in
//! memory, and the next change reads that.

use std::collections::VecDeque;
use std::sync::Arc;

use whoelse_store::{Error, Tx};

use super::Work;
use super::change::{Command, Touches};
use super::lane::Lane;
use crate::node::Node;

/// The most changes in one commit.
const CHANGES: usize = 64;
/// The most rows that they may touch in sum: as many as a group of messages writes.
const ROWS: u64 = 256;

type Boxed = Box<dyn Command>;

impl Lane {
    /// Takes the changes that wait right behind this one and can share its commit.
    pub(super) fn and_companions(&mut self, first: Boxed) -> VecDeque<Boxed> {
        let mut rows = rows_to_share(&*first);
        let mut together = VecDeque::from([first]);
        while rows <= ROWS && together.len() < CHANGES {
            match self.posted.try_next() {
                Some(Work::Change(next)) if rows.saturating_add(rows_to_share(&*next)) <= ROWS => {
                    rows += rows_to_share(&*next);
                    together.push_back(next);
                }
                Some(other) => {
                    self.posted.put_back(other);
                    break;
                }
                None => break,
            }
        }
        together
    }

    /// Makes these changes, in order, in as few commits as possible.
    pub(super) async fn changes(&mut self, node: &Arc<Node>, mut waiting: VecDeque<Boxed>) {
        while waiting.len() > 1 {
            self.share(node, &mut waiting).await;
        }
        if let Some(last) = waiting.pop_front() {
            self.change(node, last).await;
        }
    }

    /// Makes the first of these changes in one commit: all, or those up to one that something
    /// follows.
    async fn share(&mut self, node: &Arc<Node>, waiting: &mut VecDeque<Boxed>) {
        let begun = node.clock.steady();
        let mut made = Vec::new();
        let mut committed = self.run_parts(node, waiting, &mut made).await;
        if let Err(Error::Undecided(undecided)) = committed {
            committed = match self.decide(node, undecided).await {
                Some(true) => Ok(()),
                Some(false) => Err(Error::lost()),
                None => {
                    // It is not known whether they are made, so they must not be tried again.
                    made.iter_mut().for_each(|(_, outcome)| *outcome = Err(Error::lost()));
                    Ok(())
                }
            };
        }
        match committed {
            Ok(()) => self.made(node, begun, made).await,
            Err(error) => {
                tracing::debug!(%error, changes = made.len(), "changes_tried_alone");
                // If it did not even begin, one of them hears why.
                let first = if made.is_empty() { waiting.pop_front() } else { None };
                for change in made.into_iter().map(|(change, _)| change).chain(first) {
                    self.change(node, change).await;
                }
            }
        }
    }

    /// Runs changes in one transaction and commits it. Each one that was begun is in `made` then,
    /// with its result.
    async fn run_parts(
        &mut self,
        node: &Node,
        waiting: &mut VecDeque<Boxed>,
        made: &mut Vec<(Boxed, Result<(), Error>)>,
    ) -> Result<(), Error> {
        let mut tx = self.away.begin(node, &self.store).await?;
        while let Some(mut change) = waiting.pop_front() {
            let (outcome, goes_on) = match run_part(&mut tx, &mut *change).await {
                Ok(outcome) => (outcome, Ok(())),
                Err(error) => (Ok(()), Err(error)),
            };
            let is_last = change.is_followed();
            made.push((change, outcome));
            goes_on?;
            if is_last {
                break;
            }
        }
        tx.commit().await
    }
}

/// The rows that a change may touch; more than there may be if it cannot share its commit.
fn rows_to_share(change: &dyn Command) -> u64 {
    match change.touches() {
        Touches::AtMost(rows) if change.can_share() => rows,
        Touches::AtMost(_) | Touches::All => u64::MAX,
    }
}

/// Runs a change as a part of a transaction. The inner error is the change's own; the outer one says
/// that the transaction cannot go on.
async fn run_part(tx: &mut Tx, change: &mut dyn Command) -> Result<Result<(), Error>, Error> {
    tx.begin_part().await?;
    let outcome = change.run(tx).await;
    match outcome {
        Ok(()) => tx.keep_part().await?,
        Err(_) => tx.undo_part().await?,
    }
    Ok(outcome)
}
