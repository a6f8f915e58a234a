//! Lines with their spread, and clouds of points.

use plotters::prelude::{DrawingBackend, RGBColor};

use super::{
    Plot, PlotKind, Point, Series,
    axis::Ruler,
    canvas::{Anchor, Canvas, Drawn, FAINT, GREY, INK, PALE, colour, fitted, text_width},
};

const TEXT: f64 = 13.0;
const TITLE: f64 = 17.0;
/// The widest that the names beside the lines may become.
const NAMES: f64 = 190.0;

/// The rectangle of the data, in logical pixels.
pub(super) struct Frame {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Frame {
    fn at(&self, rulers: &(Ruler, Ruler), x: f64, y: f64) -> Option<(f64, f64)> {
        let (x, y) = (rulers.0.position(x)?, rulers.1.position(y)?);
        Some((self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top)))
    }

    fn clamp_y(&self, y: f64) -> f64 {
        y.clamp(self.top, self.bottom)
    }
}

/// Title, and the vertical axis' label in a line of its own above the data, where it reads without turning the head.
pub(super) fn draw_title<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, width: f64) -> Drawn {
    canvas.text((16.0, 20.0), &fitted(&plot.title, TITLE, width - 32.0), TITLE, INK, Anchor::Left)
}

pub(super) fn draw<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, (width, height): (f64, f64)) -> Drawn {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let references = || plot.references.iter().map(|reference| reference.y);
    let spread = points().filter(|point| plot.kind == PlotKind::Line && point.std.is_finite());
    let y_values = points()
        .map(|point| point.y)
        .chain(spread.flat_map(|point| [point.y - point.std, point.y + point.std]))
        .chain(references());
    let rulers = (Ruler::fit(&plot.x, points().map(|point| point.x), false), Ruler::fit(&plot.y, y_values, false));
    let ticks = rulers.1.ticks(6);
    let tick_width = ticks.iter().map(|(_, name)| text_width(name, TEXT)).fold(0.0, f64::max);
    let names = plot.series.iter().map(|series| text_width(&series.name, TEXT)).fold(0.0, f64::max).min(NAMES);
    let frame = Frame { left: 24.0 + tick_width, top: 66.0, right: width - names - 30.0, bottom: height - 52.0 };
    draw_title(canvas, plot, width)?;
    canvas.text((16.0, 44.0), &plot.y.label, TEXT, GREY, Anchor::Left)?;
    draw_axes(canvas, plot, &frame, &rulers)?;
    for reference in &plot.references {
        draw_reference(canvas, &frame, &rulers, reference.y, &reference.name)?;
    }
    let (behind, before): (Vec<_>, Vec<_>) = plot.series.iter().enumerate().partition(|(_, series)| series.look.faint);
    for (index, series) in behind.into_iter().chain(before) {
        let stroke = Stroke::of(series, index);
        if plot.kind == PlotKind::Line {
            draw_line(canvas, &frame, &rulers, series, stroke)?;
        } else {
            draw_dots(canvas, &frame, &rulers, series, stroke)?;
        }
    }
    draw_names(canvas, plot, &frame, &rulers)
}

fn draw_axes<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, frame: &Frame, rulers: &(Ruler, Ruler)) -> Drawn {
    let (x, y) = (&rulers.0, &rulers.1);
    for (value, name) in y.ticks(6) {
        let at = frame.bottom - y.position(value).unwrap_or(0.0) * (frame.bottom - frame.top);
        canvas.line(&[(frame.left, at), (frame.right, at)], FAINT, 1.0)?;
        canvas.text((frame.left - 8.0, at), &name, TEXT, GREY, Anchor::Right)?;
    }
    for (value, name) in x.ticks(7) {
        let at = frame.left + x.position(value).unwrap_or(0.0) * (frame.right - frame.left);
        canvas.line(&[(at, frame.bottom), (at, frame.bottom + 5.0)], GREY, 1.0)?;
        canvas.text((at, frame.bottom + 16.0), &name, TEXT, GREY, Anchor::Centre)?;
    }
    canvas.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], GREY, 1.0)?;
    let middle = (frame.left + frame.right) / 2.0;
    canvas.text((middle, frame.bottom + 37.0), &plot.x.label, TEXT, GREY, Anchor::Centre)
}

fn draw_reference<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    frame: &Frame,
    rulers: &(Ruler, Ruler),
    value: f64,
    name: &str,
) -> Drawn {
    let Some(at) = rulers.1.position(value).map(|y| frame.bottom - y * (frame.bottom - frame.top)) else {
        return Ok(());
    };
    canvas.dashes(&[(frame.left, at), (frame.right, at)], GREY, 1.2)?;
    canvas.text((frame.left + 6.0, at - 9.0), name, TEXT - 1.0, GREY, Anchor::Left)
}

/// With what a series is drawn.
#[derive(Debug, Clone, Copy)]
struct Stroke {
    colour: RGBColor,
    width: f64,
    dotted: bool,
}

impl Stroke {
    /// Of the series in place `index`.
    fn of(series: &Series, index: usize) -> Self {
        let (colour, width) =
            if series.look.faint { (PALE, 1.0) } else { (colour(series.look.colour.unwrap_or(index)), 2.0) };
        Self { colour, width, dotted: series.look.dotted }
    }
}

fn draw_line<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    frame: &Frame,
    rulers: &(Ruler, Ruler),
    series: &Series,
    stroke: Stroke,
) -> Drawn {
    let shown: Vec<&Point> =
        series.points.iter().filter(|point| frame.at(rulers, point.x, point.y).is_some()).collect();
    let edge = |sign: f64| {
        let at = move |point: &&Point| {
            let (x, y) = frame.at(rulers, point.x, point.y)?;
            // What falls below a logarithmic axis reaches its end.
            let y = frame.at(rulers, point.x, point.y + sign * point.std).map_or(frame.bottom.max(y), |at| at.1);
            Some((x, frame.clamp_y(y)))
        };
        shown.iter().filter_map(at).collect::<Vec<_>>()
    };
    if shown.len() > 1 && shown.iter().any(|point| point.std > 0.0) {
        let mut band = edge(1.0);
        band.extend(edge(-1.0).into_iter().rev());
        canvas.polygon(&band, stroke.colour, 0.18)?;
    }
    let line: Vec<_> = shown
        .iter()
        .filter_map(|point| frame.at(rulers, point.x, point.y))
        .map(|(x, y)| (x, frame.clamp_y(y)))
        .collect();
    if line.len() > 1 && stroke.dotted {
        canvas.dashes(&line, stroke.colour, stroke.width)?;
    } else if line.len() > 1 {
        canvas.line(&line, stroke.colour, stroke.width)?;
    }
    if line.len() <= 20 {
        for at in line {
            canvas.dot(at, 1.5 * stroke.width, stroke.colour, 1.0)?;
        }
    }
    Ok(())
}

fn draw_dots<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    frame: &Frame,
    rulers: &(Ruler, Ruler),
    series: &Series,
    stroke: Stroke,
) -> Drawn {
    let (radius, opacity) = if series.points.len() > 300 { (2.2, 0.45) } else { (3.6, 0.75) };
    for point in &series.points {
        if let Some(at) = frame.at(rulers, point.x, point.y) {
            canvas.dot((at.0, frame.clamp_y(at.1)), radius, stroke.colour, opacity)?;
        }
    }
    Ok(())
}

/// The names stand beside the lines' ends, moved apart where they would touch.
fn draw_names<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, frame: &Frame, rulers: &(Ruler, Ruler)) -> Drawn {
    let mut wanted: Vec<(usize, f64)> = Vec::new();
    let named = plot.series.iter().enumerate().filter(|(_, series)| !series.name.is_empty());
    for (index, series) in named {
        let end = series.points.iter().rev().find_map(|point| frame.at(rulers, point.x, point.y));
        let at = match (plot.kind, end) {
            (PlotKind::Line, Some((_, y))) => frame.clamp_y(y),
            _ => frame.top + 10.0 + 18.0 * wanted.len() as f64,
        };
        wanted.push((index, at));
    }
    wanted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let places = spread_apart(&wanted.iter().map(|(_, at)| *at).collect::<Vec<_>>(), 16.0, frame.top, frame.bottom);
    for ((index, _), at) in wanted.iter().zip(places) {
        let series = &plot.series[*index];
        let name = fitted(&series.name, TEXT, NAMES);
        let colour = if series.look.faint { GREY } else { Stroke::of(series, *index).colour };
        if plot.kind == PlotKind::Scatter {
            canvas.dot((frame.right + 10.0, at), 3.6, colour, 1.0)?;
        }
        let left = frame.right + if plot.kind == PlotKind::Scatter { 18.0 } else { 10.0 };
        canvas.text((left, at), &name, TEXT, colour, Anchor::Left)?;
    }
    Ok(())
}

/// Moves sorted places `gap` apart with little movement, within `low..=high`; closer together where they do not fit.
fn spread_apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let gap = gap.min((high - low) / wanted.len().saturating_sub(1).max(1) as f64);
    let mut places = wanted.to_vec();
    for _ in 0..50 {
        for index in 1..places.len() {
            let overlap = gap - (places[index] - places[index - 1]);
            if overlap > 0.0 {
                places[index - 1] -= overlap / 2.0;
                places[index] += overlap / 2.0;
            }
        }
        if let Some(first) = places.first_mut() {
            *first = first.max(low);
        }
        if let Some(last) = places.last_mut() {
            *last = last.min(high);
        }
    }
    // What is left of the overlaps after so many rounds: up from the lower end, then down from the upper one.
    for index in 1..places.len() {
        places[index] = places[index].max(places[index - 1] + gap);
    }
    let mut end = high;
    for place in places.iter_mut().rev() {
        *place = place.min(end);
        end = *place - gap;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_touch() {
        let places = spread_apart(&[100.0, 100.0, 101.0, 300.0], 16.0, 0.0, 320.0);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 16.0 - 1e-9), "{places:?}");
        assert!((places[3] - 300.0).abs() < 1e-9, "a name without neighbours stays");
        let full = spread_apart(&[100.0; 20], 16.0, 0.0, 310.0);
        assert!(full.windows(2).all(|pair| pair[1] - pair[0] >= 16.0 - 1e-9), "{full:?}");
        let crowded = spread_apart(&[300.0; 41], 16.0, 0.0, 320.0);
        assert!(crowded.iter().all(|place| (-1e-9..=320.0).contains(place)), "{crowded:?}");
        assert!(crowded.windows(2).all(|pair| pair[1] - pair[0] >= 8.0 - 1e-9), "{crowded:?}");
    }
}
