//! XEP-0050 with XEP-0199: the ad-hoc command `ping`, for people whose client has no other way to
//! ask whether the server answers.

use whoelse_core::kit::Feature;
use whoelse_core::kit::command::{Command, CommandDone, Right};

/// The command.
pub const FEATURE: Feature = Feature {
    name: "ping-command",
    xeps: &[],
    disco: &[],
    wire: |w| w.command(&COMMAND),
    ..Feature::PLAIN
};

/// Answers with the time at which the request came.
const COMMAND: Command = Command {
    node: "ping",
    name: "Ping",
    right: Right::Everybody,
    fields: &[],
    run: |cx, _| {
        let done = CommandDone::info(format!("Pong, {}", cx.now.stamp()));
        Box::pin(std::future::ready(Ok(done)))
    },
};
