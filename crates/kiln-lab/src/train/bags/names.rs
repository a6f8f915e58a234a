//! Losses on bags by name.

use kiln_data::TargetEncoding;
use kiln_loss::aggregate::{BagLoss, BagLossConfig, BagLossKind};

use crate::LabError;
use crate::train::selector::{Entry, Registry, SettingInfo};
use crate::train::task::refuse_other;
use crate::train::{LOSSES, REGRESSION_LOSSES, Selector, SelectorError};

/// Losses on bags by name: `aggregate:bag`, `aggregate:instance`, `aggregate:interpolate=RHO` and `aggregate:interpolate=auto`.
pub const BAG_LOSSES: Registry<Interpolation> = Registry {
    kind: "loss",
    entries: &[Entry {
        name: "aggregate",
        summary: "means of bags: bag level (aggregate:bag), instance level (aggregate:instance), or between them",
        settings: &[
            SettingInfo {
                key: "interpolate",
                default: "0.1",
                about: "share of the instance level, at least 0: 0 is aggregate:bag, 1 is aggregate:instance; auto chooses among \
                        0, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7 and 1 by cross-validation over the training \
                        bags",
            },
            SettingInfo { key: "folds", default: "5", about: "of auto: parts of the cross-validation, at least 2" },
        ],
        build: |settings| {
            let folds = settings.whole("folds", 5)?;
            if folds < 2 {
                return Err(settings.wrong("folds", "at least 2"));
            }
            if settings.text("interpolate") == Some("auto") {
                return Ok(Interpolation::Auto { folds });
            }
            if settings.text("folds").is_some() {
                return Err(settings.refused("folds are for interpolate=auto alone"));
            }
            let rho = settings.number("interpolate", 0.1)?;
            match BagLossConfig::new().with_rho(rho).init() {
                Ok(_) => Ok(Interpolation::At(rho)),
                Err(_) => Err(settings.wrong("interpolate", "a number of at least 0, or auto")),
            }
        },
    }],
};

/// How far a loss stands between bag level and instance level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interpolation {
    /// At this share of the instance level.
    At(f64),
    /// At the share that cross-validation over the training bags chooses among
    /// [`RHO_GRID`](kiln_loss::aggregate::RHO_GRID), in so many parts.
    Auto {
        /// Number of parts.
        folds: usize,
    },
}

/// How far `loss` stands between bag level and instance level.
///
/// # Errors
/// [`SelectorError::OtherTask`] for a loss on single rows, and the errors of [`Registry::build`].
pub fn interpolation(loss: &Selector) -> Result<Interpolation, SelectorError> {
    const ROWS: &str = "the targets of single rows";
    const MEANS: &str = "means of bags";
    refuse_other(loss, ROWS, &LOSSES, MEANS, &BAG_LOSSES)?;
    refuse_other(loss, ROWS, &REGRESSION_LOSSES, MEANS, &BAG_LOSSES)?;
    BAG_LOSSES.build(loss)
}

/// The loss of a training on bags that names none.
pub fn default_bag_loss() -> Selector {
    Selector::named("aggregate")
}

/// The loss on bags with targets of this kind.
///
/// # Errors
/// [`LabError::Method`] for a share that the loss refuses.
pub fn bag_loss(targets: &TargetEncoding, rho: f64) -> Result<BagLoss, LabError> {
    BagLossConfig::new().with_kind(kind_of(targets)).with_rho(rho).init().map_err(LabError::method)
}

/// What a loss on bags with targets of this kind averages.
pub(super) fn kind_of(targets: &TargetEncoding) -> BagLossKind {
    match targets {
        TargetEncoding::Classes { .. } => BagLossKind::CrossEntropy,
        TargetEncoding::Values { .. } | TargetEncoding::Pixels => BagLossKind::Squared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_loss::aggregate::RHO_GRID;

    fn built(text: &str) -> Result<Interpolation, String> {
        let selector: Selector = text.parse().map_err(|error| format!("{error}"))?;
        BAG_LOSSES.build(&selector).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shares_to_choose_among_are_named() {
        let about = BAG_LOSSES.entries[0].settings[0].about;
        let shares = RHO_GRID.map(|rho| rho.to_string());
        let (last, others) = shares.split_last().unwrap();
        assert!(about.contains(&format!("among {} and {last} by", others.join(", "))), "{about}");
    }

    #[test]
    fn both_ends_have_names() {
        assert_eq!(built("aggregate:bag"), Ok(Interpolation::At(0.0)));
        assert_eq!(built("aggregate:instance"), Ok(Interpolation::At(1.0)));
        assert_eq!(built("aggregate:interpolate=0.3"), Ok(Interpolation::At(0.3)));
        assert_eq!(built("aggregate"), Ok(Interpolation::At(0.1)));
        assert_eq!(built("aggregate:interpolate=auto"), Ok(Interpolation::Auto { folds: 5 }));
        assert_eq!(built("aggregate:interpolate=auto,folds=3"), Ok(Interpolation::Auto { folds: 3 }));
        let selector: Selector = "aggregate:bag".parse().unwrap();
        assert_eq!(selector.to_string(), "aggregate:interpolate=0");
    }

    #[test]
    fn wrong_settings_are_refused() {
        for (text, part) in [
            ("aggregate:interpolate=-0.1", "a number of at least 0, or auto"),
            ("aggregate:interpolate=nan", "a number of at least 0, or auto"),
            ("aggregate:interpolate=half", "interpolate=half is not a number"),
            ("aggregate:interpolate=auto,folds=1", "folds=1 is not at least 2"),
            ("aggregate:folds=3", "folds are for interpolate=auto alone"),
            ("aggregate:rho=1", "has no setting 'rho'"),
            ("aggregate:bags", "is not NAME or NAME:key=value"),
            ("agregate", "did you mean 'aggregate'?"),
        ] {
            let message = built(text).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
