//! How a session comes back after its connection was lost, and what is left of it on this computer when
//! it is over.

use std::time::Duration;

use tokio::time::timeout;
use whoelse_stream::Password;
use whoelse_stream::client::{HeldToken, Step};
use whoelse_stream::sasl2::UserAgentId;

use crate::connect::{Coming, Connector, IfChanged};
use crate::entry::Entry;
use crate::remembered::Place;
use crate::wire::CLOSE_WITHIN;

/// How long a token may take to be taken back. After that it is good until it ends by itself, and
/// nobody has it.
const WITHIN: Duration = Duration::from_secs(5);

/// Who comes back, and where the login is remembered, if it is.
pub(super) struct WayBack {
    pub(super) name: String,
    pub(super) place: Option<Place>,
}

impl WayBack {
    /// Returns what to log in with: the token, if there is one and tokens are taken; otherwise the
    /// password, and then there is to be a token again. `None` if there is neither.
    pub(super) fn entry(
        &self,
        connector: &Connector,
        password: Option<Password>,
        tokens: bool,
    ) -> Option<Entry> {
        let place = self.place.as_ref();
        let by_token = place.filter(|_| tokens).and_then(|it| Entry::by_token(&self.name, it));
        by_token.or_else(|| {
            let by_password = Entry::by_password(&self.name, password?);
            Some(by_password.for_place(place, connector.process))
        })
    }

    /// Returns whether the login is remembered.
    pub(super) fn is_remembered(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.held().is_some())
    }

    /// Keeps the token that a login was given.
    pub(super) fn renew(&mut self, given: Option<HeldToken>) {
        if let Some(place) = &mut self.place {
            place.renew(given);
        }
    }

    /// Forgets the token, which is no good any more.
    pub(super) fn forget(&mut self) {
        // If it cannot be removed, it is refused the next time.
        let _ = self.place.as_mut().map(Place::forget);
    }

    /// Forgets the token, and takes it back at the server.
    pub(super) async fn take_back(&mut self, connector: &Connector) {
        let Some(place) = &self.place else { return };
        let (installation, held) = (place.installation(), place.held().cloned());
        self.forget();
        if let Some(held) = held {
            let revoking = revoke(connector, &self.name, installation, &held);
            let _ = timeout(WITHIN, revoking).await;
        }
    }
}

/// Takes a token back, as far as the server can be reached.
async fn revoke(connector: &Connector, name: &str, installation: UserAgentId, held: &HeldToken) {
    let coming = Coming { who: connector.account(name), resume: None };
    let connected = connector.connect(IfChanged::Refuse, Some(&coming)).await;
    let Ok(mut wire) = connected else { return };
    if wire.revoke(name, installation, held).is_err() {
        return wire.close(CLOSE_WITHIN).await;
    }
    if let Ok(Step::Proved) = wire.step().await {
        wire.close(CLOSE_WITHIN).await;
    }
}
