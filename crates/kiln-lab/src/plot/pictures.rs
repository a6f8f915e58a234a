//! Grids of small pictures, their pixels kept sharp.

use plotters::prelude::DrawingBackend;

use super::{
    Plot,
    canvas::{Anchor, Canvas, Drawn, GREY, fitted},
    chart::draw_title,
};
use plotters::style::RGBColor;

const TEXT: f64 = 11.0;
const GAP: f64 = 6.0;

struct Layout {
    columns: usize,
    /// Size of a cell without gap and caption.
    cell: (f64, f64),
    /// Logical pixels a picture's pixel.
    magnification: f64,
    top: f64,
    caption: f64,
}

impl Layout {
    fn of(plot: &Plot) -> Self {
        let widest = plot.pictures.iter().map(|picture| picture.width).max().unwrap_or(1).max(1) as f64;
        let tallest = plot.pictures.iter().map(|picture| picture.height).max().unwrap_or(1).max(1) as f64;
        let columns = plot.columns.clamp(1, plot.pictures.len().max(1));
        let room = (900.0 / columns as f64 - GAP).clamp(16.0, 240.0);
        // A quarter of a logical pixel is a device pixel on the fine grid, so that all pixels have the same size.
        let magnification = ((room / widest.max(tallest) * 4.0).floor() / 4.0).max(0.25);
        let captioned = plot.pictures.iter().any(|picture| !picture.caption.is_empty());
        Self {
            columns,
            cell: ((widest * magnification).max(if captioned { 40.0 } else { 0.0 }), tallest * magnification),
            magnification,
            top: if plot.title.is_empty() { 8.0 } else { 40.0 },
            caption: if captioned { 16.0 } else { 0.0 },
        }
    }
}

/// Width and height that the grid needs, in logical pixels.
pub(super) fn size(plot: &Plot) -> (f64, f64) {
    let layout = Layout::of(plot);
    let rows = plot.pictures.len().div_ceil(layout.columns).max(1) as f64;
    let width = layout.columns as f64 * (layout.cell.0 + GAP) + 10.0;
    let title = super::canvas::text_width(&plot.title, 17.0) + 32.0;
    (width.max(title.min(900.0)), layout.top + rows * (layout.cell.1 + layout.caption + GAP) + 4.0)
}

pub(super) fn draw<B: DrawingBackend>(canvas: &Canvas<'_, B>, plot: &Plot, (width, _): (f64, f64)) -> Drawn {
    let layout = Layout::of(plot);
    draw_title(canvas, plot, width)?;
    for (index, picture) in plot.pictures.iter().enumerate() {
        let (column, row) = ((index % layout.columns) as f64, (index / layout.columns) as f64);
        let left = 8.0 + column * (layout.cell.0 + GAP);
        let top = layout.top + row * (layout.cell.1 + layout.caption + GAP);
        for y in 0..picture.height {
            let mut x = 0;
            while x < picture.width {
                // Runs of one colour become one rectangle, which keeps the SVG small.
                let pixel = picture.pixel(x, y);
                let run = (x..picture.width).take_while(|&at| picture.pixel(at, y) == pixel).count();
                let m = layout.magnification;
                let from = (left + x as f64 * m, top + y as f64 * m);
                let to = (from.0 + run as f64 * m, from.1 + m);
                canvas.rectangle(from, to, RGBColor(pixel[0], pixel[1], pixel[2]))?;
                x += run;
            }
        }
        let middle = (left + layout.cell.0 / 2.0, top + layout.cell.1 + 8.0);
        canvas.text(middle, &fitted(&picture.caption, TEXT, layout.cell.0 + GAP - 2.0), TEXT, GREY, Anchor::Centre)?;
    }
    Ok(())
}
