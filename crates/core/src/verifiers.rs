//! Verifiers (RFC 5802), which are stored instead of passwords: they are made here, and accounts
//! get those that did not exist when they were made.
//!
//! A client takes the strongest mechanism on offer, before anybody knows whose login it is. So
//! SCRAM-SHA-512 is offered once no account lacks its verifier: at once on a new server; on an
//! older one after the last account that lacks it has logged in with PLAIN, got a new password, or
//! was removed. The offer says nothing about any single name (security row 14).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use whoelse_store::{Error, Store, StoredVerifier};
use whoelse_stream::scram::{Hash, ITERATIONS, Verifier};
use whoelse_stream::secret::Password;
use whoelse_xmpp::{Condition, StanzaError};

use crate::keeper::Touches;
use crate::node::Node;
use crate::principal::Principal;

/// How long a former password is recognised: a device that nobody has used for months goes on with
/// it, and must neither lock its owner out nor be told that the password is wrong.
pub(crate) const FORMER_PASSWORD: Duration = Duration::from_secs(365 * 86_400);
/// The hashes of the first release, which every account has.
const FIRST: [Hash; 2] = [Hash::Sha256, Hash::Sha1];
/// The hash that was added later.
const LATER: Hash = Hash::Sha512;
/// Set when no account lacks [`LATER`]: from then on none ever will, and no further check is
/// needed.
const COMPLETE: &str = "credentials.SCRAM-SHA-512";

/// Whether no account lacks a verifier. Checks the accounts until this is noted down.
pub(crate) async fn are_complete(store: &Store) -> Result<bool, Error> {
    Ok(store.setting(COMPLETE).await?.is_some() || !is_any_lacking(store).await?)
}

async fn is_any_lacking(store: &Store) -> Result<bool, Error> {
    let [kept, _] = FIRST;
    store.is_verifier_lacking(kept.mechanism(), LATER.mechanism()).await
}

impl Node {
    /// Returns the hashes of which every account has a verifier: SCRAM is offered with these.
    pub fn hashes(&self) -> &'static [Hash] {
        match self.complete.load(Ordering::Acquire) {
            true => &Hash::ALL,
            false => &FIRST,
        }
    }

    /// Checks again whether an account lacks a verifier, and notes down when none does.
    pub(crate) async fn look_for_lacking_verifiers(&self) {
        let looked = async {
            if self.store.setting(COMPLETE).await?.is_some() {
                return Ok(true);
            }
            if is_any_lacking(&self.store).await? {
                return Ok(false);
            }
            let noted = self.keeper.change(Touches::AtMost(1), |tx| {
                Box::pin(async { Ok((tx.set_setting(COMPLETE, b"").await?, Vec::new())) })
            });
            noted.await.map(|()| true)
        };
        match looked.await {
            Ok(true) => self.complete.store(true, Ordering::Release),
            Ok(false) => tracing::info!(
                mechanism = LATER.mechanism(),
                "not_offered_until_every_account_has_it"
            ),
            Err(error) => self.store_failing("verifiers_not_looked_at", None, &error),
        }
    }

    /// Makes the missing verifiers of an account after its right password was given, in the
    /// background. No login waits for this, and if it fails the next login does it.
    pub fn complete_verifiers(self: &Arc<Node>, principal: &Principal, password: Password) {
        let Some(proved) = principal.account().cloned() else { return };
        let node = self.clone();
        tokio::spawn(async move {
            let added = node.add_lacking(proved.account, proved.generation, password).await;
            if let Err(error) = added {
                node.store_failing("verifiers_not_completed", Some(&proved.address), &error);
            }
        });
    }

    async fn add_lacking(
        &self,
        account: i64,
        generation: i64,
        password: Password,
    ) -> Result<(), Error> {
        if has_all(&self.store.credentials(account).await?) {
            return Ok(());
        }
        let derived = self.hash(move || write(Verifier::fresh(LATER, &password))).await;
        let Some(derived) = derived else { return Ok(()) };
        let added = self.keeper.change(Touches::AtMost(4), move |tx| {
            Box::pin(async move {
                // Not if the password was changed meanwhile, and not twice.
                let is_same = tx.generation(account).await? == Some(generation);
                if is_same && !has_all(&tx.credentials(account).await?) {
                    tx.add_credentials(account, &[derived]).await?;
                }
                Ok(((), Vec::new()))
            })
        });
        added.await
    }

    /// Derives a key when its turn comes; `None` when too many wait.
    pub async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.hashing.run(work).await
    }

    /// Makes the verifiers of a new password for an account that has these. Fails like
    /// [`Node::verifiers`].
    pub(crate) async fn verifiers_like(
        &self,
        old: Vec<StoredVerifier>,
        password: Password,
    ) -> Result<Vec<StoredVerifier>, StanzaError> {
        let derived = self.hash(move || Hash::ALL.map(|hash| like(&old, hash, &password))).await;
        derived.map(Vec::from).ok_or_else(busy)
    }

    /// Makes the verifiers of a new password. Fails with `resource-constraint` when too many wait.
    pub(crate) async fn verifiers(
        &self,
        password: Password,
    ) -> Result<Vec<StoredVerifier>, StanzaError> {
        let derived =
            self.hash(move || Hash::ALL.map(|hash| write(Verifier::fresh(hash, &password)))).await;
        derived.map(Vec::from).ok_or_else(busy)
    }
}

/// Makes a verifier that keeps the salt of an old one, so that a proof of the old password is
/// recognised. Where the old one has other iterations than are usual today, it is made anew: those
/// of an unknown name are today's, and whoever differs would be known to exist.
fn like(old: &[StoredVerifier], hash: Hash, password: &Password) -> StoredVerifier {
    let old = old.iter().find(|stored| stored.mechanism == hash.mechanism());
    let old = old.and_then(|stored| read(stored.clone(), hash));
    write(match old.filter(|old| old.iterations == ITERATIONS) {
        Some(old) => old.derive_like(password),
        None => Verifier::fresh(hash, password),
    })
}

fn busy() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint)
        .with_text("the server is busy, try again in a moment")
}

/// Whether the hash that was added later is among them.
fn has_all(verifiers: &[StoredVerifier]) -> bool {
    verifiers.iter().any(|stored| stored.mechanism == LATER.mechanism())
}

/// A verifier from the store; `None` if its row makes no sense.
pub(crate) fn read(stored: StoredVerifier, hash: Hash) -> Option<Verifier> {
    Some(Verifier {
        hash,
        salt: stored.salt,
        iterations: NonZeroU32::new(u32::try_from(stored.iterations).ok()?)?,
        stored_key: stored.stored_key,
        server_key: stored.server_key,
    })
}

fn write(verifier: Verifier) -> StoredVerifier {
    StoredVerifier {
        mechanism: verifier.hash.mechanism().to_owned(),
        salt: verifier.salt,
        iterations: i64::from(verifier.iterations.get()),
        stored_key: verifier.stored_key,
        server_key: verifier.server_key,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_password_keeps_the_salt_and_takes_todays_iterations() {
        let password = |text| Password::new(text).unwrap();
        for (iterations, is_kept) in [(ITERATIONS, true), (NonZeroU32::new(4096).unwrap(), false)] {
            let old = Verifier::derive(Hash::Sha256, &password("pencil"), &[7; 16], iterations);

            let new = like(&[write(old)], Hash::Sha256, &password("eraser"));

            assert_eq!(new.salt == [7; 16], is_kept);
            assert_eq!(new.iterations, i64::from(ITERATIONS.get()));
        }
    }
}
