//! Two connections that log in again and again, and send presence to everybody each time: what two
//! people who have nothing to do with it see meanwhile, and whether somebody who only reads stays
//! connected.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failed;
use crate::faults::visit::Visit;
use crate::server::Server;

/// How much of it.
#[derive(Args)]
pub struct Options {
    /// Seconds without the flood, and then as many with it.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many people watch.
    #[arg(long, default_value_t = 50)]
    watchers: usize,
    /// Connections that flood.
    #[arg(long, default_value_t = 2)]
    flooding: usize,
}

const SETTINGS: &str = "listen = \"127.0.0.1\"\ncontacts = \"everyone\"\nregistration = \"open\"\n\
    sessions = \"many\"\nhistory = \"off\"\n";
/// Presences of one visit: what a session could once send at once.
const AT_ONCE: usize = 30;
/// The time between two messages of the pair.
const PACE: Duration = Duration::from_millis(10);

/// What all of them share.
#[derive(Default)]
struct Seen {
    /// Presences that the first watcher has read.
    presences: AtomicU64,
    /// Bytes that it has read.
    bytes: AtomicU64,
    /// Watchers that were cut off.
    lost: AtomicU64,
    visits: AtomicU64,
    over: AtomicBool,
}

/// Measures, and prints a line for each half.
pub async fn run(program: &Path, options: Options) -> Result<(), Failed> {
    let server = Server::start_with(program, SETTINGS).await?;
    let (seen, port) = (Arc::new(Seen::default()), server.port);
    let mut tasks = JoinSet::new();
    for watcher in 0..options.watchers {
        let visit = enter(port, 10 + watcher).await?;
        tasks.spawn(watch(seen.clone(), visit, watcher == 0));
    }
    for flooding in 0..options.flooding {
        Visit::begin(port, place(2 + flooding), 2 + flooding, true, None).await?.leave().await;
    }
    let mut pair = [enter(port, 0).await?, enter(port, 1).await?];
    let half = Duration::from_secs(options.seconds);

    let (quiet, _) = talk(&mut pair, half).await?;
    println!("quiet: {}", words(quiet));
    let before = (server.cpu()?, seen.presences.load(Ordering::Relaxed));
    for flooding in 0..options.flooding {
        tasks.spawn(flood(seen.clone(), port, 2 + flooding));
    }
    let (flooded, took) = talk(&mut pair, half).await?;
    let seconds = took.as_secs_f64();
    let presences = seen.presences.load(Ordering::Relaxed) - before.1;
    println!(
        "flood: {}; {:.0} presences a second to each, {:.1} logins a second, {} of {} watchers \
         lost, {:.0} % of a processor",
        words(flooded),
        presences as f64 / seconds,
        seen.visits.load(Ordering::Relaxed) as f64 / seconds,
        seen.lost.load(Ordering::Relaxed),
        options.watchers,
        (server.cpu()? - before.0).as_secs_f64() / seconds * 100.0,
    );
    seen.over.store(true, Ordering::Relaxed);
    tasks.shutdown().await;
    Ok(())
}

fn place(n: usize) -> [u8; 4] {
    [127, 2, 1 + (n / 200) as u8, 1 + (n % 200) as u8]
}

async fn enter(port: u16, me: usize) -> Result<Visit, Failed> {
    let mut visit = Visit::begin(port, place(me), me, true, None).await?;
    visit.say("<presence/>").await?;
    Ok(visit)
}

/// Reads and acknowledges whatever comes, as fast as it comes.
async fn watch(seen: Arc<Seen>, mut visit: Visit, counts: bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let heard = async {
            let read = visit.read(&mut buffer).await?;
            let bytes = buffer.get(..read).unwrap_or_default();
            visit.hear(bytes).await?;
            let presences = bytes.windows(9).filter(|part| part == b"<presence").count();
            Ok::<_, Failed>((read as u64, presences as u64))
        };
        match heard.await {
            Ok((bytes, presences)) if counts => {
                seen.bytes.fetch_add(bytes, Ordering::Relaxed);
                seen.presences.fetch_add(presences, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(_) if seen.over.load(Ordering::Relaxed) => return,
            Err(_) => {
                seen.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Comes, sends presence to everybody, and goes, again and again.
async fn flood(seen: Arc<Seen>, port: u16, me: usize) {
    let said = format!("<presence><status>{}</status></presence>", "x".repeat(1_000));
    let said = said.repeat(AT_ONCE) + "</stream:stream>";
    loop {
        match Visit::begin(port, place(me), me, false, None).await {
            Ok(mut visit) => {
                seen.visits.fetch_add(1, Ordering::Relaxed);
                let _ = visit.say(&said).await;
            }
            // Refused: it tries again at once, as nobody should.
            Err(_) => sleep(PACE).await,
        }
    }
}

/// Sends from one to the other for so long, one message after the other. Returns how long each
/// took, and how long all of it did.
async fn talk(pair: &mut [Visit; 2], long: Duration) -> Result<(Vec<Duration>, Duration), Failed> {
    let [from, to] = pair;
    let (begun, mut times) = (Instant::now(), Vec::new());
    let (mut heard, mut other) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    while begun.elapsed() < long {
        let sent = Instant::now();
        from.say("<message to='user1@localhost' type='chat'><body>hello</body></message>").await?;
        loop {
            // The sender reads as well, or it would be cut off.
            tokio::select! {
                read = to.read(&mut heard) => {
                    let read = read?;
                    if to.hear(heard.get(..read).unwrap_or_default()).await? > 0 {
                        break;
                    }
                }
                read = from.read(&mut other) => {
                    let read = read?;
                    from.hear(other.get(..read).unwrap_or_default()).await?;
                }
            }
        }
        times.push(sent.elapsed());
        sleep(PACE).await;
    }
    Ok((times, begun.elapsed()))
}

fn words(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let (median, worst) = (millis(times.get(times.len() / 2)), millis(times.last()));
    let late = millis(times.get(times.len() * 99 / 100));
    format!(
        "{} messages between two who have nothing to do with it, median {median:.2} ms, 99 % \
         {late:.2} ms, worst {worst:.1} ms",
        times.len()
    )
}
