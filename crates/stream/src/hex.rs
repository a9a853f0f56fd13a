//! Bytes as hexadecimal digits: fingerprints, keys and ids.

/// Writes two digits a byte, in lower case.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads exactly this many bytes from pairs of digits, in either case, and nothing else.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // `from_str_radix` would accept a sign as well.
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_as_they_were_written_in_either_case() {
        let bytes = [0x00, 0x0f, 0xab, 0xff];

        assert_eq!(encode(&bytes), "000fabff");
        assert_eq!(decode("000fabff"), Some(bytes));
        assert_eq!(decode("000FABFF"), Some(bytes));
    }

    #[test]
    fn more_fewer_or_other_characters_are_no_bytes() {
        for bad in ["", "ab", "000fabf", "000fabff0", "+0+f+a+f", "000fabfg", "éééé"] {
            assert_eq!(decode::<4>(bad), None, "{bad}");
        }
    }
}
