//! A figure from look to look.

use super::{ProbeView, draw};
use crate::{LabError, Plot, Series};

/// What a probe has seen so far, one figure a look.
#[derive(Debug, Clone, Default)]
pub(super) struct Course {
    points: Vec<(f64, f64)>,
}

impl Course {
    /// Adds the figure of this look and draws all of them over the steps. Figures that are not finite are left out.
    pub(super) fn draw(&mut self, view: &ProbeView<'_>, name: &str, figure: &str, value: f64) -> Result<(), LabError> {
        if value.is_finite() {
            self.points.push((view.step as f64, value));
        }
        let series = Series::new(figure).points(self.points.iter().copied());
        draw(view, name, &Plot::line(format!("Up to epoch {}", view.epoch), "step", figure).series(series))
    }
}
