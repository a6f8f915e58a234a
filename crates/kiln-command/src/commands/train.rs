//! `kiln train`: a network on a data set or on a person's own files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use burn::tensor::Device;
use burn::train::{ExecutionStrategy, MultiDeviceOptim};
use kiln_data::{BagTargets, DataDir, LabelNoise, Splits, text::Unit};
use kiln_lab::statistics::figure;
use kiln_lab::train::{
    Backpropagation, Examples, Figures, LOSSES, NextWordFigures, OPTIMIZERS, OUTPUT_LAYERS, OutputLayer, PreparedRows,
    RegressionEvaluation, SavedModel, Selector, TrainConfig, Trained, Training, TrainingTask, build_augmentations,
    check_colours, interpolation, train_on,
};
use kiln_lab::{LabError, Plot, Probe, Run, RunOptions, Scale, Series, Verdict, probe};
use kiln_loss::aggregate::CrossValidated;
use serde::Serialize;

use super::bags::{self, BagParts, BagQuality};
use super::images;
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::{lossy, print_line};
use crate::reading::{RowArgs, unit};

/// What to train, on what, and how. Without a flag, `--config` decides; without either, the default.
#[derive(Debug, clap::Args)]
#[command(allow_negative_numbers = true)]
#[command(after_help = "Examples:\n  kiln train --data digits --model mlp:hidden=256-256 --epochs 10\n  \
                        kiln train --data data/tabular/wine.csv --loss comp-sum:tau=1.5 --optimizer diffgrad\n  \
                        kiln train --data bikeshare --loss huber --epochs 5\n  \
                        kiln train --data austen --model ngram:hidden=128-128 --output-layer factored --epochs 3\n  \
                        kiln train --data fashion-mnist --model convnet --augment crop:padding=2,flip --epochs 1\n  \
                        kiln train --task autoencode --data digits --loss ms-ssim:share=0.84 --epochs 5\n  \
                        kiln train --task upscale --data fashion-mnist --crop 24 --factor 2 --loss ms-ssim --epochs 1\n  \
                        kiln train --data means.csv --bags bag --loss aggregate:interpolate=auto")]
pub struct TrainArgs {
    /// Name of a data set, or a file or folder of your own
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// classify, regress, language-model, or, of pictures, autoencode or upscale [default: what the data is for: running text
    /// for a language model; of other targets, text and whole numbers of at most 20 values are classes]
    #[arg(long, value_name = "TASK")]
    task: Option<TrainingTask>,
    #[command(flatten)]
    rows: RowArgs,
    /// Where pictures come out: side of the square windows of pictures that are learnt from, placed at random in every epoch
    /// [default: whole pictures, which then need one size]
    #[arg(long, value_name = "N")]
    crop: Option<usize>,
    /// Of autoencode: take pictures in colour as grey
    #[arg(long)]
    grey: bool,
    /// Of upscale: how many times larger pictures become, 2, 3 or 4 [default: 2]
    #[arg(long, value_name = "N")]
    factor: Option<usize>,
    /// Column of a table with the id of each row's bag: targets are known in the mean over bags only, no bag is cut, and the
    /// loss is aggregate
    #[arg(long, value_name = "COLUMN")]
    bags: Option<String>,
    /// What the target columns hold: bag, the mean over the bag in each of its rows (for classes one column of proportions a
    /// class, with --task classify and --target A,B,...); or row, each row's own target, of which only the mean over the bag is
    /// learnt [default: bag]
    #[arg(long, value_name = "KIND")]
    bag_targets: Option<BagTargets>,
    /// Of running text: words before the one to predict [default: 5]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Of running text: words that come less often in the training text count as unknown: they occur in contexts, and are
    /// never to be predicted [default: 2]
    #[arg(long, value_name = "N")]
    min_count: Option<usize>,
    /// Of running text: words or bytes [default: words]
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    unit: Option<Unit>,
    /// Noise on the labels of the training and validation rows: uniform:RATE, pair:RATE (to the next class),
    /// asymmetric:RATE:FROM/TO,..., matrix:FILE, or annotators:FILE (of the training rows alone)
    #[arg(long, value_name = "NOISE")]
    label_noise: Option<LabelNoise>,
    /// Network, as NAME or NAME:key=value,... [default: mlp, for running text ngram, for autoencode
    /// autoencoder, for upscale srcnn]
    #[arg(long, value_name = "MODEL")]
    model: Option<Selector>,
    /// What gives the classes: dense, factored (steps at a cost that does not grow with their number, for the spherical
    /// losses) or hierarchical (of words), as NAME or NAME:key=value,... [default: dense]
    #[arg(long, value_name = "LAYER")]
    output_layer: Option<Selector>,
    /// Loss, as NAME or NAME:key=value,... [default: cross-entropy for classes and words, mse for numbers and pictures,
    /// z-loss for the factored layer, el-vae for variational autoencoders, aggregate for bags]
    #[arg(long, value_name = "LOSS")]
    loss: Option<Selector>,
    /// Optimizer, as NAME or NAME:key=value,... [default: adam]
    #[arg(long, value_name = "OPTIMIZER")]
    optimizer: Option<Selector>,
    /// Random changes of the training pictures, as NAME or NAME:key=value,..., joined by commas: crop, flip, cutout,
    /// colour-jitter, rotation, noise
    #[arg(long, value_name = "CHANGE,...", value_parser = Selector::list)]
    augment: Option<std::vec::Vec<Selector>>,
    /// Passes over the training rows [default: 20]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Rows a step; of bags, as many whole ones as have about so many rows [default: 64]
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Learning rate before the schedule [default: 0.001]
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Change of the learning rate: constant, cosine, linear or step, with settings [default: constant]
    #[arg(long, value_name = "SCHEDULE")]
    schedule: Option<Selector>,
    /// Decides weights, splits, order of the rows and the draws of a loss that draws [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// Fraction of the rows that are not test rows, held out to choose the epoch, where the data has no such split of its own
    /// [default: 0.1]
    #[arg(long, value_name = "FRACTION")]
    validation: Option<f64>,
    /// Fraction of the rows held out to measure the result, where the data has no such split of its own [default: 0.2; of
    /// running text, the last 0.1]
    #[arg(long, value_name = "FRACTION")]
    test: Option<f64>,
    /// Stop after so many epochs without a better one on the validation rows
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// Probes that watch the training, joined by commas: calibration, confusion, filters, gradient-norm, ntk, sharpness
    #[arg(long, value_name = "PROBE", value_delimiter = ',')]
    watch: Option<Vec<String>>,
    /// A train.toml with the same settings; flags win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Device to train on, or several joined by commas: each step then takes one batch on each of them; the trainings that
    /// choose interpolate=auto take the first
    #[arg(long, value_name = "DEVICE,...", default_value = "cpu")]
    device: String,
    /// Folder in which the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
}

/// Trains, measures on the test split, and writes the model into the run's folder.
pub fn run(args: TrainArgs, global: &Global) -> CommandResult {
    let (device, out) = (args.device.clone(), args.out.clone());
    let config = configuration(args)?;
    refuse_several_devices(&config, &device)?;
    let mut options = RunOptions::new(Scale::Full, out, global.data());
    options.device = device;
    options.show_progress = !global.json;
    if config.image_task().is_some() {
        return images::run(config, &options, global);
    }
    let (config, splits) = prepare(config, &global.data())?;
    let (config, choice) = bags::settle(config, &splits, &options.device)?;
    let settings = toml::Table::try_from(&config).map_err(LabError::method)?;
    let mut run = Run::start("train", settings, vec![config.seed], &options)?;
    hold_to(&mut run, &config.data, config.label_noise.as_ref())?;
    if let Some(choice) = &choice {
        run.table(bags::choice_table(choice));
    }
    let summary = attempt(&config, &splits, &mut run)?;
    show(&Summary { choice, ..summary }, global)
}

/// Goes on with a training that was interrupted.
pub fn resume(mut run: Run, global: &Global) -> CommandResult {
    let settings = run.settings().clone();
    let config: TrainConfig = settings.try_into().map_err(LabError::method)?;
    if config.image_task().is_some() {
        return images::resume(config, run, global);
    }
    hold_to(&mut run, &config.data, config.label_noise.as_ref())?;
    let (config, splits) = prepare(config, run.data())?;
    run.begin_again()?;
    let summary = attempt(&config, &splits, &mut run)?;
    show(&summary, global)
}

/// Ties the run to its data, and to the file of its label noise.
pub(super) fn hold_to(run: &mut Run, data: &str, label_noise: Option<&LabelNoise>) -> Result<(), LabError> {
    run.hold_to(data)?;
    label_noise.and_then(LabelNoise::file).map_or(Ok(()), |file| run.hold_to(&file.display().to_string()))
}

/// Trains, and leaves in the run why that failed, if it did.
fn attempt(config: &TrainConfig, splits: &Splits, run: &mut Run) -> Result<Summary, Failure> {
    perform(config, splits, run).inspect_err(|failure| run.fail(failure))
}

fn configuration(args: TrainArgs) -> Result<TrainConfig, Failure> {
    let mut config = match &args.config {
        Some(path) => TrainConfig::read(path)?,
        None => TrainConfig::default(),
    };
    macro_rules! take {
        ($($field:ident),*) => { $(if let Some(value) = args.$field { config.$field = value; })* };
    }
    macro_rules! take_optional {
        ($($field:ident),*) => { $(config.$field = args.$field.or(config.$field);)* };
    }
    take!(data, augment, output_layer, optimizer, epochs, batch_size, lr, schedule, seed, watch, validation);
    take_optional!(task, crop, factor, bags, bag_targets, context, min_count, unit, label_noise);
    take_optional!(model, loss, patience, test);
    config.target = args.rows.target.or(config.target);
    config.image_size = args.rows.image_size.or(config.image_size);
    config.header = args.rows.no_header.then_some(false).or(config.header);
    config.grey |= args.grey;
    if !args.rows.ignore.is_empty() {
        config.ignore = args.rows.ignore;
    }
    if config.data.is_empty() {
        return Err(Failure::usage(
            "no data: name a data set (see `kiln data list`), or a file or folder, with --data",
        ));
    }
    config.check()?;
    Ok(config)
}

/// The factored layer takes its steps one after the other; devices would take them side by side.
fn refuse_several_devices(config: &TrainConfig, device: &str) -> Result<(), Failure> {
    match OUTPUT_LAYERS.build(&config.output_layer)? {
        OutputLayer::Factored(_) if device.contains(',') => Err(Failure::usage(format!(
            "--device {device}: the factored output layer takes its steps one by one; name one device"
        ))),
        _ => Ok(()),
    }
}

/// Refuses every name and value that is not right before anything is written; gives the configuration with what the data
/// decides, and the data.
fn prepare(config: TrainConfig, data: &DataDir) -> Result<(TrainConfig, Splits), Failure> {
    config.fit_settings()?;
    OPTIMIZERS.build(&config.optimizer)?;
    let layer = OUTPUT_LAYERS.build(&config.output_layer)?;
    probes(&config.watch)?;
    let (config, splits) = config.open(data)?;
    let network = config.network()?;
    splits.notes.iter().for_each(|note| eprintln!("{note}"));
    let splits = match &config.label_noise {
        Some(noise) => noise.corrupt_splits(splits, config.seed)?,
        None => splits,
    };
    match splits.bags {
        Some(_) => drop(interpolation(&config.loss())?),
        None => layer.check_loss(&config.loss(), &splits.train)?,
    }
    refuse_blind_probes(&config)?;
    build_augmentations(&config.augment, splits.train.input_shape())?;
    check_colours(&config.augment, &splits.train)?;
    network
        .init_seeded(splits.train.input_shape(), splits.train.num_classes(), config.seed, &Default::default())
        .map_err(|error| Failure::usage(format!("--model {}: {error}", config.model())))?;
    Ok((config, splits))
}

/// Refuses probes that have nothing to see in the task: classes where there are none, or pictures of ten thousand words.
fn refuse_blind_probes(config: &TrainConfig) -> Result<(), Failure> {
    let (sees, found): (fn(&dyn Probe) -> bool, &str) = match config.task {
        _ if config.bags.is_some() => (|probe| !probe.needs_classes(), "means of bags"),
        Some(TrainingTask::Regress) => (|probe| !probe.needs_classes(), "numbers"),
        Some(TrainingTask::LanguageModel) => (|probe| probe.sees_words(), "the next word of a text"),
        _ => return Ok(()),
    };
    match probes(&config.watch)?.iter().find(|probe| !sees(probe.as_ref())) {
        None => Ok(()),
        Some(blind) => {
            let seeing = probe::PROBES.iter().map(|(name, _)| *name);
            let seeing: Vec<&str> =
                seeing.filter(|name| probe::by_name(name).is_ok_and(|probe| sees(probe.as_ref()))).collect();
            let name = blind.name();
            let fitting = seeing.join(", ");
            Err(Failure::usage(format!(
                "--watch {name}: it does not look at {found}; for {found} there are: {fitting}"
            )))
        }
    }
}

fn perform(config: &TrainConfig, splits: &Splits, run: &mut Run) -> Result<Summary, Failure> {
    let device = run.device();
    let parts = BagParts::of(splits);
    let (loss, settings) = (config.loss(), config.fit_settings()?);
    let settings = parts.as_ref().map_or(settings, |parts| parts.steps(settings));
    let network_config = config.network()?;
    let (shape, outputs) = (splits.train.input_shape(), splits.train.num_classes());
    let network = network_config.init_seeded(shape, outputs, config.seed, &device).map_err(LabError::method)?;
    let parameters = network.num_parameters();
    let context = Arc::new(run.job("train", "seed"));
    let layer = OUTPUT_LAYERS.build(&config.output_layer)?;
    let total_steps = splits.train.len().div_ceil(config.batch_size) * config.epochs;
    let training = Training {
        objective: match &parts {
            Some(parts) => parts.objective(config)?,
            None => {
                let loss = LOSSES.completed(&loss, "seed", config.seed);
                layer.objective(&loss, &splits.train, &network, &settings, total_steps)?
            }
        },
        network,
        rule: Box::new(Backpropagation),
        optimizer: OPTIMIZERS.build(&config.optimizer)?,
        settings,
        patience: config.patience,
        probes: probes(&config.watch)?,
        strategy: match run.devices() {
            [device] => ExecutionStrategy::single(device.clone()),
            devices => ExecutionStrategy::multi(devices.to_vec(), MultiDeviceOptim::OptimMainDevice),
        },
    };
    let started = std::time::Instant::now();
    let [rows, validation] = examples(config, splits, parts.as_ref())?;
    let folder = run.folder().join("checkpoints");
    let trained = train_on(training, rows, validation, &folder, context.clone())?;
    let seconds = started.elapsed().as_secs_f64();
    context.finish()?;

    let model = SavedModel {
        kiln: env!("CARGO_PKG_VERSION").to_string(),
        data_sha256: run.manifest().sha256.get(&config.data).cloned(),
        training: config.clone(),
        network: network_config,
        preprocessing: splits.preprocessing.clone(),
    };
    model.save(&trained.network, run.folder())?;
    run.plot("loss", &course(&trained))?;
    let summary = Summary {
        run: run.folder().to_path_buf(),
        data: config.data.clone(),
        model: config.model().to_string(),
        output_layer: config.output_layer.to_string(),
        loss: loss.to_string(),
        optimizer: config.optimizer.to_string(),
        parameters,
        rows: [splits.train.len(), splits.validation.len(), splits.test.len()],
        epochs: trained.epochs.len(),
        best_epoch: trained.best.epoch,
        validation_loss: trained.best.validation_loss,
        choice: None,
        figures: match &parts {
            Some(parts) => Quality::Bags(BagQuality::of(&trained.network, config, splits, parts, &device)),
            None => Quality::of(&trained, &model, splits, &device)?,
        },
        seconds,
    };
    run.table(summary.lab_table());
    run.finish(&Verdict::new())?;
    Ok(summary)
}

/// What is learnt from and what chooses the epoch: rows, or bags of them.
fn examples(
    config: &TrainConfig,
    splits: &Splits,
    parts: Option<&BagParts>,
) -> Result<[Arc<dyn Examples>; 2], Failure> {
    if let Some(parts) = parts {
        return Ok([parts.train.clone(), parts.validation.clone()]);
    }
    let prepared = |data| PreparedRows::new(data, &splits.preprocessing.targets);
    let changes = build_augmentations(&config.augment, splits.train.input_shape())?;
    let rows = Arc::new(prepared(&splits.train).augmented(changes, config.seed));
    Ok([rows, Arc::new(prepared(&splits.validation))])
}

pub(super) fn course(trained: &Trained) -> Plot {
    let points = |value: fn(&kiln_lab::train::EpochMeans) -> f64| -> Vec<(f64, f64)> {
        trained.epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch))).collect()
    };
    Plot::line("Loss", "epoch", "mean loss")
        .series(Series::new("training").points(points(|epoch| epoch.train_loss)))
        .series(Series::new("validation").points(points(|epoch| epoch.validation_loss)))
}

#[derive(Debug, Serialize)]
struct Summary {
    #[serde(serialize_with = "lossy")]
    run: PathBuf,
    data: String,
    model: String,
    output_layer: String,
    loss: String,
    optimizer: String,
    parameters: usize,
    rows: [usize; 3],
    epochs: usize,
    best_epoch: usize,
    validation_loss: f64,
    /// Of a `rho` that was chosen: the errors that it was chosen by.
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<CrossValidated>,
    #[serde(flatten)]
    figures: Quality,
    seconds: f64,
}

/// How good the network is, on the rows that chose its epoch and on rows that chose nothing.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Quality {
    Classes { validation_accuracy: f64, test_accuracy: f64, test_log_loss: Option<f64> },
    Values { validation: Option<RegressionEvaluation>, test: RegressionEvaluation },
    Words { words: usize, validation: NextWordFigures, test: NextWordFigures, frequencies_alone: NextWordFigures },
    Bags(BagQuality),
}

impl Quality {
    fn of(trained: &Trained, model: &SavedModel, splits: &Splits, device: &Device) -> Result<Self, LabError> {
        let sure = model.gives_probabilities();
        if model.reads_text() {
            let judge = |data| NextWordFigures::of(&trained.network, data, sure, device);
            return Ok(Self::Words {
                words: splits.train.num_classes(),
                validation: judge(&splits.validation)?,
                test: judge(&splits.test)?,
                frequencies_alone: NextWordFigures::of_frequencies(&splits.train, &splits.test, device)?,
            });
        }
        let judge = |data| Figures::of(&trained.network, data, &splits.preprocessing, device);
        Ok(match judge(&splits.test) {
            Figures::Classes(test) => Self::Classes {
                validation_accuracy: trained.best.validation_accuracy / 100.0,
                test_accuracy: test.accuracy,
                test_log_loss: sure.then_some(test.log_loss),
            },
            Figures::Values(test) => Self::Values { validation: judge(&splits.validation).values(), test },
        })
    }

    /// On the validation and on the test rows.
    fn lines(&self) -> [String; 2] {
        match self {
            Self::Classes { validation_accuracy, test_accuracy, test_log_loss } => {
                let log_loss = test_log_loss.map(|loss| format!(", log-loss {loss:.4}")).unwrap_or_default();
                [format!("accuracy {validation_accuracy:.4}"), format!("accuracy {test_accuracy:.4}{log_loss}")]
            }
            Self::Values { validation, test } => {
                let line = |found: &RegressionEvaluation| {
                    format!("RMSE {}, MAE {}, R2 {}", figure(found.rmse), figure(found.mae), found.shown_r2())
                };
                [validation.as_ref().map(line).unwrap_or_default(), line(test)]
            }
            Self::Words { validation, test, .. } => [in_words(validation), in_words(test)],
            Self::Bags(found) => [found.validation.line(), found.test.line()],
        }
    }
}

fn in_words(found: &NextWordFigures) -> String {
    let errors: Vec<String> = found.top_k_errors().iter().map(|(k, error)| format!("top-{k} {error:.4}")).collect();
    let perplexity = found.perplexity.map(|perplexity| format!(", perplexity {perplexity:.1}")).unwrap_or_default();
    format!("errors {}, MRR {:.4}{perplexity}", errors.join(", "), found.mean_reciprocal_rank)
}

impl Summary {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let [train, validation, test] = self.rows;
        let [on_validation, on_test] = self.figures.lines();
        let mut rows = vec![
            ("data", format!("{} ({train} to train, {validation} to validate, {test} to test)", self.data)),
            ("model", format!("{} ({} parameters)", self.model, self.parameters)),
            ("loss", self.loss.clone()),
            ("optimizer", self.optimizer.clone()),
            ("epochs", format!("{}, best {}", self.epochs, self.best_epoch)),
            ("validation", format!("loss {:.4}, {on_validation}", self.validation_loss)),
            ("test", on_test),
        ];
        if let Quality::Words { words, frequencies_alone, .. } = &self.figures {
            rows.insert(1, ("words", words.to_string()));
            rows.push(("frequencies", in_words(frequencies_alone)));
        }
        if let Quality::Bags(found) = &self.figures {
            let [train, validation, test] = found.bags;
            rows.insert(1, ("bags", format!("{train} to train, {validation} to validate, {test} to test")));
            rows.extend(found.rows_line().map(|line| ("test rows", line)));
        }
        if self.output_layer != OutputLayer::Dense.name() {
            let model = rows.iter().position(|(what, _)| *what == "model").unwrap_or_default();
            rows.insert(model + 1, ("output", self.output_layer.clone()));
        }
        rows.push(("seconds", format!("{:.2}", self.seconds)));
        rows
    }

    fn lab_table(&self) -> kiln_lab::Table {
        let mut table = kiln_lab::Table::new("Training", ["what", "figure"]);
        for (what, figure) in self.rows() {
            table.push([what.to_string(), figure]);
        }
        table
    }
}

fn show(summary: &Summary, global: &Global) -> CommandResult {
    if global.json {
        print_line(&serde_json::to_string(summary).map_err(LabError::method)?.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(choice) = &summary.choice {
        print_line(&format!("{}\n", bags::choice_table(choice).terminal()))?;
    }
    for (what, figure) in summary.rows() {
        print_line(&format!("{what:<11} {figure}"))?;
    }
    print_line(&format!("\nmodel: {}", display(&summary.run.join(SavedModel::DESCRIPTION))))?;
    Ok(ExitCode::SUCCESS)
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

fn probes(names: &[String]) -> Result<Vec<Box<dyn Probe>>, LabError> {
    names.iter().map(|name| probe::by_name(name)).collect()
}
