//! A wire that can be cut: it passes bytes on to a server until a test wants it to stop.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The wire, listening on an address of its own.
pub struct Proxy {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    server: SocketAddr,
    /// Both ends of every connection that was taken.
    ends: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
    /// Bytes of the client are taken, and never arrive.
    silent: AtomicBool,
    /// Bytes of the server are taken, and never arrive.
    deaf: AtomicBool,
}

impl Proxy {
    pub fn to(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            server,
            ends: Mutex::default(),
            closed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        });
        let accepting = inner.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.take(client);
            }
        });
        Proxy { address, inner }
    }

    /// Breaks every connection; new ones are passed on.
    pub fn cut(&self) {
        for end in self.inner.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Breaks every connection, and new ones too until [`Proxy::mend`].
    pub fn pull(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.inner.closed.store(false, Ordering::SeqCst);
    }

    /// From now on bytes disappear in both directions, and nobody is told.
    pub fn swallow(&self) {
        self.inner.silent.store(true, Ordering::SeqCst);
        self.deafen();
    }

    /// From now on what the server says disappears.
    pub fn deafen(&self) {
        self.inner.deaf.store(true, Ordering::SeqCst);
    }

    /// Breaks every connection; over new ones everything passes again.
    pub fn renew(&self) {
        self.cut();
        self.inner.silent.store(false, Ordering::SeqCst);
        self.inner.deaf.store(false, Ordering::SeqCst);
    }
}

impl Inner {
    fn take(self: &Arc<Inner>, client: TcpStream) {
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let mut ends = self.ends.lock().unwrap();
        for (from, to, client) in [(&client, &server, true), (&server, &client, false)] {
            let _ = from.set_nodelay(true);
            ends.push(from.try_clone().unwrap());
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let wire = self.clone();
            thread::spawn(move || wire.pass(from, to, client));
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, client: bool) {
        let lost = if client { &self.silent } else { &self.deaf };
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if !lost.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        if !lost.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}
