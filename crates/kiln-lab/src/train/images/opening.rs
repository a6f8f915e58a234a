//! The pictures, the network and the loss of a training that gives pictures.

use kiln_data::{DataDir, ImageOptions, ImagePlanes, SplitOptions, open_images};
use kiln_loss::perceptual::ElVaeLossConfig;
use kiln_nn::NetworkConfig;

use super::super::selector::SelectorError;
use super::super::task::refuse_other;
use super::super::{
    LANGUAGE_MODELS, LOSSES, MODELS, OUTPUT_LAYERS, Objective, OutputLayer, REGRESSION_LOSSES, Selector, TrainConfig,
    TrainingTask,
};
use super::rows::grid;
use super::{
    AUTOENCODERS, ElVaeObjective, IMAGE_LOSSES, ImageData, ImageLossChoice, ImageObjective, ImageTask, UPSCALERS,
};
use crate::LabError;

impl TrainConfig {
    /// What becomes of pictures, where pictures come out.
    pub fn image_task(&self) -> Option<ImageTask> {
        const FACTOR: usize = 2;
        match self.task {
            Some(TrainingTask::Autoencode) => Some(ImageTask::Autoencode),
            Some(TrainingTask::Upscale) => Some(ImageTask::Upscale { factor: self.factor.unwrap_or(FACTOR) }),
            _ => None,
        }
    }

    /// How pictures are read and divided.
    pub fn image_options(&self) -> ImageOptions {
        let is_grey = self.grey || self.task == Some(TrainingTask::Upscale);
        ImageOptions {
            channels: is_grey.then_some(1),
            image_size: self.image_size,
            split: SplitOptions {
                test: self.test_fraction(),
                validation: self.validation,
                seed: self.seed,
                ..SplitOptions::default()
            },
        }
    }

    /// Opens the pictures of a training that gives pictures, and fills in what nobody has said.
    ///
    /// # Errors
    /// [`LabError::Setting`] for settings of other tasks and for a window larger than a picture, [`LabError::Refused`] for
    /// pictures of different sizes without a window, and the errors of [`open_images`].
    pub fn open_images(mut self, dir: &DataDir) -> Result<(Self, ImageData), LabError> {
        let Some(task) = self.image_task() else {
            let task = self.task.map_or(String::new(), |task| task.to_string());
            return Err(LabError::setting("task", task, "autoencode or upscale"));
        };
        self.refuse_settings_of_rows()?;
        if let ImageTask::Upscale { factor } = task {
            self.factor = Some(factor);
        }
        self.model = Some(self.model());
        self.test = Some(self.test_fraction());
        let network = self.image_network()?;
        self.loss.get_or_insert_with(|| Selector::named(if is_variational(&network) { "el-vae" } else { "mse" }));
        let mut splits = open_images(&self.data, dir, &self.image_options())?;
        let parts = [&mut splits.train, &mut splits.validation, &mut splits.test];
        if let ImageTask::Upscale { factor } = task {
            for picture in parts.into_iter().flat_map(|part| part.iter_mut()) {
                *picture = whole_pixels(picture, factor)?;
            }
        }
        let shape = self.window(&splits.train)?;
        for part in [&splits.train, &splits.validation, &splits.test] {
            self.refuse_other_sizes(part, shape)?;
        }
        Ok((self, ImageData { splits, task, shape }))
    }

    /// The network, but for the size of the pictures.
    ///
    /// # Errors
    /// [`LabError::Selector`] where the model does not exist or is for another task.
    pub fn image_network(&self) -> Result<NetworkConfig, LabError> {
        let model = self.model();
        let (fitting, other, wanted, others) = match self.image_task() {
            Some(ImageTask::Upscale { .. }) => (&UPSCALERS, &AUTOENCODERS, "a larger picture", "the picture itself"),
            _ => (&AUTOENCODERS, &UPSCALERS, "the picture itself", "a larger picture"),
        };
        refuse_other(&model, others, other, wanted, fitting)?;
        refuse_other(&model, "a class or a number", &MODELS, wanted, fitting)?;
        refuse_other(&model, "running text", &LANGUAGE_MODELS, wanted, fitting)?;
        Ok(fitting.build(&model)?)
    }

    /// Refuses settings that mean nothing where no picture comes out.
    pub(in super::super) fn refuse_settings_of_images(&self) -> Result<(), LabError> {
        let given = [
            ("crop", self.crop.map(|crop| crop.to_string())),
            ("grey", self.grey.then(|| "true".to_string())),
            ("factor", self.factor.map(|factor| factor.to_string())),
        ];
        refuse_first(given, "left out: it is for pictures that come out, --task autoencode or upscale")
    }

    /// Refuses settings that mean nothing where pictures come out.
    fn refuse_settings_of_rows(&self) -> Result<(), LabError> {
        let of_rows = [
            ("target", self.target.clone()),
            ("ignore", (!self.ignore.is_empty()).then(|| self.ignore.join(","))),
            ("header", self.header.map(|header| header.to_string())),
            ("context", self.context.map(|context| context.to_string())),
            ("min-count", self.min_count.map(|count| count.to_string())),
            ("unit", self.unit.map(|unit| format!("{unit:?}").to_lowercase())),
            ("label-noise", self.label_noise.as_ref().map(|noise| noise.to_string())),
        ];
        refuse_first(of_rows, "left out: pictures come out, and they have no columns, words or labels")?;
        if OUTPUT_LAYERS.build(&self.output_layer)? != OutputLayer::Dense {
            let expected = "dense: a picture comes out, and no classes";
            return Err(LabError::setting("output-layer", &self.output_layer, expected));
        }
        if self.task == Some(TrainingTask::Upscale) {
            return refuse_first(
                [("grey", self.grey.then(|| "true".to_string()))],
                "left out: the network sees the brightness alone, and colours are enlarged beside it",
            );
        }
        let expected = "left out: it is for larger pictures, --task upscale";
        refuse_first([("factor", self.factor.map(|factor| factor.to_string()))], expected)
    }

    /// `[channels, height, width]` of the windows.
    fn window(&self, pictures: &[ImagePlanes]) -> Result<[usize; 3], LabError> {
        let [channels, height, width] = pictures.first().map_or([1, 1, 1], |picture| picture.shape);
        match (self.crop, self.image_task()) {
            (Some(crop), Some(ImageTask::Upscale { factor })) if crop % factor != 0 => {
                let fitting = (crop / factor * factor).max(factor);
                let expected = format!("a multiple of the factor {factor}, such as {fitting}");
                Err(LabError::setting("crop", crop, expected))
            }
            (Some(crop), _) => Ok([channels, crop, crop]),
            (None, _) => Ok([channels, height, width]),
        }
    }

    /// Refuses pictures smaller than the window, and of another size where they are taken as a whole.
    fn refuse_other_sizes(&self, pictures: &[ImagePlanes], [_, height, width]: [usize; 3]) -> Result<(), LabError> {
        if self.crop.is_some() {
            return pictures.iter().try_for_each(|picture| grid(picture, [height, width]).map(drop));
        }
        match pictures.iter().find(|picture| picture.shape[1..] != [height, width]) {
            None => Ok(()),
            Some(other) => Err(LabError::Refused(format!(
                "{}: {} x {} pixels, where the first picture has {height} x {width}: learn from windows of one size, such \
                 as --crop {}, or bring all pictures to one size, such as --image-size {height}x{width}",
                other.name,
                other.shape[1],
                other.shape[2],
                height.min(width).min(other.shape[1]).min(other.shape[2]).min(32)
            ))),
        }
    }
}

/// The picture as far as its sides are multiples of the factor.
fn whole_pixels(picture: &ImagePlanes, factor: usize) -> Result<ImagePlanes, LabError> {
    let [_, height, width] = picture.shape;
    let size = [height / factor * factor, width / factor * factor];
    if size.contains(&0) {
        let expected = format!("at most {}, for {} has {height} x {width} pixels", height.min(width), picture.name);
        return Err(LabError::setting("factor", factor, expected));
    }
    Ok(if size == [height, width] { picture.clone() } else { picture.part([0, 0], size) })
}

fn refuse_first<const N: usize>(given: [(&'static str, Option<String>); N], expected: &str) -> Result<(), LabError> {
    match given.into_iter().find_map(|(key, value)| Some((key, value?))) {
        Some((key, value)) => Err(LabError::setting(key, value, expected)),
        None => Ok(()),
    }
}

fn is_variational(network: &NetworkConfig) -> bool {
    matches!(network, NetworkConfig::Autoencoder { variational: true, .. })
}

/// The objective that `loss` names, for pictures of `[channels, height, width]` from `network`.
///
/// # Errors
/// [`SelectorError::OtherTask`] with the losses that fit where it is a loss on classes or numbers, the errors of
/// [`Registry::build`](super::super::Registry::build), and [`SelectorError::Refused`] where the pictures are too small for
/// it, or where one of the loss and the network is variational and the other is not.
pub fn build_image_objective(
    loss: &Selector,
    network: &NetworkConfig,
    shape: [usize; 3],
    seed: u64,
) -> Result<Box<dyn Objective>, SelectorError> {
    refuse_other(loss, "classes", &LOSSES, "pictures", &IMAGE_LOSSES)?;
    refuse_other(loss, "numbers", &REGRESSION_LOSSES, "pictures", &IMAGE_LOSSES)?;
    let choice = IMAGE_LOSSES.build(loss)?;
    let refused =
        |message: String| SelectorError::Refused { kind: IMAGE_LOSSES.kind, name: loss.name().to_string(), message };
    let dissimilarity = choice.dissimilarity([shape[1], shape[2]]).map_err(|error| refused(error.to_string()))?;
    match (choice, is_variational(network)) {
        (ImageLossChoice::ElVae { c, .. }, true) => {
            let loss = ElVaeLossConfig::new(c).init(dissimilarity).map_err(|error| refused(error.to_string()))?;
            Ok(Box::new(ElVaeObjective { loss, shape, seed }))
        }
        (ImageLossChoice::ElVae { .. }, false) => {
            Err(refused(format!("it is for the models vae and conv-vae, and {} has no Gaussian code", network.name())))
        }
        (_, true) => Err(refused(format!(
            "a variational autoencoder learns by el-vae, such as el-vae:of={}",
            if loss.name() == "mse" { "mae" } else { loss.name() }
        ))),
        (_, false) => Ok(Box::new(ImageObjective { loss: dissimilarity, shape })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(task: TrainingTask, data: &str) -> TrainConfig {
        TrainConfig { data: data.into(), task: Some(task), ..Default::default() }
    }

    fn opened(config: TrainConfig) -> Result<(TrainConfig, ImageData), String> {
        config.open_images(&DataDir::find(None)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_nobody_has_said_is_filled_in() {
        let (found, data) = opened(config(TrainingTask::Autoencode, "digits")).unwrap();
        let written = toml::to_string(&found).unwrap();
        for line in ["task = \"autoencode\"", "model = \"autoencoder\"", "loss = \"mse\"", "test = 0.2"] {
            assert!(written.contains(line), "{line}: {written}");
        }
        assert_eq!(toml::from_str::<TrainConfig>(&written).unwrap(), found);
        assert_eq!((data.shape, data.splits.test.len()), ([1, 8, 8], 359));
        let vae =
            TrainConfig { model: Some("vae:code=4".parse().unwrap()), ..config(TrainingTask::Autoencode, "digits") };
        assert_eq!(opened(vae).unwrap().0.loss.unwrap().to_string(), "el-vae");
        let (found, data) = opened(TrainConfig { factor: Some(3), ..config(TrainingTask::Upscale, "digits") }).unwrap();
        assert_eq!((found.factor, data.shape, found.model().to_string()), (Some(3), [1, 6, 6], "srcnn".to_string()));
    }

    #[test]
    fn what_is_for_another_task_is_refused_with_what_fits() {
        let refused = |task, change: fn(&mut TrainConfig)| {
            let mut config = config(task, "digits");
            change(&mut config);
            let (config, data) = match opened(config) {
                Ok(opened) => opened,
                Err(error) => return error,
            };
            let network = config.image_network().unwrap();
            let loss = config.loss.unwrap();
            build_image_objective(&loss, &network, data.shape, 1).err().map_or(String::new(), |error| error.to_string())
        };
        let [autoencode, upscale] = [TrainingTask::Autoencode, TrainingTask::Upscale];
        for (message, part) in [
            (refused(autoencode, |config| config.target = Some("y".into())), "`target` cannot be `y`: left out"),
            (refused(autoencode, |config| config.factor = Some(2)), "`factor` cannot be `2`: left out"),
            (refused(upscale, |config| config.grey = true), "`grey` cannot be `true`: left out"),
            (
                refused(upscale, |config| config.crop = Some(5)),
                "`crop` cannot be `5`: a multiple of the factor 2, such as 4",
            ),
            (refused(autoencode, |config| config.crop = Some(9)), "`crop` cannot be `9`: at most 8"),
            (
                refused(autoencode, |config| config.loss = "z-loss".parse().ok()),
                "for pictures there are: mse, mae, ssim",
            ),
            (
                refused(autoencode, |config| config.loss = "huber".parse().ok()),
                "for pictures there are: mse, mae, ssim",
            ),
            (
                refused(autoencode, |config| config.loss = "el-vae".parse().ok()),
                "it is for the models vae and conv-vae",
            ),
            (
                refused(autoencode, |config| {
                    (config.model, config.loss) = ("vae".parse().ok(), "mae".parse().ok());
                }),
                "a variational autoencoder learns by el-vae, such as el-vae:of=mae",
            ),
            (refused(autoencode, |config| config.loss = "ms-ssim:scales=3,window=5".parse().ok()), "loss 'ms-ssim':"),
            (
                refused(autoencode, |config| config.model = "srcnn".parse().ok()),
                "there are: autoencoder, conv-autoencoder",
            ),
            (refused(upscale, |config| config.model = "mlp".parse().ok()), "for a larger picture there are: srcnn"),
            (
                refused(autoencode, |config| config.output_layer = "hierarchical".parse().unwrap()),
                "`output-layer` cannot be `hierarchical`: dense",
            ),
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
