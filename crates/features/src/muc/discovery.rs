//! XEP-0045, 6 and 7.12: what the service, a room and an occupant say of themselves.

use whoelse_core::Node;
use whoelse_core::kit::{Answer, BoxFuture, Cx, Reply};
use whoelse_store::RoomPage;
use whoelse_xmpp::payload::xmpp_parsers::disco::DiscoItemsQuery;
use whoelse_xmpp::payload::xmpp_parsers::rsm::SetQuery;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::archive;
use super::asked::Asked;
use super::config::Config;
use super::logged::is_logged;
use super::photos::Photos;
use super::room::Room;
use super::{readable, rooms};
use crate::form::begun;

/// The namespaces of the service, besides those of discovery.
pub(super) fn features(_: &Node) -> Vec<&'static str> {
    vec![ns::MUC, ns::MUC_STABLE_ID, ns::RSM, ns::VCARD]
}

/// The most rooms in one page of the list.
const MOST: u32 = 100;
/// The most rooms that are counted for the total that goes with a page.
const COUNTED: u32 = 10_000;
/// 7.12: the node under which somebody asks for their own nickname.
const OWN_NICKNAME: &str = "x-roomuser-item";

/// 6.3: lists the rooms that strangers find, in pages (XEP-0059).
pub(super) fn of_service(cx: Cx, query: DiscoItemsQuery) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        if query.node.is_some() {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        let asked = query.rsm;
        let (page, most) = paging(&cx.node, asked.as_ref())?;
        let domain = cx.node.domain().id;
        let address = cx.node.service_address(super::KEY);
        let address = address.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
        let (node, store) = (&cx.node, &cx.node.store);
        let reading = async {
            let listed = node.piece(store.listed_rooms(domain, &page, most)).await;
            (listed, node.piece(store.count_listed_rooms(domain, COUNTED)).await)
        };
        let (listed, count) = cx.in_reading_turn(reading).await;
        let listed = readable(&cx.node, &address, listed)?;
        let count = readable(&cx.node, &address, count)?;
        let mut answer = Element::new("query").xmlns(ns::DISCO_ITEMS);
        let jid = |name: &str| format!("{name}@{}", address.domain());
        for (name, title) in &listed {
            let title = Some(title.as_str()).filter(|title| !title.is_empty()).unwrap_or(name);
            answer = answer.child(Element::new("item").attr("jid", &jid(name)).attr("name", title));
        }
        if asked.is_some() || count > MOST {
            let mut set = Element::new("set").xmlns(ns::RSM);
            if let (Some((first, _)), Some((last, _))) = (listed.first(), listed.last()) {
                set = set.text_child("first", &jid(first)).text_child("last", &jid(last));
            }
            if count < COUNTED {
                set = set.text_child("count", &count.to_string());
            }
            answer = answer.child(set);
        }
        Ok(Reply::encoded(answer.finish()))
    })
}

/// XEP-0059: which page is asked for: after or before the address of a room.
fn paging(node: &Node, asked: Option<&SetQuery>) -> Result<(RoomPage, u32), StanzaError> {
    let Some(asked) = asked else { return Ok((RoomPage::After(String::new()), MOST)) };
    if asked.index.is_some() {
        // XEP-0059, 2.6: pages by number are not offered.
        return Err(StanzaError::new(Condition::FeatureNotImplemented));
    }
    let name = |id: &str| {
        let jid = whoelse_xmpp::BareJid::parse(id).ok();
        let name = jid.as_ref().and_then(|jid| jid.local().map(str::to_owned));
        let is_here = |name: &String| rooms::address_of(node, name) == jid;
        name.filter(is_here).ok_or_else(|| StanzaError::new(Condition::ItemNotFound))
    };
    let page = match (&asked.after, &asked.before) {
        (Some(after), _) => RoomPage::After(name(after)?),
        (None, Some(before)) if before.is_empty() => RoomPage::Last,
        (None, Some(before)) => RoomPage::Before(name(before)?),
        (None, None) => RoomPage::After(String::new()),
    };
    let most = asked.max.map_or(MOST, |most| u32::try_from(most).unwrap_or(MOST).min(MOST));
    Ok((page, most))
}

/// 6.4: what a room is, and how one enters it: that is no secret to who knows its address. What it is
/// about and who is in it are, but for those who are in it or belong to it, and of public rooms.
pub(super) fn info(asked: &Asked) -> Answer {
    let node = asked.stanza.child_attr(&asked.payload, "node").filter(|node| !node.is_empty());
    match node.as_deref() {
        None => {}
        Some(OWN_NICKNAME) => return own_nickname(asked),
        Some(_) => return Err(StanzaError::new(Condition::ItemNotFound)),
    }
    let answer = asked.live.look(|room| {
        if room.locked && !room.affiliation(&asked.who).governs() {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        let tells = Tells {
            is_told: room.is_told(asked),
            is_shown: room.shows_to(asked).is_ok(),
            is_logged: is_logged(&asked.node, &room.config),
        };
        Ok(of_room(room, tells))
    })?;
    let answer = answer.finish();
    asked.pay(answer.len() as u64);
    Ok(Reply::encoded(answer))
}

impl Room {
    /// Whether somebody is told what the room is about, and who is in it.
    fn is_told(&self, asked: &Asked) -> bool {
        self.config.public || self.has(&asked.from) || self.affiliation(&asked.who).belongs()
    }
}

/// What somebody is told of a room.
#[derive(Clone, Copy)]
struct Tells {
    /// What it is about, and who is in it.
    is_told: bool,
    /// Which photos it shows.
    is_shown: bool,
    /// Whether it has an archive.
    is_logged: bool,
}

fn of_room(room: &Room, Tells { is_told, is_shown, is_logged }: Tells) -> Element {
    let name = room.address.local().unwrap_or_default();
    let name = Some(room.config.name.as_str()).filter(|it| !it.is_empty()).unwrap_or(name);
    let identity = Element::new("identity")
        .attr("category", "conference")
        .attr("type", "text")
        .attr("name", name);
    let answer = Element::new("query").xmlns(ns::DISCO_INFO).child(identity);
    let announced = [
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::MUC,
        ns::MUC_SELF_PING,
        ns::MUC_STABLE_ID,
        ns::OCCUPANT_ID,
        ns::VCARD,
    ];
    let archived = archive::FEATURES.into_iter().filter(|_| is_logged);
    let registers = room.config.takes_registrations().then_some(ns::REGISTER);
    let features =
        announced.into_iter().chain(archived).chain(registers).chain(kinds(&room.config));
    let answer =
        features.fold(answer, |answer, it| answer.child(Element::new("feature").attr("var", it)));
    answer.child(form(room, is_told, is_shown))
}

/// 15.3: what kind of room it is.
fn kinds(config: &Config) -> [&'static str; 6] {
    let which = |is, yes, no| if is { yes } else { no };
    [
        which(config.members_only, "muc_membersonly", "muc_open"),
        which(config.moderated, "muc_moderated", "muc_unmoderated"),
        which(config.is_non_anonymous(), "muc_nonanonymous", "muc_semianonymous"),
        which(config.password.is_empty(), "muc_unsecured", "muc_passwordprotected"),
        which(config.persistent, "muc_persistent", "muc_temporary"),
        which(config.public, "muc_public", "muc_hidden"),
    ]
}

/// 15.5.4: more about it.
fn form(room: &Room, is_told: bool, is_shown: bool) -> Element {
    let field =
        |var: &str, value: &str| Element::new("field").attr("var", var).text_child("value", value);
    let config = &room.config;
    let mut form = begun("result", None, Some(ns::MUC_INFO))
        .child(field("muc#maxhistoryfetch", &config.history.to_string()))
        .child(field(
            "muc#roomconfig_changesubject",
            if config.change_subject { "1" } else { "0" },
        ));
    if is_shown {
        form = photos(room).fold(form, Element::child);
    }
    if !is_told {
        return form;
    }
    for (var, value) in
        [("muc#roominfo_description", &config.description), ("muc#roominfo_lang", &config.language)]
    {
        if !value.is_empty() {
            form = form.child(field(var, value));
        }
    }
    if let Some(subject) = room.subject.as_ref().and_then(|subject| subject.text()) {
        form = form.child(field("muc#roominfo_subject", &subject));
    }
    form.child(field("muc#roominfo_occupants", &room.count().to_string()))
}

/// XEP-0486, 3.2: the hashes of the photos that the room shows.
fn photos(room: &Room) -> impl Iterator<Item = Element> {
    let Photos(hashes) = &room.photos;
    // COMPAT: clients that know the name which the field had before the XEP did.
    const BEFORE: &str = "{http://modules.prosody.im/mod_vcard_muc}avatar#sha1";
    let field = |var: &str, hashes: &[String]| {
        let field = Element::new("field").attr("var", var);
        hashes.iter().fold(field, |field, hash| field.text_child("value", hash))
    };
    let first = hashes.first().map(std::slice::from_ref);
    let all = (!hashes.is_empty()).then(|| field("muc#roominfo_avatarhash", hashes));
    all.into_iter().chain(first.map(|first| field(BEFORE, first)))
}

/// 6.5: who is in a room, for those who are, and those who belong to it.
pub(super) fn items(asked: &Asked) -> Answer {
    if asked.stanza.child_attr(&asked.payload, "node").is_some_and(|node| !node.is_empty()) {
        return Err(StanzaError::new(Condition::ItemNotFound));
    }
    let answer = asked.live.look(|room| {
        let answer = Element::new("query").xmlns(ns::DISCO_ITEMS);
        if !room.has(&asked.from) && !room.affiliation(&asked.who).belongs() {
            return answer;
        }
        let told = room.occupants.values().filter(|it| room.config.tells_of(it.standing.role));
        told.fold(answer, |answer, occupant| {
            answer.child(Element::new("item").attr("jid", &room.address_of(&occupant.nick)))
        })
    });
    let answer = answer.finish();
    asked.pay(answer.len() as u64);
    Ok(Reply::encoded(answer))
}

/// 7.12: the nickname that is kept for whoever asks.
fn own_nickname(asked: &Asked) -> Answer {
    let nick = asked.live.look(|room| room.kept_nick(&asked.who).map(str::to_owned));
    let answer = Element::new("query").xmlns(ns::DISCO_INFO).attr("node", OWN_NICKNAME);
    let answer = nick.iter().fold(answer, |answer, nick| {
        let identity = Element::new("identity")
            .attr("category", "conference")
            .attr("type", "text")
            .attr("name", nick);
        answer.child(identity)
    });
    Ok(Reply::encoded(answer.finish()))
}
