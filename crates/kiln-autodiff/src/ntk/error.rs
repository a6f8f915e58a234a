//! What an empirical kernel refuses.

use thiserror::Error;

/// Batches, outputs or settings of which no kernel can be made.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NtkError {
    /// A batch without examples.
    #[error("empirical NTK: the {batch} batch has no examples, at least one is needed")]
    Empty {
        /// `left` or `right`.
        batch: &'static str,
    },
    /// Examples of different shapes in the two batches.
    #[error("empirical NTK: examples of shape {left:?} on the left and {right:?} on the right, but they must be equal")]
    DifferentExamples {
        /// Shape of one example of the left batch.
        left: Vec<usize>,
        /// Shape of one example of the right batch.
        right: Vec<usize>,
    },
    /// The network does not give one row of outputs for each example.
    #[error(
        "empirical NTK: the network made outputs of shape {found:?} of {examples} examples, [{examples}, k] is needed"
    )]
    Outputs {
        /// Number of examples that went in.
        examples: usize,
        /// Shape of what came out.
        found: [usize; 2],
    },
    /// An output that the network does not have.
    #[error("empirical NTK: there is no output {output}, the network has the outputs 0 to {}", .outputs - 1)]
    NoSuchOutput {
        /// The output that was asked for.
        output: usize,
        /// How many there are.
        outputs: usize,
    },
    /// Infinities or NaN among the outputs or their derivatives.
    #[error("empirical NTK: {what} of examples {first} to {last} of the {batch} batch are not finite")]
    NotFinite {
        /// `the outputs` or `the derivatives`.
        what: &'static str,
        /// `left` or `right`.
        batch: &'static str,
        /// First example of the block, from 0.
        first: usize,
        /// Last example of the block.
        last: usize,
    },
    /// The module has no parameters, or none that is a floating-point tensor.
    #[error("empirical NTK: the module has no parameters")]
    NoParameters,
    /// Other layers ran than in the trial with one example.
    #[error(
        "empirical NTK: {found} recorded layers ran where a trial with one example ran {planned}: the network changes with \
         its inputs; use `empirical_ntk_by_jacobians`"
    )]
    ChangingNetwork {
        /// Layers of the trial.
        planned: usize,
        /// Layers that ran.
        found: usize,
    },
    /// A layer that saw another number of rows than there were examples, though it did not in the trial batches.
    #[error(
        "empirical NTK: a layer saw {found} rows of {examples} examples: its rows are not the examples; \
             use `empirical_ntk_by_jacobians`"
    )]
    RowsAreNotExamples {
        /// Rows of the layer's input.
        found: usize,
        /// Examples of the batch.
        examples: usize,
    },
    /// A vector that does not belong to the outputs of a batch.
    #[error("empirical NTK: a vector of shape {found:?} for outputs of shape {expected:?}")]
    Vector {
        /// Shape of the vector.
        found: [usize; 2],
        /// Shape of the outputs.
        expected: [usize; 2],
    },
    /// Even a block of one example and one output on either side is too large.
    #[error(
        "empirical NTK: a block of one example and one output on either side takes {needed} bytes, \
         the memory limit is {limit} bytes"
    )]
    MemoryLimit {
        /// Bytes of the smallest block.
        needed: u64,
        /// Bytes that the caller allows.
        limit: u64,
    },
}
