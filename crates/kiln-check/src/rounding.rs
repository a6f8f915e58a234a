//! What rounding may do to a result: a bound that is computed beside the result itself, operation by operation.
//!
//! A test repeats a computation in double precision with [`Bounded`] numbers. Every operation adds up the errors of its
//! operands, times the slopes by which they reach the result, and its own roundings; where digits cancel, the bound stays
//! as large as what cancelled. So a tolerance follows from the numbers at hand, and need not be chosen for the worst of them.
//!
//! Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.3 (running error analysis). Terms of
//! second order are left out.

use std::ops::{Add, Mul, Sub};

use burn::tensor::{DType, Tensor};

use crate::closeness::values;

/// Exact numbers, in double precision, and how far from them those of the precision under test may be.
#[derive(Debug, Clone)]
pub struct Bounded<const D: usize> {
    value: Tensor<D>,
    error: Tensor<D>,
    dtype: DType,
}

impl<const D: usize> Bounded<D> {
    /// Numbers that the computation under test is given. Their type is the precision under test.
    pub fn given(numbers: &Tensor<D>) -> Self {
        let value = double(numbers);
        Self { error: value.zeros_like(), value, dtype: numbers.dtype() }
    }

    /// Numbers of the precision `dtype` that are within an `error` of the exact ones.
    pub fn within(value: &Tensor<D>, error: &Tensor<D>, dtype: DType) -> Self {
        Self { value: double(value), error: double(error), dtype }
    }

    /// Sums whose terms have these exact sums, and the sums `sizes` of their absolute values. Each term goes through at most
    /// so many roundings on its way into the sum: its own, and those of the sums of which it is a part.
    pub fn sums(value: &Tensor<D>, sizes: &Tensor<D>, roundings: usize, dtype: DType) -> Self {
        Self::within(value, &(double(sizes) * (share_of_roundings(roundings) * unit_roundoff(dtype))), dtype)
    }

    /// The exact numbers.
    pub fn value(&self) -> Tensor<D> {
        self.value.clone()
    }

    /// The same bounds around exact numbers that were computed in another way.
    pub fn around(self, value: &Tensor<D>) -> Self {
        assert_eq!(self.value.dims(), value.dims());
        Self { value: double(value), ..self }
    }

    /// Sums of these numbers, or other maps with coefficients that are not negative: [`Bounded::sums`] of numbers that have
    /// errors themselves.
    pub fn linear<const E: usize>(self, roundings: usize, map: impl Fn(Tensor<D>) -> Tensor<E>) -> Bounded<E> {
        let sums = Bounded::sums(&map(self.value.clone()), &map(self.value.abs()), roundings, self.dtype);
        Bounded { error: sums.error + map(self.error), ..sums }
    }

    /// As [`Bounded::linear`], of sums of products with the `others`.
    pub fn bilinear<const E: usize, const F: usize>(
        self,
        others: Bounded<E>,
        roundings: usize,
        product: impl Fn(Tensor<D>, Tensor<E>) -> Tensor<F>,
    ) -> Bounded<F> {
        let value = product(self.value.clone(), others.value.clone());
        let (sizes, other_sizes) = (self.value.abs(), others.value.abs());
        let sums = Bounded::sums(&value, &product(sizes.clone(), other_sizes.clone()), roundings, self.dtype);
        let of_ours = product(self.error, other_sizes + others.error.clone());
        Bounded { error: sums.error + of_ours + product(sizes, others.error), ..sums }
    }

    /// A function of every number, with its slope; its own error is that of so many roundings.
    pub fn map(
        self,
        roundings: f64,
        function: impl Fn(Tensor<D>) -> Tensor<D>,
        slope: impl Fn(Tensor<D>) -> Tensor<D>,
    ) -> Self {
        let value = function(self.value.clone());
        let own = value.clone().abs() * (roundings * unit_roundoff(self.dtype));
        Self { error: slope(self.value).abs() * self.error + own, value, dtype: self.dtype }
    }

    /// The number plus another one, no larger than the sum, that is rounded before.
    pub fn shifted(self, by: f64) -> Self {
        self.map(2.0, |x| x + by, |x| x.ones_like())
    }

    /// The number times another one that is rounded before.
    pub fn scaled(self, by: f64) -> Self {
        self.map(2.0, |x| x * by, |x| x.full_like(by))
    }

    /// `exp(x)`, within 1.3 units in the last place; what underflows may become zero.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        let own = value.clone() * (2.6 * unit_roundoff(self.dtype)) + smallest_normal(self.dtype);
        // Not the slope: an error of the exponent that is not small moves the power by more than that says.
        Self { error: value.clone() * (self.error.exp() - 1.0) + own, value, dtype: self.dtype }
    }

    /// `log(x)`, within 1.3 units in the last place.
    pub fn log(self) -> Self {
        self.map(2.6, Tensor::log, Tensor::recip)
    }

    /// `1 / x`
    pub fn recip(self) -> Self {
        self.map(1.0, Tensor::recip, |x| x.square().recip())
    }

    /// `1 / sqrt(x)`, by a root and a division.
    pub fn recip_of_root(self) -> Self {
        self.map(2.0, |x| x.sqrt().recip(), |x| (x.clone() * x.sqrt()).recip() * 0.5)
    }

    /// `max(0, x)`
    pub fn rectified(self) -> Self {
        self.map(0.0, |x| x.clamp_min(0.0), |x| x.ones_like())
    }

    /// Fails where a number is further from the exact one than rounding can have moved it.
    ///
    /// # Panics
    /// Then, with the worst number; and where shapes or types differ, or a bound is not finite, so that it says nothing.
    #[track_caller]
    pub fn assert_holds(&self, actual: &Tensor<D>, what: &str) {
        assert_eq!((actual.dims(), actual.dtype()), (self.value.dims(), self.dtype), "{what}");
        let error = self.error.clone() + smallest_normal(self.dtype);
        assert_within(&values(actual), &values(&self.value), &values(&error), what);
    }
}

impl<const D: usize> Add for Bounded<D> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let value = self.value + other.value;
        let own = value.clone().abs() * unit_roundoff(self.dtype);
        Self { value, error: self.error + other.error + own, dtype: self.dtype }
    }
}

impl<const D: usize> Sub for Bounded<D> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self { value: -other.value, ..other }
    }
}

impl<const D: usize> Mul for Bounded<D> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.bilinear(other, 1, |a, b| a * b)
    }
}

/// The number in double precision, outside of graphs.
pub fn double<const D: usize>(numbers: &Tensor<D>) -> Tensor<D> {
    numbers.clone().inner().cast(DType::F64)
}

/// Fails where a number is further from the expected one than it is allowed to be.
///
/// # Panics
/// Then, with the worst number; and where the lengths differ or an allowed distance is not finite.
#[track_caller]
pub fn assert_within(actual: &[f64], expected: &[f64], allowed: &[f64], what: &str) {
    assert_eq!([actual.len(), expected.len()], [allowed.len(); 2], "{what}");
    assert!(allowed.iter().all(|allowed| allowed.is_finite()), "{what}: a bound says nothing");
    let excess = |at: usize| {
        let off = (actual[at] - expected[at]).abs();
        if actual[at] == expected[at] || off <= allowed[at] {
            0.0
        } else if off.is_nan() {
            f64::INFINITY
        } else {
            off / allowed[at].max(f64::MIN_POSITIVE)
        }
    };
    let Some(worst) = (0..actual.len()).max_by(|one, other| excess(*one).total_cmp(&excess(*other))) else { return };
    assert!(
        excess(worst) == 0.0,
        "{what}: {} instead of {} at {worst}, off by {:e} where rounding explains {:e}",
        actual[worst],
        expected[worst],
        (actual[worst] - expected[worst]).abs(),
        allowed[worst],
    );
}

/// The part of a term that so many roundings can take, in units of one rounding.
///
/// The errors of many roundings hardly ever all have one sign: `n` of them are taken for `8 sqrt(n)`, which fails for one sum
/// in `10^13`. Source: N. Higham and T. Mary, A New Approach to Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput.
/// 41, 2019, theorem 2.4 with `lambda = 8`.
fn share_of_roundings(roundings: usize) -> f64 {
    let roundings = roundings as f64;
    roundings.min(8.0 * roundings.sqrt())
}

/// The most that one rounding takes of a number, in the type under test and in the double precision that it is held
/// against.
fn unit_roundoff(dtype: DType) -> f64 {
    let of_double = 0.5 * f64::EPSILON;
    match dtype {
        DType::F64 => 2.0 * of_double,
        DType::F32 => 0.5 * f64::from(f32::EPSILON) + of_double,
        other => panic!("no bound for numbers of type {other:?}"),
    }
}

/// Below it a number has fewer digits.
fn smallest_normal(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::random::normal;

    fn single(numbers: &[f32]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(numbers.to_vec(), [numbers.len()]), &Device::flex())
    }

    #[test]
    fn sums_and_products_of_single_precision_are_within_their_bounds() {
        for len in [1, 7, 100, 3000] {
            let [x, y] = [(); 2].map(|()| normal([5, len], DType::F32));
            let [bounded, other] = [&x, &y].map(Bounded::given);
            bounded.clone().linear(len, |x| x.sum_dim(1)).assert_holds(&x.clone().sum_dim(1), "sums");
            let product = |x: Tensor<2>, y: Tensor<2>| x.matmul(y.transpose());
            bounded.bilinear(other, len, product).assert_holds(&product(x, y), "products");
        }
    }

    #[test]
    fn a_chain_of_functions_is_within_its_bound_where_digits_cancel() {
        let x = normal([1000], DType::F32);
        let chain = |x: Tensor<1>| ((x.clone().exp() + 100.0) - 100.0).square() * (x.square() + 0.1).sqrt().recip();
        let bounded = Bounded::given(&x);
        let power = bounded.clone().exp().shifted(100.0) - Bounded::given(&x.full_like(100.0));
        let rate = (bounded.clone() * bounded).shifted(0.1).recip_of_root();
        let bounded = power.clone() * power * rate;
        bounded.assert_holds(&chain(x.clone()), "chain");
        // The bound is not so wide that it would hold for anything: a hundred loses two of seven digits.
        let errors = values(&bounded.error);
        assert!(values(&bounded.value).iter().zip(&errors).all(|(value, error)| *error < 1e-3 * (1.0 + value)));
    }

    #[test]
    fn logarithms_and_reciprocals_carry_the_errors_of_their_operands() {
        let x = Bounded::within(&single(&[2.0]), &single(&[0.01]), DType::F32);
        for (bounded, error) in [(x.clone().log(), 0.005), (x.clone().recip(), 0.0025), (x.exp(), 0.0743)] {
            assert!((values(&bounded.error)[0] / error - 1.0).abs() < 1e-3, "{bounded:?}");
        }
    }

    #[test]
    #[should_panic(expected = "sums: 16777216 instead of 16777220 at 0, off by 4e0 where rounding explains")]
    fn a_sum_that_has_lost_a_term_is_refused() {
        let x = single(&[16_777_216.0, 4.0]);
        Bounded::given(&x).linear(1, |x| x.sum_dim(0)).assert_holds(&single(&[16_777_216.0]), "sums");
    }

    #[test]
    #[should_panic(expected = "NaN instead of 1 at 1")]
    fn what_is_not_a_number_is_refused() {
        assert_within(&[1.0, f64::NAN], &[1.0, 1.0], &[1.0, 1.0], "numbers");
    }

    #[test]
    #[should_panic(expected = "a bound says nothing")]
    fn a_bound_without_end_is_refused() {
        assert_within(&[1.0], &[1.0], &[f64::INFINITY], "numbers");
    }
}
