//! The server's log on the standard error: for people, for programs, or for the journal of
//! systemd.
//!
//! An event is a short fixed name with fields. A field means the same everywhere: `account` is a
//! bare address, `session` the number of a session, `address` the source of a connection,
//! `network` the network whose attempts are counted, `reason` why something ended, `error` what
//! failed. No field ever holds a password or a body.

mod queue;
mod row;

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};
use whoelse_server::config::{LogConfig, LogFormat};
use whoelse_xmpp::in_words;

use crate::say::paint;
use queue::Queue;
use row::Rows;

/// The default level: the life of the server and of its sessions.
const LEVEL: &str = "info,sqlx=warn";

/// Libraries that are silent unless the level names them: the relay's would write pages about each
/// packet, and warnings about anything that a stranger does.
const QUIET: &str = "iroh=error,noq=error";

/// The running log; its level can be changed.
#[derive(Clone)]
pub struct Log {
    /// The level from the command line or the environment, which overrides the file.
    fixed: Option<String>,
    filter: reload::Handle<EnvFilter, Registry>,
    queue: Queue,
}

impl Log {
    /// Starts the log. `level` is `--log`, which wins over `RUST_LOG`, which wins over the file.
    pub fn start(level: Option<String>, config: &LogConfig) -> Result<Log, String> {
        let variable = env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
        let fixed = level.or(variable);
        let filter = filter(fixed.as_deref().or(config.level.as_deref()))?;
        let (filter, handle) = reload::Layer::new(filter);
        let queue = Queue::start(io::stderr(), |lines| tracing::warn!(lines, "log_lines_dropped"));
        let queue = queue.map_err(|error| format!("cannot start the log: {}", in_words(&error)))?;
        let layer = match config.format {
            LogFormat::Json => tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(queue.clone())
                .boxed(),
            LogFormat::Text if is_journal() => tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .event_format(Journal(Format::default().without_time().with_level(false)))
                .with_writer(queue.clone())
                .boxed(),
            LogFormat::Text if io::stderr().is_terminal() => tracing_subscriber::fmt::layer()
                .with_ansi(paint::is_wanted())
                .event_format(Rows)
                .with_writer(queue.clone())
                .boxed(),
            LogFormat::Text => {
                tracing_subscriber::fmt::layer().with_ansi(false).with_writer(queue.clone()).boxed()
            }
        };
        let started = tracing_subscriber::registry().with(filter).with(layer).try_init();
        started.map_err(|_| "cannot start the log: there is one already".to_owned())?;
        Ok(Log { fixed, filter: handle, queue })
    }

    /// Waits until everything that was logged is written, as long as somebody reads it: for a second
    /// at most.
    pub fn finish(&self) {
        self.queue.finish();
    }

    /// Changes the level to the one in the file, unless it is overridden.
    pub fn change(&self, config: &LogConfig) -> Result<(), String> {
        let wanted = filter(self.fixed.as_deref().or(config.level.as_deref()))?;
        self.filter.reload(wanted).map_err(|_| "cannot change the log; restart to apply".to_owned())
    }
}

/// Checks that a text is a valid level.
pub fn check(level: Option<&str>) -> Result<(), String> {
    filter(level).map(drop)
}

fn filter(level: Option<&str>) -> Result<EnvFilter, String> {
    let wanted = level.filter(|wanted| !wanted.is_empty()).unwrap_or(LEVEL);
    let mistake =
        || format!("the log level must be error, warn, info, debug or trace, not '{wanted}'");
    // A word that is no level would be taken for a module, and nothing would be logged.
    if !wanted.split(',').all(names_a_level) {
        return Err(mistake());
    }
    EnvFilter::try_new(format!("{QUIET},{wanted}")).map_err(|_| mistake())
}

/// Returns whether a directive is `level` or `part=level` with a valid level, or is more complex.
fn names_a_level(directive: &str) -> bool {
    let level = directive.rsplit('=').next().unwrap_or_default();
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    directive.contains('[') || known.iter().any(|known| level.eq_ignore_ascii_case(known))
}

/// Returns whether the journal reads the standard error (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else { return false };
    let about = std::fs::metadata("/proc/self/fd/2");
    about.is_ok_and(|about| named == format!("{}:{}", about.dev(), about.ino()))
}

/// sd-daemon(3): writes the priority in front and no time, since the journal has its own.
struct Journal(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        writer.write_str("<")?;
        writer.write_fmt(format_args!("{priority}>"))?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_the_relay_speak_where_they_are_named() {
        let said = |level| filter(level).map(|filter| filter.to_string());

        for level in [None, Some("debug")] {
            assert!(said(level).is_ok_and(|said| said.contains("iroh=error")), "{level:?}");
        }
        let named = said(Some("debug,iroh=trace"));
        assert!(named.is_ok_and(|said| said.contains("iroh=trace") && !said.contains("iroh=e")));
    }

    #[test]
    fn a_level_is_a_word_or_words_by_part() {
        for good in [None, Some(""), Some("debug"), Some("info,whoelse_core::keeper=trace")] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        for bad in ["loud", "info,,x=y=z", "whoelse=loud"] {
            assert!(check(Some(bad)).is_err(), "{bad}");
        }
    }
}
