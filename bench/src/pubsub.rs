//! What people publish (XEP-0060, XEP-0163): what a million items cost a start, and what a publish
//! costs that a hundred contacts hear (docs/performance.md).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use memchr::memmem;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use whoelse_store::{Location, NewPubsubItem, RosterRow, Store};

use crate::Failed;
use crate::crowd;
use crate::load::client::{Client, Entrance, Language, name};
use crate::load::log_in;
use crate::server::Server;

/// How much there is, and how often something is published.
#[derive(Args)]
pub struct Options {
    /// How many accounts the server has.
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// How many items they have together.
    #[arg(long, default_value_t = 1_000_000)]
    items: usize,
    /// How many contacts hear what is published.
    #[arg(long, default_value_t = 100)]
    contacts: usize,
    /// How often something is published. More than an account may at once (docs/design/ledger.md) is
    /// slowed down.
    #[arg(long, default_value_t = 50)]
    publishes: u64,
}

const SETTINGS: &str = "listen = \"127.0.0.1\"\ncontacts = \"roster\"\n\
                        registration = \"closed\"\nhistory = \"off\"\n";
/// Nodes of an account, as a client has them that encrypts and shows itself.
const NODES: usize = 12;
const PAYLOAD: usize = 300;
/// What is published: a list of three devices.
const NODE: &str = "eu.siacs.conversations.axolotl.devicelist";
/// Where a client says who it is, and what asks for that.
const CLIENT: &str = "https://bench.example";
const QUESTION: &[u8] = b"http://jabber.org/protocol/disco#info";
/// What stands once in each event.
const EVENT: &[u8] = b"http://jabber.org/protocol/pubsub#event";
/// What its clients have, in order.
const FEATURES: [&str; 3] = [
    "eu.siacs.conversations.axolotl.devicelist+notify",
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/disco#info",
];
/// Within this time everybody has heard.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures, and prints a line for each.
pub async fn run(program: &Path, options: Options) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    crowd::fill(&directory, options.accounts.max(options.contacts + 2)).await?;
    befriend(&directory, options.contacts).await?;
    // The first start makes what a server needs.
    let server = Server::start_in(program, directory, SETTINGS).await?;
    let directory =
        Server::start_measured(program, server.stop().await?, SETTINGS, "without items")
            .await?
            .stop()
            .await?;
    fill(&directory, options.items, options.accounts).await?;
    let what = format!("with {} items", options.items);
    let server = Server::start_measured(program, directory, SETTINGS, &what).await?;

    let entrance = Entrance::new(server.port, Language::Xmpp)?;
    let heard = Arc::new(AtomicU64::new(0));
    let mut listeners = JoinSet::new();
    for contact in log_in(&entrance, 1..options.contacts + 1, 0..1).await? {
        listeners.spawn(listen(contact, heard.clone()));
    }
    let mut lone = Client::log_in(&entrance, options.contacts + 1, 0).await?;
    let mut publisher = Client::log_in(&entrance, 0, 0).await?;
    publisher.ask("<presence/>", "<presence").await?;
    wait_for_ears(&mut publisher, &heard, options.contacts as u64).await?;
    let nobody = publish(&server, &mut lone, &options, (&heard, 0)).await?;
    println!("a publish that nobody hears: {}", nobody.words());
    let contacts = options.contacts as u64;
    let all = publish(&server, &mut publisher, &options, (&heard, contacts)).await?;
    println!("a publish that {contacts} contacts hear: {}", all.words());
    let event = (all.micros() - nobody.micros()) / contacts.max(1) as f64;
    println!("each event of it: {event:.2} µs of processor time");
    println!("{} KiB of memory", server.memory()?);
    server.stop().await?;
    Ok(())
}

async fn open(directory: &TempDir) -> Result<Store, Failed> {
    let file = directory.path().join("whoelse-data").join("whoelse.db");
    Ok(Store::open(&Location::Sqlite(file)).await?)
}

/// The first account and so many others see each other.
async fn befriend(directory: &TempDir, contacts: usize) -> Result<(), Failed> {
    let store = open(directory).await?;
    let mut tx = store.begin().await?;
    let domain = tx.ensure_domain("localhost").await?;
    let publisher = tx.find_account(domain, &name(0)).await?.ok_or("it was not made")?.id;
    for contact in 1..=contacts {
        let id = tx.find_account(domain, &name(contact)).await?.ok_or("it was not made")?.id;
        for (of, with) in [(publisher, contact), (id, 0)] {
            let contact = format!("{}@#{domain}", name(with));
            let row =
                RosterRow { contact, listed: true, to: true, from: true, ..RosterRow::default() };
            tx.write_roster_row(of, &row).await?;
        }
    }
    tx.commit().await?;
    Ok(store.close().await?)
}

/// Gives the accounts nodes with so many items together, in the database itself.
async fn fill(directory: &TempDir, items: usize, accounts: usize) -> Result<(), Failed> {
    let store = open(directory).await?;
    let payload = vec![b'x'; PAYLOAD];
    let each = items / accounts.max(1);
    for account in 0..accounts {
        let mut tx = store.begin().await?;
        let domain = tx.ensure_domain("localhost").await?;
        let owner = tx.find_account(domain, &name(account)).await?.ok_or("it was not made")?.id;
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let made = tx.create_pubsub_node(owner, &format!("urn:example:{number}"), b"").await?;
            nodes.push(made.ok_or("the node exists")?);
        }
        for (number, node) in (0..each).zip(nodes.iter().cycle()) {
            let id = format!("item-{number:08}");
            let item =
                NewPubsubItem { id: &id, publisher: "", account: 0, at: 1, payload: &payload };
            tx.put_pubsub_item(*node, item).await?;
        }
        tx.commit().await?;
    }
    Ok(store.close().await?)
}

// --- who hears ---

/// What stands for these features (XEP-0115, 5.1).
fn hash() -> String {
    let text = format!("client/pc//bench<{}<", FEATURES.join("<"));
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Says what it wants to hear, answers who asks for that, and counts what comes.
async fn listen(mut client: Client, heard: Arc<AtomicU64>) -> Result<(), Failed> {
    let presence = format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='{CLIENT}' \
         ver='{}'/></presence>",
        hash()
    );
    client.socket.write_all(presence.as_bytes()).await?;
    client.socket.flush().await?;
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let read = client.socket.read(&mut buffer).await?;
        if read == 0 {
            return Err("the server has closed the connection".into());
        }
        seen.extend_from_slice(buffer.get(..read).unwrap_or_default());
        // Whole stanzas, up to the last that ends here.
        let ends = ["</message>", "</iq>", "</presence>", "/>"];
        let end =
            ends.iter().filter_map(|end| Some(memmem::rfind(&seen, end.as_bytes())? + end.len()));
        let whole: Vec<u8> = seen.drain(..end.max().unwrap_or(0)).collect();
        let events = memmem::find_iter(&whole, EVENT).count();
        heard.fetch_add(events as u64, Ordering::Relaxed);
        if let Some(answer) = answer(&whole) {
            client.socket.write_all(answer.as_bytes()).await?;
            client.socket.flush().await?;
        }
    }
}

/// The answer to a question that is in these stanzas.
fn answer(stanzas: &[u8]) -> Option<String> {
    let question = memmem::find(stanzas, QUESTION)?;
    let begin = memmem::rfind(stanzas.get(..question)?, b"<iq ")?;
    let head = std::str::from_utf8(stanzas.get(begin..question)?).ok()?;
    let head = head.split('>').next()?;
    let id = head.split(" id='").nth(1)?.split('\'').next()?;
    let features: Vec<String> =
        FEATURES.iter().map(|feature| format!("<feature var='{feature}'/>")).collect();
    Some(format!(
        "<iq type='result' id='{id}' to='localhost'><query \
         xmlns='http://jabber.org/protocol/disco#info' node='{CLIENT}#{}'><identity category='client' \
         type='pc' name='bench'/>{}</query></iq>",
        hash(),
        features.concat()
    ))
}

/// Publishes until everybody hears it.
async fn wait_for_ears(
    publisher: &mut Client,
    heard: &AtomicU64,
    contacts: u64,
) -> Result<(), Failed> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let before = heard.load(Ordering::Relaxed);
        publisher.request(&list(0)).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        if heard.load(Ordering::Relaxed) - before == contacts {
            return Ok(());
        }
    }
    Err(format!("not all of {contacts} contacts hear what is published").into())
}

// --- what is published ---

fn list(number: u64) -> String {
    let devices: Vec<String> = (0..3)
        .map(|device| format!("<device id='{}'/>", 1_000_000 + number * 3 + device))
        .collect();
    format!(
        "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish \
         node='{NODE}'><item id='current'><list xmlns='eu.siacs.conversations.axolotl'>{}</list>\
         </item></publish></pubsub></iq>",
        devices.concat()
    )
}

struct Cost {
    publishes: u64,
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.publishes.max(1) as f64
    }

    fn words(&self) -> String {
        format!(
            "{:.0} µs of processor time, {:.2} ms until all have heard",
            self.micros(),
            self.wall.as_secs_f64() * 1e3 / self.publishes.max(1) as f64
        )
    }
}

/// Publishes one list after the other, each when all have heard the one before.
async fn publish(
    server: &Server,
    publisher: &mut Client,
    options: &Options,
    (heard, contacts): (&AtomicU64, u64),
) -> Result<Cost, Failed> {
    let first = heard.load(Ordering::Relaxed);
    let (cpu, begun) = (server.cpu()?, Instant::now());
    for number in 1..=options.publishes {
        publisher.request(&list(number)).await?;
        let (wanted, until) = (first + number * contacts, Instant::now() + PATIENCE);
        while heard.load(Ordering::Relaxed) < wanted {
            if Instant::now() > until {
                return Err("somebody has not heard what was published".into());
            }
            tokio::task::yield_now().await;
        }
    }
    let (cpu, wall) = (server.cpu()? - cpu, begun.elapsed());
    Ok(Cost { publishes: options.publishes, cpu, wall })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_question_is_answered_by_its_id() {
        let asked = b"<presence/><iq type='get' id='x7' from='localhost'><query \
                      xmlns='http://jabber.org/protocol/disco#info'/></iq>";

        assert!(answer(asked).unwrap().starts_with("<iq type='result' id='x7' to='localhost'>"));
        assert_eq!(answer(b"<presence from='a'/>"), None);
    }
}
