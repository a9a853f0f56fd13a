//! Whose turn it is to read much of the store, an archive above all. An account has one request under
//! way at a time, and so have all new accounts of a site (docs/design/ledger.md); each request reads
//! in pieces, and only as many pieces are read at once as the store has readers for them. So whoever
//! asks for much lets others have a turn between its pieces.

use tokio::sync::{Semaphore, SemaphorePermit};
use whoelse_store::READERS_OF_ARCHIVES;

/// Pieces that are read at the same time: one more would wait for a reader.
const AT_ONCE: usize = READERS_OF_ARCHIVES;

/// The turns of all accounts, in the order in which they ask.
pub struct Turns(Semaphore);

/// The turn of one account's requests, or of one site's: however many of its sessions ask, they are
/// answered one by one.
#[derive(Debug)]
pub struct OwnTurn(Semaphore);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Semaphore::new(AT_ONCE))
    }
}

impl Default for OwnTurn {
    fn default() -> OwnTurn {
        OwnTurn(Semaphore::new(1))
    }
}

impl OwnTurn {
    /// Runs a request when those of the same account before it are answered.
    pub async fn one_by_one<T>(&self, request: impl Future<Output = T>) -> T {
        let _own = take(&self.0).await;
        request.await
    }
}

impl Turns {
    /// Reads one piece when it is its turn. `before` runs first: what has to be waited for, so that
    /// the reading itself waits for nothing.
    pub async fn piece<T>(
        &self,
        before: impl Future<Output = ()>,
        reading: impl Future<Output = T>,
    ) -> T {
        before.await;
        let _turn = take(&self.0).await;
        reading.await
    }
}

/// Waits for a place. None of these is ever closed.
async fn take(places: &Semaphore) -> Option<SemaphorePermit<'_>> {
    places.acquire().await.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how many read at once, and in which order they were done.
    #[derive(Default)]
    struct Watch {
        reading: AtomicUsize,
        most: AtomicUsize,
        done: parking_lot::Mutex<Vec<&'static str>>,
    }

    impl Watch {
        async fn read(&self, who: &'static str) {
            let reading = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(reading, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.reading.fetch_sub(1, Ordering::SeqCst);
            self.done.lock().push(who);
        }
    }

    /// Lets accounts ask so often each, all at once.
    async fn asked(times: &[(&'static str, usize)]) -> Arc<Watch> {
        let (all, watch) = (Arc::<Turns>::default(), Arc::<Watch>::default());
        let mut asking = tokio::task::JoinSet::new();
        for &(who, times) in times {
            let own = Arc::<OwnTurn>::default();
            for _ in 0..times {
                let (all, own, watch) = (all.clone(), own.clone(), watch.clone());
                asking.spawn(async move {
                    own.one_by_one(all.piece(async {}, watch.read(who))).await;
                });
            }
        }
        asking.join_all().await;
        watch
    }

    #[tokio::test]
    async fn the_requests_of_one_account_are_read_one_by_one() {
        let watch = asked(&[("mallory", 19)]).await;

        assert_eq!(watch.most.load(Ordering::SeqCst), 1);
        assert_eq!(watch.done.lock().len(), 19);
    }

    #[tokio::test]
    async fn who_asks_once_does_not_wait_for_all_the_requests_of_another() {
        let watch = asked(&[("mallory", 19), ("bob", 1)]).await;

        let bob = watch.done.lock().iter().position(|who| *who == "bob").unwrap();
        assert!(bob <= 2, "{bob}");
    }

    #[tokio::test]
    async fn whoever_waits_before_the_reading_takes_no_place_from_others() {
        let (all, watch) = (Arc::<Turns>::default(), Arc::<Watch>::default());
        let waits = |who| {
            let (all, watch) = (all.clone(), watch.clone());
            tokio::spawn(async move {
                all.piece(std::future::pending(), watch.read(who)).await;
            })
        };
        let waiting: Vec<_> = (0..=AT_ONCE).map(|_| waits("mallory")).collect();
        tokio::task::yield_now().await;

        all.piece(async {}, watch.read("bob")).await;

        assert_eq!(*watch.done.lock(), ["bob"]);
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn however_many_accounts_of_one_site_ask_they_take_one_place() {
        let (all, site, watch) =
            (Arc::<Turns>::default(), Arc::<OwnTurn>::default(), Arc::<Watch>::default());
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..19 {
            let (all, site, watch) = (all.clone(), site.clone(), watch.clone());
            asking.spawn(async move {
                site.one_by_one(all.piece(async {}, watch.read("new"))).await;
            });
        }
        tokio::task::yield_now().await;

        all.piece(async {}, watch.read("bob")).await;

        asking.join_all().await;
        let bob = watch.done.lock().iter().position(|who| *who == "bob").unwrap();
        assert!(bob <= 1, "{bob}");
        assert_eq!(watch.most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn however_many_accounts_ask_only_so_many_pieces_are_read_at_once() {
        let watch = asked(&[("a", 3), ("b", 3), ("c", 3), ("d", 3)]).await;

        assert_eq!(watch.most.load(Ordering::SeqCst), AT_ONCE);
    }

    #[tokio::test]
    async fn who_asks_for_one_piece_does_not_wait_for_all_the_pieces_of_others() {
        let (all, watch) = (Arc::<Turns>::default(), Arc::<Watch>::default());
        let mut asking = tokio::task::JoinSet::new();
        for (who, pieces) in [("mallory", 50), ("eve", 50), ("bob", 1)] {
            let (all, watch) = (all.clone(), watch.clone());
            asking.spawn(async move {
                for _ in 0..pieces {
                    all.piece(async {}, watch.read(who)).await;
                }
            });
        }
        asking.join_all().await;

        let bob = watch.done.lock().iter().position(|who| *who == "bob").unwrap();
        assert!(bob <= 4, "{bob}");
    }
}
