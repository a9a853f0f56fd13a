//! Fault injection for tests: a store that is slow, or fails, when it is told to.
//!
//! It exists only with the Cargo feature `faults`, which only tests turn on. An injected fault
//! refuses as a full disk does: at the beginning of a transaction, at any statement in it, at its
//! commit, or at a query. Nothing of a refused transaction has happened.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Error, Result, Store};

/// Where a fault can occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A transaction begins.
    Begin,
    /// A statement in it.
    Statement,
    /// It is committed.
    Commit,
    /// A query outside of a transaction.
    Question,
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It takes this long. A statement itself is not delayed; its transaction is, at both ends.
    Slow(Duration),
    /// It fails with [`Error::Full`].
    Fails,
}

type Plan = Box<dyn FnMut(Step) -> Fault + Send>;

/// The plan that a store consults before each step.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Held for one question, never across an await.
    plan: Arc<Mutex<Option<Plan>>>,
}

impl Faults {
    /// Applies the fault planned for a step that can wait.
    pub async fn meet(&self, step: Step) -> Result<()> {
        match self.ask(step) {
            Fault::None => Ok(()),
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Fault::Fails => Err(refusal()),
        }
    }

    /// Applies the fault planned for a step that cannot wait.
    pub fn meet_now(&self, step: Step) -> Result<()> {
        match self.ask(step) {
            Fault::None | Fault::Slow(_) => Ok(()),
            Fault::Fails => Err(refusal()),
        }
    }

    fn ask(&self, step: Step) -> Fault {
        let mut plan = self.plan.lock();
        plan.as_mut().map_or(Fault::None, |plan| plan(step))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

fn refusal() -> Error {
    let cause = io::Error::new(io::ErrorKind::StorageFull, "a fault, by order of a test");
    Error::Full(sqlx::Error::Io(cause).into())
}

impl Store {
    /// Consults this plan before each step from now on, for all handles of this store.
    pub fn set_faults(&self, plan: impl FnMut(Step) -> Fault + Send + 'static) {
        let faults = self.faults();
        *faults.plan.lock() = Some(Box::new(plan));
    }

    /// Removes the plan: no more faults are injected.
    pub fn clear_faults(&self) {
        *self.faults().plan.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{account, fresh};

    #[tokio::test]
    async fn what_is_refused_has_not_happened_and_the_next_is_served() {
        for bad in [Step::Begin, Step::Statement, Step::Commit] {
            let (_dir, store) = fresh().await;
            let mut tx = store.begin().await.unwrap();
            account(&mut tx, "bob").await;
            tx.commit().await.unwrap();
            let rename = async || {
                let mut tx = store.begin().await?;
                tx.block(1, &["eve@#1"]).await?;
                tx.commit().await
            };

            let mut once = Some(bad);
            store.set_faults(move |step| match once.take_if(|bad| *bad == step) {
                Some(_) => Fault::Fails,
                None => Fault::None,
            });

            assert!(rename().await.unwrap_err().is_full(), "{bad:?}");
            assert!(store.begin().await.unwrap().blocks(1).await.unwrap().is_empty());
            rename().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_question_fails_until_the_faults_are_over() {
        let (_dir, store) = fresh().await;

        store.set_faults(|step| match step {
            Step::Question => Fault::Fails,
            _ => Fault::Slow(Duration::from_micros(1)),
        });
        assert!(store.domains().await.unwrap_err().is_full());
        store.clear_faults();

        assert!(store.domains().await.unwrap().is_empty());
    }
}
