//! `whoelse clock`: tells whether a running server trusts its clock; an operator can vouch for it.

use whoelse_client::admin;

use super::{Fault, say, socket};
use crate::cli::{Clock, ClockAction};
use crate::say::text;

/// Runs the command.
pub async fn run(options: Clock) -> Result<(), Fault> {
    let trust = matches!(options.action, Some(ClockAction::Trust));
    let mut link = socket::open(&options.running, None).await?;
    let stands = admin::clock(&mut link, trust).await;
    link.close().await;
    say(text::line(&stands?.words))
}
