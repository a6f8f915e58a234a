//! Numbers that networks are written over: plain values, and truncated polynomials that carry derivatives along.
//!
//! A forward pass written once over [`Numbers`](crate::Numbers) is evaluated in
//!
//! | numbers | each value comes with | gives |
//! |---|---|---|
//! | [`Values`] | nothing | the network's output, by Burn's own calls |
//! | [`Duals`] | first derivatives in one or several directions | Jacobian-vector products, Jacobians |
//! | [`Jets`] | Taylor coefficients of order 1 to `n` in one direction | higher directional derivatives |
//! | [`Laplacians`] | first derivatives in `d` directions and the sum of the second ones | the forward Laplacian |
//! | [`Hessians`] | first derivatives in `d` directions and all second ones | Hessians with respect to a few inputs |
//!
//! All but the first are one type, [`Forward`], over one multiplication table each ([`Algebra`]). The components are
//! ordinary tensors: where they are tracked by reverse mode, a backward pass through any of them is exact, which is how
//! Hessian-vector products are made. A component that is zero is not stored and costs nothing.

mod algebra;
mod arithmetic;
mod elementwise;
mod forward;
mod kinds;
mod number;
mod series;
mod stacked;
mod values;

pub use algebra::{Algebra, DualAlgebra, HessianAlgebra, JetAlgebra, LaplacianAlgebra, Pairing, Product};
pub use arithmetic::Arithmetic;
pub use elementwise::{Coefficient, Elementwise, Function};
pub use forward::Forward;
pub use kinds::{Duals, Hessians, Jets, Laplacians};
pub use number::Number;
pub use values::Values;
