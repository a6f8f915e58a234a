//! What a solution is differentiated by.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// A structure of float tensors of one type on one device.
///
/// Tensors, tuples, arrays and vectors of them are parameters, and so are modules, as [`ModuleParameters`].
pub trait Parameters: Clone + Send + 'static {
    /// Number of values.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values as one vector, in a fixed order, as part of the graph that the tensors belong to.
    ///
    /// # Shapes
    /// - output: `[len]`
    fn flatten(&self) -> Tensor<1>;

    /// The same structure with other values, as part of the graph that these belong to.
    ///
    /// # Shapes
    /// - `values`: `[len]`, in the order of [`Parameters::flatten`]
    fn with_values(&self, values: Tensor<1>) -> Self;
}

impl<const D: usize> Parameters for Tensor<D> {
    fn len(&self) -> usize {
        self.dims().iter().product()
    }

    fn flatten(&self) -> Tensor<1> {
        self.clone().reshape([self.len()])
    }

    fn with_values(&self, values: Tensor<1>) -> Self {
        values.reshape(self.dims())
    }
}

impl<P: Parameters> Parameters for Vec<P> {
    fn len(&self) -> usize {
        self.iter().map(P::len).sum()
    }

    fn flatten(&self) -> Tensor<1> {
        Tensor::cat(self.iter().map(P::flatten).collect(), 0)
    }

    fn with_values(&self, values: Tensor<1>) -> Self {
        let mut values = Portions::of(values);
        self.iter().map(|part| part.with_values(values.take(part.len()))).collect()
    }
}

impl<P: Parameters, const N: usize> Parameters for [P; N] {
    fn len(&self) -> usize {
        self.iter().map(P::len).sum()
    }

    fn flatten(&self) -> Tensor<1> {
        Tensor::cat(self.iter().map(P::flatten).collect(), 0)
    }

    fn with_values(&self, values: Tensor<1>) -> Self {
        let mut values = Portions::of(values);
        self.each_ref().map(|part| part.with_values(values.take(part.len())))
    }
}

macro_rules! tuple_of_parameters {
    ($($part:ident $slot:tt),+) => {
        impl<$($part: Parameters),+> Parameters for ($($part,)+) {
            fn len(&self) -> usize {
                [$(self.$slot.len()),+].iter().sum()
            }

            fn flatten(&self) -> Tensor<1> {
                Tensor::cat(vec![$(self.$slot.flatten()),+], 0)
            }

            fn with_values(&self, values: Tensor<1>) -> Self {
                let mut values = Portions::of(values);
                ($(self.$slot.with_values(values.take(self.$slot.len())),)+)
            }
        }
    };
}

tuple_of_parameters!(A 0, B 1);
tuple_of_parameters!(A 0, B 1, C 2);
tuple_of_parameters!(A 0, B 1, C 2, E 3);

/// The float parameters of a module, in the order of its visitors.
#[derive(Debug, Clone)]
pub struct ModuleParameters<M>(pub M);

impl<M: Module + Send + 'static> Parameters for ModuleParameters<M> {
    fn len(&self) -> usize {
        self.0.num_params()
    }

    fn flatten(&self) -> Tensor<1> {
        let mut gathered = Gathered::default();
        self.0.visit(&mut gathered);
        Tensor::cat(gathered.0, 0)
    }

    fn with_values(&self, values: Tensor<1>) -> Self {
        Self(self.0.clone().map(&mut Portions::of(values)))
    }
}

#[derive(Default)]
struct Gathered(Vec<Tensor<1>>);

impl ModuleVisitor for Gathered {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(Parameters::flatten(&param.val()));
    }
}

/// A vector that is given out piece by piece.
struct Portions {
    values: Tensor<1>,
    taken: usize,
}

impl Portions {
    fn of(values: Tensor<1>) -> Self {
        Self { values, taken: 0 }
    }

    fn take(&mut self, len: usize) -> Tensor<1> {
        let start = self.taken;
        self.taken += len;
        self.values.clone().slice(start..self.taken)
    }
}

impl ModuleMapper for Portions {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, before, mapper) = param.consume();
        let values = self.take(before.len()).reshape(before.dims());
        Param::from_mapped_value(id, values, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;
    use kiln_check::{assert_close, values};

    #[test]
    fn nested_structures_come_back_with_their_values() {
        let device = Device::flex();
        let matrix = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
        let vectors = [Tensor::<1>::from_floats([5.0], &device), Tensor::<1>::from_floats([6.0, 7.0], &device)];
        let parameters = (matrix, vectors.to_vec(), vectors);
        assert_eq!(parameters.len(), 10);
        let flat = parameters.flatten();
        assert_close(&values(&flat), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 5.0, 6.0, 7.0], 0.0);
        let doubled = parameters.with_values(flat * 2);
        assert_close(&values(&doubled.0), &[2.0, 4.0, 6.0, 8.0], 0.0);
        assert_close(&values(&doubled.1[1]), &[12.0, 14.0], 0.0);
        assert_close(&values(&doubled.2[0]), &[10.0], 0.0);
    }

    #[test]
    fn a_module_is_a_structure_of_its_parameters_and_keeps_their_graph() {
        let device = Device::flex().autodiff();
        let parameters = ModuleParameters(LinearConfig::new(2, 3).init(&device));
        assert_eq!(parameters.len(), 9);
        let leaf = parameters.flatten().inner().autodiff().require_grad();
        let replaced = parameters.with_values(leaf.clone());
        let output = replaced.0.forward(Tensor::<2>::ones([1, 2], &device));
        let gradient = leaf.grad(&output.sum().backward()).unwrap();
        assert_close(&values(&gradient), &[1.0; 9], 0.0);
    }
}
