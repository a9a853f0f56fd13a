//! XEP-0206 between an actor and the server: what the actor says as on TCP goes in bodies of BOSH,
//! and comes back as on TCP. So scenes can be played over it.
//!
//! It asks the server itself, without HTTP. One request is always under way, as many clients do it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use whoelse_server::ingress::{Connections, Peer};
use whoelse_stream::bosh::{Refusal, head};
use whoelse_xmpp::ns;

use crate::websocket::{Ended, Lexer};

/// The number of the first request.
const FIRST: u64 = 1_573_741_820;
/// How many requests may be under way.
const REQUESTS: usize = 2;
/// More than a header may have: what is longer is sent as it is.
const LONG: usize = 9_000;

/// What goes into a body.
enum Part {
    /// The header of a stream.
    Header(String),
    /// Whole elements, or what the server refuses.
    Content(Vec<u8>),
    /// The end of the stream.
    End,
}

/// A request that is dropped with the client.
struct Asked(JoinHandle<Result<Bytes, Refusal>>, AbortHandle);

impl Drop for Asked {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// A client.
pub(crate) struct Client {
    connections: Arc<Connections>,
    peer: Peer,
    rid: u64,
    sid: Option<String>,
    /// What was said and belongs to no part yet.
    unsent: Vec<u8>,
    lexer: Lexer,
    parts: VecDeque<Part>,
    asked: VecDeque<Asked>,
    /// Whether a header was said, and none has been heard since.
    awaits_header: bool,
    is_over: bool,
}

impl Client {
    pub(crate) fn new(connections: Arc<Connections>, peer: Peer) -> Client {
        Client {
            connections,
            peer,
            rid: FIRST,
            sid: None,
            unsent: Vec::new(),
            lexer: Lexer::default(),
            parts: VecDeque::new(),
            asked: VecDeque::new(),
            awaits_header: true,
            is_over: false,
        }
    }

    /// Goes on until the session is over or nobody wants to say anything more. `hear` takes what
    /// comes back.
    pub(crate) async fn converse(
        mut self,
        mut said: mpsc::UnboundedReceiver<Vec<u8>>,
        mut hear: impl FnMut(&[u8]),
    ) {
        while !self.is_over {
            self.ask();
            let answered = async {
                match self.asked.front_mut() {
                    Some(Asked(asked, _)) => asked.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                bytes = said.recv() => match bytes {
                    Some(bytes) => self.say(&bytes),
                    None => return,
                },
                answer = answered => {
                    self.asked.pop_front();
                    match answer {
                        Ok(Ok(answer)) => hear(&self.heard(&answer)),
                        _ => self.is_over = true,
                    }
                }
            }
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.unsent.push(*byte);
            let part: fn(Vec<u8>) -> Part = match self.lexer.read(*byte) {
                Ended::Nothing => continue,
                Ended::Element => Part::Content,
                Ended::Header => |text| Part::Header(String::from_utf8_lossy(&text).into_owned()),
                Ended::Stream => |_| Part::End,
            };
            self.parts.push_back(part(std::mem::take(&mut self.unsent)));
        }
        if self.lexer.is_raw() || self.unsent.len() > LONG {
            self.parts.push_back(Part::Content(std::mem::take(&mut self.unsent)));
        }
    }

    /// Sends requests as far as they are due.
    fn ask(&mut self) {
        while self.asked.len() < REQUESTS && (self.sid.is_some() || self.asked.is_empty()) {
            let Some(body) = self.next_body() else { return };
            let (connections, peer) = (self.connections.clone(), self.peer.clone());
            let asked =
                tokio::spawn(async move { connections.ask_over_bosh(body.into(), peer).await });
            let abort = asked.abort_handle();
            self.asked.push_back(Asked(asked, abort));
        }
    }

    fn next_body(&mut self) -> Option<Vec<u8>> {
        let rid = self.rid;
        let sid = self.sid.as_ref().map(|sid| format!(" sid='{sid}'")).unwrap_or_default();
        let body = format!("<body xmlns='{}' rid='{rid}'{sid}", ns::BOSH);
        let text = match self.parts.pop_front() {
            None if self.sid.is_some() && self.asked.is_empty() => (body + "/>").into_bytes(),
            None => return None,
            Some(Part::Header(header)) => {
                self.awaits_header = true;
                let restart = if self.sid.is_some() { " xmpp:restart='true'" } else { "" };
                let attributes = of_header(&header);
                format!(
                    "{body} wait='60' hold='1'{restart} xmlns:xmpp='{}'{attributes}/>",
                    ns::XBOSH
                )
                .into_bytes()
            }
            Some(Part::Content(content)) => {
                let mut content = content;
                while matches!(self.parts.front(), Some(Part::Content(_)))
                    && let Some(Part::Content(more)) = self.parts.pop_front()
                {
                    content.extend(more);
                }
                // The end may come with what is said before it.
                let last = match self.parts.front() {
                    Some(Part::End) => {
                        self.parts.pop_front();
                        " type='terminate'"
                    }
                    _ => "",
                };
                let begun = format!("{body}{last} xmlns:stream='{}'>", ns::STREAM);
                [begun.as_bytes(), &content, b"</body>"].concat()
            }
            Some(Part::End) => format!("{body} type='terminate'/>").into_bytes(),
        };
        self.rid += 1;
        Some(text)
    }

    /// Returns what an answer would have been on TCP.
    fn heard(&mut self, answer: &Bytes) -> Vec<u8> {
        let text = String::from_utf8_lossy(answer);
        let Ok(head) = head(answer) else { return b"what is no body".to_vec() };
        if let Some(sid) = head.sid {
            self.sid = Some(sid.into());
        }
        let content = text.split_once('>').and_then(|(_, rest)| rest.strip_suffix("</body>"));
        let content = content.unwrap_or_default();
        self.is_over = head.type_.as_deref() == Some("terminate");
        let mut heard = String::new();
        if self.awaits_header && (self.is_over || !content.is_empty()) {
            self.awaits_header = false;
            heard += "<?xml version='1.0'?><stream:stream from='localhost' id='bosh' \
                      version='1.0' xml:lang='en' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
        }
        heard += content;
        if self.is_over {
            heard += "</stream:stream>";
        }
        heard.into_bytes()
    }
}

/// Returns the attributes of a header that a body has as well.
fn of_header(header: &str) -> String {
    let mut attributes = String::new();
    for (name, said) in
        [("to", "to"), ("from", "from"), ("xml:lang", "xml:lang"), ("version", "xmpp:version")]
    {
        let value =
            header.split_once(&format!(" {name}='")).and_then(|(_, rest)| rest.split_once('\''));
        if let Some((value, _)) = value {
            attributes += &format!(" {said}='{value}'");
        }
    }
    attributes
}
