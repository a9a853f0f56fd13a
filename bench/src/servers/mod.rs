//! The servers that are measured: how each is started, in a directory and on a port of its own.

mod ejabberd;
mod process;
mod prosody;
mod relay;
mod whoelse;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::Failed;
use crate::load::client::Language;
pub use process::{PROCESSOR, Process, everybody, own};

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Server {
    /// Debian's Prosody.
    Prosody,
    /// Debian's ejabberd.
    Ejabberd,
    /// The bare relay.
    Relay,
    /// The bare relay under TLS.
    RelayTls,
    /// Ours.
    Whoelse,
}

/// What a server is to do beside the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Setting {
    /// Keep what is written.
    pub history: bool,
    /// Everybody sees everybody (ours only).
    pub everyone: bool,
    /// Two processors rather than one (ours only).
    pub two: bool,
    /// Be there for WebSockets, too.
    pub web: bool,
    /// Have rooms at `conference.localhost`. Ours always has.
    pub rooms: bool,
}

/// What all servers of a run share: one certificate, the program to measure.
pub struct Setup {
    directory: tempfile::TempDir,
    /// Our own program.
    pub program: PathBuf,
    /// Accounts that exist in every server.
    pub accounts: usize,
}

/// A server that runs.
pub struct Running {
    /// Its processes.
    pub process: Process,
    /// Where it listens.
    pub port: u16,
    /// And where for WebSockets under TLS, if it does.
    pub web: Option<u16>,
}

impl Server {
    /// All, in the order of the table.
    pub const ALL: [Server; 5] =
        [Server::Prosody, Server::Ejabberd, Server::Relay, Server::RelayTls, Server::Whoelse];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Server::Prosody => "Prosody",
            Server::Ejabberd => "ejabberd",
            Server::Relay => "bare relay",
            Server::RelayTls => "bare relay, TLS",
            Server::Whoelse => "whoelse",
        }
    }

    /// What is spoken with it.
    pub fn language(self) -> Language {
        match self {
            Server::Relay => Language::Lines { tls: false },
            Server::RelayTls => Language::Lines { tls: true },
            Server::Prosody | Server::Ejabberd | Server::Whoelse => Language::Xmpp,
        }
    }

    /// Whether its accounts have to be made by its clients.
    pub fn wants_registrations(self) -> bool {
        matches!(self, Server::Prosody | Server::Ejabberd)
    }

    /// Which version it is, in its own words.
    pub fn version(self, place: &Setup) -> Option<String> {
        match self {
            Server::Prosody => installed("prosody"),
            Server::Ejabberd => installed("ejabberd"),
            Server::Relay | Server::RelayTls => None,
            Server::Whoelse => whoelse::version(place),
        }
    }

    /// Starts it and waits until it listens. The same `directory` again keeps the accounts.
    pub async fn start(
        self,
        place: &Setup,
        directory: &Path,
        setting: Setting,
    ) -> Result<Running, Failed> {
        fs::create_dir_all(directory)?;
        match self {
            Server::Prosody => prosody::start(place, directory, setting).await,
            Server::Ejabberd => ejabberd::start(place, directory, setting).await,
            Server::Relay => relay::start(place, directory, false).await,
            Server::RelayTls => relay::start(place, directory, true).await,
            Server::Whoelse => whoelse::start(place, directory, setting).await,
        }
    }
}

impl Setup {
    /// A directory with a certificate for `localhost`, the same for every server.
    pub fn new(program: PathBuf, accounts: usize) -> Result<Setup, Failed> {
        let directory = tempfile::Builder::new().prefix("whoelse-bench-").tempdir()?;
        let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()])?;
        // Not as far as rcgen goes by itself: Erlang takes the year 4096 for the past.
        wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(2049, 1, 1);
        let key = rcgen::KeyPair::generate()?;
        let (certificate, key) = (wanted.self_signed(&key)?.pem(), key.serialize_pem());
        fs::write(directory.path().join("both.pem"), format!("{certificate}{key}"))?;
        fs::write(directory.path().join("certificate.pem"), certificate)?;
        fs::write(directory.path().join("key.pem"), key)?;
        Ok(Setup { directory, program, accounts })
    }

    /// A directory in it.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn certificate(&self) -> PathBuf {
        self.directory("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory("key.pem")
    }
}

/// Writes a configuration, its `{names}` filled in.
fn configure(file: &Path, text: &str, values: &[(&str, String)]) -> Result<(), Failed> {
    let filled = values
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
    Ok(fs::write(file, filled)?)
}

/// A port for WebSockets that is free now, if they are wanted.
fn web_port(setting: Setting) -> Result<Option<u16>, Failed> {
    setting.web.then(free_port).transpose()
}

/// A port that is free now.
fn free_port() -> Result<u16, Failed> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until a server listens.
async fn listening(
    mut process: Process,
    port: u16,
    web: Option<u16>,
    directory: &Path,
) -> Result<Running, Failed> {
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(Running { process, port, web });
        }
        if !process.is_running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let errors = fs::read_to_string(directory.join("errors")).unwrap_or_default();
    Err(format!("the server does not listen: {}", errors.trim()).into())
}

/// Waits for a line `listening on 127.0.0.1:PORT`, and goes on reading what follows it.
async fn says_where(
    mut process: Process,
    web: Option<u16>,
    directory: &Path,
) -> Result<Running, Failed> {
    use tokio::io::AsyncBufReadExt;
    let output = process.output().ok_or("the server has no output")?;
    let mut lines = tokio::io::BufReader::new(output).lines();
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        while let Ok(Some(line)) = lines.next_line().await {
            let port = line.strip_prefix("listening on 127.0.0.1:");
            if let Some(port) = port.and_then(|port| port.trim().parse().ok()) {
                return Some(port);
            }
        }
        None
    });
    let Ok(Some(port)) = found.await else {
        let errors = fs::read_to_string(directory.join("errors")).unwrap_or_default();
        return Err(format!("the server does not listen: {}", errors.trim()).into());
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Running { process, port, web })
}

/// The version of a Debian package.
fn installed(package: &str) -> Option<String> {
    let query = ["--show", "--showformat=${Version}", package];
    let output = std::process::Command::new("dpkg-query").args(query).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    Some(version).filter(|version| output.status.success() && !version.is_empty())
}

/// Installs Debian's packages of the peers, where they are missing. They stay.
pub fn install(peers: &[Server]) -> Result<(), Failed> {
    let packages = [(Server::Prosody, "prosody"), (Server::Ejabberd, "ejabberd")];
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(peer, package)| peers.contains(peer) && installed(package).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} (Debian packages, which stay)", missing.join(" and "));
    let script = ["-c", include_str!("../../peers/install.sh"), "install"];
    let mut command = match rustix::process::getuid().is_root() {
        true => std::process::Command::new("sh"),
        false => {
            let mut sudo = std::process::Command::new("sudo");
            sudo.arg("sh");
            sudo
        }
    };
    let status = command.args(script).args(&missing).status()?;
    if status.success() { Ok(()) } else { Err("could not install the peers".into()) }
}
