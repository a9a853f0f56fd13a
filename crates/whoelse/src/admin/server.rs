//! `whoelse server`: runs a server until it is told to stop.
//!
//! The standard output is for the operator, a line each: the settings, what was created, the
//! addresses, the fingerprint. The log goes to the standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use whoelse_server::Server;
use whoelse_server::config::{Config, Overrides};
use whoelse_store::Aside;
use whoelse_xmpp::in_words;

use super::log::{self, Log};
use super::systemd;
use crate::cli;

/// The exit status after an error on the command line.
const MISTAKE: u8 = 2;
/// The exit status if a second signal cuts the shutdown short.
const HURRIED: i32 = 130;

/// Runs a server.
pub fn run(options: cli::Server) -> ExitCode {
    let level = options.log.clone();
    if let Err(mistake) = log::check(level.as_deref()) {
        return fail(mistake, MISTAKE);
    }
    let config = match configure(options) {
        Ok(config) => config,
        Err(status) => return status,
    };
    let log = match Log::start(level, &config.log) {
        Ok(log) => log,
        Err(mistake) => return fail(mistake, 1),
    };
    raise_descriptors();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("cannot start: {}", in_words(&error)), 1),
    };
    let status = runtime.block_on(serve(config, log.clone()));
    // Nobody waits any more for passwords that are being derived.
    runtime.shutdown_background();
    log.finish();
    status
}

/// Returns the settings, or the exit status if there are none.
fn configure(options: cli::Server) -> Result<Config, ExitCode> {
    let mut config = match &options.config {
        Some(path) => Config::from_file(path).map_err(|error| fail(error, 1))?,
        None => Config::quick_start(),
    };
    config.apply(overrides(options)).map_err(|mistake| fail(mistake, MISTAKE))?;
    Ok(config)
}

async fn serve(config: Config, log: Log) -> ExitCode {
    // Installed before the start, so that a signal during it is not lost.
    let (mut stop, mut hangup) =
        match Stop::new().and_then(|stop| Ok((stop, signal(SignalKind::hangup())?))) {
            Ok(both) => both,
            Err(error) => {
                return fail(format_args!("cannot wait for signals: {}", in_words(&error)), 1);
            }
        };
    let log = Arc::new(log);
    let (mut config, mut restored) = (config, None);
    let server = loop {
        let summary = config.summary();
        let start = Server::start_after(config.clone(), restored.take(), &starting);
        let server = tokio::select! {
            started = start => match started {
                Ok(server) => server,
                Err(error) => {
                    // Why it ends is the last that is said.
                    log.finish();
                    return fail(error, 1);
                }
            },
            () = stop.asked() => return ExitCode::SUCCESS,
        };
        let log = log.clone();
        server.reloader().changes_log_by(Box::new(move |config| log.change(config)));
        greet(&summary, &server);
        systemd::ready(&server.node().domain_name());
        let Some(aside) = run_until_asked(&server, &mut stop, &mut hangup).await else {
            break server;
        };
        say("stopping to restore a backup");
        systemd::reloading();
        // A port that was chosen freely is kept, so that clients find the server again.
        config = server.reloader().running().await;
        config.listen = server.addresses().to_vec();
        config.direct_tls = server.direct_tls_addresses().to_vec();
        restored = Some(systemd::feed_while(server.restore(&aside)).await);
    };
    say("stopping");
    systemd::stopping();
    tokio::select! {
        () = server.shutdown() => ExitCode::SUCCESS,
        () = stop.asked() => std::process::exit(HURRIED),
    }
}

/// Runs a server until it is asked to stop (`None`) or to restore the backup that is returned.
async fn run_until_asked(server: &Server, stop: &mut Stop, hangup: &mut Signal) -> Option<Aside> {
    let on_terminal = io::stderr().is_terminal();
    let mut wanted = pin!(server.restore_wanted());
    let mut feeding = pin!(systemd::feed(server.liveness().watch()));
    loop {
        tokio::select! {
            () = stop.asked() => return None,
            aside = &mut wanted => return Some(aside),
            // `None` means that no more signals can come.
            Some(()) = hangup.recv() => {
                // The terminal that it was started on has been closed: nobody could stop it any
                // more.
                if on_terminal && !io::stderr().is_terminal() {
                    return None;
                }
                reload(server).await;
            }
            () = &mut feeding => {}
        }
    }
}

/// Handles SIGHUP. The result is in the log.
async fn reload(server: &Server) {
    systemd::reloading();
    server.reload_by_signal().await;
    systemd::ready(&server.node().domain_name());
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
        migrate_without_copy: options.migrate_without_copy,
    }
}

/// Reports the progress of a start that takes long.
fn starting(how_far: &str) {
    say(how_far);
    systemd::starting(how_far);
}

/// Prints the lines for the operator.
fn greet(summary: &str, server: &Server) {
    say(summary);
    server.notes().iter().for_each(say);
    for address in server.addresses() {
        say(format_args!("listening on {address}"));
    }
    for address in server.metrics_addresses() {
        say(format_args!("answering http://{address}/metrics and /health"));
    }
    for address in server.direct_tls_addresses() {
        say(format_args!("listening on {address} (direct TLS)"));
    }
    for address in server.web_addresses() {
        say(format_args!("listening on {address} (web)"));
    }
    if let Some(fingerprint) = server.fingerprint() {
        say(format_args!("certificate fingerprint (SHA-256) {fingerprint}"));
    }
    say(format_args!("serving {}, stop with Ctrl-C", server.node().domain_name()));
}

/// Prints a line. If nobody reads the standard output any more, the server goes on.
fn say(line: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn fail(why: impl fmt::Display, status: u8) -> ExitCode {
    let why = crate::say::text::line(&why.to_string());
    let _ = writeln!(io::stderr(), "whoelse: {why}");
    ExitCode::from(status)
}

/// Raises the limit of descriptors as far as the system allows, since each connection needs one.
fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With fewer, accepting pauses when none are left.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Ctrl-C, or SIGTERM from a service manager.
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
