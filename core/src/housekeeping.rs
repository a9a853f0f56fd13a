//! What is done from time to time: old things forgotten, lacking verifiers looked for, the
//! features' periodic taps.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Time;
use crate::node::Node;
use crate::upgrades;

/// How often old rows are removed.
const PERIOD: Duration = Duration::from_secs(3600);
/// Messages removed in one transaction, so that the keeper is never held up for long.
const STEP: i64 = 1000;
/// A repeat of a message is recognised for this long (architecture §3).
const REPEATS: Duration = Duration::from_secs(86_400);
/// A network counts as known for this long after a login.
pub(crate) const KNOWN_NETWORK: Duration = Duration::from_secs(30 * 86_400);
/// `whoelsesince` looks back 2^31 seconds at most, but nobody remembers longer than this.
const INTERVALS: Duration = Duration::from_secs(400 * 86_400);

/// Starts the tasks; they end with the node.
pub(crate) fn start(node: &Arc<Node>) {
    spawn(node, PERIOD, |node| Box::pin(async move { forget(&node).await }));
    spawn(node, PERIOD, |node| Box::pin(async move { upgrades::forget(&node).await }));
    spawn(node, PERIOD, |node| Box::pin(async move { node.look_for_lacking_verifiers().await }));
    let quiet = |node: Arc<Node>| -> crate::kit::BoxFuture<'static, ()> {
        Box::pin(async move { node.look_for_quiet().await })
    };
    spawn(node, crate::lasting::LOOK, quiet);
    for (period, tap) in node.wiring.periodic() {
        spawn(node, *period, *tap);
    }
}

fn spawn(node: &Arc<Node>, period: Duration, tap: crate::kit::taps::Periodic) {
    let (clock, weak) = (node.clock.clone(), Arc::downgrade(node));
    tokio::spawn(async move {
        while let Some(node) = weak.upgrade() {
            tap(node).await;
            clock.sleep(period).await;
        }
    });
}

async fn forget(node: &Arc<Node>) {
    // How old anything is, is not known for certain.
    if let Some(doubt) = node.clock_doubt() {
        tracing::debug!(why = %doubt.why, "nothing_forgotten");
        return;
    }
    let (now, wall) = (node.even_time(), node.clock.now());
    let purged = node.keeper.change(move |tx| {
        Box::pin(async move {
            tx.purge_origins(now.before(REPEATS).0).await?;
            tx.purge_places(now.before(KNOWN_NETWORK).0).await?;
            tx.purge_intervals(now.before(INTERVALS).0).await?;
            tx.throttle_purge(wall.0).await?;
            Ok(((), Vec::new()))
        })
    });
    match purged.await {
        Ok(()) => {}
        Err(error) => return node.store_failing("housekeeping_failed", None, &error),
    }
    let history = node.settings().history;
    if let Some(kept) = history {
        expire(node, now.before(kept)).await;
    }
}

async fn expire(node: &Arc<Node>, before: Time) {
    loop {
        let removed = node.keeper.change(move |tx| {
            Box::pin(async move { Ok((tx.expire(before.0, STEP).await?, Vec::new())) })
        });
        match removed.await {
            Ok(removed) if removed as i64 >= STEP => {}
            Ok(_) => return,
            Err(error) => return node.store_failing("history_not_expired", None, &error),
        }
    }
}
