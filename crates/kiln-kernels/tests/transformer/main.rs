//! The kernels of transformers against Burn's own operations in double precision.

mod activation;
mod attention;
mod exactness;
mod layer_norm;
mod linear_activated;
mod softmax;
