use proptest::prelude::*;

use crate::aggregate::{
    AggregateError, BagCrossValidation, BagCrossValidationConfig, BagDivision, CrossValidated, RHO_GRID,
};

fn of(rhos: &[f64], folds: usize, repeats: usize) -> Result<BagCrossValidation, AggregateError> {
    BagCrossValidationConfig::new().with_rhos(rhos.to_vec()).with_folds(folds).with_repeats(repeats).init()
}

fn divisions(bags: usize, folds: usize, repeats: usize, seed: u64) -> Vec<BagDivision> {
    let mut seen = Vec::new();
    let found = of(&[0.0], folds, repeats).unwrap().choose(bags, seed, |division| {
        seen.push(division.clone());
        Ok::<_, AggregateError>(vec![1.0])
    });
    assert_eq!(found.unwrap().errors[0].held_out.len(), seen.len());
    seen
}

fn chosen(errors: impl Fn(usize) -> Vec<f64>) -> CrossValidated {
    let mut division = 0;
    let found = of(&[0.0, 0.1, 1.0], 2, 1).unwrap().choose(4, 1, |_| {
        division += 1;
        Ok::<_, AggregateError>(errors(division - 1))
    });
    found.unwrap()
}

#[test]
fn the_least_mean_error_is_chosen_and_the_smaller_share_of_equals() {
    let choice = chosen(|division| if division == 0 { vec![1.0, 4.0, 2.0] } else { vec![5.0, 0.0, 4.0] });
    assert_eq!((choice.rho, choice.errors[1].mean), (Some(0.1), 2.0));
    assert_eq!((choice.errors[2].mean, &choice.errors[2].held_out), (3.0, &vec![2.0, 4.0]));
    assert_eq!(chosen(|_| vec![2.0, 1.0, 1.0]).rho, Some(0.1));
    // What diverged in one division is out.
    assert_eq!(chosen(|division| vec![3.0, if division == 1 { f64::INFINITY } else { 0.0 }, 4.0]).rho, Some(0.0));
    assert_eq!(chosen(|_| vec![f64::INFINITY, f64::NAN, f64::INFINITY]).rho, None);
}

#[test]
fn a_first_division_is_the_same_however_many_follow() {
    assert_eq!(divisions(23, 5, 1, 3), divisions(23, 5, 4, 3)[..5]);
    assert_ne!(divisions(23, 5, 1, 3), divisions(23, 5, 1, 4));
    assert_ne!(divisions(23, 5, 2, 3)[..5], divisions(23, 5, 2, 3)[5..]);
}

#[test]
fn nothing_is_chosen_by_settings_that_mean_nothing() {
    assert_eq!(BagCrossValidationConfig::new().init().unwrap().trainings(), 5 * RHO_GRID.len());
    for (rhos, folds, repeats, part) in [
        (&[][..], 5, 1, "number of shares"),
        (&[-0.1], 5, 1, "rho = -0.1"),
        (&[f64::NAN], 5, 1, "rho = NaN"),
        (&[0.1], 1, 1, "folds = 1"),
        (&[0.1], 5, 0, "repeats = 0"),
    ] {
        let message = of(rhos, folds, repeats).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let few = of(&[0.1], 5, 1).unwrap().choose(4, 1, |_| Ok::<_, AggregateError>(vec![1.0]));
    assert_eq!(few.unwrap_err(), AggregateError::TooFewToDivide { bags: 4, folds: 5 });
}

proptest! {
    #[test]
    fn every_bag_is_held_out_once_in_each_repetition(bags in 2usize..40, folds in 2usize..7, seed: u64) {
        prop_assume!(folds <= bags);
        for repetition in divisions(bags, folds, 3, seed).chunks(folds) {
            let mut held: Vec<usize> = repetition.iter().flat_map(|division| division.held.clone()).collect();
            held.sort_unstable();
            prop_assert_eq!(held, (0..bags).collect::<Vec<_>>());
            for BagDivision { kept, held } in repetition {
                prop_assert_eq!(kept.len() + held.len(), bags);
                prop_assert!(kept.iter().all(|bag| !held.contains(bag)) && kept.is_sorted() && held.is_sorted());
                prop_assert!((bags / folds..=bags.div_ceil(folds)).contains(&held.len()));
            }
        }
    }
}
