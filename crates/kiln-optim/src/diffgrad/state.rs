use burn::optim::{RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

/// What [`DiffGrad`](crate::DiffGrad) remembers of one parameter: three tensors of the parameter's shape.
#[derive(Debug, Clone)]
pub struct DiffGradState<const D: usize> {
    /// Number of updates so far.
    pub time: usize,
    /// First moment `m`, not bias corrected.
    pub moment_1: Tensor<D>,
    /// Second moment `v`, not bias corrected.
    pub moment_2: Tensor<D>,
    /// Largest `v` so far, with `amsgrad` only.
    pub max_moment_2: Option<Tensor<D>>,
    /// The gradient of the last update, weight decay included; zero before the first.
    pub previous_grad: Tensor<D>,
}

impl<const D: usize> DiffGradState<D> {
    /// The state before the first update of a parameter like `tensor`.
    pub(crate) fn zeros_like(tensor: &Tensor<D>) -> Self {
        Self {
            time: 0,
            moment_1: tensor.zeros_like(),
            moment_2: tensor.zeros_like(),
            max_moment_2: None,
            previous_grad: tensor.zeros_like(),
        }
    }

    /// Passes the state through if it belongs to a parameter of this shape, and panics with both shapes if not.
    pub(crate) fn expect_shape(self, tensor: &Tensor<D>) -> Self {
        for (name, part) in [
            ("moment_1", Some(&self.moment_1)),
            ("moment_2", Some(&self.moment_2)),
            ("max_moment_2", self.max_moment_2.as_ref()),
            ("previous_grad", Some(&self.previous_grad)),
        ] {
            if let Some(part) = part {
                assert!(
                    part.shape() == tensor.shape(),
                    "diffGrad state '{name}' has shape {:?}, but its parameter has shape {:?}",
                    part.dims(),
                    tensor.dims()
                );
            }
        }
        self
    }

    pub(crate) fn moved_to(self, device: &Device) -> Self {
        Self {
            time: self.time,
            moment_1: self.moment_1.to_device(device),
            moment_2: self.moment_2.to_device(device),
            max_moment_2: self.max_moment_2.map(|tensor| tensor.to_device(device)),
            previous_grad: self.previous_grad.to_device(device),
        }
    }
}

/// By hand, because Burn's derive of this trait compiles inside Burn only; tensors come back in the type in which they were saved.
impl<const D: usize> RecordState for DiffGradState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, "time", self.time.into());
        out.push_tensor(prefix, "moment_1", self.moment_1.to_data());
        out.push_tensor(prefix, "moment_2", self.moment_2.to_data());
        if let Some(tensor) = &self.max_moment_2 {
            out.push_tensor(prefix, "max_moment_2", tensor.to_data());
        }
        out.push_tensor(prefix, "previous_grad", self.previous_grad.to_data());
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let mut take = |name: &str| {
            let data = src.take_tensor(prefix, name)?;
            let dtype = data.dtype();
            Some(Tensor::from_data(data, (device, dtype)))
        };
        let (moment_1, moment_2) = (take("moment_1")?, take("moment_2")?);
        let (max_moment_2, previous_grad) = (take("max_moment_2"), take("previous_grad")?);
        let time = usize::try_from(src.take_scalar(prefix, "time")?).ok()?;
        Some(Self { time, moment_1, moment_2, max_moment_2, previous_grad })
    }
}
