//! XEP-0474, SASL SCRAM Downgrade Protection: the server signs what it offered, and the client
//! compares it with what it saw.
//!
//! The hash is in the server's first message (`h=`), which both proofs cover: if an attacker
//! changes or removes it on its way, the login fails.

use super::Hash;
use base64::{Engine, engine::general_purpose::STANDARD};

/// The mechanisms and the types of channel binding of one list of stream features.
///
/// Both are sorted by their bytes, and joined with separators that XML cannot contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer(String);

/// The separator between two names.
const NEXT: &str = "\x1e";
/// The separator between the mechanisms and the types of channel binding.
const TYPES: &str = "\x1f";

impl Offer {
    /// Makes the text of an offer; `bindings` is `None` if XEP-0440 was not used.
    pub fn new<'a>(
        mechanisms: impl IntoIterator<Item = &'a str>,
        bindings: Option<impl IntoIterator<Item = &'a str>>,
    ) -> Offer {
        let mut text = sorted(mechanisms);
        if let Some(bindings) = bindings {
            text.push_str(TYPES);
            text.push_str(&sorted(bindings));
        }
        Offer(text)
    }

    /// Returns its hash as in `h=`, with the hash function of the mechanism in use.
    pub fn digest(&self, hash: Hash) -> String {
        STANDARD.encode(hash.plain(self.0.as_bytes()))
    }
}

fn sorted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.join(NEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_the_xeps_example_is_ours() {
        let offer = Offer::new(
            ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"],
            Some(["tls-server-end-point", "tls-exporter"]),
        );

        assert_eq!(offer.digest(Hash::Sha1), "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
        // Computed in Python: hashlib.sha256(…).digest() of the same text.
        let sha256 = "H6VEQ+6wl/eYKuTjJn4D9/e9GTn1AcYGw/oiSJ3Yhy0=";
        assert_eq!(offer.digest(Hash::Sha256), sha256);
    }

    #[test]
    fn whatever_is_taken_out_or_put_in_changes_the_hash() {
        let none: Option<[&str; 0]> = None;
        let offers = [
            Offer::new(["A", "B"], Some(["x", "y"])),
            Offer::new(["A"], Some(["x", "y"])),
            Offer::new(["A", "B"], Some(["x"])),
            Offer::new(["A", "B", "x"], Some(["y"])),
            Offer::new(["A", "B"], Some([])),
            Offer::new(["A", "B"], none),
            Offer::new(["AB"], none),
        ];

        for (i, one) in offers.iter().enumerate() {
            for other in &offers[i + 1..] {
                assert_ne!(one.digest(Hash::Sha512), other.digest(Hash::Sha512));
            }
        }
    }
}
