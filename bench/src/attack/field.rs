//! What an attack is made in: the accounts, their archives, and who is who.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::task::JoinSet;
use whoelse_store::{Direction, Location, NewMessage, NewRow, Store};

use crate::Failed;
use crate::crowd;
use crate::load::client::{Client, Entrance, name};

/// Two who write to each other.
pub const PAIR: Range<usize> = 0..2;
/// One who logs in, again and again but slowly.
pub const GUEST: usize = 2;
/// They only read.
pub const READERS: Range<usize> = 3..23;
/// Nobody has ever seen them.
pub const ABSENT: usize = 23;
/// They attack. The operator has made them, so that they have all that an account has.
pub const ATTACKERS: Range<usize> = 24..32;

/// Messages appended in one transaction.
const TOGETHER: usize = 256;
/// The other sides of an archive.
const PEERS: usize = 40;

/// A server with people on it.
pub struct Field {
    /// Where it is entered.
    pub entrance: Arc<Entrance>,
    deeds: AtomicU64,
}

impl Field {
    /// The server that is entered here.
    pub fn new(entrance: Arc<Entrance>) -> Field {
        Field { entrance, deeds: AtomicU64::new(0) }
    }

    /// Counts one more deed of the attackers.
    pub fn did(&self) {
        self.deeds.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn deeds(&self) -> u64 {
        self.deeds.load(Ordering::Relaxed)
    }
}

/// Does a deed in so many sessions at once, which these accounts share. Whoever is cut off comes again
/// at once.
pub async fn in_sessions<Done>(
    field: &Arc<Field>,
    sessions: usize,
    accounts: Range<usize>,
    deed: impl Fn(Arc<Field>, Client) -> Done + Copy + Send + 'static,
) where
    Done: Future<Output = Result<(), Failed>> + Send,
{
    let mut doing = JoinSet::<()>::new();
    for session in 0..sessions {
        let (field, account) = (field.clone(), accounts.start + session % accounts.len());
        doing.spawn(async move {
            loop {
                if let Ok(client) = Client::log_in(&field.entrance, account, session).await {
                    // It ends when the connection does.
                    let _ = deed(field.clone(), client).await;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    doing.join_all().await;
}

/// Makes the accounts in the database itself, and archives that have so many messages together.
pub async fn fill(
    directory: &TempDir,
    owners: Range<usize>,
    messages: usize,
) -> Result<(), Failed> {
    crowd::fill(directory, ATTACKERS.end).await?;
    let file = directory.path().join("whoelse-data").join("whoelse.db");
    let store = Store::open(&Location::Sqlite(file)).await?;
    let domain = store.domains().await?.first().ok_or("there is no domain")?.id;
    let each = messages / owners.len().max(1);
    for owner in owners {
        let row = store.find_account(domain, &name(owner)).await?.ok_or("it was not made")?;
        write(&store, row.archive, each).await?;
    }
    Ok(store.close().await?)
}

async fn write(store: &Store, archive: i64, messages: usize) -> Result<(), Failed> {
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as i64;
    let message = |n: usize| NewMessage {
        at,
        kept_at: at,
        stanza: vec![b'x'; 350].into(),
        first: NewRow {
            archive,
            peer: format!("peer{}@far.example", n % PEERS),
            // Sent, so that nothing waits to be delivered.
            direction: Direction::Out,
        },
        ..NewMessage::default()
    };
    for first in (0..messages).step_by(TOGETHER) {
        let group: Vec<_> = (first..messages.min(first + TOGETHER)).map(message).collect();
        let mut tx = store.begin().await?;
        tx.append(&group).await?;
        tx.commit().await?;
    }
    Ok(())
}
