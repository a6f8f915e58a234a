//! Everything that is refused, with the words that a person sees.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::matrix;
use crate::{
    FactoredSphericalConfig, FactoredSphericalLayer, HierarchicalSoftmax2Config, LayerError, LogSoftmaxLayerConfig,
    SphericalSoftmaxLossConfig, ZLossConfig, rank_metrics,
};

fn layer() -> FactoredSphericalLayer {
    FactoredSphericalConfig::new(2, 5).with_weight_decay(0.5).init(0).unwrap()
}

fn refusal(hidden: &[f64], width: usize, targets: &[usize], learning_rate: f64) -> String {
    let loss = ZLossConfig::new().init().unwrap();
    layer().step(matrix(hidden, width), targets, &loss, learning_rate).unwrap_err().to_string()
}

#[test]
fn losses_name_the_setting() {
    for sharpness in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = ZLossConfig::new().with_sharpness(sharpness).init().unwrap_err().to_string();
        assert!(error.contains("sharpness") && error.contains("positive"), "{error}");
    }
    for margin in [f64::NAN, f64::INFINITY] {
        assert!(ZLossConfig::new().with_margin(margin).init().is_err());
    }
    assert!(ZLossConfig::new().with_eps(-1.0).init().is_err());
    assert!(SphericalSoftmaxLossConfig::new().with_eps(0.0).init().is_err());
}

#[test]
fn layers_name_the_setting() {
    let refused = |config: FactoredSphericalConfig| config.init(0).unwrap_err().to_string();
    assert!(refused(FactoredSphericalConfig::new(2, 1)).contains("n_classes = 1"));
    assert!(refused(FactoredSphericalConfig::new(0, 5)).contains("d_hidden = 0"));
    assert!(refused(FactoredSphericalConfig::new(2, 5).with_init_std(0.0)).contains("init_std = 0"));
    assert!(refused(FactoredSphericalConfig::new(2, 5).with_init_std(f64::NAN)).contains("init_std = NaN"));
    assert!(refused(FactoredSphericalConfig::new(2, 5).with_stabilize_every(0)).contains("stabilize_every = 0"));
    assert!(refused(FactoredSphericalConfig::new(2, 5).with_weight_decay(-0.1)).contains("weight_decay = -0.1"));
    assert!(FactoredSphericalConfig::new(2, 5).init_from_weights(vec![0.1_f32; 4]).is_err());
    assert!(refused(FactoredSphericalConfig::new(2, 5).with_init_std(1e-60)).contains("init_std = 0.000"));
    let given = |weights: Vec<f32>| FactoredSphericalConfig::new(2, 2).init_from_weights(weights).unwrap_err();
    let error = given(vec![0.1, 0.2, 0.3, 0.4, f32::NAN, 0.6]);
    assert_eq!(error.to_string(), "weight NaN of class 1, feature 1 is not finite");
    assert!(matches!(given(vec![f32::INFINITY; 6]), LayerError::Weight { class: 0, feature: 0, .. }));
    assert!(matches!(given(vec![0.0; 6]), LayerError::ZeroWeights));
    assert!(LogSoftmaxLayerConfig::new(2, 1).init(0).is_err());
    assert!(HierarchicalSoftmax2Config::new(0, 4).init(0).is_err());
}

#[test]
fn steps_name_what_is_wrong() {
    assert_eq!(refusal(&[1.0, 2.0], 2, &[5], 0.1), "target 5 of example 0 is not one of the 5 classes 0..5");
    assert_eq!(refusal(&[1.0, 2.0, 3.0], 3, &[0], 0.1), "hidden vectors of width 3 do not fit a layer of width 2");
    assert_eq!(refusal(&[1.0, f64::NAN], 2, &[0], 0.1), "hidden value NaN of example 0, feature 1 is not finite");
    assert_eq!(refusal(&[1.0, 2.0], 2, &[0, 1], 0.1), "2 targets do not fit 1 examples");
    for rate in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        assert!(refusal(&[1.0, 2.0], 2, &[0], rate).contains("learning_rate"));
    }
    assert!(refusal(&[1.0, 2.0], 2, &[0], 2.0).contains("weight_decay * learning_rate = 1"));
}

#[test]
fn an_empty_batch_is_refused() {
    let loss = ZLossConfig::new().init().unwrap();
    let empty = Tensor::<2>::zeros([0, 2], &Device::flex());
    assert!(matches!(layer().step(empty.clone(), &[], &loss, 0.1), Err(LayerError::EmptyBatch { .. })));
    let mut dense = LogSoftmaxLayerConfig::new(2, 5).init(0).unwrap();
    assert!(matches!(dense.step(empty.clone(), &[], 0.1), Err(LayerError::EmptyBatch { .. })));
    let mut hierarchical = HierarchicalSoftmax2Config::new(2, 5).init(0).unwrap();
    assert!(matches!(hierarchical.step(empty, &[], 0.1), Err(LayerError::EmptyBatch { .. })));
}

#[test]
fn a_refused_step_changes_nothing() {
    let loss = ZLossConfig::new().init().unwrap();
    let mut layer = layer();
    let before = layer.weight_rows(&[0, 1, 2, 3, 4]).unwrap();
    assert!(layer.step(matrix(&[1.0, 2.0, 3.0, 4.0], 2), &[0, 9], &loss, 0.1).is_err());
    assert_eq!(layer.weight_rows(&[0, 1, 2, 3, 4]).unwrap(), before);
    assert_eq!(layer.diagnostics().steps, 0);
}

#[test]
fn evaluation_names_what_is_wrong() {
    assert!(layer().top_k(matrix(&[1.0, 2.0], 2), 6).unwrap_err().to_string().contains("k = 6"));
    assert!(layer().top_k(matrix(&[1.0, 2.0], 2), 0).is_err());
    assert!(matches!(layer().weight_rows(&[1, 5]), Err(LayerError::Class { class: 5, num_classes: 5 })));
    assert!(layer().scores(matrix(&[1.0], 1)).is_err());
    assert!(matches!(
        rank_metrics(matrix(&[1.0, f64::NAN], 2), &[0], &[1]),
        Err(LayerError::Score { example: 0, class: 1, .. })
    ));
    assert!(rank_metrics(matrix(&[1.0, 2.0], 2), &[2], &[1]).is_err());
    assert!(rank_metrics(matrix(&[1.0, 2.0], 2), &[0], &[0]).is_err());
}

#[test]
fn files_that_are_not_layers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.safetensors");
    let missing = FactoredSphericalLayer::<f32>::load(&path).unwrap_err();
    assert!(matches!(missing, LayerError::File { .. }));
    assert!(missing.to_string().contains("layer.safetensors"));

    layer().save(&path).unwrap();
    assert!(matches!(FactoredSphericalLayer::<f64>::load(&path), Err(LayerError::Format { .. })));
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = FactoredSphericalLayer::<f32>::load(&path).unwrap_err();
        assert!(matches!(error, LayerError::Format { .. }), "{length} bytes: {error}");
    }
    assert!(layer().save(folder.path().join("no/such/folder")).is_err());
}

/// Sizes that are legal, none at all, and beyond any memory.
fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![0_usize..4, Just(1 << 59), Just(usize::MAX / 2), Just(usize::MAX - 1), Just(usize::MAX)]
}

#[test]
fn sizes_beyond_any_memory_are_refused() {
    let refused =
        |d_hidden, n_classes| FactoredSphericalConfig::new(d_hidden, n_classes).init(0).unwrap_err().to_string();
    for (d_hidden, n_classes) in [(2, usize::MAX), (usize::MAX, 2), (2, 1 << 60), (usize::MAX, usize::MAX)] {
        let error = refused(d_hidden, n_classes);
        assert!(error.starts_with("number of weights = ") && error.contains("fit into memory"), "{error}");
    }
    assert!(LogSoftmaxLayerConfig::new(2, usize::MAX).init(0).is_err());
    assert!(HierarchicalSoftmax2Config::new(usize::MAX, 2).init(0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nonsense_never_panics(
        d_hidden in any_size(),
        n_classes in any_size(),
        bias in any::<bool>(),
        init_std in prop::num::f64::ANY,
        weight_decay in prop::num::f64::ANY,
    ) {
        let config = FactoredSphericalConfig::new(d_hidden, n_classes).with_bias(bias).with_weight_decay(weight_decay);
        if config.clone().with_init_std(init_std).init(0).is_ok() {
            prop_assert!(d_hidden >= 1 && n_classes >= 2 && init_std > 0.0 && weight_decay >= 0.0);
        }
        prop_assert!(config.init_from_weights(vec![init_std; 7]).is_err());
        let dense = LogSoftmaxLayerConfig::new(d_hidden, n_classes).with_bias(bias).with_init_std(init_std).init(0);
        let hierarchical = HierarchicalSoftmax2Config::new(d_hidden, n_classes).with_bias(bias).with_init_std(init_std);
        prop_assert_eq!(dense.is_ok(), hierarchical.init(0).is_ok());
    }

    #[test]
    fn no_batch_panics(
        hidden in prop::collection::vec(prop::num::f64::ANY, 0..8),
        targets in prop::collection::vec(0_usize..8, 0..5),
        rate in prop::num::f64::ANY,
    ) {
        let mut layer = layer();
        let loss = ZLossConfig::new().init().unwrap();
        let rows = hidden.len() / 2;
        if let Ok(out) = layer.step(matrix(&hidden[..2 * rows], 2), &targets, &loss, rate) {
            prop_assert!(out.loss_mean.is_finite());
            prop_assert!(rows > 0 && targets.len() == rows && rate > 0.0);
        }
    }

    #[test]
    fn no_changed_byte_panics(index in 0_usize..400, byte in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer");
        layer().save(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = index % bytes.len();
        bytes[at] = byte;
        std::fs::write(&path, bytes).unwrap();
        drop(FactoredSphericalLayer::<f32>::load(&path));
    }
}
