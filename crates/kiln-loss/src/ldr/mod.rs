//! Label-distributionally robust losses: between cross-entropy and the multi-class hinge with one temperature, or with a
//! temperature for each training row.
//!
//! ```text
//! psi(s, y) = max_{p in Omega} sum_k p_k d_k - lambda sum_k p_k log(D p_k)        d_k = s_k - s_y + margin [k != y]
//! ```
//! - [`LdrKl`]: `Omega` is the whole simplex;
//! - [`LdrTopK`]: `p_k <= 1 / k`, with or without the entropy term;
//! - [`AldrKl`]: every example has its own temperature, lower the more peaked its `p` is;
//! - [`consistency`]: which of the losses order the classes right, and by how much they miss being symmetric.
//!
//! Source: D. Zhu, Y. Ying, T. Yang, "Label Distributionally Robust Losses for Multi-class Classification: Consistency,
//! Robustness and Adaptivity", arXiv 2112.14869.

mod adaptive;
pub mod consistency;
mod kl;
mod normalisation;
mod state;
mod temperature;
#[cfg(test)]
mod tests;
mod top_k;

pub use adaptive::{AldrKl, AldrKlConfig, AldrMode};
pub use kl::{LdrKl, LdrKlConfig};
pub use normalisation::LogitNorm;
pub use state::AldrState;
pub use top_k::{LdrTopK, LdrTopKConfig};
