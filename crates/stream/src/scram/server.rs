//! RFC 5802, the server's side of SCRAM: it checks the channel first, then the proof.

use super::downgrade::Offer;
use super::message::{ClientFinal, ClientFirst, Gs2, ServerFirst};
use super::{FormerKey, Hash, ScramError, Verifier, xor};
use crate::binding::ChannelBindings;
use crate::secret::same_secret;
use crate::token;
use base64::{Engine, engine::general_purpose::STANDARD};

/// An exchange whose first message was read and whose channel binding is acceptable; it waits for
/// the verifier.
#[derive(Debug)]
pub struct Started {
    first: ClientFirst,
    /// The data that the last message must carry in `c=`.
    binding: Vec<u8>,
}

impl Started {
    /// Checks what the client says about channel binding (RFC 5802, 6).
    ///
    /// `plus` is whether the mechanism is a `-PLUS` one, `offered` whether any was offered.
    pub fn new(
        first: ClientFirst,
        plus: bool,
        offered: bool,
        channel: &ChannelBindings,
    ) -> Result<Started, ScramError> {
        let mut binding = first.header.clone().into_bytes();
        match (&first.gs2, plus) {
            (Gs2::None, false) => {}
            (Gs2::NotOffered, false) if offered => return Err(ScramError::Downgrade),
            (Gs2::NotOffered, false) => {}
            (Gs2::Bound(type_), true) => {
                binding.extend_from_slice(channel.get(type_).ok_or(ScramError::Binding)?);
            }
            (Gs2::Bound(_), false) | (Gs2::None | Gs2::NotOffered, true) => {
                return Err(ScramError::Binding);
            }
        }
        Ok(Started { first, binding })
    }

    /// The name whose password is to be proved: unescaped, not normalised.
    pub fn username(&self) -> &str {
        &self.first.username
    }

    /// The authzid: as whom the client wants to act, if it says.
    pub fn authzid(&self) -> Option<&str> {
        self.first.authzid.as_deref()
    }

    /// Continues with the verifier: returns the exchange, and the server's first message, which
    /// says what was offered.
    ///
    /// `genuine` is false for a fake verifier: then every proof is wrong.
    pub fn challenge(
        self,
        verifier: Verifier,
        genuine: bool,
        offer: &Offer,
    ) -> (Challenged, String) {
        let offer = offer.digest(verifier.hash);
        self.challenge_with(verifier, genuine, Some(offer), &token::token())
    }

    fn challenge_with(
        self,
        verifier: Verifier,
        genuine: bool,
        offer: Option<String>,
        own: &str,
    ) -> (Challenged, String) {
        let nonce = format!("{}{own}", self.first.nonce);
        let message = ServerFirst {
            nonce: nonce.clone(),
            salt: verifier.salt.clone(),
            iterations: verifier.iterations,
            offer,
        }
        .write();
        let signed = format!("{},{message},", self.first.bare);
        (
            Challenged {
                binding: self.binding,
                nonce,
                signed,
                verifier,
                genuine,
                former: Vec::new(),
            },
            message,
        )
    }
}

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub struct Challenged {
    binding: Vec<u8>,
    nonce: String,
    /// The part of AuthMessage that is already known, with its last comma.
    signed: String,
    verifier: Verifier,
    genuine: bool,
    former: Vec<FormerKey>,
}

impl Challenged {
    /// Also recognises proofs of these former passwords. None of them succeeds.
    pub fn recognising(self, former: Vec<FormerKey>) -> Challenged {
        Challenged { former, ..self }
    }

    /// Checks the proof and returns the server's own, `v=…`.
    pub fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        let last = ClientFinal::parse(message)?;
        if !same_secret(last.nonce.as_bytes(), self.nonce.as_bytes()) {
            return Err(ScramError::Nonce);
        }
        if !same_secret(&last.binding, &self.binding) {
            return Err(ScramError::Binding);
        }
        let hash: Hash = self.verifier.hash;
        let signed = self.signed + &last.without_proof;
        if last.proof.len() != hash.len() {
            return Err(ScramError::Proof);
        }
        let proves = |stored_key: &[u8]| {
            let client_key = xor(&last.proof, &hash.keyed(stored_key, signed.as_bytes()));
            same_secret(&hash.plain(&client_key), stored_key)
        };
        // Not `&&`: a fake verifier must cost the same time.
        if !(proves(&self.verifier.stored_key) & self.genuine) {
            let former = self.former.iter().position(|former| proves(&former.0));
            return Err(former.map_or(ScramError::Proof, ScramError::Former));
        }
        let own = hash.keyed(&self.verifier.server_key, signed.as_bytes());
        Ok(format!("v={}", STANDARD.encode(own)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secret::Password;
    use std::num::NonZeroU32;

    fn verifier(hash: Hash, salt: &str) -> Verifier {
        let password = Password::new("pencil").unwrap();
        let salt = STANDARD.decode(salt).unwrap();
        Verifier::derive(hash, &password, &salt, NonZeroU32::new(4096).unwrap())
    }

    fn started(first: &str, plus: bool, offered: bool) -> Result<Started, ScramError> {
        let channel = ChannelBindings { exporter: Some([7; 32]), server_end_point: None };
        Started::new(ClientFirst::parse(first.as_bytes())?, plus, offered, &channel)
    }

    /// RFC 5802, 5.
    fn sha1() -> Challenged {
        let (exchange, message) =
            started("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", false, true).unwrap().challenge_with(
                verifier(Hash::Sha1, "QSXCR+Q6sek8bf92"),
                true,
                None,
                "3rfcNHYJY1ZVvWVs7j",
            );
        assert_eq!(
            message,
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
        );
        exchange
    }

    const SHA1_FINAL: &str = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                              p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";

    #[test]
    fn the_example_of_rfc_5802_succeeds() {
        let proof = sha1().finish(SHA1_FINAL.as_bytes()).unwrap();

        assert_eq!(proof, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn the_example_of_rfc_7677_succeeds() {
        let (exchange, message) =
            started("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", false, true).unwrap().challenge_with(
                verifier(Hash::Sha256, "W22ZaJ0SNY7soEsUEjb6gQ=="),
                true,
                None,
                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            );
        assert_eq!(
            message,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );

        let proof = exchange
            .finish(
                b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                  p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            )
            .unwrap();

        assert_eq!(proof, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    /// No RFC has an example with SHA-512. This is RFC 7677's with another salt; its proofs were
    /// made with Python's `hashlib.pbkdf2_hmac` and `hmac`, which also reproduce the proofs of both
    /// RFCs.
    #[test]
    fn what_python_computes_for_sha_512_succeeds() {
        let (exchange, message) =
            started("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", false, true).unwrap().challenge_with(
                verifier(Hash::Sha512, "Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88="),
                true,
                None,
                "02431b08-2f0c-4bad-a4e6-80c0564ec865",
            );
        assert_eq!(
            message,
            "r=rOprNGfwEbeRWgbNEkqO02431b08-2f0c-4bad-a4e6-80c0564ec865,\
             s=Yin2FuHTt/M0kJWb0t9OI32n2VmOGi3m+JfjOvuDF88=,i=4096"
        );

        let proof = exchange
            .finish(
                b"c=biws,r=rOprNGfwEbeRWgbNEkqO02431b08-2f0c-4bad-a4e6-80c0564ec865,\
                  p=/rEe0l0f8TFUZ602ZhrlhFQjPTPwhuBN2OtmtUkVwke0+1HXwg97t9EAECkJuwsneJbK96u3OkWQ9AnQ\
                  TfQOkQ==",
            )
            .unwrap();

        assert_eq!(
            proof,
            "v=+G6+ISRLYUHLGlkL5p/wF8dGGJb1DNQ+pAw35WkWjFeKS8/Ms75mKGsQVxiMR5dTV864MOPCzaB6hba2VXMb\
             fA=="
        );
    }

    #[test]
    fn the_example_of_xep_0474_succeeds() {
        let offer = Offer::new(
            ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"],
            Some(["tls-server-end-point", "tls-exporter"]),
        );
        let first = "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
        let first = ClientFirst::parse(first.as_bytes()).unwrap();
        let binding = [first.header.as_bytes(), b"THIS IS FAKE CB DATA"].concat();
        let (exchange, message) = Started { first, binding }.challenge_with(
            verifier(Hash::Sha1, "QSXCR+Q6sek8bf92"),
            true,
            Some(offer.digest(Hash::Sha1)),
            "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
        );
        assert_eq!(
            message,
            "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
             s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
        );

        let proof = exchange
            .finish(
                b"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
                  r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
                  x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
            )
            .unwrap();

        assert_eq!(proof, "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=");
    }

    #[test]
    fn a_wrong_proof_fails() {
        for proof in ["v0X8v3Bz2T0CJGbJQyF0X+HI4Tt=", "AAAA", "", "v0X8v3Bz2T0CJGbJQyF0X+HI4TsA"] {
            let message = SHA1_FINAL.replace("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", proof);
            assert!(sha1().finish(message.as_bytes()).is_err(), "{proof}");
        }
    }

    #[test]
    fn a_nonce_of_another_exchange_fails() {
        for nonce in ["fyko+d2lbbFgONRv9qkxdawL", "x", "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7k"]
        {
            let message = SHA1_FINAL.replace("fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j", nonce);
            assert_eq!(sha1().finish(message.as_bytes()), Err(ScramError::Nonce));
        }
    }

    #[test]
    fn another_gs2_header_in_the_last_message_fails() {
        // `eSws` is `y,,`: an attacker changed the first message on its way.
        let message = SHA1_FINAL.replace("biws", "eSws");

        assert_eq!(sha1().finish(message.as_bytes()), Err(ScramError::Binding));
    }

    #[test]
    fn a_made_up_verifier_refuses_even_the_right_proof() {
        let mut exchange = sha1();
        exchange.genuine = false;

        assert_eq!(exchange.finish(SHA1_FINAL.as_bytes()), Err(ScramError::Proof));
    }

    #[test]
    fn y_is_refused_after_plus_was_offered() {
        assert_eq!(started("y,,n=user,r=abc", false, true).unwrap_err(), ScramError::Downgrade);
        assert!(started("y,,n=user,r=abc", false, false).is_ok());
        assert!(started("n,,n=user,r=abc", false, true).is_ok());
    }

    #[test]
    fn the_flag_must_fit_the_mechanism() {
        for (first, plus) in [
            ("p=tls-exporter,,n=user,r=abc", false),
            ("n,,n=user,r=abc", true),
            ("y,,n=user,r=abc", true),
        ] {
            assert_eq!(started(first, plus, true).unwrap_err(), ScramError::Binding, "{first}");
        }
    }

    #[test]
    fn a_binding_this_channel_does_not_have_is_refused() {
        for type_ in ["tls-unique", "tls-server-end-point", "TLS-EXPORTER"] {
            let first = format!("p={type_},,n=user,r=abc");
            assert_eq!(started(&first, true, true).unwrap_err(), ScramError::Binding);
        }
        assert!(started("p=tls-exporter,,n=user,r=abc", true, true).is_ok());
    }
}
