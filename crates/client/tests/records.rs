//! RFC 6120, 3.2, and XEP-0368: a client that finds the server of a domain by its records, with a
//! name server on loopback that says what the test wants.

#![allow(clippy::unwrap_used, missing_docs)]

mod world;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use simple_dns::rdata::{RData, SRV};
use simple_dns::{CLASS, Name, Packet, ResourceRecord};
use tokio::net::{TcpListener, UdpSocket};
use whoelse_client::{Client, Config, ConnectError, Password};
use whoelse_stream::Transport;
use world::World;

const DOMAIN: &str = "a.example";
const ASKING: &str = "_xmpp-client._tcp.a.example";
const DIRECT: &str = "_xmpps-client._tcp.a.example";

/// A record: priority, port, target.
type Record = (u16, u16, &'static str);

/// A name server.
struct Names {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    async fn of(records: &[(&'static str, Vec<Record>)]) -> Names {
        let records: HashMap<_, _> = records.iter().cloned().collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noting = asked.clone();
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                let question = Packet::parse(&bytes[..length]).unwrap();
                let mut answer = Packet::new_reply(question.id());
                let asked = question.questions[0].clone();
                let name = asked.qname.to_string();
                answer.questions.push(asked);
                for (priority, port, target) in records.get(name.as_str()).into_iter().flatten() {
                    let target = Name::new_unchecked(target);
                    let srv = SRV { priority: *priority, weight: 0, port: *port, target };
                    let owner = Name::new(&name).unwrap();
                    let record = ResourceRecord::new(owner, CLASS::IN, 60, RData::SRV(srv));
                    answer.answers.push(record);
                }
                let answer = answer.build_bytes_vec().unwrap();
                noting.lock().push(name);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Names { address, asked }
    }

    /// A client of the domain that asks this name server, and has nothing else to go by.
    fn config(&self) -> Config {
        let nowhere = Config::new(DOMAIN, 1);
        Config {
            host: "127.0.0.1".to_owned(),
            records: true,
            name_servers: Some(vec![self.address]),
            ..nowhere
        }
    }
}

/// A port of this computer on which nobody listens.
async fn dead() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

async fn log_in(config: Config) -> String {
    let (client, _events) = Client::start(config);
    client.login("alice", Password::new("secret").unwrap()).await.unwrap().to_bare().to_string()
}

async fn refusal(config: Config) -> ConnectError {
    let (client, _events) = Client::start(config);
    client.connect().await.unwrap_err()
}

#[tokio::test]
async fn records_lead_to_the_server_past_places_where_nobody_is() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    world.account("alice", "secret");
    let places = vec![(1, dead().await, "localhost"), (2, world.address.port(), "localhost")];
    let names = Names::of(&[(ASKING, places)]).await;

    let me = log_in(Config { authorities: Some(world.authorities()), ..names.config() }).await;

    assert_eq!(me, "alice@a.example");
    let mut asked = names.asked.lock().clone();
    asked.sort();
    assert_eq!(asked, [ASKING, DIRECT]);
}

#[tokio::test]
async fn records_say_where_encryption_begins_at_once() {
    let world = World::of(DOMAIN, Transport::Tls).await;
    world.account("alice", "secret");
    let asking = vec![(2, dead().await, "localhost")];
    let direct = vec![(1, world.address.port(), "localhost")];
    let names = Names::of(&[(ASKING, asking), (DIRECT, direct)]).await;

    let me = log_in(Config { authorities: Some(world.authorities()), ..names.config() }).await;

    assert_eq!(me, "alice@a.example");
}

#[tokio::test]
async fn a_certificate_is_for_the_domain_and_not_for_where_the_records_lead() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    world.certificate_for("localhost");
    let names = Names::of(&[(ASKING, vec![(1, world.address.port(), "localhost")])]).await;

    let config = Config { authorities: Some(world.authorities()), ..names.config() };
    let refused = refusal(config.clone()).await;

    let ConnectError::Unknown { fingerprint, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(fingerprint, world.fingerprint());
    world.account("alice", "secret");
    assert_eq!(log_in(Config { accepted: Some(fingerprint), ..config }).await, "alice@a.example");
}

#[tokio::test]
async fn a_record_that_leads_to_this_computer_makes_nobody_known() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    let names = Names::of(&[(ASKING, vec![(1, world.address.port(), "localhost")])]).await;

    let refused = refusal(names.config()).await;

    assert!(matches!(refused, ConnectError::Unknown { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_before_places_where_nobody_is() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    let port = world.address.port();
    let last = dead().await;
    for places in [
        vec![(1, last, "localhost"), (2, port, "localhost")],
        vec![(1, port, "localhost"), (2, last, "localhost")],
    ] {
        let names = Names::of(&[(ASKING, places)]).await;

        let refused = refusal(names.config()).await;

        assert!(matches!(refused, ConnectError::Unknown { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn where_nobody_is_at_any_place_the_first_is_named_and_no_other_way_is_tried() {
    // The address of the domain itself would do, but its records say something else.
    let world = World::of(DOMAIN, Transport::StartTls).await;
    let (first, second) = (dead().await, dead().await);
    let names =
        Names::of(&[(ASKING, vec![(1, first, "localhost"), (2, second, "localhost")])]).await;

    let refused = refusal(Config { port: world.address.port(), ..names.config() }).await;

    assert_eq!(refused, ConnectError::Refused { address: format!("localhost:{first}") });
}

#[tokio::test]
async fn a_domain_that_says_that_it_has_no_server_is_believed() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    let names = Names::of(&[(ASKING, vec![(0, 0, "")])]).await;

    let refused = refusal(Config { port: world.address.port(), ..names.config() }).await;

    assert_eq!(refused, ConnectError::NotOffered { domain: DOMAIN.to_owned() });
}

#[tokio::test]
async fn without_records_or_a_name_server_the_domain_itself_is_tried() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    world.account("alice", "secret");
    let none = Names::of(&[]).await;
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();

    for name_server in [none.address, gone] {
        let config = Config {
            port: world.address.port(),
            authorities: Some(world.authorities()),
            name_servers: Some(vec![name_server]),
            ..none.config()
        };

        assert_eq!(log_in(config).await, "alice@a.example");
    }
}

#[tokio::test]
async fn who_was_told_where_the_server_is_asks_nobody() {
    let world = World::of(DOMAIN, Transport::StartTls).await;
    let names = Names::of(&[]).await;
    let config = Config { port: world.address.port(), records: false, ..names.config() };

    let (client, _events) = Client::start(config);

    client.connect().await.unwrap();
    assert!(names.asked.lock().is_empty());
}
