//! Short rows, side by side.

use kiln_kernels::vector::LANES;

/// Rows of a tile: one vector of the widest instruction set.
pub(crate) const ROWS: usize = 16;

/// Up to [`ROWS`] rows of fewer than [`LANES`] classes, the rows beside each other class by class: worked on one by one,
/// such rows would fill a part of the vectors, and every sum over one would cost as much as the row.
pub(crate) struct Tile {
    numbers: [[f32; ROWS]; LANES],
    classes: usize,
}

impl Tile {
    /// Rows of zeros.
    pub(crate) fn new(classes: usize) -> Self {
        Self { numbers: [[0.0; ROWS]; LANES], classes }
    }

    /// Reads the rows of a slice; where there are fewer than [`ROWS`], the last ones stay as they are.
    pub(crate) fn read(&mut self, rows: &[f32]) {
        for (lane, row) in rows.chunks_exact(self.classes).take(ROWS).enumerate() {
            for (beside, &number) in self.numbers.iter_mut().zip(row) {
                beside[lane] = number;
            }
        }
    }

    /// The number of every row, for each class.
    #[inline(always)]
    pub(crate) fn classes(&self) -> &[[f32; ROWS]] {
        &self.numbers[..self.classes]
    }

    /// The number of every row, for each class.
    #[inline(always)]
    pub(crate) fn classes_mut(&mut self) -> &mut [[f32; ROWS]] {
        &mut self.numbers[..self.classes]
    }

    /// The numbers of the row at a place.
    pub(crate) fn row(&self, lane: usize) -> impl Iterator<Item = f32> {
        self.classes().iter().map(move |beside| beside[lane])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_was_read() {
        for (rows, classes) in [(1, 1), (3, 5), (ROWS, 31)] {
            let numbers: Vec<f32> = (0..rows * classes).map(|place| place as f32 + 1.0).collect();
            let mut tile = Tile::new(classes);
            tile.read(&numbers);
            assert_eq!(tile.classes().len(), classes);
            let written: Vec<f32> = (0..rows).flat_map(|lane| tile.row(lane).collect::<Vec<_>>()).collect();
            assert_eq!(written, numbers);
        }
    }
}
