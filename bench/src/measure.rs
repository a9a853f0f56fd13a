//! All rows of one server.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failed;
use crate::load::client::{Client, Entrance, Language};
use crate::load::{latency, log_in, pairs};
use crate::plan::Plan;
use crate::rows::{Figure, Row, Unit};
use crate::servers::{Running, Server, Setting, Setup, everybody, own};

/// A crowd's newcomers.
const NEWCOMERS: usize = 100;
/// What a query that every server answers asks for.
const ABOUT: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
/// Logins before those by a token are measured: one that is given it, and one that uses it first, which
/// the server has to write down. From then on the token is the device's.
const REHEARSALS: usize = 2;

/// Over WebSockets.
const WEB: Setting =
    Setting { web: true, history: false, everyone: false, two: false, rooms: false };

/// The results for one server.
pub struct Measured {
    /// Which server.
    pub server: Server,
    /// Its rows.
    pub figures: Vec<(Row, Figure)>,
    /// The share of a processor that other programs took, part by part.
    pub others: Vec<f64>,
}

/// One server under measurement.
pub struct Measurement<'a> {
    place: &'a Setup,
    plan: &'a Plan,
    wanted: &'a [Row],
    directory: PathBuf,
    measured: Measured,
}

/// What was measured in a part of a row.
struct Part {
    units: u64,
    cpu: Duration,
    wall: Duration,
}

impl Part {
    fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.units.max(1) as f64
    }

    fn rate(&self) -> f64 {
        self.units as f64 / self.wall.as_secs_f64()
    }
}

impl<'a> Measurement<'a> {
    /// Measures the rows that are wanted, one after the other.
    pub async fn run(
        server: Server,
        place: &'a Setup,
        plan: &'a Plan,
        wanted: &'a [Row],
    ) -> Result<Measured, Failed> {
        let directory = place.directory(&format!("{server:?}").to_lowercase());
        let measured = Measured { server, figures: Vec::new(), others: Vec::new() };
        let mut run = Measurement { place, plan, wanted, directory, measured };
        run.prepare().await?;
        run.idle().await?;
        run.passing().await?;
        run.over_websockets().await?;
        run.kept().await?;
        Ok(run.measured)
    }

    fn speaks_xmpp(&self) -> bool {
        self.measured.server.language() == Language::Xmpp
    }

    fn wants(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.wanted.contains(row))
    }

    fn note(&mut self, row: Row, figure: Option<Figure>) {
        let Some(figure) = figure.filter(|_| self.wanted.contains(&row)) else { return };
        let unit = row.unit();
        println!(
            "  {}: {} ({} to {})",
            row.name(),
            unit.show(figure.value),
            unit.show(figure.low),
            unit.show(figure.high)
        );
        self.measured.figures.push((row, figure));
    }

    // --- the rows ---

    /// Makes the accounts, if the clients must make them.
    async fn prepare(&self) -> Result<(), Failed> {
        if !self.measured.server.wants_registrations() {
            return Ok(());
        }
        let (running, entrance) = self.start(Setting::default()).await?;
        register(&entrance, self.place.accounts).await?;
        running.process.stop().await;
        Ok(())
    }

    /// Measures what needs no history.
    async fn passing(&mut self) -> Result<(), Failed> {
        let latencies = [Row::Median, Row::Slowest];
        let lone = self.wants(&[Row::Lone]) || self.wants(&latencies);
        let many = self.wants(&[Row::Message, Row::Throughput]);
        let managed = self.measured.server == Server::Whoelse && self.wants(&[Row::Managed]);
        if !lone && !many && !managed {
            return Ok(());
        }
        let (running, entrance) = self.start(Setting::default()).await?;
        if many {
            let parts = self.messages(&running, &entrance, 16, false).await?;
            self.note(Row::Message, figure(&parts, Part::micros));
            self.note(Row::Throughput, figure(&parts, Part::rate));
        }
        let mut rate = 0.0;
        if lone {
            let parts = self.messages(&running, &entrance, 1, false).await?;
            self.note(Row::Lone, figure(&parts, Part::micros));
            rate = figure(&parts, Part::rate).map_or(0.0, |figure| figure.value);
        }
        if self.wants(&latencies) {
            let clients = self.clients(&entrance).await?;
            let (warm, watch) = (self.plan.warm, self.plan.watch);
            let mut times = latency::measure(clients, rate / 2.0, warm, watch).await?;
            for (row, percent) in [(Row::Median, 50.0), (Row::Slowest, 99.0)] {
                self.note(row, times.percentile(percent).and_then(|time| Figure::of(&[time])));
            }
        }
        if managed {
            let parts = self.messages(&running, &entrance, 16, true).await?;
            self.note(Row::Managed, figure(&parts, Part::micros));
        }
        running.process.stop().await;
        Ok(())
    }

    /// Measures messages over WebSockets.
    async fn over_websockets(&mut self) -> Result<(), Failed> {
        if self.speaks_xmpp() && self.wants(&[Row::Web]) {
            let (running, entrance) = self.start(WEB).await?;
            let parts = self.messages(&running, &entrance, 16, false).await?;
            self.note(Row::Web, figure(&parts, Part::micros));
            running.process.stop().await;
        }
        Ok(())
    }

    /// Measures messages with a history.
    async fn kept(&mut self) -> Result<(), Failed> {
        let server = self.measured.server;
        let history = Setting { history: true, ..Setting::default() };
        if self.speaks_xmpp() && self.wants(&[Row::History, Row::Kept]) {
            let (running, entrance) = self.start(history).await?;
            let parts = self.messages(&running, &entrance, 16, false).await?;
            self.note(Row::History, figure(&parts, Part::micros));
            self.note(Row::Kept, figure(&parts, Part::rate));
            running.process.stop().await;
        }
        if server == Server::Whoelse && self.wants(&[Row::KeptByTwo]) {
            // A database of its own: a message costs less where few are kept, and one processor began
            // with none.
            self.directory = self.place.directory("whoelse-by-two");
            let (running, entrance) = self.start(Setting { two: true, ..history }).await?;
            let parts = self.messages(&running, &entrance, 16, false).await?;
            self.note(Row::KeptByTwo, figure(&parts, Part::rate));
            running.process.stop().await;
        }
        Ok(())
    }

    /// Measures logins that many see: everybody is online and sees everybody, and some log in once
    /// more.
    pub async fn crowd(place: &Setup, plan: &Plan) -> Result<Option<(Row, Figure)>, Failed> {
        let directory = place.directory("crowd");
        let setting = Setting { everyone: true, ..Setting::default() };
        let running = Server::Whoelse.start(place, &directory, setting).await?;
        let entrance = Entrance::new(running.port, Server::Whoelse.language())?;
        let mut listeners = JoinSet::new();
        let mut come = |clients: Vec<Client>| {
            clients.into_iter().for_each(|client| {
                listeners.spawn(listen(client));
            });
        };
        come(log_in(&entrance, 0..plan.online, 0..1).await?);
        sleep(plan.settle).await;
        let (mut parts, each) = (Vec::new(), NEWCOMERS / plan.slices);
        for slice in 0..plan.slices {
            let newcomers = slice * each..(slice + 1) * each;
            let (begun, cpu) = (Instant::now(), running.process.cpu());
            come(log_in(&entrance, newcomers, 1..2).await?);
            sleep(Duration::from_millis(500)).await;
            let (cpu, wall) = (running.process.cpu() - cpu, begun.elapsed());
            parts.push(Part { units: each as u64, cpu, wall });
        }
        running.process.stop().await;
        Ok(figure(&parts, |part| part.micros() / 1000.0).map(|figure| (Row::Crowd, figure)))
    }

    /// Measures logins and their memory. Memory in a server that has done nothing else: freed memory
    /// would be reused first.
    async fn idle(&mut self) -> Result<(), Failed> {
        let server = self.measured.server;
        // Without TLS there is no handshake, and no TLS session.
        if self.wants(&[Row::Login, Row::Memory]) && server != Server::Relay {
            let (running, entrance) = self.start(Setting::default()).await?;
            self.sessions(&running, &entrance, &[Row::Login, Row::Memory]).await?;
            running.process.stop().await;
        }
        if self.wants(&[Row::Token]) && server == Server::Whoelse {
            let (running, entrance) = self.start(Setting::default()).await?;
            let entrance = entrance.by_tokens();
            for _ in 0..REHEARSALS {
                log_in(&entrance, 0..self.plan.users, 0..self.last_session()).await?;
            }
            self.sessions(&running, &entrance, &[Row::Token]).await?;
            running.process.stop().await;
        }
        if self.wants(&[Row::WebMemory]) && self.speaks_xmpp() {
            let (running, entrance) = self.start(WEB).await?;
            self.sessions(&running, &entrance, &[Row::WebMemory]).await?;
            running.process.stop().await;
        }
        Ok(())
    }

    /// Sessions of a user that log in in each part.
    fn sessions_of_a_part(&self) -> usize {
        self.plan.sessions / self.plan.users / self.plan.slices
    }

    /// The last session of a user, beside the first one, which is not counted.
    fn last_session(&self) -> usize {
        1 + self.sessions_of_a_part() * self.plan.slices
    }

    /// Logs in everybody several times, and notes what of it these rows are: the processor time of one,
    /// and the memory that one holds.
    async fn sessions(
        &mut self,
        running: &Running,
        entrance: &Arc<Entrance>,
        rows: &[Row],
    ) -> Result<(), Failed> {
        let (users, each) = (self.plan.users, self.sessions_of_a_part());
        // One of each first, so that one-time costs are not counted.
        let mut clients = log_in(entrance, 0..users, 0..1).await?;
        sleep(self.plan.settle).await;
        let before = running.process.memory();
        let mut parts = Vec::new();
        for slice in 0..self.plan.slices {
            let sessions = 1 + slice * each..1 + (slice + 1) * each;
            let (begun, cpu) = (Instant::now(), running.process.cpu());
            let others = self.others(running);
            clients.extend(log_in(entrance, 0..users, sessions).await?);
            let (cpu, wall) = (running.process.cpu() - cpu, begun.elapsed());
            self.measured.others.push((self.others(running) - others) / wall.as_secs_f64());
            parts.push(Part { units: (users * each) as u64, cpu, wall });
        }
        sleep(self.plan.settle).await;
        let grown = running.process.memory().saturating_sub(before);
        let held = grown as f64 / (users * each * self.plan.slices) as f64;
        for row in rows {
            let figure = match row.unit() {
                Unit::Memory => Figure::of(&[held]),
                _ => figure(&parts, |part| part.micros() / 1000.0),
            };
            self.note(*row, figure);
        }
        Ok(())
    }

    /// Messages in pairs.
    async fn messages(
        &mut self,
        running: &Running,
        entrance: &Arc<Entrance>,
        window: usize,
        managed: bool,
    ) -> Result<Vec<Part>, Failed> {
        let mut clients = self.clients(entrance).await?;
        if managed {
            for client in &mut clients {
                client.ask("<enable xmlns='urn:xmpp:sm:3'/>", "<enabled").await?;
            }
        }
        let received = Arc::default();
        let mut tasks = pairs::begin(clients, window, managed, &received);
        sleep(self.plan.warm).await;
        let mut parts = Vec::new();
        for _ in 0..self.plan.slices {
            let (begun, cpu) = (Instant::now(), running.process.cpu());
            let others = self.others(running);
            let before = received.load(Ordering::Relaxed);
            sleep(self.plan.slice).await;
            let units = received.load(Ordering::Relaxed) - before;
            let (cpu, wall) = (running.process.cpu() - cpu, begun.elapsed());
            self.measured.others.push((self.others(running) - others) / wall.as_secs_f64());
            parts.push(Part { units, cpu, wall });
            if let Some(ended) = tasks.try_join_next() {
                ended??;
            }
        }
        Ok(parts)
    }

    // --- around them ---

    async fn start(&self, setting: Setting) -> Result<(Running, Arc<Entrance>), Failed> {
        let server = self.measured.server;
        let running = server.start(self.place, &self.directory, setting).await?;
        let entrance = match running.web {
            Some(port) => Entrance::new(port, Language::WebSocket)?,
            None => Entrance::new(running.port, server.language())?,
        };
        Ok((running, entrance))
    }

    /// One session of every user, available.
    async fn clients(&self, entrance: &Arc<Entrance>) -> Result<Vec<Client>, Failed> {
        let mut clients = log_in(entrance, 0..self.plan.users, 0..1).await?;
        if entrance.is_xmpp() {
            for client in &mut clients {
                // Answers come in order: after this one, presence has been handled.
                let namespace = client.framing.after_name();
                client.say(&format!("<presence{namespace}/>")).await?;
                let ask =
                    format!("<iq{namespace} type='get' id='ready' to='localhost'>{ABOUT}</iq>");
                client.ask(&ask, "</iq>").await?;
            }
        }
        Ok(clients)
    }

    /// Returns the processor time of all other programs, in seconds.
    fn others(&self, running: &Running) -> f64 {
        (everybody().saturating_sub(own()).saturating_sub(running.process.cpu())).as_secs_f64()
    }
}

fn figure(parts: &[Part], of: impl Fn(&Part) -> f64) -> Option<Figure> {
    Figure::of(&parts.iter().map(of).collect::<Vec<f64>>())
}

/// Makes the accounts that every server has.
pub async fn register(entrance: &Arc<Entrance>, accounts: usize) -> Result<(), Failed> {
    let gate = Arc::new(tokio::sync::Semaphore::new(4));
    let mut tasks = JoinSet::new();
    for account in 0..accounts {
        let (gate, entrance) = (gate.clone(), entrance.clone());
        tasks.spawn(async move {
            let _permit = gate.acquire_owned().await?;
            Client::register(&entrance, account).await
        });
    }
    while let Some(made) = tasks.join_next().await {
        made??;
    }
    Ok(())
}

/// Goes online and reads whatever comes.
async fn listen(mut client: Client) -> Result<(), Failed> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    client.socket.write_all(b"<presence/>").await?;
    client.socket.flush().await?;
    let mut buffer = vec![0; 4 << 10];
    while client.socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_counted_in_microseconds_for_each_unit() {
        let part =
            Part { units: 1000, cpu: Duration::from_millis(2), wall: Duration::from_secs(1) };

        assert!((part.micros() - 2.0).abs() < 1e-9);
        assert!((part.rate() - 1000.0).abs() < 1e-9);
    }
}
