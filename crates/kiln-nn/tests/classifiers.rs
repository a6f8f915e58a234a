//! What every classifier has to do: shapes, types, gradients, seeds, sizes.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, FloatDType, Gradients, Tensor};
use kiln_check::random::{normal, uniform};
use kiln_nn::{
    Activation, ConvNetConfig, DecoderTransformerConfig, LeNetConfig, MlpNorm, Network, NetworkConfig, NetworkError,
    NgramConfig, ResNetConfig, Shortcut, TokenPooling, VisionTransformerConfig, VisionTransformerSize, cast_floats,
    parameter_count,
};

/// Every kind of network, small enough for 1 x 8 x 8 images, with the width of its features.
fn networks() -> Vec<(NetworkConfig, usize)> {
    let mlp = |norm| NetworkConfig::Mlp { hidden: vec![12, 7], activation: Activation::Gelu, dropout: 0.0, norm };
    let vit = |pooling| NetworkConfig::Vit {
        size: VisionTransformerSize::Micro,
        patch_size: None,
        pooling,
        activation: Activation::Gelu,
        dropout: 0.0,
    };
    let resnet = |depth, shortcut| NetworkConfig::ResNet {
        depth,
        shortcut: Some(shortcut),
        width: Some(4),
        activation: Activation::Silu,
    };
    vec![
        (NetworkConfig::mlp([]), 64),
        (mlp(MlpNorm::None), 7),
        (mlp(MlpNorm::Batch), 7),
        (mlp(MlpNorm::Layer), 7),
        (NetworkConfig::lenet(), 84),
        (NetworkConfig::conv_net(), 128),
        (resnet(8, Shortcut::Padding), 16),
        (resnet(8, Shortcut::Projection), 16),
        (resnet(18, Shortcut::Projection), 32),
        (vit(TokenPooling::ClassToken), 64),
        (vit(TokenPooling::Mean), 64),
    ]
}

fn init(config: &NetworkConfig, seed: u64, device: &Device) -> Network {
    config.init_seeded(&[1, 8, 8], 3, seed, device).unwrap_or_else(|error| panic!("{config:?}: {error}"))
}

/// Names of the parameters that got no gradient, or one of zeros alone.
struct WithoutGradient<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    names: Vec<String>,
}

impl ModuleVisitor for WithoutGradient<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if self.path.last().is_some_and(|name| name.starts_with("running_")) {
            return;
        }
        let size = value.grad(self.gradients).map(|gradient| gradient.abs().max().into_scalar::<f32>());
        if !size.is_some_and(|size| size > 0.0 && size.is_finite()) {
            self.names.push(self.path.join("."));
        }
    }
}

fn without_gradient<M: Module>(module: &M, gradients: &Gradients) -> Vec<String> {
    let mut visitor = WithoutGradient { gradients, path: Vec::new(), names: Vec::new() };
    module.visit(&mut visitor);
    visitor.names
}

#[test]
fn outputs_have_their_shapes_and_are_the_head_of_the_features() {
    let device = Device::flex();
    for (config, width) in networks() {
        let network = init(&config, 1, &device);
        let inputs = uniform([4, 64], DType::F32);
        let features = network.features(inputs.clone());
        assert_eq!(features.dims(), [4, width], "{config:?}");
        let outputs = network.forward(inputs).into_data();
        assert_eq!(network.head(features).into_data(), outputs, "{config:?}");
        assert_eq!(outputs.shape().as_slice(), [4, 3]);
        assert!(outputs.iter::<f32>().all(f32::is_finite), "{config:?}");
    }
}

#[test]
fn outputs_in_double_precision_agree() {
    let device = Device::flex();
    for (config, _) in networks() {
        let network = init(&config, 1, &device);
        let inputs = uniform([4, 64], DType::F32);
        let single = network.forward(inputs.clone()).into_data();
        let double = cast_floats(network, FloatDType::F64).forward(inputs.cast(FloatDType::F64)).into_data();
        assert_eq!(double.dtype(), DType::F64, "{config:?}");
        for (single, double) in single.iter::<f64>().zip(double.iter::<f64>()) {
            assert!((single - double).abs() < 1e-4 * (1.0 + double.abs()), "{config:?}: {single} and {double}");
        }
    }
}

#[test]
fn gradients_reach_every_parameter_in_both_precisions() {
    let device = Device::flex().autodiff();
    for (config, _) in networks() {
        for dtype in [FloatDType::F32, FloatDType::F64] {
            let network = cast_floats(init(&config, 1, &device), dtype);
            let inputs = uniform([8, 64], DType::F32).cast(dtype).autodiff();
            // Not a plain sum, whose gradient a batch normalisation takes away.
            let outputs = network.forward(inputs).powi_scalar(2);
            let gradients = outputs.sum().backward();
            // The keys' bias moves all scores of a query alike, which softmax ignores; it shares its tensor with the
            // queries' and values'.
            assert_eq!(without_gradient(&network, &gradients), [] as [String; 0], "{config:?} {dtype:?}");
        }
    }
}

#[test]
fn gradients_reach_every_parameter_of_the_language_models() {
    let device = Device::flex().autodiff();
    let words = Tensor::from_ints([[0, 1, 2], [3, 4, 0]], &device);
    let ngram = NgramConfig::new(5, 3).with_activation(Activation::Tanh).init_seeded(1, &device).unwrap();
    let gradients = ngram.forward(words.clone()).powi_scalar(2).sum().backward();
    assert_eq!(without_gradient(&ngram, &gradients), [] as [String; 0]);
    for tied in [true, false] {
        let config = DecoderTransformerConfig::new(5, 3).with_dimension(8).with_depth(2).with_tied(tied);
        let decoder = config.init_seeded(1, &device).unwrap();
        let gradients = decoder.forward(words.clone()).powi_scalar(2).sum().backward();
        assert_eq!(without_gradient(&decoder, &gradients), [] as [String; 0]);
    }
}

#[test]
fn a_seed_gives_the_same_weights_from_any_thread() {
    let inputs = uniform([2, 64], DType::F32);
    for (config, _) in networks() {
        let outputs = |seed| init(&config, seed, &Device::flex()).forward(inputs.clone()).into_data();
        let alone = outputs(5);
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| outputs(5))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(together.iter().all(|output| *output == alone), "{config:?}");
        assert_ne!(outputs(6), alone, "{config:?}");
    }
}

#[test]
fn numbers_of_parameters_are_the_known_ones() {
    let device = Device::flex();
    let lenet = NetworkConfig::lenet().init(&[1, 28, 28], 10, &device).unwrap();
    assert_eq!(lenet.num_parameters(), 61_706);
    let resnet = |depth, side, outputs| {
        let resnet = ResNetConfig::new(depth, [3, side, side], outputs).init(&device).unwrap();
        parameter_count(&resnet)
    };
    assert_eq!(resnet(20, 32, 10), 269_722);
    assert_eq!(resnet(56, 32, 10), 853_018);
    assert_eq!(resnet(18, 224, 1000), 11_689_512);
    assert_eq!(resnet(34, 224, 1000), 21_797_672);
    let vit = |size| {
        let vit = VisionTransformerConfig::of_size(size, [3, 224, 224], 1000).init(&device).unwrap();
        parameter_count(&vit)
    };
    assert_eq!(vit(VisionTransformerSize::Tiny), 5_717_416);
    assert_eq!(vit(VisionTransformerSize::Small), 22_050_664);
    assert_eq!(vit(VisionTransformerSize::Base), 86_567_656);
}

#[test]
fn batch_statistics_follow_training_and_stay_put_otherwise() {
    let device = Device::flex();
    let network = init(&NetworkConfig::conv_net(), 1, &device.clone().autodiff());
    let inputs = normal([16, 64], DType::F32) + 3.0;
    let output = |network: &Network| network.valid().forward(inputs.clone()).into_data();
    let before = output(&network);
    assert_eq!(output(&network), before, "evaluation moves no statistics");
    network.forward(Tensor::from_inner(inputs.clone()));
    assert_ne!(output(&network), before, "training does");
}

#[test]
fn descriptions_survive_toml_and_refuse_what_they_do_not_know() {
    for (config, _) in networks() {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<NetworkConfig>(&text).unwrap(), config, "{text}");
    }
    let defaults: NetworkConfig = toml::from_str("kind = \"mlp\"").unwrap();
    assert_eq!(defaults, NetworkConfig::mlp([128]));
    assert!(toml::from_str::<NetworkConfig>("kind = \"mlp\"\nwidth = 3").is_err());
    assert!(toml::from_str::<NetworkConfig>("kind = \"perceptron\"").is_err());
}

#[test]
fn wrong_settings_are_refused_with_what_would_be_right() {
    let device = Device::flex();
    let message = |config: NetworkConfig, shape: &[usize]| config.init(shape, 3, &device).unwrap_err().to_string();
    let row = message(NetworkConfig::lenet(), &[30]);
    assert_eq!(
        row,
        "LeNet cannot take inputs of shape [30]: it takes images, [channels, height, width]; for rows of a table use \
         an MLP"
    );
    assert!(message(NetworkConfig::lenet(), &[1, 6, 6]).contains("at least 8 pixels"));
    assert!(message(NetworkConfig::resnet(21), &[1, 8, 8]).contains("nearest is 20"));
    assert!(message(NetworkConfig::mlp([4, 0]), &[3]).contains("hidden = 0"));
    assert!(message(NetworkConfig::mlp([4]), &[0]).contains("inputs = 0"));
    let drop_all =
        NetworkConfig::Mlp { hidden: vec![2], activation: Activation::Relu, dropout: 1.0, norm: MlpNorm::None };
    assert!(message(drop_all, &[3]).contains("dropout = 1"));
}

#[test]
fn nonsense_never_panics() {
    let device = Device::flex();
    let counts = [0, 1, 3, usize::MAX];
    let most = usize::MAX;
    let shapes: [&[usize]; 10] = [
        &[],
        &[0],
        &[5],
        &[7, 7],
        &[0, 8, 8],
        &[1, 1, 1],
        &[2, 3, 4, 5],
        &[most],
        &[most, most, most],
        &[1, most - 1, most - 1],
    ];
    for count in counts {
        let configs = [
            NetworkConfig::mlp([count]),
            NetworkConfig::lenet(),
            NetworkConfig::ConvNet { channels: [4, count, 4], activation: Activation::Relu, dropout: f64::NAN },
            NetworkConfig::resnet(count),
            NetworkConfig::ResNet { depth: 8, shortcut: None, width: Some(count), activation: Activation::Elu },
            NetworkConfig::Vit {
                size: VisionTransformerSize::Micro,
                patch_size: Some(count),
                pooling: TokenPooling::Mean,
                activation: Activation::Gelu,
                dropout: -1.0,
            },
        ];
        for config in configs {
            for shape in shapes {
                for num_outputs in counts {
                    if let Ok(network) = config.init(shape, num_outputs, &device) {
                        let features = shape.iter().product();
                        assert_eq!(network.forward(Tensor::ones([2, features], &device)).dims(), [2, num_outputs]);
                    }
                }
            }
        }
    }
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let device = Device::flex();
    let most = usize::MAX;
    let refused = |message: Result<(), NetworkError>| match message.unwrap_err() {
        NetworkError::OutOfRange { .. } | NetworkError::InputShape { .. } => {}
        error => panic!("{error}"),
    };
    let lenet = || LeNetConfig::new([1, 28, 28], 10);
    for config in [
        lenet().with_kernel_size(most),
        LeNetConfig::new([1, most, most], 10).with_kernel_size(most - 2),
        LeNetConfig::new([1, most, most], 10),
        LeNetConfig::new([1 << 24, 1 << 10, 1 << 10], 10),
        LeNetConfig::new([1 << 20, 28, 28], 10).with_channels([1 << 24, 6]),
        LeNetConfig::new([1, 1 << 12, 1 << 12], 10).with_channels([6, 1 << 20]),
        lenet().with_channels([1 << 24, 1 << 24]),
        lenet().with_hidden([1 << 24, 1 << 24]),
        lenet().with_hidden([most, 4]),
    ] {
        refused(config.init(&device).map(|_| ()));
    }
    let vit = || VisionTransformerConfig::new([1, 32, 32], 10).with_patch_size(8);
    for config in [
        vit().with_depth(most),
        vit().with_dimension(most),
        vit().with_num_heads(most),
        vit().with_mlp_ratio(most),
        vit().with_patch_size(most),
        vit().with_dimension(3 << 20),
        vit().with_mlp_ratio(1 << 24),
        VisionTransformerConfig::new([1, most, most], 10).with_patch_size(most),
        VisionTransformerConfig::new([1, 1 << 15, 1 << 15], 10).with_patch_size(1),
        VisionTransformerConfig::of_size(VisionTransformerSize::Micro, [most; 3], 10),
    ] {
        refused(config.init(&device).map(|_| ()));
    }
    refused(NetworkConfig::mlp([1 << 24, 1 << 24]).init(&[3], 2, &device).map(|_| ()));
    refused(NetworkConfig::resnet(18).init(&[1, 8, 8], most, &device).map(|_| ()));
    refused(ResNetConfig::new(8, [1, 8, 8], 3).with_width(Some(1 << 24)).init(&device).map(|_| ()));
    refused(ConvNetConfig::new([1, 8, 8], 3).with_channels([1 << 20; 3]).init(&device).map(|_| ()));
}
