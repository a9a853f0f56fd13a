//! The heartbeat: when the server was last seen alive, by the wall clock and in even time, and
//! whether the wall was believed.
//!
//! *Even time* is what the wall said at the first start, and has gone on evenly since, whatever was
//! done to the clock. Everything that expires by age is stamped with it. `core` computes it and
//! decides when the wall is in doubt.

use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, pieces, repeats, sequences};

/// Bodies are numbered by age, so this reads no body older than those that it finds.
const LAST_BEFORE: &str =
    "SELECT b.id FROM bodies b WHERE b.kept_at < $1 ORDER BY b.id DESC LIMIT 1";
const STEP_ENDS: &str = "SELECT COUNT(*), CAST(COALESCE(MAX(step.id), 0) AS BIGINT) FROM \
    (SELECT b.id FROM bodies b WHERE b.id > $1 ORDER BY b.id LIMIT $2) AS step";
const RENEW_BODIES: &str = "UPDATE bodies SET kept_at = $4 \
    WHERE id > $1 AND id <= $2 AND kept_at >= $3 AND kept_at < $4";
/// What is renewed leaves the condition, so the next piece finds the rest.
const RENEW: [&str; 6] = [
    "UPDATE places SET at = $2 WHERE (account, place) IN (SELECT p.account, p.place \
    FROM places p WHERE p.at >= $1 AND p.at < $2 ORDER BY p.at LIMIT $3)",
    "UPDATE removed_names SET at = $2 WHERE (domain, localpart) IN (SELECT n.domain, n.localpart \
    FROM removed_names n WHERE n.at >= $1 AND n.at < $2 LIMIT $3)",
    "UPDATE former_credentials SET at = $2 WHERE (account, mechanism, generation) IN \
    (SELECT f.account, f.mechanism, f.generation FROM former_credentials f \
    WHERE f.at >= $1 AND f.at < $2 ORDER BY f.at LIMIT $3)",
    "UPDATE accounts SET registered_at = $2 WHERE id IN (SELECT a.id FROM accounts a \
    WHERE a.registered_at >= $1 AND a.registered_at < $2 ORDER BY a.registered_at LIMIT $3)",
    "UPDATE devices SET at = $2 WHERE (account, id) IN (SELECT d.account, d.id \
    FROM devices d WHERE d.at >= $1 AND d.at < $2 ORDER BY d.at LIMIT $3)",
    "UPDATE tokens SET given_at = $2 WHERE (account, device, slot) IN \
    (SELECT t.account, t.device, t.slot FROM tokens t \
    WHERE t.given_at >= $1 AND t.given_at < $2 ORDER BY t.given_at LIMIT $3)",
];
/// When a new schema first ran successfully (`sequences::UPGRADED`).
const RENEW_UPGRADE: &str =
    "UPDATE numbers SET value = $2 WHERE name = 'upgraded' AND value >= $1 AND value < $2";
/// Marks a time that has moved. No time is so late.
macro_rules! mark {
    () => {
        "1152921504606846976"
    };
}

/// People ask for these ages, so each keeps its own: the times move with even time. A time that has
/// moved is marked, so that it is not moved again. A block keeps the time that is left of it; 0 is no
/// block, and one that lasts for ever is unchanged.
const MOVE: [&str; 3] = [
    concat!(
        "UPDATE online SET until_at = until_at + $3 + ",
        mark!(),
        ", from_at = CASE WHEN from_at >= $1 THEN from_at + $3 ELSE from_at END WHERE id IN \
        (SELECT o.id FROM online o WHERE o.until_at >= $1 AND o.until_at <= $2 \
        ORDER BY o.until_at LIMIT $4)"
    ),
    concat!(
        "UPDATE departures SET at = at + $3 + ",
        mark!(),
        " WHERE account IN (SELECT d.account FROM departures d WHERE d.at >= $1 AND d.at <= $2 \
        ORDER BY d.at LIMIT $4)"
    ),
    concat!(
        "UPDATE throttle SET since = since + $3 + ",
        mark!(),
        ", blocked_until = CASE WHEN blocked_until > 0 AND blocked_until < 4611686018427387904 \
        THEN blocked_until + $3 ELSE blocked_until END WHERE scope IN \
        (SELECT t.scope FROM throttle t WHERE t.since >= $1 AND t.since <= $2 \
        ORDER BY t.since LIMIT $4)"
    ),
];
/// Takes the marks away, when all are moved.
const UNMARK: [&str; 3] = [
    concat!(
        "UPDATE online SET until_at = until_at - ",
        mark!(),
        " WHERE id IN (SELECT o.id FROM online o WHERE o.until_at >= ",
        mark!(),
        " ORDER BY o.until_at LIMIT $1)"
    ),
    concat!(
        "UPDATE departures SET at = at - ",
        mark!(),
        " WHERE account IN (SELECT d.account FROM departures d WHERE d.at >= ",
        mark!(),
        " ORDER BY d.at LIMIT $1)"
    ),
    concat!(
        "UPDATE throttle SET since = since - ",
        mark!(),
        " WHERE scope IN (SELECT t.scope FROM throttle t WHERE t.since >= ",
        mark!(),
        " ORDER BY t.since LIMIT $1)"
    ),
];

pub(crate) const STATEMENTS: &[&str] = &[
    LAST_BEFORE,
    STEP_ENDS,
    RENEW_BODIES,
    RENEW[0],
    RENEW[1],
    RENEW[2],
    RENEW[3],
    RENEW[4],
    RENEW[5],
    RENEW_UPGRADE,
    MOVE[0],
    MOVE[1],
    MOVE[2],
    UNMARK[0],
    UNMARK[1],
    UNMARK[2],
];

/// A sign of life. Times and durations are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The wall time, since 1970.
    pub wall: i64,
    /// Even time.
    pub even: i64,
    /// The doubt, if the wall was not believed.
    pub doubt: Option<ClockDoubt>,
}

/// A wall clock that is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDoubt {
    /// When the doubt began, in even time.
    pub since: i64,
    /// How long the server has been up during the doubt, in sum.
    pub up: i64,
    /// How much time has passed by the wall that was not counted.
    pub claim: i64,
    /// How far the wall was from what was expected; negative: behind; 0: there was nothing to
    /// compare it with.
    pub gap: i64,
}

/// How far a renewal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// The last body that was looked at.
    body: i64,
    /// The last row of repeats.
    repeat: i64,
}

impl Renewed {
    /// How many kinds of rows are renewed, so many of each at once: bodies, repeats, and what
    /// [`RENEW`] has.
    pub const KINDS: u64 = 2 + RENEW.len() as u64;
}

impl Store {
    /// Returns the last sign of life; `None` if there never was one.
    pub async fn last_heartbeat(&self) -> Result<Option<Heartbeat>> {
        sequences::heartbeat(&mut *self.reader().await?).await
    }

    /// Returns whether [`Tx::move_times`] has something to do.
    pub async fn are_times_moving(&self) -> Result<bool> {
        are_times_moving(&mut *self.reader().await?).await
    }

    /// Returns where to begin with the renewal of what was stamped at this even time or later.
    /// Bodies are numbered in the order of the commits, across all archives.
    pub async fn renewal_of(&self, since: i64) -> Result<Renewed> {
        let mut conn = self.long_reader().await?;
        let row = sqlx::query(LAST_BEFORE).bind(since).fetch_optional(&mut *conn).await?;
        let body = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        Ok(Renewed { body, repeat: 0 })
    }
}

impl Tx {
    /// Notes that the server is alive.
    pub async fn heartbeat(&mut self, beat: &Heartbeat) -> Result<()> {
        let conn = self.conn()?;
        sequences::write(conn, sequences::HEARTBEAT, beat.wall).await?;
        sequences::write(conn, sequences::EVEN, beat.even).await?;
        match beat.doubt {
            Some(doubt) => {
                sequences::write(conn, sequences::DOUBT_SINCE, doubt.since).await?;
                sequences::write(conn, sequences::DOUBT_UP, doubt.up).await?;
                sequences::write(conn, sequences::DOUBT_CLAIM, doubt.claim).await?;
                sequences::write(conn, sequences::DOUBT_GAP, doubt.gap).await
            }
            None => sequences::forget(conn, sequences::DOUBT_SINCE).await,
        }
    }

    /// Makes what was stamped at `since` or later as young as if it were stamped at `now`: messages,
    /// repeats, known networks, removed names, former passwords, accounts that were registered, devices
    /// and their tokens. It looks at no more than `most` rows of each, after those of the calls before,
    /// and returns how far it has come; `None`: everything is renewed.
    pub async fn renew(
        &mut self,
        renewed: Renewed,
        since: i64,
        now: i64,
        most: u64,
    ) -> Result<Option<Renewed>> {
        let conn = self.conn()?;
        let limit = i64::try_from(most.max(1)).unwrap_or(i64::MAX);
        let (bodies, body) = pieces::look(conn, STEP_ENDS, &[renewed.body, limit]).await?;
        let renewal = sqlx::query(RENEW_BODIES).bind(renewed.body).bind(body).bind(since).bind(now);
        renewal.execute(&mut *conn).await?;
        let (rows, repeat) = repeats::renew(conn, renewed.repeat, since, now, limit).await?;
        let mut is_done = bodies < limit && rows < limit;
        for text in RENEW {
            is_done &= pieces::change(conn, text, &[since, now], most.max(1)).await? < most.max(1);
        }
        let after = Renewed { body: body.max(renewed.body), repeat };
        Ok((!is_done).then_some(after))
    }

    /// Ends a renewal, when even time jumps by `skipped` to `now`: last departures stay as long ago
    /// as before, and blocks keep the time that is left. [`Tx::move_times`] sees to that, for whatever
    /// was stamped between `since` and `until`, when it jumps.
    pub async fn end_renewal(
        &mut self,
        since: i64,
        until: i64,
        now: i64,
        skipped: i64,
    ) -> Result<()> {
        self.forget_repeats();
        let conn = self.conn()?;
        sqlx::query(RENEW_UPGRADE).bind(since).bind(now).execute(&mut *conn).await?;
        sequences::write(conn, sequences::MOVED_SINCE, since).await?;
        sequences::write(conn, sequences::MOVED_UNTIL, until).await?;
        sequences::write(conn, sequences::MOVED_BY, skipped).await
    }

    /// Moves at most so many times of each kind. Returns whether there may be more; until there are
    /// no more, those that are not moved yet look older than they are, and nothing is forgotten by
    /// them.
    pub async fn move_times(&mut self, most: u64) -> Result<bool> {
        let conn = self.conn()?;
        let Some(by) = sequences::read(conn, sequences::MOVED_BY).await? else { return Ok(false) };
        let since = sequences::read(conn, sequences::MOVED_SINCE).await?.unwrap_or(i64::MAX);
        let until = sequences::read(conn, sequences::MOVED_UNTIL).await?;
        let mut is_more = false;
        if let Some(until) = until {
            for text in MOVE {
                is_more |= pieces::change(conn, text, &[since, until, by], most).await? >= most;
            }
            if !is_more {
                sequences::forget(conn, sequences::MOVED_UNTIL).await?;
            }
            return Ok(true);
        }
        for text in UNMARK {
            is_more |= pieces::change(conn, text, &[], most).await? >= most;
        }
        if !is_more {
            sequences::forget(conn, sequences::MOVED_BY).await?;
        }
        Ok(is_more)
    }
}

/// Whether times still have to move, so that some look older than they are.
pub(crate) async fn are_times_moving(conn: &mut AnyConnection) -> Result<bool> {
    Ok(sequences::read(conn, sequences::MOVED_BY).await?.is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{account, fresh, message, remove_wholly, token, user_agent};

    #[tokio::test]
    async fn a_heartbeat_comes_back_with_its_doubt_until_it_has_none() {
        let (_dir, store) = fresh().await;
        assert_eq!(store.last_heartbeat().await.unwrap(), None);
        let doubt = ClockDoubt { since: 5, up: 3, claim: 400, gap: -2 };

        for doubt in [None, Some(doubt), Some(ClockDoubt { up: 4, ..doubt }), None] {
            let beat = Heartbeat { wall: 100, even: 60, doubt };
            let mut tx = store.begin().await.unwrap();
            tx.heartbeat(&beat).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(store.last_heartbeat().await.unwrap(), Some(beat));
        }
    }

    #[tokio::test]
    async fn a_heartbeat_of_an_older_program_is_in_even_time_as_on_the_wall() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        sequences::write(tx.conn().unwrap(), sequences::HEARTBEAT, 60).await.unwrap();
        tx.commit().await.unwrap();

        let beat = Heartbeat { wall: 60, even: 60, doubt: None };
        assert_eq!(store.last_heartbeat().await.unwrap(), Some(beat));
    }

    #[tokio::test]
    async fn what_was_kept_in_doubt_is_renewed_in_steps_and_nothing_else() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        // The messages were kept at 1000, 2000, 3000 and 4000.
        let messages = [1, 2, 3, 4].map(|seq| message(seq, ("eve", eve), ("bob", bob)));
        tx.append(&messages).await.unwrap();
        tx.advance_cursors(&[(bob, 4)]).await.unwrap();

        tx.commit().await.unwrap();
        let first = store.renewal_of(2000).await.unwrap();
        assert_eq!(first.body, 1);
        assert_eq!(store.renewal_of(1000).await.unwrap().body, 0);
        let mut tx = store.begin().await.unwrap();
        let second = tx.renew(first, 2000, 9000, 2).await.unwrap().unwrap();
        assert_eq!(second.body, 3);
        assert_eq!(tx.renew(second, 2000, 9000, 2).await.unwrap(), None);
        tx.commit().await.unwrap();

        let ages = store.undelivered(bob, 0, 10).await.unwrap();
        let ages: Vec<i64> = ages.iter().map(|row| row.kept_at).collect();
        assert_eq!(ages, [1000, 9000, 9000, 9000]);
    }

    #[tokio::test]
    async fn repeats_and_networks_begin_anew_and_ages_stay_what_they_are() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.remember_place(bob, "192.0.2.1", 10).await.unwrap();
        tx.remember_place(bob, "192.0.2.2", 20).await.unwrap();
        tx.note_registered(bob, 10).await.unwrap();
        tx.note_registered(eve, 20).await.unwrap();
        for (id, at) in [("phone", 10), ("tablet", 20)] {
            tx.add_device(bob, &user_agent(id), (at, at), 9).await.unwrap();
            tx.put_token(bob, id, &token(id, at)).await.unwrap();
        }
        for (name, at) in [("then", 10), ("lately", 20)] {
            let gone = account(&mut tx, name).await;
            tx.keep_name(gone, at, 100, 9).await.unwrap();
            remove_wholly(&mut tx, gone).await;
        }
        let zoe = account(&mut tx, "zoe").await;
        tx.came_online(zoe, 24).await.unwrap();
        for (who, from, until) in [(bob, 5, 15), (eve, 5, 25), (bob, 22, 28)] {
            tx.came_online(who, from).await.unwrap();
            tx.went_offline(who, until).await.unwrap();
        }
        tx.departed(bob, 28, "").await.unwrap();
        tx.departed(eve, 15, "").await.unwrap();

        for (key, since, blocked_until) in
            [("old", 10, 40), ("new", 20, 40), ("none", 20, 0), ("ever", 20, i64::MAX)]
        {
            let row = crate::Throttle { failures: 3, since, blocked_until };
            tx.throttle_save(key, row).await.unwrap();
        }

        assert_eq!(tx.renew(Renewed::default(), 20, 1030, 9).await.unwrap(), None);
        tx.end_renewal(20, 30, 1030, 1000).await.unwrap();
        // What comes now is of the new time.
        tx.went_offline(zoe, 1030).await.unwrap();
        assert_eq!(tx.purge_intervals(100, 9).await.unwrap(), 0);
        assert_eq!(tx.throttle_purge(i64::MAX, 9).await.unwrap(), 0);
        while tx.move_times(1).await.unwrap() {}
        assert_eq!(tx.purge_intervals(15, 9).await.unwrap(), 0);
        tx.commit().await.unwrap();

        let rows = store.throttle_load_all(0).await.unwrap();
        let until = rows.iter().map(|(key, row)| (key.as_str(), row.blocked_until));
        let wanted = [("ever", i64::MAX), ("new", 1040), ("old", 40), ("none", 0)];
        assert_eq!(until.collect::<Vec<_>>(), wanted);

        assert_eq!(store.known_networks_since(bob, 1030).await.unwrap(), ["192.0.2.2"]);
        assert_eq!(store.known_networks_since(bob, 0).await.unwrap().len(), 2);
        let devices = store.devices(bob).await.unwrap();
        let given: Vec<_> =
            devices.iter().map(|device| (device.used_at, device.given_at)).collect();
        assert_eq!(given, [(10, Some(10)), (20, Some(1030))]);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.purge_devices(1030, 9).await.unwrap(), 1);
        tx.rollback().await.unwrap();
        let domain = store.domains().await.unwrap()[0].id;
        for (name, registered_at) in [("bob", Some(10)), ("eve", Some(1030)), ("zoe", None)] {
            let row = store.find_account(domain, name).await.unwrap().unwrap();
            assert_eq!(row.registered_at, registered_at, "{name}");
        }
        assert!(store.was_name_removed_since(domain, "lately", 1030).await.unwrap());
        assert!(!store.was_name_removed_since(domain, "then", 20).await.unwrap());
        let seen = |at| {
            let store = &store;
            async move { store.gone_between(domain, at, i64::MAX).await.unwrap().len() }
        };
        assert_eq!((seen(1025).await, seen(1026).await, seen(1029).await), (3, 2, 1));
        assert_eq!(store.departure(bob).await.unwrap().unwrap().at, 1028);
    }

    #[tokio::test]
    async fn times_move_once_wherever_the_server_is_killed_and_however_little_they_move() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let mut who = Vec::new();
        for (n, at) in [10, 20, 21, 21, 22, 30].into_iter().enumerate() {
            let account = account(&mut tx, &format!("user{n}")).await;
            tx.departed(account, at, "").await.unwrap();
            who.push(account);
        }
        // Each lands among those that have not moved yet.
        tx.end_renewal(20, 30, 31, 1).await.unwrap();
        tx.commit().await.unwrap();

        let mut pieces = 0;
        while store.are_times_moving().await.unwrap() {
            let mut tx = store.begin().await.unwrap();
            tx.move_times(2).await.unwrap();
            tx.commit().await.unwrap();
            pieces += 1;
            // This one is killed before it is committed.
            store.begin().await.unwrap().move_times(2).await.unwrap();
        }

        assert!(pieces > 4, "{pieces}");
        let mut ages = Vec::new();
        for account in who {
            ages.push(store.departure(account).await.unwrap().unwrap().at);
        }
        assert_eq!(ages, [10, 21, 22, 22, 23, 31]);
    }
}
