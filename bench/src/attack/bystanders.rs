//! People who have nothing to do with an attack: two who write to each other, some who only read,
//! and one who logs in, from home and from networks where nobody has logged in before.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::field::{Field, GUEST, PAIR, READERS};
use crate::Failed;
use crate::load::client::{Client, Entrance};
use crate::load::latency::{self, Times};
use crate::load::log_in;

/// Everything before this is not counted.
const WARM: Duration = Duration::from_millis(500);
/// The time between two logins.
const PACE: Duration = Duration::from_millis(250);
/// A login that takes longer has failed: nobody waits for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What they noticed.
#[derive(Default)]
pub struct Noticed {
    /// How long each message took.
    pub messages: Times,
    /// How long each login from home took.
    pub logins: Times,
    /// How long each login from a new network took.
    pub newcomers: Times,
    /// How many of those who read were cut off.
    pub lost: usize,
    /// How many logins failed.
    pub refused: usize,
}

/// Watches for so long what they notice of what is done meanwhile. Fails if the two who write to
/// each other are cut off.
pub async fn watch(
    field: &Field,
    rate: f64,
    length: Duration,
    meanwhile: impl Future<Output = ()>,
) -> Result<Noticed, Failed> {
    let pair = log_in(&field.entrance, PAIR, 0..1).await?;
    let mut readers = JoinSet::new();
    for client in log_in(&field.entrance, READERS, 0..1).await? {
        readers.spawn(read(client));
    }
    let mut noticed = Noticed::default();
    let mut attack = pin!(async {
        tokio::time::sleep(WARM).await;
        meanwhile.await;
        std::future::pending::<()>().await
    });
    let messages = {
        let mut messages = pin!(latency::measure(pair, rate, WARM, length));
        let mut guest = pin!(come_and_go(&field.entrance, &mut noticed));
        tokio::select! {
            messages = &mut messages => messages?,
            () = &mut attack => Times::default(),
            () = &mut guest => Times::default(),
        }
    };
    while readers.try_join_next().is_some() {
        noticed.lost += 1;
    }
    Ok(Noticed { messages, ..noticed })
}

/// Says that they are there, and reads whatever comes.
async fn read(mut client: Client) -> Result<(), Failed> {
    client.socket.write_all(b"<presence/>").await?;
    client.socket.flush().await?;
    let mut buffer = vec![0; 16 << 10];
    while client.socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Logs in and goes, from home and from a new network in turn, for ever.
async fn come_and_go(home: &Entrance, noticed: &mut Noticed) {
    for n in 0_u16.. {
        let [high, low] = n.to_be_bytes();
        let elsewhere = home.from([127, 10 + high, low, 1]);
        for (entrance, is_home) in [(home, true), (&*elsewhere, false)] {
            let begun = Instant::now();
            let login = Client::log_in(entrance, GUEST, usize::from(n));
            match tokio::time::timeout(PATIENCE, login).await {
                Ok(Ok(_)) if is_home => noticed.logins.push(begun.elapsed()),
                Ok(Ok(_)) => noticed.newcomers.push(begun.elapsed()),
                _ => noticed.refused += 1,
            }
            tokio::time::sleep(PACE).await;
        }
    }
}
