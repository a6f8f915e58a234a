use serde::Serialize;

use crate::{ArrayDataset, Splits};

/// What a person wants to know about a data set at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Name or path.
    pub name: String,
    /// Shape of a row.
    pub input_shape: Vec<usize>,
    /// `classes` or `values`.
    pub task: &'static str,
    /// Class names, or names of the numbers to predict.
    pub class_names: Vec<String>,
    /// Training, validation and test split.
    pub splits: [SplitSummary; 3],
    /// Each feature of a table over the training rows; a single entry over all pixels for pictures.
    pub features: Vec<FeatureSummary>,
}

/// One split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitSummary {
    /// `train`, `validation` or `test`.
    pub name: &'static str,
    /// Number of rows.
    pub rows: usize,
    /// Rows of each class; empty where targets are numbers.
    pub class_counts: Vec<usize>,
}

/// The values of a feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureSummary {
    /// Name.
    pub name: String,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean.
    pub mean: f32,
    /// Standard deviation (divided by n).
    pub deviation: f32,
}

impl Summary {
    /// Looks at all splits.
    pub fn of(splits: &Splits) -> Self {
        let train = &splits.train;
        let split = |name, data: &ArrayDataset| SplitSummary {
            name,
            rows: data.len(),
            class_counts: if data.is_classification() { data.class_counts() } else { Vec::new() },
        };
        let features = if train.input_shape().len() == 1 {
            let names = train.feature_names();
            (0..names.len()).map(|feature| range(&names[feature], train, feature..feature + 1)).collect()
        } else {
            vec![range("all pixels", train, 0..train.num_features())]
        };
        Self {
            name: splits.name.clone(),
            input_shape: train.input_shape().to_vec(),
            task: if train.is_classification() { "classes" } else { "values" },
            class_names: train.class_names().to_vec(),
            splits: [split("train", train), split("validation", &splits.validation), split("test", &splits.test)],
            features,
        }
    }
}

fn range(name: &str, data: &ArrayDataset, features: std::ops::Range<usize>) -> FeatureSummary {
    let values = || (0..data.len()).flat_map(|row| &data.row(row)[features.clone()]).copied();
    let count = (data.len() * features.len()).max(1) as f64;
    let mean = values().map(f64::from).sum::<f64>() / count;
    let variance = values().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    FeatureSummary {
        name: name.to_owned(),
        min: values().fold(f32::INFINITY, f32::min),
        max: values().fold(f32::NEG_INFINITY, f32::max),
        mean: mean as f32,
        deviation: variance.sqrt() as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DataDir, OpenOptions, open};

    #[test]
    fn digits_lie_between_0_and_1_and_the_counts_add_up() {
        let summary = Summary::of(&open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap());
        assert_eq!(summary.input_shape, [1, 8, 8]);
        assert_eq!((summary.features[0].min, summary.features[0].max), (0.0, 1.0));
        for split in &summary.splits {
            assert_eq!(split.class_counts.iter().sum::<usize>(), split.rows);
        }
    }
}
