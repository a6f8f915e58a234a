//! What the trained networks say about the claims.

use kiln_lab::statistics::{Summary, paired_difference};
use kiln_lab::{Finding, LabError, Measured, Outcome, Plot, Run, Series, Table};

use super::AdversarialSettings;
use super::method::{Family, Method};
use super::problem::Judged;
use crate::loss::seeds::{Merit, all, divergence};

const BEATS_CE: &str = "robust-at-little-cost";
const BEATS_TRADES: &str = "beats-trades";
const FRONTIER: &str = "frontier";
const NO_MASKING: &str = "no-hidden-gradients";
const TRANSFER: &str = "no-stronger-transfer";

pub(super) const NAMES: [&str; 5] = [BEATS_CE, BEATS_TRADES, FRONTIER, NO_MASKING, TRANSFER];

/// How far above chance a network has to be before an attack on it says anything.
const ABOVE_CHANCE: f64 = 0.05;

/// All networks of a method at its chosen rate, one a seed; none where the training diverged.
pub(super) struct MethodOutcome {
    pub(super) method: Method,
    pub(super) rate: f64,
    pub(super) networks: Vec<Option<Judged>>,
}

impl MethodOutcome {
    /// The networks, where no training diverged.
    fn settled(&self) -> Option<Settled> {
        all(&self.networks).map(|networks| Settled { label: self.method.label(), networks })
    }

    fn merit(&self) -> Merit {
        let scores: Vec<Option<f64>> =
            self.networks.iter().map(|judged| judged.map(|judged| judged.validation.score())).collect();
        Merit::of(&scores)
    }

    /// `TRADES beta 6 diverged on 1 of 3 seeds`, where it did.
    fn divergence(&self) -> Option<String> {
        divergence(&self.networks).map(|how| format!("{} {how}", self.method.label()))
    }
}

/// A method of which every training reached its end.
struct Settled {
    label: String,
    networks: Vec<Judged>,
}

impl Settled {
    fn values(&self, of: impl Fn(&Judged) -> f64) -> Vec<f64> {
        self.networks.iter().map(of).collect()
    }

    fn clean(&self) -> Vec<f64> {
        self.values(|judged| judged.test.clean)
    }

    fn robust(&self) -> Vec<f64> {
        self.values(|judged| judged.test.robust)
    }
}

pub(super) fn findings(outcomes: &[MethodOutcome], chance: f64) -> Vec<Finding> {
    vec![
        beats_ce(outcomes),
        beats_trades(outcomes),
        frontier(outcomes),
        no_masking(outcomes, chance),
        no_stronger_transfer(outcomes, chance),
    ]
}

pub(super) fn report(
    part: &str,
    settings: &AdversarialSettings,
    outcomes: &[MethodOutcome],
    run: &mut Run,
) -> Result<(), LabError> {
    let mut table = Table::new(
        format!("Adversarial training: {} on {}", settings.network, settings.dataset),
        [
            "method",
            "learning rate",
            "clean (%)",
            "robust, gradient attack (%)",
            "robust, random search (%)",
            "robust, transfer (%)",
            "validation score",
        ],
    );
    let mut plot = Plot::scatter(table.title.clone(), "clean test accuracy (%)", "robust test accuracy (%)");
    for family in Family::ALL {
        let mut series = Series::new(family.name());
        for outcome in outcomes.iter().filter(|outcome| outcome.method.family() == family) {
            let (label, rate) = (outcome.method.label(), outcome.rate.to_string());
            let Some(settled) = outcome.settled() else {
                let how = divergence(&outcome.networks).unwrap_or_default();
                table.push([label, rate, how, String::new(), String::new(), String::new(), String::new()]);
                continue;
            };
            let (clean, robust) = (percent(&settled.clean()), percent(&settled.robust()));
            series = series.point(clean.mean, robust.mean);
            table.push([
                label,
                rate,
                clean.to_string(),
                robust.to_string(),
                percent(&settled.values(|judged| judged.random_search)).to_string(),
                transfers(&settled).map_or_else(String::new, |transfer| percent(&transfer).to_string()),
                format!("{:.4}", outcome.merit().score()),
            ]);
        }
        plot = plot.series(series);
    }
    run.table(table);
    run.plot(&format!("clean-against-robust-{part}"), &plot)
}

/// The member of a family that did best on the validation split, or why there is none.
fn chosen(outcomes: &[MethodOutcome], family: Family) -> Result<Settled, String> {
    let mut best: Option<&MethodOutcome> = None;
    for member in outcomes.iter().filter(|outcome| outcome.method.family() == family) {
        if best.is_none_or(|best| member.merit().is_above(&best.merit())) {
            best = Some(member);
        }
    }
    let best = best.ok_or_else(|| format!("{} was not trained", family.name()))?;
    best.settled().ok_or_else(|| best.divergence().unwrap_or_default())
}

/// The best members of the smooth loss and of another family, and which trainings of the two diverged.
fn contest(outcomes: &[MethodOutcome], rival: Family) -> Result<(Settled, Settled, String), String> {
    let ours = chosen(outcomes, Family::SmoothCompSum)?;
    let other = chosen(outcomes, rival)?;
    let members = outcomes.iter().filter(|o| [rival, Family::SmoothCompSum].contains(&o.method.family()));
    let diverged: Vec<String> = members.filter_map(MethodOutcome::divergence).collect();
    Ok((ours, other, diverged.join("; ")))
}

fn beats_ce(outcomes: &[MethodOutcome]) -> Finding {
    let finding =
        Finding::new(BEATS_CE, "smooth comp-sum training makes a network robust at little cost in clean accuracy")
            .bound("robust accuracy at least 20 points above cross-entropy, clean accuracy at most 1 point below");
    let (ours, plain, diverged) = match contest(outcomes, Family::CrossEntropy) {
        Ok(contest) => contest,
        Err(reason) => return finding.outcome(Outcome::NotComparable).note(reason),
    };
    let robust = paired_difference(&ours.robust(), &plain.robust()).difference;
    let clean = paired_difference(&ours.clean(), &plain.clean()).difference;
    let text = format!("{}: robust {}, clean {}", ours.label, points(robust), points(clean));
    let held = robust.mean >= 0.20 && clean.mean >= -0.01;
    finding.measured(Measured::from(robust).text(text)).held_if(held).note(diverged)
}

fn beats_trades(outcomes: &[MethodOutcome]) -> Finding {
    const SCALE: &str =
        "a small network on a small set, not the paper's scale; both members chosen on the validation split";
    let finding = Finding::new(BEATS_TRADES, "smooth comp-sum training beats TRADES in robust and in clean accuracy")
        .paper("wide ResNets on CIFAR-10, CIFAR-100, SVHN: better in both; figures not verified by us")
        .bound("both differences above 0");
    let (ours, trades, diverged) = match contest(outcomes, Family::Trades) {
        Ok(contest) => contest,
        Err(reason) => return finding.outcome(Outcome::NotComparable).note(reason),
    };
    let robust = paired_difference(&ours.robust(), &trades.robust()).difference;
    let clean = paired_difference(&ours.clean(), &trades.clean()).difference;
    let text = format!("{} against {}: robust {}, clean {}", ours.label, trades.label, points(robust), points(clean));
    let note = if diverged.is_empty() { SCALE.to_string() } else { format!("{SCALE}; {diverged}") };
    finding.measured(Measured::from(robust).text(text)).held_if(robust.mean > 0.0 && clean.mean > 0.0).note(note)
}

fn frontier(outcomes: &[MethodOutcome]) -> Finding {
    let point = |outcome: &MethodOutcome| match outcome.settled() {
        Some(settled) => {
            format!("{} {} / {}", settled.label, spread(&settled.clean()), spread(&settled.robust()))
        }
        None => outcome.divergence().unwrap_or_default(),
    };
    let rates: Vec<String> = outcomes.iter().map(|o| format!("{} {}", o.method.label(), o.rate)).collect();
    let text = outcomes.iter().map(point).collect::<Vec<_>>().join(", ");
    let (measured, whose) = match chosen(outcomes, Family::SmoothCompSum) {
        Ok(ours) => (
            Measured::from(Summary::of(&ours.robust())),
            format!("mean and spread: robust accuracy of {}; ", ours.label),
        ),
        Err(_) => (Measured::default(), String::new()),
    };
    Finding::new(FRONTIER, "clean / robust accuracy (%) of every method")
        .measured(measured.text(text))
        .note(format!("{whose}learning rates chosen on the validation split: {}", rates.join(", ")))
}

/// A gradient attack that is weaker than a search without gradients says nothing about robustness.
fn no_masking(outcomes: &[MethodOutcome], chance: f64) -> Finding {
    let finding = Finding::new(NO_MASKING, "no method owes its robustness to hidden gradients")
        .bound("accuracy under random search never below that under the gradient attack");
    let searched = |settled: &Settled| Some(settled.values(|judged| judged.random_search));
    against_gradient_attack(finding, outcomes, chance, searched)
}

/// Examples that another network was attacked with may not do more harm than an attack on the network itself.
fn no_stronger_transfer(outcomes: &[MethodOutcome], chance: f64) -> Finding {
    let finding = Finding::new(
        TRANSFER,
        "the cross-entropy network's adversarial examples fool no defended one more than its own",
    )
    .bound("accuracy under transfer never below that under the gradient attack");
    let defended: Vec<&MethodOutcome> =
        outcomes.iter().filter(|outcome| outcome.method != Method::CrossEntropy).collect();
    against_gradient_attack(finding, defended, chance, transfers)
}

fn transfers(settled: &Settled) -> Option<Vec<f64>> {
    settled.networks.iter().map(|judged| judged.transfer).collect()
}

/// Compares the accuracy under another attack with that under the gradient attack. Every attack leaves a network at
/// chance where it is, so that such a network proves nothing and is left out.
fn against_gradient_attack<'a>(
    finding: Finding,
    outcomes: impl IntoIterator<Item = &'a MethodOutcome>,
    chance: f64,
    other: impl Fn(&Settled) -> Option<Vec<f64>>,
) -> Finding {
    let (mut figures, mut left_out) = (Vec::new(), Vec::new());
    let mut closest: Option<(Summary, String)> = None;
    for outcome in outcomes {
        let Some(settled) = outcome.settled() else {
            left_out.extend(outcome.divergence());
            continue;
        };
        let at_chance = settled.clean().into_iter().filter(|&clean| clean <= chance + ABOVE_CHANCE).count();
        if at_chance > 0 {
            left_out.push(format!("{} is at chance on {at_chance} of {} seeds", settled.label, settled.networks.len()));
            continue;
        }
        let Some(found) = other(&settled) else {
            left_out.push(format!("{}: the cross-entropy network diverged", settled.label));
            continue;
        };
        figures.push(format!("{} {} ({})", settled.label, spread(&found), spread(&settled.robust())));
        let margin = paired_difference(&found, &settled.robust()).difference;
        if closest.as_ref().is_none_or(|(least, _)| margin.mean < least.mean) {
            closest = Some((margin, settled.label));
        }
    }
    let left_out = if left_out.is_empty() { String::new() } else { format!("left out: {}", left_out.join("; ")) };
    let Some((least, whose)) = closest else {
        return finding.outcome(Outcome::NotComparable).note(left_out);
    };
    let text = format!(
        "smallest margin {} ({whose}); under this attack (under the gradient attack), %: {}",
        points(least),
        figures.join(", ")
    );
    finding.measured(Measured::from(least).text(text)).held_if(least.mean >= 0.0).note(left_out)
}

fn percent(fractions: &[f64]) -> Summary {
    Summary::of(&fractions.iter().map(|fraction| 100.0 * fraction).collect::<Vec<_>>())
}

/// `88.9 +/- 0.4`, of fractions, in percent.
fn spread(fractions: &[f64]) -> String {
    let percent = percent(fractions);
    match percent.n {
        0 | 1 => format!("{:.1}", percent.mean),
        _ => format!("{:.1} +/- {:.1}", percent.mean, percent.std),
    }
}

/// `+3.1 +/- 0.4 points`, of a difference of fractions.
fn points(difference: Summary) -> String {
    match difference.n {
        0 | 1 => format!("{:+.1} points", 100.0 * difference.mean),
        _ => format!("{:+.1} +/- {:.1} points", 100.0 * difference.mean, 100.0 * difference.std),
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Quality;
    use super::*;

    fn network(clean: f64, robust: f64, random_search: f64, transfer: Option<f64>) -> Option<Judged> {
        let quality = Quality { clean, robust };
        Some(Judged { epoch: 1, validation: quality, test: quality, random_search, transfer })
    }

    fn outcome(method: Method, networks: Vec<Option<Judged>>) -> MethodOutcome {
        MethodOutcome { method, rate: 0.1, networks }
    }

    /// Two seeds of each family, all of them sound.
    fn sound() -> Vec<MethodOutcome> {
        let twice = |network: Option<Judged>| vec![network, network];
        vec![
            outcome(Method::CrossEntropy, twice(network(0.97, 0.40, 0.60, None))),
            outcome(Method::Trades { beta: 3.0 }, twice(network(0.97, 0.70, 0.80, Some(0.9)))),
            outcome(Method::SmoothCompSum { nu: 0.3 }, twice(network(0.98, 0.75, 0.80, Some(0.9)))),
        ]
    }

    #[test]
    fn sound_networks_decide_every_claim() {
        let findings = findings(&sound(), 0.1);
        assert_eq!(findings.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), NAMES);
        let outcomes: Vec<Outcome> = findings.iter().map(|finding| finding.outcome).collect();
        assert_eq!(outcomes, [Outcome::Held, Outcome::Held, Outcome::Reported, Outcome::Held, Outcome::Held]);
        assert!(findings.iter().all(|finding| finding.measured.mean.is_some() && finding.measured.n == 2));
    }

    #[test]
    fn a_baseline_that_diverged_makes_no_claim_hold() {
        let mut outcomes = sound();
        outcomes[1].networks[1] = None;
        let finding = beats_trades(&outcomes);
        assert_eq!(finding.outcome, Outcome::NotComparable);
        assert_eq!(finding.note, "TRADES beta 3 diverged on 1 of 2 seeds");
        assert!(frontier(&outcomes).measured.text.contains("TRADES beta 3 diverged on 1 of 2 seeds"));

        let steady = network(0.97, 0.6, 0.7, Some(0.9));
        outcomes.push(outcome(Method::Trades { beta: 1.0 }, vec![steady, steady]));
        let finding = beats_trades(&outcomes);
        assert_eq!(finding.outcome, Outcome::Held);
        assert!(finding.measured.text.contains("against TRADES beta 1"), "{}", finding.measured);
        assert!(finding.note.ends_with("TRADES beta 3 diverged on 1 of 2 seeds"), "{}", finding.note);
    }

    #[test]
    fn a_network_at_chance_proves_nothing_about_attacks() {
        let mut outcomes = sound();
        outcomes[2].networks[0] = network(0.108, 0.108, 0.108, Some(0.108));
        for finding in [no_masking(&outcomes, 0.1), no_stronger_transfer(&outcomes, 0.1)] {
            assert_eq!(finding.note, "left out: smooth comp-sum nu 0.3 is at chance on 1 of 2 seeds");
            assert!(finding.measured.mean.unwrap() > 0.05, "{}", finding.measured);
        }
        let nothing = no_masking(&outcomes[2..], 0.1);
        assert_eq!(nothing.outcome, Outcome::NotComparable);
    }

    #[test]
    fn an_attack_that_beats_the_gradients_is_found() {
        let mut outcomes = sound();
        for masked in &mut outcomes[2].networks {
            *masked = network(0.98, 0.75, 0.50, Some(0.60));
        }
        for finding in [no_masking(&outcomes, 0.1), no_stronger_transfer(&outcomes, 0.1)] {
            assert_eq!(finding.outcome, Outcome::NotHeld);
            assert!(finding.measured.text.contains("(smooth comp-sum nu 0.3)"), "{}", finding.measured);
        }
    }

    #[test]
    fn without_a_cross_entropy_network_nothing_transfers() {
        let mut outcomes = sound();
        outcomes[2].networks[0] = network(0.98, 0.75, 0.80, None);
        let finding = no_stronger_transfer(&outcomes, 0.1);
        assert_eq!((finding.outcome, finding.measured.n), (Outcome::Held, 2));
        assert_eq!(finding.note, "left out: smooth comp-sum nu 0.3: the cross-entropy network diverged");
    }
}
