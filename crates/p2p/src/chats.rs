//! The lines of an account: the open ones, and those that are being opened.

use std::collections::HashMap;
use std::time::Instant;

use iroh::endpoint::Connection;
use tokio::sync::{mpsc, watch};
use whoelse_xmpp::BareJid;

use crate::chat::{self, Begun, ToSend};
use crate::events::Closing;
use crate::line::{Ends, Line};
use crate::note::{Note, Wanted};

/// Messages that wait for a line.
const TO_SEND: usize = 16;

/// Every line, by its number.
#[derive(Default)]
pub(crate) struct Chats {
    chats: HashMap<u64, Chat>,
    last_id: u64,
}

/// A line, open or not yet.
struct Chat {
    whom: BareJid,
    sid: String,
    to_send: mpsc::Sender<ToSend>,
    /// The reason to end; it is seen at once, however much is queued.
    end: watch::Sender<Option<Closing>>,
    open: bool,
    told: bool,
}

impl Chats {
    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.chats.is_empty()
    }

    /// Begins a line on a connection to the right key; its news tell how it goes on.
    pub(crate) fn begin(
        &mut self,
        wanted: Wanted,
        me: BareJid,
        connection: Connection,
        initiator: bool,
        notes: mpsc::Sender<Note>,
    ) {
        let Wanted { whom, sid, direct } = wanted;
        let ends = Ends { sid: sid.clone(), me, them: whom.clone() };
        let line = Line::new(ends, initiator, Instant::now());
        self.last_id += 1;
        let (id, (to_send, sending)) = (self.last_id, mpsc::channel(TO_SEND));
        let (end, ended) = watch::channel(None);
        let begun = Begun { id, initiator, direct, to_send: sending, end: ended };
        tokio::spawn(chat::run(begun, connection, line, notes));
        self.chats.insert(id, Chat { whom, sid, to_send, end, open: false, told: false });
    }

    /// Returns the peer of a line and its introduction.
    pub(crate) fn of(&self, id: u64) -> Option<(BareJid, String)> {
        self.chats.get(&id).map(|chat| (chat.whom.clone(), chat.sid.clone()))
    }

    /// Opens a line after the peer has identified itself; it replaces older ones with the same
    /// person.
    pub(crate) fn open(&mut self, id: u64) {
        let Some(chat) = self.chats.get_mut(&id) else { return };
        chat.open = true;
        let whom = chat.whom.clone();
        for (_, older) in self.chats.iter().filter(|(it, chat)| **it != id && chat.whom == whom) {
            older.close(Closing::Replaced);
        }
    }

    /// Returns whether this line was reported as open before, and notes that it is now.
    pub(crate) fn was_told(&mut self, id: u64) -> bool {
        self.chats.get_mut(&id).is_some_and(|chat| std::mem::replace(&mut chat.told, true))
    }

    /// Removes a line that has ended. Returns whether it was open.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.chats.remove(&id).is_some_and(|chat| chat.open)
    }

    /// Returns the queue for messages to somebody, if there is an open line.
    pub(crate) fn open_with(&self, whom: &BareJid) -> Option<&mpsc::Sender<ToSend>> {
        let open = self.chats.iter().filter(|(_, it)| it.is_open_for_me() && it.whom == *whom);
        open.max_by_key(|(id, _)| **id).map(|(_, newest)| &newest.to_send)
    }

    /// Returns whether a line with somebody is ending and its end is not yet reported.
    pub(crate) fn is_closing_with(&self, whom: &BareJid) -> bool {
        self.chats.values().any(|it| it.open && it.whom == *whom)
    }

    /// Closes the lines with somebody. Returns whether there were any that were not ending
    /// already.
    pub(crate) fn close_with(&self, whom: &BareJid, why: Closing) -> bool {
        let mut any = false;
        for chat in self.chats.values().filter(|it| it.whom == *whom) {
            any |= chat.is_open_for_me();
            chat.close(why);
        }
        any
    }

    /// Closes all of them.
    pub(crate) fn close_all(&self, why: Closing) {
        self.chats.values().for_each(|chat| chat.close(why));
    }

    /// Closes those that are not open yet and whose introductions are over.
    pub(crate) fn close_unless(&self, connecting: impl Fn(&BareJid, &str) -> bool) {
        let others = |it: &&Chat| !it.open && !connecting(&it.whom, &it.sid);
        self.chats.values().filter(others).for_each(|chat| chat.close(Closing::ByMe));
    }
}

impl Chat {
    /// Returns whether it is open and not ending.
    fn is_open_for_me(&self) -> bool {
        self.open && self.end.borrow().is_none()
    }

    /// Ends it. What was queued before is still sent; the first reason counts.
    fn close(&self, why: Closing) {
        self.end.send_if_modified(|end| end.is_none() && end.replace(why).is_none());
    }
}
