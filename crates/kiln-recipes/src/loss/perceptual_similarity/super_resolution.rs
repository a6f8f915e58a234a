//! Photographs made large again by SRCNN.

use burn::tensor::Tensor;
use kiln_data::ImagePlanes;
use kiln_lab::statistics::Summary;
use kiln_lab::train::{BatchTargets, Examples, ImageRows, ImageTask, UPSCALERS};
use kiln_lab::{Finding, JobContext, LabError, Measured, Run};
use kiln_nn::Network;

use super::contenders::MSE;
use super::photos::{Fold, Photographs};
use super::pictures::{self, Shown};
use super::quality::{Measure, Quality, judge};
use super::tested::{Tested, taken_apart};
use super::training::{Course, objective, outputs, train};
use super::tuning::{self, Judged, Plan, at_best_rates};
use super::{SUPER_RESOLUTION, Settings, judgement};

/// Side of the part of a photograph that is drawn.
const DRAWN: usize = 96;
const BICUBIC: &str = "bicubic";
const JUDGED: [Measure; 2] = [Measure::SSIM, Measure::GMSD];

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    let of_factor = |factor: &usize| {
        let id = id(*factor);
        let names = JUDGED.map(|measure| measure.id).into_iter().chain(["price", BICUBIC]);
        names.map(|name| format!("{id}/{name}")).collect::<Vec<_>>()
    };
    let mut ids: Vec<String> = settings.super_resolution.factors.iter().flat_map(of_factor).collect();
    ids.push(tuning::finding_id(SUPER_RESOLUTION));
    ids
}

fn id(factor: usize) -> String {
    format!("{SUPER_RESOLUTION}/x{factor}")
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let photographs = Photographs::read(settings, run)?;
    let (mut findings, mut choices) = (Vec::new(), Vec::new());
    for &factor in &settings.super_resolution.factors {
        let photographs = photographs.map(|photograph| of_whole_blocks(photograph, factor));
        let work = |plan: &Plan<'_>, context: &JobContext| one(factor, plan, &photographs, settings, context);
        let compared = at_best_rates(SUPER_RESOLUTION, &format!("x{factor}"), settings, run, work)?;
        let (mut results, mut shown) = taken_apart(&compared.results, |tested: &Tested| tested);
        let description = format!("{} on photographs made {factor} times smaller", settings.super_resolution.model);
        for measure in JUDGED {
            findings.push(judgement::better(&id(factor), &description, measure, &[MSE], &results));
        }
        findings.push(judgement::price(&id(factor), &description, &results));
        let (bicubic, drawn) = bicubic(factor, &photographs, run)?;
        findings.push(gain_over_bicubic(&id(factor), &description, results.of(MSE), &bicubic));
        shown.entries.insert(0, (BICUBIC.to_string(), drawn));
        run.plot(&format!("photographs-x{factor}"), &pictures::rows(&description, &shown))?;
        results.entries.insert(0, (BICUBIC.to_string(), bicubic));
        run.table(judgement::table(description, &results));
        choices.extend(compared.choices);
    }
    findings.push(tuning::report(SUPER_RESOLUTION, &choices));
    run.table(tuning::table(SUPER_RESOLUTION, &choices));
    Ok(findings)
}

/// Whether the network has learnt anything: what the squared error, which asks for nothing else, gains in decibels.
fn gain_over_bicubic(id: &str, description: &str, mse: &[Option<Quality>], bicubic: &[Option<Quality>]) -> Finding {
    let pairs = mse.iter().zip(bicubic);
    let gains: Vec<f64> = pairs.filter_map(|(own, other)| Some(own.as_ref()?.psnr - other.as_ref()?.psnr)).collect();
    let summary = Summary::of(&gains);
    let wins = gains.iter().filter(|&&gain| gain > 0.0).count();
    Finding::new(
        format!("{id}/{BICUBIC}"),
        format!(
            "{description}: decibels of PSNR that the network gains over bicubic interpolation, trained with {MSE}"
        ),
    )
    .measured(Measured::from(summary).text(format!("{summary}; above 0 on {wins} of {} seeds", mse.len())))
}

fn one(
    factor: usize,
    plan: &Plan<'_>,
    photographs: &Photographs,
    settings: &Settings,
    context: &JobContext,
) -> Result<Option<Judged<Tested>>, LabError> {
    let Fold { train: photographs, validation, test } = photographs.fold(plan.seed);
    let size = [settings.super_resolution.patch; 2];
    let patches = |photographs: &[ImagePlanes]| ImageRows::new(photographs, size, ImageTask::Upscale { factor });
    let rows = patches(&photographs)?.placed_at_random(plan.seed);
    let objective = objective(&plan.contender.loss, rows.shape())?;
    let course = Course {
        epochs: settings.super_resolution.epochs,
        batch_size: settings.super_resolution.batch_size,
        rate: plan.rate,
        seed: plan.seed,
    };
    let network = UPSCALERS.build(&settings.super_resolution.model)?;
    let Some(network) = train(&network, &rows, &objective, &course, context)? else { return Ok(None) };
    let [input, target] = whole(&test, factor, context)?;
    let output = upscaled(&network, input)?;
    let shown = plan.is_drawn.then(|| drawn(&output, &target));
    let Some(quality) = judge(output, target)? else { return Ok(None) };
    let validation = outputs(&network, &patches(&[validation])?, context);
    Judged::new(plan.contender, validation, Tested { quality, shown })
}

/// The photograph without the rows and columns that do not fill a block of `factor` pixels.
fn of_whole_blocks(photograph: &ImagePlanes, factor: usize) -> ImagePlanes {
    let [_, height, width] = photograph.shape;
    photograph.part([0, 0], [height / factor * factor, width / factor * factor])
}

/// A whole photograph, made small and large again, and as it was: `[1, 1, height, width]`.
fn whole(photograph: &ImagePlanes, factor: usize, context: &JobContext) -> Result<[Tensor<4>; 2], LabError> {
    let [_, height, width] = photograph.shape;
    let rows = ImageRows::new(std::slice::from_ref(photograph), [height, width], ImageTask::Upscale { factor })?;
    let (input, target): (Tensor<2>, BatchTargets) = rows.examples(&[0], 1, &context.device());
    Ok([input, target.values()].map(|values| values.reshape([1, 1, height, width])))
}

fn upscaled(network: &Network, input: Tensor<4>) -> Result<Tensor<4>, LabError> {
    let network = network.sr_cnn().ok_or_else(|| LabError::setting("super_resolution.model", "", "srcnn"))?;
    Ok(network.forward(input))
}

/// The middle of a photograph.
fn drawn(output: &Tensor<4>, target: &Tensor<4>) -> Shown {
    let middle = |images: &Tensor<4>| {
        let [_, _, height, width] = images.dims();
        let (rows, columns) = (height.min(DRAWN), width.min(DRAWN));
        images.clone().narrow(2, (height - rows) / 2, rows).narrow(3, (width - columns) / 2, columns)
    };
    Shown::spread(&middle(output), &middle(target), 1)
}

/// Bicubic interpolation alone, one result a seed, and the picture of the first.
fn bicubic(factor: usize, photographs: &Photographs, run: &Run) -> Result<(Vec<Option<Quality>>, Shown), LabError> {
    let context = JobContext::detached(run.device());
    let (mut qualities, mut first) = (Vec::new(), None);
    for &seed in run.seeds() {
        let [input, target] = whole(&photographs.fold(seed).test, factor, &context)?;
        first.get_or_insert_with(|| drawn(&input, &target));
        qualities.push(judge(input, target)?);
    }
    let first = first.ok_or_else(|| LabError::setting("seeds", 0, "at least one"))?;
    Ok((qualities, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_keeps_whole_blocks() {
        let photograph = ImagePlanes { name: "a".into(), shape: [1, 8, 10], values: vec![0.5; 80] };
        assert_eq!(of_whole_blocks(&photograph, 3).shape, [1, 6, 9]);
        let context = JobContext::detached(burn::tensor::Device::flex());
        let [input, target] = whole(&of_whole_blocks(&photograph, 3), 3, &context).unwrap();
        assert_eq!((input.dims(), target.dims()), ([1, 1, 6, 9], [1, 1, 6, 9]));
    }

    #[test]
    fn the_gain_is_over_bicubic_interpolation_on_the_same_photograph() {
        let quality = |psnr| {
            let (exact, flat) = (0, 0);
            Some(Quality { psnr, ssim: 0.5, ms_ssim: 0.5, gmsd: 0.1, detail: 1.0, edge_f1: 0.5, exact, flat })
        };
        let mse = [quality(30.0), None, quality(20.0)];
        let found = gain_over_bicubic("x2", "a net", &mse, &[quality(28.0), quality(25.0), quality(21.0)]);
        assert_eq!((found.measured.mean, found.measured.n), (Some(0.5), 2));
        assert!(found.measured.text.ends_with("above 0 on 1 of 3 seeds"), "{}", found.measured.text);
    }
}
