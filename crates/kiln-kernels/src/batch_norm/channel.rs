//! What the normalisation knows of one channel.

use crate::Real;

/// `(x - mean) scale + beta` with `scale = gamma rate` and `rate = 1 / sqrt(variance + epsilon)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine<E> {
    pub(super) mean: E,
    pub(super) rate: E,
    pub(super) scale: E,
    pub(super) beta: E,
}

impl<E: Real> Affine<E> {
    pub(super) fn new(mean: f64, variance: f64, epsilon: f64, gamma: E, beta: E) -> Self {
        let rate = (variance + epsilon).sqrt().recip();
        Self { mean: E::from_f64(mean), rate: E::from_f64(rate), scale: E::from_f64(gamma.to_f64() * rate), beta }
    }

    #[inline(always)]
    pub(super) fn of(&self, x: E) -> E {
        (x - self.mean) * self.scale + self.beta
    }

    /// `u = (x - mean) rate`
    #[inline(always)]
    pub(super) fn normal(&self, x: E) -> E {
        (x - self.mean) * self.rate
    }
}

/// Number, mean and sum of squared distances from the mean.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spread {
    pub(super) count: f64,
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Spread {
    /// That of these numbers and of the others together.
    ///
    /// Source: Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    #[inline(always)]
    pub(super) fn join(&mut self, other: Self) {
        let distance = other.mean - self.mean;
        let together = self.count + other.count;
        self.squares += other.squares + distance * distance * self.count * other.count / together;
        self.mean += distance * other.count / together;
        self.count = together;
    }

    /// Mean squared distance from the mean.
    pub(super) fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

/// Sums over a channel of the gradient `h` that passed the rectification.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// `sum(h)`
    pub(super) total: f64,
    /// `sum(h u)`
    pub(super) along: f64,
}
