//! Which reproductions a person means.

use kiln_lab::{AnyRecipe, LabError};
use kiln_recipes::catalogue::{self, RECIPES};

/// All methods of a family.
pub fn family(name: &str) -> Result<Vec<&'static dyn AnyRecipe>, LabError> {
    let members: Vec<_> = RECIPES.iter().copied().filter(|recipe| recipe.card().family == name).collect();
    if members.is_empty() {
        return Err(LabError::unknown("family", name, RECIPES.iter().map(|recipe| recipe.card().family)));
    }
    Ok(members)
}

/// The methods that `names` stand for: ids, families, or `all`; each once, in the order of the names.
pub fn methods(names: &[String]) -> Result<Vec<&'static dyn AnyRecipe>, LabError> {
    let mut chosen: Vec<&'static dyn AnyRecipe> = Vec::new();
    for name in names {
        let meant = match catalogue::find(name) {
            Some(recipe) => vec![recipe],
            None if name == "all" => RECIPES.to_vec(),
            None => family(name).map_err(|_| LabError::unknown("method", name, known()))?,
        };
        for recipe in meant {
            if chosen.iter().all(|known| known.card().id != recipe.card().id) {
                chosen.push(recipe);
            }
        }
    }
    Ok(chosen)
}

/// Everything that can be asked for: methods, families, and `all`.
pub fn known() -> Vec<&'static str> {
    let mut names: Vec<&str> = RECIPES.iter().flat_map(|recipe| [recipe.card().id, recipe.card().family]).collect();
    names.push("all");
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Result<Vec<&'static str>, String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let chosen = methods(&names).map_err(|error| error.to_string())?;
        Ok(chosen.iter().map(|recipe| recipe.card().id).collect())
    }

    #[test]
    fn a_method_is_chosen_once() {
        assert_eq!(ids(&["z-loss", "z-loss"]).unwrap(), ["z-loss"]);
        assert_eq!(ids(&["all"]).unwrap().len(), RECIPES.len());
        assert!(ids(&["loss"]).unwrap().contains(&"comp-sum"));
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        assert_eq!(ids(&["z-los"]).unwrap_err(), "unknown method `z-los`; did you mean `z-loss`?");
    }
}
