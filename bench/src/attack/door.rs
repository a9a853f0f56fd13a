//! Row 57: connections that say nothing, from many networks, until there is no place left; whoever
//! is put out comes again.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::field::Field;

/// How many networks, each of which has what one may have half open.
const NETWORKS: u16 = 500;
const OF_EACH: u8 = 20;
/// The time between two connections of one network when it begins.
const PACE: Duration = Duration::from_millis(60);
/// How long whoever is put out stays away.
const AGAIN: Duration = Duration::from_secs(1);

/// Does it.
pub async fn run(field: &Arc<Field>) {
    let mut silent = JoinSet::<()>::new();
    for network in 0..NETWORKS {
        let [high, low] = network.to_be_bytes();
        for one in 0..OF_EACH {
            let field = field.clone();
            silent.spawn(async move {
                let home = field.entrance.from([127, 100 + high, low, 1 + one]);
                tokio::time::sleep(PACE * u32::from(one)).await;
                loop {
                    field.did();
                    if let Ok(mut socket) = home.connect().await {
                        let _ = socket.read(&mut [0; 64]).await;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
    }
    silent.join_all().await;
}
