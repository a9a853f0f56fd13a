//! The one task that owns the rooms of a session: it listens beside the session, and does what the set
//! of rooms wants.
//!
//! It waits for nothing but its own channels; the carrier and what it starts do what takes time, and
//! leave a [`Note`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep_until;
use whoelse_xmpp::{BareJid, Condition, Jid, Kind, Stanza, StanzaError};

use super::Service;
use super::bookmark;
use super::carrier::{self, Errand};
use super::displayed;
use super::event::{NotEntered, NotSaid, RoomNews};
use super::order::{EnterReply, Note, Noted, Order};
use super::set::{Action, RoomSet};
use crate::client::Client;
use crate::events::Event;
use crate::kit::{Heard, Listener};
use crate::message::{self, Incoming};
use crate::teller::Teller;

/// Notes that may wait.
const NOTES: usize = 64;
/// Messages to rooms, and not to all in them, that may be without an answer.
const MAX_ASIDES: usize = 100;

/// A message to a room that it has not refused yet: to which, and who waits.
type Aside = (BareJid, oneshot::Sender<Result<(), NotSaid>>);

/// The task.
pub(super) struct Actor<T> {
    client: Client,
    listener: Listener,
    orders: mpsc::Receiver<Order>,
    face: Teller<T>,
    notes: mpsc::Receiver<Noted>,
    /// Notes of answers whose marks are still to be heard.
    early: HashMap<u64, Note>,
    /// A mark that was heard before the note: until that comes nothing more is heard.
    awaited: Option<u64>,
    /// What the carrier has to do with the session.
    carrier: Teller<Errand>,
    service: watch::Sender<Service>,
    /// How often the server was asked where rooms are and what else is needed, and no answer is noted.
    preparing: usize,
    set: RoomSet,
    /// Callers that wait to be in a room.
    entering: HashMap<BareJid, EnterReply>,
    asides: HashMap<String, Aside>,
    /// Callers that wait until all that was said is told.
    settling: Vec<oneshot::Sender<()>>,
}

impl<T: From<RoomNews> + From<Event>> Actor<T> {
    pub(super) fn new(
        client: Client,
        listener: Listener,
        orders: mpsc::Receiver<Order>,
        face: mpsc::Sender<T>,
        service: watch::Sender<Service>,
    ) -> Actor<T> {
        let (noted, notes) = mpsc::channel(NOTES);
        Actor {
            carrier: carrier::start(client.clone(), listener.id(), noted),
            client,
            listener,
            orders,
            face: Teller::new(face),
            notes,
            early: HashMap::new(),
            awaited: None,
            service,
            preparing: 0,
            set: RoomSet::default(),
            entering: HashMap::new(),
            asides: HashMap::new(),
            settling: Vec::new(),
        }
    }

    /// Runs until the handle is dropped.
    pub(super) async fn run(mut self) {
        let mut session_ended = false;
        loop {
            self.act();
            let room = self.face.has_room() && self.carrier.has_room();
            let deadline = self.set.next_deadline();
            // With nothing to wait for, an hour is long enough.
            let deadline = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            tokio::select! {
                listens = self.face.tell_next() => if !listens {
                    break;
                },
                carries = self.carrier.tell_next() => if !carries {
                    break;
                },
                order = self.orders.recv(), if room && self.awaited.is_none() => match order {
                    Some(order) => {
                        // An order may depend on what the session has reported so far.
                        while self.awaited.is_none()
                            && self.face.has_room()
                            && let Some(heard) = self.listener.try_next()
                        {
                            self.handle_heard(heard);
                            self.act();
                        }
                        self.obey(order);
                    }
                    None => break,
                },
                Some(noted) = self.notes.recv(), if room => self.handle_noted(noted),
                heard = self.listener.next(),
                    if room && !session_ended && self.awaited.is_none() => match heard {
                    Some(heard) => self.handle_heard(heard),
                    None => session_ended = true,
                },
                () = sleep_until(deadline.into()) => self.set.handle_time(Instant::now()),
            }
        }
        self.end().await;
    }

    /// Reports what nobody knows the end of.
    async fn end(mut self) {
        self.listener.close();
        self.set.handle_logged_out();
        self.act();
        let Actor { client, carrier, face, .. } = self;
        // Lets the session end.
        drop((client, carrier));
        face.tell_rest().await;
    }

    // ---- orders ----

    fn obey(&mut self, order: Order) {
        match order {
            Order::Enter { room, nick, password, why, reply } => {
                match self.set.enter(&room, &nick, password, why, Instant::now()) {
                    Ok(()) => {
                        // Whoever asked before is told by this.
                        if let Some(before) = self.entering.insert(room, reply) {
                            let _ = before.send(Err(NotEntered::Left));
                        }
                    }
                    Err(why) => {
                        let _ = reply.send(Err(*why));
                    }
                }
            }
            Order::Leave(room, reply) => {
                let _ = reply.send(self.set.leave(&room, Instant::now()));
            }
            Order::Say { room, id, text, reply } => {
                let _ = reply.send(self.set.say(&room, id, text));
            }
            Order::Aside { room, stanza, id, reply } => {
                let refusal = match self.client.me() {
                    None => Some(NotSaid::NotLoggedIn),
                    Some(_) if !self.set.is_there(&room) => Some(NotSaid::NotThere),
                    Some(_) if self.asides.len() >= MAX_ASIDES => Some(NotSaid::TooMany),
                    Some(_) => None,
                };
                if let Some(why) = refusal {
                    let _ = reply.send(Err(why));
                    return;
                }
                self.asides.insert(id.clone(), (room.clone(), reply));
                self.carrier.tell(Errand::Aside { room, stanza, id });
            }
            Order::View(room, reply) => {
                let _ = reply.send(self.set.view(&room));
            }
            Order::Views(reply) => {
                let _ = reply.send(self.set.views());
            }
            Order::Settle(reply) => self.settling.push(reply),
            Order::ShowNew(reply) => {
                self.set.show_only_what_is_new();
                let _ = reply.send(());
            }
            Order::Read => self.set.read(),
            Order::FindService(reply) => {
                // What else is needed may have failed with it.
                if matches!(*self.service.borrow(), Service::Failed(_)) {
                    self.prepare();
                }
                let _ = reply.send(());
            }
        }
    }

    // ---- what the session tells ----

    fn handle_heard(&mut self, heard: Heard) {
        let now = Instant::now();
        match heard {
            Heard::LoggedIn { me } => {
                self.set.handle_login(me);
                self.prepare();
            }
            Heard::Reconnected { me } => {
                // Nothing of the former session is sent again but what is said to all.
                self.give_up_asides(&NotSaid::ConnectionLost);
                self.set.handle_reconnected(me, now);
                self.prepare();
            }
            // Who is in a room stays there while the session waits to be resumed.
            Heard::ConnectionLost => self.set.handle_loss(),
            Heard::Resumed => self.set.handle_resumed(now),
            Heard::LoggedOut => {
                self.set.handle_logged_out();
                self.service.send_replace(Service::Unknown);
                self.give_up_asides(&NotSaid::NotLoggedIn);
            }
            Heard::Blocked(whom) => self.set.handle_blocked(whom),
            Heard::Unblocked(whom) => self.set.handle_unblocked(&whom),
            Heard::NotDelivered { .. } => {}
            Heard::Stanza(stanza) => self.handle_stanza(&stanza, now),
            Heard::Answered(mark) => match self.early.remove(&mark) {
                Some(note) => self.handle_note(note),
                None => self.awaited = Some(mark),
            },
        }
    }

    /// Answers whoever waits for a message to a room that is not known to be done.
    fn give_up_asides(&mut self, why: &NotSaid) {
        for (_, (_, reply)) in self.asides.drain() {
            let _ = reply.send(Err(why.clone()));
        }
    }

    fn prepare(&mut self) {
        self.service.send_replace(Service::Unknown);
        self.preparing += 1;
        self.carrier.tell(Errand::Prepare { read: self.set.shows_only_what_is_new() });
    }

    fn handle_stanza(&mut self, stanza: &Stanza, now: Instant) {
        if self.is_aside_refused(stanza) {
            return;
        }
        let Some(me) = self.client.me() else { return };
        if let Some(changes) = bookmark::changes(stanza, &me) {
            changes.into_iter().for_each(|change| self.set.handle_change(change, now));
            return;
        }
        if let Some(marks) = displayed::changes(stanza, &me) {
            marks.into_iter().for_each(|mark| self.set.handle_mark(mark));
            return;
        }
        if self.set.handle(stanza, now) {
            return;
        }
        // It has a child that is read here, and is an ordinary message nevertheless.
        if let Incoming::Message(message) = message::read(stanza, &me) {
            self.face.tell(Event::Message(message).into());
        }
    }

    /// Answers whoever waits for a message to a room, if this is its refusal.
    fn is_aside_refused(&mut self, stanza: &Stanza) -> bool {
        if stanza.kind() != Kind::Message || stanza.type_() != Some("error") {
            return false;
        }
        let from = stanza.from().and_then(|from| Jid::parse(from).ok()).map(|from| from.to_bare());
        let id = stanza.id().unwrap_or_default();
        if self.asides.get(id).is_none_or(|(room, _)| Some(room) != from.as_ref()) {
            return false;
        }
        let why = StanzaError::read(stanza);
        let why = why.unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition));
        if let Some((_, reply)) = self.asides.remove(id) {
            let _ = reply.send(Err(NotSaid::Refused(why)));
        }
        true
    }

    /// Handles a note where its answer stands among what the session tells: a room that has refused
    /// has said so before it answered, and what was noted on another device after all bookmarks were
    /// read is not among them.
    fn handle_noted(&mut self, Noted { after, note }: Noted) {
        match after {
            Some(mark) if self.awaited != Some(mark) => {
                self.early.insert(mark, note);
            }
            _ => {
                if after.is_some() {
                    self.awaited = None;
                }
                self.handle_note(note);
            }
        }
    }

    fn handle_note(&mut self, note: Note) {
        match note {
            Note::Nothing => {}
            Note::Service(found) => {
                self.preparing = self.preparing.saturating_sub(1);
                match found {
                    Ok(service) => {
                        self.set.handle_service(service.clone());
                        self.service.send_replace(service.map_or(Service::None, Service::At));
                    }
                    // An earlier session could not say it: this one is still asked.
                    Err(_) if self.preparing > 0 => {}
                    Err(why) => {
                        self.service.send_replace(Service::Failed(why));
                    }
                }
            }
            Note::Blocked(whom) => {
                self.set.handle_unblocked(&[]);
                self.set.handle_blocked(whom);
            }
            Note::Marks(marks) => self.set.handle_marks(marks),
            Note::Marked(mark, done) => self.set.handle_marked(mark, done),
            Note::Bookmarks(bookmarks) => self.set.handle_bookmarks(bookmarks, Instant::now()),
            Note::PresenceNotSent { wish, place } => {
                self.set.handle_presence_not_sent(wish, place, Instant::now());
            }
            Note::NotSent { room, id } => self.set.handle_not_sent(&room, id),
            Note::Answered(id, done) => {
                if let Some((_, reply)) = self.asides.remove(&id) {
                    let _ = reply.send(done);
                }
            }
        }
    }

    // ---- what the set wants ----

    fn act(&mut self) {
        while let Some(action) = self.set.poll_action() {
            match action {
                Action::Claim(room) => self.carrier.tell(Errand::Claim(room)),
                Action::Release(room) => self.carrier.tell(Errand::Release(room)),
                Action::Send(presence) => self.carrier.tell(Errand::Send(presence)),
                Action::Say { room, id, stanza } => {
                    self.carrier.tell(Errand::Say { room, id, stanza });
                }
                Action::Tell(news) => self.face.tell(news.into()),
                Action::Answer(room, answer) => {
                    if let Some(reply) = self.entering.remove(&room) {
                        let _ = reply.send(answer);
                    }
                }
                Action::Mark(mark) => self.carrier.tell(Errand::Mark(mark)),
                Action::Cancel(room) => self.carrier.tell(Errand::Cancel(room)),
                Action::Unnote(room) => self.carrier.tell(Errand::Unnote(room)),
            }
        }
        if self.set.is_heard() {
            for reply in self.settling.drain(..) {
                let _ = reply.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
