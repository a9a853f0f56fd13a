//! A large server where everybody sees everybody: what a list costs each who asks, and what it
//! costs until all are back after a restart (docs/performance.md).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use whoelse_store::{Location, Store, StoredVerifier};
use whoelse_stream::Password;
use whoelse_stream::scram::{Hash, Verifier};

use crate::Failed;
use crate::load::client::{Client, Entrance, Language, PASSWORD, name};
use crate::server::Server;

/// How large it is.
#[derive(Args)]
pub struct Options {
    /// How many accounts the server has.
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// How many of them are online.
    #[arg(long, default_value_t = 3_000)]
    online: usize,
    /// How often each list is asked for.
    #[arg(long, default_value_t = 200)]
    asks: usize,
    /// Only come back after a restart; do not ask for lists.
    #[arg(long)]
    only_restart: bool,
    /// Only ask for lists; do not restart.
    #[arg(long, conflicts_with = "only_restart")]
    only_lists: bool,
}

const SETTINGS: &str = "listen = \"127.0.0.1\"\ncontacts = \"everyone\"\n\
                        registration = \"closed\"\nhistory = \"off\"\n";
/// Logins at once: fewer than one place may have half open.
const AT_ONCE: usize = 12;
/// Accounts made in one transaction.
const TOGETHER: usize = 1_000;
/// The server rests if it takes less processor time than this in half a second.
const AT_REST: Duration = Duration::from_millis(20);

const ROSTER: &str = "<iq type='get' id='a'><query xmlns='jabber:iq:roster'/></iq>";
const WHOELSE: &str = "<iq type='set' id='a' to='localhost'><command \
    xmlns='http://jabber.org/protocol/commands' node='urn:whoelse:commands:0#whoelse'/></iq>";
const SINCE: &str = "<iq type='set' id='a' to='localhost'><command \
    xmlns='http://jabber.org/protocol/commands' node='urn:whoelse:commands:0#whoelsesince'>\
    <x xmlns='jabber:x:data' type='submit'><field var='seconds'><value>86400</value></field></x>\
    </command></iq>";

/// Measures, and prints a line for each.
pub async fn run(program: &Path, options: Options) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    fill(&directory, options.accounts.max(options.online + 1)).await?;
    let server = Server::start_in(program, directory, SETTINGS).await?;
    let entrance = Entrance::new(server.port, Language::Xmpp)?;
    println!("{} accounts, {} online", options.accounts, options.online);
    let crowd = come(&entrance, options.online).await?;
    rest(&server).await?;
    if !options.only_restart {
        lists(&server, &entrance, &options).await?;
    }
    if options.only_lists {
        return Ok(());
    }
    let server = Server::start_in(program, server.stop().await?, SETTINGS).await?;
    drop(crowd);
    let entrance = entrance.moved(server.port);
    let _crowd = come(&entrance, options.online).await?;
    rest(&server).await?;
    let cpu = server.cpu()?;
    println!(
        "all back after a restart: {:.2} s of processor time, {:.2} ms for each, {} KiB of memory",
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / options.online as f64,
        server.memory()?
    );
    Ok(())
}

/// Makes the accounts in the database itself. They have the same password, derived once.
pub async fn fill(directory: &TempDir, accounts: usize) -> Result<(), Failed> {
    let data = directory.path().join("whoelse-data");
    std::fs::create_dir(&data)?;
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&data, owner)?;
    let password = Password::new(PASSWORD).map_err(|error| error.to_string())?;
    let verifiers: Vec<_> = Hash::ALL.iter().map(|hash| stored(*hash, &password)).collect();
    let store = Store::open(&Location::Sqlite(data.join("whoelse.db"))).await?;
    for first in (0..accounts).step_by(TOGETHER) {
        let mut tx = store.begin().await?;
        let domain = tx.ensure_domain("localhost").await?;
        for account in first..accounts.min(first + TOGETHER) {
            tx.create_account(domain, &name(account), &verifiers, 0).await?;
        }
        tx.commit().await?;
    }
    Ok(store.close().await?)
}

fn stored(hash: Hash, password: &Password) -> StoredVerifier {
    let verifier = Verifier::fresh(hash, password);
    StoredVerifier {
        mechanism: hash.mechanism().to_owned(),
        salt: verifier.salt,
        iterations: i64::from(verifier.iterations.get()),
        stored_key: verifier.stored_key,
        server_key: verifier.server_key,
    }
}

/// Lets them log in, each with presence at once, and read whatever comes.
async fn come(
    entrance: &Arc<Entrance>,
    online: usize,
) -> Result<JoinSet<Result<(), Failed>>, Failed> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let (mut coming, mut crowd) = (JoinSet::new(), JoinSet::new());
    for account in 0..online {
        let (gate, entrance) = (gate.clone(), entrance.clone());
        coming.spawn(async move {
            let _permit = gate.acquire_owned().await?;
            let mut client = Client::log_in(&entrance, account, 0).await?;
            client.socket.write_all(b"<presence/>").await?;
            client.socket.flush().await?;
            Ok::<_, Failed>(client)
        });
        // Those who are in read while others come.
        while let Some(came) = coming.try_join_next() {
            crowd.spawn(read_on(came??));
        }
    }
    while let Some(came) = coming.join_next().await {
        crowd.spawn(read_on(came??));
    }
    Ok(crowd)
}

async fn read_on(mut client: Client) -> Result<(), Failed> {
    let mut buffer = vec![0; 16 << 10];
    while client.socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Waits until the server has nothing left to do.
async fn rest(server: &Server) -> Result<(), Failed> {
    loop {
        let before = server.cpu()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if server.cpu()? - before < AT_REST {
            return Ok(());
        }
    }
}

/// Asks for each list as somebody who is not online, so that nothing else comes between.
async fn lists(server: &Server, entrance: &Entrance, options: &Options) -> Result<(), Failed> {
    let mut asker = Client::log_in(entrance, options.online, 1).await?;
    for (what, stanza) in [("roster", ROSTER), ("whoelse", WHOELSE), ("whoelsesince", SINCE)] {
        let begun = server.cpu()?;
        let bytes = asker.request(stanza).await?;
        let first = server.cpu()? - begun;
        for _ in 0..options.asks {
            asker.request(stanza).await?;
        }
        let cpu = server.cpu()? - begun - first;
        println!(
            "{what}: {:.2} ms of processor time for each of {} requests, {:.0} ms for the first; \
             {bytes} bytes",
            cpu.as_secs_f64() * 1e3 / options.asks as f64,
            options.asks,
            first.as_secs_f64() * 1e3
        );
    }
    Ok(())
}
