//! A database that cannot be reached: how long the keeper waits for it, and what it refuses
//! meanwhile. With SQLite nothing here ever waits.
//!
//! PostgreSQL may be restarted under a running server. Posted work then waits [`PATIENCE`], which
//! is enough for a restart. After that it is refused at once, except for one try a second, until
//! the database is back. If the commit of a transaction was not answered, the transaction is
//! neither acknowledged nor tried again until the database says what became of it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use whoelse_store::{Error, Store, Tx, Undecided};

use super::Work;
use super::finisher::{Finish, Finisher};
use crate::clock::Steady;
use crate::node::Node;

/// How long posted work waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the keeper tries the database within that time.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the keeper tries the database after that time.
const RARELY: Duration = Duration::from_secs(1);
/// The most work put aside while a commit is undecided; past it, whoever posts waits.
const ASIDE: usize = 4096;

/// Whether the database can be reached.
#[derive(Default)]
pub(super) struct Away {
    /// Since when it cannot be reached.
    since: Option<Steady>,
    /// When it may be tried next, after patience has run out.
    next_try: Steady,
}

impl Away {
    /// Begins a transaction, waiting for the database up to [`PATIENCE`].
    pub async fn begin(&mut self, node: &Node, store: &Store) -> Result<Tx, Error> {
        loop {
            let now = node.clock.steady();
            if self.is_given_up(now) && now < self.next_try {
                return Err(Error::lost());
            }
            match store.begin().await {
                Err(error) if error.is_lost() => self.wait(node, error).await?,
                begun => {
                    if begun.is_ok() && self.since.take().is_some() {
                        node.works(crate::lasting::DATABASE_LOST);
                    }
                    return begun;
                }
            }
        }
    }

    /// Notes that the database was not there: waits a moment, or returns the error when it is too
    /// late.
    pub async fn wait(&mut self, node: &Node, error: Error) -> Result<(), Error> {
        let now = node.clock.steady();
        node.store_failing("keeper", None, &error);
        self.since.get_or_insert(now);
        if self.is_given_up(now) {
            self.next_try = now.after(RARELY);
            return Err(error);
        }
        // The keeper waits for the database; it is not stuck.
        node.keeper.note_round();
        node.clock.sleep(PAUSE).await;
        Ok(())
    }

    /// Whether work that can wait should be tried now.
    pub fn may_be_tried(&self, now: Steady) -> bool {
        now >= self.next_try
    }

    /// Notes that work that can wait has failed; it is tried again later.
    pub fn put_off(&mut self, now: Steady) {
        self.next_try = now.after(RARELY);
    }

    fn is_given_up(&self, now: Steady) -> bool {
        self.since.is_some_and(|since| now >= since.after(PATIENCE))
    }

    /// Finds out what became of a transaction, however long it takes; `None` if the server stops
    /// before that is known.
    ///
    /// Messages that are posted meanwhile are refused once patience has run out. All other work is
    /// put aside, since it must run after what is undecided.
    pub(super) async fn decide(
        &mut self,
        node: &Node,
        store: &Store,
        undecided: Undecided,
        posted: &mut Posted,
        finisher: &mut Finisher,
    ) -> Option<bool> {
        loop {
            // A finisher that is stuck must be seen to be, though the keeper waits for the database.
            finisher.caught_up().await;
            match store.decide(undecided).await {
                Ok(committed) => {
                    tracing::info!(committed, "commit_decided");
                    self.since = None;
                    return Some(committed);
                }
                // The server is stopping.
                Err(Error::Closed) => return None,
                Err(error @ Error::Taken) => {
                    tracing::error!(%error, "commit_undecided");
                    return None;
                }
                Err(error) => {
                    node.store_failing("keeper", None, &error);
                    self.since.get_or_insert(node.clock.steady());
                }
            }
            node.keeper.note_round();
            if self.is_given_up(node.clock.steady()) {
                finisher.hand(posted.refuse_messages()).await;
            }
            tokio::select! {
                () = node.clock.sleep(PAUSE) => {}
                () = node.keeper.stop.notified() => {
                    // The keeper's own loop has to hear of it as well.
                    node.keeper.stop.notify_one();
                    return None;
                }
            }
        }
    }
}

/// The incoming work: first what was put aside, then what comes.
pub(super) struct Posted {
    aside: VecDeque<Work>,
    receive: mpsc::Receiver<Work>,
}

impl Posted {
    pub fn new(receive: mpsc::Receiver<Work>) -> Posted {
        Posted { aside: VecDeque::new(), receive }
    }

    /// Returns the next command, or `None` when no more will come.
    pub async fn next(&mut self) -> Option<Work> {
        match self.aside.pop_front() {
            Some(work) => Some(work),
            None => self.receive.recv().await,
        }
    }

    /// Returns the next command, if there is one already.
    pub fn try_next(&mut self) -> Option<Work> {
        self.aside.pop_front().or_else(|| self.receive.try_recv().ok())
    }

    /// Gives back what was taken last.
    pub fn put_back(&mut self, work: Work) {
        self.aside.push_front(work);
    }

    /// Adds what comes after everything that was put aside.
    pub fn add(&mut self, more: VecDeque<Work>) {
        self.aside.extend(more);
    }

    /// Takes nothing more from now on.
    pub fn close(&mut self) {
        self.receive.close();
    }

    /// Takes the messages out of what is posted, to be refused; keeps the rest, in order.
    fn refuse_messages(&mut self) -> Vec<Finish> {
        let mut refused = Vec::new();
        let mut sort = |work| match work {
            Work::Post(post) => {
                refused.push(Finish::Post(post, Err(Error::lost().into())));
                None
            }
            other => Some(other),
        };
        let aside = std::mem::take(&mut self.aside);
        self.aside.extend(aside.into_iter().filter_map(&mut sort));
        while self.aside.len() < ASIDE {
            let Ok(work) = self.receive.try_recv() else { break };
            self.aside.extend(sort(work));
        }
        refused
    }
}
