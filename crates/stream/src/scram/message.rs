//! RFC 5802, 7, the five messages of SCRAM: read strictly, written in one way.

use super::ScramError;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::num::NonZeroU32;

/// What the client says about channel binding, `gs2-cbind-flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gs2 {
    /// `n`: the client has none.
    None,
    /// `y`: the client has one, and thinks that the server has none.
    NotOffered,
    /// `p=`: this type is used.
    Bound(String),
}

/// The client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Channel binding.
    pub gs2: Gs2,
    /// The authzid: as whom the client wants to act, if it says.
    pub authzid: Option<String>,
    /// The name whose password it will prove; unescaped, not normalised.
    pub username: String,
    /// The client's part of the nonce.
    pub nonce: String,
    /// `gs2-header` as written: the client's last message repeats it.
    pub header: String,
    /// `client-first-message-bare` as written: it is signed.
    pub bare: String,
}

impl ClientFirst {
    /// Reads the message.
    pub fn parse(message: &[u8]) -> Result<ClientFirst, ScramError> {
        let text = readable(message)?;
        let (flag, rest) = text.split_once(',').ok_or(ScramError::Malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        let header = text.strip_suffix(bare).ok_or(ScramError::Malformed)?;

        let gs2 = match flag {
            "n" => Gs2::None,
            "y" => Gs2::NotOffered,
            _ => Gs2::Bound(binding_name(flag)?),
        };
        let authzid = match authzid {
            "" => None,
            _ => Some(unescape(authzid.strip_prefix("a=").ok_or(ScramError::Malformed)?)?),
        };

        let mut attributes = bare.split(',');
        let username = unescape(value(attributes.next(), 'n')?)?;
        let nonce = nonce(value(attributes.next(), 'r')?)?;
        extensions(attributes)?;
        Ok(ClientFirst {
            gs2,
            authzid,
            username,
            nonce,
            header: header.to_owned(),
            bare: bare.to_owned(),
        })
    }
}

/// The server's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFirst {
    /// Both parts of the nonce.
    pub nonce: String,
    /// The salt, at least one byte.
    pub salt: Vec<u8>,
    /// The PBKDF2 iterations.
    pub iterations: NonZeroU32,
    /// `h=`: the hash of what the server offered, if it knows XEP-0474.
    pub offer: Option<String>,
}

impl ServerFirst {
    /// Reads the message.
    pub fn parse(message: &[u8]) -> Result<ServerFirst, ScramError> {
        let mut attributes = readable(message)?.split(',');
        let nonce = nonce(value(attributes.next(), 'r')?)?;
        let salt = decode(value(attributes.next(), 's')?)?;
        let count = value(attributes.next(), 'i')?;
        let offer = attributes.clone().find_map(|attribute| attribute.strip_prefix("h="));
        extensions(attributes)?;
        if salt.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ScramError::Malformed);
        }
        let iterations = count.parse().map_err(|_| ScramError::Iterations)?;
        Ok(ServerFirst { nonce, salt, iterations, offer: offer.map(str::to_owned) })
    }

    /// Writes the message.
    pub fn write(&self) -> String {
        let (nonce, salt) = (&self.nonce, STANDARD.encode(&self.salt));
        let offer = self.offer.as_ref().map(|hash| format!(",h={hash}")).unwrap_or_default();
        format!("r={nonce},s={salt},i={}{offer}", self.iterations)
    }
}

/// The client's last message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFinal {
    /// `c=`: the GS2 header and, when bound, the channel's data.
    pub binding: Vec<u8>,
    /// Both parts of the nonce.
    pub nonce: String,
    /// The proof.
    pub proof: Vec<u8>,
    /// Everything before the proof as written: it is signed.
    pub without_proof: String,
}

impl ClientFinal {
    /// Reads the message.
    pub fn parse(message: &[u8]) -> Result<ClientFinal, ScramError> {
        let text = readable(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = decode(value(attributes.next(), 'c')?)?;
        let nonce = nonce(value(attributes.next(), 'r')?)?;
        extensions(attributes)?;
        Ok(ClientFinal {
            binding,
            nonce,
            proof: decode(proof)?,
            without_proof: without_proof.to_owned(),
        })
    }
}

/// The server's last message: its proof, or the failure it reports.
pub fn parse_server_final(message: &[u8]) -> Result<Vec<u8>, ScramError> {
    let mut attributes = readable(message)?.split(',');
    let first = attributes.next().ok_or(ScramError::Malformed)?;
    extensions(attributes)?;
    match first.split_once('=') {
        Some(("v", signature)) => decode(signature),
        Some(("e", _)) => Err(ScramError::Peer),
        _ => Err(ScramError::Malformed),
    }
}

/// Writes a name so that it has no comma and no equals sign (`saslname`).
pub fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Reads what [`escape`] wrote. Refuses an equals sign that starts neither escape.
fn unescape(name: &str) -> Result<String, ScramError> {
    let mut pieces = name.split('=');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed),
        };
        out.push(sign);
        out.push_str(rest);
    }
    if out.is_empty() {
        return Err(ScramError::Malformed);
    }
    Ok(out)
}

fn readable(message: &[u8]) -> Result<&str, ScramError> {
    let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
    if text.contains('\0') {
        return Err(ScramError::Malformed);
    }
    Ok(text)
}

/// Returns the value of the attribute that must be at this place.
fn value(attribute: Option<&str>, name: char) -> Result<&str, ScramError> {
    let attribute = attribute.ok_or(ScramError::Malformed)?;
    if attribute.starts_with("m=") {
        return Err(ScramError::Extension);
    }
    attribute
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('='))
        .ok_or(ScramError::Malformed)
}

/// Skips optional extensions: they must look like attributes and are otherwise ignored, as 5.1
/// asks.
fn extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for attribute in attributes {
        match attribute.as_bytes() {
            [b'm', b'=', ..] => return Err(ScramError::Extension),
            [name, b'=', _, ..] if name.is_ascii_alphabetic() => {}
            _ => return Err(ScramError::Malformed),
        }
    }
    Ok(())
}

fn nonce(text: &str) -> Result<String, ScramError> {
    if text.is_empty() || !text.bytes().all(|b| matches!(b, 0x21..=0x7e)) {
        return Err(ScramError::Malformed);
    }
    Ok(text.to_owned())
}

fn binding_name(flag: &str) -> Result<String, ScramError> {
    let name = flag.strip_prefix("p=").ok_or(ScramError::Malformed)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(ScramError::Malformed);
    }
    Ok(name.to_owned())
}

fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_first_message_of_the_client_is_read() {
        let first = ClientFirst::parse(b"p=tls-exporter,a=a=2Cb,n=x=3Dy,r=abc,x=1").unwrap();

        assert_eq!(first.gs2, Gs2::Bound("tls-exporter".into()));
        assert_eq!(first.authzid.as_deref(), Some("a,b"));
        assert_eq!(first.username, "x=y");
        assert_eq!(first.nonce, "abc");
        assert_eq!(first.header, "p=tls-exporter,a=a=2Cb,");
        assert_eq!(first.bare, "n=x=3Dy,r=abc,x=1");
    }

    #[test]
    fn a_first_message_that_breaks_the_grammar_is_refused() {
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=bob",
            "n,,r=abc,n=bob",
            "n,,n=,r=abc",
            "n,,n=bob,r=",
            "x,,n=bob,r=abc",
            "p=,,n=bob,r=abc",
            "p=tls exporter,,n=bob,r=abc",
            "p,,n=bob,r=abc",
            "n,bob,n=bob,r=abc",
            "n,a=,n=bob,r=abc",
            "n,,n=b=b,r=abc",
            "n,,n=b=2c,r=abc",
            "n,,n=bob=,r=abc",
            "n,,n=bob,r=a c",
            "n,,n=bob,r=ä",
            "n,,n=bob,r=abc,",
            "n,,n=b\0b,r=a",
            "n,,n=bob,r=abc,x",
            "n,,n=bob,r=abc,1=2",
            "n,,n=bob,r=abc,x=",
            "N,,n=bob,r=abc",
        ] {
            assert_eq!(ClientFirst::parse(bad.as_bytes()), Err(ScramError::Malformed), "{bad:?}");
        }
        assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=abc"), Err(ScramError::Malformed));
    }

    #[test]
    fn a_demanded_extension_is_refused() {
        assert_eq!(ClientFirst::parse(b"n,,m=x,n=bob,r=abc"), Err(ScramError::Extension));
        assert_eq!(ClientFirst::parse(b"n,,n=bob,r=abc,m=x"), Err(ScramError::Extension));
        assert_eq!(ServerFirst::parse(b"m=x,r=abc,s=eA==,i=4096"), Err(ScramError::Extension));
        assert_eq!(ClientFinal::parse(b"c=biws,r=abc,m=x,p=eA=="), Err(ScramError::Extension));
    }

    #[test]
    fn a_first_message_of_the_server_is_read_and_written() {
        let text = "r=abcdef,s=QSXCR+Q6sek8bf92,i=4096";

        let first = ServerFirst::parse(text.as_bytes()).unwrap();

        assert_eq!(first.iterations.get(), 4096);
        assert_eq!(first.offer, None);
        assert_eq!(first.write(), text);
    }

    #[test]
    fn the_hash_of_the_offer_stands_among_the_extensions() {
        let text = "r=abcdef,s=QSXCR+Q6sek8bf92,i=4096,h=eA==";

        let first = ServerFirst::parse(text.as_bytes()).unwrap();
        let behind = ServerFirst::parse(text.replace(",h=", ",x=1,h=").as_bytes()).unwrap();

        assert_eq!(first.offer.as_deref(), Some("eA=="));
        assert_eq!(first.write(), text);
        assert_eq!(behind.offer, first.offer);
    }

    #[test]
    fn a_first_message_of_the_server_that_breaks_the_grammar_is_refused() {
        for bad in [
            "",
            "r=abc",
            "r=abc,s=eA==",
            "r=abc,s=,i=1",
            "r=abc,s=eA=,i=1",
            "r=abc,s=eA==,i=",
            "r=abc,s=eA==,i=-1",
            "r=abc,s=eA==,i=+1",
            "s=eA==,r=abc,i=1",
        ] {
            assert!(ServerFirst::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for count in ["0", "4294967296", "99999999999999999999999"] {
            let text = format!("r=abc,s=eA==,i={count}");
            assert_eq!(ServerFirst::parse(text.as_bytes()), Err(ScramError::Iterations));
        }
    }

    #[test]
    fn a_last_message_of_the_client_that_breaks_the_grammar_is_refused() {
        for bad in [
            "",
            "c=biws",
            "c=biws,r=abc",
            "c=biws,r=abc,p=!",
            "r=abc,c=biws,p=eA==",
            "c=bi ws,r=abc,p=eA==",
            "c=biws,p=eA==",
            "c=biws,r=abc,p=eA==,x=1",
        ] {
            assert_eq!(ClientFinal::parse(bad.as_bytes()), Err(ScramError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_last_message_of_the_server_is_a_proof_or_an_error() {
        assert_eq!(parse_server_final(b"v=eA=="), Ok(b"x".to_vec()));
        assert_eq!(parse_server_final(b"e=invalid-proof"), Err(ScramError::Peer));
        for bad in ["", "v", "x=eA==", "v=?"] {
            assert_eq!(parse_server_final(bad.as_bytes()), Err(ScramError::Malformed));
        }
    }

    #[test]
    fn escaping_a_name_can_be_undone() {
        for name in ["bob", "a,b", "a=b", "=2C", ",,==", "ünï"] {
            assert_eq!(unescape(&escape(name)).unwrap(), name);
        }
    }
}
