//! Every reproduction there is.

use kiln_lab::AnyRecipe;

use crate::{loss, optim};

/// All recipes, by family and then in the order in which they came. The only list of methods: `kiln list`, the README's
/// table, the ledger's test and the book are made from it.
pub const RECIPES: &[&dyn AnyRecipe] = &[
    &loss::CompSumRecipe,
    &loss::ZLossRecipe,
    &loss::LdrRecipe,
    &loss::EnsLossRecipe,
    &loss::PerceptualSimilarityRecipe,
    &optim::DiffGradRecipe,
];

/// The recipe of a method.
pub fn find(id: &str) -> Option<&'static dyn AnyRecipe> {
    RECIPES.iter().copied().find(|recipe| recipe.card().id == id)
}
