//! RFC 7590 and XEP-0368: the one module that owns TLS: keys, handshakes, channel bindings.
//!
//! A [`Tls`] holds one certificate at a time and can be given another while it runs; each
//! handshake uses one of them from beginning to end, so that the channel binding made from it is
//! the right one.

mod files;
mod self_signed;
mod validity;

pub use files::{Fingerprint, TlsError};
pub(crate) use self_signed::can_ensure;
pub use self_signed::{Ensured, OwnFiles, ensure};

use crate::byte_stream::Io;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{Acceptor, NoServerSessionStorage};
#[cfg(feature = "relay")]
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use whoelse_core::Time;
use whoelse_stream::{ChannelBindings, server_end_point};

/// XEP-0368: the protocol's name in ALPN.
const ALPN: &[u8] = b"xmpp-client";

/// Makes the server's side of handshakes.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    /// The certificate and its key.
    files: ArcSwap<(PathBuf, PathBuf)>,
    current: Arc<ArcSwap<Shown>>,
}

/// One certificate and what is derived from it.
struct Shown {
    starttls: Arc<ServerConfig>,
    direct: Arc<ServerConfig>,
    end_point: Option<Vec<u8>>,
    fingerprint: Fingerprint,
    end: Option<Time>,
    /// The server's own certificate.
    own: CertificateDer<'static>,
    /// The chain and its key.
    #[cfg(feature = "relay")]
    certified: Arc<CertifiedKey>,
}

impl Tls {
    /// Reads a certificate chain and its key, both PEM.
    pub fn open(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        // We name the provider everywhere. But with two providers linked, a library that asks for
        // the default and finds none would panic. Installing fails if a default exists already,
        // and that is fine.
        let _ = aws_lc_rs::default_provider().install_default();
        let shown = Shown::read(&provider, certificate, key)?;
        Ok(Tls {
            provider,
            files: ArcSwap::from_pointee((certificate.to_owned(), key.to_owned())),
            current: Arc::new(ArcSwap::from_pointee(shown)),
        })
    }

    /// Reads the files again. Open connections keep the certificate they have; on an error nothing
    /// changes.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (certificate, key) = &*self.files.load_full();
        self.replace(certificate, key)
    }

    /// Uses other files from now on, with the rules of [`Tls::reload`].
    pub fn replace(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        let shown = Shown::read(&self.provider, certificate, key)?;
        self.files.store(Arc::new((certificate.to_owned(), key.to_owned())));
        self.current.store(Arc::new(shown));
        Ok(())
    }

    /// Returns the paths of the certificate and the key.
    pub fn files(&self) -> (PathBuf, PathBuf) {
        (**self.files.load()).clone()
    }

    /// Returns whether the certificate is valid for a domain.
    pub fn names(&self, domain: &str) -> bool {
        self_signed::names(&self.current.load().own, domain)
    }

    /// Until when the certificate is valid, if it says so.
    pub fn end(&self) -> Option<Time> {
        self.current.load().end
    }

    /// What people compare to know that they talk to this server.
    pub fn fingerprint(&self) -> Fingerprint {
        self.current.load().fingerprint
    }

    /// Shakes hands. `direct`: TLS from the first byte, where ALPN names the protocol.
    pub(crate) async fn accept<S: Io>(
        &self,
        io: S,
        direct: bool,
    ) -> io::Result<(TlsStream<S>, ChannelBindings)> {
        let shown = self.current.load_full();
        let config = if direct { &shown.direct } else { &shown.starttls };
        let stream = TlsAcceptor::from(config.clone()).accept(io).await?;
        let bindings = shown.bindings(&stream);
        Ok((stream, bindings))
    }

    /// Shakes hands on a port where TLS may carry more than XMPP. Agrees on `xmpp-client` with a
    /// client that offers it in ALPN; a client that offers nothing or something else is accepted
    /// without an agreement.
    pub(crate) async fn accept_any<S: Io>(
        &self,
        io: S,
    ) -> io::Result<(TlsStream<S>, ChannelBindings)> {
        let shown = self.current.load_full();
        let begun = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let names_xmpp =
            begun.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == ALPN));
        let config = if names_xmpp { &shown.direct } else { &shown.starttls };
        let stream = begun.into_stream(config.clone()).await?;
        let bindings = shown.bindings(&stream);
        Ok((stream, bindings))
    }
}

#[cfg(feature = "relay")]
impl Tls {
    /// Returns a configuration for QUIC, which is TLS 1.3. Each handshake uses the certificate of
    /// that moment.
    pub(crate) fn quic(&self, alpn: &[u8]) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Present(self.current.clone())));
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }
}

/// The certificate that is shown at this moment.
#[cfg(feature = "relay")]
#[derive(Debug)]
struct Present(Arc<ArcSwap<Shown>>);

#[cfg(feature = "relay")]
impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }
}

#[cfg(feature = "relay")]
impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

impl Shown {
    fn read(
        provider: &Arc<CryptoProvider>,
        certificate: &Path,
        key: &Path,
    ) -> Result<Shown, TlsError> {
        let chain = files::chain(certificate)?;
        let private = files::private_key(key)?;
        // `chain` has refused an empty file.
        let own = chain.first().map(|own| own.to_vec()).unwrap_or_default();
        let unfit = |error| TlsError::unfit(certificate, key, &error);
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(unfit)?;
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())));
        // RFC 9266, 4.2: with TLS 1.2 the exporter binds only with the extended master secret (RFC
        // 7627), which every TLS library has had since about 2016.
        config.require_ems = true;
        // No TLS session is resumed: a handshake with a ticket does the same key exchange, and
        // tickets would cost work at every login and memory. XMPP resumes the stream instead
        // (XEP-0198). So there is no early data, either, which could be replayed (XEP-0388, 4).
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut direct = config.clone();
        direct.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Shown {
            starttls: Arc::new(config),
            direct: Arc::new(direct),
            end_point: server_end_point(&own),
            fingerprint: Fingerprint::of(&own),
            end: validity::end(&own),
            own: own.into(),
            #[cfg(feature = "relay")]
            certified: Arc::new(certified),
        })
    }

    /// Returns the channel bindings of a connection with this certificate.
    fn bindings<S>(&self, stream: &TlsStream<S>) -> ChannelBindings {
        let label = b"EXPORTER-Channel-Binding";
        let connection = stream.get_ref().1;
        let exporter = connection.export_keying_material([0; 32], label, Some(b"")).ok();
        ChannelBindings { exporter, server_end_point: self.end_point.clone() }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}
