//! How sharply the loss is curved.

use burn::module::Module;
use kiln_autodiff::spectrum::{LanczosConfig, lanczos};
use kiln_autodiff::{Arithmetic, Duals, HessianOperator, layers::loss};
use kiln_nn::Network;

use super::{Probe, ProbeView, draw_course};
use crate::LabError;

/// Largest eigenvalue of the Hessian of the cross-entropy of the rows, over all parameters: metric `sharpness/value`, with
/// its relative residual `|H v - lambda v| / |lambda|` as metric `sharpness/residual`, and a picture of its course.
///
/// By Lanczos' method on exact Hessian products, at most 100 of them a look. Where these are not enough, and where the
/// training has diverged, the look leaves a warning and no figure.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sharpness;

impl Probe for Sharpness {
    fn name(&self) -> &str {
        "sharpness"
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn sees_words(&self) -> bool {
        true
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        // Dropout and the statistics of the batch have no place in a curvature: as at inference.
        let network = view.network.valid();
        let hessian = HessianOperator::new(&network, |network: &Network, duals: &Duals| {
            let logits = network.forward_in(duals, duals.constant(view.inputs.clone()));
            loss::cross_entropy(duals, logits, view.targets.classes())
        });
        let settings = LanczosConfig::new().with_tolerance(1e-3).with_max_steps(100);
        match lanczos(&hessian, &settings, (&view.inputs.device(), view.inputs.dtype())) {
            Ok(pairs) => {
                view.context.metric(view.step, "sharpness/value", pairs.values[0]);
                view.context.metric(view.step, "sharpness/residual", pairs.residuals[0]);
                let figure = "largest eigenvalue of the Hessian";
                draw_course(view, "sharpness", figure, &[(figure, "sharpness/value")])
            }
            Err(error) => {
                tracing::warn!("no sharpness after step {}: {error}", view.step);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::BatchTargets;
    use crate::{Run, RunOptions, Scale};
    use burn::tensor::{Device, Tensor};
    use kiln_data::DataDir;
    use kiln_nn::NetworkConfig;

    #[test]
    fn a_diverged_network_leaves_no_figure_and_stops_nothing() {
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None));
        let run = Run::start("probes", toml::Table::new(), vec![1], &options).unwrap();
        let context = run.job("diverged", "sharpness");
        let device = Device::flex();
        let mut network = NetworkConfig::mlp([]).init_seeded(&[2], 2, 1, &device).unwrap();
        if let Network::Mlp(mlp) = &mut network {
            mlp.head.weight = mlp.head.weight.clone().map(|weight| weight * f32::NAN);
        }
        let view = ProbeView {
            network: &network,
            inputs: Tensor::ones([3, 2], &device),
            targets: BatchTargets::Classes(Tensor::from_data([0, 1, 0], &device)),
            step: 1,
            epoch: 1,
            context: &context,
        };
        Sharpness.observe(&view).unwrap();
        assert_eq!(context.recorded("sharpness/value").unwrap(), []);
    }
}
