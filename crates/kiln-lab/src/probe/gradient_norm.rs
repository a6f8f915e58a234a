//! How steep the loss still is.

use burn::module::Module;
use kiln_autodiff::{Values, gradient, layers::loss};

use super::{Probe, ProbeView, draw_course};
use crate::LabError;

/// Euclidean norm of the gradient of the cross-entropy of the rows, over all parameters: metric `gradient-norm/value`,
/// and a picture of its course.
#[derive(Debug, Clone, Copy, Default)]
pub struct GradientNorm;

impl Probe for GradientNorm {
    fn name(&self) -> &str {
        "gradient-norm"
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn sees_words(&self) -> bool {
        true
    }

    fn observe(&mut self, view: &ProbeView<'_>) -> Result<(), LabError> {
        let network = view.network.valid();
        let (_, slope) = gradient(&network, |network| {
            loss::cross_entropy(&Values, network.forward(view.inputs.clone()), view.targets.classes())
        });
        view.context.metric(view.step, "gradient-norm/value", slope.norm());
        let figure = "norm of the gradient";
        draw_course(view, "gradient-norm", figure, &[(figure, "gradient-norm/value")])
    }
}
