//! What private chats have to be told.

use std::path::PathBuf;

/// The settings of a client's private chats.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Which ways a line may take.
    pub relaying: Relaying,
    /// Where keys are kept; without it they last as long as the program, and others see a new device
    /// every time.
    pub state: Option<PathBuf>,
}

/// Which ways a line may take (`private.relay`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Relaying {
    /// A direct one, and the server's relay where there is none.
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
