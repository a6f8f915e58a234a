//! `kiln predict` with a model that gives pictures: files of pictures, or the codes of an autoencoder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use kiln_data::{ImagePlanes, ImageSource, catalogue, image_sources, open_images};
use kiln_lab::train::{Examples, ImageRows, ImageTask, SavedModel, Upscaler};
use kiln_lab::{LabError, write_whole};
use kiln_nn::Network;
use serde_json::json;

use super::evaluate::{check_window, windows};
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output;

/// What is asked of the model.
pub struct PictureOutput<'a> {
    /// Files, folders, or a known set (its test pictures).
    pub sources: &'a [String],
    /// Folder for pictures, or file for codes.
    pub to: Option<&'a PathBuf>,
    /// Whether codes are asked for, as CSV or else as JSON lines.
    pub codes: bool,
    /// The form of codes.
    pub as_csv: bool,
}

/// Writes a picture for every picture, or its codes.
pub fn predict(
    model: &SavedModel,
    network: &Network,
    asked: &PictureOutput<'_>,
    global: &Global,
    device: &Device,
) -> CommandResult {
    let pictures = pictures(model, asked.sources, global)?;
    // One that cannot be taken is found before anything is written.
    pictures.iter().try_for_each(|picture| check(model, &picture.read()?))?;
    match model.image_task() {
        Some(ImageTask::Upscale { .. }) if asked.codes => {
            Err(Failure::usage("--codes: an upscaler has no codes; leave it out, or ask an autoencoder"))
        }
        _ if asked.codes => codes(model, network, &pictures, asked, device),
        _ => {
            let Some(folder) = asked.to else {
                return Err(Failure::usage("pictures come out: name a folder for them with --to DIR"));
            };
            if folder.is_file() {
                return Err(Failure::usage(format!("--to {}: a folder is needed, and it is a file", folder.display())));
            }
            let files = write_pictures(model, network, &pictures, folder, device)?;
            if global.json {
                output::print_line(&json!({ "pictures": files }).to_string())?;
            } else {
                output::print_line(&format!("{} pictures in {}", files.len(), folder.display()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn pictures(model: &SavedModel, sources: &[String], global: &Global) -> Result<Vec<ImageSource>, Failure> {
    let mut all = Vec::new();
    for source in sources {
        match catalogue::find(source) {
            Some(_) => {
                let test = open_images(source, &global.data(), &model.training.image_options())?.test;
                all.extend(test.into_iter().map(ImageSource::Held));
            }
            None => all.extend(image_sources(source, &global.data())?),
        }
    }
    Ok(all)
}

fn check(model: &SavedModel, picture: &ImagePlanes) -> Result<(), LabError> {
    match model.image_task() {
        Some(ImageTask::Upscale { .. }) => Ok(()),
        _ => check_window(model, picture),
    }
}

/// Writes what the model makes of each picture as a PNG under the name of the one that it was made of.
fn write_pictures(
    model: &SavedModel,
    network: &Network,
    pictures: &[ImageSource],
    folder: &Path,
    device: &Device,
) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| LabError::io("create", folder, error))?;
    let mut taken = HashSet::new();
    let mut files = Vec::new();
    for picture in pictures {
        let made = made(model, network, &picture.read()?, device)?;
        let file = folder.join(format!("{}.png", free_name(&stem(&made.name), &mut taken)));
        write_whole(&file, &made.png()?)?;
        files.push(file);
    }
    Ok(files)
}

/// What the model makes of a picture.
fn made(
    model: &SavedModel,
    network: &Network,
    picture: &ImagePlanes,
    device: &Device,
) -> Result<ImagePlanes, LabError> {
    match (model.image_task(), network.sr_cnn()) {
        (Some(ImageTask::Upscale { factor }), Some(network)) => {
            Ok(Upscaler { network, factor, device }.upscale(picture))
        }
        _ => reconstructed(model, network, picture, device),
    }
}

/// The picture from the codes of its windows; what lies beyond the last whole window is left out.
fn reconstructed(
    model: &SavedModel,
    network: &Network,
    picture: &ImagePlanes,
    device: &Device,
) -> Result<ImagePlanes, LabError> {
    let rows = windows(model, std::slice::from_ref(picture))?;
    let [channels, height, width] = rows.shape();
    let all: Vec<usize> = (0..rows.len()).collect();
    let values: Vec<f32> = network.forward(rows.examples(&all, 1, device).0).into_data().iter::<f32>().collect();
    let ([top, left], [last_top, last_left]) = (rows.window(0).1, rows.window(rows.len() - 1).1);
    let shape = [channels, last_top + height - top, last_left + width - left];
    let mut whole = vec![0.0; shape.iter().product()];
    for (row, window) in values.chunks_exact(channels * height * width).enumerate() {
        let [window_top, window_left] = rows.window(row).1;
        for (line, pixels) in window.chunks_exact(width).enumerate() {
            let (channel, down) = (line / height, window_top - top + line % height);
            let from = (channel * shape[1] + down) * shape[2] + window_left - left;
            whole[from..from + width].copy_from_slice(pixels);
        }
    }
    Ok(ImagePlanes { name: picture.name.clone(), shape, values: whole })
}

/// A name that none of the pictures before has.
fn free_name(stem: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let name = std::iter::once(stem.to_string()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.unwrap_or_else(|| stem.to_string());
    taken.insert(name.clone());
    name
}

/// The name of a picture without folders and ending, fit for a file.
fn stem(name: &str) -> String {
    let (path, row) = name.split_once(", picture ").map_or((name, None), |(path, row)| (path, Some(row)));
    let stem = Path::new(path).file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy());
    row.map_or_else(|| stem.to_string(), |row| format!("{stem}-{row:0>5}"))
}

/// One line a window: the picture, the window's place and the code.
fn codes(
    model: &SavedModel,
    network: &Network,
    pictures: &[ImageSource],
    asked: &PictureOutput<'_>,
    device: &Device,
) -> CommandResult {
    let mut text = String::new();
    for picture in pictures {
        let rows = windows(model, &[picture.read()?])?;
        let all: Vec<usize> = (0..rows.len()).collect();
        let codes = network.features(rows.examples(&all, 1, device).0);
        let [_, width] = codes.dims();
        if text.is_empty() && asked.as_csv {
            let heading: String = (1..=width).map(|number| format!(",code {number}")).collect();
            text += &format!("picture,top,left{heading}\n");
        }
        let values: Vec<f32> = codes.into_data().iter::<f32>().collect();
        for (row, code) in values.chunks_exact(width.max(1)).enumerate() {
            text += &line(&rows, row, code, asked.as_csv);
        }
    }
    match asked.to {
        Some(path) => write_whole(path, text.as_bytes())?,
        None => output::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn line(rows: &ImageRows, row: usize, code: &[f32], as_csv: bool) -> String {
    let (picture, [top, left]) = rows.window(row);
    if as_csv {
        let cells: String = code.iter().map(|value| format!(",{value}")).collect();
        format!("{},{top},{left}{cells}\n", output::quoted(&picture.name))
    } else {
        format!("{}\n", json!({ "picture": picture.name, "top": top, "left": left, "code": code }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_fit_for_files_and_come_once() {
        let mut taken = HashSet::new();
        for (name, expected) in [
            ("a/cat.jpg", "cat"),
            ("b/cat.png", "cat-2"),
            ("digits, picture 7", "digits-00007"),
            ("x/train.npy, picture 12", "train-00012"),
        ] {
            assert_eq!(free_name(&stem(name), &mut taken), expected);
        }
    }
}
