//! What is asked before there is a session: may this name be tried, is this password right, may
//! this account be made.
//!
//! Known and unknown names take the same path and the same time (security row 14). What is kept of
//! a password is in [`crate::verifiers`].

use std::sync::Arc;

use whoelse_store::Throttle;
use whoelse_stream::sasl::{Condition as SaslCondition, Mechanism, Refusal};
use whoelse_stream::scram::{Hash, Verifier};
use whoelse_stream::secret::Password;
use whoelse_stream::server::{LookupAnswer, RegisterAnswer, RegisterRequest};
use whoelse_xmpp::{BareJid, Condition, ErrorType, StanzaError};

use crate::account::Account;
use crate::clock::Time;
use crate::housekeeping::KNOWN_NETWORK;
use crate::keeper::After;
use crate::login_throttle::{Blocked, Count, Network};
use crate::node::Node;
use crate::roster;
use crate::settings::Registration;
use crate::verifiers;

impl Node {
    /// Counts a try for a name and finds its verifier.
    pub async fn lookup(
        &self,
        localpart: &str,
        mechanism: Mechanism,
        network: &Network,
    ) -> LookupAnswer {
        let key = self.login_key(localpart);
        let now = self.clock.now();
        // Asked before this try is counted: what matters is how many have failed.
        let known_only = self.throttle.only_known_networks(&key, now);
        if let Err(blocked) =
            self.throttle.begin(&key, network, self.settings().block_duration, now)
        {
            tracing::info!(
                account = self.shown(localpart),
                place = network.as_str(),
                "login_blocked"
            );
            return LookupAnswer::Refused(refuse_blocked(&blocked, now));
        }
        let hash = match mechanism {
            Mechanism::Scram { hash, .. } => hash,
            Mechanism::Plain | Mechanism::External => Hash::Sha256,
        };
        match self.verifier(localpart, hash, known_only.then_some(network)).await {
            Ok(Known::Yes(verifier)) => LookupAnswer::Verifier(verifier),
            Ok(Known::No) => LookupAnswer::Fake(Verifier::fake(hash, &self.secret, &key)),
            Ok(Known::ElsewhereOnly) => LookupAnswer::Refused(
                Refusal::new(SaslCondition::TemporaryAuthFailure)
                    .with_text(
                        "too many wrong passwords for this account; for some minutes only places \
                         it has logged in from before may try",
                    )
                    .and_close(),
            ),
            Err(error) => {
                tracing::error!(%error, "credentials_unreadable");
                LookupAnswer::Refused(Refusal::new(SaslCondition::TemporaryAuthFailure))
            }
        }
    }

    async fn verifier(
        &self,
        localpart: &str,
        hash: Hash,
        known_only: Option<&Network>,
    ) -> Result<Known, whoelse_store::Error> {
        let found = self.store.verifier(self.domain().id, localpart, hash.mechanism()).await?;
        if let Some(network) = known_only {
            let is_known = match &found {
                Some((account, _)) => self.is_known_network(*account, network).await?,
                None => false,
            };
            if !is_known {
                return Ok(Known::ElsewhereOnly);
            }
        }
        // An account without a verifier of this hash cannot be told from none at all.
        let stored = found.and_then(|(_, stored)| stored);
        Ok(stored.and_then(|stored| verifiers::read(stored, hash)).map_or(Known::No, Known::Yes))
    }

    async fn is_known_network(
        &self,
        account: i64,
        network: &Network,
    ) -> Result<bool, whoelse_store::Error> {
        let since = self.clock.now().before(KNOWN_NETWORK);
        let known = self.store.places_since(account, since.0).await?;
        let is_known = known.iter().any(|known| known == network.as_str());
        Ok(is_known || self.arrivals.include(account, network))
    }

    /// A try failed: what is said, and whether that was the last one on this connection.
    pub async fn login_failed(&self, localpart: &str, network: &Network) -> Refusal {
        let key = self.login_key(localpart);
        let now = self.clock.now();
        tracing::info!(account = self.shown(localpart), place = network.as_str(), "login_refused");
        let refusal = Refusal::new(SaslCondition::NotAuthorized);
        let refusal = match self.throttle.failed(&key, network, now) {
            Some(until) => refusal
                .with_text(format!(
                    "wrong password; that was the third in a row, so {localpart} is blocked from \
                     here for {} s",
                    seconds(until, now)
                ))
                .and_close(),
            None => refusal.with_text("wrong password"),
        };
        self.save_counts(self.throttle.rows(&key, network)).await;
        refusal
    }

    /// A try succeeded. Must be called before the client is told.
    pub async fn login_succeeded(
        self: &Arc<Node>,
        localpart: &str,
        network: &Network,
    ) -> Result<(), Refusal> {
        let key = self.login_key(localpart);
        let had_failed = self.throttle.succeeded(&key, network);
        if self.throttle.is_disabled(&key, self.clock.now()) {
            tracing::info!(
                account = self.shown(localpart),
                place = network.as_str(),
                "login_disabled"
            );
            return Err(refuse_blocked(&Blocked::ByAdministrator, self.clock.now()));
        }
        let account = self.account_named(localpart).await;
        match account {
            Ok(Some(account)) => {
                tracing::info!(account = self.shown(localpart), place = network.as_str(), "login");
                self.arrived(&account, network, had_failed.then_some(key));
                Ok(())
            }
            Ok(None) => Err(Refusal::new(SaslCondition::NotAuthorized)),
            Err(error) => {
                tracing::error!(%error, "account_not_loaded");
                Err(Refusal::new(SaslCondition::TemporaryAuthFailure))
            }
        }
    }

    /// Saves counts before anybody is told of them, so that a block survives a restart.
    async fn save_counts(&self, rows: Rows) {
        let saved = self.keeper.change(move |tx| {
            Box::pin(async move { Ok((save_rows(tx, rows).await?, Vec::new())) })
        });
        if let Err(error) = saved.await {
            tracing::warn!(%error, "login_counts_not_saved");
        }
    }

    /// The administrator blocks an account everywhere until then, and ends its sessions; or lifts
    /// every block of it.
    pub async fn set_account_blocked(&self, localpart: &str, until: Option<Time>) {
        let key = self.login_key(localpart);
        let gone = match until {
            Some(until) => {
                self.throttle.block(&key, until, self.clock.now());
                // Who is not in memory may still have a private chat open.
                if let Ok(Some(account)) = self.account_named(localpart).await {
                    self.end_relaying(account.id);
                }
                Vec::new()
            }
            None => self.throttle.unblock(&key),
        };
        let mut rows = self.throttle.rows(&key, &Network::local());
        rows.extend(gone.into_iter().map(|key| (key, None)));
        self.save_counts(rows).await;
    }

    /// Answers a request about an account by somebody who has not logged in (XEP-0077).
    pub async fn register(
        self: &Arc<Node>,
        request: RegisterRequest,
        network: &Network,
    ) -> Result<RegisterAnswer, StanzaError> {
        let closed = self.settings().registration == Registration::Closed;
        match request {
            // XEP-0077, 3.1: nothing is revealed while registration is closed.
            _ if closed => Err(StanzaError::new(Condition::NotAllowed)),
            RegisterRequest::Fields => Ok(RegisterAnswer::Fields {
                instructions: "Choose a user name and a password.".to_owned(),
            }),
            RegisterRequest::Name(name) => {
                self.count_question(&name, network)?;
                match self.is_known(&name).await? {
                    true => Err(taken(&name)),
                    false => Err(StanzaError::new(Condition::NotAcceptable)
                        .with_text("a password is needed as well")),
                }
            }
            RegisterRequest::Create { username, password } => {
                self.count_question(&username, network)?;
                if self.is_known(&username).await? {
                    return Err(taken(&username));
                }
                let short = self.judge_password(&password)?;
                let now = self.clock.now();
                self.throttle.make(network, now).map_err(|until| {
                    wait(format!(
                        "too many accounts were made from here; try again in {} s",
                        seconds(until, now)
                    ))
                })?;
                self.create_account(&username, password).await?;
                self.throttle.succeeded(&self.login_key(&username), network);
                self.numbers.registered.one();
                tracing::info!(
                    account = self.shown(&username),
                    place = network.as_str(),
                    "registered"
                );
                if let Some(why) = short {
                    tracing::warn!(account = self.shown(&username), why, "password_short");
                }
                Ok(RegisterAnswer::Done)
            }
        }
    }

    /// A question whether a name exists counts as a try, but for the network alone: asking must not
    /// block anybody's account.
    fn count_question(&self, name: &str, network: &Network) -> Result<(), StanzaError> {
        let now = self.clock.now();
        self.throttle
            .ask(&self.login_key(name), network, now)
            .map_err(|blocked| wait(refuse_blocked(&blocked, now).text.unwrap_or_default()))
    }

    async fn is_known(&self, localpart: &str) -> Result<bool, StanzaError> {
        let found = self.store.find_account(self.domain().id, localpart).await;
        found.map(|row| row.is_some()).map_err(internal)
    }

    /// Makes an account. `conflict` if it exists.
    pub async fn create_account(
        self: &Arc<Node>,
        localpart: &str,
        password: Password,
    ) -> Result<(), StanzaError> {
        let jid = BareJid::new(Some(localpart), &self.domain_name())
            .map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        let verifiers = self.verifiers(password).await?;
        let (domain, now, name) = (self.domain().id, self.clock.now(), localpart.to_owned());
        let node = self.clone();
        let made = self.keeper.change(move |tx| {
            Box::pin(async move {
                let made = tx.create_account(domain, &name, &verifiers, now.0).await?;
                if let Some(id) = made {
                    roster::take_requests(&node, tx, id, &node.key_of(jid.as_str())).await?;
                }
                let mut then: After = Vec::new();
                // One that was there may have sessions: forgotten, it would be loaded a second
                // time, and they would hear nothing of what the second one gets.
                if made.is_some() {
                    then.push(Box::new(move |node: &Arc<Node>| node.forget_account(&jid)));
                }
                Ok((made, then))
            })
        });
        match made.await.map_err(internal)? {
            None => Err(taken(localpart)),
            Some(_) => {
                if let Ok(Some(account)) = self.account_named(localpart).await {
                    self.wiring.tell_account(self, &account, true);
                }
                Ok(())
            }
        }
    }

    /// Sets a new password. Every resumption token of the account becomes void.
    pub async fn set_password(
        self: &Arc<Node>,
        account: &Arc<Account>,
        password: Password,
    ) -> Result<(), StanzaError> {
        let verifiers = self.verifiers(password).await?;
        let id = account.id;
        let account = account.clone();
        let changed = self.keeper.change(move |tx| {
            Box::pin(async move {
                tx.set_credentials(id, &verifiers).await?;
                let then: After = vec![Box::new(move |node: &Arc<Node>| {
                    account.sessions().iter().for_each(|session| node.void_resumption(session));
                })];
                Ok(((), then))
            })
        });
        changed.await.map_err(internal)
    }

    /// Removes an account with everything of it, and ends its sessions. `farewell` is run when it
    /// is removed and before they end.
    pub async fn remove_account(
        self: &Arc<Node>,
        account: &Arc<Account>,
        farewell: impl FnOnce() + Send + 'static,
    ) -> Result<(), StanzaError> {
        let (id, key) = (account.id, self.key_of(account.jid().as_str()));
        let (account, now) = (account.clone(), self.clock.now().0);
        let removed = self.keeper.change(move |tx| {
            Box::pin(async move {
                let gone = roster::forget_contact(tx, &key, now).await?;
                tx.remove_account(id).await?;
                let jid = account.jid().clone();
                let then: After = vec![
                    Box::new(move |_: &Arc<Node>| farewell()),
                    Box::new(move |node: &Arc<Node>| node.bury(&account)),
                    Box::new(move |node: &Arc<Node>| roster::tell_holders(node, &jid, gone)),
                ];
                Ok(((), then))
            })
        });
        removed.await.map_err(internal)
    }

    /// Whether the administrator has blocked an account.
    pub(crate) fn is_disabled(&self, account: &Account) -> bool {
        self.throttle.is_disabled(&self.login_key(account.name()), self.clock.now())
    }

    /// Whether the administrator has locked this account out.
    pub fn is_disabled_named(&self, localpart: &str) -> bool {
        self.throttle.is_disabled(&self.login_key(localpart), self.clock.now())
    }

    /// An account in the log, as it is there everywhere: not one that must exist.
    pub(crate) fn shown(&self, localpart: &str) -> String {
        format!("{localpart}@{}", self.domain_name())
    }

    fn login_key(&self, localpart: &str) -> String {
        format!("{localpart}@#{}", self.domain().id)
    }

    /// Until when an account is blocked, and for which network.
    pub fn blocks_of(&self, localpart: &str) -> Vec<(Option<String>, Time)> {
        self.throttle.blocks_of(&self.login_key(localpart), self.clock.now())
    }
}

/// What the throttle wants saved: each key with its count, `None` if it fell away.
pub(crate) type Rows = Vec<(String, Option<Count>)>;

pub(crate) async fn save_rows(
    tx: &mut whoelse_store::Tx,
    rows: Rows,
) -> Result<(), whoelse_store::Error> {
    for (key, count) in rows {
        match count {
            Some(count) => tx.throttle_save(&key, count.into()).await?,
            None => tx.throttle_remove(&key).await?,
        }
    }
    Ok(())
}

enum Known {
    Yes(Verifier),
    No,
    ElsewhereOnly,
}

fn taken(name: &str) -> StanzaError {
    StanzaError::new(Condition::Conflict).with_text(format!("{name} is taken"))
}

/// Ours, not the peer's: the details are in the log.
fn internal(error: whoelse_store::Error) -> StanzaError {
    tracing::error!(%error, "store_failed");
    match error.is_full() {
        true => StanzaError::new(Condition::ResourceConstraint)
            .with_text("the server cannot store anything right now: its disk is full or failing"),
        false => StanzaError::new(Condition::InternalServerError),
    }
}

/// Not now, but later.
fn wait(text: String) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait).with_text(text)
}

fn seconds(until: Time, now: Time) -> u64 {
    until.since(now).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn refuse_blocked(blocked: &Blocked, now: Time) -> Refusal {
    match blocked {
        Blocked::Until(until) => Refusal::new(SaslCondition::TemporaryAuthFailure)
            .with_text(format!(
                "blocked after too many wrong passwords; try again in {} s",
                seconds(*until, now)
            ))
            .and_close(),
        Blocked::ByAdministrator => Refusal::new(SaslCondition::AccountDisabled)
            .with_text("this account is blocked by the administrator")
            .and_close(),
    }
}

impl From<Count> for Throttle {
    fn from(count: Count) -> Throttle {
        Throttle {
            failures: i64::from(count.failures),
            since: count.since.0,
            blocked_until: count.until.0,
        }
    }
}

impl From<Throttle> for Count {
    fn from(row: Throttle) -> Count {
        Count {
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            since: Time(row.since),
            until: Time(row.blocked_until),
        }
    }
}
