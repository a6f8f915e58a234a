//! From a description to SVG text and PNG bytes.

use std::{io::Cursor, path::Path};

use image::ImageEncoder;
use plotters::prelude::*;

use super::{
    Plot, PlotKind, bars,
    canvas::{Canvas, Drawn, FINENESS},
    chart, heat, pictures,
};
use crate::{LabError, files};

/// Device pixels of the drawing to one of the PNG, along each side: a logical pixel has two, sharp on screens of high
/// resolution.
const SHRINKING: usize = FINENESS as usize / 2;

impl Plot {
    /// Width and height of the picture in logical pixels.
    pub fn size(&self) -> (u32, u32) {
        let (width, height) = match self.kind {
            PlotKind::Line | PlotKind::Scatter => (760.0, 440.0),
            PlotKind::Bars => (760.0, bars::height(self)),
            PlotKind::HeatMap => heat::size(self),
            PlotKind::Pictures => pictures::size(self),
        };
        (width.ceil() as u32, height.ceil() as u32)
    }

    /// The picture as SVG text; it needs no fonts besides the viewer's `sans-serif`.
    ///
    /// # Errors
    /// The backend's reason.
    pub fn svg(&self) -> Result<String, String> {
        let (width, height) = self.size();
        let (fine_width, fine_height) = fine(width, height);
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, (fine_width, fine_height)).into_drawing_area();
            self.draw(&area)?;
            area.present().map_err(|error| error.to_string())?;
        }
        let drawn = format!("<svg width=\"{fine_width}\" height=\"{fine_height}\"");
        let shown = format!("<svg width=\"{width}\" height=\"{height}\" role=\"img\"");
        Ok(text.replacen(&drawn, &shown, 1))
    }

    /// The picture as PNG bytes, at twice its logical size.
    ///
    /// # Errors
    /// The backend's reason.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let (width, height) = self.size();
        let (fine_width, fine_height) = fine(width, height);
        let mut pixels = vec![255; 3 * fine_width as usize * fine_height as usize];
        {
            let area = BitMapBackend::with_buffer(&mut pixels, (fine_width, fine_height)).into_drawing_area();
            self.draw(&area)?;
            area.present().map_err(|error| error.to_string())?;
        }
        let small = shrunk(&pixels, fine_width as usize);
        let shrink = |length: u32| length / SHRINKING as u32;
        let mut bytes = Cursor::new(Vec::new());
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&small, shrink(fine_width), shrink(fine_height), image::ExtendedColorType::Rgb8)
            .map_err(|error| error.to_string())?;
        Ok(bytes.into_inner())
    }

    /// Writes the picture to a file, as SVG or PNG by the end of its name.
    ///
    /// # Errors
    /// [`LabError::Plot`] for another ending or when it cannot be drawn, [`LabError::Io`] when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LabError> {
        let refused = |reason: String| LabError::Plot { name: path.display().to_string(), reason };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => files::write_whole(path, self.svg().map_err(refused)?.as_bytes()),
            Some("png") => files::write_whole(path, &self.png().map_err(refused)?),
            _ => Err(refused("the file name must end in .svg or .png".to_string())),
        }
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, plotters::coord::Shift>) -> Drawn {
        let canvas = Canvas::new(area);
        canvas.clear()?;
        let (width, height) = self.size();
        let size = (f64::from(width), f64::from(height));
        match self.kind {
            PlotKind::Line | PlotKind::Scatter => chart::draw(&canvas, self, size),
            PlotKind::Bars => bars::draw(&canvas, self, size),
            PlotKind::HeatMap => heat::draw(&canvas, self, size),
            PlotKind::Pictures => pictures::draw(&canvas, self, size),
        }
    }
}

fn fine(width: u32, height: u32) -> (u32, u32) {
    ((f64::from(width) * FINENESS) as u32, (f64::from(height) * FINENESS) as u32)
}

/// Means over squares of [`SHRINKING`] by [`SHRINKING`] RGB pixels, rounded to the nearest.
fn shrunk(pixels: &[u8], width: usize) -> Vec<u8> {
    const SQUARE: u16 = (SHRINKING * SHRINKING) as u16;
    let mut small = Vec::with_capacity(pixels.len() / usize::from(SQUARE));
    let mut sums = vec![0_u16; width / SHRINKING * 3];
    for rows in pixels.chunks_exact(width * 3 * SHRINKING) {
        sums.fill(SQUARE / 2);
        for row in rows.chunks_exact(width * 3) {
            for (sum, square) in sums.chunks_exact_mut(3).zip(row.chunks_exact(3 * SHRINKING)) {
                for pixel in square.chunks_exact(3) {
                    sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u16::from(*value));
                }
            }
        }
        small.extend(sums.iter().map(|sum| (sum / SQUARE) as u8));
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Picture,
        plot::{HeatMap, Series},
        statistics::Summary,
    };

    fn gallery() -> Vec<(&'static str, Plot)> {
        let decay = |rate: f64, noise: f64| {
            let mut series = Series::new(format!("rate {rate}"));
            for step in 1..=40 {
                let mean = (-rate * f64::from(step)).exp();
                series = series.seeds(f64::from(step), &[mean * (1.0 - noise), mean, mean * (1.0 + noise)]);
            }
            series
        };
        let line = Plot::line("Loss while training, mean and spread over seeds", "epoch", "cross-entropy (nats)")
            .log_y()
            .series(decay(0.1, 0.3))
            .series(decay(0.11, 0.2))
            .series(decay(0.02, 0.1))
            .reference(0.05, "paper: 0.05");
        let speed = Plot::line("Time of the output layer", "classes", "milliseconds an example")
            .log_x()
            .log_y()
            .series(Series::new("log-softmax").points([(1e3, 0.02), (1e4, 0.2), (1e5, 2.1), (1e6, 22.0)]))
            .series(Series::new("Z-loss, factored").points([(1e3, 0.01), (1e4, 0.011), (1e5, 0.011), (1e6, 0.012)]));
        let bundle = (0..30).fold(Plot::line("Many behind few", "z", "loss"), |plot, k| {
            let points = (0..=40).map(move |i| (f64::from(i), f64::from(i) * f64::from(k) / 30.0));
            plot.series(Series::new(if k == 0 { "drawn" } else { "" }).points(points).faint())
        });
        let named =
            |name: &str, slope: f64| Series::new(name).points((0..=40).map(|i| (f64::from(i), f64::from(i) * slope)));
        let bundle = bundle
            .series(named("test", 0.5).coloured_as(0))
            .series(named("", 0.7).coloured_as(0).dotted())
            .series(named("mean", 0.52).coloured_as(1));
        let cloud = |x: f64, y: f64| {
            let spiral = |i: i32| (x + f64::from(i % 13) * 0.1, y + f64::from(i % 7) * 0.15);
            Series::new(format!("class at {x}")).points((0..60).map(spiral))
        };
        let scatter = Plot::scatter("Features", "first", "second").series(cloud(0.0, 0.0)).series(cloud(1.0, 0.8));
        let bars = Plot::bars("Test accuracy", "accuracy")
            .grouped_bar("digits", "adam", &Summary::of(&[0.95, 0.96, 0.97]))
            .grouped_bar("digits", "diffgrad", &Summary::of(&[0.96, 0.965, 0.97]))
            .grouped_bar("fashion-mnist", "adam", &Summary::of(&[0.88, 0.9]))
            .grouped_bar("fashion-mnist", "diffgrad", &Summary::of(&[0.86, 0.9]))
            .reference(0.93, "paper");
        let heat = Plot::heat_map(
            "Confusion on digits",
            "predicted",
            "true",
            HeatMap {
                rows: (0..10).map(|c| c.to_string()).collect(),
                columns: (0..10).map(|c| c.to_string()).collect(),
                values: (0..10)
                    .map(|r| (0..10).map(|c| if r == c { 30.0 } else { f64::from((r * c) % 4) }).collect())
                    .collect(),
            },
        );
        let picture = |k: usize| {
            let values: Vec<f32> = (0..64).map(|i| ((i * (k + 1)) % 17) as f32).collect();
            Picture::normalised(&values, [1, 8, 8]).caption(format!("class {k}"))
        };
        let grid = Plot::pictures("Examples", 6, (0..12).map(picture).collect());
        vec![
            ("line", line),
            ("speed", speed),
            ("bundle", bundle),
            ("scatter", scatter),
            ("bars", bars),
            ("heat", heat),
            ("grid", grid),
        ]
    }

    /// Set `KILN_GALLERY` to a folder to look at the pictures.
    #[test]
    fn every_kind_renders_on_both_backends() {
        for (name, plot) in gallery() {
            let (svg, png) = (plot.svg().unwrap(), plot.png().unwrap());
            let (width, height) = plot.size();
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{name}");
            assert!(svg.contains(&format!("width=\"{width}\" height=\"{height}\"")), "{name}");
            let decoded = image::load_from_memory(&png).unwrap().to_rgb8();
            assert_eq!(decoded.dimensions(), (2 * width, 2 * height), "{name}");
            let inked = decoded.pixels().filter(|pixel| pixel.0 != [255; 3]).count();
            assert!(inked > 2000, "{name} is nearly empty: {inked} pixels");
            if let Some(folder) = std::env::var_os("KILN_GALLERY") {
                let folder = std::path::Path::new(&folder);
                crate::write_whole(&folder.join(format!("{name}.png")), &png).unwrap();
                crate::write_whole(&folder.join(format!("{name}.svg")), svg.as_bytes()).unwrap();
            }
        }
    }

    #[test]
    fn shrinking_takes_rounded_means_of_squares() {
        let pixels = [0, 10, 255, 2, 10, 255, 100, 0, 0, 100, 0, 0, 1, 20, 255, 0, 20, 255, 101, 0, 1, 101, 0, 1];
        assert_eq!(shrunk(&pixels, 4), [1, 15, 255, 101, 0, 1]);
    }

    #[test]
    fn empty_and_degenerate_plots_render() {
        let nan = Summary::of(&[]);
        let plots = [
            Plot::line("", "", ""),
            Plot::line("t", "x", "y").log_x().series(Series::new("s").point(-1.0, 2.0).point(f64::NAN, 1.0)),
            Plot::scatter("t", "x", "y").series(Series::new("one").point(1.0, 1.0)),
            Plot::bars("t", "y").bar("none", &nan).log_y(),
            Plot::heat_map("t", "x", "y", HeatMap::default()),
            Plot::pictures("t", 3, Vec::new()),
        ];
        for plot in plots {
            plot.svg().unwrap();
            plot.png().unwrap();
        }
    }

    #[test]
    fn the_file_name_chooses_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let plot = Plot::line("t", "x", "y");
        let at = |name: &str| folder.path().join(name);
        plot.write(&at("a.svg")).unwrap();
        plot.write(&at("a.png")).unwrap();
        assert!(std::fs::read(at("a.png")).unwrap().starts_with(b"\x89PNG"));
        assert!(plot.write(&at("a.gif")).unwrap_err().to_string().contains(".svg or .png"));
    }

    #[test]
    fn text_is_drawn_with_the_font_that_ships() {
        let with = Plot::line("A title", "", "").png().unwrap();
        let without = Plot::line("", "", "").png().unwrap();
        assert_ne!(with, without);
        assert!(Plot::line("a < b", "", "").svg().unwrap().contains("a &lt; b"), "text in SVG is escaped");
    }
}
