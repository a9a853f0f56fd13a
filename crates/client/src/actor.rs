//! The task that keeps a session: it owns the connection, reconnects when it breaks, takes orders,
//! and passes on events.
//!
//! It is in one of three states: in the lobby (not logged in, perhaps with an idle connection),
//! online, or away (the connection is lost, and it reconnects). Nothing else touches the session.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};
use whoelse_stream::client::Resumption;
use whoelse_xmpp::{FullJid, Jid};

mod lobby;
mod obey;
mod way_back;

use crate::backoff::Backoff;
use crate::client::{Client, Domain, Events};
use crate::config::Config;
use crate::connect::{Coming, Connector, IfChanged};
use crate::ending::{self, StreamEnd};
use crate::entry::Entry;
use crate::error::{ConnectError, LoginError};
use crate::events::{Ending, Event};
use crate::kit::{Kit, Routing};
use crate::login::{Entered, Opened, enter};
use crate::order::Order;
use crate::outlets::Outlets;
use crate::proof::Proof;
use crate::reached::Reached;
use crate::session::{Pulse, Session};
use crate::wire::{Broken, CLOSE_WITHIN, Received, Wire};
use lobby::{Admitted, Fresh, Lobby};
use obey::obey;
use way_back::WayBack;

/// Orders that wait for the task; a further caller waits.
const ORDERS: usize = 64;
/// Events that wait for the interface. When they are full, nothing more is read from the server.
const EVENTS: usize = 256;
/// Above this many events that nobody has taken, nothing is read from the server.
const MAX_UNTOLD: usize = 256;
/// Above this many bytes that the server has not taken, no orders are taken.
const MAX_BACKLOG: usize = 256 << 10;
/// Time from the password to an open session. The server may probe a dead session for 5 s
/// meanwhile.
const LOGIN_WITHIN: Duration = Duration::from_secs(40);
/// How long closing may take after the server has closed.
const AFTERWARDS: Duration = Duration::from_millis(200);
/// An order ends the pause before the next attempt, but this much time is always between two.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

impl Client {
    /// Starts the task that keeps the session. It connects when it is asked to. Must be called
    /// inside a tokio runtime.
    pub fn start(config: Config) -> (Client, Events) {
        let (face, events) = mpsc::channel(EVENTS);
        let client = Client::start_with(config, Kit::default(), face);
        (client, Events::new(events))
    }

    /// Starts it with listeners beside the session, for an interface that receives other things on
    /// the same channel. While the channel is full events wait, and soon nothing is read from the
    /// server.
    pub fn start_with<T>(mut config: Config, kit: Kit, face: mpsc::Sender<T>) -> Client
    where
        T: From<Event> + Send + 'static,
    {
        // Normalised as in every address; the server will refuse an invalid domain.
        if let Ok(normal) = Jid::parse(&config.domain) {
            config.domain = normal.domain().to_owned();
        }
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (tell_me, me) = watch::channel(None);
        let (tell_reached, reached) = watch::channel(None);
        let (tell_domain, domain) = watch::channel(Arc::from(config.domain.as_str()));
        let (tell_remembered, remembered) = watch::channel(false);
        let (routing, listeners) = kit.into_parts();
        let proof = Proof::default();
        let actor = Actor {
            lobby: Lobby::new(config),
            orders: ordered,
            outlets: Outlets::new(face, listeners),
            routing,
            shown: Shown {
                me: tell_me,
                reached: tell_reached,
                domain: tell_domain,
                remembered: tell_remembered,
            },
            proof: proof.clone(),
            wanted: Arc::default(),
        };
        tokio::spawn(actor.run());
        Client { orders, me, reached, domain: Domain::new(domain), remembered, proof }
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
    /// Signalled when an order arrives while there is no connection.
    wanted: Arc<Notify>,
}

/// What every handle can read.
struct Shown {
    me: watch::Sender<Option<FullJid>>,
    reached: watch::Sender<Option<Reached>>,
    domain: watch::Sender<Arc<str>>,
    remembered: watch::Sender<bool>,
}

/// Why the online or away state ended.
enum End {
    /// The connection is gone.
    Lost,
    /// The connection is gone, because the domain now has this name.
    Renamed(String),
    /// The session is over, for this reason.
    Over(Ending),
    /// The user logged out, and waits for the answer.
    Asked(oneshot::Sender<()>),
    /// The last handle was dropped.
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

    /// Runs until somebody is logged in; `None` when nobody can log in any more.
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

    /// Keeps a session until it ends. Returns whether another login is possible.
    async fn keep(&mut self, admitted: Admitted) -> bool {
        let Admitted { fresh: Fresh { mut wire, me, granted }, entry, place, reply } = admitted;
        let mut way_back = WayBack { name: entry.name.clone(), place };
        let (config, routing) = (&self.lobby.connector.config, self.routing.clone());
        let mut session = Session::new(me.clone(), granted, config, routing, Instant::now());
        self.shown.me.send_replace(Some(me.clone()));
        self.shown.reached.send_replace(wire.reached().cloned());
        self.shown.remembered.send_replace(way_back.is_remembered());
        self.proof.begin(entry.password());
        // Events are told before the login is answered, so the interface shows its welcome first.
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
                match self.away(&mut session, &mut way_back, &mut backoff).await {
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
                // If the server ended the session, closing may be short.
                let within = if matches!(end, End::Over(_)) { AFTERWARDS } else { CLOSE_WITHIN };
                wire.close(within).await;
            }
            match &end {
                End::Asked(_) => way_back.take_back(&self.lobby.connector).await,
                End::Over(Ending::NewPassword | Ending::Revoked) => way_back.forget(),
                _ => {}
            }
            session.end(closed);
            self.lobby.connector.turn_back();
            self.proof.end();
            self.shown.me.send_replace(None);
            self.shown.remembered.send_replace(false);
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

    /// Follows the domain to its new name, which the server has announced over a trusted
    /// connection.
    fn follow(&mut self, domain: String, session: &mut Session, wire: &Wire) {
        let endpoint = wire.reached().map(|reached| reached.endpoint.clone());
        self.lobby.connector.follow(domain, endpoint);
        session.forget_resumption();
    }

    /// Runs as long as the connection holds.
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
                    // The server miscounts, so the session is not resumed.
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

    /// Reconnects, until there is a connection or no hope of one.
    async fn away(
        &mut self,
        session: &mut Session,
        way_back: &mut WayBack,
        backoff: &mut Backoff,
    ) -> Result<Wire, End> {
        let mut said_renamed = false;
        // Whether the server takes tokens, as far as is known.
        let mut tokens = true;
        loop {
            let wait = pause(backoff.next(), self.wanted.clone());
            self.serve(session, wait).await?;
            // The new name has another certificate, over which the server must prove itself.
            let renamed = self.lobby.connector.is_following();
            let if_changed = if renamed { IfChanged::Prove } else { IfChanged::Refuse };
            let (connector, resume) = (self.lobby.connector.clone(), session.resumption());
            let password = self.proof.password();
            let mut attempted = match way_back.entry(&connector, password.clone(), tokens) {
                Some(entry) => {
                    let attempt = attempt(connector, entry, if_changed, resume);
                    self.serve(session, attempt).await?
                }
                None => Err(LoginError::NotRemembered),
            };
            match &mut attempted {
                Ok(entered) => way_back.renew(entered.wire.take_token()),
                Err(LoginError::TokenRefused { .. }) => way_back.forget(),
                Err(_) => {}
            }
            self.shown.remembered.send_replace(way_back.is_remembered());
            match attempted {
                Ok(Entered { wire, opened: Opened::Resumed { h } }) => {
                    self.shown.reached.send_replace(wire.reached().cloned());
                    match session.handle_resumed(h, Instant::now()) {
                        Ok(()) => return Ok(wire),
                        // The server miscounts, so it is not asked to resume a second time.
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
                // It announced the name over a trusted connection, and over this one it has proved
                // that it knows the account: it is the same server.
                Err(LoginError::NewPin { fingerprint }) if renamed => {
                    if let Err(fault) = self.lobby.connector.meet(fingerprint) {
                        return Err(End::Over(Ending::Untrusted(fault)));
                    }
                }
                // Without it there is still the password, or one that the server may have accepted.
                Err(LoginError::TokenRefused { .. })
                    if password.is_some() || self.proof.try_next() => {}
                Err(LoginError::NotRemembered) if tokens => tokens = false,
                // The connection was lost while the password was being changed.
                Err(LoginError::WrongPassword { .. } | LoginError::FormerPassword { .. })
                    if self.proof.try_next() => {}
                // Anybody on the path can claim this. The user is told, and decides by a new start
                // of the program.
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

    /// Awaits something while there is no connection; meanwhile takes orders and passes on events.
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

/// Passes on all events, within a time limit, since the receiver may be stuck or gone.
async fn tell_all<T: From<Event>>(outlets: &Outlets<T>, session: &mut Session) {
    let _ = timeout(CLOSE_WITHIN, tell_untold(outlets, session)).await;
}

async fn tell_untold<T: From<Event>>(outlets: &Outlets<T>, session: &mut Session) {
    while let whom @ Some(_) = session.whom_to_tell() {
        let room = outlets.room_for(whom).await;
        room.tell(session.poll_telling());
    }
}

/// Waits before the next attempt, or until there is an order.
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

/// Makes one attempt to reconnect: resumes the old session if the server still has it, or begins a
/// new one.
async fn attempt(
    connector: Connector,
    entry: Entry,
    if_changed: IfChanged,
    resume: Option<Resumption>,
) -> Result<Entered, LoginError> {
    let coming = Coming { who: connector.account(&entry.name), resume };
    let connecting = connector.connect(if_changed, Some(&coming));
    let wire = connecting.await.map_err(LoginError::Connect)?;
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
