//! The comp-sum family: from sum-exponential loss over cross-entropy to mean absolute error with one knob.
//!
//! - [`CompSumLoss`]: the family itself;
//! - [`SmoothAdvCompSum`]: its smooth adversarial version, for adversarial training;
//! - [`h_consistency`]: what a small surrogate loss guarantees about the error rate;
//! - [`minimizability`]: the gap that the guarantee has to pay for.
//!
//! Source: A. Mao, M. Mohri, Y. Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and Applications",
//! arXiv 2304.07288.

pub mod h_consistency;
mod loss;
pub mod minimizability;
mod phi;
mod smooth;

pub use loss::{CompSumLoss, CompSumLossConfig};
pub(crate) use phi::Phi1;
pub use phi::{CompSumPhi2, NllClip};
pub use smooth::{AdversarialOutput, SmoothAdvCompSum, SmoothAdvCompSumConfig};
