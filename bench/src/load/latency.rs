//! How long a message takes when a server is half busy: messages leave at set times, whether or
//! not earlier ones have arrived.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::task::JoinSet;

use super::client::Client;
use super::framing::Framing;
use super::message;
use super::socket::Socket;
use crate::Failed;

/// Stands before the time of leaving, in microseconds.
const STAMP: &[u8] = b"t-";
/// And how many digits that has.
const DIGITS: usize = 20;
/// The timer's own grain. Who wakes later than this was held up, and that counts.
const GRAIN: Duration = Duration::from_millis(2);

/// The times that messages took, in microseconds.
#[derive(Debug, Default)]
pub struct Times(Vec<u32>);

impl Times {
    /// Notes one more.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_micros().min(u32::MAX.into()) as u32);
    }

    /// The time that so many of a hundred messages took at most, in milliseconds.
    pub fn percentile(&mut self, percent: f64) -> Option<f64> {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1)?;
        let at = (last as f64 * percent / 100.0).round() as usize;
        self.0.get(at).map(|time| f64::from(*time) / 1000.0)
    }
}

/// Sends `rate` messages a second from all clients together, for so long; the first `warm` of it
/// is not counted.
pub async fn measure(
    clients: Vec<Client>,
    rate: f64,
    warm: Duration,
    length: Duration,
) -> Result<Times, Failed> {
    let clock = Instant::now();
    let times = Rc::new(RefCell::new(Times::default()));
    let from = warm.as_micros() as u64;
    let end = clock + warm + length;
    let pause = Duration::from_secs_f64(clients.len() as f64 / rate.max(1.0));
    let count = clients.len() as u32;
    let tasks = tokio::task::LocalSet::new();
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for (number, client) in clients.into_iter().enumerate() {
        let (read, write) = tokio::io::split(client.socket);
        let first = clock + pause * number as u32 / count;
        let to = (client.framing, client.account ^ 1);
        writers.spawn_local_on(writer(write, to, clock, first, pause, end), &tasks);
        readers.spawn_local_on(reader(read, clock, from, times.clone()), &tasks);
    }
    tasks
        .run_until(async {
            while let Some(done) = writers.join_next().await {
                done??;
            }
            // The last ones are on their way.
            tokio::time::sleep(Duration::from_millis(200)).await;
            match readers.try_join_next() {
                Some(failed) => failed?.map(|_| ()),
                None => Ok(()),
            }
        })
        .await?;
    drop((readers, tasks));
    Ok(times.take())
}

async fn writer(
    mut socket: WriteHalf<Socket>,
    (framing, to): (Framing, usize),
    clock: Instant,
    first: Instant,
    pause: Duration,
    end: Instant,
) -> Result<(), Failed> {
    let (mut due, mut out) = (first, Vec::new());
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        out.clear();
        while due <= now && due < end {
            let left = if now - due < GRAIN { now } else { due };
            out.extend_from_slice(&message(framing, to, (left - clock).as_micros() as u64));
            due += pause;
        }
        socket.write_all(&out).await?;
        socket.flush().await?;
    }
    Ok(())
}

async fn reader(
    mut socket: ReadHalf<Socket>,
    clock: Instant,
    from: u64,
    times: Rc<RefCell<Times>>,
) -> Result<std::convert::Infallible, Failed> {
    let finder = memmem::Finder::new(STAMP);
    let (mut buffer, mut kept) = (vec![0; 64 << 10], 0);
    loop {
        let read = socket.read(buffer.get_mut(kept..).unwrap_or_default()).await?;
        if read == 0 {
            return Err("the server has closed the connection".into());
        }
        let now = clock.elapsed().as_micros() as u64;
        let seen = buffer.get(..kept + read).unwrap_or_default();
        kept = seen.len().min(STAMP.len() + DIGITS - 1);
        for at in finder.find_iter(seen) {
            let Some(digits) = seen.get(at + STAMP.len()..at + STAMP.len() + DIGITS) else { break };
            kept = kept.min(seen.len() - at - STAMP.len() - DIGITS);
            let stamp = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            let Some(left) = stamp else { continue };
            if left >= from {
                times.borrow_mut().0.push(now.saturating_sub(left).min(u32::MAX.into()) as u32);
            }
        }
        let rest = seen.len() - kept;
        buffer.copy_within(rest..rest + kept, 0);
    }
}
