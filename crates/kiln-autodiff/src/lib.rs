//! Second order and beyond, on top of Burn's reverse mode.
//!
//! Burn differentiates once, backwards. This crate adds the other direction: a function written over [`Numbers`] is
//! evaluated in plain [`Values`], in dual numbers ([`Duals`]), in Taylor jets ([`Jets`]) or in second-order jets of
//! several directions ([`Laplacians`], [`Hessians`]), and because the components of all of these are ordinary tensors,
//! one reverse pass on top gives exact second derivatives. There are no finite differences.
//!
//! | need | use |
//! |---|---|
//! | a derivative along one direction, `J v` | [`jvp`] |
//! | a whole Jacobian | [`jacobian`] |
//! | a Hessian-vector product, over parameters or inputs | [`hvp`], [`hvp_inputs`] |
//! | a Gauss-Newton product | [`gnvp`] |
//! | Laplacian or Hessian with respect to a few inputs, for equations | [`laplacian`], [`hessian`] |
//! | derivatives of order 3 and 4 along a direction | [`Jets`] |
//! | the Hessian's diagonal, its spectrum, solves with it | [`hessian_diagonal`], [`HessianOperator`] with [`spectrum`] |
//! | neural tangent kernels, their products, and the training that they predict | [`ntk`] |
//! | the gradient of a function of a gradient | [`grad_of_grad_match`] |
//! | gradients of single examples | [`per_example_gradients`] |
//! | a backward rule of one's own | [`custom_gradient`] |
//!
//! Networks take part by writing their forward pass over [`Numbers`] once.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::{Device, Int, Tensor};
//! use kiln_autodiff::{Arithmetic, Duals, Numbers, Tangent, hvp, layers::loss};
//!
//! let device = Device::flex();
//! let layer = LinearConfig::new(4, 3).init(&device);
//! let inputs = Tensor::<2>::ones([8, 4], &device);
//! let targets = Tensor::<1, Int>::zeros([8], &device);
//! let direction = Tangent::random(&layer, 1);
//! let product = hvp(&layer, &direction, |layer: &Linear, numbers: &Duals| {
//!     let logits = numbers.linear(layer, numbers.constant(inputs.clone()));
//!     loss::cross_entropy(numbers, logits, targets.clone())
//! })?;
//! assert!(product.dot(&direction)? >= 0.0);
//! # Ok::<(), kiln_autodiff::TangentError>(())
//! ```

mod custom_gradient;
mod error;
pub mod implicit;
pub mod layers;
mod linear_operator;
pub mod ntk;
mod numbers;
mod operators;
pub mod solve;
pub mod spectrum;
mod tangent;

pub use custom_gradient::{
    GradientInputs, custom_gradient, map_gradient, straight_through, try_custom_gradient, with_known_gradient,
};
pub use error::NumericalError;
pub use layers::{DropoutStream, Numbers};
pub use linear_operator::{FunctionOperator, LinearOperator, ShiftedOperator, symmetry_defect};
pub use numbers::{
    Algebra, Arithmetic, Coefficient, DualAlgebra, Duals, Elementwise, Forward, Function, HessianAlgebra, Hessians,
    JetAlgebra, Jets, LaplacianAlgebra, Laplacians, Number, Pairing, Product, Values,
};
pub use operators::{
    DiagonalMethod, GaussNewtonOperator, GradientMatch, Hessian, HessianDiagonal, HessianOperator, Laplacian, gnvp,
    grad_of_grad_match, gradient, hessian, hessian_diagonal, hvp, hvp_inputs, jacobian, jacobian_by_columns,
    jacobian_by_rows, jvp, laplacian, per_example_gradient_norms, per_example_gradients, vjp,
};
pub use tangent::{Tangent, TangentError};
