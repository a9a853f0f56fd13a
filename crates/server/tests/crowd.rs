//! Many people behind one address at once: an office after a restart, a class that registers.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, jid, password};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use whoelse_stream::client::{Config as StreamConfig, Opening, Probe, Step};

async fn comes(address: SocketAddr) -> Client {
    Client::connect(address, StreamConfig::new("localhost")).await
}

async fn logs_in(address: SocketAddr, name: String) -> bool {
    let client = comes(address).await.login(&name).await;
    matches!(client.opening, Some(Opening::Bound { .. }))
}

/// Asks about the name, registers it and logs in, on one connection.
async fn registers(address: SocketAddr, name: String) -> bool {
    let mut client = comes(address).await;
    client.machine.trust_channel();
    client.machine.probe(&name).unwrap();
    assert!(matches!(client.step().await, Step::Probed(Probe::Free)), "{name}");
    client.machine.register(&name, &password(&name)).unwrap();
    assert!(matches!(client.step().await, Step::Registered(Ok(()))), "{name}");
    let client = client.login(&name).await;
    matches!(client.opening, Some(Opening::Bound { .. }))
}

async fn all_in(mut people: JoinSet<bool>, count: usize) {
    let mut inside = 0;
    while let Some(person) = people.join_next().await {
        inside += usize::from(person.unwrap());
    }
    assert_eq!(inside, count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_people_at_one_address_log_in_at_once_and_all_are_in() {
    let world = World::start().await;
    let names: Vec<String> = (0..60).map(|n| format!("user{n}")).collect();
    for name in &names {
        world.server.node().create_account(&jid(name), password(name)).await.unwrap();
    }

    let address = world.address();
    all_in(names.into_iter().map(|name| logs_in(address, name)).collect(), 60).await;

    assert_eq!(world.server.connections().gate().refused(), 0);
    assert_eq!(world.server.node().census().blocked, 0);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_forty_five_registers_at_once_and_all_are_in() {
    let world = World::start().await;

    let address = world.address();
    let class = (0..45).map(|n| registers(address, format!("pupil{n}")));
    all_in(class.collect(), 45).await;

    assert_eq!(world.server.connections().gate().refused(), 0);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_devices_of_one_person_log_in_at_once_and_all_are_in() {
    let world = World::with(|config| {
        config.settings.sessions = whoelse_core::settings::Sessions::Many;
    })
    .await;

    let address = world.address();
    all_in((0..5).map(|_| logs_in(address, "alice".to_owned())).collect(), 5).await;

    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_while_it_waits_leaves_its_place_and_who_stays_is_let_in() {
    let world = World::start().await;
    let gate = world.server.connections().gate();
    let share = world.server.node().settings().limits.half_open_per_network;
    let mut inside = Vec::new();
    for _ in 0..share {
        inside.push(TcpStream::connect(world.address()).await.unwrap());
    }
    let mut waiting = Vec::new();
    for n in 0..10 {
        let mut one = TcpStream::connect(world.address()).await.unwrap();
        if n % 2 == 0 {
            one.write_all(b"<?xml version='1.0'?>").await.unwrap();
        }
        waiting.push(one);
    }
    world.until_waiting(10).await;
    let stays = tokio::spawn(logs_in(world.address(), "alice".to_owned()));
    world.until_waiting(11).await;

    drop(waiting);

    world.until_waiting(1).await;
    drop(inside);
    assert!(stays.await.unwrap());
    assert_eq!(gate.refused(), 0);
    world.server.shutdown().await;
}
