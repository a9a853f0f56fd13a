//! Where lines come from: a console on a terminal, otherwise the standard input.
//!
//! Reading may block, so a thread does it. A caller that waits for a command may stop waiting; the
//! line is then the next command. It is never the answer to a question that was asked later.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::asking::{Ask, Instruction, Typed};
use super::console::Console;
use super::face::Face;
use super::patient::Patient;
use super::said::Said;
use super::screen::Lines;
use crate::hidden;

/// The prompt for a command.
const PROMPT: &str = "> ";
/// Longest line that is read; the command that gets a longer one refuses it.
const MAX_LINE: u64 = 1 << 20;

/// Commands that are kept while another runs, for instance waits for the connection.
const MAX_AHEAD: usize = 100;
/// A command that takes longer than this is waited for in the background.
const AT_ONCE: Duration = Duration::from_millis(300);

/// The asking side.
pub struct Input {
    instructions: mpsc::Sender<Instruction>,
    typed: mpsc::UnboundedReceiver<(Ask, Typed)>,
    /// The open question.
    asked: Option<Ask>,
    /// Commands that were typed while another ran.
    ahead: VecDeque<String>,
    /// Where questions are reported if nobody sees a prompt. A script's lines stay in its pipe
    /// while a command runs.
    script: Option<Face>,
}

impl Input {
    /// Returns whether nobody sees the prompt.
    pub fn is_script(&self) -> bool {
        self.script.is_some()
    }

    /// Returns the next command.
    pub async fn command(&mut self) -> Typed {
        match self.ahead.pop_front() {
            Some(line) => Typed::Line(line),
            None => self.read(Ask::Command).await,
        }
    }

    /// Returns what is typed while a command runs, unless that ends at once.
    pub async fn meanwhile(&mut self) -> Typed {
        if self.script.is_some() || self.ahead.len() >= MAX_AHEAD {
            return std::future::pending().await;
        }
        // A user who types ahead need not wait with the next line.
        if self.asked.is_none() && self.ahead.is_empty() {
            tokio::time::sleep(AT_ONCE).await;
        }
        self.read(Ask::Command).await
    }

    /// Keeps a command for later.
    pub fn keep(&mut self, line: String) {
        self.ahead.push_back(line);
    }

    /// Returns the kept commands, which will not be run any more.
    pub fn take_ahead(&mut self) -> Vec<String> {
        while let Ok((ask, typed)) = self.typed.try_recv() {
            if let (Ask::Command, Typed::Line(line)) = (ask, typed) {
                self.keep(line);
            }
        }
        std::mem::take(&mut self.ahead).into()
    }

    /// Asks a question, and waits for the answer. A half-typed command is set aside.
    pub async fn answer(&mut self, question: Ask) -> Typed {
        self.read(question).await
    }

    /// Reports that a dialogue has succeeded: what was typed meanwhile was no answer to it, and so
    /// no secret.
    pub async fn keep_ahead(&mut self) {
        let _ = self.instructions.send(Instruction::KeepAhead).await;
    }

    /// Reports that a dialogue begins: until it asks something, typed lines are answers to it and
    /// perhaps secrets.
    pub async fn expect_questions(&mut self) {
        let _ = self.instructions.send(Instruction::ExpectQuestions).await;
    }

    /// May be cancelled: what is typed later is the answer of the next call.
    async fn read(&mut self, ask: Ask) -> Typed {
        if self.asked.as_ref() != Some(&ask) {
            self.tell_prompt(&ask);
            if self.instructions.send(Instruction::Ask(ask.clone())).await.is_err() {
                return Typed::End;
            }
            self.asked = Some(ask.clone());
        }
        loop {
            match self.typed.recv().await {
                Some((to, typed)) if to == ask => {
                    self.asked = None;
                    return typed;
                }
                // A command was completed before the question came.
                Some((_, Typed::Line(line))) => self.keep(line),
                Some((_, ended)) => return ended,
                None => return Typed::End,
            }
        }
    }

    fn tell_prompt(&self, ask: &Ask) {
        match (&self.script, ask) {
            (Some(_), Ask::Secret(_)) if io::stdin().is_terminal() => {}
            (Some(script), Ask::Line(prompt) | Ask::Secret(prompt) | Ask::Choice(prompt)) => {
                script.tell(&Said::Prompt(prompt));
            }
            _ => {}
        }
    }

    /// Takes a console on the terminal, which shows these lines. Must be called inside a runtime.
    pub fn terminal(lines: Lines) -> io::Result<(Input, JoinHandle<()>)> {
        let (instructions, instructed) = mpsc::channel(1);
        let (answers, typed) = mpsc::unbounded_channel();
        let console = Console::new(PROMPT, lines, instructed, answers)?;
        let input =
            Input { instructions, typed, asked: None, ahead: VecDeque::new(), script: None };
        Ok((input, tokio::spawn(console.run())))
    }

    /// Reads lines of the standard input; questions are reported for the author of a script.
    pub fn plain(script: Face) -> io::Result<Input> {
        let mut from = BufReader::new(Patient(io::stdin()));
        Input::start(Some(script), move |ask| match ask {
            // Only the output is redirected: a password must still not be echoed.
            Ask::Secret(prompt) if io::stdin().is_terminal() => read_secret(prompt, &mut from),
            _ => read_plain(&mut from),
        })
    }

    /// Starts a thread that reads one line for each question.
    fn start(
        script: Option<Face>,
        mut read: impl FnMut(&Ask) -> Typed + Send + 'static,
    ) -> io::Result<Input> {
        let (instructions, mut instructed) = mpsc::channel(1);
        let (answer, typed) = mpsc::unbounded_channel();
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            while let Some(instruction) = instructed.blocking_recv() {
                if let Instruction::Ask(ask) = instruction {
                    let typed = read(&ask);
                    if answer.send((ask, typed)).is_err() {
                        break;
                    }
                }
            }
        })?;
        Ok(Input { instructions, typed, asked: None, ahead: VecDeque::new(), script })
    }
}

fn read_secret(prompt: &str, from: &mut impl BufRead) -> Typed {
    match hidden::ask(prompt, from) {
        Ok(secret) => Typed::Line(secret),
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Typed::End,
        Err(why) => Typed::Failed(why.kind()),
    }
}

/// Reads one line; bytes that are not UTF-8 are replaced. A last line without an end counts. Bytes
/// beyond [`MAX_LINE`] are dropped, so that they are not taken for another line.
fn read_plain(from: &mut impl BufRead) -> Typed {
    let mut line = Vec::new();
    let read = from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
    let read = read.and_then(|length| {
        if length > 0 && !line.ends_with(b"\n") {
            from.skip_until(b'\n')?;
        }
        Ok(length)
    });
    match read {
        Err(why) => return Typed::Failed(why.kind()),
        Ok(0) => return Typed::End,
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
        let input = Input::start(None, move |ask| match lines.recv() {
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
    fn an_input_that_cannot_be_read_is_not_at_its_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::IsADirectory.into())
            }
        }

        let typed = read_plain(&mut BufReader::new(Broken));

        assert_eq!(typed, Typed::Failed(io::ErrorKind::IsADirectory));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_program() {
        assert_eq!(all(b"a\xff\n"), ["a\u{fffd}"]);
    }
}
