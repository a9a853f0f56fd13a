//! The life of a stanza, from the moment a session sent it: checked, addressed, and either kept,
//! passed on, or answered.
//!
//! Everything here runs on the sender's task. What can be done without waiting is done at once;
//! the rest comes back as a future, and only that sender's reading pauses for it.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{
    Class, Condition, Jid, Kind, Outgoing, Stanza, StanzaError, StreamCondition, StreamError, ns,
};

use crate::account::Account;
use crate::carbon_tap;
use crate::keeper::{Append, Work};
use crate::kit::{BoxFuture, Flow, Passing, Reply, SessionCx, Target, Verb};
use crate::lasting::FAULT_OF_OURS;
use crate::node::{Node, Seek};
use crate::presence::{self, Said};
use crate::rewriting;
use crate::roster::change::Wish;
use crate::roster::{self, SubscriptionType};
use crate::session::{Queued, Session, Ticket};
use crate::sessions::Hold;
use crate::settings::Contacts;
use crate::storage_policy::{self, StoragePolicy};
use crate::who_gets::{Recipients, who_gets};

/// What became of a stanza, for the connection that read it.
pub enum Routed {
    /// All is done, or on its way.
    Done,
    /// Nothing more of this session may be read before this has finished.
    Waits(BoxFuture<'static, ()>),
    /// The stream must end.
    End(StreamError),
    /// Another connection has the session: this one has nothing to say any more.
    Superseded,
}

/// Takes one stanza from the connection that holds a session. The stream's `xml:lang` is added
/// where a stanza for somebody has none.
pub fn handle(node: &Arc<Node>, hold: &Hold, stanza: Stanza, lang: Option<&str>) -> Routed {
    let session = &hold.session;
    if stanza.kind() == Kind::Other {
        return Routed::End(StreamError::new(StreamCondition::UnsupportedStanzaType));
    }
    if let Some(from) = stanza.from()
        && !is_own(session, from)
    {
        // RFC 6120, 8.1.2.1: anybody else's address ends the stream.
        return Routed::End(StreamError::new(StreamCondition::InvalidFrom));
    }
    let Ok(ticket) = session.received(hold.epoch) else { return Routed::Superseded };
    note_activity(node, session, &stanza);
    node.counters.received.inc(stanza.kind());
    let read = Said::read(node, &stanza);
    let letter = InFlight {
        node: node.clone(),
        session: session.clone(),
        ticket,
        lang: lang.map(str::to_owned).filter(|_| stanza.lang().is_none()),
        stanza,
        said: read.as_ref().cloned().unwrap_or_default(),
    };
    match read.and_then(|_| letter.address()) {
        Ok(Address::Server) => letter.for_server(),
        Ok(Address::Broadcast) => letter.broadcast(),
        Ok(Address::Account(to)) => letter.for_account(to),
        Err(error) => letter.refuse(&error),
    }
}

/// A stanza's `from` may name the session itself or its account.
fn is_own(session: &Session, from: &str) -> bool {
    Jid::parse(from).is_ok_and(|from| match from.resource() {
        Some(_) => from == *session.jid,
        None => from == **session.account.jid(),
    })
}

/// behaviour.md, TIMEOUT: a message that says something, an ad-hoc command, or a request that is
/// marked as typed by hand.
fn note_activity(node: &Node, session: &Session, stanza: &Stanza) {
    let active = match stanza.kind() {
        Kind::Message => storage_policy::has_content(stanza),
        Kind::Iq => {
            stanza.has("command", ns::COMMANDS) || stanza.has("by-hand", ns::WHOELSE_ACTIVITY)
        }
        Kind::Presence | Kind::Other => false,
    };
    if active {
        session.touch(node.clock.moment());
    }
}

/// Whom a stanza is for.
enum Address {
    /// A presence without an address.
    Broadcast,
    /// The domain itself.
    Server,
    /// A local account or one of its sessions.
    Account(Jid),
}

/// Children of a stanza, by their place.
type Places = SmallVec<[usize; 2]>;

/// The end whose taps are run.
#[derive(Clone, Copy)]
enum Way {
    /// The sender's.
    Out,
    /// The recipient's.
    In,
}

/// A stanza under way: what arrived, from which session, and its place in the count.
struct InFlight {
    node: Arc<Node>,
    session: Arc<Session>,
    ticket: Ticket,
    lang: Option<String>,
    stanza: Stanza,
    /// What a presence says.
    said: Said,
}

impl InFlight {
    fn done(&self) -> Routed {
        self.session.done(self.ticket);
        Routed::Done
    }

    fn refuse(&self, error: &StanzaError) -> Routed {
        if self.stanza.kind() == Kind::Message {
            self.node.counters.messages.refused.inc();
        }
        self.session.answer_error(&self.stanza, error);
        self.done()
    }

    fn refuse_with(&self, condition: Condition) -> Routed {
        self.refuse(&StanzaError::new(condition))
    }

    fn address(&self) -> Result<Address, StanzaError> {
        self.check_iq()?;
        let Some(to) = self.stanza.to() else {
            return Ok(match self.stanza.kind() {
                Kind::Presence => Address::Broadcast,
                // RFC 6120, 10.3: without an address it is for the sender's own account.
                _ => Address::Account(self.session.account.jid().clone().into()),
            });
        };
        let to = Jid::parse(to).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        if to.domain() != self.node.domain_name().as_str() {
            return Err(StanzaError::new(Condition::RemoteServerNotFound)
                .with_text(format!("cannot reach {}", to.domain())));
        }
        let is_server = to.local().is_none() && to.resource().is_none();
        Ok(if is_server { Address::Server } else { Address::Account(to) })
    }

    /// RFC 6120, 8.2.3: an id, a known type, and exactly one payload in a request. Beside it our
    /// own clients may put the mark that a person typed it.
    fn check_iq(&self) -> Result<(), StanzaError> {
        if self.stanza.kind() != Kind::Iq {
            return Ok(());
        }
        let payloads = self.payloads().count();
        let sound = self.stanza.id().is_some()
            && match self.stanza.type_() {
                Some("get" | "set") => payloads == 1,
                Some("result") => payloads <= 1,
                Some("error") => true,
                _ => false,
            };
        if sound { Ok(()) } else { Err(StanzaError::new(Condition::BadRequest)) }
    }

    fn payloads(&self) -> impl Iterator<Item = &whoelse_xmpp::Child> {
        self.stanza.children().iter().filter(|child| child.ns() != ns::WHOELSE_ACTIVITY)
    }

    // --- to the server ---

    fn for_server(self) -> Routed {
        match (self.stanza.kind(), self.stanza.type_()) {
            (Kind::Iq, Some("get" | "set")) => self.request(Target::Server, None),
            (Kind::Message, None | Some("chat" | "normal" | "groupchat")) => {
                self.refuse_with(Condition::ServiceUnavailable)
            }
            _ => self.done(),
        }
    }

    // --- presence to everybody ---

    fn broadcast(self) -> Routed {
        match self.stanza.type_() {
            None | Some("unavailable") => {}
            Some("error") => return self.done(),
            Some(_) => return self.refuse_with(Condition::BadRequest),
        }
        let bytes = self.stanza.bytes().len();
        if self.session.spend_fanout(bytes, self.node.clock.steady()).is_err() {
            return Routed::Waits(Box::pin(async move {
                self.session.fan_out(bytes, &self.node.clock).await;
                self.say_presence();
            }));
        }
        self.say_presence()
    }

    fn say_presence(self) -> Routed {
        if self.stanza.type_() == Some("unavailable") {
            let words = self.stanza.child_text("status", ns::CLIENT).map(|text| text.to_string());
            self.session.account.set_parting_words(words);
        }
        let presence = (&self.stanza, &self.said);
        presence::broadcast(&self.node, &self.session, presence, self.lang.as_deref());
        self.done()
    }

    // --- to an account ---

    fn for_account(self, to: Jid) -> Routed {
        // What the sender's own account says to it depends on nobody else, whoever that is.
        let from = Jid::from(self.session.jid.clone());
        let strip = self.said.drop.clone();
        let strip = match self.taps(Way::Out, (&from, &to), &self.session.account, strip) {
            Ok(strip) => strip,
            Err(Flow::Refuse(error)) => return self.refuse(&error),
            Err(_) => return self.done(),
        };
        let bare = to.to_bare();
        match self.node.seek(&bare) {
            Seek::Here(account) => self.deliver(&from, to, &account, strip),
            Seek::Missing => self.nobody(&to),
            Seek::NotLoaded => Routed::Waits(Box::pin(async move {
                match self.node.account(&bare).await {
                    Ok(Some(account)) => finish(self.deliver(&from, to, &account, strip)).await,
                    Ok(None) => finish(self.nobody(&to)).await,
                    Err(error) => {
                        self.node.store_failing("account_not_loaded", Some(&bare), &error);
                        self.refuse_with(Condition::InternalServerError);
                    }
                }
            })),
        }
    }

    /// RFC 6121, 8.5.1: there is no such account. Towards those who may see everybody it is said.
    fn nobody(self, to: &Jid) -> Routed {
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
    fn say(
        &self,
        refused: StanzaError,
        text: impl FnOnce() -> String,
        app: &'static str,
    ) -> StanzaError {
        match self.node.settings().contacts {
            Contacts::Everyone => refused.with_text(text()).with_app(app, ns::WHOELSE_ERRORS),
            Contacts::Roster => refused,
        }
    }

    /// RFC 6121, 3 and 4.3: a word of subscription, or a probe, to an account of this server, or to
    /// a name that nobody has.
    fn for_roster(self, to: &Jid, account: Option<&Arc<Account>>) -> Routed {
        let Some(word) = SubscriptionType::of(self.stanza.type_()) else {
            if self.stanza.type_() == Some("probe") {
                presence::probe::answer(&self.node, &self.session, account, to);
            }
            return self.done();
        };
        let contact = to.to_bare();
        if contact == *self.session.account.jid() || account.is_some_and(|it| it.is_server()) {
            // Everybody is subscribed to themselves; the server has no presence.
            return self.done();
        }
        if self.node.settings().contacts == Contacts::Everyone {
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

    fn deliver(self, from: &Jid, to: Jid, account: &Arc<Account>, strip: Places) -> Routed {
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
                    && self.node.sees(account, &self.session.account) =>
            {
                self.refuse_with(Condition::ServiceUnavailable)
            }
            Recipients::NobodyThere => self.end_here(&to, account, &strip),
            Recipients::Deliver(targets) => {
                if kind == Kind::Presence
                    && let Err(error) =
                        presence::directed::note(&self.node, &self.session, &self.stanza, &to)
                {
                    return self.refuse(&error);
                }
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

    /// A word of subscription, or a probe, that its recipient does not want to hear. A request and a
    /// probe look as if there were no such account; the rest changes what is, and nobody is told.
    fn unheard(self, to: &Jid, account: &Arc<Account>) -> Routed {
        match SubscriptionType::of(self.stanza.type_()) {
            Some(SubscriptionType::Subscribe)
                if self.node.settings().contacts == Contacts::Roster =>
            {
                self.for_roster(to, None)
            }
            Some(SubscriptionType::Subscribe) => self.done(),
            // Who was let see them knows that they exist, and sees them no more.
            None if account.roster().shows_to(self.session.account.jid()) => self.done(),
            None => self.for_roster(to, None),
            Some(_) => self.for_roster(to, Some(account)),
        }
    }

    /// Runs the taps of one end; `strip` grows by what they leave out of what is forwarded.
    fn taps(
        &self,
        way: Way,
        (from, to): (&Jid, &Jid),
        account: &Account,
        strip: Places,
    ) -> Result<Places, Flow> {
        let mut passing = Passing {
            node: &self.node,
            stanza: &self.stanza,
            account,
            from,
            sender: &self.session.account,
            to,
            strip,
        };
        let flow = match way {
            Way::Out => self.node.wiring.run_outgoing(&mut passing),
            Way::In => self.node.wiring.run_incoming(&mut passing),
        };
        match flow {
            Flow::On => Ok(passing.strip),
            stop => Err(stop),
        }
    }

    /// Whether the sender may ask nothing at this address: its owner does not show themselves to
    /// them, by a subscription or by presence that this very device has sent (RFC 6121, 8.5.3.1).
    fn is_hidden(&self, to: &Jid, account: &Account) -> bool {
        let own = &self.session.account;
        let shown = |device: Arc<Session>| device.has_shown_itself_to(&self.session.jid);
        let is_seen = account.id == own.id
            || self.node.sees(account, own)
            || to.resource().and_then(|resource| account.session(resource)).is_some_and(shown);
        !is_seen
    }

    fn is_request(&self) -> bool {
        self.stanza.kind() == Kind::Iq && matches!(self.stanza.type_(), Some("get" | "set"))
    }

    /// A request to an address that is hidden, or that nobody has: one answer for both, given before
    /// anything of an account could make a difference.
    fn hidden(self, to: &Jid) -> Routed {
        self.request(if to.is_bare() { Target::Hidden } else { Target::HiddenDevice }, None)
    }

    fn added_to(&self) -> Option<&str> {
        self.stanza.to().is_none().then(|| self.session.account.jid().as_str())
    }

    // --- kept ---

    fn keep(self, to: &Jid, account: &Arc<Account>, strip: &[usize]) -> Routed {
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
    fn post(self, to: &Jid, account: &Arc<Account>, strip: &[usize], bytes: u64) -> Routed {
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

    // --- passing ---

    fn pass(
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
    fn end_here(self, to: &Jid, account: &Arc<Account>, strip: &[usize]) -> Routed {
        let is_message = self.stanza.kind() == Kind::Message;
        if is_message && carbon_tap::are_wanted(&self.node, &self.session.account, account) {
            return self.pass(to, account, strip, false, Vec::new());
        }
        self.done()
    }

    fn push(&self, outgoing: &Outgoing, to: &Account, targets: &[Arc<Session>]) {
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

    // --- requests the server answers ---

    fn request(self, target: Target, subject: Option<Arc<Account>>) -> Routed {
        let verb = if self.stanza.type_() == Some("get") { Verb::Get } else { Verb::Set };
        let Some(child) = self.payloads().next().cloned() else {
            return self.refuse_with(Condition::BadRequest);
        };
        let cx = SessionCx::new(self.node.clone(), self.session.clone(), target, subject);
        let answering = match self.node.wiring.request(verb, &child) {
            Some(route) if route.at.contains(&target) => {
                (route.handler)(cx, self.stanza.clone(), child.clone())
            }
            _ => return self.refuse_with(Condition::ServiceUnavailable),
        };
        // On a task of its own: a lost connection does not cancel it, a fault in it is an answer.
        let working = tokio::spawn(answering);
        let abort = working.abort_handle();
        Routed::Waits(Box::pin(async move {
            let deadline = self.node.clock.steady().after(self.node.settings().limits.request);
            let answer = tokio::select! {
                answer = working => answer.unwrap_or_else(|_| {
                    let asking = self.session.account.jid();
                    self.node.failing("request_failed", Some(asking), &FAULT_OF_OURS);
                    Err(StanzaError::new(Condition::InternalServerError))
                }),
                () = self.node.clock.sleep_until(deadline) => {
                    abort.abort();
                    Err(StanzaError::new(Condition::RemoteServerTimeout))
                }
            };
            match answer {
                Ok(Reply::Sent) => {}
                Ok(Reply::Result(payload)) => self.session.push(
                    Element::new("iq")
                        .attr("type", "result")
                        .attr_opt("id", self.stanza.id())
                        .attr_opt("from", self.stanza.to())
                        .attr("to", self.session.jid.as_str())
                        .raw(&payload)
                        .outgoing(Class::IqAnswer),
                ),
                Err(error) => self.session.answer_error(&self.stanza, &error),
            }
            self.done();
        }))
    }
}

async fn finish(routed: Routed) {
    if let Routed::Waits(rest) = routed {
        rest.await;
    }
}
