//! Users write to each other in pairs, with so many messages in flight each.
//!
//! Pairs, because in a larger circle messages bunch up and become cheaper than in practice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::client::Client;
use super::message;
use crate::Failed;

/// What a message ends with, whoever wrote it down.
const END: &[u8] = b"</message>";
/// What asks for an acknowledgement, with or without a namespace.
const REQUEST: &[u8] = b"<r ";
/// Read at once: more than all that is in flight.
const BUFFER: usize = 64 << 10;

/// Begins to write to and fro. It ends when the tasks are dropped; a task that ends by itself has
/// failed. `managed`: what comes is acknowledged when that is asked for (XEP-0198).
pub fn begin(
    clients: Vec<Client>,
    window: usize,
    managed: bool,
    received: &Arc<AtomicU64>,
) -> JoinSet<Result<(), Failed>> {
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(write_and_read(client, window, managed, received.clone()));
    }
    tasks
}

/// One message is written for each that comes.
async fn write_and_read(
    mut client: Client,
    window: usize,
    managed: bool,
    received: Arc<AtomicU64>,
) -> Result<(), Failed> {
    let one = message(client.framing, client.account ^ 1, client.account as u64);
    let many = one.repeat(window);
    let finder = memmem::Finder::new(END);
    let mut buffer = vec![0; BUFFER];
    // What was left over of the last read: the beginning of an end.
    let (mut kept, mut looked_at, mut due, mut all) = (0, false, window, 0);
    let mut acknowledge = false;
    loop {
        if acknowledge {
            let a = format!("<a xmlns='urn:xmpp:sm:3' h='{all}'/>");
            client.socket.write_all(&client.framing.frame(&a)).await?;
        }
        if due > 0 {
            let bytes = many.get(..one.len() * due.min(window)).unwrap_or_default();
            client.socket.write_all(bytes).await?;
        }
        client.socket.flush().await?;
        let read = client.socket.read(buffer.get_mut(kept..).unwrap_or_default()).await?;
        if read == 0 {
            return Err("the server has closed the connection".into());
        }
        let seen = buffer.get(..kept + read).unwrap_or_default();
        if !looked_at && memmem::find(seen, b"type='error'").is_some() {
            return Err(format!("refused: {}", String::from_utf8_lossy(seen)).into());
        }
        (due, kept) = (0, seen.len().min(END.len() - 1));
        for end in finder.find_iter(seen) {
            due += 1;
            kept = kept.min(seen.len() - end - END.len());
        }
        looked_at |= due > 0;
        all += due;
        acknowledge = managed && memmem::find(seen, REQUEST).is_some();
        let rest = seen.len() - kept;
        buffer.copy_within(rest..rest + kept, 0);
        received.fetch_add(due as u64, Ordering::Relaxed);
    }
}
