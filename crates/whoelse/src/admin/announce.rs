//! `whoelse announce TEXT`: the server itself tells everybody who is online something.

use whoelse_client::admin;

use super::{Fault, say, send, socket};
use crate::cli;
use crate::say::text;

/// Tells them.
pub async fn run(options: cli::Announce) -> Result<(), Fault> {
    let words = send::text(&options.text).await?;
    let said =
        socket::with(&options.running, None, async |link| Ok(admin::announce(link, &words).await?));
    say(text::line(&said.await?))
}
