//! The language models, whose inputs are words: derivatives with respect to the parameters.

use burn::tensor::{Device, FloatDType, Int, Tensor};
use kiln_autodiff::{Arithmetic, Duals, Jets};
use kiln_check::{assert_close, values};
use kiln_nn::{Activation, DecoderTransformer, DecoderTransformerConfig, NgramConfig, NgramLanguageModel, cast_floats};

use crate::parameters::Problem;

fn words() -> Tensor<2, Int> {
    Tensor::from_ints([[0, 1, 2], [3, 4, 0]], &Device::flex())
}

#[test]
fn ngram_language_models() {
    for activation in [Activation::Tanh, Activation::Relu] {
        let config = NgramConfig::new(5, 3).with_embedding(4).with_hidden(vec![6, 5]).with_activation(activation);
        let model = cast_floats(config.init_seeded(1, &Device::flex()).unwrap(), FloatDType::F64);
        let duals = Duals::new();
        let features = model.features_in(&duals, words());
        assert_close(&values(&features.value()), &values(&model.features(words())), 1e-12);
        assert_close(&values(&model.head_in(&duals, features).value()), &values(&model.forward(words())), 1e-12);
        let problem = Problem {
            module: model,
            outputs: |model: &NgramLanguageModel, duals: &Duals| model.forward_in(duals, words()),
            forward: |model: &NgramLanguageModel| model.forward(words()),
            targets: Tensor::from_ints([3, 1], &Device::flex()),
        };
        problem.check_products();
        problem.check_gauss_newton();
    }
}

#[test]
fn decoders() {
    for tied in [true, false] {
        let config = DecoderTransformerConfig::new(5, 3).with_dimension(8).with_depth(2).with_tied(tied);
        let model = cast_floats(config.init_seeded(1, &Device::flex()).unwrap(), FloatDType::F64);
        let duals = Duals::new();
        let features = model.features_in(&duals, words());
        assert_close(&values(&features.value()), &values(&model.features(words())), 1e-9);
        assert_close(&values(&model.head_in(&duals, features).value()), &values(&model.forward(words())), 1e-9);
        // Constants stay constant at any order.
        let jets = Jets::new(2);
        assert_close(&values(&model.forward_in(&jets, words()).value()), &values(&model.forward(words())), 1e-9);
        let problem = Problem {
            module: model,
            outputs: |model: &DecoderTransformer, duals: &Duals| {
                duals.reshape(model.forward_in(duals, words()), [6, 5])
            },
            forward: |model: &DecoderTransformer| model.forward(words()).reshape([6, 5]),
            targets: Tensor::from_ints([1, 2, 3, 4, 0, 1], &Device::flex()),
        };
        problem.check_products();
        problem.check_gauss_newton();
    }
}
