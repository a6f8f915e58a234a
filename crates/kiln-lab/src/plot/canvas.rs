//! Drawing in logical pixels on either backend.

use std::sync::Once;

use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        FontTransform,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// Why a drawing failed, in the backend's words.
pub(super) type Drawn = Result<(), String>;

/// Device pixels a logical one: drawn fine, so that lines are smooth on both backends.
pub(super) const FINENESS: f64 = 4.0;

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Labels of second rank.
pub(super) const GREY: RGBColor = RGBColor(105, 105, 105);
/// Lines behind the data.
pub(super) const FAINT: RGBColor = RGBColor(226, 226, 226);
/// Data behind other data.
pub(super) const PALE: RGBColor = RGBColor(186, 190, 196);

/// Colours that people with any colour vision tell apart (Okabe and Ito, 2008), darkest contrasts first.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// Colour of the series with this index.
pub(super) fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Centre,
    Right,
}

/// A drawing area measured in logical pixels.
pub(super) struct Canvas<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
}

impl<'a, B: DrawingBackend> Canvas<'a, B> {
    pub fn new(area: &'a DrawingArea<B, Shift>) -> Self {
        register_font();
        Self { area }
    }

    pub fn clear(&self) -> Drawn {
        self.area.fill(&WHITE).map_err(|error| error.to_string())
    }

    pub fn line(&self, points: &[(f64, f64)], colour: RGBColor, width: f64) -> Drawn {
        let style = colour.stroke_width((width * FINENESS).round() as u32);
        let points: Vec<_> = points.iter().map(|point| device(*point)).collect();
        self.area.draw(&PathElement::new(points, style)).map_err(|error| error.to_string())
    }

    /// A line broken into dashes of equal length, which go on around its corners.
    pub fn dashes(&self, points: &[(f64, f64)], colour: RGBColor, width: f64) -> Drawn {
        dashes(points).iter().try_for_each(|dash| self.line(dash, colour, width))
    }

    /// A filled polygon; `opacity` from 0 to 1.
    pub fn polygon(&self, points: &[(f64, f64)], colour: RGBColor, opacity: f64) -> Drawn {
        let points: Vec<_> = points.iter().map(|point| device(*point)).collect();
        self.area.draw(&Polygon::new(points, colour.mix(opacity))).map_err(|error| error.to_string())
    }

    pub fn rectangle(&self, from: (f64, f64), to: (f64, f64), colour: RGBColor) -> Drawn {
        let corners = [device(from), device(to)];
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(|error| error.to_string())
    }

    pub fn dot(&self, at: (f64, f64), radius: f64, colour: RGBColor, opacity: f64) -> Drawn {
        let radius = (radius * FINENESS).round() as i32;
        self.area
            .draw(&Circle::new(device(at), radius, colour.mix(opacity).filled()))
            .map_err(|error| error.to_string())
    }

    /// Text whose middle line goes through `at`.
    pub fn text(&self, at: (f64, f64), text: &str, size: f64, colour: RGBColor, anchor: Anchor) -> Drawn {
        self.write(at, text, size, colour, anchor, FontTransform::None)
    }

    /// Text that reads upwards, its middle at `at`.
    pub fn upward_text(&self, at: (f64, f64), text: &str, size: f64, colour: RGBColor) -> Drawn {
        self.write(at, text, size, colour, Anchor::Centre, FontTransform::Rotate270)
    }

    fn write(
        &self,
        at: (f64, f64),
        text: &str,
        size: f64,
        colour: RGBColor,
        anchor: Anchor,
        transform: FontTransform,
    ) -> Drawn {
        if text.is_empty() {
            return Ok(());
        }
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Centre => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = ("sans-serif", size * FINENESS)
            .into_font()
            .transform(transform.clone())
            .color(&colour)
            .pos(Pos::new(horizontal, VPos::Center));
        // Letters stand on a line: their middle lies below that of the box with its room for accents.
        let at = match transform {
            FontTransform::None => (at.0, at.1 + 0.1 * size),
            _ => at,
        };
        self.area.draw(&Text::new(text.to_string(), device(at), style)).map_err(|error| error.to_string())
    }
}

/// The dashes of a path, each a path of its own.
fn dashes(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    const DASH: f64 = 6.0;
    const GAP: f64 = 5.0;
    let mut dashes: Vec<Vec<(f64, f64)>> = Vec::new();
    // Where in the pattern of dash and gap the path is.
    let mut phase = 0.0;
    for pair in points.windows(2) {
        let [(x, y), (to_x, to_y)] = [pair[0], pair[1]];
        let length = (to_x - x).hypot(to_y - y);
        let at = |way: f64| (x + (to_x - x) * way / length, y + (to_y - y) * way / length);
        let mut way = 0.0;
        while way < length {
            let end = if phase < DASH { DASH } else { DASH + GAP };
            let step = (end - phase).min(length - way);
            if phase < DASH {
                match dashes.last_mut().filter(|_| phase > 0.0) {
                    Some(dash) => dash.push(at(way + step)),
                    None => dashes.push(vec![at(way), at(way + step)]),
                }
            }
            way += step;
            phase += step;
            if phase >= DASH + GAP {
                phase = 0.0;
            }
        }
    }
    dashes
}

fn device((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINENESS).round() as i32, (y * FINENESS).round() as i32)
}

/// Width of `text` in logical pixels.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    register_font();
    let font = ("sans-serif", size * FINENESS).into_font();
    font.box_size(text).map_or(text.len() as f64 * size * 0.55, |(width, _)| f64::from(width) / FINENESS)
}

/// `text` cut to `width` logical pixels, with two dots where something was cut off.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.len() > 1 {
        kept.pop();
        let shorter = kept.iter().collect::<String>().trim_end().to_string() + "..";
        if text_width(&shorter, size) <= width {
            return shorter;
        }
    }
    String::new()
}

/// A machine may have no fonts: pictures use the one that ships with the crate.
fn register_font() {
    static REGISTERED: Once = Once::new();
    static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
    REGISTERED.call_once(|| {
        // The bytes are part of the program; a test draws with them.
        let _ = plotters::style::register_font("sans-serif", FontStyle::Normal, FONT);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_on_around_corners() {
        let path = [(0.0, 0.0), (3.0, 0.0), (3.0, 0.0), (3.0, 20.0)];
        let found = dashes(&path);
        // Six along the path, five left out.
        assert_eq!(found[0], [(0.0, 0.0), (3.0, 0.0), (3.0, 3.0)]);
        assert_eq!(found[1], [(3.0, 8.0), (3.0, 14.0)]);
        assert_eq!(found[2], [(3.0, 19.0), (3.0, 20.0)]);
        assert_eq!(found.len(), 3);
        assert!(dashes(&path[..1]).is_empty());
    }
}
