//! The bag of each row, checked.

use super::AggregateError;

/// Refuses bags without rows and rows without bags; gives the size of each bag.
///
/// # Errors
/// [`AggregateError::EmptyBag`] and [`AggregateError::NoResponse`].
pub(super) fn bag_sizes(bag_of_row: &[usize], bags: usize) -> Result<Vec<usize>, AggregateError> {
    let mut sizes = vec![0; bags];
    for (row, &bag) in bag_of_row.iter().enumerate() {
        *sizes.get_mut(bag).ok_or(AggregateError::NoResponse { row, bag, bags })? += 1;
    }
    match sizes.iter().position(|&size| size == 0) {
        Some(bag) => Err(AggregateError::EmptyBag { bag, bags }),
        None => Ok(sizes),
    }
}

/// Refuses numbers that are infinite or none.
pub(super) fn require_finite(what: &'static str, values: &[f64]) -> Result<(), AggregateError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(AggregateError::NotFinite { what, place, value: values[place] }),
        None => Ok(()),
    }
}
