//! behaviour.md, Names and settings: what a server is started with, from the quick start, a file
//! and the command line.
//!
//! The quick start is a set of settings, not another program; [`Config::quick_start`] is where
//! they stand. A file begins from other defaults, [`Config::from_file`]. The command line wins
//! over both, [`Config::apply`].

mod check;
mod file;
mod slip;
mod values;

pub use check::Problem;
pub(crate) use check::admin;
pub use file::ConfigError;
pub use slip::Slip;

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use whoelse_core::settings::{Broadcast, Contacts, Registration, Sessions, Settings};
use whoelse_store::{Location, PostgresUrl};

/// The port of XMPP clients (RFC 6120, 14.7).
pub const PORT: u16 = 5222;
/// The port that most servers use for direct TLS (XEP-0368 names none).
pub const DIRECT_TLS_PORT: u16 = 5223;
/// The port of `/metrics` and `/health`, if nobody names another.
pub const METRICS_PORT: u16 = 9105;
/// The data directory, if nobody names another.
pub const DATA: &str = "whoelse-data";
/// The variable that may hold the password of the database.
pub const DATABASE_PASSWORD: &str = "WHOELSE_DATABASE_PASSWORD";
/// The name of the database in the data directory.
pub(crate) const DATABASE: &str = "whoelse.db";
/// The accounts of the quick start.
const CREDENTIALS: &str = "credentials.txt";

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domain to serve; without it, what the data directory serves, or `localhost`.
    pub domain: Option<String>,
    /// Where clients connect, with STARTTLS.
    pub listen: Vec<SocketAddr>,
    /// Where clients connect with TLS from the first byte (XEP-0368).
    pub direct_tls: Vec<SocketAddr>,
    /// Where everything is kept, but what a database of its own holds.
    pub data: PathBuf,
    /// The PostgreSQL database; without it, a SQLite file in the data directory.
    pub database: Option<PostgresUrl>,
    /// A certificate by an authority; without it the server makes its own.
    pub certificate: Option<CertificateFiles>,
    /// Accounts to create at the start.
    pub credentials: Option<CredentialsFile>,
    /// The administrators, by name or by whole address.
    pub admins: Vec<String>,
    /// Where `/metrics` and `/health` are answered; nowhere without it.
    pub metrics: Option<MetricsConfig>,
    /// What is logged.
    pub log: LogConfig,
    /// Whether an older database is brought up to date without being kept as it was.
    pub migrate_without_copy: bool,
    /// What the rules read. [`Settings::admins`] is filled in at the start, when the domain is
    /// known.
    pub settings: Settings,
    /// Where the settings come from.
    pub source: Source,
    /// What the command line has said, for when the file is read again.
    pub overrides: Overrides,
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Where.
    pub listen: SocketAddr,
    /// Whether an address beyond loopback is meant.
    pub public: bool,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogConfig {
    /// A level, or levels by target, as `RUST_LOG` has them; the program's own choice without it.
    pub level: Option<String>,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

/// Where settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody wrote any.
    QuickStart,
    /// This file.
    File(PathBuf),
}

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// A file of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is an error that it is not there: somebody has named it.
    pub required: bool,
}

impl CredentialsFile {
    /// Whether a start reads it, and fails if that cannot be done.
    pub(crate) fn is_read(&self) -> bool {
        // Where nobody can tell, something may be there.
        self.required || self.path.try_exists().unwrap_or(true)
    }
}

/// What the command line says; it wins over everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Replaces the port of every address in `listen`.
    pub port: Option<u16>,
    /// `block_duration`, in seconds.
    pub block_duration: Option<u32>,
    /// `timeout`, in seconds.
    pub timeout: Option<u32>,
    /// `data`.
    pub data: Option<PathBuf>,
    /// `--credentials FILE`.
    pub credentials: Option<PathBuf>,
    /// `listen`, each an address with or without a port.
    pub listen: Vec<String>,
    /// `domain`.
    pub domain: Option<String>,
    /// `--migrate-without-copy`.
    pub migrate_without_copy: bool,
}

impl Config {
    /// Without a file: two people on one machine are chatting in a minute.
    pub fn quick_start() -> Config {
        Config {
            domain: None,
            listen: loopback(PORT),
            direct_tls: Vec::new(),
            data: PathBuf::from(DATA),
            database: None,
            certificate: None,
            credentials: Some(CredentialsFile { path: CREDENTIALS.into(), required: false }),
            admins: Vec::new(),
            metrics: None,
            log: LogConfig::default(),
            migrate_without_copy: false,
            settings: Settings { admins: HashSet::new(), ..Settings::default() },
            source: Source::QuickStart,
            overrides: Overrides::default(),
        }
    }

    /// From a file.
    pub fn from_file(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::read(path, &error))?;
        let mut config = file::parse(path, &text)?;
        if let Some(database) = &mut config.database
            && !database.has_password()
            && let Ok(password) = std::env::var(DATABASE_PASSWORD)
        {
            database.set_password(&password);
        }
        Ok(config)
    }

    /// Where the database is.
    pub fn place(&self) -> Location {
        match &self.database {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::Sqlite(self.data.join(DATABASE)),
        }
    }

    /// Takes over what the command line says.
    pub fn apply(&mut self, overrides: Overrides) -> Result<(), ConfigError> {
        self.overrides = overrides.clone();
        if !overrides.listen.is_empty() {
            let listen = overrides.listen.iter().map(|text| values::address(text, PORT));
            let listen: Result<Vec<_>, String> = listen.collect();
            self.listen = listen.map_err(ConfigError::of_command_line)?;
        }
        if let Some(port) = overrides.port {
            self.listen.iter_mut().for_each(|address| address.set_port(port));
            // Addresses that differed in their ports alone.
            let mut seen = HashSet::new();
            self.listen.retain(|address| seen.insert(*address));
        }
        if let Some(seconds) = overrides.block_duration {
            self.settings.block_duration = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = overrides.timeout {
            self.settings.idle_timeout = Duration::from_secs(seconds.into());
        }
        if let Some(data) = overrides.data {
            self.data = data;
        }
        if let Some(path) = overrides.credentials {
            self.credentials = Some(CredentialsFile { path, required: true });
        }
        self.domain = overrides.domain.or(self.domain.take());
        self.migrate_without_copy |= overrides.migrate_without_copy;
        Ok(())
    }

    /// The same settings, read again from where they came from, with what the command line has
    /// said.
    pub fn read_again(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.source {
            Source::QuickStart => Config::quick_start(),
            Source::File(path) => Config::from_file(path)?,
        };
        config.apply(self.overrides.clone())?;
        Ok(config)
    }

    /// What is wrong with the settings taken together.
    pub fn check(&self) -> Vec<Problem> {
        check::problems(self)
    }

    /// The settings in one line, as the server prints them at its start.
    pub fn summary(&self) -> String {
        let mut line = match &self.source {
            Source::QuickStart => "quick start".to_owned(),
            Source::File(path) => format!("settings of {}", path.display()),
        };
        // Writing to a string cannot fail.
        let _ = write!(line, ": {}", Summary(self));
        line
    }
}

struct Summary<'a>(&'a Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.0.settings;
        let listen: Vec<String> = self.0.listen.iter().map(SocketAddr::to_string).collect();
        let registration = match settings.registration {
            Registration::Open => "open",
            Registration::Closed => "closed",
        };
        let contacts = match settings.contacts {
            Contacts::Everyone => "everyone",
            Contacts::Roster => "roster",
        };
        let sessions = match settings.sessions {
            Sessions::One => "one",
            Sessions::Many => "many",
        };
        let broadcast = match settings.broadcast {
            Broadcast::Everyone => "everyone",
            Broadcast::Administrators => "administrators",
        };
        let timeout = match settings.idle_timeout.as_secs() {
            0 => "never".to_owned(),
            seconds => format!("{seconds} s"),
        };
        let history = settings.history.map_or("off".to_owned(), values::say_duration);
        write!(
            f,
            "listen {}, registration {registration}, contacts {contacts}, sessions {sessions}, \
             broadcast {broadcast}, block {} s, timeout {timeout}, history {history}, data {}",
            listen.join(" "),
            settings.block_duration.as_secs(),
            self.0.data.display(),
        )?;
        match &self.0.database {
            Some(database) => write!(f, ", database {database}"),
            None => Ok(()),
        }
    }
}

/// Writes a message as one line: what it quotes may hold characters that act on a terminal.
fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match c.is_control() {
        true => write!(f, "{}", c.escape_unicode()),
        false => f.write_char(c),
    })
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    addresses.map(|address| SocketAddr::new(address, port)).into()
}

#[cfg(test)]
mod tests;
