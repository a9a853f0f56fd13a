//! XEP-0484: the devices of an account that may log in by a token: what they are given, who they are,
//! and how they are put out.
//!
//! How such a login is checked is in `login::by_token`; the reasons for all of it are in
//! docs/design/fast-tokens.md.

use std::sync::Arc;
use std::time::Duration;

use whoelse_store::{Error, Slot, StoredToken, Tx, UserAgent as StoredAgent};
use whoelse_stream::fast::Given;
use whoelse_stream::ht::Token;
use whoelse_stream::sasl::Mechanism;
use whoelse_stream::sasl2::{UserAgent, UserAgentId};
use whoelse_xmpp::{Condition, StanzaError, StreamCondition, StreamError, ns};

use crate::account::Account;
use crate::clock::Time;
use crate::keeper::{After, Touches};
use crate::node::Node;
use crate::principal::{Principal, Proof};
use crate::session::Session;

/// How long a device is remembered after its last login: longer than any token lives.
pub(crate) const UNUSED_DEVICE: Duration = Duration::from_secs(365 * 86_400);
/// The rows of one device: its own and its tokens.
pub(crate) const OF_DEVICE: u64 = 1 + Slot::ALL.len() as u64;

/// A device that may log in by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// By which people speak of it; unique for the account.
    pub number: i64,
    /// The program, as it calls itself.
    pub software: String,
    /// What it runs on, as it says.
    pub name: String,
    /// When it was given its first token.
    pub since: Time,
    /// When it logged in last.
    pub used: Time,
    /// Whether it is the one that asks.
    pub is_own: bool,
}

/// A device from when it was given its first token until it is logged out: one that comes back after
/// that is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceMark {
    /// By which its program names itself.
    pub id: String,
    /// When it was given its first token.
    pub since: Time,
}

/// Which devices are put out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The one with this number.
    One(i64),
    /// All.
    All,
}

impl Node {
    /// Returns the devices of an account that may log in by a token, by number. `own` is the session
    /// that asks; one of another account is none of these devices, even if the same program begins it.
    pub async fn devices(
        &self,
        account: &Account,
        own: Option<&Session>,
    ) -> Result<Vec<Device>, StanzaError> {
        let found = self.store.devices(account.id).await.map_err(|error| self.internal(&error))?;
        let is_its = |own: &&Session| own.account.as_ref().is_some_and(|it| it.id == account.id);
        let own = own.filter(is_its).and_then(Session::device).map(|id| id.to_string());
        let alive = found
            .into_iter()
            .filter(|device| device.given_at.is_some_and(|given| self.is_young(Time(given))));
        let device = |it: whoelse_store::Device| Device {
            number: it.number,
            is_own: own.as_ref() == Some(&it.agent.id),
            software: it.agent.software,
            name: it.agent.name,
            since: Time(it.made_at),
            used: Time(it.used_at),
        };
        Ok(alive.map(device).collect())
    }

    /// Takes the tokens of devices back, and ends their sessions. Returns how many devices there were.
    /// `own` is the session of the account that asks, if one does: it goes on.
    pub async fn revoke_devices(
        self: &Arc<Node>,
        account: &Arc<Account>,
        which: Revoked,
        own: Option<&Arc<Session>>,
    ) -> Result<usize, StanzaError> {
        let most = self.settings().limits.devices_per_account as u64 * OF_DEVICE;
        let (account, own, id) = (account.clone(), own.map(|own| own.id), account.id);
        let revoked = self.keeper.change(Touches::AtMost(most), move |tx| {
            Box::pin(async move {
                let gone = remove(tx, id, which).await?;
                let count = gone.len();
                // After the commit: a login that was let in by a token looks whether its device is
                // there when its session has its place, so one of the two sees the other.
                let then: After = match gone.is_empty() {
                    true => Vec::new(),
                    false => vec![Box::new(move |node: &Arc<Node>| {
                        node.end_sessions_of(&account, &gone, own);
                        // What came by these devices ends; the others are let in again.
                        node.wiring.tell_barred(node, &account);
                    })],
                };
                Ok((count, then))
            })
        });
        revoked.await.map_err(|error| self.internal(&error))
    }

    /// The device of a session, if it may be logged out: for what the session is given that outlives it.
    pub async fn mark_of(&self, session: &Session) -> Result<Option<DeviceMark>, StanzaError> {
        let (Some(own), Some(id)) = (&session.account, session.device()) else { return Ok(None) };
        let id = id.to_string();
        let devices = self.store.devices(own.id).await.map_err(|error| self.internal(&error))?;
        let device = devices.into_iter().find(|device| device.agent.id == id);
        Ok(device.map(|it| DeviceMark { id, since: Time(it.made_at) }))
    }

    /// Whether a device of an account is still there, and was not logged out meanwhile.
    pub async fn has_device(&self, account: i64, mark: &DeviceMark) -> bool {
        let devices = self.store.devices(account).await;
        let is = |it: &whoelse_store::Device| it.agent.id == mark.id && it.made_at == mark.since.0;
        match devices {
            Ok(devices) => devices.iter().any(is),
            Err(error) => {
                self.store_failing("devices_unreadable", None, &error);
                false
            }
        }
    }

    /// Ends the sessions of devices.
    fn end_sessions_of(self: &Arc<Node>, account: &Account, gone: &[String], own: Option<u64>) {
        for session in account.sessions() {
            let device = session.device().map(|id| id.to_string());
            let is_gone = device.is_some_and(|device| gone.contains(&device));
            if is_gone && own != Some(session.id) {
                // RFC 6120, 4.9.3.16: what the stream was authenticated by has been revoked.
                let error = StreamError::new(StreamCondition::Reset)
                    .with_text("this device was logged out")
                    .with_app("device-revoked", ns::WHOELSE_ERRORS);
                self.put_out(&session, error);
            }
        }
    }

    /// Gives the device of a principal, who has proved a password, a token for this mechanism. `None`:
    /// there is none for it, and the login goes on without.
    pub async fn give_token(
        self: &Arc<Node>,
        principal: &Principal,
        agent: &UserAgent,
        mechanism: Mechanism,
    ) -> Option<Given> {
        let proved = principal.account()?.clone();
        let agent = stored(agent)?;
        let new = self.new_token(mechanism, proved.generation);
        let given = self.as_given(&new);
        let (at, most) = (self.device_time(), self.settings().limits.devices_per_account as u64);
        let put = self.keeper.share(Touches::AtMost(2 * OF_DEVICE), move |tx| {
            Box::pin(async move {
                let is_same = tx.generation(proved.account).await? == Some(proved.generation);
                if is_same {
                    tx.add_device(proved.account, &agent, at, most).await?;
                    tx.use_device(proved.account, &agent.id, at).await?;
                    tx.put_token(proved.account, &agent.id, &new).await?;
                }
                Ok((is_same, Vec::new()))
            })
        });
        match put.await {
            Ok(is_same) => is_same.then_some(given),
            Err(error) => {
                self.store_failing("token_not_given", Some(&principal.account()?.address), &error);
                None
            }
        }
    }

    /// Makes a token that is not stored yet.
    pub(crate) fn new_token(&self, mechanism: Mechanism, generation: i64) -> StoredToken {
        StoredToken {
            slot: Slot::New,
            token: Token::fresh().reveal().to_owned(),
            mechanism: mechanism.name().to_owned(),
            generation,
            given_at: self.even_time().0,
            count: -1,
        }
    }

    /// Returns what the device is told of a new token.
    pub(crate) fn as_given(&self, new: &StoredToken) -> Given {
        let until = self.clock.now().after(self.settings().limits.token_life);
        Given { token: Token::of(new.token.clone()), expiry: until.stamp() }
    }

    /// Whether a token that was given at this even time is still good.
    pub(crate) fn is_young(&self, given: Time) -> bool {
        given.after(self.settings().limits.token_life) > self.even_time()
    }

    /// Whether a token that was given at this even time is to be replaced: more than half of its life
    /// is over.
    pub(crate) fn is_due(&self, given: Time) -> bool {
        given.after(self.settings().limits.token_life / 2) <= self.even_time()
    }

    /// When a device is used now: as people are told, and in even time.
    pub(crate) fn device_time(&self) -> (i64, i64) {
        (self.clock.now().0, self.even_time().0)
    }

    /// Ends a session that a principal has just begun or resumed, if it was let in by a token that was
    /// taken back meanwhile, even if its device has come back by password since. Fails with
    /// `not-authorized` then.
    ///
    /// This reads the store. Whoever holds the session gives it up if that is cut short.
    pub async fn keep_place(
        self: &Arc<Node>,
        principal: &Principal,
        session: &Arc<Session>,
    ) -> Result<(), StanzaError> {
        let (Some(proved), Some(device), Proof::Token { kept: Some(given_at) }) =
            (principal.account(), principal.device, principal.proof)
        else {
            return Ok(());
        };
        let refused =
            match self.store.has_token(proved.account, &device.to_string(), given_at).await {
                Ok(true) => return Ok(()),
                Ok(false) => StanzaError::new(Condition::NotAuthorized),
                Err(error) => self.internal(&error),
            };
        self.end(session).await;
        Err(refused)
    }
}

async fn remove(tx: &mut Tx, account: i64, which: Revoked) -> Result<Vec<String>, Error> {
    match which {
        Revoked::All => tx.remove_devices(account).await,
        Revoked::One(number) => {
            let Some(id) = tx.device_of(account, number).await? else { return Ok(Vec::new()) };
            tx.remove_device(account, &id).await?;
            Ok(vec![id])
        }
    }
}

/// A user agent as it is stored; `None` without an id.
pub(crate) fn stored(agent: &UserAgent) -> Option<StoredAgent> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let id = agent.id.as_ref().map(UserAgentId::to_string)?;
    Some(StoredAgent { id, software: text(&agent.software), name: text(&agent.device) })
}
