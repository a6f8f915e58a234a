//! Binary tasks out of sets with two classes or more.

use kiln_data::split::permutation;
use kiln_data::{ArrayDataset, DataError, OpenOptions, Splits, Targets};
use kiln_lab::{LabError, Run};

use super::ContestSettings;
use crate::loss::small_sets::first;

/// Which classes are set against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The set's own two classes.
    Own,
    /// Classes with an odd number against the others.
    Odd,
    /// The upper half of the classes against the lower.
    High,
    /// One class against another; other rows are left out.
    Pair(usize, usize),
}

/// The set and the rule of `SET`, `SET:odd`, `SET:high` or `SET:A-B`.
fn parsed(task: &str) -> Result<(&str, Rule), LabError> {
    let Some((set, rule)) = task.split_once(':') else { return Ok((task, Rule::Own)) };
    let pair = || {
        let (one, other) = rule.split_once('-')?;
        let pair = (one.parse().ok()?, other.parse().ok()?);
        (pair.0 != pair.1).then_some(Rule::Pair(pair.0, pair.1))
    };
    let rule = match rule {
        "odd" => Rule::Odd,
        "high" => Rule::High,
        _ => pair().ok_or_else(|| LabError::setting("tasks", task, "SET, SET:odd, SET:high or SET:A-B"))?,
    };
    Ok((set, rule))
}

/// That a task is written as one.
pub(super) fn check_task(task: &str) -> Result<(), LabError> {
    parsed(task).map(drop)
}

/// A task with the rows to choose training rows from.
pub(super) struct Task {
    pub(super) name: String,
    splits: Splits,
}

impl Task {
    /// The tasks whose data is here; the others are noted.
    pub(super) fn open_all(settings: &ContestSettings, run: &mut Run) -> Result<Vec<Self>, LabError> {
        let mut tasks = Vec::new();
        for name in &settings.tasks {
            let (set, rule) = parsed(name)?;
            match kiln_data::open(set, run.data(), &OpenOptions::default()) {
                Ok(splits) => tasks.push(Self { name: name.clone(), splits: binary(splits, name, rule, settings)? }),
                Err(DataError::NotHere { hint, .. }) => {
                    run.note(format!("Without {name}: `{set}` is in no data directory; {hint}."));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(tasks)
    }

    /// The task with so many training rows, drawn by the seed.
    pub(super) fn drawn(&self, train_rows: usize, seed: u64) -> Splits {
        let mut rows = permutation(self.splits.train.len(), seed);
        rows.truncate(train_rows);
        Splits { train: self.splits.train.select(&rows), ..self.splits.clone() }
    }
}

fn binary(splits: Splits, task: &str, rule: Rule, settings: &ContestSettings) -> Result<Splits, LabError> {
    let classes = splits.train.num_classes();
    let fits = match rule {
        Rule::Own => classes == 2,
        Rule::Odd | Rule::High => classes >= 2,
        Rule::Pair(one, other) => one < classes && other < classes,
    };
    if !splits.train.is_classification() || !fits {
        let right = format!("a task on the {classes} classes of that set");
        return Err(LabError::setting("tasks", task, right));
    }
    let judged = |data: &ArrayDataset| Ok::<_, LabError>(first(&chosen(data, rule)?, settings.max_judged));
    Ok(Splits {
        train: chosen(&splits.train, rule)?,
        validation: judged(&splits.validation)?,
        test: judged(&splits.test)?,
        ..splits
    })
}

/// The rows of the task, with class 0 or 1.
fn chosen(data: &ArrayDataset, rule: Rule) -> Result<ArrayDataset, LabError> {
    let half = data.num_classes().div_ceil(2);
    let class = |label: usize| match rule {
        Rule::Own => Some(label as u32),
        Rule::Odd => Some((label % 2) as u32),
        Rule::High => Some(u32::from(label >= half)),
        Rule::Pair(one, other) => (label == one).then_some(0).or((label == other).then_some(1)),
    };
    let rows: Vec<usize> = (0..data.len()).filter(|&row| class(data.label(row)).is_some()).collect();
    let labels = rows.iter().filter_map(|&row| class(data.label(row))).collect();
    let inputs = rows.iter().flat_map(|&row| data.row(row)).copied().collect();
    let targets = Targets::Classes { labels, names: vec!["0".into(), "1".into()] };
    let (shape, names) = (data.input_shape().to_vec(), data.feature_names().to_vec());
    Ok(ArrayDataset::with_feature_names(inputs, shape, targets, names)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_parsed() {
        assert_eq!(parsed("sonar").unwrap(), ("sonar", Rule::Own));
        assert_eq!(parsed("digits:odd").unwrap(), ("digits", Rule::Odd));
        assert_eq!(parsed("letter:high").unwrap(), ("letter", Rule::High));
        assert_eq!(parsed("fashion-mnist:6-0").unwrap(), ("fashion-mnist", Rule::Pair(6, 0)));
        for wrong in ["digits:", "digits:3", "digits:3-3", "digits:a-b"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rules_choose_rows_and_classes() {
        let names: Vec<String> = (0..5).map(|class| class.to_string()).collect();
        let labels = vec![0, 1, 2, 3, 4, 3];
        let inputs = (0..6).map(|row| row as f32).collect();
        let data = ArrayDataset::new(inputs, vec![1], Targets::Classes { labels, names }).unwrap();
        assert_eq!(chosen(&data, Rule::Odd).unwrap().labels(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(chosen(&data, Rule::High).unwrap().labels(), [0, 0, 0, 1, 1, 1]);
        let pair = chosen(&data, Rule::Pair(3, 2)).unwrap();
        assert_eq!((pair.labels(), pair.row(0)[0], pair.row(2)[0]), (vec![1, 0, 0], 2.0, 5.0));
    }
}
