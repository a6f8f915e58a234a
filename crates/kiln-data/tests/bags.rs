//! Tables whose targets are means over bags: whole bags in every part, or a refusal.

use std::collections::HashSet;

use kiln_data::{BagOptions, BagTargets, DataDir, OpenOptions, SplitOptions, Splits, TargetTable, Task, open};
use proptest::prelude::*;

fn options(targets: BagTargets) -> OpenOptions {
    let split = SplitOptions { validation: 0.2, ..SplitOptions::default() };
    let bags = Some(BagOptions { column: "id".into(), targets });
    OpenOptions { task: Some(Task::Regress), bags, split, standardise: false, ..OpenOptions::default() }
}

fn opened(text: &str, options: &OpenOptions) -> Result<Splits, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    open(path.to_str().unwrap(), &DataDir::find(None), options).map_err(|error| error.to_string())
}

/// `x` counts the rows, so that it names them.
fn table(ids: &[u8], targets: &[i32]) -> String {
    let rows = ids.iter().zip(targets).enumerate().map(|(row, (id, y))| format!("{id},{row},{y}.5\n"));
    std::iter::once("id,x,y\n".to_string()).chain(rows).collect()
}

#[test]
fn numbers_are_scaled_by_the_means_that_are_known() {
    let ids: Vec<u8> = (0..40).map(|row| row / 2).collect();
    let targets: Vec<i32> = (0..40).map(|row| if row % 2 == 0 { row } else { -row }).collect();
    let rows = opened(&table(&ids, &targets), &options(BagTargets::Row)).unwrap();
    let kiln_data::TargetEncoding::Values { deviations, .. } = &rows.preprocessing.targets else { panic!() };
    // The means of the bags are all the same, though the rows are far from it.
    assert_eq!(deviations, &[1.0]);
    let refused = opened(&table(&ids, &targets), &options(BagTargets::Bag)).unwrap_err();
    assert!(refused.contains("t.csv, line 3, column y") && refused.contains("in bag 0"), "{refused}");
}

#[test]
fn the_bag_column_is_no_feature_and_no_target() {
    let ids: Vec<u8> = (0..40).map(|row| row / 4).collect();
    let targets: Vec<i32> = ids.iter().map(|&id| id.into()).collect();
    let splits = opened(&table(&ids, &targets), &options(BagTargets::Bag)).unwrap();
    assert_eq!(splits.train.feature_names(), ["x"]);
    let ignored = OpenOptions { ignore: vec!["id".into()], ..options(BagTargets::Bag) };
    assert!(opened(&table(&ids, &[0; 40]), &ignored).unwrap_err().contains("--bags = id"));
    assert!(open("digits", &DataDir::find(None), &options(BagTargets::Bag)).is_err());
}

proptest! {
    #[test]
    fn a_bag_is_in_one_part_alone(
        rows in prop::collection::vec((0u8..12, -5..5_i32), 1..80),
        own_targets: bool,
    ) {
        let (ids, targets): (Vec<u8>, Vec<i32>) = rows.into_iter().unzip();
        let kind = if own_targets { BagTargets::Row } else { BagTargets::Bag };
        let Ok(splits) = opened(&table(&ids, &targets), &options(kind)) else { return Ok(()) };
        let bags = splits.bags.as_ref().unwrap();
        let mut seen = HashSet::new();
        for (data, bags) in
            [(&splits.train, &bags.train), (&splits.validation, &bags.validation), (&splits.test, &bags.test)]
        {
            prop_assert_eq!(bags.rows().len(), data.len());
            for bag in 0..bags.len() {
                let id: u8 = bags.name(bag).parse().unwrap();
                prop_assert!(seen.insert(id), "bag {} is in two parts", id);
                let found: Vec<usize> = bags.rows_of(bag).iter().map(|&row| data.row(row)[0] as usize).collect();
                let whole: Vec<usize> = (0..ids.len()).filter(|&row| ids[row] == id).collect();
                prop_assert_eq!(found, whole);
            }
        }
        prop_assert_eq!(seen.len(), ids.iter().collect::<HashSet<_>>().len());
    }

    #[test]
    fn a_table_of_means_is_written_or_refused(text in "(id|x|y|[0-9]|,|\n|a|-|\\.){0,60}", column in "(id|x|y|bag)") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, &text).unwrap();
        let read = TargetTable::read(path.to_str().unwrap(), &DataDir::find(None), None, None, None);
        if let Ok(table) = read
            && let Ok(bags) = table.bags_by(&column)
        {
            let means = bags.means(table.values(), table.width());
            prop_assert_eq!(means.len(), bags.len() * table.width());
            if let Ok(written) = table.csv(&bags, &means, "bag", Some(&column)) {
                prop_assert_eq!(written.lines().count(), table.rows() + 1);
            }
        }
    }
}
