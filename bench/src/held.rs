//! Bytes of the heap that an idle session holds, counted by valgrind: our own allocations, without
//! sockets, TLS and the allocator's own bookkeeping.
//!
//! Each case runs in two processes with different counts; the difference is what one more holds.

use std::time::Duration;

use whoelse_core::settings::{Contacts, Limits, Settings};

use crate::load::client;
use crate::world::World;
use crate::{Failed, valgrind};

/// The counts. A list or a table that doubles its size has the same size for both: lists double at
/// 256 and 512, tables at 224 and 448.
const FEW: usize = 260;
const MANY: usize = 440;

/// Something that stays in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// An account.
    Account,
    /// A connection.
    Connection,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Case::Account => "account",
            Case::Connection => "connection",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Case::Account => "an account with one available session, without its connection",
            Case::Connection => "one more session, with its connection over a pipe in memory",
        }
    }
}

/// What is counted.
#[derive(clap::Args)]
pub struct Options {
    /// Hold some of one thing here, end, and count nothing.
    #[arg(long, hide = true, requires = "many")]
    hold: Option<Case>,
    /// How many.
    #[arg(long, hide = true)]
    many: Option<usize>,
}

/// Counts all cases.
pub fn run(options: &Options) -> Result<(), Failed> {
    if let Some((case, many)) = options.hold.zip(options.many) {
        return hold(case, many);
    }
    println!("{:<16} {:>12}  what", "case", "bytes held");
    for case in [Case::Account, Case::Connection] {
        let held = |many: usize| {
            valgrind::bytes_held(&["held", "--hold", case.name(), "--many", &many.to_string()])
        };
        let each = held(MANY)?.saturating_sub(held(FEW)?) / (MANY - FEW) as u64;
        println!("{:<16} {each:>12}  {}", case.name(), case.what());
    }
    Ok(())
}

/// Makes so many, and ends this process while they are there.
fn hold(case: Case, many: usize) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let limits = Limits { sessions_per_account: many, ..Limits::default() };
        let settings = Settings { contacts: Contacts::Roster, limits, ..Settings::default() };
        match case {
            Case::Account => {
                // The database is as large for few as for many: its cache is not counted.
                let world = World::new(MANY, settings).await?;
                let mut holds = Vec::with_capacity(MANY);
                for account in 0..many {
                    holds.push(world.online(account).await?);
                }
                std::process::exit(0)
            }
            Case::Connection => {
                let world = World::new(1, settings).await?;
                let (mut keys, mut pipes) = (None, Vec::with_capacity(MANY));
                for session in 0..many {
                    // A session that begins is paid for.
                    world.pass(Duration::from_secs(1));
                    let mut pipe = world.connect();
                    keys = Some(client::begin_session(&mut pipe, 0, session, keys).await?);
                    pipes.push(pipe);
                }
                std::process::exit(0)
            }
        }
    })
}
