//! What an experiment concludes: findings, each a statement with its figures and whether it held.

use serde::{Deserialize, Serialize};

use crate::statistics::{Summary, figure};

/// All findings of one reproduction.
///
/// ```
/// use kiln_lab::{Finding, Verdict, statistics::Summary};
///
/// let accuracy = Summary::of(&[0.95, 0.97]);
/// let verdict = Verdict::new().finding(
///     Finding::new("accuracy", "the method reaches 90 % on digits")
///         .paper("93 %")
///         .measured(accuracy)
///         .bound("at least 0.9")
///         .held_if(accuracy.mean >= 0.9),
/// );
/// assert!(verdict.held());
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The findings, in the order in which the recipe reports them.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// A verdict without findings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn finding(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// Adds several findings.
    pub fn with(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }

    /// Whether every claim was decided and held. A finding that cannot be compared leaves its claim open; one that is
    /// only reported makes none.
    pub fn held(&self) -> bool {
        self.findings.iter().all(|finding| matches!(finding.outcome, Outcome::Held | Outcome::Reported))
    }

    /// How many findings have `outcome`.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// `3 held, 1 not held`: the outcomes that occur, with their numbers.
    pub fn tally(&self) -> String {
        let counts: Vec<String> = Outcome::ALL
            .iter()
            .filter_map(|&outcome| match self.count(outcome) {
                0 => None,
                n => Some(format!("{n} {}", outcome.words())),
            })
            .collect();
        if counts.is_empty() { "no findings".to_string() } else { counts.join(", ") }
    }
}

/// One claim of a paper, and what was measured about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Short name, stable over releases, unique in the recipe.
    pub id: String,
    /// The claim as a sentence.
    pub statement: String,
    /// The paper's figure, in the paper's units; empty when it gives none.
    #[serde(default)]
    pub paper: String,
    /// What was measured.
    #[serde(default)]
    pub measured: Measured,
    /// What the measured figure had to meet; empty when it was only reported.
    #[serde(default)]
    pub bound: String,
    /// Whether it held.
    pub outcome: Outcome,
    /// What a reader should know besides; empty when nothing.
    #[serde(default)]
    pub note: String,
}

impl Finding {
    /// A finding that is only reported until [`held_if`](Self::held_if) or [`outcome`](Self::outcome) decides it.
    pub fn new(id: impl Into<String>, statement: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            statement: statement.into(),
            paper: String::new(),
            measured: Measured::default(),
            bound: String::new(),
            outcome: Outcome::Reported,
            note: String::new(),
        }
    }

    /// The paper's figure, as text in the paper's units.
    pub fn paper(mut self, figure: impl Into<String>) -> Self {
        self.paper = figure.into();
        self
    }

    /// The measured figure: a [`Summary`], a number, or text.
    pub fn measured(mut self, measured: impl Into<Measured>) -> Self {
        self.measured = measured.into();
        self
    }

    /// What the measured figure has to meet, in words.
    pub fn bound(mut self, bound: impl Into<String>) -> Self {
        self.bound = bound.into();
        self
    }

    /// Decides the finding: held or not.
    pub fn held_if(self, condition: bool) -> Self {
        self.outcome(if condition { Outcome::Held } else { Outcome::NotHeld })
    }

    /// Sets the outcome.
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Adds what a reader should know besides.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// A measured figure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Mean over seeds or repetitions; `None` when the figure is not one number.
    pub mean: Option<f64>,
    /// Standard deviation over them; `None` for fewer than two.
    pub std: Option<f64>,
    /// Number of seeds or repetitions.
    #[serde(default)]
    pub n: usize,
    /// The figure as a person reads it.
    #[serde(default)]
    pub text: String,
}

impl Measured {
    /// The same figure with other words, such as units.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

impl From<Summary> for Measured {
    fn from(summary: Summary) -> Self {
        Self {
            mean: summary.mean.is_finite().then_some(summary.mean),
            std: (summary.n > 1 && summary.std.is_finite()).then_some(summary.std),
            n: summary.n,
            text: summary.to_string(),
        }
    }
}

impl From<&Summary> for Measured {
    fn from(summary: &Summary) -> Self {
        Self::from(*summary)
    }
}

impl From<f64> for Measured {
    fn from(value: f64) -> Self {
        Self { mean: value.is_finite().then_some(value), std: None, n: 1, text: figure(value) }
    }
}

impl From<&str> for Measured {
    fn from(text: &str) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }
}

impl From<String> for Measured {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a finding held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The measured figure met its bound.
    Held,
    /// It did not.
    NotHeld,
    /// What the paper measured cannot be measured here; the note says why.
    NotComparable,
    /// Measured without a bound.
    Reported,
}

impl Outcome {
    /// All outcomes, in the order in which tables count them.
    pub const ALL: [Self; 4] = [Self::Held, Self::NotHeld, Self::NotComparable, Self::Reported];

    /// The outcome in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NotHeld => "not held",
            Self::NotComparable => "not comparable",
            Self::Reported => "reported",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_when_every_claim_does() {
        let verdict = Verdict::new().finding(Finding::new("a", "a").held_if(true)).finding(Finding::new("b", "b"));
        assert!(verdict.held());
        assert!(!verdict.clone().finding(Finding::new("c", "c").held_if(false)).held());
        let undecided = verdict.finding(Finding::new("d", "d").outcome(Outcome::NotComparable));
        assert!(!undecided.held());
        assert_eq!(undecided.tally(), "1 held, 1 not comparable, 1 reported");
    }

    #[test]
    fn figures_that_are_not_numbers_survive_json() {
        let finding = Finding::new("a", "a").measured(f64::NAN);
        let text = serde_json::to_string(&finding).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
        assert_eq!(finding.measured.text, "NaN");
    }
}
