//! The strict XML scanner: finds one whole stanza and says what it means, in one pass.

use crate::Stanza;
use compact_str::CompactString;

/// What one element may cost. Depth counts the stanza's root as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits { /// Bytes of one stanza.
    pub bytes: usize, /// Elements in one stanza.
    pub elements: usize, /// Levels of nesting.
    pub depth: usize }

/// Before login: 8 KiB, 32 elements, depth 32. After: 256 KiB, depth 32.
impl Limits { /// Before login.
    pub const BEFORE_LOGIN: Limits = Limits { bytes: 8 << 10, elements: 32, depth: 32 };
    /// After login.
    pub const AFTER_LOGIN: Limits = Limits { bytes: 256 << 10, elements: 16 << 10, depth: 32 }; }

/// What stood in a `<stream:stream …>` header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamHeader { /// content namespace (xmlns)
    pub content: CompactString, /// to
    pub to: Option<CompactString>, /// from
    pub from: Option<CompactString>, /// id
    pub id: Option<CompactString>, /// version as written, None if absent
    pub version: Option<CompactString>, /// xml:lang
    pub lang: Option<CompactString> }

/// What the scanner found next.
#[derive(Debug)]
pub enum Frame { /// `<stream:stream>`
    Open(StreamHeader), /// one whole element of depth 1
    Element(Stanza), /// `</stream:stream>`
    Close }

/// Why the bytes were refused; each maps to one stream error (RFC 6120, 4.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanError { /// not-well-formed
    NotWellFormed, /// restricted-xml
    Restricted, /// bad-namespace-prefix
    BadPrefix, /// invalid-namespace
    InvalidNamespace, /// policy-violation: over a limit
    TooBig, /// unsupported-encoding
    Encoding, /// bad-format
    BadFormat }

/// One stream's scanner; keeps its state across reads and no buffer while empty.
#[derive(Debug)]
pub struct Scanner { _limits: Limits }

impl Scanner {
    /// A scanner that waits for a stream header. `content` is ns::CLIENT or ns::SERVER: the only
    /// default namespace accepted.
    pub fn new(_content: &'static str, limits: Limits) -> Scanner { Scanner { _limits: limits } }
    /// Changes the limits, for what comes next.
    pub fn set_limits(&mut self, _limits: Limits) { todo!() }
    /// Takes bytes that arrived.
    pub fn push(&mut self, _bytes: &[u8]) { todo!() }
    /// The next whole frame, `None` when more bytes are needed. After an error: the same error.
    pub fn next(&mut self) -> Result<Option<Frame>, ScanError> { todo!() }
    /// Expects a new stream header; bytes already pushed and not consumed are kept.
    pub fn restart(&mut self) { todo!() }
    /// Throws away what was pushed and not consumed (before a TLS handshake, row 22).
    pub fn discard(&mut self) { todo!() }
    /// Whether nothing of an unfinished frame is held (whitespace does not count).
    pub fn is_empty(&self) -> bool { todo!() }
}
