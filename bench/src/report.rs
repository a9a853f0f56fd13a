//! The table of a comparison: as text, for docs/performance.md, and as a picture.

mod picture;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Failed;
use crate::measure::Measured;
use crate::rows::{Figure, Row, Unit};
use crate::servers::Server;

/// Between these lines of the page the table is put.
const BEGIN: &str = "<!-- the table of `whoelse-bench compare --docs`; do not edit -->";
const END: &str = "<!-- the end of the table -->";
const PAGE: &str = "docs/performance.md";
const PICTURE: &str = "docs/performance.svg";
/// Others took more of a processor than this: figures on the wall are worth little.
const BUSY: f64 = 0.1;

/// Everything a comparison has found.
pub struct Report {
    /// The rows that were wanted.
    pub rows: Vec<Row>,
    /// What came out, server by server.
    pub measured: Vec<Measured>,
    /// What was measured.
    pub versions: Vec<(Server, Option<String>)>,
    /// Whether it was only a first look.
    pub quick: bool,
    /// How long all of it took.
    pub took: Duration,
}

impl Report {
    /// The table with everything that has to be said about it.
    pub fn text(&self) -> String {
        let mut text = self.table();
        let versions: Vec<String> = self
            .versions
            .iter()
            .filter_map(|(server, version)| {
                Some(format!("{} {}", server.name(), version.as_ref()?))
            })
            .collect();
        let _ = write!(text, "\n{}; {}", versions.join(", "), machine());
        let seconds = self.took.as_secs();
        let _ = writeln!(text, "; {} min {} s in all.", seconds / 60, seconds % 60);
        text.push_str("In brackets: how many times our own figure. ");
        let others: Vec<f64> = self.measured.iter().flat_map(|one| one.others.clone()).collect();
        if let Some(Figure { value, high, .. }) = Figure::of(&others) {
            let verdict = match high > BUSY {
                false => "The machine was quiet",
                true => {
                    "**The machine was busy**, so latency and throughput are worth little, while \
                     processor time still counts"
                }
            };
            let _ = writeln!(
                text,
                "{verdict}: other processes took {:.0} % of a processor (median; {:.0} % at most).",
                100.0 * value,
                100.0 * high
            );
        }
        if self.quick {
            text.push_str("A first look (`--quick`), not figures to show.\n");
        }
        text
    }

    fn table(&self) -> String {
        let mut text = "| work | goal |".to_owned();
        for one in &self.measured {
            let _ = write!(text, " {} |", one.server.name());
        }
        text.push_str("\n|---|---|");
        self.measured.iter().for_each(|_| text.push_str("---|"));
        text.push('\n');
        for row in &self.rows {
            let goal = row.goal().map_or("–".to_owned(), |goal| {
                format!("≤ {}", row.unit().show(goal).replace(".00", "").replace(".0", ""))
            });
            let _ = write!(text, "| {} | {goal} |", row.name());
            for one in &self.measured {
                let _ = write!(text, " {} |", self.cell(*row, one.server));
            }
            text.push('\n');
        }
        text
    }

    /// A figure, and how many times ours it is.
    fn cell(&self, row: Row, server: Server) -> String {
        let Some(figure) = self.figure(row, server) else { return "–".to_owned() };
        let shown = row.unit().show(figure.value);
        match self.figure(row, Server::Whoelse) {
            _ if server == Server::Whoelse => {
                let missed = row.goal().is_some_and(|goal| figure.value > goal);
                format!("**{shown}**{}", if missed { " (missed)" } else { "" })
            }
            Some(ours) if row.unit() != Unit::Latency && ours.value > 0.0 => {
                format!("{shown} ({})", times(figure.value / ours.value))
            }
            _ => shown,
        }
    }

    fn figure(&self, row: Row, server: Server) -> Option<Figure> {
        let one = self.measured.iter().find(|one| one.server == server)?;
        one.figures.iter().find(|(of, _)| *of == row).map(|(_, figure)| *figure)
    }

    /// Writes table and picture into a folder.
    pub fn write(&self, folder: &Path) -> Result<(), Failed> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("compare.md"), self.text())?;
        Ok(fs::write(folder.join("compare.svg"), picture::draw(self))?)
    }

    /// Puts them into the documentation.
    pub fn write_docs(&self) -> Result<(), Failed> {
        let page = fs::read_to_string(PAGE)?;
        let parts = page
            .split_once(BEGIN)
            .and_then(|(head, rest)| rest.split_once(END).map(|(_, tail)| (head, tail)));
        let Some((head, tail)) = parts else { return Err(format!("{PAGE} has no place").into()) };
        fs::write(PAGE, format!("{head}{BEGIN}\n{}{END}{tail}", self.text()))?;
        Ok(fs::write(PICTURE, picture::draw(self))?)
    }
}

/// `42×`, `1.3×`, `0.29×`.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 10.0 => format!("{ratio:.0}×"),
        ratio if ratio >= 1.0 => format!("{ratio:.1}×"),
        ratio => format!("{ratio:.2}×"),
    }
}

/// On what it was measured.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{count} processors ({model}), Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let one = |server, value| Measured {
            server,
            figures: vec![(Row::Message, Figure { value, low: value, high: value })],
            others: vec![0.01],
        };
        Report {
            rows: vec![Row::Message, Row::History],
            measured: vec![one(Server::Prosody, 88.0), one(Server::Whoelse, 2.0)],
            versions: vec![(Server::Prosody, Some("0.12".to_owned()))],
            quick: false,
            took: Duration::from_secs(61),
        }
    }

    #[test]
    fn a_cell_says_how_many_times_ours_it_is() {
        let text = report().text();

        assert!(text.contains("| 88.0 µs (44×) | **2.00 µs** |"), "{text}");
        assert!(text.contains("≤ 4 µs"), "{text}");
        assert!(text.contains("1 min 1 s"), "{text}");
    }

    #[test]
    fn a_row_that_was_not_measured_stays_empty() {
        assert_eq!(report().cell(Row::History, Server::Prosody), "–");
    }

    #[test]
    fn the_picture_names_every_server_and_row() {
        let picture = picture::draw(&report());

        for name in ["Prosody", "whoelse", Row::Message.name()] {
            assert!(picture.contains(name), "{name} is missing");
        }
    }
}
