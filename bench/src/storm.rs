//! Everybody comes back at once, as after a restart of the server: until when is everybody in?
//!
//! Each client tries again when it is refused, with a growing, randomised delay, as every good
//! client does. From one address, as behind one router (`--one-place`), the server allows only so
//! many half-open connections; further attempts are delayed, and nobody is refused for good.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use whoelse_fuzz::random::Random;

use crate::Failed;
use crate::faults::visit::Visit;
use crate::server::Server;

/// What comes back.
#[derive(Args)]
pub struct Options {
    /// How many sessions.
    #[arg(long, default_value_t = 5000)]
    sessions: usize,
    /// Sessions of one account.
    #[arg(long, default_value_t = 20)]
    per_account: usize,
    /// All of them come from one address.
    #[arg(long)]
    one_place: bool,
    /// Connections without a session that the server allows for one address.
    #[arg(long, default_value_t = 20)]
    half_open_per_network: usize,
}

/// Accounts made at once, beforehand.
const AT_ONCE: usize = 8;
/// The longest that anybody waits between two tries, in milliseconds.
const LONGEST: u64 = 8_000;

/// Lets them come, and tells how long it took.
pub async fn run(program: &Path, options: Options) -> Result<(), Failed> {
    let settings = format!(
        "listen = \"127.0.0.1\"\ncontacts = \"everyone\"\nregistration = \"open\"\n\
         sessions = \"many\"\n[limits]\nhalf_open_per_network = {}\n",
        options.half_open_per_network
    );
    let server = Server::start_with(program, &settings).await?;
    make_accounts(server.port, options.sessions.div_ceil(options.per_account)).await?;
    let (tries, cpu, begun) = (Arc::new(AtomicU64::new(0)), server.cpu()?, Instant::now());
    let mut tasks = JoinSet::new();
    for session in 0..options.sessions {
        let (account, tries, port) = (session / options.per_account, tries.clone(), server.port);
        let place = if options.one_place { [127, 0, 1, 1] } else { place(session) };
        tasks.spawn(async move {
            let mut random = Random::new(session as u64);
            let mut wait = 250;
            loop {
                tries.fetch_add(1, Ordering::Relaxed);
                match Visit::begin(port, place, account, false, None).await {
                    Ok(visit) => return (visit, begun.elapsed()),
                    Err(_) => {
                        let jitter = random.number() % wait;
                        tokio::time::sleep(Duration::from_millis(wait + jitter)).await;
                        wait = LONGEST.min(2 * wait);
                    }
                }
            }
        });
    }
    let mut inside = Vec::new();
    while let Some(came) = tasks.join_next().await {
        inside.push(came?);
    }
    let mut times: Vec<Duration> = inside.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).map_or(0.0, Duration::as_secs_f64);
    println!(
        "{} sessions come at once from {}: half of them are in after {:.1} s, 99 % after {:.1} s, \
         all after {:.1} s, with {} tries; {:.1} s of CPU, {} KiB of memory",
        options.sessions,
        if options.one_place { "one address" } else { "many addresses" },
        at(50),
        at(99),
        times.last().map_or(0.0, Duration::as_secs_f64),
        tries.load(Ordering::Relaxed),
        (server.cpu()? - cpu).as_secs_f64(),
        server.memory()?,
    );
    Ok(())
}

fn place(session: usize) -> [u8; 4] {
    [127, 1, 1 + (session / 200) as u8, 1 + (session % 200) as u8]
}

async fn make_accounts(port: u16, count: usize) -> Result<(), Failed> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for account in 0..count {
        let gate = gate.clone();
        tasks.spawn(async move {
            let _permit = gate.acquire_owned().await?;
            Visit::begin(port, place(account), account, true, None).await?.leave().await;
            Ok::<_, Failed>(())
        });
    }
    while let Some(made) = tasks.join_next().await {
        made??;
    }
    Ok(())
}
