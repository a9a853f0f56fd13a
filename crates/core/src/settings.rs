//! The settings: what can be set, each with its default and the reason for it.
//!
//! The rules' own settings are here. A feature's settings are in its own file, and those of
//! sockets, files and logs in the crate `server`, which joins all of them and reads the
//! configuration file into them. The rules and the features read nothing else. [`declare`] says how
//! to add one.

pub mod declare;
pub mod kind;
mod label;
mod units;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use whoelse_xmpp::BareJid;

use crate::by_type::ByType;
use crate::network::NetworkRange;

pub use declare::{Group, OfFeature, Setting};
pub use kind::{
    About, Choice, Kind, Written, Wrong, choice, count, duration, duration_or_off, flag, label,
    list, path, quoted, size, text,
};

pub use label::{Label, NotALabel};

/// Who may make an account.
pub use whoelse_stream::c2s::Registration;

impl Choice for Registration {
    const WORDS: &'static [(&'static str, Registration)] =
        &[("open", Registration::Open), ("closed", Registration::Closed)];
}

/// Who sees whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contacts {
    /// All accounts of the server see each other.
    Everyone,
    /// An account sees those who have granted it a subscription (RFC 6121, 3).
    Roster,
}

impl Choice for Contacts {
    const WORDS: &'static [(&'static str, Contacts)] =
        &[("everyone", Contacts::Everyone), ("roster", Contacts::Roster)];
}

/// How many sessions an account may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// One: a second login is refused while the first session lives.
    One,
    /// As many as [`Limits::sessions_per_account`].
    Many,
}

impl Choice for Sessions {
    const WORDS: &'static [(&'static str, Sessions)] =
        &[("one", Sessions::One), ("many", Sessions::Many)];
}

/// What happens to a new password with fewer characters than [`Limits::password_min`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShortPasswords {
    /// It is accepted, and the user who chose it is warned: two people who try the program out.
    Warned,
    /// It is refused: others depend on this server.
    Refused,
}

impl Choice for ShortPasswords {
    const WORDS: &'static [(&'static str, ShortPasswords)] =
        &[("warned", ShortPasswords::Warned), ("refused", ShortPasswords::Refused)];
}

crate::settings! {
    /// The settings of a running server, with the values of the quick start (docs/behaviour.md).
    pub struct Settings in "" of Settings {
        /// Who may make an account: "open" (any stranger) or "closed" (the administrator makes
        /// them).
        registration: Registration = Registration::Open, choice()
            .in_a_file(|| Registration::Closed)
            .refuses(&[(
                "invite",
                "is not available in this version; write \"closed\" and make accounts with \
                 `whoelse user add`",
            )]);
        /// Who sees whom: "roster" (people who have agreed to it, as everywhere else with XMPP) or
        /// "everyone" on this server everyone, for a household or a team. With "everyone",
        /// registration cannot be open beyond loopback: any stranger would see everybody.
        contacts: Contacts = Contacts::Everyone,
            choice().in_a_file(|| Contacts::Roster).at_start();
        /// Logins of one account at the same time: "many" (a phone and a desktop), or "one".
        sessions: Sessions = Sessions::One, choice().in_a_file(|| Sessions::Many);
        /// After three wrong passwords in a row an account is blocked for that network for this
        /// long, and twice as long each further time, up to an hour or, if that is longer, this.
        /// Long enough to make guessing hopeless, short enough to wait for.
        block_duration: Duration = Duration::from_secs(60), duration();
        /// A session is logged out after this long without activity. 0: never, since most people
        /// want to be reached when they do nothing.
        timeout: Duration = Duration::ZERO, duration().from(0).to(7 * 86_400);
        /// How long messages are kept for their two sides after they were delivered, or "off": then
        /// each is forgotten when it is delivered. A year is what people look back for.
        history: Option<Duration> = Some(Duration::from_secs(365 * 86_400)), duration_or_off();
        /// Features to switch off, by name.
        features_off: HashSet<String> = HashSet::new(),
            list("names of features").like("[\"ping\"]").at_start();
    }
    with {
        /// Accounts with the administrator's rights, by their whole bare address. The server fills
        /// them in when it knows its domain.
        admins: HashSet<BareJid> = HashSet::new();
        /// What becomes of short new passwords: refused where there is a configuration file.
        short_passwords: ShortPasswords = ShortPasswords::Warned;
        /// Bounds.
        limits: Limits = Limits::default();
        /// What features have declared, where it is not as they have it by default.
        of_features: OfFeatures = OfFeatures::default();
    }
}

crate::settings! {
    /// The bounds of everything that could grow. Who runs into one is refused or set aside; the
    /// server goes on.
    pub struct Limits in "limits" of Settings.limits {
        /// Bytes a session may have unsent or unacknowledged; past it what is kept waits in the
        /// database. Each kind of stanza and each sender has a part of it, so that nobody takes the
        /// room of others; answers have half as much again.
        session_bytes: usize = 5 << 20, size().from(512 << 10);
        /// Bytes that sessions without a connection may hold in all; past it those end that the
        /// account left behind first which holds most. It is memory for people who may come back.
        /// All sessions together may hold four times as much.
        detached_bytes: usize = 256 << 20, size().from(1 << 20);
        /// How long a lost connection can be resumed: a train in a tunnel, not a night's sleep.
        resumption: Duration = Duration::from_secs(600), duration();
        /// Stanzas after which an acknowledgement is asked for: often enough to notice a dead
        /// connection, seldom enough to cost nothing.
        ack_every: u32 = 10, count();
        /// How long to wait for an acknowledgement before the connection counts as lost.
        ack_wait: Duration = Duration::from_secs(60), duration();
        /// From a connection to a session: enough for a slow phone, too little to hold a place for
        /// nothing.
        negotiation: Duration = Duration::from_secs(30), duration();
        /// Connections without a session from one network, which is an IPv4 address or an IPv6 /64.
        /// The next one waits its turn, so that one stranger cannot take every place.
        half_open_per_network: usize = 20, count().older(&["half_open_per_place"]);
        /// Connections without a session from everywhere together: a flood must not fill the memory.
        half_open: usize = 10_000, count();
        /// How many of one network may wait until fewer of it are without a session; one more is
        /// closed at once. A class that comes at once, three times over. In all a tenth of half_open
        /// may wait.
        waiting_per_network: usize = 100, count();
        /// Connections let in each second from a network from which nobody has logged in lately,
        /// with six seconds' worth at once; on a busy server the networks around it together have
        /// four, sixteen and sixty-four times that. Who is over it waits. As fast as a class, not
        /// as fast as a flood.
        connections_per_second: u32 = 20, count();
        /// Bytes a second that one account may send, with two minutes' worth at once; what is
        /// stored counts as more of them. Who is over it waits. Accounts that strangers have made
        /// within a day may an eighth of it, and those of one network four times as much together.
        /// Ten times what a busy bot needs; for measurements, far more.
        bytes_per_second: u64 = 128 << 10, size().from(8 << 10);
        /// Your own networks (a school, an office), where many people are behind one address: wrong
        /// passwords count for the account alone there, and block nobody else; their connections
        /// are put out for no others when the server is full; and new accounts share no budget.
        own_networks: Vec<NetworkRange> = Vec::new(),
            list("networks").like("[\"192.0.2.0/24\", \"2001:db8::/48\"]");
        /// Sessions of one account: more devices than a person has.
        sessions_per_account: usize = 20, count();
        /// Devices of one account that may log in by a token, without its password. The one that was
        /// unused for longest makes room for another: more devices than a person has.
        devices_per_account: usize = 50, count().to(1_000);
        /// How long a device may log in by its token (XEP-0484). One that comes back within half of it
        /// is given another, so only devices that were away for this long need the password again.
        token_life: Duration = Duration::from_secs(30 * 86_400),
            duration().from(3600).to(365 * 86_400);
        /// Messages that may wait for one account; past it their senders are told that the mailbox
        /// is full, and so is a sender who has a quarter of it, and a stranger where strangers have
        /// half.
        undelivered_messages: u64 = 100_000, count();
        /// Bytes that may wait for one account; past it, and past the same parts of it, their senders
        /// are told that the mailbox is full.
        undelivered_bytes: u64 = 100 << 20, size().from(1 << 20);
        /// Bytes of messages that one account's archive keeps; past it the oldest go that were
        /// delivered, those with strangers first. It is ten million messages, more than a person
        /// writes and reads in years, and bounds what somebody can make an account keep.
        archive_bytes: u64 = 4 << 30, size().from(1 << 20);
        /// Bytes of messages that the archive of one room keeps; past it the oldest go. It is three
        /// million messages.
        room_archive_bytes: u64 = 1 << 30, size().from(1 << 20);
        /// How long a request may keep the server busy before it is answered with an error.
        request: Duration = Duration::from_secs(30), duration();
        /// With sessions = "one", how long the first session has to show that it is alive when
        /// another login wants its place.
        probe: Duration = Duration::from_secs(5), duration();
        /// Accounts kept in memory while nobody uses them: whoever comes back soon costs no look into
        /// the database.
        idle_accounts: usize = 10_000, count();
        /// Characters that a new password needs. Who has a shorter one already may keep it. Guessing
        /// eight takes longer than the counts of failed logins allow.
        password_min: usize = 8, count().to(64);
        /// Contacts in one person's roster, those that everybody shares not among them.
        roster_contacts: usize = 2_000, count();
        /// Bytes of one roster as it goes out; at most a quarter of session_bytes, since it does so
        /// in one piece.
        roster_bytes: usize = 1 << 20, size().from(256);
        /// Requests to see somebody that wait for one person's answer. Strangers fill this.
        roster_requests: usize = 200, count();
        /// Bytes of one such request, which is kept whole: enough for a few sentences.
        roster_request_bytes: usize = 4 << 10, size().from(256).to(64 << 10);
        /// Addresses to which a session can send its presence directly, those of group chats above all.
        directed_presences: usize = 1_000, count();
    }
}

impl Limits {
    /// The most connections that wait until fewer are half open: a tenth of those.
    pub fn waiting(&self) -> usize {
        self.half_open.div_ceil(10)
    }

    /// The most bytes a roster can have: it is sent in one piece, and a quarter of what a session
    /// may hold leaves room for its XML.
    pub fn most_roster_bytes(&self) -> usize {
        self.session_bytes / 4
    }
}

impl Settings {
    /// The settings that the rules themselves declare.
    pub const OF_RULES: [&'static [Setting]; 2] = [Settings::SETTINGS, Limits::SETTINGS];

    /// Returns the settings that a feature has declared.
    pub fn of<T: OfFeature>(&self) -> &T {
        self.of_features.0.get().unwrap_or_else(|| T::by_default())
    }

    /// Changes the settings that a feature has declared.
    pub fn change<T: OfFeature>(&mut self, change: impl FnOnce(&mut T)) {
        let mut changed = self.of::<T>().clone();
        change(&mut changed);
        self.of_features.0.put(Arc::new(changed));
    }
}

/// The settings that features have declared, if they differ from the defaults.
#[derive(Debug, Clone, Default)]
pub struct OfFeatures(ByType);
