//! Which settings are refused.

use kiln_lab::LabError;
use kiln_lab::train::{AUTOENCODERS, IMAGE_LOSSES, ImageLossChoice, Selector, UPSCALERS};
use kiln_nn::NetworkConfig;

use super::contenders::{MAE, MS_SSIM, MSE};
use super::settings::Settings;

impl Settings {
    /// Refuses settings with which nothing can be compared or trained, each by its key.
    pub(super) fn check(&self) -> Result<(), LabError> {
        check_names("losses", self.losses.iter().map(|contender| contender.name.as_str()))?;
        check_names("vae.losses", self.vae.losses.iter().map(|contender| contender.name.as_str()))?;
        for contender in &self.losses {
            check_loss(&contender.loss)?;
            check_rates(&format!("rates of {}", contender.name), &contender.rates)?;
        }
        for contender in &self.vae.losses {
            check_loss(&contender.loss)?;
            let key = format!("weights of {}", contender.name);
            check_rates(&key, &contender.weights)?;
            if !contender.weights.is_sorted_by(|a, b| a < b) {
                return Err(LabError::setting(&key, format!("{:?}", contender.weights), "increasing numbers"));
            }
        }
        check_rates("vae.rates", &self.vae.rates)?;
        check_rates("vae.nats", &[self.vae.nats])?;
        check_rates("codes.probe_rates", &self.codes.probe_rates)?;
        self.check_counts()?;
        self.check_photographs()?;
        self.autoencoders.models.iter().chain([&self.codes.model, &self.vae.model]).try_for_each(|model| {
            AUTOENCODERS.build(model)?;
            Ok::<_, LabError>(())
        })?;
        if !matches!(AUTOENCODERS.build(&self.vae.model)?, NetworkConfig::Autoencoder { variational: true, .. }) {
            return Err(LabError::setting("vae.model", &self.vae.model, "vae or conv-vae"));
        }
        UPSCALERS.build(&self.super_resolution.model)?;
        let factors = &self.super_resolution.factors;
        match factors.iter().find(|factor| !(2..=4).contains(*factor)) {
            Some(factor) => Err(LabError::setting("super_resolution.factors", factor, "2, 3 or 4")),
            None => Ok(()),
        }
    }

    fn check_counts(&self) -> Result<(), LabError> {
        /// One to be tested on and one to learn from.
        const LEAST_PHOTOGRAPHS: usize = 2;
        let counts = [
            ("side", self.side, 16),
            ("photographs", self.photographs.len(), LEAST_PHOTOGRAPHS),
            ("batch_size", self.batch_size, 1),
            ("tuning_seeds", self.tuning_seeds, 1),
            ("autoencoders.models", self.autoencoders.models.len(), 1),
            ("autoencoders.patch", self.autoencoders.patch, 12),
            ("autoencoders.epochs", self.autoencoders.epochs, 1),
            ("vae.train_rows", self.vae.train_rows, 1),
            ("vae.max_judged", self.vae.max_judged, 1),
            ("vae.epochs", self.vae.epochs, 1),
            ("super_resolution.factors", self.super_resolution.factors.len(), 1),
            ("super_resolution.patch", self.super_resolution.patch, 12),
            ("super_resolution.batch_size", self.super_resolution.batch_size, 1),
            ("super_resolution.epochs", self.super_resolution.epochs, 1),
            ("codes.datasets", self.codes.datasets.len(), 1),
            ("codes.train_rows", self.codes.train_rows, 1),
            ("codes.max_judged", self.codes.max_judged, 1),
            ("codes.epochs", self.codes.epochs, 1),
            ("codes.probe_epochs", self.codes.probe_epochs, 1),
        ];
        match counts.into_iter().find(|(_, count, least)| count < least) {
            Some((key, count, least)) => Err(LabError::setting(key, count, format!("at least {least}"))),
            None => Ok(()),
        }
    }
}

impl Settings {
    /// A photograph that came twice would be learnt from and tested on by the same seed.
    fn check_photographs(&self) -> Result<(), LabError> {
        let twice = |(at, name): (usize, &String)| self.photographs[..at].contains(name).then(|| name.clone());
        if let Some(name) = self.photographs.iter().enumerate().find_map(twice) {
            return Err(LabError::setting("photographs", format!("{name} twice"), "each photograph once"));
        }
        if self.photographs.contains(&self.validation_photograph) {
            let expected = "a photograph that is none of `photographs`, on which seeds are tested";
            return Err(LabError::setting("validation_photograph", &self.validation_photograph, expected));
        }
        Ok(())
    }
}

fn check_names<'a>(key: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<(), LabError> {
    for needed in [MSE, MAE, MS_SSIM] {
        let found = names.clone().filter(|name| *name == needed).count();
        if found != 1 {
            return Err(LabError::setting(
                key,
                format!("{found} of {needed}"),
                format!("{needed} once, which is compared"),
            ));
        }
    }
    Ok(())
}

fn check_loss(loss: &Selector) -> Result<(), LabError> {
    match IMAGE_LOSSES.build(loss)? {
        ImageLossChoice::ElVae { .. } => Err(LabError::setting("losses", loss, "a loss between two pictures")),
        _ => Ok(()),
    }
}

fn check_rates(key: &str, rates: &[f64]) -> Result<(), LabError> {
    if rates.is_empty() {
        return Err(LabError::setting(key, "[]", "at least one number"));
    }
    match rates.iter().find(|rate| !(**rate > 0.0 && rate.is_finite())) {
        Some(rate) => Err(LabError::setting(key, rate, "finite numbers above 0")),
        None => Ok(()),
    }
}
