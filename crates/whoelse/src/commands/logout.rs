//! `logout`: end the session and all private chats, and forget the login if it is remembered; the
//! program stays.

use std::time::Duration;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

/// How long to wait until sent stanzas are acknowledged.
const SETTLE: Duration = Duration::from_secs(1);

pub const COMMAND: TypedCommand = TypedCommand {
    name: "logout",
    usage: "logout",
    help: "Log out, also of this computer, and close all private chats; `login` works.",
    // A private chat may have outlived the session.
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    let any = seat.private.close().await;
    if seat.client.me().is_none() && !any {
        return Err(Fault::not_logged_in());
    }
    // Refusals of what was sent just before still arrive, and what was read is marked.
    let _ = tokio::time::timeout(SETTLE, seat.rooms.settle()).await;
    seat.client.settle(SETTLE).await;
    seat.client.logout().await;
    Ok(Answer::Done)
}
