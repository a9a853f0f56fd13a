//! The public form of a number in an archive (XEP-0359, XEP-0313): archive and number, encrypted as
//! one block with a key of this installation. It cannot be predicted, and does not reveal how much
//! others write.

use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest;
use whoelse_stream::hex;

/// The key, derived from the installation's secret.
pub(crate) struct ArchiveKey([u8; 16]);

impl ArchiveKey {
    pub fn new(secret: &[u8]) -> ArchiveKey {
        let digest = digest::digest(&digest::SHA256, secret);
        let mut key = [0; 16];
        key.copy_from_slice(&digest.as_ref()[..16]);
        ArchiveKey(key)
    }

    /// Returns the public form: 32 hexadecimal digits.
    pub fn seal(&self, archive: i64, seq: i64) -> String {
        let mut block = [0; 16];
        block[..8].copy_from_slice(&archive.to_be_bytes());
        block[8..].copy_from_slice(&seq.to_be_bytes());
        let sealed = UnboundCipherKey::new(&AES_128, &self.0)
            .and_then(EncryptingKey::ecb)
            .and_then(|key| key.encrypt(&mut block));
        // A key of 16 bytes and a whole block never fail, but the function has to return a text
        // anyway.
        if sealed.is_err() {
            return String::new();
        }
        hex::encode(&block)
    }

    /// Decodes a public form into archive and number. Does not check that they exist.
    pub fn open(&self, id: &str) -> Option<(i64, i64)> {
        let mut block: [u8; 16] = hex::decode(id)?;
        let key = UnboundCipherKey::new(&AES_128, &self.0).and_then(DecryptingKey::ecb).ok()?;
        key.decrypt(&mut block, DecryptionContext::None).ok()?;
        let (archive, seq) = block.split_at(8);
        Some((
            i64::from_be_bytes(archive.try_into().ok()?),
            i64::from_be_bytes(seq.try_into().ok()?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_opens_to_what_was_sealed_and_shows_nothing_of_it() {
        let key = ArchiveKey::new(b"secret");
        let (first, second) = (key.seal(7, 1), key.seal(7, 2));

        assert_eq!(key.open(&first), Some((7, 1)));
        assert_eq!(key.open(&second), Some((7, 2)));
        assert_ne!(first[..16], second[..16]);
        assert_ne!(ArchiveKey::new(b"other").open(&first), Some((7, 1)));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let key = ArchiveKey::new(b"secret");
        for id in ["", "1", "zz", &"g".repeat(32), "é", &"+1".repeat(16)] {
            assert!(key.open(id).is_none(), "{id}");
        }
    }
}
