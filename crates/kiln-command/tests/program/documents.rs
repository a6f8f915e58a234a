//! The documents say what the program says.

use kiln_lab::ledger::Entry;
use kiln_recipes::catalogue::RECIPES;
use std::path::{Path, PathBuf};

use crate::session::Session;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

#[test]
fn the_readme_holds_the_table_of_methods() {
    let output = Session::new().command("list --markdown").current_dir(repository()).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        read("README.md").contains(&table),
        "README.md lacks the table of `cargo run -- list --markdown`:\n{table}"
    );
}

#[test]
fn every_method_has_a_recorded_verdict_of_its_full_settings() {
    let results = repository().join("results");
    for recipe in RECIPES {
        let id = recipe.card().id;
        let entry = Entry::read(&results, id).unwrap().unwrap_or_else(|| panic!("results/{id}.json is missing"));
        entry.validate(*recipe).unwrap_or_else(|reason| panic!("results/{id}.json: {reason}"));
        assert!(
            !entry.commit.is_empty() && !entry.commit.ends_with("-dirty"),
            "{id} was recorded from uncommitted code"
        );
    }
    let known = |name: &str| RECIPES.iter().any(|recipe| name == format!("{}.json", recipe.card().id));
    for file in std::fs::read_dir(results).unwrap() {
        let name = file.unwrap().file_name().to_string_lossy().into_owned();
        assert!(known(&name), "results/{name} belongs to no method");
    }
}

#[test]
fn every_method_has_its_page() {
    let summary = read("docs/src/SUMMARY.md");
    for recipe in RECIPES {
        let page = format!("{}/{}.md", recipe.card().family, recipe.card().id);
        assert!(summary.contains(&page), "docs/src/SUMMARY.md lacks {page}");
        let text = read(&format!("docs/src/{page}"));
        assert!(text.contains(recipe.card().arxiv), "docs/src/{page} does not name the paper");
    }
}

#[test]
fn the_book_holds_the_recorded_verdicts() {
    for recipe in RECIPES {
        let (id, family) = (recipe.card().id, recipe.card().family);
        let command = format!("show {id} --markdown");
        let output = Session::new().command(&command).current_dir(repository()).output().unwrap();
        let path = format!("docs/src/{family}/{id}.results.md");
        let stale = format!("{path} is stale: cargo run -- {command} > {path}");
        assert!(read(&path) == String::from_utf8(output.stdout).unwrap(), "{stale}");
        let include = format!("{{{{#include {id}.results.md}}}}");
        assert!(
            read(&format!("docs/src/{family}/{id}.md")).contains(&include),
            "the page of {id} does not show its verdict"
        );
    }
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let link = |text: &str| -> Vec<String> {
        let after = text.split("](").skip(1);
        after.filter_map(|rest| rest.split([')', '#', ' ']).next()).map(str::to_string).collect()
    };
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/src/SUMMARY.md"] {
        let folder = repository().join(document).parent().unwrap().to_path_buf();
        for target in link(&read(document)).iter().filter(|target| !target.is_empty() && !target.contains("://")) {
            assert!(folder.join(target).exists(), "{document} links to {target}, which is not there");
        }
    }
}
