//! The terminal of a person: one task owns it, a thread reads keys, and a thread writes.
//!
//! The terminal may block either thread for as long as it likes. It never blocks the task, so
//! keys, signals and the network are always handled. Arriving lines are handed to the writer when
//! it is free, together with the row being typed ([`row`]). What was handed over is never drawn
//! over again.

mod editor;
mod history;
mod keys;
mod line;
mod row;
pub mod tty;

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::asking::{Ask, Instruction, Typed};
use super::patient::Patient;
use super::screen::{Lines, Shown};
use super::writer::Writer;
use crate::say::fold::Page;
use crate::say::paint::{self, Line};
use editor::{Answer, Editor};
use keys::Keys;
use tty::Modes;

/// Chunks of typed bytes that wait for the task.
const TYPED: usize = 16;
/// How long a stop waits for the last output; the terminal may be stuck.
const STOP_WITHIN: Duration = Duration::from_millis(200);

/// Moves to the beginning of the row and clears the rest. Earlier output stays above.
const CLEAR: &str = "\r\x1b[J";
/// Keeps the row from wrapping, whatever width the terminal gives a character.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
/// Bracketed paste, so that a line break in a paste is not Enter.
const MARK_PASTES: &str = "\x1b[?2004h";
const NO_MARKS: &str = "\x1b[?2004l";

/// The state that the task owns.
pub struct Console {
    instructions: mpsc::Receiver<Instruction>,
    answers: mpsc::UnboundedSender<(Ask, Typed)>,
    lines: Lines,
    bytes: mpsc::Receiver<io::Result<Vec<u8>>>,
    writer: Writer,
    modes: Modes,
    keys: Keys,
    editor: Editor,
    /// Lines that were said or typed but not handed over; those from [`Lines`] are counted there.
    above: Vec<Line>,
    counted: usize,
    /// Whether our own text is painted.
    colours: bool,
    /// Whether the row must be drawn again.
    stale: bool,
    /// The width of the row when it was drawn.
    width: usize,
    /// Whether the terminal was taken but bracketed paste is not yet on.
    taken: bool,
    /// Whether somebody may still ask something.
    asking: bool,
    size_changed: unix::Signal,
    continued: unix::Signal,
    stopped: unix::Signal,
}

impl Console {
    /// Takes the terminal. Answers are sent in the order of the questions, at most one for each.
    /// Must be called inside a runtime.
    pub fn new(
        prompt: &str,
        lines: Lines,
        instructions: mpsc::Receiver<Instruction>,
        answers: mpsc::UnboundedSender<(Ask, Typed)>,
    ) -> io::Result<Console> {
        let modes = Modes::now()?;
        let signal = |which: Signal| unix::signal(SignalKind::from_raw(which.as_raw()));
        modes.by_key();
        Ok(Console {
            instructions,
            answers,
            lines,
            bytes: keyboard()?,
            writer: Writer::start(Patient(io::stdout()))?,
            keys: Keys::default(),
            editor: Editor::new(prompt),
            above: Vec::new(),
            counted: 0,
            colours: paint::is_wanted(),
            stale: false,
            width: 0,
            taken: true,
            asking: true,
            size_changed: signal(Signal::WINCH)?,
            continued: signal(Signal::CONT)?,
            stopped: signal(Signal::TSTP)?,
            modes,
        })
    }

    /// Runs until nobody has anything to say any more, and it has been written or cannot be.
    pub async fn run(mut self) {
        let why = loop {
            if !self.writer.is_busy() && (self.stale || !self.above.is_empty()) {
                self.draw();
            }
            tokio::select! {
                biased;
                Some(()) = self.stopped.recv() => self.stop().await,
                Some(()) = self.continued.recv() => self.take_back(),
                Some(()) = self.size_changed.recv() => self.stale = true,
                written = self.writer.written() => match written {
                    Ok(()) => self.lines.shown(std::mem::take(&mut self.counted)),
                    Err(why) => break why.kind(),
                },
                instruction = self.instructions.recv(), if self.asking => self.obey(instruction),
                Some(bytes) = self.bytes.recv(), if self.editor.has_room() => self.read(bytes),
                lines = self.lines.next(), if !self.writer.is_busy() => match lines {
                    Some(lines) => {
                        self.counted += lines.len();
                        self.stale = true;
                        for shown in lines {
                            match shown {
                                Shown::Line(line) => self.above.push(line),
                                Shown::Prompt(prompt) => self.editor.set_prompt(prompt),
                            }
                        }
                    }
                    None => return self.leave().await,
                },
            }
        };
        // Nobody could see what is typed, so the input ends, and with it the program.
        let Console { instructions, answers, bytes, mut lines, .. } = self;
        drop((instructions, answers, bytes));
        lines.discard(why).await;
    }

    fn obey(&mut self, instruction: Option<Instruction>) {
        self.stale = true;
        let answer = match instruction {
            Some(Instruction::Ask(ask)) => self.editor.ask(ask),
            Some(Instruction::KeepAhead) => {
                self.editor.keep_ahead();
                None
            }
            Some(Instruction::ExpectQuestions) => {
                self.editor.expect_questions();
                None
            }
            // The program ends. What was being typed stays on the screen.
            None => {
                self.asking = false;
                self.above.extend(self.editor.close().map(Line::from));
                None
            }
        };
        self.answer(answer);
    }

    fn read(&mut self, bytes: io::Result<Vec<u8>>) {
        self.stale = true;
        match bytes {
            Ok(bytes) if bytes.is_empty() => {
                let answer = self.editor.end(Typed::End);
                self.answer(answer);
            }
            Ok(bytes) => {
                for key in self.keys.read(&bytes) {
                    let answer = self.editor.press(key);
                    self.answer(answer);
                }
            }
            Err(why) => {
                let answer = self.editor.end(Typed::Failed(why.kind()));
                self.answer(answer);
            }
        }
    }

    fn answer(&mut self, answer: Option<Answer>) {
        if let Some(Answer { to, typed, echo }) = answer {
            if !echo.is_empty() {
                self.above.push(Line::from(echo));
            }
            // The asker may have stopped waiting.
            let _ = self.answers.send((to, typed));
        }
    }

    /// Hands over the waiting lines and the row.
    fn draw(&mut self) {
        let page = Page::now();
        let columns = page.columns;
        let mut picture = CLEAR.to_owned();
        // The terminal has become too narrow for the row and may have wrapped it. New output
        // begins on a line of its own; otherwise the terminal would join it to that row when it is
        // widened.
        if columns > 0 && self.width > columns {
            picture.push_str("\r\n");
        }
        self.width = 0;
        if std::mem::take(&mut self.taken) {
            picture.push_str(MARK_PASTES);
        }
        for line in self.above.drain(..) {
            picture.push_str(&line.shown(page, self.colours).replace('\n', "\r\n"));
            picture.push_str("\r\n");
        }
        if let Some(row) = self.editor.row(columns) {
            self.width = row.width;
            picture.push_str(&format!("{NO_WRAP}{}{WRAP}\r", row.shown));
            if row.cursor > 0 {
                picture.push_str(&format!("\x1b[{}C", row.cursor));
            }
        }
        self.stale = false;
        self.writer.write(picture.into_bytes());
    }

    /// Ctrl-Z: restores the terminal, and stops.
    async fn stop(&mut self) {
        if !tty::is_job() {
            return;
        }
        if self.writer.is_busy() && timeout(STOP_WITHIN, self.writer.written()).await.is_ok() {
            self.lines.shown(std::mem::take(&mut self.counted));
        }
        if !self.writer.is_busy() {
            self.writer.write(format!("{NO_MARKS}\r\n").into_bytes());
            let _ = timeout(STOP_WITHIN, self.writer.written()).await;
        }
        self.modes.restore();
        let _ = kill_process(getpid(), Signal::STOP);
    }

    /// Takes the terminal back from the shell, which may have changed its modes.
    fn take_back(&mut self) {
        self.modes.by_key();
        (self.taken, self.stale) = (true, true);
    }

    /// Ends the last row and restores the terminal.
    async fn leave(mut self) {
        let rest = self.editor.close().map(|row| format!("{row}\r\n")).unwrap_or_default();
        self.writer.write(format!("{CLEAR}{rest}{NO_MARKS}").into_bytes());
        let _ = self.writer.written().await;
        self.modes.restore();
    }
}

/// Starts the thread that reads: it sends bytes as they come, and no bytes at the end.
fn keyboard() -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let (typed, bytes) = mpsc::channel(TYPED);
    thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        let mut keyboard = Patient(io::stdin());
        let mut buffer = [0; 4096];
        loop {
            let read = keyboard.read(&mut buffer).map(|length| buffer[..length].to_vec());
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            if typed.blocking_send(read).is_err() || is_last {
                break;
            }
        }
    })?;
    Ok(bytes)
}
