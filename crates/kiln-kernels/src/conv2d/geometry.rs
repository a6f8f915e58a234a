//! Where a kernel's taps meet an image.

use std::ops::Range;

use burn::tensor::ops::ConvOptions;

/// One axis of the images: output `o` sees inputs `o * stride + tap * dilation - before`, zero outside of `0..size`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) size: usize,
    pub(crate) taps: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) before: usize,
    pub(crate) outputs: usize,
}

impl Axis {
    /// # Panics
    /// Where the taps reach over more than the padded image.
    pub(crate) fn new(
        size: usize,
        taps: usize,
        stride: usize,
        dilation: usize,
        (before, after): (usize, usize),
    ) -> Self {
        let (padded, reach) = (size + before + after, taps.saturating_sub(1) * dilation + 1);
        assert!(
            taps > 0 && padded >= reach,
            "a kernel that reaches over {reach} pixels does not fit {padded} (padding included)"
        );
        Self { size, taps, stride, dilation, before, outputs: (padded - reach) / stride + 1 }
    }

    /// The outputs for which this tap meets a pixel of the image.
    pub(crate) fn inside(&self, tap: usize) -> Range<usize> {
        let shift = tap * self.dilation;
        let start = self.before.saturating_sub(shift).div_ceil(self.stride);
        let end = (self.size + self.before).saturating_sub(shift).div_ceil(self.stride).min(self.outputs);
        start.min(end)..end
    }

    /// The pixel that the tap meets at an output [`Axis::inside`].
    pub(crate) fn pixel(&self, output: usize, tap: usize) -> usize {
        output * self.stride + tap * self.dilation - self.before
    }
}

/// Sizes of a convolution; channels are those of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) images: usize,
    pub(super) groups: usize,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) vertical: Axis,
    pub(super) horizontal: Axis,
}

impl Geometry {
    pub(super) fn new(x: [usize; 4], weight: [usize; 4], options: &ConvOptions<2>) -> Self {
        let ([images, channels, height, width], [out_channels, in_channels, ..]) = (x, weight);
        let groups = options.groups;
        assert!(
            channels == in_channels * groups && out_channels % groups == 0,
            "conv2d: images of shape {x:?} and a weight of shape {weight:?} do not fit {groups} groups"
        );
        let axis = |axis: usize, size| {
            Axis::new(size, weight[2 + axis], options.stride[axis], options.dilation[axis], options.padding[axis])
        };
        let (vertical, horizontal) = (axis(0, height), axis(1, width));
        Self { images, groups, in_channels, out_channels: out_channels / groups, vertical, horizontal }
    }

    pub(super) fn output_dims(&self) -> [usize; 4] {
        [self.images, self.groups * self.out_channels, self.vertical.outputs, self.horizontal.outputs]
    }

    /// Pixels of a channel of the input.
    pub(super) fn pixels(&self) -> usize {
        self.vertical.size * self.horizontal.size
    }

    /// Places of a channel of the output.
    pub(super) fn places(&self) -> usize {
        self.vertical.outputs * self.horizontal.outputs
    }

    /// Taps of a kernel, for one channel.
    pub(super) fn taps(&self) -> usize {
        self.vertical.taps * self.horizontal.taps
    }

    /// Row and column of every weight of a kernel.
    pub(super) fn all_taps(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let (down, across) = (self.vertical.taps, self.horizontal.taps);
        (0..down).flat_map(move |y| (0..across).map(move |x| [y, x]))
    }

    /// Weights of one output.
    pub(super) fn weights(&self) -> usize {
        self.in_channels * self.taps()
    }

    /// Multiplications of the whole convolution.
    pub(super) fn work(&self) -> usize {
        self.images * self.groups * self.out_channels * self.weights() * self.places()
    }

    /// Whether every group has one input channel.
    pub(super) fn is_depthwise(&self) -> bool {
        self.in_channels == 1 && self.groups > 1
    }

    /// Whether each output sees exactly the pixel in its own place.
    pub(super) fn is_pointwise(&self) -> bool {
        [self.vertical, self.horizontal]
            .iter()
            .all(|axis| axis.taps == 1 && axis.stride == 1 && axis.before == 0 && axis.outputs == axis.size)
    }

    /// Whether the pixels of a whole block of places lie one after another, as the places do.
    pub(super) fn keeps_width(&self) -> bool {
        self.vertical.stride == 1 && self.horizontal.stride == 1 && self.horizontal.outputs == self.horizontal.size
    }
}
