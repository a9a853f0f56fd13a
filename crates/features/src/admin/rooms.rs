//! Ours: lists rooms, shows one, makes, and destroys them, and says who is what in one, whoever owns it.

use whoelse_core::kit::SessionCx;
use whoelse_core::kit::command::{Command, CommandDone, Field, FieldKind, Right, Table, Values};
use whoelse_xmpp::StanzaError;

use super::{ACCOUNT, account, address, after, stamp, yes_or_no};
use crate::muc::operate::{self, Listed, Person, Shown};

const ROOM: Field =
    Field { var: "room", label: "The room", kind: FieldKind::TextSingle, required: true };
const AFTER: Field = after("Only what follows this one");
const AFFILIATION: Field = Field {
    var: "affiliation",
    label: "What they are in it",
    kind: FieldKind::ListSingle(&[
        ("Nothing", "none"),
        ("Put out", "outcast"),
        ("A member", "member"),
        ("An admin", "admin"),
        ("An owner", "owner"),
    ]),
    required: true,
};
const REASON: Field =
    Field { var: "reason", label: "Why", kind: FieldKind::TextSingle, required: false };
const VENUE: Field = Field {
    var: "venue",
    label: "Which room instead",
    kind: FieldKind::TextSingle,
    required: false,
};

/// The most rooms in one answer; the next page is asked for with the last name in `after`.
const PAGE: u32 = 200;
/// The most people in one answer, likewise with `affiliation WHO` or `occupant WHO`.
const PEOPLE: usize = 500;

pub(super) const LIST: Command = Command {
    node: "urn:whoelse:commands:0#list-rooms",
    name: "List the rooms",
    right: Right::Look,
    fields: &[AFTER],
    run: |cx, values| Box::pin(list(cx, values)),
};

async fn list(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let after = values.get(AFTER.var).unwrap_or_default();
    let rooms = operate::list(&cx.node, after, PAGE).await?;
    let table = Table {
        columns: &[
            ("room", "Room"),
            ("title", "Name"),
            ("occupants", "Occupants"),
            ("owner", "An owner"),
            ("public", "Strangers find it"),
            ("persistent", "Stays"),
            ("bytes", "Bytes in its archive"),
        ],
        rows: rooms.into_iter().map(row).collect(),
    };
    Ok(CommandDone { table: Some(table), ..CommandDone::default() })
}

fn row(room: Listed) -> Vec<String> {
    vec![
        room.address.to_string(),
        room.summary.title,
        room.occupants.to_string(),
        room.owner.unwrap_or_default(),
        yes_or_no(room.summary.listed),
        yes_or_no(room.summary.persistent),
        room.summary.bytes.to_string(),
    ]
}

pub(super) const SHOW: Command = Command {
    node: "urn:whoelse:commands:0#show-room",
    name: "Show a room",
    right: Right::Look,
    fields: &[ROOM, AFTER],
    run: |cx, values| Box::pin(show(cx, values)),
};

async fn show(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let room = operate::address(&cx.node, values.need(ROOM.var)?)?;
    let after = values.get(AFTER.var).unwrap_or_default();
    let Shown { address, config, locked, people } =
        operate::show(&cx.node, &room, after, PEOPLE).await?;
    let config = config.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let table = Table {
        columns: &[
            ("kind", "Affiliation or occupant"),
            ("who", "Who"),
            ("what", "Affiliation or role"),
            ("nickname", "Nickname"),
            ("since", "Since"),
        ],
        rows: people.into_iter().map(person).collect(),
    };
    let fields = vec![
        ("room", FieldKind::JidSingle, vec![address.to_string()]),
        ("locked", FieldKind::TextSingle, vec![yes_or_no(locked)]),
        ("configuration", FieldKind::TextMulti, config),
    ];
    Ok(CommandDone { fields, table: Some(table), ..CommandDone::default() })
}

fn person(person: Person) -> Vec<String> {
    vec![
        person.kind().to_owned(),
        person.who,
        person.what.to_owned(),
        person.nick.unwrap_or_default(),
        person.since.map(stamp).unwrap_or_default(),
    ]
}

pub(super) const ADD: Command = Command {
    node: "urn:whoelse:commands:0#add-room",
    name: "Make a room",
    right: Right::Change,
    fields: &[ROOM, ACCOUNT],
    run: |cx, values| Box::pin(add(cx, values)),
};

async fn add(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let room = operate::address(&cx.node, values.need(ROOM.var)?)?;
    let owner = account(&cx, &values, ACCOUNT.var).await?;
    operate::add(&cx.node, &room, &owner).await?;
    Ok(CommandDone::info(format!("{room} is made, and {} owns it", owner.name())))
}

pub(super) const GRANT: Command = Command {
    node: "urn:whoelse:commands:0#grant-in-room",
    name: "Say who is what in a room",
    right: Right::Change,
    fields: &[ROOM, ACCOUNT, AFFILIATION],
    run: |cx, values| Box::pin(grant(cx, values)),
};

async fn grant(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let room = operate::address(&cx.node, values.need(ROOM.var)?)?;
    let to = values.need(AFFILIATION.var)?;
    // A name that nobody has can be taken out of the lists, or kept out.
    let who = match to {
        "none" | "outcast" => address(&cx, &values, ACCOUNT.var)?,
        _ => account(&cx, &values, ACCOUNT.var).await?.jid().clone(),
    };
    operate::grant(&cx.node, &room, &who, to).await?;
    let (who, room) = (who.local().unwrap_or_default(), room.local().unwrap_or_default());
    Ok(CommandDone::info(match to {
        "none" => format!("{who} is nothing in {room}"),
        "outcast" => format!("{who} is put out of {room}"),
        "member" => format!("{who} is a member of {room}"),
        "admin" => format!("{who} is an admin of {room}"),
        _ => format!("{who} owns {room}"),
    }))
}

pub(super) const DESTROY: Command = Command {
    node: "urn:whoelse:commands:0#destroy-room",
    name: "Destroy a room",
    right: Right::Change,
    fields: &[ROOM, REASON, VENUE],
    run: |cx, values| Box::pin(destroy(cx, values)),
};

async fn destroy(cx: SessionCx, values: Values) -> Result<CommandDone, StanzaError> {
    let cx = cx.admin()?;
    let room = operate::address(&cx.node, values.need(ROOM.var)?)?;
    let (reason, venue) = (values.get(REASON.var), values.get(VENUE.var));
    operate::destroy(&cx.node, &room, reason, venue).await?;
    Ok(CommandDone::info(format!("{} is destroyed", room.local().unwrap_or_default())))
}
