//! Along one axis: where a convolution, or its gradient by the input, reads its source and writes its results.

use crate::conv2d::geometry::Axis;

/// One axis of a sum `result[j] = sum over taps of weight[tap] plane[phase][j + shift]`, where the planes hold a padded
/// copy of the source.
pub(super) struct Walk {
    pub(super) plane: Plane,
    /// Results that are reached with the same taps.
    pub(super) targets: Vec<Target>,
}

/// The padded copy: entry `r` of phase `a` is entry `origin + a + r * step` of the source, zero outside of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    /// Entries of the source.
    pub(super) size: usize,
    pub(super) origin: isize,
    pub(super) step: usize,
    pub(super) phases: usize,
    pub(super) length: usize,
}

/// Results `first + j * step` for `j` below `count`.
pub(super) struct Target {
    pub(super) taps: Vec<Tap>,
    pub(super) count: usize,
    pub(super) first: usize,
    pub(super) step: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tap {
    pub(super) tap: usize,
    pub(super) phase: usize,
    pub(super) shift: usize,
}

impl Walk {
    /// Of the outputs: output `j` meets input `j stride + tap dilation - before`.
    pub(super) fn of_outputs(axis: Axis) -> Self {
        let taps: Vec<Tap> = (0..axis.taps)
            .map(|tap| Tap { tap, phase: tap * axis.dilation % axis.stride, shift: tap * axis.dilation / axis.stride })
            .collect();
        let plane = Plane {
            size: axis.size,
            origin: -(axis.before as isize),
            step: axis.stride,
            phases: 1 + taps.iter().map(|tap| tap.phase).max().unwrap_or(0),
            length: axis.outputs + longest_shift(&axis),
        };
        Self { plane, targets: vec![Target { taps, count: axis.outputs, first: 0, step: 1 }] }
    }

    /// Of the gradient by the inputs. With `input + before = stride m + phase`, an input is met by output `m - shift`
    /// under the taps of its phase: the inputs of a phase are a target.
    pub(super) fn of_inputs(axis: Axis) -> Self {
        let (longest, stride) = (longest_shift(&axis), axis.stride);
        let lowest = axis.before / stride;
        let highest = (axis.size + axis.before).saturating_sub(1) / stride;
        let plane = Plane {
            size: axis.outputs,
            origin: lowest as isize - longest as isize,
            step: 1,
            phases: 1,
            length: highest.saturating_sub(lowest) + 1 + longest,
        };
        let target = |phase: usize| {
            // The first `m` at or behind the beginning of the image, and the first one behind its end.
            let start = axis.before.saturating_sub(phase).div_ceil(stride);
            let end = (axis.size + axis.before).saturating_sub(phase).div_ceil(stride).max(start);
            let taps = (0..axis.taps).filter(|tap| tap * axis.dilation % stride == phase);
            let shift = |tap: usize| start - lowest + longest - tap * axis.dilation / stride;
            Target {
                taps: taps.map(|tap| Tap { tap, phase: 0, shift: shift(tap) }).collect(),
                count: end - start,
                first: (start * stride + phase).saturating_sub(axis.before),
                step: stride,
            }
        };
        Self { plane, targets: (0..stride).map(target).filter(|target| target.count > 0).collect() }
    }
}

/// Whole strides that the last tap is away from the first one.
fn longest_shift(axis: &Axis) -> usize {
    (axis.taps - 1) * axis.dilation / axis.stride
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes() -> impl Iterator<Item = Axis> {
        let sizes = (1..9usize).flat_map(|size| (1..5).map(move |taps| (size, taps)));
        let steps = (1..4).flat_map(|stride| (1..4).map(move |dilation| (stride, dilation)));
        let all = sizes.flat_map(move |of_size| steps.clone().map(move |of_step| (of_size, of_step)));
        all.flat_map(|((size, taps), (stride, dilation))| {
            (0..4usize).filter_map(move |before: usize| {
                let (padded, reach): (usize, usize) = (size + 2 * before, (taps - 1) * dilation + 1);
                let outputs = padded.checked_sub(reach)? / stride + 1;
                Some(Axis { size, taps, stride, dilation, before, outputs })
            })
        })
    }

    /// For each result what it sums: pairs of a tap and an entry of the source.
    fn sums(walk: &Walk, results: usize) -> Vec<Vec<(usize, usize)>> {
        let mut sums = vec![None; results];
        for target in &walk.targets {
            for j in 0..target.count {
                let met = target.taps.iter().filter_map(|tap| {
                    assert!(j + tap.shift < walk.plane.length && tap.phase < walk.plane.phases);
                    let at = walk.plane.origin + (tap.phase + (j + tap.shift) * walk.plane.step) as isize;
                    usize::try_from(at).ok().filter(|at| *at < walk.plane.size).map(|at| (tap.tap, at))
                });
                let sum = &mut sums[target.first + j * target.step];
                assert!(sum.is_none(), "a result is written twice");
                *sum = Some(met.collect());
            }
        }
        sums.into_iter().map(|sum| sum.expect("every result is written")).collect()
    }

    #[test]
    fn every_output_sums_the_inputs_under_its_taps_and_every_input_the_outputs_that_met_it() {
        for axis in axes() {
            let outputs = sums(&Walk::of_outputs(axis), axis.outputs);
            let mut inputs = vec![Vec::new(); axis.size];
            for (output, sum) in outputs.iter().enumerate() {
                let met = (0..axis.taps).filter(|tap| axis.inside(*tap).contains(&output));
                assert_eq!(*sum, met.map(|tap| (tap, axis.pixel(output, tap))).collect::<Vec<_>>(), "{axis:?}");
                sum.iter().for_each(|(tap, input)| inputs[*input].push((*tap, output)));
            }
            for (found, expected) in sums(&Walk::of_inputs(axis), axis.size).iter_mut().zip(&mut inputs) {
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{axis:?}");
            }
        }
    }
}
