//! What all the trainings of a comparison say.

use kiln_lab::plot::HeatMap;
use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::{Finding, LabError, Measured, Outcome, Plot, Run, Table};

use super::Settings;
use super::choice::Choice;
use super::contenders::{ADAPTIVE, CROSS_ENTROPY, FIXED};
use super::ranking::{Cell, MOST};
use super::ranks::mean_ranks;
use super::settings::RankingSettings;

/// The best loss may be ahead by so many ranks.
const RANKS: f64 = 1.0;
/// Least advantage over cross-entropy under the noise below, in points.
const ADVANTAGE: f64 = 0.03;
pub(super) const HEAVY_NOISE: &str = "uniform:0.6";
/// Most that clean accuracy may fall behind cross-entropy.
const CLEAN_TOLERANCE: f64 = 0.015;

const IDS: [&str; 4] = ["average-rank", "heavy-noise", "clean", "chosen-settings"];

pub(super) fn finding_ids(part: &str) -> Vec<String> {
    IDS.iter().map(|id| format!("{part}/{id}")).collect()
}

/// The cells of a part, with what was chosen for them.
pub(super) struct Comparison<'a> {
    pub(super) part: &'static str,
    pub(super) settings: &'a Settings,
    pub(super) own: &'a RankingSettings,
    pub(super) cells: &'a [Cell<'a>],
    pub(super) chosen: &'a [Choice<'a>],
    /// Of ALDR-KL at one temperature under heavy noise.
    pub(super) untuned: &'a [Cell<'a>],
    pub(super) missing: String,
}

impl Comparison<'_> {
    pub(super) fn report(&self, run: &mut Run) -> Result<(), LabError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let by_k: Vec<Vec<f64>> = (1..=MOST).map(|k| self.ranks(k)).collect();
        run.table(self.accuracies());
        run.table(self.rank_table(&by_k));
        run.table(self.choices());
        self.picture(run, &by_k[0])
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        vec![self.average_rank(), self.heavy_noise(), self.clean(), self.chosen_settings()]
    }

    fn names(&self) -> Vec<&str> {
        self.settings.contenders.iter().map(|contender| contender.name.as_str()).collect()
    }

    fn index(&self, name: &str) -> usize {
        self.names().iter().position(|known| *known == name).unwrap_or(0)
    }

    /// Mean rank of each contender over sets, kinds of noise and seeds by its top-`k` accuracy.
    fn ranks(&self, k: usize) -> Vec<f64> {
        let rows = self.cells.iter().flat_map(|cell| {
            (0..cell.accuracies[0].len())
                .map(move |seed| cell.accuracies.iter().map(|seeds| seeds[seed][k - 1]).collect::<Vec<f64>>())
        });
        mean_ranks(self.settings.contenders.len(), rows)
    }

    fn accuracies(&self) -> Table {
        let tops = (1..=MOST).map(|k| format!("top-{k}"));
        let headings = ["set", "noise", "loss"].into_iter().map(String::from).chain(tops);
        let mut table = Table::new(format!("Test accuracy by noise, {} (%)", self.part), headings);
        for cell in self.cells {
            for (name, seeds) in self.names().into_iter().zip(&cell.accuracies) {
                let tops = (0..MOST).map(|k| {
                    let percent: Vec<f64> = seeds.iter().map(|tops| 100.0 * tops[k]).collect();
                    Summary::of(&percent).to_string()
                });
                table.push([cell.set, cell.noise, name].into_iter().map(String::from).chain(tops));
            }
        }
        table
    }

    fn rank_table(&self, by_k: &[Vec<f64>]) -> Table {
        let headings = std::iter::once("loss".to_string()).chain((1..=MOST).map(|k| k.to_string()));
        let mut table = Table::new(format!("Average rank by top-k accuracy, {}", self.part), headings);
        for (index, name) in self.names().into_iter().enumerate() {
            let cells = by_k.iter().map(|ranks| format!("{:.2}", ranks[index]));
            table.push(std::iter::once(name.to_string()).chain(cells));
        }
        table
    }

    /// How often the validation splits chose which settings and which rate, and how often one at the end of the grid.
    fn choices(&self) -> Table {
        let headings = ["loss", "settings", "rates", "smallest rate", "largest rate"];
        let mut table = Table::new(format!("Chosen settings, {}", self.part), headings);
        for (index, contender) in self.settings.contenders.iter().enumerate() {
            let own = || self.chosen_by(index);
            let [smallest, largest] = self.at_the_ends(index);
            table.push([
                contender.name.clone(),
                counted(own().map(|choice| contender.varied(choice.loss)).filter(|text| !text.is_empty())),
                counted(own().map(|choice| choice.rate.to_string())),
                smallest.to_string(),
                largest.to_string(),
            ]);
        }
        table
    }

    fn chosen_by(&self, contender: usize) -> impl Iterator<Item = &Choice<'_>> {
        self.chosen.iter().filter(move |choice| choice.contender == contender)
    }

    /// In how many cells a contender was best at the smallest rate of its grid, and at the largest; a grid without a middle has
    /// no ends.
    fn at_the_ends(&self, contender: usize) -> [usize; 2] {
        let rates = self.settings.contenders[contender].rates(&self.own.rates);
        if rates.len() < 3 {
            return [0, 0];
        }
        let often = |end: f64| self.chosen_by(contender).filter(|choice| choice.rate == end).count();
        [often(rates[0]), often(rates[rates.len() - 1])]
    }

    /// Accuracy of each loss under each noise, averaged over sets and seeds, with the average rank at the side.
    fn picture(&self, run: &Run, ranks: &[f64]) -> Result<(), LabError> {
        let values = (0..self.settings.contenders.len())
            .map(|contender| {
                self.settings.noises.iter().map(|noise| 100.0 * self.mean_under(noise, contender)).collect()
            })
            .collect();
        let rows = self.names().iter().zip(ranks).map(|(name, rank)| format!("{name} (rank {rank:.1})")).collect();
        let heat = HeatMap { rows, columns: self.settings.noises.clone(), values };
        let title = format!("Test accuracy, {} (%)", self.part);
        run.plot(&format!("{}-accuracy-by-noise", self.part), &Plot::heat_map(title, "label noise", "loss", heat))
    }

    /// Mean top-1 accuracy over the sets and seeds.
    fn mean_under(&self, noise: &str, contender: usize) -> f64 {
        Summary::of(&top_one(self.cells, noise, contender)).mean
    }

    fn average_rank(&self) -> Finding {
        let statement = format!(
            "on {} ALDR-KL or LDR-KL has the best average rank over sets, kinds of noise and seeds, or nearly",
            self.part
        );
        let finding = Finding::new(format!("{}/{}", self.part, IDS[0]), statement)
            .paper("ALDR-KL best with about 2.3 to 2.5 of 15, LDR-KL second; figures not verified by us")
            .bound("at most 1.0 rank behind the best loss");
        if self.cells.is_empty() {
            return finding.outcome(Outcome::NotComparable).note("no set is here");
        }
        let ranks = self.ranks(1);
        let mut order: Vec<usize> = (0..ranks.len()).collect();
        order.sort_by(|&a, &b| ranks[a].total_cmp(&ranks[b]));
        let [adaptive, fixed] = [ADAPTIVE, FIXED].map(|name| ranks[self.index(name)]);
        let names = self.names();
        let text: Vec<String> =
            order.iter().take(5).map(|&index| format!("{} {:.2}", names[index], ranks[index])).collect();
        let text = format!("{}; ALDR-KL {adaptive:.2}, LDR-KL {fixed:.2}", text.join(", "));
        let own = adaptive.min(fixed);
        finding.measured(Measured::from(own).text(text)).held_if(own <= ranks[order[0]] + RANKS).note(self.without())
    }

    fn heavy_noise(&self) -> Finding {
        let statement =
            format!("on {} with 0.6 of the labels drawn at random, ALDR-KL is better than cross-entropy", self.part);
        let finding = Finding::new(format!("{}/{}", self.part, IDS[1]), statement)
            .bound("at least 3 points, averaged over sets and seeds");
        let other = top_one(self.cells, HEAVY_NOISE, self.index(CROSS_ENTROPY));
        let untuned = top_one(self.untuned, HEAVY_NOISE, 0);
        let finding = self.difference(finding, HEAVY_NOISE, |difference| difference >= ADVANTAGE);
        if untuned.is_empty() {
            return finding;
        }
        let difference = paired_difference(&untuned, &other).difference;
        finding.note(self.with_what_is_missing(format!(
            "ALDR-KL is chosen among three temperatures and the rates, cross-entropy among the rates; at lambda0 = 1, \
             chosen among the rates as well, {:+.2} points",
            100.0 * difference.mean
        )))
    }

    fn clean(&self) -> Finding {
        let statement = format!("on clean labels of {} ALDR-KL is about as good as cross-entropy", self.part);
        let finding = Finding::new(format!("{}/{}", self.part, IDS[2]), statement)
            .bound("at most 1.5 points below, averaged over sets and seeds");
        self.difference(finding, "clean", |difference| difference >= -CLEAN_TOLERANCE)
    }

    /// ALDR-KL less cross-entropy under a noise.
    fn difference(&self, finding: Finding, noise: &str, held: impl FnOnce(f64) -> bool) -> Finding {
        let [own, other] = [ADAPTIVE, CROSS_ENTROPY].map(|name| top_one(self.cells, noise, self.index(name)));
        if own.is_empty() {
            return finding.outcome(Outcome::NotComparable).note(format!("nothing was trained under {noise}"));
        }
        let difference = paired_difference(&own, &other).difference;
        let text = format!(
            "{:+.2} points ({:.2} % against {:.2} %)",
            100.0 * difference.mean,
            100.0 * Summary::of(&own).mean,
            100.0 * Summary::of(&other).mean
        );
        finding.measured(Measured::from(difference).text(text)).held_if(held(difference.mean)).note(self.without())
    }

    fn without(&self) -> String {
        if self.missing.is_empty() { String::new() } else { format!("without {}", self.missing) }
    }

    fn with_what_is_missing(&self, note: String) -> String {
        if self.missing.is_empty() { note } else { format!("{note}; {}", self.without()) }
    }

    /// What the validation split chose for the losses that the claims are about, and where the grid may have been too short.
    fn chosen_settings(&self) -> Finding {
        let finding = Finding::new(
            format!("{}/{}", self.part, IDS[3]),
            format!("the settings and learning rates that the noisy validation splits of {} chose", self.part),
        );
        let text: Vec<String> = [ADAPTIVE, FIXED, CROSS_ENTROPY]
            .into_iter()
            .map(|name| {
                let index = self.index(name);
                let contender = &self.settings.contenders[index];
                let label = |choice: &Choice<'_>| match contender.varied(choice.loss) {
                    varied if varied.is_empty() => format!("rate {}", choice.rate),
                    varied => format!("{varied} at rate {}", choice.rate),
                };
                format!("{name}: {}", counted(self.chosen_by(index).map(label)))
            })
            .collect();
        finding.measured(text.join("; ")).note(self.ends_of_the_grid())
    }

    /// The losses whose best rate was an end of their grid in most cells.
    fn ends_of_the_grid(&self) -> String {
        let often = |end: usize| -> String {
            let at = (0..self.settings.contenders.len()).map(|index| (index, self.at_the_ends(index)[end]));
            let most = at.filter(|(_, count)| 2 * count > self.cells.len());
            let most: Vec<String> =
                most.map(|(index, count)| format!("{} {count}", self.settings.contenders[index].name)).collect();
            if most.is_empty() { "none".into() } else { most.join(", ") }
        };
        format!(
            "of {} cells, best in more than half at the smallest rate of the grid: {}; at the largest: {}",
            self.cells.len(),
            often(0),
            often(1)
        )
    }
}

/// Top-1 accuracies under a noise, set by set and seed by seed.
fn top_one(cells: &[Cell<'_>], noise: &str, contender: usize) -> Vec<f64> {
    let cells = cells.iter().filter(|cell| cell.noise == noise);
    cells.flat_map(|cell| cell.accuracies[contender].iter().map(|tops| tops[0])).collect()
}

/// The different texts and how often each occurs, the most frequent first.
fn counted(texts: impl Iterator<Item = String>) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for text in texts {
        match counts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text, 1)),
        }
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let counts: Vec<String> = counts.iter().map(|(text, count)| format!("{text} {count} times")).collect();
    counts.join(", ")
}
