//! A mean with its error bar.

/// Mean of independent samples and its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean of the samples.
    pub mean: f64,
    /// Standard deviation of the mean, infinite for a single sample.
    pub standard_error: f64,
    /// Number of samples.
    pub samples: usize,
}

impl Estimate {
    /// The estimate from samples, at least one.
    ///
    /// ```text
    /// mean = sum_i x_i / k        standard error = sqrt(sum_i (x_i - mean)^2 / (k (k - 1)))
    /// ```
    pub fn of(samples: &[f64]) -> Self {
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let spread = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>();
        let standard_error = if samples.len() > 1 { (spread / (count * (count - 1.0))).sqrt() } else { f64::INFINITY };
        Self { mean, standard_error, samples: samples.len() }
    }

    /// The estimate of a multiple.
    pub fn scaled(self, factor: f64) -> Self {
        Self { mean: self.mean * factor, standard_error: self.standard_error * factor.abs(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_standard_error_of_a_worked_sample() {
        let estimate = Estimate::of(&[1.0, 2.0, 6.0]);
        assert_eq!(estimate.mean, 3.0);
        assert!((estimate.standard_error - (14.0f64 / 6.0).sqrt()).abs() < 1e-15);
        assert_eq!(estimate.scaled(-2.0).mean, -6.0);
        assert_eq!(Estimate::of(&[5.0]).standard_error, f64::INFINITY);
    }
}
