//! What a plan's kernel needs of a block of examples, from passes that are recorded.

use burn::module::Module;
use burn::tensor::Tensor;

use super::blocks::{Side, Unit, not_finite};
use super::contraction::{Features, Part};
use super::jacobians::JacobianRows;
use super::patches::{inputs_by_position, sensitivities_by_position};
use super::plan::{Mode, Plan};
use super::recorder::{Form, RecordedLayer, Recorder};
use super::{Examples, NtkError};

/// A network whose layers are recorded after a plan.
#[derive(Debug)]
pub(super) struct Recorded<'a, M, F> {
    module: &'a M,
    network: &'a F,
    plan: &'a Plan,
    remaining: Option<JacobianRows<M>>,
    /// Whether each output has a row of its own.
    separate: bool,
}

/// One layer's inputs, and its sensitivities for each output.
struct LayerOfBlock {
    inputs: Tensor<4>,
    sensitivities: Vec<Tensor<4>>,
}

impl<'a, M: Module, F> Recorded<'a, M, F> {
    pub(super) fn new(module: &'a M, network: &'a F, plan: &'a Plan, separate: bool) -> Self {
        let remaining = (!plan.remaining.is_empty()).then(|| JacobianRows::new(module, &plan.remaining));
        Self { module, network, plan, remaining, separate }
    }

    /// The features of a block of examples: a pass forward and one backward for each output, all examples at once.
    pub(super) fn features<I: Examples>(&self, side: Side, examples: &I, unit: &Unit) -> Result<Features, NtkError>
    where
        F: Fn(&M, &Recorder, I) -> Tensor<2>,
    {
        let mut layers: Vec<LayerOfBlock> = Vec::new();
        for output in unit.outputs.clone() {
            let recorder = Recorder::sensitivities(self.plan.recorded.clone());
            let outputs = (self.network)(self.module, &recorder, examples.clone());
            check_outputs(&outputs, examples.count(), side, unit)?;
            let chosen = outputs.narrow(1, output, 1).sum();
            if chosen.is_tracked() {
                chosen.backward();
            }
            let recorded = recorder.into_layers().0;
            self.check_layers(&recorded, examples.count())?;
            if layers.is_empty() {
                let layer = |layer| LayerOfBlock { inputs: inputs_by_position(layer), sensitivities: Vec::new() };
                layers = recorded.iter().map(layer).collect();
            }
            for (layer, recorded) in layers.iter_mut().zip(&recorded) {
                layer.sensitivities.push(sensitivities_by_position(recorded));
            }
        }
        let planned = layers.into_iter().zip(&self.plan.layers);
        let mut parts: Vec<Part> = planned.map(|(layer, plan)| self.part(layer, plan.form, plan.mode)).collect();
        if let Some(remaining) = &self.remaining {
            let plain = |module: &M, inputs: I| (self.network)(module, &Recorder::pass(), inputs);
            let rows = remaining.of(&plain, examples, &unit.outputs);
            parts.push(Part::Gradients(if self.separate { rows } else { one_after_another(rows) }));
        }
        Ok(Features(parts))
    }

    fn check_layers(&self, recorded: &[RecordedLayer], examples: usize) -> Result<(), NtkError> {
        let planned = self.plan.layers.iter().map(|layer| layer.form);
        if !recorded.iter().map(|layer| layer.form).eq(planned) {
            return Err(NtkError::ChangingNetwork { planned: self.plan.layers.len(), found: recorded.len() });
        }
        match recorded.iter().find(|layer| layer.rows != examples) {
            Some(layer) => Err(NtkError::RowsAreNotExamples { found: layer.rows, examples }),
            None => Ok(()),
        }
    }

    fn part(&self, layer: LayerOfBlock, form: Form, mode: Mode) -> Part {
        let LayerOfBlock { inputs, sensitivities } = layer;
        match (form, mode) {
            (Form::Scale { gamma, beta }, _) => {
                self.gradients(sensitivities, |sensitivity| scale_gradient(&inputs, sensitivity, gamma, beta))
            }
            (Form::Dense { bias } | Form::Convolution { bias, .. }, Mode::Factors) => {
                let sensitivities = if self.separate { sensitivities } else { vec![Tensor::cat(sensitivities, 3)] };
                Part::Factors { inputs, sensitivities, bias }
            }
            (Form::Dense { bias } | Form::Convolution { bias, .. }, Mode::Gradients) => {
                let inputs = if bias { with_ones(inputs) } else { inputs };
                self.gradients(sensitivities, |sensitivity| weight_gradient(&inputs, sensitivity))
            }
        }
    }

    fn gradients(&self, sensitivities: Vec<Tensor<4>>, gradient: impl Fn(Tensor<4>) -> Tensor<2>) -> Part {
        let rows = sensitivities.into_iter().map(|sensitivity| gradient(sensitivity).unsqueeze_dim::<3>(1));
        Part::Gradients(Tensor::cat(rows.collect(), if self.separate { 1 } else { 2 }))
    }
}

/// That there is one row of finite outputs for each example.
pub(super) fn check_outputs(outputs: &Tensor<2>, examples: usize, side: Side, unit: &Unit) -> Result<(), NtkError> {
    let dims = outputs.dims();
    if dims[0] != examples || dims[1] == 0 {
        return Err(NtkError::Outputs { examples, found: dims });
    }
    let finite = outputs.clone().inner().is_finite().all().into_scalar::<bool>();
    if finite { Ok(()) } else { Err(not_finite("the outputs", side, &unit.examples)) }
}

/// `[examples, outputs, derivatives]` as `[examples, 1, outputs * derivatives]`
pub(super) fn one_after_another(rows: Tensor<3>) -> Tensor<3> {
    let [examples, outputs, derivatives] = rows.dims();
    rows.reshape([examples, 1, outputs * derivatives])
}

fn with_ones(inputs: Tensor<4>) -> Tensor<4> {
    let ones = inputs.clone().narrow(3, 0, 1).ones_like();
    Tensor::cat(vec![inputs, ones], 3)
}

/// `sum_p s_p a_p'` of every example, flat.
fn weight_gradient(inputs: &Tensor<4>, sensitivity: Tensor<4>) -> Tensor<2> {
    let gradient = sensitivity.swap_dims(2, 3).matmul(inputs.clone());
    let [examples, groups, outputs, inputs] = gradient.dims();
    gradient.reshape([examples, groups * outputs * inputs])
}

/// `sum_p s_p x_p` for the scale and `sum_p s_p` for the offset, of every example.
fn scale_gradient(inputs: &Tensor<4>, sensitivity: Tensor<4>, gamma: bool, beta: bool) -> Tensor<2> {
    let [examples, _, channels, _] = inputs.dims();
    let by_channel = |tensor: Tensor<4>| tensor.sum_dim(3).sum_dim(1).reshape([examples, channels]);
    let scale = gamma.then(|| by_channel(sensitivity.clone() * inputs.clone()));
    let offset = beta.then(|| by_channel(sensitivity));
    Tensor::cat(scale.into_iter().chain(offset).collect(), 1)
}
