//! What is refused, what is chosen, and what the ends of the ranges give.

use proptest::prelude::*;

use super::*;
use crate::LossError;

#[test]
fn sizes_decide_windows_and_scales() {
    let found = |height, width| {
        let config = MsSsimConfig::for_size(height, width).unwrap();
        let weights = config.weights.clone().unwrap();
        assert_near(weights.iter().sum(), 1.0, 1e-12);
        let measure = config.init().unwrap();
        assert_eq!(measure.check_size(&[height, width]), Ok(()));
        (measure.scales(), measure.window().size())
    };
    assert_eq!(found(256, 300), (5, 11));
    assert_eq!(found(96, 96), (5, 5));
    assert_eq!(found(32, 32), (3, 7));
    assert_eq!(found(28, 28), (3, 7));
    assert_eq!(found(8, 100), (1, 7));
    assert_eq!(found(3, 3), (1, 3));
    let error = MsSsimConfig::for_size(2, 100).unwrap_err().to_string();
    assert_eq!(
        error,
        "ms-ssim: images of 2 x 100 have no room for a window of 3 at 1 scale(s): every side must be at least 3. Take a \
         smaller window"
    );
}

#[test]
fn what_is_chosen_stays_and_the_rest_fits_it() {
    let found = |scales, window| {
        MsSsimConfig::for_size_with(64, 48, scales, window).map(|config| {
            let measure = config.init().unwrap();
            assert_eq!(measure.check_size(&[64, 48]), Ok(()));
            (measure.scales(), measure.window().size())
        })
    };
    assert_eq!(found(None, None), Ok((4, 5)));
    assert_eq!(found(Some(3), None), Ok((3, 11)));
    assert_eq!(found(None, Some(9)), Ok((3, 9)));
    assert_eq!(found(None, Some(1)), Ok((5, 1)));
    assert_eq!(found(Some(2), Some(7)), Ok((2, 7)));
    let fitting = |scales, window| match found(scales, window) {
        Err(LossError::ImageSize { fitting, .. }) => fitting,
        other => panic!("{other:?}"),
    };
    assert_eq!(fitting(Some(5), Some(5)), 4);
    assert_eq!(fitting(None, Some(49)), 0);
    for (scales, window) in [(Some(0), None), (Some(6), None), (None, Some(4)), (None, Some(usize::MAX))] {
        assert!(matches!(found(scales, window), Err(LossError::Setting { .. })), "{scales:?}, {window:?}");
    }
    let one = |height, width| SsimConfig::for_size(height, width).map(|config| config.window.size());
    assert_eq!((one(64, 48), one(8, 100), one(3, 3)), (Ok(11), Ok(7), Ok(3)));
    assert!(matches!(one(2, 100), Err(LossError::ImageSize { least: 3, .. })));
}

#[test]
fn images_that_are_too_small_are_refused_with_what_fits() {
    let classic = MsSsimConfig::new().init().unwrap();
    assert_eq!(classic.check_size(&[161, 161]), Ok(()));
    let error = classic.check_size(&[160, 300]).unwrap_err();
    assert!(matches!(error, LossError::ImageSize { least: 161, fitting: 4, .. }), "{error}");
    let error = classic.check_size(&[32, 32]).unwrap_err().to_string();
    assert!(error.contains("32 x 32") && error.contains("at most 2 scale(s) fit"), "{error}");
    let cropped = MsSsimConfig::new().with_odd(OddPolicy::Crop).init().unwrap();
    assert!(cropped.check_size(&[175, 300]).is_err());
    assert_eq!(cropped.check_size(&[176, 176]), Ok(()));
    assert!(ssim(gaussian(11)).check_size(&[10, 11]).is_err());
    assert_eq!(ssim(gaussian(11)).check_size(&[11, 11]), Ok(()));
}

#[test]
#[should_panic(expected = "images of 32 x 32 have no room for a window of 11 at 5 scale(s)")]
fn scales_are_never_left_out_silently() {
    let [x, y] = pair([1, 1, 32, 32], DType::F32);
    MsSsimConfig::new().init().unwrap().forward(x, y);
}

#[test]
#[should_panic(expected = "the images differ in shape")]
fn images_of_different_shapes_are_refused() {
    ssim(gaussian(11)).forward(constant(0.5, 16, DType::F32), constant(0.5, 17, DType::F32));
}

#[test]
fn settings_out_of_range_are_refused() {
    let even = SsimConfig::new().with_window(gaussian(10)).init().unwrap_err().to_string();
    assert_eq!(even, "ssim: window size = 10 is out of range, it must be odd, so that it has a centre");
    for size in [1025, usize::MAX] {
        for window in [gaussian(size), Window::Box { size }] {
            let error = MsSsimConfig::new().with_window(window).init().unwrap_err().to_string();
            assert!(error.contains("window size") && error.contains("at most 1023 pixels"), "{error}");
        }
    }
    for sigma in [0.0, -1.0, 1e-200, 0.09, 1e4, f64::NAN] {
        let error = SsimConfig::new().with_window(Window::Gaussian { size: 5, sigma }).init().unwrap_err().to_string();
        assert!(error.contains("window sigma") && error.contains("from 0.1 to 1000 pixels"), "{error}");
    }
    for wrong in [0.0, -1.0, 1e-200, 1e200, f64::NAN, f64::INFINITY] {
        for (error, range) in [
            (SsimConfig::new().with_data_range(wrong).init().unwrap_err(), "data_range = "),
            (MsSsimConfig::new().with_data_range(wrong).init().unwrap_err(), "it must be from 1e-6 to 1e9"),
            (SsimConfig::new().with_k1(wrong).init().unwrap_err(), "k1 = "),
            (MsSsimConfig::new().with_k2(wrong).init().unwrap_err(), "it must be from 1e-6 to 1"),
        ] {
            assert!(error.to_string().contains(range), "{error}");
        }
    }
    for weights in [vec![], vec![0.0, 0.0], vec![0.5, -0.1], vec![f64::NAN], vec![1e300]] {
        assert!(MsSsimConfig::new().with_weights(Some(weights.clone())).init().is_err(), "{weights:?}");
    }
    for share in [-0.1, 1.1, f64::NAN] {
        assert!(MsSsimLossConfig::new(MsSsimConfig::new()).with_share(share).init().is_err(), "{share}");
    }
    for c in [0.0, -1.0, f64::NAN] {
        assert!(ElVaeLossConfig::new(c).init(PixelLoss::L2).is_err(), "{c}");
    }
}

#[test]
fn settings_at_the_ends_of_their_ranges_have_finite_values_and_slopes() {
    let window = |sigma| Window::Gaussian { size: 7, sigma };
    for (range, k, sigma) in [(1e-6, 1e-6, 0.1), (1e9, 1e-6, 1e3), (1e-6, 1.0, 1e3), (1e9, 1.0, 0.1)] {
        for dtype in [DType::F32, DType::F64] {
            let [x, y] = pair([1, 1, 16, 16], dtype).map(|images| images * range);
            let flat = x.zeros_like();
            for (x, y) in [(x.clone(), y), (flat.clone(), flat), (x.clone(), x.zeros_like())] {
                let config = SsimConfig::new().with_window(window(sigma)).with_data_range(range).with_k1(k).with_k2(k);
                let x = x.autodiff().require_grad();
                let value = config.init().unwrap().forward(x.clone(), y.autodiff());
                assert!(values(&value)[0].abs() <= 1.0 + 1e-6, "{range}, {k}, {sigma}: {value}");
                let slopes = values(&x.grad(&value.backward()).unwrap());
                assert!(slopes.iter().all(|slope| slope.is_finite()), "{range}, {k}, {sigma}");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_size_gets_a_measure_that_fits_it(height in 0_usize..400, width in 0_usize..400) {
        match MsSsimConfig::for_size(height, width) {
            Ok(config) => prop_assert_eq!(config.init().unwrap().check_size(&[height, width]), Ok(())),
            Err(_) => prop_assert!(height.min(width) < 3),
        }
    }
}
