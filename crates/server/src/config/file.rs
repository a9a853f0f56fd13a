//! The settings file: TOML, every key checked, mistakes named with their line.

use super::slip::Slip;
use super::values::{self, Kept, Size, Span};
use super::{
    CertificateFiles, Config, CredentialsFile, DATA, DIRECT_TLS_PORT, LogConfig, LogFormat,
    METRICS_PORT, MetricsConfig, Overrides, PORT, Source,
};
use serde::Deserialize;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use whoelse_core::settings::{
    Broadcast, Contacts, Limits, Registration, Relaying, Sessions, Settings, ShortPasswords,
};
use whoelse_store::PostgresUrl;
use whoelse_xmpp::in_words;

/// Why there is no configuration. The text is a whole sentence, with the file and the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::write_line(f, &self.0)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn read(path: &Path, error: &io::Error) -> ConfigError {
        ConfigError(format!("cannot read {}: {}", path.display(), in_words(error)))
    }

    pub(super) fn of_command_line(text: String) -> ConfigError {
        ConfigError(text)
    }

    fn of_setting(path: &Path, text: impl fmt::Display) -> ConfigError {
        ConfigError(format!("{}: {text}", path.display()))
    }

    fn of_toml(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or_default();
        let number = before.matches('\n').count() + 1;
        let place = format!("{}, line {number}", path.display());
        let line = text.lines().nth(number - 1).unwrap_or_default();
        let key = line.split('=').next().unwrap_or_default().trim();
        let message = error.message().replace('\n', " ");
        let said = match Slip::of(&message, &OURS) {
            Slip::Unknown { key, near: Some(near) } => {
                format!("there is no setting `{key}`; did you mean `{near}`?")
            }
            Slip::Unknown { key, near: None } => format!("there is no setting `{key}`"),
            Slip::Missing(key) => format!("`{key}` is missing"),
            Slip::Twice(_) => format!("`{key}` stands there twice; take one of them out"),
            Slip::Kind(kind) => format!("`{key}` must be {kind}"),
            Slip::Said(said) if said.starts_with('`') => said.to_owned(),
            Slip::Said(said) => format!("`{key}` must be {said}"),
            Slip::Unreadable => {
                "this is not TOML: write `setting = value`, texts in quotes, lists \
                                 in [ ]"
                    .to_owned()
            }
        };
        ConfigError(format!("{place}: {said}"))
    }
}

/// How begins what our own types say of a value that does not fit.
const OURS: [&str; 2] = ["`", "an address in quotes"];

/// The most characters that every password can be asked to have.
const LONGEST_SHORTEST: usize = 64;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    domain: Option<String>,
    listen: Option<OneOrMany>,
    direct_tls: Option<OneOrMany>,
    data: Option<PathBuf>,
    database: Option<String>,
    database_password_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    credentials: Option<PathBuf>,
    registration: Option<String>,
    contacts: Option<String>,
    sessions: Option<String>,
    broadcast: Option<String>,
    admins: Option<Vec<String>>,
    block_duration: Option<Span>,
    timeout: Option<Span>,
    history: Option<Kept>,
    features_off: Option<Vec<String>>,
    private: Option<FilePrivate>,
    metrics: Option<FileMetrics>,
    log: Option<FileLog>,
    limits: Option<FileLimits>,
}

/// The table `[private]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePrivate {
    relay: Option<String>,
}

/// The table `[metrics]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMetrics {
    listen: Option<String>,
    public: Option<bool>,
}

/// The table `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLog {
    level: Option<String>,
    format: Option<String>,
}

/// The table `[limits]`: the fields of [`Limits`].
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLimits {
    session_bytes: Option<Size>,
    resumption: Option<Span>,
    ack_every: Option<u32>,
    ack_wait: Option<Span>,
    negotiation: Option<Span>,
    half_open_per_place: Option<usize>,
    half_open: Option<usize>,
    waiting_per_network: Option<usize>,
    own_networks: Option<Vec<String>>,
    sessions_per_account: Option<usize>,
    undelivered_messages: Option<u64>,
    undelivered_bytes: Option<Size>,
    request: Option<Span>,
    probe: Option<Span>,
    idle_accounts: Option<usize>,
    password_min: Option<usize>,
    blocks: Option<usize>,
    roster_contacts: Option<usize>,
    roster_bytes: Option<Size>,
    roster_groups: Option<usize>,
    roster_name: Option<usize>,
    roster_requests: Option<usize>,
    roster_request_bytes: Option<Size>,
    directed_presences: Option<usize>,
    relay_rate: Option<Size>,
    relay_clients: Option<usize>,
    relay_per_account: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an address in quotes, or a list of them")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn addresses(self, port: u16) -> Result<Vec<SocketAddr>, String> {
        let texts = match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        };
        texts.iter().map(|text| values::address(text, port)).collect()
    }
}

/// Reads the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let file: File =
        toml::from_str(text).map_err(|error| ConfigError::of_toml(path, text, &error))?;
    file.into_config(path).map_err(|text| ConfigError::of_setting(path, text))
}

impl File {
    fn into_config(self, path: &Path) -> Result<Config, String> {
        // What the file names lies beside it, wherever the server is started.
        let beside = |named: PathBuf| match path.parent() {
            Some(folder) => folder.join(named),
            None => named,
        };
        let certificate = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => {
                Some(CertificateFiles { certificate: beside(certificate), key: beside(key) })
            }
            (None, None) => None,
            (Some(_), None) => return Err("`certificate` needs `key` as well".to_owned()),
            (None, Some(_)) => return Err("`key` needs `certificate` as well".to_owned()),
        };
        let listen = match self.listen {
            Some(listen) => listen.addresses(PORT)?,
            None => super::loopback(PORT),
        };
        let direct_tls = match self.direct_tls {
            Some(listen) => listen.addresses(DIRECT_TLS_PORT)?,
            None => Vec::new(),
        };
        let block = seconds("block_duration", self.block_duration, 60, 1..=86_400)?;
        let settings = Settings {
            registration: registration(self.registration.as_deref())?,
            contacts: one_of(
                "contacts",
                self.contacts.as_deref().unwrap_or("roster"),
                &[("everyone", Contacts::Everyone), ("roster", Contacts::Roster)],
            )?,
            sessions: one_of(
                "sessions",
                self.sessions.as_deref().unwrap_or("many"),
                &[("one", Sessions::One), ("many", Sessions::Many)],
            )?,
            broadcast: one_of(
                "broadcast",
                self.broadcast.as_deref().unwrap_or("administrators"),
                &[("everyone", Broadcast::Everyone), ("administrators", Broadcast::Administrators)],
            )?,
            block_duration: block,
            idle_timeout: seconds("timeout", self.timeout, 0, 0..=604_800)?,
            history: self.history.map_or(Settings::default().history, |history| history.0),
            short_passwords: ShortPasswords::Refused,
            relay: one_of(
                "private.relay",
                self.private.unwrap_or_default().relay.as_deref().unwrap_or("auto"),
                &[("auto", Relaying::Auto), ("never", Relaying::Never)],
            )?,
            features_off: self.features_off.unwrap_or_default().into_iter().collect(),
            limits: limits(self.limits.unwrap_or_default())?,
            ..Settings::default()
        };
        Ok(Config {
            domain: self.domain,
            listen,
            direct_tls,
            data: self.data.map_or_else(|| DATA.into(), beside),
            database: database(
                self.database.as_deref(),
                self.database_password_file.map(beside).as_deref(),
            )?,
            certificate,
            credentials: self
                .credentials
                .map(|path| CredentialsFile { path: beside(path), required: true }),
            admins: self.admins.unwrap_or_default(),
            metrics: metrics(self.metrics.unwrap_or_default())?,
            log: log(self.log.unwrap_or_default())?,
            // Once, on the command line: a file would say it for ever.
            migrate_without_copy: false,
            settings,
            overrides: Overrides::default(),
            source: Source::File(path.to_owned()),
        })
    }
}

/// The database, with its password from a file if one is named.
fn database(url: Option<&str>, password: Option<&Path>) -> Result<Option<PostgresUrl>, String> {
    let Some(url) = url else {
        return match password {
            Some(_) => Err("`database_password_file` needs `database` as well".to_owned()),
            None => Ok(None),
        };
    };
    let mut url: PostgresUrl = url.parse().map_err(|error| format!("database: {error}"))?;
    if let Some(path) = password {
        if url.has_password() {
            return Err("the password stands in `database` and in `database_password_file`; take \
                        one of them out"
                .to_owned());
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {}", path.display(), in_words(&error)))?;
        url.set_password(text.trim_end_matches(['\r', '\n']));
    }
    Ok(Some(url))
}

fn metrics(file: FileMetrics) -> Result<Option<MetricsConfig>, String> {
    let Some(listen) = file.listen.filter(|listen| listen != "off") else { return Ok(None) };
    let listen = values::address(&listen, METRICS_PORT)?;
    Ok(Some(MetricsConfig { listen, public: file.public.unwrap_or(false) }))
}

fn log(file: FileLog) -> Result<LogConfig, String> {
    let format = one_of(
        "log.format",
        file.format.as_deref().unwrap_or("text"),
        &[("text", LogFormat::Text), ("json", LogFormat::Json)],
    )?;
    Ok(LogConfig { level: file.level, format })
}

fn registration(text: Option<&str>) -> Result<Registration, String> {
    if text == Some("invite") {
        return Err("registration = \"invite\" is not available in this version; write \
                    registration = \"closed\" and make accounts with `whoelse user add`"
            .to_owned());
    }
    one_of(
        "registration",
        text.unwrap_or("closed"),
        &[("open", Registration::Open), ("closed", Registration::Closed)],
    )
}

fn one_of<T: Copy>(key: &str, text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("{key} must be {}, not \"{text}\"", names.join(" or "))
    })
}

fn seconds(
    key: &str,
    given: Option<Span>,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<Duration, String> {
    let given = given.map_or(Duration::from_secs(default), |span| span.0);
    if range.contains(&given.as_secs()) {
        return Ok(given);
    }
    let (least, most) = (range.start(), range.end());
    Err(format!("{key} must be from {least} to {most} seconds, not {}", given.as_secs()))
}

fn limits(file: FileLimits) -> Result<Limits, String> {
    let mut limits = Limits::default();
    let size = |key: &str, given: Option<Size>, least: u64| match given {
        Some(Size(bytes)) if bytes < least => {
            Err(format!("limits.{key} must be {least} bytes or more, not {bytes}"))
        }
        given => Ok(given.map(|size| size.0)),
    };
    if let Some(bytes) = size("session_bytes", file.session_bytes, 512 << 10)? {
        limits.session_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = size("undelivered_bytes", file.undelivered_bytes, 1 << 20)? {
        limits.undelivered_bytes = bytes;
    }
    // A roster goes out in one piece: a quarter of what a session may hold leaves room for its XML.
    let room = limits.session_bytes / 4;
    limits.roster_bytes = limits.roster_bytes.min(room);
    let request_bytes = file.roster_request_bytes;
    for (key, given, most, limit) in [
        ("roster_bytes", file.roster_bytes, room, &mut limits.roster_bytes),
        ("roster_request_bytes", request_bytes, 64 << 10, &mut limits.roster_request_bytes),
    ] {
        let Some(bytes) = size(key, given, 256)? else { continue };
        *limit = usize::try_from(bytes).unwrap_or(usize::MAX);
        if *limit > most {
            return Err(format!("limits.{key} must be {most} bytes or less, not {bytes}"));
        }
    }
    // The least is a few packets a second, with which a conversation still gets on.
    if let Some(rate) = size("relay_rate", file.relay_rate, 4 << 10)? {
        limits.relay_rate = u32::try_from(rate)
            .map_err(|_| format!("limits.relay_rate must be under 4 GiB, not {rate} bytes"))?;
    }
    for (key, given, limit) in [
        ("resumption", file.resumption, &mut limits.resumption),
        ("ack_wait", file.ack_wait, &mut limits.ack_wait),
        ("negotiation", file.negotiation, &mut limits.negotiation),
        ("request", file.request, &mut limits.request),
        ("probe", file.probe, &mut limits.probe),
    ] {
        let default = limit.as_secs();
        *limit = seconds(&format!("limits.{key}"), given, default, 1..=86_400)?;
    }
    for (key, given, limit) in [
        ("half_open_per_place", file.half_open_per_place, &mut limits.half_open_per_place),
        ("half_open", file.half_open, &mut limits.half_open),
        ("waiting_per_network", file.waiting_per_network, &mut limits.waiting_per_network),
        ("sessions_per_account", file.sessions_per_account, &mut limits.sessions_per_account),
        ("idle_accounts", file.idle_accounts, &mut limits.idle_accounts),
        ("password_min", file.password_min, &mut limits.password_min),
        ("blocks", file.blocks, &mut limits.blocks),
        ("roster_contacts", file.roster_contacts, &mut limits.roster_contacts),
        ("roster_groups", file.roster_groups, &mut limits.roster_groups),
        ("roster_name", file.roster_name, &mut limits.roster_name),
        ("roster_requests", file.roster_requests, &mut limits.roster_requests),
        ("directed_presences", file.directed_presences, &mut limits.directed_presences),
        ("relay_clients", file.relay_clients, &mut limits.relay_clients),
        ("relay_per_account", file.relay_per_account, &mut limits.relay_per_account),
    ] {
        match given {
            Some(0) => return Err(format!("limits.{key} must be 1 or more")),
            given => *limit = given.unwrap_or(*limit),
        }
    }
    // More than anybody would type: with it, nobody could have an account.
    if limits.password_min > LONGEST_SHORTEST {
        let given = limits.password_min;
        return Err(format!("limits.password_min must be {LONGEST_SHORTEST} or less, not {given}"));
    }
    for text in file.own_networks.unwrap_or_default() {
        let own = text.parse().map_err(|why| format!("limits.own_networks: {why}"))?;
        limits.own_networks.push(own);
    }
    match file.ack_every {
        Some(0) => return Err("limits.ack_every must be 1 or more".to_owned()),
        given => limits.ack_every = given.unwrap_or(limits.ack_every),
    }
    match file.undelivered_messages {
        Some(0) => return Err("limits.undelivered_messages must be 1 or more".to_owned()),
        given => limits.undelivered_messages = given.unwrap_or(limits.undelivered_messages),
    }
    Ok(limits)
}

/// The keys serde knows, out of its own complaint about one that it does not.
#[cfg(test)]
pub(super) fn known_keys(table: &str) -> Vec<String> {
    let error = toml::from_str::<File>(&format!("{table}\nno_such_key = 1"));
    let message = error.err().map(|error| error.message().to_owned()).unwrap_or_default();
    message.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}
