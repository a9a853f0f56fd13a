//! Tests of a line over a real connection on this computer, with a peer that does what it likes.

#![allow(clippy::unwrap_used)]

use super::*;
use iroh::endpoint::{Endpoint, RecvStream, VarInt, presets};
use iroh::{EndpointAddr, RelayMode};
use tokio::sync::oneshot;
use whoelse_xmpp::BareJid;

use crate::line::Ends;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const HEADER: &str = "<stream:stream xmlns='jabber:client' \
     xmlns:stream='http://etherx.jabber.org/streams' from='eve@a.example' to='bob@a.example' \
     id='s1' version='1.0'>";

/// Bob's end is a line; Eve's end sends bytes.
struct Hostile {
    notes: mpsc::Receiver<Note>,
    to_send: mpsc::Sender<ToSend>,
    end: watch::Sender<Option<Closing>>,
    eve: Connection,
    _endpoints: [Endpoint; 2],
}

async fn endpoint() -> Endpoint {
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .alpns(vec![b"test".to_vec()])
        .transport_config(crate::endpoint::transport().unwrap());
    builder.clear_ip_transports().bind_addr("127.0.0.1:0").unwrap().bind().await.unwrap()
}

impl Hostile {
    async fn start() -> Hostile {
        let [one, other] = [endpoint().await, endpoint().await];
        let at = EndpointAddr::new(other.id()).with_ip_addr(other.bound_sockets()[0]);
        let accepting = async { other.accept().await.unwrap().await.unwrap() };
        let dialling = async { one.connect(at, b"test").await.unwrap() };
        let (eve, connection) = tokio::join!(dialling, accepting);
        let bare = |text| BareJid::parse(text).unwrap();
        let (me, them) = (bare("bob@a.example"), bare("eve@a.example"));
        let line = Line::new(Ends { sid: "s1".to_owned(), me, them }, false, Instant::now());
        let (noted, notes) = mpsc::channel(64);
        let (to_send, sending) = mpsc::channel(16);
        let (end, ended) = watch::channel(None);
        let begun = Begun { id: 1, initiator: false, direct: true, to_send: sending, end: ended };
        tokio::spawn(run(begun, connection, line, noted));
        Hostile { notes, to_send, end, eve, _endpoints: [one, other] }
    }

    /// Sends Eve's first bytes, which may be a good header or not.
    async fn says(&self, words: &str) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.eve.open_bi().await.unwrap();
        send.write_all(words.as_bytes()).await.unwrap();
        (send, recv)
    }

    /// Returns the next news of Bob's end, without changes of the path.
    async fn news(&mut self) -> News {
        loop {
            let note = timeout(PATIENCE, self.notes.recv()).await.expect("news in time");
            match note.expect("news") {
                Note::Line { news: News::Takes(_), .. } => {}
                Note::Line { news, .. } => return news,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns the reason of its end, whatever came before.
    async fn ending(&mut self) -> Closing {
        loop {
            if let News::Ended { why, .. } = self.news().await {
                return why;
            }
        }
    }
}

#[tokio::test]
async fn a_good_client_is_heard_and_answered() {
    let mut bob = Hostile::start().await;
    let words = "<message id='1'><body>hi</body><request xmlns='urn:xmpp:receipts'/></message>";
    let (_send, mut recv) = bob.says(&format!("{HEADER}{words}")).await;

    assert!(matches!(bob.news().await, News::Greeted));
    assert!(matches!(bob.news().await, News::Message(text) if text == "hi"));
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("<received") {
        let chunk = timeout(PATIENCE, recv.read_chunk(4096)).await.unwrap().unwrap().unwrap();
        heard.extend_from_slice(&chunk);
    }

    bob.end.send_replace(Some(Closing::ByMe));
    assert_eq!(bob.ending().await, Closing::ByMe);
    assert!(matches!(
        bob.eve.closed().await,
        iroh::endpoint::ConnectionError::ApplicationClosed(_)
    ));
}

#[tokio::test]
async fn garbage_a_strangers_name_and_a_stanza_without_end_are_violations() {
    let huge = format!("{HEADER}<message><body>{}", "x".repeat(1 << 20));
    let other = HEADER.replace("eve@", "alice@");
    for words in ["\0\u{1}\u{2}", "GET / HTTP/1.1\r\n\r\n", &other, &huge] {
        let mut bob = Hostile::start().await;
        let (mut send, _recv) = bob.eve.open_bi().await.unwrap();
        // It may be cut off before all of it is sent.
        let _ = send.write_all(words.as_bytes()).await;

        assert_eq!(bob.ending().await, Closing::Violation, "{:?}", &words[..words.len().min(20)]);
        match bob.eve.closed().await {
            iroh::endpoint::ConnectionError::ApplicationClosed(why) => {
                assert_eq!(why.error_code, VIOLATION);
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn whoever_says_nothing_is_given_up() {
    let mut bob = Hostile::start().await;

    assert_eq!(bob.ending().await, Closing::Lost);
}

#[tokio::test]
async fn a_line_that_does_not_open_can_be_ended_at_once() {
    let mut bob = Hostile::start().await;

    bob.end.send_replace(Some(Closing::Blocked));

    assert_eq!(bob.ending().await, Closing::Blocked);
}

#[tokio::test]
async fn so_is_whoever_says_half_of_a_greeting() {
    let mut bob = Hostile::start().await;
    let _streams = bob.says(&HEADER[..40]).await;

    assert_eq!(bob.ending().await, Closing::Lost);
}

#[tokio::test]
async fn a_flood_is_read_no_faster_than_it_is_shown() {
    let mut bob = Hostile::start().await;
    let (mut send, _recv) = bob.says(HEADER).await;
    let flood = "<message><body>x</body></message>".repeat(1_000);

    // Nobody takes the news, so the flood stops when the buffers are full.
    let mut said = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), send.write(flood.as_bytes())).await {
        said += written.unwrap();
        assert!(said < 4 << 20, "it never stops");
    }

    // The order to end is still seen.
    bob.end.send_replace(Some(Closing::Blocked));
    assert_eq!(bob.ending().await, Closing::Blocked);
}

#[tokio::test]
async fn an_end_that_reads_nothing_takes_no_memory_and_its_messages_are_given_back() {
    let mut bob = Hostile::start().await;
    let (_send, recv) = bob.says(HEADER).await;
    assert!(matches!(bob.news().await, News::Greeted));

    let mut taken = 0;
    loop {
        let (sent, was_sent) = oneshot::channel();
        let text = "ä".repeat(5_000);
        let message = ToSend { id: taken.to_string(), text, sent };
        bob.to_send.send(message).await.unwrap();
        if !was_sent.await.unwrap() {
            break;
        }
        taken += 1;
        assert!(matches!(bob.news().await, News::Sent(_)));
        assert!(taken <= 100, "it takes ever more");
    }
    drop(recv);
    bob.eve.close(VarInt::from_u32(0), b"");

    match bob.news().await {
        News::Ended { why: Closing::ByThem, unconfirmed } => assert_eq!(unconfirmed.len(), taken),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_line_has_one_stream_and_no_datagrams() {
    let bob = Hostile::start().await;
    let _first = bob.says(HEADER).await;

    let second = timeout(Duration::from_millis(300), bob.eve.open_bi()).await;
    assert!(second.is_err(), "a second stream waits for ever");
    let single = timeout(Duration::from_millis(300), bob.eve.open_uni()).await;
    assert!(single.is_err(), "so does one in one direction");
    assert!(bob.eve.max_datagram_size().is_none());
}
