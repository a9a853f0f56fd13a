//! RFC 4086, unpredictable values: stream ids, resumption ids, nonces and salts, all from one
//! place.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Fills an array from the system's generator. All unpredictable values of this program come from
/// here.
///
/// # Panics
/// If the system has no random numbers: nothing may continue without them, and no peer can cause
/// it.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "the one place where random bytes come from")]
    let filled = rand::fill(&mut bytes);
    // Stated above: this is the one failure that must stop the program.
    filled.expect("the system generator gives random bytes");
    bytes
}

/// Returns a new token: 128 random bits in 22 letters, digits, `-` and `_`.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(random::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_token_has_128_bits_and_never_comes_twice() {
        let tokens: HashSet<String> = (0..1000).map(|_| token()).collect();

        assert_eq!(tokens.len(), 1000);
        assert!(tokens.iter().all(|t| t.len() == 22));
    }

    #[test]
    fn a_token_needs_no_escaping() {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';

        assert!((0..100).all(|_| token().chars().all(plain)));
    }
}
