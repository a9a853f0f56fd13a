//! `whoelse announce TEXT`: the server itself tells everybody who is online something.

use whoelse_client::admin;

use super::{Fault, say, socket};
use crate::cli;
use crate::commands::message::check_text;
use crate::terminal::text;

/// Tells them.
pub async fn run(options: cli::Announce) -> Result<(), Fault> {
    let words = options.text.join(" ");
    check_text(&words)?;
    let said =
        socket::with(&options.running, None, async |link| Ok(admin::announce(link, &words).await?));
    say(text::line(&said.await?))
}
