//! `[web] listen`: what is served to browsers, and to whom.

use super::{
    Answer, Route, Served, bosh, forwarded, host_meta, not_found, same_site, text, websocket,
};
use crate::config::WebConfig;
use crate::ingress::gate::Permit;
use crate::ingress::{Connections, Ingress, Peer};
use forwarded::Origin;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use parking_lot::Mutex;
use std::future::{pending, ready};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use whoelse_core::kit::BoxFuture;
use whoelse_core::network::Network;
use whoelse_core::settings::Registration;
use whoelse_features::broadcast;

/// What the listener for browsers answers.
pub(crate) const BROWSERS: &[Route<Visit>] = &[
    Route::get(websocket::PATH, websocket),
    Route { path: bosh::PATH, takes: &["POST", "OPTIONS"], answer: bosh::answer },
    Route::get(host_meta::XML, host_meta_xml),
    Route::get(host_meta::JSON, host_meta_json),
];

/// The web of a server: what its configuration says of it.
pub(crate) struct Web {
    pub config: WebConfig,
    /// Whether somebody who is not on this machine can connect, here or elsewhere.
    pub is_beyond_loopback: bool,
}

/// One connection to the listener.
pub(crate) struct Visit {
    connections: Arc<Connections>,
    web: Arc<Web>,
    origin: Origin,
    is_encrypted: bool,
    /// Whose the request is, once that is known. None of a proxy's own.
    whose: OnceLock<IpAddr>,
    /// Told when the connection is bounded by a session, and no longer by the gate.
    attached: Notify,
    /// Its place among the connections of that session, as long as it lasts.
    place: OnceLock<OwnedSemaphorePermit>,
    /// The place of a client that a proxy has named, until then. Held for a change.
    half_open: Mutex<Option<Permit>>,
}

impl Visit {
    pub fn new(
        connections: &Arc<Connections>,
        web: &Arc<Web>,
        origin: Origin,
        is_encrypted: bool,
    ) -> Arc<Visit> {
        Arc::new(Visit {
            connections: connections.clone(),
            web: web.clone(),
            origin,
            is_encrypted,
            whose: OnceLock::new(),
            attached: Notify::new(),
            place: OnceLock::new(),
            half_open: Mutex::new(None),
        })
    }

    /// Waits for a place of the client, if a proxy has named it: whoever connects directly has one.
    /// Returns what waits until that is put out; `None` if there is no room.
    pub async fn come_in(&self, client: Network) -> Option<BoxFuture<'static, ()>> {
        let Origin::Proxy(_) = self.origin else { return Some(Box::pin(pending())) };
        let mut permit = self.connections.place(Ingress::Web, client).await?;
        let put_out = permit.put_out();
        *self.half_open.lock() = Some(permit);
        Some(Box::pin(put_out))
    }

    /// Notes that the connection belongs to a session, which has so many places at most.
    pub fn attach(&self, place: OwnedSemaphorePermit) {
        let _ = self.place.set(place);
        self.half_open.lock().take();
        self.attached.notify_one();
    }

    /// Waits until the connection belongs to a session.
    pub async fn attached(&self) {
        self.attached.notified().await;
    }

    /// What it is a connection of.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The client, after its request was answered.
    pub fn peer(&self) -> Option<Peer> {
        let whose = *self.whose.get()?;
        let address = match self.origin {
            Origin::Client { address, .. } => address.to_string(),
            _ => whose.to_string(),
        };
        Some(Peer { network: Network::of(whose), address })
    }

    /// Whether a password may pass here: over TLS, within this machine, or from a proxy that is
    /// trusted to have ended TLS itself.
    fn is_safe(&self) -> bool {
        match self.origin {
            Origin::Client { over_loopback, .. } => self.is_encrypted || over_loopback,
            Origin::Forwarded(_) | Origin::Proxy(_) | Origin::Check(_) => true,
        }
    }

    /// Whether this server gives rights to whoever is on its machine.
    fn gives_rights_by_loopback(&self) -> bool {
        let settings = self.connections.node().settings();
        let open = settings.registration == Registration::Open
            || settings.contacts.are_shared()
            || settings.of::<broadcast::Settings>().broadcast == broadcast::Broadcast::Everyone;
        open && !self.web.is_beyond_loopback
    }

    fn domains(&self) -> Vec<String> {
        vec![self.connections.node().domain_name().to_string()]
    }
}

impl Served for Visit {
    fn refusal(&self, request: &Request<Incoming>) -> Option<Answer> {
        if !self.is_safe() {
            return Some(text(StatusCode::FORBIDDEN, "this is answered over TLS alone (https)\n"));
        }
        match forwarded::whose(self.origin, request.headers(), &self.web.config) {
            Ok(Some(whose)) => {
                let _ = self.whose.set(whose);
            }
            Ok(None) => {}
            Err(unknown) => {
                let why = unknown.to_string();
                self.connections.node().failing("web_request_refused", None, &why);
                return Some(text(StatusCode::FORBIDDEN, why + "\n"));
            }
        }
        if self.gives_rights_by_loopback()
            && let Some(header) = same_site::stranger(request.headers(), &self.domains())
        {
            let why = format!(
                "the {header} of this request is another site's, and this server gives rights to \
                 whoever is on its machine\n"
            );
            return Some(text(StatusCode::FORBIDDEN, why));
        }
        None
    }
}

fn websocket(visit: Arc<Visit>, request: Request<Incoming>) -> BoxFuture<'static, Answer> {
    let answer = match visit.whose.get() {
        Some(_) => websocket::answer(request),
        None => text(StatusCode::FORBIDDEN, "nobody is told by this connection\n"),
    };
    Box::pin(ready(answer))
}

fn host_meta_xml(visit: Arc<Visit>, _: Request<Incoming>) -> BoxFuture<'static, Answer> {
    let url = visit.web.config.public_url.as_ref();
    Box::pin(ready(url.map_or_else(not_found, host_meta::xml)))
}

fn host_meta_json(visit: Arc<Visit>, _: Request<Incoming>) -> BoxFuture<'static, Answer> {
    let url = visit.web.config.public_url.as_ref();
    Box::pin(ready(url.map_or_else(not_found, host_meta::json)))
}
