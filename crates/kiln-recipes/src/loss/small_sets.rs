//! Sets that recipes train many small networks on.

use kiln_data::{ArrayDataset, DataError, OpenOptions, Splits, split};
use kiln_lab::{Finding, LabError, Outcome, Run};

/// The sets that are here, and why the others are not.
pub(super) struct Sets {
    pub(super) here: Vec<Splits>,
    missing: Vec<Missing>,
}

/// A set that is not in any data directory.
struct Missing {
    name: String,
    /// Why, and where to get it; without the folders of this machine, because it goes into the ledger.
    reason: String,
}

impl Sets {
    /// Opens `names`, with at most so many test rows of each.
    pub(super) fn open(
        names: &[String],
        options: &OpenOptions,
        max_test: usize,
        run: &mut Run,
    ) -> Result<Self, LabError> {
        let (mut here, mut missing) = (Vec::new(), Vec::new());
        for name in names {
            match kiln_data::open(name, run.data(), options) {
                Ok(splits) => here.push(Splits { name: name.clone(), test: first(&splits.test, max_test), ..splits }),
                Err(error @ (DataError::NotHere { .. } | DataError::UnknownSource { .. })) => {
                    let reason = absence(name, &error).unwrap_or_else(|| error.to_string());
                    run.note(format!("Without {name}: {reason}."));
                    missing.push(Missing { name: name.clone(), reason });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { here, missing })
    }

    /// Where in [`here`](Self::here) a set is.
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.here.iter().position(|splits| splits.name == name)
    }

    /// A finding on a set that is missing.
    pub(super) fn not_comparable(&self, id: String, dataset: &str) -> Finding {
        let reason = self.missing.iter().find(|set| set.name == dataset).map_or("", |set| set.reason.as_str());
        Finding::new(id, format!("the claim on {dataset}")).outcome(Outcome::NotComparable).note(reason)
    }

    /// Names of the sets that are missing, joined by commas.
    pub(super) fn missing(&self) -> String {
        self.missing.iter().map(|set| set.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Why a set cannot be opened that is in no data directory, and where to get it.
pub(super) fn absence(name: &str, error: &DataError) -> Option<String> {
    match error {
        DataError::NotHere { hint, .. } => Some(format!("`{name}` is in no data directory; {hint}")),
        _ => None,
    }
}

/// At most `most` rows, chosen at random but always the same.
pub(super) fn first(data: &ArrayDataset, most: usize) -> ArrayDataset {
    if data.len() <= most {
        return data.clone();
    }
    let mut rows = split::permutation(data.len(), 0);
    rows.truncate(most);
    data.select(&rows)
}
