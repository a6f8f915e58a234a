//! Binary tasks out of sets with two classes or more.

use std::collections::BTreeMap;

use kiln_data::split::permutation;
use kiln_data::{ArrayDataset, OpenOptions, SplitOptions, Splits, Targets};
use kiln_lab::{LabError, Run};

use super::ContestSettings;
use crate::loss::small_sets::absence;

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

/// The set and the rule of `SET`, `SET:odd`, `SET:high` or `SET:A-B`; nothing for other text.
fn parsed(task: &str) -> Option<(&str, Rule)> {
    let Some((set, rule)) = task.split_once(':') else { return Some((task, Rule::Own)) };
    let rule = match rule {
        "odd" => Rule::Odd,
        "high" => Rule::High,
        pair => {
            let (one, other) = pair.split_once('-')?;
            let (one, other) = (one.parse().ok()?, other.parse().ok()?);
            (one != other).then_some(Rule::Pair(one, other))?
        }
    };
    Some((set, rule))
}

/// That a task of the setting `key` is written as one.
pub(super) fn check_task(key: &str, task: &str) -> Result<(), LabError> {
    match parsed(task) {
        Some(_) => Ok(()),
        None => Err(LabError::setting(key, task, "SET, SET:odd, SET:high or SET:A-B")),
    }
}

/// A task with the rows that each seed learns from and is judged by.
pub(super) struct Task {
    pub(super) name: String,
    by_seed: BTreeMap<u64, Splits>,
}

impl Task {
    /// The tasks whose data is here; the others are noted. A set without test rows of its own is divided anew for each
    /// seed, so that a comparison over seeds is one over test rows as well.
    pub(super) fn open_all(part: &str, contest: &ContestSettings, run: &mut Run) -> Result<Vec<Self>, LabError> {
        let mut tasks: Vec<Self> =
            contest.tasks.iter().map(|name| Self { name: name.clone(), by_seed: BTreeMap::new() }).collect();
        for seed in contest.seeds_of(run) {
            let mut opened: BTreeMap<String, Option<Splits>> = BTreeMap::new();
            for task in &mut tasks {
                let Some((set, rule)) = parsed(&task.name) else { continue };
                if !opened.contains_key(set) {
                    opened.insert(set.to_string(), open(set, seed, run)?);
                }
                if let Some(Some(splits)) = opened.get(set) {
                    task.by_seed.insert(seed, binary(part, splits, &task.name, rule, contest, seed)?);
                }
            }
        }
        tasks.retain(|task| !task.by_seed.is_empty());
        Ok(tasks)
    }

    /// The rows of a seed with which the task was opened.
    pub(super) fn splits(&self, seed: u64) -> &Splits {
        &self.by_seed[&seed]
    }
}

/// Share of the rows besides the test rows by which rates are chosen: the sets are small.
const VALIDATION: f64 = 0.2;

/// The set as it is divided with a seed; nothing, and a note, where it is in no data directory.
fn open(set: &str, seed: u64, run: &mut Run) -> Result<Option<Splits>, LabError> {
    let split = SplitOptions { seed, validation: VALIDATION, ..SplitOptions::default() };
    match kiln_data::open(set, run.data(), &OpenOptions { split, ..OpenOptions::default() }) {
        Ok(splits) => Ok(Some(splits)),
        Err(error) => {
            let reason = absence(set, &error).ok_or(error)?;
            run.note(format!("Without {set}: {reason}."));
            Ok(None)
        }
    }
}

fn binary(
    part: &str,
    splits: &Splits,
    task: &str,
    rule: Rule,
    contest: &ContestSettings,
    seed: u64,
) -> Result<Splits, LabError> {
    let classes = splits.train.num_classes();
    let fits = match rule {
        Rule::Own => classes == 2,
        Rule::Odd | Rule::High => classes >= 2,
        Rule::Pair(one, other) => one < classes && other < classes,
    };
    if !splits.train.is_classification() || !fits {
        let right = format!("tasks on the {classes} classes of that set");
        return Err(LabError::setting(&format!("tasks of {part}"), task, right));
    }
    let train = chosen(&splits.train, rule, contest.train_rows, seed)?;
    if train.len() < contest.train_rows {
        let right = format!("at most {}, the rows that {task} has to learn from", train.len());
        return Err(LabError::setting(&format!("train_rows of {part}"), contest.train_rows, right));
    }
    let judged = |data| chosen(data, rule, contest.max_judged, 0);
    Ok(Splits {
        name: task.to_string(),
        train,
        validation: judged(&splits.validation)?,
        test: judged(&splits.test)?,
        preprocessing: splits.preprocessing.clone(),
        bags: None,
        notes: Vec::new(),
    })
}

/// At most `most` rows of the task, drawn by the seed, with class 0 or 1.
fn chosen(data: &ArrayDataset, rule: Rule, most: usize, seed: u64) -> Result<ArrayDataset, LabError> {
    let half = data.num_classes().div_ceil(2);
    let class = |label: usize| match rule {
        Rule::Own => Some(label as u32),
        Rule::Odd => Some((label % 2) as u32),
        Rule::High => Some(u32::from(label >= half)),
        Rule::Pair(one, other) => (label == one).then_some(0).or((label == other).then_some(1)),
    };
    let mut rows: Vec<usize> = (0..data.len()).filter(|&row| class(data.label(row)).is_some()).collect();
    if rows.len() > most {
        rows = permutation(rows.len(), seed).into_iter().take(most).map(|at| rows[at]).collect();
    }
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
            assert!(parsed(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn rules_choose_rows_and_classes() {
        let names: Vec<String> = (0..5).map(|class| class.to_string()).collect();
        let labels = vec![0, 1, 2, 3, 4, 3];
        let inputs = (0..6).map(|row| row as f32).collect();
        let data = ArrayDataset::new(inputs, vec![1], Targets::Classes { labels, names }).unwrap();
        assert_eq!(chosen(&data, Rule::Odd, 9, 1).unwrap().labels(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(chosen(&data, Rule::High, 9, 1).unwrap().labels(), [0, 0, 0, 1, 1, 1]);
        let pair = chosen(&data, Rule::Pair(3, 2), 9, 1).unwrap();
        assert_eq!((pair.labels(), pair.row(0)[0], pair.row(2)[0]), (vec![1, 0, 0], 2.0, 5.0));
    }
}
