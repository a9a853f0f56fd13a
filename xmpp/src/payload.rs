//! Typed payloads: xmpp-parsers' types by one line each, and our own derives for what it lacks.

/// A child element with a type: its namespace and name, stated once.
pub trait Payload: xso::FromXml + xso::AsXml {
    /// Namespace.
    const NS: &'static str;
    /// Local name.
    const NAME: &'static str;
}

/// Encodes a payload.
pub fn encode<T: xso::AsXml>(_payload: &T) -> Vec<u8> { todo!() }
