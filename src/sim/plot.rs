//! Plots as inline SVG: lines over time, bars and a timeline of faults.

use std::fmt::Write;

use super::human;
use super::junit::escape;

/// Size of a plot and of the margins for its axes.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 10.0;
/// Ticks of each axis.
const TICKS: usize = 5;
/// A palette that is distinguishable with colour blindness.
pub(super) const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A line: its name and its points (seconds, value).
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
    /// Draws steps: each value holds until the next point.
    pub(super) steps: bool,
}

/// A shaded time interval: from, to, label.
pub(super) type Shade = (f64, f64, String);

/// Draws lines over time, with the intervals of faults behind them.
pub(super) fn lines(series: &[Series<'_>], seconds: f64, shades: &[Shade]) -> String {
    let highest = series.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y)).fold(1.0, f64::max);
    let (x, y) = (scale_x(seconds), scale_y(highest));
    let mut out = open();
    for (from, to, what) in shades {
        let (from, to) = (x(*from), x(*to));
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            out,
            "<rect class=\"fault\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}</title></rect>",
            (to - from).max(1.0),
            HEIGHT - TOP - BOTTOM,
            escape(what)
        );
    }
    axis_y(&mut out, highest);
    for tick in 0..=TICKS {
        let at = seconds * tick as f64 / TICKS as f64;
        label_x(&mut out, x(at), &human(at));
    }
    for (line, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let mut path = String::new();
        let mut last: Option<f64> = None;
        for (at, value) in &line.points {
            let (px, py) = (x(*at), y(*value));
            match last {
                None => drop(write!(path, "M{px:.1} {py:.1}")),
                Some(before) if line.steps => drop(write!(path, "L{px:.1} {before:.1}L{px:.1} {py:.1}")),
                Some(_) => drop(write!(path, "L{px:.1} {py:.1}")),
            }
            last = Some(py);
        }
        if let Some(before) = last.filter(|_| line.steps) {
            let _ = write!(path, "L{:.1} {before:.1}", x(seconds));
        }
        let _ = write!(
            out,
            "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" d=\"{path}\"><title>{}</title></path>",
            escape(line.name)
        );
    }
    out.push_str("</svg>");
    legend(&mut out, series);
    out
}

/// Draws labelled bars.
pub(super) fn bars(bars: &[(String, f64)]) -> String {
    let highest = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let y = scale_y(highest);
    let width = (WIDTH - LEFT - 10.0) / bars.len().max(1) as f64;
    let mut out = open();
    axis_y(&mut out, highest);
    // Only as many labels as fit.
    let every = bars.len().div_ceil(10).max(1);
    for (at, (label, value)) in bars.iter().enumerate() {
        let left = LEFT + at as f64 * width;
        let _ = write!(
            out,
            "<rect fill=\"{}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {value}</title></rect>",
            COLOURS[0],
            y(*value),
            (width - 2.0).max(1.0),
            HEIGHT - BOTTOM - y(*value),
            escape(label)
        );
        if at % every == 0 {
            label_x(&mut out, left + width / 2.0, label);
        }
    }
    out + "</svg>"
}

/// Draws one row per fault, below its name, on the same time axis as the other plots.
pub(super) fn timeline(shades: &[Shade], seconds: f64) -> String {
    const ROW: f64 = 32.0;
    let mut rows: Vec<&str> = Vec::new();
    for (_, _, what) in shades {
        if !rows.contains(&what.as_str()) {
            rows.push(what);
        }
    }
    let height = ROW * rows.len() as f64 + 4.0;
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    let x = scale_x(seconds);
    for (row, name) in rows.iter().enumerate() {
        let top = row as f64 * ROW;
        let _ = write!(out, "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>", top + 13.0, escape(name));
        for (from, to, _) in shades.iter().filter(|(_, _, what)| what == name) {
            let _ = write!(
                out,
                "<rect fill=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} to {}</title></rect>",
                COLOURS[1],
                x(*from),
                top + 18.0,
                (x(*to) - x(*from)).max(1.5),
                ROW - 22.0,
                human(*from),
                human(*to)
            );
        }
    }
    out + "</svg>"
}

fn open() -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")
}

fn scale_x(seconds: f64) -> impl Fn(f64) -> f64 {
    move |at| LEFT + at / seconds.max(f64::MIN_POSITIVE) * (WIDTH - LEFT - 30.0)
}

fn scale_y(highest: f64) -> impl Fn(f64) -> f64 {
    move |value| HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM)
}

fn axis_y(out: &mut String, highest: f64) {
    let y = scale_y(highest);
    let ticks = TICKS.min(highest as usize).max(1);
    for tick in 0..=ticks {
        let value = highest * tick as f64 / ticks as f64;
        let at = y(value);
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{value:.0}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
}

fn label_x(out: &mut String, x: f64, label: &str) {
    let _ =
        write!(out, "<text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", HEIGHT - 10.0, escape(label));
}

fn legend(out: &mut String, series: &[Series<'_>]) {
    out.push_str("<p class=\"legend\">");
    for (line, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(out, "<span style=\"color:{colour}\">\u{25a0}</span> {} \u{2003}", escape(line.name));
    }
    out.push_str("</p>");
}
