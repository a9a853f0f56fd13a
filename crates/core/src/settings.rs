//! What can be set, with the value it has when nobody sets it and the reason for it.
//!
//! The configuration file (crate `server`) is read into this; the rules read nothing else.

use std::collections::HashSet;
use std::time::Duration;

use whoelse_xmpp::BareJid;

use crate::network::NetworkRange;

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anyone who can connect.
    Open,
    /// Nobody; the administrator makes accounts.
    Closed,
}

/// Who sees whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contacts {
    /// All accounts of the server see each other.
    Everyone,
    /// An account sees those who have agreed to it (RFC 6121, 3).
    Roster,
}

/// How many sessions an account may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// One: a second login is refused while the first one lives.
    One,
    /// As many as [`Limits::sessions_per_account`].
    Many,
}

/// Who may send a broadcast to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    /// Every account.
    Everyone,
    /// Administrators only.
    Administrators,
}

/// Whether private chats are relayed whose two ends cannot reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relaying {
    /// Where nothing direct works; what is relayed is encrypted from end to end.
    Auto,
    /// Never: who has no direct path has no private chat.
    Never,
}

/// What becomes of a new password with fewer characters than [`Limits::password_min`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortPasswords {
    /// It is taken, and whoever chose it is warned: two people who try the program out.
    Warned,
    /// It is refused: others depend on this server.
    Refused,
}

/// The settings of a running server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may make an account.
    pub registration: Registration,
    /// Who sees whom.
    pub contacts: Contacts,
    /// How many sessions an account may have.
    pub sessions: Sessions,
    /// Who may send a broadcast to all.
    pub broadcast: Broadcast,
    /// Accounts with the administrator's rights, by their whole bare address.
    pub admins: HashSet<BareJid>,
    /// How long an account is blocked for a place after three wrong passwords.
    pub block_duration: Duration,
    /// A session without activity ends after this; zero: never.
    pub idle_timeout: Duration,
    /// How long messages are kept after they were delivered; `None`: until they are delivered.
    pub history: Option<Duration>,
    /// What becomes of short new passwords: refused where there is a configuration file.
    pub short_passwords: ShortPasswords,
    /// Whether private chats are relayed (`[private] relay`).
    pub relay: Relaying,
    /// Names of features that are switched off.
    pub features_off: HashSet<String>,
    /// Bounds.
    pub limits: Limits,
}

/// Every bound stands here, with its reason. Each can be set and each has a test that hits it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Unsent plus unacknowledged bytes of a session, then it is detached: a client that does
    /// not read must not fill the memory, and what was kept waits in the log.
    pub session_bytes: usize,
    /// How long a detached session can be resumed: a train in a tunnel, not a night's sleep.
    pub resumption: Duration,
    /// An acknowledgement is asked for after this many stanzas.
    pub ack_every: u32,
    /// A session is detached when an acknowledgement has not come for this long.
    pub ack_wait: Duration,
    /// From the accepted socket to the bound session: enough for a person's slow phone.
    pub negotiation: Duration,
    /// Connections from one place that have not bound a session.
    pub half_open_per_place: usize,
    /// Connections that have not bound a session, in all.
    pub half_open: usize,
    /// Connections from one network that wait until fewer of it are half open: a class that comes
    /// at once, three times over.
    pub waiting_per_network: usize,
    /// Networks of the operator's own, a school or an office: many people are behind one address
    /// there, so wrong passwords count for the account alone.
    pub own_networks: Vec<NetworkRange>,
    /// Sessions of one account.
    pub sessions_per_account: usize,
    /// Undelivered messages of one account, then its senders get `resource-constraint`.
    pub undelivered_messages: u64,
    /// Bytes of undelivered messages of one account.
    pub undelivered_bytes: u64,
    /// A request to a feature is answered `remote-server-timeout` after this.
    pub request: Duration,
    /// A session that may be dead has this long to show a byte when another login wants its place.
    pub probe: Duration,
    /// Accounts kept in memory without a session.
    pub idle_accounts: usize,
    /// Characters of a new password; one that exists is never looked at. Guessing eight takes
    /// longer than the counts of failed logins allow.
    pub password_min: usize,
    /// Entries of one block list.
    pub blocks: usize,
    /// Contacts in one roster, those that everybody shares not among them.
    pub roster_contacts: usize,
    /// Bytes of one roster as it goes out: in one piece, which must leave room in a session's budget.
    pub roster_bytes: usize,
    /// Groups one contact can be in.
    pub roster_groups: usize,
    /// Bytes of the name of a contact or a group: more than anybody reads.
    pub roster_name: usize,
    /// Requests to subscribe that wait for one account's answer; past it the next one is refused,
    /// since strangers fill this.
    pub roster_requests: usize,
    /// Bytes of one such request, which is kept whole: enough for a few sentences.
    pub roster_request_bytes: usize,
    /// To how many addresses a session remembers that it has sent its presence directly; past it
    /// the next one is refused.
    pub directed_presences: usize,
    /// Bytes a second that one connection may send through the relay, eight times as many at once:
    /// a conversation and a picture now and then, not somebody's backup.
    pub relay_rate: u32,
    /// Connections to the relay, in all; and as many are told their public addresses.
    pub relay_clients: usize,
    /// Connections of one account to the relay: more private chats than a person has at a time.
    pub relay_per_account: usize,
}

impl Limits {
    /// Connections that wait until fewer are half open, in all: a tenth of those.
    pub fn waiting(&self) -> usize {
        self.half_open.div_ceil(10)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            session_bytes: 5 << 20,
            resumption: Duration::from_secs(600),
            ack_every: 10,
            ack_wait: Duration::from_secs(60),
            negotiation: Duration::from_secs(30),
            half_open_per_place: 20,
            half_open: 10_000,
            waiting_per_network: 100,
            own_networks: Vec::new(),
            sessions_per_account: 20,
            undelivered_messages: 100_000,
            undelivered_bytes: 100 << 20,
            request: Duration::from_secs(30),
            probe: Duration::from_secs(5),
            idle_accounts: 10_000,
            password_min: 8,
            blocks: 1_000,
            roster_contacts: 2_000,
            roster_bytes: 1 << 20,
            roster_groups: 50,
            roster_name: 1_023,
            roster_requests: 200,
            roster_request_bytes: 4 << 10,
            directed_presences: 1_000,
            relay_rate: 128 << 10,
            relay_clients: 1_000,
            relay_per_account: 16,
        }
    }
}

impl Default for Settings {
    /// The quick start: see `docs/behaviour.md`.
    fn default() -> Settings {
        Settings {
            registration: Registration::Open,
            contacts: Contacts::Everyone,
            sessions: Sessions::One,
            broadcast: Broadcast::Everyone,
            admins: HashSet::new(),
            block_duration: Duration::from_secs(60),
            idle_timeout: Duration::ZERO,
            history: Some(Duration::from_secs(365 * 86_400)),
            short_passwords: ShortPasswords::Warned,
            relay: Relaying::Auto,
            features_off: HashSet::new(),
            limits: Limits::default(),
        }
    }
}
