//! Which photographs a seed learns from, chooses on and is tested on.

use kiln_data::{ImagePlanes, read_images};
use kiln_lab::{LabError, Run};

use super::Settings;

/// The photographs of a seed, grey.
pub(super) struct Fold {
    pub(super) train: Vec<ImagePlanes>,
    pub(super) validation: ImagePlanes,
    pub(super) test: ImagePlanes,
}

/// All photographs, grey, cut to their middles.
pub(super) fn read(settings: &Settings, run: &Run) -> Result<Vec<ImagePlanes>, LabError> {
    let mut photographs = Vec::with_capacity(settings.photographs.len());
    for name in &settings.photographs {
        let pictures = read_images(name, run.data())?;
        let [picture] = pictures.as_slice() else {
            let found = format!("{name}, which has {} pictures", pictures.len());
            return Err(LabError::setting("photographs", found, "files of one picture each"));
        };
        photographs.push(middle(&picture.in_channels(1), settings.side));
    }
    Ok(photographs)
}

/// Every seed is tested on another photograph, so that the spread over the seeds is also one over photographs.
pub(super) fn fold(photographs: &[ImagePlanes], seed: u64) -> Fold {
    let count = photographs.len();
    let test = (seed as usize).wrapping_sub(1) % count;
    let validation = (test + 1) % count;
    let is_for_training = |place: &usize| *place != test && *place != validation;
    Fold {
        train: (0..count).filter(is_for_training).map(|place| photographs[place].clone()).collect(),
        validation: photographs[validation].clone(),
        test: photographs[test].clone(),
    }
}

fn middle(picture: &ImagePlanes, side: usize) -> ImagePlanes {
    let [_, height, width] = picture.shape;
    let (rows, columns) = (height.min(side), width.min(side));
    picture.part([(height - rows) / 2, (width - columns) / 2], [rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_photograph_is_in_two_splits_and_each_is_tested_once() {
        let photograph = |place: usize| ImagePlanes { name: place.to_string(), shape: [1, 1, 1], values: vec![0.0] };
        let photographs: Vec<ImagePlanes> = (0..6).map(photograph).collect();
        let mut tested = Vec::new();
        for seed in 1..=6 {
            let Fold { train, validation, test } = fold(&photographs, seed);
            assert_eq!(train.len(), 4);
            assert!(train.iter().all(|photograph| photograph.name != validation.name && photograph.name != test.name));
            assert_ne!(validation.name, test.name);
            tested.push(test.name);
        }
        tested.sort();
        assert_eq!(tested, ["0", "1", "2", "3", "4", "5"]);
    }

    #[test]
    fn the_middle_of_a_photograph_is_kept() {
        let picture = ImagePlanes { name: "a".into(), shape: [1, 3, 4], values: (0..12).map(|v| v as f32).collect() };
        let cut = middle(&picture, 2);
        assert_eq!((cut.shape, cut.values), ([1, 2, 2], vec![1.0, 2.0, 5.0, 6.0]));
        assert_eq!(middle(&picture, 9).shape, [1, 3, 4]);
    }
}
