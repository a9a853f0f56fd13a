//! RFC 6120, 3 and 5, and XEP-0368: the transport below a stream when it starts.

/// The transport below a stream when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A bare connection: STARTTLS comes first, and nothing before it.
    StartTls,
    /// TLS already (XEP-0368).
    Tls,
    /// A socket of this machine, for whose other end the system vouches.
    Trusted,
}
