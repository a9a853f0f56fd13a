//! Carries the bytes of one line between its state machine and the connection, and reports its
//! path.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use futures_core::Stream as _;
use iroh::endpoint::{Connection, ReadError, SendStream, WriteError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep_until, timeout};

use crate::endpoint::{DONE, VIOLATION, was_closed};
use crate::events::{Closing, Path};
use crate::line::{Event, Line};
use crate::note::{News, Note};

/// Time from the connection to a stream on which both ends have sent their header.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How long a clean close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// A line often begins on the relay and finds its direct path a moment later, so the path is
/// reported after this time.
const SETTLE: Duration = Duration::from_millis(2_500);
/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// A peer from which nothing comes for this long, not even a heartbeat, is gone: the user is told
/// within 15 s. QUIC's own timeout starts anew for every path that it tries.
const SILENCE: Duration = Duration::from_secs(12);
/// How often the silence is checked.
const LOOK: Duration = Duration::from_secs(1);
const _: () = assert!(SILENCE.as_secs() + LOOK.as_secs() < 15, "behaviour.md promises 15 s");
/// News that nobody has taken; above it nothing is read from the peer.
const MAX_NEWS: usize = 64;

/// A message to send; the answer says whether there was room for it.
#[derive(Debug)]
pub(crate) struct ToSend {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) sent: oneshot::Sender<bool>,
}

/// The parameters of a new line.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Its number.
    pub(crate) id: u64,
    /// Whether this end made the request.
    pub(crate) initiator: bool,
    /// Whether there may be a direct path.
    pub(crate) direct: bool,
    /// The messages to send.
    pub(crate) to_send: mpsc::Receiver<ToSend>,
    /// The reason to end, once there is one.
    pub(crate) end: watch::Receiver<Option<Closing>>,
}

/// One line and its connection.
struct Chat {
    id: u64,
    direct: bool,
    connection: Connection,
    line: Line,
    news: VecDeque<News>,
    notes: mpsc::Sender<Note>,
    /// The reason to end, and the deadline.
    closing: Option<(Closing, Instant)>,
    /// Datagrams received, and since when no more have come.
    heard: (u64, Instant),
    /// The path that was reported.
    told: Option<Path>,
    /// When to report the relay, if there is no direct path by then.
    settled_by: Option<Instant>,
}

/// Carries a line until it has ended, which the last news reports.
pub(crate) async fn run(
    begun: Begun,
    connection: Connection,
    line: Line,
    notes: mpsc::Sender<Note>,
) {
    let Begun { id, initiator, direct, mut to_send, mut end } = begun;
    let mut chat = Chat {
        id,
        direct,
        connection,
        line,
        news: VecDeque::new(),
        notes,
        closing: None,
        heard: (0, Instant::now()),
        told: None,
        settled_by: None,
    };
    let why = chat.carry(initiator, &mut to_send, &mut end).await;
    chat.hear();
    let Chat { connection, line, mut news, notes, .. } = chat;
    let code = if why == Closing::Violation { VIOLATION } else { DONE };
    connection.close(code, b"");
    news.push_back(News::Ended { why, unconfirmed: line.into_unconfirmed() });
    for it in news {
        let _ = notes.send(Note::Line { id, news: it }).await;
    }
}

impl Chat {
    async fn carry(
        &mut self,
        initiator: bool,
        to_send: &mut mpsc::Receiver<ToSend>,
        end: &mut watch::Receiver<Option<Closing>>,
    ) -> Closing {
        let opening = async {
            match initiator {
                true => self.connection.open_bi().await,
                false => self.connection.accept_bi().await,
            }
        };
        let (mut send, mut recv) = tokio::select! {
            opened = timeout(OPEN_WITHIN, opening) => match opened {
                Ok(Ok(streams)) => streams,
                _ => return Closing::Lost,
            },
            why = reason(end) => return why,
        };
        let greeted_by = Instant::now() + OPEN_WITHIN;
        let mut ways = self.connection.path_events();
        let mut ways_end = false;
        let mut chunk = vec![0; CHUNK];
        loop {
            self.hear();
            self.look(Instant::now());
            let now = Instant::now();
            if self.is_silent(now) {
                return self.fault(Closing::Lost);
            }
            if let Some((why, by)) = self.closing
                && (self.line.is_done() || by <= now)
            {
                return self.part(why, by, send).await;
            }
            if !self.line.is_greeted() && greeted_by <= now {
                return Closing::Lost;
            }
            let deadline = self.deadline(greeted_by, now);
            let notes = self.notes.clone();
            let reads = self.line.wants_input(now) && self.news.len() < MAX_NEWS;
            tokio::select! {
                permit = notes.reserve(), if !self.news.is_empty() => {
                    let Ok(permit) = permit else { return Closing::ByMe };
                    if let Some(news) = self.news.pop_front() {
                        permit.send(Note::Line { id: self.id, news });
                    }
                }
                // Messages that were queued before the end are sent first.
                message = to_send.recv() => match message {
                    Some(message) => self.say(message, now),
                    None => return Closing::ByMe,
                },
                why = reason(end), if self.closing.is_none() => {
                    while let Ok(message) = to_send.try_recv() {
                        self.say(message, now);
                    }
                    self.close(why, now);
                }
                written = send.write(self.line.output()), if !self.line.output().is_empty() => {
                    match written {
                        Ok(bytes) => self.line.written(bytes),
                        Err(fault) => return self.fault(of_write(&fault)),
                    }
                }
                read = recv.read(&mut chunk), if reads => match read {
                    Ok(Some(bytes)) => {
                        let bytes = chunk.get(..bytes).unwrap_or_default();
                        if self.line.push(bytes, now).is_err() {
                            return Closing::Violation;
                        }
                    }
                    // The stream ends without a goodbye.
                    Ok(None) => return self.fault(Closing::ByThem),
                    Err(fault) => return self.fault(of_read(&fault)),
                },
                way = poll_fn(|cx| Pin::new(&mut ways).poll_next(cx)), if !ways_end => {
                    ways_end = way.is_none();
                }
                () = sleep_until(deadline.into()) => self.line.handle_time(Instant::now()),
            }
        }
    }

    fn say(&mut self, ToSend { id, text, sent }: ToSend, now: Instant) {
        let taken = self.line.send(id.clone(), text, now);
        if taken {
            self.news.push_back(News::Sent(id));
        }
        let _ = sent.send(taken);
    }

    /// Takes the events of the line.
    fn hear(&mut self) {
        while let Some(event) = self.line.poll_event() {
            let now = Instant::now();
            let news = match event {
                Event::Greeted => {
                    let settling = if self.direct { SETTLE } else { Duration::ZERO };
                    self.settled_by = Some(now + settling);
                    News::Greeted
                }
                Event::Message(text) => {
                    // The first message neither waits for a better path nor comes before the chat
                    // is open.
                    self.settled_by = Some(now);
                    self.look(now);
                    News::Message(text)
                }
                Event::Arrived(id) => News::Arrived(id),
                Event::Silent => News::Silent,
                Event::Closed => {
                    self.close(Closing::ByThem, now);
                    continue;
                }
            };
            self.news.push_back(news);
        }
    }

    /// Checks the path of the line, and reports a new one.
    fn look(&mut self, now: Instant) {
        let Some(settled_by) = self.settled_by else { return };
        let path = match way_of(&self.connection) {
            Some(Path::Relay) if self.told.is_none() && now < settled_by => return,
            Some(path) => path,
            None => return,
        };
        if self.told != Some(path) {
            self.told = Some(path);
            self.news.push_back(News::Takes(path));
        }
    }

    /// Returns whether nothing has come for too long.
    fn is_silent(&mut self, now: Instant) -> bool {
        let datagrams = self.connection.stats().udp_rx.datagrams;
        if datagrams != self.heard.0 {
            self.heard = (datagrams, now);
        }
        now.duration_since(self.heard.1) >= SILENCE
    }

    fn close(&mut self, why: Closing, now: Instant) {
        self.line.close();
        if self.closing.is_none() {
            self.closing = Some((why, now + CLOSE_WITHIN));
        }
    }

    /// Returns why the connection is gone: the reason for which it was ending, or this one.
    fn fault(&self, why: Closing) -> Closing {
        self.closing.map_or(why, |(why, _)| why)
    }

    /// Everything is sent; waits until it has arrived.
    async fn part(&mut self, why: Closing, by: Instant, mut send: SendStream) -> Closing {
        if self.line.output().is_empty() && send.finish().is_ok() {
            let by = by.max(Instant::now() + CLOSE_WITHIN / 4);
            let _ = timeout(by.duration_since(Instant::now()), send.stopped()).await;
        }
        why
    }

    fn deadline(&self, greeted_by: Instant, now: Instant) -> Instant {
        let greeting = (!self.line.is_greeted()).then_some(greeted_by);
        let settled = self.settled_by.filter(|_| self.told.is_none());
        let closing = self.closing.map(|(_, by)| by);
        let all = [self.line.next_deadline(now), greeting, settled, closing];
        all.into_iter().flatten().min().unwrap_or(now + LOOK).min(now + LOOK)
    }
}

/// Waits for the reason to end.
async fn reason(end: &mut watch::Receiver<Option<Closing>>) -> Closing {
    match end.wait_for(Option::is_some).await {
        Ok(why) => why.unwrap_or(Closing::ByMe),
        // The handle of the line was dropped.
        Err(_) => Closing::ByMe,
    }
}

/// Returns the path that application data takes now.
fn way_of(connection: &Connection) -> Option<Path> {
    let ways = connection.paths();
    let chosen = ways.iter().find(|way| way.is_selected())?;
    Some(if chosen.is_relay() { Path::Relay } else { Path::Direct })
}

fn of_read(fault: &ReadError) -> Closing {
    match fault {
        ReadError::ConnectionLost(why) if !was_closed(why) => Closing::Lost,
        _ => Closing::ByThem,
    }
}

fn of_write(fault: &WriteError) -> Closing {
    match fault {
        WriteError::ConnectionLost(why) if !was_closed(why) => Closing::Lost,
        _ => Closing::ByThem,
    }
}

#[cfg(test)]
mod tests;
