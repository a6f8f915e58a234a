//! Probes: what watches a training while it goes on.

mod calibration;
mod confusion;
mod course;
mod filters;
mod gradient_norm;
mod ntk;
mod sharpness;
mod watch;

pub use calibration::Calibration;
pub use confusion::Confusion;
pub use filters::Filters;
pub use gradient_norm::GradientNorm;
pub use ntk::Ntk;
pub use sharpness::Sharpness;
pub use watch::{Moment, Watch};

use burn::tensor::{Int, Tensor};
use kiln_nn::Network;

use self::course::draw_course;
use crate::train::BatchTargets;
use crate::{JobContext, LabError};

/// Something that watches training and writes metrics and pictures. It never changes the network.
pub trait Probe: Send {
    /// Name on the command line.
    fn name(&self) -> &str;

    /// How often it looks.
    fn cadence(&self) -> Cadence {
        Cadence::Epoch
    }

    /// Whether it compares the network with classes, so that it has nothing to see where targets are numbers.
    fn needs_classes(&self) -> bool {
        false
    }

    /// Whether it has something to see in a language model, whose classes are thousands of words.
    fn sees_words(&self) -> bool {
        false
    }

    /// Whether it has something to see in a network that gives pictures.
    fn sees_images(&self) -> bool {
        false
    }

    /// Looks at the network as a step has left it.
    ///
    /// # Errors
    /// What keeps it from writing what it saw; the training then stops.
    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError>;
}

/// How often a probe looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// After the last step of every epoch.
    Epoch,
    /// After every so many steps, at least 1, counted over the whole training.
    Steps(u64),
}

/// What a probe sees.
#[derive(Debug)]
pub struct ProbeView<'a> {
    /// The network after the step, without autodiff.
    pub network: &'a Network,
    /// Rows of the validation split (of the training split where there is none), the same ones at every look:
    /// `[batch_size, features]`, without autodiff.
    pub inputs: Tensor<2>,
    /// What is to be predicted for the rows.
    pub targets: BatchTargets,
    /// Steps that are done, over all epochs.
    pub step: u64,
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Where metrics and pictures go.
    pub context: &'a JobContext,
}

/// Names of all probes with what each shows.
pub const PROBES: &[(&str, &str)] = &[
    ("calibration", "expected calibration error, and a reliability diagram"),
    ("confusion", "accuracy, and a picture of which classes are taken for which"),
    ("filters", "picture of the first layer's weights, and their norm"),
    ("gradient-norm", "norm of the gradient of the cross-entropy over all weights"),
    ("ntk", "tangent kernel: alignment with the targets, movement since the first look, spectrum"),
    ("sharpness", "largest eigenvalue of the Hessian of the cross-entropy, with its residual"),
];

/// The probe called `name`.
///
/// # Errors
/// [`LabError::UnknownName`] with the nearest probe.
///
/// ```
/// assert_eq!(kiln_lab::probe::by_name("filters").unwrap().name(), "filters");
/// let error = kiln_lab::probe::by_name("filter").err().unwrap();
/// assert_eq!(error.to_string(), "unknown probe `filter`; did you mean `filters`?");
/// ```
pub fn by_name(name: &str) -> Result<Box<dyn Probe>, LabError> {
    match name {
        "calibration" => Ok(Box::new(Calibration)),
        "confusion" => Ok(Box::new(Confusion)),
        "filters" => Ok(Box::new(Filters)),
        "gradient-norm" => Ok(Box::new(GradientNorm)),
        "ntk" => Ok(Box::new(Ntk::default())),
        "sharpness" => Ok(Box::new(Sharpness)),
        _ => Err(LabError::unknown("probe", name, PROBES.iter().map(|(name, _)| *name))),
    }
}

/// Draws `plot` as the picture `<name>-epoch-<epoch>` of the job.
fn draw(view: &ProbeView<'_>, name: &str, plot: &crate::Plot) -> Result<(), LabError> {
    view.context.plot(&format!("{name}-epoch-{:04}", view.epoch), plot)
}

/// Rows of a tensor as numbers.
fn rows(tensor: Tensor<2>) -> Result<Vec<Vec<f32>>, LabError> {
    let [_, width] = tensor.dims();
    let values: Vec<f32> =
        tensor.into_data().convert::<f32>().try_into_vec().map_err(|error| LabError::method(format!("{error:?}")))?;
    Ok(values.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
}

/// Class indices as numbers.
fn classes(tensor: Tensor<1, Int>) -> Result<Vec<usize>, LabError> {
    let values: Vec<i64> =
        tensor.into_data().convert::<i64>().try_into_vec().map_err(|error| LabError::method(format!("{error:?}")))?;
    Ok(values.into_iter().map(|class| class.max(0) as usize).collect())
}

/// The largest entry's index; the first of equals.
fn argmax(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, index| if row[index] > row[best] { index } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, RunOptions, Scale};
    use burn::{module::Module, tensor::Device};
    use kiln_data::{DataDir, OpenOptions, open};
    use kiln_nn::NetworkConfig;
    use std::sync::{Arc, Mutex};

    /// Notes when it looked and at how many rows.
    struct Diary {
        cadence: Cadence,
        looks: Arc<Mutex<Vec<(u64, u64, usize)>>>,
    }

    impl Probe for Diary {
        fn name(&self) -> &str {
            "diary"
        }

        fn cadence(&self) -> Cadence {
            self.cadence
        }

        fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
            self.looks.lock().unwrap().push((view.step, view.epoch, view.inputs.dims()[0]));
            Ok(())
        }
    }

    #[test]
    fn probes_look_when_they_said_and_once() {
        let device = Device::flex();
        let data = open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap();
        let network = NetworkConfig::mlp([4]).init_seeded(data.train.input_shape(), 10, 1, &device).unwrap();
        let network = network.fork(&device.clone().autodiff());
        let context = JobContext::detached(device.clone());
        for (cadence, expected) in
            [(Cadence::Epoch, vec![(3, 1, 256), (6, 2, 256)]), (Cadence::Steps(4), vec![(4, 2, 256)])]
        {
            let looks = Arc::default();
            let probe = Diary { cadence, looks: Arc::clone(&looks) };
            let mut watch = Watch::new(vec![Box::new(probe)], &data.train, &device);
            for steps in 1..=6 {
                let moment = Moment { steps, epoch: (steps - 1) / 3 + 1, ends_epoch: steps % 3 == 0 };
                watch.look(&network, moment, &context).unwrap();
                watch.look(&network, moment, &context).unwrap();
            }
            assert_eq!(*looks.lock().unwrap(), expected, "{cadence:?}");
        }
    }

    #[test]
    fn every_probe_leaves_a_metric_and_a_picture() {
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None));
        let run = Run::start("probes", toml::Table::new(), vec![1], &options).unwrap();
        let device = Device::flex();
        let network = NetworkConfig::mlp([6]).init_seeded(&[1, 4, 4], 3, 1, &device).unwrap();
        for (name, _) in PROBES {
            let context = run.job("watch", name);
            let mut probe = by_name(name).unwrap();
            let view = ProbeView {
                network: &network,
                inputs: Tensor::ones([5, 16], &device),
                targets: BatchTargets::Classes(Tensor::from_data([0, 1, 2, 0, 1], &device)),
                step: 7,
                epoch: 2,
                context: &context,
            };
            probe.observe(&view).unwrap();
            context.finish().unwrap();
            let picture = format!("artifacts/watch/{name}/{name}-epoch-0002.png");
            assert!(run.folder().join(picture).exists(), "{name}");
            let lines = run.folder().join("cells/watch").join(format!("{name}.metrics.jsonl"));
            let metrics = crate::metrics::read(&lines).unwrap();
            assert!(!metrics.is_empty() && metrics.iter().all(|metric| metric.step == 7), "{name}");
        }
    }

    #[test]
    fn curvature_and_slope_of_a_linear_model_are_their_formulas() {
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None));
        let run = Run::start("probes", toml::Table::new(), vec![1], &options).unwrap();
        let device = Device::flex();
        // Two classes of equal logits: p = 1/2, H = (x, 1)(x, 1)' (1/4) on the difference of the classes' weights.
        let network = NetworkConfig::mlp([]).init_seeded(&[3], 2, 1, &device).unwrap();
        let zero = kiln_autodiff::Tangent::from_parameters(&network).displace(&network, -1.0).unwrap();
        let inputs = Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
        let squared = 1.0 + 4.0 + 0.25 + 1.0;
        // The difference of the weights lies along (1, -1), of squared length 2.
        for (name, expected) in [("sharpness", squared / 2.0), ("gradient-norm", f64::sqrt(squared / 2.0))] {
            let context = run.job("linear", name);
            let view = ProbeView {
                network: &zero,
                inputs: inputs.clone(),
                targets: BatchTargets::Classes(Tensor::from_data([1], &device)),
                step: 3,
                epoch: 1,
                context: &context,
            };
            by_name(name).unwrap().observe(&view).unwrap();
            context.finish().unwrap();
            let lines = run.folder().join("cells/linear").join(format!("{name}.metrics.jsonl"));
            let metrics = crate::metrics::read(&lines).unwrap();
            let found = metrics.iter().find(|metric| metric.name == format!("{name}/value")).unwrap();
            let value = found.value.unwrap();
            assert!((value - expected).abs() < 1e-4 * expected, "{name}: {value} and {expected}");
        }
    }
}
