//! A change on its way to the keeper: what to do in the transaction, what follows from the commit,
//! and who waits for the result.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;
use whoelse_store::{Error, Tx};

use super::After;
use crate::boxed_future::BoxFuture;
use crate::node::Node;

/// How many rows a change may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touches {
    /// A fixed number of rows, however much there is.
    AtMost(u64),
    /// As many rows as the server has of something. Everybody waits for it, so this is for what ends
    /// every session anyway.
    All,
}

impl fmt::Display for Touches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Touches::AtMost(most) => write!(f, "at most {most}"),
            Touches::All => f.write_str("all"),
        }
    }
}

/// A change of some type, on the keeper's lane.
pub(crate) trait Command: Send {
    /// How many rows it may touch.
    fn touches(&self) -> Touches;

    /// Whether it may share its commit with others: it is run again if that commit fails.
    fn can_share(&self) -> bool;

    /// Whether something follows it, which changes what is in memory. Known when it has run.
    fn is_followed(&self) -> bool;

    /// Runs it in the transaction. More than once only if it can share its commit.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>>;

    /// Runs after the commit or its failure: does what follows, and tells the caller.
    fn finish(self: Box<Self>, node: &Arc<Node>, committed: Result<(), Error>);
}

/// A change that gives a `T`.
pub(super) struct Change<T, F> {
    touches: Touches,
    /// What to do; taken when it runs, unless it can run again.
    what: Option<F>,
    /// Makes another of it to run, if it may be run more than once.
    again: Option<fn(&F) -> F>,
    /// The value that it returned, until the commit.
    done: Option<(T, After)>,
    answer: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Change<T, F> {
    pub fn new(touches: Touches, what: F) -> (Change<T, F>, oneshot::Receiver<Result<T, Error>>) {
        let (answer, answered) = oneshot::channel();
        (Change { touches, what: Some(what), again: None, done: None, answer }, answered)
    }

    /// A change that may share its commit with others.
    pub fn sharing(touches: Touches, what: F) -> (Change<T, F>, oneshot::Receiver<Result<T, Error>>)
    where
        F: Clone,
    {
        let (change, answered) = Change::new(touches, what);
        (Change { again: Some(F::clone), ..change }, answered)
    }
}

impl<T, F> Command for Change<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<(T, After), Error>> + Send + 'static,
{
    fn touches(&self) -> Touches {
        self.touches
    }

    fn can_share(&self) -> bool {
        self.again.is_some()
    }

    fn is_followed(&self) -> bool {
        self.done.as_ref().is_some_and(|(_, after)| !after.is_empty())
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.done = None;
            let what = match self.again {
                Some(again) => self.what.as_ref().map(again),
                None => self.what.take(),
            };
            if let Some(what) = what {
                self.done = Some(what(tx).await?);
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>, node: &Arc<Node>, committed: Result<(), Error>) {
        let answer = match (committed, self.done) {
            (Ok(()), Some((value, after))) => {
                after.into_iter().for_each(|then| then(node));
                Ok(value)
            }
            (Ok(()), None) => Err(Error::Closed),
            (Err(error), _) => Err(error),
        };
        // Nobody may be waiting any more; the change is made all the same.
        let _ = self.answer.send(answer);
    }
}
