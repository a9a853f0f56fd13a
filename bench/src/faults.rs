//! A long run amid faults: does the server's memory grow?
//!
//! People connect and disconnect, send to each other, lose their connection and resume their
//! sessions (XEP-0198); some read slowly, some not at all, some vanish. Strangers connect and
//! guess passwords. Every two minutes all connections break at once, and everybody is back within
//! seconds. The server's memory is recorded every second; [`curve`] evaluates it.

mod curve;
mod person;
mod stranger;
pub mod visit;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Failed;
use crate::server::Server;
use curve::{Curve, Sample};

/// What all of them write and do is the same for the same seed; when it happens is not.
#[derive(Args)]
pub struct Options {
    /// For how long.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// How many people.
    #[arg(long, default_value_t = 200)]
    people: usize,
    /// Chooses what they do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where `.csv` and `.svg` are appended to make the names of the two files it writes.
    #[arg(long, default_value = "faults")]
    to: PathBuf,
}

/// Short timeouts: one minute where the default is ten, so that everything that comes and goes has
/// done both often before the run is over.
const SETTINGS: &str = "listen = \"127.0.0.1\"\ncontacts = \"everyone\"\nregistration = \"open\"\n\
    sessions = \"many\"\nhistory = \"1y\"\n[limits]\nresumption = \"60s\"\nack_wait = \"10s\"\n\
    session_bytes = \"512 KiB\"\n";
/// How often all wires break.
const STORM: Duration = Duration::from_secs(120);

/// What all tasks of a run share.
struct World {
    port: u16,
    people: usize,
    /// Raised when all connections break.
    storms: watch::Sender<u64>,
    /// Sessions that are open at this moment.
    online: AtomicUsize,
    /// Since the beginning.
    visits: AtomicU64,
    resumed: AtomicU64,
    messages: AtomicU64,
    strangers: AtomicU64,
}

/// Runs it, writes the two files and tells what it means. Fails if memory grows.
pub async fn run(program: &Path, options: Options) -> Result<(), Failed> {
    let server = Server::start_with(program, SETTINGS).await?;
    let world = Arc::new(World {
        port: server.port,
        people: options.people,
        storms: watch::Sender::new(0),
        online: AtomicUsize::new(0),
        visits: AtomicU64::new(0),
        resumed: AtomicU64::new(0),
        messages: AtomicU64::new(0),
        strangers: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for me in 0..options.people {
        tasks.spawn(person::live(world.clone(), me, options.seed));
    }
    tasks.spawn(stranger::knock(world.clone(), options.seed));

    let (begun, end) = (Instant::now(), Duration::from_secs(60 * options.minutes));
    let mut next_storm = STORM;
    let mut curve = Curve::default();
    while begun.elapsed() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let at = begun.elapsed();
        if at >= next_storm {
            next_storm += STORM;
            curve.storms.push(at.as_secs_f64());
            world.storms.send_modify(|storms| *storms += 1);
        }
        curve.samples.push(sample(&server, &world, at)?);
    }
    // Tasks without an end stop here; a task that ended before has failed.
    if let Some(ended) = tasks.try_join_next() {
        return Err(format!("somebody gave up: {:?}", ended?).into());
    }
    tasks.shutdown().await;

    let file = |end: &str| options.to.with_extension(end);
    std::fs::write(file("csv"), curve.csv())?;
    std::fs::write(file("svg"), curve.svg())?;
    println!("{}", curve.words());
    if curve.is_flat() { Ok(()) } else { Err("the memory grows".into()) }
}

fn sample(server: &Server, world: &World, at: Duration) -> Result<Sample, Failed> {
    Ok(Sample {
        seconds: at.as_secs_f64(),
        memory: server.memory()?,
        cpu: server.cpu()?.as_secs_f64(),
        descriptors: server.descriptors()?,
        database: server.database(),
        online: world.online.load(Ordering::Relaxed),
        visits: world.visits.load(Ordering::Relaxed),
        resumed: world.resumed.load(Ordering::Relaxed),
        messages: world.messages.load(Ordering::Relaxed),
        strangers: world.strangers.load(Ordering::Relaxed),
    })
}
