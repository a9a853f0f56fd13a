//! Whether a server runs on the data directory, and which version of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use whoelse_client::admin;

use super::Finding;
use crate::admin::{Fault, socket};
use crate::cli::Running;

/// How long a server may take to say which one it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found out about a running server.
pub struct Server {
    pub findings: Vec<Finding>,
    /// Its process, if it could be asked or has left its number.
    pub pid: Option<u32>,
    here: bool,
}

impl Server {
    /// Whether one runs.
    pub fn is_here(&self) -> bool {
        self.here
    }
}

/// Looks for the server of a data directory.
pub async fn find(data: &Path) -> Server {
    let socket = data.join(whoelse_server::admin::NAME);
    let none = |finding| Server { findings: vec![finding], pid: None, here: false };
    if !socket.exists() {
        let text = format!("none runs on {}", data.display());
        return none(Finding::ok("server", text));
    }
    let pid = fs::read_to_string(data.join("lock")).ok().and_then(|pid| pid.trim().parse().ok());
    let running = Running { data: data.to_owned() };
    let asked = tokio::time::timeout(PATIENCE, version(&running)).await;
    let finding = match asked {
        Ok(Ok(version)) if version == env!("CARGO_PKG_VERSION") => {
            Finding::ok("server", format!("runs, version {version}"))
        }
        Ok(Ok(version)) => Finding::warning(
            "server",
            format!("runs version {version}, this program is {}", env!("CARGO_PKG_VERSION")),
            "restart the server after an upgrade",
        ),
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
    Server { findings: vec![finding], pid, here: true }
}

async fn version(running: &Running) -> Result<String, Fault> {
    let mut link = socket::open(running, None).await?;
    let version = admin::version(&mut link).await;
    link.close().await;
    Ok(version?)
}
