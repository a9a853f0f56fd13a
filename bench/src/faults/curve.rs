//! The curve of a run: as a table, as a picture, and as one sentence.
//!
//! Memory counts as flat if the best-fitting straight line through the second half of the run
//! rises by less than a twentieth of its mean over that half. In the first half, caches fill up.

use std::fmt::Write;

/// The server at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Since the beginning.
    pub seconds: f64,
    /// KiB resident.
    pub memory: u64,
    /// Seconds of CPU time so far.
    pub cpu: f64,
    pub descriptors: usize,
    /// Bytes of the database.
    pub database: u64,
    /// Sessions that are open.
    pub online: usize,
    /// Since the beginning, like what follows.
    pub visits: u64,
    pub resumed: u64,
    pub messages: u64,
    pub strangers: u64,
}

/// A whole run.
#[derive(Debug, Default)]
pub struct Curve {
    pub samples: Vec<Sample>,
    /// When all wires broke, in seconds.
    pub storms: Vec<f64>,
}

/// A straight line through the second half, in KiB.
struct Fit {
    /// Where it begins, in seconds.
    from: f64,
    to: f64,
    mean: f64,
    /// KiB a second.
    slope: f64,
}

impl Fit {
    fn at(&self, seconds: f64) -> f64 {
        self.mean + self.slope * (seconds - f64::midpoint(self.from, self.to))
    }

    fn rise(&self) -> f64 {
        self.slope * (self.to - self.from)
    }
}

/// How much the line may rise, as a part of the mean.
const FLAT: f64 = 0.05;

impl Curve {
    /// Whether memory has stopped growing.
    pub fn is_flat(&self) -> bool {
        self.fit().is_some_and(|fit| fit.rise() < FLAT * fit.mean)
    }

    /// By least squares.
    fn fit(&self) -> Option<Fit> {
        let half = self.samples.get(self.samples.len() / 2..)?;
        let (first, last) = (half.first()?, half.last()?);
        let count = half.len() as f64;
        let mean = half.iter().map(|it| it.memory as f64).sum::<f64>() / count;
        let middle = half.iter().map(|it| it.seconds).sum::<f64>() / count;
        let (mut above, mut below) = (0.0, 0.0);
        for sample in half {
            let time = sample.seconds - middle;
            above += time * (sample.memory as f64 - mean);
            below += time * time;
        }
        let slope = if below > 0.0 { above / below } else { 0.0 };
        Some(Fit { from: first.seconds, to: last.seconds, mean, slope })
    }

    /// The table.
    pub fn csv(&self) -> String {
        let mut csv = "seconds,memory_kib,cpu_seconds,descriptors,database_bytes,online,visits,\
                       resumed,messages,strangers\n"
            .to_owned();
        for it in &self.samples {
            // Writing to a string does not fail.
            let _ = writeln!(
                csv,
                "{:.0},{},{:.2},{},{},{},{},{},{},{}",
                it.seconds,
                it.memory,
                it.cpu,
                it.descriptors,
                it.database,
                it.online,
                it.visits,
                it.resumed,
                it.messages,
                it.strangers
            );
        }
        csv
    }

    /// What it comes to.
    pub fn words(&self) -> String {
        let (Some(fit), Some(last)) = (self.fit(), self.samples.last()) else {
            return "too short to say anything".to_owned();
        };
        let most = self.samples.iter().map(|it| it.memory).max().unwrap_or_default();
        format!(
            "{:.0} minutes, {} visits ({} resumed), {} messages received, {} strangers, {} storms, \
             {:.0} s of CPU, a database of {:.0} MiB: memory {:.1} MiB on average in the second \
             half, {:.1} MiB at most; the line that fits the second half best {} by {:.2} MiB in \
             {:.0} minutes ({:+.1} %): {}",
            last.seconds / 60.0,
            last.visits,
            last.resumed,
            last.messages,
            last.strangers,
            self.storms.len(),
            last.cpu,
            last.database as f64 / f64::from(1 << 20),
            fit.mean / 1024.0,
            most as f64 / 1024.0,
            if fit.rise() < 0.0 { "falls" } else { "rises" },
            fit.rise().abs() / 1024.0,
            (fit.to - fit.from) / 60.0,
            100.0 * fit.rise() / fit.mean,
            if self.is_flat() { "flat" } else { "not flat" },
        )
    }

    /// The picture: memory over time, the line, the storms, and how many were online.
    pub fn svg(&self) -> String {
        const WIDTH: f64 = 900.0;
        const HEIGHT: f64 = 360.0;
        const LEFT: f64 = 60.0;
        const BOTTOM: f64 = 40.0;
        const TOP: f64 = 30.0;
        let end = self.samples.last().map_or(1.0, |it| it.seconds).max(1.0);
        let most = self.samples.iter().map(|it| it.memory).max().unwrap_or(1) as f64 / 1024.0;
        // A round number above everything, in MiB.
        let top = (most * 1.15 / 10.0).ceil() * 10.0;
        let most_online = self.samples.iter().map(|it| it.online).max().unwrap_or(1).max(1) as f64;
        let x = |seconds: f64| LEFT + (WIDTH - LEFT - 20.0) * seconds / end;
        let y = |mib: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * mib / top;
        let path = |points: Vec<(f64, f64)>| {
            let points: Vec<String> =
                points.into_iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            points.join(" ")
        };
        let memory = self.samples.iter().map(|it| (x(it.seconds), y(it.memory as f64 / 1024.0)));
        // A quarter of the height is everybody.
        let online = self
            .samples
            .iter()
            .map(|it| (x(it.seconds), y(top / 4.0 * it.online as f64 / most_online)));
        let (memory, online) = (path(memory.collect()), path(online.collect()));

        let mut svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' \
             font-family='sans-serif' font-size='12'>\n\
             <title>Memory of the server amid faults</title>\n\
             <rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>\n"
        );
        for storm in &self.storms {
            let _ = writeln!(
                svg,
                "<line x1='{0:.1}' x2='{0:.1}' y1='{1}' y2='{2}' stroke='#ddd'/>",
                x(*storm),
                TOP,
                HEIGHT - BOTTOM
            );
        }
        for part in 0..=4 {
            let mib = top * f64::from(part) / 4.0;
            let _ = writeln!(
                svg,
                "<line x1='{LEFT}' x2='{0}' y1='{1:.1}' y2='{1:.1}' stroke='#eee'/>\
                 <text x='{2}' y='{3:.1}' text-anchor='end'>{mib:.0} MiB</text>",
                WIDTH - 20.0,
                y(mib),
                LEFT - 6.0,
                y(mib) + 4.0
            );
        }
        let minutes = (end / 60.0).ceil() as usize;
        let step = (minutes / 10).max(1);
        for minute in (0..=minutes).step_by(step).filter(|minute| *minute as f64 * 60.0 <= end) {
            let _ = writeln!(
                svg,
                "<text x='{:.1}' y='{}' text-anchor='middle'>{minute} min</text>",
                x(minute as f64 * 60.0),
                HEIGHT - BOTTOM + 18.0
            );
        }
        let _ = writeln!(svg, "<polyline points='{online}' fill='none' stroke='#9bd' />");
        let _ = writeln!(svg, "<polyline points='{memory}' fill='none' stroke='#235'/>");
        if let Some(fit) = self.fit() {
            let _ = writeln!(
                svg,
                "<line x1='{:.1}' y1='{:.1}' x2='{:.1}' y2='{:.1}' stroke='#c33' \
                 stroke-width='2'/>",
                x(fit.from),
                y(fit.at(fit.from) / 1024.0),
                x(fit.to),
                y(fit.at(fit.to) / 1024.0)
            );
        }
        let _ = write!(
            svg,
            "<text x='{LEFT}' y='18'><tspan fill='#235'>resident memory</tspan>, \
             <tspan fill='#c33'>straight line through the second half</tspan>, \
             <tspan fill='#48a'>people online (at most {most_online:.0})</tspan>, \
             <tspan fill='#999'>all wires break</tspan></text>\n</svg>\n"
        );
        svg
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn curve(memory: impl Fn(usize) -> u64) -> Curve {
        let sample = |at: usize| Sample {
            seconds: at as f64,
            memory: memory(at),
            cpu: 0.0,
            descriptors: 0,
            database: 0,
            online: at % 7,
            visits: 0,
            resumed: 0,
            messages: 0,
            strangers: 0,
        };
        Curve { samples: (0..1200).map(sample).collect(), storms: vec![120.0] }
    }

    #[test]
    fn memory_that_goes_up_and_down_is_flat() {
        assert!(curve(|at| 50_000 + 5_000 * (at as u64 / 60 % 2)).is_flat());
    }

    #[test]
    fn memory_that_grew_at_first_is_flat() {
        assert!(curve(|at| 50_000.min(20_000 + 100 * at as u64)).is_flat());
    }

    #[test]
    fn memory_that_goes_on_growing_is_not_flat() {
        assert!(!curve(|at| 50_000 + 10 * at as u64).is_flat());
    }

    #[test]
    fn the_picture_is_xml_and_the_table_has_a_row_for_each_moment() {
        let curve = curve(|_| 50_000);

        assert!(curve.svg().ends_with("</svg>\n"));
        assert_eq!(curve.csv().lines().count(), 1201);
        assert!(curve.words().ends_with("flat"));
    }
}
