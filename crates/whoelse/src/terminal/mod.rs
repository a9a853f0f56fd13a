//! `whoelse client`: the line interface. On a terminal, an editor with history below the incoming
//! lines; otherwise plain lines in and out.
//!
//! State and commands are separate from drawing. Commands are in `commands/`; output is in
//! [`said`], rendered for people by [`render`] and for programs by [`json`], both with the words
//! of `say/`. Lines come from [`input`] and go to [`screen`]. Only the threads of [`console`], or
//! without a terminal those of [`input`] and [`writer`], ever wait for the terminal.

mod asking;
mod console;
mod face;
mod input;
mod json;
mod login;
mod obey;
mod options;
mod password;
mod patient;
pub mod render;
mod room;
mod said;
mod screen;
mod settings;
mod stop;
mod undone;
mod writer;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use whoelse_client::rooms::Rooms;
use whoelse_client::{Client, Domain, Kit};
use whoelse_p2p::PrivateChats;
use whoelse_xmpp::in_words;

use crate::commands::ids::Ids;
use crate::output::complain;
use crate::{cli, device, output};
use console::tty::Modes;
use face::Face;
use input::Input;
use obey::Terminal;
use patient::Patient;
use said::{Said, Told};
use screen::Screen;
use stop::Stop;
use undone::Connection;
use writer::Writer;

/// How long private chats may take to say goodbye, and the last lines to appear.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Events that wait for this interface. When they are full, nothing more is read from the server
/// or from a private chat.
const TOLD: usize = 256;

/// Runs the client until the user ends it.
pub fn run(options: cli::Client) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return fail(&format!("cannot start: {}", in_words(&why))),
    };
    // If the program ends, perhaps in a panic, while a password or a line is being read, the
    // terminal's modes must be restored.
    let as_it_was = Modes::now().ok();
    let status = runtime.block_on(chat(options));
    drop(as_it_was);
    // Threads may still be reading a line that never comes, or writing one that nobody reads.
    runtime.shutdown_background();
    status
}

async fn chat(options: cli::Client) -> ExitCode {
    let objects = options.json;
    let relaying = options.private_relay;
    let device = options.device.clone();
    let both = settings::read().and_then(|settled| Ok((settled, options::of(options)?)));
    let (settled, (mut config, given)) = match both {
        Ok(both) => both,
        Err(mistake) => {
            complain(mistake);
            return ExitCode::from(2);
        }
    };
    config.device = device.or(settled.device);
    config.resource = Some(device::session_name(config.device.as_deref()));
    config.tag = Some(device::tag(config.device.as_deref()));
    let server = config.address();
    let relaying = relaying.unwrap_or(settled.private.relay);
    let settings = whoelse_p2p::Config { relaying, state: config.state.clone() };
    let mut kit = Kit::default();
    let listener = kit.listen(whoelse_p2p::NAMESPACES);
    let in_rooms = Rooms::listen(&mut kit);
    let (to_face, told) = mpsc::channel(TOLD);
    let client = Client::start_with(config, kit, to_face.clone());
    let private = PrivateChats::start(client.clone(), listener, settings, to_face.clone());
    let rooms = Rooms::start(client.clone(), in_rooms, to_face);
    if !objects {
        rooms.show_only_what_is_new().await;
    }
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
        Terminal { client, private, rooms, input, face, ids, given, connection, at_work: None };
    let (how, is_told) = until_end(terminal.run(server), unread, &broken, &mut stop).await;
    terminal.name_undone();
    drop(terminal);
    // In either case the handles are dropped, which closes the session and its private chats
    // cleanly. Everything that has arrived is shown before the program ends.
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

/// Runs until the input ends, and returns how it did; `None` if a signal came first. Also returns
/// whether the session was told meanwhile that the output cannot be written.
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
                // Done before the session is closed: a message that nobody sees must not count as
                // received.
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
            // A script's lines are still run; a console's input has ended by now.
            () = &mut unread, if !is_told => is_told = true,
        }
    }
}

/// Waits until the last lines are told and shown. Waits for a slow reader of a pipe, but not for a
/// terminal that is stuck.
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

/// The input and the output.
struct Opened {
    input: Input,
    face: Face,
    /// The task that shows lines until there are no more.
    showing: JoinHandle<()>,
}

/// Opens a console if there is a person and a terminal that can be drawn on; otherwise, and for
/// objects, plain lines.
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

/// Returns whether a person is at both ends, on a terminal that can be drawn on.
fn is_for_people() -> bool {
    let cannot_be_drawn_on = |name: &str| matches!(name, "dumb" | "cons25" | "emacs");
    std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && !std::env::var("TERM").is_ok_and(|name| cannot_be_drawn_on(&name))
}

/// Shows what arrives, until the tasks of the session and its private chats have ended.
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
            // Freed before it is shown, because its reader may use the id again at once.
            told.free_id().into_iter().for_each(|id| ids.give_back(id));
            if let Told::Session(event) = &told {
                connection.hear(event);
            }
            face.tell(&Said::from(&told));
        }
    })
}

fn fail(sentence: &str) -> ExitCode {
    complain(sentence);
    ExitCode::FAILURE
}
