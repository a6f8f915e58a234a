//! Where dropout takes its masks from.

use std::cell::RefCell;
use std::marker::PhantomData;

use burn::nn::Dropout;
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of dropout masks for the networks that this thread evaluates in [`Values`](crate::Values), for as long
/// as it lives.
///
/// Burn's dropout draws from a generator of the device, which the whole process shares: trainings side by side take each
/// other's numbers. While a stream lives, dropout on its thread draws from it instead, on the host, so that the masks do
/// not depend on the device or on other threads. Without a stream dropout is Burn's.
///
/// ```
/// use burn::nn::DropoutConfig;
/// use burn::tensor::{Device, Tensor};
/// use kiln_autodiff::{DropoutStream, Numbers, Values};
///
/// let (layer, ones) = (DropoutConfig::new(0.5).init(), Tensor::<2>::ones([4, 8], &Device::flex().autodiff()));
/// let dropped = |seed| {
///     let _masks = DropoutStream::begin(seed);
///     Values.dropout(&layer, ones.clone()).into_data()
/// };
/// assert_eq!(dropped(1), dropped(1));
/// assert_ne!(dropped(1), dropped(2));
/// ```
#[derive(Debug)]
pub struct DropoutStream {
    before: Option<ChaCha8Rng>,
    /// It belongs to the thread that began it.
    thread: PhantomData<*const ()>,
}

thread_local! {
    static STREAM: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
}

impl DropoutStream {
    /// Begins the stream of `seed` on this thread; one that was there goes on when this one ends.
    #[must_use = "the stream ends when it is dropped"]
    pub fn begin(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Another stream than that of whatever else the same seed decides, such as the order of the rows.
        random.set_stream(1);
        Self { before: STREAM.replace(Some(random)), thread: PhantomData }
    }
}

impl Drop for DropoutStream {
    fn drop(&mut self) {
        STREAM.set(self.before.take());
    }
}

/// Whether the layer drops any of these values.
pub(super) fn drops<const D: usize>(layer: &Dropout, x: &Tensor<D>) -> bool {
    layer.training.is_enabled() && x.is_autodiff() && layer.prob > 0.0
}

/// Burn's dropout, with the mask of this thread's stream where there is one.
pub(super) fn forward<const D: usize>(layer: &Dropout, x: Tensor<D>) -> Tensor<D> {
    if !drops(layer, &x) {
        return x;
    }
    let shape = x.dims();
    let drawn = STREAM
        .with_borrow_mut(|stream| stream.as_mut().map(|random| mask(random, shape.iter().product(), 1.0 - layer.prob)));
    match drawn {
        Some(mask) => {
            let place = (&x.device(), x.dtype());
            let mask = Tensor::from_data(TensorData::new(mask, shape).convert_dtype(x.dtype()), place);
            x * mask
        }
        None => layer.forward(x),
    }
}

/// `1 / keep` with probability `keep`, otherwise 0.
fn mask(random: &mut ChaCha8Rng, count: usize, keep: f64) -> Vec<f32> {
    let (bound, kept) = ((keep * 2.0_f64.powi(32)) as u64, (1.0 / keep) as f32);
    (0..count).map(|_| if u64::from(random.random::<u32>()) < bound { kept } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use burn::nn::DropoutConfig;
    use burn::tensor::Device;
    use kiln_check::{assert_near, values};

    use super::*;

    fn ones() -> Tensor<1> {
        Tensor::ones([4000], &Device::flex().autodiff())
    }

    #[test]
    fn a_stream_keeps_the_mean_and_the_share() {
        let _masks = DropoutStream::begin(3);
        let dropped = values(&forward(&DropoutConfig::new(0.2).init(), ones()).inner());
        assert!(dropped.iter().all(|value| *value == 0.0 || *value == 1.25));
        assert_near(dropped.iter().sum::<f64>() / 4000.0, 1.0, 0.03);
    }

    #[test]
    fn a_stream_goes_on_whatever_other_threads_draw() {
        let layer = DropoutConfig::new(0.5).init();
        let twice = || {
            let _masks = DropoutStream::begin(7);
            [forward(&layer, ones()), forward(&layer, ones())].map(|dropped| values(&dropped.inner()))
        };
        let alone = twice();
        assert_ne!(alone[0], alone[1]);
        let beside: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(twice)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(beside.iter().all(|found| *found == alone));
    }

    #[test]
    fn an_inner_stream_leaves_the_outer_one_alone() {
        let layer = DropoutConfig::new(0.5).init();
        let next = || values(&forward(&layer, ones()).inner());
        let (first, second) = {
            let _masks = DropoutStream::begin(1);
            (next(), next())
        };
        let _masks = DropoutStream::begin(1);
        assert_eq!(next(), first);
        {
            let _inner = DropoutStream::begin(2);
            assert_ne!(next(), second);
        }
        assert_eq!(next(), second);
    }

    #[test]
    fn evaluation_drops_nothing() {
        let _masks = DropoutStream::begin(1);
        let plain = Tensor::<1>::ones([100], &Device::flex());
        assert!(values(&forward(&DropoutConfig::new(0.9).init(), plain)).iter().all(|value| *value == 1.0));
    }
}
