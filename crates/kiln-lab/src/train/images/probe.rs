//! What becomes of the validation pictures in the course of a training.

use burn::tensor::Device;
use kiln_nn::Network;

use super::objective::images;
use super::{ImageFigures, ImageJudge, ImageRows, ImageTask, SideBySide};
use crate::train::Examples;
use crate::{LabError, Probe, ProbeView};

/// Measures the validation pictures after every epoch, as `validation/psnr` and its like, and draws some of them a few times
/// in a training.
#[derive(Debug)]
pub struct ImageQuality {
    rows: ImageRows,
    task: ImageTask,
    /// Epochs between two pictures.
    distance: u64,
    epochs: u64,
}

impl ImageQuality {
    /// Pictures of a whole training, but for the first and the last one.
    const PICTURES: u64 = 5;

    /// A probe on the windows of `rows`, in a training of `epochs` epochs.
    pub fn new(rows: ImageRows, task: ImageTask, epochs: usize) -> Self {
        let epochs = epochs as u64;
        Self { rows, task, distance: epochs.div_ceil(Self::PICTURES).max(1), epochs }
    }

    /// The figures of the windows of `rows`.
    ///
    /// # Errors
    /// Those of [`ImageJudge::add`].
    pub fn judge(network: &Network, rows: &ImageRows, device: &Device) -> Result<ImageFigures, LabError> {
        let mut judge = ImageJudge::default();
        for block in rows.blocks() {
            let (inputs, targets) = rows.examples(&block, 1, device);
            judge.add(images(network.forward(inputs), rows.shape()), images(targets.values(), rows.shape()))?;
        }
        Ok(judge.figures())
    }
}

impl Probe for ImageQuality {
    fn name(&self) -> &str {
        "pictures"
    }

    fn sees_images(&self) -> bool {
        true
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let device = view.inputs.device();
        let figures = Self::judge(view.network, &self.rows, &device)?;
        for (name, value) in figures.named() {
            view.context.metric(view.step, &format!("validation/{}", name.to_lowercase()), value);
        }
        let shown = view.epoch == 1 || view.epoch == self.epochs || view.epoch.is_multiple_of(self.distance);
        if !shown {
            return Ok(());
        }
        let plot = SideBySide::of_rows(view.network, &self.rows, self.task, &device)
            .plot(format!("Validation pictures, epoch {}", view.epoch));
        view.context.plot(&format!("pictures-epoch-{:04}", view.epoch), &plot)
    }
}
