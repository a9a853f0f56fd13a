//! Where lines go: on a terminal above the line being typed (`console`), elsewhere plainly and
//! flushed at once.
//!
//! Nobody who says something waits for the reader. The producers keep the bound: they take nothing
//! new, from the server or from the keyboard, before there is room.

use std::io;

use tokio::sync::{mpsc, watch};

use super::writer::Writer;
use crate::say::paint::Line;

/// Above this many unread lines nothing is taken from the server. The server keeps what comes, and
/// sends unseen messages again after the next login.
const FROM_THE_SERVER: usize = 1_000;
/// Above this many no commands are taken either; it is larger so that `quit` can still be typed.
const FROM_THE_KEYBOARD: usize = 2_000;
/// Bytes that are handed over at once.
const PIECE: usize = 64 << 10;

/// A piece of output.
#[derive(Debug)]
pub enum Shown {
    /// A line.
    Line(Line),
    /// A new prompt, where one is shown.
    Prompt(String),
}

/// The sending end for lines, shared by everybody who has something to say.
#[derive(Clone)]
pub struct Screen {
    lines: mpsc::UnboundedSender<Shown>,
    waiting: watch::Sender<usize>,
    broken: watch::Sender<Option<io::ErrorKind>>,
}

/// The receiving end, which shows the lines.
pub struct Lines {
    lines: mpsc::UnboundedReceiver<Shown>,
    waiting: watch::Sender<usize>,
    broken: watch::Sender<Option<io::ErrorKind>>,
}

impl Shown {
    fn size(&self) -> usize {
        match self {
            Shown::Line(line) => line.text().len(),
            Shown::Prompt(prompt) => prompt.len(),
        }
    }
}

impl Screen {
    /// Makes both ends.
    pub fn new() -> (Screen, Lines) {
        let (say, lines) = mpsc::unbounded_channel();
        let (waiting, broken) = (watch::Sender::new(0), watch::Sender::new(None));
        let screen = Screen { lines: say, waiting: waiting.clone(), broken: broken.clone() };
        (screen, Lines { lines, waiting, broken })
    }

    /// Says a line; it may contain line breaks.
    pub fn say(&self, line: impl Into<Line>) {
        self.hand_over(Shown::Line(line.into()));
    }

    /// Changes the prompt, after everything that has been said.
    pub fn prompt(&self, prompt: String) {
        self.hand_over(Shown::Prompt(prompt));
    }

    fn hand_over(&self, shown: Shown) {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // Fails if nothing can be shown any more; then there is nobody to tell.
        let _ = self.lines.send(shown);
    }

    /// Waits until something may be taken from the server.
    pub async fn room_for_events(&self) {
        self.room(FROM_THE_SERVER).await;
    }

    /// Waits until something may be taken from the keyboard.
    pub async fn room_for_answers(&self) {
        self.room(FROM_THE_KEYBOARD).await;
    }

    async fn room(&self, most: usize) {
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting < most).await;
    }

    /// Returns why lines cannot be shown any more, once they cannot.
    pub fn broken(&self) -> watch::Receiver<Option<io::ErrorKind>> {
        self.broken.subscribe()
    }

    /// Returns how many lines wait; to be read when nobody has anything to say any more.
    pub fn backlog(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }
}

impl Lines {
    /// Returns the next lines, as many as can be shown at once; `None` after the last ones. May be
    /// cancelled.
    pub async fn next(&mut self) -> Option<Vec<Shown>> {
        let first = self.lines.recv().await?;
        let mut size = first.size();
        let mut lines = vec![first];
        while size < PIECE
            && let Ok(line) = self.lines.try_recv()
        {
            size += line.size();
            lines.push(line);
        }
        Some(lines)
    }

    /// Reports that this many lines were shown, or never will be.
    pub fn shown(&self, lines: usize) {
        self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(lines));
    }

    /// Reports that nothing can be shown any more, and drops all output until its end.
    pub async fn discard(&mut self, why: io::ErrorKind) {
        self.broken.send_replace(Some(why));
        self.waiting.send_replace(0);
        while let Some(lines) = self.next().await {
            self.shown(lines.len());
        }
    }
}

/// Waits until lines cannot be shown any more, and returns why; waits for ever if all were shown.
pub async fn until_broken(broken: &mut watch::Receiver<Option<io::ErrorKind>>) -> io::ErrorKind {
    match broken.wait_for(Option::is_some).await.map(|why| *why) {
        Ok(Some(why)) => why,
        _ => std::future::pending().await,
    }
}

/// Prints lines as they are, until there are no more.
pub async fn print(mut lines: Lines, mut writer: Writer) {
    while let Some(next) = lines.next().await {
        let count = next.len();
        let mut piece = String::new();
        for shown in next {
            if let Shown::Line(line) = shown {
                piece.push_str(line.text());
                piece.push('\n');
            }
        }
        writer.write(piece.into_bytes());
        match writer.written().await {
            Ok(()) => lines.shown(count),
            Err(why) => return lines.discard(why.kind()).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A writer whose reader is the test: each piece waits until the test takes it.
    struct Stuck(Sender<String>, Receiver<io::Result<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
            self.1.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (Screen, Receiver<String>, Sender<io::Result<()>>) {
        let (shown, see) = channel();
        let (read, reading) = channel();
        let (screen, lines) = Screen::new();
        tokio::spawn(print(lines, Writer::start(Stuck(shown, reading)).unwrap()));
        (screen, see, read)
    }

    #[tokio::test]
    async fn whoever_says_something_never_waits_and_whoever_makes_more_does() {
        let (screen, see, read) = stuck();

        (0..FROM_THE_SERVER).for_each(|n| screen.say(n.to_string()));

        let waiting = screen.clone();
        let mut room = Box::pin(waiting.room_for_events());
        tokio::select! {
            biased;
            () = &mut room => panic!("there is no room"),
            // Input is still taken.
            () = screen.room_for_answers() => {}
        }
        (0..FROM_THE_SERVER).for_each(|_| screen.say("more"));
        tokio::select! {
            biased;
            () = screen.room_for_answers() => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
        // The reader is back: everything comes in order, and there is room.
        drop(read);
        room.await;
        drop((waiting, screen));
        let all = tokio::task::spawn_blocking(move || see.iter().collect::<String>()).await;
        let all = all.unwrap();
        assert!(all.starts_with("0\n1\n2\n"), "{all}");
        assert_eq!(all.lines().count(), 2 * FROM_THE_SERVER);
    }

    #[tokio::test]
    async fn where_nothing_can_be_written_nobody_waits_and_everybody_is_told() {
        let (screen, _see, read) = stuck();
        read.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        (0..5 * FROM_THE_SERVER).for_each(|_| screen.say("lost"));

        assert_eq!(until_broken(&mut screen.broken()).await, io::ErrorKind::StorageFull);
        screen.room_for_events().await;
        (0..5 * FROM_THE_SERVER).for_each(|_| screen.say("lost as well"));
        screen.room_for_events().await;
    }
}
