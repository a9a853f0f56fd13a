//! `whoelse`: server, terminal client and administrator's tool in one program.
//!
//! The command line is in `cli`, the client's interfaces in `terminal`, its commands in
//! `commands`, all wording in `say`, and everything else in `admin`.

// `println!` and `eprintln!` panic if nobody reads the stream.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod admin;
mod cli;
mod commands;
mod device;
mod doctor;
mod hidden;
mod manual;
mod number;
mod output;
mod say;
mod slip;
mod terminal;

use std::process::ExitCode;

use cli::{Action, Cli};

fn main() -> ExitCode {
    match Cli::from_command_line().action {
        Action::Client(options) => terminal::run(options),
        Action::Server(options) => admin::server::run(options),
        Action::Send(options) => admin::run(admin::send::run(options)),
        Action::Announce(options) => admin::run(admin::announce::run(options)),
        Action::Admin(options) => admin::run(admin::rights::run(options)),
        Action::Sessions(options) => admin::run(admin::sessions::run(options)),
        Action::Completions(options) => manual::completions(options),
        Action::Manual => manual::page(),
        Action::User(options) => admin::run(admin::user::run(options)),
        Action::Room(options) => admin::run(admin::room::run(options)),
        Action::Domain(options) => admin::run(admin::domain::run(options)),
        Action::Doctor(options) => doctor::run(options),
        Action::Backup(options) => admin::run(admin::backup::backup(options)),
        Action::Restore(options) => admin::run(admin::backup::restore(options)),
        Action::Store(options) => admin::run(admin::store::run(options)),
        Action::Clock(options) => admin::run(admin::clock::run(options)),
        Action::Reload(options) => admin::run(admin::reload::run(options)),
        Action::Config(options) => admin::run(admin::config::run(options)),
    }
}
