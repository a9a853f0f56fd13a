//! A message that is kept: handed to the keeper, and delivered after it is committed.

use super::*;

impl InFlight {
    pub(super) fn keep(self, to: &Jid, account: &Arc<Account>, strip: &[usize]) -> Routed {
        let bytes = self.stanza.bytes().len() as u64;
        if !account.reserve(bytes, &self.node.settings().limits) {
            let account = account.clone();
            let (to, strip) = (to.clone(), strip.to_vec());
            // The estimate only grows between two counts; a fresh count decides.
            return Routed::Waits(Box::pin(async move {
                let counted = self.node.recount(&account).await;
                match counted.map(|_| account.reserve(bytes, &self.node.settings().limits)) {
                    Ok(true) => finish(self.post(&to, &account, &strip, bytes)).await,
                    Ok(false) => {
                        let full = StanzaError::new(Condition::ResourceConstraint)
                            .with_text("the mailbox is full")
                            .with_app("mailbox-full", ns::WHOELSE_ERRORS);
                        self.refuse(&full);
                    }
                    Err(error) => {
                        self.node.store_failing("mailbox_not_counted", Some(account.jid()), &error);
                        self.refuse_with(Condition::InternalServerError);
                    }
                }
            }));
        }
        self.post(to, account, strip, bytes)
    }

    /// Hands it to the keeper; so many bytes are reserved for it in the mailbox.
    pub(super) fn post(
        self,
        to: &Jid,
        account: &Arc<Account>,
        strip: &[usize],
        bytes: u64,
    ) -> Routed {
        let added = self.added_to();
        let stored = rewriting::for_log(&self.stanza, self.lang.as_deref(), added, strip);
        let origin_id = self.stanza.child("origin-id", ns::STANZA_ID);
        let origin_id = origin_id.and_then(|child| self.stanza.child_attr(child, "id"));
        let session = self.session;
        let full = session.posted(account.id, stored.bytes.len());
        let sender = session.clone();
        let work = Work::Append(Box::new(Append {
            sender: session.account.clone(),
            sender_resource: session.resource().to_owned(),
            recipient: account.clone(),
            resource: to.resource().map(str::to_owned),
            origin_id: origin_id.map(|id| id.to_string()).filter(|id| id.len() <= 256),
            passing: storage_policy::storage_policy(&self.stanza) == StoragePolicy::UntilDelivered,
            reserved: Some(bytes),
            stanza: stored,
            origin: Some((session, self.ticket, self.stanza)),
        }));
        match self.node.keeper.try_post(work) {
            Ok(()) if full => Routed::Waits(Box::pin(async move { sender.settled().await })),
            Ok(()) => Routed::Done,
            Err(work) => {
                let node = self.node;
                Routed::Waits(Box::pin(async move {
                    // The server is stopping: unhandled, so the client sends it again.
                    let _ = node.keeper.post(work).await;
                }))
            }
        }
    }
}
