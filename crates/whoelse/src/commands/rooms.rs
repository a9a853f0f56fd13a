//! `rooms`: the rooms in which I am, those that are noted, and those that everybody finds.

use std::collections::BTreeMap;

use whoelse_client::rooms::{RoomName, bookmark, service};
use whoelse_xmpp::BareJid;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "rooms",
    usage: "rooms",
    help: "List the rooms you are in, those you have joined before, and those everybody finds.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

/// A room in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub room: RoomName,
    /// My nickname and how many others are there, if I am in it.
    pub there: Option<(String, usize)>,
    /// What it is about, if I am in it; empty: nothing.
    pub topic: String,
    /// Whether it is entered at every login.
    pub is_noted: bool,
    /// Whether everybody finds it.
    pub is_listed: bool,
}

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    let mut all = ByName::new();
    for view in seat.rooms.views().await.into_iter().filter(|view| !view.is_entering) {
        let entry = at(seat, &mut all, view.room.address);
        entry.there = Some((view.me.nick, view.others.len()));
        entry.topic = view.topic;
    }
    let noted = bookmark::all(seat.client).await.map_err(|why| Fault::of(why, None))?;
    for bookmark in noted.into_iter().filter(|it| it.autojoin) {
        at(seat, &mut all, bookmark.room).is_noted = true;
    }
    let service = seat.rooms.service().await.map_err(|why| Fault::of(why, None))?;
    if let Some(service) = service {
        let listed = service::listed(seat.client, &service).await;
        for listed in listed.map_err(|why| Fault::of(why, None))? {
            at(seat, &mut all, listed.room).is_listed = true;
        }
    }
    Ok(Answer::Rooms(all.into_values().collect()))
}

/// What there is, in the order of names: an address has a letter after its name, which sorts otherwise.
type ByName = BTreeMap<(Option<String>, String), Entry>;

fn at<'a>(seat: &Seat<'_>, all: &'a mut ByName, room: BareJid) -> &'a mut Entry {
    let name = seat.rooms.name(&room);
    let key = (room.local().map(str::to_owned), room.domain().to_owned());
    all.entry(key).or_insert_with(|| Entry {
        room: name,
        there: None,
        topic: String::new(),
        is_noted: false,
        is_listed: false,
    })
}
