//! How the network's outputs move together, and whether that still changes.

use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};
use kiln_autodiff::ntk::{KernelSpectrum, NtkConfig, Recorder, centred_alignment, empirical_ntk};
use kiln_nn::Network;

use super::{Probe, ProbeView, draw_course};
use crate::train::BatchTargets;
use crate::{LabError, files};

/// The empirical neural tangent kernel `K(x, x') = J(x) J(x')'` of the rows, summed over the outputs:
///
/// | metric | what it is |
/// |---|---|
/// | `ntk/alignment` | centred alignment with the kernel of the targets, 0 to 1: how much of what a step moves is what is to be learnt |
/// | `ntk/movement` | `1 - <K, K_0> / (\|K\| \|K_0\|)` from the kernel `K_0` of the first look: 0 as long as the network is as good as linear in its weights |
/// | `ntk/largest` | largest eigenvalue: gradient flow of the squared error learns its direction first |
/// | `ntk/effective-rank` | `exp` of the entropy of the eigenvalues' shares: how many directions are learnt at about the same speed |
///
/// and a picture of the first two. It looks at 128 rows at most, in a pass forward and one backward for each output: networks
/// with more than 512 outputs are not looked at. Where the training has diverged, and where rows or
/// targets are all the same, the look leaves a warning and not the figures that do not exist.
#[derive(Debug, Clone, Default)]
pub struct Ntk {
    first: Option<Tensor<2>>,
}

impl Ntk {
    const ROWS: usize = 128;
    const MOST_OUTPUTS: usize = 512;

    /// Notes everything that there is to say of `kernel`.
    fn describe(&mut self, view: &ProbeView<'_>, kernel: Tensor<2>) -> Result<(), LabError> {
        match KernelSpectrum::of(kernel.clone()) {
            Ok(spectrum) => {
                view.context.metric(view.step, "ntk/largest", spectrum.values()[0]);
                view.context.metric(view.step, "ntk/effective-rank", spectrum.effective_rank());
            }
            Err(error) => tracing::warn!("no spectrum of the tangent kernel after step {}: {error}", view.step),
        }
        match centred_alignment(kernel.clone(), one_column_a_class(view, kernel.dims()[0])) {
            Ok(alignment) => view.context.metric(view.step, "ntk/alignment", alignment),
            Err(error) => tracing::warn!("no alignment of the tangent kernel after step {}: {error}", view.step),
        }
        let first = self.first(view, &kernel)?;
        view.context.metric(view.step, "ntk/movement", 1.0 - cosine(kernel, first));
        let figures =
            [("alignment with the targets", "ntk/alignment"), ("movement since the first look", "ntk/movement")];
        draw_course(view, "ntk", "tangent kernel", &figures)
    }

    /// The kernel of the first look, kept in a file of the training so that a resumed one knows it.
    fn first(&mut self, view: &ProbeView<'_>, kernel: &Tensor<2>) -> Result<Tensor<2>, LabError> {
        if let Some(first) = &self.first {
            return Ok(first.clone());
        }
        let stored = view.context.folder().map(|folder| folder.join("ntk-first.f32"));
        let first = match &stored {
            Some(path) if path.is_file() => {
                let values = files::read_numbers("tangent kernel", path)?;
                let shape = kernel.dims();
                if values.len() != shape.iter().product::<usize>() {
                    let reason = format!("{} numbers are not the kernel of {} rows", values.len(), shape[0]);
                    return Err(LabError::corrupt("tangent kernel", path, reason));
                }
                Tensor::from_data(TensorData::new(values, shape), &kernel.device())
            }
            Some(path) => {
                let values = kernel.clone().into_data().convert::<f32>().try_into_vec();
                let values: Vec<f32> = values.map_err(|error| LabError::method(format!("{error:?}")))?;
                files::write_numbers(path, &values)?;
                kernel.clone()
            }
            None => kernel.clone(),
        };
        Ok(self.first.insert(first).clone())
    }
}

impl Probe for Ntk {
    fn name(&self) -> &str {
        "ntk"
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let network = view.network.valid();
        let forward = |network: &Network, recorder: &Recorder, inputs| network.forward_in(recorder, inputs);
        let [_, outputs] = network.forward(view.inputs.clone().narrow(0, 0, 1)).dims();
        if outputs > Self::MOST_OUTPUTS {
            tracing::warn!("no tangent kernel: it takes a pass for each output, and there are {outputs}");
            return Ok(());
        }
        let rows = view.inputs.dims()[0].min(Self::ROWS);
        match empirical_ntk(&network, forward, &view.inputs.clone().narrow(0, 0, rows), None, &NtkConfig::new()) {
            Ok(kernel) => self.describe(view, kernel),
            Err(error) => {
                tracing::warn!("no tangent kernel after step {}: {error}", view.step);
                Ok(())
            }
        }
    }
}

/// The targets of the first rows, `[rows, targets]`: a one-hot row for a class.
fn one_column_a_class(view: &ProbeView<'_>, rows: usize) -> Tensor<2> {
    match &view.targets {
        BatchTargets::Values(_) | BatchTargets::Bags { .. } => view.targets.values().narrow(0, 0, rows),
        BatchTargets::Classes(classes) => {
            let classes = classes.clone().narrow(0, 0, rows);
            let count = classes.clone().max().into_scalar::<i64>().max(0) as usize + 1;
            classes.one_hot(count.max(2)).float()
        }
    }
}

/// Cosine of the angle between two matrices, in double precision whatever theirs is: both are long sums.
fn cosine(left: Tensor<2>, right: Tensor<2>) -> f64 {
    let [left, right] = [left, right].map(|matrix| matrix.cast(DType::F64));
    let product = |a: &Tensor<2>, b: &Tensor<2>| (a.clone() * b.clone()).sum().into_scalar::<f64>();
    product(&left, &right) / (product(&left, &left) * product(&right, &right)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobContext, Run, RunOptions, Scale};
    use burn::tensor::Device;
    use kiln_data::DataDir;
    use kiln_nn::NetworkConfig;

    fn view<'a>(network: &'a Network, context: &'a JobContext, step: u64) -> ProbeView<'a> {
        let device = Device::flex();
        ProbeView {
            network,
            inputs: Tensor::from_data([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]], &device),
            targets: BatchTargets::Values(Tensor::from_data([[3.0], [6.0], [-3.0], [-6.0]], &device)),
            step,
            epoch: step,
            context,
        }
    }

    #[test]
    fn the_kernel_of_a_linear_model_is_that_of_its_rows_and_does_not_move() {
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None));
        let run = Run::start("probes", toml::Table::new(), vec![1], &options).unwrap();
        let context = run.job("linear", "ntk");
        let config = NetworkConfig::mlp([]);
        for step in [1, 2] {
            let network = config.init_seeded(&[2], 1, step, &Device::flex()).unwrap();
            // As after an interruption, a new probe looks each time.
            Ntk::default().observe(&view(&network, &context, step)).unwrap();
        }
        context.finish().unwrap();
        // K = x x' + 1: eigenvalues 10 along x, 4 along the ones; x is the target up to a factor.
        let metrics = crate::metrics::read(&run.folder().join("cells/linear/ntk.metrics.jsonl")).unwrap();
        let shares = [10.0 / 14.0, 4.0 / 14.0];
        let rank = (-shares.iter().map(|share: &f64| share * share.ln()).sum::<f64>()).exp();
        for (name, expected) in
            [("ntk/alignment", 1.0), ("ntk/movement", 0.0), ("ntk/largest", 10.0), ("ntk/effective-rank", rank)]
        {
            let found: Vec<f64> =
                metrics.iter().filter(|metric| metric.name == name).filter_map(|metric| metric.value).collect();
            assert_eq!(found.len(), 2, "{name}");
            assert!(found.iter().all(|value| (value - expected).abs() < 1e-5), "{name}: {found:?} and {expected}");
        }
    }

    #[test]
    fn a_diverged_network_leaves_no_figure_and_stops_nothing() {
        let context = JobContext::detached(Device::flex());
        let mut network = NetworkConfig::mlp([3]).init_seeded(&[2], 1, 1, &Device::flex()).unwrap();
        if let Network::Mlp(mlp) = &mut network {
            mlp.head.weight = mlp.head.weight.clone().map(|weight| weight * f32::NAN);
        }
        let mut probe = Ntk::default();
        probe.observe(&view(&network, &context, 1)).unwrap();
        assert!(probe.first.is_none());
    }
}
