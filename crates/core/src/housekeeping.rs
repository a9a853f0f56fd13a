//! Periodic work: removes old rows, looks for missing verifiers, runs the features' periodic taps.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use whoelse_store::{Quotas, Whose};

use crate::clock::Time;
use crate::devices::UNUSED_DEVICE;
use crate::keeper::{PIECE, Touches};
use crate::known_networks::KNOWN_NETWORK;
use crate::names::REMOVED_NAME;
use crate::node::Node;
use crate::removals;
use crate::upgrades;
use crate::verifiers;

/// How often to remove old rows.
const PERIOD: Duration = Duration::from_secs(3600);
/// The most rows that are looked at or removed at once.
const STEP: i64 = PIECE.cast_signed();
/// How long a repeat of a message is recognised (architecture §3).
const REPEATS: Duration = Duration::from_micros(whoelse_store::REPEAT_WINDOW.unsigned_abs());

/// Starts the tasks; they end with the node. `grown`: archives that have grown by much.
pub(crate) fn start(node: &Arc<Node>, grown: mpsc::Receiver<i64>) {
    look_at(node, grown);
    spawn(node, PERIOD, |node| Box::pin(async move { forget(&node).await }));
    spawn(node, PERIOD, |node| Box::pin(async move { keep_to_quota(&node).await }));
    spawn(node, PERIOD, |node| Box::pin(async move { removals::go_on(&node).await }));
    spawn(node, PERIOD, |node| Box::pin(async move { upgrades::forget(&node).await }));
    spawn(node, PERIOD, |node| Box::pin(async move { node.look_for_lacking_verifiers().await }));
    let quiet = |node: Arc<Node>| -> crate::boxed_future::BoxFuture<'static, ()> {
        Box::pin(async move { node.lasting.look_for_quiet() })
    };
    spawn(node, crate::lasting::LOOK, quiet);
    for (period, tap) in node.wiring.periodic() {
        spawn(node, *period, *tap);
    }
}

/// Keeps the archives to their quota that have grown by much since all were looked at.
fn look_at(node: &Arc<Node>, mut grown: mpsc::Receiver<i64>) {
    let weak = Arc::downgrade(node);
    tokio::spawn(async move {
        while let Some(archive) = grown.recv().await {
            let Some(node) = weak.upgrade() else { return };
            if let Err(error) = keep_grown(&node, archive).await {
                node.store_failing("archive_not_kept_to_quota", None, &error);
            }
        }
    });
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
    // While the clock is in doubt, no age is known for certain.
    if let Some(doubt) = node.clock_doubt() {
        tracing::debug!(why = %doubt.why, "nothing_forgotten");
        return;
    }
    node.move_times().await;
    let now = node.even_time();
    if let Err(error) = purge(node, now).await {
        return node.store_failing("housekeeping_failed", None, &error);
    }
    // Without history, what is delivered is forgotten at once; here goes what was left of that by a
    // crash, and what was kept before history was switched off.
    let kept = node.settings().history.unwrap_or_default();
    expire(node, now.before(kept)).await;
}

/// Deletes whatever is too old and is no message.
async fn purge(node: &Node, now: Time) -> Result<(), whoelse_store::Error> {
    let (keeper, before) = (&node.keeper, |age| now.before(age).0);
    let repeats = before(REPEATS);
    keeper.in_pieces(move |tx, most| Box::pin(tx.purge_repeats(repeats, most))).await?;
    let places = before(KNOWN_NETWORK);
    keeper.in_pieces(move |tx, most| Box::pin(tx.purge_places(places, most))).await?;
    let names = before(REMOVED_NAME);
    keeper.in_pieces(move |tx, most| Box::pin(tx.purge_removed_names(names, most))).await?;
    let former = before(verifiers::FORMER_PASSWORD);
    keeper.in_pieces(move |tx, most| Box::pin(tx.purge_former_credentials(former, most))).await?;
    let unused = before(UNUSED_DEVICE);
    keeper.in_pieces(move |tx, most| Box::pin(tx.purge_devices(unused, most))).await?;
    keeper.in_pieces(move |tx, most| Box::pin(tx.throttle_purge(now.0, most))).await
}

async fn expire(node: &Arc<Node>, before: Time) {
    if let Err(error) = expire_all(node, before).await {
        node.store_failing("history_not_expired", None, &error);
    }
}

/// Removes old messages from each archive in turn. The search for old messages runs outside the
/// keeper, in steps; only what goes is posted to it.
async fn expire_all(node: &Arc<Node>, before: Time) -> Result<(), whoelse_store::Error> {
    let mut last = Some(0);
    while let Some(after) = last {
        let begun = node.store.archives_begun_before(after, before.0, STEP).await?;
        for archive in begun.archives {
            remove(node, archive, Goes::Old(before), 0).await?;
        }
        last = begun.more_after;
    }
    Ok(())
}

/// What has to go of an archive.
#[derive(Clone, Copy)]
enum Goes {
    /// What was kept before this even time.
    Old(Time),
    /// What is above these many bytes, of these peers.
    Excess(Whose, Quotas),
}

/// Removes that, from after this number on: a look at some rows, a change if any of them goes, and
/// so on.
async fn remove(
    node: &Arc<Node>,
    archive: i64,
    goes: Goes,
    mut after: i64,
) -> Result<(), whoelse_store::Error> {
    let look = |after| async move {
        match goes {
            Goes::Old(before) => node.store.find_old(archive, after, before.0, STEP).await,
            Goes::Excess(whose, quotas) => {
                node.store.find_excess(archive, whose, after, quotas, STEP).await
            }
        }
    };
    while let Some(found) = look(after).await? {
        let up_to = found.up_to_seq;
        if found.any_goes {
            let step = node.keeper.change(Touches::AtMost(2 * STEP as u64), move |tx| {
                Box::pin(async move {
                    let removed = match goes {
                        Goes::Old(_) => tx.expire(archive, after, up_to).await?,
                        Goes::Excess(whose, _) => {
                            tx.remove_excess(archive, whose, after, up_to).await?
                        }
                    };
                    Ok((removed, Vec::new()))
                })
            });
            step.await?;
        }
        if !found.more {
            break;
        }
        after = up_to;
    }
    Ok(())
}

/// Removes what archives have above their quota. No age is asked for, so a clock in doubt does not
/// matter.
async fn keep_to_quota(node: &Arc<Node>) {
    node.growth.forget();
    if let Err(error) = keep_all_to(node, quotas(node)).await {
        node.store_failing("archives_not_kept_to_quota", None, &error);
    }
}

fn quotas(node: &Node) -> Quotas {
    let bytes = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    let limits = &node.settings().limits;
    Quotas { account: bytes(limits.archive_bytes), room: bytes(limits.room_archive_bytes) }
}

/// Likewise, for one archive.
async fn keep_grown(node: &Arc<Node>, archive: i64) -> Result<(), whoelse_store::Error> {
    let quotas = quotas(node);
    match node.store.find_excess(archive, Whose::Everybody, 0, quotas, 1).await? {
        Some(_) => keep_one_to(node, archive, quotas).await,
        None => Ok(()),
    }
}

async fn keep_all_to(node: &Arc<Node>, quotas: Quotas) -> Result<(), whoelse_store::Error> {
    let mut last = Some(0);
    while let Some(after) = last {
        let over = node.store.archives_over(after, quotas, STEP).await?;
        for archive in over.archives {
            keep_one_to(node, archive, quotas).await?;
        }
        last = over.more_after;
    }
    Ok(())
}

/// Strangers' messages go first. What they have left then has still to be delivered, and no
/// contact's goes for it.
async fn keep_one_to(
    node: &Arc<Node>,
    archive: i64,
    quotas: Quotas,
) -> Result<(), whoelse_store::Error> {
    let mut spared = 0;
    if !node.contacts.are_shared() {
        if let Some(first) = node.store.first_of_strangers(archive, STEP).await? {
            let goes = Goes::Excess(Whose::Strangers, quotas);
            remove(node, archive, goes, first.saturating_sub(1)).await?;
        }
        spared = node.store.waiting_of_strangers(archive).await?;
    }
    let quotas = Quotas { account: quotas.account.saturating_add(spared), ..quotas };
    remove(node, archive, Goes::Excess(Whose::Everybody, quotas), 0).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{
        Appended, Direction, Heartbeat, Location, NewMessage, NewRow, RosterRow, Store,
    };
    use whoelse_xmpp::BareJid;

    use super::*;
    use crate::clock::Clock;
    use crate::keeper::{Post, Unstored, Work};
    use crate::settings::{Contacts, Settings};
    use crate::trust::EARLIEST;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Time = EARLIEST;

    async fn start(store: &Store, wall: Time) -> Arc<Node> {
        let clock = Clock::manual(wall);
        // A clock that was set does not count as kept right.
        clock.set_wall(wall);
        let domain = Some("a.example");
        Node::start(Settings::default(), clock, store.clone(), &[], domain).await.unwrap()
    }

    async fn write(store: &Store, batch: &[NewMessage]) {
        let mut tx = store.begin().await.unwrap();
        tx.append(batch).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn only_what_goes_is_posted_to_the_keeper() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let node = start(&store, NOW).await;
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("a.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let row = |direction| NewMessage {
            first: NewRow { archive: bob, peer: "eve@#1".into(), direction },
            ..NewMessage::default()
        };
        // Nobody has confirmed them.
        write(&store, &vec![row(Direction::In); 2 * STEP as usize]).await;
        node.keeper.caught_up().await;
        let rounds = node.keeper.rounds();

        expire_all(&node, Time(1)).await.unwrap();

        assert_eq!(node.keeper.rounds(), rounds);
        write(&store, &[row(Direction::Out)]).await;
        expire_all(&node, Time(1)).await.unwrap();
        assert_eq!(node.keeper.rounds(), rounds + 1);
        let all = whoelse_store::Query::default();
        assert_eq!(store.count(bob, &all, i64::MAX).await.unwrap().unwrap(), 2 * STEP);
        node.stop().await;
    }

    #[tokio::test]
    async fn where_no_history_is_kept_what_was_kept_before_goes_and_what_waits_stays() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let clock = Clock::manual(NOW);
        let settings = Settings { history: None, ..Settings::default() };
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("a.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let row = |direction| NewMessage {
            first: NewRow { archive: bob, peer: "eve@#1".into(), direction },
            ..NewMessage::default()
        };
        let mut rows = vec![row(Direction::Out); STEP as usize];
        rows.extend(vec![row(Direction::In); STEP as usize]);
        write(&store, &rows).await;
        let mut tx = store.begin().await.unwrap();
        tx.advance_cursors(&[(bob, 2 * STEP - 3)]).await.unwrap();
        tx.commit().await.unwrap();
        let node = Node::start(settings, clock, store.clone(), &[], Some("a.example"));
        let node = node.await.unwrap();
        node.vouch_for_clock(crate::trust::Voucher::Operator).await.unwrap();

        forget(&node).await;

        let all = whoelse_store::Query::default();
        assert_eq!(store.count(bob, &all, i64::MAX).await.unwrap(), Some(3));
        node.stop().await;
    }

    /// Starts a node with bob, who knows carol, and an archive of his with a message of ten bytes of
    /// each of these, of which he has confirmed so many.
    async fn with_archive(
        contacts: Contacts,
        senders: &[&str],
        confirmed: i64,
    ) -> (Store, Arc<Node>, i64) {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("a.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        let carol = RosterRow { contact: "carol@#1".into(), listed: true, ..RosterRow::default() };
        tx.write_roster_row(bob, &carol).await.unwrap();
        tx.commit().await.unwrap();
        let row = |from: &&str| NewMessage {
            first: NewRow { archive: bob, peer: format!("{from}@#1"), direction: Direction::In },
            stanza: "<message/>".into(),
            ..NewMessage::default()
        };
        write(&store, &senders.iter().map(row).collect::<Vec<_>>()).await;
        let mut tx = store.begin().await.unwrap();
        tx.advance_cursors(&[(bob, confirmed)]).await.unwrap();
        tx.commit().await.unwrap();
        let settings = Settings { contacts, ..Settings::default() };
        let clock = Clock::manual(NOW);
        // So nothing else is removed meanwhile.
        clock.set_wall(NOW);
        let node = Node::start(settings, clock, store.clone(), &[], Some("a.example")).await;
        (store, node.unwrap(), bob)
    }

    fn of_accounts(account: i64) -> Quotas {
        Quotas { account, room: i64::MAX }
    }

    async fn left(store: &Store, archive: i64) -> Vec<i64> {
        let all = whoelse_store::Query { limit: 10_000, ..Default::default() };
        store.query(archive, &all).await.unwrap().rows.iter().map(|row| row.seq).collect()
    }

    #[tokio::test]
    async fn of_a_full_archive_strangers_messages_go_first_then_the_oldest_and_what_waits_never() {
        let senders = ["carol", "eve", "carol", "mal", "carol", "carol", "eve"];
        let rosters: [(i64, &[i64]); 6] = [
            (70, &[1, 2, 3, 4, 5, 6, 7]),
            (60, &[1, 3, 4, 5, 6, 7]),
            (50, &[1, 3, 5, 6, 7]),
            // Of eve's last one nobody's pays: it waits.
            (40, &[1, 3, 5, 6, 7]),
            (25, &[5, 6, 7]),
            (0, &[6, 7]),
        ];
        for (quota, expected) in rosters {
            let (store, node, bob) = with_archive(Contacts::Roster, &senders, 5).await;
            keep_all_to(&node, of_accounts(quota)).await.unwrap();
            assert_eq!(left(&store, bob).await, expected, "{quota}");
            node.stop().await;
        }
        let everybody: [(i64, &[i64]); 3] =
            [(60, &[2, 3, 4, 5, 6, 7]), (25, &[6, 7]), (0, &[6, 7])];
        for (quota, expected) in everybody {
            let (store, node, bob) = with_archive(Contacts::Everyone, &senders, 5).await;
            keep_all_to(&node, of_accounts(quota)).await.unwrap();
            assert_eq!(left(&store, bob).await, expected, "{quota}");
            node.stop().await;
        }
    }

    #[tokio::test]
    async fn a_room_has_a_quota_of_its_own_and_the_oldest_that_was_said_there_goes() {
        let (store, node, bob) = with_archive(Contacts::Roster, &["carol"; 3], 3).await;
        let mut tx = store.begin().await.unwrap();
        let room = tx.create_room(1, "lunch", None, b"", b"").await.unwrap().unwrap().archive;
        tx.commit().await.unwrap();
        let row = NewMessage {
            first: NewRow { archive: room, peer: "eve@#1".into(), direction: Direction::Out },
            stanza: "<message/>".into(),
            ..NewMessage::default()
        };
        write(&store, &[row.clone(), row.clone(), row]).await;

        keep_all_to(&node, Quotas { room: 25, ..of_accounts(i64::MAX) }).await.unwrap();
        assert_eq!((left(&store, room).await, left(&store, bob).await.len()), (vec![2, 3], 3));
        keep_all_to(&node, of_accounts(0)).await.unwrap();
        assert_eq!((left(&store, room).await.len(), left(&store, bob).await.len()), (2, 0));
        node.stop().await;
    }

    /// A message of 100 KiB that somebody has sent.
    struct Sent(i64);

    impl Post for Sent {
        fn rows(&mut self, _: Time) -> NewMessage {
            let (archive, direction) = (self.0, Direction::Out);
            NewMessage {
                first: NewRow { archive, peer: "eve@#1".into(), direction },
                stanza: vec![b'x'; 100 << 10].into(),
                ..NewMessage::default()
            }
        }

        fn finish(self: Box<Self>, _: &Arc<Node>, _: Result<Appended, Unstored>) {}
    }

    #[tokio::test]
    async fn what_grows_is_kept_to_its_quota_between_two_looks_at_all() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("a.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let mut settings = Settings::default();
        settings.limits.archive_bytes = 2 << 20;
        let clock = Clock::manual(NOW);
        let node = Node::start(settings, clock, store.clone(), &[], Some("a.example"));
        let node = node.await.unwrap();
        // All archives are looked at after the start.
        for _ in 0..10 {
            node.keeper.caught_up().await;
            tokio::task::yield_now().await;
        }

        for _ in 0..60 {
            assert!(node.keeper.post(Work::Post(Box::new(Sent(bob)))).await.is_ok());
        }
        let mut rows = 60;
        for _ in 0..1_000 {
            node.keeper.caught_up().await;
            tokio::task::yield_now().await;
            rows = left(&store, bob).await.len();
            if rows <= 31 {
                break;
            }
        }

        // The quota, and what it may grow by before somebody looks.
        assert!((20..=31).contains(&rows), "{rows}");
        node.stop().await;
    }

    #[tokio::test]
    async fn what_is_above_the_quota_goes_in_pieces() {
        let many = 3 * STEP;
        let mut senders = vec!["carol"; many as usize];
        senders[STEP as usize] = "eve";
        let (store, node, bob) = with_archive(Contacts::Roster, &senders, many).await;
        let rounds = node.keeper.rounds();

        keep_all_to(&node, of_accounts(10)).await.unwrap();

        // One for eve's, three for the rest.
        assert!(node.keeper.rounds() - rounds >= 4);
        assert_eq!(left(&store, bob).await, [many]);
        node.stop().await;
    }

    #[tokio::test]
    async fn what_is_old_goes_in_pieces_however_much_it_is() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let node = start(&store, NOW).await;
        node.vouch_for_clock(crate::trust::Voucher::Operator).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("a.example").await.unwrap();
        let bob = tx.create_account(domain, "bob", &[], 1).await.unwrap().unwrap();
        let many = 2 * PIECE + 10;
        for n in 0..many {
            tx.remember_place(bob, &format!("192.0.2.{n}"), 1).await.unwrap();
            let old = whoelse_store::Throttle { failures: 1, since: 1, blocked_until: 0 };
            tx.throttle_save(&n.to_string(), old).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(store.known_networks_since(bob, 0).await.unwrap().len() as u64, many);

        let before = node.keeper.rounds();
        purge(&node, node.even_time()).await.unwrap();

        // Three pieces of each of the two, and a look at each of the three others.
        assert!(node.keeper.rounds() - before >= 9);
        assert!(store.known_networks_since(bob, 0).await.unwrap().is_empty());
        assert!(store.throttle_load_all(2).await.unwrap().is_empty());
        node.stop().await;
    }

    #[tokio::test]
    async fn a_block_for_three_days_outlasts_a_clock_that_is_ten_or_four_hundred_days_ahead() {
        let bob = BareJid::parse("bob@a.example").unwrap();
        for (running, starting) in [(10, 0), (0, 400)] {
            let store = Store::open(&Location::Memory).await.unwrap();
            let mut tx = store.begin().await.unwrap();
            let beat = Heartbeat { wall: NOW.0, even: NOW.0, doubt: None };
            tx.heartbeat(&beat).await.unwrap();
            tx.commit().await.unwrap();
            let node = start(&store, NOW).await;
            assert_eq!(node.clock_doubt(), None);
            node.block_account(&bob, Some(DAY * 3)).await;
            node.clock.set_wall(NOW.after(DAY * running));

            forget(&node).await;

            node.clock.set_wall(NOW);
            node.stop().await;
            let node = start(&store, NOW.after(DAY * starting)).await;
            assert!(node.is_disabled(&bob), "{running} and {starting} days ahead");
            node.stop().await;
            let node = start(&store, NOW).await;
            assert!(node.is_disabled(&bob), "{running} and {starting} days ahead");
        }
    }
}
