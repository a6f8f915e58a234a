//! What people chose on the page of a ballot.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kiln_lab::{Table, files};
use serde::Deserialize;
use serde_json::json;

use super::ballot::{KEY_FILE, Key};
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::print_line;

/// What the page saves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Votes {
    ballot: String,
    /// Who voted, by a name that the page made up.
    voter: String,
    /// In the order of the page.
    votes: Vec<Side>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Left,
    Right,
}

/// How often each was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    a: u64,
    b: u64,
}

/// Counts the votes of the ballot in `folder`.
pub fn count(folder: &Path, votes: &[PathBuf], global: &Global) -> CommandResult {
    let path = folder.join(KEY_FILE);
    if !path.is_file() {
        return Err(Failure::Usage {
            message: format!("--vote {}: there is no {KEY_FILE} in this folder", folder.display()),
            help: Some("it must be the folder in which `kiln compare-images A B --vote DIR` made the page".into()),
        });
    }
    let key: Key = files::read_json("key of a ballot", &path)?;
    if key.trials.is_empty() {
        return Err(Failure::Failed(format!("{}: there are no choices in this key", path.display())));
    }
    let counts = counted(votes, &key)?;
    let all = counts.iter().fold(Count { a: 0, b: 0 }, |sum, count| Count { a: sum.a + count.a, b: sum.b + count.b });
    show(votes, &counts, all, global)?;
    Ok(ExitCode::SUCCESS)
}

/// The counts of all files, each of another person: votes of one person that count twice say less than they seem to.
fn counted(files: &[PathBuf], key: &Key) -> Result<Vec<Count>, Failure> {
    let mut known: Vec<(String, &Path)> = Vec::new();
    let mut counts = Vec::with_capacity(files.len());
    for path in files {
        let (voter, count) = read(path, key)?;
        if let Some((_, earlier)) = known.iter().find(|(known, _)| *known == voter) {
            let what = match earlier.canonicalize().ok() == path.canonicalize().ok() {
                true => "this file is named twice".to_string(),
                false => format!("these are votes of the same person as those in {}", earlier.display()),
            };
            let message = format!("--score {}: {what}", path.display());
            return Err(Failure::Usage { message, help: Some("name the votes of each person once".into()) });
        }
        known.push((voter, path));
        counts.push(count);
    }
    Ok(counts)
}

/// Who voted, and how.
fn read(path: &Path, key: &Key) -> Result<(String, Count), Failure> {
    let votes: Votes = files::read_json("file of votes", path)?;
    let wrong = |reason: String| Failure::Failed(format!("{}: {reason}", path.display()));
    if votes.ballot != key.ballot {
        return Err(wrong(format!("these votes are of ballot {}, and the key is of {}", votes.ballot, key.ballot)));
    }
    if votes.votes.len() != key.trials.len() {
        return Err(wrong(format!("there are {} votes for {} choices", votes.votes.len(), key.trials.len())));
    }
    let for_a = |(side, trial): &(&Side, &super::ballot::Trial)| (**side == Side::Left) == trial.a_is_left;
    let a = votes.votes.iter().zip(&key.trials).filter(for_a).count() as u64;
    Ok((votes.voter, Count { a, b: votes.votes.len() as u64 - a }))
}

fn show(files: &[PathBuf], counts: &[Count], all: Count, global: &Global) -> Result<(), Failure> {
    let (low, high) = all.share_interval();
    if global.json {
        let people: Vec<_> = files
            .iter()
            .zip(counts)
            .map(|(file, count)| json!({ "votes": file, "a": count.a, "b": count.b }))
            .collect();
        let document = json!({
            "people": people, "a": all.a, "b": all.b, "share_of_b": all.share(), "interval": [low, high],
            "p_value": all.p_value(),
        });
        return Ok(print_line(&document.to_string())?);
    }
    let mut table = Table::new("", ["votes", "for A", "for B", "share of B"]);
    let row =
        |name: String, count: &Count| [name, count.a.to_string(), count.b.to_string(), format!("{:.3}", count.share())];
    for (file, count) in files.iter().zip(counts) {
        table.push(row(file.display().to_string(), count));
    }
    if counts.len() > 1 {
        table.push(row("all".into(), &all));
    }
    print_line(&table.terminal())?;
    print_line(&format!(
        "B was chosen in {:.1} % of the votes (95 % interval {:.1} to {:.1} %); if neither were better, a share as uneven as \
         this would come up with probability {:.4}",
        100.0 * all.share(),
        100.0 * low,
        100.0 * high,
        all.p_value()
    ))?;
    Ok(())
}

impl Count {
    fn votes(self) -> u64 {
        self.a + self.b
    }

    /// Share of the votes for B.
    fn share(self) -> f64 {
        self.b as f64 / self.votes() as f64
    }

    /// Wilson's 95 % interval of [`share`](Self::share).
    fn share_interval(self) -> (f64, f64) {
        const Z: f64 = 1.959_964;
        let (n, p) = (self.votes() as f64, self.share());
        let centre = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        ((centre - half) / scale, (centre + half) / scale)
    }

    /// Probability of a share at least as far from one half where both are chosen equally often (exact, two-sided).
    fn p_value(self) -> f64 {
        let n = self.votes();
        let rarer = self.a.min(self.b);
        // log C(n, k) grows by log((n - k) / (k + 1)) from k to k + 1.
        let (mut log_count, mut tail) = (0.0_f64, 0.0_f64);
        for k in 0..=rarer {
            tail += (log_count - n as f64 * std::f64::consts::LN_2).exp();
            log_count += ((n - k) as f64 / (k + 1) as f64).ln();
        }
        (2.0 * tail).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uneven_votes_have_the_binomial_probability() {
        // 2 (1 + 10 + 45) / 1024
        assert!((Count { a: 2, b: 8 }.p_value() - 0.109_375).abs() < 1e-12);
        assert_eq!(Count { a: 5, b: 5 }.p_value(), 1.0);
        assert!((Count { a: 0, b: 10 }.p_value() - 2.0 / 1024.0).abs() < 1e-15);
        assert!(Count { a: 0, b: 5000 }.p_value() < 1e-300);
    }

    #[test]
    fn the_interval_is_wilsons() {
        let (low, high) = Count { a: 2, b: 8 }.share_interval();
        assert!((low - 0.490_162).abs() < 1e-5 && (high - 0.943_318).abs() < 1e-5, "{low} {high}");
        let (low, high) = Count { a: 0, b: 10 }.share_interval();
        assert!(low > 0.7 && high <= 1.0 + 1e-12, "{low} {high}");
    }
}
