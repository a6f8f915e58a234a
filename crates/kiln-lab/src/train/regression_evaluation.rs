//! How good predicted numbers are: the figures that `kiln evaluate` prints.

use serde::{Deserialize, Serialize};

/// Quality of predicted numbers against true ones. With several targets, each figure is the mean over the targets of that
/// figure, as in scikit-learn's uniform average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionEvaluation {
    /// Number of examples.
    pub examples: usize,
    /// Root of the mean squared error, in the target's unit.
    pub rmse: f64,
    /// Mean absolute error, in the target's unit.
    pub mae: f64,
    /// Coefficient of determination `1 - sum (y - p)^2 / sum (y - mean y)^2`, at most 1; nothing where a target is the
    /// same in every example.
    pub r2: Option<f64>,
    /// The figures of each target.
    pub targets: Vec<TargetFigures>,
}

/// Quality of the predictions of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetFigures {
    /// Name of the target.
    pub name: String,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Coefficient of determination; nothing where the target is the same in every example.
    pub r2: Option<f64>,
}

impl RegressionEvaluation {
    /// Scores `predicted[example][target]` against `truth[example][target]`.
    ///
    /// # Panics
    /// When there is no example, or not one prediction for each number: the readers refuse such data before.
    pub fn new(predicted: &[Vec<f64>], truth: &[Vec<f64>], names: &[String]) -> Self {
        assert!(!truth.is_empty() && predicted.len() == truth.len(), "one row of predictions for each row");
        let column = |rows: &[Vec<f64>], target: usize| -> Vec<f64> { rows.iter().map(|row| row[target]).collect() };
        let of_target = |(target, name): (usize, &String)| {
            TargetFigures::new(name, &column(predicted, target), &column(truth, target))
        };
        let targets: Vec<TargetFigures> = names.iter().enumerate().map(of_target).collect();
        let mean = |figure: fn(&TargetFigures) -> f64| targets.iter().map(figure).sum::<f64>() / targets.len() as f64;
        let shares: Option<Vec<f64>> = targets.iter().map(|target| target.r2).collect();
        Self {
            examples: truth.len(),
            rmse: mean(|target| target.rmse),
            mae: mean(|target| target.mae),
            r2: shares.map(|shares| shares.iter().sum::<f64>() / shares.len() as f64),
            targets,
        }
    }

    /// [`r2`](Self::r2) with four digits, or a dash where there is none.
    pub fn shown_r2(&self) -> String {
        self.r2.map_or_else(|| "-".to_string(), |share| format!("{share:.4}"))
    }
}

impl TargetFigures {
    fn new(name: &str, predicted: &[f64], truth: &[f64]) -> Self {
        let count = truth.len() as f64;
        let mean = truth.iter().sum::<f64>() / count;
        let errors = || predicted.iter().zip(truth).map(|(predicted, truth)| predicted - truth);
        let squares: f64 = errors().map(|error| error * error).sum();
        let spread: f64 = truth.iter().map(|truth| (truth - mean).powi(2)).sum();
        Self {
            name: name.to_string(),
            rmse: (squares / count).sqrt(),
            mae: errors().map(f64::abs).sum::<f64>() / count,
            r2: (spread > 0.0).then(|| 1.0 - squares / spread),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_figures() {
        let truth = [vec![1.0, 10.0], vec![2.0, 10.0], vec![3.0, 10.0], vec![6.0, 10.0]];
        let predicted = [vec![1.0, 11.0], vec![3.0, 9.0], vec![3.0, 10.0], vec![4.0, 10.0]];
        let names = ["a".to_string(), "b".to_string()];
        let both = RegressionEvaluation::new(&predicted, &truth, &names);
        let [a, b] = &both.targets[..] else { panic!() };
        // Errors of a: 0, 1, 0, -2; its spread about 3 is 4 + 1 + 0 + 9.
        assert!((a.rmse - 1.25f64.sqrt()).abs() < 1e-12 && (a.mae - 0.75).abs() < 1e-12);
        assert!((a.r2.unwrap() - (1.0 - 5.0 / 14.0)).abs() < 1e-12);
        assert_eq!((b.rmse, b.mae, b.r2), (0.5f64.sqrt(), 0.5, None));
        assert!((both.rmse - (a.rmse + b.rmse) / 2.0).abs() < 1e-12);
        assert_eq!((both.examples, both.r2), (4, None));
    }

    #[test]
    fn the_mean_explains_nothing_and_the_truth_everything() {
        let truth = [vec![1.0], vec![3.0]];
        let judged = |predicted: [f64; 2]| {
            RegressionEvaluation::new(&predicted.map(|value| vec![value]), &truth, &["y".to_string()]).r2
        };
        assert_eq!(judged([2.0, 2.0]), Some(0.0));
        assert_eq!(judged([1.0, 3.0]), Some(1.0));
    }
}
