//! RFC 5929 and RFC 9266, channel bindings: values that tie a login to the TLS channel it runs
//! over.

use std::fmt;

/// `tls-exporter` (RFC 9266): a value that only the two ends of this channel can know.
pub const EXPORTER: &str = "tls-exporter";
/// `tls-server-end-point` (RFC 5929, 4): a hash of the server's certificate.
pub const SERVER_END_POINT: &str = "tls-server-end-point";

/// The channel bindings that the TLS layer can provide.
#[derive(Clone, Default)]
pub struct ChannelBindings {
    /// The exported value; only with TLS 1.3, or TLS 1.2 with the extended master secret (RFC 9266,
    /// 4.2).
    pub exporter: Option<[u8; 32]>,
    /// The hash of the server's certificate, by the rule of RFC 5929, 4.1.
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// Returns the binding data of one type, named as in SCRAM's `p=` and in XEP-0440.
    pub fn get(&self, type_: &str) -> Option<&[u8]> {
        match type_ {
            EXPORTER => self.exporter.as_ref().map(|value| value.as_slice()),
            SERVER_END_POINT => self.server_end_point.as_deref(),
            _ => None,
        }
    }

    /// Returns the available types, the stronger first.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + '_ {
        [EXPORTER, SERVER_END_POINT].into_iter().filter(|type_| self.get(type_).is_some())
    }

    /// Whether no type is available.
    pub fn is_empty(&self) -> bool {
        self.types().next().is_none()
    }
}

impl fmt::Debug for ChannelBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.types()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_channel_has_is_named() {
        let both = ChannelBindings { exporter: Some([1; 32]), server_end_point: Some(vec![2]) };
        let old = ChannelBindings { exporter: None, server_end_point: Some(vec![2]) };

        assert_eq!(both.types().collect::<Vec<_>>(), [EXPORTER, SERVER_END_POINT]);
        assert_eq!(old.types().collect::<Vec<_>>(), [SERVER_END_POINT]);
        assert_eq!(old.get(EXPORTER), None);
        assert_eq!(old.get("tls-unique"), None);
        assert!(ChannelBindings::default().is_empty());
    }
}
