//! Between whoever logs and who reads the log: a queue, and a thread that writes what is in it. So a
//! terminal that is held (Ctrl-S), or a pipe that nobody reads, holds up nobody who is served. What
//! finds no room is dropped, and how many lines that were is logged as soon as somebody reads again.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// The most bytes that wait: thousands of lines, more than come while a disk or a terminal is slow.
const MOST: usize = 1 << 20;
/// How long an ending server waits for what is not written yet.
const FAREWELL: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this is the thread that writes. What it says itself always finds room.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// The queue of a log.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    /// Held for a look or a change, never while something is written.
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    /// Of the lines, and of what is being written.
    bytes: usize,
    /// How many lines found no room, and that is not logged yet.
    dropped: u64,
}

impl Waiting {
    /// Whether something is not written, or not told.
    fn is_open(&self) -> bool {
        self.bytes > 0 || self.dropped > 0
    }
}

impl Queue {
    /// Starts the thread that writes to `out`; `tell_dropped` logs how many lines were dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        out: impl Write + Send + 'static,
        tell_dropped: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Queue> {
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new() });
        let own = shared.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            WRITES.set(true);
            own.write_for_ever(out, tell_dropped);
        })?;
        Ok(Queue(shared))
    }

    /// Waits until everything is written, as long as somebody reads it: for a second at most.
    pub fn finish(&self) {
        let until = Instant::now() + FAREWELL;
        let mut waiting = self.0.waiting.lock();
        while waiting.is_open() && !self.0.changed.wait_until(&mut waiting, until).timed_out() {}
    }
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.bytes + line.len() > MOST && !WRITES.get() {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        drop(waiting);
        self.changed.notify_all();
    }

    fn write_for_ever(&self, mut out: impl Write, tell_dropped: impl Fn(u64)) {
        loop {
            let mut waiting = self.waiting.lock();
            while waiting.lines.is_empty() {
                self.changed.wait(&mut waiting);
            }
            let lines = std::mem::take(&mut waiting.lines);
            drop(waiting);
            for line in lines {
                // Where nobody can read it any more, the server goes on.
                let _ = out.write_all(&line);
                self.waiting.lock().bytes -= line.len();
            }
            let dropped = self.waiting.lock().dropped;
            if dropped > 0 {
                tell_dropped(dropped);
                self.waiting.lock().dropped -= dropped;
            }
            self.changed.notify_all();
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> &'a Queue {
        self
    }
}

/// Takes a line at a time, as the formatters write them.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader who takes a line when they want to.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(line.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue, what is read of it, and how many lines it was told that were dropped.
    fn queue() -> (Queue, Receiver<Vec<u8>>, Receiver<u64>) {
        let (writes, reads) = sync_channel(0);
        let (tells, told) = sync_channel(1);
        let queue = Queue::start(Reader(writes), move |lines| tells.send(lines).unwrap()).unwrap();
        (queue, reads, told)
    }

    #[test]
    fn lines_are_written_in_their_order_and_the_end_waits_for_them() {
        let (queue, reads, _) = queue();
        let reading = thread::spawn(move || (0..100).map(|_| reads.recv().unwrap()).collect());
        for n in 0..100 {
            (&queue).write_all(format!("{n}\n").as_bytes()).unwrap();
        }

        queue.finish();

        assert_eq!(queue.0.waiting.lock().bytes, 0);
        let lines: Vec<Vec<u8>> = reading.join().unwrap();
        let expected = (0..100).map(|n| format!("{n}\n").into_bytes());
        assert!(lines.into_iter().eq(expected));
    }

    #[test]
    fn whoever_logs_waits_for_no_reader_and_what_found_no_room_is_counted() {
        let (queue, reads, told) = queue();
        let line = [b'x'; 1024];
        // Nobody reads.
        for _ in 0..MOST / line.len() + 7 {
            (&queue).write_all(&line).unwrap();
        }
        {
            let waiting = queue.0.waiting.lock();
            assert_eq!((waiting.bytes, waiting.dropped), (MOST, 7));
        }

        // What was read makes room, before all of it was.
        for _ in 0..3 {
            assert_eq!(reads.recv().unwrap(), line);
        }
        while queue.0.waiting.lock().bytes > MOST - 2 * line.len() {
            thread::yield_now();
        }
        (&queue).write_all(&line).unwrap();
        for _ in 3..MOST / line.len() + 1 {
            assert_eq!(reads.recv().unwrap(), line);
        }

        assert_eq!(told.recv().unwrap(), 7);
        (&queue).write_all(b"again").unwrap();
        assert_eq!(reads.recv().unwrap(), b"again");
    }

    #[test]
    fn where_nobody_can_read_any_more_nothing_waits() {
        let (queue, reads, _) = queue();
        drop(reads);
        (&queue).write_all(b"lost").unwrap();

        queue.finish();

        assert_eq!(queue.0.waiting.lock().bytes, 0);
    }
}
