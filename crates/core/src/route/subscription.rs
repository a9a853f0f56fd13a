//! RFC 6121, 3 and 4.3: words of subscription, and probes.

use super::*;

impl InFlight {
    /// RFC 6121, 3 and 4.3: a word of subscription, or a probe, to an account of this server, or to
    /// a name that nobody has.
    pub(super) fn for_roster(self, to: &Jid, account: Option<&Arc<Account>>) -> Routed {
        let Some(word) = SubscriptionType::of(self.stanza.type_()) else {
            if self.stanza.type_() == Some("probe") {
                let own = &self.session.account;
                let subject = account.map(AsRef::as_ref);
                for presence in presence::probe::answer(&self.node, subject, to, own.jid()) {
                    self.session.push_addressed(&presence, &own.to_attribute);
                }
            }
            return self.done();
        };
        let contact = to.to_bare();
        if contact == *self.session.account.jid() || account.is_some_and(|it| it.is_server()) {
            // Everybody is subscribed to themselves; the server has no presence.
            return self.done();
        }
        if self.node.settings().contacts.are_shared() {
            if word == SubscriptionType::Subscribe && account.is_some() {
                presence::grant(&self.session, &contact);
            }
            return self.done();
        }
        let said = rewriting::for_roster(&self.stanza, self.lang.as_deref(), &[]).bytes;
        let other = account.cloned();
        Routed::Waits(Box::pin(async move {
            // It reaches another person's devices and the disk, so a flood is slowed down.
            self.session.fan_out(said.len(), &self.node.clock).await;
            let wish = Wish::Say(word, said);
            let (node, own) = (&self.node, &self.session.account);
            match roster::change::change(node, own, &contact, other, wish).await {
                Ok(()) => self.done(),
                Err(error) => self.refuse(&error),
            };
        }))
    }

    /// A word of subscription, or a probe, that its recipient does not want to hear. A request and a
    /// probe look as if there were no such account; the rest changes what is, and nobody is told.
    pub(super) fn unheard(self, to: &Jid, account: &Arc<Account>) -> Routed {
        match SubscriptionType::of(self.stanza.type_()) {
            Some(SubscriptionType::Subscribe) if !self.node.settings().contacts.are_shared() => {
                self.for_roster(to, None)
            }
            Some(SubscriptionType::Subscribe) => self.done(),
            None | Some(_) => self.for_roster(to, Some(account)),
        }
    }
}
