//! Security row 60: XML of strangers is not multiplied. Whatever is sent, what is heard of it, each
//! time, is a small multiple of it, also after it was stored.

use whoelse_xmpp::{Stanza, ns};

use crate::choices::Choices;
use crate::house::House;

/// How many times as long as what was sent each copy of it may be: an apostrophe is five letters more
/// where it is escaped.
const MULTIPLE: usize = 8;
/// What the server adds itself: addresses, ids, times, errors.
const OWN: usize = 4 << 10;

/// The way that elements take.
#[derive(Clone, Copy)]
enum Way {
    PrivateStorage,
    Publication,
    Message,
    Presence,
    Request,
    Roster,
    Subscription,
}

impl Way {
    /// What is sent, with these elements in it.
    fn sent(self, elements: &str, quotes: usize) -> String {
        let own = "alice@localhost";
        match self {
            Way::PrivateStorage => {
                let query = ns::PRIVATE_STORAGE;
                format!("<iq type='set' id='r'><query xmlns='{query}'>{elements}</query></iq>")
            }
            Way::Publication => {
                let item = format!("<publish node='n'><item id='i'>{elements}</item></publish>");
                format!("<iq type='set' id='r'><pubsub xmlns='{}'>{item}</pubsub></iq>", ns::PUBSUB)
            }
            Way::Message => {
                format!("<message to='{own}' type='chat'><body>x</body>{elements}</message>")
            }
            Way::Presence => format!("<presence>{elements}</presence>"),
            Way::Request => format!("<iq type='get' id='r' to='{own}'>{elements}</iq>"),
            Way::Roster => {
                let name = "'".repeat(quotes);
                format!(
                    "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>\
                     <item jid='x@far.example' name=\"{name}\">{elements}</item></query></iq>"
                )
            }
            Way::Subscription => {
                format!("<presence to='bob@localhost' type='subscribe'>{elements}</presence>")
            }
        }
    }

    /// A request for what is remembered of it.
    fn asked_again(self, elements: &str) -> String {
        match self {
            Way::PrivateStorage => {
                let (query, first) = (ns::PRIVATE_STORAGE, first_of(elements));
                format!("<iq type='get' id='a'><query xmlns='{query}'>{first}</query></iq>")
            }
            Way::Publication => {
                let items = "<items node='n'/>";
                format!(
                    "<iq type='get' id='a'><pubsub xmlns='{}'>{items}</pubsub></iq>",
                    ns::PUBSUB
                )
            }
            Way::Message => "<iq type='set' id='a'><query xmlns='urn:xmpp:mam:2'>\
                 <set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>\
                 </query></iq>"
                .to_owned(),
            Way::Presence | Way::Request | Way::Roster | Way::Subscription => {
                "<iq type='get' id='a'><query xmlns='jabber:iq:last'/></iq>".to_owned()
            }
        }
    }
}

/// Sends elements that would be far longer if they were encoded anew, and looks at what comes back.
pub fn hostile(data: &[u8]) {
    let mut choices = Choices::new(data);
    let elements = elements(&mut choices);
    let way = choices.pick(&[
        Way::PrivateStorage,
        Way::PrivateStorage,
        Way::Publication,
        Way::Publication,
        Way::Message,
        Way::Presence,
        Way::Request,
        Way::Roster,
        Way::Subscription,
    ]);
    let sent = way.sent(&elements, choices.below(1000));
    // What is no stanza, or one that is too long, ends the stream.
    if Stanza::parse(sent.clone()).is_err() || sent.len() > 200 << 10 {
        return;
    }
    let again = way.asked_again(&elements);
    let most = MULTIPLE * sent.len() + OWN;
    House::with(|house| {
        if matches!(way, Way::Presence) {
            // Whoever becomes available hears what waited: that is of before.
            house.tell("<presence/>");
        }
        let mut is_refused = false;
        for (id, stanza) in [("r", &sent), ("a", &again)] {
            // What is there then is of before.
            if is_refused {
                return;
            }
            let heard = match stanza.starts_with("<iq") {
                true => {
                    let (answer, mut rest) = house.ask(id, stanza);
                    is_refused = answer.type_() == Some("error");
                    rest.push(answer);
                    rest
                }
                false => house.tell(stanza),
            };
            for one in heard {
                let length = one.bytes().len();
                assert!(length <= most, "{length} bytes for {} of {sent:.200}", sent.len());
            }
        }
    });
}

/// Elements in which much is declared once and used many times.
fn elements(choices: &mut Choices<'_>) -> String {
    let long = format!("urn:{}", "x".repeat(choices.pick(&[1, 100, 2_000, 40_000])));
    let many = choices.pick(&[1, 7, 100, 2_000]);
    let one = choices.pick(&[
        "<p:a/>",
        "<a p:b='c'/>",
        "<p:a><b/></p:a>",
        "<a>'\"&gt;</a>",
        "<a b=\"'''''\"/>",
        "<p:a xmlns:r='urn:r'><r:b><p:c/></r:b></p:a>",
        "<a xmlns='urn:other'><b/></a>",
    ]);
    let inside = match choices.once_in(3) {
        // Nested instead of side by side.
        true => {
            let deep = many.min(20);
            format!("{}{}", "<p:n>".repeat(deep), "</p:n>".repeat(deep))
        }
        false => one.repeat(many),
    };
    match choices.below(5) {
        0 => format!("<q xmlns='urn:q' xmlns:p='{long}'>{inside}</q>"),
        1 => format!("<p:q xmlns:p='{long}'>{inside}</p:q>"),
        2 => format!("<q xmlns='{long}' xmlns:p='urn:p'>{inside}</q>"),
        3 => format!("<q xmlns='urn:q' xmlns:p='{long}p'>{inside}</q><q xmlns='urn:q'/>"),
        _ => format!("<q xmlns='urn:q' xmlns:p='{long}'/>").repeat(many.min(1_000)),
    }
}

/// The start of the first element, as an empty one.
fn first_of(elements: &str) -> String {
    let end = elements.find('>').unwrap_or(0);
    format!("{}/>", elements.get(..end).unwrap_or_default().trim_end_matches('/'))
}
