//! Which photographs a seed learns from, chooses on and is tested on.

use kiln_data::{ImagePlanes, read_images};
use kiln_lab::{LabError, Run};

use super::Settings;

/// All photographs, grey, cut to their middles.
pub(super) struct Photographs {
    /// Those that seeds learn from and are tested on.
    pool: Vec<ImagePlanes>,
    /// The one that all seeds choose on.
    validation: ImagePlanes,
}

/// The photographs of a seed.
pub(super) struct Fold {
    pub(super) train: Vec<ImagePlanes>,
    pub(super) validation: ImagePlanes,
    pub(super) test: ImagePlanes,
}

impl Photographs {
    pub(super) fn read(settings: &Settings, run: &Run) -> Result<Self, LabError> {
        let read = |key: &str, name: &String| {
            let pictures = read_images(name, run.data())?;
            let [picture] = pictures.as_slice() else {
                let found = format!("{name}, which has {} pictures", pictures.len());
                return Err(LabError::setting(key, found, "files of one picture each"));
            };
            Ok(middle(&picture.in_channels(1), settings.side))
        };
        Ok(Self {
            pool: settings.photographs.iter().map(|name| read("photographs", name)).collect::<Result<_, _>>()?,
            validation: read("validation_photograph", &settings.validation_photograph)?,
        })
    }

    /// Each of them changed in the same way.
    pub(super) fn map(&self, change: impl Fn(&ImagePlanes) -> ImagePlanes) -> Self {
        Self { pool: self.pool.iter().map(&change).collect(), validation: change(&self.validation) }
    }

    /// Every seed is tested on another photograph, so that the spread over the seeds is also one over photographs.
    pub(super) fn fold(&self, seed: u64) -> Fold {
        let count = self.pool.len();
        let test = (seed as usize).wrapping_sub(1) % count;
        Fold {
            train: (0..count).filter(|&place| place != test).map(|place| self.pool[place].clone()).collect(),
            validation: self.validation.clone(),
            test: self.pool[test].clone(),
        }
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
    fn what_any_seed_chooses_on_no_seed_learns_from_or_is_tested_on() {
        let photograph = |name: &str| ImagePlanes { name: name.into(), shape: [1, 1, 1], values: vec![0.0] };
        let pool = ["0", "1", "2", "3", "4"].map(photograph).to_vec();
        let photographs = Photographs { pool, validation: photograph("chosen on") };
        let folds: Vec<Fold> = (1..=5).map(|seed| photographs.fold(seed)).collect();
        for fold in &folds {
            assert_eq!((fold.train.len(), fold.validation.name.as_str()), (4, "chosen on"));
            let is_elsewhere = |photograph: &ImagePlanes| ["chosen on", &fold.test.name].contains(&&*photograph.name);
            assert!(!fold.train.iter().any(is_elsewhere));
        }
        let tested: Vec<&str> = folds.iter().map(|fold| fold.test.name.as_str()).collect();
        assert_eq!(tested, ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn the_middle_of_a_photograph_is_kept() {
        let picture = ImagePlanes { name: "a".into(), shape: [1, 3, 4], values: (0..12).map(|v| v as f32).collect() };
        let cut = middle(&picture, 2);
        assert_eq!((cut.shape, cut.values), ([1, 2, 2], vec![1.0, 2.0, 5.0, 6.0]));
        assert_eq!(middle(&picture, 9).shape, [1, 3, 4]);
    }
}
