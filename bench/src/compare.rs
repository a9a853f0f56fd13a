//! The comparison: every server in turn, the same load, one table.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::signal::unix::{SignalKind, signal};

use crate::Failed;
use crate::measure::{Measured, Measurement};
use crate::plan::Plan;
use crate::report::Report;
use crate::rows::Row;
use crate::servers::{self, PROCESSOR, Server, Setup};

/// What is compared, and where the results go.
#[derive(clap::Args)]
pub struct Options {
    /// Shorter and smaller: a first look, not figures to show.
    #[arg(long)]
    quick: bool,
    /// Only these servers.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Server>,
    /// Only these rows.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// The program to measure; without it, it is built first.
    #[arg(long)]
    program: Option<PathBuf>,
    /// The folder for the table (compare.md) and the picture (compare.svg).
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Put table and picture into docs/performance.md as well.
    #[arg(long)]
    docs: bool,
}

/// Runs the comparison. Servers and files are gone when this returns, whether it succeeds or not.
pub fn run(options: &Options) -> Result<(), Failed> {
    let servers = some_or_all(&options.only, &Server::ALL);
    let rows = some_or_all(&options.rows, &Row::ALL);
    let program = match &options.program {
        Some(program) => program.clone(),
        None if servers.contains(&Server::Whoelse) => build()?,
        None => PathBuf::new(),
    };
    servers::install(&servers)?;
    stay_off_the_servers_processor()?;
    // One thread: what wakes whom costs nothing, and the load stays where it is.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            report = compare(options, program, &servers, &rows) => report,
            _ = interrupt.recv() => Err("stopped".into()),
            _ = terminate.recv() => Err("stopped".into()),
        }
    })?;
    println!("\n{}", report.text());
    report.write(&options.out)?;
    println!("written to {0}/compare.md and {0}/compare.svg", options.out.display());
    if options.docs {
        report.write_docs()?;
        println!("and to docs/performance.md and docs/performance.svg");
    }
    Ok(())
}

async fn compare(
    options: &Options,
    program: PathBuf,
    servers: &[Server],
    rows: &[Row],
) -> Result<Report, Failed> {
    let begun = Instant::now();
    let plan = if options.quick { Plan::QUICK } else { Plan::FULL };
    let crowd = rows.contains(&Row::Crowd) && servers.contains(&Server::Whoelse);
    let mut place = Setup::new(program, plan.users)?;
    let mut measured: Vec<Measured> = Vec::new();
    for server in servers {
        let version = server.version(&place).unwrap_or_default();
        println!("{} {version}", server.name());
        measured.push(Measurement::run(*server, &place, &plan, rows).await?);
    }
    if crowd {
        // More accounts than anybody else needs, so in a server of its own.
        place.accounts = plan.online;
        let crowd = Measurement::crowd(&place, &plan).await?;
        measured.iter_mut().filter(|one| one.server == Server::Whoelse).for_each(|ours| {
            ours.figures.extend(crowd);
        });
    }
    let versions = servers.iter().map(|server| (*server, server.version(&place))).collect();
    Ok(Report {
        rows: rows.to_vec(),
        measured,
        versions,
        quick: options.quick,
        took: begun.elapsed(),
    })
}

fn some_or_all<T: Copy>(some: &[T], all: &[T]) -> Vec<T> {
    if some.is_empty() { all.to_vec() } else { some.to_vec() }
}

/// Builds our own program as it is released.
fn build() -> Result<PathBuf, Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(["build", "--profile", "dist", "-p", "whoelse"]).status()?;
    match status.success() {
        true => Ok(PathBuf::from("target/dist/whoelse")),
        false => Err("whoelse does not build".into()),
    }
}

/// Keeps this thread, and those that it starts from now on, off the processor of the servers.
pub fn stay_off_the_servers_processor() -> Result<(), Failed> {
    let count = std::thread::available_parallelism()?.get();
    if count < 2 {
        return Err("two processors are needed: one for a server, one for the load".into());
    }
    let mut others = CpuSet::new();
    (0..count).filter(|processor| *processor != PROCESSOR).for_each(|one| others.set(one));
    Ok(sched_setaffinity(None, &others)?)
}
