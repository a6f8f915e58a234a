//! Networks by name.

use kiln_nn::{Activation, MlpNorm, NetworkConfig, Shortcut, TokenPooling, VisionTransformerSize, WordOutputKind};

use super::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};

/// Networks by name.
pub const MODELS: Registry<NetworkConfig> = Registry {
    kind: "model",
    entries: &[
        Entry {
            name: "linear",
            summary: "one linear layer: softmax regression",
            settings: &[],
            build: |_| Ok(NetworkConfig::mlp(Vec::new())),
        },
        Entry {
            name: "mlp",
            summary: "fully connected layers, for tables and small images",
            settings: &[
                SettingInfo { key: "hidden", default: "128", about: "widths of the hidden layers joined by '-'" },
                ACTIVATION,
                DROPOUT,
                SettingInfo { key: "norm", default: "none", about: "none, batch or layer" },
            ],
            build: mlp,
        },
        Entry {
            name: "lenet",
            summary: "two convolutions and three dense layers, for small images",
            settings: &[ACTIVATION],
            build: |settings| Ok(NetworkConfig::LeNet { activation: activation(settings, Activation::Relu)? }),
        },
        Entry {
            name: "convnet",
            summary: "three convolutions with batch normalisation, for small images",
            settings: &[
                SettingInfo { key: "channels", default: "32-64-128", about: "channels of the three convolutions" },
                ACTIVATION,
                DROPOUT,
            ],
            build: convnet,
        },
        Entry {
            name: "resnet",
            summary: "residual network, for images",
            settings: &[
                SettingInfo { key: "depth", default: "20", about: "6n + 2 from 8 to 56, or 18 or 34" },
                SettingInfo { key: "shortcut", default: "auto", about: "auto, padding or projection" },
                SettingInfo { key: "width", default: "auto", about: "channels of the first stage" },
                ACTIVATION,
            ],
            build: resnet,
        },
        Entry {
            name: "vit",
            summary: "vision transformer, for images",
            settings: &[
                SettingInfo { key: "size", default: "micro", about: "micro, tiny, small or base" },
                SettingInfo { key: "patch", default: "auto", about: "side of a patch in pixels" },
                SettingInfo { key: "pooling", default: "class-token", about: "class-token or mean" },
                SettingInfo { key: "activation", default: "gelu", about: ACTIVATION.about },
                DROPOUT,
            ],
            build: vision_transformer,
        },
    ],
};

/// Language models by name: networks of the words before the one to predict.
pub const LANGUAGE_MODELS: Registry<NetworkConfig> = Registry {
    kind: "model",
    entries: &[
        Entry {
            name: "ngram",
            summary: "feed-forward language model: the context's embeddings side by side and hidden layers",
            settings: &[
                SettingInfo { key: "embedding", default: "64", about: "width of a word's embedding, at least 1" },
                SettingInfo { key: "hidden", default: "128", about: "widths of the hidden layers joined by '-'" },
                SettingInfo { key: "activation", default: "tanh", about: ACTIVATION.about },
                DROPOUT,
            ],
            build: ngram,
        },
        Entry {
            name: "decoder",
            summary: "causal transformer; the last word of the context predicts the next one",
            settings: &[
                SettingInfo { key: "dimension", default: "64", about: "width of a word, a multiple of heads" },
                SettingInfo { key: "depth", default: "2", about: "number of blocks" },
                SettingInfo { key: "heads", default: "4", about: "number of attention heads, at least 1" },
                SettingInfo { key: "mlp-ratio", default: "4", about: "hidden width of a block, in widths of a word" },
                SettingInfo { key: "activation", default: "gelu-tanh", about: ACTIVATION.about },
                DROPOUT,
            ],
            build: decoder,
        },
    ],
};

pub(super) const ACTIVATION: SettingInfo = SettingInfo {
    key: "activation",
    default: "relu",
    about: "relu, leaky-relu, elu, selu, gelu, gelu-tanh, silu, tanh, sigmoid or softplus",
};

const DROPOUT: SettingInfo =
    SettingInfo { key: "dropout", default: "0", about: "probability of dropping a value, in [0, 1)" };

fn mlp(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    Ok(NetworkConfig::Mlp {
        hidden: settings.widths("hidden", &[128])?,
        activation: activation(settings, Activation::Relu)?,
        dropout: dropout(settings)?,
        norm: settings
            .choice("norm", &[("none", MlpNorm::None), ("batch", MlpNorm::Batch), ("layer", MlpNorm::Layer)])?,
    })
}

fn convnet(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    let channels = settings.widths("channels", &[32, 64, 128])?;
    Ok(NetworkConfig::ConvNet {
        channels: channels.try_into().map_err(|_| settings.wrong("channels", "three widths such as 32-64-128"))?,
        activation: activation(settings, Activation::Relu)?,
        dropout: dropout(settings)?,
    })
}

fn resnet(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    let shortcuts = [("auto", None), ("padding", Some(Shortcut::Padding)), ("projection", Some(Shortcut::Projection))];
    Ok(NetworkConfig::ResNet {
        depth: settings.whole("depth", 20)?,
        shortcut: settings.choice("shortcut", &shortcuts)?,
        width: automatic(settings, "width")?,
        activation: activation(settings, Activation::Relu)?,
    })
}

fn vision_transformer(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    let sizes = [
        ("micro", VisionTransformerSize::Micro),
        ("tiny", VisionTransformerSize::Tiny),
        ("small", VisionTransformerSize::Small),
        ("base", VisionTransformerSize::Base),
    ];
    Ok(NetworkConfig::Vit {
        size: settings.choice("size", &sizes)?,
        patch_size: automatic(settings, "patch")?,
        pooling: settings
            .choice("pooling", &[("class-token", TokenPooling::ClassToken), ("mean", TokenPooling::Mean)])?,
        activation: activation(settings, Activation::Gelu)?,
        dropout: dropout(settings)?,
    })
}

fn ngram(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    Ok(NetworkConfig::Ngram {
        embedding: settings.whole("embedding", 64)?,
        hidden: settings.widths("hidden", &[128])?,
        activation: activation(settings, Activation::Tanh)?,
        dropout: dropout(settings)?,
        output: WordOutputKind::Linear,
    })
}

fn decoder(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    Ok(NetworkConfig::Decoder {
        dimension: settings.whole("dimension", 64)?,
        depth: settings.whole("depth", 2)?,
        num_heads: settings.whole("heads", 4)?,
        mlp_ratio: settings.whole("mlp-ratio", 4)?,
        activation: activation(settings, Activation::GeluTanh)?,
        dropout: dropout(settings)?,
        output: WordOutputKind::Linear,
    })
}

pub(super) fn activation(settings: &Settings<'_>, default: Activation) -> Result<Activation, SelectorError> {
    let Some(name) = settings.text("activation") else { return Ok(default) };
    name.parse().map_err(|_| settings.wrong("activation", &format!("one of {}", ACTIVATION.about)))
}

fn dropout(settings: &Settings<'_>) -> Result<f64, SelectorError> {
    let dropout = settings.number("dropout", 0.0)?;
    if !(0.0..1.0).contains(&dropout) {
        return Err(settings.wrong("dropout", "a probability in [0, 1)"));
    }
    Ok(dropout)
}

fn automatic(settings: &Settings<'_>, key: &str) -> Result<Option<usize>, SelectorError> {
    match settings.text(key) {
        None | Some("auto") => Ok(None),
        Some(_) => match settings.whole(key, 0)? {
            0 => Err(settings.wrong(key, "at least 1, or auto")),
            value => Ok(Some(value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Selector;
    use burn::tensor::{Device, Tensor};

    #[test]
    fn every_model_takes_small_images() {
        let device = Device::flex();
        for name in MODELS.names() {
            let config = MODELS.build(&Selector::named(name)).unwrap();
            let network = config.init_seeded(&[1, 16, 16], 3, 1, &device).unwrap();
            assert_eq!(network.forward(Tensor::zeros([2, 256], &device)).dims(), [2, 3], "{name}");
        }
    }

    #[test]
    fn every_language_model_takes_a_context() {
        let device = Device::flex();
        for name in LANGUAGE_MODELS.names() {
            let config = LANGUAGE_MODELS.build(&Selector::named(name)).unwrap();
            let network = config.init_seeded(&[3], 7, 1, &device).unwrap();
            let contexts = Tensor::<2>::from_data([[0.0, 1.0, 7.0], [2.0, 3.0, 4.0]], &device);
            assert_eq!(network.forward(contexts).dims(), [2, 7], "{name}");
        }
    }

    #[test]
    fn settings_reach_the_network() {
        let config = MODELS.build(&"mlp:hidden=8-4,activation=tanh,norm=layer".parse().unwrap()).unwrap();
        let expected =
            NetworkConfig::Mlp { hidden: vec![8, 4], activation: Activation::Tanh, dropout: 0.0, norm: MlpNorm::Layer };
        assert_eq!(config, expected);
        for wrong in ["mlp:hidden=8-0", "mlp:dropout=1", "convnet:channels=3-4", "resnet:width=0", "vit:size=huge"] {
            assert!(MODELS.build(&wrong.parse().unwrap()).is_err(), "{wrong}");
        }
    }
}
