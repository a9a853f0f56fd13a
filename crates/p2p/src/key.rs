//! The public key of a device, and the code by which two people compare theirs.

use std::fmt;

use aws_lc_rs::digest;
use whoelse_stream::hex;

/// Rounds of hashing, which make it expensive to search for keys with the same code.
const ROUNDS: u32 = 5_200;
/// Digits of a code: six groups of five.
const GROUPS: usize = 6;

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

impl Key {
    /// Makes a key of its bytes.
    pub fn of(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Key> {
        hex::decode(text).map(Key)
    }

    /// Returns the code of two devices: the same for both ends, and different if either key
    /// differs. It is meant to be read aloud: `12345 67890 …`, about 100 bits.
    pub fn code(&self, other: &Key) -> String {
        let (low, high) = if self <= other { (self, other) } else { (other, self) };
        let mut state = [b"urn:whoelse:private:0".as_slice(), &low.0, &high.0].concat();
        for _ in 0..ROUNDS {
            state = digest::digest(&digest::SHA512, &state).as_ref().to_vec();
        }
        let groups: Vec<String> = state
            .chunks_exact(8)
            .take(GROUPS)
            .map(|chunk| chunk.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
            .map(|number| format!("{:05}", number % 100_000))
            .collect();
        groups.join(" ")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_printed() {
        let key = Key::of([0xab; 32]);

        assert_eq!(Key::parse(&key.to_string()), Some(key));
        for bad in ["", "ab", &"g".repeat(64), &"+1".repeat(32), &"a".repeat(63)] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn both_ends_read_the_same_code_and_no_other_pair_does() {
        let (one, two, three) = (Key::of([1; 32]), Key::of([2; 32]), Key::of([3; 32]));

        assert_eq!(one.code(&two), two.code(&one));
        assert_ne!(one.code(&two), one.code(&three));
        let code = one.code(&two);
        let groups: Vec<&str> = code.split(' ').collect();
        assert_eq!(groups.len(), 6);
        assert!(groups.iter().all(|it| it.len() == 5 && it.bytes().all(|b| b.is_ascii_digit())));
    }
}
