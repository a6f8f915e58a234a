//! `kiln predict` with a model that gives pictures: files of pictures, or the codes of an autoencoder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use kiln_data::{ImagePlanes, ImageSource, catalogue, image_sources, open_images};
use kiln_lab::files::Together;
use kiln_lab::train::{Examples, ImageRows, ImageTask, SavedModel, Upscaler};
use kiln_lab::{LabError, write_whole};
use kiln_nn::Network;
use serde_json::json;

use super::evaluate::windows;
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::inputs::Inputs;
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
    if asked.codes && matches!(model.image_task(), Some(ImageTask::Upscale { .. })) {
        return Err(Failure::usage("--codes: an upscaler has no codes; leave it out, or ask an autoencoder"));
    }
    let pictures = pictures(model, asked.sources, global)?;
    let inputs = inputs(&pictures, asked.sources, global);
    if asked.codes {
        return codes((model, network, device), &pictures, asked, &inputs);
    }
    let Some(folder) = asked.to else {
        return Err(Failure::usage("pictures come out: name a folder for them with --to DIR"));
    };
    if folder.is_file() {
        return Err(Failure::usage(format!("--to {}: a folder is needed, and it is a file", folder.display())));
    }
    let names = names(&pictures);
    names.iter().try_for_each(|name| inputs.refuse(&folder.join(name)))?;
    // A picture that cannot be taken may come last, and then nothing is to be left behind of those before.
    let mut written = Together::new(folder)?;
    for (picture, name) in pictures.iter().zip(&names) {
        let made = made(model, network, &picture.read()?, device)?;
        written.write(name, &made.png()?)?;
    }
    let files = written.finish()?;
    if global.json {
        let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
        output::print_line(&json!({ "pictures": files }).to_string())?;
    } else {
        output::print_line(&format!("{} pictures in {}", files.len(), folder.display()))?;
    }
    Ok(ExitCode::SUCCESS)
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

/// The files of the pictures, and those that hold many.
fn inputs(pictures: &[ImageSource], sources: &[String], global: &Global) -> Inputs {
    let of_picture = |picture: &ImageSource| match picture {
        ImageSource::File(path) => Some(path.clone()),
        ImageSource::Held(_) => None,
    };
    let dir = global.data();
    let named = sources.iter().flat_map(|source| Inputs::of_source(source, &dir));
    Inputs::new(pictures.iter().filter_map(of_picture).chain(named))
}

/// The file name of what is made of each picture: its own as a PNG, with a number where an earlier one has it.
fn names(pictures: &[ImageSource]) -> Vec<String> {
    let mut taken = HashSet::new();
    pictures.iter().map(|picture| format!("{}.png", free_name(&stem(&picture.name()), &mut taken))).collect()
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
    let ([top, left], [last_top, last_left]) = (rows.window(0).1, rows.window(rows.len() - 1).1);
    let shape = [channels, last_top + height - top, last_left + width - left];
    let mut whole = vec![0.0; shape.iter().product()];
    for block in rows.blocks() {
        let outputs = network.forward(rows.examples(&block, 1, device).0);
        let values: Vec<f32> = outputs.into_data().iter::<f32>().collect();
        for (&row, window) in block.iter().zip(values.chunks_exact(channels * height * width)) {
            let [window_top, window_left] = rows.window(row).1;
            for (line, pixels) in window.chunks_exact(width).enumerate() {
                let (channel, down) = (line / height, window_top - top + line % height);
                let from = (channel * shape[1] + down) * shape[2] + window_left - left;
                whole[from..from + width].copy_from_slice(pixels);
            }
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
    (model, network, device): (&SavedModel, &Network, &Device),
    pictures: &[ImageSource],
    asked: &PictureOutput<'_>,
    inputs: &Inputs,
) -> CommandResult {
    asked.to.map_or(Ok(()), |file| inputs.refuse(file))?;
    let mut text = String::new();
    for picture in pictures {
        let rows = windows(model, &[picture.read()?])?;
        for block in rows.blocks() {
            let codes = network.features(rows.examples(&block, 1, device).0);
            let [_, width] = codes.dims();
            if text.is_empty() && asked.as_csv {
                let heading: String = (1..=width).map(|number| format!(",code {number}")).collect();
                text += &format!("picture,top,left{heading}\n");
            }
            let values: Vec<f32> = codes.into_data().iter::<f32>().collect();
            for (&row, code) in block.iter().zip(values.chunks_exact(width.max(1))) {
                text += &line(&rows, row, code, asked.as_csv);
            }
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
