//! Plots: one description, drawn as SVG and as PNG.

mod axis;
mod bars;
mod canvas;
mod chart;
mod heat;
mod pictures;
mod render;

use serde::{Deserialize, Serialize};

use crate::{Picture, statistics::Summary};

/// What a picture shows. Drawn by [`Run::plot`](crate::Run::plot).
///
/// ```
/// use kiln_lab::plot::{Plot, Series};
///
/// let plot = Plot::line("Error while training", "epoch", "error")
///     .log_y()
///     .series(Series::new("adam").seeds(1.0, &[0.30, 0.28]).seeds(2.0, &[0.20, 0.21]))
///     .series(Series::new("sgd").point(1.0, 0.5).point(2.0, 0.4));
/// assert_eq!(plot.series.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Title over the picture.
    pub title: String,
    /// What the marks mean.
    pub kind: PlotKind,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Lines or clouds of points.
    pub series: Vec<Series>,
    /// Bars, for a bar chart.
    pub bars: Vec<Bar>,
    /// Cells, for a heat map.
    pub heat: HeatMap,
    /// Pictures, for a grid of them.
    pub pictures: Vec<Picture>,
    /// Pictures in a row of the grid.
    pub columns: usize,
    /// Horizontal lines such as the paper's figure.
    pub references: Vec<Reference>,
}

/// The kinds of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlotKind {
    /// Lines with a band of one standard deviation over seeds.
    Line,
    /// Points.
    Scatter,
    /// Bars with error bars, grouped by label.
    Bars,
    /// Coloured cells with their values.
    HeatMap,
    /// Pictures in a grid.
    Pictures,
}

/// An axis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Whether equal distances are equal ratios.
    pub log: bool,
    /// Lower and upper end; taken from the data when absent.
    pub range: Option<(f64, f64)>,
}

/// A line, or a cloud of points; one without a name is left out of the legend.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// The points.
    pub points: Vec<Point>,
    /// How it is drawn.
    #[serde(default, skip_serializing_if = "Look::is_plain")]
    pub look: Look,
}

/// How a series is drawn: by default as an unbroken line in the colour of its place among the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Whether the line is broken.
    pub dotted: bool,
    /// Whether it is thin and grey, behind the others.
    pub faint: bool,
    /// Place in the palette, where it is not that among the series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<usize>,
}

impl Look {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A point with its spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Horizontal position.
    pub x: f64,
    /// Vertical position, the mean over seeds.
    pub y: f64,
    /// Standard deviation over seeds; 0 for a single value.
    pub std: f64,
}

/// A bar with its error bar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Label under the bar, or under its group.
    pub label: String,
    /// Name in the legend, where each label has several bars; empty otherwise.
    pub series: String,
    /// Height.
    pub mean: f64,
    /// Half of the error bar.
    pub std: f64,
}

/// A matrix of values with names.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HeatMap {
    /// Names of the rows, from top to bottom.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// `values[row][column]`.
    pub values: Vec<Vec<f64>>,
}

/// A horizontal line with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Vertical position.
    pub y: f64,
    /// What it stands for.
    pub name: String,
}

impl Plot {
    fn new(kind: PlotKind, title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            kind,
            x: Axis { label: x.into(), ..Axis::default() },
            y: Axis { label: y.into(), ..Axis::default() },
            series: Vec::new(),
            bars: Vec::new(),
            heat: HeatMap::default(),
            pictures: Vec::new(),
            columns: 0,
            references: Vec::new(),
        }
    }

    /// Lines over a common horizontal axis.
    pub fn line(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self::new(PlotKind::Line, title, x, y)
    }

    /// Points.
    pub fn scatter(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self::new(PlotKind::Scatter, title, x, y)
    }

    /// Bars with error bars.
    pub fn bars(title: impl Into<String>, y: impl Into<String>) -> Self {
        Self::new(PlotKind::Bars, title, "", y)
    }

    /// Coloured cells; `x` names what the columns are and `y` what the rows are.
    pub fn heat_map(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>, heat: HeatMap) -> Self {
        Self { heat, ..Self::new(PlotKind::HeatMap, title, x, y) }
    }

    /// Pictures with their captions, `columns` in a row.
    pub fn pictures(title: impl Into<String>, columns: usize, pictures: Vec<Picture>) -> Self {
        Self { pictures, columns: columns.max(1), ..Self::new(PlotKind::Pictures, title, "", "") }
    }

    /// The filters of a first layer, each over its own range, `columns` in a row. `weights` holds the filters one after
    /// the other, each `[channels, height, width]`.
    ///
    /// # Panics
    /// When `weights` is no whole number of filters.
    pub fn filters(title: impl Into<String>, columns: usize, weights: &[f32], shape: [usize; 3]) -> Self {
        let size = shape.iter().product::<usize>().max(1);
        assert_eq!(weights.len() % size, 0, "{} weights are no whole number of filters of {shape:?}", weights.len());
        let draw = |filter: &[f32]| match shape[0] {
            1 | 3 => Picture::normalised(filter, shape),
            _ => Picture::normalised(&filter[..shape[1] * shape[2]], [1, shape[1], shape[2]]),
        };
        Self::pictures(title, columns, weights.chunks(size).map(draw).collect())
    }

    /// Logarithmic horizontal axis; points that are not positive are left out.
    pub fn log_x(mut self) -> Self {
        self.x.log = true;
        self
    }

    /// Logarithmic vertical axis; points that are not positive are left out.
    pub fn log_y(mut self) -> Self {
        self.y.log = true;
        self
    }

    /// Fixes the ends of the horizontal axis.
    pub fn x_range(mut self, low: f64, high: f64) -> Self {
        self.x.range = Some((low, high));
        self
    }

    /// Fixes the ends of the vertical axis.
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.y.range = Some((low, high));
        self
    }

    /// Adds a line or a cloud of points.
    pub fn series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a bar.
    pub fn bar(mut self, label: impl Into<String>, summary: &Summary) -> Self {
        self.bars.push(Bar { label: label.into(), series: String::new(), mean: summary.mean, std: summary.std });
        self
    }

    /// Adds a bar to the group `label`, coloured by `series`.
    pub fn grouped_bar(mut self, label: impl Into<String>, series: impl Into<String>, summary: &Summary) -> Self {
        self.bars.push(Bar { label: label.into(), series: series.into(), mean: summary.mean, std: summary.std });
        self
    }

    /// Adds a horizontal line such as the paper's figure or a bound.
    pub fn reference(mut self, y: f64, name: impl Into<String>) -> Self {
        self.references.push(Reference { y, name: name.into() });
        self
    }
}

impl Series {
    /// A series without points.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Breaks the line.
    pub fn dotted(mut self) -> Self {
        self.look.dotted = true;
        self
    }

    /// Makes the line thin and grey, for one of many that stand behind the others.
    pub fn faint(mut self) -> Self {
        self.look.faint = true;
        self
    }

    /// Takes the colour of the series in place `index`, so that several can share one.
    pub fn coloured_as(mut self, index: usize) -> Self {
        self.look.colour = Some(index);
        self
    }

    /// Adds a point without spread.
    pub fn point(mut self, x: f64, y: f64) -> Self {
        self.points.push(Point { x, y, std: 0.0 });
        self
    }

    /// Adds the mean and spread over seeds at `x`.
    pub fn seeds(mut self, x: f64, values: &[f64]) -> Self {
        let summary = Summary::of(values);
        self.points.push(Point { x, y: summary.mean, std: summary.std });
        self
    }

    /// Adds points without spread.
    pub fn points(mut self, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.points.extend(points.into_iter().map(|(x, y)| Point { x, y, std: 0.0 }));
        self
    }
}
