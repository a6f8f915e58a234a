//! The step of a whole module.

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};

/// [`ModuleOptimizer::step`] on the threads of the current rayon pool: many small parameters cost no more than a large one.
///
/// A thread outside of the pool that shares out the update of one parameter after another wakes and waits for the pool each
/// time. Here the whole list of parameters is handed over once, and the pool's threads share out each of them among
/// themselves. The result is the same, bit for bit.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::optim::GradientsParams;
/// use burn::tensor::{Device, Tensor};
/// use kiln_optim::AdamConfig;
///
/// let device = Device::flex().autodiff();
/// let layer = LinearConfig::new(4, 3).init(&device);
/// let loss = layer.forward(Tensor::<2>::ones([2, 4], &device)).sum();
/// let gradients = GradientsParams::from_grads(loss.backward(), &layer);
/// let mut adam = AdamConfig::new().init()?;
/// let layer = kiln_optim::step(&mut adam, 1e-3, layer, gradients);
/// # let _ = layer;
/// # Ok::<(), kiln_optim::OptimError>(())
/// ```
pub fn step<M: Module>(
    optimizer: &mut ModuleOptimizer,
    learning_rate: impl Into<ModuleLearningRate>,
    module: M,
    gradients: GradientsParams,
) -> M {
    let learning_rate = learning_rate.into();
    rayon::scope(|_| optimizer.step(learning_rate, module, gradients))
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::{DType, Device, Tensor};
    use kiln_check::random::normal;
    use kiln_kernels::FlexSlice;

    use super::*;
    use crate::widest_vectors::CHUNK;
    use crate::{AdamConfig, DiffGradConfig, SgdConfig};

    fn layer() -> Linear {
        // Many chunks, so that all threads of a pool take part.
        let mut layer = LinearConfig::new(300, 4 * CHUNK / 256).init(&Device::flex().autodiff());
        layer.weight = Param::from_tensor(normal(layer.weight.dims(), DType::F32).autodiff());
        layer.bias = None;
        layer
    }

    fn stepped(optimizer: &mut ModuleOptimizer, layer: Linear) -> Linear {
        let x = Tensor::<2>::ones([2, 300], &Device::flex().autodiff());
        let loss = layer.forward(x).square().sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &layer);
        step(optimizer, 1e-3, layer, gradients)
    }

    fn optimizers() -> [ModuleOptimizer; 4] {
        [
            SgdConfig::new().with_momentum(0.9).init().unwrap(),
            AdamConfig::new().init().unwrap(),
            AdamConfig::new().with_amsgrad(true).init().unwrap(),
            DiffGradConfig::new().init().unwrap(),
        ]
    }

    #[test]
    fn a_large_parameter_stays_where_it_lies() {
        let address = |layer: &Linear| FlexSlice::<f32>::new(layer.weight.val().inner()).values().as_ptr();
        for mut optimizer in optimizers() {
            let layer = stepped(&mut optimizer, layer());
            let before = address(&layer);
            assert_eq!(address(&stepped(&mut optimizer, layer)), before);
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let start = layer();
        let end = |mut optimizer: ModuleOptimizer| {
            let layer = stepped(&mut optimizer, start.clone());
            stepped(&mut optimizer, layer).weight.val().into_data()
        };
        let [one, two, seven] = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| optimizers().map(&end))
        });
        assert!(one == two && two == seven);
    }
}
