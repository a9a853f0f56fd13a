//! Rooms in `--json`: their events, and what commands about them answer (docs/scripting.md).

use std::time::SystemTime;

use serde::Serialize;
use whoelse_client::rooms::govern::Affiliated;
use whoelse_client::rooms::{
    Affiliation, Occupant, Role, RoomEvent, RoomName, RoomNews, Speech, Wanted,
};

use super::{Failed, name, time};
use crate::commands::rooms::Entry;
use crate::say::room;

/// An event of a room.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum InRoom {
    RoomEntered {
        room: String,
        nick: String,
        others: Vec<Member>,
        reason: &'static str,
        shows_addresses: bool,
    },
    RoomNotEntered {
        room: String,
        condition: &'static str,
        text: String,
    },
    RoomLeft {
        room: String,
        reason: &'static str,
        by: Option<String>,
        why: Option<String>,
        text: String,
    },
    RoomMessage(SaidInRoom),
    RoomTopic {
        room: String,
        by: Option<String>,
        topic: String,
        at: Option<String>,
    },
    RoomCame {
        room: String,
        nick: String,
        user: Option<String>,
    },
    RoomWent {
        room: String,
        nick: String,
        reason: &'static str,
        by: Option<String>,
        why: Option<String>,
    },
    RoomNick {
        room: String,
        from: String,
        to: String,
        mine: bool,
    },
    RoomStanding {
        room: String,
        nick: String,
        affiliation: &'static str,
        role: &'static str,
        mine: bool,
    },
    RoomAddresses {
        room: String,
        shown: bool,
    },
    RoomInvitation {
        room: String,
        user: Option<String>,
        why: Option<String>,
    },
    RoomDeclined {
        room: String,
        user: String,
        why: Option<String>,
    },
    Sent {
        id: String,
        to: String,
    },
    Acknowledged {
        id: String,
        to: String,
    },
    Failed(Failed),
}

/// Something that was said in a room.
#[derive(Debug, Serialize)]
pub(super) struct SaidInRoom {
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    nick: Option<String>,
    user: Option<String>,
    text: String,
    at: String,
    delayed: bool,
    only_to_me: bool,
    id: Option<String>,
}

/// Somebody in a room, or who belongs to it.
#[derive(Debug, Serialize)]
pub(super) struct Member {
    nick: Option<String>,
    user: Option<String>,
    affiliation: &'static str,
    role: &'static str,
}

/// A room in a list.
#[derive(Debug, Serialize)]
pub(super) struct RoomEntry {
    room: String,
    nick: Option<String>,
    others: Option<usize>,
    topic: Option<String>,
    noted: bool,
    listed: bool,
}

impl InRoom {
    /// Returns the event; `None`: programs are shown everything, and so need not hear of it.
    pub(super) fn of(news: &RoomNews, domain: &str, now: SystemTime) -> Option<InRoom> {
        let room = room::called(&news.room);
        let words = || {
            let words = room::news(news, domain).unwrap_or_default();
            words.trim_start_matches("* ").to_owned()
        };
        Some(match &news.what {
            RoomEvent::Entered { nick, others, why, shows_addresses } => InRoom::RoomEntered {
                room,
                nick: nick.clone(),
                others: others.iter().map(|one| Member::of(one, domain)).collect(),
                reason: entry(*why),
                shows_addresses: *shows_addresses,
            },
            RoomEvent::NotEntered(why) => InRoom::RoomNotEntered {
                condition: room::condition_of_entry(why),
                text: room::not_entered(why, &room),
                room,
            },
            RoomEvent::Left { how, by, reason } => InRoom::RoomLeft {
                room,
                reason: room::reason_of_leaving(how),
                by: by.clone(),
                why: reason.clone(),
                text: words(),
            },
            RoomEvent::More => return None,
            RoomEvent::Said(said) => {
                InRoom::RoomMessage(SaidInRoom::of(said, Some(&news.room), domain, now))
            }
            RoomEvent::Topic { by, text, at } => {
                InRoom::RoomTopic { room, by: by.clone(), topic: text.clone(), at: at.map(time) }
            }
            RoomEvent::Came(who) => InRoom::RoomCame {
                room,
                nick: who.nick.clone(),
                user: who.who.as_ref().map(|who| name(who, domain)),
            },
            RoomEvent::Went { nick, how, by, reason } => InRoom::RoomWent {
                room,
                nick: nick.clone(),
                reason: room::reason_of_leaving(how),
                by: by.clone(),
                why: reason.clone(),
            },
            RoomEvent::Renamed { from, to, is_me } => {
                InRoom::RoomNick { room, from: from.clone(), to: to.clone(), mine: *is_me }
            }
            RoomEvent::Standing { nick, is_me, affiliation, role } => InRoom::RoomStanding {
                room,
                nick: nick.clone(),
                affiliation: affiliation.word(),
                role: role.word(),
                mine: *is_me,
            },
            RoomEvent::ShowsAddresses(shown) => InRoom::RoomAddresses { room, shown: *shown },
            RoomEvent::Invited { by, reason } => InRoom::RoomInvitation {
                room,
                user: by.as_ref().map(|by| name(by, domain)),
                why: reason.clone(),
            },
            RoomEvent::Declined { by, reason } => {
                InRoom::RoomDeclined { room, user: name(by, domain), why: reason.clone() }
            }
            RoomEvent::Sent { id } => InRoom::Sent { id: id.clone(), to: room },
            RoomEvent::Acknowledged { id } => InRoom::Acknowledged { id: id.clone(), to: room },
            RoomEvent::Refused { id, why } => {
                let why = whoelse_client::rooms::NotSaid::Refused(why.clone());
                failed(id, room, room::condition_of_saying(&why), words())
            }
            RoomEvent::NotSent { id } => failed(id, room, "not-sent", words()),
            RoomEvent::Unconfirmed { id } => failed(id, room, "unconfirmed", words()),
        })
    }
}

fn failed(id: &str, room: String, condition: &'static str, text: String) -> InRoom {
    let (id, to) = (Some(id.to_owned()), Some(room));
    InRoom::Failed(Failed { id, to, condition, text, ..Failed::default() })
}

/// The word for why a room was entered.
fn entry(why: Wanted) -> &'static str {
    match why {
        Wanted::Asked => "asked",
        Wanted::Made => "made",
        Wanted::Bookmark => "bookmark",
        Wanted::Elsewhere => "other-device",
        Wanted::Again => "again",
    }
}

impl SaidInRoom {
    pub(super) fn of(
        said: &Speech,
        room: Option<&RoomName>,
        domain: &str,
        now: SystemTime,
    ) -> SaidInRoom {
        SaidInRoom {
            room: room.map(room::called),
            nick: said.nick.clone(),
            user: said.who.as_ref().map(|who| name(who, domain)),
            text: said.text.clone(),
            at: time(said.at.unwrap_or(now)),
            delayed: said.at.is_some(),
            only_to_me: said.is_private,
            id: said.id.clone(),
        }
    }
}

impl Member {
    fn of(one: &Occupant, domain: &str) -> Member {
        Member {
            nick: Some(one.nick.clone()),
            user: one.who.as_ref().map(|who| name(who, domain)),
            affiliation: one.affiliation.word(),
            role: one.role.word(),
        }
    }

    fn away(one: &Affiliated, domain: &str) -> Member {
        let Affiliated { who, affiliation } = one;
        let affiliation: &Affiliation = affiliation;
        Member {
            nick: None,
            user: Some(name(who, domain)),
            affiliation: affiliation.word(),
            role: Role::None.word(),
        }
    }
}

/// Lists who is in a room, me first, and then who belongs to it and is not.
pub(super) fn members(
    me: &Occupant,
    others: &[Occupant],
    away: &[Affiliated],
    domain: &str,
) -> Vec<Member> {
    let here = std::iter::once(me).chain(others).map(|one| Member::of(one, domain));
    here.chain(away.iter().map(|one| Member::away(one, domain))).collect()
}

impl RoomEntry {
    pub(super) fn of(one: &Entry) -> RoomEntry {
        RoomEntry {
            room: room::called(&one.room),
            nick: one.there.as_ref().map(|(nick, _)| nick.clone()),
            others: one.there.as_ref().map(|(_, others)| *others),
            topic: Some(one.topic.clone()).filter(|topic| !topic.is_empty()),
            noted: one.is_noted,
            listed: one.is_listed,
        }
    }
}
