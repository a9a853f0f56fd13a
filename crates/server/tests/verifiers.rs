//! SCRAM-SHA-512 and accounts that were made before it: nobody is locked out, and nobody is
//! forgotten.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, config, jid, password};
use std::num::NonZeroU32;
use std::path::Path;
use whoelse_server::Server;
use whoelse_store::{Location, Store, StoredVerifier};
use whoelse_stream::client::{Config, Step};
use whoelse_stream::sasl::{Mechanism, Profile};
use whoelse_stream::scram::{Hash, Verifier};

/// A data directory with one account, as the first release left it.
async fn leave_old_account(data: &Path, name: &str) {
    std::fs::create_dir(data).unwrap();
    let store = Store::open(&Location::Sqlite(data.join("whoelse.db"))).await.unwrap();
    let turns = NonZeroU32::new(4096).unwrap();
    let verifiers = [Hash::Sha1, Hash::Sha256].map(|hash| {
        let verifier = Verifier::derive(hash, &password(name), b"0123456789abcdef", turns);
        StoredVerifier {
            mechanism: hash.mechanism().to_owned(),
            salt: verifier.salt,
            iterations: turns.get().into(),
            stored_key: verifier.stored_key,
            server_key: verifier.server_key,
        }
    });
    let mut tx = store.begin().await.unwrap();
    let domain = tx.ensure_domain("localhost").await.unwrap();
    tx.create_account(domain, name, &verifiers, 1).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await.unwrap();
}

async fn connect(server: &Server) -> Client {
    Client::connect(server.addresses()[0], Config::new("localhost")).await
}

/// Whether SCRAM-SHA-512 is offered: in all its forms, or in none.
fn offers(client: &Client) -> bool {
    let features = client.machine.features();
    let forms = [true, false].map(|plus| {
        let mechanism = Mechanism::Scram { hash: Hash::Sha512, plus };
        [Profile::Rfc6120, Profile::Sasl2].map(|profile| features.offers(mechanism, profile))
    });
    let first = forms[0][0];
    assert!(forms.into_iter().flatten().all(|offered| offered == first));
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_offers_sha_512_and_every_login_uses_it() {
    let world = World::start().await;

    let alice = world.login("alice").await;

    let strongest = Mechanism::Scram { hash: Hash::Sha512, plus: true };
    assert_eq!(alice.machine.mechanism(), Some(strongest));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_account_logs_in_as_ever_and_gets_what_it_lacks_when_it_tells_its_password() {
    let folder = tempfile::tempdir().unwrap();
    leave_old_account(&folder.path().join("data"), "old").await;

    // Everybody is offered what everybody has.
    let server = Server::start(config(folder.path())).await.unwrap();
    server.node().create_account(&jid("new"), password("new")).await.unwrap();
    for name in ["old", "new"] {
        let client = connect(&server).await;
        assert!(!offers(&client));
        let client = client.login(name).await;
        let strongest = Mechanism::Scram { hash: Hash::Sha256, plus: true };
        assert_eq!(client.machine.mechanism(), Some(strongest));
    }

    // The password is told, and what was lacking is made of it.
    tell_password_of_old(&server).await;
    let account = server.node().account(&jid("old")).await.unwrap().unwrap();
    while server.node().store.credentials(account.id).await.unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    server.shutdown().await;

    let server = Server::start(config(folder.path())).await.unwrap();
    for name in ["old", "new"] {
        let client = connect(&server).await;
        assert!(offers(&client));
        let client = client.login(name).await;
        assert!(client.machine.proved_channel());
    }
    server.shutdown().await;
}

/// Logs in with PLAIN, which the machine of our client would not.
async fn tell_password_of_old(server: &Server) {
    let mut client = connect(server).await;
    // \0old\0the password of old
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
                AG9sZAB0aGUgcGFzc3dvcmQgb2Ygb2xk</auth>";
    client.send(auth).await;
    // The machine asked for nothing, so it does not like the answer.
    assert!(matches!(client.step().await, Step::GaveUp(_)));
}
