//! Where lines come out: above the line being typed on a terminal, plainly and flushed at once
//! elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::ExternalPrinter;
use tokio::sync::Notify;

use super::fold::{Page, fold};

/// A place for lines, shared by everybody who has something to say.
#[derive(Clone)]
pub struct Screen {
    /// Held for one line, so that lines never mix.
    out: Arc<Mutex<Out>>,
    /// Told when nobody reads any more.
    gone: Arc<Notify>,
}

enum Out {
    Plain(Box<dyn Write + Send>),
    Terminal(Box<dyn ExternalPrinter + Send>),
}

impl Screen {
    /// The standard output, as it is.
    pub fn plain() -> Screen {
        Screen::over(Out::Plain(Box::new(io::stdout())))
    }

    /// A terminal whose typed line is kept and redrawn.
    pub fn terminal(printer: impl ExternalPrinter + Send + 'static) -> Screen {
        Screen::over(Out::Terminal(Box::new(printer)))
    }

    fn over(out: Out) -> Screen {
        Screen { out: Arc::new(Mutex::new(out)), gone: Arc::default() }
    }

    /// Until whoever read what is printed has gone: nothing should be received that nobody sees.
    pub async fn until_gone(&self) {
        self.gone.notified().await;
    }

    /// Whether a person sits in front of both ends.
    pub fn is_for_people() -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal()
    }

    /// Prints a line. If nobody can read it any more, [`Screen::until_gone`] says so.
    pub fn say(&self, line: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *out {
            Out::Plain(out) => {
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    self.gone.notify_one();
                }
            }
            Out::Terminal(printer) => {
                let _ = printer.print(fold(line, Page::now()) + "\n");
            }
        }
    }
}
