//! Kernels block by block, within a limit of memory.

use std::ops::Range;

use burn::tensor::Tensor;

use super::contraction::{Features, contract};
use super::{NtkError, NtkOutputs};

/// A side of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// Values that blocks hold, in number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// For each example.
    pub(super) once_an_example: usize,
    /// For each example and output.
    pub(super) each_output: usize,
    /// For each pair of examples, apart from the block itself.
    pub(super) each_pair: usize,
    /// Whether each output has a row of its own.
    pub(super) separate: bool,
}

impl Footprint {
    /// Values that two sides of `examples` and `outputs` each hold, with the sum and one term of their kernel. The rows of
    /// the second side are held twice while they are put together.
    fn values(&self, examples: usize, outputs: usize) -> u64 {
        let [examples, outputs] = [examples, outputs].map(|count| count as u64);
        let [once, each_output, each_pair] =
            [self.once_an_example, self.each_output, self.each_pair].map(|count| count as u64);
        let separate = if self.separate { outputs } else { 1 };
        examples * (2 * once + 3 * outputs * each_output) + examples * examples * (each_pair + 3 * separate * separate)
    }
}

/// How many examples and outputs a block has on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockSize {
    pub(super) examples: usize,
    pub(super) outputs: usize,
}

impl BlockSize {
    /// The largest that keeps the limit: all outputs of as many examples as possible, else as many outputs of one.
    pub(super) fn within(
        limit: u64,
        value_bytes: usize,
        footprint: &Footprint,
        examples: usize,
        outputs: usize,
    ) -> Result<Self, NtkError> {
        let bytes = |examples: usize, outputs: usize| footprint.values(examples, outputs) * value_bytes as u64;
        let fits = |examples: usize, outputs: usize| bytes(examples, outputs) <= limit;
        if !fits(1, 1) {
            return Err(NtkError::MemoryLimit { needed: bytes(1, 1), limit });
        }
        let outputs = largest(outputs, |outputs| fits(1, outputs));
        Ok(Self { examples: largest(examples, |examples| fits(examples, outputs)), outputs })
    }
}

/// The largest count up to `most` that fits, where 1 does and larger ones fit less.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

/// Examples and outputs of a block on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) examples: Range<usize>,
    pub(super) outputs: Range<usize>,
}

/// A kernel, from the features of blocks.
pub(super) struct Assembly<F> {
    pub(super) size: BlockSize,
    pub(super) left: usize,
    /// Examples on the right; none where both sides are one batch.
    pub(super) right: Option<usize>,
    pub(super) outputs: Range<usize>,
    pub(super) selection: NtkOutputs,
    /// What the kernel needs of a block on a side.
    pub(super) features: F,
}

impl<F: Fn(Side, &Unit) -> Result<Features, NtkError>> Assembly<F> {
    /// `[n, m]`, or `[n k, m k]` for all pairs of outputs.
    pub(super) fn kernel(&self) -> Result<Tensor<2>, NtkError> {
        let blocks = ranges(self.outputs.clone(), self.size.outputs);
        let grids: Vec<Vec<Range<usize>>> = match self.selection {
            NtkOutputs::All => vec![blocks],
            NtkOutputs::Trace | NtkOutputs::One(_) => blocks.into_iter().map(|block| vec![block]).collect(),
        };
        let mut sum: Option<Tensor<4>> = None;
        for outputs in grids {
            let grid = self.grid(&outputs)?;
            sum = Some(match sum {
                Some(sum) => sum + grid,
                None => grid,
            });
        }
        let kernel = sum.expect("a network has at least one output");
        let [rows, row_outputs, columns, column_outputs] = kernel.dims();
        Ok(kernel.reshape([rows * row_outputs, columns * column_outputs]))
    }

    /// All examples with all of these blocks of outputs, `[n, k, m, k]`.
    fn grid(&self, outputs: &[Range<usize>]) -> Result<Tensor<4>, NtkError> {
        let units = |count: usize| -> Vec<Unit> {
            let blocks = ranges(0..count, self.size.examples).into_iter();
            let unit = |examples: &Range<usize>, outputs: &Range<usize>| Unit {
                examples: examples.clone(),
                outputs: outputs.clone(),
            };
            blocks.flat_map(|examples| outputs.iter().map(move |outputs| unit(&examples, outputs))).collect()
        };
        let rows = units(self.left);
        let tiles = match self.right {
            Some(count) => self.tiles(&rows, &units(count))?,
            None => self.symmetric_tiles(&rows)?,
        };
        Ok(joined(tiles, outputs.len()))
    }

    fn tiles(&self, rows: &[Unit], columns: &[Unit]) -> Result<Vec<Vec<Tensor<4>>>, NtkError> {
        let only_column = match columns {
            [column] => Some((self.features)(Side::Right, column)?),
            _ => None,
        };
        let mut tiles = Vec::with_capacity(rows.len());
        for row in rows {
            let left = (self.features)(Side::Left, row)?;
            let tile = |column: &Unit| match &only_column {
                Some(right) => checked(contract(&left, right), row),
                None => checked(contract(&left, &(self.features)(Side::Right, column)?), row),
            };
            tiles.push(columns.iter().map(tile).collect::<Result<_, _>>()?);
        }
        Ok(tiles)
    }

    /// The tiles on and above the diagonal are computed, those below mirrored.
    fn symmetric_tiles(&self, units: &[Unit]) -> Result<Vec<Vec<Tensor<4>>>, NtkError> {
        let mut tiles: Vec<Vec<Tensor<4>>> = Vec::with_capacity(units.len());
        for (index, unit) in units.iter().enumerate() {
            let left = (self.features)(Side::Left, unit)?;
            let mut row: Vec<_> = (0..index).map(|above| tiles[above][index].clone().permute([2, 3, 0, 1])).collect();
            row.push(checked(contract(&left, &left), unit)?);
            for other in &units[index + 1..] {
                row.push(checked(contract(&left, &(self.features)(Side::Left, other)?), unit)?);
            }
            tiles.push(row);
        }
        Ok(tiles)
    }
}

fn checked(tile: Tensor<4>, row: &Unit) -> Result<Tensor<4>, NtkError> {
    let finite = tile.clone().is_finite().all().into_scalar::<bool>();
    if finite { Ok(tile) } else { Err(not_finite("the derivatives", Side::Left, &row.examples)) }
}

pub(super) fn not_finite(what: &'static str, side: Side, examples: &Range<usize>) -> NtkError {
    NtkError::NotFinite { what, batch: side.name(), first: examples.start, last: examples.end - 1 }
}

/// The tiles of units that run over `output_blocks` blocks of outputs within each block of examples.
fn joined(tiles: Vec<Vec<Tensor<4>>>, output_blocks: usize) -> Tensor<4> {
    let joined_row = |row: &Vec<Tensor<4>>| {
        let blocks = row.chunks(output_blocks).map(|outputs| Tensor::cat(outputs.to_vec(), 3));
        Tensor::cat(blocks.collect(), 2)
    };
    let rows: Vec<Tensor<4>> = tiles.iter().map(joined_row).collect();
    let blocks = rows.chunks(output_blocks).map(|outputs| Tensor::cat(outputs.to_vec(), 1));
    Tensor::cat(blocks.collect(), 0)
}

/// A range in pieces of at most `size`.
fn ranges(range: Range<usize>, size: usize) -> Vec<Range<usize>> {
    let end = range.end;
    range.step_by(size).map(|start| start..(start + size).min(end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOOTPRINT: Footprint = Footprint { once_an_example: 10, each_output: 5, each_pair: 2, separate: true };

    #[test]
    fn the_largest_block_within_the_limit_is_taken() {
        // Two examples and three outputs on either side: 2 * (2 * 10 + 3 * 3 * 5) + 4 * (2 + 3 * 9) = 246 values.
        let taken = |limit: u64| BlockSize::within(limit, 4, &FOOTPRINT, 8, 3);
        assert_eq!(taken(4 * 246), Ok(BlockSize { examples: 2, outputs: 3 }));
        assert_eq!(taken(4 * 246 - 1), Ok(BlockSize { examples: 1, outputs: 3 }));
        assert_eq!(taken(u64::MAX / 8), Ok(BlockSize { examples: 8, outputs: 3 }));
        // One example and one output: 2 * 10 + 3 * 5 + 5 = 40 values; two outputs: 2 * 10 + 3 * 10 + 14 = 64.
        assert_eq!(taken(4 * 64), Ok(BlockSize { examples: 1, outputs: 2 }));
        assert_eq!(taken(4 * 40), Ok(BlockSize { examples: 1, outputs: 1 }));
        assert_eq!(taken(4 * 40 - 1), Err(NtkError::MemoryLimit { needed: 160, limit: 159 }));
    }

    #[test]
    fn ranges_cover_everything_once() {
        assert_eq!(ranges(2..9, 3), [2..5, 5..8, 8..9]);
        assert_eq!(ranges(0..8, 7), [0..7, 7..8]);
    }
}
