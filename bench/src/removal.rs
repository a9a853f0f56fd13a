//! An account with a large archive is removed while two others write to each other: what they notice
//! of it (docs/security.md, row 52).

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whoelse_store::{Direction, Location, NewMessage, NewRow, Query, Store};

use crate::Failed;
use crate::crowd;
use crate::load::client::{Client, Entrance, Language, name};
use crate::load::latency::{self, Times};
use crate::load::log_in;
use crate::server::Server;

/// What is removed, and how long the others write.
#[derive(Args)]
pub struct Options {
    /// How many messages the account has.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,
    /// How many seconds the others write to each other, before the removal and from its beginning.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many messages a second both together.
    #[arg(long, default_value_t = 50)]
    rate: u32,
}

const SETTINGS: &str =
    "listen = \"127.0.0.1\"\ncontacts = \"everyone\"\nregistration = \"closed\"\n";
/// Two who write to each other, and one who goes.
const ACCOUNTS: usize = 3;
const GONE: usize = 2;
/// Messages appended in one transaction.
const TOGETHER: usize = 256;
/// Everything before this is not counted.
const WARM: Duration = Duration::from_millis(500);

const REMOVE: &str =
    "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>";

/// Measures, and prints a line for each part.
pub async fn run(program: &Path, options: &Options) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    fill(&directory, options.messages).await?;
    let server = Server::start_in(program, directory, SETTINGS).await?;
    let entrance = Entrance::new(server.port, Language::Xmpp)?;
    let length = Duration::from_secs(options.seconds);
    let rate = f64::from(options.rate);

    let pair = log_in(&entrance, 0..GONE, 0..1).await?;
    let mut quiet = latency::measure(pair, rate, WARM, length).await?;
    println!("quiet: {}", line(&mut quiet));

    let pair = log_in(&entrance, 0..GONE, 0..1).await?;
    let mut going = Client::log_in(&entrance, GONE, 0).await?;
    let removal = async {
        tokio::time::sleep(WARM).await;
        let begun = Instant::now();
        going.socket.write_all(REMOVE.as_bytes()).await?;
        going.socket.flush().await?;
        // The server says goodbye at once.
        let mut heard = Vec::new();
        going.socket.read_to_end(&mut heard).await?;
        match memchr::memmem::find(&heard, b"type='result'") {
            Some(_) => Ok(begun.elapsed()),
            None => Err(Failed::from(String::from_utf8_lossy(&heard))),
        }
    };
    let (meanwhile, answered) = tokio::join!(latency::measure(pair, rate, WARM, length), removal);
    println!(
        "{} messages are removed: {}; answered after {:.1} ms",
        options.messages,
        line(&mut meanwhile?),
        answered?.as_secs_f64() * 1e3
    );
    let directory = server.stop().await?;
    println!("{} of their rows are left", left(&directory).await?);
    Ok(())
}

fn line(times: &mut Times) -> String {
    let part = |times: &mut Times, percent| times.percentile(percent).unwrap_or_default();
    format!(
        "median {:.2} ms, 99 % {:.2} ms, worst {:.2} ms",
        part(times, 50.0),
        part(times, 99.0),
        part(times, 100.0)
    )
}

fn place(directory: &TempDir) -> Location {
    Location::Sqlite(directory.path().join("whoelse-data").join("whoelse.db"))
}

/// Makes the accounts, and the archive of one of them.
async fn fill(directory: &TempDir, messages: usize) -> Result<(), Failed> {
    crowd::fill(directory, ACCOUNTS).await?;
    let store = Store::open(&place(directory)).await?;
    let domain = store.domains().await?.first().ok_or("there is no domain")?.id;
    let gone = store.find_account(domain, &name(GONE)).await?.ok_or("it was not made")?;
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as i64;
    let mut made = 0;
    while made < messages {
        let message = |n: usize| NewMessage {
            at,
            kept_at: at,
            stanza: vec![b'x'; 350].into(),
            first: NewRow {
                archive: gone.archive,
                peer: format!("peer{}@far.example", n % 40),
                direction: if n.is_multiple_of(2) { Direction::In } else { Direction::Out },
            },
            ..NewMessage::default()
        };
        let group: Vec<NewMessage> = (made..messages.min(made + TOGETHER)).map(message).collect();
        made += group.len();
        let mut tx = store.begin().await?;
        tx.append(&group).await?;
        tx.commit().await?;
    }
    store.close().await?;
    Ok(())
}

/// How many rows the archive still has: it is the third.
async fn left(directory: &TempDir) -> Result<i64, Failed> {
    let store = Store::open(&place(directory)).await?;
    let rows = store.count(GONE as i64 + 1, &Query::default(), i64::MAX).await?;
    store.close().await?;
    Ok(rows.unwrap_or_default())
}
