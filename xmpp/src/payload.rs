//! Typed payloads: xmpp-parsers' types by one line each, and our own derives for what it lacks.

use crate::{Child, Condition, Stanza, StanzaError};

/// A child element with a type: its namespace and name, stated once.
pub trait Payload: xso::FromXml + xso::AsXml {
    /// Namespace.
    const NS: &'static str;
    /// Local name.
    const NAME: &'static str;
}

/// Encodes a payload.
pub fn encode<T: xso::AsXml>(payload: &T) -> Vec<u8> {
    xso::to_vec(payload).unwrap_or_default()
}

pub(crate) fn read<T: Payload>(_stanza: &Stanza, _child: &Child) -> Result<T, StanzaError> {
    Err(StanzaError::new(Condition::BadRequest))
}
