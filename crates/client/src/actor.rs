//! The task that keeps a session: it owns the connection, brings it back when it breaks, and
//! passes orders in and what is told out.
//!
//! It is in one of three states: in the lobby (not logged in, perhaps with a connection at hand),
//! online, or away (the connection is lost and being sought). Nothing else touches the session.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};
use whoelse_stream::client::Resumption;
use whoelse_xmpp::{FullJid, Jid};

mod lobby;
mod obey;

use crate::backoff::Backoff;
use crate::client::{Client, Domain, Events};
use crate::config::Config;
use crate::connect::{Connector, IfChanged};
use crate::ending::{self, StreamEnd};
use crate::error::{ConnectError, LoginError};
use crate::events::{Ending, Event};
use crate::kit::{Kit, Routing};
use crate::login::{Entered, Entry, Opened, enter};
use crate::order::Order;
use crate::outlets::Outlets;
use crate::proof::Proof;
use crate::reached::Reached;
use crate::session::{Pulse, Session};
use crate::wire::{Broken, CLOSE_WITHIN, Received, Wire};
use lobby::{Admitted, Fresh, Lobby};
use obey::obey;

/// Orders that wait for the session's task; whoever has one more waits.
const ORDERS: usize = 64;
/// Events that wait for the face. Beyond it nothing is read from the server.
const EVENTS: usize = 256;
/// Above so much that nobody took, nothing is read from the server.
const MAX_UNTOLD: usize = 256;
/// Above so many bytes that the server did not take, no orders are taken.
const MAX_BACKLOG: usize = 256 << 10;
/// From a password to an open session. The server may probe a dead session for 5 s meanwhile.
const LOGIN_WITHIN: Duration = Duration::from_secs(40);
/// How long a polite goodbye may take when the server has said it first.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// Whoever types while there is no connection is not kept waiting for the next try; but so much
/// time is between two.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

impl Client {
    /// Starts the task that keeps the session. It connects when it is asked to. To be called
    /// inside a tokio runtime.
    pub fn start(config: Config) -> (Client, Events) {
        let (face, events) = mpsc::channel(EVENTS);
        let client = Client::start_with(config, Kit::default(), face);
        (client, Events::new(events))
    }

    /// The same with listeners beside the session, and for a face that hears of other things by
    /// the same channel. What the session tells waits while the channel is full, and a little
    /// later nothing is read from the server.
    pub fn start_with<T>(mut config: Config, kit: Kit, face: mpsc::Sender<T>) -> Client
    where
        T: From<Event> + Send + 'static,
    {
        // As it will stand in every address; what is no domain, the server will refuse.
        if let Ok(normal) = Jid::parse(&config.domain) {
            config.domain = normal.domain().to_owned();
        }
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (tell_me, me) = watch::channel(None);
        let (tell_reached, reached) = watch::channel(None);
        let (tell_domain, domain) = watch::channel(Arc::from(config.domain.as_str()));
        let (routing, listeners) = kit.into_parts();
        let proof = Proof::default();
        let actor = Actor {
            lobby: Lobby::new(config),
            orders: ordered,
            outlets: Outlets::new(face, listeners),
            routing,
            shown: Shown { me: tell_me, reached: tell_reached, domain: tell_domain },
            proof: proof.clone(),
            wanted: Arc::default(),
        };
        tokio::spawn(actor.run());
        Client { orders, me, reached, domain: Domain::new(domain), proof }
    }
}

/// The task.
struct Actor<T> {
    lobby: Lobby,
    orders: mpsc::Receiver<Order>,
    outlets: Outlets<T>,
    routing: Routing,
    shown: Shown,
    proof: Proof,
    /// Somebody wants something while there is no connection.
    wanted: Arc<Notify>,
}

/// What anybody who has a handle can look at.
struct Shown {
    me: watch::Sender<Option<FullJid>>,
    reached: watch::Sender<Option<Reached>>,
    domain: watch::Sender<Arc<str>>,
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

impl<T: From<Event>> Actor<T> {
    async fn run(mut self) {
        while let Some(admitted) = self.until_login().await {
            if !self.keep(admitted).await {
                break;
            }
        }
        self.lobby.close().await;
    }

    /// Until somebody is logged in; `None` when nobody can any more.
    async fn until_login(&mut self) -> Option<Admitted> {
        loop {
            let order = tokio::select! {
                order = self.orders.recv() => order?,
                () = self.lobby.until_gone() => continue,
            };
            if let Some(admitted) = self.lobby.obey(order).await {
                return Some(admitted);
            }
        }
    }

    /// Keeps a session until it ends. Returns whether anybody may log in again.
    async fn keep(&mut self, admitted: Admitted) -> bool {
        let Admitted { fresh: Fresh { mut wire, me, granted }, entry, reply } = admitted;
        let (config, routing) = (&self.lobby.connector.config, self.routing.clone());
        let mut session = Session::new(me.clone(), granted, config, routing, Instant::now());
        self.shown.me.send_replace(Some(me.clone()));
        self.shown.reached.send_replace(wire.reached().cloned());
        self.proof.begin(entry.password.clone());
        // Told before it is answered: whatever the face says next comes after its welcome.
        tell_untold(&self.outlets, &mut session).await;
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
                tell_all(&self.outlets, &mut session).await;
                wire.write(&session.poll_last_words(Instant::now()));
                // What the server ended needs no long goodbye.
                let within = if matches!(end, End::Over(_)) { AFTERWARDS } else { CLOSE_WITHIN };
                wire.close(within).await;
            }
            session.end(closed);
            self.lobby.connector.turn_back();
            self.proof.end();
            self.shown.me.send_replace(None);
            let (ending, done) = match end {
                End::Lost | End::Renamed(_) | End::Dropped => (None, None),
                End::Over(ending) => (Some(ending), None),
                End::Asked(done) => (Some(Ending::Asked), Some(done)),
            };
            let go_on = ending.is_some();
            ending.into_iter().for_each(|it| session.handle_logged_out(it));
            tell_all(&self.outlets, &mut session).await;
            if let Some(done) = done {
                let _ = done.send(());
            }
            return go_on;
        }
    }

    /// The server has said, over a connection that is trusted, that its domain has another name.
    fn follow(&mut self, domain: String, session: &mut Session, wire: &Wire) {
        let endpoint = wire.reached().map(|reached| reached.endpoint.clone());
        self.lobby.connector.follow(domain, endpoint);
        session.forget_resumption();
    }

    /// As long as the connection holds.
    async fn online(&mut self, session: &mut Session, wire: &mut Wire) -> End {
        loop {
            wire.write(&session.poll_output(Instant::now()));
            let deadline = session.next_deadline();
            let take_orders = !session.is_busy() && wire.backlog() < MAX_BACKLOG;
            tokio::select! {
                room = self.outlets.room_for(session.whom_to_tell()) => {
                    room.tell(session.poll_telling());
                }
                heard = wire.next(), if session.untold() < MAX_UNTOLD => {
                    if let Some(end) = self.handle(session, heard) {
                        return end;
                    }
                    session.handle_sign_of_life(wire.heard_at());
                }
                order = self.orders.recv(), if take_orders => match order {
                    None => return End::Dropped,
                    Some(order) => if let Some(done) = obey(&mut self.lobby.connector, session, order) {
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

    fn handle(&self, session: &mut Session, heard: Result<Received, Broken>) -> Option<End> {
        match heard {
            Ok(Received::Stanza(stanza)) => session.handle_stanza(&stanza, Instant::now()),
            Ok(Received::Counting(element)) => {
                if session.handle_counting(&element, Instant::now()).is_err() {
                    // A server that miscounts is not asked to go on where it was.
                    session.forget_resumption();
                    return Some(End::Lost);
                }
            }
            Ok(Received::Nothing) => {}
            Ok(Received::Error(error)) => match ending::of(&error) {
                StreamEnd::Over(ending) => return Some(End::Over(ending)),
                StreamEnd::Renamed(domain) => return Some(End::Renamed(domain)),
                StreamEnd::ShuttingDown => {
                    session.handle_event(Event::ShuttingDown);
                    return Some(End::Lost);
                }
                StreamEnd::TryAgain => return Some(End::Lost),
            },
            Ok(Received::Closed) | Err(Broken) => return Some(End::Lost),
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
            let renamed = self.lobby.connector.is_following();
            let if_changed = if renamed { IfChanged::Prove } else { IfChanged::Refuse };
            let (connector, resume) = (self.lobby.connector.clone(), session.resumption());
            let password = self.proof.password().unwrap_or_else(|| entry.password.clone());
            let entry = Entry { name: entry.name.clone(), password };
            let attempt = attempt(connector, entry, if_changed, resume);
            match self.serve(session, attempt).await? {
                Ok(Entered { wire, opened: Opened::Resumed { h } }) => {
                    self.shown.reached.send_replace(wire.reached().cloned());
                    match session.handle_resumed(h, Instant::now()) {
                        Ok(()) => return Ok(wire),
                        // A server that miscounts is not asked to resume a second time.
                        Err(_) => session.forget_resumption(),
                    }
                }
                Ok(Entered { wire, opened: Opened::New { me, granted, remembered } }) => {
                    self.shown.me.send_replace(Some(me.clone()));
                    self.shown.reached.send_replace(wire.reached().cloned());
                    if self.lobby.connector.has_followed() {
                        let domain = self.lobby.connector.config.domain.clone();
                        self.shown.domain.send_replace(Arc::from(domain.as_str()));
                        session.handle_event(Event::Renamed { domain });
                    }
                    session.handle_renewed(me, granted, remembered, Instant::now());
                    return Ok(wire);
                }
                // It said so before over a connection that was trusted, and now it has proved over
                // this one that it knows the account: it is the same server.
                Err(LoginError::NewPin { fingerprint }) if renamed => {
                    if let Err(fault) = self.lobby.connector.meet(fingerprint) {
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
    async fn serve<O>(
        &mut self,
        session: &mut Session,
        something: impl Future<Output = O>,
    ) -> Result<O, End> {
        tokio::pin!(something);
        loop {
            tokio::select! {
                done = &mut something => return Ok(done),
                room = self.outlets.room_for(session.whom_to_tell()) => {
                    room.tell(session.poll_telling());
                }
                order = self.orders.recv() => match order {
                    None => return Err(End::Dropped),
                    Some(order) => {
                        self.wanted.notify_one();
                        if let Some(done) = obey(&mut self.lobby.connector, session, order) {
                            return Err(End::Asked(done));
                        }
                    }
                },
            }
        }
    }
}

/// Tells everything that is untold; not for ever, since whoever is told may be stuck or gone.
async fn tell_all<T: From<Event>>(outlets: &Outlets<T>, session: &mut Session) {
    let _ = timeout(CLOSE_WITHIN, tell_untold(outlets, session)).await;
}

async fn tell_untold<T: From<Event>>(outlets: &Outlets<T>, session: &mut Session) {
    while let whom @ Some(_) = session.whom_to_tell() {
        let room = outlets.room_for(whom).await;
        room.tell(session.poll_telling());
    }
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
        .map_err(|_| LoginError::Connect(connector.timed_out()))?
        .map_err(|refused| refused.fault)?;
    connector.remember_login(&entered.wire);
    Ok(entered)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_wants_something_is_not_kept_waiting_for_the_next_try() {
        let wanted = Arc::new(Notify::new());
        wanted.notify_one();
        let began = Instant::now();

        pause(Duration::from_secs(3_600), wanted).await;

        assert!(began.elapsed() >= BETWEEN_TRIES);
    }
}
