//! The losses that the factored layer knows, by name.

use kiln_loss::{
    ClassificationLoss, LossError, SphericalLoss, SphericalSoftmaxLossConfig, SquaredSphericalLossConfig,
    TaylorSoftmaxLossConfig, ZLossConfig,
};

use crate::train::selector::{Entry, Registry, SelectorError, SettingInfo, Settings};

/// A loss on logits that the factored layer knows too.
pub trait BothForms: ClassificationLoss + SphericalLoss {}

impl<L: ClassificationLoss + SphericalLoss> BothForms for L {}

type Built = Result<Box<dyn BothForms>, SelectorError>;

/// The spherical losses in both forms, by the names that the losses on logits have.
pub const SPHERICAL_LOSSES: Registry<Box<dyn BothForms>> = Registry {
    kind: "loss",
    entries: &[
        Entry {
            name: "z-loss",
            summary: "softplus of the class's standardised score; ranks, gives no probabilities",
            settings: &[SHARPNESS, MARGIN],
            build: |settings| both(settings, z_loss(settings)?.init()),
        },
        Entry {
            name: "taylor-softmax",
            summary: "log of the second-order Taylor softmax",
            settings: &[],
            build: |settings| both(settings, TaylorSoftmaxLossConfig::new().init()),
        },
        Entry {
            name: "spherical-softmax",
            summary: "log of the squared scores' share",
            settings: &[EPS],
            build: |settings| both(settings, spherical_softmax(settings)?.init()),
        },
        Entry {
            name: "squared-error",
            summary: "squared distance of the scores to the one-hot class",
            settings: &[],
            build: |settings| both(settings, SquaredSphericalLossConfig::new().init()),
        },
    ],
};

/// `a` of the Z-loss.
pub(in crate::train) const SHARPNESS: SettingInfo =
    SettingInfo { key: "sharpness", default: "0.1", about: "a, above 0" };

/// `b` of the Z-loss.
pub(in crate::train) const MARGIN: SettingInfo =
    SettingInfo { key: "margin", default: "10", about: "b, on the scale of a standardised score" };

/// `eps` of spherical softmax.
pub(in crate::train) const EPS: SettingInfo =
    SettingInfo { key: "eps", default: "0.001", about: "added to each squared score, above 0" };

/// The Z-loss with its settings.
pub(in crate::train) fn z_loss(settings: &Settings<'_>) -> Result<ZLossConfig, SelectorError> {
    Ok(ZLossConfig::new()
        .with_sharpness(settings.number("sharpness", 0.1)?)
        .with_margin(settings.number("margin", 10.0)?))
}

/// Spherical softmax with its setting.
pub(in crate::train) fn spherical_softmax(
    settings: &Settings<'_>,
) -> Result<SphericalSoftmaxLossConfig, SelectorError> {
    Ok(SphericalSoftmaxLossConfig::new().with_eps(settings.number("eps", 1e-3)?))
}

fn both<L: BothForms + 'static>(settings: &Settings<'_>, loss: Result<L, LossError>) -> Built {
    loss.map(|loss| Box::new(loss) as Box<dyn BothForms>).map_err(|error| settings.refused(error))
}
