//! RFC 5802: SCRAM-SHA-1 as the load speaks it. The slow part is done once for each account.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Failed;

/// The nonce of every login: it protects the load from a server it has started itself.
const NONCE: &str = "bench";

/// What a password and a salt make; depends on nothing else.
#[derive(Clone)]
pub struct Keys {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    salted: Vec<u8>,
}

/// The client's first message.
pub fn first(name: &str) -> String {
    STANDARD.encode(format!("n,,n={name},r={NONCE}"))
}

/// The answer to a challenge, and the keys to keep for the next time.
pub fn answer(
    name: &str,
    password: &str,
    challenge: &str,
    known: Option<Keys>,
) -> Result<(String, Keys), Failed> {
    let challenge = String::from_utf8(STANDARD.decode(challenge)?)?;
    let field = |key: &str| challenge.split(',').find_map(|field| field.strip_prefix(key));
    let (Some(nonce), Some(salt), Some(count)) = (field("r="), field("s="), field("i=")) else {
        return Err(format!("no challenge: {challenge}").into());
    };
    let (salt, iterations) = (STANDARD.decode(salt)?, count.parse()?);
    let keys = match known {
        Some(keys) if keys.salt == salt && keys.iterations == iterations => keys,
        _ => {
            let mut salted = vec![0; digest::SHA1_OUTPUT_LEN];
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA1;
            pbkdf2::derive(algorithm, iterations, &salt, password.as_bytes(), &mut salted);
            Keys { salt, iterations, salted }
        }
    };
    let bare = format!("c=biws,r={nonce}");
    let auth = format!("n={name},r={NONCE},{challenge},{bare}");
    let client_key = sign(&keys.salted, b"Client Key");
    let stored = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &client_key);
    let signature = sign(stored.as_ref(), auth.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    Ok((STANDARD.encode(format!("{bare},p={}", STANDARD.encode(proof))), keys))
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    hmac::sign(&key, text).as_ref().to_vec()
}
