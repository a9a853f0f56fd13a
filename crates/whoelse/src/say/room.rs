//! Wording of rooms (docs/behaviour.md): pure functions, safe for a terminal.

use whoelse_client::rooms::{
    Affiliation, Exit, NotEntered, NotSaid, Occupant, Role, RoomEvent, RoomName, RoomNews, Wanted,
};
use whoelse_client::{Refusal, RequestError};
use whoelse_xmpp::{Condition, StanzaError};

use super::{condition, name, text, words};

/// Others in a room who are named one by one; of more their number is said.
const MOST_NAMED: usize = 12;

/// Names a room as people type it: `#lunch` on the own server, else by its whole address.
pub fn called(room: &RoomName) -> String {
    match room.address.local() {
        Some(local) if room.is_local => format!("#{}", text::line(local)),
        _ => text::line(room.address.as_str()),
    }
}

/// Describes an event, if it is to be shown as a sentence; what somebody says is none.
pub fn news(news: &RoomNews, domain: &str) -> Option<String> {
    let room = called(&news.room);
    let said = sentence(&news.what, &room, domain)?;
    Some(format!("* {said}"))
}

fn sentence(what: &RoomEvent, room: &str, domain: &str) -> Option<String> {
    Some(match what {
        // A person on a screen is told of failures, not of successes.
        RoomEvent::Said(_) | RoomEvent::Sent { .. } | RoomEvent::Acknowledged { .. } => {
            return None;
        }
        RoomEvent::Entered { nick, others, why, shows_addresses } => {
            let again = if *why == Wanted::Again { "back in" } else { "in" };
            let (nick, with) = (text::line(nick), with(others));
            let seen = if *shows_addresses { "; all see whose nickname is whose" } else { "" };
            let since = match why {
                Wanted::Elsewhere => ", since another device of yours has joined it",
                _ => "",
            };
            format!("you are {again} {room} as {nick}, {with}{since}{seen}")
        }
        RoomEvent::NotEntered(why) => {
            format!("you are not in {room}: {}", not_entered(why, room))
        }
        RoomEvent::Left { how, by, reason } => left(how, by.as_deref(), reason.as_deref(), room),
        RoomEvent::More => format!("more was said in {room} before: history {room}"),
        RoomEvent::Topic { by, text, at } => topic(by.as_deref(), text, at.is_some(), room),
        RoomEvent::Came(who) => format!("{} is in {room}", text::line(&who.nick)),
        RoomEvent::Went { nick, how, by, reason } => {
            let (nick, why) = (text::line(nick), because(by.as_deref(), reason.as_deref()));
            match how {
                Exit::Kicked => format!("{nick} was put out of {room}{why}"),
                Exit::Banned => format!("{nick} was put out of {room}{why}, and may not come back"),
                Exit::NoMember | Exit::MembersOnly => {
                    format!("{nick} had to leave {room}{why}, which is for members alone")
                }
                _ => format!("{nick} has left {room}{why}"),
            }
        }
        RoomEvent::Renamed { from, to, is_me } => {
            let (from, to) = (text::line(from), text::line(to));
            match is_me {
                true => format!("you are called {to} in {room} now"),
                false => format!("{from} is called {to} in {room} now"),
            }
        }
        RoomEvent::Standing { nick, is_me, affiliation, role } => {
            let what = rank(*affiliation, *role);
            match is_me {
                true => format!("you are {what} in {room} now"),
                false => format!("{} is {what} in {room} now", text::line(nick)),
            }
        }
        RoomEvent::ShowsAddresses(true) => {
            format!("from now on all in {room} see whose nickname is whose")
        }
        RoomEvent::ShowsAddresses(false) => {
            format!("from now on only moderators of {room} see whose nickname is whose")
        }
        RoomEvent::Invited { by, reason } => {
            let by = by.as_ref().map_or("somebody".to_owned(), |by| name::of(by, domain));
            let why = reason.as_deref().map(|why| format!(" ({})", text::line(why)));
            format!("{by} invites you to {room}{}: join {room}", why.unwrap_or_default())
        }
        RoomEvent::Declined { by, reason } => {
            let why = reason.as_deref().map(|why| format!(": {}", text::line(why)));
            format!("{} does not come to {room}{}", name::of(by, domain), why.unwrap_or_default())
        }
        RoomEvent::Refused { why, .. } => not_said(&NotSaid::Refused(why.clone()), room),
        RoomEvent::NotSent { .. } => format!("your message to {room} was not sent"),
        RoomEvent::Unconfirmed { .. } => unconfirmed(room),
    })
}

/// Says that the fate of a message stays unknown.
pub fn unconfirmed(room: &str) -> String {
    format!("nobody knows whether your message arrived in {room}")
}

/// Names who else is in a room.
fn with(others: &[Occupant]) -> String {
    let named = others.iter().take(MOST_NAMED).map(|it| text::line(&it.nick));
    let mut named: Vec<String> = named.collect();
    match others.len().saturating_sub(MOST_NAMED) {
        0 => {}
        more => named.push(format!("{more} more")),
    }
    match named.split_last() {
        None => "and nobody else is there".to_owned(),
        Some((last, [])) => format!("with {last}"),
        Some((last, rest)) => format!("with {} and {last}", rest.join(", ")),
    }
}

/// Says what a room is about.
pub fn topic(by: Option<&str>, topic: &str, is_old: bool, room: &str) -> String {
    let topic = text::line(topic);
    match (by.map(text::line), is_old, topic.is_empty()) {
        (_, true, _) | (None, false, false) => format!("the topic of {room} is: {topic}"),
        (Some(by), false, false) => format!("{by} has set the topic of {room}: {topic}"),
        (_, false, true) => format!("{room} has no topic any more"),
    }
}

/// Says that I am not in a room any more, and what can be done.
fn left(how: &Exit, by: Option<&str>, reason: Option<&str>, room: &str) -> String {
    let why = because(by, reason);
    match how {
        Exit::Asked => format!("you have left {room}"),
        Exit::Elsewhere => format!("you have left {room}, on another device"),
        Exit::Kicked => format!("you were put out of {room}{why}; join {room} brings you back"),
        Exit::Banned => format!(
            "you were put out of {room}{why}, and may not come back; its admins can change that"
        ),
        Exit::NoMember => format!(
            "you are no member of {room} any more{why}, and only members may be there; its admins \
             can change that"
        ),
        Exit::MembersOnly => format!(
            "{room} is for members alone now{why}, and you are none; somebody there can invite you"
        ),
        Exit::Shutdown => {
            format!("{room} goes down with its server{why}; join {room} tries it again")
        }
        Exit::TooSlow { back: true } => {
            format!("{room} has put this device out, since it did not keep up; coming back")
        }
        Exit::TooSlow { back: false } => format!(
            "{room} has put this device out again, since it did not keep up; join {room} tries it \
             again"
        ),
        Exit::Destroyed { venue: None } => format!("{room} is no more{why}"),
        Exit::Destroyed { venue: Some(venue) } => {
            let venue = text::line(venue.as_str());
            format!("{room} is no more{why}; there is another room instead: join {venue}")
        }
    }
}

/// Says who has done something, and why, in brackets.
fn because(by: Option<&str>, reason: Option<&str>) -> String {
    let by = by.map(|by| format!(" by {}", text::line(by)));
    let reason = reason.map(|why| format!(" ({})", text::line(why)));
    format!("{}{}", by.unwrap_or_default(), reason.unwrap_or_default())
}

/// Says what somebody is in a room, with an article.
fn rank(affiliation: Affiliation, role: Role) -> &'static str {
    match (affiliation, role) {
        (Affiliation::Owner, _) => "an owner",
        (Affiliation::Admin, _) => "an admin",
        (_, Role::Moderator) => "a moderator",
        (_, Role::Visitor) => "a visitor, who may not speak,",
        (Affiliation::Member, _) => "a member",
        (Affiliation::None | Affiliation::Outcast, _) => "a participant",
    }
}

/// Says what an occupant is, for a list.
pub fn standing(affiliation: Affiliation, role: Role) -> String {
    match (affiliation, role) {
        (Affiliation::Owner | Affiliation::Admin, Role::Moderator)
        | (Affiliation::Member, Role::Participant) => affiliation.word().to_owned(),
        (Affiliation::None, role) => role.word().to_owned(),
        (affiliation, role) => format!("{}, {}", affiliation.word(), role.word()),
    }
}

/// Says why a room was not entered, and what can be done.
pub fn not_entered(why: &NotEntered, room: &str) -> String {
    match why {
        NotEntered::NoSuchRoom => {
            format!("there is no {room} any more; join {room} makes it, leave {room} forgets it")
        }
        NotEntered::Refused { nick, why } => refused_entry(why, nick, room),
        NotEntered::TimedOut => format!("{room} does not answer; join {room} tries it again"),
        NotEntered::NotLoggedIn => "log in first".to_owned(),
        NotEntered::Left => format!("you have left {room}"),
        NotEntered::TooMany => "you are in too many rooms; leave one first".to_owned(),
        NotEntered::NotSent => "not sent: too many lines wait for the connection".to_owned(),
    }
}

fn refused_entry(why: &StanzaError, nick: &str, room: &str) -> String {
    let nick = text::line(nick);
    match why.condition {
        Condition::Conflict => format!(
            "somebody else is called {nick} in {room}; join {room} NICK enters by another name"
        ),
        Condition::RegistrationRequired => {
            format!("only members may enter {room}; somebody there can invite you")
        }
        Condition::Forbidden => {
            format!("you are banned from {room}; its admins can change that")
        }
        Condition::NotAuthorized => format!("{room} has a password; join {room} asks for it"),
        Condition::ItemNotFound => {
            format!("{room} is not ready yet; whoever makes it has to finish that first")
        }
        Condition::JidMalformed => format!("nobody can be called {nick} in {room}"),
        Condition::ServiceUnavailable => {
            format!("{room} is full; join {room} tries it again later")
        }
        Condition::NotAllowed => "you may not make rooms on this server".to_owned(),
        Condition::RemoteServerNotFound | Condition::RemoteServerTimeout => {
            format!("cannot reach the server of {room}")
        }
        other => match &why.text {
            Some(words) => format!("{room} does not let you in: {}", text::line(words)),
            None => format!("{room} does not let you in: {}", other.name()),
        },
    }
}

/// Says why something was not said in a room.
pub fn not_said(why: &NotSaid, room: &str) -> String {
    match why {
        NotSaid::NotThere => format!("you are not in {room}; join {room} enters it"),
        NotSaid::TooMany => format!("not sent: too much that you have said waits for {room}"),
        NotSaid::NotLoggedIn => "log in first".to_owned(),
        NotSaid::TimedOut => format!("{room} does not answer"),
        NotSaid::ConnectionLost => {
            format!("the connection was lost before {room} answered; try again")
        }
        NotSaid::Refused(why) => match (why.condition, &why.text) {
            (Condition::Forbidden, _) => {
                format!("you have no voice in {room}; its moderators can give you one")
            }
            (Condition::NotAcceptable, _) => not_said(&NotSaid::NotThere, room),
            (_, Some(words)) => format!("not said in {room}: {}", text::line(words)),
            (other, None) => format!("not said in {room}: {}", other.name()),
        },
    }
}

/// What somebody wanted in a room, to say why it was refused.
#[derive(Debug, Clone, Copy)]
pub struct Deed<'a> {
    /// The room, as it is shown.
    pub room: &'a str,
    /// Who may do it: "moderators".
    pub by: &'a str,
    /// What: "put others out".
    pub what: &'a str,
    /// Whom it was about, as shown.
    pub whom: &'a str,
    /// Whether that is a nickname, which nobody may have.
    pub by_nick: bool,
}

/// Says why a request to a room failed, and what can be done.
pub fn deed_refused(why: &RequestError, deed: Deed<'_>) -> String {
    let Deed { room, by, what, whom, by_nick } = deed;
    let RequestError::Refused(error) = why else { return words::request_error(why, None) };
    match (error.condition, &error.text) {
        (Condition::Forbidden | Condition::NotAuthorized, _) => {
            format!("only {by} of {room} may {what}; members {room} lists them")
        }
        (Condition::NotAllowed, _) => format!("{whom} is of a higher rank than you in {room}"),
        (Condition::ItemNotFound, _) if by_nick => {
            format!("nobody is called {whom} in {room}; members {room} lists who is there")
        }
        (Condition::ItemNotFound, _) if is_nobody(error) => format!("there is no user {whom}"),
        (Condition::ItemNotFound, _) => format!("there is no {room}; rooms lists those there are"),
        (_, Some(said)) => format!("{room} refused: {}", text::line(said)),
        _ => words::request_error(why, None),
    }
}

/// Whether a request was about somebody who does not exist.
fn is_nobody(error: &StanzaError) -> bool {
    matches!(Refusal::of(error), Refusal::NoSuchUser)
}

/// Says why somebody was not invited.
/// `governs`: whether I may invite everybody who may come.
pub fn not_invited(why: &NotSaid, room: &str, whom: &str, governs: bool) -> String {
    let NotSaid::Refused(error) = why else { return not_said(why, room) };
    match (error.condition, &error.text) {
        (Condition::Forbidden, _) if governs => {
            format!("{whom} is banned from {room}; unban {whom} {room} comes first")
        }
        (Condition::Forbidden, _) => {
            format!("only admins of {room} may invite others; members {room} lists them")
        }
        (Condition::ItemNotFound, _) => format!("there is no user {whom}"),
        (Condition::ServiceUnavailable, _) => format!("{whom} cannot be invited"),
        (Condition::RemoteServerNotFound, _) => format!("cannot reach the server of {whom}"),
        (_, Some(said)) => format!("{whom} is not invited: {}", text::line(said)),
        (other, None) => format!("{whom} is not invited: {}", other.name()),
    }
}

/// Says why the topic is as it was.
pub fn topic_not_set(why: &NotSaid, room: &str) -> String {
    match why {
        NotSaid::Refused(error) if error.condition == Condition::Forbidden => {
            format!("only moderators of {room} may set its topic; members {room} lists them")
        }
        why => not_said(why, room),
    }
}

/// Announces a room that was made: whose it is, who may enter and who may read.
pub fn made(room: &str, for_everyone: bool) -> String {
    let who = match for_everyone {
        true => {
            "Everybody here finds it, may enter it and read what was said, and all see whose \
             nickname is whose"
        }
        false => {
            "Everybody here who knows its name may enter it and read what was said; nobody finds \
             it in a list, and only moderators see whose nickname is whose"
        }
    };
    format!(
        "{room} is made, and it is yours; it stays when nobody is there. {who}. invite USER {room} \
         tells others of it, close {room} lets only members in"
    )
}

/// Returns the word for a room that was not entered.
pub fn condition_of_entry(why: &NotEntered) -> &'static str {
    match why {
        NotEntered::NoSuchRoom => "no-such-room",
        NotEntered::Refused { why, .. } => why.condition.name(),
        NotEntered::TimedOut => "timeout",
        NotEntered::NotLoggedIn => "not-logged-in",
        NotEntered::Left => "left",
        NotEntered::TooMany => "too-many-rooms",
        NotEntered::NotSent => "too-many-waiting",
    }
}

/// Returns the word for something that was not said.
pub fn condition_of_saying(why: &NotSaid) -> &'static str {
    match why {
        NotSaid::NotThere => "not-there",
        NotSaid::TooMany => "too-many-waiting",
        NotSaid::NotLoggedIn => "not-logged-in",
        NotSaid::Refused(why) => condition::of_request(&RequestError::Refused(why.clone())),
        NotSaid::TimedOut => "timeout",
        NotSaid::ConnectionLost => condition::of_request(&RequestError::ConnectionLost),
    }
}

/// Returns the word for how somebody came to leave.
pub fn reason_of_leaving(how: &Exit) -> &'static str {
    match how {
        Exit::Asked => "asked",
        Exit::Elsewhere => "other-device",
        Exit::Kicked => "kicked",
        Exit::Banned => "banned",
        Exit::NoMember => "no-member",
        Exit::MembersOnly => "members-only",
        Exit::Shutdown => "shutdown",
        Exit::TooSlow { .. } => "too-slow",
        Exit::Destroyed { .. } => "destroyed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_xmpp::BareJid;

    fn lunch(what: RoomEvent) -> String {
        let address = BareJid::parse("lunch@rooms.a.example").unwrap();
        let room = RoomName { address, is_local: true };
        news(&RoomNews { room, what }, "a.example").unwrap_or_default()
    }

    fn somebody(nick: &str) -> Occupant {
        let (affiliation, role) = (Affiliation::None, Role::Participant);
        Occupant { nick: nick.to_owned(), who: None, affiliation, role }
    }

    #[test]
    fn a_room_is_named_as_it_is_typed() {
        let address = BareJid::parse("lunch@rooms.a.example").unwrap();
        assert_eq!(called(&RoomName { address: address.clone(), is_local: true }), "#lunch");
        let far = RoomName { address, is_local: false };
        assert_eq!(called(&far), "lunch@rooms.a.example");
    }

    #[test]
    fn who_is_there_is_named() {
        let entered = |others: &[&str], why| {
            let others = others.iter().map(|nick| somebody(nick)).collect();
            let nick = "alice".to_owned();
            lunch(RoomEvent::Entered { nick, others, why, shows_addresses: false })
        };
        assert_eq!(
            entered(&[], Wanted::Asked),
            "* you are in #lunch as alice, and nobody else is there"
        );
        assert_eq!(entered(&["bob"], Wanted::Again), "* you are back in #lunch as alice, with bob");
        assert_eq!(
            entered(&["bob", "carol", "dave"], Wanted::Bookmark),
            "* you are in #lunch as alice, with bob, carol and dave"
        );
        let crowd: Vec<String> = (0..15).map(|n| format!("n{n}")).collect();
        let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
        assert!(entered(&crowd, Wanted::Asked).ends_with("n10, n11 and 3 more"));
    }

    // security.md, row 46.
    #[test]
    fn nothing_that_others_write_acts_on_the_terminal_or_looks_like_a_notice() {
        let evil = "x\n* eve\u{1b}[2J\u{202e}";
        let evil = || evil.to_owned();
        let some = || Some(evil());
        let who = BareJid::parse("bob@a.example").unwrap();
        let refusal = StanzaError::new(Condition::BadRequest).with_text(evil());
        for what in [
            RoomEvent::Came(somebody(&evil())),
            RoomEvent::Went { nick: evil(), how: Exit::Kicked, by: some(), reason: some() },
            RoomEvent::Left { how: Exit::Kicked, by: some(), reason: some() },
            RoomEvent::Left { how: Exit::Destroyed { venue: None }, by: None, reason: some() },
            RoomEvent::Topic { by: some(), text: evil(), at: None },
            RoomEvent::Renamed { from: evil(), to: evil(), is_me: false },
            RoomEvent::Renamed { from: evil(), to: evil(), is_me: true },
            RoomEvent::Invited { by: Some(who.clone()), reason: some() },
            RoomEvent::Declined { by: who, reason: some() },
            RoomEvent::Refused { id: String::new(), why: refusal.clone() },
            RoomEvent::NotEntered(NotEntered::Refused { nick: evil(), why: refusal }),
            RoomEvent::Standing {
                nick: evil(),
                is_me: false,
                affiliation: Affiliation::Admin,
                role: Role::Moderator,
            },
            RoomEvent::Entered {
                nick: evil(),
                others: vec![somebody(&evil())],
                why: Wanted::Asked,
                shows_addresses: true,
            },
        ] {
            let shown = lunch(what.clone());
            assert!(!shown.contains(['\n', '\u{1b}', '\u{202e}']), "{what:?}: {shown}");
            assert!(shown.contains("\\u{1b}"), "{what:?}: {shown}");
        }
    }

    #[test]
    fn what_became_of_a_message_to_a_room_is_told_where_it_was_not_told_to_all() {
        let id = || "m1".to_owned();
        assert_eq!(lunch(RoomEvent::NotSent { id: id() }), "* your message to #lunch was not sent");
        assert_eq!(
            lunch(RoomEvent::Unconfirmed { id: id() }),
            "* nobody knows whether your message arrived in #lunch"
        );
        assert_eq!(lunch(RoomEvent::Acknowledged { id: id() }), "");
    }

    #[test]
    fn whoever_is_put_out_is_told_by_whom_and_what_to_do() {
        let left = |how| {
            let (by, reason) = (Some("bob".to_owned()), Some("noise".to_owned()));
            lunch(RoomEvent::Left { how, by, reason })
        };
        assert_eq!(
            left(Exit::Kicked),
            "* you were put out of #lunch by bob (noise); join #lunch brings you back"
        );
        assert!(left(Exit::Banned).contains("may not come back; its admins can change that"));
        let venue = BareJid::parse("brunch@rooms.a.example").unwrap();
        let moved = left(Exit::Destroyed { venue: Some(venue) });
        assert!(moved.ends_with("instead: join brunch@rooms.a.example"), "{moved}");
    }

    #[test]
    fn every_refusal_of_an_entry_says_what_to_do() {
        let refused = |condition| {
            let why = StanzaError::new(condition);
            not_entered(&NotEntered::Refused { nick: "bob".to_owned(), why }, "#lunch")
        };
        assert_eq!(
            refused(Condition::Conflict),
            "somebody else is called bob in #lunch; join #lunch NICK enters by another name"
        );
        for (condition, word) in [
            (Condition::RegistrationRequired, "invite"),
            (Condition::Forbidden, "admins"),
            (Condition::NotAuthorized, "asks for it"),
            (Condition::ServiceUnavailable, "later"),
            (Condition::ItemNotFound, "finish"),
        ] {
            assert!(refused(condition).contains(word), "{condition:?}");
        }
    }
}
