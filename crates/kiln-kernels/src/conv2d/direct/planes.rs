//! Padded copies of maps, in which every tap of a kernel is a shift.

use super::walk::{Plane, Tap, Walk};

/// Shape of the padded copies of one channel: for each pair of phases a plane.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    vertical: Plane,
    horizontal: Plane,
}

impl Planes {
    pub(super) fn new(vertical: &Walk, horizontal: &Walk) -> Self {
        Self { vertical: vertical.plane, horizontal: horizontal.plane }
    }

    /// Entries of a row.
    pub(super) fn width(&self) -> usize {
        self.horizontal.length
    }

    /// Entries of a channel.
    pub(super) fn of_channel(&self) -> usize {
        self.vertical.phases * self.horizontal.phases * self.plane()
    }

    fn plane(&self) -> usize {
        self.vertical.length * self.horizontal.length
    }

    /// From a result's place to the entry that it meets under a tap.
    pub(super) fn offset(&self, channel: usize, vertical: Tap, horizontal: Tap) -> usize {
        let phase = vertical.phase * self.horizontal.phases + horizontal.phase;
        channel * self.of_channel() + phase * self.plane() + vertical.shift * self.width() + horizontal.shift
    }

    /// Writes the copies of some channels.
    ///
    /// # Shapes
    /// - `maps`: a number of channels, each of the source's size
    /// - `copies`: as many times [`Planes::of_channel`]
    pub(super) fn fill(&self, maps: &[f32], copies: &mut [f32]) {
        let pixels = self.vertical.size * self.horizontal.size;
        let rows = copies.chunks_exact_mut(self.width());
        let rows_of_phase = self.vertical.length;
        let rows_of_channel = self.vertical.phases * self.horizontal.phases * rows_of_phase;
        for (index, copy) in rows.enumerate() {
            let (channel, row) = (index / rows_of_channel, index % rows_of_channel);
            let (phase, row) = (row / rows_of_phase, row % rows_of_phase);
            let [down, across] = [phase / self.horizontal.phases, phase % self.horizontal.phases];
            match self.vertical.source(down, row) {
                Some(line) => {
                    let line = &maps[channel * pixels + line * self.horizontal.size..][..self.horizontal.size];
                    self.horizontal.copy(across, line, copy);
                }
                None => copy.fill(0.0),
            }
        }
    }
}

impl Plane {
    /// The entry of the source that an entry of a phase holds; none in the padding.
    fn source(&self, phase: usize, entry: usize) -> Option<usize> {
        let at = self.origin + (phase + entry * self.step) as isize;
        usize::try_from(at).ok().filter(|at| *at < self.size)
    }

    /// The entries of a phase: zeros, the source's, zeros.
    fn copy(&self, phase: usize, source: &[f32], copy: &mut [f32]) {
        let first = self.origin + phase as isize;
        let start = usize::try_from(-first).unwrap_or(0).div_ceil(self.step).min(self.length);
        let end =
            usize::try_from(self.size as isize - first).unwrap_or(0).div_ceil(self.step).clamp(start, self.length);
        copy[..start].fill(0.0);
        copy[end..].fill(0.0);
        if start == end {
            return;
        }
        let source = &source[(first + (start * self.step) as isize) as usize..];
        let copy = &mut copy[start..end];
        match self.step {
            1 => copy.copy_from_slice(&source[..copy.len()]),
            step => copy.iter_mut().zip(source.iter().step_by(step)).for_each(|(copy, value)| *copy = *value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::geometry::Axis;

    #[test]
    fn copies_are_padded_and_sorted_by_phase() {
        let vertical = Axis { size: 2, taps: 2, stride: 1, dilation: 1, before: 1, outputs: 3 };
        let horizontal = Axis { size: 3, taps: 3, stride: 2, dilation: 1, before: 1, outputs: 2 };
        let (vertical, horizontal) = (Walk::of_outputs(vertical), Walk::of_outputs(horizontal));
        let planes = Planes::new(&vertical, &horizontal);
        let mut copies = vec![f32::NAN; planes.of_channel()];
        planes.fill(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut copies);
        let even = [[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 5.0, 0.0], [0.0; 3]];
        let odd = [[0.0, 0.0, 0.0], [1.0, 3.0, 0.0], [4.0, 6.0, 0.0], [0.0; 3]];
        assert_eq!(copies, [even.concat(), odd.concat()].concat());
        let taps = &horizontal.targets[0].taps;
        assert_eq!(planes.offset(0, vertical.targets[0].taps[1], taps[1]), 12 + 3);
    }
}
