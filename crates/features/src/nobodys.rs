//! Rights that were given to a name that nobody had: whoever registers the name later does not inherit
//! them (security row 47).
//!
//! They stay in the lists as they were, since a list must not tell who exists to somebody who may not
//! know: what was written of a name looks the same whether anybody has it or not. In the store such a
//! right has a higher number, and gives nothing. Giving it again gives it to whoever has the name then.

/// What is added to the number of such a right: more than any number has.
pub(crate) const NOBODYS: i64 = 100;

/// Returns the number that a list shows.
pub(crate) fn shown(number: i64) -> i64 {
    number % NOBODYS
}

/// Whether a number is that of such a right, which gives nothing.
pub(crate) fn is_nobodys(number: i64) -> bool {
    number >= NOBODYS
}
