//! `whoelse client`: the line interface. On a terminal an editor with history, above which
//! incoming lines appear; otherwise plain lines in and plain lines out.
//!
//! State and commands stand apart from drawing: what can be typed is in `commands/`, how things
//! are worded in [`render`], where lines come from and go to in [`input`] and [`screen`].

mod input;
mod login;
pub mod render;
mod screen;
pub mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::task::JoinHandle;
use whoelse_client::{Begin, Client, Config, ConnectError, Events, Fingerprint};

use crate::cli;
use crate::commands::{self, Seat, Then};
use input::{Input, Typed};
use login::{Dialogue, Outcome};
use screen::Screen;

/// How long the end of the input waits without a word for what is still on its way.
const AT_ONCE: Duration = Duration::from_secs(1);
/// And how long in all, with one.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the last lines may take to appear.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Runs the client until the user ends it.
pub fn run(options: cli::Client) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&format!("cannot start: {why}")),
    };
    let as_it_was = rustix::termios::tcgetattr(std::io::stdin()).ok();
    let status = runtime.block_on(chat(options));
    // Whoever was reading a password, or a line, when the program ended has changed the terminal.
    if let Some(as_it_was) = as_it_was {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &as_it_was);
    }
    // The thread that reads lines may be waiting for one that never comes.
    runtime.shutdown_background();
    status
}

async fn chat(options: cli::Client) -> ExitCode {
    let (config, user) = match settings(options) {
        Ok(settings) => settings,
        Err(mistake) => {
            eprintln!("whoelse: {mistake}");
            return ExitCode::from(2);
        }
    };
    let (input, screen) = match open() {
        Ok(opened) => opened,
        Err(why) => return fail(&format!("cannot use this terminal: {why}")),
    };
    let (client, events) = Client::start(config);
    let telling = tell(events, screen.clone(), client.domain().to_owned());
    let terminal = Terminal { client, input, screen };
    // Either way the handle is dropped, which closes the session politely.
    let ended = tokio::select! {
        ended = terminal.run(user) => ended,
        () = stopped() => Ok(()),
    };
    // Everything that arrived is told before the program ends.
    let _ = tokio::time::timeout(LAST_LINES, telling).await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&render::connect_error(&why)),
    }
}

/// The client's settings, and the name to log in under, from the command line.
fn settings(options: cli::Client) -> Result<(Config, Option<String>), String> {
    let (user, domain) = match options.user.as_deref().map(|user| user.split_once('@')) {
        Some(Some((name, domain))) => (Some(name.to_owned()), Some(domain.to_owned())),
        _ => (options.user, None),
    };
    let host = options.host.or_else(|| domain.clone()).unwrap_or_else(|| "localhost".to_owned());
    let mut config = Config::new(&host, options.port);
    if let Some(domain) = domain {
        config.domain = domain;
    }
    if options.direct_tls {
        config.begin = Begin::Direct;
    }
    config.accepted = match options.trust.as_deref() {
        None => None,
        Some(text) => Some(Fingerprint::parse(text).ok_or("--trust takes 64 hexadecimal digits")?),
    };
    config.state = options.state_dir.or_else(state_directory);
    Ok((config, user))
}

/// The user's state directory, as the XDG base directory specification names it.
fn state_directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
    base.or_else(|| set("HOME").map(|home| home.join(".local/state"))).map(|it| it.join("whoelse"))
}

/// An editor where there is somebody to use it and a terminal that can be drawn on.
fn open() -> std::io::Result<(Input, Screen)> {
    if Screen::is_for_people()
        && let Ok(opened) = Input::terminal()
    {
        return Ok(opened);
    }
    Input::plain()
}

/// Tells what arrives, until the session's task has ended.
fn tell(mut events: Events, screen: Screen, domain: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Some(line) = render::event(&event, &domain) {
                screen.say(&line);
            }
        }
    })
}

/// The person at the keyboard, or the script.
struct Terminal {
    client: Client,
    input: Input,
    screen: Screen,
}

impl Terminal {
    /// Until the end of the input, `quit` or Ctrl-C. The error is that there is no server.
    async fn run(mut self, user: Option<String>) -> Result<(), ConnectError> {
        let ended = match self.client.connect().await {
            Ok(()) => self.log_in(user).await,
            // The dialogue warns about it, and the server may prove itself.
            Err(ConnectError::Changed { .. }) => self.log_in(user).await,
            // Nothing is asked before the certificate is accepted; `trust` and `login` go on.
            Err(why @ ConnectError::Unknown { .. }) => {
                self.screen.say(&render::connect_error(&why));
                None
            }
            Err(why) => return Err(why),
        };
        let how = match ended {
            Some(how) => how,
            None => self.obey_lines().await,
        };
        // What was typed before the end of the input is not lost with it.
        if how == Typed::End {
            self.settle().await;
        }
        Ok(())
    }

    async fn settle(&self) {
        if self.client.settle(AT_ONCE).await {
            return;
        }
        self.screen.say("* waiting for the server to store what was sent; Ctrl-C ends at once");
        if !self.client.settle(SETTLE).await {
            self.screen.say("* the server has not acknowledged everything that was sent");
        }
    }

    /// Returns how the input ended, if it did.
    async fn log_in(&mut self, name: Option<String>) -> Option<Typed> {
        let Terminal { client, input, screen } = self;
        match (Dialogue { client, input, screen }).run(name).await {
            Outcome::In | Outcome::Out => None,
            Outcome::End(how) => Some(how),
        }
    }

    /// Obeys until the input ends, and returns how it did.
    async fn obey_lines(&mut self) -> Typed {
        let mut next = None;
        loop {
            let typed = match next.take() {
                Some(urgent) => Typed::Line(urgent),
                None => self.input.command().await,
            };
            let Typed::Line(line) = typed else { return typed };
            match self.obey(&line).await {
                Done::Then(Then::Go) => {}
                Done::Then(Then::Login(name)) => {
                    if let Some(ended) = self.log_in(name).await {
                        return ended;
                    }
                }
                Done::Then(Then::Quit) => return Typed::End,
                Done::Urgent(line) => next = Some(line),
                Done::Ended(how) => return how,
            }
        }
    }

    /// Does what a line says, and meanwhile takes what is typed: a command may have to wait for
    /// the connection, and the way out must not.
    async fn obey(&mut self, line: &str) -> Done {
        let say = |line: String| self.screen.say(&line);
        let seat = Seat { client: &self.client, say: &say };
        let command = commands::obey(line, &seat);
        tokio::pin!(command);
        loop {
            tokio::select! {
                biased;
                then = &mut command => return Done::Then(then),
                typed = self.input.meanwhile() => match typed {
                    Typed::Line(line) if is_urgent(&line) => return Done::Urgent(line),
                    Typed::Line(line) => self.input.keep(line),
                    ended => return Done::Ended(ended),
                }
            }
        }
    }
}

/// What came of a line.
enum Done {
    /// It was obeyed, and this is next.
    Then(Then),
    /// This line was typed meanwhile, and does not wait.
    Urgent(String),
    /// The input ended meanwhile.
    Ended(Typed),
}

/// Whether a line leads out of whatever is going on.
fn is_urgent(line: &str) -> bool {
    matches!(commands::split(line), Some(("quit" | "logout", _)))
}

/// Ctrl-C outside the editor, or the system's wish that the program ends.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn fail(sentence: &str) -> ExitCode {
    eprintln!("whoelse: {sentence}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::{Action, Cli};
    use clap::Parser;

    fn of(line: &str) -> Result<(Config, Option<String>), String> {
        let Action::Client(options) = Cli::try_parse_from(line.split(' ')).unwrap().action else {
            panic!("not the client")
        };
        settings(options)
    }

    #[test]
    fn without_arguments_it_is_the_server_on_this_computer() {
        let (config, user) = of("whoelse client").unwrap();

        assert_eq!(
            (config.address().as_str(), config.domain.as_str()),
            ("localhost:5222", "localhost")
        );
        assert_eq!(user, None);
    }

    #[test]
    fn a_whole_address_names_the_domain_and_the_host() {
        let (config, user) = of("whoelse client --user bob@a.example").unwrap();
        assert_eq!((config.host.as_str(), config.domain.as_str()), ("a.example", "a.example"));
        assert_eq!(user.as_deref(), Some("bob"));

        let (config, _) = of("whoelse client --user bob@a.example --host 127.0.0.1").unwrap();
        assert_eq!((config.host.as_str(), config.domain.as_str()), ("127.0.0.1", "a.example"));
    }

    #[test]
    fn a_fingerprint_that_is_none_is_refused() {
        assert!(of("whoelse client --trust nonsense").is_err());
    }
}
