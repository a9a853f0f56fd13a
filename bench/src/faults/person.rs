//! A person during faults: one visit after the other, of different kinds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use whoelse_fuzz::random::Random;
use whoelse_stream::client::Resumption;

use super::World;
use super::visit::Visit;
use crate::Failed;

/// How a person behaves during one visit.
#[derive(Clone, Copy)]
enum Kind {
    /// Reads, answers, writes now and then.
    Ordinary,
    /// Reads a few bytes at a time.
    Slow,
    /// Keeps the connection open and reads nothing, while others send.
    Silent,
    /// Vanishes: neither reads nor writes until long after the server has noticed.
    Gone,
}

/// Runs until the end. A failed visit is expected under faults; but if nobody gets in for long,
/// the run fails.
pub async fn live(world: Arc<World>, me: usize, seed: u64) -> Result<(), Failed> {
    let mut random = Random::new(seed.wrapping_mul(1_000_003) ^ me as u64);
    // Not all in the same moment.
    sleep(Duration::from_millis(20 * me as u64)).await;
    let mut storms = world.storms.subscribe();
    let (mut resume, mut new, mut in_vain) = (None, true, 0);
    loop {
        let place = [127, 0, 1 + (me / 200) as u8, 1 + (me % 200) as u8];
        match Visit::begin(world.port, place, me, new, resume.take()).await {
            Ok(visit) => {
                (new, in_vain) = (false, 0);
                world.visits.fetch_add(1, Ordering::Relaxed);
                world.resumed.fetch_add(u64::from(visit.resumed), Ordering::Relaxed);
                world.online.fetch_add(1, Ordering::Relaxed);
                let caught = tokio::select! {
                    left = stay(&world, visit, &mut random) => {
                        resume = left;
                        false
                    }
                    // Everything is dropped; some come back with a new session.
                    _ = storms.changed() => true,
                };
                world.online.fetch_sub(1, Ordering::Relaxed);
                let away = if caught { 2_000 } else { 10_000 };
                sleep(Duration::from_millis(random.number() % away)).await;
            }
            Err(error) => {
                in_vain += 1;
                if in_vain > 5 {
                    return Err(format!("user{me} does not get in: {error}").into());
                }
                // As every good client: later and later, and not all at the same time.
                let most = 1_000 << in_vain.min(5);
                sleep(Duration::from_millis(random.number() % most)).await;
            }
        }
    }
}

/// Makes one visit. Returns what is needed to resume its session, if it is to be resumed.
async fn stay(world: &World, mut visit: Visit, random: &mut Random) -> Option<Resumption> {
    let kind = match random.below(20) {
        0 => Kind::Slow,
        1 => Kind::Silent,
        2 => Kind::Gone,
        _ => Kind::Ordinary,
    };
    if !visit.resumed && visit.say("<presence/>").await.is_err() {
        return None;
    }
    let ended = match kind {
        Kind::Ordinary => ordinary(world, &mut visit, random).await,
        Kind::Slow => slow(world, &mut visit).await,
        Kind::Silent | Kind::Gone => {
            let long = if matches!(kind, Kind::Gone) { 45 } else { 20 };
            sleep(Duration::from_secs(long)).await;
            Ok(())
        }
    };
    if ended.is_err() || matches!(kind, Kind::Gone) {
        return None;
    }
    match random.below(10) {
        0..4 => {
            visit.leave().await;
            None
        }
        // The socket is dropped: a tunnel.
        4..8 => visit.resumption(),
        // The same, but nobody resumes this session.
        _ => None,
    }
}

/// Up to a minute and a half of reading and writing.
async fn ordinary(world: &World, visit: &mut Visit, random: &mut Random) -> Result<(), Failed> {
    let end = Instant::now() + Duration::from_secs(5 + random.number() % 85);
    let mut buffer = vec![0; 16 << 10];
    let mut next = Instant::now();
    while Instant::now() < end {
        tokio::select! {
            read = visit.read(&mut buffer) => {
                let heard = visit.hear(buffer.get(..read?).unwrap_or_default()).await?;
                world.messages.fetch_add(heard, Ordering::Relaxed);
            }
            () = sleep_until(next.min(end)) => {
                next = Instant::now() + Duration::from_millis(random.number() % 1_500);
                visit.say(&message(world, random)).await?;
            }
        }
    }
    Ok(())
}

/// Half a minute of reading 64 bytes a second.
async fn slow(world: &World, visit: &mut Visit) -> Result<(), Failed> {
    let mut buffer = [0; 64];
    for _ in 0..30 {
        let read = visit.read(&mut buffer).await?;
        let heard = visit.hear(buffer.get(..read).unwrap_or_default()).await?;
        world.messages.fetch_add(heard, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Something to somebody: mostly a sentence, sometimes much, sometimes what passes.
fn message(world: &World, random: &mut Random) -> String {
    let (to, id) = (random.below(world.people), random.number());
    match random.below(20) {
        0 => format!(
            "<message to='user{to}@localhost' type='chat'>\
             <composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ),
        1 => "<presence><show>away</show></presence>".to_owned(),
        2 => format!("<iq type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"),
        kind => {
            let length = if kind == 3 { 20_000 } else { 40 + random.below(200) };
            format!(
                "<message to='user{to}@localhost' type='chat' id='{id:x}'><body>{}</body>\
                 <origin-id xmlns='urn:xmpp:sid:0' id='{id:x}'/></message>",
                "x".repeat(length)
            )
        }
    }
}
