//! `whoelse`: server, terminal client and administrator's tool in one program.
//!
//! What is written on the command line is in `cli`, the client's face in `terminal`, what can be
//! typed there in `commands`.

mod admin;
mod cli;
mod commands;
mod terminal;

use std::process::ExitCode;

use cli::{Action, Cli};

fn main() -> ExitCode {
    match Cli::from_command_line().action {
        Action::Client(options) => terminal::run(options),
        Action::Server(options) => admin::server::run(options),
        Action::Send(_)
        | Action::User(_)
        | Action::Domain(_)
        | Action::Config(_) => {
            eprintln!("whoelse: this part is not there yet");
            ExitCode::FAILURE
        }
    }
}
