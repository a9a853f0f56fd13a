//! RFC 7590 and RFC 9525 for a client: the TLS handshake, and the trust in the server's
//! certificate.
//!
//! The handshake itself accepts any certificate whose key the server holds, and records it.
//! Nothing is sent over the channel before its [`CertificateTrust`] has been checked. So a
//! certificate that no authority vouches for can be shown to the user, or proved by SCRAM-PLUS,
//! instead of ending in a TLS alert.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use whoelse_stream::server_end_point;

use crate::faults;
use crate::pins::Fingerprint;

/// The results of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The certificate the server showed.
    pub fingerprint: Fingerprint,
    /// Whether an authority of this computer vouches for it under this name.
    pub valid: bool,
    /// What is wrong with it, if it is not valid.
    pub fault: Option<String>,
    /// RFC 9266 channel binding; only with TLS 1.3, where it is unique without further conditions.
    pub exporter: Option<[u8; 32]>,
    /// RFC 5929 channel binding: a hash of the certificate.
    pub end_point: Option<Vec<u8>>,
}

/// How far a certificate is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateTrust {
    /// Valid, pinned, or just accepted by its fingerprint.
    Trusted,
    /// A server on this computer on first use: pinned without a question.
    FirstOnLoopback,
    /// No authority vouches for it; the user is asked about the fingerprint.
    Unknown,
    /// Differs from the pinned one. Refused; only SCRAM-PLUS may be tried over it.
    Changed {
        /// The pinned one.
        pinned: Fingerprint,
    },
}

/// What a connection may be used for, depending on its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Valid, or accepted by its fingerprint.
    Trusted,
    /// Trusted on first use on this computer: accounts may be made, and the password of an
    /// existing one is proved but never sent.
    Met(Fingerprint),
    /// Differs from the pinned one: only for a login by SCRAM-PLUS.
    Untrusted(Fingerprint),
}

/// Decides how far a certificate is trusted. Pure.
pub fn judge(
    seen: &Seen,
    pinned: Option<Fingerprint>,
    accepted: Option<Fingerprint>,
    loopback: bool,
) -> CertificateTrust {
    if seen.valid || pinned == Some(seen.fingerprint) || accepted == Some(seen.fingerprint) {
        return CertificateTrust::Trusted;
    }
    match pinned {
        Some(pinned) => CertificateTrust::Changed { pinned },
        None if loopback => CertificateTrust::FirstOnLoopback,
        None => CertificateTrust::Unknown,
    }
}

/// Returns the name to check a certificate against; fails for a domain that TLS cannot carry.
pub fn server_name(domain: &str) -> io::Result<ServerName<'static>> {
    let bare = domain.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a name TLS can carry"))
}

/// Makes handshakes with a provider and authorities that are loaded once.
#[derive(Debug, Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    pub(crate) authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl Tls {
    /// Uses the authorities of the operating system.
    pub fn new() -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Tls::with_roots(roots)
    }

    /// Uses these authorities alone; without any, no certificate is valid, but pins still work.
    pub fn with_roots(roots: RootCertStore) -> Tls {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .ok();
        Tls { provider, authorities }
    }

    /// Returns the signature algorithms.
    pub(crate) fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Shakes hands and returns the results. `direct` offers the protocol in ALPN (XEP-0368).
    pub async fn connect<IO>(
        &self,
        io: IO,
        name: ServerName<'static>,
        direct: bool,
    ) -> io::Result<(TlsStream<IO>, Seen)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let witness = Arc::new(Witness { tls: self.clone(), noted: Mutex::new(None) });
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(witness.clone())
            .with_no_client_auth();
        // A resumed TLS session shows no certificate to judge.
        config.resumption = rustls::client::Resumption::disabled();
        if direct {
            config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        }
        let stream = TlsConnector::from(Arc::new(config)).connect(name, io).await?;
        let (fingerprint, end_point, fault) = witness
            .noted
            .lock()
            .take()
            .ok_or_else(|| io::Error::other("the server showed no certificate"))?;
        let connection = stream.get_ref().1;
        let exporter = (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
            .then(|| {
                connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            })
            .and_then(Result::ok);
        let seen = Seen { fingerprint, valid: fault.is_none(), fault, exporter, end_point };
        Ok((stream, seen))
    }
}

impl Default for Tls {
    fn default() -> Tls {
        Tls::new()
    }
}

/// Records the certificate and the authorities' verdict. The signature of the handshake is always
/// checked, so the server must hold the key.
#[derive(Debug)]
struct Witness {
    tls: Tls,
    /// Held for one swap.
    noted: Mutex<Option<Note>>,
}

/// The certificate's fingerprint, its channel binding, and what is wrong with it.
type Note = (Fingerprint, Option<Vec<u8>>, Option<String>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fault = match &self.tls.authorities {
            None => Some("this computer trusts no authority".to_owned()),
            Some(authorities) => authorities
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .err()
                .map(|fault| faults::of_certificate(&fault)),
        };
        let note = (Fingerprint::of(end_entity), server_end_point(end_entity), fault);
        *self.noted.lock() = Some(note);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, self.tls.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, self.tls.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls.algorithms().supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seen(valid: bool) -> Seen {
        let fault = (!valid).then(|| "self-signed".to_owned());
        Seen {
            fingerprint: Fingerprint::of(b"this"),
            valid,
            fault,
            exporter: None,
            end_point: None,
        }
    }

    #[test]
    fn a_valid_certificate_is_trusted_whatever_was_pinned() {
        assert_eq!(judge(&seen(true), None, None, false), CertificateTrust::Trusted);
        let other = Fingerprint::of(b"other");
        assert_eq!(judge(&seen(true), Some(other), None, false), CertificateTrust::Trusted);
    }

    #[test]
    fn a_pinned_certificate_is_trusted() {
        let this = Fingerprint::of(b"this");
        assert_eq!(judge(&seen(false), Some(this), None, false), CertificateTrust::Trusted);
    }

    #[test]
    fn a_certificate_accepted_by_fingerprint_is_trusted_and_only_that_one() {
        let this = Fingerprint::of(b"this");
        let other = Fingerprint::of(b"other");
        assert_eq!(judge(&seen(false), None, Some(this), false), CertificateTrust::Trusted);
        assert_eq!(judge(&seen(false), Some(other), Some(this), false), CertificateTrust::Trusted);
        assert_eq!(judge(&seen(false), None, Some(other), false), CertificateTrust::Unknown);
    }

    #[test]
    fn a_server_on_this_computer_is_pinned_on_first_use_and_no_other() {
        assert_eq!(judge(&seen(false), None, None, true), CertificateTrust::FirstOnLoopback);
        assert_eq!(judge(&seen(false), None, None, false), CertificateTrust::Unknown);
    }

    #[test]
    fn a_changed_pin_is_refused_even_on_loopback() {
        let pinned = Fingerprint::of(b"other");
        for loopback in [true, false] {
            assert_eq!(
                judge(&seen(false), Some(pinned), None, loopback),
                CertificateTrust::Changed { pinned }
            );
        }
    }

    #[test]
    fn names_and_addresses_can_be_checked_and_nonsense_cannot() {
        assert!(server_name("localhost").is_ok());
        assert!(server_name("127.0.0.1").is_ok());
        assert!(server_name("[::1]").is_ok());
        assert!(server_name("a b").is_err());
    }
}
