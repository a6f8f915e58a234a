//! Numbers that carry derivatives, for any multiplication table.

use burn::module::Param;
use burn::tensor::Tensor;

use super::algebra::{Algebra, Pairing, pairs};
use super::elementwise::differentiable_series;
use super::number::zeros_stacked;
use super::stacked::{Binary, Stacked, symmetric_pairs, trace};
use super::{Arithmetic, Coefficient, Elementwise, Number};
use crate::Tangent;

/// Numbers with derivatives after the multiplication table of `A`; see [`Duals`](crate::Duals), [`Jets`](crate::Jets),
/// [`Laplacians`](crate::Laplacians) and [`Hessians`](crate::Hessians).
///
/// Dropout is refused in training mode, and batch normalisation, which follows Burn's rule for its mode, leaves the
/// running statistics as they are: evaluating a derivative changes nothing.
#[derive(Debug, Clone)]
pub struct Forward<A> {
    pub(super) algebra: A,
    parameters: Vec<Tangent>,
}

impl<A: Algebra> Forward<A> {
    pub(super) fn over(algebra: A) -> Self {
        Self { algebra, parameters: Vec::new() }
    }

    /// Gives the parameters of a module the first derivatives of `tangent`.
    ///
    /// # Panics
    /// When these numbers have more than one direction.
    pub fn with_parameters(self, tangent: &Tangent) -> Self {
        self.with_parameter_directions(vec![tangent.clone()])
    }

    /// Gives the parameters of a module one tangent for each direction.
    ///
    /// # Panics
    /// When the number of tangents is not that of the directions.
    pub fn with_parameter_directions(mut self, tangents: Vec<Tangent>) -> Self {
        let directions = self.algebra.widths()[0];
        assert_eq!(tangents.len(), directions, "{} tangents for {directions} directions", tangents.len());
        self.parameters = tangents;
        self
    }

    /// A number with the given first derivatives, and none of higher order.
    ///
    /// # Shapes
    /// - `value`: `[n, ..]`
    /// - `first`: `[directions * n, ..]`, direction after direction
    ///
    /// # Panics
    /// When `first` has another shape.
    pub fn variable<const D: usize>(&self, value: Tensor<D>, first: Tensor<D>) -> Number<D> {
        let mut expected = value.dims();
        expected[0] *= self.algebra.widths()[0];
        assert_eq!(first.dims(), expected, "first derivatives of a value of shape {:?}", value.dims());
        let mut parts = vec![None; self.num_parts()];
        parts[0] = Some(first);
        Number::new(value, parts)
    }

    /// First derivatives, `[directions * n, ..]`; zeros where there are none.
    pub fn first<const D: usize>(&self, x: &Number<D>) -> Tensor<D> {
        x.dense_part(0, self.algebra.widths()[0])
    }

    pub(super) fn num_parts(&self) -> usize {
        self.algebra.widths().len()
    }

    fn stack<const D: usize>(&self, part: usize, tensor: Tensor<D>) -> Stacked<D> {
        Stacked::new(tensor, self.algebra.widths()[part])
    }

    /// `map` of every component of a part.
    fn each<const D: usize, const E: usize>(
        &self,
        part: usize,
        tensor: Tensor<D>,
        map: impl Fn(Tensor<D>) -> Tensor<E>,
    ) -> Tensor<E> {
        if self.algebra.widths()[part] == 1 {
            return map(tensor);
        }
        Tensor::cat(self.stack(part, tensor).components().into_iter().map(map).collect(), 0)
    }

    /// A number of the given value whose parts are those of `x`, mapped one by one.
    fn with_parts<const D: usize, const E: usize>(
        &self,
        value: Tensor<E>,
        parts: Vec<Option<Tensor<D>>>,
        map: impl Fn(usize, Tensor<D>) -> Tensor<E>,
    ) -> Number<E> {
        let map = |(part, tensor): (usize, Option<Tensor<D>>)| tensor.map(|tensor| map(part, tensor));
        Number::new(value, parts.into_iter().enumerate().map(map).collect())
    }

    /// Products of two numbers without values under a bilinear map, added to `into`.
    fn add_products<const D: usize, const E: usize, const F: usize>(
        &self,
        into: &mut [Option<Tensor<F>>],
        left: &[Option<Tensor<D>>],
        right: &[Option<Tensor<E>>],
        map: &impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) {
        for product in self.algebra.products() {
            if let (Some(a), Some(b)) = (&left[product.left], &right[product.right]) {
                let a = self.stack(product.left, a.clone()).components();
                let b = self.stack(product.right, b.clone()).components();
                add_to(&mut into[product.into], scaled(paired(product.pairing, &a, &b, map), product.factor));
            }
        }
    }

    /// [`Self::add_products`] for the element-wise product, all components at once.
    fn add_elementwise_products<const D: usize>(
        &self,
        into: &mut [Option<Tensor<D>>],
        left: &[Option<Tensor<D>>],
        right: &[Option<Tensor<D>>],
    ) {
        for product in self.algebra.products() {
            if let (Some(a), Some(b)) = (&left[product.left], &right[product.right]) {
                let (a, b) = (self.stack(product.left, a.clone()), self.stack(product.right, b.clone()));
                let result = match product.pairing {
                    Pairing::Single => a.combine(b, Binary::Mul),
                    Pairing::Trace => trace(a, b),
                    Pairing::Pairs => symmetric_pairs(a, b),
                };
                add_to(&mut into[product.into], scaled(result, product.factor));
            }
        }
    }

    /// Powers 1 to `order` of a number without value, up to the last that does not vanish.
    fn powers<const D: usize>(&self, parts: Vec<Option<Tensor<D>>>) -> Vec<Vec<Option<Tensor<D>>>> {
        let mut powers = vec![parts];
        while powers.len() < self.algebra.order() {
            let mut next = vec![None; self.num_parts()];
            self.add_elementwise_products(&mut next, &powers[powers.len() - 1], &powers[0]);
            if next.iter().all(Option::is_none) {
                break;
            }
            powers.push(next);
        }
        powers
    }

    fn combine<const D: usize>(&self, left: Number<D>, right: Number<D>, operation: Binary) -> Number<D> {
        let (left_value, left_parts) = left.into_parts();
        let (right_value, right_parts) = right.into_parts();
        let value = operation.apply(left_value, right_value);
        let dims = value.dims();
        let parts = left_parts
            .into_iter()
            .zip(right_parts)
            .enumerate()
            .map(|(part, pair)| match pair {
                (Some(a), Some(b)) => Some(self.stack(part, a).combine(self.stack(part, b), operation)),
                (Some(a), None) => Some(self.stack(part, a).expand(dims)),
                (None, Some(b)) if matches!(operation, Binary::Sub) => Some(-self.stack(part, b).expand(dims)),
                (None, Some(b)) => Some(self.stack(part, b).expand(dims)),
                (None, None) => None,
            })
            .collect();
        Number::new(value, parts)
    }

    /// The bias's part in every place of the output, added to `sum`.
    fn add_bias<const D: usize>(
        &self,
        part: usize,
        sum: Option<Tensor<D>>,
        bias: Tensor<1>,
        axis: usize,
        dims: [usize; D],
    ) -> Tensor<D> {
        let mut shape = [1; D];
        shape[axis] = dims[axis];
        shape[0] *= self.algebra.widths()[part];
        let bias = self.stack(part, bias.reshape(shape));
        match sum {
            Some(sum) => self.stack(part, sum).combine(bias, Binary::Add),
            None => bias.expand(dims),
        }
    }
}

impl<A: Algebra> Arithmetic for Forward<A> {
    type T<const D: usize> = Number<D>;

    fn order(&self) -> usize {
        self.algebra.order()
    }

    fn constant<const D: usize>(&self, value: Tensor<D>) -> Number<D> {
        Number::constant(value, self.num_parts())
    }

    fn parameter<const D: usize>(&self, parameter: &Param<Tensor<D>>) -> Number<D> {
        let value = parameter.val();
        let mut parts = vec![None; self.num_parts()];
        let tangents: Vec<_> = self.parameters.iter().map(|tangent| tangent.get::<D>(parameter.id)).collect();
        if tangents.iter().any(Option::is_some) {
            let dense = |tangent: Option<Tensor<D>>| tangent.unwrap_or_else(|| zeros_stacked(&value, 1).inner());
            let mut tangents: Vec<_> = tangents.into_iter().map(dense).collect();
            parts[0] = if tangents.len() == 1 { tangents.pop() } else { Some(Tensor::cat(tangents, 0)) };
        }
        Number::new(value, parts)
    }

    fn value<const D: usize>(&self, x: &Number<D>) -> Tensor<D> {
        x.value()
    }

    fn dims<const D: usize>(&self, x: &Number<D>) -> [usize; D] {
        x.dims()
    }

    fn linear_map<const D: usize, const E: usize>(
        &self,
        x: Number<D>,
        map: impl Fn(Tensor<D>) -> Tensor<E>,
    ) -> Number<E> {
        let (value, parts) = x.into_parts();
        self.with_parts(map(value), parts, |part, tensor| self.each(part, tensor, &map))
    }

    fn row_map<const D: usize, const E: usize>(&self, x: Number<D>, map: impl Fn(Tensor<D>) -> Tensor<E>) -> Number<E> {
        let (value, parts) = x.into_parts();
        self.with_parts(map(value), parts, |_, tensor| map(tensor))
    }

    fn value_map<const D: usize, const E: usize, L: Fn(Tensor<D>) -> Tensor<E>>(
        &self,
        x: Number<D>,
        map: impl FnOnce(Tensor<D>) -> (Tensor<E>, L),
    ) -> Number<E> {
        let (value, parts) = x.into_parts();
        let (value, derivative) = map(value);
        self.with_parts(value, parts, |part, tensor| self.each(part, tensor, &derivative))
    }

    fn bilinear<const D: usize, const E: usize, const F: usize>(
        &self,
        left: Number<D>,
        right: Number<E>,
        map: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Number<F> {
        let mut parts = vec![None; self.num_parts()];
        for (part, into) in parts.iter_mut().enumerate() {
            if let Some(tangent) = left.part(part) {
                add_to(into, self.each(part, tangent, |tangent| map(tangent, right.value())));
            }
            if let Some(tangent) = right.part(part) {
                add_to(into, self.each(part, tangent, |tangent| map(left.value(), tangent)));
            }
        }
        self.add_products(&mut parts, left.parts(), right.parts(), &map);
        Number::new(map(left.value(), right.value()), parts)
    }

    fn affine<const D: usize, const E: usize>(
        &self,
        x: Number<D>,
        weight: Number<E>,
        bias: Option<Number<1>>,
        bias_axis: usize,
        map: impl Fn(Tensor<D>, Tensor<E>, Option<Tensor<1>>) -> Tensor<D>,
    ) -> Number<D> {
        let value = map(x.value(), weight.value(), bias.as_ref().map(Number::value));
        let dims = value.dims();
        let mut parts = vec![None; self.num_parts()];
        for (part, into) in parts.iter_mut().enumerate() {
            let mut bias = bias.as_ref().and_then(|bias| bias.part(part));
            if let Some(tangent) = x.part(part) {
                add_to(into, map(tangent, weight.value(), None));
            }
            if let Some(tangent) = weight.part(part) {
                let bias = if self.algebra.widths()[part] == 1 { bias.take() } else { None };
                add_to(into, self.each(part, tangent, |tangent| map(x.value(), tangent, bias.clone())));
            }
            if let Some(bias) = bias {
                *into = Some(self.add_bias(part, into.take(), bias, bias_axis, dims));
            }
        }
        self.add_products(&mut parts, x.parts(), weight.parts(), &|x, weight| map(x, weight, None));
        Number::new(value, parts)
    }

    fn apply<const D: usize>(&self, function: &impl Elementwise, x: Number<D>) -> Number<D> {
        if x.is_constant() {
            return self.constant(function.value(x.value()));
        }
        let (value, parts) = x.into_parts();
        let powers = self.powers(parts);
        let (value, coefficients) = differentiable_series(function, value, powers.len());
        let mut parts = vec![None; self.num_parts()];
        for (power, coefficient) in powers.into_iter().zip(coefficients) {
            for (part, tensor) in power.into_iter().enumerate() {
                let Some(tensor) = tensor else { continue };
                match &coefficient {
                    Coefficient::Zero => {}
                    Coefficient::Constant(factor) => add_to(&mut parts[part], scaled(tensor, *factor)),
                    Coefficient::Tensor(slope) => {
                        let slope = Stacked::new(slope.clone(), 1);
                        add_to(&mut parts[part], self.stack(part, tensor).combine(slope, Binary::Mul));
                    }
                }
            }
        }
        Number::new(value, parts)
    }

    fn add<const D: usize>(&self, left: Number<D>, right: Number<D>) -> Number<D> {
        self.combine(left, right, Binary::Add)
    }

    fn sub<const D: usize>(&self, left: Number<D>, right: Number<D>) -> Number<D> {
        self.combine(left, right, Binary::Sub)
    }

    fn mul<const D: usize>(&self, left: Number<D>, right: Number<D>) -> Number<D> {
        let mut parts = vec![None; self.num_parts()];
        for (part, into) in parts.iter_mut().enumerate() {
            for (tangent, other) in [(left.part(part), &right), (right.part(part), &left)] {
                if let Some(tangent) = tangent {
                    let other = Stacked::new(other.value(), 1);
                    add_to(into, self.stack(part, tangent).combine(other, Binary::Mul));
                }
            }
        }
        self.add_elementwise_products(&mut parts, left.parts(), right.parts());
        Number::new(left.value() * right.value(), parts)
    }

    fn div<const D: usize>(&self, left: Number<D>, right: Number<D>) -> Number<D> {
        if left.is_constant() && right.is_constant() {
            return self.constant(left.value() / right.value());
        }
        self.mul(left, self.apply(&super::Function::Recip, right))
    }

    fn scale<const D: usize>(&self, x: Number<D>, factor: f64) -> Number<D> {
        self.row_map(x, |tensor| tensor * factor)
    }

    fn shift<const D: usize>(&self, x: Number<D>, offset: f64) -> Number<D> {
        let (value, parts) = x.into_parts();
        Number::new(value + offset, parts)
    }

    fn reshape<const D: usize, const E: usize>(&self, x: Number<D>, dims: [usize; E]) -> Number<E> {
        let (value, parts) = x.into_parts();
        self.with_parts(value.reshape(dims), parts, |part, tensor| {
            let mut dims = dims;
            dims[0] *= self.algebra.widths()[part];
            tensor.reshape(dims)
        })
    }

    fn expand<const D: usize>(&self, x: Number<D>, dims: [usize; D]) -> Number<D> {
        let (value, parts) = x.into_parts();
        self.with_parts(value.expand(dims), parts, |part, tensor| self.stack(part, tensor).expand(dims))
    }

    fn cat<const D: usize>(&self, tensors: Vec<Number<D>>, dim: usize) -> Number<D> {
        let value = Tensor::cat(tensors.iter().map(Number::value).collect(), dim);
        let dims = value.dims();
        let part_of_all = |part: usize| {
            if tensors.iter().all(|number| number.part(part).is_none()) {
                return None;
            }
            let width = self.algebra.widths()[part];
            let dense = tensors.iter().map(|number| number.dense_part(part, width));
            if dim > 0 || width == 1 {
                return Some(Tensor::cat(dense.collect(), dim));
            }
            let mut stacked = dims;
            stacked[0] *= width;
            let flat = dense.map(|tensor| self.stack(part, tensor).flat()).collect();
            Some(Tensor::cat(flat, 1).reshape(stacked))
        };
        let parts = (0..self.num_parts()).map(part_of_all).collect();
        Number::new(value, parts)
    }

    fn sum_dim<const D: usize>(&self, x: Number<D>, dim: usize) -> Number<D> {
        if dim > 0 {
            return self.row_map(x, |tensor| tensor.sum_dim(dim));
        }
        let (value, parts) = x.into_parts();
        let mut dims = value.dims();
        let rows = dims[0];
        dims[0] = 1;
        let rest = dims.iter().product::<usize>();
        self.with_parts(value.sum_dim(0), parts, |part, tensor| {
            let width = self.algebra.widths()[part];
            let mut dims = dims;
            dims[0] = width;
            tensor.reshape([width, rows, rest]).sum_dim(1).reshape(dims)
        })
    }

    fn mean_dim<const D: usize>(&self, x: Number<D>, dim: usize) -> Number<D> {
        if dim > 0 {
            return self.row_map(x, |tensor| tensor.mean_dim(dim));
        }
        let length = x.dims()[0];
        let sum = self.sum_dim(x, 0);
        self.scale(sum, 1.0 / length as f64)
    }

    fn sum<const D: usize>(&self, x: Number<D>) -> Number<1> {
        let (value, parts) = x.into_parts();
        self.with_parts(value.sum(), parts, |part, tensor| match self.algebra.widths()[part] {
            1 => tensor.sum(),
            width => self.stack(part, tensor).flat().sum_dim(1).reshape([width]),
        })
    }

    fn mean<const D: usize>(&self, x: Number<D>) -> Number<1> {
        let count = x.dims().iter().product::<usize>();
        let sum = self.sum(x);
        self.scale(sum, 1.0 / count as f64)
    }
}

/// `map` of the components that meet.
fn paired<const D: usize, const E: usize, const F: usize>(
    pairing: Pairing,
    left: &[Tensor<D>],
    right: &[Tensor<E>],
    map: &impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
) -> Tensor<F> {
    let product = |i: usize, j: usize| map(left[i].clone(), right[j].clone());
    match pairing {
        Pairing::Single => product(0, 0),
        Pairing::Trace => (1..left.len()).fold(product(0, 0), |sum, i| sum + product(i, i)),
        Pairing::Pairs => Tensor::cat(pairs(left.len()).map(|(i, j)| product(i, j) + product(j, i)).collect(), 0),
    }
}

fn add_to<const D: usize>(sum: &mut Option<Tensor<D>>, term: Tensor<D>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + term,
        None => term,
    });
}

pub(super) fn scaled<const D: usize>(tensor: Tensor<D>, factor: f64) -> Tensor<D> {
    if factor == 1.0 { tensor } else { tensor * factor }
}
