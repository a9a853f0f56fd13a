//! RFC 6120, 8.3 and 4.9: what is said to a peer when something is refused.

use crate::{Stanza, Outgoing};

/// RFC 6120, 8.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType { /// …
    Auth, /// …
    Cancel, /// …
    Continue, /// …
    Modify, /// …
    Wait }

/// RFC 6120, 8.3.3: all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Condition { BadRequest, Conflict, FeatureNotImplemented, Forbidden, Gone, InternalServerError, ItemNotFound, JidMalformed, NotAcceptable, NotAllowed, NotAuthorized, PolicyViolation, RecipientUnavailable, Redirect, RegistrationRequired, RemoteServerNotFound, RemoteServerTimeout, ResourceConstraint, ServiceUnavailable, SubscriptionRequired, UndefinedCondition, UnexpectedRequest }

/// What goes back to the sender of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError { /// type
    pub type_: ErrorType, /// condition
    pub condition: Condition, /// for people, English
    pub text: Option<String>, /// application condition: (name, namespace)
    pub app: Option<(&'static str, &'static str)> }

impl StanzaError {
    /// With the type that RFC 6120 8.3.3 gives the condition.
    pub fn new(_condition: Condition) -> StanzaError { todo!() }
    /// Adds a text for people.
    pub fn with_text(self, _text: impl Into<String>) -> StanzaError { todo!() }
    /// Sets another type.
    pub fn with_type(self, _type_: ErrorType) -> StanzaError { todo!() }
    /// Adds an application condition.
    pub fn with_app(self, _name: &'static str, _ns: &'static str) -> StanzaError { todo!() }
    /// The error stanza that answers `stanza`: addresses swapped, id kept, type='error'. `None` if the stanza
    /// is itself an error or an iq result (those are never answered).
    pub fn answer(&self, _stanza: &Stanza, _from: Option<&str>, _to: Option<&str>) -> Option<Outgoing> { todo!() }
    /// `<error>…</error>` alone.
    pub fn encode(&self) -> Vec<u8> { todo!() }
    /// Reads the `<error/>` of a stanza of type error (for clients).
    pub fn read(_stanza: &Stanza) -> Option<StanzaError> { todo!() }
}

/// RFC 6120, 4.9.3: all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StreamCondition { BadFormat, BadNamespacePrefix, Conflict, ConnectionTimeout, HostGone, HostUnknown, ImproperAddressing, InternalServerError, InvalidFrom, InvalidNamespace, InvalidXml, NotAuthorized, NotWellFormed, PolicyViolation, RemoteConnectionFailed, Reset, ResourceConstraint, RestrictedXml, SeeOtherHost, SystemShutdown, UndefinedCondition, UnsupportedEncoding, UnsupportedFeature, UnsupportedStanzaType, UnsupportedVersion }

/// What ends a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError { /// condition
    pub condition: StreamCondition, /// for people
    pub text: Option<String>, /// application condition: (name, namespace)
    pub app: Option<(&'static str, &'static str)> }
impl StreamError {
    /// Without text.
    pub fn new(condition: StreamCondition) -> StreamError { StreamError { condition, text: None, app: None } }
    /// `<stream:error>…</stream:error>`.
    pub fn encode(&self) -> Vec<u8> { todo!() }
    /// Reads one (for clients).
    pub fn read(_element: &Stanza) -> Option<StreamError> { todo!() }
}
