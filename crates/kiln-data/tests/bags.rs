//! Tables whose targets are means over bags: whole bags in every part, or a refusal.

use std::collections::HashSet;

use kiln_data::{
    BagOptions, BagTargets, DataDir, OpenOptions, SplitOptions, Splits, TargetTable, Task, open, open_bags_like,
};
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

#[test]
fn a_bag_that_files_of_a_folder_cut_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, first: u8| {
        let ids: Vec<u8> = (0..24).map(|row| first + row / 4).collect();
        let targets: Vec<i32> = ids.iter().map(|&id| id.into()).collect();
        std::fs::write(folder.path().join(name), table(&ids, &targets)).unwrap();
    };
    let source = folder.path().to_str().unwrap();
    let opened = || open(source, &DataDir::find(None), &options(BagTargets::Bag));
    write("train.csv", 0);
    write("test.csv", 6);
    let splits = opened().unwrap();
    let like = |only_test| {
        let options = options(BagTargets::Bag);
        open_bags_like(source, &DataDir::find(None), &splits.preprocessing, &options, only_test)
    };
    assert_eq!([true, false].map(|only_test| like(only_test).unwrap().bags.len()), [6, 12]);
    // Bag 5 is the last of one file and the first of the other.
    write("test.csv", 5);
    let errors = [opened().map(|_| ()), like(true).map(|_| ()), like(false).map(|_| ())];
    for message in errors.map(|found| found.unwrap_err().to_string()) {
        for part in
            ["test.csv, line 2, column id: found bag 5", "train.csv has rows too", "all rows of a bag in one part"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn names_under_which_nothing_could_be_found_again_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str, bag_column: &str| {
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let table = TargetTable::read(path.to_str().unwrap(), &DataDir::find(None), None, None, None).unwrap();
        let bags = table.bags_by("id").unwrap();
        let means = bags.means(table.values(), table.width());
        let message = table.csv(&bags, &means, bag_column, Some("id")).err().map(|error| error.to_string());
        assert_eq!(table.check_names(bag_column, Some("id")).err().map(|error| error.to_string()), message);
        message
    };
    let numbers = "id,x,y\n1,2,0.5\n1,3,1.5\n";
    let classes = "id,x,y\n1,2,low\n1,3,high\n";
    for (text, name, part) in [
        (numbers, "y", "--bag-column = y: the means are in a column of that name"),
        (numbers, "x", "--bag-column = x: the table has a column of that name"),
        (classes, "y=low", "--bag-column = y=low: the means are in a column of that name"),
        ("id,y=low,y\n1,2,low\n1,3,high\n", "bag", "--target = y: the table has a column `y=low`"),
        ("id,x,y\n1,2,\"low, wet\"\n1,3,high\n", "bag", "--target = y: its class `low, wet` has a comma"),
    ] {
        assert!(refused(text, name).is_some_and(|message| message.contains(part)), "{part}: {:?}", refused(text, name));
    }
    assert_eq!([(numbers, "id"), (classes, "y")].map(|(text, name)| refused(text, name)), [None, None]);
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
