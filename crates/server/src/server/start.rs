//! A start, in stages: open, check, migrate, wire, listen. Each stage returns what the next ones
//! need.
//!
//! A stage that fails undoes what it made and the stages before it made: what is returned is closed
//! when it is dropped, except the node and the database, which [`wire`] stops and closes. Nobody is
//! let in before the last stage, which cannot fail.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use whoelse_core::{Clock, Node};
use whoelse_features::admin::{Listening, Reload};
use whoelse_store::{Location, Opening, Progress, Store, Upgraded};

use super::Server;
use crate::admin::AdminSocket;
use crate::audit;
use crate::config::{self, Config, Source};
use crate::credentials;
use crate::data_dir::DataDir;
use crate::health::Health;
use crate::ingress::tcp::{self, Accepting};
use crate::ingress::{Browsers, Certificate, Connections, Ingress};
use crate::liveness::Liveness;
use crate::maintenance::{Outcome, Transfers};
use crate::metrics::Metrics;
use crate::precheck;
use crate::reload::Reloader;
use crate::renewal;
use crate::start_error::StartError;
use crate::synchronised;
use crate::tls::{self, Ensured, OwnFiles, Tls};
use crate::web::{self, Site, Web};

/// The function that reports progress, a sentence at a time.
type Tell<'a> = &'a (dyn Fn(&str) + Sync);

/// Goes through all stages.
pub(super) async fn start(
    config: Config,
    restored: Option<Outcome>,
    tell: Tell<'_>,
) -> Result<Server, StartError> {
    let mut opened = open(&config)?;
    let domain = check(&config, &opened).await?;
    let store = migrate(&config, &opened, tell).await?;
    let mut wired = wire(&config, &opened, store, &domain, tell).await?;
    opened.data.keep();
    wired.notes.splice(0..0, made(&opened, &wired.store));
    Ok(listen(config, opened, wired, restored).await)
}

/// The data directory is held and every port is bound.
struct Opened {
    data: DataDir,
    location: Location,
    /// Whether there is no database yet.
    is_new: bool,
    starttls: Vec<TcpListener>,
    direct_tls: Vec<TcpListener>,
    browsers: Vec<TcpListener>,
    /// For `/metrics` and `/health`.
    operators: Vec<TcpListener>,
}

/// Takes the data directory and the ports. Whoever connects now waits until they are served.
fn open(config: &Config) -> Result<Opened, StartError> {
    let problems = config.check();
    if !problems.is_empty() {
        return Err(StartError::Settings(problems));
    }
    let data = DataDir::open(&config.data).map_err(StartError::DataDir)?;
    let bind = |addresses: &[SocketAddr]| {
        tcp::bind(addresses).map_err(|(address, error)| StartError::Listen(address, error))
    };
    let starttls = bind(&config.listen)?;
    let direct_tls = bind(&config.direct_tls)?;
    let browsers = bind(&config.web.listen)?;
    let operators = bind(config.metrics.listen.as_slice())?;
    let location = match &config.database {
        Some(url) => Location::Postgres(url.clone()),
        None => Location::Sqlite(data.database()),
    };
    let is_new = config.database.is_none() && !data.database().exists();
    Ok(Opened { data, location, is_new, starttls, direct_tls, browsers, operators })
}

/// Looks at everything that an operator's mistake could make fail, and changes nothing. Returns the
/// domain that will be served.
async fn check(config: &Config, opened: &Opened) -> Result<String, StartError> {
    let found = Store::look(&opened.location).await.map_err(StartError::Store)?;
    precheck::check(config, opened.data.path(), &found.domains)
}

/// Opens the database and brings it to the schema of this program. An older program cannot read it
/// after that, which is why everything else was checked before.
async fn migrate(config: &Config, opened: &Opened, tell: Tell<'_>) -> Result<Store, StartError> {
    let upgrading = |progress: Progress| tell(&progress.to_string());
    let opening = Opening { keep_copy: !config.migrate_without_copy, tell: &upgrading };
    Store::open_with(&opened.location, &opening).await.map_err(StartError::Store)
}

/// The rules run over the database, and connections could be driven.
struct Wired {
    store: Store,
    connections: Arc<Connections>,
    admin: AdminSocket,
    /// What was made, and what the operator should know.
    notes: Vec<String>,
}

/// Starts the node, and makes what is missing: accounts, the certificate, the admin socket. If that
/// fails, stops the node and closes the database.
async fn wire(
    config: &Config,
    opened: &Opened,
    store: Store,
    domain: &str,
    tell: Tell<'_>,
) -> Result<Wired, StartError> {
    let wired = async {
        let node = node(config, store.clone(), domain).await?;
        let wired = wire_node(config, &opened.data, &store, &node, tell).await;
        if wired.is_err() {
            // Its tasks end before the store is closed.
            node.stop().await;
        }
        wired
    };
    let wired = wired.await;
    if wired.is_err() {
        // The first error is reported; a failure to close adds nothing.
        let _ = store.close().await;
    }
    wired
}

async fn wire_node(
    config: &Config,
    data: &DataDir,
    store: &Store,
    node: &Arc<Node>,
    tell: Tell<'_>,
) -> Result<Wired, StartError> {
    let mut notes = Vec::new();
    let certificate = certificate(config, data, &node.domain_name(), &mut notes)?;
    import_accounts(config, node, tell, &mut notes).await?;
    let admin = AdminSocket::bind(data.path())
        .map_err(|error| StartError::Admin(data.path().join(crate::admin::NAME), error))?;
    let connections = Connections::new(node.clone(), Some(certificate));
    Ok(Wired { store: store.clone(), connections, admin, notes })
}

async fn node(config: &Config, store: Store, domain: &str) -> Result<Arc<Node>, StartError> {
    let mut settings = config.settings.clone();
    settings.admins = config.admins.iter().filter_map(|name| config::admin(name, domain)).collect();
    let clock = Clock::system_kept(|| Box::pin(synchronised::is_certain()));
    let wanted = config.domain.as_deref();
    let node = Node::start(settings, clock, store, whoelse_features::ALL, wanted).await;
    node.map_err(StartError::Node)
}

/// Opens the operator's certificate, or the server's own, made first if it is missing.
fn certificate(
    config: &Config,
    data: &DataDir,
    domain: &str,
    notes: &mut Vec<String>,
) -> Result<Certificate, StartError> {
    if let Some(files) = config.certificate_files() {
        let tls = Tls::open(&files.certificate, &files.key).map_err(StartError::Tls)?;
        return Ok(Certificate { tls, own: ArcSwapOption::empty() });
    }
    let files = OwnFiles::of(data.path());
    let shown = files.certificate.display();
    notes.extend(match tls::ensure(&files, domain).map_err(StartError::Tls)? {
        Ensured::There => None,
        Ensured::Made => {
            Some(format!("made the certificate {shown} for {domain}, signed by itself"))
        }
        Ensured::FoundAgain => Some(format!("{shown} is the former certificate of {domain} again")),
    });
    let tls = Tls::open(&files.certificate, &files.key).map_err(StartError::Tls)?;
    Ok(Certificate { tls, own: ArcSwapOption::from_pointee(files) })
}

/// Makes the accounts of the file of accounts, if there is one.
async fn import_accounts(
    config: &Config,
    node: &Arc<Node>,
    tell: Tell<'_>,
    notes: &mut Vec<String>,
) -> Result<(), StartError> {
    let Some(file) = config.credentials.as_ref().filter(|file| file.is_read()) else {
        return Ok(());
    };
    let unreadable = |error| StartError::Credentials(file.path.clone(), error);
    let outcome = credentials::import(node, &file.path, tell).await.map_err(unreadable)?;
    if outcome.created > 0 {
        let (created, shown) = (outcome.created, file.path.display());
        let accounts = if created == 1 { "account" } else { "accounts" };
        notes.push(format!("made {created} {accounts} from {shown}"));
    }
    notes.extend(outcome.warnings.into_iter().map(|warning| format!("warning: {warning}")));
    Ok(())
}

/// Says what the stages before the node have made.
fn made(opened: &Opened, store: &Store) -> Vec<String> {
    let data = &opened.data;
    let made = [
        data.is_new().then(|| format!("made the data directory {}", data.path().display())),
        opened.is_new.then(|| format!("made the database {}", data.database().display())),
        store.upgraded().map(Upgraded::to_string),
    ];
    made.into_iter().flatten().collect()
}

/// Attaches what the features need of the server, then serves every listener.
async fn listen(config: Config, opened: Opened, wired: Wired, restored: Option<Outcome>) -> Server {
    let Opened { data, starttls, direct_tls, browsers, operators, .. } = opened;
    let Wired { store, connections, admin, mut notes } = wired;
    if data.is_open_to_others() {
        let shown = data.path().display();
        notes.push(format!("warning: others can look into {shown}; `chmod 700 {shown}` helps"));
    }
    let addresses = local_addresses(&starttls);
    let direct_tls_addresses = local_addresses(&direct_tls);
    let web_addresses = local_addresses(&browsers);
    let metrics = local_addresses(&operators);
    #[cfg(feature = "relay")]
    notes.extend(connections.offer_relay(&addresses));

    let node = connections.node();
    let everywhere = addresses.iter().chain(&direct_tls_addresses).chain(&web_addresses);
    let everywhere = everywhere.copied().collect();
    node.slots.put(Arc::new(Listening(everywhere)));
    let reloader = attach_reload(&config, &data, &connections);
    let transfers = Transfers::new(data.path(), store.clone(), Arc::downgrade(node), restored);
    node.slots.put(Arc::new(transfers.clone().answer()));
    let _ = node.audit.set(audit::writer(data.path(), Arc::downgrade(node)));
    node.started_well().await;

    let admin_socket = admin.path().to_owned();
    let liveness = Liveness::new(node.clone());
    let mut accepting = JoinSet::new();
    let for_browsers = Accepting::Browsers(Arc::new(open_web(&config, &connections)));
    for (listeners, kind) in [
        (starttls, Accepting::StartTls),
        (direct_tls, Accepting::DirectTls),
        (browsers, for_browsers),
    ] {
        for listener in listeners {
            let beat = liveness.beat(kind.name());
            accepting.spawn(tcp::serve(listener, kind.clone(), connections.clone(), beat));
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
    for listener in operators {
        let (end, beat) = (answers_end.subscribe(), liveness.beat("metrics"));
        let (site, connections) = (site.clone(), connections.clone());
        answering.spawn(web::listen(listener, web::OPERATORS, site, connections, end, beat));
    }
    Server {
        connections,
        store,
        addresses,
        direct_tls: direct_tls_addresses,
        web: web_addresses,
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
    }
}

/// Makes what listeners for browsers share.
fn open_web(config: &Config, connections: &Connections) -> Browsers {
    if config.source == Source::QuickStart {
        // A proxy before it may send nothing by which it is known, and then strangers look like
        // somebody on this machine.
        connections.close_registration_over_web();
    }
    let most = config.settings.limits.half_open;
    let is_beyond_loopback = config.is_beyond_loopback();
    Browsers::new(Web { config: config.web.clone(), is_beyond_loopback }, most)
}

/// Lets an administrator's command read the configuration again.
fn attach_reload(config: &Config, data: &DataDir, connections: &Arc<Connections>) -> Arc<Reloader> {
    let reloader = Reloader::new(connections.clone(), data.path().to_owned(), config.clone());
    let reloader = Arc::new(reloader);
    let asked_to = Arc::downgrade(&reloader);
    connections.node().slots.put(Arc::new(Reload(Box::new(move || {
        let reloader = asked_to.upgrade();
        Box::pin(async move {
            let Some(reloader) = reloader else { return Err(Vec::new()) };
            reloader.reload().await.map(|reloaded| reloaded.lines())
        })
    }))));
    reloader
}

fn local_addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}
