//! How a counter is declared: once, where it is counted, with its name for monitors, its labels and
//! its help.
//!
//! [`counters!`](crate::counters!) makes the struct whose fields count, and the descriptions from
//! which `/metrics` and its documentation are derived.

use super::{Counters, Observed};

/// The description of a metric that a monitor reads. `R` is what the value is read from.
pub struct Metric<R: 'static = Counters> {
    /// Its name, without the endings that OpenMetrics adds.
    pub name: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The help text for the operator.
    pub help: &'static str,
    /// Which values are a reason to act; "" if none is.
    pub act: &'static str,
    /// The type of the metric.
    pub kind: MetricKind,
    /// Reads the present value; nothing while there is none.
    pub read: fn(&R) -> Option<Samples>,
}

impl<R> Metric<R> {
    /// The help text.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }
}

/// What OpenMetrics calls the type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A counter: it only grows.
    Counter,
    /// A gauge: it goes up and down.
    Gauge,
    /// A histogram of sizes.
    Histogram,
    /// Info: labels without a number.
    Info,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// One number.
    One(u64),
    /// One number with a fraction.
    Fraction(f64),
    /// A number for each of some words, which are the values of the labels.
    Labelled(Vec<(Vec<&'static str>, u64)>),
    /// A histogram.
    Histogram(Observed),
}

/// A type that counts.
pub trait Counted: Default {
    /// The type of its metric.
    const KIND: MetricKind;

    /// Its present value.
    fn samples(&self) -> Samples;
}

/// The counters that a feature declares.
#[derive(Clone, Copy)]
pub struct CounterGroup {
    /// The metrics that a monitor reads of them.
    pub metrics: &'static [Metric],
    /// Adds them, at zero, to the counters of a server.
    #[doc(hidden)]
    pub make: fn(&mut Counters),
}

/// Counters that a feature declares. The rules store them without knowing what they are.
pub trait CountersOfFeature: Send + Sync + 'static {
    /// The instance that counts where no server has one.
    fn of_nobody() -> &'static Self;
}

/// Declares counters and the struct that holds them.
///
/// ```
/// use whoelse_core::counters::{Counter, Counters};
///
/// whoelse_core::counters! {
///     /// What polls count.
///     pub struct Polls {
///         /// Polls that somebody has opened.
///         opened: Counter = "whoelse_polls_opened";
///     }
/// }
///
/// let mut counters = Counters::default();
/// (Polls::GROUP.make)(&mut counters);
/// counters.of::<Polls>().opened.inc();
/// assert_eq!(counters.of::<Polls>().opened.get(), 1);
/// ```
///
/// A feature lists `Polls::GROUP` in its `FEATURE`; that is all. The comment of a field is the help
/// that operators read. Labels follow the name in brackets; the reason to act follows `act`.
#[macro_export]
macro_rules! counters {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $group:ident $(of $root:ident)? {
            $(
                $(#[doc = $help:literal])+
                $name:ident : $type:ty = $metric:literal $([$($label:literal),+])? $(, act $act:literal)?;
            )*
        }
        $(with {
            $( $(#[doc = $other_help:literal])+ $other:ident : $other_type:ty; )*
        })?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        $vis struct $group {
            $( $(#[doc = $help])+ pub $name: $type, )*
            $( $( $(#[doc = $other_help])+ $other: $other_type, )* )?
        }

        impl $group {
            /// The metrics that a monitor reads of them.
            pub const METRICS: &'static [$crate::counters::Metric] = &[
                $( $crate::counters::Metric {
                    name: $metric,
                    labels: &[$($($label),+)?],
                    help: concat!($($help),+),
                    act: concat!($($act)?),
                    kind: <$type as $crate::counters::Counted>::KIND,
                    read: |all| {
                        Some($crate::counters::Counted::samples(&$group::of_all(all).$name))
                    },
                }, )*
            ];
        }

        $crate::counters!(@group $group $($root)?);
    };
    (@group $group:ident $root:ident) => {
        impl $group {
            fn of_all(all: &$root) -> &$group {
                all
            }
        }
    };
    (@group $group:ident) => {
        impl $group {
            fn of_all(all: &$crate::counters::Counters) -> &$group {
                all.of()
            }

            /// The group, for the feature's declaration.
            pub const GROUP: $crate::counters::CounterGroup = $crate::counters::CounterGroup {
                metrics: $group::METRICS,
                make: |counters| counters.put($group::default()),
            };
        }

        impl $crate::counters::CountersOfFeature for $group {
            fn of_nobody() -> &'static $group {
                static NOBODYS: std::sync::LazyLock<$group> =
                    std::sync::LazyLock::new($group::default);
                &NOBODYS
            }
        }
    };
}
