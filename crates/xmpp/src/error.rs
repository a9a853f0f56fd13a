//! RFC 6120, 8.3 and 4.9: the errors that a peer gets when something is refused.

mod stanza;
mod stream;

pub use stanza::{Condition, ErrorType, StanzaError};
pub use stream::{StreamCondition, StreamError};

use crate::ns;
use crate::write::Element;

/// An application-specific condition: its name and its namespace.
type App = (&'static str, &'static str);

/// The application conditions that this program understands when it reads an error.
const APPS: &[App] = &[
    ("blocked", ns::BLOCKING_ERRORS),
    ("blocked-you", ns::WHOELSE_ERRORS),
    ("no-such-user", ns::WHOELSE_ERRORS),
    ("idle", ns::WHOELSE_ERRORS),
    ("password-changed", ns::WHOELSE_ERRORS),
    ("device-revoked", ns::WHOELSE_ERRORS),
    ("mailbox-full", ns::WHOELSE_ERRORS),
    ("handled-count-too-high", ns::SM),
    // XEP-0050, 4.4.
    ("malformed-action", ns::COMMANDS),
    ("bad-action", ns::COMMANDS),
    ("bad-locale", ns::COMMANDS),
    ("bad-payload", ns::COMMANDS),
    ("bad-sessionid", ns::COMMANDS),
    ("session-expired", ns::COMMANDS),
];

fn known_app(name: &str, namespace: &str) -> Option<App> {
    APPS.iter().copied().find(|app| *app == (name, namespace))
}

/// Appends what both kinds of error have: the condition, a text for people, and the application's
/// condition.
fn say(
    element: Element,
    condition: &'static str,
    ns: &str,
    text: Option<&str>,
    app: Option<Element>,
) -> Element {
    let mut element = element.child(Element::new(condition).xmlns(ns));
    if let Some(text) = text {
        element = element.child(Element::new("text").xmlns(ns).attr("xml:lang", "en").text(text));
    }
    match app {
        Some(app) => element.child(app),
        None => element,
    }
}

fn encode_app((name, namespace): App) -> Element {
    Element::new(name).xmlns(namespace)
}

/// Declares the conditions of a kind of error, each with its name on the wire.
macro_rules! conditions {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are the RFC's, and explained there")]
        pub enum $type { $($variant,)+ }

        impl $type {
            /// All of the conditions.
            pub const ALL: &[$type] = &[$($type::$variant,)+];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }

            /// Returns the condition of that name.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)+ _ => None }
            }
        }
    };
}
use conditions;
