//! RFC 6121, 4.7.2: the content of a presence, read before it goes to anybody.

use smallvec::SmallVec;
use whoelse_xmpp::{Condition, Jid, Kind, Stanza, StanzaError, ns};

use crate::node::Node;

/// Whether a stanza says how somebody is: it is an available or unavailable presence.
pub(crate) fn says_how(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Presence && matches!(stanza.type_(), None | Some("unavailable"))
}

/// What was read in an available or unavailable presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The priority; zero if the presence has none.
    pub priority: i8,
    /// The children that go to nobody, by index.
    pub drop: SmallVec<[usize; 2]>,
    /// How often a slot of the account had been replaced when features amended it.
    pub swaps: u64,
}

impl Said {
    /// Reads a stanza; any other stanza reads as one without content.
    ///
    /// The priority decides which messages come, so an unreadable or second priority is refused. A
    /// `show` is for people to look at: an unknown one is left out, or each client would have to
    /// interpret it (4.7.2.1). Only the server may say when something was sent (XEP-0203), so such
    /// elements are left out.
    pub fn read(node: &Node, stanza: &Stanza) -> Result<Said, StanzaError> {
        let mut said = Said::default();
        if !says_how(stanza) {
            return Ok(said);
        }
        let (mut priority, mut show) = (None, None);
        for (place, child) in stanza.children().iter().enumerate() {
            match (child.name(), child.ns()) {
                ("priority", ns::CLIENT) => {
                    // A whole number as XML Schema writes it, with or without white space around
                    // it.
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
