//! Directions in the space of a module's parameters.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Gradients, Shape, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use std::collections::HashMap;
use std::sync::Arc;
use thiserror::Error;

/// One tensor for each parameter of a module, in the order in which the module visits them: a direction, a gradient, or
/// a product with the Hessian.
///
/// The running statistics of batch normalisation are no parameters. A tensor that is zero need not be stored. All
/// tensors lie outside of the graph.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::Device;
/// use kiln_autodiff::Tangent;
///
/// let layer = LinearConfig::new(3, 2).init(&Device::flex());
/// let direction = Tangent::random(&layer, 1);
/// assert_eq!(direction.dimension(), 3 * 2 + 2);
/// let again = Tangent::from_flat(&layer, direction.to_flat())?;
/// assert!((again.dot(&direction)? - direction.norm().powi(2)).abs() < 1e-4);
/// # Ok::<(), kiln_autodiff::TangentError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tangent {
    layout: Arc<Layout>,
    values: Vec<Option<Tensor<1>>>,
}

/// A tangent that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TangentError {
    /// Another shape for a parameter, or a parameter that the other side lacks (`None`).
    #[error("parameter `{parameter}`: expected {}, found {}", shown(.expected), shown(.actual))]
    Structure {
        /// Path of the parameter in its module.
        parameter: String,
        /// Shape in the module, or in the left operand.
        expected: Option<Vec<usize>>,
        /// Shape in the tangent, or in the right operand.
        actual: Option<Vec<usize>>,
    },
    /// A flat vector of another length.
    #[error("a flat vector of {actual} values does not fit a module of {expected} parameters")]
    Length {
        /// Number of parameters.
        expected: usize,
        /// Length of the vector.
        actual: usize,
    },
}

fn shown(shape: &Option<Vec<usize>>) -> String {
    shape.as_ref().map_or_else(|| "no such parameter".to_string(), |shape| format!("shape {shape:?}"))
}

/// What the parameters of a module are.
#[derive(Debug)]
struct Layout {
    entries: Vec<Entry>,
    places: HashMap<ParamId, usize>,
    device: Device,
    dtype: DType,
}

#[derive(Debug)]
struct Entry {
    id: ParamId,
    name: String,
    dims: Vec<usize>,
}

impl Tangent {
    /// Zeros with the structure of a module.
    pub fn zeros_like<M: Module>(module: &M) -> Self {
        let layout = Layout::of(module);
        let values = vec![None; layout.entries.len()];
        Self { layout: Arc::new(layout), values }
    }

    /// Independent standard normal values. The same seed gives the same values for modules of equal structure.
    pub fn random<M: Module>(module: &M, seed: u64) -> Self {
        Self::zeros_like(module).drawn(seed, |rng| rng.sample(StandardNormal))
    }

    /// Independent signs, -1 or 1 with equal chances.
    pub fn random_signs<M: Module>(module: &M, seed: u64) -> Self {
        Self::zeros_like(module).drawn(seed, |rng| if rng.random::<bool>() { 1.0 } else { -1.0 })
    }

    /// The tensors that lie one after another in a flat vector.
    ///
    /// # Shapes
    /// - `flat`: `[number of parameters]`
    ///
    /// # Errors
    /// [`TangentError::Length`] where the length is not the number of parameters.
    pub fn from_flat<M: Module>(module: &M, flat: Tensor<1>) -> Result<Self, TangentError> {
        Self::zeros_like(module).with_flat(flat)
    }

    /// The gradients of a backward pass, zero where a parameter got none.
    pub fn from_gradients<M: Module>(module: &M, gradients: &Gradients) -> Self {
        let mut collected = Collector::new(Self::zeros_like(module), |param| param.gradient(gradients));
        module.visit(&mut collected);
        collected.tangent
    }

    /// The gradients that an optimizer takes, zero where a parameter got none.
    pub fn from_gradients_params<M: Module>(module: &M, gradients: &GradientsParams) -> Self {
        let mut collected = Collector::new(Self::zeros_like(module), |param| param.registered(gradients));
        module.visit(&mut collected);
        collected.tangent
    }

    /// The parameters themselves.
    pub fn from_parameters<M: Module>(module: &M) -> Self {
        let mut collected = Collector::new(Self::zeros_like(module), |param| Some(param.value()));
        module.visit(&mut collected);
        collected.tangent
    }

    /// One flat vector, `[number of parameters]`.
    pub fn to_flat(&self) -> Tensor<1> {
        let entries = self.layout.entries.iter().zip(&self.values);
        let dense = entries.map(|(entry, value)| value.clone().unwrap_or_else(|| self.zeros(entry.len())));
        Tensor::cat(dense.collect(), 0)
    }

    /// The tangent of the same structure with the values of a flat vector.
    ///
    /// # Errors
    /// [`TangentError::Length`] where the length is not [`Tangent::dimension`].
    pub fn with_flat(&self, flat: Tensor<1>) -> Result<Self, TangentError> {
        let (expected, [actual]) = (self.dimension(), flat.dims());
        if expected != actual {
            return Err(TangentError::Length { expected, actual });
        }
        let flat = flat.inner();
        let mut start = 0;
        let slices = self.layout.entries.iter().map(|entry| {
            let slice = flat.clone().narrow(0, start, entry.len());
            start += entry.len();
            Some(slice)
        });
        Ok(Self { values: slices.collect(), layout: self.layout.clone() })
    }

    /// The tensor of one parameter, none where it is zero or the parameter is not among those of the module.
    ///
    /// # Panics
    /// When the parameter has another rank.
    pub fn get<const D: usize>(&self, id: ParamId) -> Option<Tensor<D>> {
        let place = *self.layout.places.get(&id)?;
        let value = self.values[place].clone()?;
        Some(value.reshape(Shape::from(self.layout.entries[place].dims.clone())))
    }

    /// The module with its parameters at `theta + step * self`, as trainable as before.
    ///
    /// # Errors
    /// [`TangentError::Structure`] where the tangent was not made for this module.
    pub fn displace<M: Module>(&self, module: &M, step: f64) -> Result<M, TangentError> {
        self.check(module)?;
        Ok(module.clone().map(&mut Displacement { tangent: self, step }))
    }

    /// Number of parameters, counting every value.
    pub fn dimension(&self) -> usize {
        self.layout.entries.iter().map(Entry::len).sum()
    }

    /// Path and shape of each parameter, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.layout.entries.iter().map(|entry| (entry.name.as_str(), entry.dims.as_slice()))
    }

    /// Each parameter, and how many values it has.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (ParamId, usize)> {
        self.layout.entries.iter().map(|entry| (entry.id, entry.len()))
    }

    /// That the tangent has the structure of a module.
    ///
    /// # Errors
    /// [`TangentError::Structure`] with the first parameter that differs.
    pub fn check<M: Module>(&self, module: &M) -> Result<(), TangentError> {
        same_structure(&Layout::of(module), &self.layout, |a, b| a.id == b.id && a.dims == b.dims)
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`TangentError::Structure`] where the structures differ.
    pub fn add(&self, other: &Self) -> Result<Self, TangentError> {
        self.check_like(other)?;
        let pairs = self.values.iter().zip(&other.values);
        let values = pairs.map(|pair| match pair {
            (Some(a), Some(b)) => Some(a.clone() + b.clone()),
            (a, b) => a.clone().or_else(|| b.clone()),
        });
        Ok(Self { values: values.collect(), layout: self.layout.clone() })
    }

    /// `factor * self`.
    pub fn scale(&self, factor: f64) -> Self {
        let values = self.values.iter().map(|value| value.clone().map(|value| value * factor));
        Self { values: values.collect(), layout: self.layout.clone() }
    }

    /// The inner product. Reads back from the device.
    ///
    /// # Errors
    /// [`TangentError::Structure`] where the structures differ.
    pub fn dot(&self, other: &Self) -> Result<f64, TangentError> {
        self.check_like(other)?;
        let pairs = self.values.iter().zip(&other.values);
        let products = pairs.filter_map(|(a, b)| Some((a.clone()? * b.clone()?).sum()));
        Ok(products.reduce(|sum, product| sum + product).map_or(0.0, |sum| sum.into_scalar::<f64>()))
    }

    /// The Euclidean norm. Reads back from the device.
    pub fn norm(&self) -> f64 {
        let squares = self.values.iter().flatten().map(|value| value.clone().square().sum());
        squares.reduce(|sum, square| sum + square).map_or(0.0, |sum| sum.into_scalar::<f64>().sqrt())
    }

    /// `self * other`, element by element.
    ///
    /// # Errors
    /// [`TangentError::Structure`] where the structures differ.
    pub fn mul(&self, other: &Self) -> Result<Self, TangentError> {
        self.check_like(other)?;
        let pairs = self.values.iter().zip(&other.values);
        let values = pairs.map(|(a, b)| Some(a.clone()? * b.clone()?));
        Ok(Self { values: values.collect(), layout: self.layout.clone() })
    }

    fn check_like(&self, other: &Self) -> Result<(), TangentError> {
        if Arc::ptr_eq(&self.layout, &other.layout) {
            return Ok(());
        }
        same_structure(&self.layout, &other.layout, |a, b| a.dims == b.dims)
    }

    fn drawn(self, seed: u64, draw: impl Fn(&mut ChaCha8Rng) -> f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tensor = |entry: &Entry| {
            let values: Vec<f64> = (0..entry.len()).map(|_| draw(&mut rng)).collect();
            let data = TensorData::new(values, [entry.len()]).convert_dtype(self.layout.dtype);
            Some(Tensor::from_data(data, (&self.layout.device, self.layout.dtype)))
        };
        Self { values: self.layout.entries.iter().map(tensor).collect(), layout: self.layout.clone() }
    }

    fn zeros(&self, length: usize) -> Tensor<1> {
        Tensor::zeros([length], (&self.layout.device, self.layout.dtype))
    }
}

impl Layout {
    fn of<M: Module>(module: &M) -> Self {
        let layout = Self { entries: Vec::new(), places: HashMap::new(), device: Device::default(), dtype: DType::F32 };
        let mut reader = Reader { layout, path: Vec::new() };
        module.visit(&mut reader);
        reader.layout
    }
}

impl Entry {
    fn len(&self) -> usize {
        self.dims.iter().product()
    }
}

/// The first parameter that differs, if any does.
fn same_structure(
    expected: &Layout,
    actual: &Layout,
    same: impl Fn(&Entry, &Entry) -> bool,
) -> Result<(), TangentError> {
    for place in 0..expected.entries.len().max(actual.entries.len()) {
        let (left, right) = (expected.entries.get(place), actual.entries.get(place));
        if let (Some(left), Some(right)) = (left, right)
            && same(left, right)
        {
            continue;
        }
        let parameter = left.or(right).map(|entry| entry.name.clone()).unwrap_or_default();
        let shape = |entry: Option<&Entry>| entry.map(|entry| entry.dims.clone());
        // Equal shapes of different parameters: the tangent was made for another module.
        let actual = if shape(left) == shape(right) { None } else { shape(right) };
        return Err(TangentError::Structure { parameter, expected: shape(left), actual });
    }
    Ok(())
}

/// Collects the layout of a module.
struct Reader {
    layout: Layout,
    path: Vec<String>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if is_running_statistic(&self.path) || self.layout.places.contains_key(&param.id) {
            return;
        }
        let value = param.val();
        if self.layout.entries.is_empty() {
            (self.layout.device, self.layout.dtype) = (value.device().inner(), value.dtype());
        }
        self.layout.places.insert(param.id, self.layout.entries.len());
        let entry = Entry { id: param.id, name: self.path.join("."), dims: value.dims().to_vec() };
        self.layout.entries.push(entry);
    }
}

/// Whether a path ends in the running statistics of a batch normalisation.
pub(crate) fn is_running_statistic(path: &[String]) -> bool {
    matches!(path.last().map(String::as_str), Some("running_mean" | "running_var"))
}

/// A parameter of any rank, as the functions that collect see it.
trait AnyRank {
    fn gradient(&self, gradients: &Gradients) -> Option<Tensor<1>>;
    fn registered(&self, gradients: &GradientsParams) -> Option<Tensor<1>>;
    fn value(&self) -> Tensor<1>;
}

impl<const D: usize> AnyRank for Param<Tensor<D>> {
    fn gradient(&self, gradients: &Gradients) -> Option<Tensor<1>> {
        self.val().grad(gradients).map(flat)
    }

    fn registered(&self, gradients: &GradientsParams) -> Option<Tensor<1>> {
        gradients.get::<D>(self.id).map(flat)
    }

    fn value(&self) -> Tensor<1> {
        flat(self.val())
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let length = tensor.dims().iter().product::<usize>();
    tensor.inner().reshape([length])
}

/// Fills a tangent from the parameters of its module.
struct Collector<F> {
    tangent: Tangent,
    read: F,
}

impl<F: Fn(&dyn AnyRank) -> Option<Tensor<1>>> Collector<F> {
    fn new(tangent: Tangent, read: F) -> Self {
        Self { tangent, read }
    }
}

impl<F: Fn(&dyn AnyRank) -> Option<Tensor<1>>> ModuleVisitor for Collector<F> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(&place) = self.tangent.layout.places.get(&param.id) {
            self.tangent.values[place] = (self.read)(param);
        }
    }
}

/// Moves the parameters of a module along a tangent.
struct Displacement<'a> {
    tangent: &'a Tangent,
    step: f64,
}

impl ModuleMapper for Displacement<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(direction) = self.tangent.get::<D>(param.id) else { return param };
        param.map(|value| {
            // A leaf stays a leaf.
            let (tracked, trains) = (value.is_autodiff(), value.is_require_grad());
            let moved = value.inner() + direction * self.step;
            let moved = if tracked { moved.autodiff() } else { moved };
            moved.set_require_grad(trains)
        })
    }
}
