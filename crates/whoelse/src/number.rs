//! Whole numbers as people type them, on the command line and at the prompt.

use std::str::FromStr;

/// A whole number: digits alone, since Rust would read `+5`, too.
pub fn whole<T: FromStr>(typed: &str) -> Option<T> {
    typed.bytes().all(|byte| byte.is_ascii_digit()).then(|| typed.parse().ok())?
}
