//! Tables of numbers, cut and bagged anew for each seed.

use kiln_data::split::permutation;
use kiln_data::{ColumnEncoder, InputEncoding, OpenOptions, SplitOptions, Splits, Task};

use super::linear::{BagData, means};

/// All rows of a table, with nothing held back.
pub(super) fn open_options() -> OpenOptions {
    let split = SplitOptions { test: 0.0, validation: 0.0, ..SplitOptions::default() };
    OpenOptions { task: Some(Task::Regress), standardise: false, split, ..OpenOptions::default() }
}

/// A table in double precision.
pub(super) struct NumberTable {
    pub(super) name: String,
    features: Vec<Vec<f64>>,
    pub(super) responses: Vec<f64>,
}

impl NumberTable {
    /// Of categories the first level has no column: with it the columns would be linearly dependent.
    pub(super) fn of(splits: &Splits) -> Self {
        let kept = independent_features(&splits.preprocessing.inputs, splits.train.num_features());
        let rows = 0..splits.train.len();
        let row = |row: usize| kept.iter().map(|&feature| f64::from(splits.train.row(row)[feature])).collect();
        Self {
            name: splits.name.clone(),
            features: rows.clone().map(row).collect(),
            responses: rows.map(|row| f64::from(splits.train.values(row)[0])).collect(),
        }
    }

    /// Rows to learn from in bags of `size`, and rows to judge by, chosen by `seed`; features have mean 0 and deviation 1 over the
    /// rows that are learnt from, responses mean 0 there and deviation 1 over the table.
    pub(super) fn draw(&self, size: usize, train: f64, seed: u64) -> Drawn {
        let order = permutation(self.responses.len(), seed);
        let count = (train * order.len() as f64).round() as usize;
        let (learnt, held) = order.split_at(count - count % size);
        let width = self.features[0].len();
        let scales: Vec<Scale> =
            (0..width).map(|feature| Scale::of(learnt.iter().map(|&row| self.features[row][feature]))).collect();
        let scaled = |rows: &[usize]| -> Vec<f64> {
            let row =
                |&row: &usize| self.features[row].iter().zip(&scales).map(|(value, scale)| scale.of_value(*value));
            rows.iter().flat_map(row).collect()
        };
        let centre = Scale::of(learnt.iter().map(|&row| self.responses[row])).mean;
        let unit = Scale { mean: centre, ..Scale::of(self.responses.iter().copied()) };
        let responses =
            |rows: &[usize]| rows.iter().map(|&row| unit.of_value(self.responses[row])).collect::<Vec<f64>>();
        // What fills no bag is neither learnt from nor judged by.
        let judged = &held[count % size..];
        Drawn {
            features: scaled(learnt),
            width,
            responses: responses(learnt),
            test_features: scaled(judged),
            test_responses: responses(judged),
            size,
        }
    }
}

/// One division of a table.
pub(super) struct Drawn {
    features: Vec<f64>,
    width: usize,
    /// Of single rows.
    pub(super) responses: Vec<f64>,
    pub(super) test_features: Vec<f64>,
    pub(super) test_responses: Vec<f64>,
    size: usize,
}

impl Drawn {
    pub(super) fn bag_of_row(&self) -> Vec<usize> {
        (0..self.responses.len()).map(|row| row / self.size).collect()
    }

    /// What is learnt from: the bags with the means of their responses.
    pub(super) fn bags(&self) -> BagData {
        self.bags_with(means(&self.responses, self.size))
    }

    /// The same with other responses.
    pub(super) fn bags_with(&self, responses: Vec<f64>) -> BagData {
        BagData { features: self.features.clone(), width: self.width, bag_of_row: self.bag_of_row(), responses }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }
}

#[derive(Clone, Copy)]
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count().max(1) as f64;
        let mean = values.clone().sum::<f64>() / count;
        let deviation = (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        Self { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
    }

    fn of_value(self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }
}

fn independent_features(inputs: &InputEncoding, features: usize) -> Vec<usize> {
    let InputEncoding::Table { columns, .. } = inputs else { return (0..features).collect() };
    let mut next = 0;
    let mut kept = Vec::new();
    for column in columns {
        let skipped = usize::from(matches!(column, ColumnEncoder::Category { levels, .. } if levels.len() > 1));
        kept.extend(next + skipped..next + column.width());
        next += column.width();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_whole_bags_and_rows_to_judge_by() {
        let table = NumberTable {
            name: "t".into(),
            features: (0..50).map(|row| vec![row as f64, 1.0]).collect(),
            responses: (0..50).map(|row| 3.0 * row as f64).collect(),
        };
        let drawn = table.draw(4, 0.7, 3);
        assert_eq!((drawn.responses.len(), drawn.test_responses.len(), drawn.bags().responses.len()), (32, 15, 8));
        let mean = drawn.responses.iter().sum::<f64>() / 32.0;
        assert!(mean.abs() < 1e-12);
        // The response is the feature up to its unit, in both parts.
        let slope = drawn.responses[0] / drawn.features[0];
        for (row, response) in drawn.test_features.chunks(2).zip(&drawn.test_responses) {
            assert!((row[0] * slope - response).abs() < 1e-9 && row[1] == 0.0);
        }
        assert_ne!(table.draw(4, 0.7, 4).responses, drawn.responses);
    }

    #[test]
    fn one_level_of_a_category_has_no_column() {
        let number =
            |name: &str| ColumnEncoder::Number { name: name.into(), mean: 0.0, deviation: 1.0, standardise: false };
        let levels = ["a", "b", "c"].map(String::from).to_vec();
        let category = ColumnEncoder::Category { name: "kind".into(), levels };
        let columns = vec![number("x"), category, number("y")];
        assert_eq!(independent_features(&InputEncoding::Table { columns, header: None }, 5), [0, 2, 3, 4]);
    }
}
