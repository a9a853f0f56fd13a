//! The command line: what each sub-command takes, and one clear sentence for what it does not.
//!
//! Only words stand here; what a sub-command does stands in `terminal/` (the client) and `admin/`
//! (everything else).

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use whoelse_p2p::Relaying;

mod mistake;
mod text;
mod values;

use crate::output;
use values::Host;

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
    /// Look after rooms, whoever owns them.
    Room(Room),
    /// Say who may administer the server over the network.
    Admin(Admin),
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
    /// Do not ask; without a terminal, nothing is done unless this is said.
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
    #[arg(value_name = "PORT", value_parser = values::port)]
    pub port: Option<u16>,
    /// Block an account for a network after three wrong passwords, for so many seconds and twice as
    /// long each time. [default: 60]
    #[arg(value_name = "BLOCK_DURATION", value_parser = values::block_duration)]
    pub block_duration: Option<u32>,
    /// Log a session out after so many seconds without activity; 0: never. [default: 0]
    #[arg(value_name = "TIMEOUT", value_parser = values::timeout)]
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
    #[arg(value_name = "PORT", value_parser = values::port)]
    pub port: Option<u16>,
    /// Connect to this computer: a name or an address, with or without a port, an address of IPv6
    /// in brackets then. [default: localhost, or where the domain of --user says]
    #[arg(long, value_name = "NAME[:PORT]", value_parser = values::host)]
    pub host: Option<Host>,
    /// Log in under this name, or this whole address; without it you are asked.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Log in with the password on the first line of this file. [default: $WHOELSE_PASSWORD]
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Stay logged in on this computer: the next start needs no password, until `logout` or a new
    /// password. A token is kept in the state directory, never the password.
    #[arg(long)]
    pub remember: bool,
    /// Print one JSON object a line (docs/scripting.md).
    #[arg(long)]
    pub json: bool,
    /// Trust the certificate with this SHA-256 fingerprint, and remember it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub trust: Option<String>,
    /// Begin with TLS at once, instead of asking for it (XEP-0368).
    #[arg(long)]
    pub direct_tls: bool,
    /// Keep pinned certificates, keys and remembered logins in this directory. [default: the user's state directory]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Call this device so, to whoever may see it online, to its other devices and to the server.
    /// [default: nothing, or what the settings say]
    #[arg(long, value_name = "NAME", value_parser = values::device)]
    pub device: Option<String>,
    /// Whether private chats may use the server's relay: where nothing direct works (auto), always,
    /// which hides your addresses (only), or never. [default: auto, or what the settings say]
    #[arg(long, value_name = "auto|only|never", value_parser = values::relaying)]
    pub private_relay: Option<Relaying>,
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
    /// Remove an account and everything it holds; you are asked first.
    Remove {
        /// Which.
        name: String,
        /// Do not ask; without a terminal, nothing is done unless this is said.
        #[arg(long)]
        yes: bool,
    },
    /// Keep an account from logging in, and end its sessions.
    #[command(allow_negative_numbers = true)]
    Block {
        /// Which.
        name: String,
        /// For so many seconds. [default: for ever]
        #[arg(value_name = "SECONDS", value_parser = values::seconds)]
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
    /// List the devices that log in to it without its password, or log them out.
    #[command(allow_negative_numbers = true)]
    Devices(Devices),
    /// List all accounts: online, blocked and until when, last active; and blocked networks.
    List {
        /// Print one JSON object a line (docs/scripting.md).
        #[arg(long)]
        json: bool,
    },
}

/// `whoelse user devices`.
#[derive(Debug, Args)]
pub struct Devices {
    /// Whose.
    pub name: String,
    /// Log out the device with this number, as it is listed.
    #[arg(long, value_name = "NUMBER", value_parser = values::number, conflicts_with = "revoke_all")]
    pub revoke: Option<u32>,
    /// Log out all of them.
    #[arg(long)]
    pub revoke_all: bool,
    /// Print one JSON object a line (docs/scripting.md).
    #[arg(long)]
    pub json: bool,
}

/// `whoelse room`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, disable_help_subcommand = true)]
pub struct Room {
    #[command(subcommand)]
    pub action: RoomAction,
    #[command(flatten)]
    pub running: Running,
}

/// What to do about a room.
#[derive(Debug, Subcommand)]
pub enum RoomAction {
    /// List all rooms: how many are in each, who owns it, and how much is kept of it.
    List {
        /// Print one JSON object a line (docs/scripting.md).
        #[arg(long)]
        json: bool,
    },
    /// Show how a room is configured, who is what in it, and who is there.
    Show {
        /// Which.
        name: String,
        /// Print a JSON object (docs/scripting.md).
        #[arg(long)]
        json: bool,
    },
    /// Make a room that stays when nobody is in it.
    Add {
        /// Its name.
        name: String,
        /// Who owns it.
        #[arg(long, value_name = "USER")]
        owner: String,
    },
    /// Say what somebody is in a room; a room keeps an owner.
    Grant {
        /// Which room.
        name: String,
        /// Who.
        user: String,
        /// What they are from now on.
        affiliation: values::Affiliation,
    },
    /// Destroy a room and everything said in it; you are asked first.
    Destroy {
        /// Which.
        name: String,
        /// Why, for those who are in it.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// To which room they may go instead.
        #[arg(long, value_name = "ROOM")]
        to: Option<String>,
        /// Do not ask; without a terminal, nothing is done unless this is said.
        #[arg(long)]
        yes: bool,
    },
}

/// `whoelse admin`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false, disable_help_subcommand = true)]
pub struct Admin {
    #[command(subcommand)]
    pub action: AdminAction,
    #[command(flatten)]
    pub running: Running,
}

/// What to do about administrators.
#[derive(Debug, Subcommand)]
pub enum AdminAction {
    /// Make an account an administrator's, at once and for good; `admins` in the configuration does
    /// the same by name.
    Grant {
        /// Which.
        name: String,
    },
    /// Take back what was granted, at once.
    Revoke {
        /// From which.
        name: String,
    },
    /// List the administrators, and whether the right was granted or the configuration names them.
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

impl Cli {
    /// Reads the command line. Help and version are printed and end the program with status 0, a
    /// mistake ends it with one line and status 2.
    pub fn from_command_line() -> Cli {
        Cli::read(std::env::args_os().collect()).unwrap_or_else(|mistake| {
            if mistake.use_stderr() {
                output::complain(mistake::explain(&mistake));
                std::process::exit(2);
            }
            let Err(why) = mistake.print() else { std::process::exit(0) };
            output::complain(output::not_written(why.kind()));
            std::process::exit(1);
        })
    }

    fn read(words: Vec<OsString>) -> Result<Cli, clap::Error> {
        let command = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
        let words = match text::TEXTS.iter().find(|it| **it == command) {
            Some(command) => text::sorted(command, words)?,
            None => words,
        };
        Cli::try_parse_from(words)
    }
}

#[cfg(test)]
mod tests;
