//! The heartbeat: twice a minute the server looks at the wall clock and stores what it saw, so that
//! the next start knows how long it was down. [`crate::trust`] judges it.

use std::sync::Arc;
use std::time::Duration;

use whoelse_store::{Error, Renewed};

use crate::clock::{Moment, Time};
use crate::keeper::{PIECE, Touches};
use crate::node::Node;
use crate::trust::{Doubt, Voucher, Why};

/// The interval of the heartbeat.
const BEAT: Duration = Duration::from_secs(30);

/// What came of a step towards the end of a doubt.
enum Ended {
    Now,
    Before,
    /// There may be more to renew.
    NotYet(Renewed),
}

/// Starts the task; it ends with the node.
pub(crate) fn start(node: &Arc<Node>) {
    let (clock, weak) = (node.clock.clone(), Arc::downgrade(node));
    tokio::spawn(async move {
        while let Some(node) = weak.upgrade() {
            beat(&node).await;
            drop(node);
            clock.sleep(BEAT).await;
        }
    });
}

async fn beat(node: &Arc<Node>) {
    let now = node.clock.moment();
    let seen = node.watch.look(now);
    let vouches = match seen.doubt {
        None => None,
        Some(_) if seen.is_proven() => Some(Voucher::Uptime),
        Some(_) if node.watch.asks(now.steady) && node.clock.is_kept().await => {
            Some(Voucher::System)
        }
        Some(_) => None,
    };
    if let Some(voucher) = vouches {
        match node.vouch_for_clock(voucher).await {
            Ok(_) | Err(Error::Closed) => return,
            // The next beat tries again.
            Err(error) => node.store_failing("clock_doubt_not_ended", None, &error),
        }
    }
    write(node).await;
}

/// Stores what was seen at the last look.
async fn write(node: &Arc<Node>) {
    let writer = node.clone();
    let written = node.keeper.change(Touches::AtMost(7), move |tx| {
        Box::pin(async move {
            // The present state: a doubt can have ended meanwhile.
            let seen = writer.watch.seen();
            tx.heartbeat(&seen.into()).await?;
            Ok(((), Vec::new()))
        })
    });
    match written.await {
        Ok(()) | Err(Error::Closed) => {}
        // The next beat stores the same and more.
        Err(error) => tracing::debug!(%error, "heartbeat_not_written"),
    }
}

impl Node {
    /// Even time: it began as the wall at the first start of all, and has gone on evenly since. It
    /// never goes back and does not notice when the clock is set; ages are counted with it, over
    /// restarts too.
    pub fn even_time(&self) -> Time {
        self.watch.even(self.clock.steady())
    }

    /// The present moment, with even time in place of the wall: times that outlast a restart are
    /// stored with it.
    pub fn even_moment(&self) -> Moment {
        self.watch.even_moment(self.clock.steady())
    }

    /// Even time when the run before was last seen alive, if there was one.
    pub fn last_alive(&self) -> Option<Time> {
        self.watch.last_alive
    }

    /// Stores the last sign of life, so that what was done to the clock since the last beat does
    /// not count as time in which the server was down.
    pub(crate) async fn last_heartbeat(self: &Arc<Node>) {
        self.watch.look(self.clock.moment());
        write(self).await;
    }

    /// Why the wall is not believed, if it is not. While it is not, no data expires by age.
    pub fn clock_doubt(&self) -> Option<Doubt> {
        self.watch.doubt()
    }

    /// Vouches for the wall: the time that it says has passed is counted, and messages that were
    /// kept during the doubt become as young as if they were kept now. Returns whether there was a
    /// doubt to end.
    ///
    /// # Errors
    ///
    /// The store fails; the doubt then goes on.
    pub async fn vouch_for_clock(self: &Arc<Node>, voucher: Voucher) -> Result<bool, Error> {
        let _one = self.watch.vouching.lock().await;
        let Some(doubt) = self.clock_doubt() else { return Ok(false) };
        let young = self.even_time().after(doubt.claim);
        let mut renewed = self.store.renewal_of(doubt.since.0).await?;
        loop {
            match self.end_doubt(renewed, young, voucher).await? {
                Ended::Now => {
                    self.move_times().await;
                    return Ok(true);
                }
                Ended::Before => return Ok(false),
                Ended::NotYet(so_far) => renewed = so_far,
            }
        }
    }

    /// Moves the times that people are told with even time, which has jumped, in pieces. If that fails,
    /// the housekeeping goes on with it.
    pub(crate) async fn move_times(&self) {
        let moved = async {
            let mut is_more = self.store.are_times_moving().await?;
            while is_more {
                let piece = self.keeper.change(Touches::AtMost(3 * PIECE), |tx| {
                    Box::pin(async { Ok((tx.move_times(PIECE).await?, Vec::new())) })
                });
                is_more = piece.await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = moved.await {
            self.store_failing("times_not_moved", None, &error);
        }
    }

    /// Renews some more of what came during the doubt, after what is renewed so far. If that was all,
    /// the doubt ends.
    async fn end_doubt(
        self: &Arc<Node>,
        renewed: Renewed,
        young: Time,
        voucher: Voucher,
    ) -> Result<Ended, Error> {
        let node = self.clone();
        let ended = self.keeper.change(Touches::AtMost(Renewed::KINDS * PIECE), move |tx| {
            Box::pin(async move {
                let (seen, now) = node.watch.seen_now(&node.clock);
                let Some(doubt) = seen.doubt else { return Ok((Ended::Before, Vec::new())) };
                if let Some(renewed) = tx.renew(renewed, doubt.since.0, young.0, PIECE).await? {
                    return Ok((Ended::NotYet(renewed), Vec::new()));
                }
                let believed = seen.vouched_for();
                let (even, skipped) =
                    (believed.even.0, believed.even.0.saturating_sub(seen.even.0));
                tx.end_renewal(doubt.since.0, seen.even.0, even, skipped).await?;
                tx.heartbeat(&believed.into()).await?;
                let then: crate::keeper::After = vec![Box::new(move |node: &Arc<Node>| {
                    node.watch.believe(believed, now.steady);
                    match doubt.why {
                        Why::Unproven => tracing::debug!(by = voucher.name(), "clock_trusted"),
                        _ => tracing::info!(
                            by = voucher.name(),
                            counted_seconds = doubt.claim.as_secs(),
                            "clock_trusted"
                        ),
                    }
                })];
                Ok((Ended::Now, then))
            })
        });
        ended.await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{Location, Store};

    use super::*;
    use crate::clock::Clock;
    use crate::settings::Settings;
    use crate::trust::{EARLIEST, ENOUGH, Reading};

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Time = EARLIEST;

    /// Lets time pass to the end of `span` in steps, however short the sleeps between are.
    fn pass(clock: &Clock, time: Duration) {
        let end = clock.steady().after(time);
        while clock.steady() < end {
            clock.advance_to(end);
        }
    }

    /// A server on a machine on which nothing keeps the clock right.
    async fn start(store: &Store, wall: Time) -> Arc<Node> {
        let clock = Clock::manual(wall);
        clock.set_wall(wall);
        let domain = Some("a.example");
        Node::start(Settings::default(), clock, store.clone(), &[], domain).await.unwrap()
    }

    async fn write(store: &Store, seen: Reading) {
        let mut tx = store.begin().await.unwrap();
        tx.heartbeat(&seen.into()).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn the_last_heartbeat_is_read_before_another_is_written() {
        let store = Store::open(&Location::Memory).await.unwrap();
        write(&store, Reading { wall: NOW, even: NOW, doubt: None }).await;

        for _ in 0..2 {
            let node = start(&store, NOW.after(DAY * 400)).await;
            beat(&node).await;
            assert_eq!(node.clock_doubt().unwrap().why, Why::Ahead(DAY * 400));
            assert_eq!(node.even_time(), NOW);
            node.stop().await;
        }
    }

    #[tokio::test]
    async fn a_day_of_uptime_in_sum_over_restarts_is_enough() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let why = Why::Ahead(DAY * 400);
        let doubt = Doubt { since: NOW, up: ENOUGH - BEAT, claim: DAY * 400, why };
        write(&store, Reading { wall: NOW.after(DAY * 400), even: NOW, doubt: Some(doubt) }).await;
        let node = start(&store, NOW.after(DAY * 400)).await;
        beat(&node).await;
        assert!(node.clock_doubt().is_some());

        pass(&node.clock, BEAT);
        beat(&node).await;

        assert_eq!(node.clock_doubt(), None);
        assert_eq!(node.even_time(), NOW.after(DAY * 400 + BEAT));
        let last = Reading::from(store.last_heartbeat().await.unwrap().unwrap());
        assert_eq!((last.even, last.doubt), (node.even_time(), None));
    }

    #[tokio::test]
    async fn a_doubt_ends_in_steps_however_much_has_come_in_it() {
        let store = Store::open(&Location::Memory).await.unwrap();
        write(&store, Reading { wall: NOW, even: NOW, doubt: None }).await;
        let node = start(&store, NOW.after(DAY * 400)).await;
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("a.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        let many = 2 * PIECE + 10;
        for n in 0..many {
            tx.remember_place(bob, &format!("192.0.2.{n}"), node.even_time().0).await.unwrap();
            tx.came_online(bob, node.even_time().0).await.unwrap();
            tx.went_offline(bob, node.even_time().0).await.unwrap();
        }
        tx.commit().await.unwrap();
        let before = node.keeper.rounds();

        assert!(node.vouch_for_clock(Voucher::Operator).await.unwrap());

        assert!(node.keeper.rounds() - before >= 3);
        assert_eq!(node.clock_doubt(), None);
        let since = NOW.after(DAY * 400).0;
        assert_eq!(store.known_networks_since(bob, since).await.unwrap().len() as u64, many);
        assert_eq!(store.departure(bob).await.unwrap().unwrap().at, since);
        assert!(!store.are_times_moving().await.unwrap());
        node.stop().await;
    }

    #[tokio::test]
    async fn times_that_were_not_moved_when_the_server_was_killed_are_moved_at_the_next_start() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let before = start(&store, NOW).await;
        before.stop().await;
        let even = store.last_heartbeat().await.unwrap().unwrap().even;
        let mut tx = store.begin().await.unwrap();
        let block = whoelse_store::Throttle { failures: 3, since: even, blocked_until: even + 1 };
        tx.throttle_save("bob@#1", block).await.unwrap();
        tx.end_renewal(even, even, even, DAY.as_micros() as i64).await.unwrap();
        tx.commit().await.unwrap();

        let node = start(&store, NOW).await;

        let rows = store.throttle_load_all(even).await.unwrap();
        assert_eq!(rows[0].1.blocked_until, even + 1 + DAY.as_micros() as i64);
        assert!(!store.are_times_moving().await.unwrap());
        node.stop().await;
    }

    #[tokio::test]
    async fn what_is_done_to_the_clock_before_a_stop_is_no_time_that_the_server_was_down() {
        let store = Store::open(&Location::Memory).await.unwrap();
        write(&store, Reading { wall: NOW, even: NOW, doubt: None }).await;
        let node = start(&store, NOW).await;
        node.clock.set_wall(NOW.after(DAY));
        pass(&node.clock, BEAT / 3);
        node.stop().await;

        let node = start(&store, NOW.after(DAY + BEAT / 3)).await;

        assert_eq!(node.even_time(), NOW.after(BEAT / 3));
        assert_eq!(node.clock_doubt(), None);
    }
}
