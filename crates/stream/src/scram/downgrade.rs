//! XEP-0474, SASL SCRAM Downgrade Protection: the server signs what it offered, and the client
//! compares it with what it saw.
//!
//! The hash stands in the server's first message (`h=`), which both proofs cover: whoever changes
//! it on its way, or takes it out, makes the login fail.

use super::Hash;
use base64::{Engine, engine::general_purpose::STANDARD};

/// The mechanisms and the types of channel binding of one list of stream features.
///
/// Both sorted by their bytes, with separators that XML cannot contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer(String);

/// Between two names.
const NEXT: &str = "\x1e";
/// Between the mechanisms and the types of channel binding.
const TYPES: &str = "\x1f";

impl Offer {
    /// What was offered; `bindings` is `None` where XEP-0440 was not used.
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

    /// The hash of it as it stands in `h=`, with the hash function of the mechanism in use.
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
        // hashlib.sha256(…).digest() of the same text, in Python.
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
