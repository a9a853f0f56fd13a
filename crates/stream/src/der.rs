//! ITU-T X.690, 10.1: the few rules of DER that are needed to read a certificate.

/// The tag of a SEQUENCE.
pub const SEQUENCE: u8 = 0x30;

/// Returns the content of the DER value at the beginning, which must have this tag, and what
/// follows it.
pub fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
