//! Autoencoders of patches of photographs.

use kiln_lab::train::{AUTOENCODERS as MODELS, ImageRows, ImageTask, Selector};
use kiln_lab::{Finding, JobContext, LabError, Run};
use serde::{Deserialize, Serialize};

use super::contenders::ByName;
use super::each_image::{self, EachImage};
use super::photos::{Fold, Photographs};
use super::tested::{Tested, taken_apart};
use super::training::{Course, objective, outputs, train};
use super::tuning::{self, Judged, Plan, at_best_rates};
use super::{AUTOENCODERS, Settings, judgement, pictures};

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    let of_model = |model: &Selector| {
        let id = id(model);
        let mut ids = judgement::autoencoder_ids(&id);
        ids.push(each_image::finding_id(&id));
        ids
    };
    let mut ids: Vec<String> = settings.autoencoders.models.iter().flat_map(of_model).collect();
    ids.push(tuning::finding_id(AUTOENCODERS));
    ids
}

fn id(model: &Selector) -> String {
    format!("{AUTOENCODERS}/{}", model.name())
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let photographs = Photographs::read(settings, run)?;
    let (mut findings, mut choices) = (Vec::new(), Vec::new());
    for model in &settings.autoencoders.models {
        let work = |plan: &Plan<'_>, context: &JobContext| one(model, plan, &photographs, settings, context);
        let compared = at_best_rates(AUTOENCODERS, &model.to_string(), settings, run, work)?;
        let (results, shown) = taken_apart(&compared.results, |kept: &Kept| &kept.tested);
        let patch = settings.autoencoders.patch;
        let description = format!("{model} on patches of {patch} x {patch} pixels");
        findings.extend(judgement::of_autoencoder(&id(model), &description, &results));
        let each = ByName {
            entries: compared.results.entries.iter().map(|(name, kept)| (name.clone(), each_of(kept))).collect(),
        };
        findings.push(each_image::contrast(&id(model), &description, &each));
        run.plot(&format!("reconstructions-{}", model.name()), &pictures::rows(&description, &shown))?;
        run.plot(&format!("contrast-{}", model.name()), &each_image::contrast_plot(&description, run.seeds(), &each))?;
        run.plot(&format!("best-to-worst-{}", model.name()), &each_image::ranking_plot(&description, &each))?;
        run.table(judgement::table(description, &results));
        choices.extend(compared.choices);
    }
    findings.push(tuning::report(AUTOENCODERS, &choices));
    run.table(tuning::table(AUTOENCODERS, &choices));
    Ok(findings)
}

/// What is kept of the test patches.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    tested: Tested,
    each: EachImage,
}

fn each_of(kept: &[Option<Kept>]) -> Vec<Option<EachImage>> {
    kept.iter().map(|kept| kept.as_ref().map(|kept| kept.each.clone())).collect()
}

fn one(
    model: &Selector,
    plan: &Plan<'_>,
    photographs: &Photographs,
    settings: &Settings,
    context: &JobContext,
) -> Result<Option<Judged<Kept>>, LabError> {
    let Fold { train: photographs, validation, test } = photographs.fold(plan.seed);
    let size = [settings.autoencoders.patch; 2];
    let patches = |photographs: &[_]| ImageRows::new(photographs, size, ImageTask::Autoencode);
    let rows = patches(&photographs)?.placed_at_random(plan.seed);
    let objective = objective(&plan.contender.loss, rows.shape())?;
    let course = Course {
        epochs: settings.autoencoders.epochs,
        batch_size: settings.batch_size,
        rate: plan.rate,
        seed: plan.seed,
    };
    let Some(network) = train(&MODELS.build(model)?, &rows, &objective, &course, context)? else { return Ok(None) };
    let outputs = |photograph| Ok::<_, LabError>(outputs(&network, &patches(&[photograph])?, context));
    let test = outputs(test)?;
    let each = EachImage::new(&test, plan.is_drawn);
    let Some(tested) = Tested::new(test, plan.is_drawn)? else { return Ok(None) };
    Judged::new(plan.contender, outputs(validation)?, Kept { tested, each })
}
