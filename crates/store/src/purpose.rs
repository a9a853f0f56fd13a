//! What a question to the store is for, which says on whose connections it waits (see
//! [`readers`](crate::readers)).

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
    pub fn at_once(self) -> u32 {
        match self {
            For::Logins | For::Archives => 2,
            // One more than sessions read of what waits for them at the same time.
            For::Mailboxes => 3,
        }
    }
}
