//! RFC 5929, 4.1, `tls-server-end-point`: the hash of the server's certificate, by the hash
//! function of its signature.

use crate::der::{SEQUENCE, value};
use aws_lc_rs::digest::{self, Algorithm};

/// Returns the binding of a certificate in DER; `None` if its signature names no single hash
/// function (Ed25519, RSASSA-PSS), for which the RFC defines no binding.
pub fn server_end_point(der: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash_of_signature(signature_algorithm(der)?)?;
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

/// Returns the object identifier of `Certificate.signatureAlgorithm` (RFC 5280, 4.1).
fn signature_algorithm(der: &[u8]) -> Option<&[u8]> {
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (certificate, _) = value(der, SEQUENCE)?;
    let (_to_be_signed, rest) = value(certificate, SEQUENCE)?;
    let (algorithm, _) = value(rest, SEQUENCE)?;
    Some(value(algorithm, OBJECT_IDENTIFIER)?.0)
}

fn hash_of_signature(oid: &[u8]) -> Option<&'static Algorithm> {
    /// 1.2.840.113549.1.1: PKCS #1, RSA.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
    /// 1.2.840.10045.4: ECDSA.
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];
    if let Some(kind) = oid.strip_prefix(RSA) {
        return match kind {
            // MD5 and SHA-1 count as SHA-256.
            [4 | 5 | 11] => Some(&digest::SHA256),
            [12] => Some(&digest::SHA384),
            [13] => Some(&digest::SHA512),
            [14] => Some(&digest::SHA224),
            _ => None,
        };
    }
    match oid.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(&digest::SHA256),
        [3, 1] => Some(&digest::SHA224),
        [3, 3] => Some(&digest::SHA384),
        [3, 4] => Some(&digest::SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};

    fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_the_one_of_the_signature() {
        for (algorithm, hash) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, &digest::SHA256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, &digest::SHA384),
        ] {
            let der = certificate(algorithm);
            assert_eq!(server_end_point(&der).unwrap(), digest::digest(hash, &der).as_ref());
        }
    }

    #[test]
    fn a_signature_without_a_hash_gives_no_binding() {
        assert_eq!(server_end_point(&certificate(&rcgen::PKCS_ED25519)), None);
    }

    #[test]
    fn what_is_no_certificate_gives_no_binding() {
        let der = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..100 {
            assert_eq!(server_end_point(&der[..end]), None);
        }
        assert_eq!(server_end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
