//! Tests with answers as bytes, and with name servers on loopback that misbehave.
#![allow(clippy::unwrap_used)]

use simple_dns::ResourceRecord;
use simple_dns::rdata::{CNAME, SRV};
use tokio::net::TcpListener;

use super::*;

const NAME: &str = "_xmpp-client._tcp.a.example";

fn record<'a>(name: &'a str, target: &'a str, port: u16) -> ResourceRecord<'a> {
    let target = Name::new_unchecked(target);
    let srv = SRV { priority: 1, weight: 5, port, target };
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 60, RData::SRV(srv))
}

fn alias<'a>(name: &'a str, of: &'a str) -> ResourceRecord<'a> {
    let of = CNAME(Name::new(of).unwrap());
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 60, RData::CNAME(of))
}

/// An answer to a question about this name.
fn answer(id: u16, name: &str, records: &[ResourceRecord<'_>]) -> Vec<u8> {
    let mut packet = Packet::new_reply(id);
    let name = Name::new(name).unwrap();
    let (srv, internet) = (QTYPE::TYPE(TYPE::SRV), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(name, srv, internet, false));
    packet.answers.extend(records.iter().cloned());
    packet.build_bytes_vec().unwrap()
}

fn refusal(id: u16, rcode: RCODE) -> Vec<u8> {
    let mut packet = Packet::new_reply(id);
    *packet.rcode_mut() = rcode;
    packet.build_bytes_vec().unwrap()
}

fn cut_off(id: u16) -> Vec<u8> {
    let mut packet = Packet::new_reply(id);
    packet.set_flags(PacketFlag::TRUNCATION);
    let mut bytes = packet.build_bytes_vec().unwrap();
    // Half of something.
    bytes.extend([0, 1, 2]);
    bytes
}

fn target(host: &str, port: u16) -> Target {
    Target { host: host.to_owned(), port, priority: 1, weight: 5 }
}

fn found(records: &[ResourceRecord<'_>]) -> Srv {
    match read(7, NAME, &answer(7, NAME, records)) {
        Reading::Answer(found) => found,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_read_and_one_to_something_else_is_not() {
    let bytes = answer(7, NAME, &[record(NAME, "host.a.example", 5222)]);

    let at = Srv::At(vec![target("host.a.example", 5222)]);
    assert_eq!(read(7, NAME, &bytes), Reading::Answer(at.clone()));
    assert_eq!(read(7, &NAME.to_uppercase(), &bytes), Reading::Answer(at));
    assert_eq!(read(8, NAME, &bytes), Reading::Nonsense);
    assert_eq!(read(7, "_xmpp-client._tcp.b.example", &bytes), Reading::Nonsense);
    assert_eq!(read(7, NAME, &question(7, NAME).unwrap()), Reading::Nonsense);
    for length in 0..bytes.len() {
        assert_eq!(read(7, NAME, &bytes[..length]), Reading::Nonsense, "{length}");
    }
}

#[test]
fn a_name_without_records_has_none_and_a_dot_says_that_the_service_is_not_there() {
    assert_eq!(found(&[]), Srv::None);
    assert_eq!(found(&[record(NAME, "", 0)]), Srv::NotOffered);
    assert_eq!(found(&[record("_xmpp-client._tcp.b.example", "host.b.example", 1)]), Srv::None);
    let both = [record(NAME, "", 0), record(NAME, "host.a.example", 1)];
    assert_eq!(found(&both), Srv::At(vec![target("host.a.example", 1)]));
}

#[test]
fn a_name_leads_through_its_aliases_and_not_in_circles() {
    let other = "_xmpp-client._tcp.b.example";
    let through = [alias(NAME, other), record(other, "host.b.example", 5222)];
    assert_eq!(found(&through), Srv::At(vec![target("host.b.example", 5222)]));

    assert_eq!(found(&[alias(NAME, other), alias(other, NAME)]), Srv::None);
}

#[test]
fn a_host_that_cannot_be_one_is_left_out_and_so_are_too_many() {
    assert_eq!(found(&[record(NAME, "two words.a.example", 1)]), Srv::NotOffered);
    let many: Vec<_> = (0..100).map(|port| record(NAME, "host.a.example", port)).collect();
    let Srv::At(targets) = found(&many) else { panic!() };
    assert_eq!(targets.len(), MAX_TARGETS);
}

#[test]
fn the_first_three_name_servers_are_asked() {
    let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver ::1\n\
                nameserver nonsense\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";

    let ips: Vec<String> = name_servers(text).iter().map(|it| it.ip().to_string()).collect();
    assert_eq!(ips, ["192.0.2.1", "::1", "192.0.2.2"]);
    assert!(name_servers("search example\n").is_empty());
}

// ---- name servers that misbehave ----

/// A name server that sends these answers to each question over UDP.
async fn server(say: impl Fn(u16) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut asked).await {
            for bytes in say(u16::from_be_bytes([asked[0], asked[1]])) {
                socket.send_to(&bytes, from).await.unwrap();
            }
        }
    });
    address
}

fn good(id: u16) -> Vec<u8> {
    answer(id, NAME, &[record(NAME, "host.a.example", 5222)])
}

/// Returns what is found by asking these, each of which answers at some time.
async fn ask_all(servers: Vec<SocketAddr>) -> io::Result<Srv> {
    Resolver::asking(servers).patient_for(WITHIN).srv(NAME).await
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_is_silent() {
    let silent = server(|_| vec![]).await;
    let knows = server(|id| vec![good(id)]).await;

    let found = Resolver::asking(vec![silent, knows]).srv(NAME).await.unwrap();

    assert_eq!(found, Srv::At(vec![target("host.a.example", 5222)]));
    let nobody = Resolver::asking(vec![silent]).patient_for(Duration::from_millis(1));
    assert_eq!(nobody.srv(NAME).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_is_gone_or_does_not_know() {
    let gone = {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.local_addr().unwrap()
    };
    let unable = server(|id| vec![refusal(id, RCODE::ServerFailure)]).await;
    let knows = server(|id| vec![good(id)]).await;

    let found = ask_all(vec![gone, unable, knows]).await.unwrap();

    assert_eq!(found, Srv::At(vec![target("host.a.example", 5222)]));
    let words = ask_all(vec![unable]).await.unwrap_err().to_string();
    assert_eq!(words, "the name server has trouble finding the answer");
    assert!(ask_all(vec![]).await.is_err());
}

#[test]
fn why_a_name_server_does_not_answer_is_said_in_our_words() {
    for rcode in (1..16).filter(|code| *code != 3).map(RCODE::from) {
        let Reading::Refusal(words) = read(7, NAME, &refusal(7, rcode)) else {
            panic!("{rcode:?}")
        };
        assert!(words.starts_with("the name server ") && !words.contains(&format!("{rcode:?}")));
    }
}

#[tokio::test]
async fn a_question_that_got_lost_is_asked_again() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let second = server(move |id| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => vec![],
        _ => vec![good(id)],
    })
    .await;

    assert!(matches!(Resolver::asking(vec![second]).srv(NAME).await, Ok(Srv::At(_))));
}

#[tokio::test]
async fn what_was_not_asked_is_passed_over_until_the_answer_comes() {
    let guesses = server(|id| {
        let other = "_xmpp-client._tcp.b.example";
        let bad = answer(id, other, &[record(other, "evil.example", 1)]);
        let number = answer(id.wrapping_add(1), NAME, &[record(NAME, "evil.example", 1)]);
        vec![b"nonsense".to_vec(), bad, number, good(id)]
    })
    .await;

    let found = ask_all(vec![guesses]).await.unwrap();

    assert_eq!(found, Srv::At(vec![target("host.a.example", 5222)]));
}

#[tokio::test]
async fn an_answer_that_was_cut_off_is_asked_for_over_tcp() {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // Somebody else may have the port of this number.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut asked = [0; 512];
        let (_, from) = udp.recv_from(&mut asked).await.unwrap();
        udp.send_to(&cut_off(u16::from_be_bytes([asked[0], asked[1]])), from).await.unwrap();
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut asked = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut asked).await.unwrap();
        let many: Vec<_> = (0..30).map(|port| record(NAME, "host.a.example", port)).collect();
        let bytes = answer(u16::from_be_bytes([asked[0], asked[1]]), NAME, &many);
        assert!(bytes.len() > 512);
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });

    let Ok(Srv::At(targets)) = ask_all(vec![address]).await else { panic!() };

    assert_eq!(targets.len(), 30);
}
