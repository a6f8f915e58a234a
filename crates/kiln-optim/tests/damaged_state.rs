//! Whatever a file of optimizer state holds, it is loaded or refused with the file's name, and never panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use burn::module::{Module, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::burn_pack::{Bytes, Scalar, Tensor as StoredTensor, Writer};
use burn::tensor::{DType, Device, Shape, Tensor};
use kiln_optim::{AdaDeltaConfig, DiffGradConfig, OptimError, load_state};
use proptest::prelude::*;
use tempfile::TempDir;

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Numbers of the two parameters.
const WEIGHT: u64 = 17;
const BIAS: u64 = 29;

fn layer() -> Layer {
    let device = Device::flex().autodiff();
    Layer {
        weight: Param::initialized(ParamId::from(WEIGHT), Tensor::ones([3, 2], &device).require_grad()),
        bias: Param::initialized(ParamId::from(BIAS), Tensor::zeros([2], &device).require_grad()),
    }
}

fn diffgrad() -> ModuleOptimizer {
    DiffGradConfig::new().init().unwrap()
}

/// Takes one step, which a state that does not fit would make panic.
fn step(optimizer: &mut ModuleOptimizer) {
    let layer = layer();
    let loss = (layer.weight.val().sum_dim(0).squeeze_dim::<1>(0) + layer.bias.val()).square().sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &layer);
    optimizer.step(0.1, layer, gradients);
}

fn saved(mut optimizer: ModuleOptimizer) -> Vec<u8> {
    let folder = Folder::new();
    step(&mut optimizer);
    optimizer.save(&folder.path).unwrap();
    std::fs::read(&folder.path).unwrap()
}

struct Folder {
    _folder: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.bpk");
        Self { _folder: folder, path }
    }
}

/// Loads a file of these bytes and steps with what was loaded.
fn load(path: &Path, bytes: &[u8]) -> Result<(), OptimError> {
    std::fs::write(path, bytes).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut optimizer = load_state(diffgrad(), &layer(), path)?;
        step(&mut optimizer);
        Ok(())
    }));
    outcome.expect("no file makes loading or the step after it panic")
}

/// Refused, and the message names the file.
fn refused(path: &Path, bytes: &[u8]) -> String {
    let message = load(path, bytes).expect_err("such a file is refused").to_string();
    assert!(message.contains("state.bpk"), "{message}");
    message
}

/// A state of the layer whose tensors are given as name, number, shape and type.
fn state(tensors: &[(&str, u64, Vec<usize>, DType)], ranks: [u64; 2]) -> Vec<u8> {
    let stored = tensors.iter().map(|(name, id, shape, dtype)| {
        let bytes = vec![0u8; shape.iter().product::<usize>() * dtype.size()];
        StoredTensor::new(name.to_string(), *dtype, Shape::from(shape.clone()), Some(*id), Bytes::from_bytes_vec(bytes))
    });
    let mut writer = Writer::new(stored.collect());
    for (id, rank) in [WEIGHT, BIAS].into_iter().zip(ranks) {
        writer = writer.with_scalar(&format!("{id}.__rank"), Scalar::from(rank as usize));
        writer = writer.with_scalar(&format!("{id}.time"), Scalar::from(1usize));
    }
    writer.into_bytes().unwrap().to_vec()
}

/// The tensors of a right state, with the first one changed.
fn changed(shape: Vec<usize>, dtype: DType) -> Vec<u8> {
    let right = |field: &'static str, id, shape: &[usize]| (field, id, shape.to_vec(), DType::F32);
    let mut tensors = vec![
        right("17.moment_1", WEIGHT, &[3, 2]),
        right("17.moment_2", WEIGHT, &[3, 2]),
        right("17.previous_grad", WEIGHT, &[3, 2]),
        right("29.moment_1", BIAS, &[2]),
        right("29.moment_2", BIAS, &[2]),
        right("29.previous_grad", BIAS, &[2]),
    ];
    (tensors[0].2, tensors[0].3) = (shape, dtype);
    state(&tensors, [2, 1])
}

#[test]
fn a_state_that_fits_is_taken() {
    let folder = Folder::new();
    load(&folder.path, &saved(diffgrad())).unwrap();
    load(&folder.path, &changed(vec![3, 2], DType::F32)).unwrap();
}

#[test]
fn wrong_types_are_refused_with_parameter_and_field() {
    let folder = Folder::new();
    for dtype in [DType::F64, DType::F16, DType::I64, DType::I32, DType::U8] {
        let message = refused(&folder.path, &changed(vec![3, 2], dtype));
        assert!(message.contains("'moment_1' of parameter 'weight'") && message.contains(dtype.name()), "{message}");
    }
}

#[test]
fn contradictions_are_refused() {
    let folder = Folder::new();
    let tensor = |name, id: u64, shape: &[usize]| (name, id, shape.to_vec(), DType::F32);
    let message = refused(&folder.path, &state(&[tensor("17.moment_1", BIAS, &[2])], [2, 1]));
    assert!(message.contains("17.moment_1"), "{message}");
    let message = refused(&folder.path, &state(&[tensor("moment_1", WEIGHT, &[3, 2])], [2, 1]));
    assert!(message.contains("moment_1"), "{message}");
    let message = refused(&folder.path, &state(&[], [1, 1]));
    assert!(message.contains("17.__rank") && message.contains("rank 2"), "{message}");
    // Parameters that the module does not have: a rank that is that of no tensor.
    let stray = [tensor("5.moment_1", 5, &[2, 2]), tensor("5.moment_2", 5, &[2])];
    let message = refused(&folder.path, &state(&stray, [2, 1]));
    assert!(message.contains("5.moment_2"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn truncated_files_are_refused(part in 0.0..1.0f64) {
        let folder = Folder::new();
        let whole = saved(diffgrad());
        refused(&folder.path, &whole[..(part * whole.len() as f64) as usize]);
    }

    #[test]
    fn flipped_bits_never_panic(part in 0.0..1.0f64, bit in 0..8u8, ada in any::<bool>()) {
        let folder = Folder::new();
        let mut bytes = if ada { saved(AdaDeltaConfig::new().init().unwrap()) } else { saved(diffgrad()) };
        let place = (part * bytes.len() as f64) as usize;
        bytes[place] ^= 1 << bit;
        if let Err(error) = load(&folder.path, &bytes) {
            prop_assert!(error.to_string().contains("state.bpk"), "{error}");
        }
    }

    #[test]
    fn flipped_bits_of_the_description_never_panic(place in 0..600usize, bit in 0..8u8) {
        let folder = Folder::new();
        let mut bytes = saved(diffgrad());
        bytes[place] ^= 1 << bit;
        if let Err(error) = load(&folder.path, &bytes) {
            prop_assert!(error.to_string().contains("state.bpk"), "{error}");
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        refused(&Folder::new().path, &bytes);
    }

    #[test]
    fn huge_lengths_are_refused(length in 100_000u32..) {
        let folder = Folder::new();
        let mut bytes = saved(diffgrad());
        // Magic number and version come first.
        bytes[6..10].copy_from_slice(&length.to_le_bytes());
        refused(&folder.path, &bytes);
    }

    #[test]
    fn wrong_shapes_are_refused(shape in prop::collection::vec(0usize..5, 0..5)) {
        prop_assume!(shape != [3, 2]);
        let folder = Folder::new();
        let message = refused(&folder.path, &changed(shape.clone(), DType::F32));
        prop_assert!(message.contains("'weight'") && message.contains(&format!("{shape:?}")), "{message}");
    }
}
