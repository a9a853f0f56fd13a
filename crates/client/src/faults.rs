//! TLS errors in plain words: the library's are for programmers.

use std::io;

use rustls::CertificateError;
use whoelse_xmpp::in_words;

/// Returns whether the server closed the connection during the handshake, as it does when it
/// restarts.
pub(crate) fn is_end(fault: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_closed = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    is_closed.contains(&fault.kind()) && of_library(fault).is_none()
}

fn of_library(fault: &io::Error) -> Option<&rustls::Error> {
    fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// Says why the handshake failed.
pub(crate) fn of_handshake(fault: &io::Error) -> String {
    let words = match of_library(fault) {
        Some(rustls::Error::AlertReceived(_)) => "the server broke the handshake off",
        Some(rustls::Error::InvalidMessage(_)) => {
            "what answers there does not speak TLS; look at the port"
        }
        Some(rustls::Error::PeerIncompatible(_)) => {
            "the server's TLS is of another age; versions 1.2 and 1.3 are spoken here"
        }
        Some(_) => "the handshake failed; the server's log may say why",
        None if fault.kind() == io::ErrorKind::InvalidInput => {
            "the domain is no name that a certificate can be for"
        }
        None => return in_words(fault),
    };
    words.to_owned()
}

/// Says what is wrong with a certificate.
pub(crate) fn of_certificate(fault: &rustls::Error) -> String {
    use CertificateError as Bad;
    let words = match fault {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "it has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "it is not valid yet; is the clock of this computer right?"
            }
            Bad::UnknownIssuer => "no authority that this computer trusts has signed it",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => "it is for another name",
            Bad::Revoked => "it has been revoked",
            _ => "it is damaged, or of a kind that is not known here",
        },
        _ => "it is damaged, or of a kind that is not known here",
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_library_is_said() {
        let of =
            |error: rustls::Error| of_handshake(&io::Error::new(io::ErrorKind::InvalidData, error));

        let cut = of(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        assert!(cut.contains("does not speak TLS"), "{cut}");
        for error in [
            rustls::Error::HandshakeNotComplete,
            rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure),
            rustls::Error::General("a detail of the library".to_owned()),
        ] {
            let theirs = error.to_string();
            assert!(!of(error).contains(&theirs), "{theirs}");
        }
    }

    #[test]
    fn a_connection_that_was_closed_is_told_from_a_handshake_that_failed() {
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ] {
            assert!(is_end(&kind.into()) && is_end(&io::Error::new(kind, "tls handshake eof")));
            assert!(!is_end(&io::Error::new(kind, rustls::Error::HandshakeNotComplete)));
        }
        assert!(!is_end(&io::ErrorKind::InvalidInput.into()));
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_named() {
        let of = |bad| of_certificate(&rustls::Error::InvalidCertificate(bad));

        assert_eq!(of(CertificateError::Expired), "it has expired");
        assert!(of(CertificateError::UnknownIssuer).contains("no authority"));
        assert_eq!(of(CertificateError::NotValidForName), "it is for another name");
        assert!(of(CertificateError::BadEncoding).contains("damaged"));
    }
}
