//! Where lines come from: an editor with history on a terminal, the standard input elsewhere.
//!
//! Reading blocks, so it has a thread of its own, which reads one line whenever it is asked to.
//! Whoever waits for a command may stop waiting; the line is then the next command. It is never
//! taken for the answer to a question that was asked later.

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal, Read};
use std::thread;
use std::time::Duration;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};
use tokio::sync::mpsc;

use super::screen::Screen;
use super::stop::{self, Reader, Reading};
use crate::hidden;

/// What stands before a command being typed.
const PROMPT: &str = "> ";
/// Longest line that is read; what is longer is refused by the command that gets it.
const MAX_LINE: u64 = 1 << 20;

/// Commands that are kept while another is at work, for instance waits for the connection.
const MAX_AHEAD: usize = 100;
/// A command that takes longer than this is waited for in the background.
const AT_ONCE: Duration = Duration::from_millis(300);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A command.
    Command,
    /// A line, with this prompt.
    Line(&'static str),
    /// A password, with this prompt: not echoed, not remembered.
    Secret(&'static str),
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// The end of the input.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// The asking end.
pub struct Input {
    ask: mpsc::Sender<Ask>,
    typed: mpsc::Receiver<Typed>,
    /// A command has been asked for, and not been typed.
    asked: bool,
    /// Commands that were typed while another was at work.
    ahead: VecDeque<String>,
    /// Whether the next command can be typed while one is at work. A script's lines wait in its
    /// pipe as well.
    is_for_people: bool,
}

impl Input {
    /// The next command.
    pub async fn command(&mut self) -> Typed {
        match self.ahead.pop_front() {
            Some(line) => Typed::Line(line),
            None => self.read(Ask::Command).await,
        }
    }

    /// What is typed while a command is at work, unless it is done at once.
    pub async fn meanwhile(&mut self) -> Typed {
        if !self.is_for_people || self.ahead.len() >= MAX_AHEAD {
            return std::future::pending().await;
        }
        if !self.asked {
            tokio::time::sleep(AT_ONCE).await;
        }
        self.read(Ask::Command).await
    }

    /// Keeps a command for later.
    pub fn keep(&mut self, line: String) {
        self.ahead.push_back(line);
    }

    /// Asks a question, and waits for the answer.
    pub async fn answer(&mut self, question: Ask) -> Typed {
        if self.asked {
            match self.read(Ask::Command).await {
                Typed::Line(line) => self.keep(line),
                ended => return ended,
            }
        }
        self.read(question).await
    }

    async fn read(&mut self, ask: Ask) -> Typed {
        if !self.asked {
            if self.ask.send(ask).await.is_err() {
                return Typed::End;
            }
            self.asked = true;
        }
        let typed = self.typed.recv().await.unwrap_or(Typed::End);
        self.asked = false;
        typed
    }

    /// An editor on the terminal, and the screen above it.
    pub fn terminal() -> rustyline::Result<(Input, Screen)> {
        let config = Config::builder().max_history_size(1_000)?.auto_add_history(false).build();
        let mut editor: Editor<(), DefaultHistory> = Editor::with_config(config)?;
        let screen = Screen::terminal(editor.create_external_printer()?);
        let (reading, above) = (Reading::default(), screen.clone());
        stop::go_on_afterwards(reading.clone(), move || above.say(""))?;
        let input = Input::start(true, move |ask| match ask {
            Ask::Command => reading.by(Reader::Editor, || read_command(&mut editor)),
            Ask::Line(prompt) => reading.by(Reader::Editor, || read_line(&mut editor, prompt)),
            Ask::Secret(prompt) => reading.by(Reader::Secret, || read_secret(prompt)),
        })?;
        Ok((input, screen))
    }

    /// Lines of the standard input; what is asked is told, for whoever scripts this.
    pub fn plain(ask_for: impl Fn(&'static str) + Send + 'static) -> io::Result<Input> {
        Input::start(false, move |ask| {
            match ask {
                Ask::Command => {}
                // Only the output is redirected: a password is still not for the eye.
                Ask::Secret(prompt) if io::stdin().is_terminal() => return read_secret(prompt),
                Ask::Line(prompt) | Ask::Secret(prompt) => ask_for(prompt),
            }
            read_plain(&mut io::stdin().lock())
        })
    }

    fn start(
        is_for_people: bool,
        mut read: impl FnMut(Ask) -> Typed + Send + 'static,
    ) -> io::Result<Input> {
        let (ask, mut asked) = mpsc::channel(1);
        let (answer, typed) = mpsc::channel(1);
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            while let Some(ask) = asked.blocking_recv() {
                if answer.blocking_send(read(ask)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Input { ask, typed, asked: false, ahead: VecDeque::new(), is_for_people })
    }
}

/// Only commands are worth remembering; a name typed at a question is not.
fn read_command(editor: &mut Editor<(), DefaultHistory>) -> Typed {
    let typed = read_line(editor, PROMPT);
    if let Typed::Line(line) = &typed {
        let _ = editor.add_history_entry(line.as_str());
    }
    typed
}

fn read_line(editor: &mut Editor<(), DefaultHistory>, prompt: &str) -> Typed {
    match editor.readline(prompt) {
        Ok(line) => Typed::Line(line),
        Err(ReadlineError::Interrupted) => Typed::Interrupt,
        Err(_) => Typed::End,
    }
}

fn read_secret(prompt: &str) -> Typed {
    match hidden::ask(prompt) {
        Ok(secret) => Typed::Line(secret),
        Err(why) if why.kind() == io::ErrorKind::Interrupted => Typed::Interrupt,
        Err(_) => Typed::End,
    }
}

/// One line; bytes that are not UTF-8 are replaced. A last line without an end counts. What is
/// beyond [`MAX_LINE`] is thrown away, so that it is not taken for another line.
fn read_plain(from: &mut impl BufRead) -> Typed {
    let mut line = Vec::new();
    match from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => return Typed::End,
        Ok(_) if !line.ends_with(b"\n") => {
            if from.skip_until(b'\n').is_err() {
                return Typed::End;
            }
        }
        Ok(_) => {}
    }
    let text = String::from_utf8_lossy(&line);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Typed::Line(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all(mut text: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while let Typed::Line(line) = read_plain(&mut text) {
            lines.push(line);
        }
        lines
    }

    /// An input whose lines come from the test.
    fn typed_by_test() -> (Input, std::sync::mpsc::Sender<&'static str>) {
        let (keyboard, lines) = std::sync::mpsc::channel::<&str>();
        let input = Input::start(true, move |ask| match lines.recv() {
            Ok(line) => Typed::Line(format!("{ask:?} {line}")),
            Err(_) => Typed::End,
        });
        (input.unwrap(), keyboard)
    }

    #[tokio::test]
    async fn a_command_typed_while_another_is_at_work_is_the_next_one() {
        let (mut input, keyboard) = typed_by_test();
        keyboard.send("one").unwrap();

        let Typed::Line(line) = input.meanwhile().await else { panic!("no line") };
        input.keep(line);

        assert_eq!(input.command().await, Typed::Line("Command one".to_owned()));
    }

    #[tokio::test]
    async fn a_command_is_not_taken_for_the_answer_to_a_question() {
        let (mut input, keyboard) = typed_by_test();
        let waiting = tokio::time::timeout(Duration::from_secs(1), input.meanwhile());
        assert!(waiting.await.is_err());
        keyboard.send("one").unwrap();
        keyboard.send("two").unwrap();

        let answer = input.answer(Ask::Secret("Password: ")).await;

        assert_eq!(answer, Typed::Line("Secret(\"Password: \") two".to_owned()));
        assert_eq!(input.command().await, Typed::Line("Command one".to_owned()));
    }

    #[test]
    fn lines_end_with_a_line_break_of_either_kind_or_with_the_input() {
        assert_eq!(all(b"one\ntwo\r\n\nlast"), ["one", "two", "", "last"]);
        assert_eq!(all(b""), [""; 0]);
    }

    #[test]
    fn the_rest_of_a_line_that_is_too_long_is_not_a_line() {
        let most = MAX_LINE as usize;
        let mut text = vec![b'x'; most + 10];
        text.extend_from_slice(b"\nnext\n");

        let lines = all(&text);

        assert_eq!((lines[0].len(), lines[1].as_str(), lines.len()), (most, "next", 2));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_program() {
        assert_eq!(all(b"a\xff\n"), ["a\u{fffd}"]);
    }
}
