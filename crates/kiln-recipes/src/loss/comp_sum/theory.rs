//! The guarantee: figures of the bound, and a check of it on a problem that is known exactly.

use kiln_lab::statistics::figure;
use kiln_lab::{Finding, LabError, Measured, Plot, Run, Series, Table};
use kiln_loss::comp_sum::h_consistency::{gamma, gamma_bound, transform};
use kiln_loss::comp_sum::minimizability::{minimizability_gap_deterministic, minimizability_gap_stochastic};

use super::finite_problem::{self, Hypothesis};
use super::settings::TheorySettings;

const BOUND: &str = "theory/bound-holds";
const EXPLICIT: &str = "theory/explicit-bound";
const GAP: &str = "theory/gap-falls-with-tau";

/// Score bound and best sum-exponential risk of the table's gap column.
const SCORE_BOUND: f64 = 1.0;
const BEST_RISK: f64 = 2.0;

pub(super) fn finding_ids() -> Vec<String> {
    [BOUND, EXPLICIT, GAP].map(String::from).to_vec()
}

pub(super) fn run(settings: &TheorySettings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    table(settings, run).map_err(LabError::method)?;
    run.plot("guarantee-over-tau", &plot(settings).map_err(LabError::method)?)?;
    let bound = bound_on_finite_problem(settings, run).map_err(LabError::method)?;
    let explicit = explicit_bound(settings).map_err(LabError::method)?;
    let gap = falling_gap(settings).map_err(LabError::method)?;
    Ok(vec![bound, explicit, gap])
}

type Result<T, E = kiln_loss::LossError> = std::result::Result<T, E>;

/// Exact bound, explicit bound and gap, for every tau and number of classes.
fn table(settings: &TheorySettings, run: &mut Run) -> Result<()> {
    let title = format!(
        "Guarantee at an excess of {} and gap for scores within {SCORE_BOUND}, best sum-exponential risk {BEST_RISK}",
        settings.excess
    );
    let mut table = Table::new(title, ["classes", "tau", "Gamma", "explicit bound", "gap", "Gamma with the gap"]);
    for &classes in &settings.classes {
        for &tau in &settings.taus {
            let gap = deterministic_gap(tau, classes)?;
            table.push([
                classes.to_string(),
                tau.to_string(),
                figure(gamma(tau, settings.excess, classes)?),
                figure(gamma_bound(tau, settings.excess, classes)?),
                figure(gap),
                figure(gamma(tau, settings.excess + gap, classes)?),
            ]);
        }
    }
    run.table(table);
    Ok(())
}

/// The gap at a best risk that is 1.1 times the least reachable one, or [`BEST_RISK`] where that is larger.
fn deterministic_gap(tau: f64, classes: usize) -> Result<f64> {
    let least = (classes - 1) as f64 * (-2.0 * SCORE_BOUND).exp();
    minimizability_gap_deterministic(tau, BEST_RISK.max(1.1 * least), SCORE_BOUND, classes)
}

fn plot(settings: &TheorySettings) -> Result<Plot> {
    let title = format!("Guarantee over tau at an excess of {}", settings.excess);
    let mut plot = Plot::line(title, "tau", "bound on the excess error rate");
    for &classes in &[2].iter().chain(&settings.classes).copied().collect::<Vec<usize>>() {
        let mut series = Series::new(format!("{classes} classes"));
        for step in 0..=60 {
            let tau = 0.05 * f64::from(step);
            series = series.point(tau, gamma(tau, settings.excess, classes)?);
        }
        plot = plot.series(series);
    }
    Ok(plot)
}

/// 1000 random linear hypotheses on four points: the true excess error lies below the bound for each.
fn bound_on_finite_problem(settings: &TheorySettings, run: &mut Run) -> Result<Finding> {
    let classes = finite_problem::classes();
    let mut table = Table::new(
        "Bound on the finite problem",
        ["tau", "hypotheses", "violations", "largest excess error / bound", "best linear risk", "gap"],
    );
    let (mut violations, mut tightest) = (0, 0.0_f64);
    for &tau in &settings.taus {
        let (mut wrong, mut largest) = (0, 0.0_f64);
        for seed in 0..settings.hypotheses as u64 {
            let excess = Hypothesis::random(seed).excess(tau)?;
            let bound = gamma(tau, excess.loss.max(0.0), classes)?;
            wrong += usize::from(excess.error > bound + 1e-12);
            if bound > 0.0 {
                largest = largest.max(excess.error / bound);
            }
        }
        let best = (0..4).map(|seed| Hypothesis::random(seed).best_linear_risk(tau)).fold(f64::INFINITY, f64::min);
        let gap = minimizability_gap_stochastic(tau, best, finite_problem::conditionals())?;
        table.push([
            tau.to_string(),
            settings.hypotheses.to_string(),
            wrong.to_string(),
            figure(largest),
            figure(best),
            figure(gap),
        ]);
        violations += wrong;
        tightest = tightest.max(largest);
    }
    run.table(table);
    let count = settings.hypotheses * settings.taus.len();
    let text = format!("{violations} violations in {count}; excess error up to {} of the bound", figure(tightest));
    Ok(Finding::new(BOUND, "the true excess error of random linear hypotheses lies below the H-consistency bound")
        .paper("holds for every hypothesis")
        .measured(Measured::from(violations as f64).text(text))
        .bound("no violation")
        .held_if(violations == 0))
}

/// `Gamma` is the exact inverse of the transform and stays below the explicit bound.
fn explicit_bound(settings: &TheorySettings) -> Result<Finding> {
    let mut worst = 0.0_f64;
    let mut off = 0.0_f64;
    for &classes in &settings.classes {
        for &tau in &settings.taus {
            for step in 1..=40 {
                let beta = f64::from(step) / 40.0;
                let t = transform(tau, beta, classes)?;
                off = off.max((gamma(tau, t, classes)? - beta).abs());
                worst = worst.max(beta / gamma_bound(tau, t, classes)?);
            }
        }
    }
    let text = format!("largest ratio {}, inversion within {}", figure(worst), figure(off));
    Ok(Finding::new(EXPLICIT, "the exact guarantee never exceeds the explicit one")
        .measured(Measured::from(worst).text(text))
        .bound("ratio at most 1, inversion within 1e-9")
        .held_if(worst <= 1.0 + 1e-9 && off <= 1e-9))
}

/// One side of the balance: the gap falls with tau.
fn falling_gap(settings: &TheorySettings) -> Result<Finding> {
    let mut rises = 0.0_f64;
    let mut taus = settings.taus.clone();
    taus.sort_by(f64::total_cmp);
    for &classes in &settings.classes {
        for pair in taus.windows(2) {
            rises = rises.max(deterministic_gap(pair[1], classes)? - deterministic_gap(pair[0], classes)?);
        }
    }
    let most = settings.classes.iter().copied().max().unwrap_or(2);
    let factor = gamma_bound(2.0, settings.excess, most)? / gamma_bound(1.0, settings.excess, most)?;
    Ok(Finding::new(GAP, "the minimizability gap never rises with tau")
        .paper("non-increasing in tau")
        .measured(Measured::from(rises).text(format!("largest rise {}", figure(rises))))
        .bound("no rise")
        .held_if(rises <= 1e-12)
        .note(format!(
            "the other side of the balance: with {most} classes the explicit guarantee is {} times weaker at tau = 2 than at tau = 1",
            figure(factor)
        )))
}
