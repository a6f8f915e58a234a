//! Padded copies of maps, in which every tap of a kernel is a shift.

use std::ops::Range;

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

    /// Writes the copies of some channels; the padding between them has to be zero, and stays as it is.
    ///
    /// # Shapes
    /// - `maps`: a number of channels, each of the source's size
    /// - `copies`: as many times [`Planes::of_channel`]
    pub(super) fn fill(&self, maps: &[f32], copies: &mut [f32]) {
        let width = self.horizontal.size;
        let maps = maps.chunks_exact(self.vertical.size * width);
        for (map, copy) in maps.zip(copies.chunks_exact_mut(self.of_channel())) {
            for down in 0..self.vertical.phases {
                let rows = self.vertical.inside(down);
                for across in 0..self.horizontal.phases {
                    let cols = self.horizontal.inside(across);
                    if rows.is_empty() || cols.is_empty() {
                        continue;
                    }
                    let plane = (down * self.horizontal.phases + across) * self.plane();
                    let top = self.vertical.source(down, rows.start);
                    let left = self.horizontal.source(across, cols.start);
                    let lines = map[top * width..].chunks(width * self.vertical.step);
                    let copies = copy[plane + rows.start * self.width()..].chunks_mut(self.width());
                    for (copy, line) in copies.zip(lines).take(rows.len()) {
                        copy_steps(&line[left..width], self.horizontal.step, &mut copy[cols.clone()]);
                    }
                }
            }
        }
    }
}

/// The first number, and then one every `step`.
fn copy_steps(source: &[f32], step: usize, copy: &mut [f32]) {
    match step {
        1 => copy.copy_from_slice(&source[..copy.len()]),
        2 => {
            // All but the last one have a neighbour.
            let last = copy.len() - 1;
            copy[last] = source[2 * last];
            let (pairs, _) = source[..2 * last].as_chunks::<2>();
            copy[..last].iter_mut().zip(pairs).for_each(|(copy, pair)| *copy = pair[0]);
        }
        _ => copy.iter_mut().zip(source.iter().step_by(step)).for_each(|(copy, value)| *copy = *value),
    }
}

impl Plane {
    /// The entries of a phase that hold something of the source.
    fn inside(&self, phase: usize) -> Range<usize> {
        let first = self.origin + phase as isize;
        let start = usize::try_from(-first).unwrap_or(0).div_ceil(self.step).min(self.length);
        let end = usize::try_from(self.size as isize - first).unwrap_or(0).div_ceil(self.step);
        start..end.clamp(start, self.length)
    }

    /// The entry of the source that an entry inside holds.
    fn source(&self, phase: usize, entry: usize) -> usize {
        (self.origin + (phase + entry * self.step) as isize) as usize
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
        let mut copies = vec![0.0; planes.of_channel()];
        planes.fill(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut copies);
        let even = [[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 5.0, 0.0], [0.0; 3]];
        let odd = [[0.0, 0.0, 0.0], [1.0, 3.0, 0.0], [4.0, 6.0, 0.0], [0.0; 3]];
        assert_eq!(copies, [even.concat(), odd.concat()].concat());
        let taps = &horizontal.targets[0].taps;
        assert_eq!(planes.offset(0, vertical.targets[0].taps[1], taps[1]), 12 + 3);
    }
}
