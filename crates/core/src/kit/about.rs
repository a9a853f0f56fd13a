//! What a feature says of accounts in service discovery, beside what it says of the whole
//! server.

use whoelse_xmpp::payload::xmpp_parsers::disco::{DiscoInfoQuery, DiscoItemsQuery};

use super::{Answer, BoxFuture, Cx};

/// What accounts are by a feature. It is said to those who may see the account.
pub struct AboutAccounts {
    /// An identity of theirs: category and type.
    pub identity: (&'static str, &'static str),
    /// The namespaces that are named for accounts alone.
    pub features: &'static [&'static str],
    /// Answers what a node of an account is (`disco#info` with a node).
    pub info: fn(Cx, DiscoInfoQuery) -> BoxFuture<'static, Answer>,
    /// Answers which nodes an account has, or what is at one (`disco#items`).
    pub items: fn(Cx, DiscoItemsQuery) -> BoxFuture<'static, Answer>,
}
