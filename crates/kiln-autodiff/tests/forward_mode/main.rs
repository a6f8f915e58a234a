//! Forward mode and what is built on it, in double precision.

mod double_precision;

mod jets;
mod layers;
mod operators;
