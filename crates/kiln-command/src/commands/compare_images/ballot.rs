//! A page on which people vote between two pictures without knowing which is which.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Cursor;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{GrayImage, ImageFormat, RgbImage};
use kiln_lab::{files, write_whole};
use rand::rngs::SysRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pairs::{Pair, partner, same_kind};
use super::picture::Pixels;
use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::print_line;

const PAGE: &str = include_str!("ballot.html");
/// The page's file in the ballot's folder.
const PAGE_FILE: &str = "vote.html";
/// What the page hides, in a file beside it.
pub const KEY_FILE: &str = "key.json";

/// Which side shows which picture.
#[derive(Debug, Serialize, Deserialize)]
pub struct Key {
    /// Name of the page, which the votes repeat.
    pub ballot: String,
    /// In the order of the page.
    pub trials: Vec<Trial>,
}

/// One choice.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trial {
    /// File name of the pictures.
    pub picture: String,
    /// Whether A stands on the left.
    pub a_is_left: bool,
}

/// Writes the page and its key into `folder`; without a `seed`, in an order that nobody can find out.
pub fn write(
    pairs: &[Pair],
    reference: Option<&Path>,
    folder: &Path,
    seed: Option<u64>,
    global: &Global,
) -> CommandResult {
    check_free(folder)?;
    let mut random = generator(seed)?;
    let mut order: Vec<&Pair> = pairs.iter().collect();
    order.shuffle(&mut random);
    let (mut trials, mut shown) = (Vec::new(), Vec::new());
    for (pair, a_is_left) in order.into_iter().zip(sides(pairs.len(), &mut random)) {
        let [a, b] = pair.read()?;
        let original = original(reference, pair, &b)?;
        let sides = if a_is_left { [&a, &b] } else { [&b, &a] };
        let [left, right] = sides.map(picture_data);
        shown.push(
            json!({ "left": left?, "right": right?, "reference": original.as_ref().map(picture_data).transpose()? }),
        );
        trials.push(Trial { picture: pair.name.clone(), a_is_left });
    }
    let shown = serde_json::Value::from(shown).to_string();
    let ballot = name_of(&shown);
    let page = PAGE.replace("BALLOT_NAME", &ballot).replace("BALLOT_TRIALS", &shown);
    let file = folder.join(PAGE_FILE);
    // The key first: a page without one would collect votes that nobody can count.
    files::write_json(&folder.join(KEY_FILE), &Key { ballot, trials })?;
    write_whole(&file, page.as_bytes())?;
    if global.json {
        print_line(&json!({ "page": file, "key": folder.join(KEY_FILE), "trials": pairs.len() }).to_string())?;
    } else {
        print_line(&format!(
            "page: {} (choices: {}). Keep {} to yourself until the votes are in; count them with\n  \
             kiln compare-images --vote {} --score votes.json",
            file.display(),
            pairs.len(),
            folder.join(KEY_FILE).display(),
            folder.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A second key would make the votes on the first ballot worthless.
fn check_free(folder: &Path) -> Result<(), Failure> {
    if !folder.join(KEY_FILE).exists() {
        return Ok(());
    }
    Err(Failure::Usage {
        message: format!("--vote {}: there is a ballot in this folder already", folder.display()),
        help: Some(format!("name another folder, or remove {KEY_FILE} if nobody's votes on it are to be counted")),
    })
}

fn generator(seed: Option<u64>) -> Result<ChaCha8Rng, Failure> {
    let refused =
        |error| Failure::Failed(format!("the system gives no random numbers ({error}): --seed can decide the order"));
    match seed {
        Some(seed) => Ok(ChaCha8Rng::seed_from_u64(seed)),
        None => ChaCha8Rng::try_from_rng(&mut SysRng).map_err(refused),
    }
}

/// Whether A is left, as often as not, so that a person who prefers a side prefers neither picture; of an odd number of
/// choices, chance decides the one that is over.
fn sides(choices: usize, random: &mut ChaCha8Rng) -> Vec<bool> {
    let lefts = choices / 2 + usize::from(choices % 2 == 1 && random.random_bool(0.5));
    let mut sides: Vec<bool> = (0..choices).map(|choice| choice < lefts).collect();
    sides.shuffle(random);
    sides
}

fn original(reference: Option<&Path>, pair: &Pair, judged: &Pixels) -> Result<Option<Pixels>, Failure> {
    let Some(reference) = reference else { return Ok(None) };
    if !reference.exists() {
        let message = format!("--reference {}: there is no such file or folder", reference.display());
        return Err(Failure::usage(message));
    }
    let path = if reference.is_dir() { partner(reference, &pair.b)? } else { reference.to_path_buf() };
    let pixels = Pixels::read(&path)?;
    same_kind((&path, &pixels), (&pair.b, judged))?;
    Ok(Some(pixels))
}

/// The picture as the page holds it: pixels alone, without anything that its file said of it.
fn picture_data(pixels: &Pixels) -> Result<String, Failure> {
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let plane = pixels.width * pixels.height;
    let bytes: Vec<u8> = (0..plane)
        .flat_map(|place| (0..pixels.channels).map(move |channel| channel * plane + place))
        .map(|place| (pixels.values[place].clamp(0.0, 1.0) * 255.0).round() as u8)
        .collect();
    let mut png = Cursor::new(Vec::new());
    let written = if pixels.channels == 1 {
        GrayImage::from_raw(width, height, bytes).map(|image| image.write_to(&mut png, ImageFormat::Png))
    } else {
        RgbImage::from_raw(width, height, bytes).map(|image| image.write_to(&mut png, ImageFormat::Png))
    };
    match written {
        Some(Ok(())) => Ok(format!("data:image/png;base64,{}", STANDARD.encode(png.into_inner()))),
        Some(Err(error)) => Err(Failure::Failed(format!("a picture cannot be written as PNG: {error}"))),
        None => Err(Failure::Failed("a picture is too large for PNG".into())),
    }
}

/// Different pictures, or another order of them, get another name, which says nothing that the page does not show.
fn name_of(shown: &str) -> String {
    let mut hasher = DefaultHasher::new();
    shown.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_is_left_as_often_as_right() {
        let lefts = |choices: usize, seed: u64| {
            let sides = sides(choices, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(sides.len(), choices);
            sides.iter().filter(|&&left| left).count()
        };
        assert!((0..50).all(|seed| lefts(8, seed) == 4 && lefts(0, seed) == 0));
        let odd: Vec<usize> = (0..50).map(|seed| lefts(7, seed)).collect();
        assert!(odd.iter().all(|lefts| [3, 4].contains(lefts)) && odd.contains(&3) && odd.contains(&4), "{odd:?}");
    }

    #[test]
    fn without_a_seed_every_ballot_has_an_order_of_its_own() {
        let numbers = |seed| generator(seed).ok().map(|mut random| random.random::<u64>());
        assert_eq!(numbers(Some(3)), numbers(Some(3)));
        assert_ne!(numbers(None), numbers(None));
    }
}
