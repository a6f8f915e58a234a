//! Custom gradients on a device that has no node of its own: the function runs there, its node lives on Flex.
//!
//! ```sh
//! cargo test -p kiln-autodiff --features ndarray --test other_backend
//! ```

// Burn keeps this backend for one more release; it is the only other one that needs no library of the system.
#![allow(deprecated)]

use burn::tensor::{Device, Tensor};
use kiln_autodiff::{custom_gradient, map_gradient, straight_through};
use kiln_check::{assert_close, values};

#[test]
fn a_rule_sees_its_own_device_and_its_gradients_arrive() {
    let device = Device::ndarray();
    let x = Tensor::<1>::from_floats([1.0, 2.0], &device.clone().autodiff()).require_grad();
    let scale = Tensor::<1>::from_floats([10.0], &device);
    let output = custom_gradient(
        (x.clone() * 2, scale),
        |(x, scale)| {
            assert_eq!((x.device(), scale.device()), (Device::ndarray(), Device::ndarray()));
            (x.clone().square() * scale.clone(), (x, scale))
        },
        |(x, scale), upstream, wanted| {
            assert_eq!(wanted, [true, false]);
            assert_eq!(upstream.device(), Device::ndarray());
            (Some(x * scale * upstream * 2), None)
        },
    );
    assert_eq!(output.device(), device.autodiff());
    assert_close(&values(&output), &[40.0, 160.0], 0.0);
    // d/dx 3 * 10 (2 x)^2 = 240 x
    let gradient = x.grad(&(output * 3).sum().backward()).unwrap();
    assert_eq!(gradient.device(), Device::ndarray());
    assert_close(&values(&gradient), &[240.0, 480.0], 1e-6);
}

#[test]
fn checkpointing_graphs_work_there_too() {
    let device = Device::ndarray().autodiff().gradient_checkpointing();
    let x = Tensor::<1>::from_floats([0.3, -1.6], &device).require_grad();
    let rounded = straight_through(x.clone().round(), x.clone());
    let clipped = map_gradient(rounded * 5, |gradient| gradient.clamp(-1.0, 1.0));
    assert_close(&values(&clipped), &[0.0, -10.0], 0.0);
    let gradient = x.grad(&(clipped * 7).sum().backward()).unwrap();
    assert_close(&values(&gradient), &[5.0, 5.0], 0.0);
}
