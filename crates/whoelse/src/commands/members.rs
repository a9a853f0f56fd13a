//! `members ROOM`: who is in a room, what they are there, and who belongs to it and is not there.

use whoelse_client::rooms::{Affiliation, Occupant, govern};

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "members",
    usage: "members ROOM",
    help: "List who is in ROOM and what they are there, and who belongs to it.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let room = args.word()?;
    args.end()?;
    let room = seat.room(room).await?;
    let view = seat.view(&room).await?;
    let me = Occupant { who: seat.client.me().map(|me| me.to_bare()), ..view.me };
    let is_here =
        |who: &whoelse_xmpp::BareJid| view.others.iter().any(|it| it.who.as_ref() == Some(who));
    let mut away = Vec::new();
    for list in [Affiliation::Owner, Affiliation::Admin, Affiliation::Member, Affiliation::Outcast]
    {
        // Who may not read a list is shown nothing of it.
        let listed = govern::list(seat.client, &room, list).await.unwrap_or_default();
        let others = listed.into_iter().filter(|it| Some(&it.who) != me.who.as_ref());
        away.extend(others.filter(|it| !is_here(&it.who)));
    }
    let mut others = view.others.clone();
    others.sort_by(|a, b| (b.affiliation, b.role, &a.nick).cmp(&(a.affiliation, a.role, &b.nick)));
    Ok(Answer::Members { room: view.room, me, others, away })
}
