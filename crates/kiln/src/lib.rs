//! Gradient-learning methods of published papers for the Burn framework.
//!
//! Every method is an ordinary Burn type: a loss takes logits and targets, an optimizer is stepped like Burn's own, a network is a
//! [`Module`](https://docs.rs/burn/latest/burn/module/trait.Module.html). They compose: any loss with any optimizer on any network.
//! Each family is a crate of its own, re-exported here behind a feature of the same name; all of them are on by default.
//!
//! | feature | module | what |
//! |---|---|---|
//! | `loss` | `loss` | objectives for labelled data |
//! | `optim` | `optim` | optimizers and training rules |
//! | `nn` | `nn` | networks shared by several methods |
//! | `data` | `data` | readers for standard formats, embedded sets, splits |
//! | `autodiff` | `autodiff` | second order: Hessian products, Laplacians, tangent kernels, spectra, implicit derivatives |
//! | `kernels` | `kernels` | fast operations on the processor, which the others are made of; `kernels::join_pool` lets the main thread be one of those that work |
//!
//! Two lines make a training of Burn's use the Z-loss and diffGrad:
//!
//! ```
//! use burn::optim::GradientsParams;
//! use burn::tensor::{Device, Int, Tensor};
//! use burn::nn::LinearConfig;
//! use kiln::prelude::*;
//!
//! let device = Device::flex().autodiff();
//! let layer = LinearConfig::new(4, 3).init(&device);
//! let inputs = Tensor::<2>::from_floats([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], &device);
//! let targets = Tensor::<1, Int>::from_ints([0, 2], &device);
//!
//! let loss = ZLossConfig::new().init()?;
//! let mut optimizer = DiffGradConfig::new().init()?;
//!
//! let value = loss.forward(layer.forward(inputs), targets);
//! let gradients = GradientsParams::from_grads(value.backward(), &layer);
//! let layer = optimizer.step(1e-3, layer, gradients);
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "autodiff")]
pub use kiln_autodiff as autodiff;
#[cfg(feature = "data")]
pub use kiln_data as data;
#[cfg(feature = "kernels")]
pub use kiln_kernels as kernels;
#[cfg(feature = "loss")]
pub use kiln_loss as loss;
#[cfg(feature = "nn")]
pub use kiln_nn as nn;
#[cfg(feature = "optim")]
pub use kiln_optim as optim;

/// The examples of the book's chapter on derivatives.
#[cfg(all(doctest, feature = "autodiff"))]
#[doc = include_str!("../../../docs/src/autodiff.md")]
mod derivatives {}

/// The types that most programs need.
///
/// ```
/// use kiln::prelude::*;
///
/// let loss = CompSumLossConfig::new().with_tau(1.5).init()?;
/// # Ok::<(), LossError>(())
/// ```
pub mod prelude {
    #[cfg(feature = "data")]
    pub use kiln_data::{ArrayDataset, DataDir, DataError, OpenOptions, Splits, Targets, open};
    #[cfg(feature = "loss")]
    pub use kiln_loss::{
        ClassificationLoss, FactoredSphericalConfig, LossError, ReducedLoss, ReducedLossConfig, Reduction, ZLoss,
        ZLossConfig,
        comp_sum::{CompSumLoss, CompSumLossConfig},
    };
    #[cfg(feature = "nn")]
    pub use kiln_nn::{Activation, Network, NetworkConfig, NetworkError};
    #[cfg(feature = "optim")]
    pub use kiln_optim::{DiffGrad, DiffGradConfig, OptimError};
}
