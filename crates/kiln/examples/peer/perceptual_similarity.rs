//! Structural similarity as a loss and as a measure: what `peers/loss/perceptual_similarity.py` does.

use burn::tensor::{DType, Device, Tensor, TensorData};
use kiln::loss::perceptual::{MsSsim, MsSsimConfig, SsimConfig, Window};
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Outcome, clock, wave};

/// The cases.
pub fn bench() -> Bench {
    let mut bench = Bench::new("loss/perceptual_similarity", values);
    for (name, shape) in [("16x3x256x256", [16, 3, 256, 256]), ("64x1x32x32", [64, 1, 32, 32])] {
        bench = bench.case(format!("ms-ssim-step-{name}"), 1, move || {
            let device = Device::flex().autodiff();
            let [x, y] = pair(shape, &device, DType::F32);
            let ms_ssim = measure_of(shape)?;
            Ok(move || {
                let x = x.clone().detach().require_grad();
                Ok(clock(|| x.grad(&ms_ssim.forward(x.clone(), y.clone()).backward())))
            })
        });
        bench = bench.case(format!("ms-ssim-{name}"), 1, move || {
            let [x, y] = pair(shape, &Device::flex(), DType::F32);
            let ms_ssim = measure_of(shape)?;
            Ok(move || Ok(clock(|| ms_ssim.forward(x.clone(), y.clone()).into_data())))
        });
    }
    bench.case("ssim-alone-512x512", 1, || {
        let [x, y] = pair([1, 1, 512, 512], &Device::flex(), DType::F32);
        let ssim = SsimConfig::new().init()?;
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        Ok(move || Ok(alone.install(|| clock(|| ssim.forward(x.clone(), y.clone()).into_data()))))
    })
}

/// Five scales and a window of 11 where they fit, else three scales and a window of 5.
fn measure_of([_, _, height, _]: [usize; 4]) -> Outcome<MsSsim> {
    let classic = MsSsimConfig::new();
    let config = if height > 160 {
        classic
    } else {
        classic.with_window(Window::Gaussian { size: 5, sigma: 1.5 }).with_weights(Some(vec![0.2, 0.3, 0.5]))
    };
    Ok(config.init()?)
}

fn pair(shape: [usize; 4], device: &Device, dtype: DType) -> [Tensor<4>; 2] {
    let count = shape.iter().product();
    let images = [wave(count, 0.4, 0.37, 0.0), wave(count, 0.35, 0.37, 0.2)];
    images.map(|values| Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype)) + 0.5)
}

fn values() -> Outcome<Value> {
    let mut answer = Map::new();
    for (name, shape) in [("classic", [2, 2, 161, 170]), ("small", [2, 1, 32, 33])] {
        for dtype in [DType::F32, DType::F64] {
            let [x, y] = pair(shape, &Device::flex().autodiff(), dtype);
            let x = x.require_grad();
            let similarities = measure_of(shape)?.forward_no_reduction(x.clone(), y.clone());
            let gradient = x.grad(&similarities.clone().sum().backward()).ok_or("no gradient")?;
            let ssim = SsimConfig::new().init()?.forward_no_reduction(x, y);
            answer.insert(
                format!("{name} {}", if dtype == DType::F32 { "f32" } else { "f64" }),
                json!({
                    "ms_ssim": numbers(similarities)?,
                    "ssim": numbers(ssim)?,
                    "size_of_gradient": numbers(gradient.abs().sum())?,
                }),
            );
        }
    }
    Ok(Value::Object(answer))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Outcome<Vec<f64>> {
    tensor.try_into_vec_as::<f64>().map_err(|error| error.to_string().into())
}
