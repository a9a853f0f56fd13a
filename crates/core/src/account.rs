//! An account: the state of a user while in memory, as snapshots in `Arc`s, and its sessions.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use whoelse_xmpp::{BareJid, Outgoing};

use crate::ahead_of_log::AheadOfLog;
use crate::clock::{Steady, Time};
use crate::mailbox::Mailbox;
use crate::principal::{Identity, Principal, Proof, Proved, Rights};
use crate::rewriting;
use crate::session::{Due, PushRefused, Queued, Session, Shares};
use crate::session_list::SessionList;
use crate::settings::Limits;
use crate::slots::{Slot, Slots};
use crate::turns::OwnTurn;
use crate::underway::Underway;
use crate::waiting_alone::WaitingAlone;

/// A user account, while in memory.
pub struct Account {
    /// The row's number.
    pub id: i64,
    /// The number of its archive.
    pub archive: i64,
    jid: BareJid,
    /// ` to='bob@host'`, inserted into a shared presence that is encoded without an address.
    pub(crate) to_attribute: Bytes,
    /// What features remember of the account. The keeper swaps it after the commit.
    slots: Slots,
    /// How often the keeper has swapped a slot.
    swaps: AtomicU64,
    /// The live and detached sessions.
    pub(crate) session_list: SessionList,
    removed: AtomicBool,
    /// How often the password was set, as far as this node knows.
    generation: AtomicI64,
    /// Until when it counts as new, if somebody has registered it; a [`Steady`].
    new_until: AtomicI64,
    /// The highest number of the log that a device has confirmed.
    pub(crate) confirmed: AtomicI64,
    /// When the account last did something, in microseconds.
    pub(crate) last_active: AtomicI64,
    /// What waits for the owner. Held for a look or a change.
    mailbox: Mutex<Mailbox>,
    /// What is on its way to this account through the keeper: kept messages, and what follows them.
    pub(crate) arriving: Underway,
    /// What of that passes and only follows what is kept, and how much of it is whose. Held for a
    /// look or a change.
    following: Mutex<Option<Box<Shares>>>,
    /// What this account has sent that is on its way through the keeper.
    pub(crate) sending: Underway,
    /// The last unavailable presence of its last session that went, if it sent one, and when it
    /// went. Held for a look or a swap.
    last_gone: Mutex<Option<(Option<Outgoing>, Time)>>,
    /// Messages that sessions got ahead of the log. Held for a look or a change; taken last of all
    /// locks.
    ahead_of_log: Mutex<AheadOfLog>,
    /// Messages that wait for one session alone. Held for a look or a change; taken last of all locks.
    waiting_alone: Mutex<WaitingAlone>,
}

impl Account {
    pub(crate) fn new(
        id: i64,
        archive: i64,
        jid: BareJid,
        slots: Vec<(TypeId, Slot)>,
        cursor: i64,
    ) -> Account {
        Account {
            id,
            archive,
            to_attribute: rewriting::attribute("to", jid.as_str()).into(),
            jid,
            slots: Slots::new(slots),
            swaps: AtomicU64::new(0),
            session_list: SessionList::default(),
            removed: AtomicBool::new(false),
            generation: AtomicI64::new(0),
            new_until: AtomicI64::new(0),
            confirmed: AtomicI64::new(cursor),
            last_active: AtomicI64::new(0),
            mailbox: Mutex::default(),
            arriving: Underway::default(),
            following: Mutex::default(),
            sending: Underway::default(),
            last_gone: Mutex::default(),
            ahead_of_log: Mutex::default(),
            waiting_alone: Mutex::default(),
        }
    }

    /// The bare address.
    pub fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// The name in the account's address.
    pub fn name(&self) -> &str {
        self.jid.local().unwrap_or_default()
    }

    /// When the account last did something.
    pub fn last_active(&self) -> Time {
        Time(self.last_active.load(Ordering::Acquire))
    }

    /// Notes that the account does something at `now`. The latest call counts, not the largest
    /// time: the wall clock may have been set back in between.
    pub(crate) fn note_active(&self, now: Time) {
        self.last_active.store(now.0, Ordering::Release);
    }

    /// Whether the account was removed while somebody still holds it.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// How often its password was set, as far as is known here.
    pub fn generation(&self) -> i64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Until when the account counts as new: for a day, if somebody has registered it.
    pub(crate) fn new_until(&self) -> Steady {
        Steady(self.new_until.load(Ordering::Acquire))
    }

    pub(crate) fn note_new_until(&self, until: Steady) {
        self.new_until.store(until.0, Ordering::Release);
    }

    /// The account as it is now.
    pub(crate) fn proved(&self) -> Proved {
        Proved { account: self.id, generation: self.generation(), address: self.jid.clone() }
    }

    /// Whether this is the account that was proved: the same account, still there, and with no
    /// newer password.
    ///
    /// The proof may know of a newer password than this snapshot: it may have been looked up
    /// between the commit of the new password and the swap that follows here.
    pub(crate) fn is_as(&self, proved: &Proved) -> bool {
        self.id == proved.account
            && !self.is_removed()
            && self.note_generation(proved.generation) <= proved.generation
    }

    /// Notes how often the password was set. Returns how often this was known to be before.
    ///
    /// A caller that ends sessions because of it looks for them after this call: a new session
    /// takes its place only if [`Account::is_as`] holds under the lock of the list.
    pub(crate) fn note_generation(&self, generation: i64) -> i64 {
        self.generation.fetch_max(generation, Ordering::AcqRel)
    }

    /// What a feature remembers of the account: the present snapshot of its slot.
    ///
    /// `None` for a type that no wired feature loads, and that was never asked for with
    /// [`Account::get_or_default`].
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.slots.get()
    }

    /// Looks at what a feature remembers, as [`Account::get`] does, without keeping a reference.
    pub fn look<T: 'static, R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.slots.look(look)
    }

    /// What a feature notes of the account while it is in memory, made now if there is nothing: for
    /// state that is not stored and that few accounts ever have.
    pub fn get_or_default<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.slots.get_or_default()
    }

    /// Replaces a slot. Call it only after a commit, in [`crate::keeper::After`]: the keeper's
    /// order makes the swap safe.
    pub fn put<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        self.slots.put(value);
        self.swaps.fetch_add(1, Ordering::AcqRel);
    }

    /// Runs a request of the account when those before it that read much are answered
    /// ([`OwnTurn`]).
    pub async fn one_by_one<T>(&self, request: impl Future<Output = T>) -> T {
        self.get_or_default::<OwnTurn>().one_by_one(request).await
    }

    /// How often a slot was replaced. Whoever decides by a slot what a session hears asks before the
    /// decision, and again under the session's lock: if the number is the same, the devices have not
    /// been told yet of anything that the decision did not know.
    pub(crate) fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Acquire)
    }

    /// The sessions, live and detached.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.session_list.all()
    }

    /// Calls `look` on each session, under the lock: it must not call back into the account.
    pub(crate) fn each_session(&self, look: impl FnMut(&Arc<Session>)) {
        self.session_list.each(look);
    }

    /// The session with this resource.
    pub fn session(&self, resource: &str) -> Option<Arc<Session>> {
        self.session_list.find(resource)
    }

    /// Whether at least one session has sent presence.
    pub fn is_online(&self) -> bool {
        self.session_list.any(Session::is_available)
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.session_list.count()
    }

    /// Queues one presence, addressed to the account, for every available session. Returns whether
    /// there is any.
    pub(crate) fn push_to_available(&self, presence: &Outgoing) -> bool {
        let mut any = false;
        self.each_session(|session| {
            if session.is_available() {
                session.push_presence(presence, &self.to_attribute);
                any = true;
            }
        });
        any
    }

    /// Queues one message to the account for every session that takes messages to the account. Fails
    /// if none of them has room. Returns whether any has taken it.
    pub(crate) fn push_message(&self, message: &Outgoing, due: Due) -> Result<bool, PushRefused> {
        self.push_where(Session::takes_messages, |session| {
            let (stanza, to) = (message.clone(), self.to_attribute.clone());
            session.push_queued(Queued { stanza, to, due })
        })
    }

    /// Queues one message for every available session that wants it, addressed to that session. Fails
    /// if none of them has room, and notes who misses it. Returns whether any has taken it.
    pub(crate) fn push_to_those(
        &self,
        message: &Outgoing,
        due: Due,
        wants: impl Fn(&Session) -> bool,
        misses: impl Fn(&Session),
    ) -> Result<bool, PushRefused> {
        let takes = |session: &Session| session.is_available() && wants(session);
        self.push_where(takes, |session| {
            let to = rewriting::attribute("to", session.jid.as_str()).into();
            let pushed = session.push_queued(Queued { stanza: message.clone(), to, due });
            if pushed.is_err() {
                misses(session);
            }
            pushed
        })
    }

    fn push_where(
        &self,
        takes: impl Fn(&Session) -> bool,
        push: impl Fn(&Session) -> Result<(), PushRefused>,
    ) -> Result<bool, PushRefused> {
        let (mut any, mut refused) = (false, None);
        self.each_session(|session| {
            if takes(session) {
                match push(session) {
                    Ok(()) => any = true,
                    Err(why) => refused = Some(why),
                }
            }
        });
        refused.filter(|_| !any).map_or(Ok(any), Err)
    }

    /// Takes room for something that passes and has to follow what is on its way to this account
    /// through the keeper: as much as one of its devices would have for it. Returns whether there is
    /// any.
    pub(crate) fn let_follow(&self, due: Due, bytes: usize, limits: &Limits) -> bool {
        let Due::Passing(sender) = due else { return true };
        let mut following = self.following.lock();
        let shares = following.get_or_insert_with(|| Box::new(Shares::of(limits.session_bytes)));
        let has_room = shares.have_room_for(sender, bytes);
        if has_room {
            shares.take(sender, bytes);
        }
        has_room
    }

    /// Gives that room back.
    pub(crate) fn has_followed(&self, due: Due, bytes: usize) {
        let Due::Passing(sender) = due else { return };
        let mut following = self.following.lock();
        if let Some(shares) = following.as_mut() {
            shares.release(sender, bytes);
            if shares.are_empty() {
                *following = None;
            }
        }
    }

    /// When the account last went offline, and its user's own last unavailable presence, without an
    /// address, if there was one. `None` if it has not gone offline since it was loaded.
    pub(crate) fn last_gone(&self) -> Option<(Option<Outgoing>, Time)> {
        self.last_gone.lock().clone()
    }

    pub(crate) fn note_gone(&self, word: Option<Outgoing>, at: Time) {
        *self.last_gone.lock() = Some((word, at));
    }

    pub(crate) fn ahead_of_log(&self) -> MutexGuard<'_, AheadOfLog> {
        self.ahead_of_log.lock()
    }

    pub(crate) fn waiting_alone(&self) -> MutexGuard<'_, WaitingAlone> {
        self.waiting_alone.lock()
    }

    /// The mailbox, to be looked at or changed.
    pub(crate) fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock()
    }

    /// Notes that a device has everything up to `seq`, as far as that may count while messages wait for
    /// another device alone. If that is news, returns up to where it was known before, and is now.
    pub(crate) fn confirm(&self, seq: i64) -> Option<(i64, i64)> {
        let seq = self.waiting_alone().confirm(seq);
        let before = self.confirmed.fetch_max(seq, Ordering::AcqRel);
        if before >= seq {
            return None;
        }
        self.mailbox().confirmed(seq);
        Some((before, seq))
    }
}

impl Principal {
    /// The principal of an account as it is now, for a caller that authenticates by something other
    /// than a password.
    pub fn of(account: &Account, rights: Rights) -> Principal {
        let identity = Identity::Account(account.proved());
        Principal { identity, rights, proof: Proof::Password, device: None }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.jid)
    }
}
