//! How durations, sizes and addresses are written in a configuration.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const UNITS: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400), ("y", 365 * 86_400)];
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
/// Longer than anybody plans, shorter than what time can be counted in.
const LONGEST: u64 = 100 * 365 * 86_400;

/// What is written as a number or as a text with a unit.
pub(super) trait Measure: Sized {
    const EXPECTED: &'static str;
    fn of_number(number: u64) -> Option<Self>;
    fn of_text(text: &str) -> Option<Self>;
}

/// A duration: whole seconds, or `"10m"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

/// A size: bytes, or `"5 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub u64);

/// How long messages are kept: a duration, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept(pub Option<Duration>);

impl Measure for Span {
    const EXPECTED: &'static str =
        "a duration: whole seconds, or a text like \"10m\" (s, m, h, d, w, y)";

    fn of_number(seconds: u64) -> Option<Span> {
        (seconds <= LONGEST).then(|| Span(Duration::from_secs(seconds)))
    }

    fn of_text(text: &str) -> Option<Span> {
        scaled(text, &UNITS).and_then(Span::of_number)
    }
}

impl Measure for Size {
    const EXPECTED: &'static str = "a size: whole bytes, or a text like \"5 MiB\"";

    fn of_number(bytes: u64) -> Option<Size> {
        Some(Size(bytes))
    }

    fn of_text(text: &str) -> Option<Size> {
        scaled(text, &SIZES).map(Size)
    }
}

impl Measure for Kept {
    const EXPECTED: &'static str = "a duration like \"1y\" or \"30d\", or \"off\"";

    fn of_number(seconds: u64) -> Option<Kept> {
        Span::of_number(seconds).filter(|span| !span.0.is_zero()).map(|span| Kept(Some(span.0)))
    }

    fn of_text(text: &str) -> Option<Kept> {
        match text {
            "off" => Some(Kept(None)),
            text => scaled(text, &UNITS).and_then(Kept::of_number),
        }
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// A duration in the largest unit that fits: `1y`, `90s`.
pub(super) fn say_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let fits = |(_, scale): &&(&str, u64)| seconds.is_multiple_of(*scale);
    match UNITS.iter().rev().find(fits) {
        Some((unit, scale)) if seconds > 0 => format!("{}{unit}", seconds / scale),
        _ => format!("{seconds}s"),
    }
}

/// An address to listen on, with or without a port.
pub(super) fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)))
        .map_err(|_| {
            format!("`{text}` is not an address to listen on; write 127.0.0.1, 0.0.0.0:5222 or [::]:5222")
        })
}

struct MeasureVisitor<T>(PhantomData<T>);

impl<T: Measure> Visitor<'_> for MeasureVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let measure = u64::try_from(number).ok().and_then(T::of_number);
        measure.ok_or_else(|| E::custom(format!("`{number}` is not {}", T::EXPECTED)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::of_text(text).ok_or_else(|| E::custom(format!("`{text}` is not {}", T::EXPECTED)))
    }
}

macro_rules! deserialized_as_measure {
    ($($type:ty)+) => { $(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                deserializer.deserialize_any(MeasureVisitor(PhantomData))
            }
        }
    )+ };
}
deserialized_as_measure!(Span Size Kept);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let seconds = |text| Span::of_text(text).map(|span| span.0.as_secs());

        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("10 m"), Some(600));
        assert_eq!(seconds("1y"), Some(365 * 86_400));
        for bad in ["", "10", "m", "1.5h", "-1s", "1x", "10m ", "99999999999999999999s", "101y"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(Size::of_text("5 MiB"), Some(Size(5 << 20)));
        assert_eq!(Size::of_text("100MB"), Some(Size(100_000_000)));
        for bad in ["5", "5 mib", "MiB", "99999999999 GiB"] {
            assert_eq!(Size::of_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn history_is_a_duration_or_off() {
        assert_eq!(Kept::of_text("off"), Some(Kept(None)));
        assert_eq!(Kept::of_text("30d"), Some(Kept(Some(Duration::from_secs(30 * 86_400)))));
        assert_eq!(Kept::of_text("0s"), None);
    }

    #[test]
    fn a_duration_is_said_in_its_largest_unit() {
        let say = |seconds| say_duration(Duration::from_secs(seconds));

        assert_eq!((say(0), say(90), say(3600)), ("0s".into(), "90s".into(), "1h".into()));
        assert_eq!(say(365 * 86_400), "1y");
    }

    #[test]
    fn an_address_may_go_without_its_port() {
        for (text, parsed) in [
            ("0.0.0.0", "0.0.0.0:5222"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:5222"),
            ("[::]", "[::]:5222"),
            ("[::]:0", "[::]:0"),
        ] {
            assert_eq!(address(text, 5222), Ok(parsed.parse().unwrap()), "{text}");
        }
        for bad in ["", "localhost", "5222", "127.0.0.1:99999"] {
            assert!(address(bad, 5222).is_err(), "{bad}");
        }
    }
}
