//! `report.html` of a run and `index.html` over all runs: one file each, nothing fetched from a network.

mod page;

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    LabError, Outcome, Table, Verdict, escape_html, files,
    run::Record,
    statistics::figure,
    store::{Runs, StoredRun},
};
use page::page;

/// Larger drawings are embedded as PNG.
const LARGEST_SVG: usize = 300_000;

/// Most pictures that are shown of what one probe saw of one job.
const LONGEST_COURSE: usize = 4;

/// Writes `report.html` into a run's folder from what lies there.
///
/// # Errors
/// [`LabError::Io`] and [`LabError::Corrupt`] when the folder is no run or cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf, LabError> {
    let run = StoredRun::read(folder)?;
    let record_path = folder.join("report.json");
    let record: Record =
        if record_path.exists() { files::read_json("report", &record_path)? } else { Record::default() };
    let mut body = heading(&run, &record);
    if let Some(verdict) = &run.verdict {
        body.push_str(&verdict_section(verdict));
    }
    for figure in figures(folder, &record)? {
        body.push_str(&figure_section(folder, &figure)?);
    }
    body.push_str(&courses(folder, &record.pictures)?);
    for table in &record.tables {
        body.push_str(&table.html());
    }
    if !record.notes.is_empty() {
        let items: String = record.notes.iter().map(|note| format!("<li>{}</li>\n", escape_html(note))).collect();
        body.push_str(&format!("<h2>Remarks</h2>\n<ul>\n{items}</ul>\n"));
    }
    body.push_str(&facts(&run));
    let path = folder.join("report.html");
    files::write_whole(&path, page(&run.name(), &body).as_bytes())?;
    Ok(path)
}

/// Writes `index.html` over all runs of a folder.
///
/// # Errors
/// [`LabError::Io`] when the folder cannot be read or written.
pub fn write_index(out: &Path) -> Result<PathBuf, LabError> {
    let runs = Runs::list(out)?;
    let mut rows = String::new();
    for run in &runs.runs {
        let name = run.name();
        let link = if run.folder.join("report.html").exists() {
            format!("<a href=\"{0}/report.html\">{0}</a>", escape_html(&name))
        } else {
            escape_html(&name)
        };
        let cells = [
            link,
            escape_html(&run.manifest.method),
            escape_html(&run.manifest.started),
            escape_html(&run.extent()),
            figure(run.manifest.elapsed_seconds),
            outcome_badges(run),
        ];
        rows.push_str(&format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>")));
    }
    let body = format!(
        "<h1>Runs</h1>\n<table>\n<thead><tr><th>run</th><th>method</th><th>started</th><th>scale</th><th>seconds</th>\
         <th>outcome</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    );
    let path = out.join("index.html");
    files::write_whole(&path, page("Runs", &body).as_bytes())?;
    Ok(path)
}

fn heading(run: &StoredRun, record: &Record) -> String {
    let mut text = format!("<h1>{}</h1>\n", escape_html(&run.manifest.method));
    if let Some(heading) = &record.heading {
        let title = escape_html(&heading.title);
        let title =
            heading.url.as_ref().map_or(title.clone(), |url| format!("<a href=\"{}\">{title}</a>", escape_html(url)));
        text.push_str(&format!("<p class=\"paper\">{title}<br>{}</p>\n", escape_html(&heading.citation)));
        text.push_str(&format!("<blockquote>{}</blockquote>\n", escape_html(&heading.claim)));
    }
    text.push_str(&format!("<p>{} &middot; {}</p>\n", escape_html(&run.extent()), outcome_badges(run)));
    text
}

fn outcome_badges(run: &StoredRun) -> String {
    let verdict = match &run.verdict {
        Some(verdict) if !verdict.findings.is_empty() => verdict,
        _ => return run.manifest.status.to_string(),
    };
    let badge = |outcome: &Outcome| match verdict.count(*outcome) {
        0 => None,
        count => Some(format!("<span class=\"{}\">{count} {outcome}</span>", class(*outcome))),
    };
    Outcome::ALL.iter().filter_map(badge).collect::<Vec<_>>().join(" ")
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "badge held",
        Outcome::NotHeld => "badge not-held",
        Outcome::NotComparable => "badge not-comparable",
        Outcome::Reported => "badge reported",
    }
}

fn verdict_section(verdict: &Verdict) -> String {
    if verdict.findings.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for finding in &verdict.findings {
        let note = if finding.note.is_empty() {
            String::new()
        } else {
            format!("<div class=\"note\">{}</div>", escape_html(&finding.note))
        };
        rows.push_str(&format!(
            "<tr><td><span class=\"{}\">{}</span></td><td>{}{note}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            class(finding.outcome),
            finding.outcome,
            escape_html(&finding.statement),
            escape_html(&finding.paper),
            escape_html(&finding.measured.text),
            escape_html(&finding.bound),
        ));
    }
    format!(
        "<h2>Verdict</h2>\n<table class=\"verdict\">\n<thead><tr><th>outcome</th><th>finding</th><th>paper</th>\
         <th>measured</th><th>bound</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    )
}

/// Names of the figures: those that the run listed, else all in the artifacts.
fn figures(folder: &Path, record: &Record) -> Result<Vec<String>, LabError> {
    let artifacts = folder.join("artifacts");
    if !record.figures.is_empty() || !artifacts.exists() {
        return Ok(record.figures.clone());
    }
    let failed = |source| LabError::io("read", &artifacts, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&artifacts).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".svg").map(str::to_string));
    }
    names.sort();
    Ok(names)
}

/// What probes saw: for each job and probe a few pictures from its first look to its last.
fn courses(folder: &Path, pictures: &[String]) -> Result<String, LabError> {
    let course = |picture: &String| picture.split("-epoch-").next().unwrap_or(picture).to_string();
    let mut text = String::new();
    for looks in pictures.chunk_by(|a, b| course(a) == course(b)) {
        let name = course(&looks[0]);
        text.push_str(&format!("<h2>{}</h2>\n<div class=\"course\">\n", escape_html(&name)));
        let shown = looks.len().min(LONGEST_COURSE);
        for look in 0..shown {
            let picture = &looks[look * (looks.len() - 1) / (shown - 1).max(1)];
            let path = folder.join("artifacts").join(format!("{picture}.svg"));
            text.push_str(&drawing(&path, picture)?);
        }
        text.push_str("</div>\n");
        if shown < looks.len() {
            let place = name.rsplit_once('/').map_or(name.as_str(), |(place, _)| place);
            let all = format!("{shown} of {} pictures; the others lie in artifacts/{place}", looks.len());
            text.push_str(&format!("<p class=\"note\">{}</p>\n", escape_html(&all)));
        }
    }
    Ok(text)
}

fn figure_section(folder: &Path, name: &str) -> Result<String, LabError> {
    drawing(&folder.join("artifacts").join(format!("{}.svg", files::file_name(name))), name)
}

fn drawing(path: &Path, name: &str) -> Result<String, LabError> {
    let svg = files::read_text(path)?;
    let picture = if svg.len() <= LARGEST_SVG {
        svg
    } else {
        let png = path.with_extension("png");
        let bytes = std::fs::read(&png).map_err(|source| LabError::io("read", &png, source))?;
        format!("<img alt=\"{}\" src=\"data:image/png;base64,{}\">", escape_html(name), STANDARD.encode(bytes))
    };
    Ok(format!("<figure id=\"{0}\">\n{picture}\n</figure>\n", escape_html(name)))
}

fn facts(run: &StoredRun) -> String {
    let manifest = &run.manifest;
    let seeds: Vec<String> = manifest.seeds.iter().map(u64::to_string).collect();
    let mut table = Table::new("How it was run", ["what", "value"])
        .row(["started (UTC)", manifest.started.as_str()])
        .row(["seconds", &figure(manifest.elapsed_seconds)])
        .row(["seeds", &seeds.join(", ")])
        .row(["device", &manifest.device])
        .row(["machine", &manifest.machine])
        .row(["kiln", &manifest.kiln_version])
        .row(["commit", &manifest.commit])
        .row(["Burn", &manifest.burn_version]);
    for (key, value) in &manifest.settings {
        table.push([key.clone(), value.to_string()]);
    }
    table.html()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Finding, Plot, Run, RunOptions, Scale, Series, plot::HeatMap};
    use kiln_data::DataDir;

    #[test]
    fn a_report_is_one_file_without_references_to_others() {
        let out = tempfile::tempdir().unwrap();
        let options = RunOptions::new(Scale::Smoke, out.path(), DataDir::find(None));
        let mut run = Run::start("demo", toml::Table::new(), vec![1, 2], &options).unwrap();
        run.plot("curve", &Plot::line("t", "x", "y").series(Series::new("s").point(0.0, 1.0).point(1.0, 2.0))).unwrap();
        run.plot("map", &Plot::heat_map("m", "a", "b", HeatMap::default())).unwrap();
        run.table(Table::new("Numbers <b>", ["a", "b"]).row(["1", "2"]));
        run.note("ten < eleven");
        let verdict =
            Verdict::new().finding(Finding::new("x", "it <works>").measured(0.5).held_if(false).note("a & b"));
        run.finish(&verdict).unwrap();

        let html = std::fs::read_to_string(run.folder().join("report.html")).unwrap();
        assert_eq!(html.matches("<svg").count(), 2);
        for expected in ["it &lt;works&gt;", "a &amp; b", "ten &lt; eleven", "Numbers &lt;b&gt;", "not held", "0.5"] {
            assert!(html.contains(expected), "{expected}");
        }
        for fetched in ["<link", "<script src", "src=\"http", "@import", "url("] {
            assert!(!html.contains(fetched), "{fetched}");
        }
        let index = std::fs::read_to_string(write_index(out.path()).unwrap()).unwrap();
        assert!(index.contains("/report.html") && index.contains("1 not held"));
    }
}
