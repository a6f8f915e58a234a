//! One node of Burn's graph with a backward rule of ours.

use std::fmt;

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, DispatchAutodiffContext, DispatchKindConversion, DispatchTensor,
    DispatchTensorKind, Flex,
};
use burn::tensor::GradientCheckpointingStrategy;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy, NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops};

/// Whether [`attach`] takes the tensors of this one's device as they are; others are moved to Flex and back.
pub(super) fn is_native(tensor: &DispatchTensor) -> bool {
    // With Flex as the only backend there is no other case.
    #[allow(unreachable_patterns)]
    match &tensor.kind {
        DispatchTensorKind::Flex(_) => true,
        DispatchTensorKind::Autodiff(inner) => matches!(**inner, DispatchTensorKind::Flex(_)),
        _ => false,
    }
}

/// `output` as a node with `N` parents, whose gradients `rule` makes from the upstream gradient.
///
/// `rule` also gets which of them are tracked, and returns a gradient for exactly those. The parents are in the graph,
/// tracked or not; `output` and everything that `rule` sees and returns are outside.
pub(super) fn attach<const N: usize>(
    parents: [DispatchTensor; N],
    output: DispatchTensor,
    rule: impl FnOnce(DispatchTensor, [bool; N]) -> [Option<DispatchTensor>; N] + Send + 'static,
) -> DispatchTensor {
    match parents[0].autodiff {
        DispatchAutodiffContext::Enabled(GradientCheckpointingStrategy::Balanced) => {
            attach_on::<Flex, BalancedCheckpointing, N>(parents, output, rule)
        }
        _ => attach_on::<Flex, NoCheckpointing, N>(parents, output, rule),
    }
}

fn attach_on<B: Backend, C: CheckpointStrategy, const N: usize>(
    parents: [DispatchTensor; N],
    output: DispatchTensor,
    rule: impl FnOnce(DispatchTensor, [bool; N]) -> [Option<DispatchTensor>; N] + Send + 'static,
) -> DispatchTensor
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B, C>>,
{
    let guards = parents.map(|parent| primitive::<Autodiff<B, C>>(parent).node());
    let on_primitives = move |upstream: FloatTensor<B>, wanted| {
        rule(dispatch::<B>(upstream), wanted).map(|gradient| gradient.map(primitive::<B>))
    };
    let step = CustomStep::<B, N> { rule: Box::new(on_primitives) };
    let output = step.prepare::<C>(guards).compute_bound().stateless(primitive::<B>(output));
    dispatch::<Autodiff<B, C>>(output)
}

fn primitive<B: Backend>(tensor: DispatchTensor) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor)
        .unwrap_or_else(|mismatch| panic!("custom_gradient: tensors of different devices or graphs: {mismatch}"))
        .float()
}

fn dispatch<B: Backend>(tensor: FloatTensor<B>) -> DispatchTensor
where
    DispatchTensor: DispatchKindConversion<B>,
{
    <DispatchTensor as DispatchKindConversion<B>>::from_backend(BackendTensor::Float(tensor))
}

type Rule<B, const N: usize> = Box<dyn FnOnce(FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N] + Send>;

struct CustomStep<B: Backend, const N: usize> {
    rule: Rule<B, N>,
}

impl<B: Backend, const N: usize> fmt::Debug for CustomStep<B, N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CustomStep").field("parents", &N).finish_non_exhaustive()
    }
}

impl<B: Backend, const N: usize> Backward<B, N> for CustomStep<B, N> {
    type State = ();

    fn backward(self, ops: Ops<(), N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let upstream = grads.consume::<B>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip((self.rule)(upstream, wanted)) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}
