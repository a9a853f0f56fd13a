//! `whoelse room list|show|add|grant|destroy`: looks after the rooms of a running server, whoever owns
//! them (docs/operating.md).

use whoelse_client::admin::rooms::{self, Room};

use super::{Fault, ask, say, show_room, socket};
use crate::cli::{self, RoomAction, Running};
use crate::commands;
use crate::say::text;

/// Runs the command.
pub async fn run(options: cli::Room) -> Result<(), Fault> {
    let running = &options.running;
    match options.action {
        RoomAction::List { json } => list(running, json).await,
        RoomAction::Show { name, json } => {
            let (shown, domain) = socket::with(running, None, async |link| {
                let shown = rooms::show(link, &name).await?;
                Ok((shown, link.me().domain().to_owned()))
            })
            .await?;
            match json {
                true => say(show_room::object(&shown)),
                false => say(show_room::page(&shown, &domain)),
            }
        }
        RoomAction::Add { name, owner } => {
            let said = socket::with(running, None, async |link| {
                let owner = commands::address(&owner, link.me().domain())?;
                Ok(rooms::add(link, &name, &owner).await?)
            });
            say(text::line(&said.await?))
        }
        RoomAction::Grant { name, user, affiliation } => {
            let said = socket::with(running, None, async |link| {
                let who = commands::address(&user, link.me().domain())?;
                Ok(rooms::grant(link, &name, &who, affiliation.word()).await?)
            });
            say(text::line(&said.await?))
        }
        RoomAction::Destroy { name, reason, to, yes } => {
            socket::check(running).await?;
            let question =
                format!("Destroy the room {} and everything said in it?", text::line(&name));
            ask::confirm(yes, question, "nothing was destroyed").await?;
            let said = socket::with(running, None, async |link| {
                Ok(rooms::destroy(link, &name, reason.as_deref(), to.as_deref()).await?)
            });
            say(text::line(&said.await?))
        }
    }
}

/// Prints the list page by page, as it comes: there may be very many rooms.
async fn list(running: &Running, json: bool) -> Result<(), Fault> {
    let mut printed: Result<bool, Fault> = Ok(false);
    let listed = socket::with(running, None, async |link| {
        let domain = link.me().domain().to_owned();
        let take = |page: Vec<Room>| {
            let is_first = matches!(printed, Ok(false));
            let told = match json {
                true => page.iter().map(show_room::listed).try_for_each(say),
                false => say(show_room::table(&page, &domain, is_first)),
            };
            printed = told.map(|()| true);
            printed.is_ok()
        };
        Ok(rooms::list(link, take).await?)
    });
    listed.await?;
    match printed? || json {
        true => Ok(()),
        false => say("there are no rooms; `whoelse room add NAME --owner USER` makes one"),
    }
}
