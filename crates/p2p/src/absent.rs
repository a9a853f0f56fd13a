//! Private chats in a program that was built without them: every call fails with a clear error.

use tokio::sync::mpsc;
use whoelse_client::{Client, Listener};
use whoelse_xmpp::BareJid;

use crate::config::Config;
use crate::events::{Asked, Fingerprint, Happening, Refused, Stopped};

/// The namespaces of private chats: none here.
pub const NAMESPACES: &[&str] = &[];

/// The handle.
#[derive(Debug, Clone)]
pub struct PrivateChats(());

impl PrivateChats {
    /// Begins.
    pub fn start<T>(_: Client, _: Listener, _: Config, _: mpsc::Sender<T>) -> PrivateChats
    where
        T: From<Happening> + Send + 'static,
    {
        PrivateChats(())
    }

    /// Asks somebody.
    pub async fn ask(&self, _: &BareJid) -> Result<Asked, Refused> {
        Err(Refused::NotBuilt)
    }

    /// Says yes to somebody.
    pub async fn accept(&self, _: &BareJid) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Says no to somebody.
    pub async fn decline(&self, _: &BareJid) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Sends a message over a line.
    pub async fn send(&self, _: &BareJid, _: &str, _: String) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Closes a line.
    pub async fn stop(&self, _: &BareJid) -> Result<Stopped, Refused> {
        Err(Refused::NotBuilt)
    }

    /// The devices of somebody.
    pub async fn fingerprints(&self, _: &BareJid) -> Result<Vec<Fingerprint>, Refused> {
        Err(Refused::NotBuilt)
    }

    /// Accepts the changed keys of somebody.
    pub async fn trust(&self, _: &BareJid) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Closes every line.
    pub async fn close(&self) -> bool {
        false
    }
}
