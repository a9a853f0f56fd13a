//! Measures `whoelse server` from outside, as any client sees it: CPU time of the server process
//! per unit of work, and its memory per session.
//!
//! ```text
//! cargo build --release -p whoelse && cargo run --release -p whoelse-bench -- messages
//! cargo run --release -p whoelse-bench -- idle --sessions 3000
//! cargo run --release -p whoelse-bench -- weather --minutes 20 --to docs/weather
//! ```
//!
//! The server runs alone on the first processor, the load on the others (`taskset`), over loopback
//! with TLS 1.3 and SCRAM logins. CPU time hardly moves when the machine is busy; wall time does.

mod client;
mod server;
mod weather;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use client::Client;
use server::Server;

/// Logins at once; fewer than the server lets one place have half open.
const AT_ONCE: usize = 8;

/// What can go wrong here is told and ends the run.
type Failed = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Options {
    /// The program to measure.
    #[arg(long, default_value = "target/release/whoelse")]
    program: std::path::PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Users write to each other in pairs, so many messages in flight each.
    Messages {
        /// How many users.
        #[arg(long, default_value_t = 200)]
        users: usize,
        /// Messages in flight for each.
        #[arg(long, default_value_t = 16)]
        window: usize,
        /// For how long, after a warm-up of two seconds.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Keep a history: every message is on disk before it is delivered.
        #[arg(long)]
        history: bool,
    },
    /// Sessions that do nothing.
    Idle {
        /// How many.
        #[arg(long, default_value_t = 3000)]
        sessions: usize,
    },
    /// Everybody at once for a long time, the well-behaved and the others: does memory grow?
    Weather(weather::Options),
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = Options::parse();
    match options.what {
        What::Messages { users, window, seconds, history } => {
            let server = Server::start(&options.program, history).await?;
            messages(&server, users, window, seconds, history).await
        }
        What::Idle { sessions } => {
            let server = Server::start(&options.program, false).await?;
            idle(&server, sessions).await
        }
        What::Weather(weather) => weather::run(&options.program, weather).await,
    }
}

/// Makes accounts and logs them in; `per_account` sessions each.
async fn log_in(server: &Server, count: usize, per_account: usize) -> Result<Vec<Client>, Failed> {
    let accounts = count.div_ceil(per_account);
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for account in 0..accounts {
        let (gate, port) = (gate.clone(), server.port);
        tasks.spawn(async move {
            let _permit = gate.acquire_owned().await?;
            let mut clients = Vec::new();
            for session in 0..per_account {
                clients.push(Client::log_in(port, account, session).await?);
            }
            Ok::<_, Failed>(clients)
        });
    }
    let mut clients = Vec::new();
    while let Some(done) = tasks.join_next().await {
        clients.extend(done??);
    }
    clients.sort_by_key(|client| client.account);
    clients.truncate(count);
    Ok(clients)
}

async fn messages(
    server: &Server,
    users: usize,
    window: usize,
    seconds: u64,
    history: bool,
) -> Result<(), Failed> {
    let clients = log_in(server, users.next_multiple_of(2), 1).await?;
    let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for client in clients {
        // Pairs: in a larger circle messages bunch up and come cheaper than they should.
        let to = client.account ^ 1;
        tasks.spawn(client.write_and_read(to, window, received.clone(), stop.clone()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (begun, cpu, count) = (Instant::now(), server.cpu()?, received.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let count = received.load(Ordering::Relaxed) - count;
    let (cpu, wall) = (server.cpu()? - cpu, begun.elapsed());
    stop.store(true, Ordering::Relaxed);
    println!(
        "messages, {users} users, {window} in flight each, history {}: {:.2} µs of CPU each, \
         {:.0} a second, {:.0} % of a processor",
        if history { "on" } else { "off" },
        cpu.as_secs_f64() * 1e6 / count.max(1) as f64,
        count as f64 / wall.as_secs_f64(),
        100.0 * cpu.as_secs_f64() / wall.as_secs_f64(),
    );
    Ok(())
}

async fn idle(server: &Server, sessions: usize) -> Result<(), Failed> {
    // One login first, so that what is made once is not counted.
    let first = log_in(server, 1, 1).await?;
    let before = server.memory()?;
    // Sixteen of an account: less than the bound, and fewer passwords to hash.
    let clients = log_in(server, sessions + 1, 16).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = server.memory()?;
    println!(
        "{sessions} idle sessions over TLS: {:.1} KiB of memory each ({} KiB before, {} KiB after)",
        (after.saturating_sub(before)) as f64 / sessions as f64,
        before,
        after,
    );
    drop((first, clients));
    Ok(())
}
