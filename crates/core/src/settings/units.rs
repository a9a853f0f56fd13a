//! Units: how durations and sizes are written, as a whole number and a unit.

/// Units, each with its factor. Values are shown in the last one that fits.
pub type Units = [(&'static str, u64)];

/// Seconds.
pub const TIMES: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400), ("y", 365 * 86_400)];

/// Units of bytes; those based on a thousand are read and never shown.
pub const SIZES: [(&str, u64); 7] = [
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    (" B", 1),
    (" KiB", 1 << 10),
    (" MiB", 1 << 20),
    (" GiB", 1 << 30),
];

/// Reads a number and a unit, with or without spaces between them.
pub fn read_scaled(text: &str, units: &Units) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| name.trim_start() == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// Writes a number in the largest unit that fits: `1y`, `90s`, `5 MiB`.
pub fn say_scaled(number: u64, units: &Units) -> String {
    let fits = |(_, scale): &&(&str, u64)| match number {
        0 => *scale == 1,
        _ => number.is_multiple_of(*scale),
    };
    let (unit, scale) = units.iter().rev().find(fits).unwrap_or(&("", 1));
    format!("{}{unit}", number / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, seconds) in [("30s", 30), ("10 m", 600), ("1y", 365 * 86_400)] {
            assert_eq!(read_scaled(text, &TIMES), Some(seconds), "{text}");
        }
        for bad in ["", "10", "m", "1.5h", "-1s", "1x", "10m ", "99999999999999999999s"] {
            assert_eq!(read_scaled(bad, &TIMES), None, "{bad}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        for (text, bytes) in [("5 MiB", 5 << 20), ("100MB", 100_000_000), ("7B", 7)] {
            assert_eq!(read_scaled(text, &SIZES), Some(bytes), "{text}");
        }
        for bad in ["5", "5 mib", "MiB", "99999999999 GiB"] {
            assert_eq!(read_scaled(bad, &SIZES), None, "{bad}");
        }
    }

    #[test]
    fn a_number_is_said_in_its_largest_unit() {
        for (seconds, said) in [(0, "0s"), (90, "90s"), (3600, "1h"), (365 * 86_400, "1y")] {
            assert_eq!(say_scaled(seconds, &TIMES), said);
        }
        for (bytes, said) in [(1500, "1500 B"), (4 << 10, "4 KiB"), (100 << 20, "100 MiB")] {
            assert_eq!(say_scaled(bytes, &SIZES), said);
        }
    }
}
