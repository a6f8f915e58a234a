//! The paper's claims, judged over all cells of a scope.

use kiln_lab::statistics::{Summary, median, paired_difference};
use kiln_lab::{Finding, Measured, Outcome};

use super::Settings;
use super::field::{Cell, Protocol, Trained};
use super::pairs::{SIGNIFICANCE, SignTest, Tally};

/// Share of the cells in which EnsLoss has to beat the worst fixed loss.
const SHARE: f64 = 0.6;
/// How far it may fall behind the best fixed loss, in the median over the cells.
const TOLERANCE: f64 = 0.003;

const IDS: [&str; 4] = ["worst-fixed", "logistic", "best-fixed", "shared-rate"];

pub(super) fn finding_ids(scope: &str) -> Vec<String> {
    IDS.iter().map(|id| format!("{scope}/{id}")).collect()
}

pub(super) fn judge(scope: &str, cells: &[Cell], settings: &Settings) -> Vec<Finding> {
    let judgement = Judgement { scope, cells, settings };
    vec![judgement.worst_fixed(), judgement.logistic(), judgement.best_fixed(), judgement.shared_rate()]
}

struct Judgement<'a> {
    scope: &'a str,
    cells: &'a [Cell],
    settings: &'a Settings,
}

impl<'a> Judgement<'a> {
    fn finding(&self, id: usize, statement: impl Into<String>) -> Finding {
        Finding::new(format!("{}/{}", self.scope, IDS[id]), statement)
    }

    fn worst_fixed(&self) -> Finding {
        let finding = self
            .finding(0, "EnsLoss is significantly better than the worst fixed loss in most cells")
            .paper("against BCE, exponential and hinge: better in most pairs and tables")
            .bound("in at least 60 % of the tasks and networks, each loss at its own rate; paired t, two-sided 5 %");
        if let Some(reason) = self.undecided(false) {
            return finding.outcome(Outcome::NotComparable).note(reason);
        }
        let tally = Tally::of(self.cells.iter().map(|cell| (cell, cell.extremes().0)), Protocol::OwnRate);
        let share = tally.better as f64 / tally.cells() as f64;
        let text = format!("{:.0} % of {} cells; better, even, worse {tally}", 100.0 * share, tally.cells());
        let note = self.noted("the worst fixed loss of a cell is the one with the worst validation accuracy");
        finding.measured(Measured::from(share).text(text)).held_if(share >= SHARE).note(note)
    }

    fn logistic(&self) -> Finding {
        let finding = self
            .finding(1, "EnsLoss is better than the logistic loss in clearly more cells than it is worse")
            .paper("tables (11, 3, 0) with five layers and (9, 4, 1) with one; pairs of images (41, 4, 0) and above");
        self.against_logistic(finding, Protocol::OwnRate, String::new())
    }

    fn best_fixed(&self) -> Finding {
        let finding = self
            .finding(2, "EnsLoss is about as good as the best fixed loss of each cell")
            .bound("median difference of at least -0.3 points");
        if self.cells.is_empty() {
            return finding.outcome(Outcome::NotComparable).note(NO_CELLS);
        }
        let differences: Vec<f64> =
            self.cells.iter().map(|cell| difference(cell, cell.extremes().1, Protocol::OwnRate)).collect();
        let middle = median(&differences);
        let text = format!("{:+.2} points", 100.0 * middle);
        let note = self.noted("the best fixed loss of a cell is the one with the best validation accuracy");
        finding.measured(Measured::from(middle).text(text)).held_if(middle >= -TOLERANCE).note(note)
    }

    fn shared_rate(&self) -> Finding {
        let statement = format!(
            "at the one rate {} for all losses, as the paper compares, EnsLoss is better than the logistic loss in \
             clearly more cells than it is worse",
            self.settings.shared_rate
        );
        let finding = self.finding(3, statement).paper("as with `logistic`: the paper tunes no rate");
        let mean = |protocol| format!("{:+.2}", 100.0 * Summary::of(&self.gains(protocol)).mean);
        let (shared, own) = (mean(Protocol::SharedRate), mean(Protocol::OwnRate));
        let tuning = format!("mean gain over the logistic loss {shared} points, and {own} where each has its own rate");
        self.against_logistic(finding, Protocol::SharedRate, tuning)
    }

    fn against_logistic(&self, finding: Finding, protocol: Protocol, remark: String) -> Finding {
        let finding = finding.bound("sign test over the cells, one-sided p < 0.05");
        if let Some(reason) = self.undecided(true) {
            return finding.outcome(Outcome::NotComparable).note(reason);
        }
        let gains = self.gains(protocol);
        let (test, by_task) = (SignTest::of(&gains), SignTest::of(&self.gains_by_task(protocol)));
        let tally = Tally::of(self.cells.iter().map(|cell| (cell, cell.logistic())), protocol);
        let text = format!(
            "mean higher in {} cells, lower in {}, p = {:.3}; significantly better, even, worse {tally}; mean {:+.2} points",
            test.wins,
            test.losses,
            test.p(),
            100.0 * Summary::of(&gains).mean
        );
        let votes = format!(
            "networks on one task are no independent cells; with one vote a task EnsLoss is better on {}, worse on {}, \
             p = {:.3}",
            by_task.wins,
            by_task.losses,
            by_task.p()
        );
        let remarks = [votes, remark].into_iter().filter(|remark| !remark.is_empty());
        let note = self.noted(&remarks.collect::<Vec<_>>().join("; "));
        finding.measured(Measured::from(test.p()).text(text)).held_if(test.p() < SIGNIFICANCE).note(note)
    }

    /// Why the cells cannot decide a claim over seeds and, where it takes one, by a sign test.
    fn undecided(&self, by_sign_test: bool) -> Option<String> {
        let seeds = self.cells.iter().map(|cell| cell.ensemble().at_own_rate.len()).min();
        match (seeds, self.cells.len()) {
            (None, _) => Some(NO_CELLS.to_string()),
            (Some(..2), _) => Some("one seed has no spread to judge by".to_string()),
            (_, cells) if by_sign_test && !SignTest::can_decide(cells) => {
                Some(format!("{cells} cells cannot decide a sign test, whatever they show"))
            }
            _ => None,
        }
    }

    /// Mean gain of EnsLoss over the logistic loss in each cell.
    fn gains(&self, protocol: Protocol) -> Vec<f64> {
        self.cells.iter().map(|cell| difference(cell, cell.logistic(), protocol)).collect()
    }

    /// The mean of the gains in the cells of each task.
    fn gains_by_task(&self, protocol: Protocol) -> Vec<f64> {
        let mut names: Vec<&str> = self.cells.iter().map(|cell| cell.task.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let gains = self.gains(protocol);
        let of_task = |name: &&str| {
            let own = self.cells.iter().zip(&gains).filter(|(cell, _)| cell.task == **name);
            Summary::of(&own.map(|(_, gain)| *gain).collect::<Vec<_>>()).mean
        };
        names.iter().map(of_task).collect()
    }

    /// The remark, and how many trainings diverged, if any did.
    fn noted(&self, remark: &str) -> String {
        let all = || self.cells.iter().flat_map(|cell| &cell.losses).flat_map(|trained| &trained.at_own_rate);
        match all().filter(|ended| ended.accuracies.is_none()).count() {
            0 => remark.to_string(),
            diverged => format!(
                "{remark}; {diverged} of {} trainings at their own rate diverged and count as answers with the more \
                 frequent class",
                all().count()
            ),
        }
    }
}

const NO_CELLS: &str = "none of the sets is in a data directory";

/// Mean gain of EnsLoss over another loss in a cell.
fn difference(cell: &Cell, other: &Trained, protocol: Protocol) -> f64 {
    paired_difference(&cell.ensemble().test(protocol), &other.test(protocol)).difference.mean
}
