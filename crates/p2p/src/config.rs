//! The configuration of private chats.

use std::path::PathBuf;

/// The settings of a client's private chats.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The paths that a line may take.
    pub relaying: Relaying,
    /// Where keys are kept; without it they are forgotten when the program ends, and others see a
    /// new device every time.
    pub state: Option<PathBuf>,
}

/// The paths that a line may take (`private.relay`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Relaying {
    /// A direct one, or the server's relay if there is none.
    #[default]
    Auto,
    /// The server's relay only: the other end never learns this computer's addresses.
    Only,
    /// A direct one only.
    Never,
}

impl Relaying {
    /// Reads `auto`, `only` or `never`.
    pub fn parse(text: &str) -> Option<Relaying> {
        match text {
            "auto" => Some(Relaying::Auto),
            "only" => Some(Relaying::Only),
            "never" => Some(Relaying::Never),
            _ => None,
        }
    }
}
