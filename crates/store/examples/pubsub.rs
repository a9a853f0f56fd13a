//! Measures what nodes cost in the store alone, beside many others: processor time of a publish, of
//! the last items that somebody hears who comes, and of what removes many at once.
//!
//! ```text
//! cargo run --release -p whoelse-store --example pubsub -- --items 1000000
//! ```
//!
//! Every account has the nodes of a client that encrypts and shows itself (twelve), one item of 600
//! bytes in each, and the rest of the items as bookmarks and read marks in two more. Processor time is
//! that of all threads, SQLite's among them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use whoelse_store::{Location, NewPubsubItem, PubsubPage, Store};

type Failed = Box<dyn std::error::Error + Send + Sync>;

const BEGIN: i64 = 1_790_000_000_000_000;
/// Nodes with one item each.
const SINGLE: usize = 12;
/// Nodes that keep all their items.
const MANY: [&str; 2] = ["urn:xmpp:bookmarks:1", "urn:xmpp:mds:displayed:0"];
/// The bytes of an item.
const PAYLOAD: usize = 600;
/// Of the nodes of accounts, as the features have it by default.
const CONFIG: [u8; 40] = [b'c'; 40];
/// How often each thing is done.
const TIMES: u32 = 1_000;

struct Options {
    /// How many items there are in all.
    items: usize,
    accounts: usize,
    /// Where the database is made; it is removed afterwards.
    folder: PathBuf,
}

fn options() -> Result<Options, Failed> {
    let mut options = Options { items: 100_000, accounts: 1_000, folder: std::env::temp_dir() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = value.parse::<usize>().map_err(|_| format!("`{value}` is not a number"));
        match word.as_str() {
            "--items" => options.items = number?,
            "--accounts" => options.accounts = number?.max(1),
            "--folder" => options.folder = value.into(),
            _ => return Err(format!("there is no {word}; see the beginning of the file").into()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = options()?;
    let folder = options.folder.join(format!("whoelse-pubsub-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let done = run(&options, &folder.join("store.db")).await;
    std::fs::remove_dir_all(&folder)?;
    done
}

async fn run(options: &Options, file: &Path) -> Result<(), Failed> {
    let place = Location::Sqlite(file.to_owned());
    let store = Store::open(&place).await?;
    let (used, begun) = (processor(), Instant::now());
    let owners = fill(&store, options).await?;
    println!(
        "{} items of {} accounts: {:.1} µs of processor time each, {:.0} s",
        options.items,
        owners.len(),
        micros(used) / options.items as f64,
        begun.elapsed().as_secs_f64()
    );
    store.close().await?;
    println!("{} bytes each on the disk", std::fs::metadata(file)?.len() / options.items as u64);
    let begun = Instant::now();
    let store = Store::open(&place).await?;
    println!("opened in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    publish(&store, &owners).await?;
    hear(&store, &owners).await?;
    remove(&store, &owners).await?;
    Ok(store.close().await?)
}

fn single(number: usize) -> String {
    format!("urn:example:node:{number}")
}

/// Makes the accounts with their nodes, an account in a transaction; returns their numbers.
async fn fill(store: &Store, options: &Options) -> Result<Vec<i64>, Failed> {
    let mut owners = Vec::new();
    let payload = vec![b'x'; PAYLOAD];
    let each = options.items / options.accounts;
    for account in 0..options.accounts {
        let mut tx = store.begin().await?;
        let domain = tx.ensure_domain("localhost").await?;
        let made = tx.create_account(domain, &format!("user{account}"), &[], 1).await?;
        let owner = made.ok_or("the account exists")?;
        let names = (0..SINGLE).map(single).chain(MANY.map(str::to_owned));
        let mut nodes = Vec::new();
        for name in names {
            let node = tx.create_pubsub_node(owner, &name, &CONFIG).await?;
            nodes.push(node.ok_or("the node exists")?);
        }
        for n in 0..each {
            let node = nodes[if n < SINGLE { n } else { SINGLE + n % MANY.len() }];
            let id = format!("item-{n:08}@conference.example");
            let item = NewPubsubItem {
                id: &id,
                publisher: "user@#1",
                account: 0,
                at: BEGIN,
                payload: &payload,
            };
            tx.put_pubsub_item(node, item).await?;
        }
        tx.commit().await?;
        owners.push(owner);
    }
    Ok(owners)
}

/// Publishes again and again in one node of each account in turn, each in a commit of its own, which
/// is what one who is alone pays.
async fn publish(store: &Store, owners: &[i64]) -> Result<(), Failed> {
    let payload = vec![b'y'; PAYLOAD];
    let item = NewPubsubItem {
        id: "current",
        publisher: "user@#1",
        account: 0,
        at: BEGIN,
        payload: &payload,
    };
    let (used, begun) = (processor(), Instant::now());
    for (owner, _) in owners.iter().cycle().zip(0..TIMES) {
        let mut tx = store.begin().await?;
        let node = tx.pubsub_node(*owner, &single(0)).await?.ok_or("there is no node")?;
        tx.put_pubsub_item(node.id, item).await?;
        tx.retract_oldest_pubsub_items(node.id, 1).await?;
        tx.pubsub_usage(*owner).await?;
        tx.commit().await?;
    }
    report("a publish with its commit", used, begun, TIMES);
    let (used, begun) = (processor(), Instant::now());
    for (owner, now) in owners.iter().cycle().zip(0..TIMES) {
        let mut tx = store.begin().await?;
        tx.touch_account(*owner, now.into()).await?;
        tx.commit().await?;
    }
    report("for comparison: one row with its commit", used, begun, TIMES);
    Ok(())
}

/// Reads what somebody hears who comes: the last items of so many others.
async fn hear(store: &Store, owners: &[i64]) -> Result<(), Failed> {
    let names: Vec<String> = (0..SINGLE).map(single).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (contacts, page) in [(100, 20), (100, 100)] {
        let (used, begun) = (processor(), Instant::now());
        let mut found = 0;
        for n in 0..50 {
            let first = n * 7 % owners.len().saturating_sub(contacts).max(1);
            for owners in owners[first..].chunks(page).take(contacts / page) {
                found += store.pubsub_last_items(owners, &names).await?.len();
            }
        }
        let what = format!("the {} last items of {contacts} others, {page} at once", found / 50);
        report(&what, used, begun, 50);
    }
    let none: Vec<String> = (0..SINGLE).map(|n| format!("urn:example:none:{n}")).collect();
    let none: Vec<&str> = none.iter().map(String::as_str).collect();
    let (used, begun) = (processor(), Instant::now());
    for _ in 0..50 {
        store.pubsub_last_items(&owners[..owners.len().min(100)], &none).await?;
    }
    report("the same where nobody has any", used, begun, 50);
    let node = store.pubsub_node(owners[0], MANY[0]).await?.ok_or("there is no node")?;
    let page = PubsubPage { most: 100, from_end: true, ..PubsubPage::default() };
    let (used, begun) = (processor(), Instant::now());
    for _ in 0..TIMES {
        store.pubsub_page(node.id, &page).await?;
    }
    report("a page of 100 items", used, begun, TIMES);
    let (used, begun) = (processor(), Instant::now());
    for _ in 0..TIMES {
        store.pubsub_node_at(1, "user0", MANY[0]).await?;
    }
    report("a node by its owner's address", used, begun, TIMES);
    Ok(())
}

/// Removes many items at once.
async fn remove(store: &Store, owners: &[i64]) -> Result<(), Failed> {
    let node = store.pubsub_node(owners[0], MANY[0]).await?.ok_or("there is no node")?;
    let (used, begun) = (processor(), Instant::now());
    let mut tx = store.begin().await?;
    let retracted = tx.retract_oldest_pubsub_items(node.id, 1).await?.len();
    tx.commit().await?;
    report(&format!("{retracted} items retracted at once"), used, begun, 1);
    let (used, begun) = (processor(), Instant::now());
    let mut tx = store.begin().await?;
    tx.remove_account(owners[owners.len() - 1]).await?;
    tx.commit().await?;
    report("an account removed", used, begun, 1);
    let (mut pieces, mut longest) = (0, Duration::ZERO);
    let (used, begun) = (processor(), Instant::now());
    loop {
        let piece = Instant::now();
        let mut tx = store.begin().await?;
        let removed = tx.remove_gone_pubsub(500).await?;
        tx.commit().await?;
        (pieces, longest) = (pieces + 1, longest.max(piece.elapsed()));
        if removed < 500 {
            break;
        }
    }
    report("a piece of 500 rows of what it left", used, begun, pieces);
    println!("the longest of {pieces} pieces: {:.1} ms", longest.as_secs_f64() * 1e3);
    Ok(())
}

fn report(what: &str, used: Duration, begun: Instant, times: u32) {
    println!(
        "{what}: {:.1} µs of processor time, {:.1} µs",
        micros(used) / f64::from(times),
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    );
}

fn micros(since: Duration) -> f64 {
    processor().saturating_sub(since).as_secs_f64() * 1e6
}

/// The processor time of this process.
fn processor() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
