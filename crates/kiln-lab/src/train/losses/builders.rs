//! How the losses with many settings are made from them.

use kiln_loss::comp_sum::{CompSumLossConfig, CompSumPhi2};
use kiln_loss::ens_loss::{DerivativeDist, DerivativeTail, EnsLossConfig};
use kiln_loss::ldr::{AldrKlConfig, AldrMode, LdrKlConfig, LdrTopKConfig, LogitNorm};
use kiln_loss::margin::{HingeTail, MarginLossConfig, MarginPhi};
use kiln_loss::{ClassificationLoss, CrossEntropyLossConfig, LossError, ReducedLossConfig};

use super::{Built, WEIGHTS};
use crate::train::selector::{SelectorError, Settings};

pub(super) fn cross_entropy(settings: &Settings<'_>) -> Built {
    let smoothing = settings.number("label-smoothing", 0.0)?;
    let config = CrossEntropyLossConfig::new().with_label_smoothing(smoothing);
    if smoothing == 0.0 {
        return boxed(settings, config.init());
    }
    boxed_with_weights(settings, config.with_class_weights(weights(settings)?).init())
}

pub(super) fn comp_sum(settings: &Settings<'_>) -> Built {
    let rho = settings.number("rho", 1.0)?;
    let phis = [("exp", CompSumPhi2::Exp), ("margin", CompSumPhi2::RhoMargin(rho)), ("hinge", CompSumPhi2::Hinge(rho))];
    let smoothing = settings.number("label-smoothing", 0.0)?;
    let config = CompSumLossConfig::new()
        .with_tau(settings.number("tau", 1.0)?)
        .with_phi2(settings.choice("phi", &phis)?)
        .with_label_smoothing(smoothing);
    if smoothing == 0.0 {
        return boxed(settings, config.init());
    }
    boxed_with_weights(settings, config.with_class_weights(weights(settings)?).init())
}

pub(super) fn margin(settings: &Settings<'_>) -> Built {
    let phis = [
        ("logistic", MarginPhi::Logistic),
        ("hinge", MarginPhi::Hinge),
        ("exponential", MarginPhi::Exponential),
        ("squared", MarginPhi::Squared),
        ("squared-hinge", MarginPhi::SquaredHinge),
        ("focal", MarginPhi::Focal(settings.number("gamma", 2.0)?)),
        ("exp-tail", MarginPhi::HingeTail(HingeTail::Exponential)),
        ("inverse-tail", MarginPhi::HingeTail(HingeTail::Inverse)),
        ("inverse-log-tail", MarginPhi::HingeTail(HingeTail::InverseLog)),
        ("log-tail", MarginPhi::HingeTail(HingeTail::Log)),
        ("sqrt-tail", MarginPhi::HingeTail(HingeTail::SquareRoot)),
    ];
    let phi = settings.choice("phi", &phis)?;
    if !matches!(phi, MarginPhi::Focal(_)) {
        refuse_foreign(settings, &["gamma"], "phi")?;
    }
    margin_loss(settings, phi)
}

pub(super) fn margin_loss(settings: &Settings<'_>, phi: MarginPhi) -> Built {
    boxed(settings, MarginLossConfig::new().with_phi(phi).init())
}

pub(super) fn ldr(settings: &Settings<'_>) -> Built {
    let norms = [("none", LogitNorm::None), ("softplus", LogitNorm::SoftplusMean), ("l1", LogitNorm::L1Mean)];
    let modes = [("alternating", AldrMode::Alternating), ("exact", AldrMode::Exact), ("joint", AldrMode::Joint)];
    let margin = settings.number("margin", 0.1)?;
    let normalize = settings.choice("normalize", &norms)?;
    let foreign: &[&str] = match settings.choice("variant", &[("kl", 0), ("top-k", 1), ("adaptive", 2)])? {
        0 => &["lambda0", "alpha", "mode", "k"],
        1 => &["lambda0", "alpha", "mode", "normalize"],
        _ => &["lambda", "k"],
    };
    refuse_foreign(settings, foreign, "variant")?;
    match settings.text("variant").unwrap_or("kl") {
        "top-k" => {
            let config = LdrTopKConfig::new(settings.whole("k", 5)?)
                .with_lambda(settings.number("lambda", 0.0)?)
                .with_margin(margin);
            boxed(settings, config.init())
        }
        "adaptive" => {
            let config = AldrKlConfig::new()
                .with_lambda0(settings.number("lambda0", 1.0)?)
                .with_alpha(settings.number("alpha", 2.0)?)
                .with_margin(margin)
                .with_normalize(normalize)
                .with_mode(settings.choice("mode", &modes)?);
            boxed(settings, config.init())
        }
        _ => {
            let config = LdrKlConfig::new()
                .with_lambda(settings.number("lambda", 1.0)?)
                .with_margin(margin)
                .with_normalize(normalize);
            boxed(settings, config.init())
        }
    }
}

pub(super) fn ens_loss(settings: &Settings<'_>) -> Built {
    let (scale, one) = (settings.number("scale", 1.0)?, 1.0);
    let dists = [
        ("inv-box-cox", DerivativeDist::InvBoxCox { lam: settings.number("lam", 0.0)? }),
        ("exponential", DerivativeDist::Exponential { rate: settings.number("rate", one)? }),
        ("gamma", DerivativeDist::Gamma { shape: settings.number("shape", one)?, scale }),
        ("half-normal", DerivativeDist::HalfNormal { scale }),
        ("beta", DerivativeDist::Beta { alpha: settings.number("alpha", one)?, beta: settings.number("beta", one)? }),
    ];
    let period = match settings.text("period") {
        None | Some("none") => None,
        Some(_) => Some(settings.whole("period", 1)?),
    };
    let dist = settings.choice("dist", &dists)?;
    let foreign: &[&str] = match dist {
        DerivativeDist::InvBoxCox { .. } => &["rate", "shape", "scale", "alpha", "beta"],
        DerivativeDist::Exponential { .. } => &["lam", "shape", "scale", "alpha", "beta"],
        DerivativeDist::Gamma { .. } => &["lam", "rate", "alpha", "beta"],
        DerivativeDist::HalfNormal { .. } => &["lam", "rate", "shape", "alpha", "beta"],
        DerivativeDist::Beta { .. } => &["lam", "rate", "shape", "scale"],
    };
    refuse_foreign(settings, foreign, "dist")?;
    if period.is_none() && ["lam-low", "lam-high"].iter().any(|key| settings.text(key).is_some()) {
        return Err(settings.refused("lam-low and lam-high need a period, after which another lam is drawn"));
    }
    let tails = [("inverse", DerivativeTail::Inverse), ("none", DerivativeTail::None)];
    let config = EnsLossConfig::new()
        .with_dist(dist)
        .with_period(period)
        .with_lam_range((settings.number("lam-low", -1.0)?, settings.number("lam-high", 1.0)?))
        .with_clip(settings.number("clip", 1.0)?)
        .with_tail(settings.choice("tail", &tails)?)
        .with_floor(settings.number("floor", 1e-6)?)
        .with_seed(settings.whole("seed", 0)? as u64);
    boxed(settings, config.init())
}

/// Refuses settings that mean nothing with what was chosen under `choice`.
fn refuse_foreign(settings: &Settings<'_>, foreign: &[&str], choice: &str) -> Result<(), SelectorError> {
    match foreign.iter().find(|key| settings.text(key).is_some()) {
        Some(key) => Err(settings.refused(format!("{key} is no setting of this {choice}"))),
        None => Ok(()),
    }
}

fn weights(settings: &Settings<'_>) -> Result<Option<Vec<f64>>, SelectorError> {
    let Some(text) = settings.text("weights").filter(|text| *text != "none") else { return Ok(None) };
    let weights: Option<Vec<f64>> = text.split('/').map(|part| part.parse().ok()).collect();
    weights.map(Some).ok_or_else(|| settings.wrong("weights", WEIGHTS.about))
}

fn ignored(settings: &Settings<'_>) -> Result<Option<i64>, SelectorError> {
    match settings.text("ignore") {
        None | Some("none") => Ok(None),
        Some(_) => Ok(Some(settings.whole("ignore", 0)? as i64)),
    }
}

/// The loss with the class weights and the ignored class that every loss can have.
pub(super) fn boxed<L: ClassificationLoss + 'static>(settings: &Settings<'_>, loss: Result<L, LossError>) -> Built {
    let loss = loss.map_err(|error| settings.refused(error))?;
    let (weights, ignored) = (weights(settings)?, ignored(settings)?);
    if weights.is_none() && ignored.is_none() {
        return Ok(Box::new(loss));
    }
    let reduced = ReducedLossConfig::new().with_class_weights(weights).with_ignore_index(ignored).init(loss);
    Ok(Box::new(reduced.map_err(|error| settings.refused(error))?))
}

/// A loss whose label smoothing takes the class weights into account itself.
fn boxed_with_weights<L: ClassificationLoss + 'static>(settings: &Settings<'_>, loss: Result<L, LossError>) -> Built {
    if ignored(settings)?.is_some() {
        return Err(settings.refused("ignore does not go with label-smoothing"));
    }
    Ok(Box::new(loss.map_err(|error| settings.refused(error))?))
}
