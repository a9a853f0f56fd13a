//! Typed payloads of the XEPs: one line each for xmpp-parsers' types, and our own derives, in the
//! files beside this one, for the missing ones.
//!
//! Only payloads that the server or client handles itself are typed; forwarded ones stay bytes. So no
//! type that holds elements of others is here (security row 60): encoded anew, from a tree, a
//! namespace that was declared once is written on each of them. An inner element that is kept or
//! passed on is made to stand alone by [`Stanza::alone`](crate::Stanza::alone).
//!
//! Read an element with [`Stanza::payload`](crate::Stanza::payload), write one with [`encode`].

pub mod commands;
pub mod hints;
pub mod last_activity;
mod parser;
pub mod relay;

pub use xmpp_parsers;

pub(crate) use parser::payload;

use crate::ns;

/// A child element with a type: its namespace and name, stated once.
pub trait Payload: xso::FromXml + xso::AsXml {
    /// Namespace.
    const NS: &'static str;
    /// Local name.
    const NAME: &'static str;
}

/// Encodes a payload.
///
/// Writes nothing for a payload that contains a character which XML cannot represent. A payload
/// that was read contains none.
pub fn encode<T: Payload>(payload: &T) -> Vec<u8> {
    xso::to_vec(payload).unwrap_or_default()
}

/// Declares namespace and name of types that derive the rest.
macro_rules! payloads {
    ($($type:ty = $name:literal in $ns:expr;)+) => {
        $(impl Payload for $type {
            const NS: &'static str = $ns;
            const NAME: &'static str = $name;
        })+
    };
}

payloads! {
    xmpp_parsers::disco::DiscoInfoQuery = "query" in ns::DISCO_INFO;
    xmpp_parsers::disco::DiscoInfoResult = "query" in ns::DISCO_INFO;
    xmpp_parsers::disco::DiscoItemsQuery = "query" in ns::DISCO_ITEMS;
    xmpp_parsers::disco::DiscoItemsResult = "query" in ns::DISCO_ITEMS;
    xmpp_parsers::rsm::SetQuery = "set" in ns::RSM;
    xmpp_parsers::rsm::SetResult = "set" in ns::RSM;
    xmpp_parsers::data_forms::DataForm = "x" in ns::DATA;
    xmpp_parsers::ibr::FieldsQuery = "query" in ns::REGISTER;
    xmpp_parsers::ibr::LegacyQuery = "query" in ns::REGISTER;
    xmpp_parsers::ibr::FormQuery = "query" in ns::REGISTER;
    xmpp_parsers::ibr::RemoveQuery = "query" in ns::REGISTER;
    xmpp_parsers::blocking::BlocklistRequest = "blocklist" in ns::BLOCKING;
    xmpp_parsers::blocking::BlocklistResult = "blocklist" in ns::BLOCKING;
    xmpp_parsers::blocking::Block = "block" in ns::BLOCKING;
    xmpp_parsers::blocking::Unblock = "unblock" in ns::BLOCKING;
    xmpp_parsers::ping::Ping = "ping" in ns::PING;
    xmpp_parsers::version::VersionQuery = "query" in ns::VERSION;
    xmpp_parsers::version::VersionResult = "query" in ns::VERSION;
    xmpp_parsers::time::TimeQuery = "time" in ns::TIME;
    xmpp_parsers::time::TimeResult = "time" in ns::TIME;
    xmpp_parsers::mam::Query = "query" in ns::MAM;
    xmpp_parsers::mam::Fin = "fin" in ns::MAM;
    xmpp_parsers::mam::MetadataQuery = "metadata" in ns::MAM;
    xmpp_parsers::mam::MetadataResponse = "metadata" in ns::MAM;
    xmpp_parsers::roster::Roster = "query" in ns::ROSTER;
    xmpp_parsers::bind::BindQuery = "bind" in ns::BIND;
    xmpp_parsers::bind::BindResponse = "bind" in ns::BIND;
    xmpp_parsers::delay::Delay = "delay" in ns::DELAY;
    xmpp_parsers::stanza_id::StanzaId = "stanza-id" in ns::STANZA_ID;
    xmpp_parsers::stanza_id::OriginId = "origin-id" in ns::STANZA_ID;
    xmpp_parsers::carbons::Enable = "enable" in ns::CARBONS;
    xmpp_parsers::carbons::Disable = "disable" in ns::CARBONS;
    xmpp_parsers::carbons::Private = "private" in ns::CARBONS;
    last_activity::LastActivity = "query" in ns::LAST;
    relay::Request = "relay" in ns::WHOELSE_RELAY;
    relay::Offer = "relay" in ns::WHOELSE_RELAY;
    xmpp_parsers::caps::Caps = "c" in ns::CAPS;
    commands::Command = "command" in ns::COMMANDS;
}

#[cfg(test)]
mod tests;
