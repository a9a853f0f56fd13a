//! XEP-0484: the devices that may log in by a token, and their tokens.
//!
//! A device is a user agent (XEP-0388) of an account. Its tokens are in three slots; `core` decides
//! which of them lets in. They are keys in clear, since a server computes an HMAC with them: no
//! backup has them ([`crate::Store::backup`]).

use std::fmt;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Result, Store, Tx, pieces};

/// A row for each token, or one without.
const OF_NAME: &str = "SELECT a.id, a.generation, t.slot, t.token, t.mechanism, t.generation, \
    t.given_at, t.count FROM accounts a \
    LEFT JOIN tokens t ON t.account = a.id AND t.device = $3 \
    WHERE a.domain = $1 AND a.localpart = $2";
const HAS: &str = "SELECT 1 FROM tokens WHERE account = $1 AND device = $2 AND given_at = $3";
const LIST: &str = "SELECT d.number, d.id, d.software, d.name, d.made_at, d.used_at, \
    MAX(t.given_at) FROM devices d JOIN accounts a ON a.id = d.account \
    LEFT JOIN tokens t ON t.account = d.account AND t.device = d.id AND t.slot < 2 \
    AND t.generation = a.generation WHERE d.account = $1 \
    GROUP BY d.number, d.id, d.software, d.name, d.made_at, d.used_at ORDER BY d.number";

/// The token, unless it was replaced, counted on or outdated since it was looked up.
const STILL: &str = "SELECT 1 FROM tokens t JOIN accounts a ON a.id = t.account \
    WHERE t.account = $1 AND t.device = $2 AND t.slot = $3 AND t.given_at = $4 AND t.count < $5 \
    AND t.generation = a.generation";
const COUNT: &str = "UPDATE tokens SET count = $4 WHERE account = $1 AND device = $2 AND slot = $3";
const REMOVE_TOKEN: &str = "DELETE FROM tokens WHERE account = $1 AND device = $2 AND slot = $3";
const MOVE_TOKEN: &str =
    "UPDATE tokens SET slot = $4 WHERE account = $1 AND device = $2 AND slot = $3";
const REMOVE_TOKENS: &str = "DELETE FROM tokens WHERE account = $1 AND device = $2";
const PUT_TOKEN: &str = "INSERT INTO tokens \
    (account, device, slot, token, mechanism, generation, given_at, count) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account, device, slot) DO UPDATE \
    SET token = excluded.token, mechanism = excluded.mechanism, \
    generation = excluded.generation, given_at = excluded.given_at, count = excluded.count";

const COUNT_DEVICES: &str = "SELECT COUNT(*) FROM devices WHERE account = $1";
const MAKE_ROOM: &str = "DELETE FROM devices WHERE account = $1 AND id IN \
    (SELECT d.id FROM devices d WHERE d.account = $1 ORDER BY d.at, d.number LIMIT $2)";
const ADD: &str = "INSERT INTO devices (account, id, number, software, name, made_at, used_at, at) \
    SELECT a.id, $2, (SELECT COALESCE(MAX(number), 0) + 1 FROM devices WHERE account = $1), \
    $3, $4, $5, $5, $6 FROM accounts a WHERE a.id = $1";
/// What it does not say this time stays.
const RENAME: &str = "UPDATE devices SET \
    software = CASE WHEN $3 = '' THEN software ELSE $3 END, \
    name = CASE WHEN $4 = '' THEN name ELSE $4 END WHERE account = $1 AND id = $2";
/// Logins are not written in the order in which they were made.
const USE: &str = "UPDATE devices SET used_at = $3, at = $4 \
    WHERE account = $1 AND id = $2 AND at < $4";
const OF_NUMBER: &str = "SELECT id FROM devices WHERE account = $1 AND number = $2";
const REMOVE: &str = "DELETE FROM devices WHERE account = $1 AND id = $2";
const REMOVE_ALL: &str = "DELETE FROM devices WHERE account = $1 RETURNING id";
const PURGE: &str = "DELETE FROM devices WHERE (account, id) IN \
    (SELECT d.account, d.id FROM devices d WHERE d.at < $1 ORDER BY d.at LIMIT $2)";

pub(crate) const STATEMENTS: &[&str] = &[
    OF_NAME,
    HAS,
    LIST,
    STILL,
    COUNT,
    REMOVE_TOKEN,
    MOVE_TOKEN,
    REMOVE_TOKENS,
    PUT_TOKEN,
    COUNT_DEVICES,
    MAKE_ROOM,
    ADD,
    RENAME,
    USE,
    OF_NUMBER,
    REMOVE,
    REMOVE_ALL,
    PURGE,
];

/// A place for one token of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The token that was given last and never used.
    New,
    /// The one that was used last.
    Current,
    /// The one that was current before.
    Former,
}

impl Slot {
    /// All of them.
    pub const ALL: [Slot; 3] = [Slot::New, Slot::Current, Slot::Former];

    fn number(self) -> i64 {
        match self {
            Slot::New => 0,
            Slot::Current => 1,
            Slot::Former => 2,
        }
    }

    fn of_number(number: i64) -> Option<Slot> {
        Slot::ALL.into_iter().find(|slot| slot.number() == number)
    }
}

/// A token of a device. Never printed.
#[derive(Clone)]
pub struct StoredToken {
    /// Its slot.
    pub slot: Slot,
    /// The token itself: a key.
    pub token: String,
    /// The mechanism for which it was given.
    pub mechanism: String,
    /// The generation of the password by which it was given.
    pub generation: i64,
    /// When it was given, in even time.
    pub given_at: i64,
    /// The highest count that came with it; -1 if none did.
    pub count: i64,
}

impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredToken").field("slot", &self.slot).finish_non_exhaustive()
    }
}

/// What the store knows of a name and a device that somebody claims in a login.
#[derive(Clone, Debug)]
pub struct ClaimedTokens {
    /// The number of the account.
    pub account: i64,
    /// How often its password was set so far.
    pub generation: i64,
    /// The tokens of the device; none if it is not known.
    pub tokens: Vec<StoredToken>,
}

/// A client that was given a token: its id, and what it calls itself.
#[derive(Clone)]
pub struct UserAgent {
    /// Its id.
    pub id: String,
    /// The program.
    pub software: String,
    /// The device on which it runs.
    pub name: String,
}

impl fmt::Debug for UserAgent {
    /// Does not show the id: whoever knows it can try tokens in its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAgent").field("software", &self.software).finish_non_exhaustive()
    }
}

/// A device of an account.
#[derive(Clone, Debug)]
pub struct Device {
    /// By which people speak of it; unique for the account.
    pub number: i64,
    /// The client.
    pub agent: UserAgent,
    /// When it was given its first token, in microseconds since 1970.
    pub made_at: i64,
    /// When it logged in last, likewise.
    pub used_at: i64,
    /// When it was given its last token by the present password, in even time; `None` if it has none.
    pub given_at: Option<i64>,
}

impl Store {
    /// Returns the account of a name, the generation of its password, and the tokens of a device.
    /// All is read by one query, even if some of it does not exist.
    pub async fn tokens(
        &self,
        domain: i64,
        localpart: &str,
        device: &str,
    ) -> Result<Option<ClaimedTokens>> {
        let query = sqlx::query(OF_NAME).bind(domain).bind(localpart).bind(device);
        let rows = query.fetch_all(&mut *self.reader().await?).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (account, generation) = (row.try_get(0)?, row.try_get(1)?);
        let tokens = rows.iter().map(token).filter_map(Result::transpose);
        Ok(Some(ClaimedTokens { account, generation, tokens: tokens.collect::<Result<_>>()? }))
    }

    /// Returns whether a device has a token that was given at this even time, whatever its slot. What
    /// a device was given before it was removed and made anew is not among them.
    pub async fn has_token(&self, account: i64, device: &str, given_at: i64) -> Result<bool> {
        let query = sqlx::query(HAS).bind(account).bind(device).bind(given_at);
        Ok(query.fetch_optional(&mut *self.reader().await?).await?.is_some())
    }

    /// Returns the devices of an account, by number.
    pub async fn devices(&self, account: i64) -> Result<Vec<Device>> {
        let query = sqlx::query(LIST).bind(account);
        let rows = query.fetch_all(&mut *self.own_reader().await?).await?;
        let device = |row: &AnyRow| {
            Ok(Device {
                number: row.try_get(0)?,
                agent: UserAgent {
                    id: row.try_get(1)?,
                    software: row.try_get(2)?,
                    name: row.try_get(3)?,
                },
                made_at: row.try_get(4)?,
                used_at: row.try_get(5)?,
                given_at: row.try_get(6)?,
            })
        };
        rows.iter().map(device).collect()
    }
}

/// Reads a row of [`OF_NAME`].
fn token(row: &AnyRow) -> Result<Option<StoredToken>> {
    let Some(slot) = row.try_get::<Option<i64>, _>(2)?.and_then(Slot::of_number) else {
        return Ok(None);
    };
    Ok(Some(StoredToken {
        slot,
        token: row.try_get(3)?,
        mechanism: row.try_get(4)?,
        generation: row.try_get(5)?,
        given_at: row.try_get(6)?,
        count: row.try_get(7)?,
    }))
}

impl Tx {
    /// Notes that a token was used, with this count if one came with it. Returns whether it still may
    /// be: it is in its slot, of the present password, and no such count came before.
    pub async fn use_token(
        &mut self,
        account: i64,
        device: &str,
        used: &StoredToken,
        count: Option<i64>,
    ) -> Result<bool> {
        let conn = self.conn()?;
        let slot = used.slot.number();
        let query = sqlx::query(STILL).bind(account).bind(device).bind(slot).bind(used.given_at);
        let query = query.bind(count.unwrap_or(i64::MAX));
        if query.fetch_optional(&mut *conn).await?.is_none() {
            return Ok(false);
        }
        if let Some(count) = count {
            let query = sqlx::query(COUNT).bind(account).bind(device).bind(slot).bind(count);
            query.execute(conn).await?;
        }
        Ok(true)
    }

    /// Makes the new token of a device its current one, and that the former one.
    pub async fn move_tokens(&mut self, account: i64, device: &str) -> Result<()> {
        let conn = self.conn()?;
        let [new, current, former] = Slot::ALL.map(Slot::number);
        let gone = sqlx::query(REMOVE_TOKEN).bind(account).bind(device).bind(former);
        gone.execute(&mut *conn).await?;
        for (from, to) in [(current, former), (new, current)] {
            let query = sqlx::query(MOVE_TOKEN).bind(account).bind(device).bind(from).bind(to);
            query.execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Gives a device, which is known, a token. It takes the place of the one in its slot.
    pub async fn put_token(&mut self, account: i64, device: &str, new: &StoredToken) -> Result<()> {
        let query = sqlx::query(PUT_TOKEN).bind(account).bind(device).bind(new.slot.number());
        let query = query.bind(new.token.as_str()).bind(new.mechanism.as_str());
        let query = query.bind(new.generation).bind(new.given_at).bind(new.count);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes the tokens of a device. The device stays.
    pub async fn remove_tokens(&mut self, account: i64, device: &str) -> Result<()> {
        let query = sqlx::query(REMOVE_TOKENS).bind(account).bind(device);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Notes a device, if it is not known, with what it calls itself. An account has at most so many;
    /// those that were unused for longest make room. An account that is gone gets none.
    pub async fn add_device(
        &mut self,
        account: i64,
        agent: &UserAgent,
        (wall, even): (i64, i64),
        most: u64,
    ) -> Result<()> {
        if self.rename_device(account, agent).await? {
            return Ok(());
        }
        let conn = self.conn()?;
        let count = sqlx::query(COUNT_DEVICES).bind(account).fetch_one(&mut *conn).await?;
        let before = i64::try_from(most.max(1)).unwrap_or(i64::MAX) - 1;
        let too_many = count.try_get::<i64, _>(0)? - before;
        if too_many > 0 {
            sqlx::query(MAKE_ROOM).bind(account).bind(too_many).execute(&mut *conn).await?;
        }
        let query = sqlx::query(ADD).bind(account).bind(agent.id.as_str());
        let query = query.bind(agent.software.as_str()).bind(agent.name.as_str());
        let query = query.bind(wall).bind(even);
        query.execute(conn).await?;
        Ok(())
    }

    /// Notes what a device calls itself now; returns whether it is known.
    pub async fn rename_device(&mut self, account: i64, agent: &UserAgent) -> Result<bool> {
        let query = sqlx::query(RENAME).bind(account).bind(agent.id.as_str());
        let query = query.bind(agent.software.as_str()).bind(agent.name.as_str());
        Ok(query.execute(self.conn()?).await?.rows_affected() > 0)
    }

    /// Notes that a device has logged in; one that is not known is skipped.
    pub async fn use_device(
        &mut self,
        account: i64,
        device: &str,
        (wall, even): (i64, i64),
    ) -> Result<()> {
        let query = sqlx::query(USE).bind(account).bind(device).bind(wall).bind(even);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes a device with its tokens; returns whether it was known.
    pub async fn remove_device(&mut self, account: i64, device: &str) -> Result<bool> {
        let removed = sqlx::query(REMOVE).bind(account).bind(device).execute(self.conn()?).await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Returns the id of the device with this number.
    pub async fn device_of(&mut self, account: i64, number: i64) -> Result<Option<String>> {
        let query = sqlx::query(OF_NUMBER).bind(account).bind(number);
        let row = query.fetch_optional(self.conn()?).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Removes all devices of an account with their tokens; returns their ids.
    pub async fn remove_devices(&mut self, account: i64) -> Result<Vec<String>> {
        let removed = sqlx::query(REMOVE_ALL).bind(account).fetch_all(self.conn()?).await?;
        removed.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Removes devices that were not used since this even time: at most so many; returns how many.
    pub async fn purge_devices(&mut self, before: i64, most: u64) -> Result<u64> {
        pieces::change(self.conn()?, PURGE, &[before], most).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{account, fresh, remove_wholly, token, user_agent, verifier};

    /// What is in the slots of Bob's phone: new, current, former.
    async fn slots(store: &Store) -> [Option<(String, i64)>; 3] {
        let claimed = store.tokens(1, "bob", "phone").await.unwrap().unwrap();
        Slot::ALL.map(|slot| {
            let found = claimed.tokens.iter().find(|token| token.slot == slot)?;
            Some((found.token.clone(), found.count))
        })
    }

    fn one(token: &str, count: i64) -> Option<(String, i64)> {
        Some((token.to_owned(), count))
    }

    #[tokio::test]
    async fn a_token_moves_from_slot_to_slot_and_none_is_lost_before_its_time() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.add_device(bob, &user_agent("phone"), (1, 1), 9).await.unwrap();
        for (n, name) in (1..).zip(["a", "b", "c"]) {
            tx.put_token(bob, "phone", &token(name, n)).await.unwrap();
            tx.move_tokens(bob, "phone").await.unwrap();
        }
        tx.put_token(bob, "phone", &token("lost", 4)).await.unwrap();
        tx.put_token(bob, "phone", &token("d", 5)).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(slots(&store).await, [one("d", -1), one("c", -1), one("b", -1)]);
        let unknown = store.tokens(1, "bob", "tablet").await.unwrap().unwrap();
        assert_eq!((unknown.account, unknown.tokens.len()), (bob, 0));
        assert!(store.tokens(1, "eve", "phone").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_count_grows_and_a_token_that_was_replaced_or_outdated_is_not_used() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.add_device(bob, &user_agent("phone"), (1, 1), 9).await.unwrap();
        let given = token("a", 7);
        tx.put_token(bob, "phone", &given).await.unwrap();

        assert!(tx.use_token(bob, "phone", &given, None).await.unwrap());
        assert!(tx.use_token(bob, "phone", &given, Some(0)).await.unwrap());
        assert!(tx.use_token(bob, "phone", &given, Some(5)).await.unwrap());
        assert!(!tx.use_token(bob, "phone", &given, Some(5)).await.unwrap());
        assert!(!tx.use_token(bob, "phone", &given, Some(4)).await.unwrap());
        assert!(tx.use_token(bob, "phone", &given, None).await.unwrap());
        assert!(!tx.use_token(bob, "phone", &token("a", 8), None).await.unwrap());
        assert!(!tx.use_token(bob, "tablet", &given, None).await.unwrap());

        tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 5)]).await.unwrap();
        assert!(!tx.use_token(bob, "phone", &given, None).await.unwrap());
        assert_eq!(tx.remove_devices(bob).await.unwrap(), ["phone"]);
        assert!(!tx.use_token(bob, "phone", &given, None).await.unwrap());
        tx.rollback().await.unwrap();
    }

    #[tokio::test]
    async fn the_device_that_was_unused_for_longest_makes_room() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        for (at, id) in (10..).zip(["phone", "tablet", "desk"]) {
            tx.add_device(bob, &user_agent(id), (at, at), 3).await.unwrap();
            tx.put_token(bob, id, &token(id, at)).await.unwrap();
        }
        tx.use_device(bob, "phone", (20, 20)).await.unwrap();
        tx.use_device(bob, "phone", (19, 19)).await.unwrap();
        // One that is known already takes nobody's place, and keeps what it does not say again.
        let silent = UserAgent { software: String::new(), ..user_agent("desk") };
        tx.add_device(bob, &silent, (21, 21), 3).await.unwrap();
        tx.add_device(bob, &user_agent("new"), (22, 22), 3).await.unwrap();
        tx.commit().await.unwrap();

        let devices = store.devices(bob).await.unwrap();
        assert!(devices.iter().all(|it| it.agent.software == "AwesomeXMPP"));
        let listed: Vec<_> = devices
            .iter()
            .map(|it| (it.number, it.agent.id.as_str(), it.made_at, it.used_at, it.given_at))
            .collect();
        assert_eq!(
            listed,
            [
                (1, "phone", 10, 20, Some(10)),
                (3, "desk", 12, 12, Some(12)),
                (4, "new", 22, 22, None)
            ]
        );
        assert!(store.tokens(1, "bob", "tablet").await.unwrap().unwrap().tokens.is_empty());
        assert_eq!(store.count_rows("tokens").await, 2);
    }

    #[tokio::test]
    async fn a_device_goes_by_its_number_with_its_tokens_or_when_it_is_old() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        for (at, id) in (10..).zip(["phone", "tablet", "desk"]) {
            tx.add_device(bob, &user_agent(id), (at, at), 9).await.unwrap();
            tx.put_token(bob, id, &token(id, at)).await.unwrap();
        }
        tx.add_device(eve, &user_agent("phone"), (30, 30), 9).await.unwrap();

        let tablet = tx.device_of(bob, 2).await.unwrap().unwrap();
        assert_eq!((tablet.as_str(), tx.device_of(eve, 2).await.unwrap()), ("tablet", None));
        assert!(tx.remove_device(bob, "tablet").await.unwrap());
        assert!(!tx.remove_device(bob, "tablet").await.unwrap());
        assert_eq!(tx.purge_devices(12, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();

        assert!(store.has_token(bob, "desk", 12).await.unwrap());
        assert!(!store.has_token(bob, "desk", 13).await.unwrap());
        assert!(!store.has_token(bob, "phone", 10).await.unwrap());
        assert_eq!(store.devices(eve).await.unwrap().len(), 1);
        assert_eq!(store.count_rows("tokens").await, 1);
    }

    #[tokio::test]
    async fn who_gets_the_name_of_a_removed_account_does_not_get_its_tokens() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.add_device(bob, &user_agent("phone"), (1, 1), 9).await.unwrap();
        tx.put_token(bob, "phone", &token("a", 1)).await.unwrap();

        remove_wholly(&mut tx, bob).await;
        tx.add_device(bob, &user_agent("late"), (1, 1), 9).await.unwrap();
        account(&mut tx, "bob").await;
        tx.commit().await.unwrap();

        assert!(store.tokens(1, "bob", "phone").await.unwrap().unwrap().tokens.is_empty());
        assert_eq!(store.count_rows("devices").await, 0);
    }

    #[test]
    fn a_token_and_an_id_are_never_printed() {
        let printed = format!("{:?} {:?}", token("secret", 1), user_agent("secret"));

        assert!(!printed.contains("secret"), "{printed}");
    }
}
