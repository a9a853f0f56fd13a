//! What very many rooms cost a start, and what a long archive costs who reads a page of it.

use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whoelse_store::{Location, RoomAffiliation, RoomConfig, Store};

use super::{Marks, SAID, each, enters, opens, said};
use crate::Failed;
use crate::crowd;
use crate::load::client::{Client, Entrance, Language, name};
use crate::server::Server;

const SETTINGS: &str = "listen = \"127.0.0.1\"\ncontacts = \"roster\"\n\
                        registration = \"closed\"\nhistory = \"off\"\n";
/// The same with an archive for which nobody who fills it has to wait.
const KEEPING: &str = "listen = \"127.0.0.1\"\ncontacts = \"roster\"\nregistration = \"closed\"\n\
                       [limits]\nbytes_per_second = \"4 GiB\"\nroom_archive_bytes = \"8 GiB\"\n";
/// Rooms made in one transaction.
const TOGETHER: usize = 1_000;
/// What is said before any of it has come back.
const IN_FLIGHT: u64 = 250;
const ROOM: &str = "shelf@conference.localhost";
/// How often each page is read.
const READS: u64 = 200;

/// Measures a start without rooms, and one with so many.
pub(super) async fn starts(program: &Path, rooms: usize) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    crowd::fill(&directory, 2).await?;
    // The first start makes what a server needs.
    let server = Server::start_in(program, directory, SETTINGS).await?;
    let directory = server.stop().await?;
    let server = Server::start_measured(program, directory, SETTINGS, "without rooms").await?;
    let directory = server.stop().await?;
    fill(&directory, rooms).await?;
    let what = format!("with {rooms} rooms");
    Server::start_measured(program, directory, SETTINGS, &what).await?.stop().await?;
    Ok(())
}

/// Makes rooms that stay, in the database itself.
async fn fill(directory: &TempDir, rooms: usize) -> Result<(), Failed> {
    let file = directory.path().join("whoelse-data").join("whoelse.db");
    let store = Store::open(&Location::Sqlite(file)).await?;
    for first in (0..rooms).step_by(TOGETHER) {
        let mut tx = store.begin().await?;
        let domain = tx.ensure_domain("localhost").await?;
        for room in first..rooms.min(first + TOGETHER) {
            let made =
                tx.create_room(domain, &format!("room{room:06}"), None, b"", b"a secret").await?;
            let id = made.ok_or("the room exists")?.id;
            let bytes = b"configured=1\npersistent=1\n";
            let config = RoomConfig { persistent: true, listed: false, title: "", bytes };
            tx.configure_room(id, config).await?;
            let who = format!("{}@#{domain}", name(0));
            // An owner, as the feature writes it.
            let owner = RoomAffiliation { who, affiliation: 4, nick: None, since: 1 };
            tx.set_room_affiliation(id, &owner).await?;
        }
        tx.commit().await?;
    }
    Ok(store.close().await?)
}

/// Says so much in a room, and reads pages of a hundred of that.
pub(super) async fn pages(program: &Path, archived: u64) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    crowd::fill(&directory, 1).await?;
    let server = Server::start_in(program, directory, KEEPING).await?;
    let entrance = Entrance::new(server.port, Language::Xmpp)?;
    let mut owner = Client::log_in(&entrance, 0, 0).await?;
    owner.ask(&enters(ROOM, "owner"), "<subject").await?;
    owner.ask(&opens(ROOM), "configured").await?;
    let (begun, cpu) = (Instant::now(), server.cpu()?);
    say(&mut owner, archived / 2).await?;
    let middle = last(&mut owner).await?;
    say(&mut owner, archived - archived / 2).await?;
    let (cpu, _) = each((server.cpu()? - cpu, begun.elapsed()), archived);
    println!("{archived} messages said in a room and archived: {cpu:.1} µs of processor time each");
    for (which, page) in [
        ("first", String::new()),
        ("last", "<before/>".to_owned()),
        ("in the middle", format!("<after>{middle}</after>")),
    ] {
        let query = query(100, &page);
        let (begun, cpu) = (Instant::now(), server.cpu()?);
        let mut bytes = 0;
        for _ in 0..READS {
            bytes = owner.request(&query).await?;
        }
        let (cpu, wall) = each((server.cpu()? - cpu, begun.elapsed()), READS);
        println!(
            "a page of 100 of them, {which}: {cpu:.0} µs of processor time, {wall:.2} ms, {bytes} bytes"
        );
    }
    server.stop().await?;
    Ok(())
}

async fn say(owner: &mut Client, messages: u64) -> Result<(), Failed> {
    let batch = said(ROOM).repeat(IN_FLIGHT as usize);
    let (mut marks, mut heard, mut buffer) = (Marks::of(SAID), 0, vec![0; 64 << 10]);
    for told in 1..=messages.div_ceil(IN_FLIGHT) {
        owner.socket.write_all(batch.as_bytes()).await?;
        owner.socket.flush().await?;
        while heard < told * IN_FLIGHT {
            let read = owner.socket.read(&mut buffer).await?;
            if read == 0 {
                return Err("the server has closed the connection".into());
            }
            heard += marks.count(buffer.get(..read).unwrap_or_default());
        }
    }
    Ok(())
}

/// A question for so many, and where from.
fn query(most: u64, from: &str) -> String {
    format!(
        "<iq type='set' id='q' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'>\
         <set xmlns='http://jabber.org/protocol/rsm'><max>{most}</max>{from}</set></query></iq>"
    )
}

/// The id of what was said last.
async fn last(owner: &mut Client) -> Result<String, Failed> {
    let answer = owner.ask(&query(1, "<before/>"), "</last>").await?;
    Ok(between(&answer, "<last>", "</last>").ok_or("the archive is empty")?.to_owned())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split(before).nth(1)?.split(after).next()
}
