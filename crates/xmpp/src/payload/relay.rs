//! Ours, docs/protocol.md, `urn:whoelse:relay:0`: what a client requests for a private chat, and
//! what its server offers.

use xso::{AsXml, FromXml};

use crate::ns;

/// A client's request.
#[derive(FromXml, AsXml, Debug, Clone, PartialEq, Eq)]
#[xml(namespace = ns::WHOELSE_RELAY, name = "relay")]
pub struct Request {
    /// The id of the introduction.
    #[xml(attribute)]
    pub sid: String,
    /// The public key of the endpoint that will connect: 64 hexadecimal digits.
    #[xml(attribute)]
    pub key: String,
}

/// The server's offer, on the host by which the client has reached it.
#[derive(FromXml, AsXml, Debug, Clone, Default, PartialEq, Eq)]
#[xml(namespace = ns::WHOELSE_RELAY, name = "relay")]
pub struct Offer {
    /// The TCP port of the relay.
    #[xml(attribute(default))]
    pub port: Option<u16>,
    /// The UDP port of address discovery.
    #[xml(attribute(default))]
    pub discovery: Option<u16>,
    /// The token by which the relay admits the endpoint.
    #[xml(attribute(default))]
    pub token: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::payload::encode;

    #[test]
    fn what_is_asked_and_offered_is_read_as_it_was_written() {
        let asked = Request { sid: "s".to_owned(), key: "ab".repeat(32) };
        assert_eq!(xso::from_bytes::<Request>(&encode(&asked)).unwrap(), asked);

        for (port, discovery, token) in
            [(Some(5222), Some(5222), Some("t")), (None, Some(5222), None), (None, None, None)]
        {
            let token = token.map(str::to_owned);
            let offer = Offer { port, discovery, token };
            assert_eq!(xso::from_bytes::<Offer>(&encode(&offer)).unwrap(), offer);
        }
    }

    #[test]
    fn what_lacks_its_key_or_has_no_port_is_not_read() {
        let keyless = b"<relay xmlns='urn:whoelse:relay:0' sid='s'/>";
        assert!(xso::from_bytes::<Request>(keyless).is_err());
        let far = b"<relay xmlns='urn:whoelse:relay:0' port='65536'/>";
        assert!(xso::from_bytes::<Offer>(far).is_err());
    }
}
