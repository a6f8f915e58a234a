//! `kiln train --task autoencode` and `--task upscale`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use burn::tensor::Device;
use burn::train::{ExecutionStrategy, MultiDeviceOptim};
use kiln_data::Preprocessing;
use kiln_lab::train::{
    Backpropagation, Examples, ImageData, ImageFigures, ImageQuality, ImageTask, OPTIMIZERS, SavedModel, SideBySide,
    TrainConfig, Training, Upscaler, build_augmentations, build_image_objective, train_on,
};
use kiln_lab::{LabError, Probe, Run, RunOptions, Table, Verdict, probe};
use kiln_nn::Network;
use serde::Serialize;

use super::super::train::{course, hold_to};
use super::line;
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::{lossy, print_line};

/// Trains, measures on the test pictures, and writes the model into the run's folder.
pub fn run(config: TrainConfig, options: &RunOptions, global: &Global) -> CommandResult {
    let (config, data) = prepare(config, &options.data)?;
    let settings = toml::Table::try_from(&config).map_err(LabError::method)?;
    let mut run = Run::start("train", settings, vec![config.seed], options)?;
    hold_to(&mut run, &config.data, None)?;
    let summary = attempt(&config, &data, &mut run)?;
    show(&summary, global)
}

/// Goes on with a training that was interrupted.
pub fn resume(config: TrainConfig, mut run: Run, global: &Global) -> CommandResult {
    hold_to(&mut run, &config.data, None)?;
    let (config, data) = prepare(config, run.data())?;
    run.begin_again()?;
    let summary = attempt(&config, &data, &mut run)?;
    show(&summary, global)
}

/// Trains, and leaves in the run why that failed, if it did.
fn attempt(config: &TrainConfig, data: &ImageData, run: &mut Run) -> Result<Summary, Failure> {
    perform(config, data, run).inspect_err(|failure| run.fail(failure))
}

/// Refuses every name and value that is not right before anything is written; gives the configuration with what nobody has
/// said, and the pictures.
fn prepare(config: TrainConfig, dir: &kiln_data::DataDir) -> Result<(TrainConfig, ImageData), Failure> {
    config.fit_settings()?;
    OPTIMIZERS.build(&config.optimizer)?;
    watchers(&config)?;
    let (config, data) = config.open_images(dir)?;
    let network = config.image_network()?;
    build_augmentations(&config.augment, &data.shape)?;
    build_image_objective(&config.loss(), &network, data.shape, config.seed)?;
    network
        .init_seeded(&data.shape, data.shape.iter().product(), config.seed, &Device::default())
        .map_err(|error| Failure::usage(format!("--model {}: {error}", config.model())))?;
    data.splits.notes.iter().for_each(|note| eprintln!("{note}"));
    Ok((config, data))
}

/// The probes that were asked for; those that have nothing to see in pictures are refused.
fn watchers(config: &TrainConfig) -> Result<Vec<Box<dyn Probe>>, Failure> {
    let named: Vec<Box<dyn Probe>> =
        config.watch.iter().map(|name| probe::by_name(name)).collect::<Result<_, LabError>>()?;
    match named.iter().find(|probe| !probe.sees_images()) {
        None => Ok(named),
        Some(blind) => {
            let seeing = probe::PROBES.iter().map(|(name, _)| *name);
            let seeing: Vec<&str> =
                seeing.filter(|name| probe::by_name(name).is_ok_and(|probe| probe.sees_images())).collect();
            Err(Failure::usage(format!(
                "--watch {}: it does not look at pictures that come out; for these there are: {}, and what every such \
                 training measures and draws",
                blind.name(),
                seeing.join(", ")
            )))
        }
    }
}

fn perform(config: &TrainConfig, data: &ImageData, run: &mut Run) -> Result<Summary, Failure> {
    let device = run.device();
    let settings = config.fit_settings()?;
    let network_config = config.image_network()?;
    let pixels = data.shape.iter().product();
    let network = network_config.init_seeded(&data.shape, pixels, config.seed, &device).map_err(LabError::method)?;
    let parameters = network.num_parameters();
    let changes = build_augmentations(&config.augment, &data.shape)?;
    let rows = data.training_rows(changes, config.seed)?;
    let validation = data.rows(&data.splits.validation)?;
    let mut probes = watchers(config)?;
    probes.insert(0, Box::new(ImageQuality::new(validation.clone(), data.task, config.epochs)));
    let windows = [rows.len(), validation.len(), data.rows(&data.splits.test)?.len()];
    let context = Arc::new(run.job("train", "seed"));
    let training = Training {
        objective: build_image_objective(&config.loss(), &network_config, data.shape, config.seed)?,
        network,
        rule: Box::new(Backpropagation),
        optimizer: OPTIMIZERS.build(&config.optimizer)?,
        settings,
        patience: config.patience,
        probes,
        strategy: match run.devices() {
            [device] => ExecutionStrategy::single(device.clone()),
            devices => ExecutionStrategy::multi(devices.to_vec(), MultiDeviceOptim::OptimMainDevice),
        },
    };
    let started = std::time::Instant::now();
    let folder = run.folder().join("checkpoints");
    let trained = train_on(training, Arc::new(rows), Arc::new(validation.clone()), &folder, context.clone())?;
    let seconds = started.elapsed().as_secs_f64();
    context.finish()?;

    let model = SavedModel {
        kiln: env!("CARGO_PKG_VERSION").to_string(),
        data_sha256: run.manifest().sha256.get(&config.data).cloned(),
        training: config.clone(),
        network: network_config,
        preprocessing: Preprocessing::of_images(data.shape),
    };
    model.save(&trained.network, run.folder())?;
    run.plot("loss", &course(&trained))?;
    let judged = Judged::of(&trained.network, data, &device)?;
    run.plot("pictures", &judged.pictures.plot("Test pictures"))?;
    let summary = Summary {
        run: run.folder().to_path_buf(),
        data: config.data.clone(),
        task: config.task.map_or(String::new(), |task| task.to_string()),
        window: data.shape,
        windows,
        model: config.model().to_string(),
        loss: config.loss().to_string(),
        optimizer: config.optimizer.to_string(),
        parameters,
        pictures: [data.splits.train.len(), data.splits.validation.len(), data.splits.test.len()],
        epochs: trained.epochs.len(),
        best_epoch: trained.best.epoch,
        validation_loss: trained.best.validation_loss,
        validation: ImageQuality::judge(&trained.network, &validation, &device)?,
        test: judged.network,
        bicubic: judged.bicubic,
        seconds,
    };
    run.table(summary.lab_table());
    run.finish(&Verdict::new())?;
    Ok(summary)
}

/// What the test pictures say: of an autoencoder their windows, of an upscaler whole pictures.
struct Judged {
    network: ImageFigures,
    bicubic: Option<ImageFigures>,
    pictures: SideBySide,
}

impl Judged {
    fn of(network: &Network, data: &ImageData, device: &Device) -> Result<Self, LabError> {
        match (data.task, network.sr_cnn()) {
            (ImageTask::Upscale { factor }, Some(network)) => {
                let upscaler = Upscaler { network, factor, device };
                let [own, bicubic] = upscaler.judge(&data.splits.test)?;
                let pictures = SideBySide::of_pictures(&upscaler, &data.splits.test)?;
                Ok(Self { network: own, bicubic: Some(bicubic), pictures })
            }
            _ => {
                let rows = data.rows(&data.splits.test)?;
                let pictures = SideBySide::of_rows(network, &rows, data.task, device);
                Ok(Self { network: ImageQuality::judge(network, &rows, device)?, bicubic: None, pictures })
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    #[serde(serialize_with = "lossy")]
    run: PathBuf,
    data: String,
    task: String,
    /// `[channels, height, width]` of what is learnt from.
    window: [usize; 3],
    windows: [usize; 3],
    model: String,
    loss: String,
    optimizer: String,
    parameters: usize,
    pictures: [usize; 3],
    epochs: usize,
    best_epoch: usize,
    validation_loss: f64,
    validation: ImageFigures,
    test: ImageFigures,
    #[serde(skip_serializing_if = "Option::is_none")]
    bicubic: Option<ImageFigures>,
    seconds: f64,
}

impl Summary {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let [train, validation, test] = self.pictures;
        let [windows, ..] = self.windows;
        let [channels, height, width] = self.window;
        let colours = if channels == 1 { "grey" } else { "colour" };
        let mut rows = vec![
            ("data", format!("{} ({train} pictures to train, {validation} to validate, {test} to test)", self.data)),
            ("windows", format!("{windows} of {height} x {width} an epoch, {colours}")),
            ("model", format!("{} ({} parameters)", self.model, self.parameters)),
            ("loss", self.loss.clone()),
            ("optimizer", self.optimizer.clone()),
            ("epochs", format!("{}, best {}", self.epochs, self.best_epoch)),
            ("validation", format!("loss {:.4}, {}", self.validation_loss, line(&self.validation))),
            ("test", line(&self.test)),
        ];
        rows.extend(self.bicubic.as_ref().map(|bicubic| ("bicubic", line(bicubic))));
        rows.push(("seconds", format!("{:.2}", self.seconds)));
        rows
    }

    fn lab_table(&self) -> Table {
        let mut table = Table::new("Training", ["what", "figure"]);
        for (what, figure) in self.rows() {
            table.push([what.to_string(), figure]);
        }
        table
    }
}

fn show(summary: &Summary, global: &Global) -> CommandResult {
    if global.json {
        print_line(&serde_json::to_string(summary).map_err(LabError::method)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (what, figure) in summary.rows() {
        print_line(&format!("{what:<11} {figure}"))?;
    }
    print_line(&format!("\nmodel: {}", summary.run.join(SavedModel::DESCRIPTION).display()))?;
    Ok(ExitCode::SUCCESS)
}
