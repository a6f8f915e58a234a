//! The data sets of the comparison, with a larger validation split than usual.

use kiln_data::{OpenOptions, SplitOptions, Splits};
use kiln_lab::{LabError, Run};

use super::Settings;
use crate::loss::small_sets::{Sets, first};

/// Opens `names` with the share of validation rows that the settings ask for: its labels are noisy, and few of them would
/// leave the choice to chance.
pub(super) fn open(settings: &Settings, names: &[String], run: &mut Run) -> Result<Sets, LabError> {
    let Settings { max_train, max_test, validation, .. } = *settings;
    let mut sets = Sets::open(names, max_train, max_test, run)?;
    let split = SplitOptions { validation, ..SplitOptions::default() };
    let options = OpenOptions { max_train: Some(max_train), split, ..OpenOptions::default() };
    for splits in &mut sets.here {
        let opened = kiln_data::open(&splits.name, run.data(), &options)?;
        *splits = Splits { name: splits.name.clone(), test: first(&opened.test, max_test), ..opened };
    }
    Ok(sets)
}
