//! What a network that gives out images is trained with.

use std::fmt::Debug;

use burn::tensor::Tensor;

/// How far an image is from what it should be: 0 where both are the same, larger where they differ.
pub trait ImageLoss: Debug + Send + Sync {
    /// Dissimilarity of each image.
    ///
    /// # Shapes
    /// - `output`, `target`: `[batch_size, channels, height, width]`
    /// - output: `[batch_size]`
    ///
    /// # Panics
    /// Where the shapes differ or the images are too small for the measure.
    fn dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1>;

    /// Mean dissimilarity of a batch, `[1]`.
    fn mean_dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        self.dissimilarity(output, target).mean()
    }
}

impl<L: ImageLoss + ?Sized> ImageLoss for Box<L> {
    fn dissimilarity(&self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        (**self).dissimilarity(output, target)
    }
}
