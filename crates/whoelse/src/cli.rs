//! The command line: what each sub-command takes, and one clear sentence for what it does not.
//!
//! Only words stand here; what a sub-command does stands in `terminal/` (the client) and `admin/`
//! (everything else).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use strsim::osa_distance;
use whoelse_p2p::Relaying;

use crate::output;

/// Instant messaging that people run themselves.
#[derive(Debug, Parser)]
#[command(name = "whoelse", version, disable_help_subcommand = true)]
#[command(arg_required_else_help = false)]
pub struct Cli {
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run a server.
    Server(Server),
    /// Chat.
    Client(Client),
    /// Send one message and exit; status 0 means that the server has stored it.
    Send(Send),
    /// Tell everybody who is online something, from the server itself.
    Announce(Announce),
    /// Look after accounts.
    User(User),
    /// List who is connected, from where and since when.
    Sessions(Sessions),
    /// Look after the server's domain.
    Domain(Domain),
    /// Look at everything a server needs; status 1 if there is a problem.
    Doctor(Doctor),
    /// Say whether a running server believes its clock.
    Clock(Clock),
    /// Have a running server read its configuration again.
    Reload(Running),
    /// Look after the configuration.
    Config(Config),
    /// Write everything a running server remembers into a file. It holds secrets: messages, and
    /// the keys by which passwords are checked.
    Backup(Backup),
    /// Put a backup in place of everything a running server remembers; everybody logs in again. On
    /// a terminal you are asked first.
    Restore(Restore),
    /// Look after the database while no server runs on it.
    Store(Store),
    /// Print what makes a shell complete these commands.
    Completions(Completions),
    /// Print the manual page.
    Manual,
}

/// `whoelse completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `whoelse announce`.
#[derive(Debug, Args)]
pub struct Announce {
    /// What; several words become one text, and - stands for the standard input. What is none of
    /// the options below is text, also if it begins with a dash; after -- everything is.
    #[arg(value_name = "TEXT", required = true, num_args = 1..)]
    pub text: Vec<String>,
    #[command(flatten)]
    pub running: Running,
}

/// `whoelse sessions`.
#[derive(Debug, Args)]
pub struct Sessions {
    /// Of this account alone.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print one JSON object a line (docs/scripting.md).
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub running: Running,
}

/// `whoelse backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Into which file; it must not be there.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub running: Running,
}

/// `whoelse restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// From which file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub running: Running,
}

/// `whoelse store`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, disable_help_subcommand = true)]
pub struct Store {
    #[command(subcommand)]
    pub action: StoreAction,
}

/// What to do about the database.
#[derive(Debug, Subcommand)]
pub enum StoreAction {
    /// Copy everything from one database into another, which has to be empty. Each is a data
    /// directory, a file that ends in .db, or postgres://user@host/name.
    Copy {
        /// Where it is.
        from: String,
        /// Where it goes.
        to: String,
    },
}

/// `whoelse server`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Server {
    /// Listen on this port; 0 takes a free one and prints it. [default: 5222]
    #[arg(value_name = "PORT", value_parser = port)]
    pub port: Option<u16>,
    /// Block an account for a network after three wrong passwords, for so many seconds and twice as
    /// long each time. [default: 60]
    #[arg(value_name = "BLOCK_DURATION", value_parser = block_duration)]
    pub block_duration: Option<u32>,
    /// Log a session out after so many seconds without activity; 0: never. [default: 0]
    #[arg(value_name = "TIMEOUT", value_parser = timeout)]
    pub timeout: Option<u32>,
    /// Read settings from this file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep everything in this directory. [default: ./whoelse-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Create the accounts listed in this file, a name and a password a line.
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Listen on this address, with or without a port; may be given more than once.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Serve this domain.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Log this much: error, warn, info, debug or trace. [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// Bring an older database up to date without keeping it as it was; for whoever has a backup.
    #[arg(long)]
    pub migrate_without_copy: bool,
}

/// `whoelse client`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Client {
    /// Connect to this port. [default: 5222, or what the records of the domain say]
    #[arg(value_name = "PORT", value_parser = port)]
    pub port: Option<u16>,
    /// Connect to this computer: a name or an address, with or without a port, an address of IPv6
    /// in brackets then. [default: localhost, or where the domain of --user says]
    #[arg(long, value_name = "NAME[:PORT]", value_parser = host)]
    pub host: Option<Host>,
    /// Log in under this name, or this whole address; without it you are asked.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Log in with the password on the first line of this file. [default: $WHOELSE_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Print one JSON object a line (docs/scripting.md).
    #[arg(long)]
    pub json: bool,
    /// Trust the certificate with this SHA-256 fingerprint, and remember it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub trust: Option<String>,
    /// Begin with TLS at once, instead of asking for it (XEP-0368).
    #[arg(long)]
    pub direct_tls: bool,
    /// Keep pinned certificates and keys in this directory. [default: the user's state directory]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Call this device so, to whoever may see it online, to its other devices and to the server.
    /// [default: nothing, or what the settings say]
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub device: Option<String>,
    /// Whether private chats may use the server's relay: where nothing direct works (auto), always,
    /// which hides your addresses (only), or never. [default: auto, or what the settings say]
    #[arg(long, value_name = "auto|only|never", value_parser = relaying)]
    pub private_relay: Option<Relaying>,
}

/// Where a server is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name or an address.
    pub name: String,
    /// The port there.
    pub port: Option<u16>,
}

/// Where a running server is found, for the commands that talk to one.
#[derive(Debug, Args)]
pub struct Running {
    /// The data directory of the running server.
    #[arg(long, value_name = "DIR", default_value = "whoelse-data", global = true)]
    pub data: PathBuf,
}

/// `whoelse send`.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Send {
    /// To whom.
    #[arg(value_name = "USER")]
    pub to: String,
    /// What; several words become one text, and - stands for the standard input. What is none of
    /// the options below is text, also if it begins with a dash; after -- everything is.
    #[arg(value_name = "TEXT", required = true, num_args = 1..)]
    pub text: Vec<String>,
    /// As whom. [default: the server itself]
    #[arg(long, value_name = "USER")]
    pub from: Option<String>,
    #[command(flatten)]
    pub running: Running,
}

/// `whoelse user`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, disable_help_subcommand = true)]
pub struct User {
    #[command(subcommand)]
    pub action: UserAction,
    #[command(flatten)]
    pub running: Running,
}

/// What to do about an account.
#[derive(Debug, Subcommand)]
pub enum UserAction {
    /// Make an account; the password is asked for, or read from the standard input.
    Add {
        /// Its name.
        name: String,
    },
    /// Change a password; it is asked for, or read from the standard input.
    Passwd {
        /// Whose.
        name: String,
    },
    /// Remove an account and everything it holds; on a terminal you are asked first.
    Remove {
        /// Which.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Keep an account from logging in, and end its sessions.
    #[command(allow_negative_numbers = true)]
    Block {
        /// Which.
        name: String,
        /// For so many seconds. [default: for ever]
        #[arg(value_name = "SECONDS", value_parser = seconds)]
        seconds: Option<u32>,
    },
    /// Let it log in again; or everybody who comes from an address.
    Unblock {
        /// Which, or from which address.
        #[arg(value_name = "NAME|ADDRESS")]
        name: String,
    },
    /// End its sessions; it may log in again.
    Kick {
        /// Whose.
        name: String,
        /// Only the session with this resource, as `whoelse sessions` lists it.
        resource: Option<String>,
    },
    /// List all accounts: online, blocked and until when, last active; and blocked networks.
    List {
        /// Print one JSON object a line (docs/scripting.md).
        #[arg(long)]
        json: bool,
    },
}

/// `whoelse domain`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, disable_help_subcommand = true)]
pub struct Domain {
    #[command(subcommand)]
    pub action: DomainAction,
    #[command(flatten)]
    pub running: Running,
}

/// What to do about a domain.
#[derive(Debug, Subcommand)]
pub enum DomainAction {
    /// Give a domain another name; its accounts come along.
    Rename {
        /// The name until now.
        old: String,
        /// The name from now on.
        new: String,
    },
}

/// `whoelse clock`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub struct Clock {
    #[command(subcommand)]
    pub action: Option<ClockAction>,
    #[command(flatten)]
    pub running: Running,
}

/// What to say about the clock.
#[derive(Debug, Subcommand)]
pub enum ClockAction {
    /// It is right: history and the like are forgotten by their age again.
    Trust,
}

/// `whoelse doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// With the settings of this file. [default: the quick start]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// With this data directory. [default: what the settings name]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Look for the domain's SRV records, too.
    #[arg(long)]
    pub dns: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `whoelse config`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, disable_help_subcommand = true)]
pub struct Config {
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What to do about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Check a configuration file without starting anything.
    Check {
        /// The file.
        #[arg(value_name = "FILE", default_value = "whoelse.toml")]
        file: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

fn port(text: &str) -> Result<u16, String> {
    whole("PORT", text, 0, u16::MAX)
}

/// An address of IPv6 has colons of its own: with a port it stands in brackets.
fn host(text: &str) -> Result<Host, String> {
    let brackets = |text: &str| (text.matches('[').count(), text.matches(']').count());
    if !matches!((brackets(text), text.starts_with('[')), ((0, 0), false) | ((1, 1), true)) {
        return Err(format!(
            "an address of IPv6 is --host [ADDRESS] or [ADDRESS]:PORT, not '{text}'"
        ));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    if name.is_empty() {
        return Err(format!("--host needs a name before the port, not '{text}'"));
    }
    let port = port.map(|port| whole("the port of --host", port, 1, u16::MAX)).transpose()?;
    Ok(Host { name: name.to_owned(), port })
}

fn device(text: &str) -> Result<String, String> {
    crate::terminal::device::check(text).map(str::to_owned)
}

fn block_duration(text: &str) -> Result<u32, String> {
    whole("BLOCK_DURATION", text, 1, 86_400)
}

fn timeout(text: &str) -> Result<u32, String> {
    whole("TIMEOUT", text, 0, 604_800)
}

fn seconds(text: &str) -> Result<u32, String> {
    whole("SECONDS", text, 1, u32::MAX)
}

fn relaying(text: &str) -> Result<Relaying, String> {
    Relaying::parse(text).ok_or_else(|| format!("auto, only or never, not '{text}'"))
}

/// A whole number in a range, or the sentence that names the argument and the range.
fn whole<T>(name: &str, text: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    match crate::commands::number(text) {
        Some(number) if least <= number && number <= most => Ok(number),
        _ => Err(format!("{name} must be a whole number from {least} to {most}, not '{text}'")),
    }
}

impl Cli {
    /// Reads the command line. Help and version are printed and end the program with status 0, a
    /// mistake ends it with one line and status 2.
    pub fn from_command_line() -> Cli {
        Cli::read(std::env::args_os().collect()).unwrap_or_else(|mistake| {
            if mistake.use_stderr() {
                output::complain(explain(&mistake));
                std::process::exit(2);
            }
            let Err(why) = mistake.print() else { std::process::exit(0) };
            output::complain(output::not_written(why.kind()));
            std::process::exit(1);
        })
    }

    fn read(words: Vec<OsString>) -> Result<Cli, clap::Error> {
        let command = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
        let words = match TEXTS.iter().find(|it| **it == command) {
            Some(command) => sorted(command, words)?,
            None => words,
        };
        Cli::try_parse_from(words)
    }
}

/// The commands that end in a text.
const TEXTS: &[&str] = &["send", "announce"];

/// The words of one of [`TEXTS`], its options first: whatever is none of them is text, which may begin with a
/// dash. A long option that is one slip away from one of them is a mistake, not text.
fn sorted(command: &str, words: Vec<OsString>) -> Result<Vec<OsString>, clap::Error> {
    let mut all = Cli::command();
    all.build();
    let known: Vec<String> = all
        .find_subcommand(command)
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|it| it.get_long().map(|long| format!("--{long}")))
        .collect();
    let mut words = words.into_iter();
    let mut options: Vec<OsString> = words.by_ref().take(2).collect();
    let mut text = vec![OsString::from("--")];
    while let Some(word) = words.next() {
        let long = word.to_str().filter(|word| word.starts_with("--"));
        let name = long.and_then(|word| word.split('=').next()).unwrap_or_default();
        if word == "--" {
            text.extend(words.by_ref());
        } else if word == "-h" || known.iter().any(|it| it == name) {
            // Every one but help takes a value, in the same word or in the next.
            let apart = long == Some(name) && name != "--help";
            options.push(word);
            options.extend(if apart { words.next() } else { None });
        } else if let Some(near) = known.iter().find(|it| osa_distance(it, name) <= 2) {
            let words = format!(
                "there is no option {name}; did you mean {near}? Text that begins so stands after --"
            );
            return Err(clap::Error::raw(ErrorKind::UnknownArgument, words));
        } else {
            text.push(word);
        }
    }
    options.extend(text);
    Ok(options)
}

/// A mistake in one line.
fn explain(mistake: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    match mistake.kind() {
        // Our own sentences need nothing around them.
        ErrorKind::ValueValidation => {
            if let Some(sentence) = std::error::Error::source(mistake) {
                return crate::terminal::text::line(&sentence.to_string());
            }
        }
        ErrorKind::MissingRequiredArgument => {
            if let Some(ContextValue::Strings(names)) = mistake.get(ContextKind::InvalidArg) {
                let is = if names.len() == 1 { "is" } else { "are" };
                let names = names.join(" and ");
                if names == "<TEXT>..." {
                    return format!("{names} is missing; - reads it from the standard input");
                }
                return format!("{names} {is} missing (`whoelse --help` tells more)");
            }
        }
        ErrorKind::MissingSubcommand => {
            if let (Some(ContextValue::String(command)), Some(ContextValue::Strings(actions))) = (
                mistake.get(ContextKind::InvalidSubcommand),
                mistake.get(ContextKind::ValidSubcommand),
            ) {
                let actions = actions.join(", ");
                return format!("say what to do: {actions} (`{command} --help` tells more)");
            }
        }
        _ => {}
    }
    crate::terminal::text::line(&in_our_words(mistake)) + " (`whoelse --help` tells more)"
}

/// What is left: the words of clap are for whoever knows it.
fn in_our_words(mistake: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let named = |kind| match mistake.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" and "),
        _ => String::new(),
    };
    // Of several the last is the nearest.
    let near = |kind| match mistake.get(kind) {
        Some(ContextValue::String(near)) => format!("; did you mean {near}?"),
        Some(ContextValue::Strings(all)) => {
            all.last().map_or_else(String::new, |near| format!("; did you mean {near}?"))
        }
        _ => String::new(),
    };
    // Without a context it is a sentence of ours that clap only carries.
    if mistake.context().next().is_none() {
        let said = mistake.to_string();
        let first = said.lines().next().unwrap_or_default();
        return first.strip_prefix("error: ").unwrap_or(first).to_owned();
    }
    let argument = named(ContextKind::InvalidArg);
    match mistake.kind() {
        ErrorKind::InvalidSubcommand => {
            let near = near(ContextKind::SuggestedSubcommand);
            format!("there is no command {}{near}", named(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("there is no option {argument} here{}", near(ContextKind::SuggestedArg))
        }
        ErrorKind::UnknownArgument => format!("{argument} is one word too many"),
        ErrorKind::TooManyValues => format!("{argument} takes no value"),
        ErrorKind::InvalidValue if named(ContextKind::InvalidValue).is_empty() => {
            format!("{argument} needs a value")
        }
        ErrorKind::InvalidValue => {
            let values = named(ContextKind::ValidValue).replace(" and ", ", ");
            format!("{argument} must be one of {values}")
        }
        ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{argument} needs a value")
        }
        ErrorKind::ArgumentConflict => {
            format!("{argument} can be given once, and not with {}", named(ContextKind::PriorArg))
        }
        ErrorKind::InvalidUtf8 => "the command line is not UTF-8".to_owned(),
        _ => "this command line cannot be understood".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        let words = line.split(' ').map(OsString::from).collect();
        Cli::read(words).map_err(|mistake| explain(&mistake))
    }

    #[test]
    fn the_declaration_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_server_needs_no_argument_and_takes_three_numbers() {
        let Action::Server(server) = parse("whoelse server").unwrap().action else { panic!() };
        assert_eq!((server.port, server.block_duration, server.timeout), (None, None, None));

        let line = "whoelse server 0 86400 604800";
        let Action::Server(server) = parse(line).unwrap().action else { panic!() };
        assert_eq!(server.port, Some(0));
        assert_eq!(server.block_duration, Some(86_400));
        assert_eq!(server.timeout, Some(604_800));
    }

    #[test]
    fn a_number_out_of_range_is_named_with_its_range_in_one_line() {
        for (line, sentence) in [
            ("server 65536", "PORT must be a whole number from 0 to 65535, not '65536'"),
            ("client x", "PORT must be a whole number from 0 to 65535, not 'x'"),
            ("client -1", "PORT must be a whole number from 0 to 65535, not '-1'"),
            ("server +5", "PORT must be a whole number from 0 to 65535, not '+5'"),
            ("server 1 0", "BLOCK_DURATION must be a whole number from 1 to 86400, not '0'"),
            (
                "server 1 86401",
                "BLOCK_DURATION must be a whole number from 1 to 86400, not '86401'",
            ),
            ("server 1 1 604801", "TIMEOUT must be a whole number from 0 to 604800, not '604801'"),
            ("server 1 1 1.5", "TIMEOUT must be a whole number from 0 to 604800, not '1.5'"),
            (
                "server 1 \u{1b}",
                "BLOCK_DURATION must be a whole number from 1 to 86400, not '\\u{1b}'",
            ),
        ] {
            assert_eq!(parse(&format!("whoelse {line}")).unwrap_err(), sentence);
        }
    }

    #[test]
    fn any_other_mistake_is_one_line_too() {
        for line in [
            "whoelse",
            "whoelse chat",
            "whoelse client --nonsense",
            "whoelse send",
            "whoelse server 1 1 1 1",
        ] {
            let sentence = parse(line).unwrap_err();
            assert!(!sentence.is_empty() && !sentence.contains('\n'), "{line}: {sentence}");
        }
    }

    #[test]
    fn a_mistake_is_told_in_our_words() {
        for (line, sentence) in [
            ("chat", "there is no command chat"),
            ("sever", "there is no command sever; did you mean server?"),
            ("client --nonsense", "there is no option --nonsense here"),
            ("client --hots x", "there is no option --hots here; did you mean --host?"),
            ("server 1 1 1 1", "1 is one word too many"),
            ("client --host", "--host <NAME[:PORT]> needs a value"),
            ("client --host a --host b", "--host <NAME[:PORT]> can be given once"),
            ("client --json=yes", "--json takes no value"),
            ("completions tcsh", "<SHELL> must be one of bash, "),
        ] {
            let said = parse(&format!("whoelse {line}")).unwrap_err();
            assert!(said.starts_with(sentence), "{line}: {said}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (line, sentence) in [
            (
                "whoelse",
                "say what to do: server, client, send, announce, user, sessions, domain, doctor, \
                 clock, reload, config, backup, restore, store, completions, manual",
            ),
            ("whoelse user", "say what to do: add, passwd, remove, block, unblock, kick, list"),
            ("whoelse domain", "say what to do: rename (`whoelse domain --help` tells more)"),
            ("whoelse user add", "<NAME> is missing"),
            ("whoelse send", "<USER> and <TEXT>... are missing"),
        ] {
            let said = parse(line).unwrap_err();
            assert!(said.starts_with(sentence), "{line}: {said}");
        }
    }

    #[test]
    fn the_client_connects_to_the_usual_port_unless_told_otherwise() {
        let Action::Client(client) = parse("whoelse client").unwrap().action else { panic!() };
        assert_eq!((client.port, client.host), (None, None));
    }

    #[test]
    fn a_host_may_name_its_port() {
        let host = |text: &str| match parse(&format!("whoelse client --host {text}")) {
            Ok(Cli { action: Action::Client(Client { host: Some(it), .. }) }) => {
                Ok((it.name, it.port))
            }
            Ok(other) => panic!("{other:?}"),
            Err(sentence) => Err(sentence),
        };

        for (text, name, port) in [
            ("a.example", "a.example", None),
            ("a.example:5223", "a.example", Some(5223)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("::1", "::1", None),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", Some(65535)),
        ] {
            assert_eq!(host(text), Ok((name.to_owned(), port)), "{text}");
        }
        for bad in ["a:", "a:0", "a:65536", "a:x", ":5222", "[::1]:+1", "[::1", "::1]", "[[::1]]"] {
            let sentence = host(bad).unwrap_err();
            assert!(sentence.contains("--host"), "{bad}: {sentence}");
        }
    }

    #[test]
    fn a_block_has_an_end_or_none() {
        let block = |line: &str| match parse(line).map(|cli| cli.action) {
            Ok(Action::User(User { action: UserAction::Block { seconds, .. }, .. })) => Ok(seconds),
            Ok(other) => panic!("{other:?}"),
            Err(sentence) => Err(sentence),
        };

        assert_eq!(block("whoelse user block bob"), Ok(None));
        assert_eq!(block("whoelse user block bob 60"), Ok(Some(60)));
        for bad in ["0", "-1", "1.5", "4294967296", "soon"] {
            let sentence =
                format!("SECONDS must be a whole number from 1 to 4294967295, not '{bad}'");
            assert_eq!(block(&format!("whoelse user block bob {bad}")), Err(sentence));
        }
    }

    #[test]
    fn the_data_directory_may_be_named_anywhere_on_the_line() {
        for line in ["whoelse user --data /d list", "whoelse user list --data /d"] {
            let Action::User(user) = parse(line).unwrap().action else { panic!("{line}") };
            assert_eq!(user.running.data, PathBuf::from("/d"), "{line}");
        }
    }

    #[test]
    fn a_message_on_the_command_line_may_have_many_words() {
        let Action::Send(send) = parse("whoelse send bob how are you").unwrap().action else {
            panic!()
        };
        assert_eq!(send.text.join(" "), "how are you");
    }

    #[test]
    fn what_is_no_option_of_announce_is_text() {
        let told = |line: &str| match parse(&format!("whoelse announce {line}")).unwrap().action {
            Action::Announce(it) => (it.text.join(" "), it.running.data),
            other => panic!("{other:?}"),
        };

        for text in ["-5 degrees", "-", "--force is wrong", "back at 5 --ish"] {
            assert_eq!(told(text), (text.to_owned(), PathBuf::from("whoelse-data")));
        }
        assert_eq!(told("-5 --data /d"), ("-5".to_owned(), PathBuf::from("/d")));
        assert_eq!(told("-- --data /d").0, "--data /d");
    }

    #[test]
    fn what_is_no_option_of_send_is_text() {
        let sent = |line: &str| match parse(&format!("whoelse send {line}")).map(|it| it.action) {
            Ok(Action::Send(it)) => Ok((it.to, it.text.join(" "), it.from, it.running.data)),
            Ok(other) => panic!("{other:?}"),
            Err(sentence) => Err(sentence),
        };
        let usual = PathBuf::from("whoelse-data");
        let to_bob = |text: &str| Ok(("bob".to_owned(), text.to_owned(), None, usual.clone()));

        for text in ["-5 degrees", "- milk", "-- milk", "--force is wrong", "-x", "-", "a -b --c"] {
            let typed = format!("bob {text}");
            let expected = if text == "-- milk" { "milk" } else { text };
            assert_eq!(sent(&typed), to_bob(expected), "{text}");
        }
        assert_eq!(sent("bob -- --from alice"), to_bob("--from alice"));
        let from = Some("alice".to_owned());
        for line in ["bob -1 --from alice", "--from alice bob -1", "bob --from=alice -1"] {
            let sent = sent(line).unwrap();
            assert_eq!(sent, ("bob".to_owned(), "-1".to_owned(), from.clone(), usual.clone()));
        }
        assert_eq!(sent("bob hi --data /d").unwrap().3, PathBuf::from("/d"));
        assert!(sent("bob hi --form alice").unwrap_err().contains("did you mean --from?"));
        assert!(sent("bob").unwrap_err().contains("standard input"));
        assert!(sent("bob hi --from").is_err());
    }
}
