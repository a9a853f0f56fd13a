//! What operators do with rooms (`admin/rooms.rs`): they look at them, make them, say who is what in
//! them, and destroy them, whoever owns them.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::{Node, Time};
use whoelse_store::RoomSummary;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, Jid, StanzaError};

use super::affiliation::Affiliation;
use super::change::{Judged, NewStanding};
use super::config::Config;
use super::limits::Limits;
use super::room::Room;
use super::rooms::{self, Rooms};
use super::{lists, readable};

/// A room in a list.
pub(crate) struct Listed {
    pub address: BareJid,
    /// How many are in it.
    pub occupants: usize,
    /// The address of an owner.
    pub owner: Option<String>,
    /// What the store says.
    pub summary: RoomSummary,
}

/// A room with all that an operator asks about it.
pub(crate) struct Shown {
    pub address: BareJid,
    /// Names and values of its configuration.
    pub config: Vec<(&'static str, String)>,
    /// Whether it waits for its first configuration.
    pub locked: bool,
    /// Those who are something, and then those who are there, each by their address.
    pub people: Vec<Person>,
}

/// Somebody who is something in a room, or in it.
pub(crate) struct Person {
    /// Whether it is somebody who is in it, by one of their devices.
    pub is_here: bool,
    pub who: String,
    /// The affiliation; of who is in it, the role.
    pub what: &'static str,
    /// The nickname, of who is not in it the one that is kept for them.
    pub nick: Option<String>,
    /// Since when they are what they are, of who is not in it.
    pub since: Option<Time>,
}

impl Person {
    /// The word for what kind of row it is.
    pub fn kind(&self) -> &'static str {
        if self.is_here { HERE } else { LISTED }
    }
}

/// The words for who is something in a room, and for who is in it, in the order in which they are shown.
const LISTED: &str = "affiliation";
const HERE: &str = "occupant";

/// Returns the address of a room that is named by itself or by its whole address.
pub(crate) fn address(node: &Node, text: &str) -> Result<BareJid, StanzaError> {
    let shown = text.escape_debug();
    let address = match text.contains('@') {
        true => BareJid::parse(text).ok(),
        false => rooms::address_of(node, text),
    };
    let service = node.service_address(super::KEY).ok_or_else(|| {
        StanzaError::new(Condition::ItemNotFound).with_text("there are no rooms on this server")
    })?;
    let address =
        address.filter(|address| address.local().is_some() && address.domain() == service.domain());
    address.ok_or_else(|| {
        StanzaError::new(Condition::BadRequest).with_text(format!("`{shown}` is not a room's name"))
    })
}

/// Returns at most so many rooms after this name, in the order of their names.
pub(crate) async fn list(node: &Node, after: &str, most: u32) -> Result<Vec<Listed>, StanzaError> {
    let service = node.service_address(super::KEY);
    let Some(service) = service else { return Ok(Vec::new()) };
    let owner = Affiliation::Owner.number();
    let reading = node.store.all_rooms(node.domain().id, after, owner, most);
    let found = node.piece(reading).await;
    let all = Rooms::of(node);
    let rows = readable(node, &service, found)?.into_iter().filter_map(|summary| {
        let address = rooms::address_of(node, &summary.name)?;
        let occupants = all.here(&address).map_or(0, |live| live.look(Room::count));
        let owner = summary.owner.as_deref().map(|key| node.address_of(key, ""));
        Some(Listed { address, occupants, owner, summary })
    });
    Ok(rows.collect())
}

/// Returns all that there is to know about a room, with at most so many people after this one: the word
/// for their kind, a blank, and the address.
pub(crate) async fn show(
    node: &Node,
    address: &BareJid,
    after: &str,
    most: usize,
) -> Result<Shown, StanzaError> {
    let live = Rooms::of(node).need(node, address).await?;
    // The lists are in order already, so no more of them is written than is asked for.
    let after = after.split_once(' ').unwrap_or((after, ""));
    Ok(live.look(|room| {
        let listed = room.lists.iter().filter(|(who, _)| (LISTED, who.as_str()) > after);
        let mut people: Vec<Person> = listed
            .take(most)
            .map(|(who, it)| Person {
                is_here: false,
                who: who.to_string(),
                what: it.affiliation.word(),
                nick: it.nick.clone(),
                since: Some(it.since),
            })
            .collect();
        if people.len() < most {
            let seats = room.occupants.values().flat_map(|occupant| {
                occupant.seats.iter().map(move |sitting| (sitting.seat.jid.as_str(), occupant))
            });
            let mut here: Vec<_> = seats.filter(|(jid, _)| (HERE, *jid) > after).collect();
            here.sort_unstable_by_key(|(jid, _)| *jid);
            here.truncate(most - people.len());
            people.extend(here.into_iter().map(|(jid, occupant)| Person {
                is_here: true,
                who: jid.to_owned(),
                what: occupant.standing.role.word(),
                nick: Some(occupant.nick.clone()),
                since: None,
            }));
        }
        let (config, locked) = (room.config.shown(), room.locked);
        Shown { address: address.clone(), config, locked, people }
    }))
}

/// Makes a room that stays, of which nobody has to configure anything, for an account that owns it.
pub(crate) async fn add(
    node: &Arc<Node>,
    address: &BareJid,
    owner: &Account,
) -> Result<(), StanzaError> {
    let name = owner.name().to_owned();
    let too_many = move |most| {
        StanzaError::new(Condition::ResourceConstraint).with_text(format!(
            "{name} has made {most} rooms that are still there, which are as many as one may \
             (`rooms.made`)"
        ))
    };
    let config = Config { persistent: true, ..Config::BASE };
    let whose = (owner.jid().clone(), owner.id);
    match Rooms::of(node).make(node, address, whose, (Some(config), too_many)).await? {
        true => Ok(()),
        false => {
            let name = address.local().unwrap_or_default();
            Err(StanzaError::new(Condition::Conflict)
                .with_text(format!("there is a room {name} already")))
        }
    }
}

/// Makes somebody something in a room, unless nobody would own it then.
pub(crate) async fn grant(
    node: &Arc<Node>,
    address: &BareJid,
    who: &BareJid,
    to: &str,
) -> Result<(), StanzaError> {
    let to = Affiliation::of(to).ok_or_else(|| {
        let words: Vec<&str> = Affiliation::ALL.iter().map(|it| it.word()).collect();
        StanzaError::new(Condition::BadRequest)
            .with_text(format!("somebody is made one of these: {}", words.join(", ")))
    })?;
    let most = node.settings().of::<Limits>().affiliations;
    let live = Rooms::of(node).need(node, address).await?;
    let who = who.clone();
    lists::change(node, live, 1, move |room| {
        let nick = room.kept_for(&who, to, None, &Judged::default())?;
        let change = NewStanding { who, to, nick, reason: None };
        room.judge_lists(std::slice::from_ref(&change), most)?;
        Ok(Judged::of(vec![change]))
    })
    .await
}

/// Destroys a room, and tells those who are in it why, and where to go instead.
pub(crate) async fn destroy(
    node: &Arc<Node>,
    address: &BareJid,
    reason: Option<&str>,
    to: Option<&str>,
) -> Result<(), StanzaError> {
    let venue = match to {
        Some(text) if text.contains('@') => Jid::parse(text).ok(),
        Some(text) => rooms::address_of(node, text).map(Jid::from),
        None => None,
    };
    if to.is_some() && venue.is_none() {
        let shown = to.unwrap_or_default().escape_debug();
        return Err(StanzaError::new(Condition::BadRequest)
            .with_text(format!("`{shown}` is not a room's name")));
    }
    let word = Element::new("destroy").attr_opt("jid", venue.as_ref().map(Jid::as_str));
    let word = reason.iter().fold(word, |word, why| word.text_child("reason", why));
    let live = Rooms::of(node).need(node, address).await?;
    match live.destroy(node, word, |_| true).await? {
        true => Ok(()),
        false => Err(rooms::no_room(address)),
    }
}
