//! Every way in which a start can fail: one clear line, and nothing half-made left behind.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, config, password, start_error};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use whoelse_features::admin::{Maintenance, MaintenanceRequest};
use whoelse_server::Server;
use whoelse_server::config::CredentialsFile;
use whoelse_stream::client::Config as StreamConfig;

#[tokio::test]
async fn a_port_in_use_is_said_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(folder.path());
    config.listen = vec![taken.local_addr().unwrap()];

    let said = start_error(config).await;

    let port = taken.local_addr().unwrap().port();
    assert_eq!(said, format!("port {port} on 127.0.0.1 is in use"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn two_servers_cannot_have_one_data_directory() {
    let world = World::start().await;
    let second = config(world.folder.path());

    let said = start_error(second).await;

    let pid = std::process::id();
    assert!(said.ends_with(&format!("is in use by another server (pid {pid})")), "{said}");
    assert!(world.server.admin_socket().exists());
    world.server.shutdown().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let mut config = config(folder.path());
    config.data = file.join("data");

    let said = start_error(config).await;

    assert!(said.starts_with("cannot write the data directory "), "{said}");
    assert!(said.contains("file/data"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("whoelse.db"), "letters and letters ".repeat(1000)).unwrap();

    let said = start_error(config(folder.path())).await;

    assert!(said.contains("is damaged or not a database"), "{said}");
    assert!(fs::read_to_string(data.join("whoelse.db")).unwrap().starts_with("letters"));
    assert!(!data.join("admin.sock").exists());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("own.pem");
    fs::write(&pem, "no certificate").unwrap();
    let mut config = config(folder.path());
    (config.certificate, config.key) = (Some(pem.clone()), Some(pem));

    let said = start_error(config).await;

    assert!(said.starts_with("there is no certificate in "), "{said}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn credentials_that_were_asked_for_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let path = folder.path().join("people.txt");
    config.credentials = Some(CredentialsFile { path: path.clone(), required: true });

    let said = start_error(config.clone()).await;
    assert!(said.starts_with(&format!("cannot read {}", path.display())), "{said}");
    assert!(!folder.path().join("data").exists());

    config.credentials = Some(CredentialsFile { path, required: false });
    Server::start(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_mistake_about_the_credentials_is_told_before_an_older_database_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    whoelse_store::scratch::old_file(&data.join("whoelse.db"), 1).unwrap();
    let path = folder.path().join("people.txt");
    let copy = data.join("whoelse.schema-1.db");

    for required in [true, false] {
        config.credentials = Some(CredentialsFile { path: path.clone(), required });
        fs::create_dir(&path).unwrap();
        let said = start_error(config.clone()).await;
        assert!(said.contains("it is a directory"), "{said}");
        fs::remove_dir(&path).unwrap();
        fs::File::create(&path).unwrap().set_len((16 << 20) + 1).unwrap();
        let said = start_error(config.clone()).await;
        assert!(said.contains("it is larger than 16 MiB"), "{said}");
        fs::remove_file(&path).unwrap();
        assert!(!copy.exists());
    }
    config.domain = None;
    Server::start(config).await.unwrap().shutdown().await;
    assert!(copy.exists());
}

#[tokio::test]
async fn a_server_knows_from_its_first_moment_how_the_restore_before_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let before = Some(Ok("7 rows".to_owned()));

    let server = Server::start_after(config(folder.path()), before, &|_| {}).await.unwrap();

    let maintenance = server.node().slots.get::<Maintenance>().unwrap();
    assert_eq!((maintenance.0)(MaintenanceRequest::Progress).await, Ok("done: 7 rows".to_owned()));
    server.shutdown().await;
}

#[tokio::test]
async fn settings_that_open_the_door_to_strangers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = vec!["0.0.0.0:0".parse().unwrap()];

    let said = start_error(config).await;

    assert!(said.contains("contacts = \"everyone\""), "{said}");
    assert!(said.contains("registration = \"open\""), "{said}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn another_domain_than_the_stored_one_is_refused_with_advice() {
    let world = World::start().await;
    let mut config = config(world.folder.path());
    config.domain = Some("chat.example".to_owned());
    let World { server, folder } = world;
    server.shutdown().await;

    let said = start_error(config).await;

    assert!(said.contains("whoelse domain rename localhost chat.example"), "{said}");
    assert!(folder.path().join("data/whoelse.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_imported_once_and_bad_lines_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.txt");
    let people: String = (0..200).map(|n| format!("user{n} password {n}\n")).collect();
    fs::write(&path, format!("{people}nonsense\ncarol the password of carol\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut config = config(folder.path());
    config.credentials = Some(CredentialsFile { path: path.clone(), required: true });

    let server = Server::start(config.clone()).await.unwrap();
    let notes = server.notes().join("\n");
    assert!(notes.contains(&format!("made 201 accounts from {}", path.display())), "{notes}");
    assert!(notes.contains("can be read by others"), "{notes}");
    assert!(notes.contains("line 201 skipped"), "{notes}");
    assert!(!notes.contains("nonsense"), "{notes}");
    let client = Client::connect(server.addresses()[0], StreamConfig::new("localhost")).await;
    client.login_as("carol", password("carol")).await;
    server.shutdown().await;

    let server = Server::start(config).await.unwrap();
    assert!(!server.notes().join("\n").contains("made "), "{:?}", server.notes());
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_stopped_starts_again_as_it_was() {
    let world = World::start().await;
    let fingerprint = world.server.fingerprint();
    let World { server, folder } = world;
    server.shutdown().await;
    assert!(!folder.path().join("data/admin.sock").exists());

    let server = Server::start(config(folder.path())).await.unwrap();

    assert_eq!(server.fingerprint(), fingerprint);
    assert!(server.notes().is_empty(), "{:?}", server.notes());
    let client = Client::connect(server.addresses()[0], StreamConfig::new("localhost")).await;
    client.login("alice").await;
    server.shutdown().await;
}
