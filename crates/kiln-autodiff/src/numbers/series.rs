//! Taylor coefficients of the element-wise functions, mostly by the recurrences of their differential equations.

use burn::tensor::{Tensor, activation};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::elementwise::Coefficient;
use crate::layers::kernels;

/// Value and coefficients.
type Series<const D: usize> = (Tensor<D>, Vec<Coefficient<D>>);

/// Negative part of SELU in units of [`SELU_SCALE`].
pub(super) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// Slope of SELU's positive part.
pub(super) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// Coefficients with the value first, taken apart.
pub(super) fn split<const D: usize>(series: Vec<Tensor<D>>) -> Series<D> {
    let mut terms = series.into_iter();
    let value = terms.next().expect("a series starts with its value");
    (value, terms.map(Coefficient::Tensor).collect())
}

/// The slopes `below` and `above` a threshold: the only coefficient of a function that is linear on both sides.
pub(super) fn step<const D: usize>(x: Tensor<D>, threshold: f64, below: f64, above: f64) -> Vec<Coefficient<D>> {
    vec![Coefficient::Tensor(above_threshold(x, threshold) * (above - below) + below)]
}

/// 1 above the threshold, 0 elsewhere. Its derivative is zero, so that it stays out of the graph.
fn above_threshold<const D: usize>(x: Tensor<D>, threshold: f64) -> Tensor<D> {
    let x = x.inner();
    let x = if threshold == 0.0 { x } else { x - threshold };
    x.sign().clamp_min(0.0)
}

/// From `y = tanh(x)`: `y' = 1 - y^2`.
pub(super) fn tanh<const D: usize>(y: Tensor<D>, order: usize) -> Vec<Tensor<D>> {
    let mut c = vec![y];
    for k in 0..order {
        let slope = square(&c, k, -1.0 / (k + 1) as f64);
        c.push(if k == 0 { slope + 1.0 } else { slope });
    }
    c
}

/// From `y = sigmoid(x)`: `y' = y - y^2`.
pub(super) fn sigmoid<const D: usize>(y: Tensor<D>, order: usize) -> Vec<Tensor<D>> {
    let mut c = vec![y];
    for k in 0..order {
        let factor = 1.0 / (k + 1) as f64;
        c.push(square(&c, k, -factor) + scaled(c[k].clone(), factor));
    }
    c
}

/// `factor sum_i c_i c_(k - i)`: coefficient `k` of a square, each product of two taken once.
fn square<const D: usize>(c: &[Tensor<D>], k: usize, factor: f64) -> Tensor<D> {
    let product = |i: usize| {
        let weight = if 2 * i == k { factor } else { 2.0 * factor };
        scaled(c[i].clone() * c[k - i].clone(), weight)
    };
    (1..=k / 2).fold(product(0), |sum, i| sum + product(i))
}

/// From `y = exp(x)`.
pub(super) fn exp<const D: usize>(y: Tensor<D>, order: usize) -> Series<D> {
    let coefficients = (1..=order).map(|k| Coefficient::Tensor(divided(y.clone(), factorial(k)))).collect();
    (y, coefficients)
}

/// `tanh(x / 2) (exp(x) + 1)`, which does not cancel near zero where `exp(x) - 1` does.
pub(super) fn expm1<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    (x.clone() * 0.5).tanh() * (x.exp() + 1.0)
}

/// `(-1)^(k + 1) / (k x^k)`.
pub(super) fn log<const D: usize>(x: Tensor<D>, order: usize) -> Vec<Coefficient<D>> {
    let recip = x.recip();
    let mut power = recip.clone();
    (1..=order)
        .map(|k| {
            if k > 1 {
                power = power.clone() * recip.clone();
            }
            let sign = if k % 2 == 1 { 1.0 } else { -1.0 };
            Coefficient::Tensor(divided(power.clone(), sign * k as f64))
        })
        .collect()
}

/// `1 / x`: coefficients `(-1)^k / x^(k + 1)`.
pub(super) fn recip<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    let y = x.recip();
    let mut c = vec![y.clone()];
    for k in 0..order {
        c.push(-(c[k].clone() * y.clone()));
    }
    split(c)
}

/// `sqrt(x)`: `c_k = c_(k - 1) (3/2 - k) / (k x)`.
pub(super) fn sqrt<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    let y = x.clone().sqrt();
    let mut c = vec![y.clone()];
    if order >= 1 {
        c.push(y.recip() * 0.5);
    }
    for k in 2..=order {
        c.push(c[k - 1].clone() / x.clone() * ((1.5 - k as f64) / k as f64));
    }
    split(c)
}

/// `x^p`: coefficients `binomial(p, k) x^(p - k)`, zero for `k > p` where `p` is an integer.
pub(super) fn power<const D: usize>(x: Tensor<D>, p: f64, order: usize) -> Series<D> {
    let mut binomial = 1.0;
    let mut coefficients = Vec::with_capacity(order);
    for k in 1..=order {
        binomial *= (p - (k - 1) as f64) / k as f64;
        let rest = p - k as f64;
        coefficients.push(match rest {
            _ if binomial == 0.0 => Coefficient::Zero,
            0.0 => Coefficient::Constant(binomial),
            1.0 => Coefficient::Tensor(x.clone() * binomial),
            _ => Coefficient::Tensor(x.clone().powf_scalar(rest) * binomial),
        });
    }
    (x.powf_scalar(p), coefficients)
}

/// `f` with `f' = sign g` and `g' = -sign f`: sine and cosine.
pub(super) fn waves<const D: usize>(f: Tensor<D>, g: Tensor<D>, sign: f64, order: usize) -> Series<D> {
    let coefficients = (1..=order)
        .map(|k| {
            let (wave, factor) = match k % 4 {
                1 => (&g, sign),
                2 => (&f, -1.0),
                3 => (&g, -sign),
                _ => (&f, 1.0),
            };
            Coefficient::Tensor(divided(wave.clone(), factor * factorial(k)))
        })
        .collect();
    (f, coefficients)
}

/// `erf(x)`: the coefficients are those of `2 / sqrt(pi) exp(-x^2)`, each divided by its order.
pub(super) fn erf<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    let bell = bell(x.clone(), 1.0, FRAC_2_SQRT_PI, order);
    (x.erf(), integrated(&bell, order))
}

/// Coefficients of `height exp(-rate x^2)` up to `order - 1`: `y' = -2 rate x y`.
fn bell<const D: usize>(x: Tensor<D>, rate: f64, height: f64, order: usize) -> Vec<Tensor<D>> {
    let mut c = vec![(x.clone() * x.clone() * -rate).exp() * height];
    for k in 0..order.saturating_sub(1) {
        let mut term = x.clone() * c[k].clone();
        if k > 0 {
            term = term + c[k - 1].clone();
        }
        c.push(term * (-2.0 * rate / (k + 1) as f64));
    }
    c
}

/// Coefficients 1 to `order` of the integral of a series.
fn integrated<const D: usize>(series: &[Tensor<D>], order: usize) -> Vec<Coefficient<D>> {
    (1..=order).map(|k| Coefficient::Tensor(divided(series[k - 1].clone(), k as f64))).collect()
}

/// `x Phi(x)`, with one error function and one exponential at any order.
pub(super) fn gelu<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    let density = bell(x.clone(), 0.5, 1.0 / (2.0 * PI).sqrt(), order);
    let mut phi = vec![((x.clone() * FRAC_1_SQRT_2).erf() + 1.0) * 0.5];
    phi.extend((1..=order).map(|k| divided(density[k - 1].clone(), k as f64)));
    split(times_x(x, &phi))
}

/// `x sigmoid(x)`.
pub(super) fn silu<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    let sigmoid = sigmoid(kernels::sigmoid(x.clone()), order);
    split(times_x(x, &sigmoid))
}

/// Coefficients of `x f(x)` from those of `f`: `x f_k + f_(k - 1)`.
fn times_x<const D: usize>(x: Tensor<D>, f: &[Tensor<D>]) -> Vec<Tensor<D>> {
    (0..f.len())
        .map(|k| {
            let term = x.clone() * f[k].clone();
            if k == 0 { term } else { term + f[k - 1].clone() }
        })
        .collect()
}

/// `0.5 x (1 + tanh(u))` with the cubic `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
pub(super) fn gelu_tanh<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    const CUBIC: f64 = 0.044715;
    let scale = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    let square = x.clone() * x.clone();
    let u0 = x.clone() * (square.clone() * (scale * CUBIC) + scale);
    // u has the coefficients u_1 = scale (1 + 3 c x^2), u_2 = 3 scale c x, u_3 = scale c, and then none.
    let inner = [square * (3.0 * scale * CUBIC) + scale, x.clone() * (3.0 * scale * CUBIC)];
    let mut t = vec![kernels::tanh(u0)];
    for k in 1..=order {
        t.push(tanh_of_cubic(&t, &inner, scale * CUBIC, k));
    }
    let mut f: Vec<Tensor<D>> = t.into_iter().map(|c| c * 0.5).collect();
    f[0] = f[0].clone() + 0.5;
    split(times_x(x, &f))
}

/// Coefficient `k` of `t = tanh(u)` from those before: `k t_k = sum_j j u_j (1 - t^2)_(k - j)`.
fn tanh_of_cubic<const D: usize>(t: &[Tensor<D>], inner: &[Tensor<D>; 2], cubic: f64, k: usize) -> Tensor<D> {
    let sech_squared = |i: usize| {
        let square = square(t, i, -1.0);
        if i == 0 { square + 1.0 } else { square }
    };
    let term = |j: usize| match j {
        1 => inner[0].clone() * sech_squared(k - 1),
        2 => inner[1].clone() * sech_squared(k - 2) * 2.0,
        _ => sech_squared(k - 3) * (3.0 * cubic),
    };
    let sum = (1..=k.min(3)).map(term).reduce(|sum, term| sum + term).expect("at least one term");
    divided(sum, k as f64)
}

/// `log1p(exp(x))`, and `x` where the exponential would overflow.
pub(super) fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // `max(x, 0) + log1p(exp(-|x|))` has the slope 0 at 0 in Burn, where neither term has one; it is one half.
    activation::softplus_with_threshold(x, 1.0, 40.0)
}

/// [`softplus`], whose derivative is the sigmoid.
pub(super) fn softplus_series<const D: usize>(x: Tensor<D>, order: usize) -> Series<D> {
    let slope = sigmoid(kernels::sigmoid(x.clone()), order.saturating_sub(1));
    (softplus(x), integrated(&slope, order))
}

/// `scale (x for x > 0, else alpha (exp(x) - 1))`.
pub(super) fn elu<const D: usize>(x: Tensor<D>, alpha: f64, scale: f64, order: usize) -> Series<D> {
    let above = above_threshold(x.clone(), 0.0);
    // The exponential is of the negative part alone: that of a large x overflows.
    let exponential = x.clone().clamp_max(0.0).exp() * (alpha * scale);
    let value = activation::relu(x) * scale + exponential.clone() - alpha * scale;
    let below = exponential * (-above.clone() + 1.0);
    let coefficients = (1..=order)
        .map(|k| match k {
            1 => Coefficient::Tensor(below.clone() + above.clone() * scale),
            _ => Coefficient::Tensor(divided(below.clone(), factorial(k))),
        })
        .collect();
    (value, coefficients)
}

fn scaled<const D: usize>(tensor: Tensor<D>, factor: f64) -> Tensor<D> {
    match factor {
        1.0 => tensor,
        -1.0 => -tensor,
        _ => tensor * factor,
    }
}

fn divided<const D: usize>(tensor: Tensor<D>, divisor: f64) -> Tensor<D> {
    scaled(tensor, 1.0 / divisor)
}

fn factorial(k: usize) -> f64 {
    (1..=k).map(|factor| factor as f64).product()
}
