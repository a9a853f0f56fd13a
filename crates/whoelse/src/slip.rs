//! Sorts serde's messages about a text that does not fit: its words are for programmers, ours are
//! for the author of the text.
//!
//! Only the message is there to go by. A message that is not known here is recognised as foreign,
//! and never shown.

use strsim::osa_distance;

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Slip<'a> {
    /// An unknown name, with the nearest known one.
    Unknown {
        /// The name.
        key: &'a str,
        /// The nearest known name, if one is near.
        near: Option<&'a str>,
    },
    /// A name that is missing.
    Missing(&'a str),
    /// A name that occurs twice.
    Twice(&'a str),
    /// A value of the wrong kind; the expected kind in words.
    Kind(&'a str),
    /// The message is from our own types.
    Said(&'a str),
    /// The text is not TOML or JSON at all, or the message is unknown.
    Unreadable,
}

impl Slip<'_> {
    /// Sorts a message of serde's. `ours` are prefixes of the messages of our own types.
    pub fn of<'a>(message: &'a str, ours: &[&str]) -> Slip<'a> {
        let quoted = |from: &'a str| from.split('`').nth(1).unwrap_or_default();
        let unknown =
            message.starts_with("unknown field `") || message.starts_with("unknown variant `");
        if unknown {
            let key = quoted(message);
            // "…`, expected one of `a`, `b`": every second part is a name.
            let known = message.split('`').skip(3).step_by(2);
            let near = known.map(|known| (osa_distance(key, known), known)).min();
            let near = near.filter(|(distance, _)| *distance <= 3).map(|(_, known)| known);
            return Slip::Unknown { key, near };
        }
        if message.starts_with("missing field `") {
            return Slip::Missing(quoted(message));
        }
        if message.starts_with("duplicate field") || message.starts_with("duplicate key") {
            return Slip::Twice(quoted(message));
        }
        if message.starts_with("invalid type: ") || message.starts_with("invalid value: ") {
            // The found value comes first, and may contain `expected` itself.
            let expected = message.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
            return Slip::Kind(kind(expected));
        }
        match ours.iter().any(|said| message.starts_with(said)) {
            true => Slip::Said(message),
            false => Slip::Unreadable,
        }
    }
}

/// Names a kind of value as people do. What our own types expect is in such words already.
fn kind(expected: &str) -> &str {
    match expected.split(" at line ").next().unwrap_or_default() {
        "a string" | "string" | "path string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list, as in [\"a\", \"b\"]",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number",
        "a map" => "a table",
        structure if structure.starts_with("struct ") || structure.contains("enum ") => "a table",
        ours => ours,
    }
}
