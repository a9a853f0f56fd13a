//! RFC 5802 and RFC 7677, SCRAM: both ends prove that they know the password, and neither sends it.
//!
//! The messages are in [`message`], the server's side is in [`server`], the client's in [`client`],
//! and the protection of the choice of a mechanism in [`downgrade`]. Only StoredKey and ServerKey
//! are stored; neither lets anybody log in.

use crate::secret::{Password, same_secret};
use crate::token;
use aws_lc_rs::{digest, hmac, pbkdf2};
use std::fmt;
use std::num::NonZeroU32;

pub mod client;
pub mod downgrade;
pub mod message;
pub mod server;

/// The PBKDF2 iterations of a new password. More would mostly slow down phones; what protects the
/// accounts is that guesses over the network are counted.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// Bytes of a new salt.
const SALT: usize = 16;

/// The hash function under a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SCRAM-SHA-1 (RFC 5802), which every client supports.
    Sha1,
    /// RFC 7677.
    Sha256,
    /// draft-melnikov-scram-sha-512: RFC 5802 with the longer hash, under the registered name.
    Sha512,
}

impl Hash {
    /// All hashes that can have a verifier, the stronger first.
    pub const ALL: [Hash; 3] = [Hash::Sha512, Hash::Sha256, Hash::Sha1];

    /// Returns the mechanism without channel binding, as it is in the store: `SCRAM-SHA-256`.
    pub fn mechanism(self) -> &'static str {
        match self {
            Hash::Sha1 => "SCRAM-SHA-1",
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Returns the hash of a mechanism's name without `-PLUS`.
    pub fn from_mechanism(name: &str) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.mechanism() == name)
    }

    fn len(self) -> usize {
        self.hmac().digest_algorithm().output_len()
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    /// `HMAC(key, text)` of RFC 5802, 2.2.
    fn keyed(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac(), key), text).as_ref().to_vec()
    }

    /// `H(bytes)` of RFC 5802, 2.2.
    fn plain(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.hmac().digest_algorithm(), bytes).as_ref().to_vec()
    }

    /// `Hi(password, salt, i)`: the slow step.
    fn salted(self, password: &Password, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let mut out = vec![0; self.len()];
        pbkdf2::derive(self.pbkdf2(), iterations, salt, password.reveal(), &mut out);
        out
    }
}

/// What the server stores instead of a password, for one hash.
///
/// Its `Debug` does not show the keys, and it has no `==`; see [`Verifier::is_same`]:
///
/// ```compile_fail,E0369
/// # use whoelse_stream::{Password, scram::{Hash, Verifier}};
/// let verifier = Verifier::fresh(Hash::Sha256, &Password::new("pencil").unwrap());
/// assert!(verifier == verifier);
/// ```
#[derive(Clone)]
pub struct Verifier {
    /// The hash with which it was made.
    pub hash: Hash,
    /// The salt, which anybody who tries the name is told.
    pub salt: Vec<u8>,
    /// The PBKDF2 iterations.
    pub iterations: NonZeroU32,
    /// The key that checks a client's proof.
    pub stored_key: Vec<u8>,
    /// The key that makes the server's own proof.
    pub server_key: Vec<u8>,
}

impl Verifier {
    /// Derives a verifier. Slow on purpose (milliseconds): call it where blocking is allowed.
    pub fn derive(
        hash: Hash,
        password: &Password,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Verifier {
        let salted = hash.salted(password, salt, iterations);
        Verifier {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: hash.plain(&hash.keyed(&salted, b"Client Key")),
            server_key: hash.keyed(&salted, b"Server Key"),
        }
    }

    /// Derives a verifier for a new password, with a new salt. As slow as [`Verifier::derive`].
    pub fn fresh(hash: Hash, password: &Password) -> Verifier {
        Verifier::derive(hash, password, &token::random::<SALT>(), ITERATIONS)
    }

    /// Makes a fake verifier for an unknown name. One normalised name always gets the same salt,
    /// which nobody can tell from a real one without the installation's secret.
    ///
    /// `name` must be the whole bare address if several domains share the secret.
    pub fn fake(hash: Hash, secret: &[u8], name: &str) -> Verifier {
        let mixed = |what: &str, len| {
            // Every part but the last is a word of ours, so the zero bytes separate the parts.
            let text = [what, hash.mechanism(), name].join("\0");
            let mut bytes = Hash::Sha512.keyed(secret, text.as_bytes());
            bytes.truncate(len);
            bytes
        };
        // Only the salt is ever sent. The text from which it is made must not change: otherwise a
        // changed salt after an update would show which names do not exist.
        let mut salt =
            Hash::Sha256.keyed(secret, ["salt", hash.mechanism(), name].join("\0").as_bytes());
        salt.truncate(SALT);
        Verifier {
            hash,
            salt,
            iterations: ITERATIONS,
            stored_key: mixed("stored key", hash.len()),
            server_key: mixed("server key", hash.len()),
        }
    }

    /// Derives from a password with this verifier's hash, salt and iterations. Slow, see
    /// [`Verifier::derive`].
    pub fn derive_like(&self, password: &Password) -> Verifier {
        Verifier::derive(self.hash, password, &self.salt, self.iterations)
    }

    /// Whether both were made from the same password and salt; in constant time.
    pub fn is_same(&self, other: &Verifier) -> bool {
        self.hash == other.hash && same_secret(&self.stored_key, &other.stored_key)
    }
}

impl fmt::Debug for Verifier {
    /// Shows no keys: a StoredKey in a log allows guessing offline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// The StoredKey of a former password. It recognises a proof of that password, made with the salt
/// and iterations of the present one, and proves nothing itself.
#[derive(Clone)]
pub struct FormerKey(Vec<u8>);

impl FormerKey {
    /// Takes the key.
    pub fn new(stored_key: Vec<u8>) -> FormerKey {
        FormerKey(stored_key)
    }

    /// Whether a verifier was derived from the same password, and the same salt; in constant time.
    pub fn is_of(&self, derived: &Verifier) -> bool {
        same_secret(&self.0, &derived.stored_key)
    }
}

impl fmt::Debug for FormerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormerKey(…)")
    }
}

/// Why a SCRAM exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramError {
    /// A message does not follow the grammar of RFC 5802, 7.
    Malformed,
    /// A message demands an extension (`m=`) nobody has defined.
    Extension,
    /// What the server offered is not what the client saw: an attacker has changed it on its way
    /// (RFC 5802, 6; XEP-0474).
    Downgrade,
    /// The channel binding is not that of this channel, or of a type that is not available here.
    Binding,
    /// The nonce is not that of this exchange.
    Nonce,
    /// The peer did not prove that it knows the password, or the verifier.
    Proof,
    /// The peer proved that it knows a former password: which one of those it was compared with.
    Former(usize),
    /// The server asks for so few iterations that the password would be exposed, or so many that
    /// the client would be busy for ever.
    Iterations,
    /// The server reported an error of its own (`e=`).
    Peer,
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ScramError::Malformed => "a login message is malformed",
            ScramError::Extension => "a login message demands an unknown extension",
            ScramError::Downgrade => "somebody in between has changed what the server offers",
            ScramError::Binding => "the login is bound to another channel",
            ScramError::Nonce => "the nonce is of another login",
            ScramError::Proof => "the proof is wrong",
            ScramError::Former(_) => "the proof is of a former password",
            ScramError::Iterations => "the iteration count is out of range",
            ScramError::Peer => "the other end reports an error",
        })
    }
}

impl std::error::Error for ScramError {}

/// Returns `a XOR b`, for keys of one length.
fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pencil() -> Password {
        Password::new("pencil").unwrap()
    }

    #[test]
    fn a_verifier_prints_no_key() {
        let shown = format!("{:?}", Verifier::fresh(Hash::Sha256, &pencil()));

        assert_eq!(shown, "Verifier { hash: Sha256, .. }");
    }

    #[test]
    fn two_fresh_verifiers_of_one_password_differ() {
        let (one, other) =
            (Verifier::fresh(Hash::Sha1, &pencil()), Verifier::fresh(Hash::Sha1, &pencil()));

        assert_ne!(one.salt, other.salt);
        assert!(!one.is_same(&other));
        assert!(one.is_same(&one.derive_like(&pencil())));
    }

    #[test]
    fn a_fake_verifier_is_stable_per_name_and_secret() {
        let fake = |secret: &[u8], name| Verifier::fake(Hash::Sha256, secret, name).salt;

        assert_eq!(fake(b"one", "nobody"), fake(b"one", "nobody"));
        assert_ne!(fake(b"one", "nobody"), fake(b"one", "nobody2"));
        assert_ne!(fake(b"one", "nobody"), fake(b"two", "nobody"));
    }

    #[test]
    fn a_fake_salt_is_the_one_of_every_release() {
        // Computed in Python: hmac.new(b"secret", b"salt\0SCRAM-SHA-1\0nobody",
        // "sha256").digest()[:16].
        let fake = Verifier::fake(Hash::Sha1, b"secret", "nobody");

        assert_eq!(
            fake.salt,
            [129, 176, 135, 150, 182, 59, 162, 120, 62, 30, 137, 41, 40, 188, 183, 57]
        );
    }

    #[test]
    fn a_fake_verifier_has_the_shape_of_a_real_one() {
        for hash in Hash::ALL {
            let real = Verifier::fresh(hash, &pencil());
            let fake = Verifier::fake(hash, b"secret", "nobody");

            assert_eq!(real.salt.len(), fake.salt.len());
            assert_eq!(real.iterations, fake.iterations);
            assert_eq!(real.stored_key.len(), fake.stored_key.len());
            assert_eq!(real.server_key.len(), fake.server_key.len());
        }
    }
}
