//! What the first bytes of an image tell: its type and its size, for PNG, JPEG, GIF and WebP.
//!
//! Nothing is decoded. What is not clear is not told.

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its media type.
    pub type_: &'static str,
    /// Its width and height in pixels.
    pub size: Option<(u16, u16)>,
}

/// Recognises an image.
pub(super) fn kind(image: &[u8]) -> Option<Kind> {
    let (type_, size) = match image {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, rest @ ..] => ("image/png", png(rest)),
        [0xff, 0xd8, 0xff, ..] => ("image/jpeg", jpeg(image)),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', rest @ ..] => ("image/gif", gif(rest)),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', rest @ ..] => {
            ("image/webp", webp(rest))
        }
        _ => return None,
    };
    Some(Kind { type_, size: size.filter(|(width, height)| *width > 0 && *height > 0) })
}

fn small(number: u32) -> Option<u16> {
    u16::try_from(number).ok()
}

/// The first chunk is the header.
fn png(rest: &[u8]) -> Option<(u16, u16)> {
    let [_, _, _, _, b'I', b'H', b'D', b'R', a, b, c, d, e, f, g, h, ..] = rest else {
        return None;
    };
    let (width, height) =
        (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h]));
    Some((small(width)?, small(height)?))
}

fn gif(rest: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d, ..] = rest else { return None };
    Some((u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])))
}

/// Looks for the frame header, segment by segment.
fn jpeg(image: &[u8]) -> Option<(u16, u16)> {
    let mut rest = image.get(2..)?;
    loop {
        match rest {
            // Padding before a marker.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [
                0xff,
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf,
                _,
                _,
                _,
                a,
                b,
                c,
                d,
                ..,
            ] => {
                let (height, width) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                return Some((width, height));
            }
            [0xff, _, a, b, ..] => {
                let length = usize::from(u16::from_be_bytes([*a, *b]));
                // Without its own two bytes it would go back.
                rest = rest.get(2 + length.max(2)..)?;
            }
            _ => return None,
        }
    }
}

/// One of three forms: lossy, lossless, extended.
fn webp(rest: &[u8]) -> Option<(u16, u16)> {
    let (form, data) = (rest.get(..4)?, rest.get(8..)?);
    match (form, data) {
        (b"VP8 ", [_, _, _, 0x9d, 0x01, 0x2a, a, b, c, d, ..]) => {
            let number = |low: u8, high: u8| u16::from_le_bytes([low, high]) & 0x3fff;
            Some((number(*a, *b), number(*c, *d)))
        }
        (b"VP8L", [0x2f, a, b, c, d, ..]) => {
            let bits = u32::from_le_bytes([*a, *b, *c, *d]);
            Some((small((bits & 0x3fff) + 1)?, small(((bits >> 14) & 0x3fff) + 1)?))
        }
        (b"VP8X", [_, _, _, _, a, b, c, d, e, f, ..]) => {
            let number = |a, b, c| small(u32::from_le_bytes([a, b, c, 0]) + 1);
            Some((number(*a, *b, *c)?, number(*d, *e, *f)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn images_are_known_by_their_first_bytes() {
        let png =
            image(&[b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &[0, 0, 0, 64, 0, 0, 1, 0], b"\x08\x06"]);
        let jpeg = image(&[
            b"\xff\xd8\xff\xe0\0\x04JF\xff\xff\xfe\0\x05abc\xff\xc2\0\x11\x08",
            &[0, 48, 1, 2],
            b"\x03",
        ]);
        let gif = image(&[b"GIF89a", &[10, 0, 0, 1], b"\0"]);
        let riff = b"RIFF\x24\0\0\0WEBP";
        let lossy =
            image(&[riff, b"VP8 \x10\0\0\0\x30\x01\0\x9d\x01\x2a", &[32, 0x40, 16, 0], b"\0"]);
        let lossless = image(&[riff, b"VP8L\x10\0\0\0\x2f", &[0x1f, 0xc0, 0x07, 0]]);
        let extended = image(&[riff, b"VP8X\x0a\0\0\0\x10\0\0\0", &[0xff, 0, 0, 0x7f, 0, 0]]);
        for (image, type_, size) in [
            (png, "image/png", Some((64, 256))),
            (jpeg, "image/jpeg", Some((258, 48))),
            (gif, "image/gif", Some((10, 256))),
            (lossy, "image/webp", Some((32, 16))),
            (lossless, "image/webp", Some((32, 32))),
            (extended, "image/webp", Some((256, 128))),
            (b"\x89PNG\r\n\x1a\n".to_vec(), "image/png", None),
            (b"\xff\xd8\xff\xe0\0\0".to_vec(), "image/jpeg", None),
            (b"GIF87a\0\0\0\0".to_vec(), "image/gif", None),
        ] {
            assert_eq!(kind(&image), Some(Kind { type_, size }));
        }
        for other in [b"".as_slice(), b"<svg/>", b"\x89PN", b"GIF90a", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(kind(other), None);
        }
    }

    #[test]
    fn what_is_cut_off_or_huge_has_no_size() {
        let whole = b"\xff\xd8\xff\xe0\0\x04JF\xff\xc0\0\x11\x08\0\x30\0\x40";
        assert!(kind(whole).is_some_and(|kind| kind.size == Some((64, 48))));
        for length in 3..whole.len() {
            assert_eq!(kind(&whole[..length]), Some(Kind { type_: "image/jpeg", size: None }));
        }
        let huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x01\0\0\0\0\0\x01";
        assert_eq!(kind(huge), Some(Kind { type_: "image/png", size: None }));
    }
}
