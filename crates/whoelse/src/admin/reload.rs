//! `whoelse reload`: a running server reads its configuration again, and says what has changed.

use whoelse_client::admin;

use super::{Fault, say, socket};
use crate::cli::Running;
use crate::say::text;

/// Runs the command.
pub async fn run(running: Running) -> Result<(), Fault> {
    let done = socket::with(&running, None, async |link| Ok(admin::reload(link).await?)).await?;
    done.lines().try_for_each(|line| say(text::line(line)))
}
