//! Variational autoencoders whose codes carry the same number of nats.

use burn::tensor::{Tensor, TensorData};
use kiln_data::{ImageOptions, ImagePlanes, open_images};
use kiln_lab::statistics::Summary;
use kiln_lab::train::{AUTOENCODERS as MODELS, CodeUsage, ElVaeObjective, Examples, ImageRows, ImageTask, scalar};
use kiln_lab::{Finding, JobContext, LabError, Run};
use kiln_loss::perceptual::{ElVaeLossConfig, kl_divergence};
use kiln_nn::VariationalAutoencoder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::contenders::{ByName, loss_of};
use super::judgement::Results;
use super::nats::{self, Matching};
use super::quality::{Measure, Quality, judge};
use super::settings::{Settings, VaeContender};
use super::tested::{Tested, taken_apart};
use super::training::{Course, train};
use super::tuning::{self, Choice, choose, tuning_seeds};
use super::{VAE, judgement, pictures};
use crate::loss::seeds::Merit;

/// Seed of the samples of codes from which images are judged, the same for all losses and trainings.
const SAMPLES: u64 = 0;

/// Images to learn from, to choose rates and weights on and to test on.
struct Images {
    train: ImageRows,
    validation: ImageRows,
    test: ImageRows,
}

/// A training at a learning rate and with a weight of the dissimilarity.
struct Plan<'a> {
    contender: &'a VaeContender,
    rate: f64,
    weight: f64,
    seed: u64,
    /// Whether some of its images are drawn: those of the first seed.
    is_drawn: bool,
}

/// What it leaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ended {
    /// The training's own loss on the validation images.
    validation_loss: f64,
    /// Divergence of the codes of the validation and the test images, in nats an image.
    validation_nats: f64,
    test_nats: f64,
    /// Numbers of the code that are active on the test images.
    active_units: usize,
    /// Test images from one sample of each code.
    tested: Tested,
    /// Test images from the means of the codes.
    of_means: Quality,
}

pub(super) fn finding_ids() -> Vec<String> {
    let mut ids = vec![nats::finding_id()];
    ids.extend(judgement::autoencoder_ids(VAE));
    ids.extend([means_id(), active_units_id(), tuning::finding_id(VAE)]);
    ids
}

fn means_id() -> String {
    format!("{VAE}/means")
}

fn active_units_id() -> String {
    format!("{VAE}/active-units")
}

pub(super) fn run(settings: &Settings, run: &mut Run) -> Result<Vec<Finding>, LabError> {
    let images = Images::open(settings, run)?;
    let trials = Trials { settings, images: &images, run };
    let choices = trials.choose_rates()?;
    let matchings = trials.match_weights(&choices)?;
    let ended = trials.at(&choices, &matchings)?;
    let (results, shown) = taken_apart(&ended, |ended: &Ended| &ended.tested);
    let of_means = of_each(&ended, |ended| ended.of_means);
    let vae = &settings.vae;
    let description = format!("{} on {} at {} nats", vae.model, vae.dataset, vae.nats);
    let matched = nats::matched(&description, vae, &of_each(&ended, |ended| ended.test_nats), &matchings);
    let mut compared = judgement::of_autoencoder(VAE, &description, &results);
    compared.push(means(&description, &of_means));
    compared.push(active_units(&description, &of_each(&ended, |ended| ended.active_units as f64)));
    let compared = nats::comparable_if(&matched, compared);
    run.plot("rate-over-weight", &nats::plot(vae, &matchings))?;
    run.plot("reconstructions-vae", &pictures::rows(&description, &shown))?;
    run.table(judgement::table(&description, &results));
    run.table(judgement::table(format!("{description}, from the means of the codes"), &of_means));
    run.table(tuning::table(VAE, &choices));
    Ok(std::iter::once(matched).chain(compared).chain([tuning::report(VAE, &choices)]).collect())
}

/// A figure of every training.
fn of_each<T>(ended: &ByName<Vec<Option<Ended>>>, of: impl Fn(&Ended) -> T) -> ByName<Vec<Option<T>>> {
    let figures = |ended: &Vec<Option<Ended>>| ended.iter().map(|ended| ended.as_ref().map(&of)).collect();
    ByName { entries: ended.entries.iter().map(|(name, ended)| (name.clone(), figures(ended))).collect() }
}

impl Images {
    fn open(settings: &Settings, run: &Run) -> Result<Self, LabError> {
        let vae = &settings.vae;
        let options = ImageOptions { channels: Some(1), ..ImageOptions::default() };
        let splits = open_images(&vae.dataset, run.data(), &options)?;
        let rows = |pictures: &[ImagePlanes], most: usize| {
            let pictures = &pictures[..most.min(pictures.len())];
            let size = pictures.first().map_or([1, 1], |picture| [picture.shape[1], picture.shape[2]]);
            ImageRows::new(pictures, size, ImageTask::Autoencode)
        };
        Ok(Self {
            train: rows(&splits.train, vae.train_rows)?,
            validation: rows(&splits.validation, vae.max_judged)?,
            test: rows(&splits.test, vae.max_judged)?,
        })
    }
}

impl Plan<'_> {
    fn key(&self) -> String {
        let Self { contender, rate, weight, seed, .. } = self;
        format!("{}-rate-{rate}-weight-{weight}-seed-{seed}", contender.name)
    }
}

/// What all trainings share.
struct Trials<'a> {
    settings: &'a Settings,
    images: &'a Images,
    run: &'a Run,
}

/// A loss by its place, a learning rate and a weight.
struct Trial {
    place: usize,
    rate: f64,
    weight: f64,
}

impl Trials<'_> {
    /// A learning rate for each loss at the middle one of its weights, by its own loss on the validation images.
    fn choose_rates(&self) -> Result<Vec<Choice>, LabError> {
        let vae = &self.settings.vae;
        let merits = |wanted: &[(usize, f64)]| {
            let trial = |&(place, rate): &(usize, f64)| {
                let weights = &vae.losses[place].weights;
                Trial { place, rate, weight: weights[weights.len() / 2] }
            };
            let ended = self.on_tuning_seeds(&wanted.iter().map(trial).collect::<Vec<_>>())?;
            let score = |ended: &Option<Ended>| ended.as_ref().map(|ended| -ended.validation_loss);
            Ok(ended.iter().map(|ended| Merit::of(&ended.iter().map(score).collect::<Vec<_>>())).collect())
        };
        let starts = vae.losses.iter().map(|contender| (contender.name.as_str(), vae.rates.as_slice()));
        choose(VAE, starts, self.settings.further_rates, merits)
    }

    /// The weights of each loss at which its codes carry the nats of the settings, by the validation images of each seed.
    fn match_weights(&self, choices: &[Choice]) -> Result<Vec<Vec<Matching>>, LabError> {
        let seeds = self.run.seeds();
        nats::match_weights(&self.settings.vae, seeds.len(), |wanted| {
            let plans: Vec<Plan<'_>> = wanted
                .iter()
                .map(|&((place, seed), weight)| {
                    self.plan(&Trial { place, rate: choices[place].chosen, weight }, seeds[seed])
                })
                .collect();
            let ended = self.train_all(&plans)?;
            Ok(ended.into_iter().map(|ended| ended.map(|ended| ended.validation_nats)).collect())
        })
    }

    /// The trainings of all seeds, each at its weight.
    fn at(&self, choices: &[Choice], matchings: &[Vec<Matching>]) -> Result<ByName<Vec<Option<Ended>>>, LabError> {
        let seeds = self.run.seeds();
        let mut plans = Vec::new();
        for (place, (choice, matchings)) in choices.iter().zip(matchings).enumerate() {
            let trial = |matching: &Matching| Trial { place, rate: choice.chosen, weight: matching.weight };
            plans.extend(seeds.iter().zip(matchings).map(|(seed, matching)| self.plan(&trial(matching), *seed)));
        }
        let names = self.settings.vae.losses.iter().map(|contender| contender.name.clone());
        let ended = self.train_all(&plans)?;
        let of_losses = ended.chunks(seeds.len().max(1)).map(<[_]>::to_vec);
        Ok(ByName { entries: names.zip(of_losses).collect() })
    }

    /// Each trial on each of the seeds on which rates are chosen; nothing where a training diverged.
    fn on_tuning_seeds(&self, trials: &[Trial]) -> Result<Vec<Vec<Option<Ended>>>, LabError> {
        let seeds = tuning_seeds(self.settings, self.run);
        let plans: Vec<Plan<'_>> =
            trials.iter().flat_map(|trial| seeds.iter().map(|seed| self.plan(trial, *seed))).collect();
        let ended = self.train_all(&plans)?;
        Ok(ended.chunks(seeds.len().max(1)).map(<[_]>::to_vec).collect())
    }

    fn plan(&self, &Trial { place, rate, weight }: &Trial, seed: u64) -> Plan<'_> {
        let contender = &self.settings.vae.losses[place];
        Plan { contender, rate, weight, seed, is_drawn: self.run.seeds().first() == Some(&seed) }
    }

    fn train_all(&self, plans: &[Plan<'_>]) -> Result<Vec<Option<Ended>>, LabError> {
        self.run.grid(VAE, plans, Plan::key, |plan, context| self.one(plan, context))
    }

    fn one(&self, plan: &Plan<'_>, context: &JobContext) -> Result<Option<Ended>, LabError> {
        let Self { settings, images, .. } = self;
        let shape = images.train.shape();
        let dissimilarity = loss_of(&plan.contender.loss, [shape[1], shape[2]])?;
        let loss = ElVaeLossConfig::new(plan.weight).init(dissimilarity).map_err(LabError::method)?;
        let objective = ElVaeObjective { loss, shape, seed: plan.seed };
        let course =
            Course { epochs: settings.vae.epochs, batch_size: settings.batch_size, rate: plan.rate, seed: plan.seed };
        let network = MODELS.build(&settings.vae.model)?;
        let Some(network) = train(&network, &images.train, &objective, &course, context)? else { return Ok(None) };
        let usage = CodeUsage::of(&network, &images.test, &context.device());
        let network = network.variational().ok_or_else(|| LabError::setting("vae.model", "", "vae or conv-vae"))?;
        let validation = Coded::new(network, &images.validation, context);
        let test = Coded::new(network, &images.test, context);
        let Some(tested) = Tested::new([test.sampled(network), test.images.clone()], plan.is_drawn)? else {
            return Ok(None);
        };
        let Some(of_means) = judge(network.decode(test.mean.clone()), test.images.clone())? else { return Ok(None) };
        let ended = Ended {
            validation_loss: validation.loss(network, &objective),
            validation_nats: validation.nats(),
            test_nats: test.nats(),
            active_units: usage.map_or(0, |usage| usage.active_units),
            tested,
            of_means,
        };
        let is_sound = [ended.validation_loss, ended.validation_nats, ended.test_nats].iter().all(|f| f.is_finite());
        Ok(is_sound.then_some(ended))
    }
}

/// Images and the distributions of their codes.
struct Coded {
    images: Tensor<4>,
    mean: Tensor<2>,
    log_variance: Tensor<2>,
}

impl Coded {
    fn new(network: &VariationalAutoencoder, rows: &ImageRows, context: &JobContext) -> Self {
        let all: Vec<usize> = (0..rows.len()).collect();
        let [channels, height, width] = rows.shape();
        let (images, _) = rows.examples(&all, 1, &context.device());
        let images: Tensor<4> = images.reshape([all.len(), channels, height, width]);
        let (mean, log_variance) = network.encode(images.clone());
        Self { images, mean, log_variance }
    }

    /// The images of one sample of each code: what the network was trained to give.
    fn sampled(&self, network: &VariationalAutoencoder) -> Tensor<4> {
        let shape = self.mean.dims();
        let mut random = ChaCha8Rng::seed_from_u64(SAMPLES);
        let noise: Vec<f32> = (0..shape[0] * shape[1]).map(|_| random.sample(StandardNormal)).collect();
        let noise = Tensor::<2>::from_data(TensorData::new(noise, shape), &self.mean.device());
        network.decode(self.mean.clone() + self.log_variance.clone().mul_scalar(0.5).exp() * noise)
    }

    fn loss(&self, network: &VariationalAutoencoder, objective: &ElVaeObjective) -> f64 {
        let Self { images, mean, log_variance } = self;
        let loss = &objective.loss;
        scalar(&loss.forward(images.clone(), self.sampled(network), mean.clone(), log_variance.clone()))
    }

    fn nats(&self) -> f64 {
        scalar(&kl_divergence(self.mean.clone(), self.log_variance.clone()).mean())
    }
}

/// What the images would be if codes were not drawn, which is reported and not judged.
fn means(description: &str, results: &Results) -> Finding {
    let measures = [Measure::MS_SSIM, Measure::GMSD, Measure::DETAIL, Measure::PSNR];
    let text = measures.map(|measure| format!("{}: {}", measure.name, judgement::figures(measure, results)));
    Finding::new(
        means_id(),
        format!("{description}: the same images from the means of the codes instead of one sample"),
    )
    .measured(text.join("; "))
}

/// How many numbers of the code say anything about the image, which is reported and not judged.
fn active_units(description: &str, used: &ByName<Vec<Option<f64>>>) -> Finding {
    let text = used
        .entries
        .iter()
        .map(|(name, used)| format!("{name} {}", Summary::of(&used.iter().flatten().copied().collect::<Vec<_>>())));
    let statement = format!(
        "{description}: numbers of the code that are active, as `kiln evaluate` counts them, on the test images"
    );
    Finding::new(active_units_id(), statement).measured(text.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};
    use kiln_nn::AutoencoderConfig;

    fn coded(spread: [f32; 3], log_variance: f32) -> Coded {
        let device = Device::flex();
        device.seed(1);
        let images = Tensor::<4>::random([50, 1, 8, 8], Distribution::Default, &device);
        let spread = Tensor::<1>::from_floats(spread, &device).unsqueeze_dim::<2>(0);
        let mean = Tensor::<2>::random([50, 3], Distribution::Normal(0.0, 1.0), &device) * spread + 5.0;
        let log_variance = Tensor::full([50, 3], log_variance, &device);
        Coded { images, mean, log_variance }
    }

    #[test]
    fn samples_are_the_same_each_time_and_as_far_from_the_mean_as_the_variance_says() {
        let network = AutoencoderConfig::fully_connected([1, 8, 8]).with_code_size(3);
        let network = network.init_variational_seeded(1, &Device::flex()).unwrap();
        let apart = |log_variance: f32| {
            let coded = coded([1.0; 3], log_variance);
            let [once, again] = [0, 1].map(|_| coded.sampled(&network));
            assert_eq!(once.to_data(), again.into_data());
            (once - network.decode(coded.mean)).square().mean().into_scalar::<f64>()
        };
        let (narrow, wide) = (apart(-60.0), apart(0.0));
        assert!(narrow < 1e-12 && wide > 1e-6, "{narrow} {wide}");
    }
}
