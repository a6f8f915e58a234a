//! Noise over the whole numbers, drawn exactly: only whole numbers are drawn and compared.
//!
//! Source: C. Canonne, G. Kamath, T. Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010, algorithms 1
//! to 3.

use rand::Rng;

use super::Mechanism;
use super::mechanism::gaussian_deviation;

/// Steps into which the range of a response is divided: one response changes the sum of a bag by at most so many.
pub(super) const STEPS: u64 = 1 << 16;
/// `epsilon` is rounded down to multiples of one over this.
const EPSILON_UNITS: u64 = 1 << 20;

/// Noise on the sum of a bag, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noise {
    /// Probability of `x` in proportion to `exp(-|x| rate / scale)`.
    Laplace { scale: u128, rate: u128 },
    /// Probability of `x` in proportion to `exp(-x^2 / (2 deviation^2))`.
    Gaussian { deviation: u128 },
}

impl Noise {
    /// Enough for one response that changes by the whole range, rounded to the private side.
    pub(super) fn of(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Laplace { epsilon } => {
                let rate = ((epsilon * EPSILON_UNITS as f64).floor() as u128).max(1);
                Self::Laplace { scale: u128::from(STEPS) * u128::from(EPSILON_UNITS), rate }
            }
            Mechanism::Gaussian { epsilon, delta } => {
                // Over so many steps the discrete distribution's own delta is that of the continuous one, but for exp(-2 pi^2
                // deviation^2).
                let steps = gaussian_deviation(epsilon, delta) * STEPS as f64;
                Self::Gaussian { deviation: (steps.ceil() as u128).max(1) }
            }
        }
    }

    /// Scale of the distribution, in steps.
    pub(super) fn scale(self) -> f64 {
        match self {
            Self::Laplace { scale, rate } => scale as f64 / rate as f64,
            Self::Gaussian { deviation } => deviation as f64,
        }
    }

    pub(super) fn draw(self, random: &mut impl Rng) -> i128 {
        match self {
            Self::Laplace { scale, rate } => laplace(random, scale, rate),
            Self::Gaussian { deviation } => gaussian(random, deviation),
        }
    }
}

/// Probability in proportion to `exp(-|x| rate / scale)`.
fn laplace(random: &mut impl Rng, scale: u128, rate: u128) -> i128 {
    loop {
        let low = below(random, scale);
        if !happens_exp(random, low, scale) {
            continue;
        }
        let mut high = 0;
        while happens_exp(random, 1, 1) {
            high += 1;
        }
        let size = ((low + scale * high) / rate) as i128;
        match below(random, 2) {
            // Zero would come up twice as often.
            1 if size == 0 => continue,
            1 => return -size,
            _ => return size,
        }
    }
}

/// Probability in proportion to `exp(-x^2 / (2 deviation^2))`, by rejection from the Laplace distribution.
fn gaussian(random: &mut impl Rng, deviation: u128) -> i128 {
    let scale = deviation + 1;
    let square = deviation * deviation;
    loop {
        let candidate = laplace(random, scale, 1);
        // (|x| - deviation^2 / scale)^2 / (2 deviation^2)
        let apart = (candidate.unsigned_abs() * scale).abs_diff(square);
        let (whole, rest) = squared_over(apart, scale, deviation);
        if (0..whole).all(|_| happens_exp(random, 1, 1)) && happens_exp(random, rest.0, rest.1) {
            return candidate;
        }
    }
}

/// `(apart / (scale deviation))^2 / 2` as a whole number and a fraction below 1.
///
/// Numbers whose squares would not fit are shortened to 60 bits. With `r` for what is squared that is off by at most
/// `2^-59 max(r, r^3)`, so that `exp(-r^2 / 2)` keeps 58 bits behind the point.
fn squared_over(apart: u128, scale: u128, deviation: u128) -> (u128, (u128, u128)) {
    const MOST_BITS: u32 = 60;
    let divisor = scale * deviation;
    let bits = 128 - apart.max(divisor).leading_zeros();
    let shift = bits.saturating_sub(MOST_BITS);
    let (apart, divisor) = (apart >> shift, (divisor >> shift).max(1));
    let (above, below) = (apart * apart, 2 * divisor * divisor);
    (above / below, (above % below, below))
}

/// True with probability `exp(-above / below)`, for `above <= below`.
fn happens_exp(random: &mut impl Rng, above: u128, below_of: u128) -> bool {
    let mut count: u128 = 1;
    // The probability that a run of draws falls ends after an odd number of them.
    loop {
        let Some(bound) = below_of.checked_mul(count) else { return count % 2 == 1 };
        if below(random, bound) >= above {
            return count % 2 == 1;
        }
        count += 1;
    }
}

/// A uniform whole number below `bound`, without bias.
fn below(random: &mut impl Rng, bound: u128) -> u128 {
    let mask = u128::MAX >> (bound - 1).leading_zeros().min(127);
    loop {
        let bits = u128::from(random.next_u64()) | u128::from(random.next_u64()) << 64;
        let drawn = bits & mask;
        if drawn < bound {
            return drawn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn shares(noise: Noise, draws: usize) -> impl Fn(i128) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..draws {
            *counts.entry(noise.draw(&mut random)).or_insert(0_usize) += 1;
        }
        move |x| counts.get(&x).copied().unwrap_or(0) as f64 / draws as f64
    }

    #[test]
    fn whole_numbers_come_up_with_the_right_probabilities() {
        const DRAWS: usize = 200_000;
        let laplace = |x: i128| (-(x.abs() as f64) * 2.0 / 3.0).exp();
        let gaussian = |x: i128| (-(x as f64).powi(2) / 8.0).exp();
        let cases: [(Noise, &dyn Fn(i128) -> f64); 2] =
            [(Noise::Laplace { scale: 3, rate: 2 }, &laplace), (Noise::Gaussian { deviation: 2 }, &gaussian)];
        for (noise, weight) in cases {
            let total: f64 = (-60..=60).map(weight).sum();
            let share = shares(noise, DRAWS);
            for x in -4..=4 {
                let expected = weight(x) / total;
                let error = 4.5 * (expected * (1.0 - expected) / DRAWS as f64).sqrt();
                assert!((share(x) - expected).abs() < error, "{noise:?} {x}: {} {expected}", share(x));
            }
        }
    }

    #[test]
    fn the_fraction_of_a_large_square_is_right() {
        for (apart, scale, deviation) in
            [(7_u128, 3, 2), (1 << 70, (1 << 30) + 1, 1 << 30), (1 << 50, 1 << 20, 1 << 20)]
        {
            let (whole, (above, below)) = squared_over(apart, scale, deviation);
            let expected = (apart as f64 / (scale as f64 * deviation as f64)).powi(2) / 2.0;
            let found = whole as f64 + above as f64 / below as f64;
            assert!(((found - expected) / expected).abs() < 1e-8, "{found} {expected}");
        }
    }

    #[test]
    fn noise_is_never_less_than_what_was_asked_for() {
        for epsilon in [1e-3, 0.1, 1.0, 7.3, 100.0] {
            let laplace = Noise::of(Mechanism::Laplace { epsilon });
            assert!(laplace.scale() >= STEPS as f64 / epsilon && laplace.scale() < 1.001 * STEPS as f64 / epsilon);
            let gaussian = Noise::of(Mechanism::Gaussian { epsilon, delta: 1e-6 });
            let least = gaussian_deviation(epsilon, 1e-6) * STEPS as f64;
            assert!(gaussian.scale() >= least && gaussian.scale() < least + 1.0);
            // The largest scale that there is leaves room in 128 bits.
            let mut random = ChaCha8Rng::seed_from_u64(1);
            assert!((0..50).all(|_| gaussian.draw(&mut random).unsigned_abs() < 1 << 60));
        }
    }
}
