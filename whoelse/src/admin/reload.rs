//! `whoelse reload`: a running server reads its configuration again, and says what has changed.

use whoelse_client::admin;

use super::{Fault, say, socket};
use crate::cli::Running;
use crate::terminal::text;

/// Does what was asked for.
pub async fn run(running: Running) -> Result<(), Fault> {
    let mut link = socket::open(&running, None).await?;
    let done = admin::reload(&mut link).await;
    link.close().await;
    for line in done?.lines() {
        say(text::line(line))?;
    }
    Ok(())
}
