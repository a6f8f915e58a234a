use std::fmt;
use std::ops::Index;
use std::sync::Arc;

/// The numbers of a column: a vector of their own, or a column of values that are stored row after row.
///
/// A missing number is NaN. A clone shares the values.
///
/// ```
/// use kiln_data::Numbers;
///
/// let column = Numbers::from(vec![1.0, 2.0]);
/// assert_eq!((column.len(), column[1]), (2, 2.0));
/// assert_eq!(column.iter().sum::<f32>(), 3.0);
/// ```
#[derive(Clone)]
pub struct Numbers {
    /// `len() * stride` values.
    values: Arc<Vec<f32>>,
    /// Place of this column in a row.
    place: usize,
    /// Values in a row, at least 1.
    stride: usize,
}

impl Numbers {
    /// The columns of rows of `width` values each.
    pub(crate) fn columns_of(rows: Vec<f32>, width: usize) -> impl Iterator<Item = Self> {
        debug_assert_eq!(rows.len() % width.max(1), 0, "a row is not whole");
        let values = Arc::new(rows);
        (0..width).map(move |place| Self { values: values.clone(), place, stride: width })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.stride
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The numbers, row by row.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &f32> + Clone {
        // No row means no value at the place of the first row either.
        self.values.get(self.place..).unwrap_or_default().iter().step_by(self.stride)
    }

    /// Whether both are columns of the same rows, this one to the left.
    pub(crate) fn is_left_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.values, &other.values) && self.place < other.place
    }

    /// Place of this column in a row.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// The rows of which this is a column, and the numbers in each; a copy while another of their columns exists.
    pub(crate) fn into_rows(self) -> (Vec<f32>, usize) {
        (Arc::unwrap_or_clone(self.values), self.stride)
    }

    /// Adds the rows of `more`.
    pub(crate) fn append(&mut self, more: &Self) {
        match Arc::get_mut(&mut self.values) {
            Some(values) if self.stride == 1 => values.extend(more.iter()),
            _ => {
                let mut values = Vec::with_capacity(self.len() + more.len());
                values.extend(self.iter().chain(more.iter()));
                *self = values.into();
            }
        }
    }
}

impl From<Vec<f32>> for Numbers {
    fn from(values: Vec<f32>) -> Self {
        Self { values: Arc::new(values), place: 0, stride: 1 }
    }
}

impl Index<usize> for Numbers {
    type Output = f32;

    fn index(&self, row: usize) -> &f32 {
        &self.values[row * self.stride + self.place]
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_rows_hold_every_so_many_values() {
        let columns: Vec<Numbers> = Numbers::columns_of(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3).collect();
        assert_eq!(columns[1], Numbers::from(vec![2.0, 5.0]));
        assert_eq!((columns[2].len(), columns[2][1]), (2, 6.0));
        assert!(columns[0].is_left_of(&columns[2]) && !columns[2].is_left_of(&columns[0]));
        assert!(!columns[0].is_left_of(&Numbers::columns_of(vec![1.0; 6], 3).nth(1).unwrap()));
        assert!(Numbers::columns_of(Vec::new(), 2).all(|column| column.is_empty() && column.iter().len() == 0));
    }

    #[test]
    fn rows_come_back_without_a_copy_from_their_last_column() {
        let mut columns: Vec<Numbers> = Numbers::columns_of(vec![1.0, 2.0, 3.0, 4.0], 2).collect();
        let place = columns[0].values.as_ptr();
        let (copy, _) = columns.pop().unwrap().into_rows();
        let (rows, stride) = columns.pop().unwrap().into_rows();
        assert_eq!((&rows, rows.as_ptr(), stride), (&copy, place, 2));
        assert_ne!(copy.as_ptr(), place);
    }

    #[test]
    fn appending_leaves_the_other_columns_alone() {
        let mut columns: Vec<Numbers> = Numbers::columns_of(vec![1.0, 2.0, 3.0, 4.0], 2).collect();
        let more: Vec<Numbers> = Numbers::columns_of(vec![5.0, 6.0], 2).collect();
        columns[0].append(&more[0]);
        columns[0].append(&more[1]);
        assert_eq!(columns[0], Numbers::from(vec![1.0, 3.0, 5.0, 6.0]));
        assert_eq!(columns[1], Numbers::from(vec![2.0, 4.0]));
    }
}
