//! The heads of queries, keys and values where they lie in memory.

use crate::matrix::MatrixView;

/// One head: rows of `width` numbers.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    /// From the first row's first number on.
    pub(super) values: &'a [f32],
    /// From one row to the next.
    pub(super) stride: usize,
    /// Number of rows.
    pub(super) len: usize,
    pub(super) width: usize,
}

impl<'a> Head<'a> {
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..self.width]
    }

    /// `len` rows from `start` on.
    pub(super) fn part(&self, start: usize, len: usize) -> Self {
        Self { values: &self.values[start * self.stride..], len, ..*self }
    }

    /// The rows from `start` on.
    pub(super) fn from(&self, start: usize) -> Self {
        self.part(start, self.len - start)
    }
}

/// All heads of a tensor: `[groups, len, side_by_side, width]`, of which a group is an example, or an example's head where
/// heads do not lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Heads<'a> {
    rows: MatrixView<'a, f32>,
    len: usize,
    side_by_side: usize,
    first_col: usize,
    width: usize,
}

impl<'a> Heads<'a> {
    /// `side_by_side` heads of `width` columns from column `first_col` on, in groups of `len` rows.
    pub(super) fn new(rows: MatrixView<'a, f32>, len: usize, [side_by_side, first_col, width]: [usize; 3]) -> Self {
        Self { rows, len, side_by_side, first_col, width }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn head(&self, index: usize) -> Head<'a> {
        let (group, side) = (index / self.side_by_side, index % self.side_by_side);
        let first = self.first_col + side * self.width;
        let rows = self.rows.rows(group * self.len..(group + 1) * self.len).cols(first..first + self.width);
        let (values, stride) = rows.contiguous_rows();
        Head { values, stride, len: self.len, width: self.width }
    }
}

/// Which keys a query sees.
#[derive(Clone, Copy)]
pub(super) enum Visible {
    /// All of them.
    All,
    /// Query `i` those up to `i + .0`.
    UpTo(usize),
}

impl Visible {
    /// Whether a query sees its own key and those before it, the last ones of both aligned, or all.
    pub(super) fn new(is_causal: bool, queries: usize, keys: usize) -> Self {
        if is_causal { Self::UpTo(keys - queries) } else { Self::All }
    }

    /// Number of keys among `keys` that query `row` sees.
    pub(super) fn count(self, row: usize, keys: usize) -> usize {
        match self {
            Self::All => keys,
            Self::UpTo(offset) => (row + offset + 1).min(keys),
        }
    }

    /// For a part of the queries that begins with query `start`.
    pub(super) fn from(self, start: usize) -> Self {
        match self {
            Self::All => Self::All,
            Self::UpTo(offset) => Self::UpTo(offset + start),
        }
    }
}
