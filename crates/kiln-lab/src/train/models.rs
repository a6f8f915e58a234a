//! Networks by name.

use kiln_nn::{Activation, MlpNorm, NetworkConfig, Shortcut, TokenPooling, VisionTransformerSize};

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

const ACTIVATION: SettingInfo = SettingInfo {
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

fn activation(settings: &Settings<'_>, default: Activation) -> Result<Activation, SelectorError> {
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
