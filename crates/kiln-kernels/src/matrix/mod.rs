//! Matrices in plain slices, and their products.

mod small;
pub(crate) mod tile;

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use gemm::Parallelism;

use crate::Real;

/// A matrix in a slice, possibly transposed or a part of a larger one.
#[derive(Debug, Clone, Copy)]
pub struct MatrixView<'a, E> {
    values: &'a [E],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// The slice as a row-major matrix.
///
/// # Panics
/// Where the slice has another length than `rows * cols`.
pub fn rows_of<E>(values: &[E], rows: usize, cols: usize) -> MatrixView<'_, E> {
    assert_eq!(values.len(), rows * cols, "a {rows} x {cols} matrix does not fit {} values", values.len());
    MatrixView { values, rows, cols, row_stride: cols, col_stride: 1 }
}

impl<'a, E> MatrixView<'a, E> {
    /// Element `(row, col)` is `values[row * row_stride + col * col_stride]`.
    ///
    /// # Panics
    /// Where the slice ends before the last element.
    pub fn strided(values: &'a [E], [rows, cols]: [usize; 2], [row_stride, col_stride]: [usize; 2]) -> Self {
        let needed = if rows * cols == 0 { 0 } else { (rows - 1) * row_stride + (cols - 1) * col_stride + 1 };
        assert!(needed <= values.len(), "a matrix that ends at value {needed} does not fit {} values", values.len());
        Self { values, rows, cols, row_stride, col_stride }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Self {
            values: self.values,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    pub(crate) fn num_rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn num_cols(&self) -> usize {
        self.cols
    }

    /// Some of the rows.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let start = (range.start * self.row_stride).min(self.values.len());
        Self { values: &self.values[start..], rows: range.len(), ..self }
    }

    /// Some of the columns.
    pub(crate) fn cols(self, range: Range<usize>) -> Self {
        self.t().rows(range).t()
    }

    /// The values from the first element on, and the distance of the rows of a matrix whose rows are contiguous.
    pub(crate) fn contiguous_rows(&self) -> (&'a [E], usize) {
        assert_eq!(self.col_stride, 1, "rows that are not contiguous");
        (self.values, self.row_stride)
    }

    /// One row of a matrix whose rows are contiguous.
    pub(crate) fn row(&self, row: usize) -> &'a [E] {
        assert!(self.col_stride == 1 && row < self.rows, "row {row} of {} contiguous ones", self.rows);
        &self.values[row * self.row_stride..][..self.cols]
    }
}

/// Who computes a product.
#[derive(Debug, Clone, Copy)]
pub enum Threads {
    /// The calling thread; for products inside a parallel loop.
    Caller,
    /// All threads of the current rayon pool.
    Pool,
}

/// `out <- keep out + scale left right`, row-major; `keep = 0` overwrites, whatever `out` held.
///
/// The instruction set is picked by the gemm crate when the program runs.
///
/// # Panics
/// Where the sizes do not fit.
///
/// ```
/// use kiln_kernels::matrix::{Threads, multiply, rows_of};
///
/// let (left, right) = ([1.0, 2.0], [3.0, 4.0]);
/// let mut out = [0.0];
/// multiply(&mut out, 0.0, 1.0, rows_of(&left, 1, 2), rows_of(&right, 1, 2).t(), Threads::Caller);
/// assert_eq!(out, [11.0]);
/// ```
pub fn multiply<E: Real>(
    out: &mut [E],
    keep: f64,
    scale: f64,
    left: MatrixView<'_, E>,
    right: MatrixView<'_, E>,
    threads: Threads,
) {
    assert_eq!(out.len(), left.rows * right.cols, "the product's size differs from its place");
    let mut block = Block::of_numbers(out, left.rows, right.cols);
    // SAFETY: the block is a slice of numbers.
    unsafe { block.accumulate(keep, scale, left, right, threads) }
}

/// A rectangle of a matrix that is being written. A rectangle can be cut in two for two threads: no element belongs to
/// both.
pub(crate) struct Block<'a, E> {
    start: *mut E,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    memory: PhantomData<&'a mut [MaybeUninit<E>]>,
}

/// A block every element of which has been written.
pub(crate) struct Written<'b, 'a, E>(&'b mut Block<'a, E>);

impl<E: Real> Written<'_, '_, E> {
    pub(crate) fn num_rows(&self) -> usize {
        self.0.rows
    }

    /// Adds `left right`, on the calling thread.
    pub(crate) fn add_product(&mut self, left: MatrixView<'_, E>, right: MatrixView<'_, E>) {
        // SAFETY: every element has been written.
        unsafe { self.0.accumulate(1.0, 1.0, left, right, Threads::Caller) }
    }

    /// One row.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [E] {
        // SAFETY: every element has been written.
        unsafe { self.0.place_of_row(row).assume_init_mut() }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, E> {
    Zero,
    /// The same values in every row.
    EveryRow(&'a [E]),
    /// The same values in every column.
    EveryCol(&'a [E]),
}

// SAFETY: a block is a mutable borrow of its elements and of no others.
unsafe impl<E: Send> Send for Block<'_, E> {}

impl<'a, E: Real> Block<'a, E> {
    /// Memory that need not hold numbers yet, as a row-major matrix.
    pub(crate) fn of_rows(memory: &'a mut [MaybeUninit<E>], rows: usize, cols: usize) -> Self {
        assert_eq!(memory.len(), rows * cols, "a {rows} x {cols} block does not fit {} values", memory.len());
        let start = memory.as_mut_ptr().cast();
        Self { start, rows, cols, row_stride: cols, col_stride: 1, memory: PhantomData }
    }

    /// Numbers, as a row-major matrix.
    pub(crate) fn of_numbers(values: &'a mut [E], rows: usize, cols: usize) -> Self {
        assert_eq!(values.len(), rows * cols, "a {rows} x {cols} block does not fit {} values", values.len());
        Self { start: values.as_mut_ptr(), rows, cols, row_stride: cols, col_stride: 1, memory: PhantomData }
    }

    pub(crate) fn num_rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn num_cols(&self) -> usize {
        self.cols
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// The first `at` rows, and the others.
    pub(crate) fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows, "the first {at} rows of {}", self.rows);
        // In an empty block no element is at any offset.
        let start = if self.cols == 0 { self.start } else { self.start.wrapping_add(at * self.row_stride) };
        (Self { rows: at, ..self }, Self { start, rows: self.rows - at, ..self })
    }

    /// The first `at` columns, and the others.
    pub(crate) fn split_cols(self, at: usize) -> (Self, Self) {
        let (first, second) = self.t().split_rows(at);
        (first.t(), second.t())
    }

    /// Some of the columns.
    fn cols(&mut self, range: Range<usize>) -> Block<'_, E> {
        assert!(range.start <= range.end && range.end <= self.cols, "columns {range:?} of {}", self.cols);
        let start = if self.rows == 0 { self.start } else { self.start.wrapping_add(range.start * self.col_stride) };
        Block { start, cols: range.len(), memory: PhantomData, ..*self }
    }

    /// The same block of the type that its numbers are of.
    fn cast<F: Real>(&mut self) -> Block<'_, F> {
        assert_eq!(TypeId::of::<E>(), TypeId::of::<F>(), "numbers of another type");
        let Self { start, rows, cols, row_stride, col_stride, .. } = *self;
        Block { start: start.cast(), rows, cols, row_stride, col_stride, memory: PhantomData }
    }

    /// `left right + start`, on the calling thread.
    pub(crate) fn set_product(
        &mut self,
        left: MatrixView<'_, E>,
        right: MatrixView<'_, E>,
        start: Start<'_, E>,
    ) -> Written<'_, 'a, E> {
        assert_eq!(left.cols, right.rows, "inner sizes of a matrix product differ");
        assert_eq!([left.rows, right.cols], [self.rows, self.cols], "the product's size differs from its place");
        if self.col_stride == 1 && small::set_product(self, left, right, start) {
            return Written(self);
        }
        let keep = match start {
            Start::Zero => 0.0,
            Start::EveryRow(values) => {
                self.set_every_row(values);
                1.0
            }
            Start::EveryCol(values) => {
                self.set_every_col(values);
                1.0
            }
        };
        // SAFETY: what is kept has just been written.
        unsafe { self.accumulate(keep, 1.0, left, right, Threads::Caller) }
        Written(self)
    }

    /// Writes one row, and gives it back.
    pub(crate) fn copy_row(&mut self, row: usize, values: &[E]) -> &mut [E] {
        self.place_of_row(row).write_copy_of_slice(values)
    }

    fn set_every_row(&mut self, values: &[E]) {
        assert_eq!(values.len(), self.cols, "{} values for rows of {}", values.len(), self.cols);
        (0..self.rows).for_each(|row| _ = self.copy_row(row, values));
    }

    fn set_every_col(&mut self, values: &[E]) {
        assert_eq!(values.len(), self.rows, "{} values for columns of {}", values.len(), self.rows);
        let fill = |place: &mut [MaybeUninit<E>], value: E| place.iter_mut().for_each(|place| _ = place.write(value));
        values.iter().enumerate().for_each(|(row, value)| fill(self.place_of_row(row), *value));
    }

    /// The place of one row, to be written with numbers and with nothing else: it may hold some already.
    fn place_of_row(&mut self, row: usize) -> &mut [MaybeUninit<E>] {
        assert!(self.col_stride == 1 && row < self.rows, "row {row} of {} contiguous ones", self.rows);
        let start = if self.cols == 0 { self.start } else { self.start.wrapping_add(row * self.row_stride) };
        // SAFETY: the row's elements are those of the block, which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), self.cols) }
    }

    /// `self <- keep self + scale left right`; `keep = 0` overwrites, whatever was there.
    ///
    /// # Safety
    /// Unless `keep` is 0, every element has been written.
    unsafe fn accumulate(
        &mut self,
        keep: f64,
        scale: f64,
        left: MatrixView<'_, E>,
        right: MatrixView<'_, E>,
        threads: Threads,
    ) {
        assert_eq!(left.cols, right.rows, "inner sizes of a matrix product differ");
        assert_eq!([left.rows, right.cols], [self.rows, self.cols], "the product's size differs from its place");
        let parallelism = match threads {
            Threads::Caller => Parallelism::None,
            Threads::Pool => Parallelism::Rayon(0),
        };
        // SAFETY: the assertions above and those of the constructors guarantee that every element addressed through the
        // strides lies in its slice; a block is borrowed mutably, so it overlaps neither operand. With `keep = 0` the
        // product does not read the block.
        unsafe {
            gemm::gemm(
                self.rows,
                self.cols,
                left.cols,
                self.start,
                self.col_stride as isize,
                self.row_stride as isize,
                keep != 0.0,
                left.values.as_ptr(),
                left.col_stride as isize,
                left.row_stride as isize,
                right.values.as_ptr(),
                right.col_stride as isize,
                right.row_stride as isize,
                E::from_f64(keep),
                E::from_f64(scale),
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_transposed_views_and_accumulates() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0];
        let mut out = [10.0, 0.0, 0.0, 10.0];
        multiply(&mut out, 1.0, 2.0, rows_of(&left, 2, 3), rows_of(&right, 2, 3).t(), Threads::Caller);
        assert_eq!(out, [24.0, 10.0, 32.0, 32.0]);
        let mut overwritten = [f64::NAN; 9];
        multiply(&mut overwritten, 0.0, 1.0, rows_of(&left, 2, 3).t(), rows_of(&right, 2, 3), Threads::Pool);
        assert_eq!(overwritten, [1.0, 4.0, 6.0, 2.0, 5.0, 9.0, 3.0, 6.0, 12.0]);
    }

    #[test]
    fn a_product_that_overwrites_reads_nothing_whatever_its_sizes() {
        for [rows, inner, cols] in [[1, 5, 1], [1, 40, 70], [70, 40, 1], [9, 1, 9], [9, 2, 70], [90, 33, 70], [3, 0, 2]]
        {
            let (left, right) = (vec![1.0f32; rows * inner], vec![1.0f32; inner * cols]);
            for transposed in [false, true] {
                let mut out = vec![f32::NAN; rows * cols];
                let right = if transposed { rows_of(&right, cols, inner).t() } else { rows_of(&right, inner, cols) };
                multiply(&mut out, 0.0, 1.0, rows_of(&left, rows, inner), right, Threads::Caller);
                assert!(out.iter().all(|value| *value == inner as f32), "{rows} x {inner} x {cols}: {out:?}");
            }
        }
    }

    #[test]
    fn blocks_are_written_where_they_lie() {
        let mut memory = [0.0f64; 12];
        let (top, mut bottom) = Block::of_numbers(&mut memory, 3, 4).split_rows(1);
        let (mut left, mut right) = top.split_cols(3);
        left.set_product(rows_of(&[2.0], 1, 1), rows_of(&[1.0, 2.0, 3.0], 1, 3), Start::EveryRow(&[10.0, 20.0, 30.0]));
        right.set_product(rows_of(&[5.0], 1, 1), rows_of(&[5.0], 1, 1), Start::Zero);
        bottom.set_product(
            rows_of(&[1.0, 2.0], 2, 1),
            rows_of(&[1.0, 2.0, 3.0, 4.0], 1, 4),
            Start::EveryCol(&[0.0, 100.0]),
        );
        assert_eq!(memory, [12.0, 24.0, 36.0, 25.0, 1.0, 2.0, 3.0, 4.0, 102.0, 104.0, 106.0, 108.0]);
    }

    #[test]
    fn parts_of_views_are_parts_of_the_matrix() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let view = rows_of(&values, 2, 3);
        assert_eq!(view.rows(1..2).row(0), [4.0, 5.0, 6.0]);
        assert_eq!(view.cols(1..3).row(1), [5.0, 6.0]);
        assert_eq!(view.cols(3..3).num_cols(), 0);
    }

    #[test]
    #[should_panic(expected = "does not fit 5 values")]
    fn a_view_beyond_its_slice_is_refused() {
        MatrixView::strided(&[0.0; 5], [2, 2], [4, 1]);
    }
}
