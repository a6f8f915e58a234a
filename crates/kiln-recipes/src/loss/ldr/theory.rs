//! Which losses order the classes right, and how far they are from symmetric, by direct minimisation of the risk.

use burn::tensor::{Distribution, Tensor};
use kiln_lab::train::LOSSES;
use kiln_lab::{Finding, LabError, Measured, Run, Table};
use kiln_loss::ldr::consistency::{orders_classes, symmetry_defect};

use super::THEORY;

/// Class probabilities without a majority: there the hinges fail.
const DISTRIBUTIONS: [&[f64]; 3] = [&[0.4, 0.3, 0.2, 0.1], &[0.35, 0.25, 0.22, 0.18], &[0.45, 0.3, 0.25]];
/// Classes count as ordered when their scores are so far apart.
const TOLERANCE: f64 = 0.01;
/// Rows of random logits on which symmetry is measured.
const DRAWS: usize = 500;
const CLASSES: usize = 10;

/// Loss, and whether it is proved to be top-k consistent for every k. Symmetric losses are left out: their risk has its minimum
/// at infinity.
const LOSSES_OF_THE_PAPER: [(&str, bool); 6] = [
    ("cross-entropy", true),
    ("ldr:variant=kl,lambda=0.5", true),
    ("ldr:variant=kl,lambda=1", true),
    ("ldr:variant=adaptive,mode=exact,lambda0=1", true),
    ("crammer-singer", false),
    ("weston-watkins", false),
];

const IDS: [&str; 2] = ["consistency", "symmetry"];

pub(super) fn finding_ids() -> Vec<String> {
    IDS.iter().map(|id| format!("{THEORY}/{id}")).collect()
}

pub(super) fn run(run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let device = run.device();
    device.seed(run.seeds().first().copied().unwrap_or(1));
    let logits = Tensor::<2>::random([DRAWS, CLASSES], Distribution::Normal(0.0, 2.0), &device);
    let mut table =
        Table::new("Order of the classes and symmetry", ["loss", "proved", "ordered", "defect of symmetry"]);
    let (mut agree, mut ordered_texts) = (true, Vec::new());
    for (name, proved) in LOSSES_OF_THE_PAPER {
        let loss = LOSSES.build(&name.parse()?)?;
        let mut ordered = 0;
        for probabilities in DISTRIBUTIONS {
            ordered += usize::from(orders_classes(&loss, probabilities, TOLERANCE).map_err(LabError::method)?);
        }
        agree &= (ordered == DISTRIBUTIONS.len()) == proved;
        ordered_texts.push(format!("{name} {ordered} of {}", DISTRIBUTIONS.len()));
        let defect = symmetry_defect(&loss, logits.clone());
        let proved = if proved { "yes" } else { "no" };
        table.push([name.to_string(), proved.into(), ordered.to_string(), format!("{defect:.4}")]);
    }
    let defect =
        |text: &str| -> Result<f64, LabError> { Ok(symmetry_defect(&LOSSES.build(&text.parse()?)?, logits.clone())) };
    let temperatures = ["0.1", "1", "10", "100", "1000"];
    let defects = temperatures.iter().map(|lambda| defect(&format!("ldr:variant=kl,lambda={lambda}")));
    let defects: Vec<f64> = defects.collect::<Result<_, _>>()?;
    run.table(table);
    let consistency = Finding::new(
        format!("{THEORY}/{}", IDS[0]),
        "the scores that minimise the risk order all classes for the losses for which it is proved, and for no other",
    )
    .paper("LDR-KL and ALDR-KL are top-k consistent for every k; the hinge of Crammer and Singer is not")
    .bound("on three distributions without a majority")
    .measured(ordered_texts.join(", "))
    .held_if(agree);
    let falls = defects.windows(2).all(|pair| pair[1] < pair[0]);
    let text: Vec<String> =
        temperatures.iter().zip(&defects).map(|(lambda, defect)| format!("lambda {lambda}: {defect:.4}")).collect();
    let symmetry = Finding::new(
        format!("{THEORY}/{}", IDS[1]),
        "the sum of LDR-KL over all targets varies less with the logits the larger lambda is",
    )
    .paper("LDR-KL becomes symmetric as lambda grows")
    .bound("falls from each lambda to the next, to a hundredth")
    .measured(Measured::from(defects[4]).text(text.join(", ")))
    .held_if(falls && defects[4] < 0.01 * defects[0]);
    Ok(vec![consistency, symmetry])
}
