//! Which settings are refused.

use kiln_lab::LabError;
use kiln_lab::train::{AUGMENTATIONS, LOSSES, MODELS};

use super::settings::{ContestSettings, ENSEMBLE, LOGISTIC, Settings};
use super::tasks::check_task;

impl Settings {
    /// Refuses settings with which nothing can be compared or trained, each by its key.
    pub(super) fn check(&self) -> Result<(), LabError> {
        self.check_losses()?;
        self.check_rates()?;
        self.tables.check("tables")?;
        self.tables_large.check("tables_large")?;
        self.images.check("images")?;
        self.photographs.check("photographs")?;
        for (key, decays) in [("weight_decay", &[self.weight_decay][..]), ("weight_decays", &self.weight_decays)] {
            decays.iter().try_for_each(|&decay| number(key, decay, decay >= 0.0, "a finite number of at least 0"))?;
        }
        number("dropout", self.dropout, (0.0..1.0).contains(&self.dropout), "at least 0 and below 1")?;
        self.augmentations.iter().try_for_each(|change| AUGMENTATIONS.build(change).map(drop))?;
        Ok(())
    }

    fn check_losses(&self) -> Result<(), LabError> {
        for needed in [ENSEMBLE, LOGISTIC] {
            let found = self.losses.iter().filter(|loss| loss.name() == needed).count();
            if found != 1 {
                let found = format!("{found} of {needed}");
                return Err(LabError::setting("losses", found, format!("{needed} once, which is compared")));
            }
        }
        if self.losses.len() < 3 {
            return Err(LabError::setting("losses", self.losses.len(), "at least three losses"));
        }
        self.losses.iter().try_for_each(|loss| LOSSES.build(loss).map(drop))?;
        Ok(())
    }

    fn check_rates(&self) -> Result<(), LabError> {
        if self.rates.is_empty() {
            return Err(LabError::setting("rates", "[]", "at least one learning rate"));
        }
        self.rates.iter().try_for_each(|&rate| number("rates", rate, rate > 0.0, "finite numbers above 0"))?;
        if !self.rates.contains(&self.shared_rate) {
            return Err(LabError::setting("shared_rate", self.shared_rate, "one of the rates"));
        }
        Ok(())
    }
}

impl ContestSettings {
    fn check(&self, part: &str) -> Result<(), LabError> {
        let key = |name: &str| format!("{part}.{name}");
        let counts = [
            ("seeds", self.seeds),
            ("tuning_seeds", self.tuning_seeds),
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("train_rows", self.train_rows),
            ("max_judged", self.max_judged),
        ];
        if let Some((name, count)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(LabError::setting(&key(name), count, "at least 1"));
        }
        if self.tuning_seeds > self.seeds {
            let right = format!("at most {}, the number of seeds", key("seeds"));
            return Err(LabError::setting(&key("tuning_seeds"), self.tuning_seeds, right));
        }
        if self.models.is_empty() {
            return Err(LabError::setting(&key("models"), "[]", "at least one network"));
        }
        self.models.iter().try_for_each(|model| MODELS.build(model).map(drop))?;
        self.tasks.iter().try_for_each(|task| check_task(&key("tasks"), task))
    }
}

fn number(key: &str, value: f64, fits: bool, right: &str) -> Result<(), LabError> {
    if fits && value.is_finite() { Ok(()) } else { Err(LabError::setting(key, value, right)) }
}
