//! A scene: a conversation as text, read into steps. The format is described in
//! `scenes/README.md`.

mod login;
mod read;
mod words;

pub use login::{Goal, Login, PASSWORD, Refused};
pub use read::Fault;
pub(crate) use read::duration;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::tree::Tree;
use crate::world::Kind;
use whoelse_core::Time;

/// One scene file.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Where it stands.
    pub path: PathBuf,
    /// Its first line: which sentence of which text it plays.
    pub title: String,
    /// Settings of the server that differ from the quick start.
    pub settings: Vec<Setting>,
    /// Accounts that exist from the start.
    pub accounts: Vec<String>,
    /// When it begins, on a machine whose clock nobody keeps right.
    pub begins: Option<Time>,
    /// Why it cannot be played over sockets, if it says so itself.
    pub only_in_memory: Option<String>,
    /// Why it cannot be played in memory, if it says so.
    pub only_over_sockets: Option<String>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One setting, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// One step, and the line it begins in.
#[derive(Debug, Clone)]
pub struct Step {
    /// The line.
    pub line: usize,
    /// The line's text, for reports.
    pub text: String,
    /// What happens.
    pub act: Act,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Act {
    /// These log in and become available, and what everybody hears by that is forgotten.
    Here(Vec<Cast>),
    /// The clock moves.
    Pass(Duration),
    /// The clock is set, while no time passes.
    SetClock(ClockSet),
    /// Something happens to the server.
    Server(Server),
    /// Somebody does or hears something.
    Actor(String, Verb),
}

/// Somebody who is there from the start.
#[derive(Debug, Clone)]
pub struct Cast {
    /// The name in the scene: `bob`, or `bob/phone`.
    pub actor: String,
    /// The priority of their presence, if it is said.
    pub priority: Option<i8>,
}

/// What happens to the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockSet {
    /// Somebody sets it ahead by this much.
    Ahead(Duration),
    /// Somebody sets it back.
    Back(Duration),
    /// The system keeps it right from now on.
    Synchronised,
}

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// It shuts down as it should.
    Stops,
    /// One that was stopped starts again over the same store.
    Starts,
    /// It shuts down, and starts again over the same store.
    Restarts,
    /// It is gone from one moment to the next, and starts again over what is on the disk.
    Crashes,
}

/// How a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Encrypted: in memory a pipe that is taken for it, over sockets STARTTLS and TLS.
    Encrypted,
    /// In clear.
    Clear,
    /// TLS from the first byte (XEP-0368); in memory as `Encrypted`.
    Direct,
    /// The same on the port for STARTTLS.
    DirectAtStartTls,
    /// Over the admin socket.
    Admin,
}

/// What an actor does or hears.
#[derive(Debug, Clone)]
pub enum Verb {
    /// Connects, and says nothing yet.
    Connects {
        /// How.
        way: Way,
        /// From which address.
        from: Option<IpAddr>,
        /// What somebody in between adds in clear after the request for TLS.
        injected: String,
    },
    /// Sends a stream header, and forgets what comes back.
    OpensStream,
    /// Logs in, as far as the goal.
    LogsIn(Login, Goal),
    /// Tries to, and is refused.
    CannotLogIn(Login, Refused),
    /// Tries to, and waits.
    BeginsToLogIn(Login),
    /// The login that was begun has succeeded.
    IsIn,
    /// The login that was begun was refused.
    IsRefused(Refused),
    /// Sends this text, so many times.
    Sends(String, usize),
    /// Sends this text, and the connection breaks after it.
    SendsAndBreaks(String),
    /// Sends these bytes as they are.
    SendsBytes(Vec<u8>),
    /// Hears these next.
    Hears {
        /// What.
        expected: Vec<Expected>,
        /// Whether any order will do.
        any_order: bool,
        /// The whole so many times over.
        times: usize,
    },
    /// Has heard nothing more.
    HearsNothing,
    /// Forgets what was heard so far.
    Ignores,
    /// The other end has closed the connection.
    IsDisconnected,
    /// The connection breaks without a word.
    Breaks,
    /// Ends the stream as one should.
    Closes,
    /// Resumes on a new connection; perhaps with a count of its own, and perhaps it matters how
    /// many stanzas the server has handled.
    Resumes {
        /// The count of stanzas to claim.
        h: Option<u32>,
        /// The count the server must name.
        handled: Option<u32>,
    },
    /// Tries to resume, and cannot; a new session is bound.
    CannotResume,
    /// Reads nothing more from the connection.
    StopsReading,
    /// Reads again.
    ReadsAgain,
    /// Answers no request for an acknowledgement any more.
    StopsAcknowledging,
    /// Acknowledges everything heard, and does so again from now on.
    Acknowledges,
    /// Was asked for an acknowledgement since this was last looked at, or not.
    IsAsked(bool),
}

/// What is expected to be heard.
#[derive(Debug, Clone)]
pub enum Expected {
    /// A stream header.
    Header(Tree),
    /// An element.
    Element(Tree),
    /// The end of the stream.
    Close,
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Expected::Header(tree) | Expected::Element(tree) => tree.fmt(f),
            Expected::Close => f.write_str("</stream:stream>"),
        }
    }
}

impl Scene {
    /// Reads a scene file.
    pub fn open(path: &Path) -> Result<Scene, Fault> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Fault { line: 0, text: error.to_string() })?;
        Scene::read(path, &text)
    }

    /// Its name for people: the path below `scenes/`, without the ending.
    pub fn name(&self) -> String {
        name(&self.path)
    }

    /// Why it is not played in this world; `None` if it is.
    pub fn skipped(&self, kind: Kind) -> Option<String> {
        let has = |wanted: fn(&Act) -> bool| self.steps.iter().any(|step| wanted(&step.act));
        match kind {
            Kind::Memory | Kind::MemoryOnPostgres => self.only_over_sockets.clone(),
            Kind::Sockets if self.begins.is_some() => Some("it begins at another time".to_owned()),
            Kind::Sockets if self.only_in_memory.is_some() => self.only_in_memory.clone(),
            Kind::Sockets if has(|act| matches!(act, Act::Pass(_) | Act::SetClock(_))) => {
                Some("it moves the clock".to_owned())
            }
            Kind::Sockets => {
                let crashes = has(|act| matches!(act, Act::Server(Server::Crashes)));
                crashes.then(|| "a server in the same process cannot crash".to_owned())
            }
        }
    }

    /// Whether what the server remembers has to lie in a file that outlives it.
    pub fn needs_file(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.act, Act::Server(Server::Crashes)))
    }
}

/// The name of the scene in a file.
pub fn name(path: &Path) -> String {
    let text = path.with_extension("").display().to_string();
    let below = text.rsplit_once("scenes/").map(|(_, below)| below.to_owned());
    below.unwrap_or(text)
}

/// Every scene file below a folder, sorted.
pub fn find(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(find(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "scene") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
