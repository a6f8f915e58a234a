//! What a reproduction is: typed settings in three scales, and a run that ends in a verdict.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use toml::Table;

use crate::{LabError, MethodCard, Run, Scale, Verdict};

/// The reproduction of one paper.
pub trait Recipe: Send + Sync {
    /// What `--set` can change. Flat where possible; no optional fields, because TOML has no way to show an absent one.
    type Settings: Serialize + DeserializeOwned + Clone + Debug;

    /// The method's facts.
    fn card(&self) -> &'static MethodCard;

    /// Names of the parts that `--only` can pick; empty when there is only one.
    fn parts(&self) -> &'static [&'static str];

    /// The settings of a scale.
    fn settings(&self, scale: Scale) -> Self::Settings;

    /// Seeds of a scale; every method of the recipe runs on the same ones.
    fn seeds(&self, scale: Scale) -> Vec<u64> {
        match scale {
            Scale::Smoke => vec![1],
            Scale::Quick => (1..=3).collect(),
            Scale::Full => (1..=5).collect(),
        }
    }

    /// Ids of all findings that a whole run reports, in order.
    fn findings(&self, settings: &Self::Settings) -> Vec<String>;

    /// Runs the experiment. A run calls this once for every part that was asked for, with [`Run::wants`] true for that
    /// part alone, and assigns what is reported to it: each finding belongs to one part. What several parts need in
    /// common is prepared in each of them, or in a grid of its own, which is computed once.
    ///
    /// # Errors
    /// Whatever keeps it from a verdict: missing data, divergence of what must not diverge, a full disk.
    fn run(&self, settings: &Self::Settings, run: &mut Run) -> Result<Verdict, LabError>;
}

/// A [`Recipe`] of any settings type: settings travel as a TOML table. Every recipe is one.
pub trait AnyRecipe: Send + Sync {
    /// The method's facts.
    fn card(&self) -> &'static MethodCard;

    /// Names of the parts that `--only` can pick.
    fn parts(&self) -> &'static [&'static str];

    /// The settings of a scale.
    ///
    /// # Errors
    /// [`LabError::Setting`] when the settings have no TOML form, which is the recipe's mistake.
    fn settings_table(&self, scale: Scale) -> Result<Table, LabError>;

    /// Seeds of a scale.
    fn seeds(&self, scale: Scale) -> Vec<u64>;

    /// Whether `settings` are this recipe's.
    ///
    /// # Errors
    /// [`LabError::Setting`] for a missing key, an unknown one, or a value out of range.
    fn check_settings(&self, settings: &Table) -> Result<(), LabError>;

    /// Ids of all findings that a whole run with `settings` reports.
    ///
    /// # Errors
    /// As [`check_settings`](Self::check_settings).
    fn finding_ids(&self, settings: &Table) -> Result<Vec<String>, LabError>;

    /// Runs the experiment with the settings of `run`.
    ///
    /// # Errors
    /// As [`Recipe::run`].
    fn perform(&self, run: &mut Run) -> Result<Verdict, LabError>;
}

impl<R: Recipe> AnyRecipe for R {
    fn card(&self) -> &'static MethodCard {
        Recipe::card(self)
    }

    fn parts(&self) -> &'static [&'static str] {
        Recipe::parts(self)
    }

    fn settings_table(&self, scale: Scale) -> Result<Table, LabError> {
        Table::try_from(self.settings(scale)).map_err(|error| LabError::setting(scale.name(), "", error))
    }

    fn seeds(&self, scale: Scale) -> Vec<u64> {
        Recipe::seeds(self, scale)
    }

    fn check_settings(&self, settings: &Table) -> Result<(), LabError> {
        typed::<R>(settings).map(drop)
    }

    fn finding_ids(&self, settings: &Table) -> Result<Vec<String>, LabError> {
        Ok(self.findings(&typed::<R>(settings)?))
    }

    fn perform(&self, run: &mut Run) -> Result<Verdict, LabError> {
        let settings = typed::<R>(run.settings())?;
        self.run(&settings, run)
    }
}

fn typed<R: Recipe>(settings: &Table) -> Result<R::Settings, LabError> {
    let refused = |error: toml::de::Error| LabError::setting("settings", settings.to_string(), error.message());
    let typed: R::Settings = settings.clone().try_into().map_err(refused)?;
    let known = Table::try_from(&typed).map_err(|error| LabError::setting("settings", "", error))?;
    let known = crate::settings::keys(&known);
    match crate::settings::keys(settings).iter().find(|key| !known.contains(key)) {
        Some(key) => Err(LabError::unknown("setting", key, known.iter().map(String::as_str))),
        None => Ok(typed),
    }
}
