//! Heat maps: cells coloured by value, with the value in them where it fits.

use plotters::{prelude::DrawingBackend, style::RGBColor};

use super::{
    Plot,
    canvas::{Anchor, Canvas, Drawn, FAINT, GREY, INK, fitted, text_width},
    chart::draw_title,
};
use crate::statistics::figure;

const TEXT: f64 = 13.0;
const LABELS: f64 = 150.0;

/// A scale from dark to light that keeps its order in grey and for every colour vision (the nine-point form of viridis).
const SCALE: [[u8; 3]; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// Colour at `position` from 0 to 1.
fn scale(position: f64) -> RGBColor {
    let at = position.clamp(0.0, 1.0) * (SCALE.len() - 1) as f64;
    let (low, share) = ((at.floor() as usize).min(SCALE.len() - 2), at - at.floor().min((SCALE.len() - 2) as f64));
    let mix = |channel: usize| {
        let (a, b) = (f64::from(SCALE[low][channel]), f64::from(SCALE[low + 1][channel]));
        (a + (b - a) * share).round() as u8
    };
    RGBColor(mix(0), mix(1), mix(2))
}

/// Width and height that the map needs, in logical pixels.
pub(super) fn size(plot: &Plot) -> (f64, f64) {
    let (rows, columns) = (plot.heat.rows.len().max(1) as f64, plot.heat.columns.len().max(1) as f64);
    let cell = (560.0 / rows.max(columns)).clamp(14.0, 56.0);
    ((columns * cell + LABELS + 130.0).max(420.0), (rows * cell + 150.0).max(260.0))
}

pub(super) fn draw<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, (width, height): (f64, f64)) -> Drawn {
    let heat = &plot.heat;
    let (rows, columns) = (heat.rows.len().max(1), heat.columns.len().max(1));
    let label_width = heat.rows.iter().map(|row| text_width(row, TEXT)).fold(0.0, f64::max).min(LABELS);
    let (left, right, top, bottom) = (44.0 + label_width, width - 84.0, 44.0, height - 74.0);
    let (cell_width, cell_height) = ((right - left) / columns as f64, (bottom - top) / rows as f64);
    let values = || heat.values.iter().flatten().copied().filter(|value| value.is_finite());
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };

    draw_title(canvas, plot, width)?;
    let widest = values().map(|value| text_width(&figure(value), TEXT - 1.0)).fold(0.0, f64::max);
    let write = cell_height >= 18.0 && widest + 6.0 <= cell_width;
    for (r, row) in heat.values.iter().enumerate().take(rows) {
        for (c, &value) in row.iter().enumerate().take(columns) {
            let (x, y) = (left + c as f64 * cell_width, top + r as f64 * cell_height);
            let fill = if value.is_finite() { scale(share(value)) } else { FAINT };
            canvas.rectangle((x, y), (x + cell_width - 1.0, y + cell_height - 1.0), fill)?;
            if write {
                let ink = if value.is_finite() && share(value) < 0.6 { RGBColor(255, 255, 255) } else { INK };
                let middle = (x + cell_width / 2.0, y + cell_height / 2.0);
                canvas.text(middle, &figure(value), TEXT - 1.0, ink, Anchor::Centre)?;
            }
        }
    }
    draw_labels(canvas, plot, (left, right, top, bottom))?;
    draw_scale(canvas, (right + 16.0, top, bottom), (low, high))
}

fn draw_labels<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    plot: &Plot,
    (left, right, top, bottom): (f64, f64, f64, f64),
) -> Drawn {
    let heat = &plot.heat;
    let cell_height = (bottom - top) / heat.rows.len().max(1) as f64;
    let every = (14.0 / cell_height).ceil().max(1.0) as usize;
    for (r, row) in heat.rows.iter().enumerate().step_by(every) {
        let at = (left - 8.0, top + (r as f64 + 0.5) * cell_height);
        canvas.text(at, &fitted(row, TEXT, LABELS), TEXT, INK, Anchor::Right)?;
    }
    let cell_width = (right - left) / heat.columns.len().max(1) as f64;
    let widest = heat.columns.iter().map(|name| text_width(name, TEXT)).fold(0.0, f64::max);
    // Long names are cut to their cell; where even three letters do not fit, only some are written.
    let every = (widest.min(24.0) / cell_width).ceil().max(1.0) as usize;
    for (c, column) in heat.columns.iter().enumerate().step_by(every) {
        let at = (left + (c as f64 + 0.5) * cell_width, bottom + 14.0);
        canvas.text(at, &fitted(column, TEXT, cell_width * every as f64 - 2.0), TEXT, INK, Anchor::Centre)?;
    }
    canvas.text(((left + right) / 2.0, bottom + 40.0), &plot.x.label, TEXT, GREY, Anchor::Centre)?;
    canvas.upward_text((18.0, (top + bottom) / 2.0), &plot.y.label, TEXT, GREY)
}

fn draw_scale<B: DrawingBackend>(
    canvas: &Canvas<'_, B>,
    (x, top, bottom): (f64, f64, f64),
    (low, high): (f64, f64),
) -> Drawn {
    if low > high {
        return Ok(());
    }
    let steps = 64;
    let step = (bottom - top) / f64::from(steps);
    for index in 0..steps {
        let y = bottom - f64::from(index) * step;
        let fill = scale(f64::from(index) / f64::from(steps - 1));
        canvas.rectangle((x, y - step - 0.5), (x + 12.0, y), fill)?;
    }
    canvas.text((x + 18.0, top + 6.0), &figure(high), TEXT - 1.0, GREY, Anchor::Left)?;
    canvas.text((x + 18.0, bottom - 6.0), &figure(low), TEXT - 1.0, GREY, Anchor::Left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_grows_lighter() {
        let light = |position: f64| {
            let RGBColor(r, g, b) = scale(position);
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        assert!((0..20).all(|step| light(f64::from(step) / 20.0) < light(f64::from(step + 1) / 20.0)));
        assert_eq!(scale(1.0), RGBColor(253, 231, 37));
    }
}
