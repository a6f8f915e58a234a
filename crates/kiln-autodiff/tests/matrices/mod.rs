//! Matrices whose spectrum is known, in double precision.

#![allow(dead_code)]

use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use faer::{Mat, Side};
use kiln_check::values;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub fn f64_options() -> TensorCreationOptions {
    (&Device::flex(), DType::F64).into()
}

pub fn vector(entries: &[f64]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(entries.to_vec(), [entries.len()]), f64_options())
}

pub fn matrix(entries: &[f64], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(entries.to_vec(), shape), f64_options())
}

/// Entries between -1 and 1.
pub fn random(count: usize, seed: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(-1.0..1.0)).collect()
}

pub fn diagonal(entries: &[f64]) -> Tensor<2> {
    to_tensor(&Mat::from_fn(entries.len(), entries.len(), |i, j| if i == j { entries[i] } else { 0.0 }))
}

/// `Q diag(eigenvalues) Q'` with a random rotation `Q`.
pub fn with_spectrum(eigenvalues: &[f64], seed: u64) -> Tensor<2> {
    let size = eigenvalues.len();
    let entries = random(size * size, seed);
    let q = Mat::from_fn(size, size, |i, j| entries[i * size + j]).qr().compute_Q();
    let scaled = Mat::from_fn(size, size, |i, j| q[(i, j)] * eigenvalues[j]);
    let product = scaled * q.transpose();
    to_tensor(&Mat::from_fn(size, size, |i, j| 0.5 * (product[(i, j)] + product[(j, i)])))
}

/// All eigenvalues in ascending order, by a dense decomposition.
pub fn dense_eigenvalues(matrix: &Tensor<2>) -> Vec<f64> {
    let ([rows, columns], entries) = (matrix.dims(), values(matrix));
    Mat::from_fn(rows, columns, |i, j| entries[i * columns + j]).self_adjoint_eigenvalues(Side::Lower).unwrap()
}

pub fn to_tensor(entries: &Mat<f64>) -> Tensor<2> {
    let (rows, columns) = (entries.nrows(), entries.ncols());
    let row_major: Vec<f64> = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|at| entries[at]).collect();
    matrix(&row_major, [rows, columns])
}

/// Largest entry of `|a - b|`.
pub fn largest_difference<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) -> f64 {
    (a.clone() - b.clone()).abs().max().into_scalar()
}
