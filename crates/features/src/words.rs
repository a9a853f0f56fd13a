//! Words of a protocol, each with its value: in requests, in forms and in the store.

/// Declares words of the protocol with their values.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $type { $($(#[$of])* $variant,)+ }

        impl $type {
            /// All of them, in the order of the specification.
            pub const ALL: &[$type] = &[$($type::$variant,)+];

            /// The word on the wire and in the store.
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word,)+ }
            }

            /// Returns the value of a word.
            pub fn of(word: &str) -> Option<$type> {
                match word { $($word => Some($type::$variant),)+ _ => None }
            }

            /// Its number in the store: its place among all of them, which never changes.
            #[allow(dead_code, reason = "some are stored as words")]
            pub fn number(self) -> i64 {
                self as i64
            }

            /// Returns the value of a number of the store.
            #[allow(dead_code, reason = "some are stored as words")]
            pub fn of_number(number: i64) -> Option<$type> {
                usize::try_from(number).ok().and_then(|at| $type::ALL.get(at).copied())
            }
        }
    };
}
pub(crate) use words;
