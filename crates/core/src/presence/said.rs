//! RFC 6121, 4.7.2: what a presence says, before it goes to anybody.

use smallvec::SmallVec;
use whoelse_xmpp::{Condition, Jid, Kind, Stanza, StanzaError, ns};

use crate::node::Node;

/// What was read in an available or unavailable presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Zero if it does not say.
    pub priority: i8,
    /// Children that go to nobody, by their place.
    pub drop: SmallVec<[usize; 2]>,
}

impl Said {
    /// Reads a stanza; one that says nothing of availability says nothing here.
    ///
    /// A priority decides which messages come, so one that cannot be read is refused, and so is a
    /// second one. A `show` is for people to look at: one that is not known is left out, or each
    /// client would have to know what to make of it (4.7.2.1). The time at which something was said
    /// is the server's to say (XEP-0203).
    pub fn read(node: &Node, stanza: &Stanza) -> Result<Said, StanzaError> {
        let mut said = Said::default();
        let says =
            stanza.kind() == Kind::Presence && matches!(stanza.type_(), None | Some("unavailable"));
        if !says {
            return Ok(said);
        }
        let (mut priority, mut show) = (None, None);
        for (place, child) in stanza.children().iter().enumerate() {
            match (child.name(), child.ns()) {
                ("priority", ns::CLIENT) => {
                    // A whole number as XML Schema writes them, white space around it or not.
                    let read = stanza.text_of(child).trim().parse().ok();
                    let (Some(read), None) = (read, priority) else { return Err(malformed()) };
                    priority = Some(read);
                }
                ("show", ns::CLIENT) => {
                    let text = stanza.text_of(child);
                    match text.as_str() {
                        "away" | "chat" | "dnd" | "xa" if show.is_none() => show = Some(place),
                        _ => said.drop.push(place),
                    }
                }
                ("delay", ns::DELAY) => {
                    let from = stanza.child_attr(child, "from").unwrap_or_default();
                    if Jid::parse(&from).is_ok_and(|from| from.domain() == node.domain_name()) {
                        said.drop.push(place);
                    }
                }
                _ => {}
            }
        }
        said.priority = priority.unwrap_or(0);
        Ok(said)
    }
}

fn malformed() -> StanzaError {
    StanzaError::new(Condition::BadRequest)
        .with_text("a presence has one priority at most, a whole number from -128 to 127")
}
