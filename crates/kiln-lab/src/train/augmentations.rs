//! Random changes of training pictures by name.

use kiln_data::ArrayDataset;
use kiln_data::augment::Augmentation;

use super::selector::{Entry, Registry, Selector, SelectorError, SettingInfo, Settings};

const COLOUR_JITTER: &str = "colour-jitter";

/// Random changes of training pictures by name.
pub const AUGMENTATIONS: Registry<Augmentation> = Registry {
    kind: "augmentation",
    entries: &[
        Entry {
            name: "crop",
            summary: "a window of the same size, moved over a border of zeros",
            settings: &[SettingInfo { key: "padding", default: "4", about: "largest shift in pixels, at least 1" }],
            build: |settings| Ok(Augmentation::Crop { padding: pixels(settings, "padding", 4)? }),
        },
        Entry {
            name: "flip",
            summary: "left and right swapped in half of the pictures; wrong where the side carries meaning, as in writing",
            settings: &[],
            build: |_| Ok(Augmentation::Flip),
        },
        Entry {
            name: "cutout",
            summary: "a square set to zero",
            settings: &[SettingInfo { key: "size", default: "8", about: "side in pixels, at least 1" }],
            build: |settings| Ok(Augmentation::Cutout { size: pixels(settings, "size", 8)? }),
        },
        Entry {
            name: COLOUR_JITTER,
            summary: "brightness, contrast and saturation changed",
            settings: &[SettingInfo { key: "strength", default: "0.2", about: "of each, above 0 and at most 1" }],
            build: |settings| Ok(Augmentation::ColourJitter { strength: positive(settings, "strength", 0.2, 1.0)? }),
        },
        Entry {
            name: "rotation",
            summary: "a turn about the centre",
            settings: &[SettingInfo { key: "degrees", default: "15", about: "largest angle, above 0 and at most 180" }],
            build: |settings| Ok(Augmentation::Rotation { max_degrees: positive(settings, "degrees", 15.0, 180.0)? }),
        },
        Entry {
            name: "noise",
            summary: "normal noise added to each value",
            settings: &[SettingInfo {
                key: "deviation",
                default: "0.05",
                about: "standard deviation, above 0 and at most 10; pictures have values from 0 to 1",
            }],
            build: |settings| Ok(Augmentation::Noise { deviation: positive(settings, "deviation", 0.05, 10.0)? }),
        },
    ],
};

/// The changes that `selectors` name, for rows of `input_shape`.
///
/// # Errors
/// [`SelectorError::Refused`] where the rows are no pictures, or a change is larger than they are, and the errors of
/// [`Registry::build`].
pub fn build_augmentations(selectors: &[Selector], input_shape: &[usize]) -> Result<Vec<Augmentation>, SelectorError> {
    selectors.iter().map(|selector| build_one(selector, input_shape)).collect()
}

/// Whether the changes that `selectors` name make sense for the values of `data`: brightness and contrast are shares of the
/// brightest value, so that values have to lie between 0 and 1.
///
/// # Errors
/// [`SelectorError::Refused`] for a change of colours of other values.
pub fn check_colours(selectors: &[Selector], data: &ArrayDataset) -> Result<(), SelectorError> {
    let Some(jitter) = selectors.iter().find(|selector| selector.name() == COLOUR_JITTER) else { return Ok(()) };
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for &value in (0..data.len()).flat_map(|row| data.row(row)) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low >= 0.0 && high <= 1.0 {
        return Ok(());
    }
    let message = format!("brightness and contrast need values from 0 to 1, and the pictures have {low} to {high}");
    Err(SelectorError::Refused { kind: AUGMENTATIONS.kind, name: jitter.name().to_string(), message })
}

fn build_one(selector: &Selector, input_shape: &[usize]) -> Result<Augmentation, SelectorError> {
    let augmentation = AUGMENTATIONS.build(selector)?;
    let refused = |message: String| {
        Err(SelectorError::Refused { kind: AUGMENTATIONS.kind, name: selector.name().to_string(), message })
    };
    let [_, height, width] = *input_shape else {
        let rows = match input_shape {
            [features] => format!("are a table of {features} features"),
            other => format!("have the shape {other:?}"),
        };
        return refused(format!("pictures are changed, and the rows {rows}"));
    };
    let side = height.min(width);
    match augmentation {
        Augmentation::Crop { padding } if padding >= side => {
            refused(format!("padding={padding} moves pictures of {height}x{width} out of sight; use less than {side}"))
        }
        Augmentation::Cutout { size } if size >= 2 * side => {
            refused(format!("size={size} hides pictures of {height}x{width} whole; use less than {}", 2 * side))
        }
        fitting => Ok(fitting),
    }
}

fn pixels(settings: &Settings<'_>, key: &str, default: usize) -> Result<usize, SelectorError> {
    match settings.whole(key, default)? {
        pixels @ 1..=16384 => Ok(pixels),
        _ => Err(settings.wrong(key, "a number of pixels from 1 to 16384")),
    }
}

fn positive(settings: &Settings<'_>, key: &str, default: f64, most: f64) -> Result<f32, SelectorError> {
    let value = settings.number(key, default)?;
    if value > 0.0 && value <= most {
        Ok(value as f32)
    } else {
        Err(settings.wrong(key, &format!("above 0 and at most {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_data::Targets;

    fn build(text: &str, shape: &[usize]) -> Result<Vec<Augmentation>, String> {
        build_augmentations(&Selector::list(text).unwrap(), shape).map_err(|error| error.to_string())
    }

    #[test]
    fn several_are_built_in_their_order() {
        let built = build("crop:padding=2,flip,cutout:size=3,rotation", &[1, 8, 8]).unwrap();
        let expected = [
            Augmentation::Crop { padding: 2 },
            Augmentation::Flip,
            Augmentation::Cutout { size: 3 },
            Augmentation::Rotation { max_degrees: 15.0 },
        ];
        assert_eq!(built, expected);
    }

    #[test]
    fn colours_of_pictures_that_are_not_shares_are_left_alone() {
        let targets = || Targets::Classes { labels: vec![0], names: vec!["a".into(), "b".into()] };
        let pictures = |brightest| ArrayDataset::new(vec![0.0, brightest], vec![1, 1, 2], targets()).unwrap();
        let check = |text, brightest| check_colours(&Selector::list(text).unwrap(), &pictures(brightest));
        assert!(check("flip,colour-jitter", 1.0).is_ok() && check("flip", 255.0).is_ok());
        let message = check("flip,colour-jitter", 255.0).unwrap_err().to_string();
        assert!(message.ends_with("need values from 0 to 1, and the pictures have 0 to 255"), "{message}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, shape, expected) in [
            ("flip", &[13][..], "the rows are a table of 13 features"),
            ("flop", &[1, 8, 8], "did you mean 'flip'?"),
            ("crop:padding=8", &[1, 8, 8], "use less than 8"),
            ("crop:padding=0", &[1, 8, 8], "padding=0 is not a number of pixels"),
            ("cutout:size=16", &[1, 8, 8], "use less than 16"),
            ("noise:deviation=-1", &[1, 8, 8], "deviation=-1 is not above 0"),
            ("rotation:degrees=nan", &[1, 8, 8], "degrees=nan is not above 0"),
            ("crop:size=3", &[1, 8, 8], "its settings are: padding"),
        ] {
            let message = build(text, shape).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
