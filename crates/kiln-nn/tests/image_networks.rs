//! What every network from image to image has to do: shapes, types, derivatives, seeds, files.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use kiln_autodiff::Duals;
use kiln_nn::{Activation, CoderLayers, Network, NetworkConfig, cast_floats, load_safetensors, save_safetensors};

const SHAPE: [usize; 3] = [1, 9, 8];
const PIXELS: usize = 72;

/// Every kind of network, small and smooth, with the width of its features and the number of its tensors.
fn networks() -> Vec<(NetworkConfig, usize, usize)> {
    let coder =
        |layers, variational| NetworkConfig::Autoencoder { layers, code: 5, activation: Activation::Tanh, variational };
    let dense = || CoderLayers::FullyConnected { hidden: vec![12, 7] };
    let conv = || CoderLayers::Convolutional { channels: vec![3, 4] };
    let sr_cnn = |residual| NetworkConfig::SrCnn { kernels: [5, 1, 3], channels: [4, 3], residual };
    vec![
        (coder(dense(), false), 5, 12),
        (coder(conv(), false), 5, 12),
        (coder(dense(), true), 5, 14),
        (coder(conv(), true), 5, 14),
        (sr_cnn(true), PIXELS, 6),
        (sr_cnn(false), PIXELS, 6),
    ]
}

fn init(config: &NetworkConfig, seed: u64, device: &Device) -> Network {
    config.init_seeded(&SHAPE, PIXELS, seed, device).unwrap_or_else(|error| panic!("{config:?}: {error}"))
}

/// The same images in every run.
fn inputs(device: &Device) -> Tensor<2> {
    images(1.0, device)
}

fn images(frequency: f32, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..4 * PIXELS).map(|at| ((at * at) as f32 * 0.37 * frequency).sin() * 0.5 + 0.5).collect();
    Tensor::from_data(TensorData::new(values, [4, PIXELS]), device)
}

#[test]
fn images_come_out_and_are_the_head_of_the_features() {
    let device = Device::flex();
    for (config, width, _) in networks() {
        let network = init(&config, 1, &device);
        let features = network.features(inputs(&device));
        assert_eq!(features.dims(), [4, width], "{config:?}");
        assert_eq!(network.head(features).dims(), [4, PIXELS]);
        let inputs = inputs(&device);
        let outputs = network.forward(inputs.clone()).into_data();
        assert_eq!(network.head(network.features(inputs)).into_data(), outputs, "{config:?}");
    }
}

#[test]
fn double_precision_agrees() {
    let device = Device::flex();
    for (config, ..) in networks() {
        let network = init(&config, 1, &device);
        let inputs = inputs(&device);
        let single = network.forward(inputs.clone()).into_data();
        let double = cast_floats(network, FloatDType::F64).forward(inputs.cast(FloatDType::F64)).into_data();
        assert_eq!(double.dtype(), DType::F64, "{config:?}");
        for (single, double) in single.iter::<f64>().zip(double.iter::<f64>()) {
            assert!((single - double).abs() < 1e-5, "{config:?}: {single} and {double}");
        }
    }
}

#[test]
fn gradients_reach_every_parameter() {
    let device = Device::flex().autodiff();
    for (config, _, tensors) in networks() {
        let network = init(&config, 1, &device);
        let images = inputs(&device);
        let output = match network.variational() {
            None => network.forward(images).square().sum(),
            Some(network) => {
                let (mean, log_variance) = network.encode(images.reshape([4, 1, 9, 8]));
                network.decode(mean + log_variance.exp()).square().sum()
            }
        };
        let gradients = GradientsParams::from_grads(output.backward(), &network);
        assert_eq!(gradients.len(), tensors, "{config:?}");
    }
}

#[test]
fn derivatives_in_the_inputs_are_those_of_differences() {
    let device = Device::flex();
    for (config, ..) in networks() {
        let network = cast_floats(init(&config, 1, &device), FloatDType::F64);
        let [at, direction] = [1.0, 1.7].map(|frequency| images(frequency, &device).cast(FloatDType::F64));
        let duals = Duals::new();
        let moved = network.forward_in(&duals, duals.variable(at.clone(), direction.clone()));
        assert_eq!(moved.value().into_data(), network.forward(at.clone()).into_data(), "{config:?}");
        let outputs = |step: f64| network.forward(at.clone() + direction.clone() * step);
        // A rectifier that changes sides within the step would move one output alone.
        let difference = (outputs(1e-5) - outputs(-1e-5)) / 2e-5;
        let error: f64 = (difference - duals.tangent(&moved)).abs().max().into_scalar();
        assert!(error < 1e-6, "{config:?}: {error}");
    }
}

#[test]
fn seeds_decide_the_weights_and_files_bring_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let device = Device::flex();
    for (config, ..) in networks() {
        let images = inputs(&device);
        let outputs = |network: &Network| network.forward(images.clone()).into_data();
        let network = init(&config, 1, &device);
        assert_eq!(outputs(&network), outputs(&init(&config, 1, &device)), "{config:?}");
        let other = init(&config, 2, &device);
        assert_ne!(outputs(&network), outputs(&other), "{config:?}");
        save_safetensors(&network, &path).unwrap();
        let restored = load_safetensors(other, &path).unwrap();
        assert_eq!(outputs(&restored.valid()), outputs(&network), "{config:?}");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<NetworkConfig>(&text).unwrap(), config, "{text}");
    }
}

#[test]
fn what_no_image_can_come_out_of_is_refused() {
    let device = Device::flex();
    for (config, ..) in networks() {
        let message = config.init(&SHAPE, 10, &device).unwrap_err().to_string();
        assert_eq!(message, "outputs = 10 is out of range: an image of 72 values comes out");
        assert!(config.init(&[72], 72, &device).unwrap_err().to_string().contains("it takes images"));
    }
}
