//! A change as it travels to the keeper: what to do in the transaction, what follows from the
//! commit, and who waits to hear of it.

use std::sync::Arc;

use tokio::sync::oneshot;
use whoelse_store::{Error, Tx};

use super::After;
use crate::kit::BoxFuture;
use crate::node::Node;

/// A change of some type, on the keeper's lane.
pub(crate) trait Command: Send {
    /// Does it in the transaction.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>>;

    /// It is committed, or could not be: runs what follows, and tells whoever waits.
    fn finish(self: Box<Self>, node: &Arc<Node>, committed: Result<(), Error>);
}

/// A change that gives a `T`.
pub(super) struct Change<T, F> {
    /// Taken when it is run.
    what: Option<F>,
    /// What it gave, until the commit.
    done: Option<(T, After)>,
    answer: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Change<T, F> {
    pub fn new(what: F) -> (Change<T, F>, oneshot::Receiver<Result<T, Error>>) {
        let (answer, answered) = oneshot::channel();
        (Change { what: Some(what), done: None, answer }, answered)
    }
}

impl<T, F> Command for Change<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<(T, After), Error>> + Send + 'static,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if let Some(what) = self.what.take() {
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
        // Nobody may be waiting any more, and it is done all the same.
        let _ = self.answer.send(answer);
    }
}
