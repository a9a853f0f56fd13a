//! The client's end of a connection: two small tasks, one that reads and one that writes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::bosh::Client;
use crate::websocket::{Framer, Unframer};
use whoelse_server::ingress::{Connections, Io, Peer};
use whoelse_stream::ChannelBindings;

/// A connection. Dropping it breaks it.
pub struct Line {
    /// `None` when no more is to be written.
    write: Option<mpsc::UnboundedSender<Vec<u8>>>,
    heard: Arc<Heard>,
    reading: watch::Sender<bool>,
    /// The channel bindings of a login.
    pub channel: ChannelBindings,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Heard {
    /// The received bytes, and whether the end has come. Locked for a look, never across an await.
    inbound: Mutex<(Vec<u8>, bool)>,
    news: Notify,
}

impl Heard {
    fn note(&self, bytes: &[u8], ended: bool) {
        let mut inbound = self.inbound.lock();
        inbound.0.extend_from_slice(bytes);
        inbound.1 |= ended;
        drop(inbound);
        self.news.notify_one();
    }
}

impl Line {
    /// Makes a connection over this, on this runtime.
    pub fn new(runtime: &Handle, io: impl Io, channel: ChannelBindings) -> Line {
        Line::translated(runtime, io, channel, |said| said, |heard| heard)
    }

    /// Makes one that goes over a WebSocket, which has been agreed on.
    pub fn over_websocket(runtime: &Handle, io: impl Io, channel: ChannelBindings) -> Line {
        let (mut framer, mut unframer) = (Framer::default(), Unframer::default());
        let say = move |said: Vec<u8>| framer.frame(&said);
        Line::translated(runtime, io, channel, say, move |heard| unframer.unframe(&heard))
    }

    /// Makes one whose client asks over BOSH.
    pub fn over_bosh(runtime: &Handle, connections: Arc<Connections>, peer: Peer) -> Line {
        let (write, written) = mpsc::unbounded_channel::<Vec<u8>>();
        let (reading, _) = watch::channel(true);
        let heard = Arc::new(Heard::default());
        let inbound = heard.clone();
        let client = Client::new(connections, peer);
        let asker = runtime.spawn(async move {
            client.converse(written, |bytes| inbound.note(bytes, false)).await;
            inbound.note(&[], true);
        });
        let tasks = [asker, runtime.spawn(async {})];
        let channel = ChannelBindings::default();
        Line { write: Some(write), heard, reading, channel, tasks }
    }

    fn translated(
        runtime: &Handle,
        io: impl Io,
        channel: ChannelBindings,
        mut say: impl FnMut(Vec<u8>) -> Vec<u8> + Send + 'static,
        mut hear: impl FnMut(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Line {
        let (mut from, mut to) = tokio::io::split(io);
        let (write, mut written) = mpsc::unbounded_channel::<Vec<u8>>();
        let (reading, mut may_read) = watch::channel(true);
        let heard = Arc::new(Heard::default());
        let inbound = heard.clone();
        let reader = runtime.spawn(async move {
            let mut buffer = vec![0; 16 << 10];
            loop {
                if may_read.wait_for(|may| *may).await.is_err() {
                    return;
                }
                let read = tokio::select! {
                    read = from.read(&mut buffer) => read,
                    _ = may_read.changed() => continue,
                };
                match read {
                    Ok(0) | Err(_) => return inbound.note(&[], true),
                    Ok(n) => inbound.note(&hear(buffer[..n].to_vec()), false),
                }
            }
        });
        let writer = runtime.spawn(async move {
            while let Some(bytes) = written.recv().await {
                if to.write_all(&say(bytes)).await.is_err() || to.flush().await.is_err() {
                    return;
                }
            }
        });
        Line { write: Some(write), heard, reading, channel, tasks: [reader, writer] }
    }

    /// Sends bytes; they wait here while the other end does not read.
    pub fn write(&self, bytes: &[u8]) {
        if let Some(write) = &self.write {
            // Fails when the connection is gone, which reading detects.
            let _ = write.send(bytes.to_vec());
        }
    }

    /// Sends these bytes, receives nothing more, and breaks after they are sent.
    pub fn break_behind(mut self, bytes: &[u8]) {
        self.write(bytes);
        self.write = None;
    }

    /// Takes what has arrived, and whether the other end has closed the connection.
    pub fn take(&self) -> (Vec<u8>, bool) {
        let mut inbound = self.heard.inbound.lock();
        (std::mem::take(&mut inbound.0), inbound.1)
    }

    /// Waits until something has arrived since the last call.
    pub async fn news(&self) {
        self.heard.news.notified().await;
    }

    /// Starts or stops reading.
    pub fn read(&self, reads: bool) {
        self.reading.send_replace(reads);
    }

    /// Whether it reads.
    pub fn is_reading(&self) -> bool {
        *self.reading.borrow()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let [reader, writer] = &self.tasks;
        reader.abort();
        // Without its sender it ends by itself after its last write.
        if self.write.is_some() {
            writer.abort();
        }
    }
}
