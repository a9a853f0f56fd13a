//! XEP-0124 and XEP-0206: sessions whose connection is a chain of HTTP requests.
//!
//! A session is driven like every connection. What carries it is [`Carrier`]: it reads the bodies of
//! the requests in their order, and what it is given to write answers one of them. Which one, and
//! what is asked again, `whoelse_stream::bosh` decides.

use super::gate::Gate;
use super::{Connections, Ingress, Peer, negotiation, waiting};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use whoelse_core::kit::BoxFuture;
use whoelse_core::{Clock, Steady};
use whoelse_stream::bosh::{self, By, Due, Refusal};
use whoelse_stream::token;
use whoelse_xmpp::{Body, Limits};

/// How many connections of one session may be outside of the gate: two whose requests are held, one
/// whose request ends the session, and as many that still write their answers.
const CONNECTIONS: usize = 6;

/// What all sessions over BOSH share.
pub(crate) struct Sessions {
    /// By their ids. Held for one look or change, never across an await.
    all: Mutex<HashMap<String, Arc<Shared>>>,
    /// Those that have not logged in. They have places of their own: with those of connections,
    /// sessions that wait for their next request would keep it out.
    pub(super) gate: Arc<Gate>,
}

impl Sessions {
    pub fn new(gate: Arc<Gate>) -> Sessions {
        Sessions { all: Mutex::new(HashMap::new()), gate }
    }
}

/// A request: its head, and all of its body.
pub(crate) struct Request {
    pub head: Body,
    pub body: Bytes,
}

/// Answers a request by the task that waits for it.
struct Answerer(oneshot::Sender<Bytes>);

impl By for Answerer {
    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// What the requests of a session and its carrier share.
struct Shared {
    /// Held for one look or change, never across an await.
    inner: Mutex<Inner>,
    /// Places for its connections outside of the gate.
    places: Arc<Semaphore>,
    clock: Clock,
}

struct Inner {
    session: bosh::Session<Answerer>,
    is_logged_in: bool,
    /// When the last request has been read or answered, or its client has gone: if none is under way,
    /// since when.
    idle_since: Steady,
    /// When the last request without content came from a client that polls.
    polled: Option<Steady>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn new(session: bosh::Session<Answerer>, clock: Clock) -> Arc<Shared> {
        let inner = Inner {
            session,
            is_logged_in: false,
            idle_since: clock.steady(),
            polled: None,
            reader: None,
            writer: None,
        };
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        Arc::new(Shared { inner: Mutex::new(inner), places, clock })
    }

    /// Returns a place for a connection outside of the gate: a session that begins has a place of its
    /// own, and so has one that has logged in. `None` if that has too many.
    fn place(&self, begins: bool) -> Option<OwnedSemaphorePermit> {
        let has_places = {
            let inner = self.inner.lock();
            (begins || inner.is_logged_in) && !inner.session.is_over()
        };
        if has_places { self.places.clone().try_acquire_owned().ok() } else { None }
    }

    /// Changes something, answers what is due by it, and wakes the carrier.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> (T, Vec<Due<Answerer>>)) -> T {
        let mut inner = self.inner.lock();
        let (done, mut due) = change(&mut inner);
        due.extend(inner.session.release());
        inner.idle_since = self.clock.steady();
        let wakers = [inner.reader.take(), inner.writer.take()];
        drop(inner);
        answer(due);
        wakers.into_iter().flatten().for_each(Waker::wake);
        done
    }
}

fn answer(due: Vec<Due<Answerer>>) {
    for Due { by, answer } in due {
        // Whoever has gone may ask again.
        let _ = by.0.send(answer);
    }
}

/// Notes that a request is no longer waited with, however that came.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|_| ((), Vec::new()));
    }
}

impl Connections {
    /// How many bytes a request with this head may have; `None` if there is no such session.
    pub(crate) fn most_of_request(&self, head: &Body) -> Option<usize> {
        let logged_in = match &head.sid {
            None => false,
            Some(sid) => self.bosh.all.lock().get(&**sid)?.inner.lock().is_logged_in,
        };
        let limits = if logged_in { Limits::AFTER_LOGIN } else { Limits::BEFORE_LOGIN };
        Some(bosh::most_bytes(&limits, logged_in))
    }

    /// Answers a request of a client, when its turn comes.
    pub async fn ask_over_bosh(
        self: &Arc<Connections>,
        body: Bytes,
        peer: Peer,
    ) -> Result<Bytes, Refusal> {
        let head = bosh::head(&body).map_err(|_| Refusal::BadRequest)?;
        self.answer_over_bosh(Request { head, body }, peer, drop).await
    }

    /// Does the same for a request whose head has been read. Its connection may leave the gate when
    /// it is given a place of the session.
    pub(crate) async fn answer_over_bosh(
        self: &Arc<Connections>,
        request: Request,
        peer: Peer,
        leave: impl FnOnce(OwnedSemaphorePermit),
    ) -> Result<Bytes, Refusal> {
        let Request { head, body } = request;
        let rid = head.rid.ok_or(Refusal::BadRequest)?;
        if self.is_closing() {
            return Err(Refusal::SystemShutdown);
        }
        let shared = match &head.sid {
            None => self.begin_over_bosh(&head, rid, peer),
            Some(sid) => self.bosh.all.lock().get(&**sid).cloned().ok_or(Refusal::ItemNotFound)?,
        };
        if let Some(place) = shared.place(head.sid.is_none()) {
            leave(place);
        }
        let (by, mut answered) = oneshot::channel();
        let now = self.node.clock.steady();
        let taken = shared.change(|inner| {
            let polls_too_often = inner.polls_too_often(&head, now);
            let taken = match polls_too_often {
                true => Err((Answerer(by), Refusal::PolicyViolation)),
                false => inner.session.request(&head, rid, body, Answerer(by)),
            };
            match taken {
                Ok(due) => (Ok(inner.session.wait()), due),
                // XEP-0124, 14.2: this ends the session.
                Err((_, refusal)) => (Err(refusal), inner.session.end(Refusal::ItemNotFound)),
            }
        });
        let wait = taken?;
        let _under_way = UnderWay(shared.clone());
        let over = Refusal::ItemNotFound;
        tokio::select! {
            answer = &mut answered => return answer.map_err(|_| over),
            () = self.node.clock.sleep(wait) => {}
        }
        shared.change(|inner| ((), inner.session.expire(rid).into_iter().collect()));
        answered.await.map_err(|_| over)
    }

    fn begin_over_bosh(self: &Arc<Connections>, head: &Body, rid: u64, peer: Peer) -> Arc<Shared> {
        let sid = token();
        let session = bosh::Session::new(sid.clone(), head, rid);
        let shared = Shared::new(session, self.node.clock.clone());
        self.bosh.all.lock().insert(sid.clone(), shared.clone());
        let connections = Arc::downgrade(self);
        let carrier = Carrier { shared: shared.clone(), sid, connections, inactivity: None };
        let whose = shared.clone();
        let go_on = |arrived, carrier| async move {
            // From now on its requests may be longer.
            let logged_in = || whose.inner.lock().is_logged_in = true;
            negotiation::run_telling(arrived, carrier, logged_in).await;
        };
        self.let_in(carrier, Ingress::Bosh, peer, waiting::unwatched, go_on);
        shared
    }
}

impl Inner {
    /// XEP-0124, 12: whether a client that polls has asked for nothing twice in too short a time.
    fn polls_too_often(&mut self, head: &Body, now: Steady) -> bool {
        let Some(polling) = self.session.polling() else { return false };
        let asks_for_nothing = head.is_empty && !head.restart && head.type_.is_none();
        if !asks_for_nothing || head.sid.is_none() {
            self.polled = None;
            return false;
        }
        self.polled.replace(now).is_some_and(|before| now < before.after(polling))
    }
}

/// What carries a session. What it is given to write at once is whole elements, since that is all
/// that is ever said, and it takes all of it or nothing.
struct Carrier {
    shared: Arc<Shared>,
    sid: String,
    connections: Weak<Connections>,
    /// Until when a request has to come, while none is under way.
    inactivity: Option<(Steady, BoxFuture<'static, ()>)>,
}

impl Carrier {
    /// Waits for the end of the time without a request.
    fn poll_inactive(&mut self, since: Steady, cx: &mut Context<'_>) -> Poll<()> {
        let clock = &self.shared.clock;
        let until = since.after(self.shared.inner.lock().session.inactivity());
        if self.inactivity.as_ref().is_none_or(|(waited, _)| *waited != until) {
            let clock = clock.clone();
            let sleep: BoxFuture<'static, ()> =
                Box::pin(async move { clock.sleep_until(until).await });
            self.inactivity = Some((until, sleep));
        }
        match &mut self.inactivity {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.shared.inner.lock();
        let read = inner.session.read(buffer.initialize_unfilled());
        if read > 0 {
            buffer.advance(read);
            let due = inner.session.release();
            inner.idle_since = self.shared.clock.steady();
            let writer = inner.writer.take();
            drop(inner);
            answer(due);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
        if inner.session.is_over() {
            return Poll::Ready(Ok(()));
        }
        inner.reader = Some(cx.waker().clone());
        let since = inner.session.is_idle().then_some(inner.idle_since);
        drop(inner);
        let Some(since) = since else {
            self.inactivity = None;
            return Poll::Pending;
        };
        // Zero bytes are the end: the client is lost.
        self.poll_inactive(since, cx).map(Ok)
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        said: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.shared.inner.lock();
        match inner.session.say(said) {
            Some(due) => {
                // Before the task of the request has gone: it may have been the only one.
                inner.idle_since = self.shared.clock.steady();
                drop(inner);
                answer(due);
                Poll::Ready(Ok(said.len()))
            }
            None if inner.session.is_over() => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            None => {
                inner.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.upgrade() {
            connections.bosh.all.lock().remove(&self.sid);
        }
        let due = self.shared.inner.lock().session.end(Refusal::ItemNotFound);
        answer(due);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_core::Time;

    const FIRST: &[u8] =
        b"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost'/>";

    #[test]
    fn of_a_session_so_many_connections_are_outside_of_the_gate_and_none_before_its_login() {
        let session = bosh::Session::new("sid".to_owned(), &bosh::head(FIRST).unwrap(), 1);
        let shared = Shared::new(session, Clock::manual(Time(0)));
        drop(shared.place(true).unwrap());
        assert!(shared.place(false).is_none());

        shared.inner.lock().is_logged_in = true;
        let mut places: Vec<_> = std::iter::from_fn(|| shared.place(false)).take(100).collect();

        assert_eq!(places.len(), CONNECTIONS);
        places.pop();
        places.extend(shared.place(false));
        assert_eq!(places.len(), CONNECTIONS);
        places.clear();
        shared.change(|inner| ((), inner.session.end(Refusal::ItemNotFound)));
        assert!(shared.place(false).is_none() && shared.place(true).is_none());
    }
}
