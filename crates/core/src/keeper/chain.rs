//! A change that concerns more than one account: a chain of commands, each of which knows one
//! account and what it was told. A command may return the next one. All of them run in one
//! transaction, so a crash leaves either all of it or nothing. What follows the commit runs
//! together for all.

use whoelse_store::{Error, Tx};

use super::{After, Then};
use crate::boxed_future::BoxFuture;

/// A command that another one leads to.
pub(crate) trait Chained: Send {
    /// Runs it in the transaction.
    fn run<'a>(self: Box<Self>, tx: &'a mut Tx) -> BoxFuture<'a, Result<Done, Error>>;
}

/// What is still to be done after a command.
#[derive(Default)]
pub(crate) struct Done {
    /// The next command.
    pub next: Option<Box<dyn Chained>>,
    /// What to do first after the commit: swap snapshots.
    pub swap: After,
    /// What to do after all commands' snapshots are swapped: tell devices.
    pub tell: After,
    /// What to do after all commands' devices are told: show presence or take it away.
    pub show: After,
}

impl Done {
    /// Runs the commands that this one leads to. Returns what is to be done after all of them.
    pub async fn finish(mut self, tx: &mut Tx) -> Result<After, Error> {
        while let Some(next) = self.next.take() {
            let done = next.run(tx).await?;
            self.next = done.next;
            self.swap.extend(done.swap);
            self.tell.extend(done.tell);
            self.show.extend(done.show);
        }
        let stages = [self.swap, self.tell, self.show];
        Ok(stages.into_iter().flatten().collect::<Vec<Then>>())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use whoelse_store::{Location, Store};

    /// Writes a setting named after its depth, then leads to the next until there is none.
    struct Counts(u8);

    impl Chained for Counts {
        fn run<'a>(self: Box<Self>, tx: &'a mut Tx) -> BoxFuture<'a, Result<Done, Error>> {
            Box::pin(async move {
                tx.set_setting(&format!("step.{}", self.0), &[self.0]).await?;
                let then = || -> After { vec![Box::new(|_| {})] };
                let next = (self.0 < 3).then(|| Box::new(Counts(self.0 + 1)) as Box<dyn Chained>);
                Ok(Done { next, swap: then(), tell: then(), show: then() })
            })
        }
    }

    #[tokio::test]
    async fn every_command_is_in_the_transaction_of_the_first() {
        let store = Store::open(&Location::Memory).await.unwrap();
        for commits in [false, true] {
            let mut tx = store.begin().await.unwrap();
            let done = Box::new(Counts(1)).run(&mut tx).await.unwrap();
            let after = done.finish(&mut tx).await.unwrap();
            assert_eq!(after.len(), 9);
            if commits {
                tx.commit().await.unwrap();
            } else {
                drop(tx);
            }
            for step in 1..=3_u8 {
                let written = store.setting(&format!("step.{step}")).await.unwrap();
                assert_eq!(written, commits.then(|| vec![step]), "{step}");
            }
        }
    }
}
