//! Published weights give their published accuracy.
//!
//! Ignored by default, for the files are not part of this repository:
//! `KILN_RESNET20_WEIGHTS=resnet20_cifar10.safetensors KILN_DATA=.../data cargo test -p kiln-nn -- --ignored`

use burn::tensor::{Device, Tensor, TensorData};
use flate2::read::GzDecoder;
use kiln_nn::{ResNetConfig, load_safetensors};
use std::fs;
use std::io::Read;
use std::path::PathBuf;

const PIXELS: usize = 3 * 32 * 32;
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Classes of CIFAR-10 that have a counterpart among the photographs, and how many of these are recognised.
const EXPECTED: [(&str, usize, usize, usize); 3] =
    [("airplanes", 0, 68, 80), ("car_side", 1, 22, 25), ("ketch", 8, 23, 23)];

#[test]
#[ignore = "needs KILN_RESNET20_WEIGHTS and KILN_DATA"]
fn resnet20_recognises_photographs_as_published() {
    let weights = std::env::var("KILN_RESNET20_WEIGHTS").expect("KILN_RESNET20_WEIGHTS names the safetensors file");
    let data = std::env::var("KILN_DATA").expect("KILN_DATA names the data directory");
    let device = Device::flex();
    let resnet = ResNetConfig::new(20, [3, 32, 32], 10).init(&device).unwrap();
    let resnet = load_safetensors(resnet, weights).unwrap();

    let folder = PathBuf::from(data).join("images/caltech10-32");
    let classes = fs::read_to_string(folder.join("classes.txt")).unwrap();
    let classes: Vec<&str> = classes.lines().collect();
    let mut records = Vec::new();
    let file = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("test")))
        .expect("a test split");
    GzDecoder::new(fs::File::open(file).unwrap()).read_to_end(&mut records).unwrap();

    for (class, prediction, right, total) in EXPECTED {
        let label = classes.iter().position(|name| *name == class).unwrap();
        let images: Vec<f32> = records
            .chunks_exact(1 + PIXELS)
            .filter(|record| usize::from(record[0]) == label)
            .flat_map(|record| {
                record[1..].iter().enumerate().map(|(index, &value)| {
                    let channel = index / (32 * 32);
                    (f32::from(value) / 255.0 - MEAN[channel]) / STD[channel]
                })
            })
            .collect();
        let count = images.len() / PIXELS;
        let images = Tensor::<4>::from_data(TensorData::new(images, [count, 3, 32, 32]), &device);
        let predictions = resnet.forward(images).argmax(1).into_data();
        let recognised = predictions.iter::<i64>().filter(|&found| found == prediction as i64).count();
        assert_eq!((recognised, count), (right, total), "{class}");
    }
}
