//! Devices by name, as `--device` takes them.

use burn::tensor::Device;

use crate::LabError;

/// Names that this build knows, most portable first.
pub const NAMES: &[&str] = &[
    "cpu",
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "vulkan")]
    "vulkan",
    #[cfg(feature = "tch")]
    "tch",
];

/// Names that some build knows.
const EVERYWHERE: &[&str] = &["cpu", "flex", "cuda", "wgpu", "vulkan", "tch"];

/// The device called `name`: `cpu` (or `flex`), and in builds with those features `cuda`, `cuda:1`, `wgpu`, `vulkan`,
/// `tch`.
///
/// # Errors
/// [`LabError::Device`] for a name that this build does not have.
pub fn parse(name: &str) -> Result<Device, LabError> {
    let (kind, index) = match name.split_once(':') {
        Some((kind, index)) => (kind, Some(index.parse::<usize>().map_err(|_| unknown(name))?)),
        None => (name, None),
    };
    match (kind, index) {
        ("cpu" | "flex", None) => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        ("cuda", index) => Ok(Device::cuda(index.unwrap_or(0))),
        #[cfg(feature = "wgpu")]
        ("wgpu", index) => Ok(Device::wgpu(gpu(index))),
        #[cfg(feature = "vulkan")]
        ("vulkan", index) => Ok(Device::vulkan(gpu(index))),
        #[cfg(feature = "tch")]
        ("tch", None) => Ok(Device::libtorch()),
        #[cfg(feature = "tch")]
        ("tch", Some(index)) => Ok(Device::libtorch_cuda(index)),
        _ => Err(unknown(name)),
    }
}

/// The devices of a list joined by commas, such as `cuda:0,cuda:1`.
///
/// # Errors
/// As [`parse`], for the first name that this build does not have.
pub fn parse_all(names: &str) -> Result<Vec<Device>, LabError> {
    names.split(',').map(parse).collect()
}

/// Whether the device computes on the processor's own cores, so that several jobs can share it.
pub fn is_cpu(name: &str) -> bool {
    matches!(name, "cpu" | "flex")
}

#[cfg(any(feature = "wgpu", feature = "vulkan"))]
fn gpu(index: Option<usize>) -> burn::tensor::DeviceKind {
    index.map_or(burn::tensor::DeviceKind::DefaultDevice, burn::tensor::DeviceKind::DiscreteGpu)
}

fn unknown(name: &str) -> LabError {
    let kind = name.split_once(':').map_or(name, |(kind, _)| kind);
    let meant = if EVERYWHERE.contains(&kind) { None } else { kiln_data::nearest(kind, EVERYWHERE.iter().copied()) };
    let suggestion = meant.map(|nearest| format!("did you mean `{nearest}`? ")).unwrap_or_default();
    LabError::Device {
        name: name.to_string(),
        reason: format!(
            "{suggestion}this build has {}; others come with the cargo features cuda, wgpu, vulkan and tch",
            NAMES.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_two_names() {
        assert_eq!(parse("cpu").unwrap(), parse("flex").unwrap());
    }

    #[test]
    fn unknown_devices_are_refused_with_what_there_is() {
        for name in ["gpu", "cpu:1", "cuda:x", ""] {
            let message = parse(name).unwrap_err().to_string();
            assert!(message.contains("this build has cpu"), "{message}");
        }
        let message = parse("cudaa:1").unwrap_err().to_string();
        assert!(message.contains("no device `cudaa:1`: did you mean `cuda`? this build has"), "{message}");
        assert!(!parse("cpu:1").unwrap_err().to_string().contains("did you mean"));
    }
}
