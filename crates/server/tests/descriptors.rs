//! No descriptor left: accepting pauses, nothing dies, and goes on when there are some again.
//!
//! Alone in its process, because the limit is the process's.
#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::TcpStream;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_descriptors_goes_on_when_there_are_some_again() {
    let world = World::start().await;
    drop(world.login("bob").await);
    let limit = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(open + 6), ..limit }).unwrap();

    let mut strangers = Vec::new();
    while let Ok(stranger) = TcpStream::connect(world.address()) {
        strangers.push(stranger);
    }
    // Long enough that accepting has failed and paused more than once.
    tokio::time::sleep(Duration::from_millis(350)).await;
    drop(strangers);

    world.login("alice").await;
    setrlimit(Resource::Nofile, limit).unwrap();
    world.server.shutdown().await;
}
