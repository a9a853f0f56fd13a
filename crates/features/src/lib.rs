//! The features: what the server can do, one file per XEP or feature.
//!
//! A feature is a [`Feature`] declared as `FEATURE` in its file; [`ALL`] lists them. The rules
//! (crate `core`) decide how stanzas move, who sees whom and what is kept. Read first: `ping` (the
//! smallest) and `blocking` (handlers, taps and a slot of the account).

use std::fmt::Display;

use whoelse_core::Node;
use whoelse_core::kit::Feature;
use whoelse_xmpp::{Condition, StanzaError};

pub mod activity;
pub mod admin;
pub mod archive;
pub mod archive_preferences;
pub mod blocking;
pub mod bookmarks;
pub mod broadcast;
pub mod capabilities;
pub mod carbons;
pub mod client_state;
pub mod commands;
pub mod contact_addresses;
pub mod devices;
pub mod discovery;
pub mod displayed;
pub mod forgeries;
mod form;
pub mod hints;
pub mod introductions;
pub mod last_activity;
pub mod muc;
mod nobodys;
pub mod offline;
pub mod ping;
pub mod ping_command;
pub mod private_storage;
pub mod pubsub;
pub mod registration;
pub mod relay;
pub mod retraction;
pub mod roster;
pub mod session;
pub mod stanza_ids;
pub mod time;
pub mod vcard;
pub mod version;
pub mod whoelse;
pub mod whoelsesince;
mod words;

/// All features. Service discovery and the table in `docs/xeps.md` are derived from it.
pub const ALL: &[Feature] = &[
    discovery::FEATURE,
    contact_addresses::FEATURE,
    capabilities::FEATURE,
    ping::FEATURE,
    version::FEATURE,
    time::FEATURE,
    session::FEATURE,
    activity::FEATURE,
    roster::FEATURE,
    blocking::FEATURE,
    forgeries::FEATURE,
    stanza_ids::FEATURE,
    archive::FEATURE,
    archive_preferences::FEATURE,
    carbons::FEATURE,
    client_state::FEATURE,
    last_activity::FEATURE,
    offline::FEATURE,
    // It says what is kept before hints do.
    retraction::FEATURE,
    hints::FEATURE,
    private_storage::FEATURE,
    pubsub::FEATURE,
    bookmarks::FEATURE,
    displayed::FEATURE,
    vcard::FEATURE,
    registration::FEATURE,
    devices::FEATURE,
    commands::FEATURE,
    ping_command::FEATURE,
    whoelse::FEATURE,
    whoelsesince::FEATURE,
    broadcast::FEATURE,
    introductions::FEATURE,
    muc::FEATURE,
    relay::FEATURE,
    admin::FEATURE,
];

/// Returns what was read from the store for an answer. If it cannot be read, logs the error under
/// the name `event` with the account that it hit, and answers that it is the server's fault.
fn readable<T>(
    node: &Node,
    event: &'static str,
    account: Option<&dyn Display>,
    read: Result<T, whoelse_store::Error>,
) -> Result<T, StanzaError> {
    read.map_err(|error| {
        node.store_failing(event, account, &error);
        StanzaError::new(Condition::InternalServerError)
    })
}

/// What whoever wants a change hears that could not be stored.
fn unstored(error: &whoelse_store::Error) -> StanzaError {
    StanzaError::new(match error.is_full() {
        true => Condition::ResourceConstraint,
        false => Condition::InternalServerError,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use whoelse_core::kit::Wiring;

    #[test]
    fn all_features_can_be_wired_together() {
        assert!(Wiring::of(ALL, &HashSet::new()).is_ok());
    }

    #[test]
    fn any_one_feature_can_be_switched_off_but_what_the_rules_do() {
        for feature in ALL {
            let off = HashSet::from([feature.name.to_owned()]);
            let is_off = Wiring::of(ALL, &off).is_ok();
            assert_eq!(is_off, !feature.is_of_the_rules, "without {}", feature.name);
        }
    }

    #[test]
    fn two_features_for_one_request_are_refused() {
        assert!(Wiring::of(&[ping::FEATURE, ping::FEATURE], &HashSet::new()).is_err());
    }

    #[test]
    fn an_unknown_feature_cannot_be_switched_off() {
        assert!(Wiring::of(ALL, &HashSet::from(["pnig".to_owned()])).is_err());
    }
}
