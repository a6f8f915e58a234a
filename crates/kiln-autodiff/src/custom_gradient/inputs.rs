//! Sets of tensors of several ranks that a function with its own backward rule can take.

use burn::backend::DispatchTensor;
use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Shape, Tensor};

use super::node;

/// A tuple of up to six tensors, or an array of tensors of one rank.
///
/// Implemented here only; [`custom_gradient`](super::custom_gradient) says how it is used.
pub trait GradientInputs: Sized + sealed::Sealed {
    /// `[bool; N]`: for each input, whether its gradient is wanted.
    type Wanted: Copy + Send + 'static;

    /// For each input its gradient, of the same shape; `None` stands for zero.
    type Gradients;

    /// The same tensors outside the graph.
    #[doc(hidden)]
    fn plain(&self) -> Self;

    /// Whether any of them is tracked.
    #[doc(hidden)]
    fn is_tracked(&self) -> bool;

    /// The strategy of the first one that has a graph.
    #[doc(hidden)]
    fn checkpointing(&self) -> Option<GradientCheckpointingStrategy>;

    /// `output` as a node whose parents these tensors are.
    #[doc(hidden)]
    fn attach<const D: usize>(
        self,
        checkpointing: GradientCheckpointingStrategy,
        output: Tensor<D>,
        rule: impl FnOnce(Tensor<D>, Self::Wanted) -> Self::Gradients + Send + 'static,
    ) -> Tensor<D>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! tuple_of_inputs {
    ($count:literal: $($rank:ident $input:ident $like:ident $slot:tt),+) => {
        impl<$(const $rank: usize),+> sealed::Sealed for ($(Tensor<$rank>,)+) {}

        impl<$(const $rank: usize),+> GradientInputs for ($(Tensor<$rank>,)+) {
            type Wanted = [bool; $count];
            type Gradients = ($(Option<Tensor<$rank>>,)+);

            fn plain(&self) -> Self {
                ($(self.$slot.clone().inner(),)+)
            }

            fn is_tracked(&self) -> bool {
                $(self.$slot.is_tracked())||+
            }

            fn checkpointing(&self) -> Option<GradientCheckpointingStrategy> {
                None$(.or_else(|| self.$slot.gradient_checkpointing_strategy()))+
            }

            fn attach<const D: usize>(
                self,
                checkpointing: GradientCheckpointingStrategy,
                output: Tensor<D>,
                rule: impl FnOnce(Tensor<D>, Self::Wanted) -> Self::Gradients + Send + 'static,
            ) -> Tensor<D> {
                let ($($input,)+) = self;
                let home = Home::of(&output);
                $(let $like = Like::of(&$input);)+
                let parents = [$(home.parent($input, checkpointing)),+];
                let at_home = home.clone();
                let by_rank = move |upstream: DispatchTensor, wanted: [bool; $count]| {
                    let gradients = rule(at_home.tensor(upstream), wanted);
                    [$(if wanted[$slot] { Some(at_home.gradient(gradients.$slot, &$like)) } else { None }),+]
                };
                let value = home.moved(output).into_dispatch();
                home.tensor(node::attach(parents, value, by_rank))
            }
        }
    };
}

tuple_of_inputs!(1: A a like_a 0);
tuple_of_inputs!(2: A a like_a 0, B b like_b 1);
tuple_of_inputs!(3: A a like_a 0, B b like_b 1, C c like_c 2);
tuple_of_inputs!(4: A a like_a 0, B b like_b 1, C c like_c 2, E e like_e 3);
tuple_of_inputs!(5: A a like_a 0, B b like_b 1, C c like_c 2, E e like_e 3, F f like_f 4);
tuple_of_inputs!(6: A a like_a 0, B b like_b 1, C c like_c 2, E e like_e 3, F f like_f 4, G g like_g 5);

impl<const N: usize, const R: usize> sealed::Sealed for [Tensor<R>; N] {}

impl<const N: usize, const R: usize> GradientInputs for [Tensor<R>; N] {
    type Wanted = [bool; N];
    type Gradients = [Option<Tensor<R>>; N];

    fn plain(&self) -> Self {
        self.clone().map(Tensor::inner)
    }

    fn is_tracked(&self) -> bool {
        self.iter().any(Tensor::is_tracked)
    }

    fn checkpointing(&self) -> Option<GradientCheckpointingStrategy> {
        self.iter().find_map(Tensor::gradient_checkpointing_strategy)
    }

    fn attach<const D: usize>(
        self,
        checkpointing: GradientCheckpointingStrategy,
        output: Tensor<D>,
        rule: impl FnOnce(Tensor<D>, Self::Wanted) -> Self::Gradients + Send + 'static,
    ) -> Tensor<D> {
        let home = Home::of(&output);
        let likes = self.each_ref().map(Like::of);
        let parents = self.map(|input| home.parent(input, checkpointing));
        let at_home = home.clone();
        let by_rank = move |upstream: DispatchTensor, wanted: [bool; N]| {
            let mut gradients = rule(at_home.tensor(upstream), wanted);
            std::array::from_fn(|slot| wanted[slot].then(|| at_home.gradient(gradients[slot].take(), &likes[slot])))
        };
        let value = home.moved(output).into_dispatch();
        home.tensor(node::attach(parents, value, by_rank))
    }
}

/// Shape and type of an input, for gradients that are zero and for the check of those that are not.
struct Like {
    shape: Shape,
    dtype: DType,
}

impl Like {
    fn of<const R: usize>(input: &Tensor<R>) -> Self {
        Self { shape: input.shape(), dtype: input.dtype() }
    }
}

/// The device of the function, and where its node lives: there, or on Flex where that device has no node of its own.
#[derive(Clone)]
struct Home {
    device: Device,
    node_device: Option<Device>,
}

impl Home {
    fn of<const D: usize>(output: &Tensor<D>) -> Self {
        let device = output.device();
        let node_device = (!node::is_native(&output.clone().into_dispatch())).then(Device::flex);
        Self { device, node_device }
    }

    /// An input as a parent of the node; constants are brought into the graph untracked.
    fn parent<const R: usize>(&self, input: Tensor<R>, strategy: GradientCheckpointingStrategy) -> DispatchTensor {
        let input =
            if input.is_autodiff() { input } else { input.autodiff().with_gradient_checkpointing_strategy(strategy) };
        self.moved(input).into_dispatch()
    }

    fn gradient<const R: usize>(&self, gradient: Option<Tensor<R>>, like: &Like) -> DispatchTensor {
        let gradient = match gradient {
            Some(gradient) => gradient.inner(),
            None => Tensor::zeros(like.shape.clone(), (&self.device, like.dtype)),
        };
        assert_eq!(
            gradient.shape(),
            like.shape,
            "custom_gradient: the gradient of an input of shape {:?} has shape {:?}",
            like.shape.as_slice(),
            gradient.dims()
        );
        self.moved(gradient).into_dispatch()
    }

    /// A tensor of the function's device, on the device of the node.
    fn moved<const R: usize>(&self, tensor: Tensor<R>) -> Tensor<R> {
        match &self.node_device {
            Some(device) => tensor.to_device(device),
            None => tensor,
        }
    }

    /// A tensor of the node, on the device of the function.
    fn tensor<const R: usize>(&self, tensor: DispatchTensor) -> Tensor<R> {
        let tensor = Tensor::from_dispatch(tensor);
        if self.node_device.is_some() { tensor.to_device(&self.device) } else { tensor }
    }
}
