//! The finisher: the keeper's second task. It delivers what the lane has committed and answers
//! whoever posted it, in the lane's order, while the lane commits the next group.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};
use whoelse_store::{Appended, Error};

use super::change::Command;
use super::{Post, Then, Unstored};
use crate::node::Node;

/// The most groups that are committed and wait for the finisher. When so many wait, the lane
/// waits too, and what is posted meanwhile becomes one larger group. More would overlap nothing
/// more: one group is delivered, one is committed, and one is ready for whichever is faster.
const AHEAD: usize = 1;

/// Something that the lane is done with.
pub(super) enum Finish {
    /// A message, stored or not.
    Post(Box<dyn Post>, Result<Appended, Unstored>),
    /// A passing stanza, or whatever else follows what was posted before it.
    Ride(Then),
    /// A change, committed or not.
    Change(Box<dyn Command>, Result<(), Error>),
}

impl Finish {
    fn run(self, node: &Arc<Node>) {
        match self {
            Finish::Post(post, outcome) => post.finish(node, outcome),
            Finish::Ride(then) => then(node),
            Finish::Change(command, committed) => command.finish(node, committed),
        }
    }
}

enum Handed {
    Group(Vec<Finish>),
    /// Answered when everything before it is finished.
    Mark(oneshot::Sender<()>),
}

/// The lane's end of the queue to the finisher.
pub(super) struct Finisher {
    hand: mpsc::Sender<Handed>,
    /// Whether something may not be finished yet.
    is_behind: bool,
}

impl Finisher {
    /// Starts the task. It ends when this is dropped, or with the node.
    pub fn start(node: Weak<Node>) -> Finisher {
        let (hand, handed) = mpsc::channel(AHEAD);
        super::spawn(run(node, handed));
        Finisher { hand, is_behind: false }
    }

    /// Hands over what is to be finished next; waits if [`AHEAD`] groups wait already.
    pub async fn hand(&mut self, group: Vec<Finish>) {
        if group.is_empty() {
            return;
        }
        self.is_behind = true;
        // This fails when the node is gone; then nobody is there to be told.
        let _ = self.hand.send(Handed::Group(group)).await;
    }

    /// Waits until everything that was handed over is finished.
    pub async fn caught_up(&mut self) {
        if !std::mem::take(&mut self.is_behind) {
            return;
        }
        let (answer, answered) = oneshot::channel();
        if self.hand.send(Handed::Mark(answer)).await.is_ok() {
            // This fails when the node is gone, as above.
            let _ = answered.await;
        }
    }
}

async fn run(node: Weak<Node>, mut handed: mpsc::Receiver<Handed>) {
    while let Some(next) = handed.recv().await {
        let Some(node) = node.upgrade() else { return };
        #[cfg(test)]
        node.keeper.gate.pass().await;
        match next {
            Handed::Group(group) => {
                let finished = group.len();
                group.into_iter().for_each(|it| it.run(&node));
                node.keeper.finished(finished);
            }
            Handed::Mark(answer) => {
                // Nobody waits if the lane has ended.
                let _ = answer.send(());
            }
        }
    }
}
