//! The spherical family: losses that see the logits only through the target's logit, their sum and their sum of squares.

/// A loss `L(o, c) = F(o_c, q, s; D)` with `q = sum_k o_k^2` and `s = sum_k o_k` over all `D` classes.
///
/// Its gradient is `dL/do_k = F_s + 2 F_q o_k + F_a [k = c]`, which is what makes an exact update of the output layer
/// possible without ever forming `o`.
///
/// Source: arXiv 1604.08859.
pub trait SphericalLoss: std::fmt::Debug + Send + Sync {
    /// The loss and its partial derivatives at the target's logit `a`, `q` and `s`.
    fn value_and_partials(&self, a: f64, q: f64, s: f64, num_classes: usize) -> Partials;

    /// The same with the centred sum of squares `v = sum_k (o_k - s/D)^2 = q - s^2/D` in the place of `q`: `dq` is `F_v`,
    /// which equals `F_q`, and `ds` the derivative by `s` where `v` is fixed, `F_s + 2 F_q s/D`.
    ///
    /// Where logits have more in common than they differ, the difference is lost in the rounding of `q`. A loss that
    /// depends on the difference overrides this.
    fn value_and_centred_partials(&self, a: f64, v: f64, s: f64, num_classes: usize) -> Partials {
        let mean = s / num_classes as f64;
        let partials = self.value_and_partials(a, v + s * mean, s, num_classes);
        Partials { ds: partials.ds + 2.0 * partials.dq * mean, ..partials }
    }
}

/// Value and partial derivatives of a [`SphericalLoss`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Partials {
    /// `F`.
    pub loss: f64,
    /// `F_a`, by the target's logit.
    pub da: f64,
    /// `F_q`, by the sum of squares.
    pub dq: f64,
    /// `F_s`, by the sum.
    pub ds: f64,
    /// All logits are equal, so that the loss has no gradient there; the partial derivatives are then zero.
    pub degenerate: bool,
}

/// The generalisation to `K` listed classes: `F(a, q, s; D)` with `a` in `R^K`.
pub trait SparseTargetLoss: std::fmt::Debug + Send + Sync {
    /// The loss and its partial derivatives; `da` receives `F_a`, one value for each listed class.
    fn value_and_sparse_partials(
        &self,
        a: &[f64],
        q: f64,
        s: f64,
        num_classes: usize,
        da: &mut [f64],
    ) -> SparsePartials;

    /// The same with the centred sum of squares `v = q - s^2/D` in the place of `q`, as
    /// [`SphericalLoss::value_and_centred_partials`].
    fn value_and_centred_sparse_partials(
        &self,
        a: &[f64],
        v: f64,
        s: f64,
        num_classes: usize,
        da: &mut [f64],
    ) -> SparsePartials {
        let mean = s / num_classes as f64;
        let partials = self.value_and_sparse_partials(a, v + s * mean, s, num_classes, da);
        SparsePartials { ds: partials.ds + 2.0 * partials.dq * mean, ..partials }
    }
}

/// Value and shared partial derivatives of a [`SparseTargetLoss`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparsePartials {
    /// `F`.
    pub loss: f64,
    /// `F_q`, by the sum of squares.
    pub dq: f64,
    /// `F_s`, by the sum.
    pub ds: f64,
    /// All logits are equal, so that the loss has no gradient there.
    pub degenerate: bool,
}

/// The mean of a [`SphericalLoss`] over the listed classes; with one class, that loss itself.
#[derive(Debug, Clone, Copy)]
pub struct MeanOverTargets<'a>(pub &'a dyn SphericalLoss);

impl SparseTargetLoss for MeanOverTargets<'_> {
    fn value_and_sparse_partials(
        &self,
        a: &[f64],
        q: f64,
        s: f64,
        num_classes: usize,
        da: &mut [f64],
    ) -> SparsePartials {
        mean_of(a, da, |a| self.0.value_and_partials(a, q, s, num_classes))
    }

    fn value_and_centred_sparse_partials(
        &self,
        a: &[f64],
        v: f64,
        s: f64,
        num_classes: usize,
        da: &mut [f64],
    ) -> SparsePartials {
        mean_of(a, da, |a| self.0.value_and_centred_partials(a, v, s, num_classes))
    }
}

fn mean_of(a: &[f64], da: &mut [f64], partials: impl Fn(f64) -> Partials) -> SparsePartials {
    let share = 1.0 / a.len() as f64;
    let mut mean = SparsePartials { loss: 0.0, dq: 0.0, ds: 0.0, degenerate: false };
    for (&a, da) in a.iter().zip(da) {
        let one = partials(a);
        mean.loss += share * one.loss;
        mean.dq += share * one.dq;
        mean.ds += share * one.ds;
        mean.degenerate |= one.degenerate;
        *da = share * one.da;
    }
    mean
}
