//! `whoelse announce TEXT`: sends a message from the server itself to everybody who is online.

use whoelse_client::admin;

use super::{Fault, say, send, socket};
use crate::cli;
use crate::say::text;

/// Sends it.
pub async fn run(options: cli::Announce) -> Result<(), Fault> {
    let words = send::text(&options.text).await?;
    let said =
        socket::with(&options.running, None, async |link| Ok(admin::announce(link, &words).await?));
    say(text::line(&said.await?))
}
