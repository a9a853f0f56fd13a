//! XEP-0484, FAST: what a client says of tokens in the elements of SASL2, and what it is told.
//!
//! A token is asked for and given along with a login of any mechanism, and is used by those of
//! [`crate::ht`].

use crate::ht::{Proof, Token};
use crate::sasl::{Condition, Mechanism};
use crate::sasl2::{Authenticate, Success, UserAgentId};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, ns};

/// Returns the names of the mechanisms of tokens, the stronger first: what a server can offer.
pub fn names() -> Vec<String> {
    Mechanism::OF_TOKENS.iter().map(|mechanism| mechanism.name().to_owned()).collect()
}

/// `<fast/>` in `<authenticate/>`: the login is by a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fast {
    /// How often the client has logged in by this token, if it counts.
    pub count: Option<u32>,
    /// Whether the token is to be no good any more, once it has let in.
    pub invalidate: bool,
}

impl Fast {
    /// Reads it, if the client has sent it.
    pub fn read(request: &Authenticate) -> Result<Option<Fast>, Condition> {
        let Some(fast) = request.other("fast", ns::FAST) else { return Ok(None) };
        let count = fast.attr("count").map(|count| count.parse());
        let invalidate = match fast.attr("invalidate").as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(_) => return Err(Condition::MalformedRequest),
        };
        let count = count.transpose().map_err(|_| Condition::MalformedRequest)?;
        Ok(Some(Fast { count, invalidate }))
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let count = self.count.map(|count| count.to_string());
        let element = Element::new("fast").xmlns(ns::FAST).attr_opt("count", count.as_deref());
        element.attr_opt("invalidate", self.invalidate.then_some("true")).finish().into()
    }
}

/// Returns the mechanism for which the client asks for a token, if it does and we know it.
pub fn requested(request: &Authenticate) -> Option<Mechanism> {
    let name = request.other("request-token", ns::FAST)?.attr("mechanism")?;
    Mechanism::OF_TOKENS.into_iter().find(|mechanism| mechanism.name() == name)
}

/// Encodes `<request-token/>`.
pub fn request(mechanism: Mechanism) -> Vec<u8> {
    let element = Element::new("request-token").xmlns(ns::FAST);
    element.attr("mechanism", mechanism.name()).finish().into()
}

/// `<token/>` in `<success/>`: a token for the next login.
#[derive(Debug, Clone)]
pub struct Given {
    /// The token.
    pub token: Token,
    /// When it ends, as XEP-0082 writes it.
    pub expiry: String,
}

impl Given {
    /// Reads it, if the server has sent it.
    pub fn read(success: &Success) -> Option<Given> {
        let given = success.other("token", ns::FAST)?;
        let token = given.attr("token").filter(|token| !token.is_empty())?;
        let expiry = given.attr("expiry").unwrap_or_default().into();
        Some(Given { token: Token::of(token.into()), expiry })
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let element = Element::new("token").xmlns(ns::FAST).attr("expiry", &self.expiry);
        element.attr("token", self.token.reveal()).finish().into()
    }
}

/// A login by a token, as a client asks for it.
#[derive(Debug, Clone)]
pub struct TokenLogin {
    /// The claimed address; the account may not exist.
    pub account: BareJid,
    /// The claimed device.
    pub device: UserAgentId,
    /// The mechanism, which has to be the token's.
    pub mechanism: Mechanism,
    /// What shows that the client has the token.
    pub proof: Proof,
    /// What the client says of it.
    pub fast: Fast,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_xmpp::{Jid, Stanza};

    fn request_with(children: &str) -> Authenticate {
        let xml = format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-ENDP'>{children}\
             </authenticate>"
        );
        Authenticate::read(&Stanza::parse(xml).unwrap()).unwrap()
    }

    fn fast(attributes: &str) -> Result<Option<Fast>, Condition> {
        Fast::read(&request_with(&format!("<fast xmlns='urn:xmpp:fast:0' {attributes}/>")))
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let counted = Fast { count: Some(123), invalidate: false };
        assert_eq!(fast("count='123'"), Ok(Some(counted)));
        let ended = Fast { count: Some(123), invalidate: true };
        assert_eq!(fast("count='123' invalidate='true'"), Ok(Some(ended)));
        assert_eq!(fast("invalidate='1'"), Ok(Some(Fast { count: None, invalidate: true })));
        assert_eq!(fast(""), Ok(Some(Fast::default())));
        assert_eq!(Fast::read(&request_with("")), Ok(None));

        let asks = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-ENDP'/>";
        let wanted = requested(&request_with(asks)).unwrap();
        assert_eq!(wanted.name(), "HT-SHA-256-ENDP");
        assert_eq!(requested(&request_with("")), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_what_is_not_known_is_not_asked_for() {
        for bad in ["count='-1'", "count='4294967296'", "count=''", "count='x'", "invalidate='yes'"]
        {
            assert_eq!(fast(bad), Err(Condition::MalformedRequest), "{bad}");
        }
        for unknown in ["SCRAM-SHA-1", "PLAIN", "HT-SHA-256-UNIQ", "HT-SHA-512-NONE", ""] {
            let asks = format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{unknown}'/>");
            assert_eq!(requested(&request_with(&asks)), None, "{unknown}");
        }
    }

    #[test]
    fn what_one_end_writes_the_other_reads() {
        for wrote in [
            Fast::default(),
            Fast { count: Some(u32::MAX), invalidate: false },
            Fast { count: Some(0), invalidate: true },
        ] {
            let request = request_with(std::str::from_utf8(&wrote.encode()).unwrap());
            assert_eq!(Fast::read(&request), Ok(Some(wrote)));
        }
        for mechanism in Mechanism::OF_TOKENS {
            let asks = request(mechanism);
            assert_eq!(
                requested(&request_with(std::str::from_utf8(&asks).unwrap())),
                Some(mechanism)
            );
        }
        let given = Given { token: Token::fresh(), expiry: "2020-03-12T14:36:15Z".to_owned() };
        let address = Jid::parse("user@example.com").unwrap();
        let success = crate::sasl2::success(None, &address, &given.encode());
        let read = Given::read(&Success::read(&Stanza::parse(success).unwrap()).unwrap()).unwrap();
        assert_eq!((read.token.reveal(), &read.expiry), (given.token.reveal(), &given.expiry));
    }

    #[test]
    fn a_token_that_is_given_is_not_printed() {
        let given = Given { token: Token::of("secret".to_owned()), expiry: String::new() };

        assert!(!format!("{given:?}").contains("secret"));
    }
}
