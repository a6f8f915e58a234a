//! Pooling of images: the largest or the mean value of every window.

mod max;
mod mean;

use std::ops::Range;

use burn::tensor::Tensor;

use crate::Real;
use crate::conv2d::geometry::Axis;

pub use max::{Largest, max, max_applies, max_backward};
pub use mean::{mean, mean_applies, mean_backward};

/// Values of a map that are worth the work of about as many multiplications.
const WORK_OF_VALUE: usize = 4;

/// Whether every window meets at least one pixel, and there is one.
fn windows_meet(x: &Tensor<4>, kernel: [usize; 2], padding: [(usize, usize); 2]) -> bool {
    let [batch_size, channels, height, width] = x.dims();
    let meets = |axis: usize, size: usize| {
        let (before, after) = padding[axis];
        before < kernel[axis] && after < kernel[axis] && size > 0 && size + before + after >= kernel[axis]
    };
    batch_size * channels > 0 && meets(0, height) && meets(1, width)
}

/// The windows of a map.
#[derive(Debug, Clone, Copy)]
struct Windows {
    down: Axis,
    across: Axis,
}

impl Windows {
    fn new(dims: [usize; 4], kernel: [usize; 2], stride: [usize; 2], padding: [(usize, usize); 2]) -> Self {
        let axis = |axis: usize| Axis::new(dims[2 + axis], kernel[axis], stride[axis], 1, padding[axis]);
        Self { down: axis(0), across: axis(1) }
    }

    fn output_dims(&self, [batch_size, channels, ..]: [usize; 4]) -> [usize; 4] {
        [batch_size, channels, self.down.outputs, self.across.outputs]
    }

    fn pixels(&self) -> usize {
        self.down.size * self.across.size
    }

    fn places(&self) -> usize {
        self.down.outputs * self.across.outputs
    }

    /// Whether the only window of a map is the map.
    fn are_whole_maps(&self) -> bool {
        [self.down, self.across].iter().all(|axis| axis.taps == axis.size && axis.before == 0 && axis.outputs == 1)
    }

    /// What each pixel of a window counts, for every place.
    fn shares<E: Real>(&self, counts_padding: bool) -> Vec<E> {
        let counted = |axis: &Axis, output| if counts_padding { axis.taps } else { met(axis, output).len() };
        let cols: Vec<usize> = (0..self.across.outputs).map(|col| counted(&self.across, col)).collect();
        let rows = (0..self.down.outputs).map(|row| counted(&self.down, row));
        rows.flat_map(|row| cols.iter().map(move |col| E::from_f64(1.0 / (row * col) as f64))).collect()
    }
}

/// The taps under which a window meets the image.
#[inline(always)]
fn met(axis: &Axis, output: usize) -> Range<usize> {
    let first = output * axis.stride;
    let start = axis.before.saturating_sub(first);
    start..(axis.size + axis.before - first).min(axis.taps)
}
