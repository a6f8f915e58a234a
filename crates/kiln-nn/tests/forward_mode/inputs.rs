//! Derivatives with respect to the inputs.

use burn::tensor::{Device, Tensor};
use kiln_autodiff::{Arithmetic, Jets, Values, hessian, jvp, laplacian};
use kiln_check::{assert_close, values};

use crate::differences::{STEP, assert_relatively_close, curvature, slope};
use crate::networks::{all, init, smooth, tensor};

#[test]
fn outputs_features_and_first_derivatives() {
    for config in all() {
        println!("{config:?}");
        let network = init(&config, 8, &Device::flex());
        let (inputs, direction) = (tensor([4, 64], 1), tensor([4, 64], 2));
        let along = |h: f64| inputs.clone() + direction.clone() * h;
        let (outputs, derivative) = jvp(|duals, x| network.forward_in(duals, x), inputs.clone(), direction.clone());
        assert_close(&values(&outputs), &values(&network.forward(inputs.clone())), 1e-12);
        assert_relatively_close(&values(&derivative), &slope(STEP, |h| network.forward(along(h))));

        let (features, derivative) = jvp(|duals, x| network.features_in(duals, x), inputs.clone(), direction.clone());
        assert_close(&values(&features), &values(&network.features(inputs.clone())), 1e-12);
        assert_relatively_close(&values(&derivative), &slope(STEP, |h| network.features(along(h))));
        let (_, derivative) = jvp(|duals, x| network.head_in(duals, x), features.clone(), features.clone());
        let direction = features.clone();
        assert_relatively_close(
            &values(&derivative),
            &slope(STEP, |h| network.head(features.clone() + direction.clone() * h)),
        );
    }
}

#[test]
fn plain_values_are_the_ordinary_pass() {
    for config in all() {
        let network = init(&config, 8, &Device::flex());
        let inputs = tensor([4, 64], 1);
        let outputs = network.forward_in(&Values, inputs.clone());
        assert_eq!(outputs.into_data(), network.forward(inputs.clone()).into_data(), "{config:?}");
        assert_eq!(Values.order(), 0);
    }
}

#[test]
fn jets_hold_the_first_three_derivatives() {
    for config in smooth() {
        println!("{config:?}");
        let network = init(&config, 4, &Device::flex());
        let (inputs, direction) = (tensor([3, 16], 1), tensor([3, 16], 2));
        let jets = Jets::new(3);
        let output = network.forward_in(&jets, jets.variable(inputs.clone(), direction.clone()));
        let derivatives = jets.derivatives(&output);
        let at = |h: f64| inputs.clone() + direction.clone() * h;
        let first = |h: f64| jvp(|duals, x| network.forward_in(duals, x), at(h), direction.clone()).1;
        assert_relatively_close(&values(&derivatives[0]), &values(&first(0.0)));
        if config == kiln_nn::NetworkConfig::mlp([]) {
            assert_close(&values(&derivatives[1]), &[0.0; 9], 0.0);
            continue;
        }
        assert_relatively_close(&values(&derivatives[1]), &slope(2e-3, first));
        assert_relatively_close(&values(&derivatives[2]), &curvature(1e-2, first));
    }
}

#[test]
fn laplacians_and_hessians() {
    for config in smooth() {
        println!("{config:?}");
        let network = init(&config, 4, &Device::flex());
        let inputs = tensor([2, 16], 1);
        let found = laplacian(|numbers, x| network.forward_in(numbers, x), inputs.clone());
        assert_close(&values(&found.value), &values(&network.forward(inputs.clone())), 1e-12);
        let whole = hessian(|numbers, x| network.forward_in(numbers, x), inputs.clone());
        let diagonal = values(&whole.hessian);
        let trace: Vec<f64> = (0..6).map(|row| (0..16).map(|i| diagonal[(row * 16 + i) * 16 + i]).sum()).collect();
        assert_close(&values(&found.laplacian), &trace, 1e-10);
        if config == kiln_nn::NetworkConfig::mlp([]) {
            assert_close(&values(&found.laplacian), &[0.0; 6], 0.0);
            continue;
        }
        let along = |place: usize| {
            let unit: Vec<f64> = (0..32).map(|i| f64::from(u8::from(i % 16 == place))).collect();
            let unit = burn::tensor::TensorData::new(unit, [2, 16]);
            let unit = Tensor::<2>::from_data(unit, (&Device::flex(), burn::tensor::DType::F64));
            curvature(2e-2, |h| network.forward(inputs.clone() + unit.clone() * h))
        };
        let mut expected = vec![0.0; 6];
        for place in 0..16 {
            expected.iter_mut().zip(along(place)).for_each(|(sum, second)| *sum += second);
        }
        assert_relatively_close(&values(&found.laplacian), &expected);
    }
}
