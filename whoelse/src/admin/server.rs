//! `whoelse server`: runs a server until it is told to stop.
//!
//! What the operator reads stands on the standard output, a line each: the settings, what was
//! made, the addresses, the fingerprint. The log goes to the standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use whoelse_server::Server;
use whoelse_server::config::{Config, Overrides};

use crate::cli;

/// What is logged when nobody says otherwise: the life of the server and of its sessions.
const LOG: &str = "info,sqlx=warn";
/// The exit status of a mistake on the command line.
const MISTAKE: u8 = 2;
/// The exit status of a server that was not given the time to stop.
const HURRIED: i32 = 130;

/// Runs a server.
pub fn run(options: cli::Server) -> ExitCode {
    if let Err(mistake) = start_log(options.log.as_deref()) {
        return fail(mistake, MISTAKE);
    }
    raise_descriptors();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("cannot start: {error}"), 1),
    };
    let status = runtime.block_on(serve(options));
    // Passwords in derivation are nobody's any more.
    runtime.shutdown_background();
    status
}

async fn serve(options: cli::Server) -> ExitCode {
    let mut config = match &options.config {
        Some(path) => match Config::from_file(path) {
            Ok(config) => config,
            Err(error) => return fail(error, 1),
        },
        None => Config::quick_start(),
    };
    if let Err(mistake) = config.apply(overrides(options)) {
        return fail(mistake, MISTAKE);
    }
    // Before the start, so that a signal during it is not lost.
    let mut stop = match Stop::new() {
        Ok(stop) => stop,
        Err(error) => return fail(format_args!("cannot wait for signals: {error}"), 1),
    };
    let summary = config.summary();
    let server = tokio::select! {
        started = Server::start(config) => match started {
            Ok(server) => server,
            Err(error) => return fail(error, 1),
        },
        () = stop.asked() => return ExitCode::SUCCESS,
    };
    greet(&summary, &server);
    stop.asked().await;
    say("stopping");
    tokio::select! {
        () = server.shutdown() => ExitCode::SUCCESS,
        () = stop.asked() => std::process::exit(HURRIED),
    }
}

fn overrides(options: cli::Server) -> Overrides {
    Overrides {
        port: options.port,
        block_duration: options.block_duration,
        timeout: options.timeout,
        data: options.data,
        credentials: options.credentials,
        listen: options.listen,
        domain: options.domain,
    }
}

/// What the operator reads.
fn greet(summary: &str, server: &Server) {
    say(summary);
    server.notes().iter().for_each(say);
    for address in server.addresses() {
        say(format_args!("listening on {address}"));
    }
    for address in server.direct_tls_addresses() {
        say(format_args!("listening on {address} (direct TLS)"));
    }
    if let Some(fingerprint) = server.fingerprint() {
        say(format_args!("certificate fingerprint (SHA-256) {fingerprint}"));
    }
    say(format_args!("serving {}, stop with Ctrl-C", server.node().domain_name()));
}

/// Whoever reads the standard output may have gone; the server goes on.
fn say(line: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn fail(why: impl fmt::Display, status: u8) -> ExitCode {
    let why = crate::terminal::text::line(&why.to_string());
    let _ = writeln!(io::stderr(), "whoelse: {why}");
    ExitCode::from(status)
}

/// `--log` wins over `RUST_LOG`.
fn start_log(level: Option<&str>) -> Result<(), String> {
    let wanted = level.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok());
    let wanted = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or_else(|| LOG.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|_| {
        format!("the log level must be error, warn, info, debug or trace, not '{wanted}'")
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let log = log.with_ansi(io::stderr().is_terminal());
    log.try_init().map_err(|error| format!("cannot start the log: {error}"))
}

/// Each connection is a descriptor: takes as many as the system allows.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With fewer, accepting pauses when they run out.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Ctrl-C, or SIGTERM from whoever manages services.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Stop> {
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
