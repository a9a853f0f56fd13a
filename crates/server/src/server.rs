//! A running server: started from a configuration, stopped gracefully.

mod start;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use whoelse_core::Node;
use whoelse_core::audit::{Deed, UnderWay};
use whoelse_store::{Aside, Store};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::ingress::Connections;
use crate::liveness::Liveness;
use crate::maintenance::{Outcome, Transfers};
use crate::precheck;
use crate::reload::Reloader;
use crate::start_error::StartError;
use crate::tls::Fingerprint;

/// How long clients have to disconnect after they were told. What is accepted is stored after
/// that.
const GOING: Duration = Duration::from_secs(3);
/// How long storing may take after that, and as long again closing the database.
const STORING: Duration = Duration::from_millis(1500);
/// How long a request for the metrics may still take.
const ANSWERING: Duration = Duration::from_millis(200);

/// A running server.
pub struct Server {
    connections: Arc<Connections>,
    store: Store,
    addresses: Vec<SocketAddr>,
    direct_tls: Vec<SocketAddr>,
    web: Vec<SocketAddr>,
    admin_socket: PathBuf,
    notes: Vec<String>,
    accepting: JoinSet<()>,
    liveness: Arc<Liveness>,
    reloader: Arc<Reloader>,
    metrics: Vec<SocketAddr>,
    /// Ends the health endpoint, which still answers during shutdown.
    answers_end: watch::Sender<bool>,
    answering: JoinSet<()>,
    transfers: Arc<Transfers>,
    /// Held to the end: another server may start when everything is stored.
    data: DataDir,
}

impl Server {
    /// Starts a server. When this fails, nothing half-made is left behind.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        Server::start_after(config, None, &|_| {}).await
    }

    /// Starts a server after one that was ended to restore a backup, with the result of that
    /// restore. Calls `tell` with a sentence about the progress if it takes long.
    pub async fn start_after(
        config: Config,
        restored: Option<Outcome>,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Server, StartError> {
        start::start(config, restored, tell).await
    }

    /// Where clients connect with STARTTLS.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where clients connect with TLS from the first byte.
    pub fn direct_tls_addresses(&self) -> &[SocketAddr] {
        &self.direct_tls
    }

    /// Where browsers connect.
    pub fn web_addresses(&self) -> &[SocketAddr] {
        &self.web
    }

    /// Where `/metrics` and `/health` are answered.
    pub fn metrics_addresses(&self) -> &[SocketAddr] {
        &self.metrics
    }

    /// Returns the means to check whether the server really works.
    pub fn liveness(&self) -> &Arc<Liveness> {
        &self.liveness
    }

    /// Reads the configuration again after SIGHUP. The result is in the log.
    pub async fn reload_by_signal(&self) {
        let node = self.node();
        let deed = Deed::of(&node.domain_name(), "SIGHUP", "reload", node.clock.now());
        let under_way = UnderWay::new(node.audit.clone(), deed);
        let reloaded = self.reloader.reload().await;
        let end = reloaded.map(|done| done.lines().join("\n")).map_err(|why| why.join("; "));
        under_way.end(end).await;
    }

    /// Returns what reads the configuration again.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Where the server's own user connects.
    pub fn admin_socket(&self) -> &Path {
        &self.admin_socket
    }

    /// Returns what the start has made and what the operator should know, a line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What people compare to know that they talk to this server.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.connections.fingerprint()
    }

    /// Returns the node: the rules behind the sockets.
    pub fn node(&self) -> &Arc<Node> {
        self.connections.node()
    }

    /// Returns the connections, for callers that bring their own pipes.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Waits until an administrator wants a backup restored and the checks say that it can be, and
    /// that this server can start with it.
    ///
    /// Not cancel safe: a request that was taken is lost when the future is dropped.
    pub async fn restore_wanted(&self) -> Aside {
        loop {
            let aside = self.transfers.wanted().await;
            let config = self.reloader.running().await;
            let now = self.node().domain_name();
            match precheck::check_restore(&config, self.data.path(), aside.domains(), &now) {
                Ok(()) => return aside,
                Err(why) => {
                    tracing::warn!(why, "restore_refused");
                    self.transfers.ends(Err(why)).await;
                }
            }
        }
    }

    /// Ends as [`shutdown`](Server::shutdown) does, but replaces the database with the one aside
    /// before closing it. Returns how much was restored, or why nothing has changed; pass that to
    /// [`start_after`](Server::start_after) of the next server.
    pub async fn restore(self, aside: &Aside) -> Outcome {
        self.end(Some(aside)).await
    }

    /// Tells every client, stores what was accepted, and ends, within 5 s.
    pub async fn shutdown(self) {
        let _ = self.end(None).await;
    }

    /// Returns how the running backup or restore ended.
    async fn end(mut self, aside: Option<&Aside>) -> Outcome {
        // What clients do not need of their time is there for the store: a disk may be slow for a moment.
        // A restore takes as long as it takes: whatever still writes would write beside the next server.
        let until = aside.is_none().then(|| Instant::now() + GOING + 2 * STORING);
        self.connections.close();
        while self.accepting.join_next().await.is_some() {}
        let going = async { tokio::join!(self.connections.gone(), self.connections.end_relay()) };
        if tokio::time::timeout(GOING, going).await.is_err() {
            tracing::warn!("clients_did_not_go");
        }
        // Ends guests that the relay was admitting meanwhile.
        self.connections.end_relay().await;
        let stored = by(until.map(|until| until - STORING), self.node().stop()).await.is_some();
        let ended = match aside {
            None => Err("the server was stopped".to_owned()),
            Some(aside) => {
                let done = self.store.replace(aside).await;
                match &done {
                    Ok(rows) => tracing::info!(rows, "restored"),
                    Err(error) => tracing::error!(%error, "not_restored"),
                }
                done.map(|rows| format!("{rows} rows")).map_err(|error| error.to_string())
            }
        };
        self.transfers.ends(ended.clone()).await;
        match by(until, self.store.close()).await {
            Some(Ok(())) if stored => {}
            Some(Err(error)) => tracing::error!(%error, "database_not_closed"),
            _ => tracing::error!("storing_took_too_long"),
        }
        // Until now `/health` has answered that the server is shutting down.
        self.answers_end.send_replace(true);
        let answered = async { while self.answering.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(ANSWERING, answered).await;
        drop(self.data);
        ended
    }
}

/// Waits for work, until this moment if there is one. `None` if it is not done by then.
async fn by<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, work).await.ok(),
        None => Some(work.await),
    }
}
