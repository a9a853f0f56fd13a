//! Measures what a kept message costs in the store alone when so many are archived already: processor
//! time, bytes on the disk, and the longest time that a group takes. A line is about the messages
//! that are appended from that size on, half as many again and at most 100,000.
//!
//! ```text
//! cargo run --release -p whoelse-store --example archive -- --to 10000000
//! ```
//!
//! A group is a transaction, as the keeper writes it under load. Each message has 350 bytes, an
//! origin-id, and a row in the archives of both sides. Time passes in the store as on a server with
//! `--a-day` messages a day, and what is forgotten by its age is forgotten within the time that is
//! measured. Processor time is that of all threads, SQLite's among them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use whoelse_store::{Direction, Location, NewMessage, NewRow, REPEAT_WINDOW, RepeatKey, Store};

type Failed = Box<dyn std::error::Error + Send + Sync>;

const STANZA: usize = 350;
const DAY: i64 = 86_400_000_000;
const BEGIN: i64 = 1_790_000_000_000_000;
/// How many repeats the housekeeping forgets at once.
const STEP: u64 = 500;
/// How many messages a line is about at most.
const WINDOW: u64 = 100_000;

struct Options {
    /// How many messages are archived when the last line begins.
    to: u64,
    accounts: u64,
    /// How many others everybody writes to.
    peers: u64,
    group: u64,
    a_day: u64,
    /// Where the database is made; it is removed afterwards.
    folder: PathBuf,
}

fn options() -> Result<Options, Failed> {
    let folder = std::env::temp_dir();
    let mut options =
        Options { to: 1_000_000, accounts: 200, peers: 1, group: 175, a_day: 1_000_000, folder };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = value.parse::<u64>().map_err(|_| format!("`{value}` is not a number"));
        match word.as_str() {
            "--to" => options.to = number?,
            "--accounts" => options.accounts = number?.max(2),
            "--peers" => options.peers = number?.max(1),
            "--group" => options.group = number?.max(1),
            "--a-day" => options.a_day = number?.max(1),
            "--folder" => options.folder = value.into(),
            _ => return Err(format!("there is no {word}; see the beginning of the file").into()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = options()?;
    let folder = options.folder.join(format!("whoelse-archive-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = run(&options, &folder.join("store.db")).await;
    std::fs::remove_dir_all(&folder)?;
    done
}

async fn run(options: &Options, file: &Path) -> Result<(), Failed> {
    let store = Store::open(&Location::Sqlite(file.to_owned())).await?;
    let mut tx = store.begin().await?;
    let domain = tx.ensure_domain("localhost").await?;
    for n in 0..options.accounts {
        tx.create_account(domain, &format!("user{n}"), &[], 1).await?;
    }
    tx.commit().await?;

    println!("archived     CPU a message   bytes a message   longest group   groups a second");
    let key = RepeatKey::new(b"secret");
    let (mut sent, mut next_purge) = (0, BEGIN);
    for mark in marks(options.to) {
        let (mut cpu, mut wall, mut longest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let (mut measured, mut groups) = (0, 0);
        while sent < mark + (mark / 2).min(WINDOW) {
            let is_measured = sent >= mark;
            let group: Vec<NewMessage> =
                (0..options.group).map(|more| message(options, &key, sent + more)).collect();
            sent += options.group;
            let (begun, used) = (Instant::now(), processor());
            let mut tx = store.begin().await?;
            tx.append(&group).await?;
            tx.commit().await?;
            let took = begun.elapsed();
            let now = time_of(options, sent);
            if now > next_purge {
                forget(&store, now - REPEAT_WINDOW).await?;
                next_purge = now + DAY / 24;
            }
            if is_measured {
                cpu += processor().saturating_sub(used);
                wall += took;
                longest = longest.max(took);
                measured += options.group;
                groups += 1;
            }
        }
        println!(
            "{mark:>9} {:>12.2} µs {:>17} {:>12.1} ms {:>17.0}",
            cpu.as_secs_f64() * 1e6 / measured as f64,
            std::fs::metadata(file)?.len() / sent,
            longest.as_secs_f64() * 1e3,
            f64::from(groups) / wall.as_secs_f64(),
        );
    }
    store.close().await?;
    println!("closed: {} bytes a message", std::fs::metadata(file)?.len() / sent);
    Ok(())
}

/// The sizes of the archive of which there is a line.
fn marks(to: u64) -> Vec<u64> {
    let steps = (4..).flat_map(|power| [1, 3].map(|n| n * 10_u64.pow(power)));
    steps.take_while(|mark| *mark < to).chain([to]).collect()
}

fn time_of(options: &Options, n: u64) -> i64 {
    BEGIN + (n as i64).saturating_mul(DAY / options.a_day as i64)
}

/// Everybody writes in turn, to one of their peers, in an order that looks random.
fn message(options: &Options, key: &RepeatKey, n: u64) -> NewMessage {
    let from = n.wrapping_mul(7_919) % options.accounts;
    let to = match options.peers {
        // In pairs.
        1 => (from ^ 1).min(options.accounts - 1),
        peers => (from + 1 + n.wrapping_mul(104_729) % peers) % options.accounts,
    };
    let at = time_of(options, n);
    let id = format!("{:016x}-{n:015x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let row = |owner: u64, peer: u64, direction| NewRow {
        archive: owner as i64 + 1,
        peer: format!("user{peer}@#1"),
        direction,
    };
    let (first, second) = (row(to, from, Direction::In), row(from, to, Direction::Out));
    NewMessage {
        at,
        kept_at: at,
        repeat: Some(key.of(from as i64 + 1, to as i64 + 1, &id)),
        resource: Some("phone-1234".to_owned()),
        stanza: Bytes::from(vec![b'x'; STANZA]),
        first,
        second: Some(second),
        second_body: None,
        replaces: Vec::new(),
    }
}

/// What the housekeeping does about repeats, once an hour.
async fn forget(store: &Store, before: i64) -> Result<(), Failed> {
    loop {
        let mut tx = store.begin().await?;
        let gone = tx.purge_repeats(before, STEP).await?;
        tx.commit().await?;
        if gone < STEP {
            return Ok(());
        }
    }
}

fn processor() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}
