mod settings;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln_check::{assert_close, assert_near, check_gradient, values};

use super::metrics::{edge_f1, gmsd, hf_ratio, psnr};
use super::*;

/// Two batches of images or volumes, the second a distorted copy of the first.
fn pair<const D: usize>(dims: [usize; D], dtype: DType) -> [Tensor<D>; 2] {
    let strides = [0.31, 0.17, 0.23];
    let pixels: usize = dims[2..].iter().product();
    let count = dims[0] * dims[1] * pixels;
    let (mut x, mut y) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for place in 0..count {
        let (plane, mut rest) = ((place / pixels) as f64, place % pixels);
        let mut coordinates = vec![0.0; D - 2];
        for axis in (0..D - 2).rev() {
            coordinates[axis] = (rest % dims[axis + 2]) as f64;
            rest /= dims[axis + 2];
        }
        let slope: f64 = coordinates.iter().zip(strides).map(|(coordinate, stride)| coordinate * stride).sum();
        let (first, last) = (coordinates[0], coordinates[D - 3]);
        let value = 0.5 + 0.3 * (slope + plane).sin() + 0.15 * (2.1 * first - 1.3 * last + 0.5 * plane).sin();
        x.push(value);
        y.push(0.8 * value + 0.07 + 0.06 * (3.7 * first + 5.1 * last + plane).sin());
    }
    [x, y].map(|values| tensor(values, dims, dtype))
}

fn tensor<const D: usize>(values: Vec<f64>, dims: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, dims).convert_dtype(dtype), (&Device::flex(), dtype))
}

fn constant(value: f64, side: usize, dtype: DType) -> Tensor<4> {
    tensor(vec![value; side * side], [1, 1, side, side], dtype)
}

fn ssim(window: Window) -> Ssim {
    SsimConfig::new().with_window(window).init().unwrap()
}

fn gaussian(size: usize) -> Window {
    Window::Gaussian { size, sigma: 1.5 }
}

fn ms_ssim(height: usize, width: usize) -> MsSsim {
    MsSsimConfig::for_size(height, width).unwrap().init().unwrap()
}

const PRECISIONS: [(DType, f64); 2] = [(DType::F32, 2e-6), (DType::F64, 5e-7)];

#[test]
fn similarities_are_those_of_pytorch_msssim() {
    for (dtype, tolerance) in PRECISIONS {
        let [x, y] = pair([2, 3, 24, 31], dtype);
        let found = ssim(gaussian(11)).forward_no_reduction(x.clone(), y.clone());
        assert_close(&values(&found), &[0.925_289_451_8, 0.925_944_594_8], tolerance);
        let found = ssim(gaussian(7)).forward_no_reduction(x, y);
        assert_close(&values(&found), &[0.923_077_633_8, 0.923_090_608_1], tolerance);

        let [x, y] = pair([2, 3, 163, 177], dtype);
        let classic = MsSsimConfig::new().init().unwrap();
        let found = classic.forward_no_reduction(x.clone(), y.clone());
        assert_close(&values(&found), &[0.974_166_906_3, 0.974_166_115_8], tolerance);
        let three = MsSsimConfig::new().with_window(gaussian(5)).with_weights(Some(vec![0.2, 0.3, 0.5]));
        let found = three.init().unwrap().forward_no_reduction(x, y);
        assert_close(&values(&found), &[0.963_074_922_2, 0.963_076_931_5], tolerance);
    }
}

#[test]
fn similarities_of_volumes_are_those_of_pytorch_msssim() {
    for (dtype, tolerance) in PRECISIONS {
        let [x, y] = pair([1, 2, 16, 18, 17], dtype);
        assert_near(values(&ssim(gaussian(11)).forward(x.clone(), y.clone()))[0], 0.933_715_258_1, tolerance);
        assert_near(values(&ssim(gaussian(5)).forward(x, y))[0], 0.923_585_760_5, tolerance);
    }
    let [x, y] = pair([1, 1, 66, 67, 65], DType::F32);
    let classic = MsSsimConfig::new().with_window(gaussian(5)).init().unwrap();
    assert_near(values(&classic.forward(x, y))[0], 0.977_633_361_8, 2e-6);
}

#[test]
fn the_gradient_is_that_of_pytorch_msssim() {
    for dtype in [DType::F32, DType::F64] {
        let [x, y] = pair([2, 3, 163, 177], dtype);
        let (x, y) = (x.autodiff().require_grad(), y.autodiff());
        let similarity = MsSsimConfig::new().init().unwrap().forward(x.clone(), y);
        let gradient = values(&x.grad(&similarity.backward()).unwrap());
        let at = |[n, c, row, column]: [usize; 4]| gradient[((n * 3 + c) * 163 + row) * 177 + column];
        // Relative to the largest slopes, of some 3e-5.
        let scaled = [at([0, 1, 80, 90]), at([1, 0, 5, 100])].map(|slope| slope * 1e5);
        assert_close(&scaled, &[-2.561_388_394_5, -0.062_169_143_997], 1e-4);
        let total: f64 = gradient.iter().map(|slope| slope.abs()).sum();
        assert_near(total, 1.030_460_767_1, 1e-4);
    }
}

#[test]
fn a_box_is_scikit_images_uniform_window() {
    // structural_similarity(x, y, data_range=1, win_size=7, use_sample_covariance=False)
    let [x, y] = pair([1, 1, 24, 31], DType::F32);
    assert_near(values(&ssim(Window::Box { size: 7 }).forward(x, y))[0], 0.935_805_328_6, 2e-6);
}

#[test]
fn constant_images_differ_in_luminance_alone() {
    for (dtype, tolerance) in PRECISIONS {
        let (x, y) = (constant(0.5, 16, dtype), constant(0.25, 16, dtype));
        let c1 = 0.0001;
        let expected = (2.0 * 0.5 * 0.25 + c1) / (0.25 + 0.0625 + c1);
        assert_near(expected, 0.800_064_0, 1e-7);
        assert_near(values(&ssim(gaussian(11)).forward(x.clone(), y.clone()))[0], expected, tolerance);
        // At several scales it counts at the last alone.
        let three = MsSsimConfig::for_size(32, 32).unwrap();
        let weight = three.weights.clone().unwrap()[2];
        let (x, y) = (constant(0.5, 32, dtype), constant(0.25, 32, dtype));
        assert_near(values(&three.init().unwrap().forward(x, y))[0], expected.powf(weight), tolerance);
    }
}

#[test]
fn equal_images_have_similarity_one_and_no_gradient() {
    for (dtype, tolerance) in PRECISIONS {
        let [x, _] = pair([2, 2, 33, 47], dtype);
        let tracked = x.clone().autodiff().require_grad();
        let both = ssim(gaussian(11)).forward(tracked.clone(), x.clone().autodiff())
            + ms_ssim(33, 47).forward(tracked.clone(), x.autodiff());
        assert_near(values(&both)[0], 2.0, tolerance);
        let gradient = values(&tracked.grad(&both.backward()).unwrap());
        assert_close(&gradient, &vec![0.0; gradient.len()], 1e-8);
    }
}

#[test]
fn similarities_are_symmetric_and_bounded() {
    for dtype in [DType::F32, DType::F64] {
        let [x, y] = pair([1, 2, 33, 40], dtype);
        let (ssim, ms_ssim) = (ssim(gaussian(7)), ms_ssim(33, 40));
        for y in [y, -x.clone() + 1.0, x.clone().flip([3])] {
            let there = values(&ssim.forward(x.clone(), y.clone()))[0];
            assert_near(values(&ssim.forward(y.clone(), x.clone()))[0], there, 1e-7);
            assert!(there.abs() < 1.0, "{there}");
            let there = values(&ms_ssim.forward(x.clone(), y.clone()))[0];
            assert_near(values(&ms_ssim.forward(y, x.clone()))[0], there, 1e-7);
            assert!((0.0..1.0).contains(&there), "{there}");
        }
    }
}

#[test]
fn the_unit_of_the_values_does_not_matter() {
    for dtype in [DType::F32, DType::F64] {
        let [x, y] = pair([1, 1, 48, 48], dtype);
        let bytes = SsimConfig::new().with_data_range(255.0).init().unwrap();
        let found = values(&bytes.forward(x.clone() * 255.0, y.clone() * 255.0))[0];
        assert_near(found, values(&ssim(gaussian(11)).forward(x.clone(), y.clone()))[0], 1e-6);
        let unit = MsSsimConfig::for_size(48, 48).unwrap();
        let bytes = unit.clone().with_data_range(255.0).init().unwrap();
        let found = values(&bytes.forward(x.clone() * 255.0, y.clone() * 255.0))[0];
        assert_near(found, values(&unit.init().unwrap().forward(x, y))[0], 1e-6);
    }
}

#[test]
fn a_bright_plane_keeps_its_variance_in_single_precision() {
    // g * x^2 - mu^2 of values near 255 would be the difference of numbers near 65,000, with an error near 0.01.
    let contrast = |dtype| {
        let [x, y] = pair([1, 1, 24, 24], dtype).map(|images| images * 0.02 + 254.9);
        let config = SsimConfig::new().with_data_range(255.0).with_k2(1e-4);
        values(&config.init().unwrap().forward(x, y))[0]
    };
    assert_near(contrast(DType::F32), contrast(DType::F64), 2e-3);
}

#[test]
fn a_shift_of_brightness_leaves_contrast_and_structure_alone() {
    for (dtype, tolerance) in PRECISIONS {
        let [x, _] = pair([1, 1, 40, 40], dtype);
        let statistics = scores::Statistics::new("test", gaussian(11), 1.0, [0.01, 0.03]).unwrap();
        let means = statistics.scale_means(x.clone(), x + 0.3, 2, OddPolicy::ZeroPad);
        assert_near(values(&means)[0], 1.0, tolerance);
        assert!(values(&means)[1] < 0.99);
    }
}

#[test]
fn a_negative_has_negative_similarity_that_counts_as_none_at_several_scales() {
    for dtype in [DType::F32, DType::F64] {
        let [x, _] = pair([1, 1, 40, 40], dtype);
        let negative = -x.clone() + 1.0;
        let single = values(&ssim(gaussian(11)).forward(x.clone(), negative.clone()))[0];
        assert!(single < -0.5, "{single}");
        let nonnegative = SsimConfig::new().with_nonnegative(true).init().unwrap();
        assert_eq!(values(&nonnegative.forward(x.clone(), negative.clone())), [0.0]);
        let tracked = x.autodiff().require_grad();
        for config in [MsSsimConfig::for_size(40, 40).unwrap(), MsSsimConfig::new().with_weights(Some(vec![1.0]))] {
            let similarity = config.init().unwrap().forward(tracked.clone(), negative.clone().autodiff());
            assert_eq!(values(&similarity), [0.0]);
            let gradient = values(&tracked.grad(&similarity.backward()).unwrap());
            assert!(gradient.iter().all(|slope| *slope == 0.0));
        }
    }
}

#[test]
fn one_scale_of_weight_one_is_the_similarity() {
    let [x, y] = pair([2, 1, 20, 25], DType::F32);
    let one = MsSsimConfig::new().with_weights(Some(vec![1.0])).init().unwrap();
    let expected = values(&ssim(gaussian(11)).forward_no_reduction(x.clone(), y.clone()));
    assert_close(&values(&one.forward_no_reduction(x, y)), &expected, 1e-6);
}

#[test]
fn the_mean_of_the_map_is_the_similarity_and_the_map_moves_with_the_images() {
    let [x, y] = pair([1, 2, 24, 30], DType::F64);
    let ssim = ssim(gaussian(7));
    let map = ssim.map(x.clone(), y.clone());
    assert_eq!(map.dims(), [1, 2, 18, 24]);
    assert_near(values(&map.clone().mean())[0], values(&ssim.forward(x.clone(), y.clone()))[0], 1e-9);
    let part = |images: Tensor<4>| images.narrow(2, 3, 20).narrow(3, 5, 25);
    let moved = ssim.map(part(x), part(y));
    assert_close(&values(&moved), &values(&map.narrow(2, 3, 14).narrow(3, 5, 19)), 1e-9);
}

#[test]
fn a_batch_is_the_mean_of_its_images() {
    for dtype in [DType::F32, DType::F64] {
        let [x, y] = pair([3, 2, 32, 32], dtype);
        for loss in losses() {
            let each = values(&loss.dissimilarity(x.clone(), y.clone()));
            let mean = values(&loss.mean_dissimilarity(x.clone(), y.clone()))[0];
            assert_near(mean, each.iter().sum::<f64>() / 3.0, 1e-6);
            for (image, expected) in each.iter().enumerate() {
                let alone = loss.dissimilarity(x.clone().narrow(0, image, 1), y.clone().narrow(0, image, 1));
                assert_near(values(&alone)[0], *expected, 1e-6);
            }
        }
    }
}

/// Every loss on images of 32 x 32 pixels.
fn losses() -> Vec<Box<dyn ImageLoss>> {
    let similarity = MsSsimConfig::for_size(32, 32).unwrap();
    let loss = MsSsimLossConfig::new(similarity.clone());
    let per_pixel = similarity.clone().with_variant(MsSsimVariant::PerPixel);
    vec![
        Box::new(PixelLoss::L1),
        Box::new(PixelLoss::L2),
        Box::new(ssim(gaussian(11))),
        Box::new(similarity.with_odd(OddPolicy::Replicate).init().unwrap()),
        Box::new(loss.init().unwrap()),
        Box::new(loss.clone().with_form(MsSsimForm::NegativeLog).init().unwrap()),
        Box::new(loss.with_share(0.84).init().unwrap()),
        Box::new(MsSsimLossConfig::new(per_pixel).init().unwrap()),
    ]
}

#[test]
fn equal_images_lose_nothing() {
    let [x, _] = pair([1, 2, 32, 32], DType::F64);
    for loss in losses() {
        assert_near(values(&loss.mean_dissimilarity(x.clone(), x.clone()))[0], 0.0, 1e-9);
    }
}

#[test]
fn gradients_are_right() {
    // 13 is odd itself and, halved with a pixel more, once more.
    let dims = [1, 1, 13, 12];
    let [x, y] = pair(dims, DType::F64);
    let flat = values(&x);
    let config = |variant, odd| {
        let config = MsSsimConfig::new().with_window(gaussian(3)).with_weights(Some(vec![0.3, 0.3, 0.4]));
        MsSsimLossConfig::new(config.with_variant(variant).with_odd(odd))
    };
    let mut losses: Vec<Box<dyn ImageLoss>> = vec![
        Box::new(ssim(gaussian(5))),
        Box::new(ssim(Window::Box { size: 3 })),
        Box::new(PixelLoss::L1),
        Box::new(PixelLoss::L2),
    ];
    for odd in [OddPolicy::ZeroPad, OddPolicy::Crop, OddPolicy::Replicate] {
        for variant in [MsSsimVariant::ScaleMean, MsSsimVariant::PerPixel] {
            let config = config(variant, odd);
            losses.push(Box::new(config.init().unwrap()));
            losses.push(Box::new(config.clone().with_form(MsSsimForm::NegativeLog).init().unwrap()));
            losses.push(Box::new(config.with_share(0.5).init().unwrap()));
        }
    }
    for loss in losses {
        let function = |x: Tensor<2>| {
            let y = if x.is_autodiff() { y.clone().autodiff() } else { y.clone() };
            loss.dissimilarity(x.reshape(dims), y) * 100.0
        };
        check_gradient(function, &flat, [13, 12], 1e-5);
    }
}

#[test]
fn extreme_images_have_finite_losses_and_gradients() {
    let images = |value: f64, dtype| tensor(vec![value; 2 * 32 * 32], [1, 2, 32, 32], dtype);
    for dtype in [DType::F32, DType::F64] {
        let [ordinary, _] = pair([1, 2, 32, 32], dtype);
        let black = images(0.0, dtype);
        let pairs = [
            (black.clone(), black.clone()),
            (black.clone(), images(1.0, dtype)),
            (images(80.0, dtype), images(-80.0, dtype)),
            (ordinary.clone(), black),
            (-ordinary.clone() * 80.0, ordinary),
        ];
        for (x, y) in pairs {
            for loss in losses() {
                let x = x.clone().autodiff().require_grad();
                let value = loss.mean_dissimilarity(x.clone(), y.clone().autodiff());
                assert!(values(&value)[0].is_finite(), "{loss:?}");
                let gradient = values(&x.grad(&value.backward()).unwrap());
                assert!(gradient.iter().all(|slope| slope.is_finite()), "{loss:?}");
            }
        }
    }
}

#[test]
fn a_pixel_that_is_no_number_makes_the_loss_none() {
    for dtype in [DType::F32, DType::F64] {
        let [_, y] = pair([1, 2, 32, 32], dtype);
        for loss in losses() {
            assert!(values(&loss.mean_dissimilarity(broken(&y), y.clone()))[0].is_nan(), "{loss:?}");
            assert!(values(&loss.mean_dissimilarity(y.clone(), broken(&y)))[0].is_nan(), "{loss:?}");
        }
        let nonnegative = SsimConfig::new().with_nonnegative(true).init().unwrap();
        assert!(values(&nonnegative.forward(broken(&y), y))[0].is_nan());
        let [_, y] = pair([1, 1, 16, 16, 16], dtype);
        for variant in [MsSsimVariant::ScaleMean, MsSsimVariant::PerPixel] {
            let config = MsSsimConfig::for_size(16, 16).unwrap().with_variant(variant);
            assert!(values(&config.init().unwrap().forward(broken(&y), y.clone()))[0].is_nan(), "{variant:?}");
        }
    }
}

/// The images with one pixel that is no number.
fn broken<const D: usize>(images: &Tensor<D>) -> Tensor<D> {
    let mut pixels = values(images);
    pixels[7] = f64::NAN;
    tensor(pixels, images.dims(), images.dtype())
}

#[test]
fn a_scale_of_weight_0_is_a_factor_of_1() {
    // A checkerboard that is turned around: opposite at the finest scale, and gone at the next.
    let board = |sign: f64| {
        let pixel = |at: usize| {
            let (row, column) = (at / 32, at % 32);
            let checker = if (row + column) % 2 == 0 { 0.2 } else { -0.2 };
            0.5 + 0.2 * (0.3 * row as f64 + sign * 0.05).sin() * (0.2 * column as f64).cos() + sign * checker
        };
        (0..32 * 32).map(pixel).collect::<Vec<_>>()
    };
    let config = |weights: Vec<f64>| MsSsimConfig::new().with_window(gaussian(5)).with_weights(Some(weights));
    for dtype in [DType::F32, DType::F64] {
        let [x, y] = [1.0, -1.0].map(|sign| tensor::<4>(board(sign), [1, 1, 32, 32], dtype));
        assert!(values(&ssim(gaussian(5)).forward(x.clone(), y.clone()))[0] < -0.5);
        let similarity_and_slopes = |config: MsSsimConfig, halved: bool| {
            let tracked = x.clone().autodiff().require_grad();
            let image = |x: Tensor<4>| if halved { means_of_four(x) } else { x };
            let found = config.init().unwrap().forward(image(tracked.clone()), image(y.clone().autodiff()));
            let slopes = tracked.grad(&found.clone().backward()).unwrap();
            (values(&found)[0], values(&slopes))
        };
        for variant in [MsSsimVariant::ScaleMean, MsSsimVariant::PerPixel] {
            let (found, slopes) = similarity_and_slopes(config(vec![0.0, 1.0]).with_variant(variant), false);
            assert!(found > 0.9, "{variant:?}: {found}");
            assert!(slopes.iter().all(|slope| slope.is_finite()) && slopes.iter().any(|slope| *slope != 0.0));
        }
        let (found, slopes) = similarity_and_slopes(config(vec![0.0, 1.0]), false);
        let (expected, expected_slopes) = similarity_and_slopes(config(vec![1.0]), true);
        assert_near(found, expected, 1e-6);
        assert_close(&slopes, &expected_slopes, 1e-6);
    }
}

fn means_of_four(images: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let blocks = images.reshape([batch * channels, height / 2, 2, width / 2, 2]);
    blocks.mean_dim(2).mean_dim(4).reshape([batch, channels, height / 2, width / 2])
}

#[test]
fn windows_have_the_worked_weights() {
    let taps = gaussian(11).taps();
    assert_close(&taps[5..7], &[0.266_011_7, 0.213_005_5], 1e-7);
    assert_near(taps.iter().sum(), 1.0, 1e-12);
    assert_close(&Window::Box { size: 5 }.taps(), &[0.2; 5], 1e-12);
    // Blurring along both axes is the blur with the outer product.
    let [x, y] = pair([1, 1, 11, 11], DType::F64);
    let mean = |images: Tensor<4>| {
        let pixels = values(&images);
        let weights = taps.iter().flat_map(|a| taps.iter().map(move |b| a * b));
        pixels.iter().zip(weights).map(|(pixel, weight)| pixel * weight).sum::<f64>()
    };
    let (mx, my) = (mean(x.clone()), mean(y.clone()));
    let [vx, vy] = [(&x, mx), (&y, my)].map(|(images, m)| mean(images.clone().square()) - m * m);
    let covariance = mean(x.clone() * y.clone()) - mx * my;
    let (c1, c2) = (0.0001, 0.0009);
    let expected = (2.0 * mx * my + c1) / (mx * mx + my * my + c1) * (2.0 * covariance + c2) / (vx + vy + c2);
    assert_near(values(&ssim(gaussian(11)).forward(x, y))[0], expected, 1e-10);
}

#[test]
fn the_mixture_weights_the_error_by_the_coarsest_window() {
    let similarity = MsSsimConfig::new().with_window(Window::Box { size: 3 }).with_weights(Some(vec![0.5, 0.5]));
    let mixture = MsSsimLossConfig::new(similarity).with_share(0.0).init().unwrap();
    // A box of 3 at the second scale is one of 5 pixels, which fits an image of 6 in 2 x 2 places: the four corners are seen by
    // one of the four, the inner 4 x 4 by all.
    let error = |row: usize, column: usize| {
        let mut pixels = vec![0.0; 36];
        pixels[row * 6 + column] = 1.0;
        let x = tensor(pixels, [1, 1, 6, 6], DType::F64);
        values(&mixture.forward(x.clone(), x.zeros_like()))[0]
    };
    assert_near(error(0, 0), 1.0 / 100.0, 1e-12);
    assert_near(error(0, 2), 2.0 / 100.0, 1e-12);
    assert_near(error(3, 3), 4.0 / 100.0, 1e-12);
    // The weights sum to 1.
    let (x, y) = (constant(0.7, 6, DType::F64), constant(0.4, 6, DType::F64));
    assert_near(values(&mixture.forward(x, y))[0], 0.3, 1e-12);
}

#[test]
fn the_expected_loss_with_squared_errors_is_the_gaussian_autoencoder() {
    let [x, y] = pair([2, 1, 4, 4], DType::F64);
    let code = |values: [f64; 4]| tensor(values.to_vec(), [2, 2], DType::F64);
    let (mean, log_variance) = (code([0.3, -1.0, 2.0, 0.0]), code([0.0, -2.0, 0.5, 1.0]));
    let kl = values(&kl_divergence(mean.clone(), log_variance.clone()));
    let nats = |mu: f64, lv: f64| 0.5 * (mu * mu + lv.exp() - lv - 1.0);
    let expected = [nats(0.3, 0.0) + nats(-1.0, -2.0), nats(2.0, 0.5) + nats(0.0, 1.0)];
    assert_close(&kl, &expected, 1e-12);
    assert_close(&values(&kl_divergence(code([0.0; 4]), code([0.0; 4]))), &[0.0, 0.0], 0.0);
    // -log N(x; y, 1) is half the sum of squares, up to a constant: half of 16 pixels times their mean.
    let loss = ElVaeLossConfig::new(8.0).init(PixelLoss::L2).unwrap();
    let squares: f64 = values(&(x.clone() - y.clone()).square().sum())[0];
    let expected = (expected[0] + expected[1]) / 2.0 + 0.5 * squares / 2.0;
    assert_near(values(&loss.forward(x, y, mean, log_variance))[0], expected, 1e-12);
}

#[test]
fn measures_have_the_worked_values() {
    // Computed with numpy and scipy from the definitions.
    for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-8)] {
        let [x, y] = pair([2, 1, 24, 31], dtype);
        let found = values(&psnr(x.clone(), y.clone(), 1.0));
        assert_close(&found, &[23.018_628_352_257, 23.116_818_901_729], tolerance);
        let found = values(&gmsd(x.clone(), y.clone(), 1.0));
        assert_close(&found, &[0.008_732_359_480_6, 0.010_951_245_913], tolerance);
        let found = values(&edge_f1(x.clone(), y.clone(), 0.2));
        assert_close(&found, &[0.744_966_443, 0.721_088_435_4], 1e-7);
        let found = values(&hf_ratio(x, y));
        assert_close(&found, &[1.249_087_756_547_7, 1.253_734_334_872_6], tolerance);
    }
}

#[test]
fn measures_of_equal_and_of_flat_images() {
    let [x, _] = pair([1, 2, 16, 20], DType::F32);
    assert_eq!(values(&psnr(x.clone(), x.clone(), 1.0)), [f64::INFINITY]);
    assert_near(values(&gmsd(x.clone(), x.clone(), 1.0))[0], 0.0, 1e-6);
    assert_eq!(values(&edge_f1(x.clone(), x.clone(), 0.1)), [1.0]);
    assert_near(values(&hf_ratio(x.clone(), x))[0], 1.0, 1e-6);
    let (grey, white) = (constant(0.5, 16, DType::F32), constant(1.0, 16, DType::F32));
    assert_near(values(&psnr(grey.clone(), white.clone(), 1.0))[0], 20.0 * 2f64.log10(), 1e-5);
    assert_eq!(values(&edge_f1(grey.clone(), white.clone(), 0.1)), [1.0]);
    assert!(values(&hf_ratio(grey.clone(), white.clone()))[0].is_finite());
    assert_near(values(&gmsd(grey, white, 1.0))[0], 0.0, 1e-6);
}
