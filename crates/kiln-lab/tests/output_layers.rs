//! Trainings whose output layer learns in its own way.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tolerance};
use burn::train::ExecutionStrategy;
use kiln_data::{DataDir, OpenOptions, Splits, open, open_text, text::CorpusOptions};
use kiln_lab::train::{
    Backpropagation, FitSettings, LANGUAGE_MODELS, NextWordFigures, OPTIMIZERS, OUTPUT_LAYERS, Schedule, Trained,
    Training, accuracy, fit, train,
};
use kiln_lab::{JobContext, LabError};
use kiln_loss::FactoredSphericalConfig;
use kiln_nn::{Network, NetworkConfig};

fn digits() -> Splits {
    open("digits", &DataDir::find(None), &OpenOptions::default()).unwrap()
}

/// A training of `network` under an output layer and a loss.
fn trained(
    layer: &str,
    loss: &str,
    network: Network,
    splits: &Splits,
    epochs: usize,
    folder: &Path,
) -> Result<Trained, LabError> {
    let settings = FitSettings { epochs, batch_size: 60, learning_rate: 4e-3, schedule: Schedule::Constant, seed: 1 };
    let layer = OUTPUT_LAYERS.build(&layer.parse().unwrap()).unwrap();
    let total_steps = splits.train.len().div_ceil(settings.batch_size) * epochs;
    let training = Training {
        objective: layer.objective(&loss.parse().unwrap(), &splits.train, &network, &settings, total_steps)?,
        network,
        rule: Box::new(Backpropagation),
        optimizer: OPTIMIZERS.build(&"adam".parse().unwrap()).unwrap(),
        settings,
        patience: None,
        probes: Vec::new(),
        strategy: ExecutionStrategy::single(Device::flex()),
    };
    train(training, splits, folder, Arc::new(JobContext::detached(Device::flex())))
}

fn mlp(splits: &Splits) -> Network {
    NetworkConfig::mlp([32]).init_seeded(splits.train.input_shape(), 10, 1, &Device::flex()).unwrap()
}

fn weights(network: &Network) -> Vec<f32> {
    let head = network.linear_head().unwrap();
    let bias = head.bias.as_ref().unwrap().val();
    head.weight.val().into_data().iter::<f32>().chain(bias.into_data().iter::<f32>()).collect()
}

#[test]
fn every_spherical_loss_learns_with_the_factored_layer() {
    let (splits, device) = (digits(), Device::flex());
    for loss in ["z-loss", "taylor-softmax", "squared-error"] {
        let folder = tempfile::tempdir().unwrap();
        let result = trained("factored", loss, mlp(&splits), &splits, 12, folder.path()).unwrap();
        let found = accuracy(&result.network, &splits.test, &device);
        assert!(found > 0.85, "{loss}: {found}");
        assert!(result.best.train_accuracy.is_nan() && result.best.validation_accuracy > 85.0, "{loss}");
    }
}

#[test]
fn the_network_of_an_epoch_gives_the_scores_of_the_layer() {
    // At a rate that leaves the layer alone, it is the one that the training began with.
    let (splits, folder) = (digits(), tempfile::tempdir().unwrap());
    let result = trained("factored:lr=1e-300", "z-loss", mlp(&splits), &splits, 1, folder.path()).unwrap();
    let layer = FactoredSphericalConfig::new(32, 10).with_init_std(0.05).init(1).unwrap();
    let (inputs, _) = splits.test.all(&Device::flex());
    let expected = layer.scores(result.network.features(inputs.clone())).unwrap();
    let scores = result.network.forward(inputs);
    scores.into_data().assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-5));
    // The network below has learnt.
    let before = mlp(&splits).features(splits.test.all(&Device::flex()).0);
    let after = result.network.features(splits.test.all(&Device::flex()).0);
    assert_ne!(before.into_data(), after.into_data());
}

#[test]
fn the_loop_in_memory_takes_the_factored_layer_too() {
    let (splits, device) = (digits(), Device::flex());
    let settings =
        FitSettings { epochs: 10, batch_size: 60, learning_rate: 4e-3, schedule: Schedule::Constant, seed: 1 };
    let layer = OUTPUT_LAYERS.build(&"factored".parse().unwrap()).unwrap();
    let (loss, network) = ("z-loss".parse().unwrap(), mlp(&splits));
    let objective = layer.objective(&loss, &splits.train, &network, &settings, 1).unwrap();
    let optimizer = OPTIMIZERS.build(&"adam".parse().unwrap()).unwrap();
    let context = JobContext::detached(device.clone());
    let fitted = fit(network, &splits.train, None, objective.as_ref(), optimizer, &settings, &context).unwrap();
    let found = accuracy(&fitted.network, &splits.test, &device);
    assert!(found > 0.85, "{found}");
}

#[test]
fn a_factored_training_is_resumed_bit_for_bit() {
    let splits = digits();
    let (whole, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = |folder: &Path, epochs| {
        let result = trained("factored:weight-decay=0.001", "z-loss", mlp(&splits), &splits, epochs, folder).unwrap();
        (weights(&result.network), result.best.epoch, result.best.validation_loss)
    };
    let uninterrupted = run(whole.path(), 8);
    assert_ne!(run(halves.path(), 4), uninterrupted);
    assert_eq!(run(halves.path(), 8), uninterrupted);
    // A checkpoint of another layer does not go unnoticed.
    let other = trained("factored:init-std=0.01", "z-loss", mlp(&splits), &splits, 9, halves.path());
    let message = other.err().unwrap().to_string();
    assert!(message.contains("memory-8.bin is not a valid factored layer"), "{message}");
}

#[test]
fn a_layer_that_runs_away_is_a_divergence() {
    let (splits, folder) = (digits(), tempfile::tempdir().unwrap());
    let result = trained("factored:lr=1e5", "squared-error", mlp(&splits), &splits, 3, folder.path());
    assert!(matches!(result.err().unwrap(), LabError::Diverged { .. }));
}

#[test]
fn every_output_layer_learns_more_of_a_novel_than_how_often_words_come() {
    let device = Device::flex();
    let novel = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/text/austen-persuasion.txt"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("beginning.txt");
    std::fs::write(&path, novel.unwrap().chars().take(150_000).collect::<String>()).unwrap();
    let options = CorpusOptions { min_count: 5, ..CorpusOptions::default() };
    let splits = open_text(&path.display().to_string(), &DataDir::find(None), &options, 3).unwrap();
    let baseline = NextWordFigures::of_frequencies(&splits.train, &splits.test, &device).unwrap();
    let words = splits.train.num_classes();
    for (layer, loss, sure) in
        [("dense", "cross-entropy", true), ("hierarchical", "cross-entropy", true), ("factored", "z-loss", false)]
    {
        let model = LANGUAGE_MODELS.build(&"ngram:embedding=32,hidden=64".parse().unwrap()).unwrap();
        let model = OUTPUT_LAYERS.build(&layer.parse().unwrap()).unwrap().fit_network(model).unwrap();
        let network = model.init_seeded(&[3], words, 1, &device).unwrap();
        let checkpoints = tempfile::tempdir().unwrap();
        let result = trained(layer, loss, network, &splits, 3, checkpoints.path()).unwrap();
        let found = NextWordFigures::of(&result.network, &splits.test, sure, &device).unwrap();
        assert!(found.mean_reciprocal_rank > 1.1 * baseline.mean_reciprocal_rank, "{layer}: {found:?}, {baseline:?}");
        assert!(found.top_10_error < baseline.top_10_error, "{layer}: {found:?}, {baseline:?}");
        assert_eq!(found.perplexity.is_some(), sure);
        if let Some(perplexity) = found.perplexity {
            assert!(perplexity < baseline.perplexity.unwrap(), "{layer}: {found:?}, {baseline:?}");
        }
    }
}
