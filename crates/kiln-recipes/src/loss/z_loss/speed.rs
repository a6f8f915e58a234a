//! Time of a training step of the output layer: forward, backward and update.

use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_lab::statistics::{figure, log_log_slope, median};
use kiln_lab::{Finding, LabError, Measured, Plot, Run, Series, Table};
use kiln_loss::{ClassificationLoss, ZLossConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::SpeedSettings;
use super::method::{Method, OutputLayer};

pub(super) const FINDINGS: &[&str] = &[
    "speed/flat-in-classes",
    "speed/log-softmax-grows",
    "speed/40-times-faster",
    "speed/4-times-faster-than-hierarchical",
    "speed/real-vocabulary",
];

const Z_LOSS: Method = Method::ZLoss { sharpness: 0.1, margin: 10.0 };
/// Standard deviation of the initial weights.
const INIT_STD: f64 = 0.05;

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

/// Seconds of a step, and the maintenance that fell due in the steps timed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Timing {
    /// Over all steps, maintenance included.
    pub mean: f64,
    /// Of a step, which is one without maintenance.
    pub median: f64,
    pub steps: usize,
    pub stabilisations: u64,
    /// Singular values that the stabilisations set back, each at the cost of a pass over the weights.
    pub singular_values_reset: u64,
    pub resyncs: u64,
    pub split_batches: u64,
}

impl Timing {
    /// From the seconds of all steps, and the layer that took them.
    pub(super) fn new(seconds: &[f64], layer: Option<&OutputLayer>) -> Self {
        let counts = layer.map(OutputLayer::diagnostics).unwrap_or_default();
        Self {
            mean: seconds.iter().sum::<f64>() / seconds.len() as f64,
            median: median(seconds),
            steps: seconds.len(),
            stabilisations: counts.stabilisations,
            singular_values_reset: counts.singular_values_reset,
            resyncs: counts.resyncs,
            split_batches: counts.split_batches,
        }
    }

    /// What the mean includes.
    pub(super) fn maintenance(&self) -> String {
        let times = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let resyncs = match self.resyncs {
            0 => "no recomputation of the bookkeeping, which is due every 1000 steps".to_string(),
            count => times(count, "recomputation of the bookkeeping", "recomputations of the bookkeeping"),
        };
        let mut text = format!(
            "the mean is over {} factored steps with {} ({}) and {resyncs}",
            self.steps,
            times(self.stabilisations, "stabilisation", "stabilisations"),
            times(self.singular_values_reset, "singular value set back", "singular values set back"),
        );
        if self.split_batches > 0 {
            text += &format!("; {}", times(self.split_batches, "batch was split", "batches were split"));
        }
        text
    }
}

/// How many times longer the second took than the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio {
    pub mean: f64,
    pub median: f64,
}

impl Ratio {
    pub(super) fn new(own: &Timing, other: &Timing) -> Self {
        Self { mean: other.mean / own.mean, median: other.median / own.median }
    }
}

/// Times every layer, and the factored one in turns with its rivals; `vocabulary` is the number of words of the text.
pub(super) fn run(settings: &SpeedSettings, vocabulary: usize, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    run.note(
        "speed: random hidden vectors and random targets; a step is the output layer's forward pass, backward pass and \
         update, and the mean step of the factored layer includes its maintenance",
    );
    let curves = curves(settings, run)?;
    let at = |classes, hidden, examples| Size { classes, hidden, examples };
    let ratio_size = at(settings.ratio_classes, settings.ratio_hidden, settings.ratio_batch_size);
    let hierarchical_size = at(settings.hierarchical_classes, settings.hidden, settings.batch_size);
    let vocabulary_size = at(vocabulary, settings.hidden, settings.batch_size);
    let jobs: [(&str, Size, Method); 3] = [
        ("large", ratio_size, Method::LogSoftmax),
        ("large", hierarchical_size, Method::HierarchicalSoftmax),
        ("text", vocabulary_size, Method::LogSoftmax),
    ];
    let key = |(name, size, rival): &(&str, Size, Method)| format!("{} {name} {}", rival.name(), size.classes);
    let pairs =
        run.sequential("speed-ratio", &jobs, key, |(_, size, rival), _| in_turns([Z_LOSS, *rival], *size, settings))?;
    let measured = |index: usize| {
        let ((_, size, _), [own, other]) = (jobs[index], &pairs[index]);
        let ratio = Ratio::new(own, other);
        let text = format!(
            "{} by the mean step, {} by the median (D={}, d={}, m={}: {} against {} ms)",
            figure(ratio.mean),
            figure(ratio.median),
            size.classes,
            size.hidden,
            size.examples,
            figure(1e3 * own.mean),
            figure(1e3 * other.mean)
        );
        (ratio.mean, Measured::from(ratio.mean).text(text), pairs[index][0].maintenance())
    };
    let (log_softmax, log_softmax_text, log_softmax_note) = measured(0);
    let (hierarchical, hierarchical_text, hierarchical_note) = measured(1);
    let (_, vocabulary_text, vocabulary_note) = measured(2);
    let (own_slope, dense_slope) = (curves.slope(LAYERS[0], settings), curves.slope(LAYERS[1], settings));
    Ok(vec![
        Finding::new("speed/flat-in-classes", "the time of a factored step does not depend on the number of classes")
            .paper("independent of D")
            .measured(own_slope.measured())
            .bound("slope of log mean time over log D below 0.15")
            .held_if(own_slope.mean < 0.15)
            .note(format!("at the largest D, {}", curves.largest(LAYERS[0]).maintenance())),
        Finding::new("speed/log-softmax-grows", "the time of a log-softmax step grows in proportion")
            .measured(dense_slope.measured())
            .bound("slope of log mean time over log D above 0.85")
            .held_if(dense_slope.mean > 0.85),
        Finding::new("speed/40-times-faster", "the factored step is 40 times faster than log-softmax at a large D/d")
            .paper("40 (D=793471)")
            .measured(log_softmax_text)
            .bound("ratio of mean steps at least 40")
            .held_if(log_softmax >= 40.0)
            .note(format!("output layer only, timed in turns; {log_softmax_note}")),
        Finding::new(
            "speed/4-times-faster-than-hierarchical",
            "the factored step is 4 times faster than hierarchical softmax",
        )
        .paper("more than 4 (D=793471)")
        .measured(hierarchical_text)
        .bound("ratio of mean steps at least 4")
        .held_if(hierarchical >= 4.0)
        .note(format!(
            "output layer only, timed in turns; this hierarchical softmax works on whole clusters at a time; \
             {hierarchical_note}"
        )),
        Finding::new("speed/real-vocabulary", "ratio to log-softmax at the number of words of the text")
            .measured(vocabulary_text)
            .note(format!(
                "the ratio of the operations is about D/(4 d) = {}; {vocabulary_note}",
                figure(vocabulary as f64 / (4 * settings.hidden) as f64)
            )),
    ])
}

/// Timings of every layer at every number of classes.
struct Curves(Vec<(Layer, Vec<(usize, Timing)>)>);

/// Slope of log time over log D.
#[derive(Debug, Clone, Copy)]
struct Slope {
    mean: f64,
    median: f64,
}

impl Curves {
    fn of(&self, layer: Layer) -> &[(usize, Timing)] {
        self.0.iter().find(|(known, _)| *known == layer).map_or(&[], |(_, points)| points)
    }

    fn slope(&self, layer: Layer, settings: &SpeedSettings) -> Slope {
        let fitted = |seconds: fn(&Timing) -> f64| {
            let points = self.of(layer).iter().filter(|(classes, _)| *classes >= settings.slope_from);
            log_log_slope(&points.map(|(classes, timing)| (*classes as f64, seconds(timing))).collect::<Vec<_>>())
        };
        Slope { mean: fitted(|timing| timing.mean), median: fitted(|timing| timing.median) }
    }

    /// The timing at the largest number of classes.
    fn largest(&self, layer: Layer) -> Timing {
        let largest = self.of(layer).iter().max_by_key(|(classes, _)| *classes);
        largest.map(|(_, timing)| timing.clone()).unwrap_or_default()
    }
}

impl Slope {
    fn measured(self) -> Measured {
        let text = format!("{} by the mean step, {} by the median", figure(self.mean), figure(self.median));
        Measured::from(self.mean).text(text)
    }
}

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
        match layer {
            Layer::Built(method) => {
                let mut clocked = Clocked::start(*method, size, settings.learning_rate)?;
                clocked.run(steps(method, settings))?;
                Ok(clocked.timing())
            }
            Layer::Burn => time_burn(size, settings),
        }
    })?;
    let per_example = 1e6 / settings.batch_size as f64;
    let headings = ["layer", "classes", "mean", "median", "steps", "stabilisations", "resyncs"];
    let mut table = Table::new("Microseconds an example", headings);
    let mut plot =
        Plot::line("Training step of the output layer", "classes", "microseconds an example (mean)").log_x().log_y();
    let mut curves = Vec::new();
    for layer in LAYERS {
        let own = jobs.iter().zip(&timings).filter(|((known, _), _)| *known == layer);
        let points: Vec<(usize, Timing)> = own.map(|((_, classes), timing)| (*classes, timing.clone())).collect();
        let mut series = Series::new(layer.name());
        for (classes, timing) in &points {
            let times = [timing.mean, timing.median].map(|seconds| figure(per_example * seconds));
            let counts = [timing.steps as u64, timing.stabilisations, timing.resyncs].map(|count| count.to_string());
            let row = [layer.name().to_string(), classes.to_string()].into_iter().chain(times).chain(counts);
            table.push(row);
            series = series.point(*classes as f64, per_example * timing.mean);
        }
        plot = plot.series(series);
        curves.push((layer, points));
    }
    run.table(table);
    run.plot("time-per-example", &plot)?;
    Ok(Curves(curves))
}

/// Steps timed of a layer.
fn steps(method: &Method, settings: &SpeedSettings) -> usize {
    match method {
        Method::LogSoftmax => settings.dense_steps,
        Method::HierarchicalSoftmax => settings.hierarchical_steps,
        _ => settings.steps,
    }
}

/// Times two layers in turns: each takes all its steps in as many turns as the one with fewer steps has steps.
fn in_turns(methods: [Method; 2], size: Size, settings: &SpeedSettings) -> Result<[Timing; 2], LabError> {
    let steps = methods.map(|method| steps(&method, settings));
    let turns = steps[0].min(steps[1]);
    let mut layers = [
        Clocked::start(methods[0], size, settings.learning_rate)?,
        Clocked::start(methods[1], size, settings.learning_rate)?,
    ];
    for _ in 0..turns {
        for (layer, steps) in layers.iter_mut().zip(steps) {
            layer.run(steps.div_ceil(turns))?;
        }
    }
    Ok(layers.map(|layer| layer.timing()))
}

/// A layer whose steps are timed.
struct Clocked {
    layer: OutputLayer,
    size: Size,
    learning_rate: f64,
    random: ChaCha8Rng,
    seconds: Vec<f64>,
}

impl Clocked {
    /// Builds the layer and takes a step that makes room and is not counted.
    fn start(method: Method, size: Size, learning_rate: f64) -> Result<Self, LabError> {
        let layer = method.layer(size.hidden, size.classes, INIT_STD, 1)?;
        let mut clocked =
            Self { layer, size, learning_rate, random: ChaCha8Rng::seed_from_u64(1), seconds: Vec::new() };
        clocked.run(1)?;
        clocked.seconds.clear();
        Ok(clocked)
    }

    fn run(&mut self, steps: usize) -> Result<(), LabError> {
        for _ in 0..steps {
            let (hidden, targets) = batch(self.size, &mut self.random);
            let started = Instant::now();
            self.layer.step(hidden, &targets, self.learning_rate).map_err(LabError::method)?;
            self.seconds.push(started.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn timing(&self) -> Timing {
        Timing::new(&self.seconds, Some(&self.layer))
    }
}

/// The dense Z-loss as anybody would write it with Burn: a matrix product, the loss, autodiff, SGD.
fn time_burn(size: Size, settings: &SpeedSettings) -> Result<Timing, LabError> {
    let device = Device::flex().autodiff();
    let loss = ZLossConfig::new().init().map_err(LabError::method)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let weights: Vec<f32> = (0..size.classes * size.hidden).map(|_| random.random_range(-0.01..0.01)).collect();
    let plain = device.clone().inner();
    let mut weights = Tensor::<2>::from_data(TensorData::new(weights, [size.classes, size.hidden]), &plain);
    let mut seconds = Vec::with_capacity(settings.dense_steps);
    for step in 0..=settings.dense_steps {
        let (hidden, targets) = batch(size, &mut random);
        let hidden = Tensor::<2>::from_data(hidden.into_data(), &device).require_grad();
        let targets: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
        let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &device);
        let started = Instant::now();
        let tracked = Tensor::<2>::from_inner(weights.clone()).require_grad();
        let gradients = loss.forward(hidden.matmul(tracked.clone().transpose()), targets).backward();
        if let Some(gradient) = tracked.grad(&gradients) {
            weights = weights - gradient * settings.learning_rate;
        }
        if step > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(Timing::new(&seconds, None))
}

fn batch(size: Size, random: &mut ChaCha8Rng) -> (Tensor<2>, Vec<usize>) {
    let hidden: Vec<f32> = (0..size.examples * size.hidden).map(|_| random.random_range(-1.0..1.0)).collect();
    let targets = (0..size.examples).map(|_| random.random_range(0..size.classes)).collect();
    (Tensor::from_data(TensorData::new(hidden, [size.examples, size.hidden]), &Device::flex()), targets)
}
