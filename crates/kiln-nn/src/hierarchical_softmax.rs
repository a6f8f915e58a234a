//! Output layer of two levels: clusters of classes, then the classes of a cluster.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kiln_autodiff::{Numbers, Values};

use crate::{NetworkError, WeightDistribution, WeightStream};

/// Configuration of [`HierarchicalSoftmax`].
#[derive(Config, Debug)]
pub struct HierarchicalSoftmaxConfig {
    /// Width of the features.
    pub d_input: usize,
    /// Number of classes `D`; best numbered by falling frequency, so that a cluster has classes of one frequency.
    pub num_classes: usize,
}

/// Softmax over clusters, then softmax over the classes of a cluster.
///
/// ```text
/// p(k | h) = softmax(C h)_{g(k)}  softmax(W_{g(k)} h)_k        g(k) = floor(k / ceil(sqrt D))
/// ```
/// [`forward`](Self::forward) gives all log-probabilities at the cost of a dense layer;
/// [`negative_log_likelihood`](Self::negative_log_likelihood) needs `2 sqrt D` logits for each row.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kiln_nn::HierarchicalSoftmaxConfig;
///
/// let device = Device::flex();
/// let layer = HierarchicalSoftmaxConfig::new(8, 50).init_seeded(1, &device)?;
/// let features = Tensor::<2>::ones([3, 8], &device);
/// assert_eq!(layer.forward(features.clone()).dims(), [3, 50]);
/// let classes = Tensor::<1, Int>::from_ints([0, 7, 49], &device);
/// assert_eq!(layer.negative_log_likelihood(features, classes).dims(), [3]);
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
///
/// Source: Goodman, Classes for fast maximum entropy training, 2001.
#[derive(Module, Debug)]
pub struct HierarchicalSoftmax {
    /// Logits of the clusters.
    pub clusters: Linear,
    /// Weights of the classes, `[clusters, d_input, classes of a cluster]`. The last cluster has places that are no class.
    pub weight: Param<Tensor<3>>,
    /// Biases of the classes, `[clusters, classes of a cluster]`.
    pub bias: Param<Tensor<2>>,
    num_classes: usize,
}

impl HierarchicalSoftmaxConfig {
    /// A layer with weights from the device's generator, as a linear layer has them.
    ///
    /// # Errors
    /// [`NetworkError`] for a count of zero, or one that no memory holds.
    pub fn init(&self, device: &Device) -> Result<HierarchicalSoftmax, NetworkError> {
        self.build(&mut WeightStream::from_device(device))
    }

    /// A layer with the weights of `seed`.
    ///
    /// # Errors
    /// Those of [`HierarchicalSoftmaxConfig::init`].
    pub fn init_seeded(&self, seed: u64, device: &Device) -> Result<HierarchicalSoftmax, NetworkError> {
        self.build(&mut WeightStream::new(seed, device))
    }

    pub(crate) fn build(&self, weights: &mut WeightStream) -> Result<HierarchicalSoftmax, NetworkError> {
        NetworkError::require_count("d_input", self.d_input)?;
        NetworkError::require_count("num_classes", self.num_classes)?;
        NetworkError::require_weights("num_classes", &[self.d_input, self.num_classes])?;
        let size = (self.num_classes as f64).sqrt().ceil() as usize;
        let clusters = self.num_classes.div_ceil(size);
        let uniform = WeightDistribution::Uniform { limit: 1.0 / (self.d_input as f64).sqrt() };
        Ok(HierarchicalSoftmax {
            clusters: weights.linear(self.d_input, clusters),
            weight: weights.parameter([clusters, self.d_input, size], uniform),
            bias: weights.parameter([clusters, size], uniform),
            num_classes: self.num_classes,
        })
    }
}

impl HierarchicalSoftmax {
    /// Log-probabilities of all classes.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, d_input]`
    /// - output: `[batch_size, num_classes]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.forward_in(&Values, features)
    }

    /// [`HierarchicalSoftmax::forward`] over any kind of number.
    pub fn forward_in<N: Numbers>(&self, numbers: &N, features: N::T<2>) -> N::T<2> {
        let [clusters, d_input, size] = self.weight.dims();
        let [batch_size, _] = numbers.dims(&features);
        let places = clusters * size;
        let of_clusters = numbers.log_softmax(numbers.linear(&self.clusters, features.clone()), 1);
        let weight = numbers.swap_dims(numbers.parameter(&self.weight), 0, 1);
        let weight = numbers.reshape(weight, [d_input, places]);
        let bias = numbers.reshape(numbers.parameter(&self.bias), [places]);
        let logits = numbers.project(features, weight, Some(bias));
        let logits = numbers.add(logits, numbers.constant(self.empty_places().reshape([1, places])));
        let within = numbers.log_softmax(numbers.reshape(logits, [batch_size, clusters, size]), 2);
        let of_clusters = numbers.reshape(of_clusters, [batch_size, clusters, 1]);
        let all = numbers.reshape(numbers.add(within, of_clusters), [batch_size, places]);
        numbers.narrow(all, 1, 0, self.num_classes)
    }

    /// `-log p` of the class of each row.
    ///
    /// # Shapes
    /// - `features`: `[batch_size, d_input]`
    /// - `classes`: `[batch_size]`, in `0..num_classes`
    /// - output: `[batch_size]`
    pub fn negative_log_likelihood(&self, features: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<1> {
        let [_, _, size] = self.weight.dims();
        let cluster = classes.clone() / size as i64;
        let member = classes - cluster.clone() * size as i64;
        let of_cluster = log_softmax(self.clusters.forward(features.clone()), 1);
        let weight = self.weight.val().select(0, cluster.clone());
        let shift = (self.bias.val() + self.empty_places()).select(0, cluster.clone());
        let logits = features.unsqueeze_dim::<3>(1).matmul(weight).squeeze_dim::<2>(1) + shift;
        let of_member = log_softmax(logits, 1).gather(1, member.unsqueeze_dim(1));
        -(of_cluster.gather(1, cluster.unsqueeze_dim(1)) + of_member).squeeze_dim(1)
    }

    /// 0 for a class, and for a place of the last cluster that is no class a logit that has no share in any sum,
    /// `[clusters, classes of a cluster]`.
    fn empty_places(&self) -> Tensor<2> {
        let [clusters, _, size] = self.weight.dims();
        let mut places = vec![0.0_f32; clusters * size];
        places[self.num_classes..].fill(-1e30);
        let device = self.weight.val().device().inner();
        let empty = Tensor::from_data(TensorData::new(places, [clusters, size]), &device);
        if self.weight.val().is_autodiff() { Tensor::from_inner(empty) } else { empty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tolerance;

    fn layer(num_classes: usize) -> HierarchicalSoftmax {
        HierarchicalSoftmaxConfig::new(4, num_classes).init_seeded(3, &Device::flex()).unwrap()
    }

    fn features() -> Tensor<2> {
        Tensor::from_data([[1.0, -2.0, 0.5, 0.0], [0.3, 0.1, -1.0, 2.0], [0.0, 0.0, 0.0, 0.0]], &Device::flex())
    }

    #[test]
    fn probabilities_sum_to_one_whatever_the_last_cluster_holds() {
        for num_classes in [1, 2, 9, 10, 13] {
            let sums = layer(num_classes).forward(features()).exp().sum_dim(1);
            sums.into_data().assert_approx_eq::<f32>(&[[1.0], [1.0], [1.0]].into(), Tolerance::absolute(1e-5));
        }
    }

    #[test]
    fn the_short_way_gives_the_likelihood_of_the_long_one() {
        let layer = layer(10);
        let classes = Tensor::<1, Int>::from_ints([0, 9, 4], &Device::flex());
        let long = -layer.forward(features()).gather(1, classes.clone().unsqueeze_dim(1)).squeeze_dim::<1>(1);
        let short = layer.negative_log_likelihood(features(), classes);
        short.into_data().assert_approx_eq::<f32>(&long.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn both_ways_send_the_same_gradient() {
        let device = Device::flex().autodiff();
        let layer = layer(10).fork(&device).train();
        let classes = Tensor::<1, Int>::from_ints([0, 9, 4], &device);
        let features = Tensor::from_inner(features()).require_grad();
        let long = layer.forward(features.clone()).gather(1, classes.clone().unsqueeze_dim(1)).sum().neg();
        let short = layer.negative_log_likelihood(features.clone(), classes).sum();
        let (long, short) = (long.backward(), short.backward());
        let equal = |one: Option<TensorData>, other: Option<TensorData>| {
            one.unwrap().assert_approx_eq::<f32>(&other.unwrap(), Tolerance::absolute(1e-5));
        };
        equal(features.grad(&long).map(Tensor::into_data), features.grad(&short).map(Tensor::into_data));
        let (weight, bias) = (layer.weight.val(), layer.bias.val());
        equal(weight.grad(&long).map(Tensor::into_data), weight.grad(&short).map(Tensor::into_data));
        equal(bias.grad(&long).map(Tensor::into_data), bias.grad(&short).map(Tensor::into_data));
    }
}
