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
