//! Autoencoders of patches of photographs.

use burn::tensor::Tensor;
use kiln_data::ImagePlanes;
use kiln_lab::train::{AUTOENCODERS as MODELS, ImageRows, ImageTask, Selector};
use kiln_lab::{Finding, JobContext, LabError, Run};
use serde::{Deserialize, Serialize};

use super::contenders::ByName;
use super::judgement::{self, Results};
use super::photos::{self, Fold};
use super::pictures::{self, Shown};
use super::quality::{Quality, judge};
use super::training::{Course, Judged, Plan, at_best_rates, objective, outputs, train};
use super::{AUTOENCODERS, Settings};

/// Images of the first seed that are drawn.
const DRAWN: usize = 8;

/// What is kept of the test images.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tested {
    pub(super) quality: Quality,
    /// Some of them, of the first seed.
    pub(super) shown: Option<Shown>,
}

impl Tested {
    /// Judges outputs; keeps some where `is_drawn`.
    pub(super) fn new([outputs, targets]: [Tensor<4>; 2], is_drawn: bool) -> Result<Self, LabError> {
        let shown = is_drawn.then(|| Shown::spread(&outputs, &targets, DRAWN));
        Ok(Self { quality: judge(outputs, targets)?, shown })
    }
}

/// Results and pictures apart.
pub(super) fn taken_apart(tested: &ByName<Vec<Option<Tested>>>) -> (Results, ByName<Shown>) {
    let qualities = |tested: &Vec<Option<Tested>>| tested.iter().map(|t| t.as_ref().map(|t| t.quality)).collect();
    let results = tested.entries.iter().map(|(name, tested)| (name.clone(), qualities(tested))).collect();
    let shown = tested.entries.iter().filter_map(|(name, tested)| {
        let shown = tested.first()?.as_ref()?.shown.clone()?;
        Some((name.clone(), shown))
    });
    (ByName { entries: results }, ByName { entries: shown.collect() })
}

pub(super) fn finding_ids(settings: &Settings) -> Vec<String> {
    settings.autoencoders.models.iter().flat_map(|model| judgement::autoencoder_ids(&id(model))).collect()
}

fn id(model: &Selector) -> String {
    format!("{AUTOENCODERS}/{}", model.name())
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let photographs = photos::read(settings, run)?;
    let mut findings = Vec::new();
    for model in &settings.autoencoders.models {
        let work = |plan: &Plan<'_>, context: &JobContext| one(model, plan, &photographs, settings, context);
        let compared = at_best_rates(AUTOENCODERS, &model.to_string(), settings, run, work)?;
        let (results, shown) = taken_apart(&compared.results);
        let patch = settings.autoencoders.patch;
        let description = format!("{model} on patches of {patch} x {patch} pixels");
        findings.extend(judgement::of_autoencoder(&id(model), &description, &results));
        run.plot(&format!("reconstructions-{}", model.name()), &pictures::rows(&description, &shown))?;
        run.table(judgement::table(description, &results));
        run.note(pictures::rates(model.name(), &compared.rates));
    }
    Ok(findings)
}

fn one(
    model: &Selector,
    plan: &Plan<'_>,
    photographs: &[ImagePlanes],
    settings: &Settings,
    context: &JobContext,
) -> Result<Option<Judged<Tested>>, LabError> {
    let Fold { train: photographs, validation, test } = photos::fold(photographs, plan.seed);
    let size = [settings.autoencoders.patch; 2];
    let patches = |photographs: &[ImagePlanes]| ImageRows::new(photographs, size, ImageTask::Autoencode);
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
    let tested = Tested::new(outputs(test)?, plan.is_drawn)?;
    Ok(Some(Judged::new(plan.contender, outputs(validation)?, tested)?))
}
