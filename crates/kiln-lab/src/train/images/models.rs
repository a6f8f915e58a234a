//! Image networks by name.

use kiln_nn::{Activation, CoderLayers, NetworkConfig};

use super::super::models::{ACTIVATION, activation};
use super::super::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};

/// Autoencoders by name.
pub const AUTOENCODERS: Registry<NetworkConfig> = Registry {
    kind: "model",
    entries: &[
        Entry {
            name: "autoencoder",
            summary: "fully connected layers to a code and back, for small pictures",
            settings: &[HIDDEN, CODE, ACTIVATION],
            build: |settings| coder(settings, fully_connected(settings)?, false),
        },
        Entry {
            name: "conv-autoencoder",
            summary: "convolutions of 5x5 and stride 2 to a code, and transposed ones back",
            settings: &[CHANNELS, CODE, ACTIVATION],
            build: |settings| coder(settings, convolutional(settings)?, false),
        },
        Entry {
            name: "vae",
            summary: "variational: fully connected layers to a Gaussian code and back; its loss is el-vae",
            settings: &[HIDDEN, CODE, ACTIVATION],
            build: |settings| coder(settings, fully_connected(settings)?, true),
        },
        Entry {
            name: "conv-vae",
            summary: "variational: convolutions to a Gaussian code and back; its loss is el-vae",
            settings: &[CHANNELS, CODE, ACTIVATION],
            build: |settings| coder(settings, convolutional(settings)?, true),
        },
    ],
};

/// Networks that make enlarged pictures sharp, by name.
pub const UPSCALERS: Registry<NetworkConfig> = Registry {
    kind: "model",
    entries: &[Entry {
        name: "srcnn",
        summary: "three convolutions over the brightness of the enlarged picture",
        settings: &[
            SettingInfo {
                key: "kernels",
                default: "9-1-5",
                about: "sides of the three kernels, odd; 9-5-5 is the larger one",
            },
            SettingInfo { key: "channels", default: "64-32", about: "channels of the two hidden layers" },
            SettingInfo {
                key: "residual",
                default: "true",
                about: "whether the output is added to the enlarged picture; false is the network as published",
            },
        ],
        build: sr_cnn,
    }],
};

const HIDDEN: SettingInfo = SettingInfo {
    key: "hidden",
    default: "384",
    about: "widths of the encoder's hidden layers joined by '-'; the decoder has them backwards",
};

const CHANNELS: SettingInfo = SettingInfo {
    key: "channels",
    default: "16-32-64",
    about: "channels of the encoder's convolutions, each of which halves the picture; 128-256-512 in the paper",
};

const CODE: SettingInfo = SettingInfo { key: "code", default: "96", about: "numbers of a code, at least 1" };

fn fully_connected(settings: &Settings<'_>) -> Result<CoderLayers, SelectorError> {
    Ok(CoderLayers::FullyConnected { hidden: settings.widths("hidden", &[384])? })
}

fn convolutional(settings: &Settings<'_>) -> Result<CoderLayers, SelectorError> {
    Ok(CoderLayers::Convolutional { channels: settings.widths("channels", &[16, 32, 64])? })
}

fn coder(settings: &Settings<'_>, layers: CoderLayers, variational: bool) -> Result<NetworkConfig, SelectorError> {
    let code = settings.whole("code", 96)?;
    Ok(NetworkConfig::Autoencoder { layers, code, activation: activation(settings, Activation::Relu)?, variational })
}

fn sr_cnn(settings: &Settings<'_>) -> Result<NetworkConfig, SelectorError> {
    let kernels = settings.widths("kernels", &[9, 1, 5])?;
    let channels = settings.widths("channels", &[64, 32])?;
    Ok(NetworkConfig::SrCnn {
        kernels: kernels.try_into().map_err(|_| settings.wrong("kernels", "three odd sides such as 9-1-5"))?,
        channels: channels.try_into().map_err(|_| settings.wrong("channels", "two widths such as 64-32"))?,
        residual: settings.flag("residual", true)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Selector;
    use burn::tensor::{Device, Tensor};

    #[test]
    fn every_image_network_gives_pictures() {
        let device = Device::flex();
        for (registry, shape) in [(&AUTOENCODERS, [3, 12, 10]), (&UPSCALERS, [1, 12, 10])] {
            for name in registry.names() {
                let config = registry.build(&Selector::named(name)).unwrap();
                let pixels = shape.iter().product();
                let network = config.init_seeded(&shape, pixels, 1, &device).unwrap();
                assert_eq!(network.forward(Tensor::zeros([2, pixels], &device)).dims(), [2, pixels], "{name}");
            }
        }
    }

    #[test]
    fn wrong_settings_are_refused() {
        for (registry, wrong, part) in [
            (&UPSCALERS, "srcnn:kernels=9-5", "three odd sides"),
            (&UPSCALERS, "srcnn:channels=64", "two widths"),
            (&AUTOENCODERS, "vae:hidden=0", "widths of at least 1"),
            (&AUTOENCODERS, "autoencoders", "did you mean 'autoencoder'?"),
        ] {
            let error = registry.build(&wrong.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
