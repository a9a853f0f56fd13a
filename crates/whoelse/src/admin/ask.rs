//! Questions to the user of a command: for a password, or for a confirmation.
//!
//! On a terminal it asks the user; otherwise a password is the first line of the standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::task::spawn_blocking;
use whoelse_client::Password;
use whoelse_xmpp::in_words;

use super::Fault;
use crate::hidden::{self, Hidden};
use crate::output;

/// Longest password that is read, in bytes.
const LONGEST: usize = 1_000;

/// Asks for a new password: typed twice without echo, or the first line of the standard input.
pub async fn new_password() -> Result<Password, Fault> {
    if !io::stdin().is_terminal() {
        return blocking(|| password(&first_line(&mut io::stdin().lock())?)).await;
    }
    // Outermost: Ctrl-C at a password must not leave a terminal without echo.
    let _hidden = Hidden::begin().map_err(|why| {
        Fault::Say(format!("cannot read a password from this terminal: {}", in_words(&why)))
    })?;
    blocking(type_twice).await
}

/// Reads a password from the first line of a file. The error is a sentence.
pub fn password_in(file: &Path) -> Result<Password, String> {
    let name = crate::say::text::line(&file.display().to_string());
    let cannot =
        |why: io::Error| format!("cannot read the password file {name}: {}", in_words(&why));
    let open = File::open(file).map_err(cannot)?;
    let mode = open.metadata().map_err(cannot)?.permissions().mode();
    if mode & 0o077 != 0 {
        output::complain(format_args!("warning: others may read {name}; `chmod 600 {name}` helps"));
    }
    let line = first_line(&mut BufReader::new(open));
    match line.and_then(|line| password(&line)) {
        Ok(password) => Ok(password),
        Err(Fault::Say(why)) if !why.contains("standard input") => Err(format!("{name}: {why}")),
        Err(_) => Err(format!("{name}: the password is empty")),
    }
}

/// Runs something that blocks on a thread of its own, so that Ctrl-C still works.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = spawn_blocking(read).await;
    done.unwrap_or_else(|_| Err(Fault::say("what was typed could not be read; try again")))
}

fn type_twice() -> Result<Password, Fault> {
    let ask = |prompt| {
        hidden::ask(prompt, &mut io::stdin().lock()).map_err(|why| Fault::Say(no_password(&why)))
    };
    let first = ask("New password: ")?;
    // Checked before the second question, which would be in vain otherwise.
    let chosen = password(&first)?;
    match ask("Repeat password: ")? {
        second if second == first => Ok(chosen),
        _ => Err(Fault::say("the two passwords are not the same")),
    }
}

fn no_password(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::UnexpectedEof => "no password was typed".to_owned(),
        _ => format!("cannot read the password: {}", in_words(why)),
    }
}

/// Checks that a line can be a password.
fn password(line: &str) -> Result<Password, Fault> {
    if line.len() > LONGEST {
        return Err(Fault::Say(format!("the password is longer than {LONGEST} bytes")));
    }
    Password::new(line).map_err(|why| Fault::Say(why.to_string()))
}

/// Reads the first line, without its end, and no more than a password may be long.
fn first_line(from: &mut impl BufRead) -> Result<String, Fault> {
    let mut line = Vec::new();
    let most = LONGEST as u64 + 2;
    let read = from.by_ref().take(most).read_until(b'\n', &mut line);
    match read {
        Err(why) => return Err(Fault::Say(no_password(&why))),
        Ok(0) => {
            return Err(Fault::say(
                "no password: it is read from the standard input, which is empty",
            ));
        }
        Ok(_) => {}
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map(str::to_owned);
    text.map_err(|_| Fault::say("the password is not UTF-8 text"))
}

/// Makes sure that something is meant: asks for a confirmation, unless `yes` was said beforehand.
/// Without a terminal nobody can be asked, and it is not meant. `otherwise` says that nothing was
/// done.
pub async fn confirm(yes: bool, question: String, otherwise: &str) -> Result<(), Fault> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Fault::Say(format!(
            "{otherwise}: there is no terminal to ask on; say --yes if it is meant"
        )));
    }
    let answer = blocking(move || {
        let mut screen = io::stderr();
        let shown = write!(screen, "{question} [y/N] ").and_then(|()| screen.flush());
        let mut answer = Vec::new();
        let read = shown.and_then(|()| io::stdin().lock().take(100).read_until(b'\n', &mut answer));
        read.map_err(|why| Fault::Say(format!("cannot ask on this terminal: {}", in_words(&why))))?;
        let answer = String::from_utf8_lossy(&answer);
        if !answer.ends_with('\n') {
            // The next output begins on a line of its own.
            let _ = writeln!(screen);
        }
        Ok(is_yes(&answer))
    });
    match answer.await? {
        true => Ok(()),
        false => Err(Fault::say(otherwise)),
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(input: &[u8]) -> Result<Password, Fault> {
        password(&first_line(&mut &input[..])?)
    }

    fn refused(input: &[u8]) -> String {
        match read(input) {
            Err(Fault::Say(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_password_is_the_first_line_spaces_kept() {
        for (input, password) in [
            (&b"pencil\n"[..], &b"pencil"[..]),
            (b"pencil", b"pencil"),
            (b"pencil\r\nrest\n", b"pencil"),
            (b" two words \n", b" two words "),
        ] {
            assert_eq!(read(input).unwrap().reveal(), password);
        }
    }

    #[test]
    fn what_is_no_password_is_refused_with_the_reason() {
        assert!(refused(b"").contains("standard input"));
        assert_eq!(refused(b"\n"), "the password is empty");
        assert!(refused(b"a\x07b\n").contains("character"));
        assert!(refused(b"a\xffb\n").contains("UTF-8"));
        assert!(refused(&b"x".repeat(LONGEST + 1)).contains("longer than 1000 bytes"));
        assert!(read(&b"x".repeat(LONGEST)).is_ok());
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \n"] {
            assert!(is_yes(yes));
        }
        for no in ["", "\n", "n\n", "no\n", "yesterday\n", "j\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
