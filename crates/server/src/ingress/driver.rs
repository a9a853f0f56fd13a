//! XEP-0198 and the life of an open session's connection: reads, writes and deadlines.
//!
//! Reading, writing and timing go on concurrently. Reading pauses while a stanza of this client
//! waits for something (an account to be loaded, a request to be answered) and while the link has
//! no room for an answer. Nothing else pauses it.

use super::link::{LAST_WORD, Link, WRITE};
use super::presence_pace::PresencePace;
use super::until;
use super::{Peer, Running};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use whoelse_core::kit::BoxFuture;
use whoelse_core::lasting::FAULT_OF_OURS;
use whoelse_core::ledger::Payer;
use whoelse_core::paying::cost;
use whoelse_core::route::{self, Routed};
use whoelse_core::session::{Session, Superseded};
use whoelse_core::sessions::Hold;
use whoelse_core::{Node, Steady};
use whoelse_stream::c2s::Step;
use whoelse_stream::sm;
use whoelse_xmpp::{Condition, StreamCondition, StreamError, ns};

/// What may be owed while stanzas of one read are handled: short ones can count as much more.
const PAID_AT_ONCE: u64 = 16 << 10;
/// After this long a silent client is asked for a sign of life.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// A connection with an open session.
pub(super) struct Opened {
    pub running: Running,
    pub link: Link,
    pub hold: Hold,
    pub peer: Peer,
}

/// Drives it to its end on a task of its own. Thousands of these tasks wait at once, so the task
/// is small: it holds the driver in a box, and creates the large future of the end only then.
pub(super) fn spawn(opened: Opened) {
    let Opened { running, link, hold, peer } = opened;
    let Peer { address, network } = peer;
    let session = &hold.session;
    let payer = running.node().note_peer(session, &address, network);
    tracing::info!(session = session.id, account = %session.jid.bare(), address, "stream_opened");
    // Whoever owes something from another session reads nothing before it is covered.
    let covered = payer.as_ref().and_then(|payer| running.node().pay_for_work(payer, 0));
    let driver = Box::new(Driver {
        timer: Timer::new(),
        pace: PresencePace::default(),
        rest: None,
        node: running.node().clone(),
        link,
        address: address.into(),
        waiting: None,
        held_up: covered.map(|covered| Timer::at(running.node(), covered)),
        payer,
        owes: 0,
        was_held_up: false,
        asked: None,
        reading_since: running.node().clock.steady(),
        read_last: false,
        hold,
    });
    tokio::spawn(run(running, driver));
}

async fn run(running: Running, mut driver: Box<Driver>) {
    if running.is_closing() {
        // It was bound while all other sessions were told.
        driver.session().order_end(StreamError::new(StreamCondition::SystemShutdown));
    }
    let mut guard = EndsItsSession(Some((driver.node.clone(), driver.hold.clone())));
    let reason = driver.converse().await;
    guard.0 = None;
    driver.note_closed(&reason);
    Box::pin(driver.finish(reason)).await;
    drop(running);
}

/// Ends the session if a panic ends the task. Otherwise nobody would, and its user would stay
/// online until the server stops.
struct EndsItsSession(Option<(Arc<Node>, Hold)>);

impl Drop for EndsItsSession {
    fn drop(&mut self) {
        // A runtime that shuts down drops its tasks as well; that is no panic.
        if let Some((node, hold)) = self.0.take()
            && std::thread::panicking()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            node.failing("connection_failed", Some(&hold.session.jid.to_bare()), &FAULT_OF_OURS);
            runtime.spawn(async move { node.connection_lost(&hold).await });
        }
    }
}

struct Driver {
    node: Arc<Node>,
    hold: Hold,
    link: Link,
    /// Where the connection comes from, for the log.
    address: Box<str>,
    /// What the last stanza waits for.
    waiting: Option<BoxFuture<'static, ()>>,
    /// Who pays for what the client sends; nobody for the operator.
    payer: Option<Payer>,
    /// What was read, with what its stanzas count as, and is not paid for yet.
    owes: u64,
    /// Until what was paid is covered, nothing more is read.
    held_up: Option<Timer>,
    /// Whether that has happened before; the log says it once.
    was_held_up: bool,
    /// When the silent client was asked for a sign of life.
    asked: Option<Steady>,
    /// Since when the server reads again, after it waited with a stanza of this client.
    reading_since: Steady,
    timer: Timer,
    pace: PresencePace,
    /// Until when presence waits for more of it.
    rest: Option<Timer>,
    /// Whether the last event was a read. If so, other events are polled first.
    read_last: bool,
}

/// Why a connection ends.
#[derive(Debug)]
enum Reason {
    /// The client has closed its stream.
    Closed,
    /// The client broke the protocol so that the stream ends; the machine has sent the error.
    Fault(StreamCondition),
    /// The client acknowledged more than it was sent; the machine has sent the error.
    BadAck,
    /// The server ends the session.
    Ended(StreamError),
    /// Another connection holds the session, or the session is over.
    Superseded,
    /// The client does not answer.
    Silent,
    /// The socket is closed or broken.
    Lost,
}

impl Reason {
    fn name(&self) -> &'static str {
        match self {
            Reason::Closed => "closed by the client",
            Reason::Fault(condition) => condition.name(),
            Reason::BadAck => "handled-count-too-high",
            Reason::Ended(error) => error.condition.name(),
            Reason::Superseded => "superseded",
            Reason::Silent => "no answer",
            Reason::Lost => "connection lost",
        }
    }
}

enum Event {
    /// So many bytes.
    Read(usize),
    Written,
    /// The session has something queued, or an order.
    Woken,
    /// The server reads again: the work that the last stanza waited for is done, or what was read
    /// is covered.
    Ready,
    Time,
    Lost,
}

impl Driver {
    fn session(&self) -> &Arc<Session> {
        &self.hold.session
    }

    fn note_closed(&self, reason: &Reason) {
        let (session, reason) = (self.session(), reason.name());
        self.node.counters.disconnected.inc(["session", reason]);
        let (id, account, address) = (session.id, session.jid.bare(), &*self.address);
        tracing::info!(session = id, %account, address, reason, "stream_closed");
    }

    async fn converse(&mut self) -> Reason {
        loop {
            if let Some(reason) = self.take_steps().or_else(|| self.take_queue()) {
                return reason;
            }
            match self.event().await {
                Event::Read(bytes) => {
                    self.owes += cost::of_read(bytes);
                    self.session().heard(self.node.clock.steady());
                    self.asked = None;
                }
                Event::Written => match self.session().flushed(self.hold.epoch) {
                    Ok(seq) => self.node.confirm(self.session(), seq),
                    Err(Superseded) => return Reason::Superseded,
                },
                // A client that does not read would never reach the end of its queue.
                Event::Woken if self.link.stalled().is_some() => {
                    if let Some(error) = self.session().ordered_end() {
                        return Reason::Ended(error);
                    }
                }
                // What the client said meanwhile is only read now.
                Event::Ready => self.reading_since = self.node.clock.steady(),
                // Whoever asks the client for a sign of life would wait for what is not read.
                Event::Woken if self.is_busy() => self.session().count_as_heard(),
                Event::Woken => {}
                Event::Time => {
                    if let Some(reason) = self.look_at_the_time() {
                        return reason;
                    }
                }
                Event::Lost => return Reason::Lost,
            }
        }
    }

    // --- what has been read ---

    fn take_steps(&mut self) -> Option<Reason> {
        while !self.is_busy() {
            let Some(step) = self.link.next() else {
                self.pay();
                break;
            };
            if let Some(reason) = self.step(step) {
                return Some(reason);
            }
            if self.owes > PAID_AT_ONCE {
                self.pay();
            }
        }
        None
    }

    /// Whether nothing more is read for now: the last stanza waits for something, or what was read
    /// is not covered yet.
    fn is_busy(&self) -> bool {
        self.waiting.is_some() || self.held_up.is_some()
    }

    /// Pays for what was read. If that is not covered, nothing more is read until it is: the client
    /// waits, and TCP tells it (docs/design/ledger.md).
    fn pay(&mut self) {
        let owes = std::mem::take(&mut self.owes);
        let Some(payer) = self.payer.as_ref().filter(|_| owes > 0) else { return };
        let Some(covered) = self.node.pay_for_work(payer, owes) else { return };
        self.held_up = Some(Timer::at(&self.node, covered));
        if !std::mem::replace(&mut self.was_held_up, true) {
            let (session, address) = (self.session(), &*self.address);
            let (id, account) = (session.id, session.jid.bare());
            tracing::info!(session = id, %account, address, "sender_held_up");
        }
    }

    fn step(&mut self, step: Step) -> Option<Reason> {
        match step {
            Step::Stanza(stanza) | Step::Element(stanza) => {
                self.owes += cost::of_stanza(&stanza);
                let lang = self.link.machine().lang();
                match route::handle(&self.node, &self.hold, stanza, lang) {
                    Routed::Done => None,
                    Routed::Waits(rest) => {
                        self.waiting = Some(rest);
                        None
                    }
                    Routed::End(error) => Some(Reason::Ended(error)),
                    Routed::Superseded => Some(Reason::Superseded),
                }
            }
            Step::Sm(element) => self.stream_management(element),
            Step::Closed => Some(Reason::Closed),
            Step::Error(error) => Some(Reason::Fault(error.condition)),
            // These belong to the negotiation.
            Step::StartTls
            | Step::Lookup { .. }
            | Step::Derive { .. }
            | Step::AuthFailed { .. }
            | Step::Token(_)
            | Step::FormerPassword { .. }
            | Step::AuthSucceeded
            | Step::External { .. }
            | Step::Register(_)
            | Step::Bind { .. }
            | Step::BindInline(_)
            | Step::Complete
            | Step::Resume { .. }
            | Step::Open => None,
        }
    }

    fn stream_management(&mut self, element: sm::Element) -> Option<Reason> {
        match element {
            sm::Element::Enable { resume, .. } => {
                // It is written before anything queued later, so counting begins after it.
                let answer = self.node.enabled(self.session(), resume);
                self.say(&answer);
            }
            sm::Element::Request if self.session().is_managed() => {
                // An error goes out before the count that includes the stanza it answers.
                if let Some(reason) = self.take_queue() {
                    return Some(reason);
                }
                let h = self.session().acknowledge();
                self.say(&sm::Element::Ack { h });
            }
            sm::Element::Ack { h } if self.session().is_managed() => {
                if let Err((h, sent)) = self.node.acknowledged(self.session(), h) {
                    self.link.machine().close_bad_ack(&sm::BadAck { h, sent });
                    return Some(Reason::BadAck);
                }
            }
            sm::Element::Request | sm::Element::Ack { .. } | sm::Element::Resume { .. } => {
                self.say(&unexpected());
            }
            // Only a server sends these.
            sm::Element::Enabled(_) | sm::Element::Resumed { .. } | sm::Element::Failed { .. } => {
                let error = StreamError::new(StreamCondition::UnsupportedStanzaType);
                return Some(Reason::Ended(error));
            }
        }
        None
    }

    fn say(&mut self, element: &sm::Element) {
        self.link.output().element(&element.encode());
    }

    // --- what is to be written ---

    /// Takes what is queued, unless enough waits to be written.
    fn take_queue(&mut self) -> Option<Reason> {
        if !self.link.has_room() {
            return None;
        }
        let now = self.node.clock.steady();
        let limits = &self.node.settings().limits;
        let out = self.link.output();
        let taken = self.hold.session.take(self.hold.epoch, now, limits, out, WRITE);
        let Ok(taken) = taken else { return Some(Reason::Superseded) };
        self.node.counters.stanzas.sent.add(&taken.kinds);
        if taken.wants_page {
            let (node, session) = (self.node.clone(), self.session().clone());
            // Reading may wait for the keeper and the store; this task must not.
            tokio::spawn(async move { node.read_log(&session).await });
        }
        if taken.wants_anew {
            let (node, session) = (self.node.clone(), self.session().clone());
            // As above: it waits for room.
            tokio::spawn(async move { node.tell_anew(&session).await });
        }
        // What is left of much presence is written as fast as it is read.
        if taken.kinds.presence > 0
            && !taken.more
            && let Some(until) = self.pace.wrote(now)
            && self.rest.is_none()
            && self.session().rest(self.hold.epoch).is_ok()
        {
            self.rest = Some(Timer::at(&self.node, until));
        }
        taken.end.map(Reason::Ended)
    }

    // --- waiting ---

    async fn event(&mut self) -> Event {
        let session = self.hold.session.clone();
        let mut woken = pin!(session.woken());
        let event = poll_fn(|cx| {
            if let Poll::Ready(written) = self.link.poll_write(&self.node, cx) {
                return Poll::Ready(if written.is_ok() { Event::Written } else { Event::Lost });
            }
            if let Some(waiting) = &mut self.waiting
                && waiting.as_mut().poll(cx).is_ready()
            {
                self.waiting = None;
                return Poll::Ready(Event::Ready);
            }
            if let Some(held_up) = &mut self.held_up
                && held_up.poll(cx).is_ready()
            {
                self.held_up = None;
                return Poll::Ready(Event::Ready);
            }
            if !self.read_last
                && let Poll::Ready(event) = self.poll_read(cx)
            {
                return Poll::Ready(event);
            }
            if woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Woken);
            }
            if let Some(rest) = &mut self.rest
                && rest.poll(cx).is_ready()
            {
                self.rest = None;
                session.end_rest();
                return Poll::Ready(Event::Woken);
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(Event::Time);
            }
            if self.read_last { self.poll_read(cx) } else { Poll::Pending }
        });
        let event = event.await;
        self.read_last = matches!(event, Event::Read(_));
        event
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.is_busy() {
            return Poll::Pending;
        }
        self.link.poll_read(&self.node, cx).map(|read| match read {
            Ok(0) | Err(_) => Event::Lost,
            Ok(bytes) => Event::Read(bytes),
        })
    }

    // --- time ---

    fn look_at_the_time(&mut self) -> Option<Reason> {
        let now = self.node.clock.steady();
        let reason = self.overdue(now);
        if reason.is_none() {
            self.ask_if_silent(now);
            self.timer = Timer::at(&self.node, self.next_deadline(now));
        }
        reason
    }

    fn overdue(&self, now: Steady) -> Option<Reason> {
        let (limits, session) = (&self.node.settings().limits, self.session());
        if let Some(deadline) = self.idle_deadline()
            && deadline <= now
        {
            let seconds = self.node.settings().timeout.as_secs();
            return Some(Reason::Ended(
                StreamError::new(StreamCondition::PolicyViolation)
                    .with_text(format!("logged out after {seconds} s without activity"))
                    .with_app("idle", ns::WHOELSE_ERRORS),
            ));
        }
        let stalled = self.link.stalled().map(|since| since.after(limits.ack_wait));
        // While the server does not read, no answer can be missing.
        let unread = self.reading_since.after(limits.ack_wait);
        let asked = self.asked.map(|since| since.after(limits.ack_wait));
        let unanswered = [asked, session.ack_deadline(limits)].into_iter().flatten();
        let unanswered = unanswered.filter(|_| !self.is_busy());
        let unanswered = unanswered.map(|deadline| deadline.max(unread));
        let silent = stalled.into_iter().chain(unanswered).any(|deadline| deadline <= now);
        silent.then_some(Reason::Silent)
    }

    /// behaviour.md, TIMEOUT. It does not apply to an administrator's tool, which is no person who
    /// forgot to log out.
    fn idle_deadline(&self) -> Option<Steady> {
        let timeout = self.node.settings().timeout;
        let counts = !timeout.is_zero() && !self.session().is_trusted();
        counts.then(|| self.session().last_activity().after(timeout))
    }

    fn ask_if_silent(&mut self, now: Steady) {
        let silent = self.session().last_heard().after(SILENCE) <= now;
        if silent
            && self.asked.is_none()
            && self.session().is_managed()
            && self.link.output().is_empty()
        {
            self.say(&sm::Element::Request);
            self.asked = Some(now);
        }
    }

    /// Returns when to check next. A deadline that is set later than this call cannot be earlier
    /// than the shortest of all timeouts from now. So it is seen in time without setting a timer
    /// for each stanza.
    fn next_deadline(&self, now: Steady) -> Steady {
        let wait = self.node.settings().limits.ack_wait.min(SILENCE);
        let known =
            [self.session().ack_deadline(&self.node.settings().limits), self.idle_deadline()];
        let known = known.into_iter().flatten().filter(|deadline| *deadline > now);
        known.fold(now.after(wait), Steady::min)
    }

    // --- the end ---

    async fn finish(mut self: Box<Driver>, reason: Reason) {
        // Whoever leaves has paid.
        self.pay();
        if let Some(waiting) = self.waiting.take() {
            // Work that has begun is finished, even if its client is gone.
            tokio::spawn(waiting);
        }
        let node = self.node.clone();
        let reason = match reason {
            // The session may be resumed.
            Reason::Lost | Reason::Silent | Reason::Superseded => reason,
            _ => match self.session().begin_end(self.hold.epoch) {
                Ok(()) => reason,
                Err(Superseded) => Reason::Superseded,
            },
        };
        match reason {
            Reason::Lost | Reason::Silent => {
                drop(self.link);
                node.connection_lost(&self.hold).await;
            }
            Reason::Superseded => {
                // It was ended for this reason, or has another connection.
                let error = self.session().ordered_end().unwrap_or_else(|| {
                    StreamError::new(StreamCondition::Conflict)
                        .with_text("replaced by a new connection")
                });
                self.link.machine().close(Some(error));
                self.last_words().await;
            }
            Reason::Closed | Reason::Fault(_) | Reason::BadAck => {
                if matches!(reason, Reason::Closed) {
                    // Answers to what came before the client's closing tag go out before our
                    // closing tag.
                    let (now, limits) = (node.clock.steady(), &node.settings().limits);
                    let (session, out) = (&self.hold.session, self.link.output());
                    session.end_rest();
                    if let Ok(taken) = session.take(self.hold.epoch, now, limits, out, WRITE) {
                        node.counters.stanzas.sent.add(&taken.kinds);
                    }
                    self.link.machine().close(None);
                }
                self.last_words().await;
                node.end(self.session()).await;
            }
            Reason::Ended(error) => {
                self.acknowledge_all().await;
                self.link.machine().close(Some(error));
                self.last_words().await;
                node.end(self.session()).await;
            }
        }
    }

    /// Sends the last `<a/>` after the keeper has stored everything of this session, so that the
    /// client knows what it need not send again.
    async fn acknowledge_all(&mut self) {
        if !self.session().is_managed() {
            return;
        }
        let deadline = self.node.clock.steady().after(LAST_WORD);
        // If that takes too long, the client is told what is handled so far.
        let _ = until(&self.node, deadline, self.hold.session.settled()).await;
        let h = self.session().acknowledge();
        self.say(&sm::Element::Ack { h });
    }

    /// Writes what is left, including a last stream error, to a peer that may not be reading.
    async fn last_words(&mut self) {
        let deadline = self.node.clock.steady().after(LAST_WORD);
        let written = until(&self.node, deadline, self.link.flush(&self.node)).await;
        let Some(Ok(())) = written else { return };
        // Everything up to here is written; it does not matter whether the socket closes cleanly.
        if let Ok(seq) = self.hold.session.flushed(self.hold.epoch) {
            self.node.confirm(&self.hold.session, seq);
        }
        let _ = until(&self.node, deadline, self.link.shut_down()).await;
    }
}

fn unexpected() -> sm::Element {
    sm::Element::Failed { h: None, condition: Some(Condition::UnexpectedRequest) }
}

/// A timer, set again only after it has fired.
struct Timer(BoxFuture<'static, ()>);

impl Timer {
    /// Fires at once: the first check sets it.
    fn new() -> Timer {
        Timer(Box::pin(std::future::ready(())))
    }

    fn at(node: &Node, deadline: Steady) -> Timer {
        let clock = node.clock.clone();
        Timer(Box::pin(async move { clock.sleep_until(deadline).await }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
