//! Row 50: two who log in again and again, each time with as much presence as a session may send at
//! once.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::field::{ATTACKERS, Field};
use crate::Failed;
use crate::load::client::Client;

/// How many of them.
const ACCOUNTS: usize = 2;
/// Presences of one login: what a session could once send at once.
const AT_ONCE: usize = 30;

/// Does it.
pub async fn run(field: &Field) {
    let said = format!("<presence><status>{}</status></presence>", "x".repeat(1_000));
    let said = said.repeat(AT_ONCE) + "</stream:stream>";
    let one = |account| again(field, account, &said);
    tokio::join!(one(ATTACKERS.start), one(ATTACKERS.start + ACCOUNTS - 1));
}

async fn again(field: &Field, account: usize, said: &str) {
    loop {
        // Whoever is refused tries again at once, as nobody should.
        if come_and_go(field, account, said).await.is_ok() {
            field.did();
        }
        tokio::task::yield_now().await;
    }
}

async fn come_and_go(field: &Field, account: usize, said: &str) -> Result<(), Failed> {
    let mut client = Client::log_in(&field.entrance, account, 0).await?;
    client.socket.write_all(said.as_bytes()).await?;
    client.socket.flush().await?;
    // The server closes after it has handled all of it, or when it has had enough.
    let mut heard = vec![0; 16 << 10];
    while client.socket.read(&mut heard).await? > 0 {}
    Ok(())
}
