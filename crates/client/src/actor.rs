//! The task that keeps a session: it owns the connection, brings it back when it breaks, and
//! passes wishes in and events out.
//!
//! It is in one of three places: the lobby (not logged in, perhaps with a connection at hand),
//! online, or away (the connection is lost and being sought). Nothing else touches the session.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};
use whoelse_stream::Password;
use whoelse_stream::client::Resumption;
use whoelse_xmpp::{FullJid, Jid};

use crate::backoff::{Backoff, Tries};
use crate::client::{Client, Domain, Events};
use crate::config::Config;
use crate::connect::{Connector, IfChanged};
use crate::ending::{self, Verdict};
use crate::error::{ConnectError, LoginError, NotSent, RegisterError, RequestError};
use crate::events::{Ending, Event};
use crate::login::{Entered, Entry, Opened, Refused, enter};
use crate::order::{LoggedIn, Order};
use crate::proof::Proof;
use crate::reached::Reached;
use crate::register::Probe;
use crate::session::{Granted, Pulse, Session};
use crate::wire::{Broken, CLOSE_WITHIN, Heard, Wire};

/// Above so many events that nobody took, nothing is read from the server.
const MAX_EVENTS: usize = 256;
/// Above so many bytes that the server did not take, no wishes are taken.
const MAX_BACKLOG: usize = 256 << 10;
/// From a password to an open session. The server may probe a dead session for 5 s meanwhile.
const LOGIN_WITHIN: Duration = Duration::from_secs(40);
/// How often a server is tried that closes the connection before it can be used: 8 s in all.
const CONNECTIONS: usize = 6;
/// How often one that closes it when it is asked something. Each is a try at a password, perhaps.
const QUESTIONS: usize = 3;
/// How long a polite goodbye may take when the server has said it first.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// Whoever types while there is no connection is not kept waiting for the next try; but so much
/// time is between two.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Orders that wait for the session's task; whoever has one more waits.
const ORDERS: usize = 64;
/// Events that wait for the face. Beyond it nothing is read from the server.
const EVENTS: usize = 256;

impl Client {
    /// Starts the task that keeps the session. It connects when it is asked to. To be called
    /// inside a tokio runtime.
    pub fn start(mut config: Config) -> (Client, Events) {
        // As it will stand in every address; what is no domain, the server will refuse.
        if let Ok(normal) = Jid::parse(&config.domain) {
            config.domain = normal.domain().to_owned();
        }
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (happened, events) = mpsc::channel(EVENTS);
        let (tell_me, me) = watch::channel(None);
        let (tell_reached, reached) = watch::channel(None);
        let (tell_domain, domain) = watch::channel(Arc::from(config.domain.as_str()));
        let told = Told { me: tell_me, reached: tell_reached, domain: tell_domain };
        let proof = Proof::default();
        tokio::spawn(Actor::new(config, ordered, happened, told, proof.clone()).run());
        let domain = Domain::new(domain);
        (Client { orders, me, reached, domain, proof }, Events::new(events))
    }
}

/// The task.
struct Actor {
    connector: Connector,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    told: Told,
    proof: Proof,
    /// Somebody wants something while there is no connection.
    wanted: Arc<Notify>,
}

/// What anybody who has a handle can look at.
struct Told {
    me: watch::Sender<Option<FullJid>>,
    reached: watch::Sender<Option<Reached>>,
    domain: watch::Sender<Arc<str>>,
}

/// A new session on its connection.
struct Fresh {
    wire: Wire,
    me: FullJid,
    granted: Granted,
}

/// Why being online, or away, came to an end.
enum End {
    /// The connection is gone.
    Lost,
    /// So it is, because the domain has this name now.
    Renamed(String),
    /// The session is over, for this reason.
    Over(Ending),
    /// The user logged out, and waits to hear that it is done.
    Asked(oneshot::Sender<()>),
    /// Nobody holds a handle any more.
    Dropped,
}

impl Actor {
    fn new(
        config: Config,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Event>,
        told: Told,
        proof: Proof,
    ) -> Actor {
        let (connector, wanted) = (Connector::new(config), Arc::default());
        Actor { connector, orders, events, told, proof, wanted }
    }

    async fn run(mut self) {
        let mut at_hand = None;
        while let Some((fresh, entry, reply)) = self.lobby(&mut at_hand).await {
            if !self.keep(fresh, entry, reply).await {
                break;
            }
        }
        if let Some(wire) = at_hand {
            wire.close(CLOSE_WITHIN).await;
        }
    }

    // ---- not logged in ----

    /// Until somebody logs in; `None` when nobody can any more.
    async fn lobby(&mut self, at_hand: &mut Option<Wire>) -> Option<(Fresh, Entry, LoggedIn)> {
        loop {
            let order = tokio::select! {
                order = self.orders.recv() => order?,
                // The server closes a connection that does not log in; the next wish makes another.
                () = gone(at_hand) => {
                    *at_hand = None;
                    continue;
                }
            };
            match order {
                Order::Connect(mut reply) => {
                    let connecting =
                        async { self.connection(at_hand, IfChanged::Refuse).await.map(|_| ()) };
                    if let Some(connected) = while_awaited(&mut reply, connecting).await {
                        let _ = reply.send(connected);
                    }
                }
                Order::Trust(fingerprint, done) => {
                    self.connector.config.accepted = Some(fingerprint);
                    *at_hand = None;
                    let _ = done.send(());
                }
                Order::Probe(name, mut reply) => {
                    let probing = self.probe(at_hand, &name);
                    match while_awaited(&mut reply, probing).await {
                        Some(answer) => drop(reply.send(answer)),
                        // Its answer would be taken for one to the next question.
                        None => *at_hand = None,
                    }
                }
                Order::Register(name, password, mut reply) => {
                    let registering = self.register(at_hand, &name, password);
                    match while_awaited(&mut reply, registering).await {
                        Some(answer) => drop(reply.send(answer)),
                        None => *at_hand = None,
                    }
                }
                Order::Login(name, password, mut reply) => {
                    let entry = Entry { name, password };
                    match while_awaited(&mut reply, self.login(at_hand, &entry)).await {
                        Some(Ok(fresh)) => return Some((fresh, entry, reply)),
                        Some(Err(fault)) => {
                            let _ = reply.send(Err(fault));
                        }
                        None => {}
                    }
                }
                Order::Logout(done) | Order::Settle(done) => {
                    let _ = done.send(());
                }
                Order::LeaveUnread(done) => {
                    self.connector.config.unread = true;
                    let _ = done.send(());
                }
                Order::Message { reply, .. } => {
                    let _ = reply.send(Err(NotSent::NotLoggedIn));
                }
                Order::Subscription(_, _, reply) | Order::Stanza(_, _, reply) => {
                    let _ = reply.send(Err(NotSent::NotLoggedIn));
                }
                Order::ShowTo(_, reply) => {
                    let _ = reply.send(Err(NotSent::NotLoggedIn));
                }
                Order::Devices(_, reply) => {
                    let _ = reply.send(Err(NotSent::NotLoggedIn));
                }
                Order::Contacts(reply) => {
                    let _ = reply.send(Err(NotSent::NotLoggedIn));
                }
                Order::Request(_, reply) => {
                    let _ = reply.send(Err(RequestError::NotLoggedIn));
                }
            }
        }
    }

    /// The connection at hand, or a new one.
    async fn connection<'a>(
        &self,
        at_hand: &'a mut Option<Wire>,
        if_changed: IfChanged,
    ) -> Result<&'a mut Wire, ConnectError> {
        let wire = match at_hand.take() {
            Some(wire) if wire.untrusted().is_none() || if_changed == IfChanged::Prove => wire,
            _ => self.connect(if_changed).await?,
        };
        Ok(at_hand.insert(wire))
    }

    /// A new connection. A server that closes it at once is being restarted, or has too much to do:
    /// it is tried again for a while.
    async fn connect(&self, if_changed: IfChanged) -> Result<Wire, ConnectError> {
        let mut tries = Tries::new(CONNECTIONS);
        loop {
            match self.connector.connect(if_changed, None).await {
                Err(fault) => tries.after(fault).await?,
                Ok(wire) => return Ok(wire),
            }
        }
    }

    async fn probe(&self, at_hand: &mut Option<Wire>, name: &str) -> Result<Probe, RegisterError> {
        let mut tries = Tries::new(QUESTIONS);
        loop {
            let is_old = at_hand.is_some();
            let wire = self
                .connection(at_hand, IfChanged::Refuse)
                .await
                .map_err(RegisterError::Connect)?;
            match answered(LOGIN_WITHIN, &self.connector, wire.probe(name)).await {
                Err(RegisterError::Connect(fault)) => {
                    *at_hand = None;
                    // One that was at hand may have ended without our notice.
                    if !(is_old && fault.is_passing()) {
                        tries.after(fault).await.map_err(RegisterError::Connect)?;
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn register(
        &self,
        at_hand: &mut Option<Wire>,
        name: &str,
        password: Password,
    ) -> Result<(), RegisterError> {
        let wire =
            self.connection(at_hand, IfChanged::Refuse).await.map_err(RegisterError::Connect)?;
        let registering = wire.register(name, &password);
        let answer = answered(LOGIN_WITHIN, &self.connector, registering).await;
        if matches!(answer, Err(RegisterError::Connect(_))) {
            *at_hand = None;
        }
        answer
    }

    async fn login(&self, at_hand: &mut Option<Wire>, entry: &Entry) -> Result<Fresh, LoginError> {
        let mut tries = Tries::new(QUESTIONS);
        loop {
            let is_old = at_hand.is_some();
            self.connection(at_hand, IfChanged::Prove).await.map_err(LoginError::Connect)?;
            let Some(wire) = at_hand.take() else {
                return Err(LoginError::Connect(ConnectError::Ended));
            };
            let entered = timeout(LOGIN_WITHIN, enter(wire, entry)).await;
            match entered.map_err(|_| LoginError::Connect(timed_out(&self.connector)))? {
                Ok(Entered { wire, opened: Opened::New { me, granted, .. } }) => {
                    self.connector.remember_login(&wire);
                    return Ok(Fresh { wire, me, granted });
                }
                // Nothing was asked to be resumed.
                Ok(Entered { opened: Opened::Resumed { .. }, .. }) => {
                    return Err(LoginError::Connect(ConnectError::Ended));
                }
                Err(Refused { fault: LoginError::Connect(fault), .. }) => {
                    // One that was at hand may have ended while the user was typing.
                    if !(is_old && fault.is_passing()) {
                        tries.after(fault).await.map_err(LoginError::Connect)?;
                    }
                }
                Err(refused) => {
                    *at_hand = refused.wire;
                    return Err(refused.fault);
                }
            }
        }
    }

    // ---- logged in ----

    /// Keeps a session until it ends. Returns whether anybody may log in again.
    async fn keep(&mut self, fresh: Fresh, entry: Entry, reply: LoggedIn) -> bool {
        let Fresh { mut wire, me, granted } = fresh;
        let mut session = Session::new(me.clone(), granted, &self.connector.config, Instant::now());
        self.told.me.send_replace(Some(me.clone()));
        self.told.reached.send_replace(wire.reached().cloned());
        self.proof.begin(entry.password.clone());
        // Told before it is answered: whatever the face says next comes after its welcome.
        if let Some(event) = session.poll_event() {
            let _ = self.events.send(event).await;
        }
        let _ = reply.send(Ok(me));
        let mut backoff = Backoff::default();
        loop {
            let since = Instant::now();
            let mut end = self.online(&mut session, &mut wire).await;
            let closed = matches!(end, End::Asked(_) | End::Dropped);
            if let End::Renamed(domain) = end {
                self.follow(domain, &mut session, &wire);
                end = End::Lost;
            }
            if let End::Lost = end {
                backoff.connected_for(since.elapsed());
                session.handle_loss();
                match self.away(&mut session, &entry, &mut backoff).await {
                    Ok(found) => {
                        wire = found;
                        continue;
                    }
                    Err(no) => end = no,
                }
            } else {
                // What was told need not come again with the next login.
                self.tell_all(&mut session).await;
                wire.write(&session.poll_last_words(Instant::now()));
                // What the server ended needs no long goodbye.
                let within = if matches!(end, End::Over(_)) { AFTERWARDS } else { CLOSE_WITHIN };
                wire.close(within).await;
            }
            session.end(closed);
            self.connector.turn_back();
            self.proof.end();
            self.told.me.send_replace(None);
            let (ending, done) = match end {
                End::Lost | End::Renamed(_) | End::Dropped => (None, None),
                End::Over(ending) => (Some(ending), None),
                End::Asked(done) => (Some(Ending::Asked), Some(done)),
            };
            let go_on = ending.is_some();
            ending.into_iter().for_each(|it| session.handle_event(Event::LoggedOut(it)));
            self.tell_all(&mut session).await;
            if let Some(done) = done {
                let _ = done.send(());
            }
            return go_on;
        }
    }

    /// The server has said, over a connection that is trusted, that its domain has another name.
    fn follow(&mut self, domain: String, session: &mut Session, wire: &Wire) {
        let endpoint = wire.reached().map(|reached| reached.endpoint.clone());
        self.connector.follow(domain, endpoint);
        session.forget_resumption();
    }

    /// Tells the face what it has not heard; not for ever, since it may be stuck or gone.
    async fn tell_all(&self, session: &mut Session) {
        let telling = async {
            while session.events_waiting() > 0 {
                let Ok(permit) = self.events.reserve().await else { return };
                if let Some(event) = session.poll_event() {
                    permit.send(event);
                }
            }
        };
        let _ = timeout(CLOSE_WITHIN, telling).await;
    }

    /// As long as the connection holds.
    async fn online(&mut self, session: &mut Session, wire: &mut Wire) -> End {
        loop {
            wire.write(&session.poll_output(Instant::now()));
            let deadline = session.next_deadline();
            let take_orders = !session.is_busy() && wire.backlog() < MAX_BACKLOG;
            tokio::select! {
                permit = self.events.reserve(), if session.events_waiting() > 0 => {
                    let event = session.poll_event();
                    if let (Ok(permit), Some(event)) = (permit, event) {
                        permit.send(event);
                    }
                }
                heard = wire.next(), if session.events_waiting() < MAX_EVENTS => {
                    if let Some(end) = self.handle(session, heard) {
                        return end;
                    }
                    session.handle_sign_of_life(wire.heard_at());
                }
                order = self.orders.recv(), if take_orders => match order {
                    None => return End::Dropped,
                    Some(order) => if let Some(done) = obey(&mut self.connector, session, order) {
                        return End::Asked(done);
                    }
                },
                () = until(deadline) => {
                    session.handle_sign_of_life(wire.heard_at());
                    if session.handle_time(Instant::now()) == Pulse::Dead {
                        return End::Lost;
                    }
                }
            }
        }
    }

    fn handle(&self, session: &mut Session, heard: Result<Heard, Broken>) -> Option<End> {
        match heard {
            Ok(Heard::Stanza(stanza)) => session.handle_stanza(&stanza, Instant::now()),
            Ok(Heard::Counting(element)) => {
                if session.handle_counting(&element, Instant::now()).is_err() {
                    // A server that miscounts is not asked to go on where it was.
                    session.forget_resumption();
                    return Some(End::Lost);
                }
            }
            Ok(Heard::Nothing) => {}
            Ok(Heard::Error(error)) => match ending::of(&error) {
                Verdict::Over(ending) => return Some(End::Over(ending)),
                Verdict::Renamed(domain) => return Some(End::Renamed(domain)),
                Verdict::ShuttingDown => {
                    session.handle_event(Event::ShuttingDown);
                    return Some(End::Lost);
                }
                Verdict::TryAgain => return Some(End::Lost),
            },
            Ok(Heard::Closed) | Err(Broken) => return Some(End::Lost),
        }
        None
    }

    /// Until there is a connection again, or no hope of one.
    async fn away(
        &mut self,
        session: &mut Session,
        entry: &Entry,
        backoff: &mut Backoff,
    ) -> Result<Wire, End> {
        let mut said_renamed = false;
        loop {
            let wait = pause(backoff.next(), self.wanted.clone());
            self.serve(session, wait).await?;
            // A new name brings a new certificate, over which the server has to prove itself.
            let renamed = self.connector.is_following();
            let if_changed = if renamed { IfChanged::Prove } else { IfChanged::Refuse };
            let (connector, resume) = (self.connector.clone(), session.resumption());
            let password = self.proof.password().unwrap_or_else(|| entry.password.clone());
            let entry = Entry { name: entry.name.clone(), password };
            let attempt = attempt(connector, entry, if_changed, resume);
            match self.serve(session, attempt).await? {
                Ok(Entered { wire, opened: Opened::Resumed { h } }) => {
                    self.told.reached.send_replace(wire.reached().cloned());
                    match session.handle_resumed(h, Instant::now()) {
                        Ok(()) => return Ok(wire),
                        // A server that miscounts is not asked to resume a second time.
                        Err(_) => session.forget_resumption(),
                    }
                }
                Ok(Entered { wire, opened: Opened::New { me, granted, remembered } }) => {
                    self.told.me.send_replace(Some(me.clone()));
                    self.told.reached.send_replace(wire.reached().cloned());
                    if self.connector.has_followed() {
                        let domain = self.connector.config.domain.clone();
                        self.told.domain.send_replace(Arc::from(domain.as_str()));
                        session.handle_event(Event::Renamed { domain });
                    }
                    session.handle_renewed(me, granted, remembered, Instant::now());
                    return Ok(wire);
                }
                // It said so before over a connection that was trusted, and now it has proved over
                // this one that it knows the account: it is the same server.
                Err(LoginError::NewPin { fingerprint }) if renamed => {
                    if let Err(fault) = self.connector.meet(fingerprint) {
                        return Err(End::Over(Ending::Untrusted(fault)));
                    }
                }
                // The connection was lost while the password was being changed.
                Err(LoginError::WrongPassword { .. }) if self.proof.try_next() => {}
                // Anybody on the way can say so. Whoever starts the program anew is told, and decides.
                Err(LoginError::Connect(ConnectError::Renamed { domain })) => {
                    if !std::mem::replace(&mut said_renamed, true) {
                        session.handle_event(Event::SaidRenamed { domain });
                    }
                }
                Err(fault) => {
                    if let Some(ending) = ending::of_login(fault) {
                        return Err(End::Over(ending));
                    }
                }
            }
        }
    }

    /// Awaits something while there is no connection, and obeys and tells as well as it can.
    async fn serve<T>(
        &mut self,
        session: &mut Session,
        something: impl Future<Output = T>,
    ) -> Result<T, End> {
        tokio::pin!(something);
        loop {
            tokio::select! {
                done = &mut something => return Ok(done),
                permit = self.events.reserve(), if session.events_waiting() > 0 => {
                    let event = session.poll_event();
                    if let (Ok(permit), Some(event)) = (permit, event) {
                        permit.send(event);
                    }
                }
                order = self.orders.recv() => match order {
                    None => return Err(End::Dropped),
                    Some(order) => {
                        self.wanted.notify_one();
                        if let Some(done) = obey(&mut self.connector, session, order) {
                            return Err(End::Asked(done));
                        }
                    }
                },
            }
        }
    }
}

/// Does something for somebody as long as they wait for it.
async fn while_awaited<T, R>(
    reply: &mut oneshot::Sender<R>,
    doing: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = doing => Some(done),
        () = reply.closed() => None,
    }
}

/// Obeys an order of somebody who is logged in, with or without a connection. Returns the place
/// for the answer if it was to log out.
fn obey(
    connector: &mut Connector,
    session: &mut Session,
    order: Order,
) -> Option<oneshot::Sender<()>> {
    let now = Instant::now();
    match order {
        Order::Logout(done) => return Some(done),
        Order::Message { id, to, text, reply } => {
            let full = session.is_full();
            if !full {
                session.message(id, to, text, now);
            }
            let _ = reply.send(if full { Err(NotSent::TooMany) } else { Ok(()) });
        }
        Order::Subscription(word, to, reply) => {
            let full = session.is_full();
            if !full {
                session.word(word, to, now);
            }
            let _ = reply.send(if full { Err(NotSent::TooMany) } else { Ok(()) });
        }
        Order::Stanza(bytes, mine, reply) => {
            let full = session.is_full();
            if !full {
                session.stanza(bytes, mine, now);
            }
            let _ = reply.send(if full { Err(NotSent::TooMany) } else { Ok(()) });
        }
        Order::ShowTo(_, reply) if session.is_full() => {
            let _ = reply.send(Err(NotSent::TooMany));
        }
        Order::ShowTo(whom, reply) => {
            session.show_to(&whom, Instant::now());
            let _ = reply.send(Ok(()));
        }
        Order::Devices(who, reply) => {
            let _ = reply.send(Ok(session.devices(&who)));
        }
        Order::Contacts(reply) => {
            let _ = reply.send(Ok(session.contacts()));
        }
        Order::Request(_, reply) if session.is_full() => {
            let _ = reply.send(Err(RequestError::TooMany));
        }
        Order::Request(request, reply) => session.ask(request, reply, now),
        Order::Settle(done) => session.ask_barrier(done, now),
        Order::LeaveUnread(done) => {
            connector.config.unread = true;
            session.leave_unread();
            let _ = done.send(());
        }
        Order::Connect(reply) => {
            let _ = reply.send(Ok(()));
        }
        Order::Login(_, _, reply) => {
            let _ = reply.send(Err(LoginError::LoggedInAlready));
        }
        // For when the connection has to be made anew.
        Order::Trust(fingerprint, done) => {
            connector.config.accepted = Some(fingerprint);
            let _ = done.send(());
        }
        Order::Probe(_, reply) => {
            let _ = reply.send(Err(RegisterError::Refused("logged in".to_owned())));
        }
        Order::Register(_, _, reply) => {
            let _ = reply.send(Err(RegisterError::Refused("logged in".to_owned())));
        }
    }
    None
}

/// The time before the next try, or until somebody wants something.
async fn pause(wait: Duration, wanted: Arc<Notify>) {
    let soon = async {
        sleep(wait.min(BETWEEN_TRIES)).await;
        wanted.notified().await;
    };
    tokio::select! {
        () = sleep(wait) => {}
        () = soon => {}
    }
}

/// One try to come back: to the old session if the server still has it, else to a new one.
async fn attempt(
    connector: Connector,
    entry: Entry,
    if_changed: IfChanged,
    resume: Option<Resumption>,
) -> Result<Entered, LoginError> {
    let wire = connector.connect(if_changed, resume).await.map_err(LoginError::Connect)?;
    let entered = timeout(LOGIN_WITHIN, enter(wire, &entry))
        .await
        .map_err(|_| LoginError::Connect(timed_out(&connector)))?
        .map_err(|refused| refused.fault)?;
    connector.remember_login(&entered.wire);
    Ok(entered)
}

fn timed_out(connector: &Connector) -> ConnectError {
    ConnectError::TimedOut { address: connector.config.address() }
}

/// The answer of a server that is asked something before the login, which has to come in time.
async fn answered<T>(
    within: Duration,
    connector: &Connector,
    asking: impl Future<Output = Result<T, RegisterError>>,
) -> Result<T, RegisterError> {
    let late = |_| RegisterError::Connect(timed_out(connector));
    timeout(within, asking).await.map_err(late)?
}

/// Waits until the connection at hand ends; for ever, if there is none.
async fn gone(at_hand: &mut Option<Wire>) {
    match at_hand {
        Some(wire) => wire.until_gone().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn who_wants_something_is_not_kept_waiting_for_the_next_try() {
        let wanted = Arc::new(Notify::new());
        wanted.notify_one();
        let began = Instant::now();

        pause(Duration::from_secs(3_600), wanted).await;

        assert!(began.elapsed() >= BETWEEN_TRIES);
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_a_question_is_named_and_not_asked_again() {
        let connector = Connector::new(Config::new("a.example", 5222));
        let address = "a.example:5222".to_owned();

        let asking = std::future::pending::<Result<Probe, RegisterError>>();
        let late = answered(Duration::ZERO, &connector, asking).await.unwrap_err();

        let timed_out = ConnectError::TimedOut { address };
        assert_eq!(late, RegisterError::Connect(timed_out.clone()));
        assert!(Tries::new(QUESTIONS).after(timed_out).await.is_err());
    }
}
