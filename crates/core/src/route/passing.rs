//! A stanza that is not kept: delivered at once, or after what is on its way before it.

use super::*;

impl InFlight {
    pub(super) fn pass(
        self,
        to: &Jid,
        account: &Arc<Account>,
        strip: &[usize],
        keepable: bool,
        targets: Vec<Arc<Session>>,
    ) -> Routed {
        if self.stanza.kind() == Kind::Message {
            self.node.counters.messages.passed.inc();
        }
        let class = if keepable { Class::Kept(0) } else { rewriting::class(&self.stanza) };
        let outgoing = rewriting::for_recipient(
            &self.stanza,
            self.session.jid.as_str(),
            self.lang.as_deref(),
            self.added_to(),
            strip,
            class,
        );
        if !self.session.must_ride(account.id) {
            self.push(&outgoing, account, &targets);
            return self.done();
        }
        // Something kept to the same account is still being committed: this follows it.
        let (node, to, account) = (self.node.clone(), to.clone(), account.clone());
        let ride = Work::Ride(Box::new(move |_| {
            let verdict =
                who_gets(self.stanza.kind(), self.stanza.type_(), to.resource(), &account);
            match verdict {
                Recipients::Deliver(targets) => self.push(&outgoing, &account, &targets),
                Recipients::Unavailable => {
                    self.refuse_with(Condition::ServiceUnavailable);
                    return;
                }
                _ => self.push(&outgoing, &account, &[]),
            }
            self.done();
        }));
        match node.keeper.try_post(ride) {
            Ok(()) => Routed::Done,
            Err(ride) => Routed::Waits(Box::pin(async move {
                let _ = node.keeper.post(ride).await;
            })),
        }
    }

    /// Nobody takes it, and nobody is told. The sender's other sessions may want to know of a
    /// message all the same.
    pub(super) fn end_here(self, to: &Jid, account: &Arc<Account>, strip: &[usize]) -> Routed {
        let is_message = self.stanza.kind() == Kind::Message;
        if is_message && carbon_tap::are_wanted(&self.node, &self.session.account, account) {
            return self.pass(to, account, strip, false, Vec::new());
        }
        self.done()
    }

    pub(super) fn push(&self, outgoing: &Outgoing, to: &Account, targets: &[Arc<Session>]) {
        let item = || Queued { stanza: outgoing.clone(), to: Bytes::new() };
        let taken = targets.iter().filter(|session| session.push_queued(item()).is_ok()).count();
        let asks = outgoing.class == Class::IqRequest || outgoing.class == Class::Kept(0);
        if taken == 0 && asks {
            self.session
                .answer_error(&self.stanza, &StanzaError::new(Condition::ServiceUnavailable));
        } else if self.stanza.kind() == Kind::Message {
            let message = (&self.stanza, outgoing);
            carbon_tap::of_passed(&self.node, message, &self.session, to, targets);
        }
    }
}
