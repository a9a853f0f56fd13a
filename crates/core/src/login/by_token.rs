//! XEP-0484: a login by a token that the device was given before.
//!
//! What is not right takes the same steps with the same answers, whether there is such an account,
//! such a device, or such a token (security row 14). A right token is not asked what others have
//! guessed (behaviour.md, Log in 4).

use std::sync::Arc;

use whoelse_store::{Error, Slot, StoredToken, Tx, UserAgent as StoredAgent};
use whoelse_stream::fast::{Given, TokenLogin};
use whoelse_stream::ht::Token;
use whoelse_stream::sasl::{Condition as SaslCondition, Mechanism, Refusal};
use whoelse_stream::sasl2::UserAgent;
use whoelse_xmpp::Condition;

use super::seconds;
use crate::account::Account;
use crate::clock::Time;
use crate::devices::{OF_DEVICE, stored};
use crate::keeper::Touches;
use crate::login_attempt::LoginAttempt;
use crate::network::Network;
use crate::node::Node;
use crate::principal::{Identity, Principal, Proof, Proved, Rights};
use crate::recent_logins::RecentLogin;

/// How often a token is looked up when another login of the same device changes it meanwhile.
const ROUNDS: usize = 3;

/// A login by a token that has succeeded.
#[derive(Debug)]
pub struct LetIn {
    /// Who it is.
    pub principal: Principal,
    /// What shows the client that the server has the token as well.
    pub answer: Vec<u8>,
    /// The next token, if there is one.
    pub given: Option<Given>,
}

/// What was found of the token that a client has.
enum Found {
    /// It is good.
    Right { proved: Proved, token: StoredToken },
    /// It was good once.
    Outdated,
    /// There is none such, of this account and this device.
    Nothing,
}

/// What came of the use of a token.
struct Used {
    /// The next token, if there is one.
    given: Option<Given>,
    /// When the token was given by which the device comes next time; see [`Proof::Token`].
    kept: Option<i64>,
}

/// A use of a token that is to be written down before anybody is told of it.
#[derive(Clone)]
struct Use {
    account: i64,
    agent: StoredAgent,
    token: StoredToken,
    count: Option<i64>,
    invalidates: bool,
    gives: Option<StoredToken>,
    login: RecentLogin,
}

impl Node {
    /// Checks a login by a token. `agent` is what the client says of itself; `wanted`, the mechanism
    /// for which it asks for another token. `rights` are the rights of the way in.
    ///
    /// A refusal with `temporary-auth-failure` says nothing about the token: a client that keeps to
    /// XEP-0484 must not be told of it by a `<failure/>`, at which it throws the token away.
    pub async fn login_by_token(
        self: &Arc<Node>,
        attempt: &mut LoginAttempt,
        login: &TokenLogin,
        agent: &UserAgent,
        wanted: Option<Mechanism>,
        (rights, network): (Rights, Network),
    ) -> Result<LetIn, Refusal> {
        let key = self.key_of(login.account.as_str());
        attempt.next(&key, login.mechanism);
        for round in 0..ROUNDS {
            let (proved, token) = match self.find_token(login).await? {
                Found::Right { proved, token } => (proved, token),
                Found::Outdated => return Err(self.token_outdated(login, network)),
                Found::Nothing => {
                    self.let_try(attempt, &key, &login.account, network).await?;
                    let what = (true, "wrong token");
                    return Err(self.count_failure(attempt, &login.account, what, network).await);
                }
            };
            let Some(account) = self.proved_by_token(&proved, network).await? else {
                return Err(self.token_outdated(login, network));
            };
            if round == 0 {
                self.login_paid(&account, rights, network).await?;
            }
            let used = self.use_token(login, agent, wanted, &token, (&account, network)).await?;
            let Some(Used { given, kept }) = used else { continue };
            tracing::info!(account = %login.account, %network, by = "token", "login");
            let identity = Identity::Account(proved);
            let (proof, device) = (Proof::Token { kept }, Some(login.device));
            let principal = Principal { identity, rights, proof, device };
            let answer = login.proof.respond(&Token::of(token.token));
            return Ok(LetIn { principal, answer, given });
        }
        // Its count did not grow, or it was taken back meanwhile.
        Err(self.token_outdated(login, network))
    }

    /// Looks for the token that a client has shown to have.
    async fn find_token(&self, login: &TokenLogin) -> Result<Found, Refusal> {
        let found = match self.stored_at(&login.account) {
            Some((domain, name)) => {
                self.store.tokens(domain, name, &login.device.to_string()).await.map_err(
                    |error| {
                        self.store_failing("tokens_unreadable", Some(&login.account), &error);
                        Refusal::new(SaslCondition::TemporaryAuthFailure)
                    },
                )?
            }
            None => None,
        };
        let tokens = found.as_ref().map_or(&[][..], |claimed| &claimed.tokens);
        let right = right_token(login, tokens);
        let (Some(claimed), Some(token)) = (&found, right) else { return Ok(Found::Nothing) };
        let grows = login.fast.count.is_none_or(|count| i64::from(count) > token.count);
        let is_good = token.slot != Slot::Former
            && token.generation == claimed.generation
            && self.is_young(Time(token.given_at))
            && grows;
        if !is_good {
            return Ok(Found::Outdated);
        }
        let (account, generation) = (claimed.account, claimed.generation);
        let proved = Proved { account, generation, address: login.account.clone() };
        Ok(Found::Right { proved, token: token.clone() })
    }

    /// Returns the account of a right token; `None` if it was removed or got another password since
    /// the token was looked up.
    async fn proved_by_token(
        &self,
        proved: &Proved,
        network: Network,
    ) -> Result<Option<Arc<Account>>, Refusal> {
        let not_now = || Refusal::new(SaslCondition::TemporaryAuthFailure);
        if self.is_disabled(&proved.address) {
            tracing::info!(account = %proved.address, %network, "login_disabled");
            let text = "this account is blocked by the administrator";
            return Err(not_now().with_text(text).and_close());
        }
        match self.account_as(proved).await {
            Ok(account) => Ok(Some(account)),
            Err(error) if error.condition == Condition::NotAuthorized => Ok(None),
            Err(_) => Err(not_now()),
        }
    }

    /// Notes the use of a token, and makes the next one if it is time or the client asks for it.
    /// `None` if the token was used otherwise meanwhile: look it up again.
    async fn use_token(
        self: &Arc<Node>,
        login: &TokenLogin,
        agent: &UserAgent,
        wanted: Option<Mechanism>,
        token: &StoredToken,
        (account, network): (&Arc<Account>, Network),
    ) -> Result<Option<Used>, Refusal> {
        let fast = login.fast;
        let is_due = !fast.invalidate && self.is_due(Time(token.given_at));
        let next = wanted.or_else(|| is_due.then_some(login.mechanism));
        let gives = next.map(|mechanism| self.new_token(mechanism, token.generation));
        let recent = self.recent_login(account, network, Vec::new(), Some(login.device));
        let must_be_written = fast.invalidate || fast.count.is_some();
        let changes = must_be_written || token.slot == Slot::New || gives.is_some();
        let (true, Some(agent)) = (changes, stored(agent)) else {
            self.arrived(recent);
            return Ok(Some(Used { given: None, kept: Some(token.given_at) }));
        };
        let given = gives.as_ref().map(|new| self.as_given(new));
        let kept = match fast.invalidate {
            true => gives.as_ref().map(|new| new.given_at),
            false => Some(token.given_at),
        };
        let used = Use {
            account: account.id,
            agent,
            token: token.clone(),
            count: fast.count.map(i64::from),
            invalidates: fast.invalidate,
            gives,
            login: recent.clone(),
        };
        match self.write_use(used).await {
            Ok(true) => {
                self.note_arrival(&recent);
                Ok(Some(Used { given, kept }))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                self.store_failing("token_use_not_written", Some(account.jid()), &error);
                if must_be_written {
                    return Err(Refusal::new(SaslCondition::TemporaryAuthFailure));
                }
                // A disk that is full keeps nobody out: the token stays where it is, for the next
                // time.
                self.arrived(recent);
                Ok(Some(Used { given: None, kept }))
            }
        }
    }

    async fn write_use(self: &Arc<Node>, used: Use) -> Result<bool, Error> {
        let rows = Touches::AtMost(2 * OF_DEVICE + RecentLogin::ROWS as u64);
        let node = self.clone();
        let written = self.keeper.share(rows, move |tx| {
            Box::pin(async move { Ok((used.write(&node, tx).await?, Vec::new())) })
        });
        written.await
    }

    /// Ends a try by a token that was good once. It is no guess, so only its rate is bounded.
    fn token_outdated(&self, login: &TokenLogin, network: Network) -> Refusal {
        tracing::info!(account = %login.account, %network, "login_with_a_former_token");
        let now = self.clock.steady();
        match self.throttle.former(network, now) {
            Ok(()) => Refusal::new(SaslCondition::CredentialsExpired)
                .with_text("this token is no good any more; log in with the password"),
            Err(until) => Refusal::new(SaslCondition::TemporaryAuthFailure)
                .with_text(format!(
                    "too many logins with former tokens; try again in {} s",
                    seconds(until, now)
                ))
                .and_close(),
        }
    }
}

/// Returns the token by which the proof was made. Every slot is compared, whether it holds a token for
/// this mechanism or not, and so is that of a device which does not exist.
fn right_token<'a>(login: &TokenLogin, tokens: &'a [StoredToken]) -> Option<&'a StoredToken> {
    let nobodys = Token::fresh();
    let mechanism = login.mechanism.name();
    let mut right = None;
    for slot in Slot::ALL {
        let stored = tokens.iter().find(|it| it.slot == slot && it.mechanism == mechanism);
        let token = stored.map_or_else(|| nobodys.clone(), |it| Token::of(it.token.clone()));
        let is_right = login.proof.is_by(&token);
        right = right.or(stored.filter(|_| is_right));
    }
    right
}

impl Use {
    /// Writes it, with what every login writes. Returns whether the token still was good.
    async fn write(&self, node: &Node, tx: &mut Tx) -> Result<bool, Error> {
        let (account, device) = (self.account, self.agent.id.as_str());
        if !tx.use_token(account, device, &self.token, self.count).await? {
            return Ok(false);
        }
        if self.token.slot == Slot::New {
            tx.move_tokens(account, device).await?;
        }
        match (&self.gives, self.invalidates) {
            (None, true) => {
                tx.remove_device(account, device).await?;
            }
            (Some(new), true) => {
                tx.remove_tokens(account, device).await?;
                tx.put_token(account, device, new).await?;
            }
            (Some(new), false) => tx.put_token(account, device, new).await?,
            (None, false) => {}
        }
        tx.rename_device(account, &self.agent).await?;
        self.login.write(node, tx).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
