//! The temperatures of the training rows.

use serde::{Deserialize, Serialize};

use crate::LossError;

/// One temperature for each training row, as [`AldrKl`](super::AldrKl) adapts them visit by visit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AldrState {
    temperatures: Vec<f32>,
}

impl AldrState {
    /// Every row at `lambda0`.
    pub fn new(rows: usize, lambda0: f64) -> Self {
        Self { temperatures: vec![lambda0 as f32; rows] }
    }

    /// The state that [`temperatures`](Self::temperatures) was read from.
    ///
    /// # Errors
    /// [`LossError::Memory`] for a temperature that is not positive and finite.
    pub fn from_temperatures(temperatures: Vec<f32>) -> Result<Self, LossError> {
        Self { temperatures }.within(f64::MIN_POSITIVE, f64::from(f32::MAX))
    }

    /// The same, where all temperatures lie between two.
    pub(super) fn within(self, least: f64, most: f64) -> Result<Self, LossError> {
        let outside = |lambda: &f32| !(least..=most).contains(&f64::from(*lambda));
        match self.temperatures.iter().position(outside) {
            None => Ok(self),
            Some(row) => {
                let reason = format!("the temperature of row {row} is {}", self.temperatures[row]);
                Err(LossError::Memory { loss: "aldr-kl", reason })
            }
        }
    }

    /// Temperature of each row.
    pub fn temperatures(&self) -> &[f32] {
        &self.temperatures
    }

    /// Makes room for at least so many rows; new ones start at `lambda0`.
    pub(super) fn grow(&mut self, rows: usize, lambda0: f64) {
        if self.temperatures.len() < rows {
            self.temperatures.resize(rows, lambda0 as f32);
        }
    }

    /// That every row exists and stands in the batch once.
    pub(super) fn check(&self, loss: &'static str, rows: &[i64]) -> Result<Vec<usize>, LossError> {
        let known = self.temperatures.len();
        let mut seen = vec![false; known];
        let mut checked = Vec::with_capacity(rows.len());
        for &row in rows {
            let at = usize::try_from(row).ok().filter(|&at| at < known);
            let Some(at) = at else { return Err(LossError::Row { loss, row, rows: known }) };
            if std::mem::replace(&mut seen[at], true) {
                return Err(LossError::RepeatedRow { loss, row });
            }
            checked.push(at);
        }
        Ok(checked)
    }

    pub(super) fn of(&self, rows: &[usize]) -> Vec<f32> {
        rows.iter().map(|&row| self.temperatures[row]).collect()
    }

    pub(super) fn set(&mut self, rows: &[usize], temperatures: impl IntoIterator<Item = f32>) {
        for (&row, temperature) in rows.iter().zip(temperatures) {
            self.temperatures[row] = temperature;
        }
    }
}
