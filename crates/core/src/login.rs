//! The checks before there is a session: may this name be tried, is this password right, may this
//! account be made.
//!
//! Known and unknown names take the same path and the same time (security row 14).
//! [`crate::verifiers`] has what is stored of a password.

pub mod by_token;
mod written;

use std::sync::Arc;
use std::time::Duration;

use whoelse_store::{Claimed, FormerKey as StoredFormer, Throttle};
use whoelse_stream::c2s::{LookupAnswer, RegisterAnswer, RegisterRequest};
use whoelse_stream::sasl::{Condition as SaslCondition, Mechanism, Refusal};
use whoelse_stream::sasl2::UserAgentId;
use whoelse_stream::scram::{FormerKey, Hash, Verifier};
use whoelse_stream::secret::Password;
use whoelse_xmpp::{BareJid, Condition, ErrorType, StanzaError};

use crate::account::Account;
use crate::account_life::Maker;
use crate::clock::{Steady, Time};
use crate::keeper::Touches;
use crate::known_networks::KNOWN_NETWORK;
use crate::login_attempt::LoginAttempt;
use crate::login_throttle::stored::{Count, Scope};
use crate::login_throttle::{Begun, Blocked, Who};
use crate::names::{name, taken};
use crate::network::{Network, Place, Site};
use crate::node::Node;
use crate::principal::{Identity, Principal, Proof, Proved, Rights};
use crate::session::Session;
use crate::settings::Registration;
use crate::to_the_end::to_the_end;
use crate::verifiers;

/// For how long after its password was proved a session may change the account without it: a
/// person has just typed it. Later, whoever sits before the device need not be that person.
const PROVED_LATELY: Duration = Duration::from_secs(600);
/// How long a login is held up that would have to wait for too long, before it is refused.
const TOO_OFTEN: Duration = Duration::from_secs(5);
/// In place of the mechanism, where a session is asked for the present password.
const IN_SESSION: &str = "in-session";

impl Node {
    /// Admits a try for a name, when its turn comes, and finds the verifier. `attempt` is what this
    /// connection has tried before.
    pub async fn lookup(
        &self,
        attempt: &mut LoginAttempt,
        account: &BareJid,
        mechanism: Mechanism,
        network: Network,
    ) -> LookupAnswer {
        let key = self.key_of(account.as_str());
        attempt.next(&key, mechanism);
        if let Err(refusal) = self.let_try(attempt, &key, account, network).await {
            return LookupAnswer::Refused(refusal);
        }
        let hash = match mechanism {
            Mechanism::Scram { hash, .. } => hash,
            // The two others need none.
            Mechanism::Plain | Mechanism::External | Mechanism::HashedToken(_) => Hash::Sha256,
        };
        match self.verifier(account, hash).await {
            // This password was just wrong under the same mechanism with or without channel
            // binding: the steps are the same, but the verifier is a fake.
            Ok(Some((_, verifier, _))) if attempt.is_refuted(mechanism) => {
                LookupAnswer::Fake(verifier)
            }
            Ok(Some((proved, verifier, former))) => {
                let times = former.iter().map(|former| Time(former.changed_at));
                attempt.claim(proved, times.collect());
                let keys = former.into_iter().map(|former| FormerKey::new(former.stored_key));
                match keys.collect::<Vec<_>>() {
                    former if former.is_empty() => LookupAnswer::Verifier(verifier),
                    former => LookupAnswer::Changed { verifier, former },
                }
            }
            Ok(None) => LookupAnswer::Fake(Verifier::fake(hash, &self.secret, &key)),
            Err(error) => {
                self.store_failing("credentials_unreadable", Some(account), &error);
                LookupAnswer::Refused(Refusal::new(SaslCondition::TemporaryAuthFailure))
            }
        }
    }

    /// Waits until a try may be checked.
    async fn let_try(
        &self,
        attempt: &mut LoginAttempt,
        key: &str,
        account: &BareJid,
        network: Network,
    ) -> Result<(), Refusal> {
        let is_own = self.is_own_network(network);
        let mut who = Who { account: key, network, is_own, is_known: None };
        loop {
            let now = self.clock.steady();
            let begun = match attempt.is_paid() {
                true => match self.throttle.may_go_on(&who, now) {
                    Ok(()) => return Ok(()),
                    Err(None) => Begun::UnlessKnown,
                    Err(Some(blocked)) => Begun::Blocked(blocked),
                },
                false => self.throttle.begin(&who, now),
            };
            match begun {
                Begun::Reserved(reservation) => {
                    attempt.keep(reservation);
                    return Ok(());
                }
                Begun::UnlessKnown => {
                    let known = self.is_known_for(account, network).await;
                    who.is_known = Some(known.map_err(|error| {
                        self.store_failing("credentials_unreadable", None, &error);
                        Refusal::new(SaslCondition::TemporaryAuthFailure)
                    })?);
                }
                // The wait ends when the sender is dropped, so every outcome is the same.
                Begun::Wait(turn, until) => tokio::select! {
                    _ = turn => {}
                    () = self.clock.sleep_until(until) => {}
                },
                Begun::Blocked(blocked) => {
                    tracing::info!(%account, %network, "login_blocked");
                    return Err(refuse_blocked(blocked, now));
                }
            }
        }
    }

    /// Admits a proof that came late: its reservation holds up nobody any more, so it takes its
    /// turn once more. Whether it was right is not told before.
    async fn let_late(
        &self,
        attempt: &mut LoginAttempt,
        key: &str,
        account: &BareJid,
        network: Network,
    ) -> Result<(), Refusal> {
        match attempt.is_late(self.clock.steady()) {
            true => self.let_try(attempt, key, account, network).await,
            false => Ok(()),
        }
    }

    /// Returns the verifier of an account, the account that its proof stands for, and what is kept
    /// of its former passwords. An account without a verifier of this hash looks like no account.
    async fn verifier(
        &self,
        account: &BareJid,
        hash: Hash,
    ) -> Result<Option<(Proved, Verifier, Vec<StoredFormer>)>, whoelse_store::Error> {
        let Some((domain, name)) = self.stored_at(account) else { return Ok(None) };
        let since = self.even_time().before(verifiers::FORMER_PASSWORD);
        let found = self.store.verifier(domain, name, hash.mechanism(), since.0).await?;
        Ok(found.and_then(|Claimed { account: id, generation, verifier, former }| {
            let verifier = verifiers::read(verifier?, hash)?;
            let proved = Proved { account: id, generation, address: account.clone() };
            Some((proved, verifier, former))
        }))
    }

    /// Whether a network is the operator's own (`limits.own_networks`).
    pub fn is_own_network(&self, network: Network) -> bool {
        self.settings().limits.own_networks.iter().any(|own| own.contains(network))
    }

    /// Whether somebody has logged in from a network lately, whoever it was.
    pub fn is_known_network(&self, network: Network) -> bool {
        self.known_networks.contains(network, self.clock.steady())
    }

    /// Whether an account has logged in from a network lately. An unknown name takes the same
    /// steps.
    async fn is_known_for(
        &self,
        account: &BareJid,
        network: Network,
    ) -> Result<bool, whoelse_store::Error> {
        let account = self.account_row(account).await?.map_or(NOBODY, |row| row.id);
        let since = self.even_time().before(KNOWN_NETWORK);
        let known = self.store.known_networks_since(account, since.0).await?;
        let is_known = known.contains(&network.to_string());
        let now = self.clock.steady();
        Ok(is_known || self.known_networks.is_of(account, network, now))
    }

    /// Ends a failed try. Returns the error to send, and whether it was the last try on this
    /// connection. `compared`: a password was checked, and was wrong.
    pub async fn login_failed(
        self: &Arc<Node>,
        attempt: &mut LoginAttempt,
        account: &BareJid,
        compared: bool,
        network: Network,
    ) -> Refusal {
        self.count_failure(attempt, account, (compared, "wrong password"), network).await
    }

    /// Counts a failed try; `what` was wrong.
    async fn count_failure(
        self: &Arc<Node>,
        attempt: &mut LoginAttempt,
        account: &BareJid,
        (compared, what): (bool, &str),
        network: Network,
    ) -> Refusal {
        let key = self.key_of(account.as_str());
        if let Err(refusal) = self.let_late(attempt, &key, account, network).await {
            return refusal;
        }
        tracing::info!(%account, %network, "login_refused");
        let refusal = Refusal::new(SaslCondition::NotAuthorized);
        let Some(reservation) = attempt.failed(&key, compared) else {
            return refusal.with_text(what);
        };
        let now = self.even_moment();
        let (until, changed) = reservation.fail(self.settings().block_duration, now.steady);
        // A block is saved before anybody is told of it; a count below it need not outlast a crash.
        match until.is_some() || changed.iter().any(|scope| matches!(scope, Scope::Place(_))) {
            true => self.save_counts(changed).await,
            false => self.failed(changed),
        }
        match until {
            Some(until) => refusal
                .with_text(format!(
                    "{what}; that was the third in a row, so {} is blocked from here for {} s",
                    name(account),
                    seconds(until, now.steady)
                ))
                .and_close(),
            None => refusal.with_text(what),
        }
    }

    /// Ends a try in which a former password was proved. It is no guess, so it is not counted as a
    /// failure; only its rate is bounded.
    pub async fn login_outdated(
        &self,
        attempt: &mut LoginAttempt,
        account: &BareJid,
        which: usize,
        network: Network,
    ) -> Refusal {
        let key = self.key_of(account.as_str());
        if let Err(refusal) = self.let_late(attempt, &key, account, network).await {
            return refusal;
        }
        attempt.release();
        tracing::info!(%account, %network, "login_with_a_former_password");
        let now = self.clock.steady();
        if let Err(until) = self.throttle.former(network, now) {
            return Refusal::new(SaslCondition::TemporaryAuthFailure)
                .with_text(format!(
                    "too many logins with former passwords; try again in {} s",
                    seconds(until, now)
                ))
                .and_close();
        }
        let when = attempt.changed_at(which).map(Time::stamp).unwrap_or_default();
        let (day, time) = (when.get(..10), when.get(11..16));
        Refusal::new(SaslCondition::CredentialsExpired).with_text(match (day, time) {
            (Some(day), Some(time)) => {
                format!("the password of this account was changed on {day} at {time} UTC")
            }
            _ => "the password of this account was changed".to_owned(),
        })
    }

    /// Ends a successful try. Returns the principal; `rights` are the rights of the way in, `device`
    /// is what the client has told of itself. Call it before the client is told.
    pub async fn login_succeeded(
        self: &Arc<Node>,
        mut attempt: LoginAttempt,
        device: Option<UserAgentId>,
        rights: Rights,
        network: Network,
    ) -> Result<Principal, Refusal> {
        let (account, proved) = self.password_proved(&mut attempt, device, network).await?;
        self.login_paid(&account, rights, network).await?;
        // Until it was paid the try was in flight: so no more passwords are compared for an account
        // from one place than it pays for.
        drop(attempt);
        tracing::info!(account = %proved.address, %network, "login");
        let identity = Identity::Account(proved);
        Ok(Principal { identity, rights, proof: Proof::Password, device })
    }

    /// Waits until a login is paid for. Over the admin socket nothing is.
    async fn login_paid(
        &self,
        account: &Account,
        rights: Rights,
        network: Network,
    ) -> Result<(), Refusal> {
        if rights == Rights::Operator {
            return Ok(());
        }
        let Err(covered) = self.login_turn(account, network).await else { return Ok(()) };
        tracing::info!(account = %account.jid(), %network, "login_too_often");
        // Or refusals would come as fast as they are asked for.
        self.clock.sleep_until(self.clock.steady().after(TOO_OFTEN)).await;
        let left = seconds(covered, self.clock.steady());
        let text = format!("too many logins at once; try again in {left} s");
        Err(Refusal::new(SaslCondition::TemporaryAuthFailure).of_crowd().with_text(text))
    }

    /// Notes that the password of a try was right, at a login or in a session. Returns what was
    /// proved. The try is in flight until it is dropped; only after this, so that those who wait for
    /// it find no block.
    async fn password_proved(
        self: &Arc<Node>,
        attempt: &mut LoginAttempt,
        device: Option<UserAgentId>,
        network: Network,
    ) -> Result<(Arc<Account>, Proved), Refusal> {
        let Some(proved) = attempt.proved() else {
            return Err(Refusal::new(SaslCondition::NotAuthorized));
        };
        let address = &proved.address;
        let key = self.key_of(address.as_str());
        self.let_late(attempt, &key, address, network).await?;
        let account = self.account_as(&proved).await.map_err(|error| {
            tracing::info!(account = %address, %network, "login_outdated");
            Refusal::new(match error.condition {
                Condition::NotAuthorized => SaslCondition::NotAuthorized,
                _ => SaslCondition::TemporaryAuthFailure,
            })
        })?;
        let forgiven = self.throttle.succeeded(&key, network);
        if self.throttle.is_disabled(&key, self.clock.steady()) {
            tracing::info!(account = %address, %network, "login_disabled");
            // `arrived`, with which they would be saved, is not called.
            self.save_counts(forgiven).await;
            return Err(refuse_disabled());
        }
        self.arrived(self.recent_login(&account, network, forgiven, device));
        Ok((account, proved))
    }

    /// Whether the password of a session was proved so lately that nothing more is asked before the
    /// account is changed. For a session of the admin socket the system vouches.
    pub fn has_proved_lately(&self, session: &Session) -> bool {
        session.is_trusted() || session.proved_at().after(PROVED_LATELY) > self.clock.steady()
    }

    /// Checks the present password of a session's account. It is a try to log in from where the
    /// session is, with everything that follows from it, whether it is right or wrong. If it is
    /// right, the session has proved it just now.
    pub async fn check_password(
        self: &Arc<Node>,
        session: &Session,
        account: &Account,
        password: Password,
    ) -> Result<(), StanzaError> {
        let (address, network) = (account.jid(), session.network());
        let mut attempt = LoginAttempt::default();
        let looked_up = self.lookup(&mut attempt, address, Mechanism::Plain, network).await;
        let (verifier, genuine, former) = match looked_up {
            LookupAnswer::Verifier(verifier) => (verifier, true, Vec::new()),
            LookupAnswer::Changed { verifier, former } => (verifier, true, former),
            LookupAnswer::Fake(verifier) => (verifier, false, Vec::new()),
            LookupAnswer::Refused(refusal) => {
                self.counters.logins.inc([IN_SESSION, "blocked"]);
                return Err(as_stanza_error(refusal));
            }
        };
        let like = verifier.clone();
        let Some(derived) = self.hash(move || like.derive_like(&password)).await else {
            return Err(wait("the server is busy, try again in a moment".to_owned()));
        };
        // Not `&&`: a fake verifier must cost the same time.
        let is_right = verifier.is_same(&derived) & genuine;
        let is_former = former.iter().position(|former| former.is_of(&derived));
        let (outcome, refusal) = match (is_right, is_former) {
            (true, _) => {
                match self.password_proved(&mut attempt, session.device(), network).await {
                    Ok((_, proved)) if account.is_as(&proved) => ("ok", None),
                    // The name belongs to another account by now.
                    Ok(_) => ("refused", Some(Refusal::new(SaslCondition::NotAuthorized))),
                    Err(refusal) => ("refused", Some(refusal)),
                }
            }
            (false, Some(which)) => {
                ("former", Some(self.login_outdated(&mut attempt, address, which, network).await))
            }
            (false, None) => {
                ("wrong", Some(self.login_failed(&mut attempt, address, true, network).await))
            }
        };
        self.counters.logins.inc([IN_SESSION, outcome]);
        match refusal {
            None => {
                session.note_proved(self.clock.steady());
                Ok(())
            }
            Some(refusal) => Err(as_stanza_error(refusal)),
        }
    }

    /// Saves counts before anybody is told of them, so that a block survives a crash.
    pub(crate) async fn save_counts(self: &Arc<Node>, scopes: Vec<Scope>) {
        if scopes.is_empty() {
            return;
        }
        let (node, rows) = (self.clone(), Touches::AtMost(scopes.len() as u64));
        let saved = self.keeper.share(rows, move |tx| {
            Box::pin(async move { Ok((node.write_counts(tx, &scopes).await?, Vec::new())) })
        });
        if let Err(error) = saved.await {
            self.store_failing("login_counts_not_saved", None, &error);
        }
    }

    /// Writes the counts as they are now: another writer may have been faster.
    pub(crate) async fn write_counts(
        &self,
        tx: &mut whoelse_store::Tx,
        scopes: &[Scope],
    ) -> Result<(), whoelse_store::Error> {
        for (key, count) in self.throttle.rows(scopes, self.even_moment()) {
            match count {
                Some(count) => tx.throttle_save(&key, count.into()).await?,
                None => tx.throttle_remove(&key).await?,
            }
        }
        Ok(())
    }

    /// Blocks an account everywhere, for this long or for ever, on an administrator's behalf.
    /// Returns when the block ends.
    pub async fn block_account(
        self: &Arc<Node>,
        account: &BareJid,
        duration: Option<Duration>,
    ) -> Time {
        let now = self.clock.moment();
        let until = duration.map_or(Steady::NEVER, |duration| now.steady.after(duration));
        let changed = self.throttle.block(&self.key_of(account.as_str()), until, now.steady);
        self.save_counts(changed).await;
        // An account that is not in memory may still have something open elsewhere.
        if let Ok(Some(account)) = self.account(account).await {
            self.wiring.tell_barred(self, &account);
        }
        now.wall_at(until)
    }

    /// Lifts every block of an account, on an administrator's behalf. Returns whether there was
    /// one.
    pub async fn unblock_account(self: &Arc<Node>, account: &BareJid) -> bool {
        let key = self.key_of(account.as_str());
        let was_blocked = !self.throttle.blocks_of(&key, self.clock.steady()).is_empty();
        let gone = self.throttle.unblock(&key);
        self.save_counts(gone).await;
        was_blocked
    }

    /// Lifts the blocks of a site, of networks of it and of accounts for them, on an
    /// administrator's behalf. Returns how many there were.
    pub async fn unblock_site(self: &Arc<Node>, site: Site) -> usize {
        let (lifted, gone) = self.throttle.unblock_site(site, self.clock.steady());
        self.save_counts(gone).await;
        lifted
    }

    /// Answers a request about an account by a client that has not logged in (XEP-0077).
    pub async fn register(
        self: &Arc<Node>,
        request: RegisterRequest,
        network: Network,
    ) -> Result<RegisterAnswer, StanzaError> {
        let closed = self.settings().registration == Registration::Closed;
        match request {
            // XEP-0077, 3.1: nothing is revealed while registration is closed.
            _ if closed => Err(StanzaError::new(Condition::NotAllowed)),
            RegisterRequest::Fields => Ok(RegisterAnswer::Fields {
                instructions: "Choose a user name and a password.".to_owned(),
            }),
            RegisterRequest::Name(account) => {
                self.count_question(&account, network)?;
                if self.is_known(&account).await? {
                    return Err(taken(&account));
                }
                self.judge_chosen_name(&account).await?;
                Err(StanzaError::new(Condition::NotAcceptable)
                    .with_text("a password is needed as well"))
            }
            RegisterRequest::Create { account, password } => {
                self.count_question(&account, network)?;
                if self.is_known(&account).await? {
                    return Err(taken(&account));
                }
                self.judge_chosen_name(&account).await?;
                let short = self.judge_password(&password)?;
                let now = self.clock.steady();
                self.throttle.make(network, now).map_err(|until| {
                    wait(format!(
                        "too many accounts were made from here; try again in {} s",
                        seconds(until, now)
                    ))
                })?;
                let node = self.clone();
                // Whoever asks may be put out meanwhile; the account is made all the same.
                to_the_end(async move {
                    node.make_account(&account, password, Maker::Themselves).await?;
                    node.throttle.made(&node.key_of(account.as_str()), network);
                    node.counters.registered.inc();
                    tracing::info!(%account, %network, "registered");
                    node.warn_of_short_password(&account, short.as_deref());
                    Ok(RegisterAnswer::Done)
                })
                .await
            }
        }
    }

    /// Counts a question whether a name exists, but not as a try: questions must block nobody.
    fn count_question(&self, account: &BareJid, network: Network) -> Result<(), StanzaError> {
        let now = self.clock.steady();
        self.throttle.ask(&self.key_of(account.as_str()), network, now).map_err(|until| {
            wait(format!(
                "too many names were asked about from here; try again in {} s",
                seconds(until, now)
            ))
        })
    }

    pub(crate) async fn is_known(&self, account: &BareJid) -> Result<bool, StanzaError> {
        let found = self.account_row(account).await;
        found.map(|row| row.is_some()).map_err(|error| self.internal(&error))
    }

    /// An error of ours, not the peer's: the details are in the log.
    pub(crate) fn internal(&self, error: &whoelse_store::Error) -> StanzaError {
        self.store_failing("store_failed", None, error);
        match error.is_full() {
            true => StanzaError::new(Condition::ResourceConstraint).with_text(
                "the server cannot store anything right now: its disk is full or failing",
            ),
            false => StanzaError::new(Condition::InternalServerError),
        }
    }

    /// Whether the administrator has blocked an account.
    pub fn is_disabled(&self, account: &BareJid) -> bool {
        self.throttle.is_disabled(&self.key_of(account.as_str()), self.clock.steady())
    }

    /// Until when an account is blocked, and for which network (`None`: everywhere).
    pub fn blocks_of(&self, account: &BareJid) -> Vec<(Option<Network>, Time)> {
        let now = self.clock.moment();
        let blocks = self.throttle.blocks_of(&self.key_of(account.as_str()), now.steady);
        blocks.into_iter().map(|(network, until)| (network, now.wall_at(until))).collect()
    }

    /// The networks and sites that are blocked as a whole, and until when.
    pub fn blocked_places(&self) -> Vec<(Place, Time)> {
        let now = self.clock.moment();
        let blocked = self.throttle.blocked_places(now.steady);
        blocked.into_iter().map(|(place, until)| (place, now.wall_at(until))).collect()
    }
}

/// Stands for no account: an unknown name takes the same steps as a known one.
const NOBODY: i64 = -1;

/// A refused password, in an open session.
fn as_stanza_error(refusal: Refusal) -> StanzaError {
    let error = match refusal.condition {
        SaslCondition::NotAuthorized
        | SaslCondition::CredentialsExpired
        | SaslCondition::AccountDisabled => {
            StanzaError::new(Condition::NotAuthorized).with_type(ErrorType::Modify)
        }
        _ => StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait),
    };
    match refusal.text {
        Some(text) => error.with_text(text),
        None => error,
    }
}

/// The error for "not now, but later".
fn wait(text: String) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait).with_text(text)
}

fn seconds(until: Steady, now: Steady) -> u64 {
    until.since(now).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn refuse_blocked(blocked: Blocked, now: Steady) -> Refusal {
    let refusal = Refusal::new(SaslCondition::TemporaryAuthFailure).and_close();
    match blocked {
        Blocked::Until(until) => refusal.with_text(format!(
            "blocked after too many wrong passwords; try again in {} s",
            seconds(until, now)
        )),
        Blocked::OnlyKnown => refusal.with_text(
            "too many wrong passwords for this account; for some minutes only networks it has \
             logged in from before may try",
        ),
        Blocked::Crowded => {
            refusal.of_crowd().with_text("too many logins at once; try again in a moment")
        }
    }
}

/// Only a client that knows the password is told this, or it would reveal which names exist.
fn refuse_disabled() -> Refusal {
    Refusal::new(SaslCondition::AccountDisabled)
        .with_text("this account is blocked by the administrator")
        .and_close()
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

#[cfg(test)]
mod tests;
