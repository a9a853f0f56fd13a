//! The relay for private chats, and address discovery beside it: encrypted packets between two
//! clients that find no direct path (docs/protocol.md, `urn:whoelse:relay:0`).
//!
//! The relay's protocol is iroh-relay's; this module embeds it as a route of the ports for
//! clients, over TLS with the server's certificate. It admits clients that have a token of
//! [`whoelse_features::relay`], within bounds. It sees ciphertext only, and counts bytes, never
//! who speaks to whom.

mod admissions;
mod discovery;
mod guests;
pub(crate) mod routes;

use crate::tls::Tls;
use discovery::Discovery;
use guests::Guests;
use iroh_base::EndpointId;
use iroh_relay::KeyCache;
use iroh_relay::server::{ClientRateLimit, Handlers, Metrics, RelayService};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use whoelse_core::Node;
use whoelse_core::settings::Settings;
use whoelse_features::relay::{Limits, Offer, Private, Relaying, Usage};

/// Public keys whose curve points are cached: packets name keys, and decompressing one costs time.
const KEYS: usize = 4096;
/// The burst size, in seconds of the rate.
const BURST: u32 = 8;
/// How long connections have to close at shutdown.
const GOING: Duration = Duration::from_secs(1);
/// Time between two checks whether the connections that go have closed.
const LOOK: Duration = Duration::from_millis(100);

/// What private chats are offered.
pub(crate) struct Relay {
    service: RelayService,
    guests: Arc<Guests>,
    metrics: Arc<Metrics>,
    /// The TCP port, if there is a listener.
    port: Option<u16>,
    discovery: Discovery,
}

impl Relay {
    /// Begins at these listeners, with the present settings. Returns notes for the operator.
    pub fn start(
        node: &Arc<Node>,
        tls: &Tls,
        listeners: &[SocketAddr],
    ) -> (Arc<Relay>, Vec<String>) {
        let settings = node.settings().clone();
        let is_on = !settings.features_off.contains(whoelse_features::relay::FEATURE.name);
        let listeners = if is_on { listeners } else { &[] };
        let (discovery, notes) = Discovery::start(tls, listeners, settings.of(), &node.clock);
        let guests = Arc::new(Guests::new(node));
        let metrics = Arc::new(Metrics::default());
        let service = RelayService::new(
            Handlers::default(),
            hyper::HeaderMap::new(),
            Some(rate(settings.of())),
            KeyCache::new(KEYS),
            guests.clone(),
            metrics.clone(),
        );
        tokio::spawn(close_who_goes(service.clone(), guests.clone()));
        let port = listeners.first().map(SocketAddr::port);
        let relay = Arc::new(Relay { service, guests, metrics, port, discovery });
        relay.settings_changed(&settings);
        (relay, notes)
    }

    /// Takes over the settings. Guests stay, unless nothing is relayed any more.
    pub fn settings_changed(&self, settings: &Settings) {
        let relays = settings.of::<Private>().relay == Relaying::Auto && self.port.is_some();
        self.guests.open(relays);
        self.service.set_client_rate_limit(Some(rate(settings.of())));
        self.discovery.set(settings.of());
        if !relays {
            self.guests.end_all();
        }
    }

    /// Returns whether the relay admits anybody.
    pub fn is_allowed(&self) -> bool {
        self.guests.are_welcome()
    }

    /// Lets nobody in any more.
    pub fn close(&self) {
        self.guests.close();
    }

    /// Ends all connections. Waits a moment for packets in flight.
    pub async fn end_all(&self) {
        let ended = async { tokio::join!(self.service.shutdown(), self.discovery.end()) };
        // A guest that does not read is cut off.
        let _ = tokio::time::timeout(GOING, ended).await;
    }
}

/// Closes the connections that go, including those that the library is about to admit.
async fn close_who_goes(service: RelayService, guests: Arc<Guests>) {
    while let Some(going) = guests.going().await {
        for (connection, key) in going {
            if let Ok(endpoint) = EndpointId::from_bytes(&key) {
                service.clients().disconnect(endpoint, Some(connection));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl whoelse_features::relay::Relay for Relay {
    fn offer(&self) -> Offer {
        let relay = self.port.filter(|_| self.is_allowed());
        Offer { relay, discovery: self.discovery.port() }
    }

    fn usage(&self) -> Usage {
        Usage { connections: self.guests.count() as u64, bytes: self.metrics.bytes_sent.get() }
    }

    fn end(&self, account: i64) {
        self.guests.end(account);
    }
}

fn rate(limits: &Limits) -> ClientRateLimit {
    let rate = NonZeroU32::new(limits.relay_rate).unwrap_or(NonZeroU32::MIN);
    let mut limit = ClientRateLimit::new(rate);
    limit.max_burst_bytes = NonZeroU32::new(rate.get().saturating_mul(BURST));
    limit
}
