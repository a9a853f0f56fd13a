//! RFC 5802, the client's side of SCRAM: it proves the password and demands the server's proof.

use super::downgrade::Offer;
use super::message::{Gs2, ServerFirst, escape, parse_server_final};
use super::{Hash, ScramError, xor};
use crate::secret::{Password, same_secret};
use crate::token;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::ops::RangeInclusive;

/// The range of iterations that we accept. RFC 7677, 4 asks for at least 4096; a server that asks
/// for fewer makes the password cheap to guess. A million keeps a core busy for half a second.
const ITERATIONS: RangeInclusive<u32> = 4096..=1_000_000;

/// What the client says about channel binding, with the data if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// We have no channel binding.
    None,
    /// We have channel binding, but of no type that the server lists. Then the server must prove
    /// that the list is its own (XEP-0474, new rule 6).
    NoneInCommon,
    /// We have channel binding, and the server seems to have none.
    NotOffered,
    /// We use this type, with this channel's data.
    Bound(&'static str, Vec<u8>),
}

/// An exchange whose first message is written; it waits for the server's first message.
#[derive(Debug)]
pub struct Started {
    hash: Hash,
    password: Password,
    nonce: String,
    bare: String,
    /// The data for `c=` in the last message.
    binding: Vec<u8>,
    /// What the server offered, as it arrived here.
    offer: Offer,
    /// Whether the server must prove that it offered this.
    must_prove_offer: bool,
}

impl Started {
    /// Starts an exchange and returns it with the client's first message.
    ///
    /// Refuses a name that SASLprep refuses as malformed: no server could know it.
    pub fn new(
        hash: Hash,
        username: &str,
        password: Password,
        binding: &Binding,
        offer: Offer,
    ) -> Result<(Started, String), ScramError> {
        Started::with_nonce(hash, username, password, binding, offer, token::token())
    }

    fn with_nonce(
        hash: Hash,
        username: &str,
        password: Password,
        binding: &Binding,
        offer: Offer,
        nonce: String,
    ) -> Result<(Started, String), ScramError> {
        let username = stringprep::saslprep(username).map_err(|_| ScramError::Malformed)?;
        if username.is_empty() {
            return Err(ScramError::Malformed);
        }
        let (gs2, data) = match binding {
            Binding::None | Binding::NoneInCommon => (Gs2::None, &[][..]),
            Binding::NotOffered => (Gs2::NotOffered, &[][..]),
            Binding::Bound(type_, data) => (Gs2::Bound((*type_).to_owned()), &data[..]),
        };
        let header = match gs2 {
            Gs2::None => "n,,".to_owned(),
            Gs2::NotOffered => "y,,".to_owned(),
            Gs2::Bound(type_) => format!("p={type_},,"),
        };
        let bare = format!("n={},r={nonce}", escape(&username));
        let message = format!("{header}{bare}");
        let must_prove_offer = *binding == Binding::NoneInCommon;
        let binding = [header.as_bytes(), data].concat();
        let started = Started { hash, password, nonce, bare, binding, offer, must_prove_offer };
        Ok((started, message))
    }

    /// Answers the server's first message with the proof. This is slow on purpose (milliseconds).
    pub fn respond(self, message: &[u8]) -> Result<(Proved, String), ScramError> {
        let text = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let first = ServerFirst::parse(message)?;
        // The server must have added its own part of the nonce.
        if !first.nonce.starts_with(&self.nonce) || first.nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        if !ITERATIONS.contains(&first.iterations.get()) {
            return Err(ScramError::Iterations);
        }
        // XEP-0474: if the hash was changed or removed on its way, the server refuses our proof,
        // which covers its message as it arrived here.
        match &first.offer {
            Some(hash) if *hash == self.offer.digest(self.hash) => {}
            None if !self.must_prove_offer => {}
            _ => return Err(ScramError::Downgrade),
        }

        let salted = self.hash.salted(&self.password, &first.salt, first.iterations);
        let client_key = self.hash.keyed(&salted, b"Client Key");
        let without_proof = format!("c={},r={}", STANDARD.encode(&self.binding), first.nonce);
        let signed = format!("{},{text},{without_proof}", self.bare);
        let signature = self.hash.keyed(&self.hash.plain(&client_key), signed.as_bytes());
        let proof = STANDARD.encode(xor(&client_key, &signature));

        let server_key = self.hash.keyed(&salted, b"Server Key");
        let expected = self.hash.keyed(&server_key, signed.as_bytes());
        Ok((Proved { expected }, format!("{without_proof},p={proof}")))
    }
}

/// An exchange that waits for the server's proof.
pub struct Proved {
    expected: Vec<u8>,
}

impl Proved {
    /// Checks that the server knows the verifier too: without this, anybody could say "welcome".
    pub fn verify(&self, message: &[u8]) -> Result<(), ScramError> {
        if same_secret(&parse_server_final(message)?, &self.expected) {
            Ok(())
        } else {
            Err(ScramError::Proof)
        }
    }
}

impl std::fmt::Debug for Proved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proved")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::binding::{ChannelBindings, EXPORTER};
    use crate::scram::message::ClientFirst;
    use crate::scram::{Verifier, server};

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    fn offer() -> Offer {
        Offer::new(["SCRAM-SHA-1", "SCRAM-SHA-256"], Some(["tls-exporter"]))
    }

    fn start(
        hash: Hash,
        username: &str,
        password: Password,
        binding: &Binding,
        nonce: String,
    ) -> Result<(Started, String), ScramError> {
        Started::with_nonce(hash, username, password, binding, offer(), nonce)
    }

    /// RFC 5802, 5.
    fn sha1() -> Started {
        let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
        let (exchange, message) =
            start(Hash::Sha1, "user", password("pencil"), &Binding::None, nonce).unwrap();
        assert_eq!(message, "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        exchange
    }

    const SERVER_FIRST: &str =
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";

    #[test]
    fn the_example_of_rfc_5802_is_answered() {
        let (exchange, message) = sha1().respond(SERVER_FIRST.as_bytes()).unwrap();

        assert_eq!(
            message,
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert_eq!(exchange.verify(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), Ok(()));
    }

    #[test]
    fn a_server_that_cannot_prove_itself_is_refused() {
        let (exchange, _) = sha1().respond(SERVER_FIRST.as_bytes()).unwrap();

        assert_eq!(exchange.verify(b"v=rmF9pqV8S7suAoZWja4dJRkFsKA="), Err(ScramError::Proof));
        assert_eq!(exchange.verify(b"v="), Err(ScramError::Proof));
        assert_eq!(exchange.verify(b"e=other-error"), Err(ScramError::Peer));
        assert_eq!(exchange.verify(b""), Err(ScramError::Malformed));
    }

    #[test]
    fn a_server_that_does_not_take_up_the_nonce_is_refused() {
        for nonce in ["fyko+d2lbbFgONRv9qkxdawL", "other", "fyko+d2lbbFgONRv9qkxdaw"] {
            let message = format!("r={nonce},s=QSXCR+Q6sek8bf92,i=4096");
            assert_eq!(sha1().respond(message.as_bytes()).unwrap_err(), ScramError::Nonce);
        }
    }

    #[test]
    fn too_few_and_too_many_iterations_are_refused() {
        for count in ["1", "4095", "1000001", "4294967295"] {
            let message = SERVER_FIRST.replace("4096", count);
            assert_eq!(sha1().respond(message.as_bytes()).unwrap_err(), ScramError::Iterations);
        }
    }

    #[test]
    fn a_name_that_cannot_be_prepared_is_refused() {
        for name in ["", "\u{7}"] {
            let started =
                Started::new(Hash::Sha1, name, password("pencil"), &Binding::None, offer());
            assert_eq!(started.unwrap_err(), ScramError::Malformed);
        }
    }

    #[test]
    fn both_ends_agree_over_every_hash_and_binding() {
        let channel = ChannelBindings { exporter: Some([9; 32]), server_end_point: None };
        let bound = Binding::Bound(EXPORTER, vec![9; 32]);
        for hash in Hash::ALL {
            for (binding, plus) in
                [(&Binding::None, false), (&Binding::NoneInCommon, false), (&bound, true)]
            {
                let verifier = Verifier::fresh(hash, &password("päss,=wörd"));

                let (client, first) =
                    Started::new(hash, "a=b,c", password("päss,=wörd"), binding, offer()).unwrap();
                let first = ClientFirst::parse(first.as_bytes()).unwrap();
                assert_eq!(first.username, "a=b,c");
                let server = server::Started::new(first, plus, true, &channel).unwrap();
                let (server, challenge) = server.challenge(verifier, true, &offer());
                let (client, response) = client.respond(challenge.as_bytes()).unwrap();
                let last = server.finish(response.as_bytes()).unwrap();

                assert_eq!(client.verify(last.as_bytes()), Ok(()));
            }
        }
    }

    #[test]
    fn an_offer_that_was_changed_on_its_way_is_noticed() {
        let sent = Offer::new(["SCRAM-SHA-1", "SCRAM-SHA-512"], Some(["tls-exporter"]));
        let message = format!("{SERVER_FIRST},h={}", sent.digest(Hash::Sha1));

        assert_eq!(sha1().respond(message.as_bytes()).unwrap_err(), ScramError::Downgrade);
        let good = format!("{SERVER_FIRST},h={}", offer().digest(Hash::Sha1));
        assert!(sha1().respond(good.as_bytes()).is_ok());
    }

    #[test]
    fn a_hash_that_was_changed_or_taken_out_makes_the_proof_wrong() {
        let verifier = Verifier::fresh(Hash::Sha256, &password("pencil"));
        let channel = ChannelBindings::default();
        let sent = Offer::new(["SCRAM-SHA-256", "SCRAM-SHA-512"], Some(["tls-exporter"]));
        for forged in [String::new(), format!(",h={}", offer().digest(Hash::Sha256))] {
            let (client, first) =
                Started::new(Hash::Sha256, "bob", password("pencil"), &Binding::None, offer())
                    .unwrap();
            let first = ClientFirst::parse(first.as_bytes()).unwrap();
            let server = server::Started::new(first, false, false, &channel).unwrap();
            let (server, challenge) = server.challenge(verifier.clone(), true, &sent);
            let (challenge, _) = challenge.split_once(",h=").unwrap();

            let (_, response) = client.respond(format!("{challenge}{forged}").as_bytes()).unwrap();

            assert_eq!(server.finish(response.as_bytes()), Err(ScramError::Proof));
        }
    }

    #[test]
    fn without_a_type_in_common_the_server_must_prove_its_list() {
        let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
        let (exchange, first) =
            start(Hash::Sha1, "user", password("pencil"), &Binding::NoneInCommon, nonce).unwrap();

        assert!(first.starts_with("n,,"));
        let refused = exchange.respond(SERVER_FIRST.as_bytes()).unwrap_err();
        assert_eq!(refused, ScramError::Downgrade);
    }

    #[test]
    fn a_login_relayed_from_another_channel_fails() {
        let here = ChannelBindings { exporter: Some([9; 32]), server_end_point: None };
        let theirs = Binding::Bound(EXPORTER, vec![8; 32]);
        let verifier = Verifier::fresh(Hash::Sha256, &password("pencil"));

        let (client, first) =
            Started::new(Hash::Sha256, "bob", password("pencil"), &theirs, offer()).unwrap();
        let first = ClientFirst::parse(first.as_bytes()).unwrap();
        let server = server::Started::new(first, true, true, &here).unwrap();
        let (server, challenge) = server.challenge(verifier, true, &offer());
        let (_, response) = client.respond(challenge.as_bytes()).unwrap();

        assert_eq!(server.finish(response.as_bytes()), Err(ScramError::Binding));
    }
}
