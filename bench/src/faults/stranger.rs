//! Strangers: they connect and leave, send nonsense, stop half-way, guess passwords.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use whoelse_fuzz::random::Random;

use super::World;
use super::visit::connect;
use crate::Failed;

/// The time between two knocks.
const PACE: Duration = Duration::from_millis(50);

/// Sends strangers until the run is over.
pub async fn knock(world: Arc<World>, seed: u64) -> Result<(), Failed> {
    let mut random = Random::new(seed ^ 0x5eed);
    loop {
        sleep(PACE).await;
        let place = [127, 9, random.below(250) as u8, 1 + random.below(250) as u8];
        let (kind, port) = (random.below(4), world.port);
        world.strangers.fetch_add(1, Ordering::Relaxed);
        // Their errors do not matter.
        tokio::spawn(async move {
            let _ = timeout(Duration::from_secs(60), visit(port, place, kind)).await;
        });
    }
}

async fn visit(port: u16, place: [u8; 4], kind: usize) -> Result<(), Failed> {
    const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut socket = connect(port, place).await?;
    let mut heard = [0; 4096];
    match kind {
        // Goes at once.
        0 => return Ok(()),
        // Speaks something else.
        1 => socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?,
        // Stops half-way, and stays as long as the server allows.
        2 => socket.write_all(HEADER.as_bytes()).await?,
        // Announces TLS, and then sends something else.
        _ => {
            socket.write_all(HEADER.as_bytes()).await?;
            socket.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
            let _ = socket.read(&mut heard).await?;
            socket.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await?;
        }
    }
    while socket.read(&mut heard).await? > 0 {}
    Ok(())
}
