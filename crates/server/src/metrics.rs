//! OpenMetrics 1.0: what `/metrics` answers. The table in docs/operating.md is derived from the
//! same descriptions.
//!
//! The counters are in `whoelse_core::counters`. Gauges (who is here, what the process uses, how
//! full the disk is) are read when the page is made. No label is a word that a stranger could
//! choose.

use crate::health::Health;
use crate::ingress::Connections;
use crate::process::Process;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use whoelse_core::counters::{Census, Counters, Metric, MetricKind, Samples};
use whoelse_features::relay;

/// The type that goes with the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the page is made from.
pub(crate) struct Metrics {
    pub connections: Arc<Connections>,
    pub health: Arc<Health>,
    pub data: PathBuf,
    /// The file of the database, if it is SQLite.
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
        let counters = &self.0.connections.node().counters;
        LOOKED_AT.iter().try_for_each(|metric| out.metric(metric, &self.0))?;
        counted().try_for_each(|metric| out.metric(metric, counters))
    }
}

/// What is counted by the rules and the features.
fn counted() -> impl Iterator<Item = &'static Metric> {
    let features = whoelse_features::ALL.iter().flat_map(|feature| feature.counters);
    Counters::METRICS.iter().chain(features.flat_map(|group| group.metrics))
}

/// A row of the table of metrics in the documents.
pub struct Described {
    /// Its name as it is exposed, with its labels: `whoelse_logins_total{mechanism,outcome}`.
    pub name: String,
    /// What it is.
    pub help: &'static str,
    /// When an operator should act; "" if never.
    pub act: &'static str,
}

/// Every metric that there is.
pub fn described() -> Vec<Described> {
    fn row<R>(metric: &Metric<R>) -> Described {
        let ending = match metric.kind {
            MetricKind::Counter => "_total",
            MetricKind::Info => "_info",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        let labels = match metric.labels {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let name = format!("{}{ending}{labels}", metric.name);
        Described { name, help: metric.help(), act: metric.act }
    }
    LOOKED_AT.iter().map(row).chain(counted().map(row)).collect()
}

/// Declares a gauge, which is read when the page is made.
const fn gauge(
    name: &'static str,
    help: &'static str,
    read: fn(&Metrics) -> Option<Samples>,
) -> Metric<Metrics> {
    Metric { name, labels: &[], help, act: "", kind: MetricKind::Gauge, read }
}

/// The gauges, read when the page is made.
const LOOKED_AT: &[Metric<Metrics>] = &[
    Metric {
        labels: &["version"],
        kind: MetricKind::Info,
        ..gauge("whoelse_build", "The version that runs.", |_| {
            Some(Samples::Labelled(vec![(vec![env!("CARGO_PKG_VERSION")], 1)]))
        })
    },
    Metric {
        act: "0 for two scrapes",
        ..gauge("whoelse_healthy", "1 while `/health` says ok.", |it| {
            one(it.health.report().is_well())
        })
    },
    Metric {
        act: "less than 14 days ahead",
        ..gauge(
            "whoelse_certificate_end_timestamp_seconds",
            "When the certificate expires, in seconds since 1970.",
            |it| Some(Samples::Fraction(it.connections.certificate_ends()?.0 as f64 / 1e6)),
        )
    },
    Metric {
        labels: &["file"],
        act: "`wal` beyond 256 MiB: something holds the file open",
        ..gauge(
            "whoelse_database_bytes",
            "Size of the database (`main`) and of its write-ahead log (`wal`); SQLite only.",
            |it| {
                let database = it.database.as_ref()?;
                let size = |path: PathBuf| fs::metadata(path).map_or(0, |about| about.len());
                let mut log = database.clone().into_os_string();
                log.push("-wal");
                labelled([("main", size(database.clone())), ("wal", size(log.into()))])
            },
        )
    },
    Metric {
        act: "less than 1 GiB",
        ..gauge("whoelse_data_free_bytes", "Free bytes where the data directory lies.", |it| {
            let about = rustix::fs::statvfs(&it.data).ok()?;
            one(about.f_bavail.saturating_mul(about.f_frsize))
        })
    },
    Metric {
        labels: &["state"],
        act: "detached far above attached: the network has gone",
        ..gauge(
            "whoelse_sessions",
            "Sessions, `attached` to a connection or `detached` and waiting to be resumed.",
            |it| {
                let census = it.census();
                labelled([("attached", census.attached), ("detached", census.detached)])
            },
        )
    },
    gauge("whoelse_accounts_in_memory", "Accounts in memory.", |it| one(it.census().accounts)),
    Metric {
        act: "a sudden fall",
        ..gauge("whoelse_accounts_online", "Accounts with an available session.", |it| {
            one(it.census().online)
        })
    },
    Metric {
        act: "grows without end: clients do not read",
        ..gauge(
            "whoelse_queued_bytes",
            "Bytes queued for all sessions, unsent or unacknowledged.",
            |it| one(it.census().queued_bytes),
        )
    },
    Metric {
        act: "a sudden rise: somebody guesses",
        ..gauge(
            "whoelse_blocks",
            "Blocks that hold, after wrong passwords or by an administrator.",
            |it| one(it.census().blocked),
        )
    },
    Metric {
        labels: &["state"],
        act: "`negotiating` near `limits.half_open`; `waiting` does not go away",
        ..gauge(
            "whoelse_connections",
            "Connections, `waiting` for others of their network to log in, `negotiating` or `open`; \
             the administrator's tool is among the latter.",
            |it| {
                let (admission, running) = (it.connections.gate(), it.connections.running());
                let (waiting, half_open) = (admission.waiting(), admission.half_open());
                let open = running.saturating_sub(half_open);
                labelled([("waiting", waiting), ("negotiating", half_open), ("open", open)])
            },
        )
    },
    Metric {
        kind: MetricKind::Counter,
        act: "rises: a flood",
        ..gauge(
            "whoelse_connections_refused",
            "Connections closed at once: too many without a login, and waiting for one.",
            |it| one(it.connections.gate().refused()),
        )
    },
    Metric {
        act: "near `limits.relay_clients`",
        ..gauge(
            "whoelse_relay_connections",
            "Connections to the relay, two for each private chat that is relayed.",
            |it| one(relay::usage(it.connections.node()).connections),
        )
    },
    Metric {
        kind: MetricKind::Counter,
        act: "more than your line is there for: lower `limits.relay_rate`",
        ..gauge(
            "whoelse_relay_bytes",
            "Bytes that the relay has handed on; it cannot read them.",
            |it| one(relay::usage(it.connections.node()).bytes),
        )
    },
    Metric {
        act: "stays above 1000: the disk is too slow",
        ..gauge("whoelse_keeper_waiting", "Changes that wait to be written, at most 4096.", |it| {
            one(it.connections.node().keeper.waiting())
        })
    },
    // These have the names that Prometheus' own libraries use.
    gauge("process_resident_memory_bytes", "Memory in RAM.", |_| one(Process::now().resident)),
    Metric {
        kind: MetricKind::Counter,
        ..gauge("process_cpu_seconds", "Processor time used since the start.", |_| {
            Some(Samples::Fraction(Process::now().cpu_seconds))
        })
    },
    Metric {
        act: "near `process_max_fds`",
        ..gauge("process_open_fds", "Open descriptors.", |_| one(Process::now().descriptors))
    },
    gauge("process_max_fds", "Descriptors that may be open.", |_| {
        one(getrlimit(Resource::Nofile).current?)
    }),
    gauge("process_threads", "Threads.", |_| one(Process::now().threads)),
    Metric {
        act: "it changes by itself: the server crashes",
        ..gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            |_| Some(Samples::Fraction(Process::now().started)),
        )
    },
];

impl Metrics {
    fn census(&self) -> Census {
        self.connections.node().census()
    }
}

fn one(number: impl TryInto<u64>) -> Option<Samples> {
    number.try_into().ok().map(Samples::One)
}

fn labelled<const N: usize, T: TryInto<u64>>(counts: [(&'static str, T); N]) -> Option<Samples> {
    let counts = counts.into_iter().map(|(word, n)| (vec![word], n.try_into().unwrap_or(u64::MAX)));
    Some(Samples::Labelled(counts.collect()))
}

/// The labels of an exemplar; we write no exemplars.
type NoLabels = [(&'static str, &'static str); 0];

/// The page being written.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn metric<R>(&mut self, metric: &Metric<R>, from: &R) -> fmt::Result {
        let Some(samples) = (metric.read)(from) else { return Ok(()) };
        let kind = match metric.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
            MetricKind::Info => MetricType::Info,
        };
        // The library adds the full stop.
        let help = metric.help().trim_end_matches('.').replace('`', "");
        let mut to = self.0.encode_descriptor(metric.name, &help, None, kind)?;
        let grows = metric.kind == MetricKind::Counter;
        match samples {
            Samples::One(number) if grows => ConstCounter::new(number).encode(to),
            Samples::One(number) => ConstGauge::new(number).encode(to),
            Samples::Fraction(number) if grows => ConstCounter::new(number).encode(to),
            Samples::Fraction(number) => ConstGauge::new(number).encode(to),
            Samples::Labelled(counts) => counts.into_iter().try_for_each(|(words, number)| {
                let labels: Vec<_> = metric.labels.iter().copied().zip(words).collect();
                match metric.kind {
                    MetricKind::Info => to.encode_info(&labels),
                    _ if grows => ConstCounter::new(number).encode(to.encode_family(&labels)?),
                    _ => ConstGauge::new(number).encode(to.encode_family(&labels)?),
                }
            }),
            Samples::Histogram(seen) => {
                to.encode_histogram::<NoLabels>(seen.sum, seen.count, &seen.buckets, None)
            }
        }
    }
}
