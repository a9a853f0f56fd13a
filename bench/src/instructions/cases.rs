//! The work that is counted: our own crates, in memory, without sockets or TLS.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whoelse_core::settings::Settings;
use whoelse_xmpp::scanner::{Frame, Limits, Scanner};
use whoelse_xmpp::{Stanza, ns};

use crate::load::client;
use crate::load::framing::Framing;
use crate::load::message;
use crate::world::World;
use crate::{Failed, valgrind};

/// Who hears of a presence.
const CROWD: usize = 100;
/// Taken at once by a connection.
const BATCH: u64 = 16;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// The scanner.
    Scan,
    /// The router, to a queue and out of it.
    Route,
    /// Presence to everybody.
    Presence,
    /// The keeper, one message at a time.
    Keep1,
    /// Ten.
    Keep10,
    /// A hundred.
    Keep100,
    /// SCRAM and bind.
    Login,
}

impl Case {
    /// All.
    pub const ALL: [Case; 7] = [
        Case::Scan,
        Case::Route,
        Case::Presence,
        Case::Keep1,
        Case::Keep10,
        Case::Keep100,
        Case::Login,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Case::Scan => "scan",
            Case::Route => "route",
            Case::Presence => "presence",
            Case::Keep1 => "keep1",
            Case::Keep10 => "keep10",
            Case::Keep100 => "keep100",
            Case::Login => "login",
        }
    }

    /// What one unit of it is.
    pub fn what(self) -> &'static str {
        match self {
            Case::Scan => "a message of 350 bytes found and understood",
            Case::Route => "a message through the router into a queue, and written from it",
            Case::Presence => "a presence to one of a hundred, and written for him",
            Case::Keep1 => "a message stored and delivered, one in a transaction",
            Case::Keep10 => "a message stored and delivered, ten in a transaction",
            Case::Keep100 => "a message stored and delivered, a hundred in a transaction",
            Case::Login => "a stream, SCRAM-SHA-1, bind, and its end; both ends, over a pipe",
        }
    }

    /// How often it is counted: some ten million instructions.
    pub fn times(self) -> u64 {
        match self {
            Case::Scan | Case::Route => 4_000,
            Case::Presence | Case::Keep1 => 200,
            Case::Login => 100,
            Case::Keep10 => 50,
            Case::Keep100 => 10,
        }
    }

    /// Units each time.
    pub fn units(self) -> u64 {
        match self {
            Case::Presence => CROWD as u64,
            Case::Keep10 => 10,
            Case::Keep100 => 100,
            Case::Scan | Case::Route | Case::Keep1 | Case::Login => 1,
        }
    }
}

/// Does it a quarter as many times uncounted, and then so many times.
pub fn run(case: Case, times: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let uncounted = times.div_ceil(4);
    let turns = Turns { done: 0, uncounted, all: uncounted + times };
    runtime.block_on(async {
        match case {
            Case::Scan => scan(turns),
            Case::Route => route(turns).await,
            Case::Presence => presence(turns).await,
            Case::Keep1 => keep(turns, 1).await,
            Case::Keep10 => keep(turns, 10).await,
            Case::Keep100 => keep(turns, 100).await,
            Case::Login => login(turns).await,
        }
    })
}

/// Counts turns of work from one; instructions are counted from the end of one turn to the end of
/// another.
struct Turns {
    done: u64,
    uncounted: u64,
    all: u64,
}

impl Iterator for Turns {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.done == self.uncounted || self.done == self.all {
            valgrind::count_boundary();
        }
        if self.done == self.all {
            return None;
        }
        self.done += 1;
        Some(self.done)
    }
}

fn scan(turns: Turns) -> Result<(), Failed> {
    let mut scanner = Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN);
    scanner.push(b"<stream:stream xmlns='jabber:client' version='1.0' to='localhost' xmlns:stream='http://etherx.jabber.org/streams'>");
    scanner.next().map_err(|error| format!("{error:?}"))?;
    let message = message(Framing::Stream, 1, 0);
    for _ in turns {
        scanner.push(&message);
        match scanner.next() {
            Ok(Some(Frame::Element(_))) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

async fn route(turns: Turns) -> Result<(), Failed> {
    let world = World::new(2, settings(false)).await?;
    let [from, to] = [world.online(0).await?, world.online(1).await?];
    let stanza = Stanza::parse(message(Framing::Stream, 1, 0).trim_ascii_end().to_vec());
    let stanza = stanza.map_err(|error| format!("{error:?}"))?;
    let (mut written, times) = (0, turns.all);
    for turn in turns {
        world.handle(&from, stanza.clone()).await?;
        if turn % BATCH == 0 {
            written += world.written(&to)?;
        }
    }
    enough(written, times / BATCH * BATCH * 300)
}

async fn presence(turns: Turns) -> Result<(), Failed> {
    let world = World::new(CROWD, settings(false)).await?;
    let mut all = Vec::new();
    for account in 0..CROWD {
        all.push(world.online(account).await?);
    }
    let first = all.first().cloned().ok_or("nobody is there")?;
    let stanza = Stanza::parse("<presence><show>away</show></presence>");
    let stanza = stanza.map_err(|error| format!("{error:?}"))?;
    let (mut written, times) = (0, turns.all);
    for _ in turns {
        // So that there is always room in the budget for it.
        world.pass(Duration::from_secs(1));
        world.handle(&first, stanza.clone()).await?;
        for one in &all {
            written += world.written(one)?;
        }
    }
    enough(written, times * CROWD as u64 * 40)
}

async fn keep(turns: Turns, together: u64) -> Result<(), Failed> {
    let world = World::new(2, settings(true)).await?;
    let [from, to] = [world.online(0).await?, world.online(1).await?];
    let stanza = Stanza::parse(message(Framing::Stream, 1, 0).trim_ascii_end().to_vec());
    let stanza = stanza.map_err(|error| format!("{error:?}"))?;
    let (mut written, times) = (0, turns.all);
    for _ in turns {
        for _ in 0..together {
            world.handle(&from, stanza.clone()).await?;
        }
        world.node.keeper.caught_up().await;
        written += world.written(&to)?;
    }
    enough(written, times * together * 300)
}

async fn login(turns: Turns) -> Result<(), Failed> {
    let world = World::new(1, settings(false)).await?;
    let mut keys = None;
    for turn in turns {
        // So that there is always room in the budget for it. What is written a second after a login
        // is written for many, so the time does not pass after each.
        if turn % BATCH == 0 {
            world.pass(Duration::from_secs(BATCH));
        }
        let mut near = world.connect();
        keys = Some(client::begin_session(&mut near, 0, 0, keys).await?);
        near.write_all(b"</stream:stream>").await?;
        near.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

/// The settings of a server with or without history.
fn settings(history: bool) -> Settings {
    let mut settings = Settings::default();
    if !history {
        settings.history = None;
    }
    settings
}

/// What was counted must have been done.
fn enough(written: u64, least: u64) -> Result<(), Failed> {
    if written >= least { Ok(()) } else { Err(format!("{written} bytes, not {least}").into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_case_does_what_it_counts() {
        for case in Case::ALL {
            run(case, BATCH).unwrap();
        }
    }
}
