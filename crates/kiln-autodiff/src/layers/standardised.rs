//! Standardised values and their first derivatives in closed form.

use burn::tensor::Tensor;
use std::sync::Arc;

use super::Numbers;
use crate::custom_gradient;

/// What is subtracted before the division by the root mean square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Centre {
    /// The mean.
    Mean,
    /// Nothing.
    Zero,
}

/// `y = (x - centre) r` with `r = 1 / sqrt(mean((x - centre)^2) + epsilon)`, over some axes.
///
/// ```text
/// D t = r (t - mean(t) - y mean(y t))      first derivative in the direction t, a symmetric map
/// d/dx <g, D t> = -r (b D g + a D t) - r^2 (c - a b) y
///     a = mean(y g)    b = mean(y t)    c = mean(g t) - mean(g) mean(t)
/// ```
/// Without a centre, `mean(t)` and `mean(g) mean(t)` are left out. The second line is the backward pass of the first, in
/// one node of the graph.
#[derive(Debug, Clone)]
pub(super) struct Standardised<const D: usize> {
    y: Tensor<D>,
    rate: Tensor<D>,
    axes: Arc<[usize]>,
    centre: Centre,
}

impl<const D: usize> Standardised<D> {
    /// The standardised number.
    pub(super) fn apply<N: Numbers>(numbers: &N, x: N::T<D>, axes: &[usize], epsilon: f64, centre: Centre) -> N::T<D> {
        numbers.value_map(x, |x| {
            let standardised = Self::of(x.clone().inner(), axes, epsilon, centre);
            let saved = standardised.clone();
            let value = custom_gradient(
                (x.clone(),),
                |_| (saved.y.clone(), saved),
                |saved, upstream, _wanted| (Some(saved.derivative(upstream)),),
            );
            (value, move |tangent| standardised.slope(x.clone(), tangent))
        })
    }

    fn of(x: Tensor<D>, axes: &[usize], epsilon: f64, centre: Centre) -> Self {
        let axes: Arc<[usize]> = axes.into();
        let centred = match centre {
            Centre::Mean => x.clone() - mean(x, &axes),
            Centre::Zero => x,
        };
        let rate = (mean(centred.clone().square(), &axes) + epsilon).sqrt().recip();
        Self { y: centred * rate.clone(), rate, axes, centre }
    }

    fn mean(&self, x: Tensor<D>) -> Tensor<D> {
        mean(x, &self.axes)
    }

    /// `D t`.
    fn derivative(&self, tangent: Tensor<D>) -> Tensor<D> {
        let along = self.mean(self.y.clone() * tangent.clone());
        let centred = match self.centre {
            Centre::Mean => tangent.clone() - self.mean(tangent),
            Centre::Zero => tangent,
        };
        (centred - self.y.clone() * along) * self.rate.clone()
    }

    /// `D t` as a function of `x` and `t`.
    fn slope(&self, x: Tensor<D>, tangent: Tensor<D>) -> Tensor<D> {
        let saved = self.clone();
        custom_gradient(
            (x, tangent),
            |(_, tangent)| {
                let slope = saved.derivative(tangent.clone());
                (slope.clone(), (saved, tangent, slope))
            },
            |(saved, tangent, slope), upstream, [point_wanted, tangent_wanted]| {
                let moved = saved.derivative(upstream.clone());
                let by_point = point_wanted.then(|| saved.by_point(tangent, slope, upstream, moved.clone()));
                (by_point, tangent_wanted.then_some(moved))
            },
        )
    }

    /// `d/dx <g, D t>`, with `D t` and `D g` at hand.
    fn by_point(&self, tangent: Tensor<D>, slope: Tensor<D>, upstream: Tensor<D>, moved: Tensor<D>) -> Tensor<D> {
        let a = self.mean(self.y.clone() * upstream.clone());
        let b = self.mean(self.y.clone() * tangent.clone());
        let product = self.mean(upstream.clone() * tangent.clone());
        let c = match self.centre {
            Centre::Mean => product - self.mean(upstream) * self.mean(tangent),
            Centre::Zero => product,
        };
        let bend = (c - a.clone() * b.clone()) * self.rate.clone();
        -(moved * b + slope * a + self.y.clone() * bend) * self.rate.clone()
    }
}

fn mean<const D: usize>(x: Tensor<D>, axes: &[usize]) -> Tensor<D> {
    axes.iter().fold(x, |x, &axis| x.mean_dim(axis))
}
