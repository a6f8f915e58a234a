//! Tables of numbers, cut and bagged anew for each seed.

use kiln_data::split::permutation;
use kiln_data::{OpenOptions, SplitOptions, Splits, Task};
use kiln_lab::LabError;

use super::linear::{BagData, means, product};

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
    /// All rows, without features that are a combination of those before them.
    pub(super) fn of(splits: &Splits) -> Self {
        let rows = 0..splits.train.len();
        let all: Vec<Vec<f64>> =
            rows.clone().map(|row| splits.train.row(row).iter().map(|&value| f64::from(value)).collect()).collect();
        let kept = independent_columns(&all);
        Self {
            name: splits.name.clone(),
            features: all.iter().map(|row| kept.iter().map(|&feature| row[feature]).collect()).collect(),
            responses: rows.map(|row| f64::from(splits.train.values(row)[0])).collect(),
        }
    }

    /// Rows to learn from in bags of `size`, and rows to judge by, chosen by `seed`; features have mean 0 and deviation 1 over the
    /// rows that are learnt from, responses mean 0 there and deviation 1 over the table.
    ///
    /// # Errors
    /// [`LabError::Setting`] where the rows that are learnt from fill no bag.
    pub(super) fn draw(&self, size: usize, train: f64, seed: u64) -> Result<Drawn, LabError> {
        let order = permutation(self.responses.len(), seed);
        let count = (train * order.len() as f64).round() as usize;
        let (learnt, held) = order.split_at(count - count % size);
        let Some(&example) = learnt.first() else {
            let right = format!("at most {count}, the rows of {} that are learnt from", self.name);
            return Err(LabError::setting("bag_sizes", size, right));
        };
        // A category of a single row may be the same in all rows that are learnt from.
        let first = &self.features[example];
        let varies = |feature: &usize| learnt.iter().any(|&row| self.features[row][*feature] != first[*feature]);
        let kept: Vec<usize> = (0..first.len()).filter(varies).collect();
        let scales: Vec<Scale> =
            kept.iter().map(|&feature| Scale::of(learnt.iter().map(|&row| self.features[row][feature]))).collect();
        let scaled = |rows: &[usize]| -> Vec<f64> {
            let value =
                |row: usize| move |(&feature, scale): (&usize, &Scale)| scale.of_value(self.features[row][feature]);
            rows.iter().flat_map(|&row| kept.iter().zip(&scales).map(value(row))).collect()
        };
        let width = kept.len();
        let centre = Scale::of(learnt.iter().map(|&row| self.responses[row])).mean;
        let unit = Scale { mean: centre, ..Scale::of(self.responses.iter().copied()) };
        let responses =
            |rows: &[usize]| rows.iter().map(|&row| unit.of_value(self.responses[row])).collect::<Vec<f64>>();
        // What fills no bag is neither learnt from nor judged by.
        let judged = &held[count % size..];
        Ok(Drawn {
            features: scaled(learnt),
            width,
            responses: responses(learnt),
            test_features: scaled(judged),
            test_responses: responses(judged),
            size,
        })
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

/// Columns that are, but for a constant, no linear combination of the columns before them.
fn independent_columns(rows: &[Vec<f64>]) -> Vec<usize> {
    /// Values are given in single precision.
    const NOTHING: f64 = 1e-4;
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut kept = Vec::new();
    for column in 0..rows[0].len() {
        let scale = Scale::of(rows.iter().map(|row| row[column]));
        let mut rest: Vec<f64> = rows.iter().map(|row| scale.of_value(row[column])).collect();
        let length = product(&rest, &rest).sqrt();
        for known in &basis {
            let share = product(&rest, known);
            rest.iter_mut().zip(known).for_each(|(value, other)| *value -= share * other);
        }
        let remaining = product(&rest, &rest).sqrt();
        if remaining > NOTHING * length {
            rest.iter_mut().for_each(|value| *value /= remaining);
            basis.push(rest);
            kept.push(column);
        }
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
            features: (0..50).map(|row| vec![row as f64, 1.0]).collect::<Vec<_>>(),
            responses: (0..50).map(|row| 3.0 * row as f64).collect(),
        };
        let drawn = table.draw(4, 0.7, 3).unwrap();
        assert_eq!((drawn.responses.len(), drawn.test_responses.len(), drawn.bags().responses.len()), (32, 15, 8));
        let mean = drawn.responses.iter().sum::<f64>() / 32.0;
        assert!(mean.abs() < 1e-12);
        // The response is the feature up to its unit, in both parts.
        let slope = drawn.responses[0] / drawn.features[0];
        assert_eq!(drawn.width(), 1, "a constant is no feature");
        for (feature, response) in drawn.test_features.iter().zip(&drawn.test_responses) {
            assert!((feature * slope - response).abs() < 1e-9);
        }
        assert_ne!(table.draw(4, 0.7, 4).unwrap().responses, drawn.responses);
        assert!(table.draw(40, 0.7, 4).is_err_and(|error| error.to_string().contains("at most 35")));
    }

    #[test]
    fn columns_that_say_nothing_new_are_left_out() {
        // A number, a constant, three levels of a category, and twice the number plus one.
        let row = |row: usize| {
            let (x, level) = ((row * row % 7) as f64, row % 3);
            vec![x, 4.0, f64::from(level == 0), f64::from(level == 1), f64::from(level == 2), 2.0 * x + 1.0]
        };
        assert_eq!(independent_columns(&(0..30).map(row).collect::<Vec<_>>()), [0, 2, 3]);
    }
}
