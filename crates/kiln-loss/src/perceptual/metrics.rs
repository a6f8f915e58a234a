//! Measures of images that no loss here is made of: what a network was not trained for.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::OddPolicy;
use super::field::Field;

/// Constant of the gradient similarity, for a data range of 1.
const GRADIENT_CONSTANT: f64 = 170.0 / (255.0 * 255.0);

/// Peak signal-to-noise ratio of each image, in decibels; infinite for equal images.
///
/// ```text
/// PSNR = 10 log10(L^2 / mean((x - y)^2))
/// ```
///
/// # Shapes
/// - `x`, `y`: `[batch_size, channels, ..]`, values in a range of `data_range`
/// - output: `[batch_size]`
pub fn psnr<const D: usize>(x: Tensor<D>, y: Tensor<D>, data_range: f64) -> Tensor<1> {
    let error = (x - y).flatten::<2>(1, D - 1).square().mean_dim(1).squeeze_dim::<1>(1);
    (error / (data_range * data_range)).log() * (-10.0 / std::f64::consts::LN_10)
}

/// Gradient magnitude similarity deviation of each image: 0 for equal images, larger where edges differ.
///
/// ```text
/// GMS = (2 m_x m_y + c) / (m_x^2 + m_y^2 + c)        GMSD = std(GMS)        c = 170 (L / 255)^2
/// ```
/// `m` is the magnitude of the Prewitt gradient after halving the image; the deviation is that over the inner pixels,
/// averaged over channels.
///
/// Source: Xue et al., "Gradient magnitude similarity deviation", 2014, arXiv 1308.3052.
///
/// # Shapes
/// - `x`, `y`: `[batch_size, channels, height, width]`, sides of at least 6
/// - output: `[batch_size]`
pub fn gmsd(x: Tensor<4>, y: Tensor<4>, data_range: f64) -> Tensor<1> {
    let [batch, channels, ..] = x.dims();
    let squares = |images: Tensor<4>| squared_gradients(Field::of(images / data_range).halved(OddPolicy::Crop));
    let (x, y) = (squares(x), squares(y));
    let product = (x.clone() * y.clone()).sqrt();
    let similarity = (product * 2.0 + GRADIENT_CONSTANT) / (x + y + GRADIENT_CONSTANT);
    let deviation = similarity.clone() - similarity.mean_dim(1);
    deviation.square().mean_dim(1).sqrt().reshape([batch, channels]).mean_dim(1).squeeze_dim(1)
}

/// How well the edges of each image are those of the other: the harmonic mean of precision and recall of the pixels whose
/// gradient is above `threshold`; 1 where neither has any.
///
/// ```text
/// F1 = 2 |E_x and E_y| / (|E_x| + |E_y|)        E: magnitude of the Prewitt gradient above `threshold`
/// ```
///
/// # Shapes
/// - `x`, `y`: `[batch_size, channels, height, width]`, sides of at least 3
/// - output: `[batch_size]`
pub fn edge_f1(x: Tensor<4>, y: Tensor<4>, threshold: f64) -> Tensor<1> {
    let batch = x.dims()[0];
    let dtype = x.dtype();
    let edges = |images: Tensor<4>| {
        let squares = squared_gradients(Field::of(images));
        let pixels = squares.dims()[0] / batch * squares.dims()[1];
        squares.greater_scalar(threshold * threshold).float().cast(dtype).reshape([batch, pixels])
    };
    let (x, y) = (edges(x), edges(y));
    let common = (x.clone() * y.clone()).sum_dim(1) * 2.0;
    let all = (x + y).sum_dim(1);
    let none = all.clone().equal_scalar(0.0);
    (common / all.clamp_min(1.0)).mask_fill(none, 1.0).squeeze_dim(1)
}

/// Energy of the fine detail of each image over that of another: below 1 where `x` is blurred against `y`.
///
/// ```text
/// ratio = E(x) / E(y)        E = sum of squares of the cosine transform above half the highest frequency
/// ```
/// Frequencies count by their distance from zero, in cycles per pixel. Compare logarithms: a ratio of 2 is as far off as
/// one of 1/2. Where `y` has no detail at all, its energy counts as `1e-12` a pixel.
///
/// # Shapes
/// - `x`, `y`: `[batch_size, channels, height, width]`
/// - output: `[batch_size]`
pub fn hf_ratio(x: Tensor<4>, y: Tensor<4>) -> Tensor<1> {
    fine_energy(x) / fine_energy(y)
}

/// `[batch_size]`.
fn fine_energy(images: Tensor<4>) -> Tensor<1> {
    let [batch, channels, height, width] = images.dims();
    let (device, dtype) = (images.device(), images.dtype());
    let rows = cosine_transform(height, &device, dtype).unsqueeze::<3>();
    let columns = cosine_transform(width, &device, dtype).transpose().unsqueeze::<3>();
    let planes = batch * channels;
    let coefficients = rows
        .expand([planes as i64, height as i64, height as i64])
        .matmul(images.reshape([planes, height, width]))
        .matmul(columns.expand([planes as i64, width as i64, width as i64]));
    let fine: Vec<f64> = (0..height * width)
        .map(|place| {
            let (row, column) = ((place / width) as f64 / height as f64, (place % width) as f64 / width as f64);
            if row * row + column * column > 0.25 { 1.0 } else { 0.0 }
        })
        .collect();
    let fine = Tensor::<3>::from_data(TensorData::new(fine, [1, height, width]).convert_dtype(dtype), (&device, dtype));
    let energy = (coefficients.square() * fine).reshape([batch, channels * height * width]).mean_dim(1);
    energy.squeeze_dim::<1>(1).clamp_min(1e-12)
}

/// The orthonormal cosine transform (DCT-II): one frequency a row.
fn cosine_transform(length: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let n = length as f64;
    let entry = |place: usize| {
        let (frequency, pixel) = ((place / length) as f64, (place % length) as f64);
        let scale = if frequency == 0.0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
        scale * (std::f64::consts::PI * frequency * (pixel + 0.5) / n).cos()
    };
    let entries: Vec<f64> = (0..length * length).map(entry).collect();
    Tensor::from_data(TensorData::new(entries, [length, length]).convert_dtype(dtype), (device, dtype))
}

/// Squared magnitudes of the Prewitt gradient (differences of means of three) at the inner pixels, `[planes, pixels]`.
fn squared_gradients(field: Field) -> Tensor<2> {
    let planes = field.values.dims()[0];
    let [height, width] = [field.dims[0], field.dims[1]];
    let images = field.values.reshape([planes, height, width]);
    let shifted = |axis: usize, by: usize, images: &Tensor<3>| images.clone().narrow(axis, by, images.dims()[axis] - 2);
    let smoothed =
        |axis: usize| (shifted(axis, 0, &images) + shifted(axis, 1, &images) + shifted(axis, 2, &images)) / 3.0;
    let slope = |axis: usize, images: Tensor<3>| shifted(axis, 2, &images) - shifted(axis, 0, &images);
    let (down, across) = (slope(1, smoothed(2)), slope(2, smoothed(1)));
    (down.square() + across.square()).reshape([planes, (height - 2) * (width - 2)])
}
