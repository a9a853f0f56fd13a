//! How a node starts, comes to rest and stops. This file knows everything that runs by itself;
//! [`crate::node`] holds what the rules need.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use whoelse_store::{Domain, RepeatKey, Store};
use whoelse_xmpp::BareJid;

use crate::accounts::Accounts;
use crate::administrators::Administrators;
use crate::archive_id::ArchiveKey;
use crate::asked::Asked;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::delivery::LOG_READERS;
use crate::growth::Growth;
use crate::hashing::Hashing;
use crate::keeper::{Keeper, PIECE};
use crate::kit::{Feature, Wiring};
use crate::known_networks::KnownNetworks;
use crate::lasting::Lasting;
use crate::ledger::Ledger;
use crate::login_throttle::LoginThrottle;
use crate::login_throttle::stored::Count;
use crate::node::{Node, Served};
use crate::online::Online;
use crate::recent_logins::RecentLogins;
use crate::roster::everybody::Everybody;
use crate::session_list::SessionList;
use crate::settings::{Label, Settings};
use crate::slots::Slots;
use crate::watch::Watch;

/// Why a node could not start.
#[derive(Debug)]
pub enum StartError {
    /// Two features clash, or a name in the settings is unknown.
    Wiring(String),
    /// The domain is not a valid name.
    Domain(String),
    /// The data directory belongs to another domain.
    OtherDomain {
        /// The domain that the data directory serves.
        stored: String,
        /// The domain that was asked for.
        wanted: String,
    },
    /// The store failed.
    Store(whoelse_store::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Wiring(what) => f.write_str(what),
            StartError::Domain(name) => write!(f, "`{name}` is not a domain name"),
            StartError::OtherDomain { stored, wanted } => write!(
                f,
                "the data directory serves {stored}, the configuration says {wanted}; write \
                 `domain = \"{stored}\"`, or, to rename it, start it without `domain` and run \
                 `whoelse domain rename {stored} {wanted}`"
            ),
            StartError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<whoelse_store::Error> for StartError {
    fn from(error: whoelse_store::Error) -> StartError {
        StartError::Store(error)
    }
}

impl Node {
    /// Starts the node over an open store. `domain` is the domain that it must serve; without it,
    /// the node serves the store's domain, or `localhost` if the store is new.
    pub async fn start(
        settings: Settings,
        clock: Clock,
        store: Store,
        features: &[Feature],
        domain: Option<&str>,
    ) -> Result<Arc<Node>, StartError> {
        // Read this before anything else writes another one.
        let last_heartbeat = store.last_heartbeat().await?;
        let wiring = Wiring::of(features, &settings.features_off).map_err(StartError::Wiring)?;
        let service_labels = wiring.service_labels(&settings).map_err(StartError::Wiring)?;
        let served = serve(&store, domain, &service_labels).await?;
        let named = served.keys_of(&settings.admins);
        let administrators = Administrators::new(named, &store.granted_rights().await?);
        let secret = installation_secret(&store, "login").await?;
        let of_archives = installation_secret(&store, "archive").await?;
        let archive_key = ArchiveKey::new(&of_archives);
        let repeat_key = RepeatKey::new(&of_archives);
        let slots = Slots::new(wiring.load_server(&store).await?);
        let throttle = Arc::new(LoginThrottle::default());
        let started = clock.moment();
        let watch = Watch::at_start(last_heartbeat, started);
        let now = watch.even_moment(started.steady);
        // Blocks are as long as they were, though a jump of even time was cut off.
        let mut is_more = store.are_times_moving().await?;
        while is_more {
            let mut tx = store.begin().await?;
            is_more = tx.move_times(PIECE).await?;
            tx.commit().await?;
        }
        let rows = store.throttle_load_all(now.wall.0).await?;
        let rows = rows.into_iter().map(|(key, row)| (key, Count::from(row)));
        throttle.restore(rows, settings.block_duration, now);
        let known_networks = KnownNetworks::load(&store, now).await?;
        let complete = crate::verifiers::are_complete(&store).await?;
        let last_stamp = store.last_stamp().await?;
        let passing = store.archives_with_passing().await?;
        let (keeper, work) = Keeper::new();
        let (growth, grown) = Growth::new();
        let limits = &settings.limits;
        let accounts = Accounts::new(limits.idle_accounts);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let node = Arc::new(Node {
            contacts: settings.contacts,
            settings: ArcSwap::from_pointee(settings),
            started,
            store: store.clone(),
            wiring,
            keeper: Arc::new(keeper),
            throttle,
            counters: Counters::with(features.iter().flat_map(|feature| feature.counters)),
            lasting: Lasting::new(clock.clone()),
            clock,
            audit: Arc::default(),
            slots,
            accounts,
            served: ArcSwap::from_pointee(served),
            service_labels,
            own_sessions: SessionList::default(),
            ends: Arc::default(),
            online: Online::default(),
            everybody: Everybody::default(),
            resumptions: Mutex::default(),
            secret,
            archive_key,
            repeat_key,
            administrators,
            next_session: AtomicU64::new(1),
            hashing: Hashing::with(processors),
            log_readers: tokio::sync::Semaphore::new(LOG_READERS),
            held: Asked::default(),
            complete: AtomicBool::new(complete),
            recent_logins: RecentLogins::default(),
            removals: Asked::default(),
            known_networks,
            ledger: Ledger::default(),
            growth,
            watch,
        });
        Keeper::start(Arc::downgrade(&node), store, work, last_stamp, passing);
        node.wiring.tell_started(&node).await;
        crate::heartbeat::start(&node);
        crate::housekeeping::start(&node, grown);
        Ok(node)
    }

    /// Ends the sessions that are left and stores what was accepted.
    ///
    /// Returns when the keeper has nothing left. Connections should have ended before, or they lose
    /// what is under way.
    pub async fn stop(self: &Arc<Node>) {
        for session in self.sessions() {
            self.end(&session).await;
        }
        // Of others the end is under way: what they leave is posted before the keeper stops.
        self.ends.none().await;
        self.write_arrivals().await;
        self.last_heartbeat().await;
        self.keeper.stop().await;
    }

    /// Whether nothing is under way: the keeper has nothing left, nobody asks the store, no
    /// password is being hashed. A test world moves its clock only then.
    pub fn is_idle(&self) -> bool {
        self.keeper.waiting() == 0
            && self.log_readers.available_permits() == LOG_READERS
            && self.hashing.is_idle()
            && self.store.is_idle()
    }
}

/// Chooses the domain of a node whose store holds these domains: the one that is wanted, or else
/// the oldest, or `localhost` if there is none yet.
///
/// # Errors
/// The wanted domain is not a valid name, or is not in the store.
pub fn name_to_serve(stored: &[Domain], wanted: Option<&str>) -> Result<String, StartError> {
    let Some(wanted) = wanted else {
        return Ok(stored.first().map_or("localhost", |first| &first.name).to_owned());
    };
    let jid = BareJid::new(None, wanted).map_err(|_| StartError::Domain(wanted.to_owned()))?;
    let wanted = jid.domain().to_owned();
    match stored.first() {
        Some(first) if stored.iter().all(|domain| domain.name != wanted) => {
            Err(StartError::OtherDomain { stored: first.name.clone(), wanted })
        }
        _ => Ok(wanted),
    }
}

async fn serve(
    store: &Store,
    wanted: Option<&str>,
    services: &[(Label, &'static str)],
) -> Result<Served, StartError> {
    let name = name_to_serve(&store.domains().await?, wanted)?;
    let mut tx = store.begin().await?;
    tx.ensure_domain(&name).await?;
    let labels: Vec<&str> = services.iter().map(|(label, _)| label.as_str()).collect();
    let labels = tx.name_services(&labels).await?;
    let own = tx.domains().await?;
    let former = tx.former_names().await?;
    tx.commit().await?;
    let domain = own.iter().find(|domain| domain.name == name).cloned();
    let domain = domain.ok_or_else(|| StartError::Domain(name.clone()))?;
    Served::new(domain, own, labels, former, services).map_err(|_| StartError::Domain(name))
}

/// Returns a secret of this installation. It is made on the first call.
pub async fn installation_secret(
    store: &Store,
    name: &str,
) -> Result<Vec<u8>, whoelse_store::Error> {
    let key = format!("secret.{name}");
    if let Some(secret) = store.setting(&key).await? {
        return Ok(secret);
    }
    let secret = whoelse_stream::token::random::<32>().to_vec();
    let mut tx = store.begin().await?;
    tx.set_setting(&key, &secret).await?;
    tx.commit().await?;
    Ok(secret)
}
