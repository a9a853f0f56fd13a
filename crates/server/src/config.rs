//! behaviour.md, Names and settings: what a server is started with, from the quick start, a file
//! and the command line.
//!
//! The quick start is a set of settings, not another program; [`Config::quick_start`] is where
//! they stand. A file begins from other defaults, [`Config::from_file`]. The command line wins
//! over both, [`Config::apply`].

mod address_range;
mod addresses;
mod check;
mod file;
mod problem;
mod table;
pub mod toml_text;
mod web;

pub use address_range::AddressRange;
pub(crate) use check::admin;
use file::Lines;
pub use problem::{ConfigError, Problem};
pub use table::{Row, table};
pub use web::{Forwarded, PublicUrl, WEB_PORT, WebConfig};

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use whoelse_core::settings;
use whoelse_core::settings::{Choice, Settings, choice, flag, list, path, text};
use whoelse_features::broadcast;
use whoelse_store::{Location, PostgresUrl};
use whoelse_xmpp::in_words;

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

settings! {
    /// What a server is started with, at first as in the quick start.
    pub struct Config in "" of Config {
        /// The name after the @ of every address. Without it, what the data directory serves
        /// already, and "localhost" for a new one. To change it later, see `whoelse domain rename`.
        domain: Option<String> = None,
            text("a domain name in quotes").like("\"chat.example.org\"").at_start();
        /// Where clients connect, with STARTTLS or, if they try that first, with TLS from the first
        /// byte. One address or a list; 5222 is the port that clients look for. An address means
        /// itself: for everybody, write both "0.0.0.0:5222" and "[::]:5222".
        listen: Vec<SocketAddr> = loopback(PORT),
            addresses::listening::<PORT>().like("[\"0.0.0.0:5222\", \"[::]:5222\"]").at_start();
        /// Where TLS from the first byte is the only way (XEP-0368): a port of its own passes more
        /// firewalls. Usual is port 5223. Off by default: it needs an SRV record
        /// (_xmpps-client._tcp) to be found.
        direct_tls: Vec<SocketAddr> = Vec::new(),
            addresses::listening::<DIRECT_TLS_PORT>()
                .like("[\"0.0.0.0:5223\", \"[::]:5223\"]")
                .at_start();
        /// Where everything is kept: database, certificate, admin socket. Without this line it is
        /// "whoelse-data" in the folder where the server is started.
        data: PathBuf = PathBuf::from(DATA), path().like("\"whoelse-data\"").at_start();
        /// A PostgreSQL database instead of the file in the data directory, for those who run one
        /// anyway: "postgres://user:password@host:5432/name?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem".
        /// It has to be there, empty, with the encoding UTF8; one server at a time may use it.
        /// Connect to it directly, not through a pooler that hands out connections by transaction;
        /// the server has at most nine connections.
        /// The default is the file: it needs nobody to look after it. `whoelse store copy` moves
        /// everything from one to the other.
        database: Option<PostgresUrl> = None,
            addresses::database().like("\"postgres://whoelse@localhost/whoelse\"").at_start();
        /// A file that holds the password of the database and nothing else, so that it need not
        /// stand here. The environment variable WHOELSE_DATABASE_PASSWORD does as well.
        database_password_file: Option<PathBuf> = None,
            path().like("\"database.password\"").at_start();
        /// A certificate by an authority: the whole chain, PEM. Without it the server makes its own,
        /// which people have to recognise by its fingerprint.
        certificate: Option<PathBuf> = None, path().like("\"fullchain.pem\"");
        /// The key of that certificate, PEM.
        key: Option<PathBuf> = None, path().like("\"privkey.pem\"");
        /// Accounts to create at the start: a name, one space and a password a line; lines that
        /// begin with "#" are comments. None by default: passwords in files get forgotten there.
        /// `whoelse user add` asks for one instead.
        credentials: Option<CredentialsFile> =
            Some(CredentialsFile { path: CREDENTIALS.into(), required: false }),
            addresses::credentials().like("\"credentials.txt\"").in_a_file(|| None).at_start();
        /// Who may do what `whoelse user` does, from any client: names, or whole addresses. Nobody
        /// by default; the user who runs the server can do it on this machine without being named.
        admins: Vec<String> = Vec::new(), list("names or addresses").like("[\"alice\"]");
    }
    with {
        /// Clients of the web.
        web: WebConfig = WebConfig::default();
        /// What a monitor is told.
        metrics: MetricsConfig = MetricsConfig::default();
        /// What is logged.
        log: LogConfig = LogConfig::default();
        /// Whether an older database is brought up to date without being kept as it was. Once, on
        /// the command line: a file would say it for ever.
        migrate_without_copy: bool = false;
        /// What the rules and the features read. [`Settings::admins`] is filled in at the start, when
        /// the domain is known.
        settings: Settings = Settings::default();
        /// Where the settings come from.
        source: Source = Source::QuickStart;
        /// In which lines of the file they stand.
        lines: Lines = Lines::default();
        /// What the command line has said, for when the file is read again.
        overrides: Overrides = Overrides::default();
    }
}

settings! {
    /// What the server tells a monitor.
    pub struct MetricsConfig in "metrics" of Config.metrics {
        /// Where /metrics (OpenMetrics) and /health are answered, or "off", the default, since nobody
        /// should be asked who does not know it.
        listen: Option<SocketAddr> = None,
            addresses::listening_or_off::<METRICS_PORT>().like("\"127.0.0.1:9105\"").at_start();
        /// Whether an address beyond loopback is meant. Everybody who reaches it reads how busy this
        /// server is, so a firewall belongs before it.
        public: bool = false, flag().at_start();
    }
}

settings! {
    /// What the server logs, to its standard error.
    pub struct LogConfig in "log" of Config.log {
        /// error, warn, info, debug or trace, or levels by part, like
        /// "info,whoelse_core::keeper=debug". --log and RUST_LOG win over it. Without it, the life of
        /// the server and of its sessions.
        level: Option<String> = None, text("a level of the log in quotes").like("\"info\"");
        /// How a line looks: "text" for people, or "json" for programs, one object a line.
        format: LogFormat = LogFormat::Text, choice().at_start();
    }
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

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat)] =
        &[("text", LogFormat::Text), ("json", LogFormat::Json)];
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
    /// Returns whether a start reads it, and fails if it cannot be read.
    pub(crate) fn is_read(&self) -> bool {
        // If its existence cannot be determined, assume that it is there.
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
        Config::default()
    }

    /// From a file. Fails with everything that is wrong with it.
    pub fn from_file(path: &Path) -> Result<Config, ConfigError> {
        let (config, problems) = Config::read(path)?;
        ConfigError::of(problems)?;
        Ok(config)
    }

    /// What can be read of a file, and what is wrong with it, in the order of its lines. Fails if the
    /// file cannot be read at all.
    pub fn read(path: &Path) -> Result<(Config, Vec<Problem>), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let why = format!("cannot read {}: {}", path.display(), in_words(&error));
            ConfigError::new(Problem::new(why))
        })?;
        let (mut config, problems) = file::read(path, &text);
        if let Some(database) = &mut config.database
            && !database.has_password()
            && let Ok(password) = std::env::var(DATABASE_PASSWORD)
        {
            database.set_password(&password);
        }
        Ok((config, problems))
    }

    /// The certificate by an authority; without it the server makes its own.
    pub fn certificate_files(&self) -> Option<CertificateFiles> {
        let (certificate, key) = (self.certificate.clone()?, self.key.clone()?);
        Some(CertificateFiles { certificate, key })
    }

    /// Something is wrong with what a setting says, `metrics.listen` for instance.
    pub fn problem(&self, key: &str, text: String) -> Problem {
        match &self.source {
            Source::QuickStart => Problem::new(text),
            Source::File(path) => Problem::new(text).in_file(path, self.lines.get(key).copied()),
        }
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
            let listen = overrides.listen.iter().map(|text| addresses::address(text, PORT));
            let listen: Result<Vec<_>, String> = listen.collect();
            self.listen = listen.map_err(|why| ConfigError::new(Problem::new(why)))?;
        }
        if let Some(port) = overrides.port {
            self.listen.iter_mut().for_each(|address| address.set_port(port));
            // Addresses that differed only in their ports become the same one.
            let mut seen = HashSet::new();
            self.listen.retain(|address| seen.insert(*address));
        }
        if let Some(seconds) = overrides.block_duration {
            self.settings.block_duration = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = overrides.timeout {
            self.settings.timeout = Duration::from_secs(seconds.into());
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

    /// Whether somebody who is not on this machine can connect.
    pub fn is_beyond_loopback(&self) -> bool {
        check::beyond_loopback(self).is_some()
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
        let registration = settings.registration.word();
        let (contacts, sessions) = (settings.contacts.word(), settings.sessions.word());
        let broadcast = settings.of::<broadcast::Settings>().broadcast.word();
        let timeout = match settings.timeout.as_secs() {
            0 => "never".to_owned(),
            seconds => format!("{seconds} s"),
        };
        let history = table::find("", "history").map(|row| row.say(self.0)).unwrap_or_default();
        let history = history.trim_matches('"');
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

fn loopback(port: u16) -> Vec<SocketAddr> {
    let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    addresses.map(|address| SocketAddr::new(address, port)).into()
}

#[cfg(test)]
mod tests;
