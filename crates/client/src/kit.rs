//! Listeners beside a session, registered by namespace; private chats are one.
//!
//! A listener is registered before the session begins, as a feature of the server is. A stanza
//! under one of its namespaces goes to it and to nobody else, and so do messages and presence from
//! an address that it has claimed ([`Client::claim`](crate::Client::claim)), such as a room; events
//! of the session itself go to the interface and to every listener. A listener cannot change or delay what others receive.

use tokio::sync::mpsc;
use whoelse_xmpp::{BareJid, FullJid, Stanza};

use crate::refusal::Refusal;

/// What may wait for one listener. While it is full nothing else is handed on, and soon nothing is
/// read from the server.
const HEARD: usize = 64;

/// One thing that a listener receives. Addresses and texts are as their senders wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message that is not an error, or a request, with a child under one of the listener's
    /// namespaces; the listener must answer a request (RFC 6120, 8.2.3). Or a message or presence,
    /// an error too, from an address that the listener has claimed.
    Stanza(Stanza),
    /// A stanza sent by [`Client::send_for`](crate::Client::send_for) was refused.
    NotDelivered {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
        /// The reason.
        why: Refusal,
    },
    /// A session has begun.
    LoggedIn {
        /// Its address.
        me: FullJid,
    },
    /// The connection is lost; one of the next two follows, or the end of the session.
    ConnectionLost,
    /// The connection was lost and the session resumed.
    Resumed,
    /// The connection was lost and there is a new session.
    Reconnected {
        /// Its address; the resource or the name of the domain may have changed.
        me: FullJid,
    },
    /// The own account has blocked these, here or on another device. Reported after the list has
    /// been requested in this session ([`blocking::watch`](crate::blocking::watch)).
    Blocked(Vec<BareJid>),
    /// The own account has unblocked these, or everybody if there are none. Reported like
    /// [`Heard::Blocked`].
    Unblocked(Vec<BareJid>),
    /// A request with this mark ([`Request::marked`](crate::request::Request::marked)) was answered,
    /// after all that was heard before this and before all that comes after it. The answer itself goes
    /// to whoever has asked.
    Answered(u64),
    /// The session has ended for good; a new login is needed.
    LoggedOut,
}

/// A place among what a listener hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Who hears it.
    pub listener: ListenerId,
    /// What tells it from others of this listener.
    pub number: u64,
}

/// Identifies a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) usize);

/// The listeners of a session.
#[derive(Debug, Default)]
pub struct Kit {
    routing: Routing,
    listeners: Vec<mpsc::Sender<Heard>>,
}

impl Kit {
    /// Registers a listener. Service discovery announces its namespaces. A stanza with children of
    /// several listeners goes to that of the first child.
    ///
    /// # Panics If another listener has one of the namespaces: a bug in the program, found at its
    /// start.
    pub fn listen(&mut self, namespaces: &'static [&'static str]) -> Listener {
        let id = ListenerId(self.listeners.len());
        for namespace in namespaces {
            let taken = self.routing.by_namespace.iter().any(|(known, _)| known == namespace);
            assert!(!taken, "two listeners want {namespace}");
            self.routing.by_namespace.push((namespace, id));
        }
        let (tell, heard) = mpsc::channel(HEARD);
        self.listeners.push(tell);
        self.routing.listeners = self.listeners.len();
        Listener { id, heard }
    }

    /// Adds features to what service discovery announces, which route nothing.
    pub fn announce(&mut self, features: &'static [&'static str]) {
        self.routing.announced.extend(features);
    }

    pub(crate) fn into_parts(self) -> (Routing, Vec<mpsc::Sender<Heard>>) {
        (self.routing, self.listeners)
    }
}

/// The receiving end. After it is closed or dropped, what is for it is skipped.
///
/// Read it promptly: the session hands everything on in order, so a listener that waits for an
/// answer of the server before it reads on may wait for ever.
#[derive(Debug)]
pub struct Listener {
    id: ListenerId,
    heard: mpsc::Receiver<Heard>,
}

impl Listener {
    /// Returns its id for [`Client::send_for`].
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// Returns the next thing; `None` when the session's task has ended.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// Stops listening: from now on what is for it is skipped.
    pub fn close(&mut self) {
        self.heard.close();
    }

    /// Returns what has arrived already, if anything.
    pub fn try_next(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }
}

/// The table of listeners.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routing {
    by_namespace: Vec<(&'static str, ListenerId)>,
    announced: Vec<&'static str>,
    listeners: usize,
}

impl Routing {
    /// Returns what service discovery announces: the namespaces of the listeners, and other
    /// features.
    pub(crate) fn features(&self) -> impl Iterator<Item = &'static str> {
        let namespaces = self.by_namespace.iter().map(|(namespace, _)| *namespace);
        namespaces.chain(self.announced.iter().copied())
    }

    /// Returns every listener.
    pub(crate) fn all(&self) -> impl Iterator<Item = ListenerId> + use<> {
        (0..self.listeners).map(ListenerId)
    }

    /// Returns the listener of a stanza, by the namespaces of its children.
    pub(crate) fn listener_of(&self, stanza: &Stanza) -> Option<ListenerId> {
        let of = |ns: &str| self.by_namespace.iter().find(|(known, _)| *known == ns);
        stanza.children().iter().find_map(|child| of(child.ns())).map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stanza(children: &str) -> Stanza {
        Stanza::parse(format!("<message>{children}</message>").into_bytes()).unwrap()
    }

    #[test]
    fn a_stanza_goes_to_the_listener_of_its_first_known_namespace() {
        let mut kit = Kit::default();
        let (one, other) = (kit.listen(&["urn:x:1", "urn:x:2"]), kit.listen(&["urn:x:3"]));
        let (routing, _) = kit.into_parts();

        let of = |children: &str| routing.listener_of(&stanza(children));
        assert_eq!(of("<a xmlns='urn:x:2'/>"), Some(one.id()));
        assert_eq!(
            of("<z xmlns='urn:y'/><a xmlns='urn:x:3'/><a xmlns='urn:x:1'/>"),
            Some(other.id())
        );
        assert_eq!(of("<body>urn:x:1</body>"), None);
        assert_eq!(routing.features().count(), 3);
    }

    #[test]
    #[should_panic(expected = "two listeners want urn:x:1")]
    fn two_listeners_cannot_have_one_namespace() {
        let mut kit = Kit::default();
        let _one = kit.listen(&["urn:x:1"]);
        let _other = kit.listen(&["urn:x:1"]);
    }
}
