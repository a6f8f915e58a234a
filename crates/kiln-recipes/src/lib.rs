//! One reproduction of a paper a method.
//!
//! A recipe runs a method against its baselines on real data and returns a verdict. [`catalogue`] lists them all.

pub mod catalogue;
pub mod loss;
pub mod optim;
