//! Bars with error bars, lying, so that their labels read from left to right.

use plotters::prelude::DrawingBackend;

use super::{
    Bar, Plot,
    axis::Ruler,
    canvas::{Anchor, Canvas, Drawn, FAINT, GREY, INK, colour, fitted, text_width},
    chart::draw_title,
};
use crate::statistics::figure;

const TEXT: f64 = 13.0;
const THICK: f64 = 20.0;
const LABELS: f64 = 220.0;

/// Distinct values in the order of their first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen: Vec<&str> = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

/// Height that the bars need, in logical pixels.
pub(super) fn height(plot: &Plot) -> f64 {
    let groups = distinct(plot.bars.iter().map(|bar| bar.label.as_str())).len();
    let series = distinct(plot.bars.iter().map(|bar| bar.series.as_str()));
    let legend = if series.len() > 1 { 24.0 } else { 0.0 };
    108.0 + legend + plot.bars.len() as f64 * (THICK + 2.0) + groups as f64 * 12.0
}

pub(super) fn draw<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, (width, height): (f64, f64)) -> Drawn {
    let labels = distinct(plot.bars.iter().map(|bar| bar.label.as_str()));
    let series = distinct(plot.bars.iter().map(|bar| bar.series.as_str()));
    let ends = |bar: &Bar| [bar.mean - bar.std, bar.mean, bar.mean + bar.std];
    let values = plot.bars.iter().flat_map(ends).chain(plot.references.iter().map(|reference| reference.y));
    let ruler = Ruler::fit(&plot.y, values, true);
    let label_width = labels.iter().map(|label| text_width(label, TEXT)).fold(0.0, f64::max).min(LABELS);
    let (left, right) = (28.0 + label_width, width - 84.0);
    let across = |value: f64| ruler.position(value).map(|at| left + at.clamp(0.0, 1.0) * (right - left));
    let (mut top, bottom) = (44.0, height - 52.0);

    draw_title(canvas, plot, width)?;
    if series.len() > 1 {
        draw_legend(canvas, &series, top)?;
        top += 24.0;
    }
    for (value, name) in ruler.ticks(6) {
        let Some(at) = across(value) else { continue };
        canvas.line(&[(at, top), (at, bottom)], FAINT, 1.0)?;
        canvas.text((at, bottom + 14.0), &name, TEXT, GREY, Anchor::Centre)?;
    }
    canvas.text(((left + right) / 2.0, bottom + 36.0), &plot.y.label, TEXT, GREY, Anchor::Centre)?;

    for reference in &plot.references {
        let Some(at) = across(reference.y) else { continue };
        canvas.dashes(&[(at, top), (at, bottom)], INK, 1.2)?;
        canvas.text((at, top - 8.0), &reference.name, TEXT - 1.0, INK, Anchor::Centre)?;
    }
    let start = across(if plot.y.log { f64::MIN_POSITIVE } else { 0.0 }).unwrap_or(left);
    let mut y = top + 6.0;
    for label in labels {
        let group: Vec<&Bar> = plot.bars.iter().filter(|bar| bar.label == label).collect();
        let middle = y + group.len() as f64 * (THICK + 2.0) / 2.0;
        canvas.text((left - 10.0, middle), &fitted(label, TEXT, LABELS), TEXT, INK, Anchor::Right)?;
        for bar in group {
            let index = series.iter().position(|name| *name == bar.series).unwrap_or(0);
            draw_bar(canvas, bar, (start, y), &across, index)?;
            y += THICK + 2.0;
        }
        y += 12.0;
    }
    canvas.line(&[(start, top), (start, bottom)], GREY, 1.0)
}

fn draw_bar<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    bar: &Bar,
    (start, y): (f64, f64),
    across: &impl Fn(f64) -> Option<f64>,
    index: usize,
) -> Drawn {
    let middle = y + THICK / 2.0;
    let Some(end) = across(bar.mean) else {
        return canvas.text((start + 8.0, middle), "no value", TEXT, GREY, Anchor::Left);
    };
    canvas.rectangle((start.min(end), y), (start.max(end), y + THICK), colour(index))?;
    let mut far = end;
    if bar.std > 0.0 && bar.std.is_finite() {
        let low = across(bar.mean - bar.std).unwrap_or(start);
        let high = across(bar.mean + bar.std).unwrap_or(end);
        canvas.line(&[(low, middle), (high, middle)], INK, 1.4)?;
        for cap in [low, high] {
            canvas.line(&[(cap, middle - 4.0), (cap, middle + 4.0)], INK, 1.4)?;
        }
        far = far.max(high);
    }
    canvas.text((far.max(start) + 7.0, middle), &figure(bar.mean), TEXT, INK, Anchor::Left)
}

fn draw_legend<B: DrawingBackend>(canvas: &Canvas<'_, B>, series: &[&str], y: f64) -> Drawn {
    let mut x = 16.0;
    for (index, name) in series.iter().enumerate() {
        canvas.rectangle((x, y - 6.0), (x + 12.0, y + 6.0), colour(index))?;
        canvas.text((x + 18.0, y), name, TEXT, INK, Anchor::Left)?;
        x += 18.0 + text_width(name, TEXT) + 20.0;
    }
    Ok(())
}
