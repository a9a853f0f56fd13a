//! The heartbeat: when the server was last seen alive, by the wall clock and in even time, and
//! whether the wall was believed.
//!
//! *Even time* is what the wall said at the first start, and has gone on evenly since, whatever was
//! done to the clock. Everything that expires by age is stamped with it. `core` computes it and
//! decides when the wall is in doubt.

use sqlx::Row;

use crate::purpose::For;
use crate::{Result, Store, Tx, pieces, repeats, sequences};

/// Bodies are numbered by age, so this reads no body older than those that it finds.
const LAST_BEFORE: &str =
    "SELECT b.id FROM bodies b WHERE b.kept_at < $1 ORDER BY b.id DESC LIMIT 1";
const STEP_ENDS: &str = "SELECT COUNT(*), CAST(COALESCE(MAX(step.id), 0) AS BIGINT) FROM \
    (SELECT b.id FROM bodies b WHERE b.id > $1 ORDER BY b.id LIMIT $2) AS step";
const RENEW_BODIES: &str = "UPDATE bodies SET kept_at = $4 \
    WHERE id > $1 AND id <= $2 AND kept_at >= $3 AND kept_at < $4";
/// What is renewed leaves the condition, so the next piece finds the rest.
const RENEW: [&str; 3] = [
    "UPDATE places SET at = $2 WHERE (account, place) IN (SELECT p.account, p.place \
    FROM places p WHERE p.at >= $1 AND p.at < $2 ORDER BY p.at LIMIT $3)",
    "UPDATE removed_names SET at = $2 WHERE (domain, localpart) IN (SELECT n.domain, n.localpart \
    FROM removed_names n WHERE n.at >= $1 AND n.at < $2 LIMIT $3)",
    "UPDATE former_credentials SET at = $2 WHERE (account, mechanism, generation) IN \
    (SELECT f.account, f.mechanism, f.generation FROM former_credentials f \
    WHERE f.at >= $1 AND f.at < $2 ORDER BY f.at LIMIT $3)",
];
/// When a new schema first ran successfully (`sequences::UPGRADED`).
const RENEW_UPGRADE: &str =
    "UPDATE numbers SET value = $2 WHERE name = 'upgraded' AND value >= $1 AND value < $2";
/// People ask for these ages, so each keeps its own.
const SHIFT_ONLINE: &str = "UPDATE online SET until_at = until_at + $2, \
    from_at = CASE WHEN from_at >= $1 THEN from_at + $2 ELSE from_at END WHERE until_at >= $1";
const SHIFT_DEPARTURES: &str = "UPDATE departures SET at = at + $2 WHERE at >= $1";

/// A block keeps the time that is left of it; 0 is no block, and one that lasts for ever is
/// unchanged.
const SHIFT_THROTTLE: &str = "UPDATE throttle SET since = since + $2, blocked_until = \
    CASE WHEN blocked_until > 0 AND blocked_until < 4611686018427387904 \
    THEN blocked_until + $2 ELSE blocked_until END WHERE since >= $1";

pub(crate) const STATEMENTS: &[&str] = &[
    LAST_BEFORE,
    STEP_ENDS,
    RENEW_BODIES,
    RENEW[0],
    RENEW[1],
    RENEW[2],
    RENEW_UPGRADE,
    SHIFT_ONLINE,
    SHIFT_DEPARTURES,
    SHIFT_THROTTLE,
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

impl Store {
    /// Returns the last sign of life; `None` if there never was one.
    pub async fn last_heartbeat(&self) -> Result<Option<Heartbeat>> {
        sequences::heartbeat(&mut *self.reader().await?).await
    }

    /// Returns where to begin with the renewal of what was stamped at this even time or later.
    /// Bodies are numbered in the order of the commits, across all archives.
    pub async fn renewal_of(&self, since: i64) -> Result<Renewed> {
        let mut conn = self.reader_for(For::Archives).await?;
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
    /// repeats, known networks, removed names and former passwords. It looks at no more than `most`
    /// rows of each, after those of the calls before, and returns how far it has come; `None`:
    /// everything is renewed.
    pub async fn renew(
        &mut self,
        renewed: Renewed,
        since: i64,
        now: i64,
        most: u64,
    ) -> Result<Option<Renewed>> {
        let conn = self.conn()?;
        let limit = i64::try_from(most.max(1)).unwrap_or(i64::MAX);
        let step = sqlx::query(STEP_ENDS).bind(renewed.body).bind(limit);
        let step = step.fetch_one(&mut *conn).await?;
        let (bodies, body): (i64, i64) = (step.try_get(0)?, step.try_get(1)?);
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
    /// as before, and blocks keep the time that is left.
    pub async fn shift_ages(&mut self, since: i64, now: i64, skipped: i64) -> Result<()> {
        self.forget_repeats();
        let conn = self.conn()?;
        sqlx::query(RENEW_UPGRADE).bind(since).bind(now).execute(&mut *conn).await?;
        for text in [SHIFT_ONLINE, SHIFT_DEPARTURES, SHIFT_THROTTLE] {
            sqlx::query(text).bind(since).bind(skipped).execute(&mut *conn).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{account, fresh, message, remove_wholly};

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
        for (name, at) in [("then", 10), ("lately", 20)] {
            let gone = account(&mut tx, name).await;
            tx.keep_name(gone, at, 100, 9).await.unwrap();
            remove_wholly(&mut tx, gone).await;
        }
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
        tx.shift_ages(20, 1030, 1000).await.unwrap();
        tx.commit().await.unwrap();

        let rows = store.throttle_load_all(0).await.unwrap();
        let until = rows.iter().map(|(key, row)| (key.as_str(), row.blocked_until));
        let wanted = [("ever", i64::MAX), ("new", 1040), ("old", 40), ("none", 0)];
        assert_eq!(until.collect::<Vec<_>>(), wanted);

        assert_eq!(store.known_networks_since(bob, 1030).await.unwrap(), ["192.0.2.2"]);
        assert_eq!(store.known_networks_since(bob, 0).await.unwrap().len(), 2);
        let domain = store.domains().await.unwrap()[0].id;
        assert!(store.was_name_removed_since(domain, "lately", 1030).await.unwrap());
        assert!(!store.was_name_removed_since(domain, "then", 20).await.unwrap());
        let seen = |at| {
            let store = &store;
            async move { store.gone_between(domain, at, i64::MAX).await.unwrap().len() }
        };
        assert_eq!((seen(1025).await, seen(1026).await, seen(1029).await), (2, 1, 0));
        assert_eq!(store.departure(bob).await.unwrap().unwrap().at, 1028);
    }
}
