//! Whose turn it is to read much of the store, an archive above all: one request of an account at a
//! time, one of all new accounts of a site (docs/design/ledger.md), and fewer in all than the store has readers, so that logins and the delivery of what waits
//! always find one.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests that read much at the same time: half of the store's readers.
const AT_ONCE: usize = 2;

/// The turns of all accounts, in the order in which they ask.
pub struct Turns(Semaphore);

/// The turn of the requests of one account, or of one site: however many ask, it takes one place.
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

/// Runs a piece of reading when it is its turn. `site`: the turn that the account shares with
/// others. `before` runs in the account's own turn: what has to be waited for, so that the reading
/// itself waits for nothing.
pub async fn in_turn<T>(
    all: &Turns,
    own: &OwnTurn,
    site: Option<&OwnTurn>,
    before: impl Future<Output = ()>,
    reading: impl Future<Output = T>,
) -> T {
    // The own turn first: who waits for it must not take a place from others.
    let _own = take(&own.0).await;
    before.await;
    let _site = match site {
        Some(site) => take(&site.0).await,
        None => None,
    };
    let _all = take(&all.0).await;
    reading.await
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
                    in_turn(&all, &own, None, async {}, watch.read(who)).await;
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
                let own = OwnTurn::default();
                in_turn(&all, &own, None, std::future::pending(), watch.read(who)).await;
            })
        };
        let waiting: Vec<_> = (0..=AT_ONCE).map(|_| waits("mallory")).collect();
        tokio::task::yield_now().await;

        in_turn(&all, &OwnTurn::default(), None, async {}, watch.read("bob")).await;

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
                let own = OwnTurn::default();
                in_turn(&all, &own, Some(&site), async {}, watch.read("new")).await;
            });
        }
        tokio::task::yield_now().await;

        in_turn(&all, &OwnTurn::default(), None, async {}, watch.read("bob")).await;

        asking.join_all().await;
        let bob = watch.done.lock().iter().position(|who| *who == "bob").unwrap();
        assert!(bob <= 1, "{bob}");
        assert_eq!(watch.most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn however_many_accounts_ask_readers_are_left_for_others() {
        let watch = asked(&[("a", 3), ("b", 3), ("c", 3), ("d", 3)]).await;

        assert_eq!(watch.most.load(Ordering::SeqCst), AT_ONCE);
    }
}
