//! Rooms (XEP-0045): what one with many occupants costs for each who hears, comes or goes, beside other
//! servers in the same run, and what very many rooms and a long archive cost (docs/performance.md).

mod many;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::Failed;
use crate::compare;
use crate::load::client::{Client, Entrance};
use crate::load::log_in;
use crate::measure::register;
use crate::servers::{self, Running, Server, Setting, Setup};

/// How much there is of it.
#[derive(Args)]
pub struct Options {
    /// The program to measure.
    #[arg(long, default_value = "target/dist/whoelse")]
    program: PathBuf,
    /// How many rooms a start has beside it; 0: no start is measured.
    #[arg(long, default_value_t = 100_000)]
    rooms: usize,
    /// How long the archive is of which pages are read; 0: none is.
    #[arg(long, default_value_t = 1_000_000)]
    archived: u64,
    /// With how many occupants.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000])]
    occupants: Vec<usize>,
    /// How often something is said.
    #[arg(long, default_value_t = 320)]
    messages: u64,
    /// How many of these are under way at once: what one hears together is written together.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    in_flight: Vec<u64>,
    /// How often somebody comes and goes.
    #[arg(long, default_value_t = 20)]
    visits: u64,
    /// Only these servers; the others are installed if they are missing.
    #[arg(long, value_enum, value_delimiter = ',',
          default_values_t = [Server::Prosody, Server::Ejabberd, Server::Whoelse])]
    only: Vec<Server>,
}

/// What stands once in each thing that is said.
const SAID: &str = "as was said by the first of all";
/// The nickname of whoever comes and goes, which stands once in each presence of theirs.
const VISITOR: &str = "conference.localhost/thevisitor";
/// Within this time everybody has heard, also of a thousand who have come to a server that is slow.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures, and prints a line for each.
pub fn run(options: &Options) -> Result<(), Failed> {
    servers::install(&options.only)?;
    // Before there are other threads.
    compare::stay_off_the_servers_processor()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if options.rooms > 0 {
            many::starts(&options.program, options.rooms).await?;
        }
        if options.archived > 0 {
            many::pages(&options.program, options.archived).await?;
        }
        for server in &options.only {
            for history in [false, true] {
                crowded(*server, history, options).await?;
            }
        }
        Ok(())
    })
}

/// What has been heard in a room, by all who are in it.
#[derive(Default)]
struct Heard {
    said: AtomicU64,
    visits: AtomicU64,
}

async fn crowded(server: Server, history: bool, options: &Options) -> Result<(), Failed> {
    let most = options.occupants.iter().copied().max().unwrap_or(0);
    // Beside the occupants, who comes and goes.
    let place = Setup::new(options.program.clone(), most + 1)?;
    let setting = Setting { rooms: true, history, ..Setting::default() };
    let running = server.start(&place, &place.directory("rooms"), setting).await?;
    let entrance = Entrance::new(running.port, server.language())?;
    if server.wants_registrations() {
        register(&entrance, place.accounts).await?;
    }
    let history = if history { "history on" } else { "history off" };
    for (session, occupants) in options.occupants.iter().enumerate() {
        let one = Room { session, occupants: *occupants, options };
        let figures = one.measure(&running, &entrance).await?;
        println!("{}, {history}, {occupants} occupants: {figures}", server.name());
    }
    running.process.stop().await;
    Ok(())
}

/// A room that is measured.
struct Room<'a> {
    /// The number of the sessions that are in it, and its own.
    session: usize,
    occupants: usize,
    options: &'a Options,
}

impl Room<'_> {
    fn enters(&self, nick: &str) -> String {
        enters(&format!("room{}@conference.localhost", self.session), nick)
    }

    async fn measure(&self, running: &Running, entrance: &Arc<Entrance>) -> Result<String, Failed> {
        let room = format!("room{}@conference.localhost", self.session);
        let sessions = self.session..self.session + 1;
        let mut all = log_in(entrance, 0..self.occupants, sessions).await?;
        let mut first = all.remove(0);
        first.ask(&self.enters("first"), "<subject").await?;
        first.ask(&opens(&room), "configured").await?;
        let (cpu, begun) = (running.process.cpu(), Instant::now());
        let heard = Arc::new(Heard::default());
        let mut listeners = JoinSet::new();
        for mut client in all {
            let nick = format!("n{}", client.account);
            // Each is in before the next one comes, so all servers do the same.
            client.ask(&self.enters(&nick), "<subject").await?;
            listeners.spawn(listen(client, heard.clone()));
        }
        let filled = (running.process.cpu() - cpu, begun.elapsed());
        let (mut reads, mut writes) = tokio::io::split(first.socket);
        let own = heard.clone();
        listeners.spawn(async move { count(&mut reads, &own).await });
        let memory = running.process.memory();

        // The first word comes behind whatever a server still has to tell about who has come.
        writes.write_all(said(&room).as_bytes()).await?;
        writes.flush().await?;
        let mut before = self.occupants as u64;
        reaches(&heard.said, before).await?;

        let mut told = String::new();
        for in_flight in &self.options.in_flight {
            let said = said(&room).repeat(*in_flight as usize);
            let rounds = self.options.messages.div_ceil(*in_flight);
            let (cpu, begun) = (running.process.cpu(), Instant::now());
            for _ in 0..rounds {
                writes.write_all(said.as_bytes()).await?;
                writes.flush().await?;
                before += in_flight * self.occupants as u64;
                reaches(&heard.said, before).await?;
            }
            let took = (running.process.cpu() - cpu, begun.elapsed());
            let (delivery, _) = each(took, rounds * in_flight * self.occupants as u64);
            let (_, until) = each(took, rounds);
            told += &format!(
                "{delivery:.2} µs of processor time a delivery with {in_flight} in flight, \
                 {until:.1} ms until all have them; "
            );
        }

        let mut visitor = Client::log_in(entrance, self.visitor(), self.session).await?;
        let leaves = format!("<presence type='unavailable' to='room{}@{VISITOR}'/>", self.session);
        let (cpu, begun) = (running.process.cpu(), Instant::now());
        for visit in 0..self.options.visits {
            visitor.ask(&self.enters("thevisitor"), "<subject").await?;
            reaches(&heard.visits, (2 * visit + 1) * self.occupants as u64).await?;
            visitor.ask(&leaves, "unavailable").await?;
            reaches(&heard.visits, (2 * visit + 2) * self.occupants as u64).await?;
        }
        let visited = (running.process.cpu() - cpu, begun.elapsed());
        listeners.abort_all();

        let (visit, came) = each(visited, self.options.visits);
        Ok(format!(
            "{told}{visit:.0} µs to come and go, {came:.1} ms until all know; {:.0} ms of processor \
             time to fill it, {} KiB of memory",
            filled.0.as_secs_f64() * 1e3,
            memory
        ))
    }

    /// The account of whoever comes and goes: nobody who is in any room.
    fn visitor(&self) -> usize {
        self.options.occupants.iter().copied().max().unwrap_or(0)
    }
}

/// The presence of whoever enters a room, and wants to hear nothing of what was said.
fn enters(room: &str, nick: &str) -> String {
    format!(
        "<presence to='{room}/{nick}'>\
         <x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
    )
}

/// What opens a new room as it is.
fn opens(room: &str) -> String {
    format!(
        "<iq type='set' id='configured' to='{room}'>\
         <query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    )
}

/// Something that is said in a room.
fn said(room: &str) -> String {
    format!("<message type='groupchat' to='{room}' id='m'><body>{SAID}</body></message>")
}

/// Microseconds of processor time, and milliseconds on the wall, of each of so many.
fn each((cpu, wall): (Duration, Duration), of: u64) -> (f64, f64) {
    let of = of.max(1) as f64;
    (cpu.as_secs_f64() * 1e6 / of, wall.as_secs_f64() * 1e3 / of)
}

/// Waits until so much has been heard.
async fn reaches(heard: &AtomicU64, wanted: u64) -> Result<(), Failed> {
    let until = Instant::now() + PATIENCE;
    while heard.load(Ordering::Relaxed) < wanted {
        if Instant::now() > until {
            let heard = heard.load(Ordering::Relaxed);
            return Err(format!("{heard} of {wanted} were heard").into());
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn listen(mut client: Client, heard: Arc<Heard>) -> Result<(), Failed> {
    count(&mut client.socket, &heard).await
}

/// Counts what comes, and never speaks.
async fn count(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    heard: &Heard,
) -> Result<(), Failed> {
    let mut buffer = vec![0; 16 << 10];
    let (mut said, mut visits) = (Marks::of(SAID), Marks::of(VISITOR));
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Err("the server has closed the connection".into());
        }
        let came = buffer.get(..read).unwrap_or_default();
        heard.said.fetch_add(said.count(came), Ordering::Relaxed);
        heard.visits.fetch_add(visits.count(came), Ordering::Relaxed);
    }
}

/// A text that is counted in what comes in parts.
struct Marks {
    mark: &'static [u8],
    rest: Vec<u8>,
}

impl Marks {
    fn of(mark: &'static str) -> Marks {
        Marks { mark: mark.as_bytes(), rest: Vec::new() }
    }

    /// How often it ends in this part.
    fn count(&mut self, part: &[u8]) -> u64 {
        self.rest.extend_from_slice(part);
        let count = memmem::find_iter(&self.rest, self.mark).count();
        // One that was counted is never counted again: this is shorter than it.
        let kept = self.rest.len().min(self.mark.len() - 1);
        self.rest.drain(..self.rest.len() - kept);
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_parts_is_counted_once() {
        let text = format!("{SAID}a{SAID}{SAID}b");
        for size in 1..text.len() {
            let mut marks = Marks::of(SAID);
            let count: u64 = text.as_bytes().chunks(size).map(|part| marks.count(part)).sum();
            assert_eq!(count, 3, "in parts of {size}");
        }
        assert_eq!(Marks::of(SAID).count(b"something else"), 0);
    }
}
