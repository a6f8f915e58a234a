//! Time of a training step of the output layer: forward, backward and update.

use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_lab::statistics::{figure, log_log_slope, median};
use kiln_lab::{Finding, LabError, Plot, Run, Series, Table};
use kiln_loss::{ClassificationLoss, ZLossConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::SpeedSettings;
use super::method::{Method, OutputLayer};

pub(super) const FINDINGS: &[&str] =
    &["flat-in-classes", "log-softmax-grows", "40-times-faster", "4-times-faster-than-hierarchical", "real-vocabulary"];

const LEARNING_RATE: f64 = 0.01;
const Z_LOSS: Method = Method::ZLoss { sharpness: 0.1, margin: 10.0 };

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layer {
    Built(Method),
    /// The dense Z-loss through Burn's autodiff.
    Burn,
}

const LAYERS: [Layer; 4] =
    [Layer::Built(Z_LOSS), Layer::Built(Method::LogSoftmax), Layer::Built(Method::HierarchicalSoftmax), Layer::Burn];

impl Layer {
    fn name(self) -> &'static str {
        match self {
            Self::Built(Method::ZLoss { .. }) => "factored Z-loss",
            Self::Built(method) => method.name(),
            Self::Burn => "dense Z-loss (Burn)",
        }
    }
}

/// Classes, hidden width and examples of a timing.
#[derive(Debug, Clone, Copy)]
struct Size {
    classes: usize,
    hidden: usize,
    examples: usize,
}

/// Seconds of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Timing {
    median: f64,
    /// Over all steps, stabilisations included.
    mean: f64,
}

pub(super) fn run(settings: &SpeedSettings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    run.note(
        "speed: random hidden vectors and random targets; a step is the output layer's forward pass, backward pass and \
         update",
    );
    let curves = curves(settings, run)?;
    let at = |classes, hidden, examples| Size { classes, hidden, examples };
    let ratio_size = at(settings.ratio_classes, settings.ratio_hidden, settings.ratio_batch_size);
    let vocabulary_size = at(settings.vocabulary, settings.hidden, settings.batch_size);
    let hierarchical_size = at(settings.hierarchical_classes, settings.hidden, settings.batch_size);
    let jobs: [(Size, Method); 3] = [
        (ratio_size, Method::LogSoftmax),
        (hierarchical_size, Method::HierarchicalSoftmax),
        (vocabulary_size, Method::LogSoftmax),
    ];
    let key = |(size, rival): &(Size, Method)| format!("{} {}", rival.name(), size.classes);
    let pairs = run.sequential("speed-ratio", &jobs, key, |(size, rival), _| {
        in_turns([Z_LOSS, *rival], *size, settings.slow_steps)
    })?;
    let ratio = |index: usize| pairs[index][1].median / pairs[index][0].median;
    let described = |index: usize| {
        let (size, [own, other]) = (jobs[index].0, &pairs[index]);
        format!(
            "{} (D={}, d={}, m={}: {} against {} ms)",
            figure(ratio(index)),
            size.classes,
            size.hidden,
            size.examples,
            figure(1e3 * own.median),
            figure(1e3 * other.median)
        )
    };
    let slope = |layer: Layer| {
        let curve = curves.iter().find(|(known, _)| *known == layer).map_or(&[][..], |(_, points)| points);
        let points = curve.iter().filter(|(classes, _)| *classes >= settings.slope_from);
        log_log_slope(&points.map(|(classes, timing)| (*classes as f64, timing.median)).collect::<Vec<_>>())
    };
    let (own_slope, dense_slope) = (slope(LAYERS[0]), slope(LAYERS[1]));
    Ok(vec![
        Finding::new("flat-in-classes", "the time of a factored step does not depend on the number of classes")
            .paper("independent of D")
            .measured(own_slope)
            .bound("slope of log time over log D below 0.15")
            .held_if(own_slope < 0.15),
        Finding::new("log-softmax-grows", "the time of a log-softmax step grows in proportion")
            .measured(dense_slope)
            .bound("slope of log time over log D above 0.85")
            .held_if(dense_slope > 0.85),
        Finding::new("40-times-faster", "the factored step is 40 times faster than log-softmax at a large D/d")
            .paper("40 (D=793471)")
            .measured(kiln_lab::Measured::from(ratio(0)).text(described(0)))
            .bound("ratio of medians at least 40")
            .held_if(ratio(0) >= 40.0)
            .note("output layer only, timed in turns"),
        Finding::new(
            "4-times-faster-than-hierarchical",
            "the factored step is 4 times faster than hierarchical softmax",
        )
        .paper("more than 4 (D=793471)")
        .measured(kiln_lab::Measured::from(ratio(1)).text(described(1)))
        .bound("ratio of medians at least 4")
        .held_if(ratio(1) >= 4.0)
        .note("output layer only, timed in turns; this hierarchical softmax works on whole clusters at a time"),
        Finding::new("real-vocabulary", "ratio to log-softmax at the size of a real vocabulary")
            .measured(kiln_lab::Measured::from(ratio(2)).text(described(2)))
            .note("40 is out of reach here: the ratio of the operations is about D/(4 d)"),
    ])
}

/// Timings of every layer at every number of classes.
type Curves = Vec<(Layer, Vec<(usize, Timing)>)>;

fn curves(settings: &SpeedSettings, run: &mut Run) -> Result<Curves, LabError> {
    let mut jobs = Vec::new();
    for layer in LAYERS {
        let classes =
            settings.classes.iter().filter(|&&classes| layer != Layer::Burn || classes <= settings.burn_up_to);
        jobs.extend(classes.map(|&classes| (layer, classes)));
    }
    let key = |(layer, classes): &(Layer, usize)| format!("{} {classes}", layer.name());
    let timings = run.sequential("speed-curve", &jobs, key, |(layer, classes), _| {
        let size = Size { classes: *classes, hidden: settings.hidden, examples: settings.batch_size };
        let slow = matches!(layer, Layer::Burn | Layer::Built(Method::LogSoftmax));
        let steps = if slow { settings.slow_steps } else { settings.steps };
        match layer {
            Layer::Built(method) => Ok(timing(&time_steps(&mut build(*method, size)?, size, steps)?)),
            Layer::Burn => time_burn(size, steps),
        }
    })?;
    let per_example = 1e6 / settings.batch_size as f64;
    let mut table = Table::new("Microseconds an example", ["layer", "classes", "median", "mean with stabilisations"]);
    let mut plot =
        Plot::line("Training step of the output layer", "classes", "microseconds an example").log_x().log_y();
    let mut curves: Curves = Vec::new();
    for layer in LAYERS {
        let own = jobs.iter().zip(&timings).filter(|((known, _), _)| *known == layer);
        let points: Vec<(usize, Timing)> = own.map(|((_, classes), timing)| (*classes, timing.clone())).collect();
        let mut series = Series::new(layer.name());
        for (classes, timing) in &points {
            let (median, mean) = (per_example * timing.median, per_example * timing.mean);
            table.push([layer.name().to_string(), classes.to_string(), figure(median), figure(mean)]);
            series = series.point(*classes as f64, median);
        }
        plot = plot.series(series);
        curves.push((layer, points));
    }
    run.table(table);
    run.plot("time-per-example", &plot)?;
    Ok(curves)
}

/// Times two layers in turns, the factored one more often.
fn in_turns(methods: [Method; 2], size: Size, rounds: usize) -> Result<[Timing; 2], LabError> {
    const FAST_STEPS: usize = 4;
    let mut layers = [build(methods[0], size)?, build(methods[1], size)?];
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for ((layer, seconds), steps) in layers.iter_mut().zip(&mut seconds).zip([FAST_STEPS, 1]) {
            seconds.extend(time_steps(layer, size, steps)?);
        }
    }
    Ok(seconds.map(|seconds| timing(&seconds)))
}

fn timing(seconds: &[f64]) -> Timing {
    Timing { median: median(seconds), mean: seconds.iter().sum::<f64>() / seconds.len() as f64 }
}

fn build(method: Method, size: Size) -> Result<OutputLayer, LabError> {
    method.layer(size.hidden, size.classes, 0.01, 1)
}

/// Seconds of each step, after one that is not counted.
fn time_steps(layer: &mut OutputLayer, size: Size, steps: usize) -> Result<Vec<f64>, LabError> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut seconds = Vec::with_capacity(steps);
    for step in 0..=steps {
        let (hidden, targets) = batch(size, &mut random);
        let started = Instant::now();
        layer.step(hidden, &targets, LEARNING_RATE).map_err(LabError::method)?;
        if step > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

/// The dense Z-loss as anybody would write it with Burn: a matrix product, the loss, autodiff, SGD.
fn time_burn(size: Size, steps: usize) -> Result<Timing, LabError> {
    let device = Device::flex().autodiff();
    let loss = ZLossConfig::new().init().map_err(LabError::method)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let weights: Vec<f32> = (0..size.classes * size.hidden).map(|_| random.random_range(-0.01..0.01)).collect();
    let plain = device.clone().inner();
    let mut weights = Tensor::<2>::from_data(TensorData::new(weights, [size.classes, size.hidden]), &plain);
    let mut seconds = Vec::with_capacity(steps);
    for step in 0..=steps {
        let (hidden, targets) = batch(size, &mut random);
        let hidden = Tensor::<2>::from_data(hidden.into_data(), &device).require_grad();
        let targets: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
        let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &device);
        let started = Instant::now();
        let tracked = Tensor::<2>::from_inner(weights.clone()).require_grad();
        let gradients = loss.forward(hidden.matmul(tracked.clone().transpose()), targets).backward();
        if let Some(gradient) = tracked.grad(&gradients) {
            weights = weights - gradient * LEARNING_RATE;
        }
        if step > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(timing(&seconds))
}

fn batch(size: Size, random: &mut ChaCha8Rng) -> (Tensor<2>, Vec<usize>) {
    let hidden: Vec<f32> = (0..size.examples * size.hidden).map(|_| random.random_range(-1.0..1.0)).collect();
    let targets = (0..size.examples).map(|_| random.random_range(0..size.classes)).collect();
    (Tensor::from_data(TensorData::new(hidden, [size.examples, size.hidden]), &Device::flex()), targets)
}
