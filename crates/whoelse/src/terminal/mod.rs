//! `whoelse client`: the line interface. On a terminal an editor with history, above which
//! incoming lines appear; otherwise plain lines in and plain lines out.
//!
//! State and commands stand apart from drawing: what can be typed is in `commands/`, what is said
//! in [`said`], how it is worded in [`render`] and how programs read it in [`json`]; where lines
//! come from and go to, in [`input`] and [`screen`]. Nothing here waits for the terminal but the
//! threads of [`console`], or those of [`input`] and [`writer`] where there is none.

mod certificate;
pub mod condition;
mod console;
pub mod device;
mod face;
pub mod fold;
pub mod ids;
mod input;
mod json;
mod login;
pub mod paint;
mod password;
mod patient;
pub mod private;
pub mod render;
mod said;
mod screen;
mod settings;
mod stop;
pub mod text;
mod undone;
mod writer;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use whoelse_client::{Begin, Client, Config, ConnectError, Domain, Fingerprint, Kit, Password};
use whoelse_p2p::PrivateChats;
use whoelse_xmpp::in_words;

use crate::commands::{self, Answer, Fault, Obeyed, Seat};
use crate::output::complain;
use crate::{admin, cli, output};
use certificate::Reader;
use console::tty::Modes;
use face::Face;
use ids::Ids;
use input::{Input, Typed};
use login::{Dialogue, Outcome};
use patient::Patient;
use said::{Said, Told};
use screen::Screen;
use stop::Stop;
use undone::{AtWork, Connection};
use writer::Writer;

/// Where a password may stand that is not to be asked for.
const PASSWORD: &str = "WHOELSE_PASSWORD";
/// How long the end of the input waits without a word for what is still on its way.
const AT_ONCE: Duration = Duration::from_secs(1);
/// And how long in all, with one.
const SETTLE: Duration = Duration::from_secs(10);
/// How long the goodbyes of private chats may take, and the last lines to appear.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What is told and waits for this face. Beyond it nothing is read from the server, nor from the
/// line of a private chat.
const TOLD: usize = 256;

/// Runs the client until the user ends it.
pub fn run(options: cli::Client) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&format!("cannot start: {}", in_words(&why))),
    };
    // Whoever is reading a password, or a line, when the program ends, perhaps in a panic, has
    // changed the terminal.
    let as_it_was = Modes::now().ok();
    let status = runtime.block_on(chat(options));
    drop(as_it_was);
    // Threads may be reading a line that never comes, or writing one that nobody reads.
    runtime.shutdown_background();
    status
}

async fn chat(options: cli::Client) -> ExitCode {
    let objects = options.json;
    let relaying = options.private_relay;
    let device = options.device.clone();
    let both = settings::read().and_then(|settled| Ok((settled, settings(options)?)));
    let (settled, (mut config, given)) = match both {
        Ok(both) => both,
        Err(mistake) => {
            complain(mistake);
            return ExitCode::from(2);
        }
    };
    config.resource = Some(device::session_name(device.or(settled.device).as_deref()));
    let server = config.address();
    let relaying = relaying.unwrap_or(settled.relaying);
    let settings = whoelse_p2p::Config { relaying, state: config.state.clone() };
    let mut kit = Kit::default();
    let listener = kit.listen(whoelse_p2p::NAMESPACES);
    let (to_face, told) = mpsc::channel(TOLD);
    let client = Client::start_with(config, kit, to_face.clone());
    let private = PrivateChats::start(client.clone(), listener, settings, to_face);
    let mut stop = match Stop::new() {
        Ok(stop) => stop,
        Err(why) => return fail(&format!("cannot wait for Ctrl-C: {}", in_words(&why))),
    };
    let Opened { input, face, showing } = match open(objects, client.domain_now()) {
        Ok(opened) => opened,
        Err(why) => return fail(&format!("cannot use this terminal: {}", in_words(&why))),
    };
    let ids = Ids::default();
    let connection = Connection::default();
    let telling = tell(told, face.clone(), ids.clone(), connection.clone());
    let is_for_people = !input.is_script();
    let (backlog, broken) = (face.screen.backlog(), face.screen.broken());
    // Nothing should be received that nobody sees.
    let unread = {
        let (mut broken, client) = (broken.clone(), client.clone());
        async move {
            let why = screen::until_broken(&mut broken).await;
            client.leave_unread().await;
            complain(output::not_written(why));
        }
    };
    let mut terminal =
        Terminal { client, private, input, face, ids, given, connection, at_work: None };
    let (how, is_told) = until_end(terminal.run(server), unread, &broken, &mut stop).await;
    terminal.name_undone();
    drop(terminal);
    // Either way the handles are dropped, which closes the session and its private chats politely.
    // Everything that arrived is told before the program ends.
    let last_lines = async {
        let _ = telling.await;
        let _ = showing.await;
    };
    tokio::select! {
        () = within_reason(last_lines, backlog, is_for_people || how.is_none()) => {}
        () = stop.next() => {}
    }
    let broken = *broken.borrow();
    if let Some(why) = broken
        && !is_told
    {
        complain(output::not_written(why));
    }
    match how.unwrap_or(Ok(())) {
        Ok(()) if broken.is_some() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => fail(&words),
    }
}

/// Runs until the input ends, and returns how it did; nothing if a signal was first. Returns, too,
/// whether it was told meanwhile that the output cannot be written.
async fn until_end<T>(
    running: impl Future<Output = T>,
    unread: impl Future<Output = ()>,
    broken: &watch::Receiver<Option<std::io::ErrorKind>>,
    stop: &mut Stop,
) -> (Option<T>, bool) {
    let mut is_told = false;
    tokio::pin!(running, unread);
    loop {
        tokio::select! {
            how = &mut running => {
                // Before the session is closed: what nobody sees is not received.
                if broken.borrow().is_some() && !is_told {
                    tokio::select! {
                        () = &mut unread => is_told = true,
                        () = stop.next() => {}
                    }
                }
                return (Some(how), is_told);
            }
            () = stop.next() => {
                console::tty::forget_typed();
                return (None, is_told);
            }
            // What a script says is still obeyed; a console's input is then at its end.
            () = &mut unread, if !is_told => is_told = true,
        }
    }
}

/// Waits for the last lines to be told and shown. A pipe whose reader takes its time is waited
/// for; a terminal that is stuck is not.
async fn within_reason(
    last_lines: impl Future<Output = ()>,
    backlog: watch::Receiver<usize>,
    is_hurried: bool,
) {
    tokio::pin!(last_lines);
    while tokio::time::timeout(LAST_LINES, &mut last_lines).await.is_err() {
        if is_hurried || *backlog.borrow() == 0 {
            break;
        }
    }
}

/// What the command line gives for a login.
#[derive(Debug, Default)]
struct Given {
    user: Option<String>,
    /// Nothing is asked, then.
    password: Option<Password>,
}

/// The client's settings, and what to log in with, from the command line.
fn settings(options: cli::Client) -> Result<(Config, Given), String> {
    let password = match (&options.user, &options.password_file) {
        (None, _) => None,
        (_, Some(file)) => Some(admin::ask::password_in(file)?),
        (_, None) => match std::env::var(PASSWORD) {
            Ok(secret) => Some(Password::new(&secret).map_err(|why| format!("{PASSWORD}: {why}"))?),
            Err(std::env::VarError::NotPresent) => None,
            Err(_) => return Err(format!("{PASSWORD} is not UTF-8 text")),
        },
    };
    if let Some(user) = &options.user
        && let Err(Fault::Say { words, .. }) = commands::address(user, "localhost")
    {
        return Err(words);
    }
    let (user, domain) = match options.user.as_deref().map(|user| user.split_once('@')) {
        Some(Some((name, domain))) => (Some(name.to_owned()), Some(domain.to_owned())),
        _ => (options.user, None),
    };
    // Whoever says where the server is has no need of records.
    let records = options.host.is_none() && options.port.is_none();
    let (host, port) = options.host.map_or((None, None), |host| (Some(host.name), host.port));
    let port = match (options.port, port) {
        (Some(one), Some(other)) if one != other => {
            return Err(format!("PORT is {one}, and --host says {other}: which is it?"));
        }
        (one, other) => one.or(other).unwrap_or(5222),
    };
    let host = host.or_else(|| domain.clone()).unwrap_or_else(|| "localhost".to_owned());
    let mut config = Config::new(&host, port);
    config.records = records;
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
    config.state = options.state_dir.or_else(|| user_directory("XDG_STATE_HOME", ".local/state"));
    config.verdicts = options.json;
    Ok((config, Given { user, password }))
}

/// A directory of the user's for this program, as the XDG base directory specification names it.
fn user_directory(variable: &str, otherwise: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set(variable).filter(|path| path.is_absolute());
    base.or_else(|| set("HOME").map(|home| home.join(otherwise))).map(|it| it.join("whoelse"))
}

/// Where lines come from and go to.
struct Opened {
    input: Input,
    face: Face,
    /// Shows the lines until there are no more.
    showing: JoinHandle<()>,
}

/// A console where there is somebody to use it and a terminal that can be drawn on; plain lines
/// elsewhere, and for objects.
fn open(objects: bool, domain: Domain) -> std::io::Result<Opened> {
    let (screen, lines) = Screen::new();
    let for_people = !objects && is_for_people();
    let face = Face { screen, objects, domain, for_people };
    if for_people {
        let (input, showing) = Input::terminal(lines)?;
        return Ok(Opened { input, face, showing });
    }
    let showing = tokio::spawn(screen::print(lines, Writer::start(Patient(std::io::stdout()))?));
    let input = Input::plain(face.clone())?;
    Ok(Opened { input, face, showing })
}

/// Whether a person sits in front of both ends, at a terminal that can be drawn on.
fn is_for_people() -> bool {
    let cannot_be_drawn_on = |name: &str| matches!(name, "dumb" | "cons25" | "emacs");
    std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && !std::env::var("TERM").is_ok_and(|name| cannot_be_drawn_on(&name))
}

/// Tells what arrives, until the tasks of the session and its private chats have ended.
fn tell(
    mut telling: mpsc::Receiver<Told>,
    face: Face,
    ids: Ids,
    connection: Connection,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            face.screen.room_for_events().await;
            let Some(told) = telling.recv().await else { break };
            // Before it is told: whoever reads it may use the id again at once.
            ids.hear(&told);
            if let Told::Session(event) = &told {
                connection.hear(event);
            }
            face.tell(&Said::from(&told));
        }
    })
}

/// The person at the keyboard, or the script.
struct Terminal {
    client: Client,
    private: PrivateChats,
    input: Input,
    face: Face,
    ids: Ids,
    given: Given,
    connection: Connection,
    /// What is being obeyed.
    at_work: Option<AtWork>,
}

impl Terminal {
    /// Until the end of the input, `quit` or Ctrl-C. The error is that there is no server, or that
    /// the login that was given is not good.
    async fn run(&mut self, server: String) -> Result<(), String> {
        let connected = self.client.connect().await;
        if connected.is_ok() {
            self.face.tell(&Said::Connected { server });
        }
        let begun = match (connected, self.given.password.clone()) {
            // Nobody is there to be asked; a changed server may prove itself, and is still refused.
            (Ok(()), Some(password)) => {
                self.log_in_given(password, Reader::Gone).await?;
                self.input.keep_ahead().await;
                Ok(None)
            }
            // The dialogue warns about a change, and the server may prove itself. Nothing is asked
            // before an unknown certificate is accepted; `trust` goes on.
            (
                connected @ (Ok(())
                | Err(ConnectError::Changed { .. } | ConnectError::Unknown { .. })),
                None,
            ) => self.ask(connected, self.given.user.clone()).await,
            (Err(why), _) => return Err(self.no_server(&why)),
        };
        let how = match begun {
            Err(how) => how,
            Ok(next) => self.obey_lines(next).await,
        };
        self.name_undone();
        // What was typed before the end of the input is not lost with it.
        self.settle().await;
        match how {
            Typed::Failed(why) => Err(output::not_read(why)),
            Typed::Line(_) | Typed::End => Ok(()),
        }
    }

    /// Tells programs that there is no server; people read it where the program ends.
    fn no_server(&self, why: &ConnectError) -> String {
        let words = render::connect_error_for(why, Reader::Gone);
        if self.face.objects {
            self.fail(condition::of_connect(why), words.clone());
        }
        words
    }

    fn fail(&self, condition: &'static str, words: String) {
        self.face.tell(&Said::Failed { command: None, id: None, condition, words });
    }

    /// Says what was typed and will not be done.
    fn name_undone(&mut self) {
        self.give_up();
        let lines = self.input.take_ahead();
        undone::name(&lines, &self.face);
    }

    /// Says that nobody waits for the end of what is at work.
    fn give_up(&mut self) {
        if let Some(at_work) = self.at_work.take() {
            at_work.give_up(&self.connection, &self.face);
        }
    }

    async fn settle(&self) {
        if self.client.settle(AT_ONCE).await {
            return;
        }
        self.face.tell(&Said::Notice(
            "waiting for the server to store what was sent; Ctrl-C ends at once",
        ));
        if !self.client.settle(SETTLE).await {
            self.face
                .tell(&Said::Notice("the server has not acknowledged everything that was sent"));
        }
    }

    /// Logs in with what the command line gave. No account is made: a wrong name is a mistake.
    async fn log_in_given(&self, password: Password, reader: Reader) -> Result<(), String> {
        let name = self.given.user.as_deref().unwrap_or_default();
        match self.client.login(name, password).await {
            Ok(_) => Ok(()),
            Err(why) => {
                let condition = condition::of_login(&why);
                let words = render::login_error_for(&why, name, reader);
                if self.face.objects {
                    let words = words.clone();
                    self.face.tell(&Said::Failed {
                        command: Some("login"),
                        id: None,
                        condition,
                        words,
                    });
                }
                Err(words)
            }
        }
    }

    /// Connects, and asks for what is missing. Returns a command that was typed instead of a name,
    /// or how the input ended.
    async fn log_in(&mut self, name: Option<String>) -> Result<Option<String>, Typed> {
        self.input.expect_questions().await;
        let connected = self.client.connect().await;
        self.ask(connected, name).await
    }

    async fn ask(
        &mut self,
        connected: Result<(), ConnectError>,
        name: Option<String>,
    ) -> Result<Option<String>, Typed> {
        match connected {
            // The dialogue warns, and the server may prove itself.
            Ok(()) | Err(ConnectError::Changed { .. }) => {}
            Err(why) => {
                let words = render::connect_error(&why);
                let condition = condition::of_connect(&why);
                self.face.tell(&Said::Failed {
                    command: Some("login"),
                    id: None,
                    condition,
                    words,
                });
                return Ok(None);
            }
        }
        let Terminal { client, input, face, .. } = self;
        match (Dialogue { client, input, face }).run(name).await {
            Outcome::In => {
                self.input.keep_ahead().await;
                Ok(None)
            }
            Outcome::Out => Ok(None),
            Outcome::Command(line) => Ok(Some(line)),
            Outcome::End(how) => Err(how),
        }
    }

    /// Obeys until the input ends, and returns how it did.
    async fn obey_lines(&mut self, mut next: Option<String>) -> Typed {
        loop {
            self.face.screen.room_for_answers().await;
            let typed = match next.take() {
                Some(urgent) => Typed::Line(urgent),
                None => self.input.command().await,
            };
            let Typed::Line(line) = typed else { return typed };
            let obeyed = match self.obey(&line).await {
                Done::Obeyed(None) => continue,
                Done::Obeyed(Some(obeyed)) => obeyed,
                Done::Urgent(line) => {
                    self.give_up();
                    next = Some(line);
                    continue;
                }
                Done::Ended(how) => return how,
            };
            self.tell(&obeyed);
            let begun = match obeyed.outcome {
                Ok(Answer::Login(name)) => self.log_in_again(name).await,
                Ok(Answer::Trusted(_)) => self.log_in_again(self.given.user.clone()).await,
                Ok(Answer::AskPasswords) => self.change_password().await,
                Ok(Answer::Quit) => return Typed::End,
                _ => Ok(None),
            };
            match begun {
                Ok(command) => next = command,
                Err(how) => return how,
            }
        }
    }

    /// Tells what became of a line.
    fn tell(&mut self, obeyed: &Obeyed) {
        self.face.tell(&Said::of(obeyed));
        if let (Ok(Answer::NewPassword(new)), Some(given)) =
            (&obeyed.outcome, &mut self.given.password)
        {
            // The one that was given is good for nothing any more.
            *given = Password::new(&new.0).unwrap_or_else(|_| given.clone());
        }
    }

    /// Asks, and changes it. Returns a command that does not wait, or how the input ended.
    async fn change_password(&mut self) -> Result<Option<String>, Typed> {
        let Some(change) = self.ask_passwords().await? else { return Ok(None) };
        let seat = Seat { client: &self.client, private: &self.private, ids: &self.ids };
        let changing = async {
            let outcome = commands::password::change(&seat, &change).await;
            Some(Obeyed { command: Some(commands::password::COMMAND.name), id: None, outcome })
        };
        self.at_work = Some(AtWork::new(commands::password::COMMAND.name, &self.connection));
        match attend(&mut self.input, changing).await {
            Done::Obeyed(obeyed) => {
                self.at_work = None;
                if obeyed.as_ref().is_some_and(|obeyed| obeyed.outcome.is_ok()) {
                    self.input.keep_ahead().await;
                }
                obeyed.iter().for_each(|obeyed| self.tell(obeyed));
                Ok(None)
            }
            Done::Urgent(line) => {
                self.give_up();
                Ok(Some(line))
            }
            Done::Ended(how) => Err(how),
        }
    }

    /// Whoever was given on the command line need not be asked; a refusal is only said.
    async fn log_in_again(&mut self, name: Option<String>) -> Result<Option<String>, Typed> {
        match self.given.password.clone() {
            Some(password) if name.is_none() || name == self.given.user => {
                if let Err(words) = self.log_in_given(password, Reader::Typing).await
                    && !self.face.objects
                {
                    self.face.tell(&Said::Words(words));
                }
                Ok(None)
            }
            _ => self.log_in(name).await,
        }
    }

    /// Does what a line says.
    async fn obey(&mut self, line: &str) -> Done {
        let seat = Seat { client: &self.client, private: &self.private, ids: &self.ids };
        let is_object = self.face.objects && line.trim_start().starts_with('{');
        let command = async {
            loop {
                let obeyed = match is_object {
                    true => Some(commands::obey_object(line, &seat).await),
                    false => commands::obey(line, &seat).await,
                };
                // Whom it names is called something else now, and so it is read anew.
                if !obeyed.as_ref().is_some_and(Obeyed::is_outdated) {
                    return obeyed;
                }
            }
        };
        self.at_work = Some(AtWork::new(line, &self.connection));
        let done = attend(&mut self.input, command).await;
        if let Done::Obeyed(_) = done {
            self.at_work = None;
        }
        done
    }
}

/// Waits for a command, and meanwhile takes what is typed: it may have to wait for the connection,
/// and the way out must not.
async fn attend(input: &mut Input, command: impl Future<Output = Option<Obeyed>>) -> Done {
    tokio::pin!(command);
    loop {
        tokio::select! {
            biased;
            obeyed = &mut command => return Done::Obeyed(obeyed),
            typed = input.meanwhile() => match typed {
                Typed::Line(line) if is_urgent(&line) => return Done::Urgent(line),
                Typed::Line(line) => input.keep(line),
                ended => return Done::Ended(ended),
            }
        }
    }
}

/// What came of a line.
enum Done {
    /// It was obeyed, if it said anything.
    Obeyed(Option<Obeyed>),
    /// This line was typed meanwhile, and does not wait.
    Urgent(String),
    /// The input ended meanwhile.
    Ended(Typed),
}

/// Whether a line leads out of whatever is going on.
fn is_urgent(line: &str) -> bool {
    let command = commands::split(line).and_then(|(name, _)| commands::find(name));
    command.is_some_and(|command| matches!(command.name, "quit" | "logout"))
}

fn fail(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::{Action, Cli};
    use clap::Parser;

    fn of(line: &str) -> Result<(Config, Given), String> {
        let Action::Client(options) = Cli::try_parse_from(line.split(' ')).unwrap().action else {
            panic!("not the client")
        };
        settings(options)
    }

    #[test]
    fn without_arguments_it_is_the_server_on_this_computer() {
        let (config, Given { user, .. }) = of("whoelse client").unwrap();

        assert_eq!(
            (config.address().as_str(), config.domain.as_str()),
            ("localhost:5222", "localhost")
        );
        assert_eq!(user, None);
    }

    #[test]
    fn a_whole_address_names_the_domain_and_the_host() {
        let (config, Given { user, .. }) = of("whoelse client --user bob@a.example").unwrap();
        assert_eq!((config.host.as_str(), config.domain.as_str()), ("a.example", "a.example"));
        assert_eq!(user.as_deref(), Some("bob"));

        let (config, _) = of("whoelse client --user bob@a.example --host 127.0.0.1").unwrap();
        assert_eq!((config.host.as_str(), config.domain.as_str()), ("127.0.0.1", "a.example"));
    }

    #[test]
    fn the_records_of_a_domain_are_asked_for_unless_the_server_is_named() {
        let asks = |line| of(line).unwrap().0.records;

        assert!(asks("whoelse client --user bob@a.example"));
        assert!(!asks("whoelse client --user bob@a.example --host b.example"));
        assert!(!asks("whoelse client 5333 --user bob@a.example"));
        assert!(!asks("whoelse client --host b.example"));
    }

    #[test]
    fn a_port_is_given_once() {
        let address = |line: &str| of(line).map(|(config, _)| config.address());

        let of_host = address("whoelse client --host [::1]:5223");
        assert_eq!(of_host.as_deref(), Ok("[::1]:5223"));
        assert_eq!(address("whoelse client 5223 --host a:5223").as_deref(), Ok("a:5223"));
        assert!(address("whoelse client 5222 --host a:5223").is_err());
    }

    #[test]
    fn a_password_file_without_a_name_to_log_in_under_is_a_mistake() {
        let line = "whoelse client --password-file x";
        assert!(Cli::try_parse_from(line.split(' ')).is_err());
    }

    #[test]
    fn a_password_file_that_is_not_there_is_named() {
        let mistake = of("whoelse client --user bob --password-file /nowhere/x").unwrap_err();
        assert!(mistake.contains("/nowhere/x"), "{mistake}");
    }

    #[test]
    fn a_user_that_cannot_be_one_is_refused_before_anything_is_sent() {
        for nobody in ["b\u{a0}d", "bob@", "a@b@c", "@localhost", "@", "bob/x"] {
            let mistake = of(&format!("whoelse client --user {nobody}")).unwrap_err();
            assert!(mistake.ends_with("is not a name"), "{nobody}: {mistake}");
        }
    }

    #[test]
    fn a_fingerprint_that_is_none_is_refused() {
        assert!(of("whoelse client --trust nonsense").is_err());
    }
}
