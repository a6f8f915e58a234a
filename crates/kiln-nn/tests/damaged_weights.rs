//! Whatever a file of weights holds, it is loaded or refused with the names of file and tensor, and never panics.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kiln_nn::{MlpConfig, MlpNorm, NetworkConfig, WeightsError, cast_floats, load_safetensors, save_safetensors};
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use tempfile::TempDir;

/// A file in a folder of its own.
struct Weights {
    _folder: TempDir,
    path: PathBuf,
}

/// Type, shape and bytes of a tensor.
type Stored = (Dtype, Vec<usize>, Vec<u8>);

impl Weights {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        Self { _folder: folder, path }
    }

    fn whole() -> Vec<u8> {
        let weights = Self::new();
        save_safetensors(&network(), &weights.path).unwrap();
        std::fs::read(&weights.path).unwrap()
    }

    /// Loads a file of these bytes; what is loaded gives finite outputs.
    fn load(&self, bytes: &[u8]) -> Result<(), WeightsError> {
        std::fs::write(&self.path, bytes).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let network = load_safetensors(network(), &self.path)?;
            assert_eq!(network.forward(Tensor::ones([1, 4], &Device::flex())).dims(), [1, 2]);
            Ok(())
        }));
        outcome.expect("no file makes loading or the pass after it panic")
    }

    /// Refused, and the message names the file.
    fn refused(&self, bytes: &[u8]) -> String {
        let message = self.load(bytes).expect_err("such a file is refused").to_string();
        assert!(message.contains("model.safetensors"), "{message}");
        message
    }

    /// Refused with one tensor changed, and the message names it.
    fn refused_with(&self, name: &str, change: impl FnOnce(&mut Stored)) -> String {
        let message = self.refused(&changed(name, change));
        assert!(message.contains(&format!("`{name}`")), "{message}");
        message
    }
}

fn network() -> kiln_nn::Mlp {
    let config = MlpConfig::new(4, vec![3], 2).with_norm(MlpNorm::Batch);
    config.init_seeded(1, &Device::flex()).unwrap()
}

const NAMES: [&str; 8] = [
    "layers.0.weight",
    "layers.0.bias",
    "norms.0.weight",
    "norms.0.bias",
    "norms.0.running_mean",
    "norms.0.running_var",
    "head.weight",
    "head.bias",
];

/// The tensors of a right file.
fn tensors() -> BTreeMap<String, Stored> {
    let whole = Weights::whole();
    let file = SafeTensors::deserialize(&whole).unwrap();
    let stored =
        file.iter().map(|(name, view)| (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
    stored.collect()
}

fn written(tensors: &BTreeMap<String, Stored>) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn changed(name: &str, change: impl FnOnce(&mut Stored)) -> Vec<u8> {
    let mut tensors = tensors();
    change(tensors.get_mut(name).unwrap_or_else(|| panic!("{name}")));
    written(&tensors)
}

/// Puts one value into a tensor of single precision.
fn with_value(place: usize, value: f32) -> impl FnOnce(&mut Stored) {
    move |(_, _, bytes)| {
        let place = place % (bytes.len() / 4);
        bytes[4 * place..4 * place + 4].copy_from_slice(&value.to_le_bytes());
    }
}

#[test]
fn the_file_has_the_tensors_that_are_changed_below() {
    let names: Vec<String> = tensors().into_keys().collect();
    let mut expected = NAMES;
    expected.sort_unstable();
    assert_eq!(names, expected);
    Weights::new().load(&written(&tensors())).unwrap();
}

#[test]
fn values_that_are_not_finite_are_refused_with_name_and_place() {
    let weights = Weights::new();
    for (value, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for name in NAMES {
            let message = weights.refused_with(name, with_value(1, value));
            assert!(message.contains(&format!("value 1 is {shown}, which is not finite")), "{message}");
        }
    }
    let message = weights.refused_with("norms.0.running_var", with_value(2, -0.5));
    assert!(message.contains("value 2 is -0.5, but no variance is negative"), "{message}");
    weights.load(&changed("norms.0.running_mean", with_value(2, -0.5))).unwrap();
}

#[test]
fn values_too_large_for_the_network_are_refused_and_others_take_its_type() {
    let weights = Weights::new();
    let double = |value: f64| {
        move |(dtype, shape, bytes): &mut Stored| {
            *dtype = Dtype::F64;
            *bytes = vec![value; shape.iter().product()].into_iter().flat_map(f64::to_le_bytes).collect();
        }
    };
    let message = weights.refused_with("head.weight", double(1e300));
    assert!(message.contains("value 0 is inf"), "{message}");
    weights.load(&changed("head.weight", double(0.25))).unwrap();
    // A network in double precision has room for it.
    std::fs::write(&weights.path, changed("head.weight", double(1e300))).unwrap();
    let network = cast_floats(network(), burn::tensor::FloatDType::F64);
    assert!(load_safetensors(network, &weights.path).is_ok());
}

#[test]
fn other_kinds_of_values_are_refused_with_tensor_and_type() {
    let weights = Weights::new();
    let kinds = [Dtype::I64, Dtype::I32, Dtype::I16, Dtype::I8, Dtype::U64, Dtype::U32, Dtype::U8, Dtype::BOOL];
    for (kind, name) in kinds.into_iter().zip(NAMES) {
        let change = |(dtype, shape, bytes): &mut Stored| {
            *dtype = kind;
            *bytes = vec![1; shape.iter().product::<usize>() * kind.bitsize() / 8];
        };
        let message = weights.refused_with(name, change);
        assert!(message.contains("but this network needs f32"), "{message}");
    }
}

#[test]
fn a_tensor_under_two_names_is_refused() {
    let weights = Weights::new();
    let mut tensors = tensors();
    tensors.insert("module.head.bias".into(), tensors["head.bias"].clone());
    let message = weights.refused(&written(&tensors));
    assert!(message.contains("`head.bias`") && message.contains("twice"), "{message}");
}

#[test]
fn every_network_loads_its_own_file_in_double_precision() {
    let weights = Weights::new();
    let device = Device::flex();
    for config in [NetworkConfig::conv_net(), NetworkConfig::resnet(8), NetworkConfig::vit()] {
        let init = |seed| config.init_seeded(&[1, 8, 8], 3, seed, &device).unwrap();
        let saved = cast_floats(init(1), burn::tensor::FloatDType::F64);
        save_safetensors(&saved, &weights.path).unwrap();
        let loaded = load_safetensors(init(2), &weights.path).unwrap();
        let inputs = || Tensor::<2>::ones([2, 64], &device);
        assert_eq!(loaded.forward(inputs()).into_data(), init(1).valid().forward(inputs()).into_data());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn truncated_files_are_refused(part in 0.0..1.0f64) {
        let whole = Weights::whole();
        Weights::new().refused(&whole[..(part * whole.len() as f64) as usize]);
    }

    #[test]
    fn flipped_bits_never_panic(part in 0.0..1.0f64, bit in 0..8u8) {
        let mut bytes = Weights::whole();
        let place = (part * bytes.len() as f64) as usize;
        bytes[place] ^= 1 << bit;
        if let Err(error) = Weights::new().load(&bytes) {
            prop_assert!(error.to_string().contains("model.safetensors"), "{error}");
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        Weights::new().refused(&bytes);
    }

    #[test]
    fn any_description_is_refused(text in "[\\[\\]{}:,\"a-z0-9_.-]{0,120}") {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.bytes());
        Weights::new().refused(&bytes);
    }

    #[test]
    fn huge_lengths_are_refused(length in 10_000u64..) {
        let mut bytes = Weights::whole();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        Weights::new().refused(&bytes);
    }

    #[test]
    fn wrong_shapes_are_refused(which in 0..NAMES.len(), wrong in prop::collection::vec(0usize..6, 0..5)) {
        let name = NAMES[which];
        prop_assume!(wrong != tensors()[name].1);
        let message = Weights::new().refused_with(name, |(_, shape, bytes)| {
            *bytes = vec![0; 4 * wrong.iter().product::<usize>()];
            *shape = wrong.clone();
        });
        prop_assert!(message.contains(&format!("{wrong:?}")), "{message}");
    }

    #[test]
    fn half_precision_is_taken(which in 0..NAMES.len(), brain in any::<bool>(), bits in 0u16..0x4000) {
        let weights = Weights::new();
        let taken = weights.load(&changed(NAMES[which], |(dtype, shape, bytes)| {
            *dtype = if brain { Dtype::BF16 } else { Dtype::F16 };
            *bytes = vec![bits; shape.iter().product()].into_iter().flat_map(u16::to_le_bytes).collect();
        }));
        prop_assert!(taken.is_ok(), "{taken:?}");
    }
}
