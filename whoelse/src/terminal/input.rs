//! Where lines come from: an editor with history on a terminal, the standard input elsewhere.
//!
//! Reading blocks, so it has a thread of its own, which reads one line whenever it is asked to.
//! Whoever waits for the line may stop waiting; the line then answers the next question.

use std::io::{self, BufRead, Read};
use std::thread;

use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};
use tokio::sync::mpsc;

use super::screen::Screen;

/// Longest line that is read; what is longer is refused by the command that gets it.
const MAX_LINE: u64 = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
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
}

impl Input {
    /// Asks, and waits for what is typed.
    pub async fn ask(&mut self, ask: Ask) -> Typed {
        if self.ask.send(ask).await.is_err() {
            return Typed::End;
        }
        self.typed.recv().await.unwrap_or(Typed::End)
    }

    /// An editor on the terminal, and the screen above it.
    pub fn terminal() -> rustyline::Result<(Input, Screen)> {
        let config = Config::builder().max_history_size(1_000)?.auto_add_history(false).build();
        let mut editor: Editor<(), DefaultHistory> = Editor::with_config(config)?;
        let screen = Screen::terminal(editor.create_external_printer()?);
        let input = Input::start(move |ask| match ask {
            Ask::Line(prompt) => read_line(&mut editor, prompt),
            Ask::Secret(prompt) => read_secret(prompt),
        })?;
        Ok((input, screen))
    }

    /// Lines of the standard input; prompts are printed as lines, for whoever scripts this.
    pub fn plain() -> io::Result<(Input, Screen)> {
        let screen = Screen::plain();
        let prompts = screen.clone();
        let input = Input::start(move |ask| {
            let (Ask::Line(prompt) | Ask::Secret(prompt)) = ask;
            if prompt != super::PROMPT {
                prompts.say(prompt.trim_end());
            }
            read_plain(&mut io::stdin().lock())
        })?;
        Ok((input, screen))
    }

    fn start(mut read: impl FnMut(Ask) -> Typed + Send + 'static) -> io::Result<Input> {
        let (ask, mut asked) = mpsc::channel(1);
        let (answer, typed) = mpsc::channel(1);
        thread::Builder::new().name("input".to_owned()).spawn(move || {
            while let Some(ask) = asked.blocking_recv() {
                if answer.blocking_send(read(ask)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Input { ask, typed })
    }
}

fn read_line(editor: &mut Editor<(), DefaultHistory>, prompt: &str) -> Typed {
    match editor.readline(prompt) {
        Ok(line) => {
            // Only commands are worth remembering; a name typed at a question is not.
            if prompt == super::PROMPT {
                let _ = editor.add_history_entry(line.as_str());
            }
            Typed::Line(line)
        }
        Err(ReadlineError::Interrupted) => Typed::Interrupt,
        Err(_) => Typed::End,
    }
}

fn read_secret(prompt: &str) -> Typed {
    match rpassword::prompt_password(prompt) {
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
    use super::*;

    fn all(mut text: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while let Typed::Line(line) = read_plain(&mut text) {
            lines.push(line);
        }
        lines
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
