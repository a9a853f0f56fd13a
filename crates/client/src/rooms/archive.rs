//! XEP-0313 at a room's address: the last things that were said in it.

use whoelse_xmpp::{BareJid, Jid, Stanza, ns};

use super::event::Speech;
use super::user::Said;
use crate::client::Client;
use crate::error::RequestError;
use crate::history::{last_of, page_before};
use crate::message::parse_time;
use crate::nested;

/// Returns the last `count` messages of a room, oldest first, each with its author's account if the room
/// shows it.
pub async fn last(
    client: &Client,
    room: &BareJid,
    count: u16,
) -> Result<Vec<Speech>, RequestError> {
    let request = |most, before: &str| page_before(None, most, before).to(Jid::from(room.clone()));
    let read_page = |results: &[Stanza]| -> Result<Vec<Speech>, RequestError> {
        Ok(results.iter().filter_map(|result| read(result, room)).collect())
    };
    last_of(client, count, request, read_page).await
}

/// Reads one result: what an occupant, or the room itself, has said.
fn read(stanza: &Stanza, room: &BareJid) -> Option<Speech> {
    let result = nested::find(stanza, "result", ns::MAM)?;
    let forwarded = nested::find(&result, "forwarded", ns::FORWARD)?;
    let delay = nested::find(&forwarded, "delay", ns::DELAY)?;
    let message = nested::find(&forwarded, "message", ns::CLIENT)?;
    let from = Jid::parse(message.from()?).ok()?;
    if from.to_bare() != *room {
        return None;
    }
    Some(Speech {
        nick: from.resource().map(str::to_owned),
        // 6.1.2: the room says so to whoever may see it.
        who: Said::read(&message).item.who,
        text: message.child_text("body", ns::CLIENT)?.to_string(),
        id: result.attr("id").map(String::from),
        at: parse_time(&delay.attr("stamp")?),
        is_private: false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn result(author: &str, inside: &str) -> Option<Speech> {
        let xml = format!(
            "<message from='lunch@rooms.a.example'><result xmlns='urn:xmpp:mam:2' queryid='q' \
             id='1'><forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='2026-11-22T14:03:00Z'/>\
             <message xmlns='jabber:client' from='{author}' type='groupchat'>{inside}</message>\
             </forwarded></result></message>"
        );
        let room = BareJid::parse("lunch@rooms.a.example").unwrap();
        read(&Stanza::parse(xml.into_bytes()).unwrap(), &room)
    }

    #[test]
    fn what_was_said_is_read_with_its_author_and_time() {
        let said = result("lunch@rooms.a.example/bob", "<body>hi</body>").unwrap();

        assert_eq!((said.nick.as_deref(), said.text.as_str()), (Some("bob"), "hi"));
        assert_eq!(said.who, None);
        let shown = "<body>hi</body><x xmlns='http://jabber.org/protocol/muc#user'>\
                     <item jid='bob@a.example'/></x>";
        let shown = result("lunch@rooms.a.example/bob", shown).unwrap();
        assert_eq!(shown.who, BareJid::parse("bob@a.example").ok());
        assert_eq!((said.id.as_deref(), said.at), (Some("1"), parse_time("2026-11-22T14:03:00Z")));
    }

    #[test]
    fn what_others_have_put_there_or_has_no_text_is_left_out() {
        assert_eq!(result("mallory@a.example/x", "<body>hi</body>"), None);
        assert_eq!(result("lunch@rooms.a.example/bob", "<subject>x</subject>"), None);
    }
}
