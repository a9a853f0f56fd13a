//! A running server: started from a configuration, stopped gracefully.

use crate::admin::AdminSocket;
use crate::audit;
use crate::config::{self, Config, Problem};
use crate::credentials;
use crate::data_dir::{DataDir, DataDirError};
use crate::health::Health;
use crate::ingress::tcp;
use crate::ingress::{Certificate, Connections, Ingress};
use crate::liveness::Liveness;
use crate::maintenance::{Outcome, Transfers};
use crate::metrics::Metrics;
use crate::precheck;
use crate::reload::Reloader;
use crate::renewal;
use crate::synchronised;
use crate::tls::{self, Fingerprint, OwnFiles, Tls, TlsError};
use crate::web::{self, Site};
use arc_swap::ArcSwapOption;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use whoelse_core::audit::{Deed, UnderWay};
use whoelse_core::{Clock, Node};
use whoelse_features::admin::{Listening, Reload};
use whoelse_store::{Aside, Location, OpenError, Opening, Progress, Store, Upgraded};
use whoelse_xmpp::in_words;

/// How long clients have to disconnect after they were told. What is accepted is stored after
/// that.
const GOING: Duration = Duration::from_secs(3);
/// How long storing may take after that.
const STORING: Duration = Duration::from_millis(1500);
/// How long a request for the metrics may still take.
const ANSWERING: Duration = Duration::from_millis(200);

/// A running server.
pub struct Server {
    connections: Arc<Connections>,
    store: Store,
    addresses: Vec<SocketAddr>,
    direct_tls: Vec<SocketAddr>,
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
    Node(whoelse_core::node::StartError),
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
        let problems = config.check();
        if !problems.is_empty() {
            return Err(StartError::Settings(problems));
        }
        let mut data = DataDir::open(&config.data).map_err(StartError::DataDir)?;
        let in_use = |(address, error)| StartError::Listen(address, error);
        let starttls = tcp::bind(&config.listen).map_err(in_use)?;
        let direct = tcp::bind(&config.direct_tls).map_err(in_use)?;
        let asked: Vec<SocketAddr> = config.metrics.listen.into_iter().collect();
        let asked = tcp::bind(&asked).map_err(in_use)?;
        let place = match &config.database {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::Sqlite(data.database()),
        };
        let new_database = config.database.is_none() && !data.database().exists();
        // An older program cannot read a migrated database, so migrating is the last step that a
        // mistake of the operator can fail.
        let found = Store::look(&place).await.map_err(StartError::Store)?;
        let domain = precheck::check(&config, data.path(), &found.domains)?;
        let upgrading = |progress: Progress| tell(&progress.to_string());
        let opening = Opening { keep_copy: !config.migrate_without_copy, tell: &upgrading };
        let store = Store::open_with(&place, &opening).await;
        let store = store.map_err(StartError::Store)?;
        let started = Starting { config: &config, data: &data, store: &store, tell, domain };
        let (connections, admin, mut notes) = match started.finish().await {
            Ok(started) => started,
            Err(error) => {
                // The first error is reported; a failure to close adds nothing.
                let _ = store.close().await;
                return Err(error);
            }
        };
        data.keep();
        let made = [
            data.is_new().then(|| format!("made the data directory {}", data.path().display())),
            new_database.then(|| format!("made the database {}", data.database().display())),
            store.upgraded().map(Upgraded::to_string),
        ];
        notes.splice(0..0, made.into_iter().flatten());
        if data.is_open_to_others() {
            let shown = data.path().display();
            notes.push(format!("warning: others can look into {shown}; `chmod 700 {shown}` helps"));
        }

        let addresses = local_addresses(&starttls);
        #[cfg(feature = "relay")]
        notes.extend(connections.offer_relay(&addresses));
        let direct_tls = local_addresses(&direct);
        let admin_socket = admin.path().to_owned();
        let metrics = local_addresses(&asked);
        let reloader = Reloader::new(connections.clone(), data.path().to_owned(), config.clone());
        let reloader = Arc::new(reloader);
        let asked_to = Arc::downgrade(&reloader);
        let reload = Reload(Box::new(move || {
            let reloader = asked_to.upgrade();
            Box::pin(async move {
                let Some(reloader) = reloader else { return Err(Vec::new()) };
                reloader.reload().await.map(|reloaded| reloaded.lines())
            })
        }));
        let slots = &connections.node().slots;
        slots.put(Arc::new(reload));
        let audit = audit::writer(data.path(), Arc::downgrade(connections.node()));
        let _ = connections.node().audit.set(audit);
        slots.put(Arc::new(Listening(addresses.iter().chain(&direct_tls).copied().collect())));
        let transfers = Transfers::new(
            data.path(),
            store.clone(),
            Arc::downgrade(connections.node()),
            restored,
        );
        slots.put(Arc::new(transfers.clone().answer()));
        connections.node().started_well().await;

        // Nobody is let in before everything above is ready.
        let mut accepting = JoinSet::new();
        let liveness = Liveness::new(connections.node().clone());
        for (listeners, ingress) in [(starttls, Ingress::StartTls), (direct, Ingress::DirectTls)] {
            for listener in listeners {
                let beat = liveness.beat(ingress.name());
                accepting.spawn(tcp::serve(listener, ingress, connections.clone(), beat));
            }
        }
        accepting.spawn(admin.serve(connections.clone(), liveness.beat(Ingress::Admin.name())));
        accepting.spawn(renewal::watch(connections.clone()));
        let health = Health::new(connections.clone());
        accepting.spawn(health.clone().keep_looking(liveness.clone()));
        let site = Arc::new(Site {
            metrics: Arc::new(Metrics {
                connections: connections.clone(),
                health: health.clone(),
                data: data.path().to_owned(),
                database: config.database.is_none().then(|| data.database()),
            }),
            health,
            one: Mutex::new(()),
        });
        let answers_end = watch::Sender::new(false);
        let mut answering = JoinSet::new();
        for listener in asked {
            let (end, beat) = (answers_end.subscribe(), liveness.beat("metrics"));
            let connections = connections.clone();
            let answers =
                web::listen(listener, web::OPERATORS, site.clone(), connections, end, beat);
            answering.spawn(answers);
        }
        Ok(Server {
            connections,
            store,
            addresses,
            direct_tls,
            admin_socket,
            notes,
            accepting,
            liveness,
            reloader,
            metrics,
            answers_end,
            answering,
            transfers,
            data,
        })
    }

    /// Where clients connect with STARTTLS.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where clients connect with TLS from the first byte.
    pub fn direct_tls_addresses(&self) -> &[SocketAddr] {
        &self.direct_tls
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
        let under_way = UnderWay::new(node.clone(), deed);
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
        self.connections.close();
        while self.accepting.join_next().await.is_some() {}
        let going = async { tokio::join!(self.connections.gone(), self.connections.end_relay()) };
        if tokio::time::timeout(GOING, going).await.is_err() {
            tracing::warn!("clients_did_not_go");
        }
        // Ends guests that the relay was admitting meanwhile.
        self.connections.end_relay().await;
        let stored = tokio::time::timeout(STORING, self.node().stop()).await.is_ok();
        let ended = match aside {
            None => Err("the server was stopped".to_owned()),
            Some(_) if !stored => Err("the server could not stop in time".to_owned()),
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
        match tokio::time::timeout(STORING, self.store.close()).await {
            Ok(Ok(())) if stored => {}
            Ok(Err(error)) => tracing::error!(%error, "database_not_closed"),
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

/// A start under way: the directory is held, the database is open.
struct Starting<'a> {
    config: &'a Config,
    data: &'a DataDir,
    store: &'a Store,
    tell: &'a (dyn Fn(&str) + Sync),
    /// What will be served.
    domain: String,
}

impl Starting<'_> {
    async fn finish(self) -> Result<(Arc<Connections>, AdminSocket, Vec<String>), StartError> {
        let node = self.node().await?;
        let finished = self.finish_with(&node).await;
        if finished.is_err() {
            // Its tasks end before the store is closed.
            node.stop().await;
        }
        finished
    }

    async fn finish_with(
        &self,
        node: &Arc<Node>,
    ) -> Result<(Arc<Connections>, AdminSocket, Vec<String>), StartError> {
        let mut notes = Vec::new();
        let certificate = self.certificate(&node.domain_name(), &mut notes)?;
        if let Some(file) = &self.config.credentials
            && file.is_read()
        {
            let unreadable = |error| StartError::Credentials(file.path.clone(), error);
            let imported = credentials::import(node, &file.path, self.tell).await;
            let outcome = imported.map_err(unreadable)?;
            if outcome.created > 0 {
                let (created, shown) = (outcome.created, file.path.display());
                let accounts = if created == 1 { "account" } else { "accounts" };
                notes.push(format!("made {created} {accounts} from {shown}"));
            }
            notes.extend(outcome.warnings.into_iter().map(|warning| format!("warning: {warning}")));
        }
        let admin = AdminSocket::bind(self.data.path())
            .map_err(|error| StartError::Admin(self.data.path().join(crate::admin::NAME), error))?;
        Ok((Connections::new(node.clone(), Some(certificate)), admin, notes))
    }

    async fn node(&self) -> Result<Arc<Node>, StartError> {
        let config = self.config;
        let mut settings = config.settings.clone();
        let domain = &self.domain;
        settings.admins =
            config.admins.iter().filter_map(|name| config::admin(name, domain)).collect();
        let wanted = config.domain.as_deref();
        let store = self.store.clone();
        let features = whoelse_features::ALL;
        let clock = Clock::system_kept(|| Box::pin(synchronised::is_certain()));
        let node = Node::start(settings, clock, store, features, wanted).await;
        node.map_err(StartError::Node)
    }

    fn certificate(
        &self,
        domain: &str,
        notes: &mut Vec<String>,
    ) -> Result<Certificate, StartError> {
        if let Some(files) = self.config.certificate_files() {
            let tls = Tls::open(&files.certificate, &files.key).map_err(StartError::Tls)?;
            return Ok(Certificate { tls, own: ArcSwapOption::empty() });
        }
        let files = OwnFiles::of(self.data.path());
        if tls::ensure(&files, domain).map_err(StartError::Tls)? {
            let shown = files.certificate.display();
            notes.push(format!("made the certificate {shown} for {domain}, signed by itself"));
        }
        let tls = Tls::open(&files.certificate, &files.key).map_err(StartError::Tls)?;
        Ok(Certificate { tls, own: ArcSwapOption::from_pointee(files) })
    }
}

fn local_addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}
