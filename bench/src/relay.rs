//! The lower bound for any server of this kind: a minimal program that forwards lines by a look-up
//! in a table, with or without TLS, and does nothing else.
//!
//! A client sends its name in a line and receives `ok`. Every later line goes to the client named
//! in it, between the first `'` and the `@`.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::Failed;

/// What waits to be written to a client.
#[derive(Default)]
struct Mailbox {
    /// Held for an append or a swap.
    waiting: Mutex<Vec<u8>>,
    wake: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.waiting.lock()
    }
}

/// Who is here.
type Table = Arc<Mutex<HashMap<Vec<u8>, Arc<Mailbox>>>>;

/// Listens on a free port of this machine, which it prints, until it is killed.
#[tokio::main]
pub async fn run(tls: Option<(std::path::PathBuf, std::path::PathBuf)>) -> Result<(), Failed> {
    let acceptor = match tls {
        Some((certificate, key)) => {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_no_client_auth()
                .with_single_cert(
                    vec![CertificateDer::from_pem_file(certificate)?],
                    PrivateKeyDer::from_pem_file(key)?,
                )?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
        None => None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let table = Table::default();
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (table, acceptor) = (table.clone(), acceptor.clone());
        // A client that has left is removed when another one takes its name.
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => {
                    let accepted = acceptor.accept(tcp).await;
                    serve(accepted?, table).await
                }
                None => serve(tcp, table).await,
            }
        });
    }
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(io: IO, table: Table) -> std::io::Result<()> {
    let mut io = BufReader::with_capacity(16, io);
    let mut name = Vec::new();
    io.read_until(b'\n', &mut name).await?;
    name.pop();
    let mailbox = Arc::new(Mailbox::default());
    table.lock().insert(name, mailbox.clone());
    io.write_all(b"ok\n").await?;
    io.flush().await?;
    // A client sends nothing more before it has received that.
    let mut io = io.into_inner();
    let (mut read, mut out) = (Vec::new(), Vec::new());
    loop {
        tokio::select! {
            count = io.read_buf(&mut read) => {
                if count? == 0 {
                    return Ok(());
                }
                forward(&mut read, &table);
            }
            () = mailbox.wake.notified() => {
                std::mem::swap(&mut out, &mut mailbox.lock());
                io.write_all(&out).await?;
                io.flush().await?;
                out.clear();
            }
        }
    }
}

/// Passes on all whole lines.
fn forward(read: &mut Vec<u8>, table: &Table) {
    let mut done = 0;
    while let Some(length) = read.get(done..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let line = read.get(done..=done + length).unwrap_or_default();
        done += length + 1;
        let from = memchr::memchr(b'\'', line).map_or(0, |at| at + 1);
        let to = line.get(from..).unwrap_or_default();
        let to = to.get(..memchr::memchr(b'@', to).unwrap_or(0)).unwrap_or_default();
        let found = table.lock().get(to).cloned();
        if let Some(mailbox) = found {
            mailbox.lock().extend_from_slice(line);
            mailbox.wake.notify_one();
        }
    }
    read.drain(..done);
}
