//! Deletes the copies of the database that an upgrade has kept, some time after the first
//! successful start since then.

use std::sync::Arc;
use std::time::Duration;

use whoelse_store::Error;
use whoelse_xmpp::in_words;

use crate::clock::Time;
use crate::keeper::Touches;
use crate::node::Node;

/// An operator notices within this time that the new program does not work for them.
const KEPT: Duration = Duration::from_secs(14 * 86_400);

impl Node {
    /// Notes a successful start, in case it is the first one after an upgrade.
    pub async fn started_well(self: &Arc<Node>) {
        if self.store.kept_copies().is_empty() {
            return;
        }
        let node = self.clone();
        let noted = self.keeper.change(Touches::AtMost(1), move |tx| {
            Box::pin(async move {
                // Read in the keeper's turn: even time jumps ahead when a doubt of the clock ends.
                Ok((tx.started_well(node.even_time().0).await?, Vec::new()))
            })
        });
        match noted.await {
            Ok(()) | Err(Error::Closed) => {}
            // Then the next successful start is the first.
            Err(error) => self.store_failing("start_not_noted", None, &error),
        }
    }
}

/// Deletes the copies that have been kept long enough.
pub(crate) async fn forget(node: &Arc<Node>) {
    if node.store.kept_copies().is_empty() || node.clock_doubt().is_some() {
        return;
    }
    let good_since = match node.store.first_good_start().await {
        Ok(Some(at)) => Time(at),
        Ok(None) | Err(Error::Closed) => return,
        Err(error) => return node.store_failing("housekeeping_failed", None, &error),
    };
    if node.even_time() < good_since.after(KEPT) {
        return;
    }
    match node.store.remove_kept_copies() {
        Ok(removed) => {
            for file in removed {
                tracing::info!(file = %file.display(), "old_database_removed");
            }
        }
        Err(error) => node.failing("old_database_not_removed", None, &in_words(&error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{Location, Store, scratch};

    use super::*;
    use crate::clock::Clock;
    use crate::settings::Settings;
    use crate::trust::Voucher;

    async fn node(place: &Location, clock: &Clock) -> Arc<Node> {
        let store = Store::open(place).await.unwrap();
        let node = Node::start(Settings::default(), clock.clone(), store, &[], None).await.unwrap();
        // No server ran here since 1970.
        node.vouch_for_clock(Voucher::Operator).await.unwrap();
        node
    }

    /// Lets days pass, hour by hour.
    fn pass(clock: &Clock, days: u64) {
        let end = clock.steady().after(Duration::from_secs(days * 86_400));
        while clock.steady() < end {
            clock.advance_to(end);
        }
    }

    #[tokio::test]
    async fn an_old_database_goes_14_days_after_the_first_good_start() {
        let dir = tempfile::tempdir().unwrap();
        let place = Location::Sqlite(dir.path().join("store.db"));
        scratch::old_file(&dir.path().join("store.db"), 1).unwrap();
        let copy = dir.path().join("store.schema-1.db");
        let clock = Clock::manual(Time(1_795_367_520_000_000));

        // Starts that fail later on do not count, however many there are.
        for _ in 0..2 {
            let failing = node(&place, &clock).await;
            forget(&failing).await;
            assert!(copy.exists());
            failing.stop().await;
            failing.store.close().await.unwrap();
            pass(&clock, 20);
        }
        let good = node(&place, &clock).await;
        good.started_well().await;
        pass(&clock, 10);
        good.started_well().await;
        forget(&good).await;
        assert!(copy.exists());
        pass(&clock, 4);
        forget(&good).await;

        assert!(!copy.exists());
        assert_eq!(good.store.count_accounts(1).await.unwrap(), 2);
        good.stop().await;
    }
}
