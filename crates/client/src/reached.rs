//! A server as a session has reached it, and the check that another connection ends at the same
//! server.

use std::net::SocketAddr;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::pins::Fingerprint;
use crate::route::Endpoint;
use crate::tls::{Tls, server_name};

/// A server as a connection has reached it.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The address.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// The certificate it showed, which was trusted.
    pub certificate: Fingerprint,
    /// How it was found.
    pub(crate) endpoint: Endpoint,
    /// The TLS configuration that judged it.
    pub(crate) tls: Tls,
}

/// Accepts the certificate that a server has shown before, or one that an authority vouches for
/// under its domain, at any address: for other services of the same server.
#[derive(Debug)]
pub struct SameServer(Reached);

impl SameServer {
    /// For a server that a session has reached.
    pub fn new(reached: Reached) -> SameServer {
        SameServer(reached)
    }
}

impl ServerCertVerifier for SameServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let SameServer(Reached { domain, certificate, tls, .. }) = self;
        if Fingerprint::of(end_entity) == *certificate {
            return Ok(ServerCertVerified::assertion());
        }
        let unfit = || rustls::Error::General("not the server's certificate".to_owned());
        let authorities = tls.authorities.as_ref().ok_or_else(unfit)?;
        let name = server_name(domain).map_err(|_| unfit())?;
        authorities.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, self.0.tls.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, self.0.tls.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.tls.algorithms().supported_schemes()
    }
}
