//! Rows in groups whose targets are known in sum only: bags, and batches that never cut one.

use std::collections::{HashMap, HashSet};

use crate::split::{self, Held};
use crate::table::{Cells, Column, MISSING, Table};
use crate::{DataError, Targets};

/// Groups of rows that have no row in common.
///
/// ```
/// use kiln_data::{Bags, Leftover};
///
/// let bags = Bags::random(10, 4, 1, Leftover::Keep)?;
/// assert_eq!(bags.sizes(), [4, 4, 2]);
/// let batch = bags.batch(&[2, 0]);
/// assert_eq!(batch.bag_of_row, [0, 0, 1, 1, 1, 1]);
/// # Ok::<(), kiln_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bags {
    /// Rows, bag after bag; within a bag in increasing order.
    rows: Vec<usize>,
    /// Where each bag begins in `rows`, and where the last one ends.
    starts: Vec<usize>,
    /// What each bag is called in messages.
    names: Vec<String>,
}

/// What becomes of rows that do not fill a bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leftover {
    /// They are in no bag.
    Drop,
    /// They are a smaller bag of their own.
    #[default]
    Keep,
}

/// Whole bags for one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BagBatch {
    /// Rows, bag after bag.
    pub rows: Vec<usize>,
    /// Bag of each of these rows, counted in the batch from 0.
    pub bag_of_row: Vec<usize>,
}

impl Bags {
    /// The bags of rows `0, 1, ...` with these ids; rows with one id are one bag. Bags are counted in the order in which their
    /// ids first occur.
    ///
    /// # Errors
    /// [`DataError::Shape`] where there is no row.
    pub fn from_ids<I: std::hash::Hash + Eq + std::fmt::Display>(ids: &[I]) -> Result<Self, DataError> {
        if ids.is_empty() {
            return Err(DataError::shape("bag ids", "none", "one for each row"));
        }
        let mut places: HashMap<&I, usize> = HashMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut names = Vec::new();
        for (row, id) in ids.iter().enumerate() {
            let place = *places.entry(id).or_insert_with(|| {
                members.push(Vec::new());
                names.push(id.to_string());
                members.len() - 1
            });
            members[place].push(row);
        }
        Ok(Self::of_members(members, names))
    }

    /// Bags of `size` of the rows `0..num_rows`, drawn at random.
    ///
    /// # Errors
    /// [`DataError::InvalidOption`] for a size of 0 or above the number of rows.
    pub fn random(num_rows: usize, size: usize, seed: u64, leftover: Leftover) -> Result<Self, DataError> {
        if size == 0 || size > num_rows {
            let allowed = format!("a bag has at least 1 row and at most all {num_rows}");
            return Err(DataError::InvalidOption { option: "bag-size", value: size.to_string(), allowed });
        }
        let order = split::permutation(num_rows, seed);
        let chunks = order.chunks(size).filter(|chunk| leftover == Leftover::Keep || chunk.len() == size);
        let members: Vec<Vec<usize>> = chunks.map(<[usize]>::to_vec).collect();
        let names = (0..members.len()).map(|bag| bag.to_string()).collect();
        Ok(Self::of_members(members, names))
    }

    /// The bags that a column of a table says: text, or whole numbers.
    ///
    /// # Errors
    /// [`DataError::UnknownColumn`], and [`DataError::Malformed`] with the line for an id that is missing or no whole number.
    pub fn by_column(table: &Table, column: &str) -> Result<Self, DataError> {
        let column = table.column(column)?;
        Self::from_ids(&bag_ids(table, column)?)
    }

    fn of_members(members: Vec<Vec<usize>>, names: Vec<String>) -> Self {
        let (mut rows, mut starts) = (Vec::new(), vec![0]);
        for mut bag in members {
            bag.sort_unstable();
            rows.extend(bag);
            starts.push(rows.len());
        }
        Self { rows, starts, names }
    }

    /// Number of bags.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no bag.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows that are in a bag, bag after bag.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Rows of a bag.
    ///
    /// # Panics
    /// Where `bag` is not below [`len`](Self::len).
    pub fn rows_of(&self, bag: usize) -> &[usize] {
        &self.rows[self.starts[bag]..self.starts[bag + 1]]
    }

    /// Number of rows of each bag.
    pub fn sizes(&self) -> Vec<usize> {
        self.starts.windows(2).map(|ends| ends[1] - ends[0]).collect()
    }

    /// Bag of each of the [`rows`](Self::rows), in their order.
    pub fn bag_of_row(&self) -> Vec<usize> {
        self.sizes().into_iter().enumerate().flat_map(|(bag, size)| std::iter::repeat_n(bag, size)).collect()
    }

    /// What a bag is called: the id that it was made by, or its number.
    ///
    /// # Panics
    /// Where `bag` is not below [`len`](Self::len).
    pub fn name(&self, bag: usize) -> &str {
        &self.names[bag]
    }

    /// The rows of some bags, for one step.
    ///
    /// # Panics
    /// Where a bag is not below [`len`](Self::len).
    pub fn batch(&self, bags: &[usize]) -> BagBatch {
        let rows: Vec<usize> = bags.iter().flat_map(|&bag| self.rows_of(bag)).copied().collect();
        let sizes = bags.iter().map(|&bag| self.rows_of(bag).len());
        let bag_of_row = sizes.enumerate().flat_map(|(place, size)| std::iter::repeat_n(place, size)).collect();
        BagBatch { rows, bag_of_row }
    }

    /// The same for rows that a loader of one's own has put together.
    ///
    /// # Errors
    /// [`DataError::Shape`] that names a bag of which only some rows are there, a row that is there twice, or one in no bag.
    pub fn batch_of_rows(&self, rows: &[usize]) -> Result<BagBatch, DataError> {
        const EXPECTED: &str = "whole bags, each row once";
        let refused = |found: String| DataError::shape("batch", found, EXPECTED);
        let bag_of: HashMap<usize, usize> = self.rows.iter().copied().zip(self.bag_of_row()).collect();
        let mut seen = HashSet::with_capacity(rows.len());
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut counts: Vec<(usize, usize)> = Vec::new();
        let mut bag_of_row = Vec::with_capacity(rows.len());
        for row in rows {
            let bag = *bag_of.get(row).ok_or_else(|| refused(format!("row {row}, which is in no bag")))?;
            if !seen.insert(row) {
                return Err(refused(format!("row {row} of bag {} twice", self.names[bag])));
            }
            let place = *places.entry(bag).or_insert_with(|| {
                counts.push((bag, 0));
                counts.len() - 1
            });
            counts[place].1 += 1;
            bag_of_row.push(place);
        }
        match counts.into_iter().find(|&(bag, count)| count != self.rows_of(bag).len()) {
            Some((bag, count)) => {
                Err(refused(format!("{count} of the {} rows of bag {}", self.rows_of(bag).len(), self.names[bag])))
            }
            None => Ok(BagBatch { rows: rows.to_vec(), bag_of_row }),
        }
    }

    /// Some bags of these, in the given order.
    ///
    /// # Panics
    /// Where a bag is not below [`len`](Self::len).
    pub fn select(&self, bags: &[usize]) -> Self {
        let members = bags.iter().map(|&bag| self.rows_of(bag).to_vec()).collect();
        Self::of_members(members, bags.iter().map(|&bag| self.names[bag].clone()).collect())
    }

    /// The same bags of a set that has the [`rows`](Self::rows) alone, in their order.
    pub fn renumbered(&self) -> Self {
        Self { rows: (0..self.rows.len()).collect(), ..self.clone() }
    }

    /// Bags that are held back, the rounded `fraction` of all, chosen at random; one always remains.
    pub fn hold_back(&self, fraction: f64, seed: u64) -> Held {
        split::random(self.len(), fraction, seed)
    }

    /// Mean over each bag of numbers `[rows, width]`, where the first row is row 0.
    ///
    /// # Panics
    /// Where a row of a bag has no numbers.
    pub fn means(&self, values: &[f32], width: usize) -> Vec<f64> {
        let mean = |bag: usize, column: usize| {
            let rows = self.rows_of(bag);
            rows.iter().map(|&row| f64::from(values[row * width + column])).sum::<f64>() / rows.len() as f64
        };
        (0..self.len()).flat_map(|bag| (0..width).map(move |column| (bag, column))).map(|(b, c)| mean(b, c)).collect()
    }

    /// Two rows of one bag, and a target, whose numbers differ.
    pub(crate) fn disagreement(&self, targets: &Targets) -> Option<Disagreement> {
        let (width, number): (usize, Box<dyn Fn(usize, usize) -> f32 + '_>) = match targets {
            Targets::Classes { labels, .. } => (1, Box::new(|row, _| labels[row] as f32)),
            Targets::Values { values, names } => {
                (names.len(), Box::new(|row, column| values[row * names.len() + column]))
            }
        };
        for bag in 0..self.len() {
            let rows = self.rows_of(bag);
            for column in 0..width {
                let differs = |row: &&usize| number(**row, column) != number(rows[0], column);
                if let Some(&other) = rows.iter().find(differs) {
                    return Some(Disagreement { bag, rows: [rows[0], other], column });
                }
            }
        }
        None
    }
}

/// Where the targets of one bag are not the same.
pub(crate) struct Disagreement {
    pub bag: usize,
    pub rows: [usize; 2],
    pub column: usize,
}

/// The ids of a column, as text.
fn bag_ids(table: &Table, column: &Column) -> Result<Vec<String>, DataError> {
    const EXPECTED: &str = "the id of a bag: text, or a whole number";
    let missing = |row: usize| table.malformed(row, &column.name, "nothing", EXPECTED);
    match &column.cells {
        Cells::Text { codes, levels } => codes
            .iter()
            .enumerate()
            .map(|(row, &code)| if code == MISSING { Err(missing(row)) } else { Ok(levels[code as usize].clone()) })
            .collect(),
        Cells::Numbers(values) => values
            .iter()
            .enumerate()
            .map(|(row, &value)| match value {
                value if value.is_nan() => Err(missing(row)),
                // Beyond 2^24 single precision does not tell whole numbers apart.
                value if value.fract() == 0.0 && value.abs() <= MOST_EXACT => Ok((value as i64).to_string()),
                value => Err(table.malformed(row, &column.name, value.to_string(), ID_RANGE)),
            })
            .collect(),
    }
}

/// Largest whole number up to which single precision has all.
const MOST_EXACT: f32 = 16_777_216.0;
const ID_RANGE: &str = "the id of a bag: text, or a whole number from -16777216 to 16777216 (other numbers become text by a \
                        letter in front of all of them)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numbers;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn bags_are_counted_as_their_ids_occur() {
        let bags = Bags::from_ids(&["b", "a", "b", "c", "a"]).unwrap();
        assert_eq!((bags.len(), bags.sizes()), (3, vec![2, 2, 1]));
        assert_eq!((bags.rows(), bags.name(1)), (&[0, 2, 1, 4, 3][..], "a"));
        assert_eq!(bags.bag_of_row(), [0, 0, 1, 1, 2]);
        assert_eq!(bags.means(&[1.0, 2.0, 4.0, 7.0, 3.0], 1), [2.5, 2.5, 7.0]);
        let rest = bags.select(&[2, 0]);
        assert_eq!((rest.rows(), rest.renumbered().rows()), (&[3, 0, 2][..], &[0, 1, 2][..]));
    }

    #[test]
    fn rows_that_fill_no_bag_are_kept_or_dropped() {
        assert_eq!(Bags::random(10, 3, 1, Leftover::Keep).unwrap().sizes(), [3, 3, 3, 1]);
        assert_eq!(Bags::random(10, 3, 1, Leftover::Drop).unwrap().sizes(), [3, 3, 3]);
        for size in [0, 11] {
            let message = Bags::random(10, size, 1, Leftover::Keep).unwrap_err().to_string();
            assert_eq!(message, format!("bag-size = {size}: a bag has at least 1 row and at most all 10"));
        }
    }

    #[test]
    fn a_batch_that_cuts_a_bag_is_refused() {
        let bags = Bags::from_ids(&[7, 7, 8, 8, 8]).unwrap();
        assert_eq!(bags.batch_of_rows(&[4, 0, 2, 1, 3]).unwrap().bag_of_row, [0, 1, 0, 1, 0]);
        let message = bags.batch_of_rows(&[0, 1, 2, 3]).unwrap_err().to_string();
        assert_eq!(message, "batch: 2 of the 3 rows of bag 8, expected whole bags, each row once");
        // As many rows as the bag has, but not all of them.
        let message = bags.batch_of_rows(&[2, 3, 3]).unwrap_err().to_string();
        assert_eq!(message, "batch: row 3 of bag 8 twice, expected whole bags, each row once");
        let message = bags.batch_of_rows(&[0, 1, 5]).unwrap_err().to_string();
        assert_eq!(message, "batch: row 5, which is in no bag, expected whole bags, each row once");
    }

    #[test]
    fn ids_of_a_column_are_whole_numbers_or_text() {
        let mut table = Table::of_rows(Path::new("t.csv"), 3);
        let numbers = |values: Vec<f32>| Cells::Numbers(Numbers::columns_of(values, 1).next().unwrap());
        let column = |cells| Column { name: "id".into(), cells };
        table.columns = vec![column(numbers(vec![1.0, 2.0, 1.0]))];
        assert_eq!(Bags::by_column(&table, "id").unwrap().sizes(), [2, 1]);
        for (value, part) in [(1.5, "found 1.5"), (f32::NAN, "found nothing"), (3e8, "found 300000000")] {
            table.columns = vec![column(numbers(vec![1.0, value, 1.0]))];
            let message = Bags::by_column(&table, "id").unwrap_err().to_string();
            assert!(message.contains("t.csv, row 2, column id") && message.contains(part), "{message}");
        }
        table.columns = vec![column(Cells::Text { codes: vec![0, 1, MISSING], levels: vec!["a".into(), "b".into()] })];
        assert!(Bags::by_column(&table, "id").unwrap_err().to_string().contains("row 3"));
        assert!(Bags::by_column(&table, "ib").unwrap_err().to_string().contains("did you mean `id`?"));
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_bag_and_every_batch_is_whole(ids in prop::collection::vec(0u8..6, 1..60), seed: u64) {
            let bags = Bags::from_ids(&ids).unwrap();
            let mut rows = bags.rows().to_vec();
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..ids.len()).collect::<Vec<_>>());
            let order = split::permutation(bags.len(), seed);
            for chunk in order.chunks(2) {
                let batch = bags.batch(chunk);
                prop_assert_eq!(bags.batch_of_rows(&batch.rows).unwrap(), batch);
            }
        }
    }
}
