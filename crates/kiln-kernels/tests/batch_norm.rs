//! The kernels of batch normalisation against Burn's own operations.

mod maps;

use burn::tensor::{DType, Device, Tensor, TensorData, activation, module};
use kiln_check::random::cases;
use kiln_check::rounding::{Bounded, double};
use kiln_check::{assert_close, values};
use kiln_kernels::activation::Function;
use kiln_kernels::batch_norm::{self, After, Saved};
use kiln_kernels::rectify;
use maps::{assert_same_bits_with_any_number_of_threads, random};
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

    /// The maps by Burn's elementary operations in double precision, and what they are pulled back to.
    fn formula(&self, upstream: &Tensor<4>) -> OfFormula {
        let x = double(&self.x).autodiff().require_grad();
        let parameters = self.parameters.each_ref().map(|parameter| double(parameter).autodiff().require_grad());
        let residual = self.residual.as_ref().map(|residual| double(residual).autodiff().require_grad());
        let [gamma, beta] = parameters.clone().map(of_channels);
        let mean = mean_of_channels(x.clone());
        let centred = x.clone() - mean.clone();
        let variance = mean_of_channels(centred.clone().square());
        let normalised = centred / (variance.clone() + EPSILON).sqrt() * gamma + beta;
        let moved = residual.iter().fold(normalised, |moved, residual| moved + residual.clone());
        let output = if self.rectified { activation::relu(moved) } else { moved };
        let gradients = (output.clone() * double(upstream).autodiff()).sum().backward();
        OfFormula {
            output,
            statistics: [mean, variance],
            of_x: x.grad(&gradients).unwrap(),
            of_parameters: parameters.map(|parameter| of_channels(parameter.grad(&gradients).unwrap())),
            of_residual: residual.map(|residual| residual.grad(&gradients).unwrap()),
        }
    }

    /// The same with the roundings of the kernel.
    fn rounded(&self, upstream: &Tensor<4>, passed: Tensor<4>) -> Rounded {
        let [examples, _, height, width] = self.x.dims();
        let count = examples * height * width;
        // Maps by 32 lanes, what is left of them and rows one after the other, in stretches that are added up in double
        // precision.
        let roundings = match height * width {
            _ if self.x.dtype() == DType::F64 => count,
            1 => 1 + examples.min(64),
            pixels => 1 + count.min(2048) / 32 + 6 + examples.min(2048 / pixels).max(1) * (pixels % 32),
        };
        let sum = |x: Bounded<4>| x.linear(roundings, sum_of_channels);
        let mean = |x: Bounded<4>| sum(x).scaled(1.0 / count as f64);
        let [gamma, beta] = self.parameters.clone().map(|parameter| Bounded::given(&of_channels(parameter)));

        let statistics_mean = mean(Bounded::given(&self.x));
        let centred = Bounded::given(&self.x) - statistics_mean.clone().linear(1, |mean| mean);
        let variance = mean(centred.clone() * centred.clone());
        let rate = variance.clone().linear(1, |variance| variance).shifted(EPSILON).recip_of_root();
        let scale = gamma * rate.clone();
        let u = centred.clone() * rate;
        let normalised = centred * scale.clone() + beta;
        let moved = self.residual.iter().fold(normalised, |moved, residual| moved + Bounded::given(residual));
        let output = if self.rectified { moved.rectified() } else { moved };

        let h = Bounded::given(upstream).linear(0, |upstream| upstream * passed.clone());
        let along = h.clone() * u.clone();
        let of_x = (h.clone() - mean(h.clone()) - u * mean(along.clone())) * scale;
        Rounded {
            output,
            statistics: [statistics_mean, variance],
            of_x,
            of_parameters: [sum(along), sum(h.clone())],
            of_residual: h,
        }
    }

    fn agrees(&self) {
        let trained = self.trained();
        let upstream = random(self.x.dims(), self.x.dtype());
        let (of_x, of_gamma, of_beta, of_residual) = self.backward(&trained, upstream.clone());

        let expected = self.formula(&upstream);
        let passed = expected.output.clone().inner().greater_elem(0.0).float().cast(DType::F64);
        let passed = if self.rectified { passed } else { passed.ones_like() };
        let rounded = self.rounded(&upstream, passed);
        rounded.output.around(&expected.output).assert_holds(&trained.output, "output");
        let [mean, variance] = rounded.statistics;
        let [expected_mean, expected_variance] = expected.statistics;
        mean.around(&expected_mean).assert_holds(&of_channels(trained.mean.clone()), "mean");
        variance.around(&expected_variance).assert_holds(&of_channels(trained.variance.clone()), "variance");
        rounded.of_x.around(&expected.of_x).assert_holds(&of_x, "gradient by the input");
        let [by_gamma, by_beta] = rounded.of_parameters;
        let [expected_gamma, expected_beta] = expected.of_parameters;
        by_gamma.around(&expected_gamma).assert_holds(&of_channels(of_gamma), "by gamma");
        by_beta.around(&expected_beta).assert_holds(&of_channels(of_beta), "by beta");
        if let Some(expected) = expected.of_residual {
            rounded.of_residual.around(&expected).assert_holds(&of_residual.unwrap(), "by the residual");
        }
        // The same numbers give the same maps, but for the rounding of the statistics on their way.
        let statistics = [trained.mean.clone(), trained.variance.clone()];
        let applied = batch_norm::apply(self.x.clone(), statistics, self.parameters.clone(), EPSILON, self.after());
        let plain = Bounded::given(&self.x) - Bounded::given(&of_channels(trained.mean));
        let rate = Bounded::given(&of_channels(trained.variance)).shifted(EPSILON).recip_of_root();
        let [gamma, beta] = self.parameters.clone().map(|parameter| Bounded::given(&of_channels(parameter)));
        let moved = plain * (gamma * rate) + beta;
        let moved = self.residual.iter().fold(moved, |moved, residual| moved + Bounded::given(residual));
        let bounds = if self.rectified { moved.rectified() } else { moved };
        bounds.assert_holds(&applied, "with known statistics");
    }
}

/// What the formula gives, statistics and parameters as `[1, channels, 1, 1]`.
struct OfFormula {
    output: Tensor<4>,
    statistics: [Tensor<4>; 2],
    of_x: Tensor<4>,
    of_parameters: [Tensor<4>; 2],
    of_residual: Option<Tensor<4>>,
}

struct Rounded {
    output: Bounded<4>,
    statistics: [Bounded<4>; 2],
    of_x: Bounded<4>,
    of_parameters: [Bounded<4>; 2],
    of_residual: Bounded<4>,
}

fn of_channels(vector: Tensor<1>) -> Tensor<4> {
    let channels = vector.dims()[0];
    vector.reshape([1, channels, 1, 1])
}

fn sum_of_channels(maps: Tensor<4>) -> Tensor<4> {
    maps.sum_dim(0).sum_dim(2).sum_dim(3)
}

fn mean_of_channels(maps: Tensor<4>) -> Tensor<4> {
    maps.mean_dim(0).mean_dim(2).mean_dim(3)
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn outputs_statistics_and_gradients_are_those_of_the_formula(
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

    #[test]
    fn so_are_those_of_rows(examples in 1..200usize, channels in 1..100usize, is_double: bool, has_residual: bool) {
        let dtype = if is_double { DType::F64 } else { DType::F32 };
        Layer::random([examples, channels, 1, 1], dtype, has_residual, is_double).agrees();
    }
}

#[test]
fn so_are_those_of_many_maps_and_of_large_ones() {
    // More than one task of planes and of channels, more than one stretch of small planes and of one large plane.
    for dims in [[40, 7, 13, 17], [150, 33, 2, 5], [3, 5, 50, 61], [20, 2, 32, 32]] {
        for (dtype, has_residual) in [(DType::F32, false), (DType::F64, false), (DType::F64, true)] {
            Layer::random(dims, dtype, has_residual, dtype == DType::F64).agrees();
        }
    }
}

#[test]
fn a_matrix_is_as_maps_of_one_pixel() {
    let layer = Layer::random([70, 40, 1, 1], DType::F32, false, true);
    let [gamma, beta] = layer.parameters.clone();
    let rows: Tensor<2> = layer.x.clone().reshape([70, 40]);
    assert!(batch_norm::applies(&rows, [&gamma, &beta], None));
    let trained = batch_norm::train(rows, gamma, beta, EPSILON, After { residual: None, rectified: true });
    let expected = layer.trained();
    assert_eq!(values(&trained.output), values(&expected.output));
    assert_eq!(values(&trained.variance), values(&expected.variance));
}

/// The formula of these tests is that of Burn.
#[test]
fn maps_and_statistics_are_those_of_burn() {
    let x = random([3, 4, 6, 7], DType::F64);
    let parameters = [random([4], DType::F64), random([4], DType::F64)];
    let layer = Layer { x, parameters, residual: None, rectified: false };
    let [gamma, beta] = layer.parameters.clone();
    let expected = module::batch_norm_train(layer.x.clone(), gamma, beta, EPSILON);
    let trained = layer.trained();
    assert_close(&values(&trained.output), &values(&expected.output), 1e-12);
    assert_close(&values(&trained.mean), &values(&expected.mean), 1e-13);
    assert_close(&values(&trained.variance), &values(&expected.variance), 1e-13);
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
fn single_precision_loses_nothing_where_the_first_numbers_are_unlike_the_others() {
    for [height, width] in [[2, 4], [8, 8], [32, 32], [70, 70]] {
        let others = random([256, 1, height, width], DType::F32);
        let first = others.clone().narrow(0, 0, 1).narrow(2, 0, 1) + 1e4;
        let x = others.slice_assign([0..1, 0..1, 0..1, 0..width], first);
        let exact = double(&x);
        let mean = exact.clone().mean();
        let variance: f64 = (exact - mean.unsqueeze()).square().mean().into_scalar();
        let [gamma, beta] = [Tensor::<1>::ones([1], &Device::flex()), Tensor::zeros([1], &Device::flex())];
        let trained = batch_norm::train(x, gamma, beta, EPSILON, After { residual: None, rectified: false });
        let found = f64::from(trained.variance.into_scalar::<f32>());
        assert!((found / variance - 1.0).abs() < 2e-6, "{height} x {width}: {found} and {variance}");
    }
}

#[test]
fn statistics_of_what_is_not_a_number_are_no_numbers() {
    for wrong in [f32::NAN, f32::INFINITY] {
        for at in [0, 100] {
            let numbers = random([3, 2, 8, 8], DType::F32);
            let place = Tensor::full([1, 1, 1, 1], wrong, &Device::flex());
            let (row, col) = (at / 8 % 8, at % 8);
            let x = numbers.slice_assign([1..2, 1..2, row..row + 1, col..col + 1], place);
            let [gamma, beta] = [Tensor::<1>::ones([2], &Device::flex()), Tensor::zeros([2], &Device::flex())];
            let trained = batch_norm::train(x, gamma, beta, EPSILON, After { residual: None, rectified: false });
            let variance = values(&trained.variance);
            assert!(variance[0].is_finite() && !variance[1].is_finite(), "{wrong} at {at}: {variance:?}");
            assert!(!values(&trained.mean)[1].is_finite(), "{wrong} at {at}");
        }
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
    assert!(applies([1, 3, 2, 4]) && applies([5, 3, 1, 1]));
    assert!(!applies([0, 3, 4, 4]) && !applies([2, 3, 0, 4]) && !applies([2, 3, 1, 4]));
    let x = random([2, 3, 4, 4], DType::F32);
    let (single, double) = (random([3], DType::F32), random([3], DType::F64));
    assert!(!batch_norm::applies(&x, [&single, &double], None));
    assert!(!batch_norm::applies(&x, [&single, &single], Some(&random([2, 3, 4, 5], DType::F32))));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // More than one task of each pass.
    let shapes = [[40, 7, 13, 17], [300, 129, 1, 1]];
    let kinds = [(false, false), (false, true), (true, true)];
    for (dims, (has_residual, rectified)) in shapes.into_iter().flat_map(|dims| kinds.map(|kind| (dims, kind))) {
        let layer = Layer::random(dims, DType::F32, has_residual, rectified);
        let upstream = random(dims, DType::F32);
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
        assert_eq!(values(&output), values(&activation::relu(x.clone().swap_dims(0, 1))));
        let upstream = random([33_333, 3], dtype);
        let gradient = rectify::backward(output.clone(), upstream.clone());
        let expected = upstream.clone() * output.clone().greater_elem(0.0).float().cast(dtype);
        assert_eq!(values(&gradient), values(&expected));
        assert_eq!(x.into_data(), kept.into_data());
    }
}

/// What is not a number stays that, and its gradient passes, as with Burn's operation.
#[test]
fn rectification_hides_nothing_that_is_not_a_number() {
    let device = Device::flex();
    let x = || Tensor::<1>::from_floats([f32::NAN, -1.0, 0.0, 2.0], &device);
    let upstream = || Tensor::<1>::from_floats([3.0, 4.0, 5.0, 6.0], &device);
    let tracked = x().autodiff().require_grad();
    let expected = activation::relu(tracked.clone());
    let by_burn = values(&tracked.grad(&(expected * upstream().autodiff()).sum().backward()).unwrap());
    assert_eq!(by_burn, [3.0, 0.0, 0.0, 6.0]);

    let output = rectify::forward(x());
    assert!(values(&output)[0].is_nan());
    assert_eq!(values(&output)[1..], [0.0, 0.0, 2.0]);
    assert_eq!(values(&rectify::backward(output, upstream())), by_burn);
    let (output, slopes) = kiln_kernels::activation::forward_with_slope(Function::Relu, x());
    assert!(values(&output)[0].is_nan());
    assert_eq!(values(&slopes), [1.0, 0.0, 0.0, 1.0]);
}

/// A channel with a number that is none has no other gradient than that, with what is added and without.
#[test]
fn a_rectified_channel_passes_the_gradient_of_what_is_not_a_number() {
    for has_residual in [false, true] {
        let mut layer = Layer::random([2, 2, 3, 4], DType::F64, has_residual, true);
        let nan = Tensor::full([1, 1, 1, 1], f64::NAN, (&Device::flex(), DType::F64));
        layer.x = layer.x.slice_assign([0..1, 0..1, 1..2, 1..2], nan);
        let trained = layer.trained();
        let (of_x, of_gamma, of_beta, of_residual) = layer.backward(&trained, random([2, 2, 3, 4], DType::F64));
        assert!(values(&trained.output.narrow(1, 0, 1)).iter().all(|value| value.is_nan()));
        assert!(values(&of_x.clone().narrow(1, 0, 1)).iter().all(|value| value.is_nan()));
        assert!(values(&of_x.narrow(1, 1, 1)).iter().all(|value| value.is_finite()));
        assert!(values(&of_gamma)[0].is_nan() && values(&of_gamma)[1].is_finite());
        // The upstream gradient passes as it is where the output is not a number.
        assert!(values(&of_beta)[0] != 0.0 && values(&of_beta)[0].is_finite());
        if let Some(of_residual) = of_residual {
            assert!(values(&of_residual.narrow(1, 0, 1)).iter().all(|value| *value != 0.0));
        }
    }
}

#[test]
#[should_panic(expected = "maps of shape [2, 3, 4, 4] and channels of shape [5] do not fit")]
fn channels_that_do_not_fit_are_named() {
    let after = After { residual: None, rectified: false };
    batch_norm::train(
        random([2, 3, 4, 4], DType::F32),
        random([3], DType::F32),
        random([5], DType::F32),
        EPSILON,
        after,
    );
}

#[test]
#[should_panic(expected = "maps of shape [2, 3, 4, 4] and others of shape [2, 3, 4, 5] do not fit")]
fn a_residual_that_does_not_fit_is_named() {
    let layer = Layer {
        residual: Some(random([2, 3, 4, 5], DType::F32)),
        ..Layer::random([2, 3, 4, 4], DType::F32, false, true)
    };
    layer.trained();
}
