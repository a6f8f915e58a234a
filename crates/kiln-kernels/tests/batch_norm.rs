//! The kernels of batch normalisation against Burn's own operations.

mod maps;

use burn::tensor::{DType, Device, Tensor, TensorData, activation, module};
use kiln_check::{assert_close, values};
use kiln_kernels::batch_norm::{self, After, Saved};
use kiln_kernels::rectify;
use maps::{assert_equal, assert_same_bits_with_any_number_of_threads, random};
use proptest::prelude::*;

const EPSILON: f64 = 1e-5;

struct Layer {
    x: Tensor<4>,
    parameters: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    rectified: bool,
}

impl Layer {
    fn random(dims: [usize; 4], dtype: DType, has_residual: bool, rectified: bool) -> Self {
        let parameters = [random([dims[1]], dtype), random([dims[1]], dtype)];
        // Far from zero: the variance must not be a difference of large numbers.
        let x = random(dims, dtype) * 2.0 + 30.0;
        Self { x, parameters, residual: has_residual.then(|| random(dims, dtype)), rectified }
    }

    fn after(&self) -> After<4> {
        After { residual: self.residual.clone(), rectified: self.rectified }
    }

    fn trained(&self) -> batch_norm::Trained<4> {
        let [gamma, beta] = self.parameters.clone();
        batch_norm::train(self.x.clone(), gamma, beta, EPSILON, self.after())
    }

    fn backward(&self, trained: &batch_norm::Trained<4>, upstream: Tensor<4>) -> batch_norm::Gradients<4> {
        let saved = Saved {
            x: self.x.clone(),
            statistics: [trained.mean.clone(), trained.variance.clone()],
            parameters: self.parameters.clone(),
            epsilon: EPSILON,
            output: (self.rectified && self.residual.is_some()).then(|| trained.output.clone()),
            has_residual: self.residual.is_some(),
            rectified: self.rectified,
        };
        batch_norm::backward(saved, upstream)
    }

    /// Burn's operations after the normalisation.
    fn finished(&self, normalised: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let moved = match residual {
            Some(residual) => normalised + residual,
            None => normalised,
        };
        if self.rectified { activation::relu(moved) } else { moved }
    }

    fn agrees(&self) {
        let trained = self.trained();
        let upstream = random(self.x.dims(), self.x.dtype());
        let (of_x, of_gamma, of_beta, of_residual) = self.backward(&trained, upstream.clone());

        let x = self.x.clone().autodiff().require_grad();
        let [gamma, beta] = self.parameters.clone().map(|parameter| parameter.autodiff().require_grad());
        let residual = self.residual.clone().map(|residual| residual.autodiff().require_grad());
        let expected = module::batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON);
        let output = self.finished(expected.output, residual.clone());
        assert_equal(&trained.mean, &expected.mean.inner(), "mean");
        assert_equal(&trained.variance, &expected.variance.inner(), "variance");
        // Burn's own result has lost digits to the distance from zero.
        let lenient = |actual: &Tensor<4>, expected: &Tensor<4>, what| {
            let allowed = if actual.dtype() == DType::F64 { 1e-9 } else { 2e-4 };
            let differences = (actual.clone() - expected.clone()).abs().max().into_scalar::<f64>();
            assert!(differences < allowed, "{what}: {differences}");
        };
        lenient(&trained.output, &output.clone().inner(), "output");
        let gradients = (output * upstream.autodiff()).sum().backward();
        lenient(&of_x, &x.grad(&gradients).unwrap(), "gradient by the input");
        // Sums over all places, whose errors add up as random numbers do.
        let [examples, _, height, width] = self.x.dims();
        let spread = 1.0 / ((examples * height * width) as f64).sqrt();
        let mean = |sum: Tensor<1>| sum.reshape([1, 1, 1, -1]) * spread;
        lenient(&mean(of_gamma), &mean(gamma.grad(&gradients).unwrap()), "by gamma");
        lenient(&mean(of_beta), &mean(beta.grad(&gradients).unwrap()), "by beta");
        if let Some(residual) = residual {
            lenient(&of_residual.unwrap(), &residual.grad(&gradients).unwrap(), "by the residual");
        }
        let statistics = [trained.mean.clone(), trained.variance.clone()];
        let applied = batch_norm::apply(self.x.clone(), statistics, self.parameters.clone(), EPSILON, self.after());
        assert_equal(&applied, &trained.output, "with known statistics");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn outputs_statistics_and_gradients_are_those_of_burn(
        examples in 1..5usize,
        channels in 1..5usize,
        height in 2..12usize,
        width in 4..40usize,
        is_double: bool,
        has_residual: bool,
    ) {
        let dtype = if is_double { DType::F64 } else { DType::F32 };
        // Where a rectification is close to zero, rounding decides on which side: it is tested in double precision.
        Layer::random([examples, channels, height, width], dtype, has_residual, is_double).agrees();
    }
}

#[test]
fn worked_numbers() {
    let device = Device::flex();
    let x = Tensor::<1>::from_floats([1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0], &device).reshape([1, 1, 2, 4]);
    let residual = Tensor::<4>::full([1, 1, 2, 4], 0.5, &device);
    let (gamma, beta) = (Tensor::full([1], 2.0, &device), Tensor::full([1], 1.0, &device));
    let after = After { residual: Some(residual), rectified: true };
    let trained = batch_norm::train(x, gamma, beta, 0.0, after);
    assert_close(&values(&trained.mean), &[2.0], 0.0);
    assert_close(&values(&trained.variance), &[1.0], 0.0);
    // 2 (-1) + 1 + 0.5 < 0 and 2 (1) + 1 + 0.5
    assert_close(&values(&trained.output), &[0.0, 0.0, 0.0, 0.0, 3.5, 3.5, 3.5, 3.5], 1e-6);
}

#[test]
fn single_precision_loses_nothing_far_from_zero() {
    let x = random([8, 2, 16, 16], DType::F32) + 1000.0;
    let exact = x.clone().cast(DType::F64);
    let [gamma, beta] = [Tensor::<1>::ones([2], &Device::flex()), Tensor::zeros([2], &Device::flex())];
    let plain = || After { residual: None, rectified: false };
    let trained = batch_norm::train(x, gamma.clone(), beta.clone(), EPSILON, plain());
    let expected = batch_norm::train(exact, gamma.cast(DType::F64), beta.cast(DType::F64), EPSILON, plain());
    for (found, exact) in values(&trained.variance).iter().zip(values(&expected.variance)) {
        assert!((found / exact - 1.0).abs() < 1e-5, "{found} and {exact}");
    }
}

#[test]
fn views_are_read_as_burn_reads_them() {
    let wide = random([3, 4, 9, 11], DType::F64);
    for x in [wide.clone().narrow(3, 2, 7), wide.clone().swap_dims(0, 1), wide.clone().flip([2])] {
        let channels = x.dims()[1];
        let parameters = [random([channels], DType::F64), random([channels], DType::F64)];
        Layer { residual: Some(x.clone()), x, parameters, rectified: true }.agrees();
    }
}

#[test]
fn small_and_empty_maps_are_left_to_burn() {
    let applies = |dims: [usize; 4]| {
        let parameters = [random([dims[1]], DType::F32), random([dims[1]], DType::F32)];
        batch_norm::applies(&random(dims, DType::F32), [&parameters[0], &parameters[1]], None)
    };
    assert!(applies([1, 3, 2, 4]));
    assert!(!applies([0, 3, 4, 4]) && !applies([2, 3, 0, 4]) && !applies([2, 3, 1, 4]));
    let x = random([2, 3, 4, 4], DType::F32);
    let (single, double) = (random([3], DType::F32), random([3], DType::F64));
    assert!(!batch_norm::applies(&x, [&single, &double], None));
    assert!(!batch_norm::applies(&x, [&single, &single], Some(&random([2, 3, 4, 5], DType::F32))));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (has_residual, rectified) in [(false, false), (false, true), (true, true)] {
        let layer = Layer::random([9, 7, 13, 17], DType::F32, has_residual, rectified);
        let upstream = random([9, 7, 13, 17], DType::F32);
        assert_same_bits_with_any_number_of_threads(move || {
            let trained = layer.trained();
            let (of_x, of_gamma, of_beta, of_residual) = layer.backward(&trained, upstream.clone());
            let mut found: Vec<TensorData> = [of_x, trained.output].map(Tensor::into_data).into();
            found.extend([of_gamma, of_beta, trained.mean].map(Tensor::into_data));
            found.extend(of_residual.map(Tensor::into_data));
            found
        });
    }
}

#[test]
fn rectification_is_that_of_burn_and_changes_no_shared_memory() {
    for dtype in [DType::F32, DType::F64] {
        let x = random([3, 33_333], dtype);
        let kept = x.clone();
        let output = rectify::forward(x.clone().swap_dims(0, 1));
        assert_equal(&output, &activation::relu(x.clone().swap_dims(0, 1)), "rectified");
        let upstream = random([33_333, 3], dtype);
        let gradient = rectify::backward(output.clone(), upstream.clone());
        let expected = upstream.clone() * output.clone().greater_elem(0.0).float().cast(dtype);
        assert_equal(&gradient, &expected, "gradient");
        assert_eq!(x.into_data(), kept.into_data());
    }
    let undefined = Tensor::<1>::from_floats([f32::NAN, -1.0], &Device::flex());
    let output = values(&rectify::forward(undefined));
    assert!(output[0].is_nan() && output[1] == 0.0);
}
