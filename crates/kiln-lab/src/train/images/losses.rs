//! Losses on pictures by name.

use kiln_loss::LossError;
use kiln_loss::perceptual::{
    ImageLoss, MsSsimConfig, MsSsimForm, MsSsimLossConfig, MsSsimVariant, PixelLoss, SsimConfig, Window,
};

use super::super::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};

/// Losses on pictures by name.
pub const IMAGE_LOSSES: Registry<ImageLossChoice> = Registry {
    kind: "loss",
    entries: &[
        Entry {
            name: "mse",
            summary: "mean squared error of the pixels",
            settings: &[],
            build: |_| Ok(ImageLossChoice::Pixels(PixelLoss::L2)),
        },
        Entry {
            name: "mae",
            summary: "mean absolute error of the pixels",
            settings: &[],
            build: |_| Ok(ImageLossChoice::Pixels(PixelLoss::L1)),
        },
        Entry {
            name: "ssim",
            summary: "1 - structural similarity under a window",
            settings: &[WINDOW, SIGMA],
            build: |settings| Ok(ImageLossChoice::Ssim { window: window(settings)?, sigma: sigma(settings)? }),
        },
        Entry {
            name: "ms-ssim",
            summary: "1 - structural similarity at several scales, alone or mixed with the absolute error",
            settings: &[
                SCALES,
                WINDOW,
                SIGMA,
                SettingInfo {
                    key: "share",
                    default: "1",
                    about: "share of the similarity, in [0, 1]; the rest is the absolute error, 0.84 is a known mixture",
                },
                SettingInfo {
                    key: "form",
                    default: "one-minus",
                    about: "one-minus, or log for -log of the similarity",
                },
                SettingInfo {
                    key: "variant",
                    default: "scale-mean",
                    about: "scale-mean joins the means of the scales, per-pixel the scales at each pixel",
                },
            ],
            build: ms_ssim,
        },
        Entry {
            name: "el-vae",
            summary: "of a variational autoencoder: divergence of the code in nats + c times a dissimilarity",
            settings: &[
                SettingInfo {
                    key: "c",
                    default: "500",
                    about: "weight of the dissimilarity, above 0; another one for each dissimilarity",
                },
                SettingInfo { key: "of", default: "mse", about: "the dissimilarity: mse, mae, ssim or ms-ssim" },
            ],
            build: el_vae,
        },
    ],
};

/// A loss on pictures whose size is not yet known.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageLossChoice {
    /// Of each pixel by itself.
    Pixels(PixelLoss),
    /// At one scale.
    Ssim {
        /// Side of the window; by default the largest of 11, 9, 7, 5 and 3 that fits.
        window: Option<usize>,
        /// Standard deviation of the window in pixels.
        sigma: f64,
    },
    /// At several scales.
    MsSsim {
        /// Number of scales; by default as many as fit.
        scales: Option<usize>,
        /// Side of the window; by default the largest that fits.
        window: Option<usize>,
        /// Standard deviation of the window in pixels.
        sigma: f64,
        /// Share of the similarity.
        share: f64,
        /// How the similarity becomes a loss.
        form: MsSsimForm,
        /// When the scales are joined.
        variant: MsSsimVariant,
    },
    /// In a variational autoencoder.
    ElVae {
        /// Weight of the dissimilarity.
        c: f64,
        /// The dissimilarity.
        of: Box<ImageLossChoice>,
    },
}

impl ImageLossChoice {
    /// The dissimilarity of pictures of a height and width; of a variational autoencoder, the one inside.
    ///
    /// # Errors
    /// [`LossError`] where the pictures are too small for it, with what would fit, or a setting is out of range.
    pub fn dissimilarity(&self, [height, width]: [usize; 2]) -> Result<Box<dyn ImageLoss>, LossError> {
        match self {
            Self::Pixels(loss) => Ok(Box::new(*loss)),
            Self::Ssim { window, sigma } => {
                let size = match window {
                    Some(size) => *size,
                    None => SsimConfig::for_size(height, width)?.window.size(),
                };
                let ssim = SsimConfig::new().with_window(Window::Gaussian { size, sigma: *sigma }).init()?;
                ssim.check_size(&[height, width])?;
                Ok(Box::new(ssim))
            }
            Self::MsSsim { scales, window, sigma, share, form, variant } => {
                let config = MsSsimConfig::for_size_with(height, width, *scales, *window)?;
                let window = Window::Gaussian { size: config.window.size(), sigma: *sigma };
                let config = config.with_window(window).with_variant(*variant);
                Ok(Box::new(MsSsimLossConfig::new(config).with_form(*form).with_share(*share).init()?))
            }
            Self::ElVae { of, .. } => of.dissimilarity([height, width]),
        }
    }
}

const WINDOW: SettingInfo = SettingInfo {
    key: "window",
    default: "auto",
    about: "side of the window in pixels, odd and at most 1023; the largest up to 11 that fits",
};

const SIGMA: SettingInfo =
    SettingInfo { key: "sigma", default: "1.5", about: "standard deviation of the window in pixels, from 0.1 to 1000" };

const SCALES: SettingInfo = SettingInfo {
    key: "scales",
    default: "auto",
    about: "number of scales from 1 to 5, each of half the size; as many as fit the pictures",
};

fn window(settings: &Settings<'_>) -> Result<Option<usize>, SelectorError> {
    match settings.text("window") {
        None | Some("auto") => Ok(None),
        Some(_) => match settings.whole("window", 0)? {
            size if size % 2 == 1 => Ok(Some(size)),
            _ => Err(settings.wrong("window", "an odd number of pixels, or auto")),
        },
    }
}

fn sigma(settings: &Settings<'_>) -> Result<f64, SelectorError> {
    positive(settings, "sigma", 1.5)
}

fn positive(settings: &Settings<'_>, key: &str, default: f64) -> Result<f64, SelectorError> {
    let value = settings.number(key, default)?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(settings.wrong(key, "a number above 0")) }
}

fn ms_ssim(settings: &Settings<'_>) -> Result<ImageLossChoice, SelectorError> {
    let scales = match settings.text("scales") {
        None | Some("auto") => None,
        Some(_) => match settings.whole("scales", 0)? {
            scales @ 1..=5 => Some(scales),
            _ => return Err(settings.wrong("scales", "a number from 1 to 5, or auto")),
        },
    };
    let share = settings.number("share", 1.0)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(settings.wrong("share", "a share in [0, 1]"));
    }
    Ok(ImageLossChoice::MsSsim {
        scales,
        window: window(settings)?,
        sigma: sigma(settings)?,
        share,
        form: settings.choice("form", &[("one-minus", MsSsimForm::OneMinus), ("log", MsSsimForm::NegativeLog)])?,
        variant: settings
            .choice("variant", &[("scale-mean", MsSsimVariant::ScaleMean), ("per-pixel", MsSsimVariant::PerPixel)])?,
    })
}

fn el_vae(settings: &Settings<'_>) -> Result<ImageLossChoice, SelectorError> {
    let ms_ssim = ImageLossChoice::MsSsim {
        scales: None,
        window: None,
        sigma: 1.5,
        share: 1.0,
        form: MsSsimForm::OneMinus,
        variant: MsSsimVariant::ScaleMean,
    };
    let of = match settings.text("of") {
        None | Some("mse") => ImageLossChoice::Pixels(PixelLoss::L2),
        Some("mae") => ImageLossChoice::Pixels(PixelLoss::L1),
        Some("ssim") => ImageLossChoice::Ssim { window: None, sigma: 1.5 },
        Some("ms-ssim") => ms_ssim,
        Some(_) => return Err(settings.wrong("of", "one of mse, mae, ssim, ms-ssim")),
    };
    Ok(ImageLossChoice::ElVae { c: positive(settings, "c", 500.0)?, of: Box::new(of) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Tensor};
    use kiln_check::random;

    fn built(text: &str, size: [usize; 2]) -> Result<Box<dyn ImageLoss>, String> {
        let choice = IMAGE_LOSSES.build(&text.parse().unwrap()).map_err(|error| error.to_string())?;
        choice.dissimilarity(size).map_err(|error| error.to_string())
    }

    #[test]
    fn every_loss_is_0_of_equal_pictures_and_above_0_of_others() {
        for size in [[8, 9], [32, 28], [200, 180]] {
            let image = || (random::normal([2, 3, size[0], size[1]], DType::F32) * 0.3 + 0.5).clamp(0.0, 1.0);
            let (image, other) = (image(), image());
            for text in [
                "mse",
                "mae",
                "ssim",
                "ssim:window=3",
                "ms-ssim",
                "ms-ssim:share=0.84",
                "ms-ssim:form=log,scales=1",
                "ms-ssim:variant=per-pixel,window=3,scales=2",
                "el-vae:of=ms-ssim,c=3",
            ] {
                let loss = built(text, size).unwrap();
                let value = |other: Tensor<4>| loss.mean_dissimilarity(image.clone(), other).into_scalar::<f32>();
                assert!(value(image.clone()).abs() < 1e-5, "{text} at {size:?}: {}", value(image.clone()));
                assert!(value(other.clone()) > 0.01, "{text} at {size:?}: {}", value(other.clone()));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        for (text, size, part) in [
            ("ms-ssim:scales=5,window=11", [32, 32], "161"),
            ("ssim:window=11", [8, 40], "11"),
            ("ms-ssim:scales=6", [32, 32], "a number from 1 to 5, or auto"),
            ("ms-ssim:share=2", [32, 32], "a share in [0, 1]"),
            ("ssim:window=4", [32, 32], "an odd number of pixels"),
            ("ssim:window=18446744073709551615", [32, 32], "at most 1023 pixels"),
            ("ms-ssim:window=18446744073709551615", [32, 32], "at most 1023 pixels"),
            ("ms-ssim:window=9223372036854775807,scales=2", [32, 32], "at most 1023 pixels"),
            ("ssim:sigma=1e-200", [32, 32], "from 0.1 to 1000 pixels"),
            ("ms-ssim:sigma=1e-200", [32, 32], "from 0.1 to 1000 pixels"),
            ("ms-ssim:window=7,scales=4", [32, 32], "at least 49"),
            ("ssim", [2, 40], "at least 3"),
            ("el-vae:c=0", [32, 32], "a number above 0"),
            ("el-vae:of=huber", [32, 32], "mse"),
        ] {
            let error = built(text, size).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
