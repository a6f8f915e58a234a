//! `kiln evaluate` of a model that gives pictures.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use kiln_data::{DataDir, ImagePlanes, catalogue, fingerprint, is_same_source, open_images, read_images};
use kiln_lab::train::{CodeUsage, ImageFigures, ImageQuality, ImageRows, ImageTask, SavedModel, SideBySide, Upscaler};
use kiln_lab::{LabError, Plot, Table};
use kiln_nn::Network;
use serde_json::{Value, json};

use super::{exact_hits, shown};
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output;

/// Prints the figures of the pictures of `source`, and draws some of them beside what the network makes of them.
pub fn evaluate(
    (path, model, network): (&Path, &SavedModel, &Network),
    source: &str,
    picture: Option<PathBuf>,
    global: &Global,
    device: &Device,
) -> CommandResult {
    let pictures = Pictures::new(model, source, &global.data())?;
    let judged = judge(model, network, &pictures.all, device)?;
    if global.json {
        output::print_line(&pictures.described(&judged)?.to_string())?;
    } else {
        let title = format!("{} on {source}, {}", model.training.model(), pictures.describe());
        let notes: String = judged.notes().map(|note| format!("\n{note}")).collect();
        output::print_line(&format!("{title}\n{}{notes}", judged.table().terminal()))?;
    }
    let asked = picture.is_some();
    let file = picture.unwrap_or_else(|| SavedModel::folder(path).join("pictures.png"));
    match judged.plot.write(&file) {
        Ok(()) if global.json => {}
        Ok(()) => output::print_line(&format!("pictures: {}", file.display()))?,
        Err(error) if asked => return Err(error.into()),
        // The figures are what was asked for, and they are printed.
        Err(error) => tracing::warn!("the pictures were not written: {error}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Pictures to judge the model by.
struct Pictures {
    all: Vec<ImagePlanes>,
    /// Whether they are those that the training kept for the test, or everything that the source has.
    are_test_pictures: bool,
    have_changed: bool,
}

impl Pictures {
    /// The test pictures of the set that the model was trained on and of every known set, all pictures of another source.
    fn new(model: &SavedModel, source: &str, dir: &DataDir) -> Result<Self, Failure> {
        let is_trained_on = is_same_source(source, &model.training.data, dir);
        if !is_trained_on && catalogue::find(source).is_none() {
            return Ok(Self { all: read_images(source, dir)?, are_test_pictures: false, have_changed: false });
        }
        let all = open_images(source, dir, &model.training.image_options())?.test;
        let now = if is_trained_on { fingerprint(source, dir)? } else { None };
        let have_changed = now.is_some() && model.data_sha256.is_some() && now != model.data_sha256;
        if have_changed {
            tracing::warn!(
                "{source} has changed since the training: some of these test pictures may have been training pictures"
            );
        }
        Ok(Self { all, are_test_pictures: true, have_changed })
    }

    fn describe(&self) -> String {
        let count = self.all.len();
        if self.are_test_pictures { format!("{count} test pictures") } else { format!("all {count} pictures") }
    }

    fn described(&self, judged: &Judged) -> Result<Value, LabError> {
        let mut document = serde_json::to_value(&judged.network).map_err(LabError::method)?;
        if let Value::Object(figures) = &mut document {
            if let Some(bicubic) = &judged.bicubic {
                figures.insert("bicubic".into(), serde_json::to_value(bicubic).map_err(LabError::method)?);
            }
            if let Some(usage) = judged.usage {
                figures.insert("active_units".into(), usage.active_units.into());
                figures.insert("code_units".into(), usage.code_units.into());
            }
            figures.insert("rows_used".into(), json!(if self.are_test_pictures { "test" } else { "all" }));
            figures.insert("data_changed".into(), json!(self.have_changed));
        }
        Ok(document)
    }
}

struct Judged {
    network: ImageFigures,
    bicubic: Option<ImageFigures>,
    /// Of an autoencoder's code.
    usage: Option<CodeUsage>,
    plot: Plot,
}

fn judge(model: &SavedModel, network: &Network, pictures: &[ImagePlanes], device: &Device) -> Result<Judged, LabError> {
    match (model.image_task(), network.sr_cnn()) {
        (Some(ImageTask::Upscale { factor }), Some(network)) => {
            let upscaler = Upscaler { network, factor, device };
            let [own, bicubic] = upscaler.judge(pictures)?;
            let plot = SideBySide::of_pictures(&upscaler, pictures)?.plot("Pictures");
            Ok(Judged { network: own, bicubic: Some(bicubic), usage: None, plot })
        }
        _ => {
            let rows = windows(model, pictures)?;
            let plot = SideBySide::of_rows(network, &rows, ImageTask::Autoencode, device).plot("Pictures");
            let usage = CodeUsage::of(network, &rows, device);
            Ok(Judged { network: ImageQuality::judge(network, &rows, device)?, bicubic: None, usage, plot })
        }
    }
}

/// The windows of pictures that an autoencoder sees, in the channels of its training.
pub(super) fn windows(model: &SavedModel, pictures: &[ImagePlanes]) -> Result<ImageRows, LabError> {
    let [channels, height, width] = window(model)?;
    pictures.iter().try_for_each(|picture| check_window(model, picture))?;
    let pictures: Vec<ImagePlanes> = pictures.iter().map(|picture| picture.in_channels(channels)).collect();
    ImageRows::new(&pictures, [height, width], ImageTask::Autoencode)
}

/// Refuses a picture that is smaller than the windows of the training.
fn check_window(model: &SavedModel, picture: &ImagePlanes) -> Result<(), LabError> {
    let [_, height, width] = window(model)?;
    let [_, own_height, own_width] = picture.shape;
    if own_height >= height && own_width >= width {
        return Ok(());
    }
    Err(LabError::Refused(format!(
        "{}: {own_height} x {own_width} pixels, and the model takes windows of {height} x {width}",
        picture.name
    )))
}

fn window(model: &SavedModel) -> Result<[usize; 3], LabError> {
    let shape = model.preprocessing.input_shape();
    let refused = || LabError::Refused(format!("the model takes rows of shape {shape:?} and no pictures"));
    shape.as_slice().try_into().map_err(|_| refused())
}

impl Judged {
    fn table(&self) -> Table {
        let own = self.network.named();
        let Some(bicubic) = &self.bicubic else {
            let mut table = Table::new("", ["figure", "value"]);
            own.into_iter().for_each(|(name, value)| table.push([named(name), shown(name, value)]));
            if let Some(CodeUsage { active_units, code_units }) = self.usage {
                table.push(["active numbers of the code".to_string(), format!("{active_units} of {code_units}")]);
            }
            return table;
        };
        let mut table = Table::new("", ["figure", "network", "bicubic"]);
        for ((name, own), (_, other)) in own.into_iter().zip(bicubic.named()) {
            table.push([named(name), shown(name, own), shown(name, other)]);
        }
        table
    }

    /// What the figures of the table do not say of themselves.
    fn notes(&self) -> impl Iterator<Item = String> + '_ {
        let of = |what: &'static str, figures: &ImageFigures| exact_hits(figures).map(|note| format!("{what}: {note}"));
        let own = of("network", &self.network);
        own.into_iter().chain(self.bicubic.as_ref().and_then(|bicubic| of("bicubic", bicubic)))
    }
}

fn named(name: &str) -> String {
    if name == "PSNR" { "PSNR (dB)".to_string() } else { name.to_string() }
}
