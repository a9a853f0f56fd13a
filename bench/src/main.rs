//! Measures servers from outside, side by side, as any client sees them: processor time of the
//! server per unit of work, latency, memory per session (docs/performance.md).
//!
//! ```text
//! cargo run --profile dist -p whoelse-bench -- compare            all servers, all rows
//! cargo run --profile dist -p whoelse-bench -- compare --quick    a first look
//! cargo run --profile dist -p whoelse-bench -- compare --only whoelse --rows message,login
//! cargo run --release -p whoelse-bench -- instructions            callgrind's counts
//! cargo run --release -p whoelse-bench -- held                    bytes of an idle session
//! cargo run --profile dist -p whoelse-bench -- faults --minutes 20 --to docs/resilience
//! cargo run --profile dist -p whoelse-bench -- crowd              10,000 who all see each other
//! cargo run --profile dist -p whoelse-bench -- attack             what others notice of one
//! cargo run --profile dist -p whoelse-bench -- private            two clients on a direct line
//! cargo run --profile dist -p whoelse-bench -- pubsub             what people publish
//! cargo run --profile dist -p whoelse-bench -- rooms              many rooms, and one with many
//! ```
//!
//! A server runs alone on the first processor, the load on the second, over loopback with TLS 1.3
//! and SCRAM logins. Processor time hardly moves when the machine is busy; time on the wall does.

mod attack;
mod compare;
mod crowd;
mod faults;
mod held;
mod instructions;
mod load;
mod measure;
mod plan;
mod private;
mod pubsub;
mod relay;
mod report;
mod rooms;
mod rows;
mod server;
mod servers;
mod storm;
mod valgrind;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What can go wrong here is told and ends the run.
type Failed = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures whoelse and other XMPP servers from outside, side by side")]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Measure the servers and print the table.
    Compare(compare::Options),
    /// Count the instructions of a unit of work, without sockets, and compare with the last time.
    Instructions(instructions::Options),
    /// Count the bytes of the heap that an idle session holds, without sockets.
    Held(held::Options),
    /// Everybody at once for a long time, the well-behaved and the others: does memory grow?
    Faults {
        /// The program to measure.
        #[arg(long, default_value = "target/dist/whoelse")]
        program: PathBuf,
        /// What they do.
        #[command(flatten)]
        options: faults::Options,
    },
    /// Everybody comes back at once, as after a restart: until when is everybody in?
    Storm {
        /// The program to measure.
        #[arg(long, default_value = "target/dist/whoelse")]
        program: PathBuf,
        /// Who comes.
        #[command(flatten)]
        options: storm::Options,
    },
    /// Everybody sees everybody: what a list costs each who asks, and a restart.
    Crowd {
        /// The program to measure.
        #[arg(long, default_value = "target/dist/whoelse")]
        program: PathBuf,
        /// How many there are.
        #[command(flatten)]
        options: crowd::Options,
    },
    /// Private chats between two real clients: round trips, and the time until they are connected.
    Private {
        /// The program to measure.
        #[arg(long, default_value = "target/dist/whoelse")]
        program: PathBuf,
        /// How much of it.
        #[command(flatten)]
        options: private::Options,
    },
    /// A start beside a million items, and a publish that a hundred contacts hear.
    Pubsub {
        /// The program to measure.
        #[arg(long, default_value = "target/dist/whoelse")]
        program: PathBuf,
        /// How much of it.
        #[command(flatten)]
        options: pubsub::Options,
    },
    /// A start beside very many rooms; and one room with many, beside other servers.
    Rooms(rooms::Options),
    /// Somebody does what costs a server much: what others notice of it.
    Attack {
        /// The program to measure.
        #[arg(long, default_value = "target/dist/whoelse")]
        program: PathBuf,
        /// What is done.
        #[command(flatten)]
        options: attack::Options,
    },
    /// Be the bare relay.
    #[command(hide = true)]
    Relay {
        /// Speak TLS with this certificate (PEM).
        #[arg(long, requires = "key")]
        certificate: Option<PathBuf>,
        /// And this key.
        #[arg(long, requires = "certificate")]
        key: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Options::parse().what {
        What::Compare(options) => compare::run(&options),
        What::Instructions(options) => instructions::run(&options),
        What::Held(options) => held::run(&options),
        What::Faults { program, options } => faults(&program, options),
        What::Storm { program, options } => storm(&program, options),
        What::Crowd { program, options } => crowd(&program, options),
        What::Private { program, options } => private::run(&program, &options),
        What::Pubsub { program, options } => pubsub(&program, options),
        What::Rooms(options) => rooms::run(&options),
        What::Attack { program, options } => attack(&program, &options),
        What::Relay { certificate, key } => relay::run(certificate.zip(key)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("whoelse-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn storm(program: &Path, options: storm::Options) -> Result<(), Failed> {
    storm::run(program, options).await
}

#[tokio::main]
async fn crowd(program: &Path, options: crowd::Options) -> Result<(), Failed> {
    crowd::run(program, options).await
}

#[tokio::main]
async fn pubsub(program: &Path, options: pubsub::Options) -> Result<(), Failed> {
    pubsub::run(program, options).await
}

fn attack(program: &Path, options: &attack::Options) -> Result<(), Failed> {
    // Before there are other threads.
    compare::stay_off_the_servers_processor()?;
    attack_from_here(program, options)
}

#[tokio::main]
async fn attack_from_here(program: &Path, options: &attack::Options) -> Result<(), Failed> {
    attack::run(program, options).await
}

#[tokio::main]
async fn faults(program: &Path, options: faults::Options) -> Result<(), Failed> {
    faults::run(program, options).await
}
