//! Bad weather for tests: a store that is slow, or fails, when it is told to.
//!
//! Only with the Cargo feature `faults`, which nothing but tests turns on. What fails here is
//! refused as a disk does it that is full: at the beginning of a transaction, at any statement in
//! it, at its commit, or at a question; nothing of a refused transaction has happened.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Error, Result, Store};

/// Where the weather is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A transaction begins.
    Begin,
    /// A statement in it.
    Statement,
    /// It is committed.
    Commit,
    /// A question is asked, outside of a transaction.
    Question,
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// It takes this long. A statement is not held up: its transaction is, at both ends.
    Slow(Duration),
    /// It fails with [`Error::Full`].
    Fails,
}

type Forecast = Box<dyn FnMut(Step) -> Weather + Send>;

/// What a store asks before each step.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Held for one question, never across an await.
    forecast: Arc<Mutex<Option<Forecast>>>,
}

impl Faults {
    /// Meets the weather of a step that can wait.
    pub async fn meet(&self, step: Step) -> Result<()> {
        match self.ask(step) {
            Weather::Fair => Ok(()),
            Weather::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Weather::Fails => Err(refusal()),
        }
    }

    /// Meets the weather of one that cannot.
    pub fn meet_now(&self, step: Step) -> Result<()> {
        match self.ask(step) {
            Weather::Fair | Weather::Slow(_) => Ok(()),
            Weather::Fails => Err(refusal()),
        }
    }

    fn ask(&self, step: Step) -> Weather {
        let mut forecast = self.forecast.lock().unwrap_or_else(PoisonError::into_inner);
        forecast.as_mut().map_or(Weather::Fair, |forecast| forecast(step))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

fn refusal() -> Error {
    let cause = io::Error::new(io::ErrorKind::StorageFull, "bad weather, by order of a test");
    Error::Full(sqlx::Error::Io(cause).into())
}

impl Store {
    /// Asks this before each step from now on, of all handles of this store.
    pub fn set_weather(&self, forecast: impl FnMut(Step) -> Weather + Send + 'static) {
        let faults = self.faults();
        *faults.forecast.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(forecast));
    }

    /// From now on nothing fails by order.
    pub fn clear_weather(&self) {
        *self.faults().forecast.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
                tx.block(1, "eve@#1").await?;
                tx.commit().await
            };

            let mut once = Some(bad);
            store.set_weather(move |step| match once.take_if(|bad| *bad == step) {
                Some(_) => Weather::Fails,
                None => Weather::Fair,
            });

            assert!(rename().await.unwrap_err().is_full(), "{bad:?}");
            assert!(store.begin().await.unwrap().blocks(1).await.unwrap().is_empty());
            rename().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_question_fails_until_the_weather_is_fair_again() {
        let (_dir, store) = fresh().await;

        store.set_weather(|step| match step {
            Step::Question => Weather::Fails,
            _ => Weather::Slow(Duration::from_micros(1)),
        });
        assert!(store.domains().await.unwrap_err().is_full());
        store.clear_weather();

        assert!(store.domains().await.unwrap().is_empty());
    }
}
