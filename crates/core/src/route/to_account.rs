//! What an account does with a stanza for it: RFC 6121, 8.

use super::*;

impl InFlight {
    /// RFC 6121, 8.5.1: there is no such account. Towards those who may see everybody it is said.
    pub(super) fn nobody(self, to: &Jid) -> Routed {
        let refused = StanzaError::new(Condition::ServiceUnavailable);
        match self.stanza.kind() {
            Kind::Message if self.stanza.type_() != Some("error") => self.refuse(&self.say(
                refused,
                || format!("there is no user {}", to.local().unwrap_or(to.domain())),
                "no-such-user",
            )),
            Kind::Iq if self.is_request() => self.hidden(to),
            Kind::Presence if presence::is_for_account(&self.stanza) => self.for_roster(to, None),
            _ => self.done(),
        }
    }

    /// Says why, where everybody may see everybody: elsewhere it would tell a stranger who exists.
    pub(super) fn say(
        &self,
        refused: StanzaError,
        text: impl FnOnce() -> String,
        app: &'static str,
    ) -> StanzaError {
        match self.node.settings().contacts.hide_who_exists() {
            true => refused,
            false => refused.with_text(text()).with_app(app, ns::WHOELSE_ERRORS),
        }
    }

    pub(super) fn deliver(
        self,
        from: &Jid,
        to: Jid,
        account: &Arc<Account>,
        strip: Places,
    ) -> Routed {
        if self.is_request() && self.is_hidden(&to, account) {
            return self.hidden(&to);
        }
        let mut strip = match self.taps(Way::In, (from, &to), account, strip) {
            Ok(strip) => strip,
            Err(Flow::Refuse(error)) => return self.refuse(&error),
            Err(_) if presence::is_for_account(&self.stanza) => return self.unheard(&to, account),
            Err(_) => return self.done(),
        };
        if presence::is_for_account(&self.stanza) {
            return self.for_roster(&to, Some(account));
        }
        strip.sort_unstable();
        let kind = self.stanza.kind();
        let verdict = who_gets(kind, self.stanza.type_(), to.resource(), account);
        // The server's own account has no mailbox.
        let keeping = match account.is_server() {
            true => StoragePolicy::Never,
            false => storage_policy::storage_policy(&self.stanza),
        };
        let keepable = keeping != StoragePolicy::Never;
        match verdict {
            Recipients::Ignore => self.end_here(&to, account, &strip),
            Recipients::Unavailable => self.refuse_with(Condition::ServiceUnavailable),
            Recipients::Answer if kind == Kind::Iq => {
                let own = account.id == self.session.account.id;
                let target = if own { Target::Own } else { Target::Other };
                self.request(target, Some(account.clone()))
            }
            Recipients::Answer => self.done(),
            Recipients::NobodyThere if keepable => self.keep(&to, account, &strip),
            // Nothing that somebody wrote vanishes without a word; but who is not to know whether
            // the other is there must not learn it so (RFC 6121, 8.5.2.2.1 leaves the choice).
            Recipients::NobodyThere
                if storage_policy::comes_back(&self.stanza)
                    && audience::sees(&self.node, account, self.session.account.jid()) =>
            {
                self.refuse_with(Condition::ServiceUnavailable)
            }
            Recipients::NobodyThere => self.end_here(&to, account, &strip),
            Recipients::Deliver(targets) => {
                let taken = targets.iter().any(|session| session.is_attached());
                let archived =
                    keeping == StoragePolicy::Archived && self.node.settings().history.is_some();
                // Behind what is still on its way to the log it could find nobody any more.
                let behind = || self.session.must_ride(account.id);
                if archived || keepable && (!taken || behind()) {
                    return self.keep(&to, account, &strip);
                }
                self.pass(&to, account, &strip, keepable, targets.into_vec())
            }
        }
    }

    /// Whether the sender may ask nothing at this address: its owner does not show themselves to
    /// them, by a subscription or by presence that this very device has sent (RFC 6121, 8.5.3.1).
    pub(super) fn is_hidden(&self, to: &Jid, account: &Account) -> bool {
        let own = &self.session.account;
        let shown = |device: Arc<Session>| device.has_shown_itself_to(&self.session.jid);
        let is_seen = audience::sees(&self.node, account, own.jid())
            || to.resource().and_then(|resource| account.session(resource)).is_some_and(shown);
        !is_seen
    }

    pub(super) fn is_request(&self) -> bool {
        self.stanza.kind() == Kind::Iq && matches!(self.stanza.type_(), Some("get" | "set"))
    }

    /// A request to an address that is hidden, or that nobody has: one answer for both, given before
    /// anything of an account could make a difference.
    pub(super) fn hidden(self, to: &Jid) -> Routed {
        self.request(if to.is_bare() { Target::Hidden } else { Target::HiddenDevice }, None)
    }

    pub(super) fn added_to(&self) -> Option<&str> {
        self.stanza.to().is_none().then(|| self.session.account.jid().as_str())
    }
}
