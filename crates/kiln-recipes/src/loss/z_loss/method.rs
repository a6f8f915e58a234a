//! The output layers that are compared, behind one type.

use burn::tensor::Tensor;
use kiln_lab::LabError;
use kiln_lab::train::BothForms;
use kiln_loss::{
    ClassificationLoss, CrossEntropyLossConfig, Diagnostics, FactoredSphericalConfig, FactoredSphericalLayer,
    HierarchicalSoftmax2, HierarchicalSoftmax2Config, LogSoftmaxLayer, LogSoftmaxLayerConfig,
    SphericalSoftmaxLossConfig, SquaredSphericalLossConfig, StepOut, TaylorSoftmaxLossConfig, ZLossConfig,
};
use serde::{Deserialize, Serialize};

/// A loss with its output layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Method {
    /// Dense log-softmax.
    LogSoftmax,
    /// Two-level hierarchical softmax.
    HierarchicalSoftmax,
    /// Z-loss on the factored layer.
    ZLoss {
        /// `a`.
        sharpness: f64,
        /// `b`.
        margin: f64,
    },
    /// Taylor softmax on the factored layer.
    TaylorSoftmax,
    /// Spherical softmax on the factored layer.
    SphericalSoftmax {
        /// Added to every squared logit.
        eps: f64,
    },
    /// Squared error on the factored layer.
    SquaredError,
}

impl Method {
    /// Name in tables and files.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::LogSoftmax => "log-softmax",
            Self::HierarchicalSoftmax => "hierarchical softmax",
            Self::ZLoss { .. } => "Z-loss",
            Self::TaylorSoftmax => "Taylor softmax",
            Self::SphericalSoftmax { .. } => "spherical softmax",
            Self::SquaredError => "squared error",
        }
    }

    /// Name with the method's own hyperparameters.
    pub(super) fn label(&self) -> String {
        match self {
            Self::ZLoss { sharpness, margin } => format!("{} a={sharpness} b={margin}", self.name()),
            Self::SphericalSoftmax { eps } => format!("{} eps={eps}", self.name()),
            _ => self.name().to_string(),
        }
    }

    /// The loss in both forms, for the members of the spherical family.
    pub(super) fn spherical(&self) -> Result<Option<Box<dyn BothForms>>, LabError> {
        let refused = |error| LabError::method(error);
        Ok(match *self {
            Self::LogSoftmax | Self::HierarchicalSoftmax => None,
            Self::ZLoss { sharpness, margin } => {
                let config = ZLossConfig::new().with_sharpness(sharpness).with_margin(margin);
                Some(Box::new(config.init().map_err(refused)?))
            }
            Self::TaylorSoftmax => Some(Box::new(TaylorSoftmaxLossConfig::new().init().map_err(refused)?)),
            Self::SphericalSoftmax { eps } => {
                Some(Box::new(SphericalSoftmaxLossConfig::new().with_eps(eps).init().map_err(refused)?))
            }
            Self::SquaredError => Some(Box::new(SquaredSphericalLossConfig::new().init().map_err(refused)?)),
        })
    }

    /// The loss on logits. Hierarchical softmax has none: in its place stands log-softmax.
    pub(super) fn dense_loss(&self) -> Result<Box<dyn ClassificationLoss>, LabError> {
        Ok(match self.spherical()? {
            Some(loss) => loss,
            None => Box::new(CrossEntropyLossConfig::new().init().map_err(LabError::method)?),
        })
    }

    /// The output layer with random weights.
    pub(super) fn layer(
        &self,
        hidden: usize,
        classes: usize,
        init_std: f64,
        seed: u64,
    ) -> Result<OutputLayer, LabError> {
        Ok(match self.spherical()? {
            Some(loss) => {
                let config = FactoredSphericalConfig::new(hidden, classes).with_init_std(init_std);
                OutputLayer::Factored(Box::new(config.init(seed).map_err(LabError::method)?), loss)
            }
            None if *self == Self::LogSoftmax => {
                let config = LogSoftmaxLayerConfig::new(hidden, classes).with_init_std(init_std);
                OutputLayer::Dense(config.init(seed).map_err(LabError::method)?)
            }
            None => {
                let config = HierarchicalSoftmax2Config::new(hidden, classes).with_init_std(init_std);
                OutputLayer::Hierarchical(config.init(seed).map_err(LabError::method)?)
            }
        })
    }
}

/// An output layer with its loss.
pub(super) enum OutputLayer {
    /// Any spherical loss.
    Factored(Box<FactoredSphericalLayer>, Box<dyn BothForms>),
    /// Log-softmax.
    Dense(LogSoftmaxLayer),
    /// Hierarchical softmax.
    Hierarchical(HierarchicalSoftmax2),
}

impl OutputLayer {
    /// One SGD step on the mean loss.
    pub(super) fn step(
        &mut self,
        hidden: Tensor<2>,
        targets: &[usize],
        learning_rate: f64,
    ) -> Result<StepOut, kiln_loss::LayerError> {
        match self {
            Self::Factored(layer, loss) => layer.step(hidden, targets, loss.as_ref(), learning_rate),
            Self::Dense(layer) => layer.step(hidden, targets, learning_rate),
            Self::Hierarchical(layer) => layer.step(hidden, targets, learning_rate),
        }
    }

    /// Scores of all classes.
    pub(super) fn scores(&self, hidden: Tensor<2>) -> Result<Tensor<2>, kiln_loss::LayerError> {
        match self {
            Self::Factored(layer, _) => layer.scores(hidden),
            Self::Dense(layer) => layer.scores(hidden),
            Self::Hierarchical(layer) => layer.scores(hidden),
        }
    }

    /// Counters of the factored layer; zeros for the others, which need no maintenance.
    pub(super) fn diagnostics(&self) -> Diagnostics {
        match self {
            Self::Factored(layer, _) => layer.diagnostics(),
            Self::Dense(_) | Self::Hierarchical(_) => Diagnostics::default(),
        }
    }
}
