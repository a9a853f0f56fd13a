//! A wire that can be cut: it passes bytes on to a server until a test or a random fault stops it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::Chance;

/// The wire, listening on an address of its own.
pub struct Proxy {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    server: SocketAddr,
    /// Both ends of every accepted connection.
    ends: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
    /// Whether the client's bytes are lost.
    silent: AtomicBool,
    /// Whether the server's bytes are lost.
    deaf: AtomicBool,
    /// The seed of random faults.
    faults: Option<u64>,
    fair: AtomicBool,
}

/// What happens to some bytes.
enum Luck {
    Pass,
    /// They come later.
    Late(Duration),
    /// They come one by one.
    Crumbs,
    /// The wire breaks after this many of them.
    Break(usize),
    /// They are lost, and so is everything after them, until the wire breaks.
    Swallow(Duration),
}

impl Luck {
    fn of(chance: &mut Chance, bytes: usize) -> Luck {
        match chance.number(0, 99) {
            0 | 1 => Luck::Break(chance.number(0, bytes as u64) as usize),
            2 => Luck::Swallow(chance.millis(50, 800)),
            3..13 => Luck::Late(chance.millis(1, 40)),
            13..25 => Luck::Crumbs,
            _ => Luck::Pass,
        }
    }
}

impl Proxy {
    pub fn to(server: SocketAddr) -> Proxy {
        Proxy::with(server, None)
    }

    /// A wire that delays, splits, swallows and breaks as this seed decides.
    pub fn with_faults(server: SocketAddr, seed: u64) -> Proxy {
        Proxy::with(server, Some(seed))
    }

    /// Stops all faults.
    pub fn clear_up(&self) {
        self.inner.fair.store(true, Ordering::SeqCst);
    }

    fn with(server: SocketAddr, faults: Option<u64>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            server,
            ends: Mutex::default(),
            closed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            faults,
            fair: AtomicBool::new(false),
        });
        let taken = AtomicU64::new(0);
        let accepting = inner.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.take(client, taken.fetch_add(1, Ordering::SeqCst));
            }
        });
        Proxy { address, inner }
    }

    /// Breaks every connection; new ones work.
    pub fn cut(&self) {
        for end in self.inner.ends.lock().drain(..) {
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

    /// Silently loses bytes in both directions from now on.
    pub fn swallow(&self) {
        self.inner.silent.store(true, Ordering::SeqCst);
        self.deafen();
    }

    /// Silently loses the server's bytes from now on.
    pub fn deafen(&self) {
        self.inner.deaf.store(true, Ordering::SeqCst);
    }

    /// Breaks every connection; new ones are without faults.
    pub fn renew(&self) {
        self.cut();
        self.inner.silent.store(false, Ordering::SeqCst);
        self.inner.deaf.store(false, Ordering::SeqCst);
    }
}

impl Inner {
    fn take(self: &Arc<Inner>, client: TcpStream, number: u64) {
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(self.server) else { return };
        let mut ends = self.ends.lock();
        for (from, to, client) in [(&client, &server, true), (&server, &client, false)] {
            let _ = from.set_nodelay(true);
            ends.push(from.try_clone().unwrap());
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let wire = self.clone();
            let stream = 2 * number + u64::from(client);
            let chance = self.faults.map(|seed| Chance::new(seed, stream));
            thread::spawn(move || wire.pass(from, to, client, chance));
        }
    }

    fn pass(
        &self,
        mut from: TcpStream,
        mut to: TcpStream,
        client: bool,
        mut chance: Option<Chance>,
    ) {
        let lost = if client { &self.silent } else { &self.deaf };
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            let luck = match &mut chance {
                Some(chance) if !self.fair.load(Ordering::SeqCst) => Luck::of(chance, read),
                _ => Luck::Pass,
            };
            let passed = match luck {
                _ if lost.load(Ordering::SeqCst) => Ok(()),
                Luck::Pass => to.write_all(bytes),
                Luck::Late(time) => {
                    thread::sleep(time);
                    to.write_all(bytes)
                }
                // Every byte is sent by itself.
                Luck::Crumbs => bytes.iter().try_for_each(|byte| to.write_all(&[*byte])),
                Luck::Break(behind) => {
                    let _ = to.write_all(&bytes[..behind]);
                    break;
                }
                Luck::Swallow(time) => {
                    thread::sleep(time);
                    break;
                }
            };
            if passed.is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        if !lost.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}
