//! The life of an account: it is made, gets another password, is removed.

use std::sync::Arc;

use whoelse_store::{ChangedAt, StoredVerifier, Tx};
use whoelse_stream::secret::Password;
use whoelse_xmpp::{BareJid, Condition, StanzaError, StreamCondition, StreamError, ns};

use crate::account::Account;
use crate::clock::{Steady, Time};
use crate::keeper::{After, PIECE, Touches};
use crate::ledger::NEW;
use crate::names::{self, REMOVED_NAME, REMOVED_NAMES, taken};
use crate::node::Node;
use crate::removals;
use crate::roster;
use crate::session::Session;

/// Who makes an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// The operator, who may give any name that is free.
    Operator,
    /// Whoever will have it.
    Themselves,
}

/// The most rows that go at once with an account, where limits are as they are by default: most of
/// them are of its block list.
const OF_ACCOUNT: u64 = 2_000;
/// What came of making an account.
enum Made {
    New,
    Taken,
    RemovedLately,
    /// Others may still have a removed account of this name in their rosters.
    StillLeft,
    /// The name may still have rights that it was given when nobody had it.
    StillGiven,
}

impl Node {
    /// Makes an account on the operator's behalf. Fails with `conflict` if it exists, and
    /// `policy-violation` if the name is not allowed.
    pub async fn create_account(
        self: &Arc<Node>,
        account: &BareJid,
        password: Password,
    ) -> Result<(), StanzaError> {
        self.make_account(account, password, Maker::Operator).await
    }

    pub(crate) async fn make_account(
        self: &Arc<Node>,
        account: &BareJid,
        password: Password,
        maker: Maker,
    ) -> Result<(), StanzaError> {
        let Some((domain, name)) = self.stored_at(account) else {
            return Err(StanzaError::new(Condition::JidMalformed));
        };
        if !self.is_known(account).await? {
            self.judge_name(account)?;
        }
        let verifiers = self.verifiers(password).await?;
        loop {
            let made = self.write_account(account, (domain, name), &verifiers, maker);
            match made.await.map_err(|error| self.internal(&error))? {
                Made::Taken => return Err(taken(account)),
                Made::RemovedLately => return Err(names::removed_lately(account)),
                Made::New => break,
                Made::StillGiven => {}
                Made::StillLeft => {
                    let left = removals::forget_names(self).await;
                    left.map_err(|error| self.internal(&error))?;
                }
            }
        }
        if let Ok(Some(account)) = self.account(account).await {
            self.wiring.tell_account(self, &account, true);
        }
        Ok(())
    }

    async fn write_account(
        self: &Arc<Node>,
        account: &BareJid,
        (domain, name): (i64, &str),
        verifiers: &[StoredVerifier],
        maker: Maker,
    ) -> Result<Made, whoelse_store::Error> {
        let (jid, name, now) = (account.clone(), name.to_owned(), self.clock.now());
        let even = self.even_time();
        let lately = even.before(REMOVED_NAME);
        let (node, verifiers) = (self.clone(), verifiers.to_vec());
        // The account's own rows, and the requests that wait for it.
        let rows = 8 + 2 * PIECE + self.settings().limits.roster_requests as u64;
        let made = self.keeper.change(Touches::AtMost(rows), move |tx| {
            Box::pin(async move {
                // The name can have been given up since it was judged.
                if maker == Maker::Themselves
                    && tx.was_name_removed_since(domain, &name, lately.0).await?
                {
                    return Ok((Made::RemovedLately, Vec::new()));
                }
                let (key, mut then) = (node.key_of(jid.as_str()), After::new());
                let is_there = tx.find_account(domain, &name).await?.is_some();
                if maker == Maker::Themselves && !is_there {
                    let (voided, is_all) = void(&node, tx, (&jid, &key)).await?;
                    then = voided;
                    if !is_all {
                        return Ok((Made::StillGiven, then));
                    }
                }
                let made = tx.create_account(domain, &name, &verifiers, now.0).await?;
                let Some(id) = made else {
                    let is_left = tx.is_name_left(domain, &name).await?;
                    return Ok((if is_left { Made::StillLeft } else { Made::Taken }, then));
                };
                if maker == Maker::Themselves {
                    tx.note_registered(id, even.0).await?;
                }
                roster::take_requests(&node, tx, id, &key).await?;
                // An account that existed already may have sessions. If it were forgotten, too, it
                // would be loaded a second time, and those sessions would miss what the second one
                // gets.
                then.push(Box::new(move |node: &Arc<Node>| {
                    node.forget_account(&jid);
                    node.everybody.add(&jid);
                }));
                Ok((Made::New, then))
            })
        });
        made.await
    }

    /// Returns until when an account counts as new: for a day after somebody has registered it, at
    /// this even time.
    pub(crate) fn new_until(&self, registered_at: Option<i64>) -> Steady {
        let until = |at| self.even_moment().steady_at(Time(at).after(NEW), NEW);
        registered_at.map_or(Steady::default(), until)
    }

    /// Sets a new password, and ends every session of the account that the old one let in, and what
    /// it has open elsewhere. What recognises the old one is kept for a year. A login that has
    /// proved the old password and has no session yet gets none. Every block that wrong passwords
    /// have caused for the account is lifted.
    ///
    /// `own` is the session of the account that asks, if one does: it goes on, and can be resumed
    /// with the new password. Fails with `not-authorized` if another one was set since it began.
    pub async fn set_password(
        self: &Arc<Node>,
        account: &Arc<Account>,
        password: Password,
        own: Option<&Arc<Session>>,
    ) -> Result<(), StanzaError> {
        let id = account.id;
        let old = self.store.credentials(id).await.map_err(|error| self.internal(&error))?;
        let verifiers = self.verifiers_like(old, password).await?;
        let at = ChangedAt { wall: self.clock.now().0, even: self.even_time().0 };
        let key = self.key_of(account.jid().as_str());
        let (account, own) = (account.clone(), own.cloned());
        let changed = self.keeper.change(Touches::AtMost(20), move |tx| {
            Box::pin(async move {
                if is_outdated(tx, own.as_deref()).await? {
                    return Ok((false, Vec::new()));
                }
                let generation = tx.change_credentials(id, &verifiers, at).await?;
                let then: After = vec![Box::new(move |node: &Arc<Node>| {
                    // In this order: a session that takes its place from now on is of the new
                    // password, and one that did before is found.
                    account.note_generation(generation);
                    let own = own.as_deref();
                    if let Some(own) = own {
                        own.note_generation(generation);
                    }
                    node.end_outdated(&account, own);
                    node.wiring.tell_barred(node, &account);
                })];
                Ok((true, then))
            })
        });
        if !changed.await.map_err(|error| self.internal(&error))? {
            return Err(outdated());
        }
        let gone = self.throttle.forgive(&key);
        self.save_counts(gone).await;
        Ok(())
    }

    /// Ends the sessions that an old password let in. For those of the admin socket the system
    /// vouches, whatever the password is.
    fn end_outdated(self: &Arc<Node>, account: &Account, own: Option<&Session>) {
        for session in account.sessions() {
            if session.is_trusted() || own.is_some_and(|own| own.id == session.id) {
                continue;
            }
            // RFC 6120, 4.9.3.16: what the stream was authenticated by has been revoked.
            let error = StreamError::new(StreamCondition::Reset)
                .with_text("the password of this account was changed")
                .with_app("password-changed", ns::WHOELSE_ERRORS);
            self.put_out(&session, error);
        }
    }

    /// Removes an account with all its data, and ends its sessions. Its name is kept for a while:
    /// nobody can register it. `farewell` runs after the removal and before the sessions end.
    ///
    /// When this returns, the account is gone for everybody. What it had much of goes in pieces from
    /// then on, and so does its name in the rosters of others.
    ///
    /// `own` is the session of the account that asks, if one does. Fails with `not-authorized` if
    /// another password was set since it began.
    pub async fn remove_account(
        self: &Arc<Node>,
        account: &Arc<Account>,
        own: Option<&Arc<Session>>,
        farewell: impl FnOnce() + Send + 'static,
    ) -> Result<(), StanzaError> {
        let (id, account, own) = (account.id, account.clone(), own.cloned());
        let (now, at) = (self.clock.now().0, self.even_time().0);
        let removed = self.keeper.change(Touches::AtMost(OF_ACCOUNT), move |tx| {
            Box::pin(async move {
                if is_outdated(tx, own.as_deref()).await? {
                    return Ok((false, Vec::new()));
                }
                tx.keep_name(id, at, now, REMOVED_NAMES).await?;
                tx.remove_account(id).await?;
                let then: After = vec![
                    Box::new(move |_: &Arc<Node>| farewell()),
                    Box::new(move |node: &Arc<Node>| node.bury(&account)),
                    Box::new(|node: &Arc<Node>| {
                        let node = node.clone();
                        tokio::spawn(async move { removals::go_on(&node).await });
                    }),
                ];
                Ok((true, then))
            })
        });
        match removed.await.map_err(|error| self.internal(&error))? {
            true => Ok(()),
            false => Err(outdated()),
        }
    }
}

/// Voids what a name was given that nobody has, in a piece; returns what follows the commit, and whether
/// nothing of it is left.
async fn void(
    node: &Arc<Node>,
    tx: &mut Tx,
    (jid, key): (&BareJid, &str),
) -> Result<(After, bool), whoelse_store::Error> {
    let (then, is_all) = roster::void_approvals(tx, (jid, key), PIECE).await?;
    Ok((then, is_all && node.wiring.void_name(node, tx, key, PIECE).await?))
}

/// Whether a session can no longer speak for its account: another one has set a new password.
async fn is_outdated(tx: &mut Tx, session: Option<&Session>) -> Result<bool, whoelse_store::Error> {
    let Some(session) = session.filter(|session| !session.is_trusted()) else { return Ok(false) };
    let Some(account) = &session.account else { return Ok(false) };
    Ok(tx.generation(account.id).await? != Some(session.generation()))
}

fn outdated() -> StanzaError {
    StanzaError::new(Condition::NotAuthorized).with_text("the password of this account was changed")
}
