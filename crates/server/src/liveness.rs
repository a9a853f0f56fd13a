//! Whether the server really works: the keeper makes progress with what is posted, and every
//! acceptor still accepts connections. `/health` and systemd's watchdog ask it.
//!
//! A process that runs and does nothing is worse than one that has ended, because nobody restarts
//! it. So nothing here trusts a flag: each check asks for a sign that only working code can give,
//! and the next check sees whether it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use whoelse_core::Node;

use parking_lot::Mutex;

/// The parts of the server that must give signs of life.
pub struct Liveness {
    node: Arc<Node>,
    ask: watch::Sender<u64>,
    /// Everything that accepts connections, by name. Held for a look.
    acceptors: Mutex<Vec<(&'static str, Arc<AtomicU64>)>>,
}

/// The handle by which one acceptor gives its sign.
pub(crate) struct Beat {
    asked: watch::Receiver<u64>,
    answered: Arc<AtomicU64>,
}

/// One observer that checks repeatedly. All observers see what is stuck, each at its own pace.
pub struct Watch {
    liveness: Arc<Liveness>,
    asked: u64,
    /// The keeper's rounds at the last check, if something waited then.
    rounds: Option<u64>,
}

impl Liveness {
    pub(crate) fn new(node: Arc<Node>) -> Arc<Liveness> {
        Arc::new(Liveness { node, ask: watch::Sender::new(0), acceptors: Mutex::default() })
    }

    /// Registers an acceptor.
    pub(crate) fn beat(&self, name: &'static str) -> Beat {
        let answered = Arc::new(AtomicU64::new(*self.ask.borrow()));
        let mut acceptors = self.acceptors.lock();
        acceptors.push((name, answered.clone()));
        Beat { asked: self.ask.subscribe(), answered }
    }

    /// Begins to observe.
    pub fn watch(self: &Arc<Liveness>) -> Watch {
        let mut watch = Watch { liveness: self.clone(), asked: 0, rounds: None };
        // So that the first look has something to compare with.
        watch.look();
        watch
    }
}

impl Beat {
    /// Waits until a sign is asked for, and gives it. For a `select!` beside the accepting.
    pub(crate) async fn answer(&mut self) {
        if self.asked.changed().await.is_err() {
            // Nobody will ask again.
            std::future::pending::<()>().await;
        }
        let asked = *self.asked.borrow_and_update();
        self.answered.fetch_max(asked, Ordering::Relaxed);
    }
}

impl Watch {
    /// Returns the parts that have given no sign since the last call. Calls should be a second or
    /// more apart.
    pub fn look(&mut self) -> Vec<&'static str> {
        let liveness = &self.liveness;
        let mut stuck = Vec::new();
        let keeper = &liveness.node.keeper;
        let (waiting, rounds) = (keeper.waiting() > 0, keeper.rounds());
        if waiting && self.rounds == Some(rounds) {
            stuck.push("keeper");
        }
        // Gives the keeper something to do until the next call.
        keeper.nudge();
        self.rounds = Some(rounds);
        let acceptors = liveness.acceptors.lock();
        let silent = acceptors
            .iter()
            .filter(|(_, answered)| answered.load(Ordering::Relaxed) < self.asked)
            .map(|(name, _)| *name);
        stuck.extend(silent);
        stuck.dedup();
        drop(acceptors);
        liveness.ask.send_modify(|asked| *asked += 1);
        self.asked = *liveness.ask.borrow();
        stuck
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_core::keeper::Touches;

    use super::*;
    use whoelse_core::Clock;
    use whoelse_core::settings::Settings;
    use whoelse_store::{Location, Store};

    async fn liveness() -> Arc<Liveness> {
        let store = Store::open(&Location::Memory).await.unwrap();
        let node = Node::start(Settings::default(), Clock::system(), store, &[], None);
        Liveness::new(node.await.unwrap())
    }

    /// Lets every other task come to rest.
    async fn settle(liveness: &Liveness) {
        while liveness.node.keeper.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_works_is_not_stuck() {
        let liveness = liveness().await;
        let mut beat = liveness.beat("listen");
        tokio::spawn(async move {
            loop {
                beat.answer().await;
            }
        });
        let mut watch = liveness.watch();

        for _ in 0..3 {
            settle(&liveness).await;
            assert_eq!(watch.look(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn a_keeper_that_does_not_finish_is_stuck_until_it_does() {
        let liveness = liveness().await;
        let mut watch = liveness.watch();
        settle(&liveness).await;
        let go = Arc::new(tokio::sync::Notify::new());
        let wait = go.clone();
        liveness.node.keeper.submit(Touches::AtMost(0), move |_| {
            Box::pin(async move {
                wait.notified().await;
                Ok(((), Vec::new()))
            })
        });
        while liveness.node.keeper.waiting() == 0 {
            tokio::task::yield_now().await;
        }

        watch.look();
        assert_eq!(watch.look(), ["keeper"]);
        assert_eq!(watch.look(), ["keeper"]);

        go.notify_one();
        settle(&liveness).await;
        assert_eq!(watch.look(), [""; 0]);
    }

    #[tokio::test]
    async fn an_acceptor_that_does_not_answer_is_stuck() {
        let liveness = liveness().await;
        let mut beat = liveness.beat("listen");
        let mut watch = liveness.watch();
        settle(&liveness).await;

        assert_eq!(watch.look(), ["listen"]);

        beat.answer().await;
        settle(&liveness).await;
        assert_eq!(watch.look(), [""; 0]);
    }

    #[tokio::test]
    async fn an_acceptor_whose_task_is_gone_is_stuck() {
        let liveness = liveness().await;
        drop(liveness.beat("listen"));
        let mut watch = liveness.watch();
        settle(&liveness).await;

        assert_eq!(watch.look(), ["listen"]);
    }
}
