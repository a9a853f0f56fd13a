//! OpenMetrics 1.0: what `/metrics` answers. Each is described in docs/operating.md; a test
//! compares the two.
//!
//! The counters are counted in `whoelse_core::counters`; what stands (who is here, what the process
//! uses, how full the disk is) is looked at when it is asked for. No label is a word that a
//! stranger could choose.

use crate::health::Health;
use crate::ingress::Connections;
use crate::process::Process;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use whoelse_core::counters::{Observed, Words};

/// The type that goes with the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the page is made from.
pub(crate) struct Metrics {
    pub connections: Arc<Connections>,
    pub health: Arc<Health>,
    pub data: PathBuf,
    /// The file of the database, where it is one.
    pub database: Option<PathBuf>,
}

impl Metrics {
    /// The page, as it is now.
    pub fn page(self: &Arc<Metrics>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page(self.clone())));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

struct Page(Arc<Metrics>);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.server(&mut out)?;
        self.people(&mut out)?;
        self.connections(&mut out)?;
        self.traffic(&mut out)?;
        self.private_chats(&mut out)?;
        self.keeper(&mut out)?;
        process(&mut out)
    }
}

impl Page {
    fn server(&self, out: &mut Out<'_>) -> fmt::Result {
        out.info(
            "whoelse_build",
            "The version that runs.",
            &[("version", env!("CARGO_PKG_VERSION"))],
        )?;
        let well = u64::from(self.0.health.report().is_well());
        out.gauge("whoelse_healthy", "1 while /health says ok.", well)?;
        if let Some(end) = self.0.connections.certificate_ends() {
            out.gauge_f64(
                "whoelse_certificate_end_timestamp_seconds",
                "When the certificate expires, in seconds since 1970.",
                end.0 as f64 / 1e6,
            )?;
        }
        if let Some(database) = &self.0.database {
            let size = |path: PathBuf| fs::metadata(path).map_or(0, |about| about.len());
            let mut log = database.clone().into_os_string();
            log.push("-wal");
            out.gauges(
                "whoelse_database_bytes",
                "Sizes of the database and of its write-ahead log.",
                ["file"],
                &[(["main"], size(database.clone())), (["wal"], size(log.into()))],
            )?;
        }
        if let Ok(about) = rustix::fs::statvfs(&self.0.data) {
            let free = about.f_bavail.saturating_mul(about.f_frsize);
            let help = "Free bytes where the data directory lies.";
            out.gauge("whoelse_data_free_bytes", help, free)?;
        }
        Ok(())
    }

    fn people(&self, out: &mut Out<'_>) -> fmt::Result {
        let node = self.0.connections.node();
        let census = node.census();
        out.gauges(
            "whoelse_sessions",
            "Sessions, with a connection or waiting for a resumption.",
            ["state"],
            &[(["attached"], census.attached as u64), (["detached"], census.detached as u64)],
        )?;
        let (accounts, online) = (census.accounts as u64, census.online as u64);
        out.gauge("whoelse_accounts_in_memory", "Accounts in memory.", accounts)?;
        let help = "Accounts with an available session.";
        out.gauge("whoelse_accounts_online", help, online)?;
        let help = "Bytes queued for all sessions, unsent or unacknowledged.";
        out.gauge("whoelse_queued_bytes", help, census.queued_bytes as u64)?;
        let help =
            "Blocks that hold: accounts for a network, networks, accounts by an administrator.";
        out.gauge("whoelse_blocks", help, census.blocked as u64)?;
        let counters = &node.counters;
        out.words(
            "whoelse_logins",
            "Tries to log in: ok, wrong (password), blocked (not even checked), refused.",
            ["mechanism", "outcome"],
            counters.logins.get(),
        )?;
        let help = "Accounts that people have made themselves.";
        out.counter("whoelse_registrations", help, counters.registered.get())
    }

    fn connections(&self, out: &mut Out<'_>) -> fmt::Result {
        let connections = &self.0.connections;
        let counters = &connections.node().counters;
        let half_open = connections.gate().half_open() as u64;
        let waiting = connections.gate().waiting() as u64;
        let all = connections.running() as u64;
        out.gauges(
            "whoelse_connections",
            "Connections, before and after login; the administrator's tool is among the latter.",
            ["state"],
            &[
                (["waiting"], waiting),
                (["negotiating"], half_open),
                (["open"], all.saturating_sub(half_open)),
            ],
        )?;
        let doors = counters.connected.get().into_iter().map(|((_, door), n)| ([door], n));
        out.counters(
            "whoelse_connections_accepted",
            "Connections that were let in, by the listener they came to.",
            ["door"],
            &doors.collect::<Vec<_>>(),
        )?;
        let help =
            "Connections that were closed at once: too many without a login, and waiting for one.";
        out.counter("whoelse_connections_refused", help, connections.gate().refused())?;
        let help = "Times that accepting paused because descriptors had run out.";
        out.counter("whoelse_accepting_paused", help, counters.accepting_paused.get())?;
        let help = "TLS handshakes that failed or took too long.";
        out.counter("whoelse_handshakes_failed", help, counters.handshakes_failed.get())?;
        out.words(
            "whoelse_disconnects",
            "Connections that ended, before login or with a session, and why; a stream error has \
             its condition as the reason.",
            ["stage", "reason"],
            counters.disconnected.get(),
        )
    }

    fn private_chats(&self, out: &mut Out<'_>) -> fmt::Result {
        let node = self.0.connections.node();
        let counters = &node.counters;
        let usage = whoelse_features::relay::usage(node);
        let help = "Requests for a private chat, without those that a block refused.";
        out.counter("whoelse_introductions", help, counters.introductions.get())?;
        let help = "Tokens for the relay that people were given.";
        out.counter("whoelse_relay_tokens", help, counters.relay_tokens.get())?;
        let help = "Connections to the relay.";
        out.gauge("whoelse_relay_connections", help, usage.connections)?;
        let help = "Bytes that the relay has handed on; it cannot read them.";
        out.counter("whoelse_relay_bytes", help, usage.bytes)?;
        let refused = counters.relay_refused.get().into_iter().map(|((_, why), n)| ([why], n));
        out.counters(
            "whoelse_relay_refused",
            "Connections that the relay did not admit, and why.",
            ["reason"],
            &refused.collect::<Vec<_>>(),
        )
    }

    fn traffic(&self, out: &mut Out<'_>) -> fmt::Result {
        let counters = &self.0.connections.node().counters;
        let (received, sent) = (&counters.received, &counters.sent);
        out.counters(
            "whoelse_stanzas",
            "Stanzas of sessions, received from them and written to them.",
            ["kind", "direction"],
            &[
                (["message", "in"], received.message.get()),
                (["presence", "in"], received.presence.get()),
                (["iq", "in"], received.iq.get()),
                (["message", "out"], sent.message.get()),
                (["presence", "out"], sent.presence.get()),
                (["iq", "out"], sent.iq.get()),
            ],
        )?;
        let messages = &counters.messages;
        out.counters(
            "whoelse_messages",
            "What became of messages: kept in the log, passed on, repeated and dropped, refused; \
             caught_up are those read from the log for who had been away.",
            ["outcome"],
            &[
                (["kept"], messages.kept.get()),
                (["passed"], messages.passed.get()),
                (["repeated"], messages.repeated.get()),
                (["refused"], messages.refused.get()),
                (["caught_up"], messages.caught_up.get()),
            ],
        )?;
        out.counters(
            "whoelse_bytes",
            "Bytes of the streams, without what TLS adds.",
            ["direction"],
            &[(["in"], counters.bytes_read.get()), (["out"], counters.bytes_written.get())],
        )
    }

    fn keeper(&self, out: &mut Out<'_>) -> fmt::Result {
        let node = self.0.connections.node();
        let help = "Changes that wait to be written.";
        out.gauge("whoelse_keeper_waiting", help, node.keeper.waiting() as u64)?;
        let help = "Messages in one commit.";
        out.histogram("whoelse_keeper_batch_messages", help, &node.counters.batch.get())?;
        let help = "Seconds that a commit of messages takes.";
        out.histogram("whoelse_keeper_commit_seconds", help, &node.counters.commit.get())?;
        let help = "Commits that failed.";
        out.counter("whoelse_keeper_commits_failed", help, node.counters.commits_failed.get())
    }
}

/// By the names that Prometheus' own libraries use.
fn process(out: &mut Out<'_>) -> fmt::Result {
    let process = Process::now();
    out.gauge("process_resident_memory_bytes", "Memory in RAM.", process.resident)?;
    out.0
        .encode_descriptor(
            "process_cpu_seconds",
            "Processor time used since the start.",
            None,
            MetricType::Counter,
        )
        .and_then(|to| ConstCounter::new(process.cpu_seconds).encode(to))?;
    out.gauge("process_open_fds", "Open descriptors.", process.descriptors)?;
    if let Some(most) = getrlimit(Resource::Nofile).current {
        out.gauge("process_max_fds", "Descriptors that may be open.", most)?;
    }
    out.gauge("process_threads", "Threads.", process.threads)?;
    let help = "When the process started, in seconds since 1970.";
    out.gauge_f64("process_start_time_seconds", help, process.started)
}

/// The labels of an exemplar, of which there is none.
type NoLabels = [(&'static str, &'static str); 0];

/// The page being written.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn begin<'a>(
        &'a mut self,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        // The library closes the sentence.
        self.0.encode_descriptor(name, help.trim_end_matches('.'), None, kind)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.begin(name, help, MetricType::Counter)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstGauge::new(value).encode(self.begin(name, help, MetricType::Gauge)?)
    }

    fn gauge_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.begin(name, help, MetricType::Gauge)?)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        values: &[([&'static str; N], u64)],
    ) -> fmt::Result {
        let family = self.begin(name, help, MetricType::Counter)?;
        each(family, labels, values, ConstCounter::new)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        values: &[([&'static str; N], u64)],
    ) -> fmt::Result {
        let family = self.begin(name, help, MetricType::Gauge)?;
        each(family, labels, values, ConstGauge::new)
    }

    fn words(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; 2],
        counts: impl IntoIterator<Item = (Words, u64)>,
    ) -> fmt::Result {
        let counts = counts.into_iter().map(|((one, other), n)| ([one, other], n));
        self.counters(name, help, labels, &counts.collect::<Vec<_>>())
    }

    fn info(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&'static str, &'static str)],
    ) -> fmt::Result {
        self.begin(name, help, MetricType::Info)?.encode_info(&labels)
    }

    fn histogram(&mut self, name: &str, help: &str, seen: &Observed) -> fmt::Result {
        let mut to = self.begin(name, help, MetricType::Histogram)?;
        to.encode_histogram::<NoLabels>(seen.sum, seen.count, &seen.buckets, None)
    }
}
/// One value of a family after the other, each under its labels.
fn each<const N: usize, M: EncodeMetric>(
    mut family: MetricEncoder<'_>,
    labels: [&'static str; N],
    values: &[([&'static str; N], u64)],
    metric: fn(u64) -> M,
) -> fmt::Result {
    for (words, value) in values {
        let labels: Vec<_> = labels.into_iter().zip(*words).collect();
        metric(*value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
