//! Adversarial examples by projected gradient ascent inside a norm ball.

mod ascent;
mod pgd;

pub(crate) use ascent::{Ascent, Search};
pub use ascent::{AttackNorm, Perturbation, PerturbationConfig};
pub use pgd::{AttackObjective, Pgd, PgdConfig};
