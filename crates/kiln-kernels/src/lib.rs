//! Kernels on the processor, where Burn's Flex backend leaves speed on the table.
//!
//! Burn's own operations remain the reference and the fallback: a kernel here computes what Burn's operation of the same
//! name computes, to rounding, on the Flex device; its `applies` says for which tensors, and everything else is left to
//! Burn. The results are the same bits with any number of threads: work is cut by the sizes of the tensors alone.
//!
//! Large matrix products are those of the gemm crate, which picks the widest instruction set (up to AVX-512) when the program
//! runs; so do the loops and the small products here.
//!
//! For `f32` and `f64`:
//!
//! - [`linear`]: `x W + b` and its gradients; with a function of its output for `f32`.
//! - [`conv2d`]: convolutions of images and their gradients.
//! - [`batch_norm`]: normalisation of maps, with an addition and a rectification, and its gradients.
//! - [`pool`]: largest and mean values of windows of images, and their gradients.
//! - [`rectify`]: the rectified linear unit.
//!
//! For `f32`:
//!
//! - [`attention`]: scaled dot-product attention and its gradients, without a matrix of all scores.
//! - [`layer_norm`]: layer and RMS normalisation and their gradients.
//! - [`softmax`]: softmax and its logarithm over the last axis, and their gradients.
//! - [`activation`]: GELU, SiLU, ReLU and other functions, with their slopes; the hyperbolic tangent, the logistic function.
//!
//! What these are made of, and losses and optimizers too:
//!
//! - [`elementary`]: functions of one number.
//! - [`vector`]: loops over many numbers, compiled for the vectors at hand.
//! - [`matrix`]: products of matrices in plain slices.
//! - [`share`]: tasks that the calling thread and the pool do together; [`join_pool`] makes the calling thread one of it.
//! - [`FlexSlice`]: the memory of a tensor, read and changed in place.
//!
//! The functions here know no graph: `kiln-autodiff` makes one node of a kernel and its gradients.

pub mod activation;
pub mod attention;
pub mod batch_norm;
pub mod conv2d;
pub mod elementary;
mod flex;
pub mod layer_norm;
pub mod linear;
pub mod matrix;
pub mod pool;
mod real;
pub mod rectify;
mod rows;
pub mod softmax;
mod threads;
pub mod vector;

pub use flex::FlexSlice;
pub use real::Real;
pub use threads::{join_pool, share};
