//! Whether a server runs on the data directory, and which version.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use whoelse_client::admin::{self, BlockedNetwork};

use super::Finding;
use crate::admin::{Fault, socket};
use crate::cli::Running;

/// How long a server may take to tell its version.
const PATIENCE: Duration = Duration::from_secs(5);

/// The results for a running server.
pub struct Server {
    pub findings: Vec<Finding>,
    /// Its process number, if it answered or has left the number in its lock.
    pub pid: Option<u32>,
    /// Its listening addresses, if it has told them.
    pub listening: Option<Vec<SocketAddr>>,
    here: bool,
}

impl Server {
    /// Returns whether one runs.
    pub fn is_here(&self) -> bool {
        self.here
    }
}

/// Looks for the server of a data directory.
pub async fn find(data: &Path) -> Server {
    let socket = data.join(whoelse_server::admin::NAME);
    let none =
        |finding| Server { findings: vec![finding], pid: None, listening: None, here: false };
    match socket.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            let text = format!("none runs on {}", data.display());
            return none(Finding::ok("server", text));
        }
        Err(error) => return none(Finding::unseen("server", &socket, &error)),
    }
    let pid = fs::read_to_string(data.join("lock")).ok().and_then(|pid| pid.trim().parse().ok());
    let running = Running { data: data.to_owned() };
    let (mut listening, mut blocked) = (None, Vec::new());
    let asked = tokio::time::timeout(PATIENCE, ask(&running)).await;
    let finding = match asked {
        Ok(Ok(said)) => {
            (listening, blocked) = (said.listening, said.blocked);
            of_version(&said.version)
        }
        Ok(Err(Fault::Say(why))) if why.starts_with("no server runs") => {
            return none(Finding::ok(
                "server",
                format!("none runs on {} (the last one was not stopped well)", data.display()),
            ));
        }
        Ok(Err(Fault::Say(why))) => {
            Finding::problem("server", why, "run doctor as the server's user or as root")
        }
        Ok(Err(_)) => Finding::problem("server", "cannot be asked", "look at its log"),
        Err(_) => Finding::problem(
            "server",
            format!("does not answer within {} s", PATIENCE.as_secs()),
            "it is stuck: look at its log, then restart it",
        ),
    };
    let findings = std::iter::once(finding).chain(blocked.iter().map(blocked_network)).collect();
    Server { findings, pid, listening, here: true }
}

fn of_version(version: &str) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match version == own {
        true => Finding::ok("server", format!("runs, version {version}")),
        false => Finding::warning(
            "server",
            format!("runs version {version}, this program is {own}"),
            "restart the server after an upgrade",
        ),
    }
}

/// What a running server tells about itself.
struct Said {
    version: String,
    /// Where it listens.
    listening: Option<Vec<SocketAddr>>,
    /// The networks that are blocked.
    blocked: Vec<BlockedNetwork>,
}

async fn ask(running: &Running) -> Result<Said, Fault> {
    socket::with(running, None, async |link| {
        let version = admin::version(link).await?;
        // An older server knows neither request.
        let listening = admin::listening(link).await.ok();
        let blocked = admin::blocked_networks(link).await.unwrap_or_default();
        Ok(Said { version, listening, blocked })
    })
    .await
}

fn blocked_network(blocked: &BlockedNetwork) -> Finding {
    let network = &blocked.network;
    let until = DateTime::<Utc>::from(blocked.until).format("%Y-%m-%d %H:%M:%S UTC");
    Finding::warning(
        "logins",
        format!("{network} is blocked until {until}, after many wrong passwords from there"),
        format!(
            "if those are your own people, `whoelse user unblock {network}` lets them in, and \
             `own_networks` under [limits] keeps it so; if not, tell the firewall"
        ),
    )
}
