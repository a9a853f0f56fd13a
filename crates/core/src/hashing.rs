//! Where passwords are hashed: on threads of their own, and on no more of them at once than half of the
//! processors, so that a crowd that logs in leaves time to everybody else.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Those that may wait for a turn or have one; past it a login is told to try again later.
const PLACES: usize = 256;

/// Who may hash a password now.
#[derive(Debug)]
pub(crate) struct Hashing {
    places: Semaphore,
    turns: Arc<Semaphore>,
}

impl Hashing {
    /// Shares out half of so many processors, and at least one.
    pub fn with(processors: usize) -> Hashing {
        let turns = (processors / 2).max(1);
        Hashing { places: Semaphore::new(PLACES), turns: Arc::new(Semaphore::new(turns)) }
    }

    /// Does this work when its turn comes, where blocking is allowed; `None` when too many wait. Work
    /// that has begun is done, and keeps its turn, also if nobody waits for it any more.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // Kept until the caller has the result: until then something is under way.
        let _place = self.places.try_acquire().ok()?;
        let turn = self.turns.clone().acquire_owned().await.ok()?;
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Whether nobody waits and nothing is hashed for anybody.
    pub fn is_idle(&self) -> bool {
        self.places.available_permits() == PLACES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn no_more_are_hashed_at_once_than_half_of_the_processors_also_if_nobody_waits() {
        let hashing = Arc::new(Hashing::with(4));
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (goes_on, stopped) = mpsc::channel::<()>();
        let stopped = Arc::new(parking_lot::Mutex::new(stopped));
        let run = |waits: bool| {
            let (hashing, at_once, most) = (hashing.clone(), at_once.clone(), most.clone());
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let work = move || {
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if waits {
                        stopped.lock().recv().unwrap();
                    }
                    at_once.fetch_sub(1, Ordering::SeqCst);
                };
                hashing.run(work).await
            })
        };
        let gone = [run(true), run(true)];
        while at_once.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        // Their clients have gone, and they hash on.
        gone.iter().for_each(tokio::task::JoinHandle::abort);
        let others: Vec<_> = (0..8).map(|_| run(false)).collect();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.places.available_permits(), PLACES - 8);
        for _ in gone {
            goes_on.send(()).unwrap();
        }

        for other in others {
            assert!(other.await.unwrap().is_some());
        }

        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert!(hashing.is_idle());
    }

    #[tokio::test]
    async fn past_so_many_the_next_is_refused_and_processors_are_at_least_one() {
        let hashing = Hashing::with(1);
        let _others = hashing.places.try_acquire_many(PLACES as u32 - 1).unwrap();
        assert_eq!(hashing.run(|| 7).await, Some(7));
        let _last = hashing.places.try_acquire().unwrap();
        assert_eq!(hashing.run(|| 7).await, None);
    }
}
