//! The comparison as an SVG picture: a group of bars for each row, each on a scale of powers of
//! ten, for nothing else would show them all.

use std::fmt::Write;

use super::Report;
use crate::rows::{Row, Unit};
use crate::servers::Server;

const WIDTH: f64 = 860.0;
/// Where bars begin, and how long the longest may be.
const LEFT: f64 = 130.0;
const LENGTH: f64 = 590.0;
const BAR: f64 = 15.0;
const GAP: f64 = 26.0;
/// A bar of the smallest figure of a row is not nothing.
const LEAST: f64 = 0.03;

/// Draws it.
pub fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 58.0;
    for row in &report.rows {
        let figures: Vec<(Server, f64)> = report
            .measured
            .iter()
            .filter_map(|one| Some((one.server, report.figure(*row, one.server)?.value)))
            .collect();
        if figures.is_empty() {
            continue;
        }
        draw_row(&mut body, *row, &figures, &mut y);
    }
    let height = y + 6.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' \
         height='{height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='#ffffff'/>\n\
         <text x='14' y='24' font-size='16' font-weight='bold'>The same work, server by server\
         </text>\n\
         <text x='14' y='42' fill='#555555'>A bar ten times as much is one step longer: the scale \
         is logarithmic, each row has its own. The line is our goal.</text>\n{body}</svg>\n"
    )
}

fn draw_row(body: &mut String, row: Row, figures: &[(Server, f64)], y: &mut f64) {
    let values = figures.iter().map(|(_, value)| *value).chain(row.goal());
    let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-6);
    let most = values.fold(0.0, f64::max).max(least);
    // From a little under the least to the most.
    let scale = |value: f64| {
        let (low, high) = (least.log10() - 0.15, most.log10() + 0.01);
        LENGTH * ((value.max(1e-6).log10() - low) / (high - low)).max(LEAST)
    };
    let what = match row.unit() {
        Unit::Microseconds | Unit::Milliseconds => ", CPU time of the server",
        Unit::Latency | Unit::Memory => "",
        Unit::PerSecond => ", more is better",
    };
    let _ = writeln!(
        body,
        "<text x='14' y='{:.1}' font-weight='bold'>{}{what}</text>",
        *y + 12.0,
        row.name()
    );
    *y += 18.0;
    let top = *y;
    for (server, value) in figures {
        let (colour, length, text) = (colour(*server), scale(*value), row.unit().show(*value));
        let (base, end) = (*y + BAR - 4.0, LEFT + length + 6.0);
        let _ = writeln!(
            body,
            "<text x='{:.1}' y='{base:.1}' text-anchor='end'>{}</text>\
             <rect x='{LEFT}' y='{:.1}' width='{length:.1}' height='{:.1}' fill='{colour}'/>\
             <text x='{end:.1}' y='{base:.1}'>{text}</text>",
            LEFT - 6.0,
            server.name(),
            *y,
            BAR - 3.0,
        );
        *y += BAR;
    }
    if let Some(goal) = row.goal() {
        let x = LEFT + scale(goal);
        let _ = writeln!(
            body,
            "<line x1='{x:.1}' x2='{x:.1}' y1='{:.1}' y2='{:.1}' stroke='#222222' \
             stroke-dasharray='3 2'/>",
            top - 3.0,
            *y,
        );
    }
    *y += GAP - 12.0;
}

fn colour(server: Server) -> &'static str {
    match server {
        Server::Whoelse => "#c2410c",
        Server::Prosody => "#5b7fb5",
        Server::Ejabberd => "#6aa07a",
        Server::Relay | Server::RelayTls => "#b8b8b8",
    }
}
