//! Leaves of the graph for reverse mode.

use std::any::Any;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::Tensor;

use crate::tangent::is_running_statistic;

/// The tensor as a leaf of a graph of its own.
pub(super) fn leaf<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.inner().autodiff().require_grad()
}

/// A copy of the module whose parameters are leaves, with its flags as they are.
pub(crate) fn with_leaves<M: Module>(module: &M) -> M {
    module.clone().map(&mut Leaves { path: Vec::new(), made: SharedLeaves::default() })
}

/// One leaf for each parameter, also where a module holds it in several places: its gradient is that of all of them.
#[derive(Default)]
pub(crate) struct SharedLeaves {
    made: HashMap<ParamId, Box<dyn Any>>,
}

impl SharedLeaves {
    /// The parameter as a leaf.
    pub(crate) fn leaf<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        param.map(|tensor| {
            if let Some(made) = self.made.get(&id).and_then(|made| made.downcast_ref::<Tensor<D>>()) {
                return made.clone();
            }
            let leaf = leaf(tensor);
            self.made.insert(id, Box::new(leaf.clone()));
            leaf
        })
    }
}

struct Leaves {
    path: Vec<String>,
    made: SharedLeaves,
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
        if is_running_statistic(&self.path) { param } else { self.made.leaf(param) }
    }
}
