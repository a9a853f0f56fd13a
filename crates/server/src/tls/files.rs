//! RFC 7468, PEM files: reads a chain and a key, with errors that an operator can act on.

use aws_lc_rs::digest;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::io;
use std::path::Path;
use whoelse_xmpp::in_words;

/// Why TLS cannot be set up. The text is a whole sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    pub(super) fn unfit(certificate: &Path, key: &Path, error: &rustls::Error) -> TlsError {
        let (certificate, key) = (certificate.display(), key.display());
        let why = match error {
            rustls::Error::InconsistentKeys(_) => {
                "the key belongs to another certificate; renew both together"
            }
            rustls::Error::InvalidCertificate(_) => {
                "the certificate is damaged, or not the first of its file; copy the chain anew"
            }
            // The only remaining cause is the key itself.
            _ => "the key is damaged or of an unusual kind; use RSA, ECDSA (P-256) or Ed25519",
        };
        TlsError(format!("cannot use the certificate {certificate} with the key {key}: {why}"))
    }

    pub(super) fn unwritable(path: &Path, error: &io::Error) -> TlsError {
        TlsError(format!("cannot make {}: {}", path.display(), in_words(error)))
    }

    pub(super) fn unread(path: &Path, error: &io::Error) -> TlsError {
        TlsError(format!("cannot read {}: {}", path.display(), in_words(error)))
    }

    pub(super) fn unmade(domain: &str) -> TlsError {
        TlsError(format!(
            "cannot make a certificate for {domain}; name one by an authority (`certificate` and \
             `key`)"
        ))
    }

    fn unreadable(what: &str, path: &Path, error: &pem::Error) -> TlsError {
        let path = path.display();
        TlsError(match error {
            pem::Error::Io(error) => format!("cannot read the {what} {path}: {}", in_words(error)),
            pem::Error::NoItemsFound => format!("there is no {what} in {path}"),
            _ => format!("the {what} {path} is no PEM file, or damaged; copy it anew"),
        })
    }
}

/// The SHA-256 fingerprint of a certificate, which people compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a certificate in DER.
    pub fn of(der: &[u8]) -> Fingerprint {
        let mut bytes = [0; 32];
        // SHA-256 gives 32 bytes.
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Fingerprint(bytes)
    }
}

impl fmt::Display for Fingerprint {
    /// Writes pairs of hexadecimal digits with colons, as openssl and browsers print them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error: pem::Error| TlsError::unreadable("certificate", path, &error);
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect();
    let chain = chain.map_err(unreadable)?;
    if chain.is_empty() {
        return Err(unreadable(pem::Error::NoItemsFound));
    }
    Ok(chain)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::unreadable("key", path, &error))
}
