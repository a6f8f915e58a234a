//! Which losses order the classes right, and how far they are from symmetric, by direct minimisation of the risk.

use burn::tensor::{Distribution, Tensor};
use kiln_lab::train::LOSSES;
use kiln_lab::{Finding, LabError, Measured, Run, Table};
use kiln_loss::ClassificationLoss;
use kiln_loss::ldr::consistency::{ordered_classes, risk, risk_minimiser, symmetry_defect};

use super::THEORY;

/// Class probabilities without a majority, in falling order: there the hinges fail.
const DISTRIBUTIONS: [&[f64]; 3] = [&[0.4, 0.3, 0.2, 0.1], &[0.35, 0.25, 0.22, 0.18], &[0.45, 0.3, 0.25]];
/// Classes count as ordered when their scores are so far apart.
const TOLERANCE: f64 = 0.01;
/// Steps of the descent, and its rate before it shrinks.
const STEPS: usize = 3000;
const RATE: f64 = 1.0;
/// Rows of random logits on which symmetry is measured.
const DRAWS: usize = 500;
const CLASSES: usize = 10;
/// Largest defect that counts as symmetric, and largest cost of a wrong order that counts as none.
const NOTHING: f64 = 1e-4;

/// What the paper proves of a loss.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Proved {
    /// Top-k consistent for every k.
    Order,
    /// Not so.
    NoOrder,
    /// Symmetric, hence with the first class right not consistent for every k.
    Symmetric,
}

const LOSSES_OF_THE_PAPER: [(&str, Proved); 12] = [
    ("cross-entropy", Proved::Order),
    ("ldr:variant=kl,lambda=0.1", Proved::Order),
    ("ldr:variant=kl,lambda=0.5", Proved::Order),
    ("ldr:variant=kl,lambda=1", Proved::Order),
    ("ldr:variant=kl,lambda=10", Proved::Order),
    ("ldr:variant=adaptive,mode=exact,lambda0=1", Proved::Order),
    ("ldr:variant=adaptive,mode=exact,lambda0=10", Proved::Order),
    ("ldr:variant=top-k,k=2", Proved::NoOrder),
    ("crammer-singer", Proved::NoOrder),
    ("weston-watkins", Proved::NoOrder),
    ("mae", Proved::Symmetric),
    ("robust-log", Proved::Symmetric),
];

const IDS: [&str; 3] = ["consistency", "symmetric-losses", "symmetry"];

pub(super) fn finding_ids() -> Vec<String> {
    IDS.iter().map(|id| format!("{THEORY}/{id}")).collect()
}

pub(super) fn run(run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let device = run.device();
    device.seed(run.seeds().first().copied().unwrap_or(1));
    let logits = Tensor::<2>::random([DRAWS, CLASSES], Distribution::Normal(0.0, 2.0), &device);
    let examined = LOSSES_OF_THE_PAPER.into_iter().map(|(name, proved)| Examined::of(name, proved, logits.clone()));
    let examined: Vec<Examined> = examined.collect::<Result<_, _>>()?;
    run.table(table(&examined));
    Ok(vec![consistency(&examined), symmetric_losses(&examined), symmetry(&logits)?])
}

/// What the minimiser of a loss's risk looks like.
struct Examined {
    name: &'static str,
    proved: Proved,
    /// On how many distributions the most probable class is on top.
    first: usize,
    /// On how many all classes are in order.
    ordered: usize,
    /// Least that a wrong order of the other classes costs, over the distributions.
    cost: f64,
    defect: f64,
}

impl Examined {
    fn of(name: &'static str, proved: Proved, logits: Tensor<2>) -> Result<Self, LabError> {
        let loss = LOSSES.build(&name.parse()?)?;
        let (mut first, mut ordered, mut cost) = (0, 0, f64::INFINITY);
        for probabilities in DISTRIBUTIONS {
            let scores = risk_minimiser(&loss, probabilities, RATE, STEPS).map_err(LabError::method)?;
            let in_order = ordered_classes(&scores, probabilities, TOLERANCE);
            let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            first += usize::from(in_order >= 1 && scores[0] == best);
            ordered += usize::from(in_order == probabilities.len() - 1);
            cost = cost.min(cost_of_wrong_order(&loss, probabilities, &scores).map_err(LabError::method)?);
        }
        Ok(Self { name, proved, first, ordered, cost, defect: symmetry_defect(&loss, logits) })
    }
}

/// How much the risk rises when the classes behind the first one change places, from the scores that were found or with the
/// first one far above, where losses that are not convex have their minimum.
fn cost_of_wrong_order(
    loss: &dyn ClassificationLoss,
    probabilities: &[f64],
    scores: &[f64],
) -> Result<f64, kiln_loss::LossError> {
    const FAR: f64 = 40.0;
    let mut reversed = scores.to_vec();
    reversed[1..].reverse();
    let far: Vec<f64> = (0..scores.len()).map(|class| if class == 0 { FAR } else { class as f64 }).collect();
    let wrong = risk(loss, probabilities, &reversed)?.min(risk(loss, probabilities, &far)?);
    Ok(wrong - risk(loss, probabilities, scores)?)
}

fn table(examined: &[Examined]) -> Table {
    let headings = ["loss", "proved", "first class right", "ordered", "cost of a wrong order", "defect of symmetry"];
    let mut table = Table::new("Order of the classes and symmetry", headings);
    for one in examined {
        let proved = match one.proved {
            Proved::Order => "ordered",
            Proved::NoOrder => "not ordered",
            Proved::Symmetric => "symmetric, not ordered",
        };
        table.push([
            one.name.to_string(),
            proved.into(),
            one.first.to_string(),
            one.ordered.to_string(),
            format!("{:.4}", one.cost),
            format!("{:.4}", one.defect),
        ]);
    }
    table
}

fn consistency(examined: &[Examined]) -> Finding {
    let all = DISTRIBUTIONS.len();
    let asked = || examined.iter().filter(|one| one.proved != Proved::Symmetric);
    let agree = asked().all(|one| (one.ordered == all) == (one.proved == Proved::Order));
    let text: Vec<String> = asked().map(|one| format!("{} {} of {all}", one.name, one.ordered)).collect();
    Finding::new(
        format!("{THEORY}/{}", IDS[0]),
        "the scores that minimise the risk order all classes for the losses for which it is proved; the hinges fail on at \
         least one distribution",
    )
    .paper("LDR-KL and ALDR-KL are top-k consistent for every k; the hinge of Crammer and Singer is not")
    .bound("on three distributions without a majority")
    .measured(text.join(", "))
    .held_if(agree)
}

fn symmetric_losses(examined: &[Examined]) -> Finding {
    let all = DISTRIBUTIONS.len();
    let asked = || examined.iter().filter(|one| one.proved == Proved::Symmetric);
    let held = |one: &Examined| one.defect < NOTHING && one.first == all && one.cost < NOTHING;
    let others = examined.iter().filter(|one| one.proved == Proved::Order);
    let least = others.map(|one| one.cost).fold(f64::INFINITY, f64::min);
    let text: Vec<String> = asked()
        .map(|one| {
            format!(
                "{}: defect {:.1e}, first class right on {} of {all}, cost {:.1e}",
                one.name, one.defect, one.first, one.cost
            )
        })
        .collect();
    Finding::new(
        format!("{THEORY}/{}", IDS[1]),
        "symmetric losses put the most probable class on top, and a wrong order of the others costs them nothing",
    )
    .paper("a symmetric loss that is top-1 consistent is not top-k consistent for every k")
    .bound("defect of symmetry and cost below 1e-4; a wrong order costs the losses with a proof more")
    .measured(format!("{}; least cost among the losses with a proof {least:.1e}", text.join("; ")))
    .held_if(asked().all(held) && least > NOTHING)
}

fn symmetry(logits: &Tensor<2>) -> Result<Finding, LabError> {
    const TEMPERATURES: [&str; 5] = ["0.1", "1", "10", "100", "1000"];
    let defect = |lambda: &str| -> Result<f64, LabError> {
        let loss = LOSSES.build(&format!("ldr:variant=kl,lambda={lambda}").parse()?)?;
        Ok(symmetry_defect(&loss, logits.clone()))
    };
    let defects: Vec<f64> = TEMPERATURES.into_iter().map(defect).collect::<Result<_, _>>()?;
    let (first, last) = (defects[0], defects[TEMPERATURES.len() - 1]);
    let falls = defects.windows(2).all(|pair| pair[1] < pair[0]);
    let text: Vec<String> =
        TEMPERATURES.iter().zip(&defects).map(|(lambda, defect)| format!("lambda {lambda}: {defect:.4}")).collect();
    Ok(Finding::new(
        format!("{THEORY}/{}", IDS[2]),
        "the sum of LDR-KL over all targets varies less with the logits the larger lambda is",
    )
    .paper("LDR-KL becomes symmetric as lambda grows")
    .bound("falls from each lambda to the next, to a hundredth")
    .measured(Measured::from(last).text(text.join(", ")))
    .held_if(falls && last < 0.01 * first))
}
