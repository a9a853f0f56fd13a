//! Whole numbers as people type them, on the command line and at the prompt.

use std::str::FromStr;

/// Parses a whole number: digits only, since Rust would accept `+5` as well.
pub fn whole<T: FromStr>(typed: &str) -> Option<T> {
    typed.bytes().all(|byte| byte.is_ascii_digit()).then(|| typed.parse().ok())?
}
