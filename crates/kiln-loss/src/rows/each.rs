//! The same function of every number of a row.

use kiln_kernels::vector::{Kernel, vectorised};

/// Replaces every number `x` of a row by `function(x)`, which is compiled for the instruction sets at hand where it is
/// plain arithmetic.
pub(crate) fn each(row: &mut [f32], function: impl Fn(f32) -> f32) {
    vectorised(Each { row, function });
}

struct Each<'a, F> {
    row: &'a mut [f32],
    function: F,
}

impl<F: Fn(f32) -> f32> Kernel for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for number in self.row {
            *number = (self.function)(*number);
        }
    }
}
