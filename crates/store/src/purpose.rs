//! What a question to the store is for, which says on whose connections it waits (see
//! [`readers`](crate::readers)).

/// How many questions of archives run at the same time.
pub const READERS_OF_ARCHIVES: usize = 2;
/// How many questions run at the same time for what accounts get of their own.
pub const READERS_OF_MAILBOXES: usize = 3;
/// How many questions of logins run at the same time.
const READERS_OF_LOGINS: usize = 2;

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A login, or an account that is loaded: its few rows are found by their key.
    Logins,
    /// What an account gets of its own: what waits for it, what its clients have stored, a page of
    /// everybody's roster. A bounded part of it is read.
    Mailboxes,
    /// All else: archives, lists, counts, and the server's own search for what is old.
    Archives,
}

impl For {
    /// How many such questions run at the same time. Each needs a thread of SQLite's, or a process
    /// of PostgreSQL's, from the first time that it is needed.
    pub fn at_once(self) -> usize {
        match self {
            For::Logins => READERS_OF_LOGINS,
            For::Mailboxes => READERS_OF_MAILBOXES,
            For::Archives => READERS_OF_ARCHIVES,
        }
    }
}
