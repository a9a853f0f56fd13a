//! Architecture, decision 12: the admin socket, on which the server's own user speaks XMPP.
//!
//! The kernel says who is at the other end (peer credentials). A peer that is neither the server's
//! own user nor root is closed without an answer. Only the process that holds the lock of the data
//! directory creates the socket there.

use crate::ingress::{Connections, Ingress, Peer};
use crate::liveness::Beat;
use rustix::process::geteuid;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};
use tokio::net::{UnixListener, UnixStream};
use whoelse_core::network::Network;
use whoelse_xmpp::in_words;

/// The socket's name in the data directory.
pub const NAME: &str = "admin.sock";
/// The longest path a socket's address can hold on Linux, without its final zero.
const LONGEST: usize = 107;

/// The admin socket of a running server; dropping it removes the socket.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Creates the socket in a data directory that the caller holds. A socket that is already
    /// there belongs to a server that has ended, and is replaced.
    pub fn bind(data: &Path) -> io::Result<AdminSocket> {
        let path = data.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(address_of(&path)?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(AdminSocket { listener, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes connections until the server goes away.
    pub(crate) async fn serve(self, connections: Arc<Connections>, mut beat: Beat) {
        loop {
            let accepted = tokio::select! {
                () = connections.closing() => return,
                () = beat.answer() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => welcome(&connections, socket),
                Err(error) => {
                    connections.node().failing("admin_accept_failed", None, &in_words(&error));
                    tokio::time::sleep(crate::ingress::tcp::PAUSE).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether [`AdminSocket::bind`] will succeed, as far as can be told without a change.
pub(crate) fn can_bind(data: &Path) -> io::Result<()> {
    let path = data.join(NAME);
    if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    address_of(&path).map(drop)
}

/// A path short enough for a socket's address: the shorter of the absolute one and the one from
/// the working directory.
pub fn address_of(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| absolute.strip_prefix(here).ok().map(Path::to_owned));
    let fits = |path: &PathBuf| path.as_os_str().len() <= LONGEST;
    [Some(absolute), relative].into_iter().flatten().find(fits).ok_or_else(|| {
        io::Error::other(format!(
            "the path is longer than the {LONGEST} bytes that a socket's may have; start the \
             server nearer to its data directory, or give it a shorter path"
        ))
    })
}

fn welcome(connections: &Arc<Connections>, socket: UnixStream) {
    let own = geteuid().as_raw();
    match socket.peer_cred() {
        Ok(peer) if peer.uid() == own || peer.uid() == 0 => {
            let address = format!("admin socket, uid {}", peer.uid());
            let peer = Peer { network: Network::Local, address };
            connections.welcome(socket, Ingress::Admin, peer);
        }
        Ok(peer) => tracing::warn!(uid = peer.uid(), "admin_refused"),
        Err(error) => tracing::warn!(error = in_words(&error), "admin_refused"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_socket_left_by_a_dead_server_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::mem::forget(AdminSocket::bind(dir.path()).unwrap());

        let socket = AdminSocket::bind(dir.path()).unwrap();

        let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(socket.path()).await.unwrap();
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_advice() {
        let long = Path::new("/tmp").join("x".repeat(200)).join(NAME);

        let refused = address_of(&long).unwrap_err().to_string();

        assert!(refused.contains("107 bytes"), "{refused}");
    }
}
