//! RFC 6120, 3 and 5, and XEP-0368: what lies below a stream when it starts.

/// What lies below a stream when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A bare connection: STARTTLS comes first, and nothing before it.
    StartTls,
    /// TLS already (XEP-0368).
    Tls,
    /// A socket of this machine whose other end the system vouches for.
    Trusted,
}
