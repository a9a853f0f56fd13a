//! Why a server could not start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fmt, io};

use whoelse_store::OpenError;
use whoelse_xmpp::in_words;

use crate::config::Problem;
use crate::data_dir::DataDirError;
use crate::tls::TlsError;

/// Why a server could not start. The text is one clear line.
#[derive(Debug)]
pub enum StartError {
    /// The settings do not go together.
    Settings(Vec<Problem>),
    /// The data directory.
    DataDir(DataDirError),
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The database.
    Store(OpenError),
    /// The rules refuse to start.
    Node(whoelse_core::start::StartError),
    /// The certificate or its key.
    Tls(TlsError),
    /// The file of accounts.
    Credentials(PathBuf, io::Error),
    /// The admin socket.
    Admin(PathBuf, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Settings(problems) => {
                let problems: Vec<String> = problems.iter().map(Problem::to_string).collect();
                f.write_str(&problems.join("; "))
            }
            StartError::DataDir(error) => error.fmt(f),
            StartError::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "port {} on {} is in use", address.port(), address.ip())
            }
            StartError::Listen(address, error) => {
                write!(f, "cannot listen on {address}: {}", in_words(error))
            }
            StartError::Store(error) => error.fmt(f),
            StartError::Node(error) => error.fmt(f),
            StartError::Tls(error) => error.fmt(f),
            StartError::Credentials(path, error) => {
                write!(f, "cannot read {}: {}", path.display(), in_words(error))
            }
            StartError::Admin(path, error) => {
                let words = in_words(error);
                write!(f, "cannot make the admin socket {}: {words}", path.display())
            }
        }
    }
}

impl std::error::Error for StartError {}
