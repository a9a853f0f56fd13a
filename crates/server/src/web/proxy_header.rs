//! The PROXY protocol, version 2: how a proxy says at the beginning of a connection whose it is.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, 2.2. A small parser of our own:
//! the header is 16 bytes and two addresses, and nothing else of it is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{self, AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const VERSION_1: &[u8] = b"PROXY ";
/// What stands before the addresses.
const HEAD: usize = 16;
/// The most bytes of addresses and what follows them: what the protocol asks a receiver to take.
const MOST: usize = 520;

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A client's.
    Client(IpAddr),
    /// The proxy's own, to see whether somebody is there.
    Local,
}

/// Whether the first bytes of a connection may begin a header of either version.
pub(crate) fn begins(first: &[u8]) -> bool {
    let is = |whole: &[u8]| {
        let length = first.len().min(whole.len());
        length > 4 && first.get(..length) == whole.get(..length)
    };
    is(&SIGNATURE) || is(VERSION_1)
}

/// Reads a header, and no byte more. `None` if it is none, or says nothing that counts.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Said>> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).await?;
    let Some(length) = length(&head) else { return Ok(None) };
    let mut rest = vec![0; length];
    from.read_exact(&mut rest).await?;
    Ok(said(&head, &rest))
}

/// Returns how many bytes follow the head; `None` if this is none.
fn length(head: &[u8; HEAD]) -> Option<usize> {
    let (signature, rest) = head.split_at(SIGNATURE.len());
    let [version, _, high, low] = rest else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (signature == SIGNATURE && version >> 4 == 2 && length <= MOST).then_some(length)
}

fn said(head: &[u8; HEAD], rest: &[u8]) -> Option<Said> {
    match (head[12] & 0x0F, head[13]) {
        (0, _) => Some(Said::Local),
        // Over TCP; the source stands first.
        (1, 0x11) if rest.len() >= 12 => {
            let source: [u8; 4] = rest.get(..4)?.try_into().ok()?;
            Some(Said::Client(Ipv4Addr::from(source).into()))
        }
        (1, 0x21) if rest.len() >= 36 => {
            let source: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            Some(Said::Client(Ipv6Addr::from(source).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A header with this command, family and content.
    fn header(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend((content.len() as u16).to_be_bytes());
        bytes.extend(content);
        bytes
    }

    async fn read_all(bytes: &[u8]) -> (io::Result<Option<Said>>, usize) {
        let mut rest = bytes;
        let said = read(&mut rest).await;
        (said, rest.len())
    }

    const V4: [u8; 12] = [203, 0, 113, 7, 127, 0, 0, 1, 1, 2, 3, 4];

    #[tokio::test]
    async fn a_proxy_says_whose_a_connection_is() {
        let mut v6 = Ipv6Addr::LOCALHOST.octets().repeat(2);
        v6.extend([0, 1, 0, 2]);
        let mut with_more = V4.to_vec();
        with_more.extend([3, 0, 4, 1, 2, 3, 4]);
        for (bytes, said) in [
            (header(1, 0x11, &V4), Said::Client([203, 0, 113, 7].into())),
            (header(1, 0x11, &with_more), Said::Client([203, 0, 113, 7].into())),
            (header(1, 0x21, &v6), Said::Client(Ipv6Addr::LOCALHOST.into())),
            (header(0, 0x00, b""), Said::Local),
            (header(0, 0x11, &V4), Said::Local),
        ] {
            let mut followed = bytes.clone();
            followed.extend(b"GET / HTTP/1.1");
            let (found, left) = read_all(&followed).await;
            assert_eq!((found.unwrap(), left), (Some(said), 14), "{bytes:x?}");
            assert!(begins(&bytes) && begins(&bytes[..8]));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_or_says_nothing_is_not_believed() {
        let mut other_version = header(1, 0x11, &V4);
        other_version[12] = 0x11;
        let mut long = header(1, 0x11, &V4);
        long[14..16].copy_from_slice(&[0xFF, 0xFF]);
        for bytes in [
            header(1, 0x00, b""),
            header(1, 0x12, &V4),
            header(1, 0x31, &[0; 216]),
            header(1, 0x11, &V4[..11]),
            header(1, 0x21, &V4),
            header(2, 0x11, &V4),
            other_version,
            long,
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        ] {
            assert_eq!(read_all(&bytes).await.0.unwrap(), None, "{bytes:x?}");
        }
        assert!(read_all(&header(1, 0x11, &V4)[..20]).await.0.is_err());
    }

    #[test]
    fn the_first_bytes_tell_a_header_from_a_request() {
        for bytes in [&b"PROXY "[..], b"PROXY TC", b"PROXY", b"\r\n\r\n\0\r\nQ", b"\r\n\r\n\0"] {
            assert!(begins(bytes), "{bytes:?}");
        }
        for bytes in [
            &b""[..],
            b"P",
            b"PROPFIND",
            b"POST /ht",
            b"\r\n\r\nGET ",
            b"GET / HT",
            b"\x16\x03\x01",
        ] {
            assert!(!begins(bytes), "{bytes:?}");
        }
    }
}
