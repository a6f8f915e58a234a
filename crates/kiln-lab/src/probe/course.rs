//! A figure from look to look.

use super::{ProbeView, draw};
use crate::{LabError, Plot, Series};

/// Draws what was measured so far as the picture `<probe>-epoch-<epoch>` over the steps: for each of `figures` its name and
/// the metric that holds it. Figures that are not finite are left out.
pub(super) fn draw_course(
    view: &ProbeView<'_>,
    probe: &str,
    axis: &str,
    figures: &[(&str, &str)],
) -> Result<(), LabError> {
    let mut plot = Plot::line(format!("Up to epoch {}", view.epoch), "step", axis);
    for (figure, metric) in figures {
        let points = view.context.recorded(metric)?.into_iter().map(|(step, value)| (step as f64, value));
        plot = plot.series(Series::new(*figure).points(points));
    }
    draw(view, probe, &plot)
}
