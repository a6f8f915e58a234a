//! The factored layer against the same SGD through Burn's autodiff on a dense matrix, on real text.

use burn::tensor::{Int, Tensor, TensorData};
use kiln_data::split::permutation;
use kiln_lab::statistics::figure;
use kiln_lab::{Finding, JobContext, LabError, Measured, Run};
use kiln_loss::FactoredSphericalConfig;
use kiln_nn::{Activation, NgramConfig};
use serde::{Deserialize, Serialize};

use super::Settings;
use super::corpus::Corpus;
use super::method::Method;

pub(super) const FINDINGS: &[&str] = &["equality/equal-weights", "equality/equal-ranking"];

const METHODS: [Method; 4] = [
    Method::ZLoss { sharpness: 0.1, margin: 10.0 },
    Method::TaylorSoftmax,
    Method::SphericalSoftmax { eps: 0.1 },
    Method::SquaredError,
];

/// How far the two layers are apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Difference {
    /// `max |W_factored - W_dense| / max |W_dense|`.
    weights: f64,
    /// Share of the test examples for which both layers put the same class first.
    same_first: f64,
}

pub(super) fn run(settings: &Settings, run: &Run) -> Result<Vec<Finding>, LabError> {
    let corpus = Corpus::read(&settings.corpus, run.data(), settings.equality.classes)?;
    let key = |method: &Method| method.name().to_string();
    let found = run.grid("equality", &METHODS, key, |method, context| compare(method, &corpus, settings, context))?;
    let texts =
        METHODS.iter().zip(&found).map(|(method, found)| format!("{} {}", method.name(), figure(found.weights)));
    let text = texts.collect::<Vec<_>>().join(", ");
    let worst = found.iter().fold(0.0, |worst: f64, found| worst.max(found.weights));
    let steps = settings.equality.steps;
    let statement = format!("factored and dense SGD give the same weights after {steps} steps");
    let same = found.iter().fold(1.0, |least: f64, found| least.min(found.same_first));
    Ok(vec![
        Finding::new("equality/equal-weights", statement)
            .paper("exact")
            .measured(Measured::from(worst).text(text))
            .bound("largest difference below 1e-4 of the largest weight, in f32")
            .held_if(worst < 1e-4)
            .note("the dense side is Burn's autodiff; with squared error it is SGD on least squares"),
        Finding::new("equality/equal-ranking", "both put the same class first on unseen text")
            .measured(same)
            .bound("at least 99.9 % of the examples, with each loss")
            .held_if(same >= 0.999),
    ])
}

fn compare(
    method: &Method,
    corpus: &Corpus,
    settings: &Settings,
    context: &JobContext,
) -> Result<Difference, LabError> {
    let equality = &settings.equality;
    let loss = method.spherical()?.ok_or_else(|| LabError::Refused(format!("{} is not spherical", method.name())))?;
    let learning_rate = match method {
        Method::SquaredError => equality.squared_error_learning_rate,
        _ => equality.learning_rate,
    };
    let device = context.device();
    let encoder = NgramConfig::new(corpus.context_words(), settings.corpus.context)
        .with_hidden(vec![equality.hidden])
        .with_activation(Activation::Tanh)
        .init_encoder_seeded(1, &device)
        .map_err(LabError::method)?;
    let config = FactoredSphericalConfig::new(equality.hidden, corpus.vocabulary).with_bias(false).with_init_std(0.05);
    let mut factored = config.init(1).map_err(LabError::method)?;
    let all: Vec<usize> = (0..corpus.vocabulary).collect();
    let rows = factored.weight_rows(&all).map_err(LabError::method)?;
    let data = TensorData::new(rows.concat(), [corpus.vocabulary, equality.hidden]).convert::<f32>();
    let tracked = device.clone().autodiff();
    let mut dense = Tensor::<2>::from_data(data, &device);

    let order = permutation(corpus.train.len(), 1);
    let examples = order.iter().copied().cycle().take(equality.steps * equality.batch_size).collect::<Vec<_>>();
    for (step, batch) in examples.chunks(equality.batch_size).enumerate() {
        let (contexts, targets) = corpus.train.batch(batch, &device);
        let hidden = encoder.forward(contexts);
        let out = factored.step(hidden.clone(), &targets, loss.as_ref(), learning_rate).map_err(LabError::method)?;

        let classes: Vec<i64> = targets.iter().map(|&target| target as i64).collect();
        let classes = Tensor::<1, Int>::from_data(classes.as_slice(), &tracked);
        let weights = Tensor::<2>::from_data(dense.to_data(), &tracked).require_grad();
        let hidden = Tensor::<2>::from_data(hidden.to_data(), &tracked);
        let gradients = loss.forward(hidden.matmul(weights.clone().transpose()), classes).backward();
        if let Some(gradient) = weights.grad(&gradients) {
            dense = dense - gradient * learning_rate;
        }
        context.progress(step as u64 + 1, equality.steps as u64, out.loss_mean);
    }

    let rows: Vec<f64> = factored.weight_rows(&all).map_err(LabError::method)?.concat();
    let weights: Vec<f64> = dense.to_data().iter::<f64>().collect();
    let apart = largest(rows.iter().zip(&weights).map(|(left, right)| left - right));
    let sample: Vec<usize> = (0..corpus.test.len().min(2_000)).collect();
    let (contexts, _) = corpus.test.batch(&sample, &device);
    let hidden = encoder.forward(contexts);
    let first = |scores: Tensor<2>| scores.argmax(1).into_data().iter::<i64>().collect::<Vec<_>>();
    let left = first(factored.scores(hidden.clone()).map_err(LabError::method)?);
    let right = first(hidden.matmul(dense.transpose()));
    let same = left.iter().zip(&right).filter(|(left, right)| left == right).count();
    Ok(Difference { weights: apart / largest(weights.into_iter()), same_first: same as f64 / sample.len() as f64 })
}

/// The largest absolute value; NaN if there is one.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(0.0, |most, value| if value > most || value.is_nan() { value } else { most })
}
