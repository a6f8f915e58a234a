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
fn every_recorded_verdict_is_of_the_full_settings_of_a_method() {
    let results = repository().join("results");
    for recipe in RECIPES {
        let id = recipe.card().id;
        let entry = Entry::read(&results, id).unwrap().unwrap_or_else(|| panic!("results/{id}.json is missing"));
        entry.validate(*recipe).unwrap_or_else(|reason| panic!("results/{id}.json: {reason}"));
        for part in &entry.parts {
            let whole = !part.commit.is_empty() && !part.commit.ends_with("-dirty");
            assert!(whole, "part {} of {id} was recorded from uncommitted code", part.part);
        }
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
fn every_method_has_its_peer_and_its_benchmark() {
    for recipe in RECIPES {
        let (family, name) = (recipe.card().family, recipe.card().id.replace('-', "_"));
        for file in [format!("peers/{family}/{name}.py"), format!("crates/kiln-{family}/benches/{name}.rs")] {
            assert!(repository().join(&file).is_file(), "{file} is missing");
        }
    }
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let mut documents: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "peers/README.md"]
            .map(|name| repository().join(name))
            .into();
    collect_pages(&repository().join("docs"), &mut documents);
    let mut dead = Vec::new();
    for document in documents {
        let folder = document.parent().unwrap();
        let named = targets(&std::fs::read_to_string(&document).unwrap());
        let missing = named.into_iter().filter(|target| !folder.join(target).exists());
        dead.extend(missing.map(|target| format!("{} leads to {target}", document.display())));
    }
    assert!(dead.is_empty(), "these lead nowhere:\n{}", dead.join("\n"));
}

/// All Markdown files of a folder and of those in it.
fn collect_pages(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_pages(&path, pages);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
}

/// Files that a page links to, shows or includes; what stands in code is no link.
fn targets(page: &str) -> Vec<String> {
    let prose: String = page.split("```").step_by(2).collect();
    let prose: String = prose.split('`').step_by(2).collect();
    let mut found = Vec::new();
    for opening in ["](", "src=\"", "{{#include "] {
        for rest in prose.split(opening).skip(1) {
            let target = rest.split([')', '"', '}', '#', ' ', '\n']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_string());
            }
        }
    }
    found
}

#[test]
fn links_are_found_outside_of_code() {
    let page = "[a](a.md#x) ![b](b.svg) <img src=\"c.png\"> {{#include d.md}} [e](https://e) `[f](f)`\n\
                ```\n[g](g)\n```\n[h](h.md)";
    assert_eq!(targets(page), ["a.md", "b.svg", "h.md", "c.png", "d.md"]);
}
