//! XEP-0386, Bind 2: a session that begins along with its login, and in the state that its client
//! wants it in.

use std::sync::Arc;

use aws_lc_rs::hmac;
use whoelse_stream::sasl2::{Bind, UserAgentId};
use whoelse_stream::{hex, sm, token};
use whoelse_xmpp::{BareJid, Condition, Stanza, StanzaError};

use crate::node::Node;
use crate::principal::{Principal, Proved};
use crate::session::Session;
use crate::sessions::Hold;

/// The longest tag, in characters, that becomes a part of a resource: it is to name a program.
const TAG: usize = 64;

/// The bytes of the stable part of a resource.
const LENGTH: usize = 12;

impl Node {
    /// Begins a session. What its client wants of it is not begun yet: see [`Node::begin_in`].
    ///
    /// An earlier session of the same installation ends: the client is here and not there.
    pub async fn bind_inline(
        self: &Arc<Node>,
        principal: &Principal,
        wish: &Bind,
    ) -> Result<Hold, StanzaError> {
        let Some(proved) = principal.account() else {
            return Err(StanzaError::new(Condition::NotAllowed));
        };
        let account = self.account_as(proved).await?;
        if let Some(device) = principal.device {
            for old in account.sessions() {
                if old.device() == Some(device) {
                    self.replace(&old).await;
                }
            }
        }
        let resource = self.resource(proved, principal.device, wish.tag.as_deref());
        self.bind(principal, Some(&resource)).await
    }

    /// Begins in a new session what its client asks for. Returns what `<bound/>` is to contain.
    ///
    /// This may read the store. Whoever holds the session gives it up if that is cut short.
    pub async fn begin_in(
        self: &Arc<Node>,
        session: &Arc<Session>,
        features: &[Stanza],
    ) -> Vec<u8> {
        let mut bound = self.wiring.say_bound(self, session).await;
        for feature in features {
            match sm::Element::read(feature) {
                Some(Ok(sm::Element::Enable { resume, .. })) => {
                    bound.extend(self.enabled(session, resume).encode());
                }
                Some(_) => bound.extend(malformed().encode()),
                None => self.wiring.begin_in_bind(session, feature),
            }
        }
        bound
    }

    /// Returns the resource of a new session: after the client's tag, if it has a usable one, something
    /// that nobody can predict, or that is always the same for an installation and does not show which
    /// one it is.
    fn resource(&self, of: &Proved, device: Option<UserAgentId>, tag: Option<&str>) -> String {
        let tag = tag.filter(|tag| is_usable(tag, &of.address));
        let own = match device {
            Some(device) => stable(&self.secret, of.account, device, tag.unwrap_or_default()),
            None => token::token(),
        };
        match tag {
            Some(tag) => format!("{tag}/{own}"),
            None => own,
        }
    }

    /// XEP-0198, 3: enables stream management. Returns the answer: `unexpected-request` if it is
    /// enabled already.
    pub fn enabled(&self, session: &Arc<Session>, resume: bool) -> sm::Element {
        let Some(id) = self.enable(session, resume) else {
            let condition = Some(Condition::UnexpectedRequest);
            return sm::Element::Failed { h: None, condition };
        };
        let seconds = self.settings().limits.resumption.as_secs();
        let max = u32::try_from(seconds).unwrap_or(u32::MAX);
        sm::Element::Enabled(sm::Enabled {
            resume: id.is_some(),
            max: id.is_some().then_some(max),
            id,
            location: None,
        })
    }
}

fn malformed() -> sm::Element {
    sm::Element::Failed { h: None, condition: Some(Condition::BadRequest) }
}

/// Whether a tag can stand in a resource. One that cannot is left out: it helps whoever looks for a
/// fault, and is no reason to refuse a login.
fn is_usable(tag: &str, owner: &BareJid) -> bool {
    tag.chars().count() <= TAG && owner.with_resource(tag).is_ok()
}

/// The begin of a keyed hash over account, installation and tag.
fn stable(secret: &[u8], account: i64, device: UserAgentId, tag: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut hash = hmac::Context::with_key(&key);
    // Everything but the last part has a fixed length, so no two inputs are the same bytes.
    hash.update(b"whoelse resource");
    hash.update(&account.to_be_bytes());
    hash.update(device.as_bytes());
    hash.update(tag.as_bytes());
    hex::encode(&hash.sign().as_ref()[..LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_the_same_for_an_installation_and_differs_in_everything_else() {
        let (one, other) = (UserAgentId::fresh(), UserAgentId::fresh());
        let first = stable(b"secret", 1, one, "phone");

        assert_eq!(first, stable(b"secret", 1, one, "phone"));
        assert_eq!(first.len(), 2 * LENGTH);
        for different in [
            stable(b"secret", 2, one, "phone"),
            stable(b"secret", 1, other, "phone"),
            stable(b"secret", 1, one, "web"),
            stable(b"another", 1, one, "phone"),
        ] {
            assert_ne!(first, different);
        }
    }

    #[test]
    fn a_tag_that_cannot_stand_in_a_resource_is_not_usable() {
        let owner = BareJid::parse("bob@localhost").expect("an address");
        for (tag, usable) in [
            ("AwesomeXMPP", true),
            ("a/b", true),
            (&"x".repeat(TAG), true),
            (&"x".repeat(TAG + 1), false),
            ("a\u{7}b", false),
        ] {
            assert_eq!(is_usable(tag, &owner), usable, "{tag:?}");
        }
    }
}
