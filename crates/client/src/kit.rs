//! How something listens beside a session, by namespace: private chats do.
//!
//! A listener is registered before the session begins, as a feature of the server is. What arrives
//! under one of its namespaces goes to it and to nobody else; what happens to the session itself
//! goes to the face and to every listener. Nothing passes through a listener on its way to another.

use tokio::sync::mpsc;
use whoelse_xmpp::{BareJid, FullJid, Stanza};

use crate::refusal::Refusal;

/// What waits for one listener. While it is full nothing else is handed on, and a little later
/// nothing is read from the server.
const HEARD: usize = 64;

/// What one listener hears. Addresses and texts are as their senders wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message that is no error, or a request that waits for an answer: with a child of one of
    /// the listener's namespaces. Whoever hears a request has to answer it (RFC 6120, 8.2.3).
    Stanza(Stanza),
    /// A stanza of the listener's own was refused ([`Client::send_for`](crate::Client::send_for)).
    NotDelivered {
        /// Its id.
        id: String,
        /// To whom it was going.
        to: BareJid,
        /// Why it came back.
        why: Refusal,
    },
    /// A session has begun.
    LoggedIn {
        /// Its address.
        me: FullJid,
    },
    /// The connection was lost and is back, and the session is where it was.
    Resumed,
    /// The connection was lost and is back in a new session.
    Reconnected {
        /// Its address, perhaps with another resource, or under a new name of the domain.
        me: FullJid,
    },
    /// The own account has blocked these, here or on another device. Told once the list has been
    /// asked for in this session ([`blocking::watch`](crate::blocking::watch)).
    Blocked(Vec<BareJid>),
    /// The session has ended, and does not come back without a new login.
    LoggedOut,
}

/// Which listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) usize);

/// The listeners that a session is to have.
#[derive(Debug, Default)]
pub struct Kit {
    routing: Routing,
    listeners: Vec<mpsc::Sender<Heard>>,
}

impl Kit {
    /// Registers a listener. Service discovery says that this client understands its namespaces.
    /// A stanza with children of several listeners goes to that of the first child.
    ///
    /// # Panics
    /// If another listener has one of the namespaces: a mistake in the program, found at its start.
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

    pub(crate) fn into_parts(self) -> (Routing, Vec<mpsc::Sender<Heard>>) {
        (self.routing, self.listeners)
    }
}

/// The hearing end. Once it is closed or dropped, what is for it is passed over.
///
/// It is to be read promptly: a listener that waits for an answer of the server before it reads on
/// may wait in vain, since the session hands everything on in order.
#[derive(Debug)]
pub struct Listener {
    id: ListenerId,
    heard: mpsc::Receiver<Heard>,
}

impl Listener {
    /// By what [`Client::send_for`](crate::Client::send_for) knows it.
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// What it hears next; `None` when the session's task has ended.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// Hears nothing more: from now on what is for it is passed over.
    pub fn close(&mut self) {
        self.heard.close();
    }

    /// What it has heard already, if anything.
    pub fn try_next(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }
}

/// Which listener hears what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routing {
    by_namespace: Vec<(&'static str, ListenerId)>,
    listeners: usize,
}

impl Routing {
    /// What the listeners understand.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &'static str> {
        self.by_namespace.iter().map(|(namespace, _)| *namespace)
    }

    /// Everybody.
    pub(crate) fn all(&self) -> impl Iterator<Item = ListenerId> + use<> {
        (0..self.listeners).map(ListenerId)
    }

    /// Whose stanza this is, by its children.
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
        assert_eq!(routing.namespaces().count(), 3);
    }

    #[test]
    #[should_panic(expected = "two listeners want urn:x:1")]
    fn two_listeners_cannot_have_one_namespace() {
        let mut kit = Kit::default();
        let _one = kit.listen(&["urn:x:1"]);
        let _other = kit.listen(&["urn:x:1"]);
    }
}
