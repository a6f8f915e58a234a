//! Eight optimizers on functions of one variable.

use kiln_lab::{Finding, LabError, Measured, Plot, Run, Series, Table};
use kiln_optim::functions::Fn1d;
use kiln_optim::{Hyper1d, trace_1d};

use super::Settings;
use super::comparison::Method;

/// How near an end point must be to a minimum to count as there.
const NEAR: f64 = 0.01;

/// Those whose end points the findings name.
const CLAIMED: [Method; 3] = [Method::DIFFGRAD, Method::ADAM, Method::HALF_RATE_ADAM];

pub(super) fn finding_ids() -> Vec<String> {
    ["f1-global-minimum", "f2-global-minimum", "half-rate-synthetic", "f3-end-points", "f2-notebook"]
        .map(String::from)
        .into()
}

/// Draws all trajectories and compares their end points.
pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let mut table = Table::new("End points", ["function", "global minimum", "optimizer", "x", "f(x)"]);
    let mut traces = Vec::new();
    for function in Fn1d::ALL {
        for method in Method::ALL {
            let trace = trace(settings, function, method)?;
            let end = trace.last().copied().unwrap_or(settings.synthetic_start);
            let minimum = format!("{:.4}", function.global_minimum());
            let cells = [format!("{end:.4}"), format!("{:.4}", function.value(end))];
            table.push([function.name(), &minimum, method.title(), &cells[0], &cells[1]]);
            traces.push((function, method, trace));
        }
        run.plot(&format!("trajectories-{}", function.name()), &over_steps(function, &traces))?;
        run.plot(&format!("end-points-{}", function.name()), &on_the_curve(function, &traces))?;
    }
    run.table(table);
    let end = |function: Fn1d, method: Method| {
        let trace = traces.iter().find(|(of, by, _)| (*of, *by) == (function, method));
        trace.and_then(|(_, _, trace)| trace.last().copied()).unwrap_or(f64::NAN)
    };
    Ok(vec![
        overshoots("f1-global-minimum", "F1", -0.3, 0.2, |method| end(Fn1d::F1, method))
            .paper("diffGrad at the global minimum -0.3, Adam at 0.2"),
        overshoots("f2-global-minimum", "F2", -0.643, 0.0, |method| end(Fn1d::F2, method))
            .paper("diffGrad at the global minimum, Adam in a local one"),
        half_rate(end(Fn1d::F1, Method::HALF_RATE_ADAM), end(Fn1d::F2, Method::HALF_RATE_ADAM)),
        Finding::new("f3-end-points", "end points on F3, whose global minimum is at 0")
            .paper("diffGrad ends at the global minimum")
            .measured(ends(|method| end(Fn1d::F3, method)))
            .note("its local minima are the corners at -0.5 and 0.5"),
        Finding::new(
            "f2-notebook",
            "end points on F2 with the gradient of the authors' notebook, which lacks a factor 8",
        )
        .measured(ends(|method| end(Fn1d::F2Notebook, method))),
    ])
}

fn trace(settings: &Settings, function: Fn1d, method: Method) -> Result<Vec<f64>, LabError> {
    let learning_rate = method.rate(settings.synthetic_learning_rate);
    let hyper = Hyper1d { learning_rate, ..Hyper1d::default() };
    trace_1d(function, method.kind, settings.synthetic_start, settings.synthetic_steps, &hyper)
        .map_err(LabError::method)
}

/// The paper's claim about a function: diffGrad ends in the global minimum, Adam in a local one.
fn overshoots(id: &str, name: &str, global: f64, local: f64, end: impl Fn(Method) -> f64) -> Finding {
    let (diffgrad, adam) = (end(Method::DIFFGRAD), end(Method::ADAM));
    let statement = format!("on {name} diffGrad ends at the global minimum, and Adam overshoots it into a local one");
    Finding::new(id, statement)
        .measured(Measured::from(diffgrad).text(ends(end)))
        .bound(format!("diffGrad within {NEAR} of {global}, Adam within {NEAR} of {local}"))
        .held_if((diffgrad - global).abs() < NEAR && (adam - local).abs() < NEAR)
}

fn half_rate(f1: f64, f2: f64) -> Finding {
    let reaches = (f1 + 0.3).abs() < NEAR && (f2 + 0.643).abs() < NEAR;
    let words = if reaches { "also ends" } else { "does not end" };
    Finding::new("half-rate-synthetic", format!("Adam at half the rate {words} at the global minima of F1 and F2"))
        .measured(format!("F1 {f1:.4}, F2 {f2:.4}"))
        .note("with the friction between 0.5 and 1, part of diffGrad's effect is that of a smaller rate")
}

fn ends(end: impl Fn(Method) -> f64) -> String {
    CLAIMED.map(|method| format!("{} {:.4}", method.title(), end(method))).join(", ")
}

type Trace = (Fn1d, Method, Vec<f64>);

/// Positions over the steps.
fn over_steps(function: Fn1d, traces: &[Trace]) -> Plot {
    let title = format!("{}: where the optimizers go", function.name().to_uppercase());
    let plot = Plot::line(title, "step", "x").reference(function.global_minimum(), "global minimum");
    traces.iter().filter(|(of, _, _)| *of == function).fold(plot, |plot, (_, method, trace)| {
        let points = trace.iter().enumerate().map(|(step, &x)| (step as f64, x));
        plot.series(Series::new(method.title()).points(points))
    })
}

/// The function's curve, and on it the end points; optimizers that end at one place share a mark.
fn on_the_curve(function: Fn1d, traces: &[Trace]) -> Plot {
    const POINTS: u32 = 400;
    let x = |i: u32| -1.1 + 2.0 * f64::from(i) / f64::from(POINTS);
    let curve = Series::new("f").points((0..=POINTS).map(|i| (x(i), function.value(x(i)))));
    let mut ends = traces
        .iter()
        .filter(|(of, _, _)| *of == function)
        .filter_map(|(_, method, trace)| Some((*method, *trace.last()?)))
        .collect::<Vec<_>>();
    // Those that the claim is about come first in a legend.
    ends.sort_by_key(|(method, _)| !CLAIMED.contains(method));
    let mut marks: Vec<(f64, Vec<&str>)> = Vec::new();
    for (method, end) in ends {
        match marks.iter_mut().find(|(place, _)| (place - end).abs() < NEAR) {
            Some((_, names)) => names.push(method.title()),
            None => marks.push((end, vec![method.title()])),
        }
    }
    let title = format!("{}: where the optimizers end", function.name().to_uppercase());
    let plot = Plot::scatter(title, "x", "f(x)").series(curve);
    marks
        .into_iter()
        .fold(plot, |plot, (end, names)| plot.series(Series::new(shortened(&names)).point(end, function.value(end))))
}

/// The first two names, and how many there are besides: a legend has no room for more.
fn shortened(names: &[&str]) -> String {
    let shown = names.iter().take(2).copied().collect::<Vec<_>>().join("; ");
    if names.len() > 2 { format!("{shown}; +{}", names.len() - 2) } else { shown }
}
