//! How sessions begin, change hands and end: binding, resumption, detachment.

use std::sync::Arc;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{
    BareJid, Class, Condition, FullJid, Jid, Outgoing, StanzaError, StreamCondition, StreamError,
    ns,
};

use crate::account::Account;
use crate::delivery;
use crate::ledger::Payer;
use crate::network::Network;
use crate::node::Node;
use crate::presence;
use crate::principal::{Principal, Proved, Rights};
use crate::session::{ResumeRefused, Session, Superseded};
use crate::session_list::SessionList;
use crate::settings::Sessions;
use crate::to_the_end::to_the_end;

/// The most sessions of one account over the admin socket. Only the server's own user opens them,
/// each for a moment, so this is far above what scripts need at once; it stops a script that runs
/// away.
const TRUSTED_SESSIONS: usize = 1_000;

/// What a connection holds: a session, with the epoch under which it holds it.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The session.
    pub session: Arc<Session>,
    /// The epoch.
    pub epoch: u64,
}

impl Node {
    /// RFC 6120, 7: begins a session of a principal. A session with the rights of the admin socket
    /// does not count for the setting `sessions`.
    pub async fn bind(
        self: &Arc<Node>,
        principal: &Principal,
        resource: Option<&str>,
    ) -> Result<Hold, StanzaError> {
        let account = match principal.account() {
            Some(proved) => Some(self.account_as(proved).await?),
            None => None,
        };
        let others = self.sessions_of(account.as_deref());
        let owner = account.as_ref().map_or_else(|| self.address(), |it| it.jid().clone());
        if principal.rights < Rights::Operator && self.settings().sessions == Sessions::One {
            self.make_room(others, &owner).await?;
        }
        // RFC 6120, 7.7.2.2: the newcomer gets the resource; the session that had it is told.
        if let Some(resource) = resource
            && let Some(old) = others.find(resource)
        {
            self.replace(&old).await;
        }
        let jid = name_session(&owner, resource)?;
        let session = Arc::new(Session::new(
            self.next_session(),
            jid,
            account.clone(),
            principal,
            self.settings().limits.session_bytes,
            self.clock.moment(),
        ));
        self.seat(principal, &session)?;
        self.watch_what_is_held();
        tracing::info!(
            session = session.id,
            account = session.jid.bare(),
            resource = session.resource(),
            "session_bound"
        );
        Ok(Hold { session, epoch: 1 })
    }

    /// Notes that a connection from this address holds a session now; returns who pays for what it
    /// does.
    pub fn note_peer(&self, session: &Session, address: &str, network: Network) -> Option<Payer> {
        let payer = self.payer_of(session, network);
        session.note_peer(address, network, payer.clone());
        payer
    }

    /// Returns who pays for a session: its account. The operator's sessions are nobody's cost.
    fn payer_of(&self, session: &Session, network: Network) -> Option<Payer> {
        let account = session.account.as_ref().filter(|_| !session.is_trusted())?;
        Some(self.payer(account, network))
    }

    /// Returns the account that was proved, if it is still the same: `not-authorized` if it has
    /// been removed or got another password since.
    pub(crate) async fn account_as(&self, proved: &Proved) -> Result<Arc<Account>, StanzaError> {
        let account = self.look_up(&proved.address).await?;
        let account = account.filter(|account| account.is_as(proved));
        account.ok_or_else(|| StanzaError::new(Condition::NotAuthorized))
    }

    /// Adds a new session to the others of its owner.
    fn seat(&self, principal: &Principal, session: &Arc<Session>) -> Result<(), StanzaError> {
        let account = session.account.as_deref();
        let most = match session.is_trusted() {
            true => TRUSTED_SESSIONS,
            false => self.settings().limits.sessions_per_account,
        };
        let one = self.settings().sessions == Sessions::One && !session.is_trusted();
        let is_like = |other: &Session| other.is_trusted() == session.is_trusted();
        let mut refusal = None;
        self.sessions_of(account).add_if(session, |others| {
            // A login that came while this one waited has the place.
            let same_name = others.iter().any(|other| other.resource() == session.resource());
            // Between the proof and this moment the account can have been removed, blocked, or
            // given another password. All three are checked under the lock: whoever does one of
            // them does it first and looks for sessions afterwards.
            let is_other = match (account, principal.account()) {
                (Some(account), Some(proved)) => !account.is_as(proved),
                (account, proved) => account.is_some() || proved.is_some(),
            };
            let disabled = !session.is_trusted()
                && account.is_some_and(|account| self.is_disabled(account.jid()));
            if is_other || disabled {
                refusal = Some(StanzaError::new(Condition::NotAuthorized));
            } else if same_name || one && others.iter().any(|other| !other.is_trusted()) {
                refusal = Some(already_in(&session.jid));
            } else if others.iter().filter(|other| is_like(other)).count() >= most {
                // RFC 6120, 7.6.2.1.
                let full = StanzaError::new(Condition::ResourceConstraint);
                refusal = Some(full.with_text("this account has too many sessions"));
            }
            refusal.is_none()
        });
        refusal.map_or(Ok(()), Err)
    }

    /// behaviour.md, Log in 5: the first session keeps its place unless it is dead or detached.
    async fn make_room(
        self: &Arc<Node>,
        others: &SessionList,
        owner: &Jid,
    ) -> Result<(), StanzaError> {
        for old in others.all() {
            if old.is_trusted() || old.is_gone() {
                continue;
            }
            if old.is_attached() && self.answers(&old).await {
                return Err(already_in(owner));
            }
            self.replace(&old).await;
        }
        Ok(())
    }

    /// Asks a session for a sign of life: any byte within the probe's time.
    async fn answers(&self, session: &Arc<Session>) -> bool {
        let reads = session.reads();
        session.push(match session.is_managed() {
            true => {
                let bytes = whoelse_stream::sm::Element::Request.encode();
                Outgoing { after_name: 0, before_end: 0, bytes: bytes.into(), class: Class::Nonza }
            }
            false => Element::new("iq")
                .attr("type", "get")
                .attr("id", &whoelse_stream::token::token())
                .attr("from", &self.domain_name())
                .attr("to", session.jid.as_str())
                .child(Element::new("ping").xmlns(ns::PING))
                .outgoing(Class::IqAnswer),
        });
        let probe = self.settings().limits.probe;
        tokio::select! {
            biased;
            heard = session.heard_after(reads) => heard,
            () = self.clock.sleep(probe) => false,
        }
    }

    /// Ends a session because another one takes its place.
    pub(crate) async fn replace(self: &Arc<Node>, old: &Arc<Session>) {
        old.order_end(
            StreamError::new(StreamCondition::Conflict).with_text("replaced by a new login"),
        );
        self.end(old).await;
    }

    /// Enables stream management (XEP-0198, 3). Returns the token to resume with, if one was asked
    /// for; `None` if stream management is enabled already.
    pub fn enable(&self, session: &Arc<Session>, resume: bool) -> Option<Option<String>> {
        // A session with the rights of the admin socket cannot be resumed from elsewhere.
        let token = (resume && !session.is_trusted()).then(whoelse_stream::token::token);
        if !session.enable(token.clone()) {
            return None;
        }
        if let Some(token) = &token {
            self.resumptions.lock().insert(token.clone(), Arc::downgrade(session));
        }
        Some(token)
    }

    /// XEP-0198, 5: resumes a session. Only its own account may, with the password with which the
    /// session began.
    ///
    /// Waits until everything that the session had sent is handled, so that the count says what is
    /// stored.
    pub async fn resume(
        self: &Arc<Node>,
        principal: &Principal,
        token: &str,
        h: u32,
    ) -> Result<(Hold, u32), (Option<u32>, StanzaError)> {
        let unknown = || StanzaError::new(Condition::ItemNotFound);
        let session = self.resumptions.lock().get(token).and_then(|session| session.upgrade());
        let Some(session) = session.filter(|session| session.is_of(principal)) else {
            return Err((None, unknown()));
        };
        let awaited = session.await_for_another();
        let resumed = loop {
            session.settled().await;
            match session.resume(principal, token, h) {
                Err(ResumeRefused::Unsettled) => {}
                resumed => break resumed,
            }
        };
        drop(awaited);
        match resumed {
            Ok((epoch, handled, confirmed)) => {
                self.confirm(&session, confirmed);
                let now = self.clock.steady();
                session.heard(now);
                session.note_principal(principal, now);
                tracing::info!(
                    session = session.id,
                    account = session.jid.bare(),
                    resource = session.resource(),
                    "session_resumed"
                );
                Ok((Hold { session, epoch }, handled))
            }
            Err(ResumeRefused::Gone | ResumeRefused::Unsettled) => {
                Err((Some(session.h()), unknown()))
            }
            Err(ResumeRefused::TooHigh { h, sent }) => Err((
                Some(session.h()),
                StanzaError::new(Condition::UndefinedCondition)
                    .with_text(format!("you acknowledge {h} stanzas, but only {sent} were sent")),
            )),
        }
    }

    /// Notes that a device has everything up to `seq`.
    pub fn confirm(&self, session: &Session, seq: i64) {
        if let Some(account) = session.account.as_ref().filter(|_| seq > 0)
            && let Some((before, seq)) = account.confirm(seq)
        {
            self.keeper.confirmed(account.archive, before, seq);
        }
    }

    /// Takes the peer's count `h`. Fails with `(h, sent)` if it claims too many.
    pub fn acknowledged(&self, session: &Session, h: u32) -> Result<(), (u32, u32)> {
        let confirmed = session.acked(h)?;
        self.confirm(session, confirmed);
        Ok(())
    }

    /// Handles a lost connection: the session waits for a resumption, or ends.
    pub async fn connection_lost(self: &Arc<Node>, hold: &Hold) {
        match hold.session.detach(hold.epoch) {
            Err(Superseded) => {}
            Ok(false) => self.end(&hold.session).await,
            Ok(true) => {
                tracing::info!(
                    session = hold.session.id,
                    account = hold.session.jid.bare(),
                    resource = hold.session.resource(),
                    "session_detached"
                );
                self.expire_later(hold);
            }
        }
    }

    /// Ends the session when nobody has resumed it in time, or when its user has been idle for too
    /// long, or when it is full of what must not be lost, whichever comes first.
    fn expire_later(self: &Arc<Node>, hold: &Hold) {
        let (node, hold) = (self.clone(), hold.clone());
        let mut deadline = node.clock.steady().after(node.settings().limits.resumption);
        if !node.settings().timeout.is_zero() {
            let idle = hold.session.last_activity().after(node.settings().timeout);
            deadline = deadline.min(idle);
        }
        tokio::spawn(async move {
            tokio::select! {
                () = node.clock.sleep_until(deadline) => {}
                () = hold.session.left_by(hold.epoch) => {}
            }
            if hold.session.is_held_by(hold.epoch) {
                node.end(&hold.session).await;
            }
        });
    }

    /// Ends a session: those who see it are told that it is gone, its token becomes void, and what
    /// it never confirmed is kept, answered or dropped, even if the caller is dropped meanwhile.
    pub async fn end(self: &Arc<Node>, session: &Arc<Session>) {
        if session.is_gone() {
            return;
        }
        self.void_resumption(session);
        let ending = self.ends.begin();
        // Mark it as over first, so that nothing still under way makes it available again.
        let left = session.finish();
        self.sessions_of(session.account.as_deref()).remove(session.id);
        if let Some(left) = left {
            tracing::info!(
                session = session.id,
                account = session.jid.bare(),
                resource = session.resource(),
                "session_ended"
            );
            presence::end(self, session, left.was_available, left.directed);
            if !left.unconfirmed.is_empty() || session.waits_alone() {
                let (node, session) = (self.clone(), session.clone());
                to_the_end(async move {
                    delivery::ended::undelivered(&node, &session, left.unconfirmed).await;
                    session.note_left();
                    delivery::ended::left_in_log(&node, &session, ending);
                })
                .await;
            }
        }
    }

    /// Makes sure a session cannot be resumed.
    pub fn void_resumption(&self, session: &Session) {
        if let Some(token) = session.forget_resumption() {
            self.resumptions.lock().remove(&token);
        }
    }

    /// Orders a session to end so that nobody can resume it: with its connection, or at once if it
    /// has none. What it never confirmed goes on as at every end of a session.
    pub fn put_out(self: &Arc<Node>, session: &Arc<Session>, error: StreamError) {
        let obeys = session.order_end(error);
        self.void_resumption(session);
        if !obeys {
            let (node, session) = (self.clone(), session.clone());
            tokio::spawn(async move { node.end(&session).await });
        }
    }

    /// Orders every session to end; see [`Node::put_out`].
    pub fn end_all(self: &Arc<Node>, error: &StreamError) {
        for session in self.sessions() {
            self.put_out(&session, error.clone());
        }
    }

    /// Removes an account from memory, so that nobody finds it any more, and ends its sessions.
    pub(crate) fn bury(self: &Arc<Node>, account: &Arc<Account>) {
        account.mark_removed();
        self.forget_right(account);
        self.forget_account(account.jid());
        self.everybody.remove(account.jid());
        self.wiring.tell_barred(self, account);
        for session in account.sessions() {
            let error = StreamError::new(StreamCondition::NotAuthorized)
                .with_text("this account has been removed");
            self.put_out(&session, error);
        }
        self.wiring.tell_account(self, account, false);
    }
}

fn already_in(owner: &Jid) -> StanzaError {
    let text = format!("{} is already logged in", owner.local().unwrap_or(owner.domain()));
    StanzaError::new(Condition::Conflict).with_text(text)
}

fn name_session(owner: &BareJid, resource: Option<&str>) -> Result<FullJid, StanzaError> {
    let made;
    let resource = match resource {
        Some(resource) => resource,
        None => {
            made = whoelse_stream::token::token();
            &made
        }
    };
    owner.with_resource(resource).map_err(|_| StanzaError::new(Condition::BadRequest))
}
