//! The one task that owns the private chats of a session: it listens beside the session, keeps the
//! introductions and the lines, and carries out their actions.
//!
//! It waits for nothing but its own channels; other tasks do what takes time, and leave a
//! [`Note`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use iroh::endpoint::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use whoelse_client::{Client, Heard, Listener, Teller, blocking, disco};
use whoelse_xmpp::{BareJid, FullJid, ns};

use crate::account::Account;
use crate::chat::ToSend;
use crate::chats::Chats;
use crate::config::Config;
use crate::endpoint::{DONE, Net};
use crate::events::{Asked, Closing, Happening, Refused, Stopped};
use crate::introduction::{Action, Introductions};
use crate::note::{News, Note, Wanted};
use crate::order::{Order, Reply};
use crate::rendezvous::Rendezvous;
use crate::signals::{Signal, Signals};

/// Notes that may wait.
const NOTES: usize = 64;
/// How long devices may take to tell their features.
const ABLE_WITHIN: Duration = Duration::from_secs(5);
/// Devices of one person that are asked.
const MAX_DEVICES: usize = 16;
/// How long the goodbyes of all lines may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// The task.
pub(crate) struct Actor<T> {
    client: Client,
    listener: Listener,
    orders: mpsc::Receiver<Order>,
    face: Teller<T>,
    notes: mpsc::Receiver<Note>,
    noted: mpsc::Sender<Note>,
    /// Connections of devices that have dialled this one and proved a key.
    incoming: mpsc::Receiver<Connection>,
    signals: Signals,
    config: Config,
    account: Option<Account>,
    chats: Chats,
    rendezvous: Rendezvous,
    /// Callers that wait to hear whether somebody can be asked.
    checking: HashMap<BareJid, Reply<Asked>>,
    /// Callers that wait for the end of every line.
    closers: Vec<(oneshot::Sender<bool>, bool)>,
}

impl<T: From<Happening>> Actor<T> {
    pub(crate) fn new(
        client: Client,
        listener: Listener,
        config: Config,
        orders: mpsc::Receiver<Order>,
        face: mpsc::Sender<T>,
    ) -> Actor<T> {
        let (noted, notes) = mpsc::channel(NOTES);
        let signals = Signals::start(client.clone(), listener.id(), noted.clone());
        let (rendezvous, incoming) =
            Rendezvous::new(client.clone(), config.relaying, noted.clone());
        Actor {
            client,
            listener,
            orders,
            face: Teller::new(face),
            notes,
            noted,
            incoming,
            signals,
            config,
            account: None,
            chats: Chats::default(),
            rendezvous,
            checking: HashMap::new(),
            closers: Vec::new(),
        }
    }

    /// Runs until the handle is dropped; then closes every line.
    pub(crate) async fn run(mut self) {
        let mut session_ended = false;
        loop {
            self.act();
            let room = self.face.has_room();
            let deadline = self.deadline();
            tokio::select! {
                listens = self.face.tell_next() => if !listens {
                    break;
                },
                order = self.orders.recv() => match order {
                    Some(order) => {
                        // What the session has reported so far is handled first, since an order
                        // may depend on it.
                        while self.face.has_room()
                            && let Some(heard) = self.listener.try_next()
                        {
                            self.handle_heard(heard);
                        }
                        self.obey(order);
                    }
                    None => break,
                },
                Some(note) = self.notes.recv(), if room => self.handle_note(note),
                Some(connection) = self.incoming.recv(), if room => {
                    if let Some((wanted, connection)) = self.rendezvous.admit(connection) {
                        self.begin(wanted, connection, false);
                    }
                }
                heard = self.listener.next(), if room && !session_ended => match heard {
                    Some(heard) => self.handle_heard(heard),
                    None => session_ended = true,
                },
                () = sleep_until(deadline.into()) => self.handle_time(),
            }
        }
        self.end().await;
    }

    /// Says goodbye on every line, and reports the results.
    async fn end(mut self) {
        self.listener.close();
        self.close_all(Closing::ByMe);
        self.act();
        let by = Instant::now() + CLOSE_WITHIN;
        while !self.chats.is_empty() {
            let Ok(Some(note)) = timeout(by - Instant::now(), self.notes.recv()).await else {
                break;
            };
            self.handle_note(note);
            self.act();
        }
        let Actor { client, signals, notes, noted, rendezvous, face, .. } = self;
        rendezvous.close().await;
        // Lets the session end.
        drop((client, signals, notes, noted));
        face.tell_rest().await;
    }

    // ---- orders ----

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask(whom, reply) => self.ask(whom, reply),
            Order::Accept(whom, reply) => {
                let done = self.with_introductions(|it, now| it.accept(&whom, now));
                let _ = reply.send(done);
            }
            Order::Decline(whom, reply) => {
                let _ = reply.send(self.with_introductions(|it, _| it.decline(&whom)));
            }
            Order::Send { to, text, id, reply } => self.send(&to, text, id, reply),
            Order::Stop(whom, reply) => {
                let _ = reply.send(self.stop(&whom));
            }
            Order::Fingerprints(whom, reply) => {
                let _ = reply.send(self.account().and_then(|it| it.fingerprints(&whom)));
            }
            Order::Trust(whom, reply) => {
                let _ = reply.send(self.account().and_then(|it| it.trust(&whom)));
            }
            Order::Close(reply) => {
                let any = self.close_all(Closing::ByMe);
                self.closers.push((reply, any));
            }
        }
    }

    /// Returns the present or last account.
    fn account(&mut self) -> Result<&mut Account, Refused> {
        self.account.as_mut().ok_or(Refused::NotLoggedIn)
    }

    /// Calls a function with the introductions, if there is a session and this device has a key.
    fn with_introductions<O>(
        &mut self,
        wish: impl FnOnce(&mut Introductions, Instant) -> Result<O, Refused>,
    ) -> Result<O, Refused> {
        if self.client.me().is_none() {
            return Err(Refused::NotLoggedIn);
        }
        let account = self.account()?;
        account.device()?;
        wish(&mut account.introductions, Instant::now())
    }

    fn ask(&mut self, whom: BareJid, reply: Reply<Asked>) {
        let may = self.with_introductions(|it, _| match it.is_wanted(&whom) {
            true => Err(Refused::AlreadyAsked),
            false => Ok(it.is_asked_by(&whom)),
        });
        let answer = match may {
            Ok(_) if self.chats.open_with(&whom).is_some() => Err(Refused::AlreadyOpen),
            Ok(true) => {
                let accepted = self.with_introductions(|it, now| it.accept(&whom, now));
                accepted.map(|()| Asked::Accepted)
            }
            Ok(false) if self.checking.contains_key(&whom) => Err(Refused::AlreadyAsked),
            Ok(false) => {
                let (client, noted) = (self.client.clone(), self.noted.clone());
                self.checking.insert(whom.clone(), reply);
                tokio::spawn(async move {
                    let able = is_able(&client, &whom).await;
                    let _ = noted.send(Note::Able { whom, able }).await;
                });
                return;
            }
            Err(why) => Err(why),
        };
        let _ = reply.send(answer);
    }

    fn send(&mut self, to: &BareJid, text: String, id: String, reply: Reply<()>) {
        let Some(line) = self.chats.open_with(to) else {
            let _ = reply.send(Err(Refused::NoneOpen));
            return;
        };
        let (sent, was_sent) = oneshot::channel();
        if line.try_send(ToSend { id, text, sent }).is_err() {
            let _ = reply.send(Err(Refused::TooMany));
            return;
        }
        tokio::spawn(async move {
            let _ = reply.send(match was_sent.await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Refused::TooMany),
                // The line ended meanwhile.
                Err(_) => Err(Refused::NoneOpen),
            });
        });
    }

    fn stop(&mut self, whom: &BareJid) -> Result<Stopped, Refused> {
        if self.chats.close_with(whom, Closing::ByMe) {
            return Ok(Stopped::Closed);
        }
        let withdrawn = match self.account.as_mut() {
            Some(account) => account.introductions.withdraw(whom),
            None => Err(Refused::NoneOpen),
        };
        match withdrawn {
            Ok(()) => Ok(Stopped::TookBack),
            Err(_) if self.chats.is_closing_with(whom) => Err(Refused::Closing),
            Err(why) => Err(why),
        }
    }

    /// Returns whether there was anything to close.
    fn close_all(&mut self, why: Closing) -> bool {
        if let Some(account) = &mut self.account {
            account.introductions.withdraw_all();
        }
        self.chats.close_all(why);
        !self.chats.is_empty()
    }

    // ---- what the session tells ----

    fn handle_heard(&mut self, heard: Heard) {
        match heard {
            Heard::LoggedIn { me } => self.handle_login(&me, Closing::OtherAccount),
            // The new session may have another address, and does not receive the block list yet.
            // After a rename of the domain it is another account to those who know this one.
            Heard::Reconnected { me } => {
                self.forget_watching();
                self.handle_login(&me, Closing::Renamed);
            }
            Heard::ConnectionLost => {}
            Heard::Resumed => self.watch_if_needed(),
            Heard::LoggedOut => {
                if let Some(account) = &mut self.account {
                    account.introductions.handle_logged_out();
                }
                self.forget_watching();
                for (_, reply) in self.checking.drain() {
                    let _ = reply.send(Err(Refused::NotLoggedIn));
                }
            }
            Heard::Blocked(whom) => self.handle_blocked(&whom),
            // It opens nothing by itself.
            Heard::Unblocked(_) => {}
            // Nothing is asked with a mark here.
            Heard::Answered(_) => {}
            Heard::NotDelivered { id, to, why } => {
                if let Some(account) = &mut self.account {
                    account.introductions.handle_refused(&id, &to, why);
                }
            }
            Heard::Stanza(stanza) => {
                if let Some(account) = &mut self.account {
                    account.handle_stanza(&stanza, Instant::now());
                }
            }
        }
    }

    /// Takes over a login. `why` is the reason for closing the chats of another account.
    fn handle_login(&mut self, me: &FullJid, why: Closing) {
        match &mut self.account {
            Some(account) if account.jid == me.to_bare() => account.introductions.renew(me.clone()),
            _ => {
                self.close_all(why);
                self.account = Some(Account::open(me, self.config.state.as_deref()));
            }
        }
        self.watch_if_needed();
    }

    fn handle_blocked(&mut self, blocked: &[BareJid]) {
        for whom in blocked {
            if let Some(account) = &mut self.account {
                account.introductions.handle_blocked(whom);
            }
            self.chats.close_with(whom, Closing::Blocked);
        }
    }

    /// Subscribes to the block list, since blocking somebody on another device must end the chats
    /// on this one.
    fn watch_if_needed(&mut self) {
        let needed = !self.chats.is_empty() || self.rendezvous.is_gathering();
        let Some(account) = &mut self.account else { return };
        if !needed || account.watches_blocklist {
            return;
        }
        account.watches_blocklist = true;
        let (client, noted) = (self.client.clone(), self.noted.clone());
        tokio::spawn(async move {
            let list = blocking::watch(&client).await.ok();
            let _ = noted.send(Note::Blocklist(list)).await;
        });
    }

    fn forget_watching(&mut self) {
        if let Some(account) = &mut self.account {
            account.watches_blocklist = false;
        }
    }

    // ---- what tasks tell ----

    fn handle_note(&mut self, note: Note) {
        let now = Instant::now();
        match note {
            Note::Able { whom, able } => {
                let Some(reply) = self.checking.remove(&whom) else { return };
                let _ = reply.send(match able {
                    true => self.with_introductions(|it, now| it.ask(&whom, now)),
                    false => Err(Refused::CannotDoIt),
                });
            }
            Note::Here(here) => self.handle_here(&here, now),
            Note::Unanswered { of, sid } => {
                if let Some(account) = &mut self.account {
                    account.introductions.handle_unanswered(&of, &sid);
                }
            }
            Note::Dialled { wanted, connection } => {
                self.rendezvous.handle_dialled(&wanted);
                match connection {
                    Some(connection) => self.begin(wanted, connection, true),
                    None => self.handle_not_connected(&wanted.whom, &wanted.sid),
                }
            }
            Note::Line { id, news } => self.handle_news(id, news),
            Note::Blocklist(Some(blocked)) => self.handle_blocked(&blocked),
            // It is requested again for the next chat, or when the connection is back.
            Note::Blocklist(None) => self.forget_watching(),
        }
    }

    fn handle_here(&mut self, here: &Result<Net, String>, now: Instant) {
        let waiting = self.rendezvous.handle_here(here.as_ref().ok());
        let Some(account) = &mut self.account else { return };
        let Ok(device) = account.device().map(|it| it.id.clone()) else { return };
        for (whom, sid) in waiting {
            let place = here.as_ref().map(|net| net.place(&device)).map_err(Clone::clone);
            account.introductions.handle_gathered(&whom, &sid, place, now);
        }
    }

    fn handle_not_connected(&mut self, whom: &BareJid, sid: &str) {
        if let Some(account) = &mut self.account {
            account.introductions.handle_not_connected(whom, sid);
        }
    }

    fn handle_news(&mut self, id: u64, news: News) {
        let Some((whom, sid)) = self.chats.of(id) else { return };
        let happening = match news {
            News::Greeted => {
                self.chats.open(id);
                if let Some(account) = &mut self.account {
                    account.introductions.handle_connected(&whom, &sid);
                }
                return;
            }
            News::Takes(path) if self.chats.was_told(id) => Happening::Moved { whom, path },
            News::Takes(path) => Happening::Opened { whom, path },
            News::Sent(id) => Happening::Sent { id, to: whom },
            News::Message(text) => Happening::Message { from: whom, text },
            News::Arrived(id) => Happening::Arrived { id, to: whom },
            News::Silent => Happening::Silent(whom),
            News::Ended { why, unconfirmed } => {
                if !self.chats.remove(id) {
                    return self.handle_not_connected(&whom, &sid);
                }
                for it in unconfirmed {
                    let (id, text) = (it.id, it.text);
                    self.tell(Happening::Unconfirmed { id, to: whom.clone(), text });
                }
                Happening::Closed { whom, why }
            }
        };
        self.tell(happening);
    }

    fn handle_time(&mut self) {
        if let Some(account) = &mut self.account {
            account.introductions.handle_time(Instant::now());
        }
    }

    fn deadline(&self) -> Instant {
        let next = self.account.as_ref().and_then(|it| it.introductions.next_deadline());
        // With nothing to wait for, an hour is long enough.
        next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600))
    }

    // ---- what introductions ask for ----

    /// Carries out the actions of introductions, and removes what is no longer needed.
    fn act(&mut self) {
        while let Some(action) = self.account.as_mut().and_then(|it| it.introductions.poll_action())
        {
            match action {
                Action::Send { stanza, mine } => {
                    self.signals.send(Signal::Stanza(stanza, mine));
                }
                Action::Show(whom) => {
                    self.signals.send(Signal::Show(whom));
                }
                Action::Ask { of, sid, payload } => {
                    self.signals.send(Signal::Request { of, sid, payload });
                }
                Action::Gather { whom, sid } => self.gather(whom, sid),
                Action::Connect { whom, sid, initiator, theirs } => {
                    let (of, in_session) = (whom.clone(), sid.clone());
                    if !self.rendezvous.connect(whom, sid, initiator, theirs) {
                        self.handle_not_connected(&of, &in_session);
                    }
                }
                Action::Remember { whom, theirs } => {
                    let pinned = self.account.as_mut().map(|it| it.pin(&whom, &theirs));
                    if let Some(Err(why)) = pinned {
                        self.tell(Happening::NotRemembered(why));
                    }
                }
                Action::Distrust { whom, theirs } => {
                    if let Some(account) = &mut self.account {
                        account.distrust(whom, theirs);
                    }
                }
                Action::Tell(happening) => self.tell(happening),
            }
        }
        self.clear();
    }

    fn gather(&mut self, whom: BareJid, sid: String) {
        let secret = self.account().and_then(|it| it.device().map(|device| device.secret()));
        if let Ok(secret) = secret {
            self.rendezvous.gather(whom, sid, secret);
            self.watch_if_needed();
        }
    }

    /// Begins a line on a connection to the right key, if it is still wanted.
    fn begin(&mut self, wanted: Wanted, connection: Connection, initiator: bool) {
        let is_wanted = |it: &&Account| it.introductions.is_connecting(&wanted.whom, &wanted.sid);
        match self.account.as_ref().filter(is_wanted).map(|it| it.jid.clone()) {
            Some(me) => {
                self.chats.begin(wanted, me, connection, initiator, self.noted.clone());
            }
            None => connection.close(DONE, b""),
        }
    }

    /// Removes what belongs to finished introductions, and the network if nothing needs it.
    fn clear(&mut self) {
        let introductions = self.account.as_ref().map(|it| &it.introductions);
        let connecting =
            |whom: &BareJid, sid: &str| introductions.is_some_and(|it| it.is_connecting(whom, sid));
        self.rendezvous.clear(connecting);
        self.chats.close_unless(connecting);
        let needed = introductions.is_some_and(Introductions::needs_place);
        if !self.chats.is_empty() || needed {
            return;
        }
        for (closer, any) in self.closers.drain(..) {
            let _ = closer.send(any);
        }
        self.rendezvous.leave();
    }

    fn tell(&mut self, happening: Happening) {
        self.face.tell(happening.into());
    }
}

/// Returns whether any device of somebody may support private chats. It may if no device is known
/// or one does not tell its features: then the request itself shows it.
async fn is_able(client: &Client, whom: &BareJid) -> bool {
    let mut asking = JoinSet::new();
    for device in client.devices(whom).await.unwrap_or_default().into_iter().take(MAX_DEVICES) {
        let client = client.clone();
        asking.spawn(timeout(ABLE_WITHIN, async move { disco::ask(&client, &device).await }));
    }
    let mut able = asking.is_empty();
    while let Some(answer) = asking.join_next().await {
        match answer {
            Ok(Ok(Ok(features))) => able |= features.iter().any(|it| it == ns::WHOELSE_PRIVATE),
            _ => able = true,
        }
        if able {
            return true;
        }
    }
    able
}
