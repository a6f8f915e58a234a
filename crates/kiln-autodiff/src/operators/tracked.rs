//! Leaves of the graph for reverse mode.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::tangent::is_running_statistic;

/// The tensor as a leaf of a graph of its own.
pub(super) fn leaf<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.inner().autodiff().require_grad()
}

/// A copy of the module whose parameters are leaves, with its flags as they are.
pub(crate) fn with_leaves<M: Module>(module: &M) -> M {
    module.clone().map(&mut Leaves { path: Vec::new() })
}

struct Leaves {
    path: Vec<String>,
}

impl ModuleMapper for Leaves {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // A copy shares its running statistics with the original, so that these are left alone.
        if is_running_statistic(&self.path) { param } else { param.map(leaf) }
    }
}
