//! How a counter is declared: once, with its name for monitors, its labels and its help, where it is
//! counted.
//!
//! [`counters!`](crate::counters!) makes the struct whose fields count, and the descriptions from
//! which `/metrics` and its documentation are derived.

use super::{Counters, Observed};

/// What a monitor reads, as it is described. `R` is where it is read from.
pub struct Metric<R: 'static = Counters> {
    /// Its name, without the endings that OpenMetrics adds.
    pub name: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is: for the operator.
    pub help: &'static str,
    /// What is a reason to act; "" if nothing is.
    pub act: &'static str,
    /// Of which kind it is.
    pub kind: MetricKind,
    /// Its value now; nothing, while there is none.
    pub read: fn(&R) -> Option<Samples>,
}

impl<R> Metric<R> {
    /// What it is.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }
}

/// What OpenMetrics calls the type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It grows.
    Counter,
    /// It stands where it stands.
    Gauge,
    /// How often something was how large.
    Histogram,
    /// Words alone.
    Info,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// One number.
    One(u64),
    /// One number with a fraction.
    Fraction(f64),
    /// A number for each of some words, which are the values of the labels.
    Labelled(Vec<(Vec<&'static str>, u64)>),
    /// How often something was how large.
    Histogram(Observed),
}

/// Something that counts.
pub trait Counted: Default {
    /// What it is for a monitor.
    const KIND: MetricKind;

    /// What it has counted.
    fn samples(&self) -> Samples;
}

/// The counters that a feature declares.
#[derive(Clone, Copy)]
pub struct CounterGroup {
    /// What a monitor reads of them.
    pub metrics: &'static [Metric],
    /// Puts them, at nothing, among those of a server.
    #[doc(hidden)]
    pub make: fn(&mut Counters),
}

/// Counters that a feature declares: the rules keep them without knowing what they are.
pub trait CountersOfFeature: Send + Sync + 'static {
    /// Those that count while no server has any.
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
/// A feature lists `Polls::GROUP` in its `FEATURE`; nothing else is to be written. The comment of a
/// field is the help that operators read; labels follow the name in brackets, and what is a reason
/// to act after `act`.
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
            /// What a monitor reads of them.
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

            /// For the feature's declaration.
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
