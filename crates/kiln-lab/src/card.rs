//! What a method is: the facts that `kiln list`, `kiln show`, the README's table and the book are made from.

use serde::{Deserialize, Serialize};

/// A published method, described once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MethodCard {
    /// Name on the command line, in file names and in the ledger, such as `z-loss`.
    pub id: &'static str,
    /// Title of the paper.
    pub title: &'static str,
    /// Authors in the paper's order.
    pub authors: &'static [&'static str],
    /// Where it was published, such as `ICML`; `arXiv` when nowhere else.
    pub venue: &'static str,
    /// Year of publication.
    pub year: u16,
    /// arXiv id such as `1604.08859`; empty when the paper has none.
    pub arxiv: &'static str,
    /// Family, which is also the crate, such as `loss`.
    pub family: &'static str,
    /// What the method does, in one line.
    pub summary: &'static str,
    /// What the paper says about it, in one sentence.
    pub claim: &'static str,
    /// Paths of the library's types, such as `kiln::loss::ZLoss`.
    pub types: &'static [&'static str],
}

impl MethodCard {
    /// The paper's page at arXiv; `None` when the paper has no arXiv id.
    pub fn url(&self) -> Option<String> {
        (!self.arxiv.is_empty()).then(|| format!("https://arxiv.org/abs/{}", self.arxiv))
    }

    /// `Brebisson and Vincent, ICML 2016`: authors (three at most), venue and year.
    pub fn citation(&self) -> String {
        let authors = match self.authors {
            [] => String::new(),
            [one] => (*one).to_string(),
            [one, two] => format!("{one} and {two}"),
            [one, two, three] => format!("{one}, {two} and {three}"),
            [one, ..] => format!("{one} and others"),
        };
        format!("{authors}, {} {}", self.venue, self.year)
    }
}

/// How much a reproduction spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Seconds: for tests.
    Smoke,
    /// At most two minutes on two cores.
    Quick,
    /// What the evidence needs, at most thirty minutes a part on two cores.
    Full,
}

impl Scale {
    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

impl std::fmt::Display for Scale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
