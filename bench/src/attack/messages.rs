//! Row 51: four write as fast as the server reads, to one who is absent and to one who reads, what
//! is kept and what is not.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::field::{ABSENT, ATTACKERS, Field, READERS};
use crate::Failed;
use crate::load::client::{Client, name};
use crate::load::log_in;

/// Written at once.
const AT_ONCE: usize = 16;

/// Does it.
pub async fn run(field: &Arc<Field>) {
    let Ok(clients) = log_in(&field.entrance, ATTACKERS.start..ATTACKERS.start + 4, 0..1).await
    else {
        return;
    };
    let mut writing = JoinSet::new();
    for client in clients {
        writing.spawn(write(field.clone(), client));
    }
    writing.join_all().await;
}

async fn write(field: Arc<Field>, client: Client) -> Result<(), Failed> {
    let body = "x".repeat(1_000);
    let kept = format!(
        "<message to='{}@localhost' type='chat'><body>{body}</body></message>",
        name(ABSENT)
    );
    let passing = format!(
        "<message to='{}@localhost' type='headline'><body>{body}</body></message>",
        name(READERS.start)
    );
    let said = (kept + &passing).repeat(AT_ONCE / 2);
    let (mut read, mut write) = tokio::io::split(client.socket);
    let reading = async {
        let mut heard = vec![0; 64 << 10];
        while read.read(&mut heard).await? > 0 {}
        Ok::<_, Failed>(())
    };
    let writing = async {
        loop {
            write.write_all(said.as_bytes()).await?;
            write.flush().await?;
            (0..AT_ONCE).for_each(|_| field.did());
        }
    };
    tokio::select! {
        read = reading => read,
        written = writing => written,
    }
}
