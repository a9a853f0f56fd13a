//! A short errand: logs in over an existing connection, asks or sends, and closes.
//!
//! It is for the admin socket and the like, where the system vouches for both ends. It has no
//! events and does not reconnect; [`Client`](crate::Client) does.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use whoelse_stream::client::Config;
use whoelse_stream::sm::{Element as Sm, Sent};
use whoelse_stream::{Password, Transport, token};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Kind, Stanza, ns};

use crate::answer;
use crate::disco::Capabilities;
use crate::entry::Entry;
use crate::error::{ConnectError, LoginError, RequestError, SendError};
use crate::login::{Opened, open, refused_login};
use crate::message::{self, Incoming};
use crate::refusal::Refusal;
use crate::request::{ANSWER_WITHIN, Pending, Request};
use crate::wire::{Broken, Received, Wire};

/// Time from the first byte to an open session.
const LOGIN_WITHIN: Duration = Duration::from_secs(20);
/// Time until a message is stored.
const STORED_WITHIN: Duration = Duration::from_secs(40);
/// Time for closing.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Who is logging in.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The system vouches for us (SASL EXTERNAL).
    External {
        /// The account to act for, as a name or a whole address; the server chooses if there is
        /// none.
        authzid: Option<String>,
    },
    /// A name and a password. The connection is trusted, so even PLAIN is allowed.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: Password,
    },
}

/// An open session on a connection.
#[derive(Debug)]
pub struct Link {
    wire: Wire,
    me: FullJid,
    pending: Pending<()>,
    /// Ids of our unacknowledged stanzas, `None` for those that are not messages; absent if
    /// stanzas are not counted.
    sent: Option<Sent<Option<String>>>,
    handled: u32,
}

/// A received stanza or acknowledgement, sorted.
enum News {
    Answer(Box<Result<Stanza, RequestError>>),
    Refused(String, Refusal),
    Stored(Vec<String>),
    Nothing,
}

impl Link {
    /// Logs in over a connection that needs no encryption, because it never leaves this computer.
    /// Sends no presence, so nothing but answers arrives. An empty `domain` means the one that the
    /// server serves.
    pub async fn open<IO>(io: IO, domain: &str, who: Credentials) -> Result<Link, LoginError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = Config { transport: Transport::Trusted, ..Config::new(domain) };
        let opening = Link::open_wire(Wire::new(Box::new(io), config), who);
        let late = LoginError::Connect(ConnectError::TimedOut { address: domain.to_owned() });
        timeout(LOGIN_WITHIN, opening).await.unwrap_or(Err(late))
    }

    async fn open_wire(mut wire: Wire, who: Credentials) -> Result<Link, LoginError> {
        wire.until_ready().await.map_err(LoginError::Connect)?;
        match who {
            Credentials::External { authzid } => {
                let whole = authzid.map(|name| match name.contains('@') {
                    true => name,
                    false => format!("{name}@{}", wire.domain()),
                });
                wire.login_external(whole.as_deref())
            }
            Credentials::Password { name, password } => {
                wire.login(&Entry::by_password(&name, password))
            }
        }
        .map_err(|denied| LoginError::Refused { text: denied.to_string() })?;
        let entered = match open(wire, refused_login).await {
            Ok(entered) => entered,
            Err(refused) => {
                if let Some(wire) = refused.wire {
                    wire.close(CLOSE_WITHIN).await;
                }
                return Err(refused.fault);
            }
        };
        match entered.opened {
            Opened::New { me, granted, .. } => Ok(Link {
                wire: entered.wire,
                me,
                pending: Pending::default(),
                sent: granted.is_counted.then(Sent::new),
                handled: 0,
            }),
            // We did not ask to resume.
            Opened::Resumed { .. } => Err(LoginError::Connect(ConnectError::Ended)),
        }
    }

    /// Returns the address that the server gave this session.
    pub fn me(&self) -> &FullJid {
        &self.me
    }

    /// Sends a request and waits for the answer.
    pub async fn request(&mut self, request: Request) -> Result<Stanza, RequestError> {
        let id = token();
        let written = request.encode(&id, false);
        self.pending.insert(id, request.to, Instant::now(), ());
        self.write(&written.bytes, None);
        let answer = async {
            loop {
                match self.news().await {
                    Ok(News::Answer(answer)) => return *answer,
                    Ok(_) => {}
                    Err(Broken) => return Err(RequestError::ConnectionLost),
                }
            }
        };
        let answer = timeout(ANSWER_WITHIN, answer).await.unwrap_or(Err(RequestError::TimedOut));
        self.pending.take_all();
        answer
    }

    /// Sends a message and waits until the server has stored it.
    ///
    /// A refusal counts as handled, too, and may come after the acknowledgement (XEP-0198 counts
    /// stanzas, whatever became of them). But the answer to a later request comes after the
    /// refusal, so a ping is sent and its answer awaited.
    pub async fn send_acknowledged(&mut self, to: &BareJid, text: &str) -> Result<(), SendError> {
        if self.sent.is_none() {
            return Err(SendError::NotCounted);
        }
        let id = token();
        let written = message::write(to, &id, text);
        self.write(&written.bytes, Some(&id));
        self.wire.write(&Sm::Request.encode());
        let stored = async {
            let is_stored = |news: &News| matches!(news, News::Stored(ids) if ids.contains(&id));
            self.unless_refused(&id, is_stored).await?;
            let ping = Request::get(Element::new("ping").xmlns(ns::PING));
            let asked = token();
            let server = Jid::parse(self.me.domain()).map_err(|_| SendError::ConnectionLost)?;
            let ping = ping.to(server);
            let written = ping.encode(&asked, false);
            self.pending.insert(asked, ping.to, Instant::now(), ());
            self.write(&written.bytes, None);
            self.unless_refused(&id, |news| matches!(news, News::Answer(_))).await
        };
        let stored = timeout(STORED_WITHIN, stored).await.unwrap_or(Err(SendError::TimedOut));
        self.pending.take_all();
        stored
    }

    /// Waits for this, unless the message is refused first.
    async fn unless_refused(
        &mut self,
        id: &str,
        is_it: impl Fn(&News) -> bool,
    ) -> Result<(), SendError> {
        loop {
            match self.news().await {
                Ok(News::Refused(which, why)) if which == id => {
                    return Err(SendError::Refused(why));
                }
                Ok(news) if is_it(&news) => return Ok(()),
                Ok(_) => {}
                Err(Broken) => return Err(SendError::ConnectionLost),
            }
        }
    }

    /// Closes the stream.
    pub async fn close(self) {
        self.wire.close(CLOSE_WITHIN).await;
    }

    fn write(&mut self, stanza: &[u8], message: Option<&str>) {
        self.wire.write(stanza);
        if let Some(sent) = &mut self.sent {
            sent.push(message.map(str::to_owned), stanza.len());
        }
    }

    async fn news(&mut self) -> Result<News, Broken> {
        Ok(match self.wire.next().await? {
            Received::Stanza(stanza) => {
                self.handled = self.handled.wrapping_add(1);
                self.handle(&stanza)
            }
            Received::Counting(Sm::Request) => {
                self.wire.write(&Sm::Ack { h: self.handled }.encode());
                News::Nothing
            }
            Received::Counting(Sm::Ack { h }) => match &mut self.sent {
                Some(sent) => {
                    let stored = sent.ack(h).map_err(|_| Broken)?;
                    News::Stored(stored.into_iter().flatten().collect())
                }
                None => News::Nothing,
            },
            Received::Counting(_) | Received::Nothing => News::Nothing,
            Received::Error(_) | Received::Closed => return Err(Broken),
        })
    }

    fn handle(&mut self, stanza: &Stanza) -> News {
        if let Some(answer) = answer::answer(stanza, &self.me, &Capabilities::new([])) {
            self.write(&answer.bytes, None);
            return News::Nothing;
        }
        match stanza.kind() {
            Kind::Iq => match self.pending.answered(stanza, &self.me) {
                Some(((), answer)) => News::Answer(Box::new(answer)),
                None => News::Nothing,
            },
            Kind::Message => match message::read(stanza, &self.me) {
                Incoming::Refused { id, why, .. } => News::Refused(id, why),
                Incoming::Message(_) | Incoming::Nothing => News::Nothing,
            },
            Kind::Presence | Kind::Other => News::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const HEADER: &str = "<?xml version='1.0'?><stream:stream from='a.example' id='x' \
                          version='1.0' xmlns='jabber:client' \
                          xmlns:stream='http://etherx.jabber.org/streams'>";
    const EXTERNAL: &str = "<stream:features><mechanisms \
                            xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                            <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
    const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                        <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
    const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3'/>";
    const ACK: &str = "<a xmlns='urn:xmpp:sm:3' h='1'/>";
    const REFUSED: &str = "<message type='error' from='bob@a.example' id='ID'>\
                           <error type='cancel'>\
                           <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                           <no-such-user xmlns='urn:whoelse:errors:0'/></error></message>";
    const PONG: &str = "<iq type='result' from='a.example' id='ID'/>";

    /// The server's end, which follows a script.
    struct Server(DuplexStream);

    impl Server {
        /// Waits for this from the client, and answers under the id seen last.
        async fn on(&mut self, heard: &str, say: &str) -> String {
            let mut all = String::new();
            while !all.contains(heard) {
                let mut bytes = [0; 4096];
                let read = self.0.read(&mut bytes).await.unwrap();
                assert!(read > 0, "the client left after {all}");
                all.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            }
            let id = all.split(" id='").nth(1).and_then(|rest| rest.split('\'').next());
            self.0.write_all(say.replace("ID", id.unwrap_or_default()).as_bytes()).await.unwrap();
            all
        }

        async fn let_in(&mut self) -> String {
            self.on("<stream:stream", &format!("{HEADER}{EXTERNAL}")).await;
            let login = self.on("</auth>", SUCCESS).await;
            let header = self.on("<stream:stream", &format!("{HEADER}{BIND}")).await;
            assert!(header.contains(" to='a.example'"), "{header}");
            let bound = "<iq type='result' id='ID'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                         <jid>a.example/x</jid></bind></iq>";
            self.on("<bind", bound).await;
            self.on("<enable", ENABLED).await;
            login
        }
    }

    /// Sends a message; the server says this to it, and that to the ping after it.
    async fn sent(to_message: &str, to_ping: Option<&str>) -> Result<(), SendError> {
        let (ours, theirs) = duplex(4096);
        let server = async {
            let mut server = Server(theirs);
            server.let_in().await;
            server.on("<r ", to_message).await;
            if let Some(answer) = to_ping {
                server.on("<ping", answer).await;
            }
            server
        };
        let client = async {
            let who = Credentials::External { authzid: None };
            let mut link = Link::open(ours, "", who).await.unwrap();
            assert_eq!(link.me().as_str(), "a.example/x");
            link.send_acknowledged(&BareJid::parse("bob@a.example").unwrap(), "hi").await
        };
        // The server stays until the client has its answer.
        let (_server, sent) = tokio::join!(server, client);
        sent
    }

    #[tokio::test]
    async fn a_message_that_is_counted_and_not_refused_is_stored() {
        assert_eq!(sent(ACK, Some(PONG)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_refusal_counts_before_and_after_the_acknowledgement() {
        let refused = Err(SendError::Refused(Refusal::NoSuchUser));

        assert_eq!(sent(&format!("{REFUSED}{ACK}"), None).await, refused);
        assert_eq!(sent(&format!("{ACK}{REFUSED}"), None).await, refused);
    }

    #[tokio::test]
    async fn an_acknowledgement_of_something_else_is_none() {
        let nothing = "<a xmlns='urn:xmpp:sm:3' h='0'/></stream:stream>";

        assert_eq!(sent(nothing, None).await, Err(SendError::ConnectionLost));
    }

    #[tokio::test]
    async fn a_name_to_act_for_is_one_of_the_servers_own_domain() {
        // In base64, as in SASL: bob@a.example and bob@b.example.
        for (given, told) in
            [("bob", "Ym9iQGEuZXhhbXBsZQ=="), ("bob@b.example", "Ym9iQGIuZXhhbXBsZQ==")]
        {
            let (ours, theirs) = duplex(4096);
            let who = Credentials::External { authzid: Some(given.to_owned()) };
            let mut server = Server(theirs);

            let (opened, login) = tokio::join!(Link::open(ours, "", who), server.let_in());

            opened.unwrap();
            assert!(login.contains(told), "{login}");
        }
    }
}
