//! `kiln compare-images`: how much pictures resemble others.

mod ballot;
mod difference;
mod pairs;
mod picture;
mod votes;

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::{Device, Tensor, TensorData};
use indicatif::{ProgressBar, ProgressStyle};
use kiln_lab::Table;
use kiln_loss::LossError;
use kiln_loss::perceptual::{MsSsim, MsSsimConfig, Ssim, SsimConfig, Window, metrics};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{CommandResult, Failure};
use crate::output::print_line;
use pairs::{Pair, pairs};
use picture::Pixels;

/// Which pictures. Values count from 0 to 1 whatever the depth, and each colour is compared by itself; folders are matched by
/// the names of the files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kiln compare-images original.png compressed.png\n  \
                        kiln compare-images originals/ restored/ --scales 3 --out differences --json\n  \
                        kiln compare-images ours/ theirs/ --reference originals/ --vote ballot\n  \
                        kiln compare-images --vote ballot --score votes.json")]
pub struct CompareImagesArgs {
    /// Picture or folder to compare with
    #[arg(value_name = "A", required_unless_present = "score")]
    a: Option<PathBuf>,
    /// Picture or folder to be judged: of a folder, every picture
    #[arg(value_name = "B", required_unless_present = "score")]
    b: Option<PathBuf>,
    /// Side of the Gaussian window (standard deviation 1.5 pixels), odd
    #[arg(long, value_name = "PIXELS", default_value_t = 11, conflicts_with = "vote")]
    window: usize,
    /// Number of scales of MS-SSIM, 1 to 5
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u8).range(1..=5),
        conflicts_with = "vote"
    )]
    scales: u8,
    /// Folder for one picture a pair: both, the similarity at each pixel (white where equal), and the absolute difference
    /// (four times as bright)
    #[arg(long, value_name = "DIR", conflicts_with = "vote")]
    out: Option<PathBuf>,
    /// Folder for a page on which people vote between A and B without knowing which is which; with --score, the folder in
    /// which the page was made
    #[arg(long, value_name = "DIR")]
    vote: Option<PathBuf>,
    /// Picture or folder that A and B are to resemble, shown above them on the page of --vote
    #[arg(long, value_name = "R", requires = "vote", conflicts_with = "score")]
    reference: Option<PathBuf>,
    /// Votes that were saved by the page in the folder of --vote; one file for each person
    #[arg(long, value_name = "FILE", requires = "vote", conflicts_with_all = ["a", "b"], num_args = 1..)]
    score: Option<Vec<PathBuf>>,
    /// Decides the order and the sides in which the page of --vote shows the pictures; without it, nobody can find them out
    #[arg(long, value_name = "N", requires = "vote", conflicts_with = "score")]
    seed: Option<u64>,
}

/// Compares, or makes a ballot, or counts votes.
pub fn run(args: CompareImagesArgs, global: &Global) -> CommandResult {
    match (&args.a, &args.b, &args.vote, &args.score) {
        (_, _, Some(folder), Some(files)) => votes::count(folder, files, global),
        (Some(a), Some(b), Some(folder), None) => {
            let reference = args.reference.as_deref();
            ballot::write(&pairs(a, b)?, reference, folder, args.seed, global)
        }
        (Some(a), Some(b), None, _) => compare(&args, &pairs(a, b)?, global),
        // The parser asks for A and B where there is no --score, and for --vote where there is one.
        _ => Err(Failure::usage("two pictures or folders are needed, A and B")),
    }
}

/// The measures of the flags.
struct Measures {
    ssim: Ssim,
    ms_ssim: MsSsim,
}

/// What they say of a pair.
struct Scores {
    ssim: f64,
    ms_ssim: f64,
    /// In decibels; infinite for equal pictures.
    psnr: f64,
    gmsd: f64,
}

fn compare(args: &CompareImagesArgs, pairs: &[Pair], global: &Global) -> CommandResult {
    let measures = Measures::new(args)?;
    let bar = progress(pairs.len());
    let mut scores = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let [a, b] = pair.read()?;
        let images = [&a, &b].map(tensor);
        scores.push(measures.of(pair, &a, images.clone())?);
        if let Some(folder) = &args.out {
            difference::write(folder, pair, [&a, &b], &measures.ssim, images)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    show(args, pairs, &scores, global)?;
    Ok(ExitCode::SUCCESS)
}

fn progress(pairs: usize) -> ProgressBar {
    let bar = ProgressBar::new(pairs as u64);
    let template = "{bar:30} {pos}/{len} pairs, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// `[1, channels, height, width]`.
fn tensor(pixels: &Pixels) -> Tensor<4> {
    let shape = [1, pixels.channels, pixels.height, pixels.width];
    Tensor::from_data(TensorData::new(pixels.values.clone(), shape), &Device::flex())
}

impl Measures {
    fn new(args: &CompareImagesArgs) -> Result<Self, Failure> {
        let window = Window::Gaussian { size: args.window, sigma: 1.5 };
        let refused = |error: LossError| Failure::usage(format!("--window {}: {error}", args.window));
        let ms_ssim = MsSsimConfig::new().with_window(window).with_scales(usize::from(args.scales));
        Ok(Self {
            ssim: SsimConfig::new().with_window(window).init().map_err(refused)?,
            ms_ssim: ms_ssim.init().map_err(refused)?,
        })
    }

    fn of(&self, pair: &Pair, pixels: &Pixels, [a, b]: [Tensor<4>; 2]) -> Result<Scores, Failure> {
        self.check_size(pair, [pixels.height, pixels.width])?;
        let value = |value: Tensor<1>| value.into_scalar::<f64>();
        Ok(Scores {
            ssim: value(self.ssim.forward(a.clone(), b.clone())),
            ms_ssim: value(self.ms_ssim.forward(a.clone(), b.clone())),
            psnr: value(metrics::psnr(a.clone(), b.clone(), 1.0)),
            gmsd: value(metrics::gmsd(a, b, 1.0)),
        })
    }

    fn check_size(&self, pair: &Pair, dims: [usize; 2]) -> Result<(), Failure> {
        /// The halved picture needs a pixel with neighbours on both sides.
        const LEAST_FOR_GRADIENTS: usize = 6;
        let named = |message: String, help: String| Failure::Usage {
            message: format!("{}: {message}", pair.b.display()),
            help: Some(help),
        };
        if dims.iter().any(|&side| side < LEAST_FOR_GRADIENTS) {
            let [height, width] = dims;
            let message = format!("a picture of {width} x {height} pixels");
            return Err(named(message, format!("both sides must be at least {LEAST_FOR_GRADIENTS}")));
        }
        match self.ms_ssim.check_size(&dims) {
            Err(error @ LossError::ImageSize { fitting: 0, .. }) => {
                let side = dims.into_iter().min().unwrap_or(0);
                let largest = if side.is_multiple_of(2) { side - 1 } else { side };
                Err(named(error.to_string(), format!("try --scales 1 --window {}", largest.min(11))))
            }
            Err(error @ LossError::ImageSize { fitting, .. }) => {
                Err(named(error.to_string(), format!("try --scales {fitting}, or a smaller --window")))
            }
            Err(error) => Err(Failure::Failed(error.to_string())),
            Ok(()) => Ok(()),
        }
    }
}

fn show(args: &CompareImagesArgs, pairs: &[Pair], scores: &[Scores], global: &Global) -> Result<(), Failure> {
    let mean = Mean::of(scores);
    if global.json {
        let rows: Vec<Value> = pairs
            .iter()
            .zip(scores)
            .map(|(pair, scores)| {
                let mut row = scores.json();
                row["a"] = json!(pair.a.to_string_lossy());
                row["b"] = json!(pair.b.to_string_lossy());
                row
            })
            .collect();
        let settings = json!({ "window": args.window, "scales": args.scales });
        return Ok(print_line(&json!({ "settings": settings, "pictures": rows, "mean": mean.json() }).to_string())?);
    }
    let mut table = Table::new("", ["picture", "SSIM", "MS-SSIM", "PSNR (dB)", "GMSD"]);
    for (pair, scores) in pairs.iter().zip(scores) {
        table.push(scores.cells(&pair.name));
    }
    if scores.len() > 1 {
        table.push(mean.scores.cells("mean"));
    }
    print_line(&table.terminal())?;
    if (1..scores.len()).contains(&mean.psnr_pictures) {
        let (some, all) = (mean.psnr_pictures, scores.len());
        print_line(&format!("the mean PSNR is that of {some} of {all} pictures: of equal ones, PSNR is infinite"))?;
    }
    if let Some(folder) = &args.out {
        print_line(&format!("differences: {}", folder.display()))?;
    }
    Ok(())
}

/// What the measures say of all pairs.
struct Mean {
    /// PSNR is the mean over the pairs that are not equal, and infinite where all are.
    scores: Scores,
    /// Pairs that are not equal.
    psnr_pictures: usize,
}

impl Mean {
    fn of(scores: &[Scores]) -> Self {
        let of = |figure: fn(&Scores) -> f64| scores.iter().map(figure).sum::<f64>() / scores.len() as f64;
        let ratios: Vec<f64> = scores.iter().map(|scores| scores.psnr).filter(|&psnr| psnr != f64::INFINITY).collect();
        let psnr_pictures = ratios.len();
        let psnr = if ratios.is_empty() { f64::INFINITY } else { ratios.iter().sum::<f64>() / psnr_pictures as f64 };
        let (ssim, ms_ssim) = (of(|scores| scores.ssim), of(|scores| scores.ms_ssim));
        Self { scores: Scores { ssim, ms_ssim, psnr, gmsd: of(|scores| scores.gmsd) }, psnr_pictures }
    }

    fn json(&self) -> Value {
        let mut mean = self.scores.json();
        mean["psnr_pictures"] = json!(self.psnr_pictures);
        mean
    }
}

impl Scores {
    fn cells(&self, name: &str) -> [String; 5] {
        let four = |value: f64| format!("{value:.4}");
        [name.to_string(), four(self.ssim), four(self.ms_ssim), format!("{:.2}", self.psnr), four(self.gmsd)]
    }

    /// The ratio of equal pictures is infinite, for which JSON has no number: null.
    fn json(&self) -> Value {
        json!({ "ssim": self.ssim, "ms_ssim": self.ms_ssim, "psnr": self.psnr, "gmsd": self.gmsd })
    }
}
