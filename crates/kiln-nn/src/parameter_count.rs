//! How large a network is.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Number of trainable values of a network: unlike Burn's `num_params`, without the running statistics of batch
/// normalisation. Initialises nothing.
///
/// ```
/// use burn::tensor::Device;
/// use kiln_nn::{MlpConfig, parameter_count};
///
/// let mlp = MlpConfig::new(4, vec![3], 2).init(&Device::flex())?;
/// assert_eq!(parameter_count(&mlp), (4 * 3 + 3) + (3 * 2 + 2));
/// # Ok::<(), kiln_nn::NetworkError>(())
/// ```
pub fn parameter_count<M: Module>(module: &M) -> usize {
    let mut counter = Counter { name: String::new(), outer: Vec::new(), count: 0 };
    module.visit(&mut counter);
    counter.count
}

struct Counter {
    name: String,
    outer: Vec<String>,
    count: usize,
}

impl ModuleVisitor for Counter {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.outer.push(std::mem::replace(&mut self.name, name.to_string()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.name = self.outer.pop().unwrap_or_default();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !matches!(self.name.as_str(), "running_mean" | "running_var") {
            self.count += param.lazy_shape().num_elements();
        }
    }
}
