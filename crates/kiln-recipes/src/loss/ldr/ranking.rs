//! All losses on all sets under every kind of noise, each with the settings and the learning rate that suit it best.

use kiln_data::Splits;
use kiln_lab::plot::HeatMap;
use kiln_lab::statistics::Summary;
use kiln_lab::train::{LOSSES, Selector};
use kiln_lab::{Finding, JobContext, LabError, Measured, Outcome, Plot, Run, Table};
use serde::{Deserialize, Serialize};

use super::contenders::{ADAPTIVE, CROSS_ENTROPY, FIXED};
use super::noise::corrupted;
use super::ranks::mean_ranks;
use super::training::{top_accuracies, train};
use super::{RANKING, Settings};
use crate::loss::small_sets::Sets;

/// How many of the largest logits are looked at.
const MOST: usize = 5;
/// The best loss may be ahead by so many ranks.
const RANKS: f64 = 1.0;
/// Least advantage over cross-entropy under the noise below, in points.
const ADVANTAGE: f64 = 0.03;
const HEAVY_NOISE: &str = "uniform:0.6";
/// Most that clean accuracy may fall behind cross-entropy.
const CLEAN_TOLERANCE: f64 = 0.015;

const IDS: [&str; 4] = ["average-rank", "heavy-noise", "clean", "chosen-settings"];

pub(super) fn finding_ids() -> Vec<String> {
    IDS.iter().map(|id| format!("{RANKING}/{id}")).collect()
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let sets = Sets::open(&settings.datasets, settings.max_train, settings.max_test, run)?;
    let chosen = choose(settings, &sets.here, run)?;
    let cells = final_cells(settings, &sets.here, &chosen, run)?;
    let comparison = Comparison { settings, cells: &cells, missing: sets.missing() };
    comparison.report(run)?;
    Ok(vec![
        comparison.average_rank(),
        comparison.heavy_noise(),
        comparison.clean(),
        comparison.chosen_settings(&chosen),
    ])
}

/// One training.
struct Job<'a> {
    set: usize,
    noise: &'a str,
    contender: usize,
    loss: &'a Selector,
    rate: f64,
    seed: u64,
}

/// What it ended with; nothing where it diverged.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ended {
    validation: Option<f64>,
    /// Top-1 to top-5 accuracy on clean test labels.
    test: Option<Vec<f64>>,
}

fn perform(settings: &Settings, splits: &Splits, job: &Job<'_>, context: &JobContext) -> Result<Ended, LabError> {
    let (noisy, _) = corrupted(splits, job.noise, job.seed)?;
    let loss = LOSSES.build(job.loss)?;
    let device = context.device();
    let network = train(settings, &noisy, &loss, job.rate, job.seed, context)?;
    Ok(match network {
        None => Ended { validation: None, test: None },
        Some(network) => Ended {
            validation: top_accuracies(&network, &noisy.validation, 1, &device).first().copied(),
            test: Some(top_accuracies(&network, &noisy.test, MOST, &device)),
        },
    })
}

fn perform_all(settings: &Settings, sets: &[Splits], jobs: &[Job<'_>], run: &Run) -> Result<Vec<Ended>, LabError> {
    let key = |job: &Job<'_>| {
        format!("{}-{}-{}-rate-{}-seed-{}", sets[job.set].name, job.noise, job.loss, job.rate, job.seed)
    };
    run.grid(RANKING, jobs, key, |job, context| perform(settings, &sets[job.set], job, context))
}

/// The loss and the rate that a contender is judged by, on one set under one noise.
struct Choice<'a> {
    set: usize,
    noise: &'a str,
    contender: usize,
    loss: &'a Selector,
    rate: f64,
}

/// For each set, noise and contender the settings and the rate with the best accuracy on the noisy validation split.
fn choose<'a>(settings: &'a Settings, sets: &[Splits], run: &Run) -> Result<Vec<Choice<'a>>, LabError> {
    let seeds: Vec<u64> = run.seeds().iter().copied().take(settings.tuning_seeds).collect();
    let mut jobs = Vec::new();
    for set in 0..sets.len() {
        for noise in &settings.noises {
            for (contender, own) in settings.contenders.iter().enumerate() {
                for loss in &own.losses {
                    for &rate in &settings.rates {
                        jobs.extend(seeds.iter().map(|&seed| Job { set, noise, contender, loss, rate, seed }));
                    }
                }
            }
        }
    }
    let ended = perform_all(settings, sets, &jobs, run)?;
    let mut chosen: Vec<(Choice<'a>, f64)> = Vec::new();
    for (tries, ended) in jobs.chunks(seeds.len()).zip(ended.chunks(seeds.len())) {
        let Job { set, noise, contender, loss, rate, .. } = tries[0];
        // A training that diverged counts as one that learnt nothing.
        let merit = ended.iter().map(|ended| ended.validation.unwrap_or(0.0)).sum::<f64>();
        let candidate = (Choice { set, noise, contender, loss, rate }, merit);
        match chosen.last_mut() {
            Some((last, best)) if (last.set, last.noise, last.contender) == (set, noise, contender) => {
                if merit > *best {
                    chosen.pop();
                    chosen.push(candidate);
                }
            }
            _ => chosen.push(candidate),
        }
    }
    Ok(chosen.into_iter().map(|(choice, _)| choice).collect())
}

/// Accuracies of all contenders on one set under one noise.
struct Cell<'a> {
    set: String,
    noise: &'a str,
    /// `[contender][seed][k - 1]`; zeros where the training diverged.
    accuracies: Vec<Vec<Vec<f64>>>,
}

fn final_cells<'a>(
    settings: &'a Settings,
    sets: &[Splits],
    chosen: &[Choice<'a>],
    run: &Run,
) -> Result<Vec<Cell<'a>>, LabError> {
    let seeds = run.seeds().to_vec();
    let job = |choice: &Choice<'a>, seed: u64| {
        let Choice { set, noise, contender, loss, rate } = *choice;
        Job { set, noise, contender, loss, rate, seed }
    };
    let jobs: Vec<Job<'a>> =
        chosen.iter().flat_map(|choice| seeds.iter().map(move |&seed| job(choice, seed))).collect();
    let ended = perform_all(settings, sets, &jobs, run)?;
    let by_contender: Vec<Vec<Vec<f64>>> = ended
        .chunks(seeds.len())
        .map(|seeds| seeds.iter().map(|ended| ended.test.clone().unwrap_or_else(|| vec![0.0; MOST])).collect())
        .collect();
    let contenders = settings.contenders.len();
    let cells = chosen.chunks(contenders).zip(by_contender.chunks(contenders));
    Ok(cells
        .map(|(choices, accuracies)| Cell {
            set: sets[choices[0].set].name.clone(),
            noise: choices[0].noise,
            accuracies: accuracies.to_vec(),
        })
        .collect())
}

struct Comparison<'a> {
    settings: &'a Settings,
    cells: &'a [Cell<'a>],
    missing: String,
}

impl Comparison<'_> {
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

    fn report(&self, run: &mut Run) -> Result<(), LabError> {
        if self.cells.is_empty() {
            return Ok(());
        }
        let mut table = Table::new("Test accuracy by noise (%)", ["set", "noise", "loss", "top-1", "top-2", "top-5"]);
        for cell in self.cells {
            for (name, seeds) in self.names().into_iter().zip(&cell.accuracies) {
                let [one, two, five] = [1, 2, 5].map(|k| {
                    let percent: Vec<f64> = seeds.iter().map(|tops| 100.0 * tops[k - 1]).collect();
                    Summary::of(&percent).to_string()
                });
                table.push([cell.set.clone(), cell.noise.to_string(), name.to_string(), one, two, five]);
            }
        }
        run.table(table);
        let mut table = Table::new("Average rank by top-k accuracy", ["loss", "1", "2", "3", "4", "5"]);
        let by_k: Vec<Vec<f64>> = (1..=MOST).map(|k| self.ranks(k)).collect();
        for (index, name) in self.names().into_iter().enumerate() {
            let cells = by_k.iter().map(|ranks| format!("{:.2}", ranks[index]));
            table.push(std::iter::once(name.to_string()).chain(cells));
        }
        run.table(table);
        self.picture(run, &by_k[0])
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
        run.plot("accuracy-by-noise", &Plot::heat_map("Test accuracy (%)", "label noise", "loss", heat))
    }

    /// Mean top-1 accuracy over the sets and seeds.
    fn mean_under(&self, noise: &str, contender: usize) -> f64 {
        Summary::of(&self.top_one(noise, contender)).mean
    }

    /// Top-1 accuracies under a noise, set by set and seed by seed.
    fn top_one(&self, noise: &str, contender: usize) -> Vec<f64> {
        let cells = self.cells.iter().filter(|cell| cell.noise == noise);
        cells.flat_map(|cell| cell.accuracies[contender].iter().map(|tops| tops[0])).collect()
    }

    fn average_rank(&self) -> Finding {
        let finding = Finding::new(
            format!("{RANKING}/{}", IDS[0]),
            "ALDR-KL or LDR-KL has the best average rank over sets, kinds of noise and seeds, or nearly",
        )
        .paper("ALDR-KL best with about 2.3 to 2.5 of 15, LDR-KL second; figures not verified by us")
        .bound("at most 1.0 rank behind the best loss");
        if self.cells.is_empty() {
            return finding.outcome(Outcome::NotComparable).note("no set is here");
        }
        let ranks = self.ranks(1);
        let mut order: Vec<usize> = (0..ranks.len()).collect();
        order.sort_by(|&a, &b| ranks[a].total_cmp(&ranks[b]));
        let own = ranks[self.index(ADAPTIVE)].min(ranks[self.index(FIXED)]);
        let names = self.names();
        let text: Vec<String> =
            order.iter().take(5).map(|&index| format!("{} {:.2}", names[index], ranks[index])).collect();
        let text = format!(
            "{}; ALDR-KL {:.2}, LDR-KL {:.2}",
            text.join(", "),
            ranks[self.index(ADAPTIVE)],
            ranks[self.index(FIXED)]
        );
        finding.measured(Measured::from(own).text(text)).held_if(own <= ranks[order[0]] + RANKS).note(self.without())
    }

    fn heavy_noise(&self) -> Finding {
        let finding = Finding::new(
            format!("{RANKING}/{}", IDS[1]),
            "with 0.6 of the labels drawn at random, ALDR-KL is better than cross-entropy",
        )
        .bound("at least 3 points, averaged over sets and seeds");
        self.difference(finding, HEAVY_NOISE, |difference| difference >= ADVANTAGE)
    }

    fn clean(&self) -> Finding {
        let finding =
            Finding::new(format!("{RANKING}/{}", IDS[2]), "on clean labels ALDR-KL is about as good as cross-entropy")
                .bound("at most 1.5 points below, averaged over sets and seeds");
        self.difference(finding, "clean", |difference| difference >= -CLEAN_TOLERANCE)
    }

    /// ALDR-KL less cross-entropy under a noise.
    fn difference(&self, finding: Finding, noise: &str, held: impl FnOnce(f64) -> bool) -> Finding {
        let [own, other] = [ADAPTIVE, CROSS_ENTROPY].map(|name| self.top_one(noise, self.index(name)));
        if own.is_empty() {
            return finding.outcome(Outcome::NotComparable).note(format!("nothing was trained under {noise}"));
        }
        let difference = kiln_lab::statistics::paired_difference(&own, &other).difference;
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

    /// What the validation split chose for the losses that the claims are about.
    fn chosen_settings(&self, chosen: &[Choice<'_>]) -> Finding {
        let finding = Finding::new(
            format!("{RANKING}/{}", IDS[3]),
            "the settings and learning rates that the noisy validation splits chose",
        );
        let names = self.names();
        let text: Vec<String> = [ADAPTIVE, FIXED, CROSS_ENTROPY]
            .into_iter()
            .map(|name| {
                let own = chosen.iter().filter(|choice| names[choice.contender] == name);
                let mut counts: Vec<(String, usize)> = Vec::new();
                for choice in own {
                    let label = label(choice);
                    match counts.iter_mut().find(|(known, _)| *known == label) {
                        Some((_, count)) => *count += 1,
                        None => counts.push((label, 1)),
                    }
                }
                counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                let counts: Vec<String> =
                    counts.iter().map(|(label, count)| format!("{label} {count} times")).collect();
                format!("{name}: {}", counts.join(", "))
            })
            .collect();
        finding.measured(text.join("; "))
    }
}

/// The temperature and the rate of a choice.
fn label(choice: &Choice<'_>) -> String {
    let text = choice.loss.to_string();
    let settings = text.split_once(':').map_or("", |(_, settings)| settings);
    let temperature = settings.split(',').find(|setting| setting.starts_with("lambda"));
    match temperature {
        Some(temperature) => format!("{temperature} at rate {}", choice.rate),
        None => format!("rate {}", choice.rate),
    }
}
