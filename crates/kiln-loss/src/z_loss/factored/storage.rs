//! The factored layer as a safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use safetensors::tensor::{Dtype, SafeTensors, View, serialize_to_file};

use super::update::Workspace;
use super::{Diagnostics, FactoredSphericalConfig, FactoredSphericalLayer};
use crate::z_loss::{LayerError, LayerScalar};

const KIND: &str = "kiln factored spherical layer 2";

impl<E: LayerScalar> FactoredSphericalLayer<E> {
    /// Writes settings, counters and all matrices as safetensors: to a neighbouring name first, then renamed, so that a
    /// file of this name is always whole.
    ///
    /// # Errors
    /// [`LayerError::File`] with the path and the system's message.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), LayerError> {
        let path = path.as_ref();
        let width = self.width;
        let square = vec![width, width];
        let tensors = [
            ("v", stored(&self.v, vec![self.config.n_classes, width])),
            ("u", stored(&self.u, square.clone())),
            ("u_inverse", stored(&self.u_inverse, square.clone())),
            ("omega", stored(&self.omega, vec![width])),
            ("gram", stored(&self.gram, square)),
            ("class_sum", stored(&self.class_sum, vec![width])),
        ];
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Path::new(&partial);
        let failed = |source: std::io::Error| LayerError::File { path: path.to_owned(), source };
        serialize_to_file(tensors, Some(self.metadata()), partial)
            .map_err(|error| match error {
                safetensors::SafeTensorError::IoError(source) => failed(source),
                other => failed(std::io::Error::other(other)),
            })
            .and_then(|()| std::fs::rename(partial, path).map_err(failed))
            .inspect_err(|_| drop(std::fs::remove_file(partial)))
    }

    /// Reads what [`FactoredSphericalLayer::save`] wrote; training goes on exactly where it stopped.
    ///
    /// # Errors
    /// [`LayerError::File`] when the file cannot be read, [`LayerError::Format`] when it holds something else, another
    /// number type, or values that are not finite.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LayerError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| LayerError::File { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes).map_err(|reason| LayerError::Format { path: path.to_owned(), reason })
    }

    fn metadata(&self) -> HashMap<String, String> {
        let (config, counts) = (&self.config, &self.diagnostics);
        let drift = counts.last_drift.map(|drift| drift.to_string()).unwrap_or_default();
        let entries: [(&str, &dyn Display); 17] = [
            ("kind", &KIND),
            ("d_hidden", &config.d_hidden),
            ("n_classes", &config.n_classes),
            ("bias", &config.bias),
            ("init_std", &config.init_std),
            ("stabilize_every", &config.stabilize_every),
            ("resync_every", &config.resync_every),
            ("weight_decay", &config.weight_decay),
            ("growth", &self.growth),
            ("steps", &counts.steps),
            ("stabilisations", &counts.stabilisations),
            ("singular_values_reset", &counts.singular_values_reset),
            ("unfactorisations", &counts.unfactorisations),
            ("resyncs", &counts.resyncs),
            ("split_batches", &counts.split_batches),
            ("degenerate_examples", &counts.degenerate_examples),
            ("last_drift", &drift),
        ];
        entries.map(|(key, value)| (key.to_owned(), value.to_string())).into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let entries = header.metadata().clone().unwrap_or_default();
        if entries.get("kind").map(String::as_str) != Some(KIND) {
            return Err(format!("its kind is {:?}, not {KIND:?}", entries.get("kind")));
        }
        let config = FactoredSphericalConfig {
            d_hidden: entry(&entries, "d_hidden")?,
            n_classes: entry(&entries, "n_classes")?,
            bias: entry(&entries, "bias")?,
            init_std: entry(&entries, "init_std")?,
            stabilize_every: entry(&entries, "stabilize_every")?,
            resync_every: entry(&entries, "resync_every")?,
            weight_decay: entry(&entries, "weight_decay")?,
        };
        config.check::<E>().map_err(|error| error.to_string())?;
        let diagnostics = Diagnostics {
            steps: entry(&entries, "steps")?,
            stabilisations: entry(&entries, "stabilisations")?,
            singular_values_reset: entry(&entries, "singular_values_reset")?,
            unfactorisations: entry(&entries, "unfactorisations")?,
            resyncs: entry(&entries, "resyncs")?,
            last_drift: entry::<f64>(&entries, "last_drift").ok(),
            split_batches: entry(&entries, "split_batches")?,
            degenerate_examples: entry(&entries, "degenerate_examples")?,
            condition_number: 0.0,
        };
        let width = config.width();
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let square = [width, width];
        Ok(Self {
            width,
            v: matrix::<E>(&tensors, "v", &[config.n_classes, width])?,
            u: matrix(&tensors, "u", &square)?,
            u_inverse: matrix(&tensors, "u_inverse", &square)?,
            omega: matrix(&tensors, "omega", &[width])?,
            gram: matrix(&tensors, "gram", &square)?,
            class_sum: matrix(&tensors, "class_sum", &[width])?,
            growth: entry(&entries, "growth")?,
            diagnostics,
            workspace: Workspace::default(),
            config,
        })
    }
}

fn entry<T: FromStr>(entries: &HashMap<String, String>, key: &str) -> Result<T, String> {
    let text = entries.get(key).ok_or_else(|| format!("it has no entry {key:?}"))?;
    text.parse().map_err(|_| format!("its entry {key:?} is {text:?}"))
}

fn matrix<T: LayerScalar>(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<T>, String> {
    let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
    if tensor.dtype() != T::STORED_AS || tensor.shape() != shape {
        return Err(format!(
            "its tensor {name:?} is {:?} {:?}, expected {:?} {shape:?}",
            tensor.dtype(),
            tensor.shape(),
            T::STORED_AS
        ));
    }
    let values = T::read_little_endian(tensor.data());
    match values.iter().all(|value| value.widen().is_finite()) {
        true => Ok(values),
        false => Err(format!("its tensor {name:?} has values that are not finite")),
    }
}

/// A matrix as safetensors takes it.
struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn stored<T: LayerScalar>(values: &[T], shape: Vec<usize>) -> Stored<'_> {
    let bytes = if cfg!(target_endian = "little") {
        // SAFETY: `T` is `f32` or `f64` (the trait is sealed), which have no padding and no invalid bytes; the pointer
        // and the length in bytes are those of the borrowed slice.
        Cow::Borrowed(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) })
    } else {
        let mut bytes = Vec::with_capacity(std::mem::size_of_val(values));
        values.iter().for_each(|value| value.write_little_endian(&mut bytes));
        Cow::Owned(bytes)
    };
    Stored { dtype: T::STORED_AS, shape, bytes }
}
