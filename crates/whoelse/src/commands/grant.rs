//! `grant USER ROOM WHAT`: what somebody is in a room.

use whoelse_client::rooms::{Affiliation, Role, govern};

use super::rooms_kit::{find, name_and_room, refused};
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room::Deed;
use crate::say::text;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "grant",
    usage: "grant USER ROOM WHAT",
    help: "Make USER none, member, moderator, admin or owner in ROOM.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let (whom, room) = name_and_room(&mut args)?;
    let what = args.word()?;
    args.end()?;
    let affiliation = match what {
        "none" => Affiliation::None,
        "member" => Affiliation::Member,
        "admin" => Affiliation::Admin,
        "owner" => Affiliation::Owner,
        "moderator" => return make_moderator(seat, &whom, &room).await,
        _ => {
            let words = "usage: grant USER ROOM none|member|moderator|admin|owner";
            return Err(Fault::say("usage", words));
        }
    };
    let room = seat.room(&room).await?;
    let (who, shown) = seat.person_in(&whom, &room).await?;
    let name = seat.room_name(&room);
    govern::set_affiliation(seat.client, &room, (&who, affiliation), None).await.map_err(
        |why| {
            let (by, what) = match affiliation {
                Affiliation::Admin | Affiliation::Owner => {
                    ("owners", "say who is an admin or owner")
                }
                _ => ("admins", "say who is a member"),
            };
            refused(&why, Deed { room: &name, by, what, whom: &shown, by_nick: false })
        },
    )?;
    Ok(Answer::Words(match affiliation {
        Affiliation::None => format!("{shown} is nothing in particular in {name} now"),
        _ => format!("{shown} is {} of {name} now", article(affiliation)),
    }))
}

async fn make_moderator(seat: &Seat<'_>, nick: &str, room: &str) -> Result<Answer, Fault> {
    let room = seat.room(room).await?;
    let view = seat.view(&room).await?;
    let (name, shown) = (seat.room_name(&room), text::line(nick));
    let Some(occupant) = find(&view.others, nick) else {
        let words = format!(
            "{shown} is not in {name}, and a moderator is one until they leave; admin stays"
        );
        return Err(Fault::say("not-there", words));
    };
    let to = (occupant.nick.as_str(), Role::Moderator);
    govern::set_role(seat.client, &room, to, None).await.map_err(|why| {
        let (by, what) = ("admins", "say who is a moderator");
        refused(&why, Deed { room: &name, by, what, whom: &shown, by_nick: true })
    })?;
    Ok(Answer::Words(format!("{shown} is a moderator of {name} until they leave")))
}

fn article(affiliation: Affiliation) -> &'static str {
    match affiliation {
        Affiliation::Owner => "an owner",
        Affiliation::Admin => "an admin",
        Affiliation::Member => "a member",
        Affiliation::None | Affiliation::Outcast => "nothing",
    }
}
