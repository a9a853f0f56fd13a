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
    /// Its first line: the sentence of a specification that it plays.
    pub title: String,
    /// Settings of the server that differ from the quick start.
    pub settings: Vec<Setting>,
    /// Accounts that exist from the start.
    pub accounts: Vec<String>,
    /// When it begins; then its clock is not synchronised.
    pub begins: Option<Time>,
    /// Why it cannot be played over sockets, if it says so itself.
    pub only_in_memory: Option<String>,
    /// Why it cannot be played in memory, if it says so.
    pub only_over_sockets: Option<String>,
    /// The reason, if it can only be played on streams over TCP.
    pub not_over_the_web: Option<String>,
    /// The reason, if it cannot be played over BOSH.
    pub not_over_bosh: Option<String>,
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
    /// These log in and become available; what everybody receives by that is discarded.
    Here(Vec<Cast>),
    /// The clock moves.
    Pass(Duration),
    /// The wall clock is set, while no time passes.
    SetClock(ClockSet),
    /// Something happens to the server.
    Server(Server),
    /// An actor sends or receives something.
    Actor(String, Verb),
}

/// An actor who is there from the start.
#[derive(Debug, Clone)]
pub struct Cast {
    /// The name in the scene: `bob`, or `bob/phone`.
    pub actor: String,
    /// The priority of the presence, if given.
    pub priority: Option<i8>,
}

/// A change of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockSet {
    /// Somebody sets it ahead by this much.
    Ahead(Duration),
    /// Somebody sets it back.
    Back(Duration),
    /// The system synchronises it from now on.
    Synchronised,
}

/// A change of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// It shuts down cleanly.
    Stops,
    /// One that was stopped starts again over the same store.
    Starts,
    /// It shuts down, and starts again over the same store.
    Restarts,
    /// It is killed, and starts again over what is on the disk.
    Crashes,
}

/// How a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Encrypted: over sockets STARTTLS and TLS; in memory a pipe that counts as encrypted.
    Encrypted,
    /// In clear.
    Clear,
    /// TLS from the first byte (XEP-0368); in memory as `Encrypted`.
    Direct,
    /// Direct TLS on the port for STARTTLS.
    DirectAtStartTls,
    /// A WebSocket (RFC 7395): over sockets with TLS, and HTTP first.
    WebSocket,
    /// BOSH (XEP-0206); only in memory.
    Bosh,
    /// Over the admin socket.
    Admin,
}

impl Verb {
    /// Whether a connection breaks by this, or nothing is read from it.
    fn breaks(&self) -> bool {
        matches!(
            self,
            Verb::Breaks
                | Verb::SendsAndBreaks(_)
                | Verb::StopsReading
                | Verb::Resumes { .. }
                | Verb::CannotResume
        )
    }
}

/// What an actor does or receives.
#[derive(Debug, Clone)]
pub enum Verb {
    /// Connects, and sends nothing yet.
    Connects {
        /// How.
        way: Way,
        /// From which address.
        from: Option<IpAddr>,
        /// What an attacker in between adds in clear after the request for TLS.
        injected: String,
    },
    /// Sends a stream header, and discards the answer.
    OpensStream,
    /// Logs in, as far as the goal.
    LogsIn(Login, Goal),
    /// Tries to log in, and is refused.
    CannotLogIn(Login, Refused),
    /// Tries to log in, and waits.
    BeginsToLogIn(Login),
    /// The waiting login has succeeded.
    IsIn,
    /// The waiting login was refused.
    IsRefused(Refused),
    /// Sends this text, this many times.
    Sends(String, usize),
    /// Sends this text, and then the connection breaks.
    SendsAndBreaks(String),
    /// Sends these bytes as they are.
    SendsBytes(Vec<u8>),
    /// Asks for a path over HTTP, and the answer has these lines or parts of lines.
    Fetches(String, Vec<String>),
    /// Receives these next.
    Hears {
        /// What.
        expected: Vec<Expected>,
        /// Whether any order is allowed.
        any_order: bool,
        /// How many times the whole is repeated.
        times: usize,
    },
    /// Has received nothing more.
    HearsNothing,
    /// Discards what was received so far.
    Ignores,
    /// The other end has closed the connection.
    IsDisconnected,
    /// Breaks the connection without closing the stream.
    Breaks,
    /// Closes the stream cleanly.
    Closes,
    /// Resumes on a new connection.
    Resumes {
        /// The count of received stanzas to claim, if not the true one.
        h: Option<u32>,
        /// The count of handled stanzas that the server must name, if it matters.
        handled: Option<u32>,
    },
    /// Tries to resume and cannot; a new session is bound.
    CannotResume,
    /// Reads nothing more from the connection.
    StopsReading,
    /// Reads again.
    ReadsAgain,
    /// No longer answers `<r/>`.
    StopsAcknowledging,
    /// Acknowledges everything received, and answers `<r/>` again.
    Acknowledges,
    /// Whether an `<r/>` must or must not have arrived since the last check.
    IsAsked(bool),
}

/// What must be received.
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

    /// Returns why it is not played in this world; `None` if it is.
    pub fn skipped(&self, kind: Kind) -> Option<String> {
        let has = |wanted: fn(&Act) -> bool| self.steps.iter().any(|step| wanted(&step.act));
        match kind {
            Kind::Memory | Kind::MemoryOnPostgres => self.only_over_sockets.clone(),
            Kind::Bosh if has(|act| matches!(act, Act::Actor(_, verb) if verb.breaks())) => {
                Some("over BOSH it is noticed later that a client has gone".to_owned())
            }
            Kind::Bosh if self.not_over_bosh.is_some() => self.not_over_bosh.clone(),
            Kind::WebSocket | Kind::Bosh => {
                self.not_over_the_web.clone().or_else(|| self.only_over_sockets.clone())
            }
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

    /// Returns whether the store must be a file that outlives the server.
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
