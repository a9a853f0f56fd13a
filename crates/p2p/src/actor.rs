//! The one task that owns the private chats of a session: it listens beside the session, keeps the
//! introductions and the lines, and does what they ask for.
//!
//! It waits for nothing but its own channels: what takes time is done by tasks that leave a
//! [`Note`].

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use iroh::endpoint::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout};
use whoelse_client::{Client, Heard, Listener, blocking, disco};
use whoelse_xmpp::{BareJid, FullJid, Stanza, in_words, ns};

use crate::chat::{self, Begun, News, Wish};
use crate::config::{Config, Relaying};
use crate::device::{Device, Verdict};
use crate::endpoint::{DONE, NOT_INTRODUCED, Net, Plan, key_of};
use crate::events::{Asked, Closing, Fingerprint, Happening, Refused, Stopped};
use crate::introduction::{Action, Introductions};
use crate::jingle::{self, Transport};
use crate::key::Key;
use crate::line::{Ends, Line};
use crate::post::{Letter, Post};

/// Notes of tasks that wait.
const NOTES: usize = 64;
/// Above so much that the face has not taken, nothing new is heard.
const MAX_UNTOLD: usize = 256;
/// Wishes that wait for a line.
const WISHES: usize = 16;
/// How long devices may take to say what they can do.
const ABLE_WITHIN: Duration = Duration::from_secs(5);
/// Devices of one person that are asked.
const MAX_DEVICES: usize = 16;
/// Changed devices that are kept in mind until the user agrees.
const MAX_DISTRUSTED: usize = 100;
/// How long the goodbyes of all lines may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// A wish of the handle, with the place for its answer.
#[derive(Debug)]
pub(crate) enum Order {
    Ask(BareJid, Reply<Asked>),
    Accept(BareJid, Reply<()>),
    Decline(BareJid, Reply<()>),
    Send { to: BareJid, text: String, id: String, reply: Reply<()> },
    Stop(BareJid, Reply<Stopped>),
    Fingerprints(BareJid, Reply<Vec<Fingerprint>>),
    Trust(BareJid, Reply<()>),
    Close(oneshot::Sender<bool>),
}

type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// What a task leaves when it has done, or seen, something.
#[derive(Debug)]
pub(crate) enum Note {
    /// Whether any device of somebody can do it, as far as is known.
    Able { whom: BareJid, able: bool },
    /// This device is on the network, or cannot be.
    Here(Result<Net, String>),
    /// A device did not agree to what it was asked, or did not answer.
    Unanswered { of: FullJid, sid: String },
    /// The other end was dialled.
    Dialled { wanted: Wanted, connection: Option<Connection> },
    /// Somebody has dialled this device, and proved a key.
    Incoming(Connection),
    /// A line has something to tell.
    Line { id: u64, news: News },
    /// Whom the account has blocked; nothing if that could not be heard.
    Blocklist(Option<Vec<BareJid>>),
}

/// The task.
pub(crate) struct Actor<T> {
    client: Client,
    listener: Listener,
    orders: mpsc::Receiver<Order>,
    face: mpsc::Sender<T>,
    /// What found no room there, in order.
    untold: VecDeque<T>,
    notes: mpsc::Receiver<Note>,
    noted: mpsc::Sender<Note>,
    post: Post,
    config: Config,
    account: Option<Account>,
    chats: HashMap<u64, Chat>,
    last_id: u64,
    net: Option<Net>,
    /// It is being found out where this device is, for these.
    gathering: Vec<(BareJid, String)>,
    /// Whoever waits to hear whether somebody can be asked.
    checking: HashMap<BareJid, Reply<Asked>>,
    /// Keys that may come, and for which lines.
    expected: HashMap<Key, Wanted>,
    dialling: HashMap<Wanted, AbortHandle>,
    distrusted: HashMap<BareJid, Vec<Transport>>,
    /// Whoever waits for the end of every line.
    closers: Vec<(oneshot::Sender<bool>, bool)>,
}

/// What belongs to the account that is logged in, or was.
struct Account {
    jid: BareJid,
    introductions: Introductions,
    device: Result<Device, String>,
    /// The session is told of changes of the block list.
    watching: bool,
}

/// A line that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    whom: BareJid,
    sid: String,
    /// Both ends have said where they are, so there may be a direct way.
    direct: bool,
}

/// A line, or what is to become one.
struct Chat {
    whom: BareJid,
    sid: String,
    wishes: mpsc::Sender<Wish>,
    /// Why it is to end; heard at once, however many wishes wait.
    end: watch::Sender<Option<Closing>>,
    open: bool,
    told: bool,
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
        let post = Post::start(client.clone(), listener.id(), noted.clone());
        Actor {
            client,
            listener,
            orders,
            face,
            untold: VecDeque::new(),
            notes,
            noted,
            post,
            config,
            account: None,
            chats: HashMap::new(),
            last_id: 0,
            net: None,
            gathering: Vec::new(),
            checking: HashMap::new(),
            expected: HashMap::new(),
            dialling: HashMap::new(),
            distrusted: HashMap::new(),
            closers: Vec::new(),
        }
    }

    /// Until the handle is dropped; then every line is closed.
    pub(crate) async fn run(mut self) {
        let mut session_ended = false;
        loop {
            self.act();
            let room = self.untold.len() < MAX_UNTOLD;
            let deadline = self.deadline();
            let face = self.face.clone();
            tokio::select! {
                permit = face.reserve(), if !self.untold.is_empty() => {
                    // Nobody listens any more.
                    let Ok(permit) = permit else { break };
                    if let Some(told) = self.untold.pop_front() {
                        permit.send(told);
                    }
                }
                order = self.orders.recv() => match order {
                    Some(order) => {
                        // What the session has told before is known: the order may rest on it.
                        while self.untold.len() < MAX_UNTOLD
                            && let Some(heard) = self.listener.try_next()
                        {
                            self.handle_heard(heard);
                        }
                        self.obey(order);
                    }
                    None => break,
                },
                Some(note) = self.notes.recv(), if room => self.handle_note(note),
                heard = self.listener.next(), if room && !session_ended => match heard {
                    Some(heard) => self.handle_heard(heard),
                    None => session_ended = true,
                },
                () = sleep_until(deadline.into()) => self.handle_time(),
            }
        }
        self.end().await;
    }

    /// Says goodbye on every line, and tells what came of it.
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
        if let Some(net) = self.net.take() {
            net.close().await;
        }
        let Actor { client, post, notes, noted, face, untold, .. } = self;
        // The session may end now.
        drop((client, post, notes, noted));
        for told in untold {
            if face.send(told).await.is_err() {
                return;
            }
        }
    }

    // ---- wishes ----

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
                let _ = reply.send(self.fingerprints(&whom));
            }
            Order::Trust(whom, reply) => {
                let _ = reply.send(self.trust(&whom));
            }
            Order::Close(reply) => {
                let any = self.close_all(Closing::ByMe);
                self.closers.push((reply, any));
            }
        }
    }

    /// The introductions, if there is a session and this device has a key.
    fn with_introductions<O>(
        &mut self,
        wish: impl FnOnce(&mut Introductions, Instant) -> Result<O, Refused>,
    ) -> Result<O, Refused> {
        if self.client.me().is_none() {
            return Err(Refused::NotLoggedIn);
        }
        let account = self.account.as_mut().ok_or(Refused::NotLoggedIn)?;
        if let Err(why) = &account.device {
            return Err(Refused::State(why.clone()));
        }
        wish(&mut account.introductions, Instant::now())
    }

    fn ask(&mut self, whom: BareJid, reply: Reply<Asked>) {
        let may = self.with_introductions(|it, _| match it.is_wanted(&whom) {
            true => Err(Refused::AlreadyAsked),
            false => Ok(it.is_asked_by(&whom)),
        });
        let answer = match may {
            Ok(_) if self.open_with(&whom).is_some() => Err(Refused::AlreadyOpen),
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
        let Some(chat) = self.open_with(to) else {
            let _ = reply.send(Err(Refused::NoneOpen));
            return;
        };
        let (sent, was_sent) = oneshot::channel();
        if chat.wishes.try_send(Wish { id, text, sent }).is_err() {
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
        if self.close_with(whom, Closing::ByMe) {
            return Ok(Stopped::Closed);
        }
        let withdrawn = match self.account.as_mut() {
            Some(account) => account.introductions.withdraw(whom),
            None => Err(Refused::NoneOpen),
        };
        match withdrawn {
            Ok(()) => Ok(Stopped::TookBack),
            // Its end is still to be told.
            Err(_) if self.chats.values().any(|it| it.open && it.whom == *whom) => {
                Err(Refused::Closing)
            }
            Err(why) => Err(why),
        }
    }

    fn fingerprints(&self, whom: &BareJid) -> Result<Vec<Fingerprint>, Refused> {
        let device = self.device()?;
        let mine = device.key();
        let of = |device: &str, key: &Key, changed| Fingerprint {
            device: device.to_owned(),
            code: mine.code(key),
            changed,
        };
        let known = device.pins_of(whom).map(|pin| of(&pin.device, &pin.key, false));
        let changed = self.distrusted.get(whom).into_iter().flatten();
        let changed = changed.map(|it| of(&it.device, &it.key, true));
        let all: Vec<Fingerprint> = known.chain(changed).collect();
        if all.is_empty() { Err(Refused::NoDevice) } else { Ok(all) }
    }

    fn trust(&mut self, whom: &BareJid) -> Result<(), Refused> {
        self.device()?;
        let theirs = self.distrusted.remove(whom).ok_or(Refused::NothingToTrust)?;
        theirs.iter().try_for_each(|it| self.pin(whom, it)).map_err(Refused::State)
    }

    fn device(&self) -> Result<&Device, Refused> {
        let account = self.account.as_ref().ok_or(Refused::NotLoggedIn)?;
        account.device.as_ref().map_err(|why| Refused::State(why.clone()))
    }

    fn pin(&mut self, whom: &BareJid, theirs: &Transport) -> Result<(), String> {
        match self.account.as_mut().map(|it| &mut it.device) {
            Some(Ok(device)) => {
                device.pin(whom, &theirs.device, &theirs.key).map_err(|why| in_words(&why))
            }
            _ => Ok(()),
        }
    }

    // ---- what the session tells ----

    fn handle_heard(&mut self, heard: Heard) {
        match heard {
            Heard::LoggedIn { me } => self.handle_login(&me, Closing::OtherAccount),
            // The new session has another address, perhaps, and is not told of the block list yet.
            // Under another name of the domain it is another account, to whoever knows this one.
            Heard::Reconnected { me } => {
                if let Some(account) = &mut self.account {
                    account.watching = false;
                }
                self.handle_login(&me, Closing::Renamed);
            }
            Heard::Resumed => self.watch_if_needed(),
            Heard::LoggedOut => {
                if let Some(account) = &mut self.account {
                    account.introductions.handle_logged_out();
                    account.watching = false;
                }
                for (_, reply) in self.checking.drain() {
                    let _ = reply.send(Err(Refused::NotLoggedIn));
                }
            }
            Heard::Blocked(whom) => self.handle_blocked(&whom),
            Heard::NotDelivered { id, to, why } => {
                if let Some(account) = &mut self.account {
                    account.introductions.handle_refused(&id, &to, why);
                }
            }
            Heard::Stanza(stanza) => self.handle_stanza(&stanza),
        }
    }

    /// `why` is what ends the private chats of another account.
    fn handle_login(&mut self, me: &FullJid, why: Closing) {
        let jid = me.to_bare();
        match &mut self.account {
            Some(account) if account.jid == jid => account.introductions.renew(me.clone()),
            _ => {
                self.close_all(why);
                self.distrusted.clear();
                let state = self.config.state.as_deref();
                let device = Device::open(state, &jid).map_err(|why| in_words(&why));
                let introductions = Introductions::new(me.clone());
                self.account = Some(Account { jid, introductions, device, watching: false });
            }
        }
        self.watch_if_needed();
    }

    fn handle_stanza(&mut self, stanza: &Stanza) {
        let Some(account) = &mut self.account else { return };
        let now = Instant::now();
        let introductions = &mut account.introductions;
        if stanza.child("jingle", ns::JINGLE).is_some() {
            let device = account.device.as_ref();
            let judge = |whom: &BareJid, theirs: &Transport| match &device {
                Ok(device) => (
                    device.judge(whom, &theirs.device, &theirs.key),
                    device.key().code(&theirs.key),
                ),
                // Without a key of its own this device has agreed to nothing.
                Err(_) => (Verdict::Changed, String::new()),
            };
            introductions.handle_request(stanza, &judge, now);
        } else if let Some(said) = jingle::said(stanza) {
            introductions.handle_said(&said, now);
        } else {
            introductions.handle_other(stanza);
        }
    }

    fn handle_blocked(&mut self, blocked: &[BareJid]) {
        for whom in blocked {
            if let Some(account) = &mut self.account {
                account.introductions.handle_blocked(whom);
            }
            self.close_with(whom, Closing::Blocked);
        }
    }

    /// Whoever blocks somebody on another device ends the chats on this one: so it has to hear.
    fn watch_if_needed(&mut self) {
        let needed = !self.chats.is_empty() || !self.gathering.is_empty();
        let Some(account) = &mut self.account else { return };
        if !needed || account.watching {
            return;
        }
        account.watching = true;
        let (client, noted) = (self.client.clone(), self.noted.clone());
        tokio::spawn(async move {
            let list = blocking::watch(&client).await.ok();
            let _ = noted.send(Note::Blocklist(list)).await;
        });
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
            Note::Here(here) => self.handle_here(here, now),
            Note::Unanswered { of, sid } => {
                if let Some(account) = &mut self.account {
                    account.introductions.handle_unanswered(&of, &sid);
                }
            }
            Note::Dialled { wanted, connection } => {
                self.dialling.remove(&wanted);
                match (connection, &mut self.account) {
                    (Some(connection), _) => self.begin(wanted, connection, true),
                    (None, Some(account)) => {
                        account.introductions.handle_not_connected(&wanted.whom, &wanted.sid);
                    }
                    (None, None) => {}
                }
            }
            Note::Incoming(connection) => match self.expected.remove(&key_of(&connection)) {
                Some(wanted) => self.begin(wanted, connection, false),
                None => connection.close(NOT_INTRODUCED, b"not introduced"),
            },
            Note::Line { id, news } => self.handle_news(id, news),
            Note::Blocklist(Some(blocked)) => self.handle_blocked(&blocked),
            // Asked again with the next chat, or when the connection is back.
            Note::Blocklist(None) => {
                if let Some(account) = &mut self.account {
                    account.watching = false;
                }
            }
        }
    }

    fn handle_here(&mut self, here: Result<Net, String>, now: Instant) {
        self.net = here.as_ref().ok().cloned();
        let waiting = std::mem::take(&mut self.gathering);
        let Some(Account { introductions, device: Ok(device), .. }) = &mut self.account else {
            return;
        };
        for (whom, sid) in waiting {
            let place = here.as_ref().map(|net| net.place(&device.id)).map_err(Clone::clone);
            introductions.handle_gathered(&whom, &sid, place, now);
        }
    }

    fn handle_news(&mut self, id: u64, news: News) {
        let Some(chat) = self.chats.get_mut(&id) else { return };
        let whom = chat.whom.clone();
        let happening = match news {
            News::Greeted => {
                chat.open = true;
                if let Some(account) = &mut self.account {
                    account.introductions.handle_connected(&chat.whom, &chat.sid);
                }
                let older = self.chats.iter().filter(|(it, chat)| **it != id && chat.whom == whom);
                for (_, older) in older {
                    older.close(Closing::Replaced);
                }
                return;
            }
            News::Takes(path) if chat.told => Happening::Moved { whom, path },
            News::Takes(path) => {
                chat.told = true;
                Happening::Opened { whom, path }
            }
            News::Sent(id) => Happening::Sent { id, to: whom },
            News::Message(text) => Happening::Message { from: whom, text },
            News::Arrived(id) => Happening::Arrived { id, to: whom },
            News::Silent => Happening::Silent(whom),
            News::Ended { why, unconfirmed } => {
                let Some(chat) = self.chats.remove(&id) else { return };
                if !chat.open {
                    if let Some(account) = &mut self.account {
                        account.introductions.handle_not_connected(&whom, &chat.sid);
                    }
                    return;
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
        // With nothing to wait for, an hour is as good as for ever.
        next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600))
    }

    // ---- what introductions ask for ----

    /// Does what is to be done, and clears away what is not needed any more.
    fn act(&mut self) {
        while let Some(action) = self.account.as_mut().and_then(|it| it.introductions.poll_action())
        {
            match action {
                Action::Send { stanza, mine } => {
                    self.post.send(Letter::Stanza(stanza, mine));
                }
                Action::Show(whom) => {
                    self.post.send(Letter::Show(whom));
                }
                Action::Ask { of, sid, payload } => {
                    self.post.send(Letter::Request { of, sid, payload });
                }
                Action::Gather { whom, sid } => self.gather(whom, sid),
                Action::Connect { whom, sid, initiator, theirs } => {
                    self.connect(whom, sid, initiator, theirs);
                }
                Action::Remember { whom, theirs } => {
                    if let Err(why) = self.pin(&whom, &theirs) {
                        self.tell(Happening::NotRemembered(why));
                    }
                }
                Action::Distrust { whom, theirs } => self.distrust(whom, theirs),
                Action::Tell(happening) => self.tell(happening),
            }
        }
        self.clear();
    }

    fn gather(&mut self, whom: BareJid, sid: String) {
        self.gathering.push((whom, sid.clone()));
        self.watch_if_needed();
        if self.gathering.len() > 1 {
            return;
        }
        let Ok(secret) = self.device().map(Device::secret) else { return };
        let (client, notes) = (self.client.clone(), self.noted.clone());
        let relaying = self.config.relaying;
        let plan = Plan { client, secret, relaying, sid, notes };
        let (net, noted) = (self.net.clone(), self.noted.clone());
        tokio::spawn(async move {
            let here = match net {
                Some(net) => net.refresh(plan).await,
                None => Net::open(plan).await,
            };
            let _ = noted.send(Note::Here(here)).await;
        });
    }

    fn connect(&mut self, whom: BareJid, sid: String, initiator: bool, theirs: Transport) {
        let direct = self.config.relaying != Relaying::Only && !theirs.addresses.is_empty();
        let wanted = Wanted { whom, sid, direct };
        if !initiator {
            self.expect(theirs.key, wanted);
            return;
        }
        let Some(net) = self.net.clone() else { return };
        let (noted, of) = (self.noted.clone(), wanted.clone());
        let dialling = tokio::spawn(async move {
            let connection = net.dial(&theirs).await;
            let _ = noted.send(Note::Dialled { wanted, connection }).await;
        });
        self.dialling.insert(of, dialling.abort_handle());
    }

    /// A key is expected for one line at a time: whoever names somebody else's as his own takes no
    /// line away from them.
    fn expect(&mut self, key: Key, wanted: Wanted) {
        let taken = self.expected.get(&key).is_some_and(|it| it.whom != wanted.whom);
        match (taken, &mut self.account) {
            (true, Some(account)) => {
                account.introductions.handle_not_connected(&wanted.whom, &wanted.sid);
            }
            _ => drop(self.expected.insert(key, wanted)),
        }
    }

    /// A connection to the right key; what it becomes, its line tells.
    fn begin(&mut self, wanted: Wanted, connection: Connection, initiator: bool) {
        let Wanted { whom, sid, direct } = wanted;
        let wanted = |it: &Account| it.introductions.is_connecting(&whom, &sid);
        let Some(account) = self.account.as_ref().filter(|it| wanted(it)) else {
            connection.close(DONE, b"");
            return;
        };
        let ends = Ends { sid: sid.clone(), me: account.jid.clone(), them: whom.clone() };
        let line = Line::new(ends, initiator, Instant::now());
        self.last_id += 1;
        let (id, (wishes, wished)) = (self.last_id, mpsc::channel(WISHES));
        let (end, ended) = watch::channel(None);
        let begun = Begun { id, initiator, direct, wishes: wished, end: ended };
        tokio::spawn(chat::run(begun, connection, line, self.noted.clone()));
        self.chats.insert(id, Chat { whom, sid, wishes, end, open: false, told: false });
    }

    fn distrust(&mut self, whom: BareJid, theirs: Transport) {
        if self.distrusted.len() >= MAX_DISTRUSTED && !self.distrusted.contains_key(&whom) {
            return;
        }
        let known = self.distrusted.entry(whom).or_default();
        known.retain(|it| it.device != theirs.device);
        if known.len() < MAX_DEVICES {
            known.push(theirs);
        }
    }

    /// Clears away what belongs to introductions that are over, and the network if nothing needs it.
    fn clear(&mut self) {
        let introductions = self.account.as_ref().map(|it| &it.introductions);
        let connecting =
            |whom: &BareJid, sid: &str| introductions.is_some_and(|it| it.is_connecting(whom, sid));
        self.expected.retain(|_, it| connecting(&it.whom, &it.sid));
        self.dialling.retain(|it, task| {
            let keep = connecting(&it.whom, &it.sid);
            if !keep {
                task.abort();
            }
            keep
        });
        for chat in self.chats.values().filter(|it| !it.open) {
            if !connecting(&chat.whom, &chat.sid) {
                chat.close(Closing::ByMe);
            }
        }
        let needed = introductions.is_some_and(Introductions::needs_place);
        if !self.chats.is_empty() || needed {
            return;
        }
        for (closer, any) in self.closers.drain(..) {
            let _ = closer.send(any);
        }
        if self.gathering.is_empty()
            && let Some(net) = self.net.take()
        {
            tokio::spawn(net.close());
        }
    }

    // ---- steps ----

    /// The line with somebody on which something can be said.
    fn open_with(&self, whom: &BareJid) -> Option<&Chat> {
        let newest = self.chats.iter().filter(|(_, it)| it.is_open_for_me() && it.whom == *whom);
        newest.max_by_key(|(id, _)| **id).map(|(_, chat)| chat)
    }

    /// Closes the lines with somebody. Returns whether there were any that were not ending already.
    fn close_with(&mut self, whom: &BareJid, why: Closing) -> bool {
        let mut any = false;
        for chat in self.chats.values().filter(|it| it.whom == *whom) {
            any |= chat.is_open_for_me();
            chat.close(why);
        }
        any
    }

    /// Returns whether there was anything to close.
    fn close_all(&mut self, why: Closing) -> bool {
        if let Some(account) = &mut self.account {
            account.introductions.withdraw_all();
        }
        for chat in self.chats.values() {
            chat.close(why);
        }
        !self.chats.is_empty()
    }

    /// Tells at once where there is room: what the session tells later comes later.
    fn tell(&mut self, happening: Happening) {
        let told = T::from(happening);
        if !self.untold.is_empty() {
            return self.untold.push_back(told);
        }
        match self.face.try_send(told) {
            Err(TrySendError::Full(told)) => self.untold.push_back(told),
            // Nobody listens any more.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
        }
    }
}

impl Chat {
    /// Whether it is open, and nothing has been said to end it.
    fn is_open_for_me(&self) -> bool {
        self.open && self.end.borrow().is_none()
    }

    /// It is to end. What was wished before is still said; the first reason counts.
    fn close(&self, why: Closing) {
        self.end.send_if_modified(|end| end.is_none() && end.replace(why).is_none());
    }
}

/// Whether any device of somebody can have private chats. If no device is known, or one does not
/// say, they are asked: the answer tells.
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
