//! Row 52: an account with a large archive is removed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::field::{ATTACKERS, Field};
use crate::Failed;
use crate::load::client::Client;

const REMOVE: &str =
    "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>";

/// Does it, once.
pub async fn run(field: &Field) {
    match remove(field).await {
        Ok(()) => field.did(),
        Err(error) => eprintln!("not removed: {error}"),
    }
}

async fn remove(field: &Field) -> Result<(), Failed> {
    let mut going = Client::log_in(&field.entrance, ATTACKERS.start, 0).await?;
    going.socket.write_all(REMOVE.as_bytes()).await?;
    going.socket.flush().await?;
    // The server says goodbye at once.
    let mut heard = Vec::new();
    going.socket.read_to_end(&mut heard).await?;
    match memchr::memmem::find(&heard, b"type='result'") {
        Some(_) => Ok(()),
        None => Err(String::from_utf8_lossy(&heard).into()),
    }
}
